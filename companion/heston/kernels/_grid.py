"""The compiled steps of the filter on a grid: what a bar does to each node of the volatility, and a bar of the filter.

Nodes lie evenly in the root of the variance, where a bar's noise has the same size everywhere. The law of the root
after a bar is that of Andersen's (2008) quadratic-exponential scheme, which has the exact mean and variance. It is
shared out to the nodes by hat functions: node j gets the mean of the hat on it, so that the mean is kept exactly. Hats
add a sixth of the squared spacing to the variance, which is taken off beforehand.
"""

import math

import numpy as np
from numpy.typing import NDArray

from companion._exp2 import LN_2, exp2
from companion._jit import KERNEL, compiled

REACH = 8
"""Nodes that a bar can carry a node's weight to; at the usual spacing, 4 standard deviations each way."""
PRUNED = 1e-7
"""Share of the weight up to which a node at an end of the law is passed over."""
RARE = 1e-2
"""Share of the density in the middle; below it a return is unlikely enough for nodes of hardly any weight to explain it
best, and none is passed over."""
ROOT_HALF_PI = math.sqrt(0.5 / math.pi)
ROOT_TWO = math.sqrt(2.0)

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Bells = tuple[Array, Array, Array]
"""Densities of a return, ``height * 2**-((x - mean) * precision)**2``: mean, precision, height, a row a regime."""


@compiled(**KERNEL)
def _excess(x: float, mean: float, sd: float) -> float:
    """E[(Y - x)+] of a normal Y."""
    z = (x - mean) / sd
    return sd * (ROOT_HALF_PI * math.exp(-0.5 * z * z) - 0.5 * z * math.erfc(z / ROOT_TWO))


@compiled(**KERNEL)
def _root_excess(x: float, mean: float, sd: float, rate: float, mass: float) -> float:
    """E[(Y - x)+] of the root Y of the variance after a bar: |normal|, or where `sd` is 0 a root of an exponential."""
    if sd > 0.0:
        return _excess(x, mean, sd) + _excess(x, -mean, sd)
    return mass * 0.5 * math.sqrt(math.pi / rate) * math.erfc(math.sqrt(rate) * x)


@compiled(**KERNEL)
def _root_law(v: float, params: Array, dt: float, spacing: float) -> tuple[float, float, float, float]:
    """Law of the root of the variance a bar after `v`, as `_root_excess` wants it; narrowed by what hats will add."""
    _, kappa, theta, xi, _, _ = params
    kept = math.exp(-kappa * dt)
    mean = theta + (v - theta) * kept
    gone = (1.0 - kept) / kappa
    ratio = xi * xi * gone * (v * kept + 0.5 * theta * kappa * gone) / (mean * mean)
    if ratio <= 1.5:
        square = 2.0 / ratio - 1.0 + math.sqrt(2.0 / ratio) * math.sqrt(2.0 / ratio - 1.0)
        power = mean / (1.0 + square)
        return math.sqrt(square * power), math.sqrt(power - min(spacing * spacing / 6.0, 0.5 * power)), 1.0, 1.0
    mass = 2.0 / (ratio + 1.0)
    return 0.0, 0.0, mass / mean, mass


@compiled(**KERNEL)
def fill_nodes(
    params: Array, dt: float, late: float, spacing: float, first: Indices, share: Array, mean: Array, precision: Array
) -> None:
    """Fill what a bar does in one regime, for each node (n,) and each of the `REACH` nodes it can go to (n, REACH).

    Node i lies at a root of ``(i + 1/2) spacing``. `first` is the first node that it can go to, `share` the share of
    its weight that goes to each. Given both ends of a bar the return is normal, with `mean` and a standard deviation
    of ``1 / (sqrt(2) precision)``; `late` is the weight of the later end in the bar's mean variance.
    """
    mu, kappa, theta, xi, rho, _ = params
    excess = np.empty(REACH + 2)
    for i in range(len(first)):
        v = ((i + 0.5) * spacing) ** 2
        center, sd, rate, mass = _root_law(v, params, dt, spacing)
        first[i] = min(max(int(center / spacing - 0.5) - REACH // 2 + 1, 0), len(first) - REACH)
        for j in range(REACH + 2):
            excess[j] = _root_excess(max((first[i] + j - 0.5) * spacing, 0.0), center, sd, rate, mass)
        total = 0.0
        for j in range(REACH):
            left = spacing if j == 0 else excess[j] - excess[j + 1]  # all that lies to the left goes to the first
            right = 0.0 if j == REACH - 1 else excess[j + 1] - excess[j + 2]
            share[i, j] = max(left - right, 0.0)
            total += share[i, j]
        for j in range(REACH):
            after = ((first[i] + j + 0.5) * spacing) ** 2
            within = (1.0 - late) * v + late * after
            share[i, j] /= total
            mean[i, j] = (mu - 0.5 * within) * dt + rho / xi * (after - v - kappa * (theta - within) * dt)
            precision[i, j] = 1.0 / math.sqrt(2.0 * (1.0 - rho * rho) * within * dt)


@compiled(**KERNEL)
def _support(weight: Array, floor: float) -> tuple[int, int]:
    """First index of a weight above `floor`, and the one behind the last; equal where there is none."""
    low, high = 0, len(weight)
    while high > 0 and weight[high - 1] <= floor:
        high -= 1
    while low < high and weight[low] <= floor:
        low += 1
    return low, high


@compiled(**KERNEL)
def switch_regime(weight: Array, before: Array, transition: Array, spacing: Array, n_nodes: Indices) -> None:
    """Fill `before` (n_regimes, n) with the weights after the regime has moved; the variance stays where it is."""
    n_regimes = len(n_nodes)
    for new in range(n_regimes):
        for i in range(n_nodes[new]):
            before[new, i] = transition[new, new] * weight[new, i]
    for old in range(n_regimes):
        low, high = _support(weight[old, : n_nodes[old]], 0.0)
        for new in range(n_regimes):
            if new == old or transition[old, new] == 0.0:
                continue
            ratio = spacing[old] / spacing[new]
            for i in range(low, high):
                w = transition[old, new] * weight[old, i]
                place = max((i + 0.5) * ratio - 0.5, 0.0)
                j = min(int(place), n_nodes[new] - 2)
                part = min(place - j, 1.0)
                before[new, j] += w * (1.0 - part)
                before[new, j + 1] += w * part


@compiled(**KERNEL)
def nearest_exponent(x: float, before: Array, still: Bells, jump: Bells, n_nodes: Indices) -> float:
    """Exponent of 2 in the largest density that any node gives a return, with the sign turned."""
    (mean, precision, _), (jump_mean, jump_precision, jump_height), best = still, jump, np.inf
    for k in range(len(n_nodes)):
        for i in range(n_nodes[k]):
            if before[k, i] > 0.0:
                for m in range(i * REACH, (i + 1) * REACH):
                    z = (x - mean[k, m]) * precision[k, m]
                    best = min(best, z * z)
                if jump_height[k, i] > 0.0:
                    z = (x - jump_mean[k, i]) * jump_precision[k, i]
                    best = min(best, z * z)
    return best


@compiled(**KERNEL)
def _middle(before: Array, top: Array, n_nodes: Indices) -> float:
    """The density that a return would have if it lay in the middle of every node's bell, whose sum of tops is `top`."""
    total = 0.0
    for k in range(len(n_nodes)):
        for i in range(n_nodes[k]):
            total += before[k, i] * top[k, i]
    return total


@compiled(**KERNEL)
def _bells(x: float, lift: float, mean: Array, precision: Array, height: Array, out: Array) -> None:
    """Fill `out` with densities of `x`, each times ``2**lift``."""
    for m in range(len(out)):
        z = (x - mean[m]) * precision[m]
        out[m] = height[m] * exp2(lift - z * z)


@compiled(**KERNEL)
def _add_jumps(jumped: Array, share: Array, term: Array) -> None:
    """Add to each node's terms (n * REACH,) its density of a jump (n,), which does not depend on where the bar ends."""
    for i in range(len(jumped)):
        for m in range(i * REACH, (i + 1) * REACH):
            term[m] += share[m] * jumped[i]


@compiled(**KERNEL)
def _move(before: Array, first: Indices, term: Array, weight: Array) -> None:
    """Add to `weight` what goes from nodes of weight `before` (n,) to the `REACH` nodes from `first` (n,) on."""
    for i in range(len(before)):
        start, w = first[i], before[i]
        for j in range(REACH):
            weight[start + j] += w * term[i * REACH + j]


@compiled(**KERNEL)
def carry(
    x: float,
    lift: float,
    pruned: float,
    before: Array,
    weight: Array,
    first: Indices,
    share: Array,
    still: Bells,
    jump: Bells,
    n_nodes: Indices,
    term: Array,
    jumped: Array,
) -> float:
    """Fill `weight` with the weights after a bar of return `x`, each density times ``2**lift``; their sum.

    Nodes at the two ends with a weight of `pruned` or less are passed over. Each loop is over numbers that lie side by
    side and do not wait for each other, and so becomes vector instructions. `term` (n * REACH,) and `jumped` (n,) are
    room to work in.
    """
    (mean, precision, height), (jump_mean, jump_precision, jump_height), total = still, jump, 0.0
    for k in range(len(n_nodes)):
        weight[k, : n_nodes[k]] = 0.0
        low, high = _support(before[k, : n_nodes[k]], pruned)
        ends = slice(low * REACH, high * REACH)
        _bells(x, lift, mean[k, ends], precision[k, ends], height[k, ends], term[ends])
        if jump_height[k, 0] > 0.0:
            nodes = slice(low, high)
            _bells(x, lift, jump_mean[k, nodes], jump_precision[k, nodes], jump_height[k, nodes], jumped[nodes])
            _add_jumps(jumped[nodes], share[k, ends], term[ends])
        _move(before[k, low:high], first[k, low:high], term[ends], weight[k])
        total += weight[k, : n_nodes[k]].sum()
    return total


@compiled(**KERNEL)
def burn_in(
    n_bars: int,
    weight: Array,
    before: Array,
    first: Indices,
    share: Array,
    spacing: Array,
    transition: Array,
    n_nodes: Indices,
) -> None:
    """Move `weight` on by bars that nobody has seen."""
    for _ in range(n_bars):
        switch_regime(weight, before, transition, spacing, n_nodes)
        for k in range(len(n_nodes)):
            weight[k, : n_nodes[k]] = 0.0
            low, high = _support(before[k, : n_nodes[k]], PRUNED)
            _move(before[k, low:high], first[k, low:high], share[k, low * REACH : high * REACH], weight[k])
    weight /= weight.sum()


@compiled(**KERNEL)
def filter_bars(
    returns: Array,
    weight: Array,
    before: Array,
    first: Indices,
    share: Array,
    still: Bells,
    jump: Bells,
    spacing: Array,
    transition: Array,
    n_nodes: Indices,
    probability: Array,
    log_likelihood: Array,
) -> None:
    """Take bars in; `weight` (n_regimes, n) moves on, `probability` and `log_likelihood` are filled, a row a bar."""
    room = np.empty(share.shape[1]), np.empty(before.shape[1])
    top = jump[2] + still[2].reshape(*before.shape, REACH).sum(axis=2)
    for bar in range(len(returns)):
        x, lift = returns[bar], 0.0
        switch_regime(weight, before, transition, spacing, n_nodes)
        total = carry(x, lift, PRUNED, before, weight, first, share, still, jump, n_nodes, *room)
        if total < RARE * _middle(before, top, n_nodes):  # again, with every node, on a scale that has such numbers
            lift = nearest_exponent(x, before, still, jump, n_nodes)
            total = carry(x, lift, 0.0, before, weight, first, share, still, jump, n_nodes, *room)
        for k in range(len(n_nodes)):
            weight[k, : n_nodes[k]] /= total
            probability[bar, k] = weight[k, : n_nodes[k]].sum()
        log_likelihood[bar] = math.log(total) - lift * LN_2
