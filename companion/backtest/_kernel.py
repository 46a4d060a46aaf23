"""The two loops of a backtest, compiled: `trade` goes over the bars of one path, `measure` over its returns.

There is no other engine and no other definition of a measure: `run_backtest` and `backtest_table` both call these, with
arrays that are checked before. Nothing is reordered for speed, so that the bits do not depend on who calls.
"""

import math

import numpy as np
from numba import literal_unroll

from companion._checks import Floats
from companion._jit import compiled

#: A peak counts as regained from here on: what falls by 10 % and rises by a ninth is at its peak but for rounding.
_REGAINED = 1.0 - 1e-12
#: The standard deviation of a constant series is rounding noise, this small beside the series, and not a denominator.
_NOISE = 1e-12


@compiled(nogil=True, error_model="numpy")
def rebalance(held: float, target: float, cost: float) -> tuple[float, float]:
    r"""Equity kept and notional traded when a portfolio moves from one weight to another.

    The trade is self-financing and ends exactly on target: with equity before the trade as the unit, the equity
    :math:`k` that is left satisfies :math:`k = 1 - c\,|w k - h|` for held weight :math:`h`, target weight :math:`w` and
    one-way cost :math:`c`. Buying when :math:`w > h` and selling otherwise, that is

    .. math:: k = \frac{1 + c h}{1 + c w} \quad (w > h), \qquad k = \frac{1 - c h}{1 - c w} \quad (w \le h).

    Parameters
    ----------
    held, target : float
        Weight of the asset in equity before and after the trade; the trade is possible only while :math:`c\,|w| < 1`.
    cost : float
        One-way cost as a share of the notional traded.

    Returns
    -------
    kept, turnover : float
        Equity after the trade, zero or less if the cost ruins it, and notional traded, both over equity before it.
    """
    signed = cost if target > held else -cost
    kept = (1.0 + signed * held) / (1.0 + signed * target)
    return kept, abs(target * kept - held)


@compiled(nogil=True, error_model="numpy")
def trade(
    rise: Floats,
    decided: Floats,
    cash: Floats,
    delay: int,
    cost: float,
    spread: float,
    fee: float,
    returns: Floats,
    held: Floats,
    turnover: Floats,
) -> None:
    """Fill `returns`, `held` and `turnover`, each of shape (n_bars,), with what one path of weights did.

    `rise` is the asset's simple return over each bar and `cash` the rate that cash earned over it, both zero at bar 0;
    `spread` and `fee` are rates per bar. Ruin is final: from that bar on nothing is held, traded or earned.
    """
    for bar in range(rise.size):
        held[bar] = decided[bar - delay] if bar >= delay else 0.0
    _, turnover[0] = rebalance(0.0, held[0], cost)
    returns[0] = -cost * turnover[0]
    ruined = False
    for bar in range(1, rise.size):  # no branch in it, so that it becomes vector instructions
        weight = held[bar - 1]
        gain = weight * rise[bar] + (1.0 - weight) * cash[bar]
        gain -= spread * max(weight - 1.0, 0.0) + fee * max(-weight, 0.0)
        kept, turnover[bar] = rebalance(weight * (1.0 + rise[bar]) / (1.0 + gain), held[bar], cost)
        solvent = (gain > -1.0) & (kept > 0.0)
        returns[bar] = gain - (1.0 + gain) * cost * turnover[bar] if solvent else -1.0
        ruined |= returns[bar] <= -1.0
    if ruined:
        _end_at_ruin(returns, held, turnover)


@compiled(nogil=True, error_model="numpy")
def _end_at_ruin(returns: Floats, held: Floats, turnover: Floats) -> None:
    """Zeros from the bar on that lost everything, but for its own return of -1."""
    ruined = False
    for bar in range(returns.size):
        if ruined:
            returns[bar] = 0.0
        ruined |= returns[bar] <= -1.0
        if ruined:
            held[bar] = turnover[bar] = 0.0


@compiled(nogil=True, error_model="numpy")
def measure(
    returns: Floats, cash: Floats, year: float, held: Floats, turnover: Floats, cost: Floats
) -> tuple[int, float, float, float, float, float, float, float, int, float, float, float, float]:
    """Fields of `Performance`, in its order, of returns of shape (n_bars,); NaN in the last three stays NaN."""
    n_bars = returns.size
    growth, deepest, longest = _drawdowns(returns)
    cagr = growth ** (year / n_bars) - 1.0
    volatility, sharpe, sortino = ratios(returns, cash, year)
    low, high = _fifth_percentile(returns), -_fifth_percentile(-returns)
    traded = paid = invested = 0.0
    for bar in range(n_bars):
        traded += turnover[bar]
        paid += cost[bar]
        invested += abs(np.sign(held[bar]))  # 0, 1 or NaN
    return (
        n_bars,
        growth - 1.0,
        cagr,
        volatility,
        sharpe,
        sortino,
        cagr / -deepest if deepest < 0.0 else math.nan,
        deepest,
        longest,
        high / abs(low) if low != 0.0 else math.nan,
        traded / n_bars * year,
        paid,
        invested / n_bars,
    )


@compiled(nogil=True, error_model="numpy")
def measure_each(
    rise: Floats,
    weights: Floats,
    cash: Floats,
    year: float,
    delay: int,
    cost: float,
    spread: float,
    fee: float,
    table: Floats,
) -> None:
    """Fill a row of `table` with the fields of `Performance` for each row of `weights`, both of as many rows."""
    returns, held, turnover = np.empty_like(rise), np.empty_like(rise), np.empty_like(rise)
    for row in range(weights.shape[0]):
        trade(rise, weights[row], cash, delay, cost, spread, fee, returns, held, turnover)
        traded = turnover[1:]
        fields = measure(returns[1:], cash[1:], year, held[:-1], traded, cost * traded)
        column = 0
        for value in literal_unroll(fields):  # they are of several types
            table[row, column] = value
            column += 1  # noqa: SIM113 - numba unrolls no enumerate


@compiled(nogil=True, error_model="numpy")
def ratios(returns: Floats, cash: Floats, year: float) -> tuple[float, float, float]:
    """Volatility, and Sharpe and Sortino ratio of returns in excess of cash, per year; NaN without a denominator."""
    _, volatility, _, largest = _moments(returns)
    mean, deviation, downside, _ = _moments(returns - cash)
    sharpe = mean / deviation if deviation > _NOISE * largest else math.nan
    sortino = mean / downside if downside > 0.0 else math.nan
    root = math.sqrt(year)
    return volatility * root, sharpe * root, sortino * root


@compiled(nogil=True, error_model="numpy")
def _moments(values: Floats) -> tuple[float, float, float, float]:
    """Mean, sample standard deviation, root mean square of what is negative (the rest counts as 0), and largest size.

    Two passes, the second of which undoes the rounding of the first (Chan, Golub and LeVeque 1983, equation 1.7).
    """
    rough = values.sum() / values.size
    rest = squares = below = largest = 0.0
    for value in values:
        rest += value - rough
        squares += (value - rough) ** 2
        below += min(value, 0.0) ** 2
        largest = max(largest, abs(value))
    variance = max(squares - rest**2 / values.size, 0.0) / (values.size - 1)
    return rough + rest / values.size, math.sqrt(variance), math.sqrt(below / values.size), largest


@compiled(nogil=True, error_model="numpy")
def _drawdowns(returns: Floats) -> tuple[float, float, int]:
    """Growth, the deepest fall from a peak, and the longest time from a peak until it is regained, or the end."""
    equity = peak = 1.0
    deepest, longest, peak_bar = 0.0, 0, -1
    for bar in range(returns.size):
        equity *= 1.0 + returns[bar]
        below, since = equity < peak * _REGAINED, bar - peak_bar
        if below or since > 1:
            longest = max(longest, since)
        if below:
            deepest = min(deepest, equity / peak - 1.0)
        else:
            peak, peak_bar = max(peak, equity), bar
    return equity, deepest, longest


@compiled(nogil=True, error_model="numpy")
def _fifth_percentile(values: Floats) -> float:
    """5th percentile, linear between order statistics (Hyndman and Fan 1996, definition 7).

    A sample tells a level with about a tenth of the values below it, and only they are put in order: Floyd and Rivest
    (1975). Should it mislead, all are.
    """
    place = 0.05 * (values.size - 1)
    rank = int(place)
    sample = values[::16].copy()
    level = min(sample.size // 10 + 2, sample.size - 1)
    _find(sample, level)
    ordered = values[values <= sample[level]]
    if ordered.size < rank + 2:
        ordered = values.copy()
    _find(ordered, rank)
    return ordered[rank] + (place - rank) * (ordered[rank + 1 :].min() - ordered[rank])


@compiled(nogil=True, error_model="numpy")
def _find(values: Floats, rank: int) -> None:
    """Rearrange the values so that none before `rank` is larger, and none after it smaller (Hoare 1961).

    The loops swap without a branch. numpy's own partition takes the compiler ten times as long, on every reader's first
    backtest.
    """
    low, high = 0, values.size
    while rank >= low:
        pivot, below = values[(low + high) // 2], low
        for i in range(low, high):
            value, values[i] = values[i], values[below]
            values[below] = value
            below += value < pivot
        if rank < below:
            high = below
        elif below > low:
            low = below
        else:  # the pivot is the smallest; what equals it goes first
            for i in range(below, high):
                value, values[i] = values[i], values[low]
                values[low] = value
                low += value == pivot
