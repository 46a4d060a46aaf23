"""From a probability of calm to a leverage: the dimmer switch of chapter 10.

The book's three rules leave 0.5 ≤ p ≤ 0.6 without an answer. Here that gap is a hysteresis band: inside it an invested
portfolio stays invested and a flat one stays flat, so a probability that wavers around one value does not trade.

A probability that is not a number in [0, 1] says that something upstream is broken. The answer is always: flat.
"""

from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class DimmerSteps:
    """Thresholds and levels of `dimmer`, the book's by default.

    Attributes
    ----------
    leave, enter : float
        Below `leave` the dimmer is off; above `enter` it is on; in between it stays what it was.
    full : float
        Above it the level is `maximum`.
    partial, maximum : float
        The two levels. The book allows a maximum of 1.2 "if allowed"; borrowing is never a default here.
    """

    leave: float = 0.5
    enter: float = 0.6
    full: float = 0.9
    partial: float = 0.8
    maximum: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.leave <= self.enter <= self.full <= 1.0:
            raise ValueError(f"thresholds must satisfy 0 <= leave <= enter <= full <= 1, got {self}")
        if not 0.0 < self.partial <= self.maximum < np.inf:
            raise ValueError(f"levels must satisfy 0 < partial <= maximum, got {self}")


BOOK_STEPS = DimmerSteps()


@overload
def dimmer(probability: float, *, steps: DimmerSteps = ..., previous: float = ...) -> float: ...
@overload
def dimmer(
    probability: NDArray[np.floating], *, steps: DimmerSteps = ..., previous: float = ...
) -> NDArray[np.float64]: ...
def dimmer(
    probability: ArrayLike, *, steps: DimmerSteps = BOOK_STEPS, previous: float = 0.0
) -> float | NDArray[np.float64]:
    """Leverage in steps: 0, `steps.partial` or `steps.maximum`, with a hysteresis band between off and on.

    Parameters
    ----------
    probability : float or array_like
        Probability of the stable regime: one number, or bars in time along the last axis, shape (…, n_bars).
    steps : DimmerSteps
        Thresholds and levels.
    previous : float
        Leverage before the first bar; only whether it is above zero matters. A live system passes its last answer.

    Returns
    -------
    float or ndarray
        Leverage at each bar, from this bar's probability and earlier ones only. It never falls when a probability
        rises. A probability that is NaN, infinite or outside [0, 1] gives 0, and being invested has to be earned again.
    """
    p, valid = _valid_probability(probability)
    turn = np.where(valid & (p > steps.enter), 1, np.where(valid & (p >= steps.leave), 0, -1))
    # The last bar that decided: inside the band (turn 0) it is an earlier one, or the state before the first bar.
    start = np.full((*turn.shape[:-1], 1), 1 if np.isfinite(previous) and previous > 0.0 else -1)
    turn = np.concatenate([start, turn], axis=-1)
    last = np.maximum.accumulate(np.where(turn != 0, np.arange(turn.shape[-1]), 0), axis=-1)
    invested = np.take_along_axis(turn, last, axis=-1)[..., 1:] > 0
    level = np.where(p > steps.full, steps.maximum, steps.partial)
    return _same_kind(np.where(invested, level, 0.0), probability)


@overload
def ramp(probability: float, *, low: float = ..., high: float = ..., maximum: float = ...) -> float: ...
@overload
def ramp(
    probability: NDArray[np.floating], *, low: float = ..., high: float = ..., maximum: float = ...
) -> NDArray[np.float64]: ...
def ramp(
    probability: ArrayLike, *, low: float = 0.5, high: float = 0.9, maximum: float = 1.0
) -> float | NDArray[np.float64]:
    """Leverage without steps: 0 up to `low`, then a straight line to `maximum` at `high`.

    It has no memory, so it needs no band; it trades a little on every bar instead. Probabilities as in `dimmer`.

    Raises
    ------
    ValueError
        Unless ``0 <= low < high <= 1`` and ``0 < maximum`` is finite.
    """
    if not 0.0 <= low < high <= 1.0:
        raise ValueError(f"low and high must satisfy 0 <= low < high <= 1, got {low} and {high}")
    if not 0.0 < maximum < np.inf:
        raise ValueError(f"maximum must be finite and positive, got {maximum}")
    p, _ = _valid_probability(probability)
    return _same_kind(maximum * np.clip((p - low) / (high - low), 0.0, 1.0), probability)


@overload
def kelly_leverage(
    probability: float,
    *,
    drifts: tuple[float, float],
    variances: tuple[float, float],
    risk_aversion: float = ...,
    maximum: float = ...,
) -> float: ...
@overload
def kelly_leverage(
    probability: NDArray[np.floating],
    *,
    drifts: tuple[float, float],
    variances: tuple[float, float],
    risk_aversion: float = ...,
    maximum: float = ...,
) -> NDArray[np.float64]: ...
def kelly_leverage(
    probability: ArrayLike,
    *,
    drifts: tuple[float, float],
    variances: tuple[float, float],
    risk_aversion: float = 1.0,
    maximum: float = 1.0,
) -> float | NDArray[np.float64]:
    r"""Leverage that grows fastest when the regime is known up to its probability.

    With drifts :math:`\mu_k` and variances :math:`\theta_k`, equity grows at the expected rate
    :math:`g(f) = f\,\mu(p) - \tfrac12 f^2\,\theta(p)`, where :math:`\mu(p)` and :math:`\theta(p)` are means over the
    regimes: not knowing the regime costs nothing of the order of a bar. The maximum is at :math:`f = \mu(p)/\theta(p)`
    (Kelly 1956; divided by the risk aversion, Merton 1969), cut off at 0 and `maximum`. It knows of no cost of trading.

    Parameters
    ----------
    probability : float or array_like
        Calibrated probability of the stable regime, as in `dimmer`.
    drifts, variances : tuple of float
        Of the stable regime and of chaos: arithmetic drift less the cash rate, and variance, both per year.
    risk_aversion : float
        1 is Kelly, 2 half of it.
    maximum : float
        Largest leverage.

    Raises
    ------
    ValueError
        If a drift is not finite, or a variance, `risk_aversion` or `maximum` is not finite and positive.
    """
    mu, theta = np.asarray(drifts, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if mu.shape != (2,) or not np.all(np.isfinite(mu)):
        raise ValueError(f"drifts must be two finite numbers, stable first, got {drifts}")
    if theta.shape != (2,) or not np.all((theta > 0.0) & np.isfinite(theta)):
        raise ValueError(f"variances must be two finite positive numbers, stable first, got {variances}")
    if not 0.0 < risk_aversion < np.inf or not 0.0 < maximum < np.inf:
        raise ValueError(f"risk_aversion and maximum must be finite and positive, got {risk_aversion} and {maximum}")
    p, valid = _valid_probability(probability)
    fraction = (p * mu[0] + (1.0 - p) * mu[1]) / (p * theta[0] + (1.0 - p) * theta[1]) / risk_aversion
    return _same_kind(np.where(valid, np.clip(fraction, 0.0, maximum), 0.0), probability)


def _valid_probability(probability: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities with at least one axis, 0 for what is not a number in [0, 1], and which are."""
    p = np.atleast_1d(np.asarray(probability, dtype=np.float64))
    valid = (p >= 0.0) & (p <= 1.0)
    return np.where(valid, p, 0.0), valid


def _same_kind(level: NDArray[np.float64], probability: ArrayLike) -> float | NDArray[np.float64]:
    """A number for a number, an array for an array."""
    return level if np.ndim(probability) else float(level[0])
