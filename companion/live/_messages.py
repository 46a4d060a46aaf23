"""Binance's messages, read strictly: a quote or a candle that is sound, or a `MalformedMessage`."""

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, NamedTuple, TypeVar

import msgspec

from companion.live._candles import Candle, interval_ns

#: The exchange's longest message is of 400 bytes, and of 300 kB its longest answer: 1,500 candles.
LONGEST_MESSAGE = 4096
LONGEST_ANSWER = 4_000_000
#: No price or quantity is as large; the candle store refuses it too.
TOO_LARGE = 1e15
MS = 1_000_000

# Times stay within 64 bits as nanoseconds, and ids as they are.
_Milliseconds = Annotated[int, msgspec.Meta(ge=0, lt=2**63 // MS)]
_Id = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Read = TypeVar("_Read")


class MalformedMessage(ValueError):  # noqa: N818
    """A message that is not what it says it is: not JSON, a wrong type or symbol, a price that is none."""


class StreamQuote(NamedTuple):
    """Best bid and ask.

    Attributes
    ----------
    update_id : int
        Number of the change to the book, ascending while the exchange runs.
    bid : float
    bid_size : float
    ask : float
    ask_size : float
        Prices, positive; sizes, zero where the side is empty. The bid may be above the ask.
    time_ns : int
        The exchange's time of the change, nanoseconds since 1970.
    """

    update_id: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    time_ns: int


class StreamCandle(NamedTuple):
    """A candle as the stream has it.

    Attributes
    ----------
    candle : Candle
    closed : bool
        Whether it is final.
    time_ns : int
        The exchange's time of the message, nanoseconds since 1970.
    """

    candle: Candle
    closed: bool
    time_ns: int


# The structures bear the exchange's own letters. None can be part of a cycle: the garbage collector need not see them.
class _Book(msgspec.Struct, tag_field="e", tag="bookTicker", gc=False):
    s: str
    u: _Id
    b: float
    B: float
    a: float
    A: float
    T: _Milliseconds


class _Bar(msgspec.Struct, gc=False):
    t: _Milliseconds
    s: str
    i: str
    o: float
    h: float
    l: float  # noqa: E741
    c: float
    v: float
    x: bool


class _Kline(msgspec.Struct, tag_field="e", tag="kline", gc=False):
    s: str
    E: _Milliseconds
    k: _Bar


class _Envelope(msgspec.Struct, gc=False):
    data: _Book | _Kline | msgspec.UnsetType = msgspec.UNSET


class _AnyEvent(msgspec.Struct):
    e: str


class _AnyEnvelope(msgspec.Struct):
    data: _AnyEvent


class _Row(msgspec.Struct, array_like=True, gc=False):
    open_time_ms: _Milliseconds
    open: float
    high: float
    low: float
    close: float
    volume: float


# Not strict, since the exchange sends its prices as text.
_decode = msgspec.json.Decoder(_Envelope, strict=False).decode
_decode_any = msgspec.json.Decoder(_AnyEnvelope).decode
_decode_rows = msgspec.json.Decoder(list[_Row], strict=False).decode


def parse_stream(raw: bytes | str, *, symbol: str, interval: str) -> StreamQuote | StreamCandle | None:
    """One message of a combined stream, ``{"stream": …, "data": {…}}``, of bookTicker or kline.

    Parameters
    ----------
    raw : bytes or str
        The message as it came, JSON in UTF-8.
    symbol : str
        The instrument it must be of, such as "BTCUSDT".
    interval : str
        The interval that a candle must be of, such as "1m".

    Returns
    -------
    StreamQuote or StreamCandle or None
        None for a well-formed message of another kind, such as the answer to a subscription.

    Raises
    ------
    MalformedMessage
        For everything else, whatever `raw` is.

    Notes
    -----
    Formats: Binance, "USDⓈ-M Futures: WebSocket Market Streams", bookTicker and kline.
    """
    try:
        data = _read(_decode, raw, LONGEST_MESSAGE).data
    except MalformedMessage:
        if _is_other(raw):
            return None
        raise
    if isinstance(data, _Book):
        bid, ask = data.b, data.a
        if data.s != symbol:
            raise MalformedMessage(f"symbol must be {symbol}, got {data.s!r}")
        # A NaN is in no range.
        if not (
            0.0 < bid < TOO_LARGE and 0.0 < ask < TOO_LARGE and 0.0 <= data.B < TOO_LARGE and 0.0 <= data.A < TOO_LARGE
        ):
            raise MalformedMessage(
                f"prices must be positive and sizes not negative, got {bid} x {data.B}, {ask} x {data.A}"
            )
        return StreamQuote(data.u, bid, data.B, ask, data.A, data.T * MS)
    if isinstance(data, _Kline):
        bar = data.k
        if not data.s == bar.s == symbol or bar.i != interval:
            raise MalformedMessage(f"candle must be of {symbol} {interval}, got {data.s!r} {bar.s!r} {bar.i!r}")
        candle = Candle(bar.t * MS, bar.o, bar.h, bar.l, bar.c, bar.v)
        _refuse_unsound(candle, interval_ns(interval))
        return StreamCandle(candle, bar.x, data.E * MS)
    return None


def parse_klines(raw: bytes | str, *, interval: str) -> list[Candle]:
    """The exchange's answer to a request for history, rows of twelve columns.

    Parameters
    ----------
    raw : bytes or str
        The answer as it came, JSON in UTF-8.
    interval : str
        The interval that was asked for.

    Returns
    -------
    list of Candle
        Ascending. The last one may not have closed: the exchange sends it too.

    Raises
    ------
    MalformedMessage
        If it is no list of sound candles, each once and ascending: such as the exchange's answer to a wrong request.

    Notes
    -----
    Format: Binance, "USDⓈ-M Futures: Kline/Candlestick Data".
    """
    rows = _read(_decode_rows, raw, LONGEST_ANSWER)
    step_ns = interval_ns(interval)
    candles = [Candle(row.open_time_ms * MS, row.open, row.high, row.low, row.close, row.volume) for row in rows]
    for candle in candles:
        _refuse_unsound(candle, step_ns)
    for before, after in pairwise(candles):
        if after.open_time_ns <= before.open_time_ns:
            raise MalformedMessage(f"candles must ascend, got {after.open_time_ns} after {before.open_time_ns}")
    return candles


def is_sound(candle: Candle, step_ns: int) -> bool:
    """Whether it can be a candle of that interval: finite, positive, low and high around open and close, on the grid.

    Parameters
    ----------
    candle : Candle
    step_ns : int
        The interval, nanoseconds.
    """
    time_ns, first, high, low, last, volume = candle
    return (
        time_ns % step_ns == 0
        and 0.0 < low <= first <= high < TOO_LARGE
        and low <= last <= high
        and 0.0 <= volume < TOO_LARGE
    )


def _refuse_unsound(candle: Candle, step_ns: int) -> None:
    if not is_sound(candle, step_ns):
        raise MalformedMessage(f"candle must have positive prices within low and high and open on time, got {candle}")


def _is_other(raw: bytes | str) -> bool:
    """Whether it is a sound envelope around an event that nobody here asked for."""
    try:
        return _read(_decode_any, raw, LONGEST_MESSAGE).data.e not in ("bookTicker", "kline")
    except MalformedMessage:
        return False


def _read(decode: Callable[[bytes | str], _Read], raw: bytes | str, longest: int) -> _Read:
    try:
        if len(raw) <= longest:
            return decode(raw)
    except (ValueError, TypeError, RecursionError) as error:
        raise MalformedMessage(f"message can not be read: {error}") from error
    raise MalformedMessage(f"message must be of at most {longest} bytes, got {len(raw)}")
