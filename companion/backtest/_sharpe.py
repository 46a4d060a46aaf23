"""Is a Sharpe ratio evidence: after its length, its tails, and the number of strategies it was chosen from.

Bailey and López de Prado (2012, 2014). Returns are taken as independent; `performance_interval` does without that. The
papers write ratios per bar; here they are yearly, like all of the book, and only a track record is counted in bars.

The deflated ratio of the paper takes the mean of the largest of many ratios off and leaves the error of one ratio, but
the largest varies less. Beside it stands the chance with the law of the largest. Trials share luck, the market's: let
the ratio of each be that and luck of its own, of standard deviations c and s in units of the error of one, so that
``c**2 + s**2 = 1`` and s is the spread of the trials. Then without an edge the largest of n stays below z with chance

    E[Φ((z - c X) / s)**n],  X standard normal,

which is Φ(z) for copies of one strategy, and Φ(z)**n, Šidák's correction, for strangers.
"""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import quad
from scipy.special import ndtr, ndtri

from companion._checks import check_count, check_finite, check_positive
from companion.backtest._costs import BARS_PER_YEAR, cash_per_bar
from companion.backtest._performance import check_returns, sharpe_ratio

Floats = NDArray[np.float64]
Error = Literal["one", "largest"]
"""Whose luck the largest of many ratios is held against: that of one ratio, or that of the largest of as many."""


@dataclass(frozen=True)
class SharpeEvidence:
    """What the probability of a Sharpe ratio depends on.

    Parameters
    ----------
    sharpe : float
        Yearly Sharpe ratio.
    n_bars : int
        Number of returns.
    skewness, kurtosis : float
        Of the returns; 0 and 3 of normal ones. No distribution has a kurtosis below ``1 + skewness**2``.
    bars_per_year : float
        Bars in a year.

    Raises
    ------
    ValueError
        Names the argument out of range.
    """

    sharpe: float
    n_bars: int
    skewness: float = 0.0
    kurtosis: float = 3.0
    bars_per_year: float = BARS_PER_YEAR

    def __post_init__(self) -> None:
        for name in ("sharpe", "skewness", "kurtosis"):
            check_finite(name, getattr(self, name))
        check_positive("bars_per_year", self.bars_per_year)
        if check_count("n_bars", self.n_bars) < 2:
            raise ValueError(f"n_bars must be at least 2, got {self.n_bars}")
        least = 1.0 + self.skewness**2
        if self.kurtosis < least - 1e-9 * least:
            raise ValueError(
                f"kurtosis must be at least 1 + skewness**2 = {least:.6g}, got {self.kurtosis}: give the fourth "
                f"standardized moment, 3 of normal returns, not its excess over 3"
            )

    @classmethod
    def of(
        cls, returns: ArrayLike, *, cash_rate: float | ArrayLike = 0.0, bars_per_year: float = BARS_PER_YEAR
    ) -> Self:
        """Evidence of simple returns of shape (n_bars,), in excess of cash; arguments as in `performance`."""
        earned = check_returns(returns, "returns")
        ratio = sharpe_ratio(earned, cash_rate=cash_rate, bars_per_year=bars_per_year)
        if not np.isfinite(ratio):
            raise ValueError("returns must vary: the Sharpe ratio of a constant is undefined")
        excess = earned - cash_per_bar(cash_rate, bars_per_year)
        centered = (excess - excess.mean()) / excess.std()
        third, fourth = (float(np.mean(centered**power)) for power in (3, 4))
        return cls(ratio, earned.size, third, fourth, bars_per_year)

    def probability_above(self, benchmark: float) -> float:
        """Probability that the true yearly Sharpe ratio exceeds `benchmark` (2012, equation 11)."""
        gap = (self.sharpe - check_finite("benchmark", benchmark)) / np.sqrt(self.bars_per_year)
        return float(ndtr(gap * np.sqrt((self.n_bars - 1) / self._variance)))

    def bars_to_prove(self, benchmark: float, *, level: float = 0.95) -> float:
        """Bars after which `probability_above` a benchmark reaches `level` (2012, equation 13); infinite if never."""
        if not 0.5 < level < 1.0:
            raise ValueError(f"level must lie in (0.5, 1), got {level}")
        gap = (self.sharpe - check_finite("benchmark", benchmark)) / np.sqrt(self.bars_per_year)
        return float(1.0 + self._variance * (ndtri(level) / gap) ** 2) if gap > 0.0 else np.inf

    def deflated(self, trials: ArrayLike, *, error: Error = "one") -> float:
        """`deflated_sharpe_ratio` from the yearly Sharpe ratios of all that were tried, shape (n_trials,)."""
        if error not in ("one", "largest"):
            raise ValueError(f"error must be 'one' or 'largest', got {error!r}")
        ratios = np.asarray(trials, dtype=np.float64)
        if ratios.ndim != 1 or np.isinf(ratios).any():
            raise ValueError(f"trials must be finite Sharpe ratios of shape (n_trials,), got shape {ratios.shape}")
        ratios = ratios[~np.isnan(ratios)]
        highest = ratios.max(initial=-np.inf)
        if highest < self.sharpe - 1e-6 * abs(self.sharpe):
            raise ValueError(
                f"trials must hold the chosen strategy too, of Sharpe ratio {self.sharpe:.6g}, got none above "
                f"{highest:.6g}: give all that were tried, as yearly ratios or as returns"
            )
        spread = float(ratios.std(ddof=1)) if ratios.size > 1 else 0.0
        if error == "one":
            return self.probability_above(expected_max_sharpe(ratios.size, spread))
        own = math.sqrt(self._variance / (self.n_bars - 1) * self.bars_per_year)
        return _largest_below(self.sharpe / own, spread / own, ratios.size)

    @property
    def _variance(self) -> float:
        """Asymptotic variance of √`n_bars` times the ratio per bar (2012, equation 11, under the root)."""
        ratio = self.sharpe / np.sqrt(self.bars_per_year)
        variance = 1.0 - self.skewness * ratio + (self.kurtosis - 1.0) / 4.0 * ratio**2
        if not variance > 0.0:
            raise ValueError("returns must take more than two values: their Sharpe ratio has no asymptotic variance")
        return float(variance)


def probabilistic_sharpe_ratio(
    returns: ArrayLike,
    *,
    benchmark: float = 0.0,
    cash_rate: float | ArrayLike = 0.0,
    bars_per_year: float = BARS_PER_YEAR,
) -> float:
    """Probability that the true Sharpe ratio exceeds a benchmark (Bailey and López de Prado 2012, equation 11).

    Parameters
    ----------
    returns : array_like
        Simple returns, shape (n_bars,).
    benchmark : float
        Yearly Sharpe ratio to be exceeded.
    cash_rate, bars_per_year
        As in `performance`.

    Raises
    ------
    ValueError
        Names the argument that is out of range or non-finite, or returns without variation.
    """
    return SharpeEvidence.of(returns, cash_rate=cash_rate, bars_per_year=bars_per_year).probability_above(benchmark)


def minimum_track_record_length(
    returns: ArrayLike,
    *,
    benchmark: float = 0.0,
    level: float = 0.95,
    cash_rate: float | ArrayLike = 0.0,
    bars_per_year: float = BARS_PER_YEAR,
) -> float:
    """Bars after which such returns would prove a Sharpe ratio above a benchmark (2012, equation 13).

    Infinite if their ratio is not above it. Parameters and errors as in `probabilistic_sharpe_ratio`; `level` is the
    probability to be reached, in (0.5, 1).
    """
    evidence = SharpeEvidence.of(returns, cash_rate=cash_rate, bars_per_year=bars_per_year)
    return evidence.bars_to_prove(benchmark, level=level)


def expected_max_sharpe(n_trials: float, spread: float) -> float:
    """Expected largest Sharpe ratio of strategies without an edge (Bailey and López de Prado 2014, equation 1).

    Parameters
    ----------
    n_trials : float
        Number of independent strategies, at least 1; an effective number need not be whole.
    spread : float
        Standard deviation of their Sharpe ratios, in the unit of the result.
    """
    if not 1.0 <= n_trials < np.inf:
        raise ValueError(f"n_trials must be finite and at least 1, got {n_trials}")
    if not 0.0 <= spread < np.inf:
        raise ValueError(f"spread must be finite and not negative, got {spread}")
    if n_trials == 1.0:
        return 0.0
    typical, rare = ndtri(1.0 - 1.0 / n_trials), ndtri(1.0 - 1.0 / (n_trials * math.e))
    return float(spread * ((1.0 - np.euler_gamma) * typical + np.euler_gamma * rare))


def deflated_sharpe_ratio(
    returns: ArrayLike,
    *,
    trials: ArrayLike,
    error: Error = "one",
    cash_rate: float | ArrayLike = 0.0,
    bars_per_year: float = BARS_PER_YEAR,
) -> float:
    """Probability that the true Sharpe ratio of the chosen of many strategies is above zero (2014, equation 2).

    The benchmark is `expected_max_sharpe` of as many strategies, with ratios as far apart, as were tried. They count as
    independent. Those on one market are not; `effective_trials` says how many they amount to. Where nothing has an edge
    the result exceeds .95 in at most one search of twenty, and in far fewer if many independent strategies were tried:
    the largest of many ratios varies less than the ratio of one. With ``error="largest"`` it is the chance that the
    largest of as many ratios without an edge, as far apart, stays below the chosen one. That exceeds .95 in one search
    of twenty, whether the trials are strangers or share their luck; in fewer where some are nearer to each other than
    to the rest, as neighbors of a parameter are.

    Parameters
    ----------
    returns : array_like
        Simple returns of the chosen strategy, shape (n_bars,).
    trials : array_like
        All strategies that were tried, the chosen one too: their yearly Sharpe ratios, shape (n_trials,), or their
        returns, shape (n_bars, n_trials). One without a ratio (NaN), which never traded, could not be chosen and does
        not count.
    error : {"one", "largest"}
        Whose luck the chosen ratio is held against: that of one ratio, as in the paper, or of the largest.
    cash_rate, bars_per_year
        As in `performance`.

    Raises
    ------
    ValueError
        As `probabilistic_sharpe_ratio`, or when no trial has a ratio as high as the chosen strategy.
    """
    evidence = SharpeEvidence.of(returns, cash_rate=cash_rate, bars_per_year=bars_per_year)
    tried = np.asarray(trials, dtype=np.float64)
    if tried.ndim == 2:
        ratio = partial(sharpe_ratio, cash_rate=cash_rate, bars_per_year=bars_per_year)
        tried = np.array([ratio(one) for one in check_trials(tried).T])
    return evidence.deflated(tried, error=error)


def _largest_below(z: float, spread: float, n_trials: int) -> float:
    """Chance that the largest of `n_trials` ratios without an edge is below z; z and `spread` in errors of one."""
    own = min(spread, 1.0)  # an estimate may come out larger
    if own < 1e-6:
        return float(ndtr(z))
    shared = math.sqrt(1.0 - own**2)

    def weighted(x: float) -> float:
        return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi) * ndtr((z - shared * x) / own) ** n_trials

    step = z / shared if shared > 0.0 else 0.0  # about which the second factor falls from 1 to 0
    below = min(max(step - 8.0 * own, -10.0), 10.0)
    return min(float(quad(weighted, -10.0, below)[0] + quad(weighted, below, 10.0)[0]), 1.0)


def effective_trials(returns: ArrayLike) -> float:
    """Number of independent strategies that correlated ones amount to (Bailey and López de Prado 2014, equation 9).

    It is ``r + (1 - r) * n_trials`` for their mean correlation r, a line between one strategy and `n_trials`; a
    negative r counts as none.

    Parameters
    ----------
    returns : array_like
        Returns of all strategies that were tried, shape (n_bars, n_trials). One that never varies does not count.
    """
    tried = check_trials(np.asarray(returns, dtype=np.float64))
    varied = tried[:, np.ptp(tried, axis=0) > 0.0]
    n_trials = varied.shape[1]
    if n_trials < 2:
        return float(n_trials)
    scores = (varied - varied.mean(axis=0)) / varied.std(axis=0)
    # The sum of all correlations is the mean square of the sum of the scores.
    mean = (np.mean(scores.sum(axis=1) ** 2) - n_trials) / (n_trials * (n_trials - 1))
    return float(n_trials - max(mean, 0.0) * (n_trials - 1))


def check_trials(returns: Floats) -> Floats:
    """A table of returns with a row a bar and a column a strategy, or a `ValueError`."""
    if returns.ndim != 2 or min(returns.shape) < 1:
        raise ValueError(f"returns of trials must have shape (n_bars, n_strategies), got {returns.shape}")
    n_bars, n_trials = returns.shape
    if n_bars < n_trials:
        raise ValueError(
            f"returns of trials must have a row a bar, got {n_bars} rows of {n_trials}, fewer bars than strategies: "
            f"give its transpose"
        )
    bad = ~np.isfinite(returns) | (returns < -1.0)
    if bad.any():
        bar, one = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"returns of trials must be finite and at least -1, got {returns[bar, one]} at bar {bar} of strategy {one}"
        )
    return returns
