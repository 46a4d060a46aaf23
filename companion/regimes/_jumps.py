"""Statistical jump model: K-Means that pays for every switch, so that the regimes persist."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from companion._checks import Floats, need
from companion.regimes._features import Ewma, Feature

#: The library's dynamic program is a Python loop of some 10 microseconds a bar and pass; two centers need no more bars.
MOST_BARS = 10_000


@dataclass
class JumpCost(Feature):
    """By how much the cheapest sequence of states that ends in calm costs more than that which ends in chaos.

    The fit, by `jumpmodels`, finds centers and a sequence of states with the least sum of losses, half the squared
    distance of each bar's feature to the center of its state, plus `penalty` per switch. Online, the cost of the best
    sequence that ends in a state depends on the past alone: ``cost[k] = loss[k] + min(cost[k], cost[1-k] + penalty)``.
    Only the difference of the two costs matters, and that is a sum which is clipped at ±penalty before each bar's
    evidence is added. Its sign is the library's `predict_online`, its size the score.

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
        standardized = (sample.reshape(-1, 1)[:MOST_BARS] - self.level_) / self.scale_
        self.centers_ = self._fit_centers(standardized, seed)
        return self

    def _fit_centers(self, standardized: Floats, seed: int) -> Floats:
        model = need("jumpmodels.jump", "jump-model").JumpModel(
            n_components=2, jump_penalty=self.penalty, n_init=3, random_state=seed
        )
        with np.errstate(invalid="ignore", divide="ignore"):  # it averages over an empty state, which is found below
            model.fit(standardized)
        centers = np.sort(model.centers_[:, 0])
        if not np.isfinite(centers).all():
            raise ValueError(f"penalty must let two regimes appear, got {self.penalty}, worth no switch: lower it")
        return centers

    def start(self, n_paths: int) -> tuple[Floats, Floats]:
        """The mean variance, and no difference."""
        return self._average.start(n_paths), np.zeros(n_paths)

    def advance(self, returns: Floats, state: tuple[Floats, Floats]) -> tuple[Floats, tuple[Floats, Floats]]:
        """One bar; the state is the average and by how much the stable state costs more."""
        log_variance, variance = self._average.advance(returns, state[0])
        z = (log_variance[:, 0] - self.level_) / self.scale_
        evidence = 0.5 * ((z - self.centers_[0]) ** 2 - (z - self.centers_[1]) ** 2)
        excess = np.clip(state[1], -self.penalty, self.penalty) + evidence
        return excess[:, None], (variance, excess)
