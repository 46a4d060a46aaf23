"""How far apart neighbors are, step by step: the curves from which Lyapunov exponents are read."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from companion._checks import Floats
from companion.chaos._embedding import delay_embedding
from companion.chaos._neighbors import nearest
from companion.chaos._slope_interval import N_BLOCKS

Indices = NDArray[np.intp]

#: Neighbors from which on a reference point counts in a curve of Kantz; half of the points have so many within the
#: smallest default radius.
_FEWEST_NEIGHBORS = 5
#: Pairs of neighbors held in memory: 0.5 GB.
_MOST_PAIRS = 20_000_000
#: Shifts in time over which the distance of points that have nothing to do with each other is averaged.
_N_SHIFTS = 40


@dataclass(frozen=True, eq=False)
class DivergenceCurve:
    """A mean log distance by step, kept by block of reference points, in order of time.

    Attributes
    ----------
    sums : ndarray of shape (n_blocks, horizon + 1)
        Of the log distances.
    counts : ndarray of shape (n_blocks, horizon + 1)
        How many there are.
    memory : ndarray of shape (horizon + 1,)
        Regression slope of a pair's log distance at each step on its log distance at the start.
    share_of_ties : float
        Share of the distances that are exactly zero, of all or of those at the start, whichever is larger; they are in
        no sum.
    """

    sums: Floats
    counts: Floats
    memory: Floats
    share_of_ties: float

    @property
    def mean(self) -> Floats:
        """Mean log distance by step, shape (horizon + 1,); NaN where there is no pair."""
        return _ratio(self.sums.sum(axis=0), self.counts.sum(axis=0))

    def leave_one_out(self) -> Floats:
        """The same curve without one block after the other, shape (n_blocks, horizon + 1)."""
        return _ratio(self.sums.sum(axis=0) - self.sums, self.counts.sum(axis=0) - self.counts)


def nearest_pairs_curve(series: Floats, *, delay: int, dimension: int, theiler: int, horizon: int) -> DivergenceCurve:
    """Follow each point and its nearest neighbor (Rosenstein, Collins & De Luca 1993)."""
    vectors = delay_embedding(series, delay=delay, dimension=dimension)
    n_followed = len(vectors) - horizon
    distances, neighbors = nearest(vectors[:n_followed], n_neighbors=1, theiler=theiler)
    newest = series[len(series) - len(vectors) :]
    starts, partners = np.arange(n_followed), neighbors[:, 0]
    steps = (np.abs(newest[starts + k] - newest[partners + k]) for k in range(horizon + 1))
    return _curve(steps, distances[:, 0], horizon)


def balls_curves(
    series: Floats, *, delay: int, dimension: int, theiler: int, horizon: int, radii: Floats | None
) -> tuple[Floats, list[DivergenceCurve]]:
    """Follow each point and all its neighbors within a radius (Kantz 1994), for every radius."""
    vectors = delay_embedding(series, delay=delay, dimension=dimension)
    n_followed = len(vectors) - horizon
    newest, vectors = series[len(series) - len(vectors) :], vectors[:n_followed]
    if radii is None:
        far, _ = nearest(vectors, n_neighbors=_FEWEST_NEIGHBORS, theiler=theiler, norm=np.inf)
        radii = np.median(far[:, -1]) * np.array([1.0, np.sqrt(2.0), 2.0])
    tree = cKDTree(vectors)
    n_pairs = (tree.count_neighbors(tree, radii[-1], p=np.inf) - n_followed) // 2
    if n_pairs > _MOST_PAIRS:
        raise ValueError(f"radii must hold at most {_MOST_PAIRS} pairs of points, got {n_pairs} within {radii[-1]:g}")
    first, second = tree.query_pairs(radii[-1], p=np.inf, output_type="ndarray").T
    apart = second - first > theiler
    first, second = first[apart], second[apart]
    sizes = np.abs(vectors[first] - vectors[second]).max(axis=1)
    return radii, [_ball_curve(newest, first[sizes <= r], second[sizes <= r], n_followed, horizon) for r in radii]


def _ball_curve(newest: Floats, first: Indices, second: Indices, n_followed: int, horizon: int) -> DivergenceCurve:
    ends = np.concatenate((first, second))
    n_neighbors = np.bincount(ends, minlength=n_followed)
    enough = n_neighbors >= _FEWEST_NEIGHBORS

    def mean_distance(k: int) -> Floats:
        distances = np.abs(newest[first + k] - newest[second + k])
        sums = np.bincount(ends, weights=np.concatenate((distances, distances)), minlength=n_followed)
        return np.where(enough, sums / np.maximum(n_neighbors, 1), np.nan)

    return _curve((mean_distance(k) for k in range(horizon + 1)), mean_distance(0), horizon)


def saturation(series: Floats, *, theiler: int) -> tuple[float, float]:
    """How far apart points are that have nothing to do with each other: mean of the log, and log of the mean."""
    longest = len(series) - 1
    shifts = np.unique(np.linspace(min(theiler + 1, longest), max(longest // 2, 1), _N_SHIFTS).astype(int))
    distances = np.concatenate([np.abs(series[shift:] - series[:-shift]) for shift in shifts])
    return float(np.log(distances[distances > 0]).mean()), float(np.log(distances.mean()))


def _curve(distances: Iterable[Floats], initial: Floats, horizon: int) -> DivergenceCurve:
    """Gather the distances of all pairs, given step by step, as logarithms; pairs of NaN do not count."""
    blocks = np.arange(len(initial)) * N_BLOCKS // len(initial)
    sums, counts = np.zeros((2, N_BLOCKS, horizon + 1))
    memory, n_ties, n_all = np.full(horizon + 1, np.nan), np.zeros(horizon + 1), np.zeros(horizon + 1)
    with np.errstate(divide="ignore"):
        log_initial = np.log(initial)
    for k, distance in enumerate(distances):
        n_ties[k] = np.count_nonzero(distance == 0)
        n_all[k] = np.count_nonzero(np.isfinite(distance))
        valid = distance > 0
        logs = np.log(distance[valid])
        sums[:, k] = np.bincount(blocks[valid], weights=logs, minlength=N_BLOCKS)
        counts[:, k] = np.bincount(blocks[valid], minlength=N_BLOCKS)
        memory[k] = _slope(log_initial[valid], logs)
    ties = max(n_ties.sum() / max(n_all.sum(), 1), n_ties[0] / max(n_all[0], 1))
    return DivergenceCurve(sums=sums, counts=counts, memory=memory, share_of_ties=float(ties))


def _slope(x: Floats, y: Floats) -> float:
    finite = np.isfinite(x)
    x, y = x[finite], y[finite]
    spread = np.var(x) if len(x) else 0.0
    return float(np.mean((x - x.mean()) * y) / spread) if spread > 0 else np.nan


def _ratio(sums: Floats, counts: Floats) -> Floats:
    return np.divide(sums, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
