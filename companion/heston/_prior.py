"""What an observer may believe of a market he has never seen, whatever its bars: a prior over markets, in bars.

Every length of time is in bars and every size a multiple of another, so that daily bars of an index, hourly bars of a
bond and minutes of a coin are the same problem. Only the level of volatility has a unit, and it is next to unknown.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import check_count, check_seed
from companion.heston._params import HestonParams
from companion.heston._switching import RegimePaths, RegimeSwitchingHeston
from companion.heston.kernels._blocks import for_blocks

BARS_PER_YEAR = 252  # of the year in whose units a `HestonParams` is; the bar is what counts


class WidePrior:
    """Markets of two regimes, any scale, any bar.

    ======================================  ====================  =====================
    parameter, all independent              stable                chaos
    ======================================  ====================  =====================
    volatility a bar, by root of `theta`    .01–5 % (log)         × 1.5–3.5 (log)
    bars in which the variance reverts      4.2–252 (log)         × .5–2 (log)
    `xi` / sqrt(2 `kappa` `theta`)          .4–1.1                .4–1.1
    correlation, in four of five markets    −.9 to +.3            −.9 to +.3
    drift a bar over volatility a bar       −.05 to +.15          −.15 to +.05
    mean duration, bars                     60–2,000 (log)        × .1–1 (log), from 20
    ======================================  ====================  =====================

    In three of ten markets prices jump: with a chance of .1 to 2 % a bar (log), by 2 to 6 stable volatilities.

    Draws are uniform, in the logarithm where that is said; × stands for a multiple of the stable value. The book's
    three markets lie inside.

    Attributes
    ----------
    n_coordinates : int
        Numbers in [0, 1] that name a market.
    """

    n_coordinates = 16

    def market(self, quantiles: ArrayLike) -> RegimeSwitchingHeston:
        """The market at these quantiles, of shape (n_coordinates,), of the prior: uniform ones draw from it."""
        u = np.asarray(quantiles, dtype=np.float64).tolist()
        volatility = _between(u[15], 1e-4, 0.05)
        theta, kappa = BARS_PER_YEAR * volatility**2, _between(u[0], 1.0, 60.0)
        levered = u[3] < 0.8
        regimes = []
        for k, (variance, speed, slowest_drift) in enumerate(
            ((theta, kappa, -0.05), (theta * _between(u[1], 2.25, 12.0), kappa * _between(u[2], 0.5, 2.0), -0.15))
        ):
            xi = math.sqrt(2 * speed * variance) * (0.4 + 0.7 * u[4 + k])
            rho = -0.9 + 1.2 * u[6 + k] if levered else 0.0
            mu = (slowest_drift + 0.2 * u[8 + k]) * math.sqrt(BARS_PER_YEAR * variance)
            regimes.append(HestonParams(mu=mu, kappa=speed, theta=variance, xi=xi, rho=rho, v0=variance))
        bars = _between(u[10], 60.0, 2000.0)
        enter, leave = 1 / bars, 1 / max(20.0, bars * _between(u[11], 0.1, 1.0))
        jumps = (_between(u[13], 0.001, 0.02), volatility * (2 + 4 * u[14])) if u[12] < 0.3 else (0.0, 0.0)
        return RegimeSwitchingHeston(tuple(regimes), np.array([[1 - enter, enter], [leave, 1 - leave]]), *jumps)

    def draw(self, seed: int | np.random.Generator) -> RegimeSwitchingHeston:
        """A market of the prior; ValueError unless `seed` is one."""
        check_seed(seed)
        return self.market(np.random.default_rng(seed).random(self.n_coordinates))

    def simulate(self, *, n_paths: int, n_steps: int, s0: float = 100.0, seed: int) -> RegimePaths:
        """Simulate paths of `n_steps` bars, each of a market of its own; path i depends on `seed` and i only.

        Parameters
        ----------
        n_paths, n_steps : int
        s0 : float
            Price at the start.
        seed : int

        Raises
        ------
        ValueError
            If an argument is out of range; the message names it.
        """
        check_seed(seed)
        shape = check_count("n_paths", n_paths), check_count("n_steps", n_steps) + 1
        paths = RegimePaths(np.empty(shape), np.empty(shape), np.empty(shape, np.int8))

        def block(first: int, last: int) -> None:
            for i in range(first, last):
                rng = np.random.default_rng([seed, i])
                path = self.draw(rng).simulate(n_paths=1, n_steps=n_steps, s0=s0, seed=rng)
                paths.price[i], paths.variance[i], paths.regime[i] = path.price[0], path.variance[0], path.regime[0]

        for_blocks(block, n_paths, block=1)
        return paths


def _between(u: float, low: float, high: float) -> float:
    """Quantile of the log-uniform law."""
    return low * (high / low) ** u
