"""The weak error of a scheme: how far its option prices lie from the exact ones, against the length of its step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from companion._checks import check_count
from companion.heston._params import LARGEST_EXPONENT, HestonParams, check_scale
from companion.heston._pricing import heston_call_price
from companion.heston._simulate import Scheme, simulate_heston_terminal
from companion.heston.kernels._random import key_from_seed

MOST_AT_ONCE = 250_000  # paths in memory


@dataclass(frozen=True, eq=False)
class WeakError:
    """Errors of simulated call prices.

    Attributes
    ----------
    dt : float64 array of shape (n_dt,)
        Lengths of a step in years.
    error : float64 array of shape (n_dt, n_strikes)
        Mean simulated price minus the exact price, in the currency of the price.
    standard_error : float64 array of shape (n_dt, n_strikes)
        Its standard error.
    exact : float64 array of shape (n_strikes,)
        The semi-analytic prices.
    """

    dt: NDArray[np.float64]
    error: NDArray[np.float64]
    standard_error: NDArray[np.float64]
    exact: NDArray[np.float64]


def weak_error(
    params: HestonParams,
    *,
    strikes: Sequence[float],
    maturity: float,
    steps_per_year: Sequence[int],
    n_paths: int,
    scheme: Scheme = "qe",
    s0: float = 100.0,
    seed: int | np.random.Generator,
) -> WeakError:
    """Measure the error of European call prices for each length of the step ``1 / steps_per_year``.

    The interest rate is ``params.mu``. All strikes are priced on the same paths, and both schemes get the same random
    numbers at the same step and seed; different steps get independent ones. The price at maturity, whose mean both
    schemes have right, serves as a control variate. (For ``"qe"`` with ``rho > 0`` that is not certain, and the plain
    mean is taken.)

    Parameters
    ----------
    params : HestonParams
    strikes : sequence of float
    maturity : float
        Years; a whole number of steps.
    steps_per_year : sequence of int
    n_paths : int
        At least 2; simulated in parts, so that memory does not grow with it.
    scheme : {"qe", "euler"}
    s0 : float
        Price at the start.
    seed : int or numpy.random.Generator

    Returns
    -------
    WeakError

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    """
    if not isinstance(params, HestonParams):
        raise ValueError(f"params must be HestonParams, got {params!r}")  # noqa: TRY004 - one kind of error for arguments
    maturity, n_paths, s0 = check_scale("maturity", maturity), check_count("n_paths", n_paths), check_scale("s0", s0)
    if abs(params.mu * maturity) >= LARGEST_EXPONENT:
        raise ValueError(f"params must keep mu times maturity within ±{LARGEST_EXPONENT:g}, got mu {params.mu!r}")
    if n_paths < 2:
        raise ValueError(f"n_paths must be at least 2, got {n_paths!r}")
    counts = [_n_steps(per_year, maturity) for per_year in steps_per_year]
    levels = np.array([check_scale("strikes", strike) for strike in strikes])
    rng = np.random.default_rng(int(key_from_seed(seed)))
    exact = np.array(
        [heston_call_price(params, s0=s0, strike=k, maturity=maturity, rate=params.mu) for k in levels.tolist()]
    )
    known = s0 * math.exp(params.mu * maturity) if scheme == "euler" or params.rho <= 0 else None
    means, errors = [], []
    for n_steps in counts:
        sums = np.zeros((3, 3, len(levels)))
        for size in _parts(n_paths):
            price, _ = simulate_heston_terminal(
                params, n_paths=size, n_steps=n_steps, dt=maturity / n_steps, s0=s0, scheme=scheme, seed=rng
            )
            sums += _products(price, levels, s0)
        mean, error = _controlled_mean(sums / n_paths, known, n_paths, s0)
        means.append(mean)
        errors.append(error)
    discount = math.exp(-params.mu * maturity)
    return WeakError(
        dt=maturity / np.array(counts, dtype=np.float64),
        error=discount * np.array(means) - exact,
        standard_error=discount * np.array(errors),
        exact=exact,
    )


def _n_steps(per_year: int, maturity: float) -> int:
    """Steps to maturity."""
    n_steps = check_count("steps_per_year", per_year) * maturity
    if round(n_steps) < 1 or not math.isclose(n_steps, round(n_steps), rel_tol=1e-12):
        raise ValueError(
            f"steps_per_year must divide the maturity of {maturity} years into whole steps, got {per_year}"
        )
    return round(n_steps)


def _parts(n_paths: int) -> list[int]:
    """Sizes of the parts that are in memory one after the other."""
    full, rest = divmod(n_paths, MOST_AT_ONCE)
    return [MOST_AT_ONCE] * full + [rest] * (rest > 0)


def _products(price: NDArray[np.float64], strikes: NDArray[np.float64], s0: float) -> NDArray[np.float64]:
    """Sums over paths of the products of (1, price - s0, payoff) with each other, shape (3, 3, n_strikes)."""
    sums = np.empty((3, 3, len(strikes)))
    for j, strike in enumerate(strikes):
        columns = np.stack([np.ones(len(price)), price - s0, np.maximum(price - strike, 0.0)])
        sums[:, :, j] = columns @ columns.T
    return sums


def _controlled_mean(
    moments: NDArray[np.float64], known: float | None, n_paths: int, s0: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean payoff and its standard error, shape (n_strikes,); the price is the control if its mean is known."""
    control, payoff = moments[0, 1], moments[0, 2]
    cross = moments[1, 2] - control * payoff
    spread = moments[1, 1] - control**2  # 0 where the price is certain, and then there is nothing to control
    usable = spread > 0.0 if known is not None else np.zeros_like(spread, dtype=bool)
    slope = np.divide(cross, spread, out=np.zeros_like(cross), where=usable)
    mean = payoff - slope * (control - (known - s0 if known is not None else 0.0))
    variance = moments[2, 2] - payoff**2 - slope * cross
    return mean, np.sqrt(np.maximum(variance, 0.0) / (n_paths - 1))
