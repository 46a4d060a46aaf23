"""Statistical jump model: K-Means that pays for every switch, so that the regimes persist."""

import numpy as np
from scipy.special import expit

from companion._checks import Floats, Labels
from companion.regimes._baselines import check_half_life, log_ewma
from companion.regimes._filter import RegimeFilter
from companion.regimes._hysteresis import ENTER, LEAVE

#: The library's dynamic program is a Python loop of some 10 microseconds a bar and pass; two centers need no more bars.
MOST_BARS = 10_000


class JumpModelFilter(RegimeFilter):
    """Two-state statistical jump model (Nystrup, Lindström & Madsen 2020), read online.

    The fit, by `jumpmodels`, finds centers and a sequence of states with the least sum of losses, half the squared
    distance of each bar's feature to the center of its state, plus `penalty` per switch. Online, the cost of the best
    sequence that ends in a state depends on the past alone: ``cost[k] = loss[k] + min(cost[k], cost[1-k] + penalty)``.
    Only the difference of the two costs matters, and that is a sum which is clipped at ±penalty before each bar's
    evidence is added. Its sign is the library's `predict_online`, its size the score.

    The feature is the standardized log of an exponentially weighted variance. Shu, Yu & Mulvey (2024) use downside
    deviation and Sortino ratios instead; on the book's base market, where variance is what tells the regimes apart,
    these rank worse.

    Parameters
    ----------
    half_life : float, default=5.0
        Of the average, in bars.
    penalty : float, default=1.0
        Cost of a switch; at 0 the model is K-Means.
    enter, leave, warm_up, seed
        See `RegimeFilter`.

    Attributes
    ----------
    centers_ : ndarray of shape (2,)
        Of the standardized feature; 0 the stable state.
    level_, scale_ : float
        Mean and standard deviation of the feature.
    initial_variance_ : float
        Mean squared return of the fitted paths, where the average starts.
    """

    def __init__(
        self,
        half_life: float = 5.0,
        penalty: float = 1.0,
        *,
        enter: float = ENTER,
        leave: float = LEAVE,
        warm_up: int = 60,
        seed: int = 0,
    ) -> None:
        super().__init__(enter=enter, leave=leave, warm_up=warm_up, seed=seed)
        self.half_life = half_life
        self.penalty = penalty

    def _fit_recursion(self, paths: Floats, labels: Labels | None = None) -> None:
        check_half_life(self.half_life)
        if not 0.0 <= self.penalty < np.inf:
            raise ValueError(f"penalty = {self.penalty} must be a finite number, not negative")
        self.initial_variance_ = float(np.mean(paths**2))
        feature, variance = [], np.full(len(paths), self.initial_variance_)
        for returns in paths.T:
            row, variance = log_ewma(returns, variance, half_life=self.half_life)
            feature.append(row)
        sample = np.stack(feature, axis=1)[:, self.warm_up :]
        self.level_, self.scale_ = float(sample.mean()), float(sample.std())
        if self.scale_ < 1e-9:
            raise ValueError("X: one regime is empty: the feature is the same at every bar")
        self.centers_ = self._fit_centers((sample.reshape(-1, 1)[:MOST_BARS] - self.level_) / self.scale_)

    def _fit_centers(self, standardized: Floats) -> Floats:
        from jumpmodels.jump import JumpModel

        model = JumpModel(n_components=2, jump_penalty=self.penalty, n_init=3, random_state=self.seed)
        with np.errstate(invalid="ignore", divide="ignore"):  # it averages over an empty state, which is found below
            model.fit(standardized)
        centers = np.sort(model.centers_[:, 0])
        if not np.isfinite(centers).all():
            raise ValueError(f"X: one regime is empty: no bar is worth a switch of penalty = {self.penalty}; lower it")
        return centers

    def _start(self, n_paths: int) -> tuple[Floats, Floats]:
        return np.full(n_paths, self.initial_variance_), np.zeros(n_paths)

    def _advance(self, returns: Floats, state: tuple[Floats, Floats]) -> tuple[Floats, tuple[Floats, Floats]]:
        """One bar; the state is the average and by how much the stable state costs more."""
        row, variance = log_ewma(returns, state[0], half_life=self.half_life)
        feature = (row - self.level_) / self.scale_
        evidence = 0.5 * ((feature - self.centers_[0]) ** 2 - (feature - self.centers_[1]) ** 2)
        excess = np.clip(state[1], -self.penalty, self.penalty) + evidence
        return excess[:, None], (variance, excess)

    def _score(self, features: Floats) -> Floats:
        return features[..., 0]

    def _confidence(self, features: Floats) -> Floats:
        return np.asarray(expit(-features[..., 0]))
