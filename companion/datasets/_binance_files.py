"""Binance's public files of quotes and klines: what their columns are, and how to get at their lines safely.

The columns are those of https://github.com/binance/binance-public-data (README) and its files: futures have had a
header since 2022, spot files have none (issues 246 and 283); times are milliseconds, for spot microseconds from 2025
on (README, issue 386); lines may be out of order (issue 305). Quotes (bookTicker) are published for futures only.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pyarrow as pa

from companion.datasets._file_kinds import UTF16, called, opened_text, shown
from companion.errors import InputError

Kind = Literal["bookTicker", "klines"]

BLOCK = 1 << 20  # bytes read at a time
LINES = pa.schema([("number", pa.int64()), ("line", pa.string())])
ASCII = bytes(range(128)) + b"?" * 128  # what is not ASCII is no part of a number


@dataclass(frozen=True)
class Layout:
    """Columns of a kind of file, and what is read from them.

    Attributes
    ----------
    columns : tuple of str
        Names, in the order of the file.
    time : str
        Column with the time.
    sizes : tuple of str
        Columns with the sizes, decimal numbers; others are read as floats.
    rules : tuple of (str, str)
        SQL conditions on the columns that a sound line meets, each with what is wrong where it does not.
    size : str
        SQL expression of the quantity to be calibrated.
    measure : str
        The same in words.
    each_once : bool
        Whether a time belongs to one line only.
    """

    columns: tuple[str, ...]
    time: str
    sizes: tuple[str, ...]
    rules: tuple[tuple[str, str], ...]
    size: str
    measure: str
    each_once: bool


# Written so that a condition fails for NaN, which SQL puts above every number, and for NULL.
LAYOUTS: dict[Kind, Layout] = {
    "bookTicker": Layout(
        columns=(
            "update_id",
            "best_bid_price",
            "best_bid_qty",
            "best_ask_price",
            "best_ask_qty",
            "transaction_time",
            "event_time",
        ),
        time="transaction_time",
        sizes=("best_bid_qty", "best_ask_qty"),
        rules=(
            ("best_bid_price > 0 AND best_bid_price < 1e15", "best_bid_price is not a positive number"),
            ("best_ask_price > 0 AND best_ask_price < 1e15", "best_ask_price is not a positive number"),
            ("best_bid_qty >= 0 AND best_bid_qty < 1000000000000000", "best_bid_qty is not a number from 0 on"),
            ("best_ask_qty >= 0 AND best_ask_qty < 1000000000000000", "best_ask_qty is not a number from 0 on"),
            ("best_bid_price <= best_ask_price", "best_bid_price is above best_ask_price"),
        ),
        size="least(best_bid_qty, best_ask_qty)",
        measure="min(bid size, ask size) of a quote",
        each_once=False,
    ),
    "klines": Layout(
        columns=(
            "open_time",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "close_time",
            "quote_volume",
            "count",
            "taker_buy_volume",
            "taker_buy_quote_volume",
            "ignore",
        ),
        time="open_time",
        sizes=("volume", "taker_buy_volume"),
        rules=(
            ("volume >= 0 AND volume < 1000000000000000", "volume is not a number from 0 on"),
            (
                "taker_buy_volume >= 0 AND taker_buy_volume <= volume",
                "taker_buy_volume is not a number from 0 to volume",
            ),
        ),
        size="least(taker_buy_volume, volume - taker_buy_volume)",
        measure="min(volume bought, volume sold) by takers in a bar",
        each_once=True,
    ),
}


def line_batches(path: Path, layout: Layout) -> Iterator[pa.RecordBatch]:
    """The lines of a CSV file, packed or not, after the header, if there is one, with their numbers, block by block.

    The memory is that of two blocks, whatever is in the file: a line that is longer than a block comes out as "?".

    Yields
    ------
    RecordBatch
        Of schema `LINES`: ``number`` from 1 on, ``line`` in ASCII with its line feed.

    Raises
    ------
    InputError
        As `opened_text` does, and if a header names other columns than the layout.
    """
    with opened_text(path) as stream:
        number = 1
        for lines in _whole_lines(stream, path):
            if number == 1 and _is_header(lines[: lines.index(b"\n")], layout, path):
                lines, number = lines[lines.index(b"\n") + 1 :], 2
            lines = lines.replace(b"_", b"?")  # 1_0 is no number, but DuckDB reads 10
            ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == b"\n"[0])
            offsets = np.append(np.int32(0), (ends + 1).astype(np.int32))
            text = pa.StringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(lines))
            numbers = pa.array(np.arange(number, number + len(ends)))
            yield pa.record_batch([numbers, text], schema=LINES)
            number += len(ends)


def _whole_lines(stream: IO[bytes], path: Path) -> Iterator[bytes]:
    """The stream in pieces that end in a line feed, in ASCII and without a byte order mark."""
    rest = stream.read(BLOCK).removeprefix(codecs.BOM_UTF8)
    if rest.startswith(UTF16):
        raise InputError(f"{called(path)}: is UTF-16 text: save it again as UTF-8 CSV")
    while rest:
        cut = rest.rfind(b"\n") + 1
        if cut:
            yield rest[:cut] if rest.isascii() else rest[:cut].translate(ASCII)
        elif len(rest) > BLOCK:
            rest = b"?"
        block = stream.read(BLOCK)
        rest = rest[cut:] + (block or (b"\n" if rest[cut:] else b""))


def _is_header(line: bytes, layout: Layout, path: Path) -> bool:
    """Whether no field of the line is a number; an `InputError` if it then does not name the columns."""
    names = tuple(name.strip().lower().replace(" ", "_") for name in line.decode("ascii").split(","))
    if any(map(_is_number, names)):
        return False
    if names != layout.columns:
        raise InputError(
            f"{called(path)}: header is {shown(','.join(names), 200)}: give the columns {','.join(layout.columns)}"
        )
    return True


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
