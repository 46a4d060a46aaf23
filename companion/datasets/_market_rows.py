"""The rows of several files as one table in the order of time, each with the line that it came from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from companion.datasets._file_kinds import called
from companion.datasets._market_arrays import Fault
from companion.datasets._market_lines import Columns, refuse_line
from companion.errors import InputError

Paths = str | Path | Sequence[str | Path]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows in the order of their times, and of their update ids where they have some.

    Attributes
    ----------
    files : tuple of Path
    columns : dict of str to array of shape (n_rows,)
        With ``time_ns``; ``file``, an index into `files`; and ``line``.
    n_disordered : int
        Rows with an earlier time than the row before them in the same file.
    """

    files: tuple[Path, ...]
    columns: Columns
    n_disordered: int

    def __len__(self) -> int:
        return len(self.columns["line"])

    def once(self, names: Sequence[str], *, key: str) -> list[NDArray[Any]]:
        """The named columns without the rows that repeat another: same `key`, same values. A key below 0 is none.

        Raises
        ------
        InputError
            Names the two rows of one key that differ.
        """
        keys = self.columns[key]
        order = np.argsort(keys, kind="stable")
        before, after = order[:-1], order[1:]
        same = (keys[before] == keys[after]) & (keys[after] >= 0)
        for name in names:
            values = self.columns[name]
            differ = same & (values[before] != values[after])
            if differ.any():
                where = int(differ.argmax())
                raise self._contradiction(int(before[where]), int(after[where]), key, name)
        kept = np.ones(len(keys), np.bool_)
        kept[after[same]] = False
        return [self.columns[name][kept] for name in names]

    def _contradiction(self, first: int, second: int, key: str, name: str) -> InputError:
        (path, line), (other, earlier) = self._origin(second), self._origin(first)
        values = self.columns[name]
        text = f"has the {key} of {called(other)}: {earlier}, but {name} {values[second]} and not {values[first]}"
        return refuse_line(path, line, text)

    def _origin(self, row: int) -> tuple[Path, int]:
        return self.files[self.columns["file"][row]], int(self.columns["line"][row])


def read_rows(
    paths: Paths, read_one: Callable[[Path], Columns], faults: Callable[[Mapping[str, NDArray[Any]]], Iterator[Fault]]
) -> Rows:
    """Read the files, check each row by itself, and sort them.

    Raises
    ------
    InputError
        Of `read_one`, and the first row that breaks a rule.
    ValueError
        If `paths` is empty.
    """
    files = tuple(Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths))
    if not files:
        raise ValueError("paths is empty: give at least one file")
    parts, n_disordered = [], 0
    for number, path in enumerate(files):
        columns = read_one(path)
        _refuse(path, columns, faults(columns))
        n_disordered += int(np.count_nonzero(np.diff(columns["time_ns"]) < 0))
        parts.append(columns | {"file": np.full(len(columns["line"]), number, np.int32)})
    table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    ids = [table["update_id"]] if "update_id" in table else []
    order = np.lexsort((*ids, table["time_ns"]))
    return Rows(files, {name: values[order] for name, values in table.items()}, n_disordered)


def _refuse(path: Path, columns: Columns, faults: Iterator[Fault]) -> None:
    for rule, column, broken in faults:
        if broken.any():
            where = int(broken.argmax())
            raise refuse_line(path, int(columns["line"][where]), f"{column} {rule}, got {columns[column][where]}")
