"""From a bar to a position: regime, safety, leverage, volatility, signal, size; one path for notebook and live."""

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from companion.datasets._intraday import IntradayVolatility
from companion.desk._decision import Bar, Decision, Quote
from companion.desk._inputs import as_bars, day_of, plain_bar, with_quotes
from companion.desk._intake import Intake, Taken
from companion.desk._signals import AlwaysLong, Signal
from companion.regimes._filter import RegimeFilter
from companion.regimes._packing import fingerprint
from companion.regimes._stepper import RegimeReading
from companion.risk import (
    DailyLossLimit,
    DimmerSteps,
    DrawdownBreaker,
    InstrumentRules,
    LimitReading,
    Posture,
    Reason,
    SafetyMonitor,
    SafetyReading,
    SizingConfig,
    TargetPosition,
    apply_posture,
    calculate_target_position,
    dimmer,
    strictest,
)
from companion.risk._decimal import from_float
from companion.risk._instrument import Instrument
from companion.risk._volatility import Estimator

if TYPE_CHECKING:
    import pandas as pd

Leverage = DimmerSteps | Callable[[float], float]
"""Steps of the dimmer, or any function from P(stable) to a leverage, such as `companion.risk.ramp`."""
Check = SafetyReading | LimitReading


class Desk:
    """A detector, a monitor, limits and a sizing law, joined in one order.

    Everything it is given is copied: two desks never disturb one another. It reads no clock and no file, and the same
    inputs give the same decisions, so the same object serves a notebook, a backtest, a trading engine and a replay.

    Parameters
    ----------
    detector : fitted RegimeFilter
    monitor : SafetyMonitor, optional
        Kill switch on the feed, on the detector's latent and, where the monitor has that rule, on the past; without it
        none is watched. The detector is spared what the rules on the feed refuse.
    sizing : SizingConfig
        The sizing law, per bar.
    instrument : Instrument
        Steps and limits of what is traded.
    leverage : DimmerSteps or callable
        From P(stable) to a leverage.
    signal : Signal
        The bet; by default the market as it is, long.
    volatility : str
        Estimator of the volatility per bar, one of ``companion.risk.ESTIMATORS``. Range estimators need real opens and
        highs; on series that copy them from the last close they read far too low.
    window : int
        Bars of that estimate.
    intraday : IntradayVolatility, optional
        Curve of the time of day, of bars as long as the desk's. It learns bar by bar, from what it knows already.
        The detector and the monitor read each return in units of the average bar (runs and repetitions as they are),
        and the position is sized for the volatility of the *next* bar: the estimate's level times the factor of the
        time when that bar closes. The signal, `SizingConfig.max_price_move` and the limits see prices as they are.
        What a closed market does overnight is in no bar to come, so in no size either.
    daily_loss : DailyLossLimit, optional
    drawdown : DrawdownBreaker, optional
        Limits on equity; they latch.
    bar : str
        Time between two bars, in the notation of `pandas.Timedelta`; of no matter where bars have no time.
    longest_gap : int
        Bars from one to the next at most. Ten days admit the longest closing of an exchange since 1990; weekly bars are
        refused all the same, at the fifth.

    Raises
    ------
    ValueError
        When an argument is out of range or the detector is not fitted.
    """

    def __init__(
        self,
        detector: RegimeFilter,
        monitor: SafetyMonitor | None = None,
        *,
        sizing: SizingConfig,
        instrument: Instrument,
        leverage: Leverage | None = None,
        signal: Signal | None = None,
        volatility: Estimator = "close_to_close",
        window: int = 21,
        intraday: IntradayVolatility | None = None,
        daily_loss: DailyLossLimit | None = None,
        drawdown: DrawdownBreaker | None = None,
        bar: str = "1D",
        longest_gap: int = 10,
    ) -> None:
        self.sizing, self.instrument = replace(sizing), InstrumentRules.of(instrument)  # without what it has derived
        self._leverage_rule = DimmerSteps() if leverage is None else leverage
        usable = isinstance(self._leverage_rule, DimmerSteps) or callable(self._leverage_rule)
        if not usable:
            raise ValueError(f"leverage must be DimmerSteps or a function of P(stable), got {leverage!r}")
        self._stepper, self._warm_up = detector.stepper(), detector.warm_up
        self._warm_up_bars = max(detector.warm_up + 1, window)
        self._monitor = copy.deepcopy(monitor)
        self._limits = [copy.deepcopy(limit) for limit in (daily_loss, drawdown) if limit is not None]
        self._signal = copy.deepcopy(signal) if signal is not None else AlwaysLong()
        self._intake = Intake(volatility=volatility, window=window, bar=bar, longest_gap=longest_gap, intraday=intraday)
        self._dimmed = 0.0
        self._held = Decimal(0)
        self._watched: frozenset[str] = frozenset()
        if self._monitor is not None:
            self._monitor.reset()
            self._watched = frozenset(self._monitor.thresholds)
            first = detector.stepper().update(0.0)
            self._monitor.check_safety(first.features)  # one of another detector is refused
            if "past" in self._watched and first.ood_p_value is None:
                raise ValueError("monitor must be of this detector, got one of a detector that judges the past")
        self._identity = fingerprint(
            detector,
            self._monitor,
            self._limits,
            self._signal,
            self.sizing,
            self.instrument,
            leverage,
            volatility,
            window,
            bar,
            self._intake.intraday,
        )
        self._start = self.state()

    @property
    def warm_up_bars(self) -> int:
        """Bars from a start for which detector and volatility keep it flat; a signal may take longer."""
        return self._warm_up_bars

    def on_bar(
        self, bar: Bar, *, quote: Quote | None = None, equity: Decimal | None, held: Decimal | None = None
    ) -> Decision:
        """Take one more bar, and say what to hold after it.

        Bad data is no error: the answer is flat, or what the posture of a limit says, and the reasons say why. A bar
        that is refused (a broken price, a time that can not be the next) changes nothing that the desk remembers.

        Parameters
        ----------
        bar : Bar
            The bar that has just closed.
        quote : Quote, optional
            Top of the book now; without one the position is sized with the close.
        equity : Decimal or None
            Balance and unrealized result, in the quote currency.
        held : Decimal, optional
            What is held now; by default the quantity of the last decision. Only postures that do not flatten ask.

        Raises
        ------
        ValueError
            When the desk reads the time of day and the bar has none.
        """
        bar, held = plain_bar(bar), self._held if held is None else held
        self._intake.check_time(bar.time)
        checks: list[Check] = []
        if self._limits:
            day = day_of(bar.time)
            checks += [limit.check_equity(equity, day) for limit in self._limits]
        reasons, leverage, sigma_bar, signal, target = [], 0.0, math.nan, math.nan, _NOTHING
        reading, taken = None, self._intake.take(bar)
        if isinstance(taken, str):
            reasons = [f"flat: bar refused: {taken}"]
        else:
            reading = self._read(taken, checks)
            sigma_bar, signal = taken.sigma_next, self._signal.update(bar.close)
            reasons, leverage = self._leverage(reading, taken.log_return, checks)
            target = calculate_target_position(
                signal,
                sigma_bar,
                leverage=leverage,
                equity=equity,
                instrument=self.instrument,
                config=self.sizing,
                bid=None if quote is None else quote.bid,
                ask=None if quote is None else quote.ask,
                last_close=from_float(bar.close),
            )
            reasons += [reason.value for reason in target.reasons if not (reasons and reason is Reason.LEVERAGE_ZERO)]
        posture = Posture.NORMAL
        if alarms := [check for check in checks if not check]:
            posture = strictest(*(_posture(check) for check in alarms))
            reasons += [f"{_posture(check).value}: {check.reason}" for check in alarms]
        self._held = apply_posture(posture, target.quantity, held)
        return Decision(
            bar=bar,
            quote=quote,
            equity=equity,
            held=held,
            quantity=self._held,
            reasons=tuple(reasons),
            posture=posture,
            p_stable=math.nan if reading is None else reading.p_stable,
            regime=-1 if reading is None else reading.regime,
            n_bars=self._stepper.n_bars,
            leverage=leverage,
            sigma_bar=sigma_bar if sigma_bar == sigma_bar else math.nan,  # one NaN, so that decisions can be compared
            signal=signal if signal == signal else math.nan,
            fraction=target.fraction,
            price=target.reference_price,
            safety=tuple(checks),
        )

    def _read(self, taken: Taken, checks: list[Check]) -> RegimeReading | None:
        """The detector's reading; the monitor's checks join `checks`.

        None at the first bar, and of a bar that is not to be believed: the detector is spared it, for one bad return
        would stay in its memory for years.
        """
        if math.isnan(taken.log_return):
            return None
        believed = not self._moved_too_far(taken.log_return)
        if self._monitor is not None and "invalid" in self._watched:
            checks.append(self._monitor.check_input(taken.log_return, factor=taken.factor))
            believed &= bool(checks[-1])
        if not believed:
            return None
        reading = self._stepper.update(taken.log_return / taken.factor)
        if self._monitor is not None:
            checks.append(self._monitor.check_safety(reading.features))
            if "past" in self._watched and reading.ood_p_value is not None:
                checks.append(self._monitor.check_past(reading.ood_p_value))
        return reading

    def _moved_too_far(self, log_return: float) -> bool:
        return self.sizing.max_price_move is not None and abs(log_return) > self.sizing.max_price_move

    def _leverage(
        self, reading: RegimeReading | None, log_return: float, checks: list[Check]
    ) -> tuple[list[str], float]:
        """Reasons to hold nothing whatever the signal says, and the leverage."""
        if math.isnan(log_return):
            return ["flat: the first bar has no return"], 0.0
        reasons = ["flat: the close is too far from the one before"] if self._moved_too_far(log_return) else []
        if reading is None:
            return reasons, 0.0
        if isinstance(self._leverage_rule, DimmerSteps):
            self._dimmed = dimmer(reading.p_stable, steps=self._leverage_rule, previous=self._dimmed)
        else:
            self._dimmed = float(self._leverage_rule(reading.p_stable))
        if not reading.warm:
            reasons.append(f"flat: warming up, {reading.n_bars} of {self._warm_up + 1} bars")
        elif not reading.known_scale:
            reasons.append("flat: the returns are of another scale than the detector was made for")
        unsafe = any(isinstance(check, SafetyReading) and not check for check in checks)
        return reasons, 0.0 if reasons or unsafe else self._dimmed

    def run(
        self, bars: "pd.DataFrame | Iterable[Bar]", *, equity: Decimal | int | None, quotes: Iterable[Quote | None] = ()
    ) -> list[Decision]:
        """`on_bar` for each of many bars, with the same equity throughout.

        Parameters
        ----------
        bars : DataFrame or iterable of Bar
            A table has columns ``open``, ``high``, ``low``, ``close``, and dates as its index, as
            `companion.datasets.read_bars` gives it.
        equity : Decimal, int or None
            In the quote currency.
        quotes : iterable of Quote, optional
            One a bar; where they end, or for None, the position is sized with the close.

        Raises
        ------
        ValueError
            When a table has no such columns, its index is neither dates nor numbers, or its bars are shorter than the
            desk's.
        """
        amount = None if equity is None else Decimal(equity)
        taken = as_bars(bars, self._intake.bar)
        return [self.on_bar(bar, quote=quote, equity=amount) for bar, quote in with_quotes(taken, quotes)]

    def replay(self, decision: Decision) -> Decision:
        """The decision again, from its inputs; the desk has to be where it was before it."""
        return self.on_bar(decision.bar, quote=decision.quote, equity=decision.equity, held=decision.held)

    def reset(self) -> None:
        """Forget every bar, and what the limits have latched: begin anew as made."""
        self.restore(self._start)

    def state(self) -> dict[str, Any]:
        """All that the desk remembers, as JSON types; `restore` takes it back exactly."""
        return {
            "desk": self._identity,
            "intake": self._intake.state(),
            "dimmed": self._dimmed,
            "held": str(self._held),
            "stepper": self._stepper.state(),
            "signal": self._signal.state(),
            "monitor": None if self._monitor is None else self._monitor.state(),
            "limits": [limit.state() for limit in self._limits],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state` of a desk that was made with the same parts.

        Raises
        ------
        ValueError
            When it is that of another desk, or no state at all; the desk is then as it was.
        """
        if not isinstance(state, dict) or state.get("desk") != self._identity:
            raise ValueError("state must be that of a desk made with the same parts and settings, got another")
        before = self.state()
        try:
            self._set(state)
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            self._set(before)
            raise ValueError(f"state must be what state() gave, got something else ({error!r})") from error

    def _set(self, state: dict[str, Any]) -> None:
        self._intake.restore(state["intake"])
        self._dimmed, self._held = float(state["dimmed"]), Decimal(state["held"])
        if not (math.isfinite(self._dimmed) and self._held.is_finite()):
            raise ValueError(f"dimmed and held must be finite, got {self._dimmed} and {self._held}")
        self._stepper.restore(state["stepper"])
        self._signal.restore(state["signal"])
        if self._monitor is not None:
            self._monitor.restore(state["monitor"])
        for limit, kept in zip(self._limits, state["limits"], strict=True):
            limit.restore(kept)


_NOTHING = TargetPosition(Decimal(0), (), 0.0, None)


def _posture(alarm: Check) -> Posture:
    """What an alarm demands: a limit says it itself, one of the monitor flattens."""
    return alarm.posture if isinstance(alarm, LimitReading) else Posture.FLATTEN
