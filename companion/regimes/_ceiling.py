"""The best possible observers, beside the detectors: one who knows the market, and one who has to learn it.

No detector beats the first, and none that was told no more than the prior beats the second. That one can be had for any
series, at the price of about a hundredth of a second a bar.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import Floats, as_paths, check_count
from companion.regimes._hysteresis import ENTER_CHAOS, LEAVE_CHAOS, check_levels, hysteresis

if TYPE_CHECKING:
    from companion.heston import RegimeSwitchingHeston
    from companion.heston._learner import Prior


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


@dataclass(eq=False)
class BayesLearner:
    """Bayes' rule for an observer who is told no market, only a law of markets (`companion.heston.learner_filter`).

    It reads whole paths, so it is no detector: there is nothing to fit, and no answer bar by bar. On ten years of days
    it takes 10 to 15 ms a bar with the default sizes, and more on longer paths; the network that approximates it,
    ``NeuralRegimeFilter.load_pretrained("scale_free")``, takes some thousandths of that. How much each knows on
    markets of the prior is measured, ``companion.datasets.load_study("learner_ceiling")``; on real ones the learner is
    not ahead, ``load_study("real_regimes")``.

    Parameters
    ----------
    prior : optional
        Law of markets of two regimes; by default `companion.heston.WidePrior`, whose calm is .01 to 5 % a bar. Returns
        of another size are refused: multiply them by a number.
    n_markets : int, default=512
        Markets that stand for all, a multiple of 4.
    n_runs : int, default=4
        Runs that are averaged. With 512 markets two single runs differ by about .08 in probability, and the mean of
        four has half of the noise of one.
    enter_chaos, leave_chaos, warm_up
        As of a `RegimeFilter`; the levels are those of the scale-free filter.
    seed : int
        Of the markets.
    """

    prior: "Prior | None" = None
    n_markets: int = 512
    n_runs: int = 4
    enter_chaos: float = 0.5
    leave_chaos: float = 0.25
    warm_up: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        check_levels(self.enter_chaos, self.leave_chaos)
        check_count("n_runs", self.n_runs)

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Learn nothing ahead: the learner learns as it reads. It only says what is wrong with X."""
        as_paths(X)
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """P(regime | returns so far), of shape (..., n_bars, 2), as a detector gives it."""
        from companion.heston import WidePrior, learner_filter

        paths, single = as_paths(X)
        if self.prior is None:
            _check_scale(paths)
        prior = WidePrior() if self.prior is None else self.prior
        every = np.repeat(paths, self.n_runs, axis=0)
        run = learner_filter(every, prior, n_markets=self.n_markets, seed=self.seed)
        posterior = run.p_regime.reshape(len(paths), self.n_runs, *run.p_regime.shape[1:]).mean(axis=1)
        if posterior.shape[-1] != 2:
            raise ValueError(f"prior must draw markets of two regimes to tell apart, got {posterior.shape[-1]}")
        return posterior[0] if single else posterior

    def predict(self, X: ArrayLike) -> NDArray[np.int8]:
        """Regime per bar after hysteresis, 0 stable and 1 chaos, of the shape of X."""
        p_chaos = self.predict_proba(X)[..., 1]
        return hysteresis(p_chaos, enter_chaos=self.enter_chaos, leave_chaos=self.leave_chaos)


def _check_scale(paths: Floats) -> None:
    """Refuse returns of a size that no market of the wide prior has."""
    low, high = 0.0001, 0.15
    rms = np.sqrt(np.mean(paths**2, axis=1))
    for path in np.flatnonzero((rms < low) | (rms > high)):
        raise ValueError(
            f"X must have a root mean square of {low:g} to {high:g} a bar, the volatilities of WidePrior, got "
            f"{rms[path]:.3g} in path {path}: multiply the returns by a number, which changes no regime"
        )
