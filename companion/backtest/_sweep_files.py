"""The files of a sweep: Parquet tables, a row a run, each with the whole plan in its metadata."""

import json
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from companion._files import provenance
from companion._runs._blocks import Blocks, Identity
from companion._tables import read_provenance, read_table, table_bytes
from companion.backtest._sweep_plan import digest
from companion.backtest._sweep_runs import Job, columns, make_rows
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
    source, kinds = source_of(job), columns(job.plan.n_folds)
    who, outcomes = zip(*make_rows(job, job.plan.runs(number)), strict=True)
    values = [
        *(list(chain(*parts)) for parts in zip(*who, strict=True)),
        *np.ascontiguousarray(np.concatenate(outcomes).T),
    ]
    table = {name: np.asarray(column, _DTYPES[kinds[name]]) for name, column in zip(kinds, values, strict=True)}
    return table_bytes(table, kind=KIND, columns=kinds, provenance=source, by_significance=False), source


class _SweepFiles(Blocks[pd.DataFrame]):
    """How the folder of a sweep is read."""

    noun, suffix, maker = "sweep", ".parquet", "companion.backtest.sweep"

    def identify(self, file: Path, command: str) -> Identity:
        return read_provenance(file, kind=KIND, made_by=command)

    def count(self, identity: Identity) -> int:
        return -(-int(identity["config"]["runs"]) // int(identity["config"]["block"]))

    def command(self, identity: Identity, folder: Path) -> str:
        return f"{self.maker}(…, folder={str(folder)!r})"

    def read(self, file: Path, number: int, identity: Identity) -> pd.DataFrame:
        config, remedy = identity["config"], self.command(identity, file.parent)
        kinds = columns(config["n_folds"])
        undefined = [name for name, kind in kinds.items() if kind == "float64"]
        table, _ = read_table(file, kind=KIND, columns=kinds, made_by=remedy, may_be_nan=undefined)
        first = number * config["block"]
        if table["run"].tolist() != list(range(first, min(first + config["block"], config["runs"]))):
            raise InputError(f"{file}: column 'run' is not what a sweep writes; make it with `{remedy}`")
        return table


SWEEPS = _SweepFiles()
