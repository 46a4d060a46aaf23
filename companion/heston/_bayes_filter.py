"""The best possible observer of the regime: a particle filter that knows the market's true parameters.

Bayes' rule gives P(regime now | returns so far) once the law of the market is known; no detector that sees the same
returns can do better on average. The integral over the unseen variance has no closed form, so particles carry it
(Gordon, Salmond & Smith 1993). Three things keep the noise small: each regime keeps its own particles whatever its
probability (stratification); the part of the return that is independent of the variance is integrated exactly, so
that a particle is weighted by a Gaussian density; and the shocks of the variance are drawn where the return, through
the leverage effect, says they were (the guided proposal of Pitt & Shephard 1999), with the weight that corrects for it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import as_paths, check_count, check_positive
from companion._jit import compiled
from companion.heston._switching import RegimeSwitchingHeston
from companion.heston.kernels._blocks import for_blocks
from companion.heston.kernels._elementary import KERNEL
from companion.heston.kernels._particles import draw, guide, move, sum_up, switch, weigh
from companion.heston.kernels._random import key_from_seed, uniform_pair
from companion.heston.kernels._regime_scheme import BURN_IN_BARS

Array = NDArray[np.float64]


#: Effective particles below which the seed moves a probability by more than a few hundredths.
FEWEST_EFFECTIVE = 100.0


@dataclass(frozen=True, eq=False)
class FilterRun:
    """What a run of the particle filter gives; without the leading axis for a single path.

    Attributes
    ----------
    p_regime : float64 array of shape (n_paths, n_bars, n_regimes)
        P(regime of the bar | returns up to and including that bar).
    log_likelihood : float64 array of shape (n_paths, n_bars)
        Log density of each return given the ones before it; their sum estimates the log likelihood of the path.
    effective_sample_size : float64 array of shape (n_paths, n_bars)
        ``1 / sum(weight**2)``, between 1 and the number of particles.
    reliable : bool array of shape (n_paths, n_bars)
        Whether at least `FEWEST_EFFECTIVE` particles carry the answer. After a return that the market almost never
        makes, one or two do, and the seed decides which regime they were in. The cure is a market that can make it:
        give it rare jumps (`RegimeSwitchingHeston.jump_rate`), as for any series that is not its own simulation.
    """

    p_regime: NDArray[np.float64]
    log_likelihood: NDArray[np.float64]
    effective_sample_size: NDArray[np.float64]

    @property
    def reliable(self) -> NDArray[np.bool_]:
        """Whether enough particles carry the answer; see the class."""
        return np.asarray(self.effective_sample_size >= FEWEST_EFFECTIVE)


def bayes_filter(
    returns: ArrayLike,
    market: RegimeSwitchingHeston,
    *,
    dt: float = 1 / 252,
    substeps: int = 4,
    n_particles: int = 3000,
    seed: int | np.random.Generator,
) -> NDArray[np.float64]:
    """P(regime | returns so far) for an observer who knows the market.

    Parameters
    ----------
    returns : array of shape (n_bars,) or (n_paths, n_bars)
        Log returns; paths are filtered independently of each other.
    market : RegimeSwitchingHeston
        The true market.
    dt : float
        Length of a bar in years.
    substeps : int
        Euler steps a bar of the market that produced the returns.
    n_particles : int
        Particles a path, shared evenly among the regimes.
    seed : int or numpy.random.Generator

    Returns
    -------
    float64 array of shape (n_bars, n_regimes) or (n_paths, n_bars, n_regimes)
        Filtered, not smoothed: bar t sees returns up to and including its own.

    Raises
    ------
    ValueError
        If `returns` are not log returns, or another argument is out of range; the message names it.
    """
    return run_bayes_filter(returns, market, dt=dt, substeps=substeps, n_particles=n_particles, seed=seed).p_regime


def run_bayes_filter(
    returns: ArrayLike,
    market: RegimeSwitchingHeston,
    *,
    dt: float = 1 / 252,
    substeps: int = 4,
    n_particles: int = 3000,
    seed: int | np.random.Generator,
) -> FilterRun:
    """`bayes_filter` with its log likelihood and effective sample size; the same arguments and errors."""
    paths, single = as_paths(returns, name="returns")
    if not isinstance(market, RegimeSwitchingHeston):
        raise ValueError(f"market must be a RegimeSwitchingHeston, got {market!r}")  # noqa: TRY004
    dt, substeps = check_positive("dt", dt), check_count("substeps", substeps)
    n_particles = check_count("n_particles", n_particles)
    if any(abs(params.rho) == 1 for params in market.regimes):
        raise ValueError("market must have rho inside (-1, 1): at the ends a return has no density given the variance")
    n_regimes = len(market.regimes)
    if n_particles < 2 * n_regimes:
        raise ValueError(f"n_particles must be at least 2 a regime ({2 * n_regimes}), got {n_particles}")
    key = key_from_seed(seed)
    probability = np.empty((*paths.shape, n_regimes))
    log_likelihood, sample_size = np.empty(paths.shape), np.empty(paths.shape)
    per_regime, jumps = -(-n_particles // n_regimes), (market.jump_rate, market.jump_size)
    args = market.params_array(), market.transition, market.stationary, dt, substeps, per_regime, *jumps

    def block(first: int, last: int) -> None:
        for i in range(first, last):
            _filter_path(key, i, paths[i], *args, probability[i], log_likelihood[i], sample_size[i])

    for_blocks(block, len(paths), block=1)
    kept = 0 if single else slice(None)
    return FilterRun(probability[kept], log_likelihood[kept], sample_size[kept])


@compiled(**KERNEL)
def _filter_path(
    key: np.uint64,
    path: int,
    returns: Array,
    params: Array,
    transition: Array,
    law: Array,
    dt: float,
    substeps: int,
    n: int,
    jump_rate: float,
    jump_size: float,
    probability: Array,
    log_likelihood: Array,
    sample_size: Array,
) -> None:
    """Filter one path with `n` particles a regime; fills the last three arrays, whose first axis is the bar."""
    n_regimes = len(law)
    variance, weight, scratch = np.empty((n_regimes, n)), np.empty((n_regimes, n)), np.empty((n_regimes, n))
    mean, power, noise = np.empty((n_regimes, n)), np.empty((n_regimes, n)), np.empty((substeps, n + n % 2))
    u = np.empty(n_regimes)
    for k in range(n_regimes):
        variance[k], weight[k] = params[k, 5], law[k] / n
    for step in range(BURN_IN_BARS + len(returns)):  # the burn-in gives the market's own law of the first variance
        for k in range(n_regimes):
            u[k] = uniform_pair(key, path, 0, step * n_regimes + k)[0]
        bar = step - BURN_IN_BARS
        switch(u, weight, variance, transition, scratch)
        for k in range(n_regimes):
            draw(key, path, step, 1 + k * n, noise)
            if bar >= 0:
                guide(returns[bar], params[k], dt, jump_rate, jump_size, variance[k], noise, scratch[k])
            move(params[k], dt / substeps, noise, variance[k], mean[k], power[k])
        if bar >= 0:
            log_likelihood[bar] = weigh(returns[bar], weight, mean, power, jump_rate, jump_size, scratch)
            sample_size[bar] = sum_up(weight, probability[bar])
