"""How volatile a bar is for its time of day, learned from the bars before it: what minute bars are read through.

Volatility within a day follows the clock: high at the open, low at noon, high at the close. A detector that does not
know it is apt to take the open for chaos. The curve is that of a periodic model (Andersen & Bollerslev 1997), estimated
bar by bar: the squared return over the day's level of variance, averaged within each slot of the clock.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import check_finite, check_log_returns, check_positive, decay

LARGEST_RATIO = 30.0
"""A squared return beyond this multiple of its slot's own is news, not the clock; it counts as that much."""
LONGEST_MISS = 4
"""Bars from one to the next at most that are a hole in the feed, and not a market that was closed."""
_DAY = timedelta(days=1)
_GAPS = ("break", "overnight", "weekend")

Slot = tuple[int, int] | str


class IntradayVolatility:
    """A causal curve of volatility by time of day, and of the gaps when a market is closed.

    A bar that comes after a gap is no time of the day, but a slot of its own: "break" if it is on the same day as the
    one before, "overnight" if on the next, else "weekend". A few bars that are missing are no gap: up to three, or as
    many as fill a slot. A market that never closes has none.

    Parameters
    ----------
    bar : timedelta
        Length of a bar.
    slot : timedelta, default 30 minutes
        Length of a slot of the clock, at least a bar and at most a day.
    by_weekday : bool, default False
        Whether each day of the week has a curve of its own.
    half_life : float, default 20
        Days after which a day has half its weight in the curve.

    Raises
    ------
    ValueError
        If a length or the half-life is not positive, or the slot is shorter than a bar or longer than a day.

    References
    ----------
    Andersen and Bollerslev (1997), "Intraday periodicity and volatility persistence in financial markets".
    """

    def __init__(
        self,
        *,
        bar: timedelta,
        slot: timedelta = timedelta(minutes=30),
        by_weekday: bool = False,
        half_life: float = 20.0,
    ) -> None:
        if not timedelta(0) < bar <= slot <= _DAY:
            raise ValueError(f"slot must be at least a bar and at most a day, got {slot} for bars of {bar}")
        self.bar, self.slot, self.by_weekday = bar, slot, by_weekday
        self.half_life = check_positive("half_life", half_life)
        self._bars = slot / bar  # in a slot
        self._days = 5.0 if by_weekday else 1.0  # between two visits of a slot
        self._level_kept = decay(_DAY / bar)
        self._last: datetime | None = None
        self._level = self._weight = 0.0  # weighted sum of squares in units of the curve, and of weights
        self._slots: dict[Slot, list[float]] = {}  # weighted sums of ratios and of weights
        self._all = [1.0, 1.0]

    def factor(self, time: datetime) -> float:
        """Usual volatility of a bar that closes at `time`, over that of the average bar, from the bars so far."""
        return self._factor(self._slot_of(time))

    def update(self, time: datetime, log_return: float) -> float:
        """Take one more bar that closed at `time`; its log return in units of the average bar, by the curve before it.

        Raises
        ------
        ValueError
            If the time is not after the last one or is no datetime, or the return is not finite; nothing is learned.
        """
        value = check_finite("log_return", log_return)
        slot = self._slot_of(time)
        factor = self._factor(slot)
        rescaled = value / factor
        if self._level > 0.0 and self._weight >= self._bars:  # a level of fewer bars than a slot is luck
            self._learn(slot, value * value / (self._level / self._weight))
        self._level = self._level_kept * self._level + rescaled * rescaled
        self._weight = self._level_kept * self._weight + 1.0
        self._last = time
        return rescaled

    def transform(self, times: Iterable[datetime], log_returns: ArrayLike) -> NDArray[np.float64]:
        """`update` of many bars, from where the curve is now: returns (n_bars,) in units of the average bar.

        Raises
        ------
        ValueError
            As `update`, and if there is not one time for each return.
        """
        returns, when = check_log_returns(log_returns), list(times)
        if returns.shape != (len(when),):
            raise ValueError(f"times must be as many as the returns, {returns.shape}, got {len(when)}")
        return np.array([self.update(time, value) for time, value in zip(when, returns.tolist(), strict=True)])

    def curve(self) -> dict[Slot, float]:
        """`factor` of each slot so far: (weekday or -1, minute of the day) or the name of a gap."""
        return {slot: self._factor(slot) for slot in sorted(self._slots, key=str)}

    def state(self) -> dict[str, Any]:
        """What it has learned, as JSON types, exactly; `restore` takes it back."""
        return {
            "made": self._made(),
            "last": None if self._last is None else self._last.isoformat(),
            "level": [self._level, self._weight],
            "slots": [
                [slot if isinstance(slot, str) else list(slot), list(sums)] for slot, sums in self._slots.items()
            ],
            "all": list(self._all),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises
        ------
        ValueError
            If it is that of a curve with other settings, or no state at all; the curve is then as it was.
        """
        try:
            made, last = state["made"], state["last"]
            level, weight = map(float, state["level"])
            ratio, n_ratios = map(float, state["all"])
            last = None if last is None else datetime.fromisoformat(last)
            slots = {_slot(slot): [float(sum_), float(n)] for slot, (sum_, n) in state["slots"]}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"state must be what state() of a curve gave, got another: {error!r}") from error
        if made != self._made():
            raise ValueError(f"state must be that of a curve made with {self._made()}, got one made with {made}")
        self._last, self._level, self._weight = last, level, weight
        self._slots, self._all = slots, [ratio, n_ratios]

    def _made(self) -> list[Any]:
        return [self.bar.total_seconds(), self.slot.total_seconds(), self.by_weekday, self.half_life]

    def _slot_of(self, time: datetime) -> Slot:
        if not isinstance(time, datetime):
            raise ValueError(f"time must be a datetime, got {time!r}")  # noqa: TRY004
        if self._last is not None:
            try:
                step = _absolute(time) - _absolute(self._last)
            except TypeError as error:
                raise ValueError(f"time must have a time zone if the one before has, got {time}") from error
            if step <= timedelta(0):
                raise ValueError(f"time must be after that of the last bar, {self._last}, got {time}")
            if step > max(self.slot, LONGEST_MISS * self.bar):
                return _GAPS[min((time.date() - self._last.date()).days, 2)]
        within = timedelta(hours=time.hour, minutes=time.minute, seconds=time.second, microseconds=time.microsecond)
        start = (within - self.bar) % _DAY // self.slot * self.slot  # where the bar began
        return time.weekday() if self.by_weekday else -1, int(start.total_seconds() // 60)

    def _factor(self, slot: Slot) -> float:
        ratio, weight = self._slots.get(slot, (0.0, 0.0))
        prior = 1.0 if isinstance(slot, str) else self._bars
        own = (ratio + prior) / (weight + prior)  # a day's worth of the average bar, until there is more
        return math.sqrt(own / (self._all[0] / self._all[1]))

    def _learn(self, slot: Slot, ratio: float) -> None:
        """Average the squared return over the level, `ratio`, within its slot and over all times of the day."""
        usual = self._factor(slot) ** 2 * self._all[0] / self._all[1]
        ratio = min(ratio, LARGEST_RATIO * usual)
        sums = self._slots.setdefault(slot, [0.0, 0.0])
        kept = decay(self.half_life * (1.0 if isinstance(slot, str) else self._bars / self._days))
        sums[:] = kept * sums[0] + ratio, kept * sums[1] + 1.0
        if not isinstance(slot, str):
            kept = decay(self.half_life * (_DAY / self.bar))
            self._all[:] = kept * self._all[0] + ratio, kept * self._all[1] + 1.0


def _absolute(time: datetime) -> datetime:
    """The time in UTC, so that a summer that ends is no step back; one without a zone as it is."""
    return time if time.tzinfo is None else time.astimezone(UTC)


def _slot(stored: Any) -> Slot:
    """A slot as `IntradayVolatility.state` wrote it."""
    if stored in _GAPS:
        return str(stored)
    day, minute = stored
    return int(day), int(minute)
