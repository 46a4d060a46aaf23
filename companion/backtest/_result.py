"""What a backtest did, bar by bar, and how it did."""

from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from companion._checks import Floats
from companion.backtest._costs import cash_over_bars, one_way_cost, rate_per_bar
from companion.backtest._performance import Performance, performance


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
    half_spread_bp : float
        As given to `run_backtest`.
    borrow_spread : float
        As given to `run_backtest`.
    short_fee : float
        As given to `run_backtest`.
    cash_rate : float or ndarray
        As given to `run_backtest`; an array if a rate for each bar was.
    bars_per_year : float
        As given to `run_backtest`, or as the dates of the prices have it.
    index : pandas.Index or None
        Index of the prices if they came as a Series.
    """

    equity: Floats
    returns: Floats
    position: Floats
    turnover: Floats
    cost_bp: float
    half_spread_bp: float
    borrow_spread: float
    short_fee: float
    cash_rate: float | Floats
    bars_per_year: float
    index: pd.Index | None = None

    @property
    def excess(self) -> Floats:
        """Returns less what cash earned over the very bar; the first is `returns[..., 0]`."""
        return self.returns - cash_over_bars(self.cash_rate, self.bars_per_year, n_bars=self.returns.shape[-1])

    @property
    def cost(self) -> Floats:
        """Cost paid at each close, in units of equity before the trade."""
        return self.turnover * one_way_cost(self.cost_bp, self.half_spread_bp)

    @property
    def financing(self) -> Floats:
        """Spread on borrowed cash and fee on short notional over each bar, in units of equity at the close before."""
        spread = rate_per_bar("borrow_spread", self.borrow_spread, self.bars_per_year)
        fee = rate_per_bar("short_fee", self.short_fee, self.bars_per_year)
        paid = np.zeros_like(self.position)
        held = self.position[..., :-1]
        paid[..., 1:] = spread * np.maximum(held - 1.0, 0.0) + fee * np.maximum(-held, 0.0)
        return paid

    def performance(self, *, start: int = 1) -> Performance:
        """Summary of one path's bars from `start` on (`start >= 1`: bar 0 has no return)."""
        if self.returns.ndim != 1:
            raise ValueError(f"performance needs one path, this result has shape {self.returns.shape}")
        if not 1 <= start < self.returns.size:
            raise ValueError(f"start must lie in [1, {self.returns.size - 1}], got {start}")
        return performance(
            self.returns[start:],
            cash_rate=self.cash_rate if isinstance(self.cash_rate, float) else self.cash_rate[start - 1 : -1],
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
        """One path as a table with columns equity, returns, position, turnover, cost and financing."""
        if self.returns.ndim != 1:
            raise ValueError(f"to_frame needs one path, this result has shape {self.returns.shape}")
        names = ("equity", "returns", "position", "turnover", "cost", "financing")
        return pd.DataFrame({name: getattr(self, name) for name in names}, index=self.index)
