"""Does the best of many backtests stay good: the probability of overfitting.

Combinatorially symmetric cross-validation (Bailey, Borwein, López de Prado and Zhu 2017): cut time into blocks, take
every half of them as the past, choose there, and look how the chosen strategy ranks in the other half.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import check_positive
from companion._jit import compiled
from companion.backtest._costs import BARS_PER_YEAR, cash_per_bar
from companion.backtest._sharpe import check_trials

Floats = NDArray[np.float64]

#: A variance this small beside the mean square is rounding.
_NOISE = 1e-12
#: 184,756 splits; each two blocks more make them four times as many.
_MOST_BLOCKS = 20


@dataclass(frozen=True, eq=False)
class Overfitting:
    """How the strategy that was best in one half of the blocks did in the other, for every half.

    Attributes
    ----------
    chosen : ndarray of shape (n_splits,)
        The strategy with the highest Sharpe ratio in sample, the first of several.
    in_sample : ndarray of shape (n_splits,)
        Its yearly Sharpe ratio in the half that chose it.
    out_of_sample : ndarray of shape (n_splits,)
        And in the other half.
    logits : ndarray of shape (n_splits,)
        ``log(w / (1 - w))`` of its relative rank out of sample ``w = rank / (n_strategies + 1)``; strategies of equal
        ratio share their mean rank.
    """

    chosen: NDArray[np.int64]
    in_sample: Floats
    out_of_sample: Floats
    logits: Floats

    @property
    def probability(self) -> float:
        """Share of splits in which the chosen strategy is at the median out of sample or below (2017, section 3.1)."""
        return float(np.mean(self.logits <= 0.0))

    @property
    def probability_of_loss(self) -> float:
        """Share of splits in which the chosen strategy earns less than cash out of sample (2017, section 3.3)."""
        return float(np.mean(self.out_of_sample < 0.0))

    @property
    def slope(self) -> float:
        """Change of the ratio out of sample with that in sample, by least squares (2017, section 3.2).

        NaN if that in sample never changes.
        """
        spread = self.in_sample - self.in_sample.mean()
        squares = spread @ spread
        return float(spread @ self.out_of_sample / squares) if squares > 0.0 else np.nan


def probability_of_overfitting(
    returns: ArrayLike,
    *,
    n_blocks: int = 16,
    cash_rate: float | ArrayLike = 0.0,
    bars_per_year: float = BARS_PER_YEAR,
) -> Overfitting:
    """Probability that the best of many strategies is below the median of all on other bars.

    Parameters
    ----------
    returns : array_like
        Simple returns of every strategy that was tried, shape (n_bars, n_strategies).
    n_blocks : int
        Even number of blocks, 20 at most, of equal length to a bar: the first are longer. 16 have 12,870 halves.
    cash_rate : float or array_like
        As in `performance`.
    bars_per_year : float
        Bars in a year.

    Raises
    ------
    ValueError
        Names the argument out of range, a table of fewer bars than strategies, or a strategy that does not vary on half
        of the blocks.
    """
    tried = check_trials(np.asarray(returns, dtype=np.float64))
    cash = cash_per_bar(cash_rate, bars_per_year)
    if cash.shape not in ((), tried.shape[:1]):
        raise ValueError(f"cash_rate must be a number or one for each of {len(tried)} bars, got shape {cash.shape}")
    excess = tried - cash.reshape(-1, 1)
    _check_blocks(n_blocks, len(excess))
    blocks = np.array_split(excess, n_blocks)
    return overfitting_of_blocks(
        np.stack([block.sum(axis=0) for block in blocks], axis=1),
        np.stack([np.square(block).sum(axis=0) for block in blocks], axis=1),
        np.array([len(block) for block in blocks]),
        bars_per_year=bars_per_year,
    )


def overfitting_of_blocks(
    sums: Floats, squares: Floats, sizes: NDArray[np.int64], *, bars_per_year: float = BARS_PER_YEAR
) -> Overfitting:
    """`probability_of_overfitting` from what it needs to know of the returns, for more strategies than fit in memory.

    Parameters
    ----------
    sums, squares : ndarray of shape (n_strategies, n_blocks)
        Sums over each block of the returns in excess of cash, and of their squares.
    sizes : ndarray of shape (n_blocks,)
        Bars of each block.
    bars_per_year : float
        Bars in a year.
    """
    n_strategies, n_blocks = sums.shape
    if n_strategies < 2:
        raise ValueError(f"returns must be of at least 2 strategies, got {n_strategies}")
    _check_blocks(n_blocks, int(sizes.sum()))
    splits = list(combinations(range(n_blocks), n_blocks // 2))
    half = np.zeros((len(splits), n_blocks), dtype=bool)
    np.put_along_axis(half, np.array(splits), values=True, axis=1)
    moments = np.stack([np.broadcast_to(sizes, sums.shape), sums, squares]).astype(np.float64)
    chosen, ratios, rank = np.empty(len(half), np.int64), np.empty((len(half), 2)), np.empty(len(half))
    split, strategy = _choose(half, np.ascontiguousarray(moments.swapaxes(1, 2)), chosen, ratios, rank)
    if strategy >= 0:
        raise ValueError(
            f"returns must vary on every half of the blocks, got none of strategy {strategy} on blocks "
            f"{np.flatnonzero(half[split]).tolist()} or on the others: leave it out, or take fewer blocks"
        )
    best, other = ratios.T * np.sqrt(check_positive("bars_per_year", bars_per_year))
    return Overfitting(chosen, best, other, np.log(rank / (n_strategies + 1.0 - rank)))


@compiled(nogil=True, error_model="numpy")
def _choose(
    half: NDArray[np.bool_], moments: Floats, chosen: NDArray[np.int64], ratios: Floats, rank: Floats
) -> tuple[int, int]:
    """Fill chosen strategy, its Sharpe ratios per bar within and without, and its rank, for each mask of the blocks.

    `moments` are bars, sums and sums of squares, shape (3, n_blocks, n_strategies). Returns the split and the strategy
    that does not vary, or -1 and -1. A product of matrices would be faster, and break ties by rounding.
    """
    n_blocks, n_strategies = moments.shape[1:]
    for split in range(half.shape[0]):
        sums = np.zeros((2, 3, n_strategies))
        for block in range(n_blocks):
            sums[1 - int(half[split, block])] += moments[:, block]
        mean, mean_square = sums[:, 1] / sums[:, 0], sums[:, 2] / sums[:, 0]
        variance = (mean_square - mean**2) * sums[:, 0] / (sums[:, 0] - 1.0)
        for strategy in range(n_strategies):
            for side in range(2):
                if not variance[side, strategy] > _NOISE * mean_square[side, strategy]:
                    return split, strategy
        sharpe = mean / np.sqrt(variance)
        one = sharpe[0].argmax()
        chosen[split], ratios[split] = one, sharpe[:, one]
        below, equal = (sharpe[1] < sharpe[1, one]).sum(), (sharpe[1] == sharpe[1, one]).sum()
        rank[split] = below + (equal + 1.0) / 2.0
    return -1, -1


def _check_blocks(n_blocks: int, n_bars: int) -> None:
    if n_blocks not in range(2, _MOST_BLOCKS + 1, 2):
        raise ValueError(f"n_blocks must be an even number from 2 to {_MOST_BLOCKS}, got {n_blocks!r}")
    if n_bars < 2 * n_blocks:
        raise ValueError(f"n_blocks must be at most half the number of bars, {n_bars}, got {n_blocks}")
