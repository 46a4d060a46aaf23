"""Statistical jump model: K-Means that pays for every switch, so that the regimes persist."""

from dataclasses import dataclass
from operator import itemgetter
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import kmeans_plusplus

from companion._checks import Floats
from companion._jit import compiled
from companion.regimes._features import Ewma, Feature

#: Starts of the fit; what ends cheapest is kept.
N_STARTS = 3
#: Passes of a fit at most; it ends where no state changes, after some ten.
MOST_PASSES = 1000


@dataclass
class JumpCost(Feature):
    """By how much the cheapest sequence of states that ends in calm costs more than that which ends in chaos.

    The fit finds centers and a sequence of states with the least sum of losses, half the squared distance of each
    bar's feature to the center of its state, plus `penalty` per switch: by turns the best states for the centers and
    the best centers for the states (Nystrup, Lindström & Madsen 2020), all paths in a row. Online, the
    cost of the best sequence that ends in a state depends on the past alone: ``cost[k] = loss[k] + min(cost[k],
    cost[1-k] + penalty)``. Only the difference of the two costs matters, and that is a sum which is clipped at ±penalty
    before each bar's evidence is added; it is the score.

    What is clustered is the standardized log of an exponentially weighted variance. Shu, Yu & Mulvey (2024) use
    downside deviation and Sortino ratios instead; on the book's base market, where variance is what tells the regimes
    apart, these rank worse.

    Parameters
    ----------
    half_life : float, default=5.0
        Of the average, in bars.
    penalty : float, default=1.0
        Cost of a switch; at 0 the model is K-Means.

    Attributes
    ----------
    centers_ : ndarray of shape (2,)
        Of the standardized log variance; 0 the stable state.
    level_, scale_ : float
        Mean and standard deviation of the log variance.
    """

    half_life: float = 5.0
    penalty: float = 1.0

    def fit(self, paths: Floats, *, warm_up: int, seed: int) -> Self:
        """Find the centers; ValueError where no bar is worth a switch."""
        if not 0.0 <= self.penalty < np.inf:
            raise ValueError(f"penalty must be a finite number, not negative, got {self.penalty!r}")
        self._average = Ewma(self.half_life).fit(paths, warm_up=warm_up, seed=seed)
        sample = self._average.transform(paths)[:, warm_up:, 0]
        self.level_, self.scale_ = float(sample.mean()), float(sample.std())
        if self.scale_ < 1e-9:
            raise ValueError("X must show two regimes, got a feature that is the same at every bar")
        self.centers_ = self._fit_centers((sample.reshape(-1) - self.level_) / self.scale_, seed)
        return self

    def _fit_centers(self, standardized: Floats, seed: int) -> Floats:
        random = np.random.RandomState(seed)
        starts = [kmeans_plusplus(standardized[:, None], 2, random_state=random)[0] for _ in range(N_STARTS)]
        fits = [_descend(standardized, start[:, 0], self.penalty) for start in starts]
        _, centers = min(fits, key=itemgetter(0))
        if centers is None:
            raise ValueError(f"penalty must let two regimes appear, got {self.penalty}, worth no switch: lower it")
        return centers

    def start(self, n_paths: int) -> tuple[Floats, Floats]:
        """The mean variance, and no difference."""
        return self._average.start(n_paths), np.zeros(n_paths)

    def advance(self, returns: Floats, state: tuple[Floats, Floats]) -> tuple[Floats, tuple[Floats, Floats]]:
        """One bar; the state is the average and by how much the stable state costs more."""
        log_variance, variance = self._average.advance(returns, state[0])
        z = (log_variance[:, 0] - self.level_) / self.scale_
        excess = np.clip(state[1], -self.penalty, self.penalty) + _evidence(z, self.centers_)
        return excess[:, None], (variance, excess)


def _evidence(z: Floats, centers: Floats) -> Floats:
    """By how much more each bar costs in calm than in chaos."""
    return 0.5 * ((z - centers[0]) ** 2 - (z - centers[1]) ** 2)


def _descend(z: Floats, centers: Floats, penalty: float) -> tuple[float, Floats | None]:
    """The best states for the centers, the best centers for the states, until no state changes: cost and centers.

    No centers where a single state costs the least.
    """
    chaos = np.zeros(len(z), dtype=np.bool_)
    centers = np.sort(centers)
    for _ in range(MOST_PASSES):
        before, chaos = chaos, cheapest_states(_evidence(z, centers), penalty)
        if chaos.all() or not chaos.any():
            return 0.5 * float(((z - z.mean()) ** 2).sum()), None
        if np.array_equal(before, chaos):
            break
        centers = np.array([z[~chaos].mean(), z[chaos].mean()])
    loss = 0.5 * float(((z - np.where(chaos, centers[1], centers[0])) ** 2).sum())
    return loss + penalty * np.count_nonzero(np.diff(chaos)), centers


@compiled()
def excess_cost(evidence: Floats, penalty: float) -> Floats:
    """By how much more the cheapest sequence up to each bar costs that ends in calm than that which ends in chaos.

    `evidence` is by how much more each bar costs in calm, shape (n_bars,), and `penalty` the cost of a switch.
    """
    excess = np.empty(len(evidence))
    last = 0.0
    for bar in range(len(evidence)):
        last = min(max(last, -penalty), penalty) + evidence[bar]
        excess[bar] = last
    return excess


@compiled()
def cheapest_states(evidence: Floats, penalty: float) -> NDArray[np.bool_]:
    """The cheapest sequence of states, True for chaos, by dynamic programming; arguments as in `excess_cost`."""
    excess = excess_cost(evidence, penalty)
    chaos = np.empty(len(evidence), dtype=np.bool_)
    chaos[-1] = excess[-1] > 0.0
    for bar in range(len(evidence) - 2, -1, -1):  # backwards: a state was entered where the other was cheaper by more
        chaos[bar] = excess[bar] >= -penalty if chaos[bar + 1] else excess[bar] > penalty
    return chaos
