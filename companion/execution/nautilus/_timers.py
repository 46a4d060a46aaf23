"""Timers whose callbacks run where all others do: on the engine's thread."""

import asyncio
from collections.abc import Callable
from typing import Any

from nautilus_trader.common.component import LiveClock

Callback = Callable[[Any], None]


def on_engine_thread(clock: Any, callback: Callback) -> Callback:
    """A callback for a timer of `clock` that is called on the thread that this function is called on.

    A live clock calls back from a thread of its own. Strategy, algorithm and gate would then act at the same moment as
    the event loop that brings them data, and two passes of one control loop could send the same order.

    A timer may fire just before it is canceled, and its callback come after that: whoever is called checks.

    Raises
    ------
    RuntimeError
        The clock is live, and no event loop runs on this thread: call from ``on_start``.
    """
    if not isinstance(clock, LiveClock):
        return callback  # simulated time has one thread, which in a notebook runs a loop of somebody else
    loop = asyncio.get_running_loop()
    return lambda event: _hand_over(loop, callback, event)


def _hand_over(loop: asyncio.AbstractEventLoop, callback: Callback, event: Any) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback, event)
