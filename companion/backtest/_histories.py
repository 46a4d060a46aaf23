"""A history of named tables, and others that share its past up to a bar: what `assert_causal` shows to a strategy.

Bars are the rows of the first table. Each row of each table has a bar from which on it is known; a history that is
changed after bar t has every row that is known by then as it was, and others for the rest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from companion.backtest._futures import Draws, Rows, blank, redraw, scale

_FEWEST_BARS = 4


class Input(NamedTuple):
    """One column of one table, and what to call it in a message."""

    table: str
    column: int
    label: str


@dataclass(frozen=True)
class Table:
    """Rows, the bar from which on each is known, what was given, and the column of release times if there is one."""

    frame: pd.DataFrame
    known: NDArray[np.int64]
    given: Any
    released: int | None = None

    def give(self) -> Any:
        """A fresh copy in the form that was given, so that a strategy may write on it."""
        if isinstance(self.given, pd.DataFrame):
            return self.frame.copy()
        if isinstance(self.given, pd.Series):
            series = self.frame.iloc[:, 0].copy()
            series.name = self.given.name
            return series
        values = self.frame.to_numpy(copy=True)
        return values[:, 0] if np.ndim(self.given) == 1 else values

    def columns(self) -> list[int]:
        """The columns that may be changed: when a row is released is a fact about it."""
        return [column for column in range(self.frame.shape[1]) if column != self.released]

    def keep(self, rows: Rows) -> Self:
        """The same without the other rows."""
        return replace(self, frame=self.frame[rows], known=self.known[rows])


@dataclass(frozen=True)
class History:
    """Tables by name, the first of which says what the bars are."""

    tables: Mapping[str, Table]
    named: bool

    @classmethod
    def of(cls, prices: Any, known_at: Mapping[str, Any] | None) -> Self:
        """Read what the caller of `assert_causal` gave."""
        named, released = isinstance(prices, Mapping), dict(known_at or {})
        given = dict(prices) if named else {"prices": prices}
        if not given:
            raise ValueError("prices must hold at least one table, got an empty mapping")
        frames = {name: _frame(name, table) for name, table in given.items()}
        first, *others = frames
        clock = _check_clock(first, frames[first].index)
        if unknown := [name for name in released if name not in others]:
            raise ValueError(f"known_at must name tables after the first, whose rows are the bars, got {unknown[0]!r}")
        tables = {first: Table(frames[first], np.arange(clock.size), given[first])}
        for name in others:
            known, column = _known(name, frames[name], given[name], released.get(name), clock)
            tables[name] = Table(frames[name], known, given[name], column)
        return cls(tables, named)

    @property
    def clock(self) -> pd.Index:
        """The dates of the bars, or their numbers where they have none."""
        return next(iter(self.tables.values())).frame.index

    @property
    def inputs(self) -> list[Input]:
        """Every column that may be changed."""
        return [
            Input(name, column, self._label(name, table, column))
            for name, table in self.tables.items()
            for column in table.columns()
        ]

    def _label(self, name: str, table: Table, column: int) -> str:
        own = table.frame.columns[column]
        if isinstance(table.given, pd.DataFrame):
            return f"{name}[{own!r}]" if self.named else str(own)
        if isinstance(table.given, pd.Series):
            return name if self.named else str(own)
        return name if np.ndim(table.given) == 1 else f"{name}[:, {column}]"

    def give(self) -> Any:
        """A fresh copy in the form in which the prices were given."""
        given = {name: table.give() for name, table in self.tables.items()}
        return given if self.named else next(iter(given.values()))

    def until(self, bar: int) -> Self:
        """Only what is known at `bar`."""
        return self._map(lambda table: table.keep(table.known <= bar))

    def since(self, bar: int) -> Self:
        """Only what became known at `bar` or later."""
        return self._map(lambda table: table.keep(table.known >= bar))

    def redrawn(self, bar: int, only: Input | None, rng: np.random.Generator) -> Self:
        """After `bar`, rows drawn from all rows; the draws do not depend on `only`."""
        draws = {n: rng.integers(1, len(t.frame), np.count_nonzero(t.known > bar)) for n, t in self.tables.items()}

        def change(name: str, frame: pd.DataFrame, column: int, rows: Rows) -> pd.Series:
            drawn: Draws = draws[name]
            return redraw(frame, column, rows, drawn)

        return self._after(bar, only, change)

    def scaled(self, bar: int, only: Input | None) -> Self:
        """After `bar`, moves three times as large."""
        return self._after(bar, only, lambda _, *which: scale(*which))

    def blanked(self, bar: int, only: Input) -> Self:
        """After `bar`, NaN."""
        return self._after(bar, only, lambda _, *which: blank(*which))

    def with_gaps(self, bars: NDArray[np.int64]) -> Self:
        """NaN in every number of what became known at each of the bars and at the bar before it."""

        def change(table: Table) -> Table:
            rows, frame = np.isin(table.known, [bars, bars - 1]), table.frame.copy()
            for column in table.columns():
                frame.isetitem(column, blank(table.frame, column, rows).array)
            return replace(table, frame=frame)

        return self._map(change)

    def _map(self, change: Callable[[Table], Table]) -> Self:
        return replace(self, tables={name: change(table) for name, table in self.tables.items()})

    def _after(self, bar: int, only: Input | None, change: Callable[[str, pd.DataFrame, int, Rows], pd.Series]) -> Self:
        """Change the rows after `bar`, in the column `only` or in all."""
        tables = dict(self.tables)
        for name, column, _ in [only] if only else self.inputs:
            table = self.tables[name]
            frame = tables[name].frame.copy()
            frame.isetitem(column, change(name, table.frame, column, table.known > bar).array)
            tables[name] = replace(table, frame=frame)
        return replace(self, tables=tables)


def _frame(name: str, table: Any) -> pd.DataFrame:
    """One given table as a frame of at least two rows."""
    if isinstance(table, pd.DataFrame):
        frame = table
    elif isinstance(table, pd.Series):
        frame = table.to_frame(name if table.name is None else table.name)
    else:
        array = np.asarray(table)
        if array.ndim not in (1, 2) or array.dtype.kind not in "fiub":
            raise ValueError(f"{name} must be numbers of shape (n_bars,) or (n_bars, n_columns), got {array.shape}")
        frame = pd.DataFrame(array)
    if len(frame) < 2 or not len(frame.columns):
        raise ValueError(f"{name} must hold at least 2 rows and a column, got shape {frame.shape}")
    return frame


def _check_clock(name: str, clock: pd.Index) -> pd.Index:
    if len(clock) < _FEWEST_BARS:
        raise ValueError(f"{name} must hold at least {_FEWEST_BARS} bars, got {len(clock)}")
    if clock.hasnans or not (clock.is_monotonic_increasing and clock.is_unique):
        raise ValueError(f"{name} must have dates that ascend, each once: sort_index(), and drop what comes twice")
    return clock


def _known(
    name: str, frame: pd.DataFrame, given: Any, released: Any, clock: pd.Index
) -> tuple[NDArray[np.int64], int | None]:
    """The bar from which on each row is known, and the place of the column that says so."""
    column = None
    if isinstance(released, str):
        if released not in frame.columns:
            raise ValueError(f"known_at[{name!r}] must be a column of that table or its times, got {released!r}")
        column, times = [*frame.columns].index(released), pd.Index(frame[released])
    elif released is not None:
        times = pd.Index(released)
    elif isinstance(given, pd.DataFrame | pd.Series):
        times = frame.index
    else:
        times = clock
    if len(times) != len(frame):
        raise ValueError(f"{name} must have a time for each of {len(frame)} rows, got {len(times)}: give known_at")
    return _bars_of(name, times, clock), column


def _bars_of(name: str, times: pd.Index, clock: pd.Index) -> NDArray[np.int64]:
    """The first bar at or after each time; what has no time is never known."""
    try:
        bars = clock.searchsorted(times) if times.dtype.kind == clock.dtype.kind else None
    except TypeError:  # one has a time zone, the other none
        bars = None
    if bars is None:
        raise ValueError(f"{name} must be dated as the first table is, by {clock.dtype}, got {times.dtype}")
    return np.where(times.isna(), len(clock), bars).astype(np.int64)
