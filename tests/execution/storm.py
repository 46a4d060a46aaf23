"""A storm: anything a strategy may do in any market, one step at a time in the real engine, and a judge of what it did.

The judge knows the limits, the modes that were asked for and the quotes that were sent. All else it takes from what the
engine says happened: orders that left for the venue, and fills. It never asks the gate or the algorithm.
"""

from collections import deque
from decimal import Decimal

from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.events import OrderFilled, OrderSubmitted
from nautilus_trader.model.objects import Price, Quantity

from companion.execution import RiskLimits, TradingMode, WorkingOrder, plan_rebalance, strictest_mode
from companion.execution.nautilus import ModeChange, RiskGate, TwapAdaptive, TwapAdaptiveConfig
from companion.risk import InstrumentRules, Posture
from tests.execution.engine import (
    BUY,
    INSTRUMENT,
    SECOND_NS,
    SELL,
    START_NS,
    PlannedStrategy,
    account_balance,
    make_bars,
    make_engine,
    signed_quantity,
)

RULES = InstrumentRules.of(INSTRUMENT)
STEP, TICK, ZERO = RULES.size_increment, Decimal("0.1"), Decimal(0)
BALANCE = Decimal(100_000)
#: Of an amount in USDT.
LAST_DECIMAL = Decimal("1E-8")
LIMITS = RiskLimits(
    max_order_quantity=Decimal("1.8"),
    max_order_notional=Decimal(90_100),
    max_position=Decimal(4),
    max_open_orders=4,
    price_collar=Decimal("0.005"),
    period_collar=Decimal("0.02"),
    period_s=60.0,
    max_messages=12,
    message_window_s=10.0,
    max_repeats=25,
    repeat_window_s=60.0,
    max_daily_loss=Decimal("0.001"),
    max_quote_age_s=5.0,
)
POSTURES = {
    TradingMode.ACTIVE: Posture.NORMAL,
    TradingMode.REDUCING: Posture.SHRINK_ONLY,
    TradingMode.HALTED: Posture.FREEZE,
}


def signed(order, quantity) -> Decimal:
    """A quantity of an order with the sign of its side."""
    return quantity.as_decimal() if order.side == BUY else -quantity.as_decimal()


class Judge:
    """Holds what left for the venue, what was filled and what the account says against the limits."""

    def __init__(self, engine, limits, *, delayed):
        self.engine, self.limits, self.delayed = engine, limits, delayed
        self.modes = {}
        self.bid = self.ask = ZERO
        self.quoted_ns = 0
        self.mids = deque(maxlen=400)
        self.position = self.cash = ZERO
        self.fills = []
        self.sent = {}
        self.asked = {}
        self.closed = {}
        self.sent_ns = []
        self.looked_ns = 0
        self.start, self.starts_ns = BALANCE, 0
        self.violations = []
        engine.kernel.msgbus.subscribe("events.order.*", self.on_event)

    @property
    def mode(self):
        return strictest_mode(*self.modes.values())

    @property
    def mid(self):
        return (self.bid + self.ask) / 2

    def saw(self, bid, ask, now_ns):
        """Take note of a quote before the engine gets it."""
        self.bid, self.ask, self.quoted_ns = bid, ask, now_ns
        self.mids.append((now_ns, self.mid))
        if now_ns <= self.starts_ns:
            self.start = min(self.start, self.equity())

    def measure_loss_anew(self, now_ns):
        """A person has enabled trading again; the gate measures from the next equity it looks at, within seconds."""
        self.start, self.starts_ns = self.equity(), now_ns + 10 * SECOND_NS

    def on_event(self, event):
        if isinstance(event, OrderSubmitted):
            self._left(self.engine.cache.order(event.client_order_id), event.ts_init)
        elif isinstance(event, OrderFilled):
            self._filled(event)
        order = self.engine.cache.order(event.client_order_id)
        if order is not None and order.is_closed:
            self.closed.setdefault(order.client_order_id, len(self.closed))

    def _hold(self, rule, kept, **facts):
        if not kept:
            self.violations.append((rule, {name: str(fact) for name, fact in facts.items()}))

    def _left(self, order, now_ns):
        limits, quantity = self.limits, signed(order, order.quantity)
        working = [other for other in self.sent.values() if not other.is_closed]
        same_side = sum((signed(o, o.leaves_qty) for o in working if o.side == order.side), ZERO)
        shrinks = self.position * quantity < 0 and self.position * (self.position + same_side + quantity) >= 0
        flatten = "FLATTEN" in (order.tags or ())
        self.sent[order.client_order_id] = order
        self.asked[order.client_order_id] = order.quantity.as_decimal()
        self.sent_ns.append(now_ns)
        if flatten:
            self._hold("flatten", shrinks, quantity=quantity, position=self.position)
            return
        touch = self.ask if quantity > 0 else self.bid
        price = order.price.as_decimal() if order.has_price else touch
        self._hold("order_quantity", abs(quantity) <= limits.max_order_quantity, quantity=quantity)
        self._hold("order_notional", abs(quantity) * max(price, touch) <= limits.max_order_notional, quantity=quantity)
        self._hold("open_orders", len(working) < limits.max_open_orders, working=len(working))
        self._hold("price_collar", abs(price - self.mid) <= limits.price_collar * self.mid, price=price, mid=self.mid)
        self._hold("period_collar", self._near_before(now_ns), mid=self.mid)
        self._hold("quote", 0 < self.bid <= self.ask, bid=self.bid, ask=self.ask)
        age_s = (now_ns - self.quoted_ns) / SECOND_NS
        self._hold("quote", age_s <= limits.max_quote_age_s, age_s=age_s)
        self._hold("messages", self._n_since(now_ns, limits.message_window_s) <= limits.max_messages)
        self._hold("repeats", self._n_since(now_ns, limits.repeat_window_s, self.looked_ns) <= limits.max_repeats)
        self._hold("halted", self.mode is not TradingMode.HALTED)
        self._hold("reducing", self.mode is TradingMode.ACTIVE or shrinks, quantity=quantity, position=self.position)
        lost = self.start - self.equity()
        self._hold("daily_loss", lost <= limits.max_daily_loss * self.start + TICK or shrinks, lost=lost)

    def _n_since(self, now_ns, window_s, from_ns=0):
        begin = max(now_ns - int(window_s * SECOND_NS) + 1, from_ns)
        return sum(at >= begin for at in reversed(self.sent_ns[-200:]))

    def _near_before(self, now_ns):
        """Whether the mid is near one of those about a period ago; after a gap in the quotes, the last before it.

        The gate samples: it knows a mid that is up to a twentieth of the period older than that.
        """
        quarter_ns, limits = int(self.limits.period_s * SECOND_NS) // 4, self.limits
        older = [(at, mid) for at, mid in self.mids if at < now_ns - 5 * quarter_ns] or [self.mids[0]]
        last_ns = older[-1][0] - quarter_ns // 5
        known = [mid for at, mid in older if at >= last_ns]
        known += [mid for at, mid in self.mids if -5 * quarter_ns <= at - now_ns <= -3 * quarter_ns]
        return any(abs(self.mid - mid) <= limits.period_collar * mid for mid in known)

    def _filled(self, fill):
        before, quantity = self.position, signed_quantity(fill)
        self.fills.append(fill)
        self.position += quantity
        self.cash -= quantity * fill.last_px.as_decimal() + fill.commission.as_decimal()
        facts = {"before": before, "after": self.position}
        self._hold("position", abs(self.position) <= self.limits.max_position, **facts)
        if self.mode is not TradingMode.ACTIVE and not self.delayed:
            shrank = abs(self.position) <= abs(before) and before * self.position >= 0
            self._hold("reducing", shrank, mode=self.mode, **facts)

    def equity(self):
        """Start, cash flows and what is held, marked where it could be closed."""
        return BALANCE + self.cash + self.position * (self.bid if self.position > 0 else self.ask)

    def check_account(self):
        """The engine's position is that of its fills, and its account, when flat, is the sum of the cash flows.

        To the last decimal: the engine rounds the gain of each fill to that, so half of it a fill is allowed for.
        """
        self._hold("books", self.engine.portfolio.net_position(INSTRUMENT.id) == self.position, held=self.position)
        balance = account_balance(self.engine)
        if not self.position:
            close = abs(balance - BALANCE - self.cash) <= len(self.fills) * LAST_DECIMAL / 2
            self._hold("cash", close, balance=balance, cash=self.cash)

    def check_conservation(self):
        """What was ordered is filled, in flight or refused: each order with its slices, none lost and none made."""
        filled = {}
        for fill in self.fills:
            filled[fill.client_order_id] = filled.get(fill.client_order_id, ZERO) + abs(signed_quantity(fill))
        for order in self.engine.cache.orders():
            if order.is_spawned:
                continue
            twap = order.exec_algorithm_id is not None
            slices = self.engine.cache.orders_for_exec_spawn(order.client_order_id) if twap else []
            family = [order, *(one for one in slices if one.is_spawned)]
            # A slice that ends while its order lives gives back to it; after that it is refused by itself.
            last = [one for one in family if not one.is_closed or self.closed[one.client_order_id] >= self._end(order)]
            ordered = (order.init_event if twap else order).quantity.as_decimal()
            done = sum((filled.get(one.client_order_id, ZERO) for one in family), ZERO)
            left = sum((one.leaves_qty.as_decimal() for one in last), ZERO)
            if twap and order.is_reduce_only:  # what is more than the position the venue refuses, by trimming
                left += sum((self._trimmed(one) for one in last), ZERO)
            self._hold("conservation", ordered == done + left, order=order, ordered=ordered, filled=done, left=left)

    def _trimmed(self, order):
        quantity = order.quantity.as_decimal()
        return self.asked.get(order.client_order_id, quantity) - quantity

    def _end(self, order):
        return self.closed.get(order.client_order_id, len(self.closed))


class Follower(PlannedStrategy):
    """Does what the storm says when a quote comes, or a bar where quotes are missing."""

    todo = None

    def __init__(self):
        super().__init__()
        self.live = []

    def submit_order(self, order, *args, **options):
        self.live.append(order)
        super().submit_order(order, *args, **options)

    def on_quote_tick(self, tick):
        super().on_quote_tick(tick)
        self._do()

    def on_bar(self, bar):
        self._do()

    def _do(self):
        todo, self.todo = self.todo, None
        if todo:
            todo(self)

    def working(self):
        """Own orders that are not closed, slices with their primary, oldest first."""
        self.live = [order for order in self.live if not order.is_closed]
        return self.live

    def remaining(self, order):
        """What may still be filled of an order and its slices."""
        slices = self.cache.orders_for_exec_spawn(order.client_order_id) if order.exec_algorithm_id else []
        family = [order, *(one for one in slices if one.is_spawned and not one.is_closed)]
        return sum((signed(one, one.leaves_qty) for one in family), ZERO)


class Storm:
    """An engine that runs one step at a time; every step is judged."""

    def __init__(self, *, gate=RiskGate, gate_limits=LIMITS, algorithm=TwapAdaptive, latency_s=0.0):
        latency = {"latency_model": LatencyModel(base_latency_nanos=int(latency_s * SECOND_NS))} if latency_s else {}
        self.engine = make_engine(balance=int(BALANCE), **latency)
        narrow = TwapAdaptiveConfig(max_slip=TICK / 50_000)  # so that slices miss, too
        self.strategy, self.algorithm = Follower(), algorithm(narrow)
        self.engine.add_exec_algorithm(self.algorithm)
        self.engine.add_strategy(self.strategy)
        self.gate = gate(self.engine.kernel, gate_limits)
        self.judge = Judge(self.engine, LIMITS, delayed=bool(latency_s))
        self.now_ns, self.bid, self.spread, self.size = START_NS, Decimal(50_000), TICK, Decimal(2)
        self.n_steps = 0
        for _ in range(25):
            self.step()

    def step(self, todo=None, *, seconds=1, quote=True):
        """Let time pass, send a quote (or a bar alone) and have the strategy do something when it comes."""
        self.n_steps += 1
        if self.n_steps % 25 == 0:
            self.enable()
        self.now_ns += seconds * SECOND_NS
        self.strategy.todo = todo
        if quote:
            ask = self.bid + self.spread
            self.judge.saw(self.bid, ask, self.now_ns)
            bid, ask = INSTRUMENT.make_price(self.bid), INSTRUMENT.make_price(ask)
            size = INSTRUMENT.make_qty(self.size)
            data = [QuoteTick(INSTRUMENT.id, bid, ask, size, size, self.now_ns, self.now_ns)]
        else:
            data = make_bars([self.now_ns], float(self.bid))
        self.engine.add_data(data)
        self.engine.run(streaming=True)
        self.engine.clear_data()
        self.judge.check_account()
        assert not self.judge.violations, self.judge.violations[0]

    def move(self, ticks):
        """Move the market."""
        self.bid += ticks * TICK
        self.step()

    def gap(self, seconds):
        """Let the quotes be missing, and try to trade on the old one."""
        self.step(lambda s: s.market(BUY, "0.010"), seconds=seconds, quote=False)

    def shock(self, *, spread=None, size=None):
        """A wide or crossed spread, a thin book."""
        self.spread, self.size = spread or self.spread, size or self.size
        self.step()

    def order(self, side, steps, *, price_ticks=None, n=1, **options):
        """Send `n` orders, at the touch plus `price_ticks` or at the market."""
        price = str(max(TICK, self.bid + price_ticks * TICK)) if price_ticks is not None else None
        quantity = str(steps * STEP)

        def send(strategy):
            for _ in range(n):
                strategy.limit(side, quantity, price, **options) if price else strategy.market(
                    side, quantity, **options
                )

        self.step(send)

    def twap(self, side, steps, *, horizon, interval, reduce_only):
        """Have an order worked over time.

        Not reduce-only where orders are on their way for long: the simulated venue of 1.221 fills a limit order again
        and again while it trims it to a position that has shrunk in the meantime, until Python's stack ends.
        """
        reduce_only = reduce_only and not self.judge.delayed
        self.step(lambda s: s.twap(side, str(steps * STEP), horizon, interval, reduce_only=reduce_only))

    def target(self, steps):
        """Plan from what is held and what works to a target, and carry it out."""
        target = steps * STEP

        def follow(strategy):
            held, working = strategy.portfolio.net_position(INSTRUMENT.id), strategy.working()
            orders = [
                WorkingOrder(o.client_order_id.value, strategy.remaining(o), o.is_reduce_only, o.is_pending_cancel)
                for o in working
            ]
            sound = self.judge.bid < self.judge.ask
            plan = plan_rebalance(
                target,
                held=held,
                working=orders,
                instrument=RULES,
                price=self.judge.mid if sound else None,
                dead_band=5 * STEP,
                posture=POSTURES[self.judge.mode],
            )
            for order in working:
                if order.client_order_id.value in plan.cancel:
                    strategy.cancel_order(order)
            sent = plan.order.quantity if plan.order else ZERO
            in_flight = sum((order.remaining for order in orders), ZERO)
            short = target - held - in_flight - sent
            self.judge._hold("target", not short or plan.reasons or abs(short) <= 5 * STEP, target=target, short=short)
            if sent:
                slow = abs(sent) > 1 and not (plan.order.reduce_only and self.judge.delayed)
                send = strategy.twap if slow else strategy.market
                send(BUY if sent > 0 else SELL, f"{abs(sent):.3f}", reduce_only=plan.order.reduce_only)

        self.step(follow)

    def cancel(self, which):
        """Cancel one of the working orders."""
        self.step(lambda s: [s.cancel_order(order) for order in s.working()[which : which + 1]])

    def modify(self, which, steps):
        """Change quantity and price of one of the resting orders."""

        def change(strategy):
            resting = [order for order in strategy.working() if order.has_price and order.is_open]
            for order in resting[which : which + 1]:
                quantity, price = Quantity.from_str(str(steps * STEP)), Price.from_str(str(self.bid))
                strategy.modify_order(order, quantity=quantity, price=price)

        self.step(change)

    def mode(self, source, mode):
        """A source asks for a mode."""

        def ask(strategy):
            self.judge.modes[source] = mode
            strategy.msgbus.send("RiskGate.mode", ModeChange(source=source, mode=mode, reason="storm"))

        self.step(ask)

    def enable(self):
        """A person looks at whatever is disabled, and enables it."""
        self.judge.looked_ns = self.now_ns + 1
        if "daily_loss" in self.gate.disabled:
            self.judge.measure_loss_anew(self.now_ns)
        for name in list(self.gate.disabled):
            self.gate.enable(name, reason="storm")

    def flatten(self, *, wrong=False):
        """Close the position by name; `wrong` asks for more than is held."""
        held = self.judge.position
        quantity = abs(held) + (1 if wrong else 0)
        if quantity:
            self.step(lambda s: s.market(SELL if held > 0 else BUY, f"{quantity:.3f}", tags=["FLATTEN"]))

    def close(self):
        """Cancel everything, close the position, end the data; then all must add up."""
        try:
            if self.judge.violations:
                return
            self.enable()
            self.spread, self.size = TICK, Decimal(2)
            self.step(lambda s: [s.cancel_order(order) for order in s.working()])
            self.step(seconds=20)
            for _ in range(10):
                self.flatten()
                self.step(seconds=20)
            assert not self.judge.position
            self.engine.end()
            self.judge.check_conservation()
            self.judge.check_account()
            assert not self.judge.violations, self.judge.violations[0]
        finally:
            self.engine.dispose()
