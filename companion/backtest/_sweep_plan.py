"""What a sweep tries, in words that a file can hold: which strategies, with which parameters, from which seeds.

A run is a class or a function that can be imported, with parameters that JSON can write. So the description of a plan
says everything about its results, on any machine, and a number is enough to name a run.
"""

import hashlib
import importlib
import inspect
import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from functools import cached_property, partial
from itertools import accumulate
from math import ceil
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from sklearn.model_selection import ParameterGrid

from companion._checks import check_count
from companion._files import sha256_file
from companion.backtest._costs import Trading
from companion.backtest._rules import Rule
from companion.backtest._splitter import WalkForward

Maker: TypeAlias = Callable[..., Any]
"""A class, whose objects are strategies, or a function of closes that is one; both take keyword parameters."""
Grid: TypeAlias = Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Sequence[Any]]]
"""Values of each parameter, every combination of which is tried; or several such grids, one after the other."""

MOST_BLOCKS = 100_000  # five digits in a file's name
FEWEST_BLOCKS = 4  # so that a kill costs a quarter of the work at most, and the files little of it


class Run(NamedTuple):
    """One strategy of a plan."""

    maker: Maker
    parameters: dict[str, Any]
    seed: int | None

    @property
    def given(self) -> dict[str, Any]:
        """Parameters, the seed among them."""
        return self.parameters if self.seed is None else self.parameters | {"seed": self.seed}

    def make(self) -> Any:
        """Return the strategy."""
        return self.maker(**self.given) if inspect.isclass(self.maker) else partial(self.maker, **self.given)


@dataclass(frozen=True)
class Plan:
    """Strategies × parameters × seeds, how each is judged, and how many runs lie in a file.

    Attributes
    ----------
    strategies : mapping of callable to Grid
    seeds : sequence of int
        For the makers that take a ``seed``; the others would only do the same again.
    splitter, rule, trading
        As in `walk_forward`.
    n_folds : int
        Equal parts of the test bars, an even number.
    block : int, optional
        Runs in a file, which one worker does in one go; by default as `sweep` says.

    Raises
    ------
    ValueError
        A maker that can not be imported, parameters that it does not take, or values that JSON can not write; the
        message names them.
    """

    strategies: Mapping[Maker, Grid]
    seeds: Sequence[int]
    splitter: WalkForward
    rule: Rule | None
    trading: Trading
    n_folds: int
    block: int | None

    def __post_init__(self) -> None:
        if not self.strategies:
            raise ValueError("strategies must hold at least one class and its parameters, got none")
        if check_count("n_folds", self.n_folds) % 2:
            raise ValueError(f"n_folds must be even, one half is held against the other, got {self.n_folds}")
        if not self.seeds:
            raise ValueError("seeds must hold at least one seed, got none")
        for seed in self.seeds:
            check_count("seeds", seed, least=0)
        if self.block is not None:
            check_count("block", self.block)
        names = [_place("strategies", maker)["name"] for maker in self.strategies]
        if len({*names}) < len(names):
            raise ValueError(f"strategies must have names of their own, got {names}")
        if self.n_blocks > MOST_BLOCKS:
            raise ValueError(f"block must be larger: {self.n_runs:,} runs would be {self.n_blocks:,} files")
        json.dumps(self.describe())

    @cached_property
    def _families(self) -> list[tuple[Maker, ParameterGrid, Sequence[int | None]]]:
        return [
            (maker, _grid(maker, grid), self.seeds if "seed" in _free(maker, grid) else (None,))
            for maker, grid in self.strategies.items()
        ]

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(len(grid) * len(seeds) for _, grid, seeds in self._families))

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return self._ends[-1]

    @property
    def size(self) -> int:
        """Runs in a file."""
        files = sum(len(grid) * len(seeds) / _runs_in_a_file(maker) for maker, grid, seeds in self._families)
        return self.block or -(-self.n_runs // max(ceil(files), FEWEST_BLOCKS))

    @property
    def n_blocks(self) -> int:
        """Number of files."""
        return -(-self.n_runs // self.size)

    def runs(self, block: int) -> range:
        """Numbers of the runs of a file."""
        return range(block * self.size, min((block + 1) * self.size, self.n_runs))

    def run(self, number: int) -> Run:
        """Run `number`: seeds change fastest, strategies slowest."""
        which = bisect_right(self._ends, number)
        maker, grid, seeds = self._families[which]
        row, seed = divmod(number - (self._ends[which - 1] if which else 0), len(seeds))
        return Run(maker, dict(sorted(grid[row].items())), seeds[seed])

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON types, with a hash of the source of every strategy."""
        return {
            "strategies": [
                {**_place("strategies", maker), "grid": grid.param_grid} for maker, grid, _ in self._families
            ],
            "seeds": [int(seed) for seed in self.seeds],
            "splitter": _described("splitter", self.splitter),
            "rule": _described("rule", self.rule),
            "trading": {name: _described(name, value) for name, value in sorted(self.trading.items())},
            "n_folds": int(self.n_folds),
            "runs": self.n_runs,
            "block": self.size,
        }


def many_at_once(maker: Maker) -> bool:
    """Whether a class says the weights of many parameter sets by one compiled pass."""
    return callable(getattr(maker, "positions", None))


def _runs_in_a_file(maker: Maker) -> int:
    """So many that they take half a second or more, beside which the 10 ms of a file are little."""
    if hasattr(maker, "fit"):
        return 1
    return 10_000 if many_at_once(maker) else 150


def digest(values: Any) -> dict[str, Any]:
    """Identity of an array or of a Series: its length, and the SHA-256 of its values and of its dates."""
    series = values if isinstance(values, pd.Series) else pd.Series(np.asarray(values))
    content = series.to_numpy(dtype=np.float64).tobytes()
    if isinstance(series.index, pd.DatetimeIndex):
        content += series.index.to_numpy("datetime64[ns]").tobytes()
    return {"bars": len(series), "sha256": hashlib.sha256(content).hexdigest()}


def _free(maker: Maker, grid: Grid) -> set[str]:
    """Parameters of a maker that its grid leaves open."""
    taken = {name for part in ([grid] if isinstance(grid, Mapping) else grid) for name in part}
    return {*inspect.signature(maker).parameters} - taken


def _grid(maker: Maker, grid: Grid) -> ParameterGrid:
    name = maker.__qualname__
    parts = [
        {key: _values(f"{name}: {key}", values) for key, values in part.items()}
        for part in ([grid] if isinstance(grid, Mapping) else grid)
    ]
    if not parts:
        raise ValueError(f"strategies: {name} must have a grid, {{}} for no parameters, got none")
    for part in parts:
        try:
            inspect.signature(maker).bind_partial(**dict.fromkeys(part))
        except TypeError as error:
            raise ValueError(f"strategies: {name} {error}; it takes {inspect.signature(maker)}") from error
    return ParameterGrid(parts)


def _values(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or not len(values):
        raise ValueError(f"strategies: {name} must be a list of values, got {values!r}")
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    told = plain if _is_json(plain) else [_plain(name, value) for value in values]
    written = [*map(json.dumps, told)]
    if len({*written}) < len(written):
        twice = next(value for value in written if written.count(value) > 1)
        raise ValueError(f"strategies: {name} has {twice} twice, which would count as two trials: give it once")
    return told


def _is_json(value: Any) -> bool:
    """Whether a value is the same after it was written: otherwise two of them could not be told apart."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


def _plain(name: str, value: Any) -> Any:
    """`value` as JSON has it, or a `ValueError`."""
    scalar = value.item() if isinstance(value, np.generic) else value
    if not _is_json(scalar):
        raise ValueError(
            f"strategies: {name} must be a number, text, None or a list of those, got {value!r}: write a class "
            f"that makes it from such values"
        )
    return scalar


def _place(argument: str, thing: Any) -> dict[str, str]:
    """Where a class or a function is imported from, and the SHA-256 of that file."""
    module, name = getattr(thing, "__module__", "__main__"), getattr(thing, "__qualname__", repr(thing))
    home = None if module == "__main__" else importlib.import_module(module)
    file = inspect.getsourcefile(home) if home else None
    if file is None or getattr(home, name, None) is not thing:
        raise ValueError(
            f"{argument} must be of classes or functions that a worker can import, got {name} of {module}: write it at "
            f"the top of a module, a .py file of its own"
        )
    return {"module": module, "name": name, "sha256": sha256_file(file)}


def _described(name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray | pd.Series):
        return digest(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _place(name, type(value)) | {"values": json.loads(json.dumps(asdict(value)))}
    return _place(name, value) if callable(value) else _plain(name, value)
