"""The best possible observer, beside the detectors: what none of them can beat."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import Floats, as_paths
from companion.regimes._hysteresis import ENTER_CHAOS, LEAVE_CHAOS, check_levels, hysteresis

if TYPE_CHECKING:
    from companion.heston import RegimeSwitchingHeston


@dataclass(eq=False)
class BayesCeiling:
    """The particle filter that knows the market's true law (`companion.heston.bayes_filter`).

    It reads whole paths, so it is no detector: there is nothing to fit, and no answer bar by bar. Particles carry
    noise, and a path's noise depends on its place in X: two places differ by about .01 in probability.

    Parameters
    ----------
    market : RegimeSwitchingHeston
        The market the returns come from, of two regimes.
    n_particles : int, default=3000
        Particles a path.
    enter_chaos, leave_chaos, warm_up
        As of a `RegimeFilter`.
    seed : int
        Of the particles.
    """

    market: "RegimeSwitchingHeston"
    n_particles: int = 3000
    enter_chaos: float = ENTER_CHAOS
    leave_chaos: float = LEAVE_CHAOS
    warm_up: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        check_levels(self.enter_chaos, self.leave_chaos)
        if len(self.market.regimes) != 2:
            raise ValueError(f"market must have two regimes to tell apart, got {len(self.market.regimes)}")

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn nothing: the market is known. It only says what is wrong with X."""
        as_paths(X)
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """P(regime | returns so far), of shape (..., n_bars, 2), as a detector gives it."""
        from companion.heston import bayes_filter

        paths, single = as_paths(X)
        posterior = bayes_filter(paths, self.market, n_particles=self.n_particles, seed=self.seed)
        return posterior[0] if single else posterior

    def predict(self, X: ArrayLike) -> NDArray[np.int8]:
        """Regime per bar after hysteresis, 0 stable and 1 chaos, of the shape of X."""
        p_chaos = self.predict_proba(X)[..., 1]
        return hysteresis(p_chaos, enter_chaos=self.enter_chaos, leave_chaos=self.leave_chaos)
