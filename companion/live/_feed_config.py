"""What a feed is told, what it counts, and how it feels."""

import re
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

from companion._checks import check_count, check_finite, check_positive
from companion.live._candles import interval_ns

FeedState = Literal["live", "stale", "dead"]


@dataclass(frozen=True)
class FeedConfig:
    """What a `Feed` listens to, and when it doubts.

    Attributes
    ----------
    symbol : str
        The exchange's name of the instrument, in capitals.
    interval : str
        Length of a candle, such as "1m"; see `interval_ns`.
    max_jump : float
        Log return from the price accepted last beyond which a price is implausible, at most 1.
    stale_after_s : float
        Seconds without a quote, accepted and on time, after which the feed is stale.
    dead_after_s : float
        Seconds for which it may be stale; then it is dead.
    max_skew_s : float
        Seconds by which the exchange's time may be off ours: a quote further off is not on time.
    max_held : int
        Candles held back behind a gap at most. Older ones are forgotten, and come from history again.

    Raises
    ------
    ValueError
        Names the setting that is out of range.
    """

    symbol: str = "BTCUSDT"
    interval: str = "1m"
    max_jump: float = 0.2
    stale_after_s: float = 2.0
    dead_after_s: float = 30.0
    max_skew_s: float = 1.0
    max_held: int = 1000

    def __post_init__(self) -> None:
        if not (isinstance(self.symbol, str) and re.fullmatch(r"[A-Z0-9_]{1,32}", self.symbol)):
            raise ValueError(f"symbol must be the exchange's name, such as 'BTCUSDT', got {self.symbol!r}")
        interval_ns(self.interval)
        for name in ("max_jump", "stale_after_s", "dead_after_s"):
            check_positive(name, getattr(self, name))
        if self.max_jump > 1.0:
            raise ValueError(f"max_jump must be a log return of at most 1, got {self.max_jump!r}")
        if check_finite("max_skew_s", self.max_skew_s) < 0:
            raise ValueError(f"max_skew_s must not be negative, got {self.max_skew_s!r}")
        check_count("max_held", self.max_held)


@dataclass(slots=True)
class FeedCounts:
    """What became of every message; all are numbers since the start.

    ``messages`` is the sum of ``quotes``, ``candles``, ``duplicates``, ``late``, ``implausible``, ``malformed`` and
    ``other``. Handed on are ``quotes`` quotes and, of candles, ``candles + filled - forgotten`` less those held back.

    Attributes
    ----------
    messages : int
        All that came on the stream.
    quotes : int
        Handed on.
    candles : int
        Closed candles accepted from the stream: handed on, or held back behind a gap.
    duplicates : int
        Quotes and closed candles that were there already.
    late : int
        Quotes and closed candles older than what was handed on.
    implausible : int
        Dropped since they jump, or since they have not closed by our clock.
    malformed : int
        Dropped since they can not be read, or are unsound.
    other : int
        Candles that are not closed, and well-formed messages of another kind.
    filled : int
        Candles that came from history.
    gaps : int
        Holes left in what was handed on, by `Feed.give_up`.
    forgotten : int
        Candles that were held back beyond ``max_held``; history has them.
    reconnects : int
        Connections after the first.
    conflated : int
        Quotes that the reader of the stream skipped for a newer one: it counts them, not the feed.
    """

    messages: int = 0
    quotes: int = 0
    candles: int = 0
    duplicates: int = 0
    late: int = 0
    implausible: int = 0
    malformed: int = 0
    other: int = 0
    filled: int = 0
    gaps: int = 0
    forgotten: int = 0
    reconnects: int = 0
    conflated: int = 0

    def to_dict(self) -> dict[str, int]:
        """Name and number of each, as JSON types."""
        return asdict(self)


class FeedHealth(NamedTuple):
    """Whether the feed can be traded on.

    Attributes
    ----------
    state : "live", "stale" or "dead"
    reason : str
        Why it is not live; empty where it is. It says the same for as long as the reason is the same.
    """

    state: FeedState
    reason: str
