"""Markets drawn at random: what an observer may believe who knows the kind of market, not its parameters."""

import math

import numpy as np

from companion.heston import HestonParams, RegimeSwitchingHeston


def random_market(seed: int | np.random.Generator) -> RegimeSwitchingHeston:
    """Draw a market of two regimes from the prior that the `universal` filter was trained on.

    ================================  ===============  =====================
    parameter, all independent        stable           chaos
    ================================  ===============  =====================
    speed of reversion, per year      3–45 (log)       × .8–1.8
    root of `theta`, per year         9–16 %           `theta` × 2.5–9
    `xi` / sqrt(2 `kappa` `theta`)    .5–1.1           .5–1.1
    correlation                       −.8 to −.3       −.9 to −.4
    drift, per year                   0–25 %           −60 to +10 %
    mean duration, bars               150–900 (log)    × .15–.45
    ================================  ===============  =====================

    Draws are uniform, in the logarithm where that is said; × stands for a multiple of the stable value. The three
    markets of the book lie inside.

    Parameters
    ----------
    seed : int or numpy.random.Generator
    """
    rng = np.random.default_rng(seed)
    kappa, theta = _log_uniform(rng, 3.0, 45.0), rng.uniform(0.09, 0.16) ** 2
    calm = _params(rng, kappa, theta, rho=(-0.8, -0.3), mu=(0.0, 0.25))
    chaos = _params(rng, kappa * rng.uniform(0.8, 1.8), theta * rng.uniform(2.5, 9.0), rho=(-0.9, -0.4), mu=(-0.6, 0.1))
    bars = _log_uniform(rng, 150.0, 900.0)
    enter, leave = 1 / bars, 1 / (bars * rng.uniform(0.15, 0.45))
    return RegimeSwitchingHeston((calm, chaos), np.array([[1 - enter, enter], [leave, 1 - leave]]))


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _params(
    rng: np.random.Generator, kappa: float, theta: float, *, rho: tuple[float, float], mu: tuple[float, float]
) -> HestonParams:
    xi = math.sqrt(2 * kappa * theta) * rng.uniform(0.5, 1.1)
    return HestonParams(mu=rng.uniform(*mu), kappa=kappa, theta=theta, xi=xi, rho=rng.uniform(*rho), v0=theta)
