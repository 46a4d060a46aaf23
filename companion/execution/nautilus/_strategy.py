"""From bars and quotes to orders in one control loop: gate, target, what is held, what is missing, a guarded order."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from nautilus_trader.model.data import Bar as EngineBar
from nautilus_trader.model.data import QuoteTick

from companion.desk import Bar, Decision, Desk, Quote
from companion.execution._guardrails import LiquidityGate
from companion.execution._modes import TradingMode, posture_in
from companion.execution._reconcile import Rebalance, plan_rebalance
from companion.execution.nautilus._gate_events import keep_latest
from companion.execution.nautilus._strategy_breaker import Breaker
from companion.execution.nautilus._strategy_config import RegimeStrategyConfig
from companion.execution.nautilus._strategy_orders import GuardedStrategy
from companion.execution.nautilus._strategy_records import DECISION_TOPIC, HALT_TOPIC, LOOP_TOPIC, Halt, LoopRecord
from companion.execution.nautilus._timers import on_engine_thread
from companion.execution.nautilus._view import Holdings
from companion.risk import Posture, apply_posture, strictest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMER = "control_loop"


class RegimeStrategy(GuardedStrategy):
    """Holds what a `companion.desk.Desk` says, as far as gate, limits and market allow.

    One pass of the loop, at each bar and at each tick of an optional timer, goes in the order of the source's section
    3.4.3: the liquidity gate; the target, which the desk makes once a bar; what is held and what is in flight; what is
    missing; one guarded order. Whatever is wrong, it cancels, is flat as soon as there is a price, and says why:

    - *Nothing to start with* (no such instrument, steps that are not the desk's, no `RiskGate`, no TWAP_ADAPTIVE):
      starting raises a ValueError, before the first order.
    - *No price to trust* (gate HALTED): working orders are canceled and nothing is sent, not even to flatten.
    - *Abnormal market* (gate REDUCING): `reducing_posture`.
    - *No volatility*: flat at once; after more than the grace period trading halts and the strategy stops. The bars
      before the first volatility are a warm-up, in which the desk is flat.
    - *The desk fails*: its exception halts trading, flattens and stops the strategy, and does not end the engine's run.
    - *Loss of the day*, or an equity that is zero, negative or missing: trading halts until `lift` is called.
    - *Somebody calls* `halt`: the same.
    - *An old bar* (`max_bar_age_s`): decided on, not traded on.
    - *A position of somebody else*: reconciled like any, and named in the reasons of each pass that finds one.
    - *An order that is denied, rejected, expired or handed back*: an incident. What is missing is asked for again by a
      later pass, after `retry_after_s` where it was refused; what still works is never sent twice.
    - *Stopping*: working orders are canceled, and with `flatten_on_stop` what is held is sold.

    To flatten is one market order with the tag FLATTEN, which passes a `RiskGate` that is halted. A halt is told to the
    gate, so that it binds whoever else sends orders there.

    Parameters
    ----------
    config : RegimeStrategyConfig
    desk : Desk
        Used as it is, warmed up or not; no two strategies can share one.

    Attributes
    ----------
    records : list of LoopRecord
        Every pass at a bar, and those by the timer that did something; each is published on "events.loop".
    incidents : list of OrderIncident
        Orders that did not do what they were sent for; each is published on "events.incident".
    """

    def __init__(self, config: RegimeStrategyConfig, desk: Desk) -> None:
        super().__init__(config)
        self.desk = desk
        self.records: list[LoopRecord] = []
        self._gate = LiquidityGate(config.gate)
        self._take_quote = self._gate.on_quote
        self._breaker = Breaker(max_daily_loss=config.max_daily_loss, grace_bars=config.invalid_volatility_grace_bars)
        self._decision: Decision | None = None
        self._old_bar: str | None = None
        self._in_pass = self._halt_is_known = False

    @property
    def halted(self) -> str | None:
        """Why trading is halted until `lift` is called; None while it is not."""
        return self._breaker.halted

    def halt(self, reason: str, *, stops: bool = True) -> None:
        """Halt trading until `lift` is called: cancel what works, sell what is held, and with `stops` stop when flat.

        It acts at once, or at the end of the pass that is under way. Where there is no price to trust, an order is
        refused or a cancel has to be confirmed, it is the next pass that goes on: whoever can not wait calls again.

        Raises
        ------
        ValueError
            If `reason` is empty.
        """
        if not (isinstance(reason, str) and reason.strip()):
            raise ValueError(f"reason must say why trading is halted, got {reason!r}")
        self._breaker.trip(reason, cause="order", stops=stops)
        if self.is_running and not self._in_pass:
            self._loop("halt")

    def lift(self, *, reason: str) -> None:
        """Let trading go on after a halt; whoever does it says why.

        Raises
        ------
        ValueError
            If `reason` is empty.
        """
        self._breaker.lift(reason=reason)
        self._halt_is_known = False
        self._announce(self.id.value, TradingMode.ACTIVE, reason)

    def saved_state(self) -> dict[str, Any]:
        """What must outlast a restart, as plain JSON types: a halt, and the losses of the day. The desk has its own.

        The engine has a `state` of its own, that of a component.
        """
        return self._breaker.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `saved_state` gave, before the start: what was halted stays so until `lift` is called.

        Raises
        ------
        ValueError
            If it is not the state of a strategy with the same limits.
        """
        self._breaker.restore(state)

    # --- what the engine calls ---------------------------------------------------------------------------------------

    def on_save(self) -> dict[str, bytes]:
        """`saved_state`, as the engine keeps it."""
        return {"state": json.dumps(self.saved_state()).encode()}

    def on_load(self, state: Mapping[str, bytes]) -> None:
        """`restore` what `on_save` gave."""
        self.restore(json.loads(state["state"]))

    def on_start(self) -> None:
        """Check that everything an order needs is there, and subscribe."""
        self._connect()
        step = self.desk.instrument.size_increment
        if self._rules.size_increment != step:
            raise ValueError(
                f"desk must trade in steps of {self._rules.size_increment}, got {step}: make it with the instrument"
            )
        self.subscribe_quote_ticks(self.config.instrument_id)
        self.subscribe_bars(self.config.bar_type)
        if (interval_s := self.config.loop_interval_s) is not None:
            self.clock.set_timer(
                _TIMER, timedelta(seconds=interval_s), callback=on_engine_thread(self.clock, self._on_timer)
            )

    def on_resume(self) -> None:
        """Go on after a stop, from what is held; the desk has missed what came in between."""
        self.on_start()

    def on_quote_tick(self, tick: QuoteTick) -> None:
        """Hand the quote to the liquidity gate, and nothing else. It is as old as the older of its two stamps says."""
        made_ns, received_ns = tick.ts_event, tick.ts_init
        self._take_quote(
            float(tick.bid_price),
            float(tick.ask_price),
            float(tick.bid_size),
            float(tick.ask_size),
            made_ns if made_ns < received_ns else received_ns,
        )

    def on_bar(self, bar: EngineBar) -> None:
        """One pass of the loop, with a new decision."""
        self._loop("bar", bar)

    def _on_timer(self, event: Any) -> None:
        """One pass of the loop, with the decision of the last bar."""
        if self.is_running:
            self._loop("timer")

    def on_stop(self) -> None:
        """Cancel what works, sell what is held if the config says so, and leave no liquidity mode in the gate."""
        if _TIMER in self.clock.timer_names:
            self.clock.cancel_timer(_TIMER)
        self._loop("stop")
        self._announce(self._liquidity, TradingMode.ACTIVE, "the strategy has stopped")

    def on_reset(self) -> None:
        """Refuse: desk, gate and records would carry one run into the next."""
        raise ValueError("engine must be made anew for another run, got reset(): desk, gate and strategy run once")

    # --- the loop ----------------------------------------------------------------------------------------------------

    def _loop(self, trigger: str, bar: EngineBar | None = None) -> None:
        self._in_pass = True
        try:
            record = self._pass(trigger, bar)
        except Exception as error:
            self._fail(error)
            return
        finally:
            self._in_pass = False
        if trigger == "stop" or not self.is_running:
            return
        if self.halted is not None and record.posture is not Posture.FLATTEN:
            self._loop("halt")  # somebody halted after this pass had made its plan
        elif self._breaker.stops and record.mid is not None and not (record.plan.order or self._view.read().working):
            self.log.error(f"stops, holding {record.held}: {self.halted}")
            self.stop()

    def _fail(self, error: Exception) -> None:
        """A pass that fails is a halt as well: live, the engine would end the process, or a timer say nothing."""
        self.log.exception("a pass of the loop failed", error)
        self._breaker.trip(f"a pass of the loop failed: {error!r}", cause="fault", stops=True)
        self._announce_halt(self.clock.timestamp_ns())

    def _pass(self, trigger: str, bar: EngineBar | None) -> LoopRecord:
        now_ns = self.clock.timestamp_ns()
        reading = self._gate.check(now_ns)
        self._announce(self._liquidity, reading.mode, "; ".join(reading.reasons))
        quote = None if reading.mode is TradingMode.HALTED else self._view.quote()
        equity, holdings = self._view.equity(), self._view.read()
        if bar is not None and not self._breaker.stops:
            self._decide(bar, quote, equity, holdings.held, now_ns)
        if quote is not None:
            self._breaker.watch_equity(equity, _time(now_ns).date().isoformat())
        if self.halted is not None:
            self._announce_halt(now_ns)
            holdings = self._view.read()  # what hears of a halt cancels
        mid = None if quote is None else (quote.bid + quote.ask) / 2
        posture = self._posture(trigger, reading.mode)
        wanted = holdings.held if self._decision is None else self._decision.quantity
        plan = self._plan_and_cancel(wanted, posture, holdings, mid)
        order_id, waits = self._send(plan.order, flatten=posture is Posture.FLATTEN, now_ns=now_ns)
        record = LoopRecord(
            time_ns=now_ns,
            trigger=trigger,
            mode=reading.mode,
            posture=posture,
            decision=self._decision,
            equity=equity,
            mid=mid,
            target=apply_posture(posture, wanted, holdings.held),
            held=holdings.held,
            in_flight=holdings.in_flight,
            plan=plan,
            order_id=order_id,
            reasons=(*reading.reasons, *self._why(bar, holdings), *plan.reasons, *waits),
        )
        self._keep(record)
        return record

    def _decide(self, bar: EngineBar, quote: Quote | None, equity: Decimal | None, held: Decimal, now_ns: int) -> None:
        """Ask the desk, once a bar. Whatever it raises ends flat and halted, not in the engine that calls us."""
        age_s, borne_s = (now_ns - bar.ts_event) / 1e9, self.config.max_bar_age_s
        old = borne_s is not None and age_s > borne_s
        self._old_bar = f"old bar: it closed {age_s:.3g} s ago, {borne_s:g} s are borne" if old else None
        prices = bar.open.as_double(), bar.high.as_double(), bar.low.as_double(), bar.close.as_double()
        try:
            self._decision = self.desk.on_bar(Bar(_time(bar.ts_event), *prices), quote=quote, equity=equity, held=held)
        except Exception as error:
            self.log.exception("the desk failed", error)  # noqa: TRY401 - the engine's logger asks for it
            self._decision = None
            self._breaker.trip(f"the desk failed: {error!r}", cause="fault", stops=True)
        else:
            self._breaker.watch_volatility(self._decision.sigma_bar)
            self.msgbus.publish(DECISION_TOPIC, self._decision)

    def _posture(self, trigger: str, mode: TradingMode) -> Posture:
        """The strictest that anybody asks for: breaker, desk, liquidity gate, or who set the mode of the risk gate."""
        if self._breaker.must_flatten or (trigger == "stop" and self.config.flatten_on_stop):
            return Posture.FLATTEN
        if trigger == "stop":
            return Posture.FREEZE
        asked = [] if self._decision is None else [self._decision.posture]
        posture = strictest(
            *asked, *(posture_in(each, reducing=self.config.reducing_posture) for each in (mode, self._gate_mode))
        )
        return Posture.FREEZE if self._old_bar and posture is not Posture.FLATTEN else posture

    def _plan_and_cancel(self, wanted: Decimal, posture: Posture, holdings: Holdings, mid: Decimal | None) -> Rebalance:
        """What is missing. What an algorithm holds is canceled at once: then what comes after it is planned, too."""
        plan = self._plan(wanted, posture, holdings, mid)
        for order_id in plan.cancel:
            self._cancel(order_id)
        if plan.cancel and not (after := self._view.read()).working:
            following = self._plan(wanted, posture, after, mid)
            return Rebalance(following.order, plan.cancel, plan.reasons + following.reasons)
        return plan

    def _plan(self, wanted: Decimal, posture: Posture, holdings: Holdings, mid: Decimal | None) -> Rebalance:
        return plan_rebalance(
            wanted,
            held=holdings.held,
            working=holdings.working,
            instrument=self._rules,
            price=mid,
            dead_band=self.config.dead_band,
            posture=posture,
            max_quantity=self.config.max_order_quantity,
        )

    def _why(self, bar: EngineBar | None, holdings: Holdings) -> tuple[str, ...]:
        """Reasons of desk and breaker, and a position that is not ours."""
        reasons = [] if bar is None or self._decision is None else list(self._decision.reasons)
        if self._breaker.must_flatten:
            reasons.append(f"flatten: {self._breaker.must_flatten}")
        if self._old_bar:
            reasons.append(self._old_bar)
        if holdings.held != holdings.own:
            reasons.append(f"position of others: {holdings.held - holdings.own}")
        return tuple(reasons)

    def _keep(self, record: LoopRecord) -> None:
        """Keep and publish a pass; by timer and halt only one that acts, or differs from the last that was kept."""
        last = self.records[-1] if self.records else None
        same = last is not None and (record.mode, record.posture) == (last.mode, last.posture)
        if record.trigger in ("bar", "stop") or record.order_id or record.plan.cancel or not same:
            keep_latest(self.records, record, self.config.keep_records)
            self.msgbus.publish(LOOP_TOPIC, record)

    def _announce_halt(self, now_ns: int) -> None:
        """Tell the risk gate, and before it whoever keeps a latch of its own: both before the first order leaves."""
        if not self._halt_is_known:
            self._halt_is_known = True
            self.msgbus.publish(HALT_TOPIC, Halt(now_ns, self._breaker.cause, self.halted or ""))
        self._announce(self.id.value, TradingMode.HALTED, self.halted or "")

    @property
    def _liquidity(self) -> str:
        """Name under which the risk gate knows the liquidity gate of this strategy."""
        return f"{self.id}:liquidity"


def _time(time_ns: int) -> datetime:
    """UTC, to the microsecond that Python's times have."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000)
