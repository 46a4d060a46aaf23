"""When a feed is stale and when it is dead: a watch that each quote winds up again."""

from companion.live._feed_config import FeedConfig, FeedHealth

SECOND_NS = 1_000_000_000


class FeedWatch:
    """Health of a feed from the times of its quotes; it reads no clock itself.

    A quote that is accepted and on time makes the feed live for ``stale_after_s``. A disconnection, or a clock of ours
    that goes back, makes it stale at once. What is stale for ``dead_after_s`` is dead, until it is live again.

    Parameters
    ----------
    config : FeedConfig
    """

    def __init__(self, config: FeedConfig) -> None:
        self._stale_after_ns = round(config.stale_after_s * SECOND_NS)
        self._dead_after_s, self._dead_after_ns = config.dead_after_s, round(config.dead_after_s * SECOND_NS)
        self.max_skew_ns = round(config.max_skew_s * SECOND_NS)
        self._silence = f"no quote for {config.stale_after_s:g} s"
        self._ahead = f"the exchange's clock is more than {config.max_skew_s:g} s ahead of ours"
        self._behind = f"quotes are more than {config.max_skew_s:g} s late"
        self._connected = False
        self._now_ns: int | None = None
        self._stale_at_ns = 0
        self._doubt, self._doubt_ns = "", 0

    def tick(self, now_ns: int) -> None:
        """Our clock, at every event."""
        if self._now_ns is None:
            self._stale_at_ns = now_ns
        elif now_ns < self._now_ns - self.max_skew_ns:
            self._stale_at_ns = min(self._stale_at_ns, now_ns)
            self.doubt("our clock went back", now_ns)
        self._now_ns = now_ns

    def connect(self, connected: bool, now_ns: int) -> None:
        """The connection is there, or is lost."""
        self._connected = connected
        if not connected:
            self._stale_at_ns = min(self._stale_at_ns, now_ns)

    def accept(self, time_ns: int, now_ns: int) -> None:
        """A quote that was accepted, with the exchange's time."""
        late_ns = now_ns - time_ns
        if -self.max_skew_ns <= late_ns <= self.max_skew_ns:
            if self._connected:
                self._stale_at_ns = now_ns + self._stale_after_ns
        else:
            self.doubt(self._ahead if late_ns < 0 else self._behind, now_ns)

    def doubt(self, reason: str, now_ns: int) -> None:
        """What came now is of no use, and why: the reason to give, should the feed be stale soon."""
        self._doubt, self._doubt_ns = reason, now_ns

    def health(self, now_ns: int) -> FeedHealth:
        """State and reason now."""
        stale_ns = now_ns - self._stale_at_ns
        if self._connected and stale_ns < 0:
            return FeedHealth("live", "")
        doubtful = self._doubt and now_ns - self._doubt_ns <= self._stale_after_ns
        reason = "disconnected" if not self._connected else self._doubt if doubtful else self._silence
        if stale_ns < self._dead_after_ns:
            return FeedHealth("stale", reason)
        return FeedHealth("dead", f"no good quote for {self._dead_after_s:g} s, now {reason}")
