"""The compiled steps of the particle filter of a regime-switching market: switch, draw, guide, move, weigh, sum up."""

import math

import numpy as np
from numpy.typing import NDArray

from companion._jit import compiled
from companion.heston.kernels._elementary import INLINE, KERNEL, exp, log
from companion.heston.kernels._random import box_muller, uniform_pair
from companion.heston.kernels._regime_scheme import VARIANCE_FLOOR

LOG_TWO_PI = math.log(2 * math.pi)
SMALLEST_RATE = 1e-300

Array = NDArray[np.float64]


@compiled(**KERNEL)
def switch(u: Array, weight: Array, variance: Array, transition: Array, scratch: Array) -> None:
    """Move the regime and resample: systematically, within each regime that is arrived in.

    `weight`, `variance`, `scratch` are (n_regimes, n); `u` holds a uniform a regime. Target j of a regime is u + j
    spacings; a particle fills the targets that its weight covers. Each marks the first of them, and one that covers
    none is overwritten by the next: no branch, since one on random weights is mispredicted half of the time.
    """
    n_regimes, n = variance.shape
    source, mark = variance.reshape(-1), np.empty(n + 1, np.int64)
    before = np.empty(n_regimes)
    for old in range(n_regimes):
        before[old] = weight[old].sum()
    for new in range(n_regimes):
        spacing = (before * transition[:, new]).sum() / n
        per_spacing = 1.0 / spacing if spacing > SMALLEST_RATE else 0.0
        covered, filled, last, first = 0.0, 0, 0, 1.0 - u[new]
        mark[:] = 0
        for old in range(n_regimes):
            share, rate = weight[old], transition[old, new]
            for i in range(n):
                mark[filled] = old * n + i
                covered += share[i] * rate
                filled = min(int(covered * per_spacing + first), n)
        arrived = scratch[new]
        for j in range(n):
            last = max(last, mark[j])
            arrived[j] = source[last]
    variance[:] = scratch
    for new in range(n_regimes):
        weight[new] = (before * transition[:, new]).sum() / n


@compiled(**KERNEL)
def draw(key: np.uint64, path: int, step: int, stream: int, noise: Array) -> None:
    """Fill `noise`, (substeps, n), with standard normals."""
    substeps = noise.shape[0]
    half = noise.shape[1] // 2
    for sub in range(substeps):
        first, second = noise[sub, :half], noise[sub, half:]
        for j in range(half):
            first[j], second[j] = uniform_pair(key, path, stream + j, step * substeps + sub)
        for j in range(half):
            first[j], second[j] = box_muller(first[j], second[j])


@compiled(**INLINE)
def log_density(gap: float, power: float, jump_rate: float, jump_size: float) -> float:
    """Log density of a return `gap` away from its mean, given its variance without a jump."""
    still = -0.5 * (log(power) + LOG_TWO_PI + gap * gap / power)
    if jump_rate > 0.0:
        wide = power + jump_size * jump_size
        still += log(1.0 - jump_rate)
        jumped = log(max(jump_rate, SMALLEST_RATE)) - 0.5 * (log(wide) + LOG_TWO_PI + gap * gap / wide)
        high, low = max(still, jumped), min(still, jumped)
        still = high + log(1.0 + exp(low - high))
    return still


@compiled(**KERNEL)
def guide(
    observed: float,
    params: Array,
    dt: float,
    jump_rate: float,
    jump_size: float,
    variance: Array,
    noise: Array,
    log_weight: Array,
) -> None:
    """Shift each particle's noise to where the return says it was, and start its log weight with the price of that.

    Were the variance v constant within the bar, then given the return's own z-score y the standardized sum S of the
    noise would be N(rho y, 1 - rho**2) instead of N(0, 1): S moves to ``rho y + sqrt(1 - rho**2) S``. The constant is
    the mean that v has half-way through the bar: v at its start may touch zero, where no shift makes sense. As far as
    the return was a jump it says nothing of the noise, so the shift shrinks with the probability of that.
    """
    mu, kappa, theta, _, rho, _ = params
    substeps, n = noise.shape[0], len(variance)
    still, decay, root = 1.0, exp(-0.5 * kappa * dt), math.sqrt(noise.shape[0])
    narrow = math.sqrt(1.0 - rho * rho)
    log_narrow = log(narrow)
    total, shift = np.zeros(n), np.empty(n)
    # Particles are the inner loop: it becomes vector instructions, which a loop over a few substeps would not.
    for sub in range(substeps):
        for j in range(n):
            total[j] += noise[sub, j]
    for j in range(n):
        plus = theta + decay * (max(variance[j], VARIANCE_FLOOR) - theta)
        y = (observed - (mu - 0.5 * plus) * dt) / math.sqrt(plus * dt)
        if jump_rate > 0.0:
            wide = 1.0 + jump_size * jump_size / (plus * dt)
            jumped = exp(max(-0.5 * y * y * (1.0 - 1.0 / wide), -700.0)) * math.sqrt(wide)
            still = 1.0 / (1.0 + jump_rate / ((1.0 - jump_rate) * jumped))
            narrow = math.sqrt(1.0 - still * rho * rho)
            log_narrow = log(narrow)
        before = total[j] / root
        after = still * rho * y + narrow * before
        shift[j] = (after - before) / root
        log_weight[j] = 0.5 * (before * before - after * after) + log_narrow
    for sub in range(substeps):
        for j in range(n):
            noise[sub, j] += shift[j]


@compiled(**KERNEL)
def move(params: Array, h: float, noise: Array, variance: Array, mean: Array, power: Array) -> None:
    """Carry one regime's n particles through a bar.

    `mean` and `power` become the mean and the variance of the bar's return given the particle's path of variance.
    """
    mu, kappa, theta, xi, rho, _ = params
    mean[:], power[:] = 0.0, 0.0
    for sub in range(noise.shape[0]):
        normals = noise[sub]
        for j in range(len(variance)):
            plus = max(variance[j], VARIANCE_FLOOR)
            shock = math.sqrt(plus * h) * normals[j]
            mean[j] += (mu - 0.5 * plus) * h + rho * shock
            power[j] += plus * h * (1.0 - rho * rho)
            variance[j] += kappa * (theta - plus) * h + xi * shock


@compiled(**KERNEL)
def weigh(
    observed: float, weight: Array, mean: Array, power: Array, jump_rate: float, jump_size: float, log_weight: Array
) -> float:
    """Multiply the weights by `log_weight` and the density of the return, normalize; the log of the normalizer."""
    n_regimes, n = weight.shape
    for k in range(n_regimes):
        for j in range(n):
            log_weight[k, j] += log_density(observed - mean[k, j], power[k, j], jump_rate, jump_size)
    largest = log_weight.max()
    for k in range(n_regimes):
        for j in range(n):
            weight[k, j] *= exp(log_weight[k, j] - largest)
    total = weight.sum()
    weight /= total
    return largest + log(total)


@compiled(**KERNEL)
def sum_up(weight: Array, probability: Array) -> float:
    """Fill `probability`, (n_regimes,), from the normalized weights; the effective sample size."""
    squares = 0.0
    for k in range(len(weight)):
        total = 0.0
        for w in weight[k]:
            total += w
            squares += w * w
        probability[k] = min(total, 1.0)  # rounding
    return 1.0 / squares
