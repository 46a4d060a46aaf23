"""Tables on disk that say what they are: Parquet with a kind, a format version and a provenance in the file itself."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from companion._files import atomic_path
from companion.errors import InputError

FORMAT = 1
_KEY = b"companion"


def write_table(
    path: Path, table: pd.DataFrame, *, kind: str, columns: Mapping[str, str], provenance: Mapping[str, Any]
) -> None:
    """Write `table` to `path` in one step, with `kind`, the format version and `provenance` in the file's metadata.

    The same table and provenance give the same bytes.
    """
    schema = pa.schema([(name, pa.type_for_alias(alias)) for name, alias in columns.items()])
    header = {"kind": kind, "format": FORMAT, "provenance": dict(provenance)}
    schema = schema.with_metadata({_KEY: json.dumps(header, sort_keys=True)})
    with atomic_path(path) as part:
        pq.write_table(pa.Table.from_pandas(table, schema=schema, preserve_index=False), part, compression="zstd")


def read_table(
    path: Path, *, kind: str, columns: Mapping[str, str], made_by: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the artifact that `write_table` wrote; return the table and its provenance.

    Raises
    ------
    InputError
        The file is missing, truncated or not Parquet, of another kind or format version, lacks a column, has one of
        another type, is empty, or holds a missing or non-finite value. The message names the file, the field and the
        command that makes it (`made_by`).
    """
    remedy = f"make it with `companion {made_by}`"
    if not path.is_file():
        raise InputError(f"{path}: no such file; {remedy}")
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not a whole Parquet file (cut short or another format); {remedy}") from error
    header = _header(path, table.schema, remedy)
    if header["kind"] != kind:
        raise InputError(f"{path}: holds '{header['kind']}', not '{kind}'; {remedy}")
    if header["format"] != FORMAT:
        raise InputError(f"{path}: format {header['format']}, this version reads format {FORMAT}; {remedy}")
    _check_columns(path, table, columns, remedy)
    return table.select(list(columns)).to_pandas(), header["provenance"]


def _header(path: Path, schema: pa.Schema, remedy: str) -> dict[str, Any]:
    try:
        header = json.loads((schema.metadata or {})[_KEY])
        return {name: header[name] for name in ("kind", "format", "provenance")}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: a Parquet file, but not an artifact of companion; {remedy}") from error


def _check_columns(path: Path, table: pa.Table, columns: Mapping[str, str], remedy: str) -> None:
    if table.num_rows == 0:
        raise InputError(f"{path}: has no rows; {remedy}")
    for name, alias in columns.items():
        if name not in table.column_names:
            raise InputError(f"{path}: lacks the column '{name}'; {remedy}")
        column, wanted = table[name], pa.type_for_alias(alias)
        if column.type != wanted:
            raise InputError(f"{path}: column '{name}' is {column.type}, not {wanted}; {remedy}")
        finite = not pa.types.is_floating(wanted) or bool(np.isfinite(column.to_numpy()).all())
        if column.null_count or not finite:
            raise InputError(f"{path}: column '{name}' holds a missing or non-finite value; {remedy}")
