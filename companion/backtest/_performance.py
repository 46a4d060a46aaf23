"""How a series of daily returns did.

Conventions: a year has 252 bars; returns are simple, not logarithmic; Sharpe and Sortino ratios are arithmetic, on
daily returns in excess of the daily cash rate, times the root of 252, with the sample standard deviation (``ddof=1``);
they are not corrected for autocorrelation (Lo 2002). A ratio without a denominator is undefined and is NaN, never zero
or infinity.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BARS_PER_YEAR = 252


@dataclass(frozen=True)
class Performance:
    """Summary of one path of daily returns.

    Attributes
    ----------
    n_bars : int
        Number of returns.
    total_return, cagr : float
        Growth over the whole period and per year of 252 bars.
    volatility : float
        Standard deviation of daily returns, per year.
    sharpe, sortino : float
        See the module's conventions. NaN where undefined.
    max_drawdown : float
        Deepest fall of equity from its running maximum, the start included; in [-1, 0].
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
    max_drawdown: float
    turnover: float
    cost_paid: float
    time_invested: float

    def to_dict(self) -> dict[str, float | int | None]:
        """Fields as plain numbers for JSON, with None where a value is undefined."""
        return {name: value if np.isfinite(value) else None for name, value in asdict(self).items()}


def performance(
    daily_returns: ArrayLike,
    *,
    cash_rate: float = 0.0,
    position: ArrayLike | None = None,
    turnover: ArrayLike | None = None,
    cost: ArrayLike | None = None,
) -> Performance:
    """Summarize daily simple returns.

    Parameters
    ----------
    daily_returns : array_like
        Shape (n_bars,), at least two, each finite and at least -1.
    cash_rate : float
        Yearly rate of cash that Sharpe and Sortino ratios are measured against.
    position, turnover, cost : array_like, optional
        Per bar, shape (n_bars,): weight held while the return was earned, notional traded and cost paid at the close.

    Raises
    ------
    ValueError
        Names the argument that is non-finite, below -1, too short or of another length.
    """
    returns = check_returns(daily_returns, "daily_returns")
    equity = np.cumprod(1.0 + returns)
    years = returns.size / BARS_PER_YEAR
    held = _per_bar(position, "position", returns.size)
    traded = _per_bar(turnover, "turnover", returns.size)
    paid = _per_bar(cost, "cost", returns.size)
    return Performance(
        n_bars=returns.size,
        total_return=float(equity[-1] - 1.0),
        cagr=float(equity[-1] ** (1.0 / years) - 1.0),
        volatility=float(returns.std(ddof=1) * np.sqrt(BARS_PER_YEAR)),
        sharpe=sharpe_ratio(returns, cash_rate=cash_rate),
        sortino=sortino_ratio(returns, cash_rate=cash_rate),
        max_drawdown=float(drawdown(equity).min()),
        turnover=float(traded.mean() * BARS_PER_YEAR),
        cost_paid=float(paid.sum()),
        time_invested=float(np.where(np.isnan(held), np.nan, held != 0.0).mean()),
    )


def sharpe_ratio(daily_returns: ArrayLike, *, cash_rate: float = 0.0) -> float:
    """Yearly arithmetic Sharpe ratio; NaN for a series without variation. Raises as `performance`."""
    returns = check_returns(daily_returns, "daily_returns")
    excess = returns - daily_cash_rate(cash_rate)
    spread = excess.std(ddof=1)
    # The standard deviation of a constant series is rounding noise, not a denominator.
    if spread <= 1e-12 * np.abs(returns).max():
        return float("nan")
    return float(excess.mean() / spread * np.sqrt(BARS_PER_YEAR))


def sortino_ratio(daily_returns: ArrayLike, *, cash_rate: float = 0.0) -> float:
    """Yearly Sortino ratio: mean excess over the root mean square of negative excess; NaN if none is negative."""
    excess = check_returns(daily_returns, "daily_returns") - daily_cash_rate(cash_rate)
    downside = np.sqrt(np.mean(np.minimum(excess, 0.0) ** 2))
    return float(excess.mean() / downside * np.sqrt(BARS_PER_YEAR)) if downside > 0.0 else float("nan")


def drawdown(equity: ArrayLike) -> NDArray[np.float64]:
    """Fall of equity below its running maximum, in [-1, 0], shape (…, n_bars); equity is 1 before the first bar."""
    values = np.asarray(equity, dtype=np.float64)
    if not np.all(np.isfinite(values)) or np.any(values < 0.0):
        raise ValueError("equity must be finite and not negative")
    return values / np.maximum(np.maximum.accumulate(values, axis=-1), 1.0) - 1.0


def daily_cash_rate(cash_rate: float) -> float:
    """Rate per bar that compounds to the yearly `cash_rate` over 252 bars."""
    if not -1.0 < cash_rate < np.inf:
        raise ValueError(f"cash_rate must be finite and above -1, got {cash_rate}")
    return float((1.0 + cash_rate) ** (1.0 / BARS_PER_YEAR) - 1.0)


def check_returns(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return simple returns as an array, or raise a `ValueError` that names the argument."""
    returns = np.asarray(values, dtype=np.float64)
    if returns.ndim != 1 or returns.size < 2:
        raise ValueError(f"{name} must have shape (n_bars,) with at least 2 bars, got {returns.shape}")
    bad = ~np.isfinite(returns) | (returns < -1.0)
    if bad.any():
        bar = int(np.argmax(bad))
        raise ValueError(f"{name} must be finite and at least -1, got {returns[bar]} at bar {bar}")
    return returns


def _per_bar(values: ArrayLike | None, name: str, n_bars: int) -> NDArray[np.float64]:
    """Return an optional per-bar series, all NaN if absent."""
    if values is None:
        return np.full(n_bars, np.nan)
    series = np.asarray(values, dtype=np.float64)
    if series.shape != (n_bars,) or not np.all(np.isfinite(series)):
        raise ValueError(f"{name} must be finite and of shape ({n_bars},), got {series.shape}")
    return series
