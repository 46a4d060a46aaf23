"""The desk, live on paper: against a simulated exchange on this machine, or the data of a real one."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from companion._checks import need
from companion.pipeline._settings import make_config
from companion.pipeline._step import call, guarded

APP = App(name="live", help_format="plaintext", version_flags=())


def _says(text: str) -> Any:
    return Parameter(help=text, negative=())


@APP.default
def live(
    *,
    simulate: Annotated[bool, _says("Start a simulated exchange on this machine, too; needs no set-up.")] = False,
    http: Annotated[str | None, _says("Address of a REST interface like that of Binance's futures.")] = None,
    websocket: Annotated[str | None, _says("Address of its streams, such as wss://fstream.binance.com.")] = None,
    folder: Annotated[Path | None, _says("Where all that outlasts a run lies, by default build/live.")] = None,
    store: Annotated[str | None, _says("URL of the candles' database, by default SQLite in the folder.")] = None,
    bars: Annotated[int | None, _says("Stop after so many bars, by default when told to.")] = None,
    plain: Annotated[bool, _says("A line after each bar, also where standard output is a terminal.")] = False,
    interval: Annotated[str | None, _says("Length of a bar, by default 1m; 100ms rehearses faster.")] = None,
    balance: Annotated[float | None, _says("USDT on paper, by default 100,000.")] = None,
    leverage: Annotated[float | None, _says("Leverage of the account, by default 10.")] = None,
    dead_band: Annotated[float | None, _says("Smallest trade, a share of the balance, by default .01.")] = None,
    max_daily_loss: Annotated[float | None, _says("Loss of a day that trips, a share, by default .02.")] = None,
    max_quote_age_s: Annotated[float | None, _says("Seconds for which a quote is a price, by default 10.")] = None,
    stale_after_s: Annotated[float | None, _says("Seconds without a quote that halt, by default 2.")] = None,
    dead_after_s: Annotated[float | None, _says("Seconds of that which trip, by default 30.")] = None,
    flatten_within_s: Annotated[float | None, _says("Seconds to wait for a price to sell at, by default 60.")] = None,
    minutes: Annotated[int | None, _says("Bars of the simulated market, by default 10,080.")] = None,
    history: Annotated[int | None, _says("Bars that it has before the first start, by default 8,000.")] = None,
    seed: Annotated[int | None, _says("Seed of the simulated market, by default 0.")] = None,
    fault: Annotated[list[str] | None, _says("Fault of the simulated stream, such as half-open:20:3.")] = None,
    quotes_per_second: Annotated[float | None, _says("Quotes of the simulated market, to measure load.")] = None,
) -> int:
    """Run the desk on paper until told to stop: with Ctrl-C, SIGTERM, or a key in the terminal view.

    Orders are filled by a simulated venue in this process; there is no way from here to a real one. Another start with
    the same folder goes on where the last one ended. Exit status: 0 stopped as told, 2 can not start, 3 the breaker is
    tripped, and stays so until `companion breaker reset`.
    """
    given = {name: value for name, value in locals().items() if value is not None and name != "plain"}
    if fault is not None:
        given["fault"] = tuple(fault)
    statuses: list[int] = []

    def work() -> None:
        need("nautilus_trader", "nautilus")
        from companion.live._service import run_service
        from companion.live._settings import LiveSettings

        settings = make_config(LiveSettings, flags=given)
        outcome = run_service(settings, say=_say, show=sys.stdout.isatty() and not plain)
        print(f"companion live: {outcome.said}", file=sys.stderr if outcome.status else sys.stdout)
        statuses.append(outcome.status)

    return guarded("live", work) or statuses[0]


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(call(APP, sys.argv[1:]))
