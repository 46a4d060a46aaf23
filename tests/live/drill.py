"""Drills as a program: the real service on paper, and an exchange that fails once the service has bought something.

``python drill.py FOLDER KIND …`` leaves FOLDER/KIND.json: what the exchange sent, what was true, how the service ended,
and where its own folder is.
"""

import asyncio
import json
import math
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

from companion.execution import simulate_perpetual
from companion.live import ExchangeSimulator, Fault, FaultKind, Message, _warm_up
from companion.live._breaker_file import read_breaker
from companion.live._service import run_service
from companion.live._settings import LiveSettings

INTERVAL, BAR_NS = "500ms", 500_000_000
N_HISTORY, N_LIVE, SEED = 1500, 1500, 2  # of this market the desk holds something all the time
N_WARM_UP = 1200  # bars that it replays before, in place of 8,000
MAX_QUOTE_AGE_S, STALE_AFTER_S, DEAD_AFTER_S, FLATTEN_WITHIN_S = 1.0, 1.0, 2.5, 60.0
#: Faults that leave no price to trade at. They last until the feed is dead, the others some bars.
SILENT = {
    FaultKind.DISCONNECT,
    FaultKind.SILENCE,
    FaultKind.SLOW_DRIP,
    FaultKind.HALF_OPEN,
    FaultKind.MALFORMED,
    FaultKind.NAN,
    FaultKind.GLITCH,
    FaultKind.CLOCK_SKEW,
}
FAULT_BARS = {kind: 11 if kind in SILENT else 6 for kind in FaultKind}
BARS_AFTER = 5
MOST_TRIES = 6
ENOUGH = 0.1  # held before the fault begins


class DrilledExchange(ExchangeSimulator):
    """Sends a clean tape until `begin` is set, and from the next bar on one with the fault; remembers what it sent."""

    def __init__(self, market, kind: FaultKind) -> None:
        super().__init__(market, interval=INTERVAL, n_history=N_HISTORY)
        self.kind, self.begin, self.sent = kind, threading.Event(), []

    def events(self, from_ns=None):
        for event in self._clean_then_faulty(from_ns):
            if isinstance(event, Message):
                self.sent.append(event)
            yield event

    def _clean_then_faulty(self, from_ns):
        for event in super().events(from_ns):
            if self.begin.is_set():
                at_bar = math.ceil((event.time_ns - self.zero_ns) / self.bar_ns) + 0.5
                self.faults = (Fault(self.kind, at_bar, FAULT_BARS[self.kind]),)
                yield from super().events(event.time_ns - 1)
                return
            yield event

    @property
    def is_over(self) -> bool:
        """Whether the fault has ended, and some bars after it."""
        if not self.faults:
            return False
        _, end_ns = self.faults[0].span_ns(self.zero_ns, self.bar_ns)
        return time.time_ns() > end_ns + BARS_AFTER * BAR_NS


def serve_in_thread(exchange: DrilledExchange):
    """The address, and a function that ends it."""
    loop, ready, ended, box = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), []

    async def serve():
        async with exchange.serve() as url:
            box.append(url)
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(60)

    def end():
        loop.call_soon_threadsafe(ended.set)
        thread.join(60)
        loop.close()

    return box[0], end


def settings_of(folder: Path, url: str = "http://127.0.0.1:1") -> LiveSettings:
    """Settings of the service."""
    return LiveSettings(
        http=url,
        websocket=f"ws{url.removeprefix('http')}",
        folder=folder,
        interval=INTERVAL,
        max_quote_age_s=MAX_QUOTE_AGE_S,
        stale_after_s=STALE_AFTER_S,
        dead_after_s=DEAD_AFTER_S,
        flatten_within_s=FLATTEN_WITHIN_S,
    )


def drill(market, kind: FaultKind, folder: Path) -> dict:
    """One drill, and what can be said of it that the folder does not say."""
    exchange = DrilledExchange(market, kind)
    url, end = serve_in_thread(exchange)
    settings = settings_of(folder, url)

    def after_each_bar(line: str) -> None:
        position = re.search(r"position ([+-][\d.]+)", line)
        if position and abs(float(position[1])) >= ENOUGH:
            exchange.begin.set()
        if exchange.is_over and not any(event["event"] == "trip" for event in read_breaker(folder / "breaker.json")):
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        outcome = run_service(settings, say=after_each_bar)
    finally:
        end()
    now_ns = time.time_ns()
    return {
        "folder": str(folder),
        "status": outcome.status,
        "said": outcome.said,
        "fault_ns": exchange.faults[0].span_ns(exchange.zero_ns, BAR_NS) if exchange.faults else None,
        "sent": [(m.time_ns, m.stream, m.raw.decode()) for m in exchange.sent],
        "candles": exchange.history(0, now_ns, now_ns=now_ns),
    }


def main(folder: Path, kinds: list[FaultKind]) -> None:
    _warm_up.N_BARS = N_WARM_UP
    market = simulate_perpetual(n_minutes=N_HISTORY + N_LIVE, quotes_per_minute=6, seed=SEED)
    for kind in kinds:
        for n_try in range(MOST_TRIES):
            evidence = drill(market, kind, folder / f"{kind}-{n_try}")
            if evidence["fault_ns"] is not None:
                break  # else the machine was too busy to trade before anything was wrong
        (folder / f"{kind}.json").write_text(json.dumps(evidence))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [FaultKind(word) for word in sys.argv[2:]])
