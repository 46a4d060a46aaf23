r"""The best possible observer who does not know the market, only the kind of markets there are.

Given the returns so far the market is :math:`\theta` with a density that is proportional to its prior times its
likelihood, and so

.. math:: \mathrm P(\text{regime} \mid r_{1:t}) = \int \mathrm P_\theta(\text{regime} \mid r_{1:t}) \,
          p(\theta \mid r_{1:t}) \, d\theta,

where the observer who knows the market (`companion.heston._grid_filter`) gives both the probability and the likelihood.
A few hundred markets stand for the integral. They are weighted by their likelihoods bar by bar; when few are left that
matter, the population is refined: it is resampled, and each survivor begins a short Markov chain that keeps the law of
the markets given the past, all of whose members are kept. What a filter that is trained on the prior can at best become
is this observer; one who knows the market is a ceiling above.

References
----------
Chopin (2002), "A sequential particle filter method for static models", Biometrika 89(3), doi:10.1093/biomet/89.3.539.
Dau and Chopin (2022), "Waste-free sequential Monte Carlo", Journal of the Royal Statistical Society B 84(1),
doi:10.1111/rssb.12475. Cotter, Roberts, Stuart and White (2013), "MCMC Methods for Functions", Statistical Science
28(3), doi:10.1214/13-STS421, for the proposal.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_triangular
from scipy.special import ndtr

from companion._checks import as_paths, check_count, check_seed
from companion.heston._grid_filter import SPACING, GridFilter
from companion.heston._switching import RegimeSwitchingHeston
from companion.heston.kernels._blocks import for_blocks

Array = NDArray[np.float64]

FEWEST_EFFECTIVE = 0.25
"""Share of the markets; below it the population is refined."""
CHAIN = 4
"""Members of a chain, its survivor included."""
STEPS = (0.3, 0.6, 1.0)
"""Lengths of a step of the chain, from a small one to a fresh draw from the normal law that fits the population."""
LOOK, FIRST_LOOK, EARLY = 20, 5, 100
"""Bars between two looks at the weights; fewer in the first hundred, where the likelihood narrows fast."""
SHARE_FITTED = 0.5
"""Of the steps; they go by the law that fits the population. The others draw few coordinates anew from the prior, about
`FEW`, which keeps wide what the returns say little of."""
FEW = 3
WIDER, RIDGE = 1.3, 1e-2
"""The fitted law is wider than the population, by a factor and by a variance: too narrow it could never widen again."""


class Prior(Protocol):
    """A law of markets, named by uniform quantiles, as `WidePrior` is one."""

    n_coordinates: int

    def market(self, quantiles: ArrayLike) -> RegimeSwitchingHeston:
        """The market at these quantiles, (n_coordinates,), with as many regimes as all others."""


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
        ``1 / sum(weight**2)``, between 1 and the number of markets.
    n_refined : int array of shape (n_paths,)
        How often the markets were refined.
    """

    p_regime: Array
    log_likelihood: Array
    effective_markets: Array
    n_refined: NDArray[np.int64]


def learner_filter(
    returns: ArrayLike,
    prior: Prior,
    *,
    n_markets: int = 512,
    dt: float = 1 / 252,
    substeps: int = 4,
    spacing: float = SPACING,
    seed: int | np.random.Generator,
) -> LearnerRun:
    """P(regime | returns so far) for an observer who knows only the prior of the market.

    It takes about eight seconds a path of 2,500 bars. With 512 markets two seeds differ by about .08 in probability;
    the error goes with the root of their number.

    Parameters
    ----------
    returns : array of shape (n_bars,) or (n_paths, n_bars)
        Log returns; paths are filtered independently of each other.
    prior : Prior
        `WidePrior`, or any other.
    n_markets : int
        Markets that stand for all: a multiple of 4, at least 16.
    dt, substeps, spacing
        As of a `GridFilter`.
    seed : int or numpy.random.Generator

    Raises
    ------
    ValueError
        If `returns` are not log returns, or an argument is out of range; the message names it.
    """
    paths, single = as_paths(returns, name="returns")
    if check_count("n_markets", n_markets) % CHAIN or n_markets < 4 * CHAIN:
        raise ValueError(f"n_markets must be a multiple of {CHAIN}, at least {4 * CHAIN}, got {n_markets}")
    check_seed(seed)
    seeds = np.random.default_rng(seed).integers(2**63, size=len(paths))

    def filter_of(z: Array) -> GridFilter:
        return GridFilter(prior.market(ndtr(z)), dt=dt, substeps=substeps, spacing=spacing)

    n_regimes = len(prior.market(np.full(prior.n_coordinates, 0.5)).regimes)
    run = LearnerRun(
        np.empty((*paths.shape, n_regimes)), np.empty(paths.shape), np.empty(paths.shape), np.zeros(len(paths), int)
    )

    def block(first: int, last: int) -> None:
        for i in range(first, last):
            population = _Population(filter_of, n_markets, prior.n_coordinates, np.random.default_rng(seeds[i]))
            for bars in _looks(paths.shape[1]):
                if population.is_poor:
                    population.refine(paths[i, : bars.start])
                    run.n_refined[i] += 1
                said = population.advance(paths[i, bars])
                run.p_regime[i, bars], run.log_likelihood[i, bars], run.effective_markets[i, bars] = said

    for_blocks(block, len(paths), block=1)
    kept = 0 if single else slice(None)
    return LearnerRun(run.p_regime[kept], run.log_likelihood[kept], run.effective_markets[kept], run.n_refined[kept])


def _looks(n_bars: int) -> list[slice]:
    edges = [*range(0, min(EARLY, n_bars), FIRST_LOOK), *range(EARLY, n_bars, LOOK), n_bars]
    return [slice(*pair) for pair in pairwise(edges)]


class _Population:
    """Weighted markets at one bar, each with the filter that knows it."""

    def __init__(
        self, filter_of: Callable[[Array], GridFilter], n_markets: int, n_coordinates: int, rng: np.random.Generator
    ) -> None:
        self.filter_of, self.rng = filter_of, rng
        self.z = rng.standard_normal((n_markets, n_coordinates))
        self.filters = [filter_of(z) for z in self.z]
        self.log_likelihood = np.zeros(n_markets)  # of the whole past
        self.weight = np.full(n_markets, 1 / n_markets)

    @property
    def is_poor(self) -> bool:
        """Whether too few markets are left that matter."""
        return bool(1 / (self.weight**2).sum() < FEWEST_EFFECTIVE * len(self.weight))

    def advance(self, returns: Array) -> tuple[Array, Array, Array]:
        """Take in returns (n,): P(regime) (n, n_regimes), log likelihood and effective number after each."""
        said = [each.advance(returns) for each in self.filters]
        total = np.cumsum([log_likelihood for _, log_likelihood in said], axis=1)
        largest = total.max(axis=0)
        weight = self.weight[:, None] * np.exp(total - largest)
        evidence = weight.sum(axis=0)
        weight /= evidence
        self.log_likelihood += total[:, -1]
        self.weight = weight[:, -1]
        p_regime = np.einsum("mt,mtk->tk", weight, np.array([p for p, _ in said]))
        return p_regime, np.diff(np.log(evidence) + largest, prepend=0.0), 1 / (weight**2).sum(axis=0)

    def refine(self, past: Array) -> None:
        """Resample, and let each survivor begin a chain that keeps the law of the markets given the past."""
        mean = self.weight @ self.z
        spread = self.z - mean
        fitted = (self.weight[:, None] * spread).T @ spread
        root = np.linalg.cholesky(WIDER**2 * fitted + RIDGE * np.eye(self.z.shape[1]))
        n_chains = len(self.weight) // CHAIN
        targets = (self.rng.random() + np.arange(n_chains)) / n_chains
        survivors = np.searchsorted(np.cumsum(self.weight), targets).clip(max=len(self.weight) - 1)
        members = []
        for i in survivors:
            member = self.z[i], self.filters[i], self.log_likelihood[i]
            for link in range(CHAIN):
                member = self._moved(member, mean, root, past) if link else member
                members.append((member[0], member[1].copy(), member[2]))
        self.z = np.array([z for z, _, _ in members])
        self.filters = [each for _, each, _ in members]
        self.log_likelihood = np.array([value for _, _, value in members])
        self.weight = np.full(len(members), 1 / len(members))

    def _moved(
        self, member: tuple[Array, GridFilter, float], mean: Array, root: NDArray[Any], past: Array
    ) -> tuple[Array, GridFilter, float]:
        """The next member of a chain: by Metropolis and Hastings, with steps that keep the fitted normal law."""
        z, _, log_likelihood = member
        step = self.rng.choice(STEPS)
        noise, gain = self.rng.standard_normal(len(z)), 0.0
        if self.rng.random() < SHARE_FITTED:
            proposed = mean + math.sqrt(1 - step**2) * (z - mean) + step * (root @ noise)
            gain = _excess(proposed, mean, root) - _excess(z, mean, root)
        else:
            chosen = self.rng.random(len(z)) < FEW / len(z)
            proposed = np.where(chosen, math.sqrt(1 - step**2) * z + step * noise, z)
        each = self.filter_of(proposed)
        value = float(each.advance(past)[1].sum())
        accepted = math.log(self.rng.random()) < value - log_likelihood + gain
        return (proposed, each, value) if accepted else member


def _excess(z: Array, mean: Array, root: NDArray[Any]) -> float:
    """Log density of the standard normal prior over that of the fitted normal law, up to a constant."""
    standard = solve_triangular(root, z - mean, lower=True)
    return float(0.5 * (standard @ standard - z @ z))
