"""From a probability of calm to a leverage: the dimmer switch of chapter 10.

Every probability and every level here is one of P(stable); a detector's reading has it as ``reading.p_stable``.

The book's three rules leave 0.5 ≤ p ≤ 0.6 without an answer. Here that gap is a hysteresis band: inside it an invested
portfolio stays invested and a flat one stays flat, so a probability that wavers around one value does not trade.

A probability that is not a number in [0, 1] says that something upstream is broken. The answer is always: flat.
"""

import math
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from companion.risk._floats import Floats, as_floats


@dataclass(frozen=True)
class DimmerSteps:
    """Levels of P(stable) at which `dimmer` acts and the leverage it then gives, the book's by default.

    Attributes
    ----------
    off_below : float
        The dimmer goes off below it.
    on_above : float
        It goes on above it; in between it stays what it was.
    full_above : float
        Above it the leverage is `maximum`.
    partial : float
        Leverage when on, up to `full_above`.
    maximum : float
        Leverage above it. The source allows 1.2 "if allowed"; borrowing is never a default here.

    Raises
    ------
    ValueError
        Unless ``0 <= off_below <= on_above <= full_above <= 1`` and ``0 < partial <= maximum`` is finite.
    """

    off_below: float = 0.5
    on_above: float = 0.6
    full_above: float = 0.9
    partial: float = 0.8
    maximum: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.off_below <= self.on_above <= self.full_above <= 1.0:
            raise ValueError(
                f"off_below, on_above and full_above must ascend within [0, 1], got {self.off_below}, {self.on_above} "
                f"and {self.full_above}: they are levels of P(stable)"
            )
        if not 0.0 < self.partial <= self.maximum < math.inf:
            raise ValueError(
                f"partial and maximum must satisfy 0 < partial <= maximum, got {self.partial} and {self.maximum}"
            )


BOOK_STEPS = DimmerSteps()


@overload
def dimmer(p_stable: float, *, steps: DimmerSteps = ..., previous: float = ...) -> float: ...
@overload
def dimmer(p_stable: ArrayLike, *, steps: DimmerSteps = ..., previous: float = ...) -> float | Floats: ...
def dimmer(p_stable: ArrayLike, *, steps: DimmerSteps = BOOK_STEPS, previous: float = 0.0) -> float | Floats:
    """Leverage in steps: 0, `steps.partial` or `steps.maximum`, with a hysteresis band between off and on.

    Parameters
    ----------
    p_stable : float or array_like
        Probability of the stable regime: one number, or bars in time along the last axis, shape (…, n_bars).
    steps : DimmerSteps
        Levels of P(stable), and leverages.
    previous : float
        Leverage before the first bar; only whether it is above zero matters. A live system passes its last answer.

    Returns
    -------
    float or ndarray
        Leverage at each bar, from this bar's probability and earlier ones only. It never falls when a probability
        rises. A probability that is NaN, infinite or outside [0, 1] gives 0, and being invested has to be earned again.

    Raises
    ------
    ValueError
        If `p_stable` is no number, such as text.
    """
    invested = 0.0 < previous < math.inf
    if isinstance(p_stable, float):  # once a bar, and far faster than an array of one
        on = steps.on_above < p_stable <= 1.0 or (invested and steps.off_below <= p_stable <= steps.on_above)
        return 0.0 if not on else steps.maximum if p_stable > steps.full_above else steps.partial
    p = _probabilities(p_stable)
    turn = np.where(p > steps.on_above, 1, np.where(p >= steps.off_below, 0, -1))
    # The last bar that decided: inside the band (turn 0) it is an earlier one, or the state before the first bar.
    turn = np.concatenate([np.full((*turn.shape[:-1], 1), 1 if invested else -1), turn], axis=-1)
    last = np.maximum.accumulate(np.where(turn != 0, np.arange(turn.shape[-1]), 0), axis=-1)
    on = np.take_along_axis(turn, last, axis=-1)[..., 1:] > 0
    return _same_kind(np.where(on, np.where(p > steps.full_above, steps.maximum, steps.partial), 0.0), p_stable)


@overload
def ramp(p_stable: float, *, low: float = ..., high: float = ..., maximum: float = ...) -> float: ...
@overload
def ramp(p_stable: ArrayLike, *, low: float = ..., high: float = ..., maximum: float = ...) -> float | Floats: ...
def ramp(p_stable: ArrayLike, *, low: float = 0.5, high: float = 0.9, maximum: float = 1.0) -> float | Floats:
    """Leverage without steps: 0 up to `low`, then a straight line to `maximum` at `high`.

    It has no memory, so it needs no band; it trades a little on every bar instead. Probabilities as in `dimmer`.

    Raises
    ------
    ValueError
        Unless ``0 <= low < high <= 1``, ``0 < maximum`` is finite and `p_stable` is a number or numbers.
    """
    if not 0.0 <= low < high <= 1.0:
        raise ValueError(f"low and high must satisfy 0 <= low < high <= 1, got {low} and {high}")
    if not 0.0 < maximum < math.inf:
        raise ValueError(f"maximum must be finite and positive, got {maximum}")
    p = np.nan_to_num(_probabilities(p_stable))
    return _same_kind(maximum * np.clip((p - low) / (high - low), 0.0, 1.0), p_stable)


@overload
def kelly_leverage(
    p_stable: float,
    *,
    drifts: tuple[float, float],
    variances: tuple[float, float],
    risk_aversion: float = ...,
    maximum: float = ...,
) -> float: ...
@overload
def kelly_leverage(
    p_stable: ArrayLike,
    *,
    drifts: tuple[float, float],
    variances: tuple[float, float],
    risk_aversion: float = ...,
    maximum: float = ...,
) -> float | Floats: ...
def kelly_leverage(
    p_stable: ArrayLike,
    *,
    drifts: tuple[float, float],
    variances: tuple[float, float],
    risk_aversion: float = 1.0,
    maximum: float = 1.0,
) -> float | Floats:
    r"""Leverage that grows fastest when the regime is known up to its probability.

    With drifts :math:`\mu_k` and variances :math:`\theta_k`, equity grows at the expected rate
    :math:`g(f) = f\,\mu(p) - \tfrac12 f^2\,\theta(p)`, where :math:`\mu(p)` and :math:`\theta(p)` are means over the
    regimes: not knowing the regime costs nothing of the order of a bar. The maximum is at :math:`f = \mu(p)/\theta(p)`
    (Kelly 1956; divided by the risk aversion, Merton 1969), cut off at 0 and `maximum`. It knows of no cost of trading.

    Parameters
    ----------
    p_stable : float or array_like
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
        If a drift is not finite, a variance, `risk_aversion` or `maximum` is not finite and positive, or `p_stable` is
        no number.
    """
    mu, theta = as_floats(drifts, "drifts"), as_floats(variances, "variances")
    if mu.shape != (2,) or not np.all(np.isfinite(mu)):
        raise ValueError(f"drifts must be two finite numbers, stable first, got {drifts}")
    if theta.shape != (2,) or not np.all((theta > 0.0) & np.isfinite(theta)):
        raise ValueError(f"variances must be two finite positive numbers, stable first, got {variances}")
    if not 0.0 < risk_aversion < math.inf or not 0.0 < maximum < math.inf:
        raise ValueError(f"risk_aversion and maximum must be finite and positive, got {risk_aversion} and {maximum}")
    p = _probabilities(p_stable)
    fraction = (p * mu[0] + (1.0 - p) * mu[1]) / (p * theta[0] + (1.0 - p) * theta[1]) / risk_aversion
    return _same_kind(np.nan_to_num(np.clip(fraction, 0.0, maximum)), p_stable)


def _probabilities(p_stable: ArrayLike) -> Floats:
    """Probabilities with at least one axis, NaN for what is not in [0, 1]."""
    if hasattr(p_stable, "columns"):
        raise ValueError("p_stable must be one series or an array, got a table: give one of its columns")
    if p_stable is None:
        raise ValueError("p_stable must be numbers, got None: NaN stands for what is not known")
    p = np.atleast_1d(as_floats(p_stable, "p_stable"))
    return np.where((p >= 0.0) & (p <= 1.0), p, np.nan)


def _same_kind(level: Floats, p_stable: ArrayLike) -> float | Floats:
    """A number for a number, an array for an array."""
    return level if np.ndim(p_stable) else float(level[0])
