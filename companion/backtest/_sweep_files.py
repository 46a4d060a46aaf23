"""The files of a sweep: Parquet tables, a row a run, each with the whole plan in its metadata."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from companion._files import provenance
from companion._runs._blocks import Blocks, Identity
from companion._tables import read_columns, read_provenance, table_bytes
from companion.backtest._sweep_plan import digest
from companion.backtest._sweep_runs import WHO, Job, columns, make_rows
from companion.errors import InputError

KIND = "sweep"
_DTYPES = {"int64": np.int64, "float64": np.float64, "string": object}


def source_of(job: Job) -> Identity:
    """Provenance of every file of a sweep, of the code and the versions that are installed where this is called."""
    prices = digest(job.close) | {"bars_per_year": job.terms.bars_per_year}
    return _provenance(json.dumps(job.plan.describe() | {"prices": prices}, sort_keys=True))


@lru_cache(maxsize=8)
def _provenance(config: str) -> Identity:
    return provenance(seed=None, config=json.loads(config), inputs={})


def encode_block(job: Job, number: int) -> tuple[bytes, Identity]:
    """Make the runs of file `number`; return its bytes and the provenance in them."""
    source, kinds, numbers = source_of(job), columns(job.plan.n_folds), job.plan.runs(number)
    who: list[list[Any]] = [[] for _ in WHO]
    values = np.empty((len(kinds) - len(WHO), len(numbers)))
    for names, outcomes in make_rows(job, numbers):
        first = len(who[0])
        values[:, first : first + len(outcomes)] = outcomes.T
        for column, some in zip(who, names, strict=True):
            column += some
    table = {
        name: np.asarray(column, _DTYPES[kinds[name]]) for name, column in zip(kinds, [*who, *values], strict=True)
    }
    return table_bytes(table, kind=KIND, columns=kinds, provenance=source, by_significance=False), source


class _SweepFiles(Blocks[pa.Table]):
    """How the folder of a sweep is read."""

    noun, suffix, maker = "sweep", ".parquet", "companion.backtest.sweep"

    def identify(self, file: Path, command: str) -> Identity:
        return read_provenance(file, kind=KIND, made_by=command)

    def count(self, identity: Identity) -> int:
        return -(-int(identity["config"]["runs"]) // int(identity["config"]["block"]))

    def start(self, folder: Path) -> str:
        return f"{self.maker}(…, folder={str(folder)!r})"

    def command(self, identity: Identity, folder: Path) -> str:
        return self.start(folder)

    def read(self, file: Path, number: int, identity: Identity) -> pa.Table:
        config, remedy = identity["config"], self.command(identity, file.parent)
        kinds = columns(config["n_folds"])
        undefined = [name for name, kind in kinds.items() if kind == "float64"]
        table, _ = read_columns(file, kind=KIND, columns=kinds, made_by=remedy, may_be_nan=undefined)
        first = number * config["block"]
        if not np.array_equal(table["run"], np.arange(first, min(first + config["block"], config["runs"]))):
            raise InputError(f"{file}: column 'run' is not what a sweep writes; make it with `{remedy}`")
        return table


SWEEPS = _SweepFiles()
