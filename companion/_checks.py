"""One check for one kind of argument, used at every door: numbers, seeds, and series of log returns.

Every message names the argument, says what it must be and what it was: ``window must be a positive integer, got 0``.
"""

import importlib
import math
import re
from itertools import pairwise
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion.errors import InputError

Floats = NDArray[np.float64]
Labels = NDArray[np.int8]

#: A log return beyond this is no return; a price given by mistake is the usual cause.
LARGEST_LOG_RETURN = 10.0
#: Bars from which on a series is judged: a level can then be told from returns, and percent from shares.
FEWEST_TO_JUDGE = 30
#: Squared steps over squares, a von Neumann ratio about zero. It is near 2 where one bar has nothing to do with the
#: next, and 2 (1 - a) where their autocorrelation is a. Of 20,000 paths of 30 bars not one falls below .15, be they of
#: a = .5 or of Student's t with 3 degrees of freedom. Below are all prices, all log prices far from zero, and of log
#: prices that begin at zero (an index rebased to 1) 63 % after 30 bars, 93 % after 100, 99.7 % after 250.
LEVEL_RATIO = 0.15
#: Root mean square from which on a smooth series is a level. A money market accrues less a bar, in any currency, and
#: does so evenly; a market that moves by a percent a bar does not.
SMALLEST_LEVEL = 0.01
#: Typical (median) size from which on the unit is percent: no market moves by a third every other bar, but a share with
#: a volatility of 1 % a day has a typical return of .7 %.
LARGEST_TYPICAL_RETURN = 0.3

_REMEDY = "give log returns, as `companion.datasets.log_returns(close)` makes them"


def need(package: str, extra: str) -> ModuleType:
    """Import a package that one part alone needs; an `InputError` that says what to install if it is not there."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.partition(".")[0]:
            raise
        remedy = f"pip install 'modeling-financial-chaos[{extra}]'"
        raise InputError(f"the package {package} is not installed: {remedy}") from error


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
        If `half_life` is not a positive finite number.
    """
    return float(0.5 ** (1.0 / check_positive("half_life", half_life)))


def as_paths(X: ArrayLike, *, name: str = "X") -> tuple[Floats, bool]:
    """Log returns as float64 of shape (n_paths, n_bars), and whether they came as one path of shape (n_bars,).

    Raises
    ------
    ValueError
        When X is a table, has another shape, holds no bar or a value that is not a number between ±10, is dated but
        not in ascending order, or is a series of prices, log prices or returns in percent; the message calls the
        argument `name` and ends in the remedy.
    """
    returns = check_series(X, name=name)
    sizes = np.abs(returns)
    bad = np.argwhere(~(sizes <= LARGEST_LOG_RETURN))
    if len(bad):
        where, value = [int(i) for i in bad[0]], returns[tuple(bad[0])]
        raise ValueError(
            f"{name}{where} must be a log return, a number between ±{LARGEST_LOG_RETURN:g}, got {value}: {_REMEDY}"
        )
    paths = np.atleast_2d(returns)
    if paths.shape[1] >= FEWEST_TO_JUDGE:
        large = np.atleast_2d(sizes) > LARGEST_TYPICAL_RETURN
        _refuse_any(_are_levels(paths), returns, name, f"what moves like prices or log prices: {_REMEDY}")
        _refuse_any(
            2 * np.count_nonzero(large, axis=1) > paths.shape[1],
            returns,
            name,
            f"most of them beyond ±{LARGEST_TYPICAL_RETURN:g}: divide percent by 100, or {_REMEDY}",
        )
    return paths, returns.ndim == 1


def check_log_returns(X: ArrayLike, *, name: str = "log_returns") -> Floats:
    """`as_paths` for a caller that works along the last axis: log returns as float64, in the shape in which they came.

    Raises
    ------
    ValueError
        As `as_paths` does.
    """
    paths, single = as_paths(X, name=name)
    return paths[0] if single else paths


def check_series(X: ArrayLike, *, name: str = "X") -> Floats:
    """Numbers of any meaning as float64 of shape (n_bars,) or (n_paths, n_bars); `as_paths` asks for returns besides.

    Raises
    ------
    ValueError
        When X is a table, has another shape, holds no bar or what is no number, or is dated but not in ascending
        order. NaN and infinities are the caller's to judge.
    """
    if hasattr(X, "columns"):
        raise ValueError(
            f"{name} must be one series or an array of paths, got a table with columns: give one column "
            f"(frame['close'] is a Series), or several assets as rows (frame.T.to_numpy())"
        )
    _check_dates(X, name)
    numbers = _as_numbers(X, name)
    if numbers.ndim not in (1, 2):
        raise ValueError(f"{name} must have shape (n_bars,) or (n_paths, n_bars), got {numbers.shape}")
    if numbers.size == 0:
        raise ValueError(f"{name} must hold at least one bar, got shape {numbers.shape}")
    if numbers.ndim == 2 and numbers.shape[1] == 1 < numbers.shape[0]:
        raise ValueError(
            f"{name} must have its bars along the last axis, got {numbers.shape}, a path for each bar: "
            f"give {name}[:, 0], or its transpose"
        )
    return numbers


def check_varied_series(series: ArrayLike, *, least: int, purpose: str = "", name: str = "series") -> Floats:
    """One series of finite numbers that are not all the same, as float64 of shape (n_points,).

    Parameters
    ----------
    series : array-like of shape (n_points,)
        Integers are taken as floats.
    least : int
        Fewest points.
    purpose : str
        What asks for them, for the message: ``"dimension=5, delay=50"``.
    name : str

    Raises
    ------
    ValueError
        When the series has another shape, fewer points, a value that is not finite, or one value only; and as
        `check_series` does.
    """
    numbers = check_series(series, name=name)
    if numbers.ndim != 1:
        raise ValueError(f"{name} must be one series, of shape (n_points,), got {numbers.shape}")
    if len(numbers) < least:
        wanted = f"{least} points for {purpose}" if purpose else f"{least} points"
        raise ValueError(f"{name} must have at least {wanted}, got {len(numbers)}")
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise ValueError(f"{name} must be finite, got {numbers[bad[0]]} at point {bad[0]}")
    if (numbers == numbers[0]).all():
        raise ValueError(f"{name} must not be constant, got {numbers[0]:g} at all of its {len(numbers)} points")
    return numbers


def _check_dates(X: Any, name: str) -> None:
    """Refuse a Series whose index is of dates that do not ascend, or come twice, or are text, which has no order."""
    index: Any = getattr(X, "index", None)
    if getattr(index, "inferred_type", "") == "string" and re.match(r"\d{4}-\d\d|\d\d?[./]\d\d?[./]", str(index[0])):
        raise ValueError(f"{name} must have dates as its index, got text, {index[0]!r}: give pd.to_datetime(index)")
    if getattr(index, "inferred_type", "") not in ("datetime64", "datetime", "date", "period"):
        return
    if index.hasnans:
        raise ValueError(
            f"{name} must have a date for every bar, got none at bar {int(index.isna().argmax())}: drop it"
        )
    if not (index.is_monotonic_increasing and index.is_unique):
        before, after = next(pair for pair in pairwise(index) if not pair[0] < pair[1])
        got = " after ".join(str(date).removesuffix(" 00:00:00") for date in (after, before))
        raise ValueError(
            f"{name} must have dates that ascend, each once, got {got}: sort_index(), and drop what comes twice"
        )


def _as_numbers(X: ArrayLike, name: str) -> Floats:
    try:
        given = np.asarray(np.ma.filled(X.astype(np.float64), np.nan) if isinstance(X, np.ma.MaskedArray) else X)
        # numpy would read text, take a bool for 0 or 1, and what is under a mask for a number
        text = given.dtype.kind == "O" and any(isinstance(value, str | bytes | bool) for value in given.flat)
        numbers = given.astype(np.float64, order="C") if given.dtype.kind in "fiuO" and not text else None
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be an array of numbers: {' '.join(str(error).split())}") from error
    if numbers is None:
        raise ValueError(f"{name} must be an array of numbers, got one of {'text' if text else given.dtype}")
    return numbers


def _refuse_any(wrong: NDArray[np.bool_], returns: Floats, name: str, got: str) -> None:
    if wrong.any():
        which = name if returns.ndim == 1 else f"{name}[{int(np.argmax(wrong))}]"
        raise ValueError(f"{which} must be log returns, got {got}")


def _are_levels(paths: Floats) -> NDArray[np.bool_]:
    """Which paths are levels, not returns: the steps from bar to bar are small beside the values themselves.

    Only bars at which the value changes count: a feed that is stuck at a return says nothing of what it sent before.
    """
    steps = np.diff(paths, axis=1)
    values = np.where(steps != 0.0, paths[:, 1:], 0.0)
    n_steps = np.count_nonzero(steps, axis=1)
    square_steps, squares = np.einsum("ij,ij->i", steps, steps), np.einsum("ij,ij->i", values, values)
    large = squares > n_steps * SMALLEST_LEVEL**2
    return (n_steps >= FEWEST_TO_JUDGE - 1) & large & (square_steps < LEVEL_RATIO * squares)
