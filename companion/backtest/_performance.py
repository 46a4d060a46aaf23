"""How a series of returns did.

Conventions: a year has `bars_per_year` bars, 252 unless another number is given (`companion.datasets.bars_per_year`
counts those of dated prices); returns are simple, not logarithmic; Sharpe and Sortino ratios are arithmetic, on returns
in excess of the cash rate of a bar, times the root of `bars_per_year`, with the sample standard deviation (``ddof=1``);
they are not corrected for autocorrelation (Lo 2002). A ratio without a denominator is undefined and is NaN, never zero
or infinity.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion._checks import check_positive

#: Bars in a year of the simulated markets, and about as many as the American exchanges have days.
BARS_PER_YEAR = 252.0


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
    returns: ArrayLike,
    *,
    cash_rate: float = 0.0,
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
    cash_rate : float
        Yearly rate of cash that Sharpe and Sortino ratios are measured against.
    bars_per_year : float
        Bars in a year.
    position, turnover, cost : array_like, optional
        Per bar, shape (n_bars,): weight held while the return was earned, notional traded and cost paid at the close.

    Raises
    ------
    ValueError
        Names the argument that is non-finite, below -1, too short or of another length.
    """
    earned = check_returns(returns, "returns")
    year = check_positive("bars_per_year", bars_per_year)
    equity = np.cumprod(1.0 + earned)
    held = _per_bar(position, "position", earned.size)
    traded = _per_bar(turnover, "turnover", earned.size)
    paid = _per_bar(cost, "cost", earned.size)
    with np.errstate(over="ignore"):  # a minute's gain, held for a year, may be beyond all numbers
        cagr = float(equity[-1] ** (year / earned.size) - 1.0)
    return Performance(
        n_bars=earned.size,
        total_return=float(equity[-1] - 1.0),
        cagr=cagr,
        volatility=float(earned.std(ddof=1) * np.sqrt(year)),
        sharpe=sharpe_ratio(earned, cash_rate=cash_rate, bars_per_year=year),
        sortino=sortino_ratio(earned, cash_rate=cash_rate, bars_per_year=year),
        max_drawdown=float(drawdown(equity).min()),
        turnover=float(traded.mean() * year),
        cost_paid=float(paid.sum()),
        time_invested=float(np.where(np.isnan(held), np.nan, held != 0.0).mean()),
    )


def sharpe_ratio(returns: ArrayLike, *, cash_rate: float = 0.0, bars_per_year: float = BARS_PER_YEAR) -> float:
    """Yearly arithmetic Sharpe ratio; NaN for a series without variation. Arguments and errors as `performance`."""
    earned = check_returns(returns, "returns")
    excess = earned - cash_per_bar(cash_rate, bars_per_year)
    spread = excess.std(ddof=1)
    # The standard deviation of a constant series is rounding noise, not a denominator.
    if spread <= 1e-12 * np.abs(earned).max():
        return float("nan")
    return float(excess.mean() / spread * np.sqrt(bars_per_year))


def sortino_ratio(returns: ArrayLike, *, cash_rate: float = 0.0, bars_per_year: float = BARS_PER_YEAR) -> float:
    """Yearly Sortino ratio: mean excess over the root mean square of negative excess; NaN if none is negative."""
    excess = check_returns(returns, "returns") - cash_per_bar(cash_rate, bars_per_year)
    downside = np.sqrt(np.mean(np.minimum(excess, 0.0) ** 2))
    return float(excess.mean() / downside * np.sqrt(bars_per_year)) if downside > 0.0 else float("nan")


def drawdown(equity: ArrayLike) -> NDArray[np.float64]:
    """Fall of equity below its running maximum, in [-1, 0], shape (…, n_bars); equity is 1 before the first bar."""
    values = np.asarray(equity, dtype=np.float64)
    if not np.all(np.isfinite(values)) or np.any(values < 0.0):
        raise ValueError("equity must be finite and not negative")
    return values / np.maximum(np.maximum.accumulate(values, axis=-1), 1.0) - 1.0


def cash_per_bar(cash_rate: float, bars_per_year: float) -> float:
    """Rate per bar that compounds to the yearly `cash_rate` over `bars_per_year` bars."""
    if not -1.0 < cash_rate < np.inf:
        raise ValueError(f"cash_rate must be finite and above -1, got {cash_rate}")
    return float((1.0 + cash_rate) ** (1.0 / check_positive("bars_per_year", bars_per_year)) - 1.0)


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
