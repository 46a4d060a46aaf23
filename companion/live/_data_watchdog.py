"""The watchdog: no part of the pump, it sees when the pump ends or hangs, and when the stream is silent."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from companion.live._data_pump import FeedPump
from companion.live._feed import Feed
from companion.live._feed_config import FeedHealth

T = TypeVar("T")

POLL_S = 0.2
#: With the poll it is within the 2 s in which a dead pump must be noticed.
HANGS_AFTER_S = 1.4


class FeedWatchdog:
    """Looks at the pump and at the feed five times a second, and says what it sees.

    A pump that has ended, of which a part has failed, or that does not move for 1.4 s while it stores candles and hands
    them on, is dead, for good: both callbacks are called, and nothing after them. That it hangs is counted in looks,
    not in seconds, so that a machine that stands still for a while condemns nobody. A connection without a quote for
    ``stale_after_s`` is ended, so that the pump opens another, be it half open or only silent; with each in succession
    it waits twice as long, up to ``dead_after_s``.

    Parameters
    ----------
    feed : Feed
    pump : FeedPump
    task : asyncio.Task
        In which the pump runs.
    now_ns : callable
        Our clock, nanoseconds since 1970.
    on_health : callable
        Gets each `FeedHealth` that differs from the one before.
    on_dead : callable
        Gets the reason when the pump is dead.
    warn : callable
        Gets what a person should read, in one line.
    """

    def __init__(
        self,
        feed: Feed,
        pump: FeedPump,
        task: asyncio.Task[None],
        *,
        now_ns: Callable[[], int],
        on_health: Callable[[FeedHealth], None],
        on_dead: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._feed, self._pump, self._task, self._now_ns = feed, pump, task, now_ns
        self._on_health, self._on_dead, self._warn = on_health, on_dead, warn
        self._health: FeedHealth | None = None
        self._n_moves, self._looks = -1, 0
        self._n_quotes, self._silent_s, self._borne_s = -1, 0.0, feed.config.stale_after_s

    async def run(self) -> None:
        """Look until the pump is dead."""
        reason = ""
        while not reason:
            await asyncio.sleep(POLL_S)
            try:
                reason = self._fault()
                self._look_at_feed()
            except Exception as error:  # a watchdog that falls silent would be worse than a pump that does
                reason = reason or f"its watchdog failed: {error!r}"
        self._warn(f"the feed is dead: {reason}")
        self._tell(self._on_health, FeedHealth("dead", reason))
        self._tell(self._on_dead, reason)

    def _look_at_feed(self) -> None:
        if (health := self._feed.health(self._now_ns())) != self._health:
            self._health = health
            self._tell(self._on_health, health)
        self._end_silence()

    def _fault(self) -> str:
        """What is wrong with the pump; empty if nothing is."""
        if self._pump.fault is not None:
            return f"its pump failed: {self._pump.fault!r}"
        if self._task.done():
            error = "it was canceled" if self._task.cancelled() else repr(self._task.exception())
            return f"its pump ended: {error}"
        moves = not self._pump.busy or self._pump.n_moves != self._n_moves
        self._looks = 0 if moves else self._looks + 1
        self._n_moves = self._pump.n_moves
        return f"its pump hangs for {HANGS_AFTER_S:g} s" if self._looks * POLL_S >= HANGS_AFTER_S else ""

    def _end_silence(self) -> None:
        config, n_quotes = self._feed.config, self._feed.counts.quotes
        if n_quotes != self._n_quotes:
            self._n_quotes, self._silent_s, self._borne_s = n_quotes, 0.0, config.stale_after_s
        elif (silent_s := self._silent_s + POLL_S) < self._borne_s:
            self._silent_s = silent_s
        else:
            self._silent_s, self._borne_s = 0.0, min(2 * self._borne_s, config.dead_after_s)
            self._pump.reconnect()

    def _tell(self, callback: Callable[[T], None], what: T) -> None:
        """Whoever is told may fail; the watchdog does not."""
        try:
            callback(what)
        except Exception as error:
            self._warn(f"{what} could not be told: {error!r}")
