"""Recorded minute bars and quotes, from Binance's public files and their like, as arrays that have been checked.

Nothing is lost in silence: a line that can not be used is an error that names it. What is repaired is counted: lines
out of order are sorted, and a line that comes twice word for word is taken once. What is missing is reported.
"""

import codecs
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from companion._checks import check_positive
from companion.datasets._binance_files import LAYOUTS
from companion.datasets._file_kinds import PARQUET, called, first_bytes, opened_text
from companion.datasets._market_arrays import MINUTE_NS, SECOND_NS, MinuteBars, Quotes, Stamps, bar_faults, quote_faults
from companion.datasets._market_lines import Columns, read_lines, refuse_line
from companion.datasets._market_parquet import read_quote_table
from companion.datasets._market_rows import Paths, read_rows
from companion.errors import InputError

Stamp = Literal["open", "close"]

BARS = ("time_ns", "open", "high", "low", "close", "volume")
QUOTES = ("time_ns", "bid", "ask", "bid_size", "ask_size")
_NUMBERS = dict.fromkeys(BARS[1:], "number")
_QUOTE_FIELDS = {
    "update_id": "integer",
    "best_bid_price": "number",
    "best_bid_qty": "number",
    "best_ask_price": "number",
    "best_ask_qty": "number",
    "transaction_time": "epoch",
    "event_time": "epoch",
}

#: Bars of other sources: a stamp as text and five numbers; what the stamp is of, the file does not say.
PLAIN = replace(LAYOUTS["klines"], columns=("timestamp", *BARS[1:]), time="timestamp", rules=())
PLAIN_HEADER = b"timestamp,"


class Gap(NamedTuple):
    """Where data are missing: the times of the last before and the first after, in nanoseconds since 1970."""

    after_ns: int
    before_ns: int

    @property
    def seconds(self) -> float:
        """From the one to the other."""
        return (self.before_ns - self.after_ns) / SECOND_NS


@dataclass(frozen=True, eq=False)
class KlineFile:
    """What `read_klines` read.

    Attributes
    ----------
    bars : MinuteBars
        At their closes.
    gaps : tuple of Gap
        Where a minute or more is missing, by the closes around it.
    n_lines : int
        Lines of data in the files; the bars are as many, less `n_repeated`.
    n_disordered : int
        Lines with an earlier time than the line before them.
    n_repeated : int
        Lines that are there already, word for word.
    """

    bars: MinuteBars
    gaps: tuple[Gap, ...]
    n_lines: int
    n_disordered: int
    n_repeated: int

    @property
    def n_missing(self) -> int:
        """Minutes without a bar between the first and the last."""
        return sum((gap.before_ns - gap.after_ns) // MINUTE_NS - 1 for gap in self.gaps)


@dataclass(frozen=True, eq=False)
class QuoteFile:
    """What `read_book_ticker` read.

    Attributes
    ----------
    quotes : Quotes
        By their transaction times.
    gaps : tuple of Gap
        Where no quote came for longer than asked for.
    n_lines : int
        Lines of data in the files; the quotes are as many, less `n_repeated`.
    n_disordered : int
        Lines with an earlier time than the line before them.
    n_repeated : int
        Lines that are there already, word for word.
    """

    quotes: Quotes
    gaps: tuple[Gap, ...]
    n_lines: int
    n_disordered: int
    n_repeated: int


def read_klines(paths: Paths, *, stamped: Stamp = "open") -> KlineFile:
    """One-minute bars of one instrument, each at the close at which it is known.

    Reads CSV files, plain or packed (zip, gzip), with a header or without, in the twelve columns of Binance's klines,
    whose stamp, in ms or µs, is the open; and files with the header ``timestamp,open,high,low,close,volume`` and
    stamps like ``2021-12-31 23:01:00.000000`` in UTC. Volumes stay in the unit of the file: the base currency for
    Binance.

    Parameters
    ----------
    paths : path or sequence of paths
        In any order.
    stamped : {"open", "close"}, default "open"
        What ``timestamp`` is of. If it was the close after all, "open" knows each bar a minute late; the other mistake
        would know it a minute early.

    Raises
    ------
    InputError
        Names the file and line that can not be read, contradicts itself or another line, or is no minute bar.
    ValueError
        If `paths` is empty or `stamped` neither of the two.
    """
    if stamped not in get_args(Stamp):
        raise ValueError(f"stamped must be 'open' or 'close', got {stamped!r}")
    rows = read_rows(paths, lambda path: _bar_columns(path, stamped), bar_faults)
    bars = MinuteBars(*rows.once(BARS, key="time_ns"))
    steps = np.diff(bars.time_ns)
    if len(steps) and steps.min() > MINUTE_NS:
        raise InputError(f"{called(rows.files[0])}: no two bars are a minute apart: give one-minute bars")
    return KlineFile(bars, _gaps(bars.time_ns, MINUTE_NS), len(rows), rows.n_disordered, len(rows) - len(bars))


def read_book_ticker(paths: Paths, *, longest_pause_s: float = 60.0) -> QuoteFile:
    """Quotes of the top of the book of one instrument, in the order of their transaction times and update ids.

    Reads CSV files, plain or packed (zip, gzip), with a header or without, in the seven columns of Binance's
    bookTicker, and Parquet files with the columns timestamp, bid, ask, bid_size and ask_size, which have no ids: there
    quotes of one time keep their order, and none counts as repeated.

    Parameters
    ----------
    paths : path or sequence of paths
        In any order.
    longest_pause_s : float, default 60
        Seconds without a quote beyond which there is a gap.

    Raises
    ------
    InputError
        Names the file and line that can not be read, is crossed, or contradicts another with the same id.
    ValueError
        If `paths` is empty or `longest_pause_s` not positive.
    """
    pause_ns = round(check_positive("longest_pause_s", longest_pause_s) * SECOND_NS)
    rows = read_rows(paths, _quote_columns, quote_faults)
    quotes = Quotes(*rows.once(QUOTES, key="update_id"))
    return QuoteFile(quotes, _gaps(quotes.time_ns, pause_ns), len(rows), rows.n_disordered, len(rows) - len(quotes))


def _bar_columns(path: Path, stamped: Stamp) -> Columns:
    with opened_text(path) as stream:
        plain = stream.readline(64).removeprefix(codecs.BOM_UTF8).lower().startswith(PLAIN_HEADER)
    if plain:
        columns = read_lines(path, PLAIN, {"timestamp": "iso", **_NUMBERS})
        return columns | {"time_ns": columns["timestamp"] + (MINUTE_NS if stamped == "open" else 0)}
    columns = read_lines(path, LAYOUTS["klines"], {"open_time": "epoch", **_NUMBERS, "close_time": "epoch"})
    length = columns["close_time"] - columns["open_time"]  # the close is given as the last ms or µs of the bar
    wrong = (length >= MINUTE_NS) | (length < MINUTE_NS - 1_000_000)
    if wrong.any():
        where = int(wrong.argmax())
        seconds = f"{length[where] / SECOND_NS:g} s from open_time to close_time, not a minute"
        raise refuse_line(path, int(columns["line"][where]), seconds)
    return columns | {"time_ns": columns["open_time"] + MINUTE_NS}


def _quote_columns(path: Path) -> Columns:
    if first_bytes(path).startswith(PARQUET):
        return read_quote_table(path)
    columns = read_lines(path, LAYOUTS["bookTicker"], _QUOTE_FIELDS)
    return {
        "line": columns["line"],
        "update_id": columns["update_id"],
        "time_ns": columns["transaction_time"],
        "bid": columns["best_bid_price"],
        "ask": columns["best_ask_price"],
        "bid_size": columns["best_bid_qty"],
        "ask_size": columns["best_ask_qty"],
    }


def _gaps(times: Stamps, longest_ns: int) -> tuple[Gap, ...]:
    ends = np.flatnonzero(np.diff(times) > longest_ns)
    return tuple(Gap(int(times[i]), int(times[i + 1])) for i in ends)
