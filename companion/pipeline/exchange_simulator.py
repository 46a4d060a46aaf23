"""The simulated exchange of `companion.live` as a program."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

from cyclopts import App, Parameter

from companion._checks import check_count
from companion.errors import InputError
from companion.execution import simulate_perpetual
from companion.live import ExchangeSimulator
from companion.live._faults import parse_fault
from companion.live._simulator_process import LISTENING, MODULE
from companion.pipeline._step import call, guarded


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m companion.pipeline.exchange_simulator`` and return its exit status: 0, or 2 for bad input."""

    def command(
        *,
        port: int = 0,
        symbol: str = "BTCUSDT",
        interval: str = "1m",
        minutes: int = 2000,
        history: int = 800,
        seed: int = 0,
        start_ns: int | None = None,
        fault: Annotated[list[str] | None, Parameter(negative=())] = None,
        quotes_per_second: float | None = None,
    ) -> int:
        """Serve a simulated perpetual future on 127.0.0.1 until standard input closes, or a signal ends it.

        Parameters
        ----------
        port
            Port to listen on; 0 takes a free one, which is printed.
        symbol
            Name of the instrument, in capitals.
        interval
            How long a minute of the market takes, in Binance's notation; such as 100ms.
        minutes
            Minutes of the market to play.
        history
            Minutes before them that are history.
        seed
            Seed of the market and of broken messages.
        start_ns
            When the first minute after the history begins, nanoseconds since 1970; by default now. A market that began
            in the past is served as it is now.
        fault
            Fault as KIND:AT:BARS, such as half-open:20:3; may be given several times.
        quotes_per_second
            Send the last quote at this rate instead of each once.
        """

        def work() -> None:
            try:
                exchange = _simulated(symbol, interval, minutes, history, seed, fault or (), quotes_per_second)
                if start_ns is not None:
                    exchange.start_at(start_ns)
            except ValueError as error:
                raise InputError(str(error)) from error
            asyncio.run(_serve_until_told(exchange, port))

        return guarded("exchange-simulator", work)

    app = App(name=f"python -m {MODULE}", default_command=command, help_format="plaintext", version_flags=())
    return call(app, sys.argv[1:] if argv is None else argv)


def _simulated(
    symbol: str, interval: str, minutes: int, history: int, seed: int, faults: Sequence[str], rate: float | None
) -> ExchangeSimulator:
    check_count("minutes", minutes)
    market = simulate_perpetual(n_minutes=check_count("history", history) + minutes, seed=seed)
    return ExchangeSimulator(
        market,
        symbol=symbol,
        interval=interval,
        n_history=history,
        faults=[parse_fault(text) for text in faults],
        seed=seed,
        quotes_per_second=rate,
    )


async def _serve_until_told(exchange: ExchangeSimulator, port: int) -> None:
    """Serve until a signal ends it, or standard input closes because whoever started it is gone."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, done.set)
    async with exchange.serve(port=port) as url:
        threading.Thread(target=_wait_for_end, args=(loop, done), daemon=True).start()
        print(f"{LISTENING}{url}", flush=True)
        await done.wait()


def _wait_for_end(loop: asyncio.AbstractEventLoop, done: asyncio.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):  # past the buffer, whose lock would be held when Python ends
        pass
    with suppress(RuntimeError):  # the loop is closed: a signal was faster
        loop.call_soon_threadsafe(done.set)


if __name__ == "__main__":
    sys.exit(main())
