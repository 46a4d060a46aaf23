"""Ensembles larger than memory: a folder of Parquet files, each a block of paths, that any Parquet reader opens.

Path i is a function of the seed and of i, so it does not matter who simulates a block, in which order, or how often: a
run that was killed goes on with the blocks that are not there yet, and a Dask cluster gives the bytes that one core
gives. How that is kept on disk is the business of `companion._runs`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from companion._files import followed, provenance
from companion._runs._blocks import Blocks, Identity
from companion._runs._folder import ResumableFolder
from companion._tables import read_provenance, read_table, table_bytes
from companion.errors import InputError
from companion.heston._switching import RegimePaths, RegimeSwitchingHeston

MARKETS = {
    "equity_index": RegimeSwitchingHeston.equity_index,
    "fast_reverting": RegimeSwitchingHeston.fast_reverting,
    "slow_reverting": RegimeSwitchingHeston.slow_reverting,
}
KIND = "heston paths"
COLUMNS = {"path": "int32", "bar": "int32", "price": "float64", "variance": "float64", "regime": "int8"}
MOST_PATHS = 2**31 - 1  # the column `path` is int32
MOST_BLOCKS = 100_000  # five digits in a file's name
MOST_BARS = 10_000_000  # a block; two blocks are in work at a time, each in about 0.5 GB


@dataclass(frozen=True)
class Ensemble:
    """Which market, how much of it, in blocks of how many paths, and the seed. A bar is a day.

    The block decides how the paths lie in files, not what they are.

    Raises
    ------
    ValueError
        If a value is out of range; the message names it.
    """

    market: str = "equity_index"
    paths: int = 400
    bars: int = 1500
    block: int = 1000
    seed: int = 2026

    def __post_init__(self) -> None:
        if self.market not in MARKETS:
            raise ValueError(f"market must be one of {', '.join(MARKETS)}, got {self.market!r}")
        for name, least in (("paths", 1), ("bars", 1), ("block", 1), ("seed", 0)):
            if not isinstance(getattr(self, name), int):
                raise ValueError(f"{name} must be an integer, got {getattr(self, name)!r}")  # noqa: TRY004
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.paths > MOST_PATHS:
            raise ValueError(f"paths must be at most {MOST_PATHS:,}, got {self.paths:,}")
        if min(self.block, self.paths) * self.bars > MOST_BARS:
            raise ValueError(f"block times bars must be at most {MOST_BARS:,}, got {self.block:,} times {self.bars:,}")
        if self.n_blocks > MOST_BLOCKS:
            raise ValueError(f"block must be larger: {self.paths:,} paths would be {self.n_blocks:,} files")

    @property
    def n_blocks(self) -> int:
        """Number of blocks, each a file."""
        return -(-self.paths // self.block)

    def simulate(self, number: int) -> RegimePaths:
        """Simulate block `number`: paths ``number * block`` and on."""
        first = number * self.block
        n_paths = min(self.block, self.paths - first)
        market = MARKETS[self.market]()
        return market.simulate(n_paths=n_paths, n_steps=self.bars, first_path=first, seed=self.seed)

    def command(self, folder: Path) -> str:
        """Return the subcommand that writes this ensemble, finishes it, or mends it."""
        flags = " ".join(f"--{name} {value}" for name, value in asdict(self).items())
        return f"generate-heston {flags} --out {folder}"


class _PathBlocks(Blocks[RegimePaths]):
    """Parquet tables of paths, a row a path and bar."""

    noun, suffix, maker = "ensemble", ".parquet", "companion generate-heston"

    def identify(self, file: Path, command: str) -> Identity:
        return read_provenance(file, kind=KIND, made_by=command)

    def count(self, identity: Identity) -> int:
        return _ensemble_of(identity).n_blocks

    def command(self, identity: Identity, folder: Path) -> str:
        return f"companion {_ensemble_of(identity).command(folder)}"

    def read(self, file: Path, number: int, identity: Identity) -> RegimePaths:
        ensemble = _ensemble_of(identity)
        made_by = self.command(identity, file.parent)
        table, _ = read_table(file, kind=KIND, columns=COLUMNS, made_by=made_by)
        columns = {name: table[name].to_numpy() for name in COLUMNS}
        wrong = _wrong_column(columns, ensemble, number)
        if wrong:
            what = f"column '{wrong}' is not what this step writes"
            raise InputError(f"{file}: {what}; make it with `{made_by}`")
        shape = -1, ensemble.bars + 1
        return RegimePaths(*(columns[name].reshape(shape) for name in ("price", "variance", "regime")))


BLOCKS = _PathBlocks()


def write_ensemble(
    ensemble: Ensemble,
    folder: str | Path,
    *,
    scheduler: str | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write `ensemble` to `folder`, one row a path and bar, bar 0 the start, a file a block.

    What `folder` held before stays until the new ensemble is complete. A run that was stopped goes on where it was when
    it is called again with the same arguments; called on a complete ensemble, it checks every block and writes those
    anew that are damaged. Memory is bounded by a few blocks.

    Parameters
    ----------
    ensemble : Ensemble
    folder : path
        Its parent is made if there is none; a symbolic link is followed.
    scheduler : str, optional
        Address of a Dask scheduler whose workers simulate the blocks; by default this process does. Only this process
        writes files. A worker may be lost on the way.
    report : callable
        Called as ``report(done, total)``, in blocks.

    Raises
    ------
    InputError
        `folder` holds something else, or an unfinished ensemble of other settings; another run is writing it; it can
        not be written; the cluster can not be reached, is lost, or runs other versions. Finished blocks are kept.
    """
    with ResumableFolder(folder, BLOCKS, _source(ensemble)) as place:
        place.fill(encode_block, ensemble, scheduler=scheduler, report=report)
        place.finish()


def encode_block(ensemble: Ensemble, number: int) -> tuple[bytes, dict[str, Any]]:
    """Simulate block `number`; return the bytes of its file and the provenance in them."""
    paths, source = ensemble.simulate(number), _source(ensemble)
    n_paths, n_columns = paths.price.shape
    first = number * ensemble.block
    table = {
        "path": np.repeat(np.arange(first, first + n_paths, dtype=np.int32), n_columns),
        "bar": np.tile(np.arange(n_columns, dtype=np.int32), n_paths),
        "price": paths.price.ravel(),
        "variance": paths.variance.ravel(),
        "regime": paths.regime.ravel(),
    }
    return table_bytes(table, kind=KIND, columns=COLUMNS, provenance=source), source


def open_ensemble(folder: str | Path) -> tuple[Ensemble, Identity]:
    """Return what `folder` holds, and its provenance.

    Raises
    ------
    InputError
        It is no ensemble, or an unfinished one: the message names the missing blocks and the command that finishes it.
    """
    source = BLOCKS.open(Path(folder))
    return _ensemble_of(source), source


def read_blocks(folder: str | Path) -> Iterator[RegimePaths]:
    """Read an ensemble block by block, in the order of the paths, in the memory of one block.

    Raises
    ------
    InputError
        As `open_ensemble`; or a block is damaged, belongs to another ensemble, or holds what no simulation gives.
    """
    ensemble, source = open_ensemble(folder)
    for number in range(ensemble.n_blocks):
        yield BLOCKS.block(followed(Path(folder)), number, source)


def _wrong_column(columns: Mapping[str, np.ndarray], ensemble: Ensemble, number: int) -> str | None:
    """Name the first column that can not be that of block `number`."""
    first, n_columns = number * ensemble.block, ensemble.bars + 1
    n_rows = min(ensemble.block, ensemble.paths - first) * n_columns
    path, bar = np.divmod(np.arange(n_rows), n_columns)
    rules = {
        "path": np.array_equal(columns["path"], first + path),
        "bar": np.array_equal(columns["bar"], bar),
        "price": (columns["price"] > 0).all(),
        "variance": (columns["variance"] > 0).all(),
        "regime": np.isin(columns["regime"], (0, 1)).all(),
    }
    return next((name for name, holds in rules.items() if not holds), None)


@cache
def _source(ensemble: Ensemble) -> dict[str, Any]:
    return provenance(seed=ensemble.seed, config=asdict(ensemble), inputs={})


def _ensemble_of(source: Identity) -> Ensemble:
    return Ensemble(**source["config"])
