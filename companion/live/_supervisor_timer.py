"""A timer of the engine's own that outlasts a strategy that has stopped."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.config import ActorConfig

from companion.execution.nautilus._timers import on_engine_thread


class Timer(Actor):
    """Calls back at an interval, with the engine's time, from the engine's thread, for as long as the trader runs.

    Parameters
    ----------
    interval_s : float
        Seconds.
    callback : callable
        Given nanoseconds since 1970.
    """

    def __init__(self, interval_s: float, callback: Callable[[int], None]) -> None:
        super().__init__(ActorConfig(component_id="SUPERVISOR"))
        self._interval, self._callback = timedelta(seconds=interval_s), callback

    def on_start(self) -> None:
        """Begin."""
        self.clock.set_timer("supervisor", self._interval, callback=on_engine_thread(self.clock, self._call))

    def _call(self, event: Any) -> None:
        self._callback(self.clock.timestamp_ns())
