"""Counting the sizes in a file with DuckDB: one pass, a row for each hour of day and size, then exact statistics.

The lines come as Arrow batches; DuckDB splits them, reads the numbers, judges and counts, and spills what does not fit.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from companion._checks import need
from companion.datasets._binance_files import LINES, Layout, line_batches
from companion.errors import InputError

if TYPE_CHECKING:
    import duckdb

FIRST_TIME, LAST_TIME = "1230768000000000", "4102444800000000"  # 2009 and 2100, in microseconds


def counting_database(folder: str, *, memory_mb: int, threads: int) -> "duckdb.DuckDBPyConnection":
    """A database in memory that spills to `folder`, with an empty table of counts."""
    con: duckdb.DuckDBPyConnection = need("duckdb", "liquidity").connect(
        config={"memory_limit": f"{memory_mb}MB", "threads": threads, "temp_directory": folder}
    )
    # A progress bar prints on a terminal; in a notebook without ipywidgets there is none, and turning it off raises.
    if con.execute("SELECT current_setting('enable_progress_bar')").fetchall()[0][0]:
        con.execute("SET enable_progress_bar = false")
    columns = "file INTEGER, fault UTINYINT, hour UTINYINT, size DECIMAL(38, 8), n BIGINT, first BIGINT[]"
    return con.execute(f"CREATE TABLE counts ({columns})")


def count_file(con: "duckdb.DuckDBPyConnection", layout: Layout, number: int, file: Path, n_named: int) -> None:
    """Add a file to the counts: a row for each hour and size of sound lines, and for each fault."""
    types = {layout.time: "BIGINT"} | dict.fromkeys(layout.sizes, "DECIMAL(38, 8)")
    fields = ", ".join(
        f'try_cast(fields[{i}] AS {types.get(name, "DOUBLE")}) AS "{name}"'
        for i, name in enumerate(layout.columns, start=1)
    )
    # A condition that is NULL, because a field is no number, counts as false.
    rules = " ".join(f"WHEN ({rule}) IS NOT true THEN {i}" for i, (rule, _) in enumerate(layout.rules, start=5))
    time_text = f"fields[{layout.columns.index(layout.time) + 1}]"
    # Sorting by time costs; quotes need it not, for many of them share one.
    again = "row_number() OVER (PARTITION BY fault, microseconds ORDER BY number) > 1" if layout.each_once else "false"
    failures: list[InputError] = []
    con.register(
        "lines", pa.RecordBatchReader.from_batches(LINES, _until_failure(line_batches(file, layout), failures))
    )
    con.execute(
        f"""
        INSERT INTO counts SELECT {number}, fault,
            CASE WHEN fault = 0 THEN (microseconds // 3600000000) % 24 END AS hour,
            CASE WHEN fault = 0 THEN {layout.size} END AS size,
            count(*), min(number, {max(n_named, 1)}) FILTER (fault > 0)
        FROM (SELECT * REPLACE (CASE WHEN fault = 0 AND {again} THEN 4 ELSE fault END AS fault)
        FROM (SELECT *, CASE WHEN n_fields != {len(layout.columns)} THEN 1
            WHEN (microseconds BETWEEN {FIRST_TIME} AND {LAST_TIME}) IS NOT true THEN 2
            WHEN rounded THEN 3 {rules} ELSE 0 END AS fault
        FROM (SELECT *, CASE WHEN {layout.time} BETWEEN 0 AND 99999999999999 THEN 1000 * {layout.time}
            ELSE {layout.time} END AS microseconds
        FROM (SELECT number, len(fields) AS n_fields, {fields}, contains(lower({time_text}), 'e') AS rounded
        FROM (SELECT number, string_split(line, ',') AS fields FROM lines)))))
        GROUP BY ALL"""
    )
    con.unregister("lines")
    if failures:
        raise failures[0]


def _until_failure(batches: Iterator[pa.RecordBatch], failures: list[InputError]) -> Iterator[pa.RecordBatch]:
    """The batches, ended early by an error, which is kept: passing through DuckDB it would lose its type."""
    try:
        yield from batches
    except InputError as error:
        failures.append(error)


def broken_lines(
    con: "duckdb.DuckDBPyConnection", layout: Layout, files: list[Path], n_named: int
) -> list[tuple[str, int, str]]:
    """File, number and reason of the first broken lines."""
    reasons = [
        "",
        f"not {len(layout.columns)} columns",
        f"{layout.time} is not a time in ms or µs",
        f"{layout.time} is a time that a spreadsheet has rounded, like 1.73569E+12",
        f"{layout.time} is that of an earlier line",
    ]
    reasons += [wrong for _, wrong in layout.rules]
    first = con.execute(
        f"SELECT file, unnest(first) AS line, fault FROM counts WHERE fault > 0 ORDER BY file, line LIMIT {n_named}"
    )
    return [(str(files[file]), line, reasons[fault]) for file, line, fault in first.fetchall()]


def statistics(con: "duckdb.DuckDBPyConnection", shares: list[Decimal], trim: Decimal) -> list[tuple[Any, ...]]:
    """A row an hour of day, and one with hour -1 for the whole day.

    Its columns are hour, number of sizes, number and sum of those that are left without the share `trim` at each end,
    and the quantiles.
    """
    quantiles = ", ".join(f"min(size) FILTER (upto >= {share:f}::DECIMAL(9, 8) * total)" for share in shares)
    hours = con.execute("SELECT DISTINCT unnest([-1, hour]) FROM counts WHERE fault = 0 ORDER BY ALL").fetchall()
    rows = []
    for (hour,) in hours:
        sound = f"FROM counts WHERE fault = 0 AND {hour} IN (-1, hour)"
        # The running sum streams over the sorted sizes; OVER (PARTITION BY hour ORDER BY size) would hold them all.
        rows += con.execute(
            f"""
            SELECT {hour}, any_value(total), any_value(total - 2 * cut),
                sum(size * greatest(0, least(upto, total - cut) - greatest(upto - n, cut))), {quantiles}
            FROM (SELECT *, floor({trim:f}::DECIMAL(9, 8) * total)::BIGINT AS cut
            FROM (SELECT *, (sum(n) OVER (ROWS UNBOUNDED PRECEDING))::BIGINT AS upto,
                (SELECT sum(n)::BIGINT {sound}) AS total
            FROM (SELECT size, sum(n)::BIGINT AS n {sound} GROUP BY size ORDER BY size)))"""
        ).fetchall()
    return rows
