"""Ensembles larger than memory: a folder of Parquet files, each a block of paths, that any Parquet reader opens.

The blocks are simulated one by one into ``<folder>.partial``, which takes the place of ``<folder>`` in the end. Path i
is a function of the seed and of i, so it does not matter who simulates a block, in which order, or how often: a run
that was killed goes on with the blocks that are not there yet, and a Dask cluster gives the bytes that one core gives.

Every file says in its metadata which ensemble it belongs to. There is no other book-keeping that could disagree.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from companion._files import atomic_path, provenance
from companion._runs._lock import locked
from companion._runs._workers import results
from companion._tables import DamagedFileError, read_provenance, read_table, table_bytes
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
        Its parent is made if there is none.
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
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_name(f".{folder.name}.lock")) as ours:
            if not ours:
                raise InputError(f"{folder}: another run is writing it; wait until it ends, or name another folder")
            _write(ensemble, folder, scheduler, report)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{folder}: can not be written ({reason}); make room or choose another place") from error


def _write(ensemble: Ensemble, folder: Path, scheduler: str | None, report: Callable[[int, int], None]) -> None:
    partial = _beside(folder, "partial")
    _finish_replacing(folder)
    here = _source(ensemble)
    place = folder if _first_source(folder) == here else partial
    there = _first_source(place)
    if there not in (None, here):
        raise InputError(
            f"{place}: an unfinished ensemble with other settings ({_difference(there, here)}); "
            f"delete it, or finish it with `companion {_ensemble_of(place, there).command(folder)}`"
        )
    for leftover in place.glob(".*.part"):  # of a run that was killed while it wrote
        leftover.unlink()
    missing = [number for number in range(ensemble.n_blocks) if not _is_whole(ensemble, place, number, here)]
    n_before = ensemble.n_blocks - len(missing)
    report(n_before, ensemble.n_blocks)
    with closing(results(encode_block, ensemble, missing, scheduler=scheduler)) as blocks:
        for done, (number, (content, there)) in enumerate(blocks, start=n_before + 1):
            if there != here:
                what = _difference(there, here)
                raise InputError(f"--scheduler {scheduler}: a worker has {what}; install the same everywhere")
            with atomic_path(place / file_name(number)) as part:
                part.write_bytes(content)
            report(done, ensemble.n_blocks)
    if place == partial:
        _replace(folder, partial)


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


def open_ensemble(folder: str | Path) -> tuple[Ensemble, dict[str, Any]]:
    """Return what `folder` holds, and its provenance.

    Raises
    ------
    InputError
        It is no ensemble, or an unfinished one: the message names the missing blocks and the command that finishes it.
    """
    folder = Path(folder)
    place = folder if _first_source(folder) else _beside(folder, "partial")
    source = _first_source(place)
    if source is None:
        what = "holds no whole block" if folder.is_dir() else "no such ensemble"
        raise InputError(f"{folder}: {what}; make it with `companion generate-heston --out {folder}`")
    ensemble = _ensemble_of(folder, source)
    there = {file.name for file in place.glob("part-*")}
    missing = [str(number) for number in range(ensemble.n_blocks) if file_name(number) not in there]
    if missing or place != folder:
        names = ", ".join([*missing[:5], "…"][: len(missing)])
        raise InputError(
            f"{folder}: not finished, lacks {len(missing)} of {ensemble.n_blocks} blocks ({names}); "
            f"finish it with `companion {ensemble.command(folder)}`"
        )
    if len(there) > ensemble.n_blocks:
        raise InputError(f"{folder / max(there)}: beyond the {ensemble.n_blocks} blocks of this ensemble; delete it")
    return ensemble, source


def read_blocks(folder: str | Path) -> Iterator[RegimePaths]:
    """Read an ensemble block by block, in the order of the paths, in the memory of one block.

    Raises
    ------
    InputError
        As `open_ensemble`; or a block is damaged, belongs to another ensemble, or holds what no simulation gives.
    """
    folder = Path(folder)
    ensemble, source = open_ensemble(folder)
    for number in range(ensemble.n_blocks):
        yield _read_block(ensemble, folder, number, source)


def file_name(number: int) -> str:
    """Name of the file of block `number`."""
    return f"part-{number:05d}.parquet"


def _read_block(ensemble: Ensemble, folder: Path, number: int, source: Mapping[str, Any]) -> RegimePaths:
    file, made_by = folder / file_name(number), ensemble.command(folder)
    table, there = read_table(file, kind=KIND, columns=COLUMNS, made_by=made_by)
    if there != source:
        difference = _difference(there, source)
        raise InputError(f"{file}: of another ensemble ({difference}); make it with `companion {made_by}`")
    first = number * ensemble.block
    shape = min(ensemble.block, ensemble.paths - first), ensemble.bars + 1
    columns = {name: table[name].to_numpy() for name in COLUMNS}
    whole = len(table) == shape[0] * shape[1]
    path, bar = np.divmod(np.arange(len(table)), shape[1])
    rules = {
        "path": whole and np.array_equal(columns["path"], first + path),
        "bar": whole and np.array_equal(columns["bar"], bar),
        "price": (columns["price"] > 0).all(),
        "variance": (columns["variance"] > 0).all(),
        "regime": np.isin(columns["regime"], (0, 1)).all(),
    }
    for name, holds in rules.items():
        if not holds:
            raise InputError(
                f"{file}: column '{name}' is not what this step writes; make it with `companion {made_by}`"
            )
    return RegimePaths(*(columns[name].reshape(shape) for name in ("price", "variance", "regime")))


def _is_whole(ensemble: Ensemble, place: Path, number: int, source: Mapping[str, Any]) -> bool:
    with suppress(InputError):
        _read_block(ensemble, place, number, source)
        return True
    return False


@cache
def _source(ensemble: Ensemble) -> dict[str, Any]:
    return provenance(seed=ensemble.seed, config=asdict(ensemble), inputs={})


def _first_source(folder: Path) -> dict[str, Any] | None:
    """Return the provenance of the first whole block in `folder`, or None. What is not ours is refused."""
    if folder.is_file():
        raise InputError(f"{folder}: a file, not a folder of blocks; delete it and run `companion generate-heston`")
    files = sorted(file for file in folder.glob("*") if not file.name.startswith("."))
    for file in files:
        if not file.match("part-[0-9][0-9][0-9][0-9][0-9].parquet"):
            raise InputError(f"{folder}: holds '{file.name}', which is no block of an ensemble; name another folder")
    for file in files:
        with suppress(DamagedFileError):
            return read_provenance(file, kind=KIND, made_by="generate-heston")
    return None


def _ensemble_of(place: Path, source: Mapping[str, Any]) -> Ensemble:
    try:
        return Ensemble(**source["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{place}: was not written by this version; run `companion generate-heston` anew") from error


def _difference(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> str:
    """Name the first setting in which two provenances differ."""
    for name in here:
        one, other = there.get(name), here[name]
        if isinstance(one, Mapping) and isinstance(other, Mapping) and one != other:
            return _difference(one, other, f"{name} " if name == "packages" else "")
        if one != other:
            return f"{prefix}{name} {one}, not {other}"
    return "other fields"


def _beside(folder: Path, what: str) -> Path:
    return folder.with_name(f"{folder.name}.{what}")


def _replace(folder: Path, partial: Path) -> None:
    """Put the finished `partial` where `folder` is. A kill in between leaves both, and the next run goes on."""
    if folder.exists():
        folder.rename(_beside(folder, "replaced"))
    partial.rename(folder)
    _finish_replacing(folder)


def _finish_replacing(folder: Path) -> None:
    """Delete what was replaced; put it back if nothing has come into its place."""
    replaced = _beside(folder, "replaced")
    if replaced.exists():
        shutil.rmtree(replaced) if folder.exists() else replaced.rename(folder)
