"""What a rehearsal did, as records and as a table to draw; and what must hold of it whatever went wrong."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from companion.execution import GateConfig, RiskLimits
from companion.execution.nautilus import LoopRecord, OrderIncident
from companion.execution.nautilus._result_records import FillRecord, ModeRecord, OrderRecord, RefusalRecord
from companion.live._breaker_file import Trip
from companion.live._candles import Candle
from companion.live._feed_config import FeedCounts
from companion.live._rehearsal_stream import HealthChange
from companion.live._warm_up import WarmUp
from companion.risk._decimal import ZERO

if TYPE_CHECKING:
    import pandas as pd

SECOND_NS = 1_000_000_000


class Sent(NamedTuple):
    """An order that left for the venue.

    Attributes
    ----------
    time_ns : int
    order_id : str
    quantity : Decimal
        Signed.
    flatten : bool
        Whether it was sent to end a position, which passes every limit but the exchange's.
    """

    time_ns: int
    order_id: str
    quantity: Decimal
    flatten: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class Rehearsal:
    """A rehearsal, from the first live bar to the last. Times are nanoseconds since 1970, quantities signed.

    Attributes
    ----------
    symbol : str
    interval : str
    bar_ns : int
        How long a bar lasts.
    start_ns : int
        When the first live bar opened.
    end_ns : int
        When the rehearsal ended.
    limits : RiskLimits
        Of the gate that judges orders.
    gate : GateConfig
        Of the gate that judges quotes.
    warm : WarmUp
        How the desk was started.
    quotes : float64 array of shape (n_quotes, 4)
        Bid, bid size, ask and ask size of all quotes that reached the engine.
    quote_times_ns : int64 array of shape (n_quotes, 2)
        When each arrived, and what the exchange's stamp says.
    sent : tuple of Sent
        Orders that left for the venue.
    orders : tuple of OrderRecord
        These four as in `companion.execution.nautilus.ExecutionResult`.
    fills : tuple of FillRecord
    refusals : tuple of RefusalRecord
    modes : tuple of ModeRecord
    records : tuple of LoopRecord
        Passes of the control loop.
    incidents : tuple of OrderIncident
    health : tuple of HealthChange
        How the feed felt.
    counts : FeedCounts
    trip : Trip or None
        What tripped the breaker.
    true_candles : tuple of Candle
        Those of the live bars, as the exchange has them.
    candles : tuple of Candle
        The same, as they are in the store.
    bar_times_ns : tuple of int
        Closes of the bars that reached the strategy, in the order in which they came.
    connection : tuple of (int, str)
        What happened to the connection and to the candles, in words.
    ended_well : bool
        Whether the strategy ran to the end, or was stopped.
    audit : Path
        File of the audit log.
    breaker : Path
        File of the breaker.
    store : Path
        File of the candle store.
    """

    symbol: str
    interval: str
    bar_ns: int
    start_ns: int
    end_ns: int
    limits: RiskLimits
    gate: GateConfig
    warm: WarmUp
    quotes: NDArray[np.float64]
    quote_times_ns: NDArray[np.int64]
    sent: tuple[Sent, ...]
    orders: tuple[OrderRecord, ...]
    fills: tuple[FillRecord, ...]
    refusals: tuple[RefusalRecord, ...]
    modes: tuple[ModeRecord, ...]
    records: tuple[LoopRecord, ...]
    incidents: tuple[OrderIncident, ...]
    health: tuple[HealthChange, ...]
    counts: FeedCounts
    trip: Trip | None
    true_candles: tuple[Candle, ...]
    candles: tuple[Candle, ...]
    bar_times_ns: tuple[int, ...]
    connection: tuple[tuple[int, str], ...]
    ended_well: bool
    audit: Path
    breaker: Path
    store: Path

    @cached_property
    def _held(self) -> list[Decimal]:
        return [ZERO, *accumulate(fill.quantity for fill in self.fills)]

    def held(self, time_ns: int) -> Decimal:
        """Quantity held after all fills up to a time."""
        return self._held[bisect_right(self.fills, time_ns, key=lambda fill: fill.time_ns)]

    @property
    def events(self) -> tuple[tuple[int, str], ...]:
        """Everything that is worth a line, in order of time: connection, feed, modes, refusals, trip, incidents."""
        lines = [*self.connection]
        lines += [(mode.time_ns, f"{mode.source} says {mode.mode}: {mode.reason}") for mode in self.modes]
        lines += [(each.time_ns, f"refused by {each.by}, {each.rule}: {each.reason}") for each in self.refusals]
        lines += [(each.time_ns, f"order {each.event}: {each.reason}") for each in self.incidents]
        if self.trip is not None:
            lines.append((self.trip.time_ns, f"the breaker trips, {self.trip.source}: {self.trip.reason}"))
        return tuple(sorted(lines, key=lambda line: line[0]))

    def series(self, steps_per_bar: int = 12) -> "pd.DataFrame":
        """The rehearsal on an even grid, to draw.

        Parameters
        ----------
        steps_per_bar : int
            Rows a bar.

        Returns
        -------
        pandas.DataFrame
            A row a step: bar (live bars since the start, a float), mid (of the last quote that was accepted), spread,
            target, position, equity, p_chaos, mode, feed. What is not known yet is NaN or an empty text.
        """
        import pandas as pd

        n = (self.end_ns - self.start_ns) * steps_per_bar // self.bar_ns
        times = self.start_ns + np.arange(n + 1) * self.bar_ns // steps_per_bar
        bid, _, ask, _ = self.quotes.T
        arrived = self.quote_times_ns[:, 0]
        decided = [record for record in self.records if record.decision is not None]
        record_times = [record.time_ns for record in decided]
        decisions = [record.decision for record in decided if record.decision is not None]
        fill_times = [fill.time_ns for fill in self.fills]
        return pd.DataFrame(
            {
                "bar": (times - self.start_ns) / self.bar_ns,
                "mid": _last_known(times, arrived, 0.5 * (bid + ask), np.nan),
                "spread": _last_known(times, arrived, ask - bid, np.nan),
                "target": _last_known(times, record_times, [float(each.target) for each in decided], np.nan),
                "position": _last_known(times, fill_times, [float(held) for held in self._held[1:]], 0.0),
                "equity": _last_known(times, record_times, [_float(each.equity) for each in decided], np.nan),
                "p_chaos": _last_known(times, record_times, [1.0 - each.p_stable for each in decisions], np.nan),
                "mode": _last_known(times, [m.time_ns for m in self.modes], [m.mode for m in self.modes], "active"),
                "feed": _last_known(times, [h.time_ns for h in self.health], [h.health.state for h in self.health], ""),
            }
        )

    def violations(self, *, flat_within_s: float = 10.0) -> dict[str, tuple[str, ...]]:
        """What must hold and does not: a line for each case, by the name of the rule.

        Parameters
        ----------
        flat_within_s : float
            Time after a trip, with a price that the liquidity gate trusts, after which nothing may be held any more.
        """
        from companion.live import _rehearsal_rules as rules

        return {
            "no limit exceeded": rules.limits_exceeded(self),
            "no order without a fresh price": rules.orders_without_price(self),
            "no fill off the market": rules.fills_off_the_market(self),
            "flat after a trip": rules.not_flat_after_trip(self, flat_within_s),
            "no bar lost or doubled": rules.bars_lost_or_doubled(self),
            "audit whole": rules.audit_faults(self),
            "alive or cleanly stopped": rules.ended_badly(self),
        }

    def invariants(self, *, flat_within_s: float = 10.0) -> dict[str, bool]:
        """Whether each rule of `violations` holds."""
        return {name: not found for name, found in self.violations(flat_within_s=flat_within_s).items()}


def _last_known(
    times: NDArray[np.int64], changed: Any, values: Sequence[Any] | NDArray[Any], before: Any
) -> NDArray[Any]:
    """At each time the value since the last change; `before` the first one."""
    known = np.array([before, *values])
    return known[np.searchsorted(np.asarray(changed, dtype=np.int64), times, side="right")]


def _float(amount: Decimal | None) -> float:
    return np.nan if amount is None else float(amount)
