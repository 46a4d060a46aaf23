"""A table of prices as columns of text, whatever separates its fields, or as typed columns where it is Parquet.

Known are the layouts of Yahoo, yfinance (one ticker), Stooq, Nasdaq, Investing.com, Alpha Vantage, Binance's klines
with a header or without, MetaTrader and Excel; in general, any table with one header line that names date and prices.
"""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from companion.datasets._binance_files import LAYOUTS
from companion.datasets._file_kinds import PARQUET, UTF16, called, first_bytes, opened_text, shown
from companion.errors import InputError

DELIMITERS = ",;\t|"
_HEADER = "give a first line like date,open,high,low,close,volume"


@dataclass(frozen=True)
class Table:
    """Columns of a file in its order of rows.

    Attributes
    ----------
    name : str
        The file, for messages.
    header : tuple of str
        Names as the file has them.
    columns : tuple of ChunkedArray
        One a name: text, or what Parquet holds.
    delimiter : str
        Between the fields; empty for Parquet.
    """

    name: str
    header: tuple[str, ...]
    columns: tuple[pa.ChunkedArray, ...]
    delimiter: str


def read_columns(path: Path) -> Table:
    """Read a CSV file (or what resembles one), packed or not, or a Parquet file.

    Raises
    ------
    InputError
        The file is missing, unreadable, cut short, of another kind or encoding, has no header, or a row has another
        number of fields than the header.
    """
    name = called(path)
    if first_bytes(path).startswith(PARQUET):
        try:
            table = pq.ParquetFile(path).read()
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{name}: truncated or damaged Parquet: write the file again") from error
        return Table(name, tuple(table.column_names), tuple(table.columns), "")
    with opened_text(path) as file:
        content = file.read()
    lines = _decoded(content, name).lstrip("\r\n \ufeff")
    if re.match(r"sep=.\r?\n", lines):  # Excel's own hint
        lines = lines.partition("\n")[2]
    first, _, body = lines.partition("\n")
    delimiter = max(DELIMITERS, key=re.sub(r'"[^"]*"', "", first).count)
    header = _fields(first, delimiter)
    if not any(header):
        raise InputError(f"{name}: has no rows: {_HEADER}, and a row for each bar")
    if all(re.fullmatch(r"[\d.+-]+([eE][+-]?\d+)?", field) for field in header):
        if len(header) != len(LAYOUTS["klines"].columns):
            raise InputError(f"{name}: begins with numbers and not with the names of its columns: {_HEADER}")
        header, body = list(LAYOUTS["klines"].columns), lines
    header, body = _one_ticker(header, body, delimiter, name)
    return Table(name, tuple(header), _split(body, len(header), delimiter, name), delimiter)


def _decoded(content: bytes, name: str) -> str:
    encoding = "utf-16" if content.startswith(UTF16) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: is neither UTF-8 nor UTF-16 text: save it again as UTF-8 CSV") from error
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text.replace("\r", "")):
        raise InputError(f"{name}: holds control characters, so it is no CSV: save it again as UTF-8 CSV")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _fields(line: str, delimiter: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([line], delimiter=delimiter), [])]


def _one_ticker(header: list[str], body: str, delimiter: str, name: str) -> tuple[list[str], str]:
    """Without the second and third header line of `yfinance.download(…).to_csv()`, which name the tickers."""
    second, _, rest = body.partition("\n")
    tickers = _fields(second, delimiter)
    if not tickers or (header[0].lower(), tickers[0].lower()) != ("price", "ticker"):
        return header, body
    if len(set(tickers[1:])) != 1:
        raise InputError(f"{name}: holds {len(set(tickers[1:]))} tickers: write one to a file")
    third, _, rows = rest.partition("\n")
    dated = _fields(third, delimiter)[:1]
    return ["date", *header[1:]], rows if dated and dated[0].lower() in ("date", "datetime") else rest


def _split(body: str, width: int, delimiter: str, name: str) -> tuple[pa.ChunkedArray, ...]:
    if not body.strip():
        raise InputError(f"{name}: no rows: give at least one dated price")
    if body.count('"') % 2:
        raise InputError(f"{name}: a quotation mark is not closed: mend the row, or save it again as UTF-8 CSV")
    wrong: list[int] = []

    def refused(row: pyarrow.csv.InvalidRow) -> str:
        wrong.extend((row.number or 0, row.actual_columns))
        return "error"

    columns = [f"{i}" for i in range(width)]
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(body.encode()),
            pyarrow.csv.ReadOptions(use_threads=False, column_names=columns),
            pyarrow.csv.ParseOptions(delimiter=delimiter, invalid_row_handler=refused),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string()), strings_can_be_null=False),
        )
    except (pa.ArrowException, ValueError) as error:
        if wrong and width == 1:
            raise InputError(
                f"{name}: row {wrong[0]} has {wrong[1]} fields where the first line has one: if it is a title and no "
                f"header, remove it"
            ) from error
        if wrong:
            raise InputError(
                f"{name}: row {wrong[0]} has {wrong[1]} fields where the header has {width}: one field a column; a "
                f"number with a comma in it must stand in quotes"
            ) from error
        raise InputError(f"{name}: not a CSV table ({shown(error, 80)}): save it again as UTF-8 CSV") from error
    return tuple(table.columns)
