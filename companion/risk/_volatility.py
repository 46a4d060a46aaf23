"""Volatility from open, high, low and close: Yang and Zhang's estimator, and four older ones to compare it with.

All five are one sum over a window of n bars, ``var(jump) + k var(body) + m mean(range)``, with different terms a bar
and the weights k = 0 and m = 1, but for Yang and Zhang, whose ``m = 1 - k``. With o the log return from the last close
to the open, and c, u, d the log close, high and low against the open:

================  =======  ====  =======================================  ==================================
estimator         jump     body  range                                    source
================  =======  ====  =======================================  ==================================
close_to_close    o + c    —     —                                        sample variance
parkinson         —        —     (u - d)² / (4 ln 2)                      Parkinson (1980)
garman_klass      —        —     (u - d)² / 2 - (2 ln 2 - 1) c²           Garman & Klass (1980)
rogers_satchell   —        —     u (u - c) + d (d - c)                    Rogers & Satchell (1991)
yang_zhang        o        c     u (u - c) + d (d - c)                    Yang & Zhang (2000)
================  =======  ====  =======================================  ==================================

The three in the middle see nothing of the night, and Parkinson's and Garman and Klass's take a drift for volatility.
Every window is summed anew, so nothing that has left it can leave a rounding error behind.

A volatility is per bar. One per year is had only from who says how many bars a year has.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion.risk._decimal import as_float
from companion.risk._floats import Floats, as_floats

Estimator = Literal["close_to_close", "parkinson", "garman_klass", "rogers_satchell", "yang_zhang"]

ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
WINDOW_NUMBERS = 1 << 20  # numbers in windows that are worked on at once: 8 MB
COLUMNS = ["open", "high", "low", "close"]
FAULTS = (
    "",
    "a price is not a finite number",
    "a price is not positive",
    "high is below low",
    "open or close lies outside low to high",
)
LN2 = math.log(2.0)
# jump, body and range of o, c, u, d, for numbers and for arrays; 0 * c is the zero of either.
TERMS: dict[str, Callable[[Any, Any, Any, Any], tuple[Any, Any, Any]]] = {
    "close_to_close": lambda o, c, u, d: (o + c, 0.0 * c, 0.0 * c),
    "parkinson": lambda o, c, u, d: (0.0 * c, 0.0 * c, (u - d) * (u - d) / (4.0 * LN2)),
    "garman_klass": lambda o, c, u, d: (0.0 * c, 0.0 * c, 0.5 * (u - d) * (u - d) - (2.0 * LN2 - 1.0) * c * c),
    "rogers_satchell": lambda o, c, u, d: (0.0 * c, 0.0 * c, u * (u - c) + d * (d - c)),
    "yang_zhang": lambda o, c, u, d: (o, c, u * (u - c) + d * (d - c)),
}


def yang_zhang_k(window: int) -> float:
    """Weight of the open-to-close variance that minimizes the estimator's own variance (Yang & Zhang 2000)."""
    return 0.34 / (1.34 + (window + 1) / (window - 1))


def bar_faults(ohlc: ArrayLike) -> NDArray[np.int8]:
    """What is wrong with each bar, as an index into `FAULTS`; 0 is a good bar. Bars as in `rolling_volatility`."""
    bars = _bars(ohlc)
    start, high, low, end = np.moveaxis(bars, -1, 0)
    outside = (np.minimum(start, end) < low) | (np.maximum(start, end) > high)
    faults = [~np.isfinite(bars).all(axis=-1), (bars <= 0.0).any(axis=-1), high < low, outside]
    return np.select(faults, [1, 2, 3, 4], 0).astype(np.int8)


def rolling_volatility(
    ohlc: ArrayLike, *, estimator: Estimator = "yang_zhang", window: int, bars_per_year: float | None = None
) -> Floats:
    """Volatility over the last `window` bars, at each bar: per bar, or per year where `bars_per_year` is given.

    Parameters
    ----------
    ohlc : DataFrame or array_like
        Columns ``open``, ``high``, ``low``, ``close`` with one row a bar, or an array of shape (…, n_bars, 4) in that
        order. A price that is missing is NaN, `None` or ``pandas.NA``.
    estimator : str
        One of "yang_zhang", "close_to_close", "parkinson", "garman_klass" and "rogers_satchell".
    window : int
        Bars in the window, at least 2.
    bars_per_year : float, optional
        Bars in a year: 252 for days of an exchange, 525,600 for minutes of a market that never closes. With it the
        result is the annual volatility; without it that of one bar, which `calculate_target_position` asks for.

    Returns
    -------
    float64 array of shape (…, n_bars)
        From this bar and earlier ones only. NaN until the window is full (close-to-close and Yang–Zhang need the close
        before it as well) and at a bad bar; `StreamingVolatility` says what is wrong with it. At good bars it is that
        of the series without the bad ones, so that the next good bar jumps from the last good close.

    Raises
    ------
    ValueError
        Names the argument that is out of range, prices that are no numbers, or an array whose last axis is not 4.
    """
    check_settings(estimator, window, 1.0 if bars_per_year is None else bars_per_year)
    bars = _bars(ohlc)
    good = bar_faults(bars) == 0
    if good.all():
        before = np.full(bars.shape[:-1], np.nan)
        before[..., 1:] = bars[..., :-1, 3]
        variance = _slide(_terms(bars, before, estimator), window, *weights(estimator, window))
        return np.asarray(np.sqrt(np.maximum(variance, 0.0) * (bars_per_year or 1.0)))
    volatility = np.full(good.shape, np.nan)
    for path in np.ndindex(good.shape[:-1]):
        volatility[path][good[path]] = rolling_volatility(
            bars[path][good[path]], estimator=estimator, window=window, bars_per_year=bars_per_year
        )
    return volatility


def yang_zhang(ohlc: ArrayLike, *, window: int, bars_per_year: float | None = None) -> Floats:
    """Volatility by Yang & Zhang (2000): unbiased with a drift and with jumps at the open.

    `rolling_volatility` with its default estimator; parameters and result are described there.
    """
    return rolling_volatility(ohlc, window=window, bars_per_year=bars_per_year)


def check_settings(estimator: str, window: int, bars_per_year: float = 1.0) -> None:
    """Raise a `ValueError` that names the argument which is out of range."""
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 2:
        raise ValueError(f"window must be an integer of at least 2, got {window!r}")
    check_bars_per_year(bars_per_year)


def check_bars_per_year(bars_per_year: float) -> None:
    """Raise a `ValueError` unless it is finite and positive."""
    if not 0.0 < as_float(bars_per_year) < math.inf:
        raise ValueError(f"bars_per_year must be finite and positive, got {bars_per_year!r}")


def _bars(ohlc: ArrayLike) -> Floats:
    """Bars as float64 of shape (…, n_bars, 4)."""
    frame: Any = ohlc
    if hasattr(frame, "columns"):
        if missing := [name for name in COLUMNS if name not in frame]:
            raise ValueError(
                f"ohlc must have the columns {', '.join(COLUMNS)}, got a table without {missing}: "
                f"rename its own, {list(frame.columns)}"
            )
        return np.stack([as_floats(frame[name], f"ohlc[{name!r}]") for name in COLUMNS], axis=-1)
    bars = as_floats(frame, "ohlc")
    if bars.ndim < 2 or bars.shape[-1] != 4:
        raise ValueError(f"ohlc must have shape (…, n_bars, 4), got {bars.shape}")
    return bars


def _terms(bars: Floats, close_before: Floats, estimator: Estimator) -> Floats:
    """The terms jump, body and range of good bars of shape (…, 4), as (…, 3); zero where the estimator has none."""
    start, high, low, end = np.moveaxis(np.log(bars), -1, 0)
    terms = TERMS[estimator](start - np.log(close_before), end - start, high - start, low - start)
    return np.stack(terms, axis=-1)


def weights(estimator: Estimator, window: int) -> tuple[float, float]:
    """k and m of the module's sum."""
    k = yang_zhang_k(window)
    return (k, 1.0 - k) if estimator == "yang_zhang" else (0.0, 1.0)


def _slide(terms: Floats, window: int, k: float, m: float) -> Floats:
    """The module's sum over the window that ends at each bar of terms (…, n_bars, 3); NaN before the first full one."""
    variance = np.full(terms.shape[:-1], np.nan)
    bars_at_once = max(1, WINDOW_NUMBERS // (3 * window * max(1, math.prod(terms.shape[:-2]))))
    for first in range(window - 1, terms.shape[-2], bars_at_once):
        part = terms[..., first - window + 1 : first + bars_at_once, :]
        windows = np.lib.stride_tricks.sliding_window_view(part, window, axis=-2)
        jump, body, spread = (windows[..., term, :] for term in range(3))
        total = jump.var(axis=-1, ddof=1) + k * body.var(axis=-1, ddof=1) + m * spread.mean(axis=-1)
        variance[..., first : first + bars_at_once] = total
    return variance
