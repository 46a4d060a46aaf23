"""From a probability of chaos to a weight: what a backtest does with what a detector says.

A rule is any function of P(chaos) at each bar, shape (n_bars,), to the weight decided at its close, of the same shape:
the weight of a bar depends on the probabilities up to it. These are the two of the book, and the smooth one.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from companion._checks import Floats
from companion.regimes import ENTER_CHAOS, LEAVE_CHAOS, hysteresis
from companion.regimes._hysteresis import check_levels
from companion.risk import DimmerSteps, dimmer, ramp
from companion.risk._leverage import BOOK_STEPS

Rule = Callable[[Floats], Floats]


@dataclass(frozen=True)
class ZeroOne:
    """All or nothing: 1 in the stable regime, 0 in chaos, with hysteresis; invested before the first call.

    Attributes
    ----------
    enter_chaos : float
        P(chaos) at which the market is left.
    leave_chaos : float
        P(chaos) at which it is entered again, ``0 <= leave_chaos <= enter_chaos <= 1``.

    Raises
    ------
    ValueError
        When the levels are out of order.
    """

    enter_chaos: float = ENTER_CHAOS
    leave_chaos: float = LEAVE_CHAOS

    def __post_init__(self) -> None:
        check_levels(self.enter_chaos, self.leave_chaos)

    def __call__(self, p_chaos: Floats) -> Floats:
        """Weight at each bar, (n_bars,); `companion.regimes.hysteresis` says what it raises."""
        chaos = hysteresis(p_chaos, enter_chaos=self.enter_chaos, leave_chaos=self.leave_chaos)
        return 1.0 - chaos.astype(np.float64)


@dataclass(frozen=True)
class Dimmer:
    """The dimmer switch of the desk: flat, partly or fully invested; flat before the first bar.

    Attributes
    ----------
    steps : DimmerSteps
        Levels of P(stable), and the leverage at each.
    """

    steps: DimmerSteps = BOOK_STEPS

    def __call__(self, p_chaos: Floats) -> Floats:
        """Weight at each bar, (n_bars,): `companion.risk.dimmer` of P(stable)."""
        return np.asarray(dimmer(1.0 - np.asarray(p_chaos), steps=self.steps))


@dataclass(frozen=True)
class Ramp:
    """No steps: nothing up to P(stable) = `low`, then a straight line to `maximum` at `high`.

    Attributes
    ----------
    low : float
        P(stable) up to which nothing is held.
    high : float
        P(stable) from which on `maximum` is held, ``0 <= low < high <= 1``.
    maximum : float
        Largest weight.

    Raises
    ------
    ValueError
        When a level or the maximum is out of range.
    """

    low: float = 0.5
    high: float = 0.9
    maximum: float = 1.0

    def __post_init__(self) -> None:
        ramp(0.0, low=self.low, high=self.high, maximum=self.maximum)

    def __call__(self, p_chaos: Floats) -> Floats:
        """Weight at each bar, (n_bars,): `companion.risk.ramp` of P(stable)."""
        p_stable = 1.0 - np.asarray(p_chaos)
        return np.asarray(ramp(p_stable, low=self.low, high=self.high, maximum=self.maximum))
