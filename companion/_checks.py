"""One check for one kind of argument, used at every door: numbers, seeds, and series of log returns.

Every message names the argument, says what it must be and what it was: ``window must be a positive integer, got 0``.
"""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int8]

#: A log return beyond this is no return; a price given by mistake is the usual cause.
LARGEST_LOG_RETURN = 10.0
#: Bars from which on a series can be told from the levels (prices, log prices) whose differences it should be.
FEWEST_TO_JUDGE = 30
#: Lag-one autocorrelation of a level; that of log returns is near zero in every market.
LEVEL_AUTOCORRELATION = 0.95
#: Returns of one sign throughout, and larger than this, are levels too: log prices, exchange rates.
SMALLEST_LEVEL = 0.02

_REMEDY = "give log returns, as `companion.datasets.log_returns(close)` makes them"


def check_seed(seed: int | np.random.Generator) -> None:
    """Refuse what is neither a non-negative integer nor a ``numpy.random.Generator`` with a `ValueError`."""
    if isinstance(seed, np.random.Generator):
        return
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a non-negative integer or a numpy.random.Generator, got {seed!r}")


def check_count(name: str, value: Any, *, least: Literal[0, 1] = 1) -> int:
    """`value` as an integer that is positive, or with ``least=0`` not negative; else a `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be a {'positive' if least else 'non-negative'} integer, got {value!r}")
    return int(value)


def check_finite(name: str, value: Any) -> float:
    """`value` as a finite float; else a `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)


def check_positive(name: str, value: Any) -> float:
    """`value` as a positive finite float; else a `ValueError`."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.number)
        or not math.isfinite(value)
        or value <= 0
    ):
        raise ValueError(f"{name} must be a positive finite number, got {value!r}")
    return float(value)


def decay(half_life: float) -> float:
    """Weight that an exponential average keeps of itself a bar, where half of a weight is gone after `half_life` bars.

    Raises
    ------
    ValueError
        If `half_life` is not above zero.
    """
    if not half_life > 0.0:
        raise ValueError(f"half_life must be a positive number of bars, got {half_life!r}")
    return float(0.5 ** (1.0 / half_life))


def as_paths(X: ArrayLike, *, name: str = "X") -> tuple[Floats, bool]:
    """Log returns as float64 of shape (n_paths, n_bars), and whether they came as one path of shape (n_bars,).

    Raises
    ------
    ValueError
        When X is a table, has another shape, holds no bar or a value that is not a number between ±10, is dated but
        not in ascending order, or is a series of prices or log prices; the message calls the argument `name` and ends
        in the remedy.
    """
    if hasattr(X, "columns"):
        raise ValueError(
            f"{name} must be one series or an array of paths, got a table with columns: give one column "
            f"(frame['close'] is a Series), or several assets as rows (frame.T.to_numpy())"
        )
    _check_dates(X, name)
    returns = _as_numbers(X, name)
    if returns.ndim not in (1, 2):
        raise ValueError(f"{name} must have shape (n_bars,) or (n_paths, n_bars), got {returns.shape}")
    if returns.size == 0:
        raise ValueError(f"{name} must hold at least one bar, got shape {returns.shape}")
    if returns.ndim == 2 and returns.shape[1] == 1 < returns.shape[0]:
        raise ValueError(
            f"{name} must have its bars along the last axis, got {returns.shape}, a path for each bar: "
            f"give {name}[:, 0], or its transpose"
        )
    bad = np.argwhere(~(np.abs(returns) <= LARGEST_LOG_RETURN))
    if len(bad):
        where, value = [int(i) for i in bad[0]], returns[tuple(bad[0])]
        raise ValueError(
            f"{name}{where} must be a log return, a number between ±{LARGEST_LOG_RETURN:g}, got {value}: {_REMEDY}"
        )
    paths = np.atleast_2d(returns)
    if paths.shape[1] >= FEWEST_TO_JUDGE and (levels := np.flatnonzero(_are_levels(paths))).size:
        which = name if returns.ndim == 1 else f"{name}[{levels[0]}]"
        raise ValueError(f"{which} must be log returns, got what moves like prices or log prices: {_REMEDY}")
    return paths, returns.ndim == 1


def _check_dates(X: Any, name: str) -> None:
    """Refuse a Series whose index is of dates that do not ascend, or come twice."""
    index: Any = getattr(X, "index", None)
    if getattr(getattr(index, "dtype", None), "kind", "") != "M":
        return
    if index.hasnans or not (index.is_monotonic_increasing and index.is_unique):
        raise ValueError(
            f"{name} must have dates that ascend, each once, got others: sort_index(), and drop what comes twice"
        )


def _as_numbers(X: ArrayLike, name: str) -> Floats:
    try:
        given = np.asarray(X)
        numbers = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error
    if given.dtype.kind not in "fiuO":  # numpy would read text, and take a bool for 0 or 1
        raise ValueError(f"{name} must be an array of numbers, got one of {given.dtype}")
    return numbers


def _are_levels(paths: Floats) -> NDArray[np.bool_]:
    """Which paths are levels, not returns: smooth over time, or of one sign and far from zero."""
    centered = paths - paths.mean(axis=1, keepdims=True)
    energy = np.einsum("ij,ij->i", centered, centered)
    smooth = np.einsum("ij,ij->i", centered[:, 1:], centered[:, :-1]) > LEVEL_AUTOCORRELATION * energy
    size = np.abs(paths)
    one_sided = (np.sign(paths) == np.sign(paths[:, :1])).all(axis=1) & (np.median(size, axis=1) > SMALLEST_LEVEL)
    still = np.median(np.abs(np.diff(paths, axis=1)), axis=1) < 0.25 * np.median(size, axis=1)
    varies = energy > 1e-12 * np.einsum("ij,ij->i", paths, paths)  # beyond the rounding of a constant
    return (smooth & varies) | (one_sided & still)
