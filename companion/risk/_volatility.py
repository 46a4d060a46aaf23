"""Volatility from open, high, low and close: Yang and Zhang's estimator, and four older ones to compare it with.

All five are one sum over a window of n bars, ``var(jump) + k var(body) + mean(range)``, with different terms a bar.
With o the log return from the last close to the open, and c, u, d the log close, high and low against the open:

================  =======  ====  =======================================  ==================================
estimator         jump     body  range                                    source
================  =======  ====  =======================================  ==================================
close_to_close    o + c    —     —                                        sample variance
parkinson         —        —     (u - d)² / (4 ln 2)                      Parkinson (1980)
garman_klass      —        —     (u - d)² / 2 - (2 ln 2 - 1) c²           Garman & Klass (1980)
rogers_satchell   —        —     u (u - c) + d (d - c)                    Rogers & Satchell (1991)
yang_zhang        o        c     (1 - k) times Rogers and Satchell's      Yang & Zhang (2000)
================  =======  ====  =======================================  ==================================

The three in the middle see nothing of the night, and Parkinson's and Garman and Klass's take a drift for volatility.
Every window is summed anew, so nothing that has left it can leave a rounding error behind.
"""

import math
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
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


def yang_zhang_k(window: int) -> float:
    """Weight of the open-to-close variance that minimizes the estimator's own variance (Yang & Zhang 2000)."""
    return 0.34 / (1.34 + (window + 1) / (window - 1))


def bar_faults(ohlc: ArrayLike) -> NDArray[np.int8]:
    """What is wrong with each bar, as an index into `FAULTS`; 0 is a good bar.

    Parameters
    ----------
    ohlc : DataFrame or array_like
        As in `rolling_volatility`.

    Returns
    -------
    int8 array of shape (…, n_bars)
    """
    bars = _bars(ohlc)
    start, high, low, end = np.moveaxis(bars, -1, 0)
    outside = (np.minimum(start, end) < low) | (np.maximum(start, end) > high)
    faults = [~np.isfinite(bars).all(axis=-1), (bars <= 0.0).any(axis=-1), high < low, outside]
    return np.select(faults, [1, 2, 3, 4], 0).astype(np.int8)


def rolling_volatility(
    ohlc: ArrayLike, *, estimator: Estimator = "yang_zhang", window: int, bars_per_year: float
) -> NDArray[np.float64]:
    """Annual volatility over the last `window` bars, at each bar.

    Parameters
    ----------
    ohlc : DataFrame or array_like
        Columns ``open``, ``high``, ``low``, ``close`` with one row a bar, or an array of shape (…, n_bars, 4) in that
        order.
    estimator : str
        One of `ESTIMATORS`.
    window : int
        Bars in the window, at least 2.
    bars_per_year : float
        Bars in a year: 252 for days of an exchange, 525,600 for minutes of a market that never closes.

    Returns
    -------
    float64 array of shape (…, n_bars)
        From this bar and earlier ones only. NaN until the window is full (close-to-close and Yang–Zhang need the close
        before it as well) and at a bad bar; `bar_faults` says which bars are bad and why. At good bars it is that of
        the series without the bad ones, so that the next good bar jumps from the last good close.

    Raises
    ------
    ValueError
        Names the argument that is out of range, or an array whose last axis is not 4.
    """
    check_settings(estimator, window, bars_per_year)
    bars, good = _bars(ohlc), bar_faults(ohlc) == 0
    if good.all():
        before = np.full(bars.shape[:-1], np.nan)
        before[..., 1:] = bars[..., :-1, 3]
        k = yang_zhang_k(window)
        return np.asarray(np.sqrt(_slide(_terms(bars, before, estimator, k), window, k) * bars_per_year))
    volatility = np.full(good.shape, np.nan)
    for path in np.ndindex(good.shape[:-1]):
        volatility[path][good[path]] = rolling_volatility(
            bars[path][good[path]], estimator=estimator, window=window, bars_per_year=bars_per_year
        )
    return volatility


def yang_zhang(ohlc: ArrayLike, *, window: int, bars_per_year: float) -> NDArray[np.float64]:
    """Annual volatility by Yang & Zhang (2000): unbiased with a drift and with jumps at the open.

    `rolling_volatility` with its default estimator; parameters and result are described there.
    """
    return rolling_volatility(ohlc, window=window, bars_per_year=bars_per_year)


class VolatilityReading(NamedTuple):
    """Answer to one bar: the annual volatility or NaN, whether the bar was taken, and the reason of a NaN or ""."""

    volatility: float
    accepted: bool
    reason: str


class StreamingVolatility:
    """`rolling_volatility` one bar at a time.

    A bad bar is refused and leaves the stream as it was.

    Parameters
    ----------
    window, bars_per_year, estimator
        As in `rolling_volatility`.

    Attributes
    ----------
    n_refused : int
        Bad bars so far.
    """

    def __init__(self, *, window: int, bars_per_year: float, estimator: Estimator = "yang_zhang") -> None:
        check_settings(estimator, window, bars_per_year)
        self.window, self.bars_per_year, self.estimator = window, bars_per_year, estimator
        self.n_refused = 0
        self._terms = np.full((window, 3), np.nan)
        self._close = math.nan

    def update(self, bar_open: float, high: float, low: float, close: float) -> VolatilityReading:
        """Take one bar in, or refuse it and say why."""
        bar = np.array([bar_open, high, low, close], dtype=np.float64)
        if fault := int(bar_faults(bar[None])[0]):
            self.n_refused += 1
            return VolatilityReading(math.nan, False, FAULTS[fault])
        k = yang_zhang_k(self.window)
        self._terms[:-1] = self._terms[1:]
        self._terms[-1] = _terms(bar, np.array(self._close), self.estimator, k)
        self._close = float(bar[3])
        volatility = math.sqrt(float(_window_variance(self._terms.T, k)) * self.bars_per_year)
        return VolatilityReading(volatility, True, "warming up" if math.isnan(volatility) else "")


def check_settings(estimator: str, window: int, bars_per_year: float = 1.0) -> None:
    """Raise a `ValueError` that names the argument which is out of range."""
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    if isinstance(window, bool) or not isinstance(window, int | np.integer) or window < 2:
        raise ValueError(f"window must be an integer of at least 2, got {window!r}")
    if not 0.0 < bars_per_year < math.inf:
        raise ValueError(f"bars_per_year must be finite and positive, got {bars_per_year!r}")


def _bars(ohlc: ArrayLike) -> Array:
    """Bars as float64 of shape (…, n_bars, 4)."""
    frame: Any = ohlc
    if hasattr(frame, "columns"):
        if missing := [name for name in COLUMNS if name not in frame]:
            raise ValueError(f"ohlc lacks the columns {missing}, it has {list(frame.columns)}")
        frame = frame[COLUMNS]
    bars = np.asarray(frame, dtype=np.float64)
    if bars.ndim < 2 or bars.shape[-1] != 4:
        raise ValueError(f"ohlc must have shape (…, n_bars, 4), got {bars.shape}")
    return bars


def _terms(bars: Array, close_before: Array, estimator: Estimator, k: float) -> Array:
    """The terms jump, body and range of good bars of shape (…, 4), as (…, 3); zero where the estimator has none."""
    start, high, low, end = np.moveaxis(np.log(bars), -1, 0)
    jump, body, up, down = start - np.log(close_before), end - start, high - start, low - start
    rogers_satchell = up * (high - end) + down * (low - end)
    none = np.zeros_like(body)
    return np.stack(
        {
            "close_to_close": (jump + body, none, none),
            "parkinson": (none, none, (high - low) ** 2 / (4.0 * math.log(2.0))),
            "garman_klass": (none, none, 0.5 * (high - low) ** 2 - (2.0 * math.log(2.0) - 1.0) * body**2),
            "rogers_satchell": (none, none, rogers_satchell),
            "yang_zhang": (jump, body, (1.0 - k) * rogers_satchell),
        }[estimator],
        axis=-1,
    )


def _window_variance(windows: Array, k: float) -> Array:
    """``var(jump) + k var(body) + mean(range)`` of windows of terms, shape (…, 3, window)."""
    jump, body, spread = (windows[..., term, :] for term in range(3))
    return np.asarray(jump.var(axis=-1, ddof=1) + k * body.var(axis=-1, ddof=1) + spread.mean(axis=-1))


def _slide(terms: Array, window: int, k: float) -> Array:
    """`_window_variance` of the window that ends at each bar of terms (…, n_bars, 3); NaN before the first full one."""
    variance = np.full(terms.shape[:-1], np.nan)
    bars_at_once = max(1, WINDOW_NUMBERS // (3 * window * max(1, math.prod(terms.shape[:-2]))))
    for first in range(window - 1, terms.shape[-2], bars_at_once):
        part = terms[..., first - window + 1 : first + bars_at_once, :]
        windows = np.lib.stride_tricks.sliding_window_view(part, window, axis=-2)
        variance[..., first : first + bars_at_once] = _window_variance(windows, k)
    return variance
