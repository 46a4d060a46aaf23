"""What the neural detector must beat: an exponential average, GARCH and a hidden Markov model, all causal."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.special import expit

from companion._checks import Floats, Labels
from companion.regimes._clusters import KMeansRegimes
from companion.regimes._filter import RegimeFilter
from companion.regimes._hysteresis import ENTER, LEAVE

#: Returns enter `arch` and `hmmlearn` in percent: both are tuned for numbers of order one.
PERCENT = 100.0
#: Keeps the logarithm finite while returns are exactly zero; a daily volatility of one part in a hundred thousand.
SMALLEST_VARIANCE = 1e-10


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Silence a logger: hmmlearn warns when a likelihood falls, be it in the last digit of one of several starts."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def check_half_life(half_life: float) -> None:
    """Raise ValueError unless `half_life` is above zero."""
    if not half_life > 0:
        raise ValueError(f"half_life = {half_life} must be above zero")


def log_ewma(returns: Floats, variance: Floats, *, half_life: float) -> tuple[Floats, Floats]:
    """Exponentially weighted variance one bar on, its logarithm first; all of shape (n_paths,)."""
    decay = 0.5 ** (1.0 / half_life)
    variance = decay * variance + (1.0 - decay) * returns**2
    return np.log(variance + SMALLEST_VARIANCE), variance


class EwmaKMeans(KMeansRegimes):
    """K-Means on the log of an exponentially weighted variance: the baseline that costs three lines.

    Parameters
    ----------
    half_life : float, default=10.0
        Bars after which a squared return has half its weight.
    enter, leave, warm_up, seed
        See `RegimeFilter`.

    Attributes
    ----------
    initial_variance_ : float
        Mean squared return of the fitted paths, where the average starts.
    """

    def __init__(
        self,
        half_life: float = 10.0,
        *,
        enter: float = ENTER,
        leave: float = LEAVE,
        warm_up: int = 60,
        seed: int = 0,
    ) -> None:
        super().__init__(enter=enter, leave=leave, warm_up=warm_up, seed=seed)
        self.half_life = half_life

    def _fit_recursion(self, paths: Floats, labels: Labels | None = None) -> None:
        check_half_life(self.half_life)
        self.initial_variance_ = float(np.mean(paths**2))

    def _start(self, n_paths: int) -> Floats:
        return np.full(n_paths, self.initial_variance_)

    def _advance(self, returns: Floats, state: Floats) -> tuple[Floats, Floats]:
        level, variance = log_ewma(returns, state, half_life=self.half_life)
        return level[:, None], variance


class GarchKMeans(KMeansRegimes):
    """K-Means on the log of a GARCH(1, 1) forecast of the next bar's variance (Bollerslev 1986).

    `arch` estimates the parameters by Gaussian quasi-maximum likelihood, on all paths joined end to end; the recursion
    is then run forward on its own, one bar at a time, on whatever returns it is given.

    Parameters
    ----------
    enter, leave, warm_up, seed
        See `RegimeFilter`.

    Attributes
    ----------
    mean_, omega_, alpha_, beta_ : float
        Parameters of ``v[t+1] = omega + alpha (r[t] - mean)² + beta v[t]``, returns in percent.
    initial_variance_ : float
        Variance of the fitted paths, in percent squared, where the recursion starts.
    """

    def _fit_recursion(self, paths: Floats, labels: Labels | None = None) -> None:
        from arch import arch_model

        returns = PERCENT * paths.reshape(-1)
        result = arch_model(returns, mean="Constant", vol="GARCH", p=1, q=1, rescale=False).fit(
            disp="off", show_warning=False
        )
        if result.convergence_flag != 0:
            raise ValueError(f"X: GARCH(1, 1) did not converge on {returns.size} bars: fit on a longer series")
        names = ("mu", "omega", "alpha[1]", "beta[1]")
        self.mean_, self.omega_, self.alpha_, self.beta_ = (float(result.params[name]) for name in names)
        self.initial_variance_ = float(returns.var())

    def _start(self, n_paths: int) -> Floats:
        return np.full(n_paths, self.initial_variance_)

    def _advance(self, returns: Floats, state: Floats) -> tuple[Floats, Floats]:
        variance = self.omega_ + self.alpha_ * (PERCENT * returns - self.mean_) ** 2 + self.beta_ * state
        return np.log(variance + SMALLEST_VARIANCE)[:, None], variance


class GaussianHmmFilter(RegimeFilter):
    """Two-state Gaussian hidden Markov model (Hamilton 1989), filtered: it never looks ahead.

    `hmmlearn` fits the parameters by expectation-maximization, from several starts, the likeliest of which is kept.
    Its own `predict_proba` is smoothed (every bar sees the whole series), so the forward recursion here is our own, in
    the log domain.

    Parameters
    ----------
    n_restarts : int, default=5
        Random starts of the fit.
    enter, leave, warm_up, seed
        See `RegimeFilter`.

    Attributes
    ----------
    means_, variances_ : ndarray of shape (2,)
        Of the returns in percent; state 0 has the smaller variance.
    start_probability_ : ndarray of shape (2,)
    transition_ : ndarray of shape (2, 2)
        Row: from; column: to.
    """

    def __init__(
        self,
        n_restarts: int = 5,
        *,
        enter: float = ENTER,
        leave: float = LEAVE,
        warm_up: int = 60,
        seed: int = 0,
    ) -> None:
        super().__init__(enter=enter, leave=leave, warm_up=warm_up, seed=seed)
        self.n_restarts = n_restarts

    def _fit_recursion(self, paths: Floats, labels: Labels | None = None) -> None:
        if self.n_restarts < 1:
            raise ValueError(f"n_restarts = {self.n_restarts} must be at least 1")
        returns, lengths = PERCENT * paths.reshape(-1, 1), [paths.shape[1]] * len(paths)
        best = max(
            (self._fit_once(returns, lengths, start) for start in range(self.n_restarts)), key=lambda fit: fit[0]
        )
        model = best[1]
        order = np.argsort(model.covars_.reshape(-1))
        self.means_, self.variances_ = model.means_.reshape(-1)[order], model.covars_.reshape(-1)[order]
        self.start_probability_, self.transition_ = model.startprob_[order], model.transmat_[np.ix_(order, order)]
        if not (self.start_probability_ @ np.linalg.matrix_power(self.transition_, 64) > 1e-6).all():
            raise ValueError(
                "one regime is empty: the hidden Markov model gave a state no bars; fit on a longer series"
            )

    def _fit_once(self, returns: Floats, lengths: list[int], start: int) -> tuple[float, Any]:
        from hmmlearn.hmm import GaussianHMM

        model = GaussianHMM(n_components=2, n_iter=200, tol=1e-3 * len(lengths), random_state=self.seed * 1000 + start)
        with _quiet("hmmlearn.base"):
            model.fit(returns, lengths)
        return model.score(returns, lengths), model

    def _start(self, n_paths: int) -> Floats | None:
        return None

    def _advance(self, returns: Floats, state: Floats | None) -> tuple[Floats, Floats]:
        """One step of the forward algorithm; the state is the log posterior (n_paths, 2), None before the first bar."""
        with np.errstate(divide="ignore"):  # a probability of exactly zero is a logarithm of minus infinity
            if state is None:
                prior = np.broadcast_to(np.log(self.start_probability_), (len(returns), 2))
            else:
                prior = np.logaddexp.reduce(state[:, :, None] + np.log(self.transition_), axis=1)
        z2 = (PERCENT * returns[:, None] - self.means_) ** 2 / self.variances_
        joint = prior - 0.5 * (z2 + np.log(2.0 * np.pi * self.variances_))
        posterior = joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)
        return posterior, posterior

    def _score(self, features: Floats) -> Floats:
        return np.asarray(np.clip(features[..., 1], -100.0, 0.0) - np.clip(features[..., 0], -100.0, 0.0))

    def _confidence(self, features: Floats) -> Floats:
        return np.asarray(expit(-self._score(features)))
