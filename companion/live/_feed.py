"""Raw messages in, quotes and candles out: each once, in order, plausible. It knows neither sockets nor a clock."""

import math
from bisect import bisect_left
from collections.abc import Iterable

from companion.live._candles import Candle, interval_ns
from companion.live._feed_config import FeedConfig, FeedCounts, FeedHealth
from companion.live._feed_watch import FeedWatch
from companion.live._messages import MalformedMessage, StreamCandle, StreamQuote, is_sound, parse_stream


class Feed:
    """What stands between a stream and the engine.

    Quotes are handed on at once, if their update id is new. Closed candles are handed on in order, each once: behind a
    gap they are held back until history has filled it. A price that jumps from the one accepted last, of a quote's mid
    or a candle's close, is dropped: a glitch never leaves the feed, and a jump that lasts becomes silence, and a person
    decides. A candle that was dropped is missing, and comes from history, which is believed. What is merely unpleasant
    is handed on, since the liquidity gate judges it: a crossed or empty book, a frozen price, an old stamp.

    Parameters
    ----------
    config : FeedConfig
    last : Candle, optional
        Newest candle that is known already, from the warm-up: the next one handed on is its successor, and its close
        is the first price to be compared with. Without it the first price is believed.

    Attributes
    ----------
    config : FeedConfig
    counts : FeedCounts
    last : Candle or None
        Newest candle handed on, or the one that was given.

    Raises
    ------
    ValueError
        If `last` is not a sound candle of the interval.
    """

    def __init__(self, config: FeedConfig, *, last: Candle | None = None) -> None:
        self.config, self.last, self.counts = config, last, FeedCounts()
        self._symbol, self._interval = config.symbol, config.interval
        self._step_ns = interval_ns(config.interval)
        self._watch = FeedWatch(config)
        self._jump = math.exp(config.max_jump)
        self._low, self._high = 0.0, math.inf
        self._update_id = -1
        self._was_connected = False
        self._held: list[Candle] = []
        if last is not None:
            if not is_sound(last, self._step_ns):
                raise ValueError(f"last must be a sound candle of {config.interval}, got {last}")
            self._compare_with(last.close)

    @property
    def n_held(self) -> int:
        """Candles held back behind a gap."""
        return len(self._held)

    def on_message(self, raw: bytes | str, now_ns: int) -> tuple[StreamQuote | Candle, ...]:
        """Take one message of the stream; it never raises.

        Parameters
        ----------
        raw : bytes or str
            As it came.
        now_ns : int
            Our clock, nanoseconds since 1970.

        Returns
        -------
        tuple of StreamQuote or Candle
            What to hand on now, in order; mostly one or none.
        """
        self.counts.messages += 1
        self._watch.tick(now_ns)
        try:
            message = parse_stream(raw, symbol=self._symbol, interval=self._interval)
        except MalformedMessage:
            self.counts.malformed += 1
            self._watch.doubt("messages are malformed", now_ns)
            return ()
        if isinstance(message, StreamQuote):
            return self._on_quote(message, now_ns)
        if isinstance(message, StreamCandle) and message.closed:
            return self._on_candle(message.candle, now_ns)
        self.counts.other += 1
        return ()

    def need(self) -> tuple[int, int] | None:
        """First gap before candles that are held back: open times [start, end) in nanoseconds; None without one."""
        return (self._next_ns(), self._held[0].open_time_ns) if self._held else None

    def on_history(self, candles: Iterable[Candle], now_ns: int) -> tuple[Candle, ...]:
        """Take candles from history, and return what can now be handed on, in order.

        Parameters
        ----------
        candles : iterable of Candle
            In any order; more than was asked for does no harm. One that is known already is ignored, and so is one that
            may not have closed: it is not older than a candle held back, and not closed for ``max_skew_s``.
        now_ns : int
            Our clock, nanoseconds since 1970.
        """
        self._watch.tick(now_ns)
        next_ns, newest_ns = self._next_ns(), self._held[-1].open_time_ns if self._held else -1
        closed_ns = now_ns - self._watch.max_skew_ns
        known = {candle.open_time_ns: candle for candle in self._held}
        for candle in candles:
            if not is_sound(candle, self._step_ns):
                raise ValueError(f"candles must be sound ones of {self.config.interval}, got {candle}")
            open_ns = candle.open_time_ns
            if open_ns >= next_ns and (open_ns < newest_ns or open_ns + self._step_ns <= closed_ns):
                known[open_ns] = candle
        if not known:
            return ()
        self.counts.filled += len(known) - len(self._held)
        self._held = sorted(known.values())
        if self.last is None and self._high == math.inf:
            self._compare_with(self._held[-1].close)
        return self._release(self._held[0].open_time_ns if self.last is None else next_ns)

    def give_up(self, now_ns: int) -> tuple[Candle, ...]:
        """History has not what is missing: leave the first gap open, and return what was held back behind it.

        It is returned up to the next gap, which history may still fill: ask `need` again.

        Parameters
        ----------
        now_ns : int
            Our clock, nanoseconds since 1970.
        """
        self._watch.tick(now_ns)
        if not self._held:
            return ()
        self.counts.gaps += 1
        return self._release(self._held[0].open_time_ns)

    def on_connect(self, now_ns: int) -> None:
        """The stream is connected; update ids may begin anew."""
        self._watch.tick(now_ns)
        self._watch.connect(True, now_ns)
        self.counts.reconnects += self._was_connected
        self._was_connected, self._update_id = True, -1

    def on_disconnect(self, now_ns: int) -> None:
        """The stream is lost."""
        self._watch.tick(now_ns)
        self._watch.connect(False, now_ns)

    def health(self, now_ns: int) -> FeedHealth:
        """Whether it can be traded on: live, stale or dead, and why.

        It is stale without a quote, accepted and on time, for ``stale_after_s``, and while disconnected; it is dead
        when it has been stale for ``dead_after_s``. To be asked a few times a second.
        """
        self._watch.tick(now_ns)
        return self._watch.health(now_ns)

    def _next_ns(self) -> int:
        """Open time of the candle to hand on next; before the first one, the oldest that may be that."""
        return -1 if self.last is None else self.last.open_time_ns + self._step_ns

    def _on_quote(self, quote: StreamQuote, now_ns: int) -> tuple[StreamQuote, ...]:
        low, high = self._low, self._high
        if quote.update_id <= self._update_id:
            if quote.update_id == self._update_id:
                self.counts.duplicates += 1
            else:
                self.counts.late += 1
            return ()
        if not (low <= quote.bid <= high and low <= quote.ask <= high):
            self._refuse(now_ns)
            return ()
        self.counts.quotes += 1
        self._update_id = quote.update_id
        self._compare_with((quote.bid + quote.ask) / 2)
        self._watch.accept(quote.time_ns, now_ns)
        return (quote,)

    def _on_candle(self, candle: Candle, now_ns: int) -> tuple[Candle, ...]:
        counts, held, open_ns = self.counts, self._held, candle.open_time_ns
        # Before the first candle one that is old would make a gap of years.
        oldest_ns = now_ns - self.config.max_held * self._step_ns if self.last is None else self._next_ns()
        at = bisect_left(held, open_ns, key=_open_time)
        if open_ns < oldest_ns:
            if self.last is not None and open_ns == self.last.open_time_ns:
                counts.duplicates += 1
            else:
                counts.late += 1
        elif at < len(held) and held[at].open_time_ns == open_ns:
            counts.duplicates += 1
        elif (
            not self._low <= candle.low <= candle.high <= self._high
            or open_ns + self._step_ns > now_ns + self._watch.max_skew_ns
        ):
            self._refuse(now_ns)
        else:
            counts.candles += 1
            if at == len(held):
                self._compare_with(candle.close)
            held.insert(at, candle)
            return self._release(open_ns if self.last is None else oldest_ns)
        return ()

    def _release(self, next_ns: int) -> tuple[Candle, ...]:
        """Hand on what follows without a gap from a time on, and keep of the rest what may be held."""
        held, n = self._held, 0
        while n < len(held) and held[n].open_time_ns == next_ns:
            next_ns += self._step_ns
            n += 1
        ready = tuple(held[:n])
        if ready:
            self.last = ready[-1]
        n_over = max(len(held) - n - self.config.max_held, 0)
        self.counts.forgotten += n_over
        del held[: n + n_over]
        return ready

    def _refuse(self, now_ns: int) -> None:
        self.counts.implausible += 1
        self._watch.doubt("prices jump, or candles come before their time", now_ns)

    def _compare_with(self, price: float) -> None:
        """The price accepted last: the next one is plausible between these two."""
        self._low, self._high = price / self._jump, price * self._jump


def _open_time(candle: Candle) -> int:
    return candle.open_time_ns
