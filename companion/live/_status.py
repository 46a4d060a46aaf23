"""What a person wants to know of a running desk, as one value; in words, so that nothing hangs on a color."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from companion.execution import TradingMode

if TYPE_CHECKING:
    from companion.live._breaker_file import Trip
    from companion.live._feed_config import FeedHealth

MISSING = "–"
"""What is shown for a number that is not there."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_REGIMES = {0: "stable", 1: "chaos"}
_MODES = {
    TradingMode.ACTIVE: "ACTIVE, trades",
    TradingMode.REDUCING: "REDUCING, may only shrink",
    TradingMode.HALTED: "HALTED, sends nothing",
}


@dataclass(frozen=True, kw_only=True)
class LiveStatus:
    """A desk at one moment. What is not known is None or NaN, and shown as "–".

    Attributes
    ----------
    time_ns : int
        Nanoseconds since 1970.
    symbol : str
        What is traded.
    interval : str
        Length of a bar, in Binance's notation.
    bars : int
        Bars since the start.
    regime : int or None
        0 stable, 1 chaos, -1 or None where there is no reading.
    p_chaos : float or None
        Filtered probability of the chaotic regime after the last bar.
    p_chaos_bars : tuple of float
        That of the last bars, oldest first.
    leverage : float or None
        What the desk multiplies its fraction of equity with.
    mid : Decimal or None
        Middle of the last quote, in the quote currency.
    target : Decimal or None
        Signed quantity to hold, in the base currency.
    position : Decimal or None
        Signed quantity held.
    equity : Decimal or None
        Balance and unrealized result, in the quote currency.
    mode : TradingMode
        The strictest that anybody asks for.
    mode_reason : str
        Why it is not ACTIVE.
    breaker : Trip or None
        What has tripped the breaker; None while it is armed.
    feed : FeedHealth or None
        None before there is a feed.
    latency_ms : float or None
        From the exchange's stamp of a quote to its arrival, in milliseconds.
    refusals : tuple of str
        The last refusals and incidents, oldest first, a line each.
    counts : mapping of str to int
        Whatever was counted, such as malformed messages.
    """

    time_ns: int
    symbol: str
    interval: str
    bars: int = 0
    regime: int | None = None
    p_chaos: float | None = None
    p_chaos_bars: tuple[float, ...] = ()
    leverage: float | None = None
    mid: Decimal | None = None
    target: Decimal | None = None
    position: Decimal | None = None
    equity: Decimal | None = None
    mode: TradingMode = TradingMode.HALTED
    mode_reason: str = "nothing is known yet"
    breaker: "Trip | None" = None
    feed: "FeedHealth | None" = None
    latency_ms: float | None = None
    refusals: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What it is the status of, and when."""
        return f"{self.symbol} {self.interval}, on paper, {utc_text(self.time_ns)} UTC"

    @property
    def desk(self) -> dict[str, str]:
        """What the desk thinks and holds: names and texts."""
        return {
            "regime": _REGIMES.get(-1 if self.regime is None else self.regime, MISSING),
            "P(chaos)": number(self.p_chaos, ".2f"),
            "leverage": number(self.leverage, ".2f"),
            "mid": number(self.mid, ",.2f"),
            "target": number(self.target, "+"),
            "position": number(self.position, "+"),
            "equity": number(self.equity, ",.2f"),
        }

    @property
    def safety(self) -> dict[str, str]:
        """What may be sent, and on what it stands: names and texts."""
        trip, feed, latency = self.breaker, self.feed, number(self.latency_ms, ",.1f")
        counted = ", ".join(f"{name} {count:,}" for name, count in self.counts.items() if count)
        return {
            "mode": _with_reason(_MODES[self.mode], self.mode_reason),
            "breaker": "armed" if trip is None else _tripped(trip),
            "feed": MISSING if feed is None else _with_reason(feed.state, feed.reason),
            "latency": latency if latency == MISSING else f"{latency} ms",
            "bars": f"{self.bars:,}",
            "counts": counted or MISSING,
        }

    def plain_line(self) -> str:
        """All but counts and refusals in one line, for a log."""
        facts = {**self.desk, **{name: text for name, text in self.safety.items() if name != "counts"}}
        return f"{utc_text(self.time_ns)}  " + "  ".join(f"{name} {text}" for name, text in facts.items())


def number(value: float | Decimal | None, form: str) -> str:
    """A number in a format of `format`, "–" where it is missing or not finite."""
    if value is None or not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
        return MISSING
    return format(value, form)


def sparkline(shares: Iterable[float]) -> str:
    """Shares from 0 to 1 as blocks on that fixed scale, so that a calm hour looks calm; "–" where one is missing."""
    return "".join(_BLOCKS[round(7 * min(max(p, 0.0), 1.0))] if math.isfinite(p) else MISSING for p in shares)


def utc_text(time_ns: int) -> str:
    """Date and time of day in UTC, to the second."""
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def one_line(text: str) -> str:
    """A text without line breaks and control characters, which come from outside and could move a cursor."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _tripped(trip: "Trip") -> str:
    return _with_reason(f"TRIPPED by {trip.source}, {utc_text(trip.time_ns)}", trip.reason)


def _with_reason(text: str, reason: str) -> str:
    return one_line(f"{text}: {reason}" if reason else text)
