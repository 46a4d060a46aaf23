r"""The best possible observer who does not know the market, only the kind of markets there are.

Let the market be one of many, each as likely as the others beforehand. Given the returns so far it is market m with the
weight :math:`w_m \propto p_m(r_1, \dots, r_t)`, its likelihood, and so

.. math:: \mathrm P(\text{regime} \mid r_1, \dots, r_t) = \sum_m w_m \, \mathrm P_m(\text{regime} \mid r_1, \dots, r_t),

where the particle filter that knows market m (`companion.heston._bayes_filter`) gives both. Markets drawn from a prior
make it the answer of who knows the prior: what a filter that is trained on that prior can at best become. A filter that
knows the market is a ceiling above that one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import as_paths, check_seed
from companion.heston._bayes_filter import run_bayes_filter
from companion.heston._switching import RegimeSwitchingHeston

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LearnerRun:
    """What an observer says who learns the market as he goes; without the leading axis for a single path.

    Attributes
    ----------
    p_regime : float64 array of shape (n_paths, n_bars, n_regimes)
        P(regime of the bar | returns up to and including that bar).
    log_likelihood : float64 array of shape (n_paths, n_bars)
        Log density of each return given the ones before it.
    effective_markets : float64 array of shape (n_paths, n_bars)
        ``1 / sum(weight**2)``, between 1 and the number of markets. Where it is small, the draw of the markets decides:
        draw more of them, or nearer to those that are left.
    """

    p_regime: Array
    log_likelihood: Array
    effective_markets: Array


def learner_filter(
    returns: ArrayLike,
    markets: Iterable[RegimeSwitchingHeston],
    *,
    dt: float = 1 / 252,
    substeps: int = 4,
    n_particles: int = 300,
    seed: int | np.random.Generator,
) -> LearnerRun:
    """P(regime | returns so far) for an observer who knows only that the market is one of `markets`.

    Parameters
    ----------
    returns : array of shape (n_bars,) or (n_paths, n_bars)
        Log returns; paths are filtered independently of each other.
    markets : iterable of RegimeSwitchingHeston
        Equally likely beforehand, with as many regimes each; draws of ``RegimeSwitchingHeston.random`` for its prior.
        They are taken one at a time: what is held in memory does not grow with their number.
    dt, substeps, n_particles
        As in `bayes_filter`, the particles for each market.
    seed : int or numpy.random.Generator

    Raises
    ------
    ValueError
        If `returns` are not log returns, there is no market, their numbers of regimes differ, or an argument is out of
        range; the message names it.
    """
    paths, single = as_paths(returns, name="returns")
    check_seed(seed)
    rng = np.random.default_rng(seed)
    total = squares = np.full(paths.shape, -np.inf)  # logs of the sums of the weights and of their squares
    shares, n_markets = np.zeros((*paths.shape, 1)), 0
    for market in markets:
        run = run_bayes_filter(paths, market, dt=dt, substeps=substeps, n_particles=n_particles, seed=rng)
        if n_markets and run.p_regime.shape != shares.shape:
            n_regimes = shares.shape[-1], run.p_regime.shape[-1]
            raise ValueError(f"markets must have as many regimes each, got {n_regimes[0]} and {n_regimes[1]}")
        weight = np.cumsum(run.log_likelihood, axis=-1)
        before, total = total, np.logaddexp(total, weight)
        squares = np.logaddexp(squares, 2.0 * weight)
        shares = np.exp(before - total)[..., None] * shares + np.exp(weight - total)[..., None] * run.p_regime
        n_markets += 1
    if not n_markets:
        raise ValueError("markets must hold at least one, got none")
    log_likelihood = np.diff(total - np.log(n_markets), axis=-1, prepend=0.0)
    kept = 0 if single else slice(None)
    return LearnerRun(shares[kept], log_likelihood[kept], np.exp(2.0 * total - squares)[kept])
