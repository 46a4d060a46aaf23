"""Tables on disk that say what they are: Parquet with a kind, a format version and a provenance in the file itself."""

import io
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.dataset import ParquetFileFormat, ParquetFragmentScanOptions
from pyarrow.fs import LocalFileSystem

from companion._files import atomic_path
from companion.errors import InputError

FORMAT = 1
_CHECKED = ParquetFileFormat(default_fragment_scan_options=ParquetFragmentScanOptions(page_checksum_verification=True))
_KEY = b"companion"


class DamagedFileError(InputError):
    """A file that is missing or not whole, and so is nobody's work any more."""


def write_table(
    path: Path, table: pd.DataFrame, *, kind: str, columns: Mapping[str, str], provenance: Mapping[str, Any]
) -> None:
    """Write `table` to `path` in one step, with `kind`, the format version and `provenance` in the file's metadata.

    The same table and provenance give the same bytes.
    """
    content = table_bytes(table, kind=kind, columns=columns, provenance=provenance)
    with atomic_path(path) as part:
        part.write_bytes(content)


def table_bytes(
    table: pd.DataFrame | Mapping[str, np.ndarray],
    *,
    kind: str,
    columns: Mapping[str, str],
    provenance: Mapping[str, Any],
    by_significance: bool = True,
) -> bytes:
    """Return the bytes of the file that `write_table` writes.

    The bytes of a float are stored `by_significance`: of values that are all different, exponents compress and
    mantissas do not; those that repeat one another compress better as they are. Every page has a checksum, so that a
    flipped bit is found on reading.
    """
    types = {name: pa.type_for_alias(alias) for name, alias in columns.items()}
    header = {"kind": kind, "format": FORMAT, "provenance": dict(provenance)}
    schema = pa.schema(types.items(), metadata={_KEY: json.dumps(header, sort_keys=True)})
    content = pa.table([pa.array(table[name], kept) for name, kept in types.items()], schema=schema)
    floats = [name for name, kept in types.items() if pa.types.is_floating(kept)]
    file = io.BytesIO()
    pq.write_table(
        content,
        file,
        compression="lz4",
        write_statistics=False,
        use_dictionary=[name for name in types if name not in floats],
        use_byte_stream_split=floats if by_significance else False,
        write_page_checksum=True,
    )
    return file.getvalue()


def read_table(
    path: Path, *, kind: str, columns: Mapping[str, str], made_by: str, may_be_nan: Collection[str] = ()
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the artifact that `write_table` wrote; return the table and its provenance.

    `made_by` is the command that makes it, and `may_be_nan` names the columns whose values may be undefined.

    Raises
    ------
    InputError
        The file is missing, truncated or not Parquet, of another kind or format version, lacks a column, has one of
        another type, is empty, or holds a missing or non-finite value. The message names the file, the field and the
        command that makes it.
    """
    table, source = read_columns(path, kind=kind, columns=columns, made_by=made_by, may_be_nan=may_be_nan)
    return table.to_pandas(), source


def read_columns(
    path: Path, *, kind: str, columns: Mapping[str, str], made_by: str, may_be_nan: Collection[str] = ()
) -> tuple[pa.Table, dict[str, Any]]:
    """As `read_table`, as Arrow holds it: whoever joins many tables copies them once."""
    remedy = f"make it with `{made_by}`"
    with _opened(path, kind, remedy) as (_, source):
        try:
            file = _CHECKED.make_fragment(str(path), LocalFileSystem())
            # Arrow's own memory goes back to the system between two tables and comes anew page by page; and its
            # threads take longer to wake than one takes to decode.
            table = file.to_table(use_threads=False, memory_pool=pa.system_memory_pool())
        except (pa.ArrowException, OSError) as error:
            raise DamagedFileError(f"{path}: damaged; {remedy}") from error
    _check_columns(path, table, columns, remedy, may_be_nan)
    return table.select(list(columns)), source


def read_provenance(path: Path, *, kind: str, made_by: str) -> dict[str, Any]:
    """Read only the provenance of the artifact `path`; raises as `read_table` does, but has not seen the columns."""
    remedy = f"make it with `{made_by}`"
    with _opened(path, kind, remedy) as (_, source):
        return source


@contextmanager
def _opened(path: Path, kind: str, remedy: str) -> Iterator[tuple[pq.ParquetFile, dict[str, Any]]]:
    if not path.is_file():
        raise DamagedFileError(f"{path}: no such file; {remedy}")
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # of a name whose bytes are no text
        raise DamagedFileError(f"{path}: not a whole Parquet file (cut short or another format); {remedy}") from error
    with file:
        yield file, _provenance(path, schema, kind, remedy)


def _provenance(path: Path, schema: pa.Schema, kind: str, remedy: str) -> dict[str, Any]:
    try:
        header = json.loads((schema.metadata or {})[_KEY])
        found, version, source = (header[name] for name in ("kind", "format", "provenance"))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: a Parquet file, but not an artifact of companion; {remedy}") from error
    if found != kind:
        raise InputError(f"{path}: holds '{found}', not '{kind}'; {remedy}")
    if version != FORMAT:
        raise InputError(f"{path}: format {version}, this version reads format {FORMAT}; {remedy}")
    return source


def _check_columns(
    path: Path, table: pa.Table, columns: Mapping[str, str], remedy: str, may_be_nan: Collection[str]
) -> None:
    if table.num_rows == 0:
        raise InputError(f"{path}: has no rows; {remedy}")
    there = dict(zip(table.column_names, table.columns, strict=True))
    for name, alias in columns.items():
        if name not in there:
            raise InputError(f"{path}: lacks the column '{name}'; {remedy}")
        column, wanted = there[name], pa.type_for_alias(alias)
        if column.type != wanted:
            raise InputError(f"{path}: column '{name}' is {column.type}, not {wanted}; {remedy}")
        any_value = name in may_be_nan or not pa.types.is_floating(wanted)
        finite = any_value or bool(np.isfinite(column.to_numpy()).all())
        if column.null_count or not finite:
            raise InputError(f"{path}: column '{name}' holds a missing or non-finite value; {remedy}")
