"""Whether the market is fit to trade in: a gate that is told every quote and asked before every order.

The printed gate compares a spread with a mean and a standard deviation that it has just entered itself, and of which a
single shock is master. Here the baseline is a median and its deviation (Hampel's identifier), sampled on a grid of
time, and a quote is judged before it can become a part of it.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from operator import index
from typing import Any

from companion._checks import check_count, check_finite
from companion.execution._baseline import RollingMedian
from companion.execution._gate_config import GateConfig, GateReading
from companion.execution._modes import TradingMode
from companion.execution._quote_faults import END_OF_TIME, LARGEST, fault_of, spread_from_quote
from companion.risk import RollingSpreadStats as RollingSpreadStats

#: The median absolute deviation of normal values, times this, is their standard deviation.
MAD_TO_STD = 1.4826
_MISSING = "missing: no quote yet"
_SECOND = 1_000_000_000


class LiquidityGate:
    """Turns quotes into a `TradingMode`, with hysteresis in level and in time.

    It knows no clock: time comes in with each quote and each question, in nanoseconds since 1970. A quote of the same
    time as the one before is taken. One of an earlier time is not trusted, the clock goes on from there, and the next
    is good again. After anything that is not calm the gate stays in REDUCING for `GateConfig.calm_s`, measured from
    quote to quote.

    Parameters
    ----------
    config : GateConfig

    Attributes
    ----------
    n_refused : int
        Bad quotes so far.
    """

    def __init__(self, config: GateConfig) -> None:
        self.config, self.n_refused = config, 0
        self._sample_ns, self._calm_ns = _ns(config.sample_s), _ns(config.calm_s)
        self._max_age_ns, self._max_frozen_ns = _ns(config.max_age_s), _ns(config.max_frozen_s)
        self._size_enter, self._size_leave = config.size_enter, config.size_leave
        self._quote: tuple[float, ...] | None = None  # the last sound one
        self._spread = math.nan
        self._time_ns = self._changed_ns = self._next_sample_ns = 0
        self._trouble_ns: int | None = None  # when it was last not calm; None once it has been for long enough
        self._fault: str | None = _MISSING
        self._baseline = RollingMedian(config.window)
        self._enter = self._leave = math.inf

    def on_quote(self, bid: float, ask: float, bid_size: float, ask_size: float, time_ns: int) -> None:
        """Take one quote in, whatever it is; a bad one halts until the next that is sound.

        Parameters
        ----------
        bid, ask : float
            In the quote currency. Sound if positive, finite, and the ask neither below the bid nor above twice the bid.
        bid_size, ask_size : float
            In the base currency. Sound if positive and finite.
        time_ns : int
            When it was received.
        """
        quote = (bid, ask, bid_size, ask_size)
        try:
            time_ns = index(time_ns)
            sound = (
                0.0 < bid <= ask <= LARGEST
                and 0.0 < bid_size <= LARGEST
                and 0.0 < ask_size <= LARGEST
                and self._time_ns <= time_ns < END_OF_TIME
                and ask - bid <= bid
            )
            spread = float(ask - bid) if sound else math.nan
            fault = "" if sound else fault_of(bid, ask, bid_size, ask_size, time_ns)
        except Exception as error:  # a feed may hand over anything, and what can not be compared is no quote
            fault = f"invalid: {error!r}"
        if fault:
            self._refuse(fault, time_ns)
            return
        if time_ns >= self._next_sample_ns:
            self._sample(time_ns)
        trouble_ns = self._trouble_ns
        troubled = trouble_ns is not None
        if (
            spread > (self._leave if troubled else self._enter)
            or (bid_size if bid_size < ask_size else ask_size) < (self._size_leave if troubled else self._size_enter)
            or self._fault is not None
            or time_ns - self._time_ns > self._max_age_ns
            or time_ns - self._changed_ns > self._max_frozen_ns
        ):
            self._trouble_ns = time_ns
        elif trouble_ns is not None and time_ns - trouble_ns >= self._calm_ns:
            self._trouble_ns = None
        if quote != self._quote:
            self._quote, self._changed_ns = quote, time_ns
        self._spread, self._time_ns, self._fault = spread, time_ns, None

    def check(self, now_ns: int) -> GateReading:
        """Judge the market at a time, from the quotes so far; nothing changes by asking.

        Parameters
        ----------
        now_ns : int
            Time of the question, on the clock of the quotes.

        Raises
        ------
        ValueError
            If `now_ns` is not a time.
        """
        age_ns = check_count("now_ns", now_ns, least=0) - self._time_ns
        halting = self._halting(age_ns, now_ns - self._changed_ns)
        reducing = () if halting else self._reducing()
        mode = TradingMode.HALTED if halting else TradingMode.REDUCING if reducing else TradingMode.ACTIVE
        threshold = self._enter if self._trouble_ns is None else self._leave
        return GateReading(
            mode,
            halting or reducing,
            self._spread if self._fault is None else math.nan,
            threshold if threshold < math.inf else math.nan,
            math.nan if self._quote is None else age_ns / _SECOND,
        )

    def state(self) -> dict[str, Any]:
        """What the gate remembers, as plain JSON types, exactly; `restore` takes it back."""
        return {
            "config": asdict(self.config),
            "n_refused": self.n_refused,
            "quote": None if self._quote is None else [float(number) for number in self._quote],
            "time_ns": self._time_ns,
            "changed_ns": self._changed_ns,
            "next_sample_ns": self._next_sample_ns,
            "trouble_ns": self._trouble_ns,
            "fault": self._fault,
            "baseline": self._baseline.values(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises
        ------
        ValueError
            If it is the state of a gate with other settings, or no state at all; then nothing has changed.
        """
        if state.get("config") != asdict(self.config):
            raise ValueError(
                f"state must be of a gate with {asdict(self.config)}, got {state.get('config')}: make one of those"
            )
        try:
            quote = None if state["quote"] is None else tuple(_finite(state["quote"]))
            bid, ask, _, _ = quote or (math.nan,) * 4
            n_refused, *times = (
                index(state[name]) for name in ("n_refused", "time_ns", "changed_ns", "next_sample_ns")
            )
            trouble_ns = None if state["trouble_ns"] is None else index(state["trouble_ns"])
            fault = None if state["fault"] is None else str(state["fault"])
            spreads = _finite(state["baseline"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"state must be what LiquidityGate.state() gave, got another: {error!r}") from error
        self.n_refused, self._quote, self._spread = n_refused, quote, spread_from_quote(bid, ask)
        self._time_ns, self._changed_ns, self._next_sample_ns = times
        self._trouble_ns, self._fault = trouble_ns, _MISSING if quote is None and fault is None else fault
        self._baseline = RollingMedian(self.config.window)
        for spread in spreads:
            self._baseline.update(spread)
        self._set_thresholds()

    def _refuse(self, fault: str, time_ns: object) -> None:
        """Remember what is wrong with a quote, and go on from its time if it has one."""
        self._fault = fault
        self.n_refused += 1
        if not (type(time_ns) is int and 0 <= time_ns < END_OF_TIME):
            return
        if time_ns < self._time_ns:
            self._changed_ns, self._next_sample_ns = time_ns, 0
        self._time_ns = time_ns

    def _sample(self, time_ns: int) -> None:
        """Take the last spread of the interval that has passed into the baseline; the present one is not in it."""
        if self._quote is not None:
            self._baseline.update(self._spread)
            self._set_thresholds()
        self._next_sample_ns = (time_ns // self._sample_ns + 1) * self._sample_ns

    def _set_thresholds(self) -> None:
        config = self.config
        if len(self._baseline) < config.warm_up:
            self._enter = self._leave = math.inf
            return
        median, mad = self._baseline.median_mad()
        deviation = max(MAD_TO_STD * mad, config.floor * median)
        self._enter, self._leave = median + config.k_enter * deviation, median + config.k_leave * deviation

    def _halting(self, age_ns: int, unchanged_ns: int) -> tuple[str, ...]:
        """Why there is no quote to trust."""
        if self._fault is not None:
            return (self._fault,)
        if age_ns < 0:
            return (f"clock: the last quote is {-age_ns / _SECOND:g} s ahead of the question",)
        if age_ns > self._max_age_ns:
            return (f"stale: the last quote is {age_ns / _SECOND:g} s old, at most {self.config.max_age_s:g} s",)
        if unchanged_ns > self._max_frozen_ns:
            return (f"frozen: the same quote for {unchanged_ns / _SECOND:g} s, at most {self.config.max_frozen_s:g} s",)
        return ()

    def _reducing(self) -> tuple[str, ...]:
        """Why the market is abnormal, though its quote is sound."""
        n_samples, warm_up = len(self._baseline), self.config.warm_up
        reasons = [f"warm-up: {n_samples} of {warm_up} samples of the spread"] if n_samples < warm_up else []
        if self._quote is None or self._trouble_ns is None:
            return tuple(reasons)
        n_before, size = len(reasons), min(self._quote[2:])
        if self._spread > self._leave:
            reasons.append(f"wide: a spread of {self._spread:g}, at most {self._leave:g}")
        if size < self._size_leave:
            reasons.append(f"thin: a size of {size:g}, at least {self._size_leave:g}")
        if len(reasons) == n_before:
            calm_s = (self._time_ns - self._trouble_ns) / _SECOND
            reasons.append(f"settling: calm for {calm_s:g} s of {self.config.calm_s:g} s")
        return tuple(reasons)


def _ns(seconds: float) -> int:
    return round(seconds * _SECOND)


def _finite(numbers: Iterable[float]) -> list[float]:
    """Plain floats; a ValueError if one is not finite."""
    return [check_finite("a number of the state", number) for number in numbers]
