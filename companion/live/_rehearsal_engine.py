"""The engine of a rehearsal: what the feed handed on as its data, and a messenger for the news of the feed itself."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import numpy as np
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.common.actor import Actor
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.data import Bar, BarType, QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.events import OrderSubmitted
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.model.objects import Money
from numpy.typing import NDArray

from companion.execution.nautilus._gate import FLATTEN
from companion.execution.nautilus._harness_recorder import Recorder
from companion.live._candles import Candle
from companion.live._messages import StreamQuote
from companion.live._rehearsal_result import Sent
from companion.live._rehearsal_stream import Arrival

QuoteArrays = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Bid, bid size, ask and ask size of each quote, shape (n, 4); and when it came and was made, shape (n, 2)."""


class RehearsalRecorder(Recorder):
    """Keeps, besides, the orders that left for the venue, and the closes of the bars that came in."""

    def __init__(self, kernel: Any, bar_type: BarType) -> None:
        super().__init__(kernel, bar_type.instrument_id)
        self.sent: list[Sent] = []
        self.bar_times_ns: list[int] = []
        kernel.msgbus.subscribe(topic=f"data.bars.{bar_type}", handler=self._on_bar)

    def _on_order_event(self, event: Any) -> None:
        super()._on_order_event(event)
        if isinstance(event, OrderSubmitted):
            order = self._cache.order(event.client_order_id)
            size = order.quantity.as_decimal()
            quantity, flatten = size if order.is_buy else -size, FLATTEN in (order.tags or ())
            self.sent.append(Sent(event.ts_event, order.client_order_id.value, quantity, flatten))

    def _on_bar(self, bar: Bar) -> None:
        self.bar_times_ns.append(bar.ts_event)


class Messenger(Actor):
    """Says things at their time, before what comes in at that nanosecond.

    Parameters
    ----------
    messages : sequence of (int, callable)
        When, in nanoseconds since 1970, and what to call.
    """

    def __init__(self, messages: Sequence[tuple[int, Callable[[], None]]]) -> None:
        super().__init__()
        self._messages = dict(enumerate(messages))

    def on_start(self) -> None:
        """Wind up all alarms: one that is set by another may ring late, where no data come in between."""
        for n, (time_ns, _) in self._messages.items():
            self.clock.set_time_alert_ns(str(n), time_ns, self._say)

    def _say(self, event: Any) -> None:
        self._messages[int(event.name)][1]()


@contextmanager
def rehearsal_engine(
    quotes: QuoteArrays,
    arrivals: Sequence[Arrival],
    *,
    instrument: Instrument,
    bar_type: BarType,
    bar_ns: int,
    starting_balance: Decimal,
    leverage: Decimal,
    latency_ms: float,
) -> Iterator[BacktestEngine]:
    """An engine as that of `companion.execution.nautilus.run_execution`, with its data but without a strategy.

    Quotes alone fill orders. Data come at the time of arrival, ``ts_init``; ``ts_event`` is the exchange's time of a
    quote and the close of a bar.
    """
    engine = BacktestEngine(BacktestEngineConfig(trader_id="CHAOS-001", logging=LoggingConfig(bypass_logging=True)))
    try:
        engine.add_venue(
            venue=instrument.id.venue,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=None,
            starting_balances=[Money(starting_balance, instrument.quote_currency)],
            default_leverage=Decimal(leverage),
            latency_model=LatencyModel(base_latency_nanos=round(latency_ms * 1e6)),
            bar_execution=False,
            trade_execution=False,
        )
        engine.add_instrument(instrument)
        for part in (_quotes(quotes, instrument), _bars(arrivals, instrument, bar_type, bar_ns)):
            if part:
                engine.add_data(part, sort=True)
        yield engine
    finally:
        engine.dispose()


def quote_arrays(arrivals: Sequence[Arrival]) -> QuoteArrays:
    """The quotes of what arrived, in order."""
    quotes = [(time_ns, one) for time_ns, one in arrivals if isinstance(one, StreamQuote)]
    numbers = np.array([one[1:5] for _, one in quotes], dtype=np.float64).reshape(-1, 4)
    times = np.array([(time_ns, one.time_ns) for time_ns, one in quotes], dtype=np.int64).reshape(-1, 2)
    return numbers, times


def _quotes(quotes: QuoteArrays, instrument: Instrument) -> list[QuoteTick]:
    numbers, times = quotes
    bid, bid_size, ask, ask_size = (column.copy() for column in numbers.T)
    arrived, made = (column.copy() for column in times.T.astype(np.uint64))
    digits = instrument.price_precision, instrument.size_precision
    return QuoteTick.from_raw_arrays_to_list(instrument.id, *digits, bid, ask, bid_size, ask_size, made, arrived)


def _bars(arrivals: Sequence[Arrival], instrument: Instrument, bar_type: BarType, bar_ns: int) -> list[Bar]:
    candles = [(time_ns, one) for time_ns, one in arrivals if isinstance(one, Candle)]
    numbers = np.array([one[1:] for _, one in candles], dtype=np.float64).reshape(-1, 5)
    closes = np.array([one.open_time_ns + bar_ns for _, one in candles], dtype=np.uint64)
    arrived = np.array([time_ns for time_ns, _ in candles], dtype=np.uint64)
    digits = instrument.price_precision, instrument.size_precision
    columns = (column.copy() for column in numbers.T)
    return Bar.from_raw_arrays_to_list(bar_type, *digits, *columns, closes, arrived)
