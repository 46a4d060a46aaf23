"""Pairs of points within each of many radii, in embeddings of many dimensions, counted in one pass."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from companion._checks import Floats
from companion._jit import compiled
from companion.chaos._slope_interval import N_BLOCKS

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Pairs of points of a reconstruction, by dimension and radius.

    Attributes
    ----------
    within : ndarray of shape (n_dimensions, n_radii)
        Pairs no farther apart than the radius.
    touched : ndarray of shape (n_blocks, n_dimensions, n_radii)
        Those of them that have a point in the block.
    n_pairs : int
        All pairs more than the Theiler window apart.
    n_touched : ndarray of shape (n_blocks,)
        Those of them that have a point in the block.
    """

    within: Integers
    touched: Integers
    n_pairs: int
    n_touched: Integers

    @property
    def sums(self) -> Floats:
        """Share of pairs within the radius, shape (n_dimensions, n_radii)."""
        return self.within / self.n_pairs

    def leave_one_out(self, m: int) -> Floats:
        """The sums of the m-th dimension without one block after the other, shape (n_blocks, n_radii)."""
        return (self.within[m] - self.touched[:, m]) / (self.n_pairs - self.n_touched)[:, None]


def pairs_within(series: Floats, radii: Floats, delay: int, dimensions: Integers, theiler: int) -> PairCounts:
    """Count the pairs of points of the largest embedding; the smaller ones have the same points, cut short.

    The distance is that of the coordinate that differs most.
    """
    n_points = len(series) - (int(dimensions[-1]) - 1) * delay
    edges = np.arange(N_BLOCKS + 1) * n_points // N_BLOCKS
    all_pairs, touched = _count(series, radii, delay, dimensions, theiler, edges)
    return PairCounts(
        within=np.cumsum(all_pairs, axis=-1)[:, :-1],
        touched=np.cumsum(touched, axis=-1)[:, :, :-1],
        n_pairs=(n_points - theiler) * (n_points - theiler - 1) // 2,
        n_touched=_pairs_by_block(edges, theiler),
    )


def _pairs_by_block(edges: Integers, theiler: int) -> Integers:
    """How many pairs have a point in each block."""
    firsts = np.maximum(np.arange(edges[-1])[:, None] + theiler + 1, edges[:-1])
    # of each point, the later partners in each block
    partners = np.maximum(edges[1:] - firsts, 0)
    between = np.add.reduceat(partners, edges[:-1], axis=0)
    return between.sum(axis=0) + between.sum(axis=1) - np.diag(between)


@compiled()
def _count(
    series: Floats,
    radii: Floats,
    delay: int,
    dimensions: Integers,
    theiler: int,
    edges: Integers,
) -> tuple[Integers, Integers]:
    """Histograms of the pairs' distances: bin k holds those above radius k − 1, up to radius k."""
    n_radii, n_dimensions, n_blocks = len(radii), len(dimensions), len(edges) - 1
    all_pairs = np.zeros((n_dimensions, n_radii + 1), dtype=np.int64)
    touched = np.zeros((n_blocks, n_dimensions, n_radii + 1), dtype=np.int64)
    largest = radii[-1]
    for a in range(n_blocks):
        for b in range(a, n_blocks):
            found = np.zeros((n_dimensions, n_radii + 1), dtype=np.int64)
            for i in range(edges[a], edges[a + 1]):
                for j in range(max(i + theiler + 1, edges[b]), edges[b + 1]):
                    distance = abs(series[i] - series[j])
                    if distance > largest:
                        continue
                    k, coordinate = np.searchsorted(radii, distance), 1
                    for m in range(n_dimensions):
                        while coordinate < dimensions[m]:
                            step = coordinate * delay
                            distance = max(distance, abs(series[i + step] - series[j + step]))
                            coordinate += 1
                        if distance > largest:
                            break
                        # a further coordinate only makes the distance larger
                        while radii[k] < distance:
                            k += 1
                        found[m, k] += 1
            all_pairs += found
            touched[a] += found
            if b != a:
                touched[b] += found
    return all_pairs, touched
