"""A bar before anybody judges it: is it the next one, what is its return, and how volatile will the one after it be."""

import copy
import math
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from companion._checks import LARGEST_LOG_RETURN
from companion.datasets._intraday import IntradayVolatility
from companion.desk._decision import Bar
from companion.regimes._clock import BarClock
from companion.risk import StreamingVolatility
from companion.risk._volatility import Estimator

_MICROSECOND = timedelta(microseconds=1)


class Taken(NamedTuple):
    """A bar that was taken.

    Attributes
    ----------
    log_return : float
        From the close before; NaN at the first bar.
    factor : float
        Usual volatility at its time of day over the average, from the bars before it; 1 without a curve.
    sigma_next : float
        Volatility of the bar that comes next; NaN while there is none.
    """

    log_return: float
    factor: float
    sigma_next: float


class Intake:
    """Clock, curve of the day and volatility of one stream of bars; its arguments are those of `Desk`."""

    def __init__(
        self, *, volatility: Estimator, window: int, bar: str, longest_gap: int, intraday: IntradayVolatility | None
    ) -> None:
        self._clock = BarClock.start(bar, longest_gap)
        self._volatility = StreamingVolatility(window=window, estimator=volatility)
        self.intraday, self._close = copy.deepcopy(intraday), math.nan
        if intraday is not None and intraday.bar != self.bar:
            raise ValueError(f"intraday must be of bars as long as the desk's, {bar}, got bars of {intraday.bar}")

    @property
    def bar(self) -> timedelta:
        """Length of a bar."""
        return self._clock.bar * _MICROSECOND

    def check_time(self, time: Any) -> None:
        """Refuse a series without times where the time of day is read: no bar of it can be told from another."""
        if self.intraday is not None and not isinstance(time, datetime):
            raise ValueError(f"bar.time must be a datetime, since the desk reads the time of day, got {time!r}")

    def take(self, bar: Bar) -> Taken | str:
        """Take the bar in; or say why it can not be taken, and remember nothing of it."""
        curve = self.intraday
        when: Any = bar.time  # a datetime where there is a curve: `check_time`
        try:
            clock = self._clock.tick(when)
            factor = 1.0 if curve is None else curve.factor(when)
        except ValueError as error:
            return str(error)
        move = math.log(bar.close / self._close) if 0.0 < bar.close < math.inf else math.nan
        if abs(move) > LARGEST_LOG_RETURN * min(factor, 1.0):
            return f"close must be a price, got {bar.close:g} after {self._close:g}"
        volatility = self._volatility.update(bar.open, bar.high, bar.low, bar.close, factor=factor)
        if not volatility.accepted:
            return volatility.reason
        self._clock, self._close, sigma = clock, bar.close, volatility.per_bar
        if curve is not None:
            if not math.isnan(move):
                curve.update(when, move)
            sigma *= curve.factor(when + curve.bar)
        return Taken(move, factor, sigma)

    def state(self) -> dict[str, Any]:
        """All that it remembers, as JSON types; `restore` takes it back exactly."""
        clock = self._clock
        return {
            "clock": [clock.n_bars, clock.last, clock.zoned, clock.n_long],
            "close": None if math.isnan(self._close) else self._close,
            "volatility": self._volatility.state(),
            "intraday": None if self.intraday is None else self.intraday.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        n_bars, last, zoned, n_long = state["clock"]
        if [*map(type, (n_bars, zoned, n_long))] != [int, bool, int] or type(last) not in (int, type(None)):
            raise ValueError(f"clock must be three numbers and a truth, got {state['clock']}")
        self._clock = BarClock(self._clock.bar, self._clock.longest_gap, n_bars, last, zoned, n_long)
        self._close = math.nan if state["close"] is None else float(state["close"])
        self._volatility.restore(state["volatility"])
        if self.intraday is not None:
            self.intraday.restore(state["intraday"])
