"""The best possible observer, as one more detector: what no other can beat."""

from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit

from companion._checks import Floats, Labels, as_paths
from companion.regimes._confidence import PlattCalibration
from companion.regimes._filter import RegimeFilter
from companion.regimes._hysteresis import ENTER, LEAVE

if TYPE_CHECKING:
    from companion.heston import RegimeSwitchingHeston


class BayesCeiling(RegimeFilter):
    """The particle filter that knows the market's true law (`companion.heston._bayes_filter`), as a detector.

    There is nothing to learn: `fit` checks its arguments and leaves the calibration the identity. Particles carry
    noise, and a path's noise depends on its place in X: two places differ by about .01 in probability.

    Parameters
    ----------
    market : RegimeSwitchingHeston
        The market the returns come from, of two regimes.
    n_particles : int, default=3000
        Particles a path.
    enter, leave, warm_up
        See `RegimeFilter`.
    seed : int
        Of the particles.
    """

    def __init__(
        self,
        market: "RegimeSwitchingHeston",
        n_particles: int = 3000,
        *,
        enter: float = ENTER,
        leave: float = LEAVE,
        warm_up: int = 60,
        seed: int = 0,
    ) -> None:
        super().__init__(enter=enter, leave=leave, warm_up=warm_up, seed=seed)
        self.market = market
        self.n_particles = n_particles

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn nothing; say what is wrong with X or a setting."""
        as_paths(X)
        if len(self.market.regimes) != 2:
            raise ValueError(f"market has {len(self.market.regimes)} regimes: a detector tells two apart")
        self.calibration_ = PlattCalibration(slope=1.0, intercept=0.0)
        return self.reset()

    def _features(self, paths: Floats) -> Floats:
        from companion.heston import bayes_filter

        return bayes_filter(paths, self.market, n_particles=self.n_particles, seed=self.seed)

    def _score(self, features: Floats) -> Floats:
        return np.asarray(logit(np.clip(features[..., 1], 1e-12, 1.0 - 1e-12)))

    def _confidence(self, features: Floats) -> Floats:
        return features[..., 0]

    def _start(self, n_paths: int) -> None:
        return None

    def _advance(self, returns: Floats, state: Any) -> NoReturn:
        raise NotImplementedError("the particle filter reads whole paths: give predict_proba the returns so far")

    def _fit_recursion(self, paths: Floats, labels: Labels | None = None) -> None:
        """Do nothing: the market is known."""
