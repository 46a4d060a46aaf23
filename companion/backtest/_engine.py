"""A backtest of one asset and cash that can be checked with pencil and paper.

Timing. `position[t]` is decided at the close of bar t, from what is known then. It is traded `delay` bars later, at the
close of bar t + delay, and is the weight of the asset in equity from that close to the next one. The first return it
earns is therefore that of bar t + delay + 1:

===== ============ ================ ==================
delay decided      traded           first return earned
===== ============ ================ ==================
0     close t      close t          bar t + 1
1     close t      close t + 1      bar t + 2
===== ============ ================ ==================

`delay=0` does not look ahead, but it trades at the very price the decision was computed from. `delay=1` is the book's
rule. Until the first decision is traded the portfolio is in cash. At every close it is brought back to its target
weight, so a constant weight of 0.5 pays for undoing the day's drift; weights of 0 and 1 do not drift and pay only when
they change.
"""

from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from companion import datasets
from companion._checks import check_positive
from companion.backtest._costs import BASIS_POINT, check_cost_bp, rebalance
from companion.backtest._performance import BARS_PER_YEAR, Performance, cash_per_bar, performance


@dataclass(frozen=True)
class BacktestResult:
    """What a backtest did at each bar; every array has the shape of the prices, (…, n_bars).

    Attributes
    ----------
    equity : ndarray
        Equity after trading at each close, in units of the equity at the start.
    returns : ndarray
        Simple return of equity over each bar, after costs. ``returns[..., 0]`` is only the cost of trading at the first
        close, and so is zero with a delay.
    position : ndarray
        Weight of the asset held from each close to the next.
    turnover : ndarray
        Notional traded at each close, one way, in units of equity before the trade.
    cost_bp : float
        As given to `run_backtest`.
    cash_rate : float
        As given to `run_backtest`.
    bars_per_year : float
        As given to `run_backtest`, or as the dates of the prices have it.
    index : pandas.Index or None
        Index of the prices if they came as a Series.
    """

    equity: NDArray[np.float64]
    returns: NDArray[np.float64]
    position: NDArray[np.float64]
    turnover: NDArray[np.float64]
    cost_bp: float
    cash_rate: float
    bars_per_year: float
    index: pd.Index | None = None

    @property
    def cost(self) -> NDArray[np.float64]:
        """Cost paid at each close, in units of equity before the trade."""
        return self.turnover * (self.cost_bp * BASIS_POINT)

    def performance(self, *, start: int = 1) -> Performance:
        """Summary of one path's bars from `start` on (`start >= 1`: bar 0 has no return)."""
        if self.returns.ndim != 1:
            raise ValueError(f"performance needs one path, this result has shape {self.returns.shape}")
        if not 1 <= start < self.returns.size:
            raise ValueError(f"start must lie in [1, {self.returns.size - 1}], got {start}")
        return performance(
            self.returns[start:],
            cash_rate=self.cash_rate,
            bars_per_year=self.bars_per_year,
            position=self.position[start - 1 : -1],
            turnover=self.turnover[start:],
            cost=self.cost[start:],
        )

    def by_path(self, *, start: int = 1) -> pd.DataFrame:
        """Performance of every path from bar `start` on: a row a path, a column a field of `Performance`."""
        arrays = {name: np.atleast_2d(getattr(self, name)) for name in ("equity", "returns", "position", "turnover")}
        paths = (
            replace(self, index=None, **{name: array[row] for name, array in arrays.items()})
            for row in range(len(arrays["returns"]))
        )
        return pd.DataFrame([asdict(path.performance(start=start)) for path in paths])

    def to_frame(self) -> pd.DataFrame:
        """One path as a table with columns equity, returns, position, turnover and cost."""
        if self.returns.ndim != 1:
            raise ValueError(f"to_frame needs one path, this result has shape {self.returns.shape}")
        names = ("equity", "returns", "position", "turnover", "cost")
        return pd.DataFrame({name: getattr(self, name) for name in names}, index=self.index)


def run_backtest(
    close: ArrayLike | pd.Series,
    position: ArrayLike | pd.Series,
    *,
    cost_bp: float = 10.0,
    delay: int = 1,
    cash_rate: float = 0.0,
    bars_per_year: float | None = None,
) -> BacktestResult:
    """Backtest a sequence of target weights on closing prices; the module's docstring defines the timing.

    Parameters
    ----------
    close : array_like or Series
        Closing prices, shape (n_bars,) or (n_paths, n_bars), finite and positive.
    position : array_like or Series
        Target weight decided at each close, of the same shape; if both are Series, of the same index. 1 is fully
        invested, above 1 borrows at the cash rate, negative is short. A bar without a decision must say so with a 0.
    cost_bp : float
        One-way cost in basis points of the notional traded.
    delay : int
        Bars between the decision and the trade.
    cash_rate : float
        Yearly rate earned by cash, compounded bar by bar.
    bars_per_year : float, optional
        Bars in a year. Without it the dates of `close` tell (`companion.datasets.bars_per_year`), and where it has none
        a year has 252 bars, like one of the simulated markets.

    Returns
    -------
    BacktestResult
        Equity that falls to zero stays there: the portfolio is bankrupt, holds nothing and trades no more.

    Raises
    ------
    ValueError
        Names the argument that holds a NaN, an infinity, a non-positive price, another shape or another index; or the
        dates are too few to count the bars of a year.
    """
    prices, weights, index = _checked(close, position)
    check_cost_bp(cost_bp)
    if isinstance(delay, bool) or not isinstance(delay, int | np.integer) or delay < 0:
        raise ValueError(f"delay must be a whole number of bars >= 0, got {delay!r}")
    year = _bars_per_year(bars_per_year, index)

    held_from = np.zeros_like(weights)
    n_bars = weights.shape[-1]
    held_from[..., min(delay, n_bars) :] = weights[..., : max(n_bars - delay, 0)]
    factor, turnover = _bar_factors(prices, held_from, cost_bp=cost_bp, cash_growth=1.0 + cash_per_bar(cash_rate, year))

    alive = np.logical_and.accumulate(factor > 0.0, axis=-1)
    was_alive = np.concatenate([np.ones_like(alive[..., :1]), alive[..., :-1]], axis=-1)
    factor = np.where(alive, factor, 0.0)
    return BacktestResult(
        equity=np.asarray(np.cumprod(factor, axis=-1), dtype=np.float64),
        returns=np.where(was_alive, factor - 1.0, 0.0),
        position=np.where(alive, held_from, 0.0),
        turnover=np.where(alive, turnover, 0.0),
        cost_bp=float(cost_bp),
        cash_rate=float(cash_rate),
        bars_per_year=year,
        index=index,
    )


def _bars_per_year(given: float | None, index: pd.Index | None) -> float:
    if given is not None:
        return check_positive("bars_per_year", given)
    if not isinstance(index, pd.DatetimeIndex):
        return BARS_PER_YEAR
    try:
        return datasets.bars_per_year(index)
    except ValueError as error:
        raise ValueError(f"bars_per_year must be given where dates do not tell it: {error}") from error


def _bar_factors(
    prices: NDArray[np.float64], held: NDArray[np.float64], *, cost_bp: float, cash_growth: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Equity after each close over equity after the close before, and the turnover; a factor <= 0 means ruin.

    Weights alone determine both, so no loop over bars is needed: the market moves the weight of the last close to
    w·(asset growth)/(portfolio growth), and `rebalance` moves it from there to the new target.
    """
    asset = np.ones_like(prices)
    asset[..., 1:] = prices[..., 1:] / prices[..., :-1]
    before = np.zeros_like(held)
    before[..., 1:] = held[..., :-1]
    growth = before * asset + (1.0 - before) * cash_growth
    growth[..., 0] = 1.0
    solvent = growth > 0.0
    drifted = np.where(solvent, before * asset / np.where(solvent, growth, 1.0), 0.0)
    kept, turnover = rebalance(drifted, held, cost_bp=cost_bp)
    return np.where(solvent, growth * kept, 0.0), turnover


def _checked(
    close: ArrayLike | pd.Series, position: ArrayLike | pd.Series
) -> tuple[NDArray[np.float64], NDArray[np.float64], pd.Index | None]:
    """Prices, weights and index as arrays, or a `ValueError` that names the argument at fault."""
    index = close.index if isinstance(close, pd.Series) else None
    if index is not None and isinstance(position, pd.Series) and not index.equals(position.index):
        raise ValueError("position must have the index of close; align it explicitly before the backtest")
    prices = np.asarray(close, dtype=np.float64)
    weights = np.asarray(position, dtype=np.float64)
    if prices.ndim not in (1, 2) or prices.size == 0:
        raise ValueError(f"close must have shape (n_bars,) or (n_paths, n_bars), got {prices.shape}")
    if weights.shape != prices.shape:
        raise ValueError(f"position must have the shape of close {prices.shape}, got {weights.shape}")
    if not np.all(np.isfinite(prices)) or np.any(prices <= 0.0):
        bar = _first(~np.isfinite(prices) | (prices <= 0.0))
        raise ValueError(f"close must be finite and positive, got {prices[bar]} at bar {bar[-1]}")
    if not np.all(np.isfinite(weights)):
        bar = _first(~np.isfinite(weights))
        raise ValueError(f"position must be finite (0 where there is no decision), got {weights[bar]} at bar {bar[-1]}")
    return prices, weights, index


def _first(bad: NDArray[np.bool_]) -> tuple[int, ...]:
    """Index of the first True."""
    return tuple(int(i) for i in np.argwhere(bad)[0])
