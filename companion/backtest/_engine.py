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

Money. Over a bar with simple return r, a weight w makes of one unit of equity

    1 + w r + (1 - w) c - s max(w - 1, 0) - f max(-w, 0),

where c is what cash earns over the bar, s the spread that borrowed cash costs beyond it, and f the fee on short
notional, whose proceeds are cash; each compounds to its yearly rate. The trade at the close then takes its cost from
what there is, and ends exactly on target (`rebalance` in the kernel).
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from companion._checks import Floats, check_series
from companion.backtest import _kernel
from companion.backtest._costs import Terms, Trading, at_bar, check_index, check_terms
from companion.backtest._result import BacktestResult


def run_backtest(
    close: ArrayLike | pd.Series,
    position: ArrayLike | pd.Series,
    *,
    cost_bp: float = 10.0,
    half_spread_bp: float = 0.0,
    borrow_spread: float = 0.0,
    short_fee: float = 0.0,
    max_leverage: float | None = None,
    delay: int = 1,
    cash_rate: float | ArrayLike | pd.Series = 0.0,
    bars_per_year: float | None = None,
) -> BacktestResult:
    """Backtest a sequence of target weights on closing prices; the module's docstring defines the timing and the money.

    Parameters
    ----------
    close : array_like or Series
        Closing prices, shape (n_bars,) or (n_paths, n_bars), finite and positive; dates ascend.
    position : array_like or Series
        Target weight decided at each close, of the same shape; if both are Series, of the same index. 1 is fully
        invested, above 1 borrows, negative is short. A bar without a decision must say so with a 0.
    cost_bp, half_spread_bp : float
        One-way cost in basis points of the notional traded: fees and impact, and half the quoted spread. Together below
        10,000.
    borrow_spread : float
        Yearly rate that borrowed cash costs beyond the cash rate.
    short_fee : float
        Yearly rate that borrowed stock costs, on short notional.
    max_leverage : float, optional
        Largest size of a position that is allowed. A larger one is an error, never clipped.
    delay : int
        Bars between the decision and the trade.
    cash_rate : float, array_like or Series
        Yearly rate earned by cash, compounded bar by bar: a number, or the rate known at each close, shape (n_bars,),
        and earned from there to the next.
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
        Names the argument, and the date or bar, that holds a NaN, an infinity, a non-positive price, a weight beyond
        `max_leverage`, another shape or another index; or the dates are too few to count the bars of a year.
    """
    prices, index = checked_prices(close)
    terms = check_terms(
        prices.shape[-1],
        index,
        cost_bp=cost_bp,
        half_spread_bp=half_spread_bp,
        borrow_spread=borrow_spread,
        short_fee=short_fee,
        max_leverage=max_leverage,
        delay=delay,
        cash_rate=cash_rate,
        bars_per_year=bars_per_year,
    )
    weights = checked_weights(position, "position", prices.shape, index, terms)
    returns, held, turnover = (np.empty_like(prices) for _ in range(3))
    arrays = (rises(prices), weights, returns, held, turnover)
    for rise, decided, *written in zip(*map(np.atleast_2d, arrays), strict=True):
        trade(rise, decided, terms, *written)
    return BacktestResult(
        equity=np.asarray(np.cumprod(1.0 + returns, axis=-1), dtype=np.float64),
        returns=returns,
        position=held,
        turnover=turnover,
        cost_bp=float(cost_bp),
        half_spread_bp=float(half_spread_bp),
        borrow_spread=float(borrow_spread),
        short_fee=float(short_fee),
        cash_rate=np.array(cash_rate, dtype=np.float64) if np.ndim(cash_rate) else float(cash_rate),  # type: ignore[arg-type]
        bars_per_year=terms.bars_per_year,
        index=index,
    )


#: What `run_backtest` takes for what is not given, so that it is said in one place.
DEFAULTS: Trading = run_backtest.__kwdefaults__  # type: ignore[assignment]


def trade(rise: Floats, decided: Floats, terms: Terms, *written: Floats) -> None:
    """The kernel's `trade` on these terms; `written` are its returns, held weights and turnover."""
    _kernel.trade(rise, decided, terms.cash, terms.delay, terms.cost, terms.spread, terms.fee, *written)


def rises(prices: Floats) -> Floats:
    """Simple return of the asset over each bar, zero at bar 0."""
    rise = np.zeros_like(prices)
    rise[..., 1:] = np.diff(prices) / prices[..., :-1]
    return rise


def checked_prices(close: ArrayLike | pd.Series) -> tuple[Floats, pd.Index | None]:
    """Prices as an array, and their index."""
    index = close.index if isinstance(close, pd.Series) else None
    prices = check_series(close, name="close")
    rule = "close must be finite and positive"
    _refuse(~((prices > 0.0) & (prices < np.inf)), prices, rule, index, "drop the bar or repair the price first")
    return prices, index


def checked_weights(
    position: ArrayLike | pd.Series, name: str, shape: tuple[int, ...], index: pd.Index | None, terms: Terms
) -> Floats:
    """Weights as an array of the shape of the prices that these terms allow."""
    check_index(name, position, index)
    weights = check_series(position, name=name)
    if weights.shape != shape:
        raise ValueError(f"{name} must have the shape of close {shape}, got {weights.shape}: decide at every close")
    size = np.abs(weights)
    largest = size.max()
    if not largest * terms.cost < 1.0 or largest > terms.max_leverage:
        _refuse(~np.isfinite(weights), weights, f"{name} must be finite", index, "give 0 where there is no decision")
        rule = f"{name} must cost less than the equity to trade"
        _refuse(size * terms.cost >= 1.0, weights, rule, index, "lower the weight or the costs")
        rule = f"{name} must stay within max_leverage={terms.max_leverage:g}"
        _refuse(size > terms.max_leverage, weights, rule, index, "lower the weight or raise the limit")
    return weights


def _refuse(bad: NDArray[np.bool_], values: Floats, rule: str, index: pd.Index | None, remedy: str) -> None:
    """Raise a `ValueError` for the first value that is bad, if any is."""
    if bad.any():
        where = tuple(np.argwhere(bad)[0])
        path = f" of path {where[0]}" if len(where) == 2 else ""
        raise ValueError(f"{rule}, got {values[where]} at {at_bar(int(where[-1]), index)}{path}: {remedy}")
