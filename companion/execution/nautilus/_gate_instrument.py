"""What the gate knows of one instrument: its orders at work, its market, its account, and what they amount to."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from nautilus_trader.execution.messages import ModifyOrder
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId
from nautilus_trader.model.objects import Price
from nautilus_trader.model.orders import (
    LimitIfTouchedOrder,
    LimitOrder,
    MarketIfTouchedOrder,
    MarketOrder,
    Order,
    StopLimitOrder,
    StopMarketOrder,
)

from companion.execution._modes import TradingMode
from companion.execution._order_memory import SECOND_NS, MarketMemory, SlidingCount
from companion.execution._order_rules import (
    Breach,
    Exposure,
    MarketFacts,
    OrderFacts,
    RiskLimits,
    judge_order,
)
from companion.execution.nautilus._gate_working import WorkingOrder
from companion.risk import DailyLossLimit, InstrumentRules, Posture

#: Tag of an order that may leave while trading is halted, because it can only reduce the position.
FLATTEN = "FLATTEN"
#: Name under which `RiskGate.disabled` holds a daily loss, and the source of the mode that it sets.
DAILY_LOSS = "daily_loss"
#: Types of which the price that will be paid can be judged when the order is sent: not those that trail.
JUDGED_TYPES = (MarketOrder, LimitOrder, StopMarketOrder, StopLimitOrder, MarketIfTouchedOrder, LimitIfTouchedOrder)
ZERO = Decimal(0)
DAY_NS = 86_400 * SECOND_NS


class GatedInstrument:
    """Orders, market and account of one instrument, as plain numbers for `judge_order`.

    Parameters
    ----------
    kernel : NautilusKernel
    instrument_id : InstrumentId
    limits : RiskLimits

    Attributes
    ----------
    working : dict of ClientOrderId to WorkingOrder
        Orders that were let through, or were there before, and are not closed.
    """

    def __init__(self, kernel: Any, instrument_id: InstrumentId, limits: RiskLimits) -> None:
        self._cache, self._portfolio = kernel.cache, kernel.portfolio
        self.id, self.limits = instrument_id, limits
        self.messages = SlidingCount(limits.message_window_s)
        self.memory = MarketMemory(limits.period_s)
        self.daily_loss = DailyLossLimit(limits.max_daily_loss, posture=Posture.SHRINK_ONLY)
        self._repeats: dict[str, SlidingCount] = {}
        open_orders = self._cache.orders_open(instrument_id=instrument_id)
        inflight = self._cache.orders_inflight(instrument_id=instrument_id)
        self.working = {order.client_order_id: WorkingOrder(order) for order in open_orders + inflight}
        self._instrument: Any = None
        self._equity: Decimal | None = None
        self._balance: Decimal | None = None
        self._margin_rate = ZERO
        self._account_event: Any = None
        self._venue = instrument_id.venue
        self._floor = ZERO
        self._day_ends_ns = 0
        if (quote := self._cache.quote_tick(instrument_id)) is not None:
            self.sample(quote, quote.ts_init)

    def judge(self, order: Order, mode: TradingMode, now_ns: int, change: ModifyOrder | None = None) -> Breach | None:
        """Judge a new order, or what a change would make of one that is at work."""
        if (instrument := self._cache.instrument(self.id)) is None:
            return Breach("instrument", f"{self.id} is not known: add it before the first order")
        if instrument is not self._instrument:
            try:
                self._rules, self._instrument = InstrumentRules.of(instrument), instrument
            except ValueError as error:
                return Breach("instrument", str(error))
            self._tick = instrument.price_increment.as_decimal()
        if not isinstance(order, JUDGED_TYPES) or order.is_quote_quantity:
            return Breach("order_type", f"{order.type_string()} has no price or quantity that can be judged")
        quantity = order.quantity if change is None or change.quantity is None else change.quantity
        prices = _prices(order, change)
        # 0.1 is a good number and, with one place, a wrong `Quantity`: rejected by 1.221, in 1.231 the end of the run.
        if quantity.precision != instrument.size_precision:
            return Breach("precision", f"{quantity!r} must have {instrument.size_precision} places: use make_qty")
        for price in prices:
            if price.precision != instrument.price_precision:
                return Breach("precision", f"{price!r} must have {instrument.price_precision} places: use make_price")
        size = quantity.as_decimal()
        return judge_order(
            OrderFacts(
                size if order.is_buy else -size,
                tuple([price.as_decimal() for price in prices]),
                ZERO if change is None else order.filled_qty.as_decimal(),
                FLATTEN in (order.tags or ()),
            ),
            instrument=self._rules,
            price_increment=self._tick,
            exposure=self._exposure(order.client_order_id),
            market=self._market(now_ns),
            limits=self.limits,
            mode=mode,
        )

    def judge_pace(self, strategy_id: str | None, now_ns: int, n_more: int) -> Breach | None:
        """Whether a message may follow `n_more` others that are about to leave; no strategy id for a change."""
        limits, repeats = self.limits, self._repeats.get(strategy_id) if strategy_id else None
        if self.messages.count(now_ns) + n_more >= limits.max_messages:
            return Breach("messages", f"{limits.max_messages} were sent in {limits.message_window_s:g} s")
        if strategy_id and (repeats.count(now_ns) if repeats else 0) + n_more >= limits.max_repeats:
            return Breach("repeats", f"{limits.max_repeats} orders in {limits.repeat_window_s:g} s and nobody looked")
        return None

    def accept(self, order: Order, now_ns: int) -> None:
        """Count the message and the execution of an order that leaves."""
        self.messages.add(now_ns)
        strategy_id = order.strategy_id.value
        if (repeats := self._repeats.get(strategy_id)) is None:
            repeats = self._repeats[strategy_id] = SlidingCount(self.limits.repeat_window_s)
        repeats.add(now_ns)

    def accept_change(self, change: ModifyOrder, now_ns: int) -> None:
        """Count a change that leaves."""
        self.messages.add(now_ns)
        working = self.working.get(change.client_order_id)
        if change.quantity is not None and working is not None:
            working.ask(change.quantity.as_decimal())

    def enable(self, name: str, reason: str) -> None:
        """A person has looked at a strategy, or with "daily_loss" at the account."""
        self._repeats.pop(name, None)
        if name == DAILY_LOSS:
            self.daily_loss.reset(reason=reason)
            self._day_ends_ns = 0

    def growing(self, mode: TradingMode) -> list[Order]:
        """Orders at work that a mode would not let through today; of those that shrink the oldest are kept."""
        kept, growing = Exposure(self._held(), ZERO, ZERO, 0, None, ZERO), []
        for working in self.alive():
            order, left = working.order, working.left
            may_stay = mode is TradingMode.REDUCING or FLATTEN in (order.tags or ())
            if not (may_stay and kept.shrinks(left if order.is_buy else -left)):
                growing.append(order)
            elif order.is_buy:
                kept = kept._replace(buying=kept.buying + left)
            else:
                kept = kept._replace(selling=kept.selling + left)
        return growing

    def sample(self, quote: QuoteTick, now_ns: int) -> None:
        """Remember the market of now and then."""
        mid = (quote.bid_price.as_decimal() + quote.ask_price.as_decimal()) / 2
        self.memory.sample(now_ns, mid=mid, size=min(quote.bid_size.as_decimal(), quote.ask_size.as_decimal()))

    def mark(self, now_ns: int) -> str | None:
        """Mark the account to the market; why the day's loss (UTC) is too large, None while it is not.

        Only the first equity of a day, and one below the floor that the day's start sets, can say anything new.
        """
        equity = self._equity = self.equity()
        if equity is not None and (now_ns >= self._day_ends_ns or equity < self._floor):
            self.daily_loss.check_equity(equity, datetime.fromtimestamp(now_ns // SECOND_NS, UTC).date())
            self._day_ends_ns = (now_ns // DAY_NS + 1) * DAY_NS
            self._floor = Decimal(self.daily_loss.state()["reference"] or 0) * (1 - self.daily_loss.threshold)
        return self.daily_loss.tripped

    def alive(self) -> Iterable[WorkingOrder]:
        """Orders at work, as they are now; the closed are dropped."""
        closed = []
        for order_id, working in self.working.items():
            if working.order.event_count != working.n_events and not working.read():
                closed.append(order_id)
        for order_id in closed:
            del self.working[order_id]
        return self.working.values()

    def _held(self) -> Decimal:
        held: Decimal = self._portfolio.net_position(self.id)
        return held

    def _exposure(self, but: ClientOrderId) -> Exposure:
        buying = selling = ZERO
        n_open = 0
        for working in self.alive():
            if working.order.client_order_id == but:
                continue
            n_open += 1
            if working.order.is_buy:
                buying += working.left
            else:
                selling += working.left
        return Exposure(self._held(), buying, selling, n_open, self._equity, self._margin_rate)

    def _market(self, now_ns: int) -> MarketFacts:
        quote = self._cache.quote_tick(self.id)
        if quote is None:
            return MarketFacts(None, None)
        age_s = (now_ns - min(quote.ts_event, quote.ts_init)) / SECOND_NS
        bid, ask, memory = quote.bid_price.as_decimal(), quote.ask_price.as_decimal(), self.memory
        return MarketFacts(bid, ask, age_s, memory.mid_before, memory.usual_size)

    def equity(self) -> Decimal | None:
        """Balance and what is unrealized, in the currency in which the instrument settles."""
        account = self._cache.account_for_venue(self._venue)
        if account is None or not account.is_margin_account:
            return None
        if account.last_event is not self._account_event:  # their number would not do: a node forgets old ones
            self._read_account(account)
        if (equity := self._balance) is None:
            return None
        for position in self._cache.positions_open(self._venue):
            if position.settlement_currency == self._currency:
                if (quote := self._cache.quote_tick(position.instrument_id)) is None:
                    return None
                price = quote.bid_price if position.is_long else quote.ask_price
                equity += position.unrealized_pnl(price).as_decimal()
        return equity

    def _read_account(self, account: Any) -> None:
        """Read what only changes with an event of the account: cheap to know, and exact."""
        if (instrument := self._cache.instrument(self.id)) is None:
            return
        self._account_event = account.last_event
        self._currency = instrument.get_settlement_currency()
        balance = account.balance_total(self._currency)
        self._balance = None if balance is None else balance.as_decimal()
        self._margin_rate = instrument.margin_init / (account.leverage(self.id) or account.default_leverage)


def _prices(order: Order, change: ModifyOrder | None) -> list[Price]:
    """Limit and trigger price of an order, those that it has, as a change would make them."""
    prices = []
    if order.has_price:
        prices.append(order.price if change is None or change.price is None else change.price)
    if order.has_trigger_price:
        prices.append(order.trigger_price if change is None or change.trigger_price is None else change.trigger_price)
    return prices
