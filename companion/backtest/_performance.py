"""How a series of returns did.

Conventions: a year has `bars_per_year` bars, 252 unless another number is given (`companion.datasets.bars_per_year`
counts those of dated prices); returns are simple, not logarithmic; Sharpe and Sortino ratios are arithmetic, on returns
in excess of the cash rate of a bar, times the root of `bars_per_year`, with the sample standard deviation (``ddof=1``);
they are not corrected for autocorrelation (Lo 2002). A ratio without a denominator is undefined and is NaN, never zero
or infinity.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import Floats
from companion.backtest import _kernel
from companion.backtest._costs import BARS_PER_YEAR, cash_per_bar


@dataclass(frozen=True)
class Performance:
    """Summary of one path of returns.

    Attributes
    ----------
    n_bars : int
        Number of returns.
    total_return : float
        Growth over the whole period.
    cagr : float
        Growth per year.
    volatility : float
        Standard deviation of the returns, per year.
    sharpe : float
        Mean excess return over its standard deviation, per year. NaN where undefined.
    sortino : float
        Mean excess return over its downside deviation, per year. NaN where undefined.
    calmar : float
        Growth per year over the depth of the deepest drawdown (Young 1991). NaN without a drawdown.
    max_drawdown : float
        Deepest fall of equity from its running maximum, the start included; in [-1, 0].
    drawdown_bars : int
        Longest time from a peak until it is regained, or until the end, in bars; 0 without a drawdown.
    tail_ratio : float
        95th percentile of the returns over the size of the 5th. NaN where that is zero.
    turnover : float
        One-way turnover per year in units of equity; NaN if not given.
    cost_paid : float
        Sum over the period of costs in units of equity at the time; NaN if not given.
    time_invested : float
        Share of bars with a position other than zero; NaN if not given.
    """

    n_bars: int
    total_return: float
    cagr: float
    volatility: float
    sharpe: float
    sortino: float
    calmar: float
    max_drawdown: float
    drawdown_bars: int
    tail_ratio: float
    turnover: float
    cost_paid: float
    time_invested: float

    def to_dict(self) -> dict[str, float | int | None]:
        """Fields as plain numbers for JSON, with None where a value is undefined."""
        return {name: value if np.isfinite(value) else None for name, value in asdict(self).items()}


def performance(
    returns: ArrayLike,
    *,
    cash_rate: float | ArrayLike = 0.0,
    bars_per_year: float = BARS_PER_YEAR,
    position: ArrayLike | None = None,
    turnover: ArrayLike | None = None,
    cost: ArrayLike | None = None,
) -> Performance:
    """Summarize simple returns.

    Parameters
    ----------
    returns : array_like
        Shape (n_bars,), at least two, each finite and at least -1.
    cash_rate : float or array_like
        Yearly rate of cash that Sharpe and Sortino ratios are measured against: a number, or the rate at which cash
        stood while each return was earned, shape (n_bars,).
    bars_per_year : float
        Bars in a year.
    position, turnover, cost : array_like, optional
        Per bar, shape (n_bars,): weight held while the return was earned, notional traded and cost paid at the close.

    Raises
    ------
    ValueError
        Names the argument that is non-finite, below -1, too short or of another length.
    """
    earned, cash, year = _ratio_inputs(returns, cash_rate, bars_per_year)
    held = _per_bar(position, "position", earned.size)
    traded = _per_bar(turnover, "turnover", earned.size)
    paid = _per_bar(cost, "cost", earned.size)
    return Performance(*_kernel.measure(earned, cash, year, held, traded, paid))


def sharpe_ratio(
    returns: ArrayLike, *, cash_rate: float | ArrayLike = 0.0, bars_per_year: float = BARS_PER_YEAR
) -> float:
    """Yearly arithmetic Sharpe ratio; NaN for a series without variation. Arguments and errors as `performance`."""
    return _kernel.ratios(*_ratio_inputs(returns, cash_rate, bars_per_year))[1]


def sortino_ratio(
    returns: ArrayLike, *, cash_rate: float | ArrayLike = 0.0, bars_per_year: float = BARS_PER_YEAR
) -> float:
    """Yearly Sortino ratio: mean excess over the root mean square of negative excess; NaN if none is negative."""
    return _kernel.ratios(*_ratio_inputs(returns, cash_rate, bars_per_year))[2]


def drawdown(equity: ArrayLike) -> Floats:
    """Fall of equity below its running maximum, in [-1, 0], shape (…, n_bars); equity is 1 before the first bar."""
    values = np.asarray(equity, dtype=np.float64)
    if not np.all(np.isfinite(values)) or np.any(values < 0.0):
        raise ValueError("equity must be finite and not negative")
    return values / np.maximum(np.maximum.accumulate(values, axis=-1), 1.0) - 1.0


def check_returns(values: ArrayLike, name: str) -> Floats:
    """Return simple returns as an array, or raise a `ValueError` that names the argument."""
    returns = np.array(values, dtype=np.float64)  # a copy is contiguous, and compiled code knows its layout
    if returns.ndim != 1 or returns.size < 2:
        raise ValueError(f"{name} must have shape (n_bars,) with at least 2 bars, got {returns.shape}")
    bad = ~np.isfinite(returns) | (returns < -1.0)
    if bad.any():
        bar = int(np.argmax(bad))
        raise ValueError(f"{name} must be finite and at least -1, got {returns[bar]} at bar {bar}")
    return returns


def _ratio_inputs(
    returns: ArrayLike, cash_rate: float | ArrayLike, bars_per_year: float
) -> tuple[Floats, Floats, float]:
    """Returns, the cash they are measured against, and the bars of a year, as the kernel takes them."""
    earned = check_returns(returns, "returns")
    cash = cash_per_bar(cash_rate, bars_per_year)
    if cash.shape not in ((), earned.shape):
        raise ValueError(f"cash_rate must be a number or have the shape of returns {earned.shape}, got {cash.shape}")
    return earned, np.array(np.broadcast_to(cash, earned.shape)), float(bars_per_year)


def _per_bar(values: ArrayLike | None, name: str, n_bars: int) -> Floats:
    """An optional per-bar series, all NaN if absent."""
    if values is None:
        return np.full(n_bars, np.nan)
    series = np.array(values, dtype=np.float64)
    if series.shape != (n_bars,) or not np.all(np.isfinite(series)):
        raise ValueError(f"{name} must be finite and of shape ({n_bars},), got {series.shape}")
    return series
