"""What an exchange's stream says: quotes and candles on their way, and how Binance writes them."""

from typing import NamedTuple

from companion.live._faults import FaultKind

MS_NS = 1_000_000


class Message(NamedTuple):
    """What a client receives.

    Attributes
    ----------
    time_ns : int
        When it arrives, nanoseconds since 1970.
    raw : bytes
        JSON, unless a fault broke it; valid UTF-8 always.
    stream : str
        Name of the stream, such as "btcusdt@bookTicker".
    """

    time_ns: int
    raw: bytes
    stream: str


class Connection(NamedTuple):
    """The exchange can be reached from now on (`up`), or no longer; `time_ns` in nanoseconds since 1970."""

    time_ns: int
    up: bool


class Stall(NamedTuple):
    """A fault begins or ends that a client sees only as silence: HALF_OPEN or SLOW_DRIP."""

    time_ns: int
    kind: FaultKind
    begins: bool


TapeEvent = Message | Connection | Stall


class BookUpdate(NamedTuple):
    """A quote on its way, its numbers as they will be written; `time_ns` when it is sent, `stamp_ms` what it says."""

    time_ns: int
    stamp_ms: int
    update_id: int
    bid: str
    bid_size: str
    ask: str
    ask_size: str


class CandleUpdate(NamedTuple):
    """A candle on its way, finished or not, its numbers as they will be written; times as of a `BookUpdate`."""

    time_ns: int
    stamp_ms: int
    open_ms: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str
    closed: bool


Record = BookUpdate | CandleUpdate | Message


class Encoder:
    """Writes records as Binance's combined streams do."""

    def __init__(self, symbol: str, interval: str, bar_ns: int) -> None:
        self.book_stream = f"{symbol.lower()}@bookTicker"
        self.candle_stream = f"{symbol.lower()}@kline_{interval}"
        self._book_head = f'{{"stream":"{self.book_stream}","data":{{"e":"bookTicker","u":'
        self._book_symbol = f',"s":"{symbol}","b":"'
        self._candle_head = f'{{"stream":"{self.candle_stream}","data":{{"e":"kline","E":'
        self._candle_symbol = f',"s":"{symbol}","k":{{"t":'
        self._candle_interval = f',"s":"{symbol}","i":"{interval}","o":"'
        self._to_close_ms = bar_ns // MS_NS - 1

    def __call__(self, record: Record) -> Message:
        """The message; one that a fault has written already stays as it is."""
        if isinstance(record, BookUpdate):
            time_ns, stamp, update_id, bid, bid_size, ask, ask_size = record
            text = (
                f'{self._book_head}{update_id}{self._book_symbol}{bid}","B":"{bid_size}","a":"{ask}","A":"{ask_size}",'
                f'"T":{stamp},"E":{stamp}}}}}'
            )
            return Message(time_ns, text.encode(), self.book_stream)
        if isinstance(record, CandleUpdate):
            text = (
                f"{self._candle_head}{record.stamp_ms}{self._candle_symbol}{record.open_ms},"
                f'"T":{record.open_ms + self._to_close_ms}{self._candle_interval}{record.open}","c":"{record.close}",'
                f'"h":"{record.high}","l":"{record.low}","v":"{record.volume}","n":0,"x":{str(record.closed).lower()},'
                f'"q":"{record.quote_volume}","V":"0","Q":"0"}}}}}}'
            )
            return Message(record.time_ns, text.encode(), self.candle_stream)
        return record
