"""What trading is allowed at the moment: the mode that the strictest source asks for, and who is disabled till when."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from nautilus_trader.model.enums import TradingState
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.orders import Order

from companion.execution._modes import TradingMode, strictest_mode
from companion.execution._order_limits import RiskLimits
from companion.execution.nautilus._gate_events import EVENTS_TOPIC, ModeChange, cancel_of
from companion.execution.nautilus._gate_instrument import DAILY_LOSS, GatedInstrument

_ENGINE_STATES = {
    TradingState.ACTIVE: TradingMode.ACTIVE,
    TradingState.REDUCING: TradingMode.REDUCING,
    TradingState.HALTED: TradingMode.HALTED,
}


class GateModes:
    """The modes, the disabled and the instruments of a `RiskGate`; it cancels, and lets nothing through.

    Parameters
    ----------
    kernel : NautilusKernel
    limits : RiskLimits or mapping of str to RiskLimits

    Attributes
    ----------
    mode : TradingMode
    disabled : dict of str to str
    """

    def __init__(self, kernel: Any, limits: RiskLimits | Mapping[str, RiskLimits]) -> None:
        given = limits.values() if isinstance(limits, Mapping) else [limits]
        if not given or not all(isinstance(one, RiskLimits) for one in given):
            raise ValueError(f"limits must be RiskLimits, or a mapping from instrument ids to them, got {limits!r}")
        self._limits = limits
        self._kernel, self._bus, self._clock, self._cache = kernel, kernel.msgbus, kernel.clock, kernel.cache
        self._instruments: dict[InstrumentId, GatedInstrument] = {}
        self._sources: dict[str, ModeChange] = {}
        self.mode = TradingMode.ACTIVE
        self.disabled: dict[str, str] = {}

    def equity(self, instrument_id: InstrumentId) -> Decimal | None:
        """Balance and what is unrealized, in the currency in which an instrument settles; None without an account."""
        instrument = self._instrument(instrument_id)
        return None if instrument is None else instrument.equity()

    def change_mode(self, change: ModeChange) -> None:
        """Take the mode of one source; also the handler at "RiskGate.mode".

        Raises
        ------
        ValueError
            If it is no `ModeChange` with a trading mode.
        """
        if not (isinstance(change, ModeChange) and isinstance(change.mode, TradingMode)):
            raise ValueError(f"change must be a ModeChange with a TradingMode, got {change!r}")  # noqa: TRY004
        self._sources[change.source] = change
        mode = strictest_mode(*(asked.mode for asked in self._sources.values()))
        if mode is self.mode:
            return
        tightened, self.mode = mode is strictest_mode(mode, self.mode), mode
        if change.mode is not mode:  # the strictest source is gone, and another one binds
            change = next(asked for asked in self._sources.values() if asked.mode is mode)
        self._bus.publish(topic=EVENTS_TOPIC, msg=change)
        if tightened:
            for instrument in self._instruments.values():
                for order in instrument.growing(mode):
                    self._cancel(order)

    def enable(self, name: str, *, reason: str) -> None:
        """Let a disabled strategy trade again, or with ``name="daily_loss"`` all of them: for a person to call.

        Raises
        ------
        ValueError
            If `name` is not disabled, or `reason` says nothing.
        """
        if name not in self.disabled:
            raise ValueError(f"name must be one of the disabled, {sorted(self.disabled)}, got {name!r}")
        if not (isinstance(reason, str) and reason.strip()):
            raise ValueError(f"reason must say why {name} is enabled, got {reason!r}")
        del self.disabled[name]
        for instrument in self._instruments.values():
            instrument.enable(name, reason)
        if name == DAILY_LOSS:
            self.change_mode(ModeChange(source=DAILY_LOSS, mode=TradingMode.ACTIVE, reason=reason))

    def state(self) -> dict[str, Any]:
        """What must outlast a restart, as plain JSON types: who is disabled and why, and the losses of the day."""
        losses = {str(known.id): known.daily_loss.state() for known in self._instruments.values()}
        return {"disabled": dict(self.disabled), "daily_loss": losses}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave: only a person enables what was disabled, and a restart is none.

        Raises
        ------
        ValueError
            If it is no state of a gate.
        """
        try:
            disabled, losses = dict(state["disabled"]), dict(state["daily_loss"])
            instruments = {self._instrument(InstrumentId.from_str(name)): loss for name, loss in losses.items()}
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"state must be what state() of a gate gave, got another: {error!r}") from error
        for instrument, loss in instruments.items():
            if instrument is not None:
                instrument.daily_loss.restore(loss)
        self.disabled = disabled
        if reason := disabled.get(DAILY_LOSS):
            self.change_mode(ModeChange(source=DAILY_LOSS, mode=TradingMode.REDUCING, reason=reason))

    def _instrument(self, instrument_id: InstrumentId) -> GatedInstrument | None:
        if (known := self._instruments.get(instrument_id)) is not None:
            return known
        limits = self._limits.get(instrument_id.value) if isinstance(self._limits, Mapping) else self._limits
        if limits is None:
            return None
        known = self._instruments[instrument_id] = GatedInstrument(self._kernel, instrument_id, limits)
        return known

    def _watch_loss(self, instrument: GatedInstrument, now_ns: int) -> None:
        if (reason := instrument.mark(now_ns)) and DAILY_LOSS not in self.disabled:
            self.disabled[DAILY_LOSS] = reason
            self.change_mode(ModeChange(source=DAILY_LOSS, mode=TradingMode.REDUCING, reason=reason))

    def _disable(self, strategy_id: str, reason: str) -> None:
        self.disabled[strategy_id] = reason
        for instrument in self._instruments.values():
            for working in list(instrument.alive()):
                if working.order.strategy_id.value == strategy_id:
                    self._cancel(working.order)

    def _cancel(self, order: Order) -> None:
        if (order.is_inflight or order.is_open) and not order.is_pending_cancel:
            self._bus.send(endpoint="ExecEngine.execute", msg=cancel_of(order, self._clock.timestamp_ns()))

    def _on_engine_state(self, event: Any) -> None:
        mode = _ENGINE_STATES[event.state]
        self.change_mode(ModeChange(source="engine", mode=mode, reason=f"the engine's trading state is {mode}"))
