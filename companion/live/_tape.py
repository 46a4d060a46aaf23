"""A market laid on a time line as an exchange would have sent it: history up to a start, then the stream."""

import heapq
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import groupby

import numpy as np

from companion.datasets import MinuteBars, Quotes
from companion.datasets._market_arrays import MINUTE_NS
from companion.live._candles import Candle
from companion.live._faults import Fault, FaultKind
from companion.live._tape_faults import CHANGES, Change, Scene
from companion.live._tape_records import (
    MS_NS,
    BookUpdate,
    CandleUpdate,
    Connection,
    Encoder,
    Record,
    Stall,
    TapeEvent,
)

UPDATES_PER_BAR = 4  # how often a candle is sent: three times unfinished, then closed
SECOND_NS = 1_000_000_000


class Tape:
    """The market's minutes as bars of any length, the first at `first_open_ns`.

    Parameters
    ----------
    bars : MinuteBars
        Without a missing minute.
    quotes : Quotes
        Each belongs to the minute that it lies in, and keeps its place in it.
    bar_ns : int
        How long a bar lasts on the tape.
    first_open_ns : int
        When the first bar opens, nanoseconds since 1970.
    encode : Encoder
    quotes_per_second : float, optional
        Rate at which the last quote is sent, again and again; without it each is sent once.
    """

    def __init__(
        self,
        bars: MinuteBars,
        quotes: Quotes,
        *,
        bar_ns: int,
        first_open_ns: int,
        encode: Encoder,
        quotes_per_second: float | None,
    ) -> None:
        self._bars, self._quotes, self._encode = bars, quotes, encode
        self._bar_ns, self._first_open_ns, self._rate = bar_ns, first_open_ns, quotes_per_second
        self._mids = quotes.mid
        self._opens_ns = (bars.time_ns - MINUTE_NS).tolist()  # in the market's own time
        self._first_quotes = np.searchsorted(quotes.time_ns, [*self._opens_ns, bars.time_ns[-1]]).tolist()
        columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        self.candles = [Candle(first_open_ns + n * bar_ns, *row) for n, row in enumerate(rows)]

    def events(self, from_ns: int, faults: Sequence[Fault], zero_ns: int, seed: int) -> Iterator[TapeEvent]:
        """What a client sees after `from_ns`, where bar 0 of the faults opens at `zero_ns`."""
        spans = [(fault.kind, *fault.span_ns(zero_ns, self._bar_ns)) for fault in faults]
        first_ns = from_ns  # a fault may depend on what it found at its beginning
        for _, begin_ns, end_ns in sorted(spans, key=lambda span: span[2], reverse=True):
            first_ns = begin_ns if begin_ns <= first_ns < end_ns else first_ns
        records: Iterable[Record] = self._records(first_ns)
        for n, (kind, begin_ns, end_ns) in enumerate(spans):
            scene = Scene(end_ns, self._encode, random.Random(f"{seed}:{n}"))
            records = _with_fault(records, CHANGES[kind], begin_ns, scene)
        messages = (self._encode(record) for record in records if record.time_ns > from_ns)
        return heapq.merge(_line_changes(from_ns, spans), messages, key=lambda event: event.time_ns)

    def _records(self, from_ns: int) -> Iterator[Record]:
        """What is sent from the bar on that is open at `from_ns`."""
        first_bar = (from_ns - self._first_open_ns) // self._bar_ns
        step_ns = self._bar_ns / UPDATES_PER_BAR
        for bar in range(first_bar, len(self.candles)):
            candle, shown, n_sent = self.candles[bar], -1, 1
            high = low = last = candle.open
            for time_ns, update_id, which in self._quote_times(bar, from_ns):
                while time_ns >= candle.open_time_ns + n_sent * step_ns:
                    yield self._unfinished(candle, n_sent, high, low, last)
                    n_sent += 1
                if which != shown:
                    shown, texts = which, self._quote_texts(which)
                    last = min(max(float(self._mids[which]), candle.low), candle.high)
                    high, low = max(high, last), min(low, last)
                yield BookUpdate(time_ns, time_ns // MS_NS, update_id, *texts)
            for n in range(n_sent, UPDATES_PER_BAR):
                yield self._unfinished(candle, n, high, low, last)
            yield _candle_update(candle, candle.open_time_ns + self._bar_ns, closed=True)

    def _unfinished(self, candle: Candle, n: int, high: float, low: float, last: float) -> CandleUpdate:
        """The candle as it stands after `n` parts of its time, with its share of the volume."""
        so_far = candle._replace(high=high, low=low, close=last, volume=round(candle.volume * n / UPDATES_PER_BAR, 8))
        return _candle_update(so_far, candle.open_time_ns + n * self._bar_ns // UPDATES_PER_BAR, closed=False)

    def _quote_times(self, bar: int, from_ns: int) -> Iterator[tuple[int, int, int]]:
        """When a quote of the bar is sent, its update id, and which of the market's it is."""
        first, end = self._first_quotes[bar : bar + 2]
        open_ns, market_open_ns = self.candles[bar].open_time_ns, self._opens_ns[bar]
        times = [
            open_ns + (time_ns - market_open_ns) * self._bar_ns // MINUTE_NS
            for time_ns in self._quotes.time_ns[first:end].tolist()
        ]
        if self._rate is None:
            yield from zip(times, range(first + 1, end + 1), range(first, end), strict=True)
        elif end:
            which = max(first - 1, 0)
            for time_ns, n in self._steady_times(max(open_ns, from_ns), open_ns + self._bar_ns):
                while which + 1 < end and times[which + 1 - first] <= time_ns:
                    which += 1
                yield time_ns, n + 1, which

    def _steady_times(self, begin_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
        """Times at the steady rate, and how many were before each since the tape's first bar."""
        step_ns = SECOND_NS / (self._rate or 1.0)
        n = max(math.ceil((begin_ns - self._first_open_ns) / step_ns) - 1, 0)
        while (time_ns := self._first_open_ns + int(n * step_ns)) < end_ns:
            if time_ns >= begin_ns:
                yield time_ns, n
            n += 1

    def _quote_texts(self, which: int) -> tuple[str, str, str, str]:
        quotes = self._quotes
        return (
            number_text(quotes.bid[which]),
            number_text(quotes.bid_size[which]),
            number_text(quotes.ask[which]),
            number_text(quotes.ask_size[which]),
        )


def number_text(number: float) -> str:
    """The shortest decimal text that reads as the same float, without an exponent."""
    text = repr(float(number))
    return f"{Decimal(text):f}" if "e" in text else text


def candle_texts(candle: Candle) -> tuple[str, str, str, str, str, str]:
    """Open, high, low, close, volume and about how much money that was, as they are written."""
    texts = [number_text(number) for number in candle[1:]]
    return (*texts, number_text(round(candle.volume * candle.close, 8)))  # type: ignore[return-value]


def _candle_update(candle: Candle, time_ns: int, *, closed: bool) -> CandleUpdate:
    stamp_ms, open_ms = time_ns // MS_NS, candle.open_time_ns // MS_NS
    return CandleUpdate(time_ns, stamp_ms, open_ms, *candle_texts(candle), closed)


def _with_fault(records: Iterable[Record], change: Change, begin_ns: int, scene: Scene) -> Iterator[Record]:
    for inside, group in groupby(records, key=lambda record: begin_ns <= record.time_ns < scene.end_ns):
        if inside:
            yield from change(group, scene)
        else:
            yield from group


def _line_changes(from_ns: int, spans: Iterable[tuple[FaultKind, int, int]]) -> list[Connection | Stall]:
    """The state of the line at `from_ns`, as the changes that led to it, and the changes after."""
    changes: list[Connection | Stall] = [Connection(from_ns, True)]
    for kind, *times_ns in spans:
        begin_ns, end_ns = (max(time_ns, from_ns) for time_ns in times_ns)
        if kind is FaultKind.DISCONNECT:
            changes += [Connection(begin_ns, False), Connection(end_ns, True)]
        elif kind in (FaultKind.HALF_OPEN, FaultKind.SLOW_DRIP):
            changes += [Stall(begin_ns, kind, True), Stall(end_ns, kind, False)]
    return sorted(changes, key=lambda change: change.time_ns)
