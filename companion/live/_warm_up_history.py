"""The unbroken end of what is known of a market: candles of the store, and from the exchange what it has not."""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol

from companion.live._candles import Candle, interval_ns

MAX_JUMP = 0.2
"""Log return from one candle's close to the next beyond which history is no history; that of `FeedConfig`."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Fetch = Callable[[int, int], Iterable[Candle]]
"""Asks the exchange for the candles that open in [start, end), nanoseconds since 1970."""


class Candles(Protocol):
    """The part of `CandleStore` that a warm-up needs."""

    def between(self, symbol: str, interval: str, start_ns: int, end_ns: int) -> list[Candle]:
        """Candles that open in [start, end), ascending."""

    def upsert(self, symbol: str, interval: str, candles: Iterable[Candle]) -> int:
        """Store candles; how many were new or changed."""


class History(NamedTuple):
    """Candles that end now and follow one another without a gap.

    Attributes
    ----------
    candles : list of Candle
        Ascending; empty where there is nothing to believe.
    n_late : int
        Candles that have closed since the last of them.
    n_fetched : int
        Candles that the store had not.
    end : str
        Why it reaches no further back; empty if it is as long as asked.
    notes : tuple of str
        What was not as it should be.
    contradiction : str
        Where store and exchange disagree; empty if nowhere.
    """

    candles: list[Candle]
    n_late: int
    n_fetched: int
    end: str
    notes: tuple[str, ...]
    contradiction: str


def read_history(
    store: Candles, *, symbol: str, interval: str, now_ns: int, n_bars: int, fetch: Fetch | None
) -> History:
    """The last `n_bars` candles that have closed by now, or the unbroken end of them.

    What the store lacks is asked of the exchange in one call, with a candle more on either side, to see that both speak
    of the same market; then it is stored. Nothing at or before a stored candle that is none is used.
    """
    step_ns = interval_ns(interval)
    end_ns = now_ns // step_ns * step_ns
    start_ns = end_ns - n_bars * step_ns
    stored, unsound = _sound(store.between(symbol, interval, start_ns, end_ns), step_ns)
    notes = []
    if unsound:
        notes.append(f"The store holds {len(unsound)} candles that are none, such as {unsound[-1]!r}.")
        broken_ns = max(candle.open_time_ns for candle in unsound)
        stored = {time_ns: candle for time_ns, candle in stored.items() if time_ns > broken_ns}
    missing = [time_ns for time_ns in range(start_ns, end_ns, step_ns) if time_ns not in stored]
    fetched: dict[int, Candle] = {}
    if missing and fetch is not None:
        asked = max(missing[0] - step_ns, start_ns), min(missing[-1] + 2 * step_ns, end_ns)
        fetched, note = _fetched(fetch, *asked, step_ns)
        notes += note
    if differ := [time_ns for time_ns in fetched.keys() & stored.keys() if fetched[time_ns][:5] != stored[time_ns][:5]]:
        newest = max(differ)
        said = f"{stored[newest].close:g} in the store and at {fetched[newest].close:g} at the exchange"
        return History([], 0, 0, "", tuple(notes), f"The candle of {shown(newest)} closes at {said}.")
    new = [fetched[time_ns] for time_ns in missing if time_ns in fetched]
    if new:
        store.upsert(symbol, interval, new)
    candles, why = _unbroken(stored | fetched, start_ns, step_ns)
    n_late = (end_ns - candles[-1].open_time_ns) // step_ns - 1 if candles else n_bars
    return History(candles, n_late, len(new), why, tuple(notes), "")


def shown(time_ns: int) -> str:
    """A time as people write it, UTC."""
    return f"{as_time(time_ns):%Y-%m-%d %H:%M:%S.%f}".removesuffix(".000000")


def as_time(time_ns: int) -> datetime:
    """UTC, to the microsecond that Python's times have."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


def _fetched(fetch: Fetch, start_ns: int, end_ns: int, step_ns: int) -> tuple[dict[int, Candle], list[str]]:
    """What the exchange has of it, by open time; whatever it does instead of answering is a note."""
    try:
        answer = list(fetch(start_ns, end_ns))
    except Exception as error:
        return {}, [f"The exchange's history can not be had: {error!r}."]
    sound, unsound = _sound(answer, step_ns)
    notes = [f"The exchange sent {len(unsound)} candles that are none, such as {unsound[-1]!r}."] if unsound else []
    return {time_ns: candle for time_ns, candle in sound.items() if start_ns <= time_ns < end_ns}, notes


def _sound(candles: Sequence[Any], step_ns: int) -> tuple[dict[int, Candle], list[Any]]:
    """Candles by open time, and what is none: no bar a market can trade, or between two intervals."""
    sound: dict[int, Candle] = {}
    unsound = []
    for candle in candles:
        if _is_sound(candle, step_ns):
            sound[candle.open_time_ns] = candle
        else:
            unsound.append(candle)
    return sound, unsound


def _is_sound(candle: Any, step_ns: int) -> bool:
    try:
        time_ns, start, high, low, close, volume = candle
        return bool(
            time_ns % step_ns == 0
            and 0.0 < low <= start <= high < math.inf
            and low <= close <= high
            and 0.0 <= volume < math.inf
        )
    except (TypeError, ValueError):
        return False


def _unbroken(known: dict[int, Candle], start_ns: int, step_ns: int) -> tuple[list[Candle], str]:
    """The candles up to the newest that follow one another, and why there are no more before them."""
    if not known:
        return [], "There are no candles."
    time_ns = max(known)
    candles = [known[time_ns]]
    while (time_ns := time_ns - step_ns) >= start_ns:
        before = known.get(time_ns)
        if before is None:
            older = any(other < time_ns for other in known)
            why = f"The candle of {shown(time_ns)} is missing." if older else "None is known from before."
            return candles[::-1], why
        if abs(move := math.log(candles[-1].close / before.close)) > MAX_JUMP:
            return candles[::-1], f"The price moves by {move:+.1%} after {shown(time_ns)}, which is no market."
        candles.append(before)
    return candles[::-1], ""
