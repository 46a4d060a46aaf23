"""The posterior of a two-state Gaussian hidden Markov model, forward only."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from companion._checks import Floats, check_count
from companion.regimes._features import Feature

#: Log posteriors below this are this: a score is finite.
SMALLEST_LOG = -100.0


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Silence a logger: hmmlearn warns when a likelihood falls, be it in the last digit of one of several starts."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


@dataclass
class HiddenMarkov(Feature):
    """Log posterior (…, 2) of the two states, the calmer first.

    `hmmlearn` fits the parameters by expectation-maximization, from several starts, the likeliest of which is kept. Its
    own `predict_proba` is smoothed (every bar sees the whole series), so the forward recursion here is our own, in the
    log domain.

    Parameters
    ----------
    n_restarts : int, default=5
        Random starts of the fit.

    Attributes
    ----------
    scale_ : float
        Root mean square of the fitted returns, the unit of what follows.
    means_, variances_ : ndarray of shape (2,)
        State 0 has the smaller variance.
    start_probability_ : ndarray of shape (2,)
    transition_ : ndarray of shape (2, 2)
        Row: from; column: to.
    """

    n_restarts: int = 5

    def fit(self, paths: Floats, *, warm_up: int, seed: int) -> Self:
        """Estimate; ValueError where one state has no bars."""
        check_count("n_restarts", self.n_restarts)
        self.scale_ = float(np.sqrt(np.mean(paths**2)))
        returns, lengths = paths.reshape(-1, 1) / self.scale_, [paths.shape[1]] * len(paths)
        fits = (_fit_once(returns, lengths, seed * 1000 + start) for start in range(self.n_restarts))
        _, model = max(fits, key=lambda fit: fit[0])
        order = np.argsort(model.covars_.reshape(-1))
        self.means_, self.variances_ = model.means_.reshape(-1)[order], model.covars_.reshape(-1)[order]
        self.start_probability_, self.transition_ = model.startprob_[order], model.transmat_[np.ix_(order, order)]
        if not (self.start_probability_ @ np.linalg.matrix_power(self.transition_, 64) > 1e-6).all():
            raise ValueError(
                "X must show two regimes, got one that is empty in the hidden Markov model: fit on more bars"
            )
        return self

    def start(self, n_paths: int) -> Floats | None:
        """Nothing known."""
        return None

    def advance(self, returns: Floats, state: Floats | None) -> tuple[Floats, Floats]:
        """One step of the forward algorithm; the state is the log posterior (n_paths, 2), None before the first bar."""
        with np.errstate(divide="ignore"):  # a probability of exactly zero is a logarithm of minus infinity
            if state is None:
                prior = np.broadcast_to(np.log(self.start_probability_), (len(returns), 2))
            else:
                prior = np.logaddexp.reduce(state[:, :, None] + np.log(self.transition_), axis=1)
        z2 = (returns[:, None] / self.scale_ - self.means_) ** 2 / self.variances_
        joint = prior - 0.5 * (z2 + np.log(2.0 * np.pi * self.variances_))
        posterior = joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)
        return np.maximum(posterior, SMALLEST_LOG), posterior


def _fit_once(returns: Floats, lengths: list[int], seed: int) -> tuple[float, Any]:
    from hmmlearn.hmm import GaussianHMM

    model = GaussianHMM(n_components=2, n_iter=200, tol=1e-3 * len(lengths), random_state=seed)
    with _quiet("hmmlearn.base"):
        model.fit(returns, lengths)
    return model.score(returns, lengths), model
