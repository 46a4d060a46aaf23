"""What each fault makes of the records of an exchange's stream."""

import random
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

from companion.live._faults import CLOCK_SKEW_S, FaultKind
from companion.live._tape_records import BookUpdate, CandleUpdate, Encoder, Message, Record


class Scene(NamedTuple):
    """What a fault may need besides the records: its end, the writer, and luck of its own."""

    end_ns: int
    encode: Encoder
    rng: random.Random


# Given the records of the fault's time alone; those that it leaves unread are not sent.
Change = Callable[[Iterable[Record], Scene], Iterable[Record]]


def _nothing(records: Iterable[Record], scene: Scene) -> tuple[Record, ...]:
    return ()


def _slow_drip(records: Iterable[Record], scene: Scene) -> Iterator[Record]:
    return (record._replace(time_ns=scene.end_ns - 1) for record in islice(records, 1))


def _duplicates(records: Iterable[Record], scene: Scene) -> Iterator[Record]:
    for record in records:
        yield record
        yield record


def _reordering(records: Iterable[Record], scene: Scene) -> list[Record]:
    slots = list(records)
    moved = list(slots)
    quotes = [n for n, record in enumerate(slots) if isinstance(record, BookUpdate)]
    closes = [n for n, record in enumerate(slots) if isinstance(record, CandleUpdate) and record.closed]
    for places, size in ((quotes, 4), (closes, 2)):
        for first in range(0, len(places), size):
            group = places[first : first + size]
            for to, of in zip(group, reversed(group), strict=True):
                moved[to] = slots[of]._replace(time_ns=slots[to].time_ns)
    return moved


def _gaps(records: Iterable[Record], scene: Scene) -> Iterator[Record]:
    return (record for record in records if not isinstance(record, CandleUpdate))


def _malformed(records: Iterable[Record], scene: Scene) -> Iterator[Record]:
    for record in records:
        message = scene.encode(record)
        yield message._replace(raw=scene.rng.choice(_BREAKS)(message.raw, scene.rng))


# Each breaks quotes and candles alike.
_BREAKS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    lambda raw, rng: raw[: rng.randrange(len(raw))],
    lambda raw, rng: b"<html>503 Service Unavailable</html>",
    lambda raw, rng: raw.replace(b'"s":"', b'"s":"OTHER'),
    lambda raw, rng: raw.replace(b'"b":"', b'"b":"-').replace(b'"c":"', b'"c":"-'),
    lambda raw, rng: raw.replace(b'"a":"', b'"a":["').replace(b',"A"', b'],"A"').replace(b'"x":', b'"x":[],"y":'),
    lambda raw, rng: raw.replace(b'"T":', b'"_":').replace(b'"t":', b'"_":'),
    lambda raw, rng: b"[" * rng.randrange(1, 5000),
)


def _nan(records: Iterable[Record], scene: Scene) -> Iterator[Record]:
    for record in records:
        yield _with_prices(record, lambda price: scene.rng.choice(("NaN", "Infinity", "-Infinity")))


def _glitch(records: Iterable[Record], scene: Scene) -> Iterator[Record]:
    for record in records:
        yield _with_prices(record, lambda price: f"{Decimal(price) * 100:f}")


def _with_prices(record: Record, change: Callable[[str], str]) -> Record:
    if isinstance(record, BookUpdate):
        return record._replace(bid=change(record.bid), ask=change(record.ask))
    if isinstance(record, CandleUpdate):
        return record._replace(
            open=change(record.open), high=change(record.high), low=change(record.low), close=change(record.close)
        )
    return record


def _on_quotes(change: Callable[[BookUpdate, BookUpdate], BookUpdate]) -> Change:
    """A change of quotes alone, given the first of the fault and the one itself."""

    def changed(records: Iterable[Record], scene: Scene) -> Iterator[Record]:
        first = None
        for record in records:
            if isinstance(record, BookUpdate):
                first = first or record
                yield change(first, record)
            else:
                yield record

    return changed


def _clock_skew(records: Iterable[Record], scene: Scene) -> Iterator[Record]:
    ahead_ms = round(1000 * CLOCK_SKEW_S)
    for record in records:
        yield record if isinstance(record, Message) else record._replace(stamp_ms=record.stamp_ms + ahead_ms)


CHANGES: dict[FaultKind, Change] = {
    FaultKind.DISCONNECT: _nothing,
    FaultKind.SILENCE: _nothing,
    FaultKind.HALF_OPEN: _nothing,
    FaultKind.SLOW_DRIP: _slow_drip,
    FaultKind.DUPLICATES: _duplicates,
    FaultKind.REORDERING: _reordering,
    FaultKind.GAPS: _gaps,
    FaultKind.MALFORMED: _malformed,
    FaultKind.NAN: _nan,
    FaultKind.GLITCH: _glitch,
    FaultKind.FROZEN: _on_quotes(lambda first, quote: BookUpdate(*quote[:3], *first[3:])),
    FaultKind.CROSSED_BOOK: _on_quotes(lambda first, quote: quote._replace(bid=quote.ask, ask=quote.bid)),
    FaultKind.EMPTY_BOOK: _on_quotes(lambda first, quote: quote._replace(bid_size="0.000", ask_size="0.000")),
    FaultKind.CLOCK_SKEW: _clock_skew,
}
