"""The best possible observer of the regime: a particle filter that knows the market's true parameters.

Bayes' rule gives P(regime now | returns so far) once the law of the market is known; no detector that sees the same
returns can do better on average. The integral over the unseen variance has no closed form, so particles carry it
(Gordon, Salmond & Smith 1993). Three things keep the noise small: each regime keeps its own particles whatever its
probability (stratification); the part of the return that is independent of the variance is integrated exactly, so
that a particle is weighted by a Gaussian density; and the shocks of the variance are drawn where the return, through
the leverage effect, says they were (the guided proposal of Pitt & Shephard 1999), with the weight that corrects for it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import as_paths, check_count, check_positive
from companion._jit import compiled
from companion.heston._switching import RegimeSwitchingHeston
from companion.heston.kernels._blocks import for_blocks
from companion.heston.kernels._elementary import KERNEL, exp, log
from companion.heston.kernels._random import box_muller, key_from_seed, uniform_pair
from companion.heston.kernels._regime_scheme import BURN_IN_BARS, VARIANCE_FLOOR

LOG_TWO_PI = math.log(2 * math.pi)

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
        makes, one or two do, and the seed decides which regime they were in.
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
    args = market.params_array(), market.transition, market.stationary, dt, substeps, -(-n_particles // n_regimes)

    def block(first: int, last: int) -> None:
        for i in range(first, last):
            _filter_path(key, i, paths[i], *args, probability[i], log_likelihood[i], sample_size[i])

    for_blocks(block, len(paths), block=1)
    kept = 0 if single else slice(None)
    return FilterRun(probability[kept], log_likelihood[kept], sample_size[kept])


@compiled(**KERNEL)
def _switch(u: Array, weight: Array, variance: Array, transition: Array, scratch: Array) -> None:
    """Move the regime and resample: systematically, within each regime that is arrived in.

    `weight`, `variance`, `scratch` are (n_regimes, n); `u` holds a uniform a regime.
    """
    n_regimes, n = variance.shape
    before = np.empty(n_regimes)
    for old in range(n_regimes):
        before[old] = weight[old].sum()
    for new in range(n_regimes):
        spacing = (before * transition[:, new]).sum() / n
        old, source, target = 0, 0, u[new] * spacing
        covered = weight[0, 0] * transition[0, new]
        for j in range(n):
            while covered < target and not (old == n_regimes - 1 and source == n - 1):
                source += 1
                if source == n:
                    old, source = old + 1, 0
                covered += weight[old, source] * transition[old, new]
            scratch[new, j] = variance[old, source]
            target += spacing
    variance[:] = scratch
    for new in range(n_regimes):
        weight[new] = (before * transition[:, new]).sum() / n


@compiled(**KERNEL)
def _draw(key: np.uint64, path: int, step: int, stream: int, noise: Array) -> None:
    """Fill `noise`, (substeps, n), with standard normals."""
    substeps = noise.shape[0]
    half = noise.shape[1] // 2
    for sub in range(substeps):
        first, second = noise[sub, :half], noise[sub, half:]
        for j in range(half):
            first[j], second[j] = uniform_pair(key, path, stream + j, step * substeps + sub)
        for j in range(half):
            first[j], second[j] = box_muller(first[j], second[j])


@compiled(**KERNEL)
def _guide(observed: float, params: Array, dt: float, variance: Array, noise: Array, log_weight: Array) -> None:
    """Shift each particle's noise to where the return says it was, and start its log weight with the price of that.

    Were the variance v constant within the bar, then given the return's own z-score y the standardized sum S of the
    noise would be N(rho y, 1 - rho**2) instead of N(0, 1): S moves to ``rho y + sqrt(1 - rho**2) S``. The constant is
    the mean that v has half-way through the bar: v at its start may touch zero, where no shift makes sense.
    """
    mu, kappa, theta, _, rho, _ = params
    substeps = noise.shape[0]
    narrow, decay = math.sqrt(1.0 - rho * rho), exp(-0.5 * kappa * dt)
    for j in range(len(variance)):
        plus = theta + decay * (max(variance[j], VARIANCE_FLOOR) - theta)
        y = (observed - (mu - 0.5 * plus) * dt) / math.sqrt(plus * dt)
        total = 0.0
        for sub in range(substeps):
            total += noise[sub, j]
        before = total / math.sqrt(substeps)
        after = rho * y + narrow * before
        for sub in range(substeps):
            noise[sub, j] += (after - before) / math.sqrt(substeps)
        log_weight[j] = 0.5 * (before * before - after * after) + log(narrow)


@compiled(**KERNEL)
def _move(params: Array, h: float, noise: Array, variance: Array, mean: Array, power: Array) -> None:
    """Carry one regime's n particles through a bar.

    `mean` and `power` become the mean and the variance of the bar's return given the particle's path of variance.
    """
    mu, kappa, theta, xi, rho, _ = params
    mean[:], power[:] = 0.0, 0.0
    for sub in range(noise.shape[0]):
        for j in range(len(variance)):
            plus = max(variance[j], VARIANCE_FLOOR)
            shock = math.sqrt(plus * h) * noise[sub, j]
            mean[j] += (mu - 0.5 * plus) * h + rho * shock
            power[j] += plus * h * (1.0 - rho * rho)
            variance[j] += kappa * (theta - plus) * h + xi * shock


@compiled(**KERNEL)
def _weigh(observed: float, weight: Array, mean: Array, power: Array, log_weight: Array) -> float:
    """Multiply the weights by `log_weight` and the density of the return, normalize; the log of the normalizer."""
    n_regimes, n = weight.shape
    for k in range(n_regimes):
        for j in range(n):
            gap = observed - mean[k, j]
            log_weight[k, j] -= 0.5 * (log(power[k, j]) + LOG_TWO_PI + gap * gap / power[k, j])
    largest = log_weight.max()
    for k in range(n_regimes):
        for j in range(n):
            weight[k, j] *= exp(log_weight[k, j] - largest)
    total = weight.sum()
    weight /= total
    return largest + log(total)


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
        _switch(u, weight, variance, transition, scratch)
        bar = step - BURN_IN_BARS
        for k in range(n_regimes):
            _draw(key, path, step, 1 + k * n, noise)
            if bar >= 0:
                _guide(returns[bar], params[k], dt, variance[k], noise, scratch[k])
            _move(params[k], dt / substeps, noise, variance[k], mean[k], power[k])
        if bar >= 0:
            log_likelihood[bar] = _weigh(returns[bar], weight, mean, power, scratch)
            sample_size[bar] = 1.0 / (weight * weight).sum()
            for k in range(n_regimes):
                probability[bar, k] = min(weight[k].sum(), 1.0)  # rounding
