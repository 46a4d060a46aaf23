"""Stationary resamples of a series (Politis and Romano 1994), compiled: blocks of geometric length, around the end.

A Sharpe ratio is a function of two sums, and sums over a block are differences of running sums: a resample costs a few
operations a block, not a bar.
"""

import numpy as np
from numpy.typing import NDArray

from companion._jit import compiled

Floats = NDArray[np.float64]


@compiled(nogil=True, error_model="numpy")
def _draw_blocks(
    n_bars: int, mean_block: float, rng: np.random.Generator, first: NDArray[np.int64], stop: NDArray[np.int64]
) -> int:
    """Draw one resample: fill first bars and bars after the last of its blocks, and return how many there are.

    A block that runs beyond ``n_bars`` goes on at bar 0; the last block is cut, so that the resample has `n_bars` bars.
    """
    # The inverse of the geometric distribution function; ends are new at each bar where the mean length is 1.
    scale = 1.0 / np.log1p(-1.0 / mean_block) if mean_block > 1.0 else 0.0
    n_blocks, missing = 0, n_bars
    while missing > 0:
        length = min(1 + int(np.log(1.0 - rng.random()) * scale), missing)
        first[n_blocks] = int(rng.random() * n_bars)
        stop[n_blocks] = first[n_blocks] + length
        n_blocks, missing = n_blocks + 1, missing - length
    return n_blocks


@compiled(nogil=True, error_model="numpy")
def draw_bars(n_bars: int, mean_block: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Bars of one resample, shape (n_bars,)."""
    first, stop, bars = np.empty(n_bars, np.int64), np.empty(n_bars, np.int64), np.empty(n_bars, np.int64)
    filled = 0
    for block in range(_draw_blocks(n_bars, mean_block, rng, first, stop)):
        for bar in range(first[block], stop[block]):
            bars[filled] = bar % n_bars
            filled += 1
    return bars


def resample_sharpe(
    excess: Floats, *, mean_block: float, n_resamples: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Sharpe ratio per bar on each resample, of one series less that of a second if there are two; and its error.

    Parameters
    ----------
    excess : ndarray
        Returns in excess of cash, shape (n_series, n_bars) with one or two series.

    Returns
    -------
    draws, errors : ndarray
        Shape (n_resamples,): the statistic, NaN where a series does not vary, and its standard error as the blocks of
        the resample show it (Ledoit and Wolf 2008, section 3.2).
    """
    offset = excess.mean(axis=1)
    centered = np.tile(excess - offset[:, None], 2)  # twice, for blocks that run around the end
    sums = np.zeros((len(excess), centered.shape[1] + 1, 2))
    np.cumsum(np.stack([centered, centered**2], axis=-1), axis=1, out=sums[:, 1:])
    # Running sums round by less; a volatility this small beside that of the whole series is that of no trade at all.
    noise = 1e-10 * excess.var(axis=1)
    draws, errors = np.empty(n_resamples), np.empty(n_resamples)
    _fill_sharpe(sums, offset, noise, float(mean_block), rng, draws, errors)
    return draws, errors


@compiled(nogil=True, error_model="numpy")
def _fill_sharpe(
    sums: Floats,
    offset: Floats,
    noise: Floats,
    mean_block: float,
    rng: np.random.Generator,
    draws: Floats,
    errors: Floats,
) -> None:
    n_series, n_bars = sums.shape[0], sums.shape[1] // 2
    first, stop = np.empty(n_bars, np.int64), np.empty(n_bars, np.int64)
    weights = np.empty((n_series, 3))
    for draw in range(draws.size):
        n_blocks = _draw_blocks(n_bars, mean_block, rng, first, stop)
        draws[draw] = 0.0
        for one in range(n_series):
            total = squares = 0.0
            for block in range(n_blocks):
                total += sums[one, stop[block], 0] - sums[one, first[block], 0]
                squares += sums[one, stop[block], 1] - sums[one, first[block], 1]
            sign = 1.0 - 2.0 * one
            draws[draw] += sign * _sharpe_and_influence(total, squares, offset[one], noise[one], n_bars, weights[one])
            weights[one] *= sign
        errors[draw] = _error(sums, first[:n_blocks], stop[:n_blocks], weights)


@compiled(nogil=True, error_model="numpy")
def _sharpe_and_influence(
    total: float, squares: float, offset: float, noise: float, n_bars: int, weights: Floats
) -> float:
    r"""Sharpe ratio of what sums to `total` above `offset`, and the weights of 1, x and x² in a bar's influence on it.

    With mean m, variance v and ratio S the influence is :math:`(x - m)/\sqrt v - S\,((x - m)^2 - v)/(2 v)`.
    """
    mean = total / n_bars
    variance = (squares - total * mean) / (n_bars - 1)
    if not variance > noise:
        weights[:] = np.nan
        return np.nan
    deviation = np.sqrt(variance)
    ratio = (mean + offset) / deviation
    slope = ratio / (2.0 * variance)
    weights[0] = -mean / deviation - slope * (mean**2 - variance)
    weights[1] = 1.0 / deviation + 2.0 * slope * mean
    weights[2] = -slope
    return ratio


@compiled(nogil=True, error_model="numpy")
def _error(sums: Floats, first: NDArray[np.int64], stop: NDArray[np.int64], weights: Floats) -> float:
    """Standard error of a mean of influences that are independent from block to block."""
    squares = 0.0
    for block in range(first.size):
        influence = 0.0
        for one in range(weights.shape[0]):
            influence += weights[one, 0] * (stop[block] - first[block])
            for power in range(2):
                influence += weights[one, power + 1] * (sums[one, stop[block], power] - sums[one, first[block], power])
        squares += influence**2
    return np.sqrt(squares) / (sums.shape[1] // 2)
