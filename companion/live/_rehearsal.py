"""The whole live system in simulated time: the same parts, no socket, no wall clock, and the same bytes each time."""

from dataclasses import replace
from decimal import Decimal
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nautilus_trader.model.instruments import CryptoPerpetual

from companion._checks import check_positive
from companion.desk import Desk
from companion.errors import InputError
from companion.execution import RiskLimits
from companion.execution._market import START_NS
from companion.execution.nautilus import RegimeStrategyConfig, TwapAdaptiveConfig, attach, perpetual_instrument
from companion.live._audit import AuditLog
from companion.live._breaker import CircuitBreaker
from companion.live._candles import Candle
from companion.live._data_client import bar_type_of
from companion.live._exchange_simulator import ExchangeSimulator
from companion.live._feed import Feed
from companion.live._feed_config import FeedConfig
from companion.live._ledger import Ledger
from companion.live._messages import StreamQuote
from companion.live._recipe import DeskRecipe
from companion.live._rehearsal_engine import Messenger, RehearsalRecorder, quote_arrays, rehearsal_engine
from companion.live._rehearsal_result import Rehearsal
from companion.live._rehearsal_stream import Network, Received, StreamClient
from companion.live._store import CandleStore
from companion.live._supervisor import Supervisor
from companion.live._warm_up import WarmUp, check_feed, warm_up
from companion.risk._decimal import is_amount, to_decimal

AUDIT, BREAKER, STORE = "audit.jsonl", "breaker.json", "candles.db"


def rehearse(
    exchange: ExchangeSimulator,
    *,
    desk: Desk | DeskRecipe,
    strategy: RegimeStrategyConfig,
    limits: RiskLimits,
    folder: str | Path,
    feed: FeedConfig | None = None,
    network: Network | None = None,
    algorithm: TwapAdaptiveConfig | None = None,
    instrument: CryptoPerpetual | None = None,
    starting_balance: Decimal = Decimal(100_000),
    leverage: Decimal = Decimal(10),
    latency_ms: float = 50.0,
    check_s: float = 2.0,
    trip_at_bar: float | None = None,
) -> Rehearsal:
    """Go live against a simulated exchange, from the cold start to the end of its market, faults included.

    The desk warms up from the exchange's history; then the exchange's events come through the feed into the engine of
    `companion.execution.nautilus.run_execution`, with the same gate, algorithm and strategy, and with supervisor,
    breaker, audit log and candle store. Two rehearsals of one exchange give the same results and the same audit log.

    Parameters
    ----------
    exchange : ExchangeSimulator
        One that has no time yet begins its history on 2024-01-01.
    desk : Desk or DeskRecipe
        Warmed up here, and used up. With a recipe the audit log can be replayed by `replay_audit` as it is.
    strategy : RegimeStrategyConfig
        Of the exchange's bars: ``bar_type_of(instrument, exchange.interval)``.
    limits : RiskLimits
        Of the gate.
    folder : str or Path
        Gets audit log, breaker and candles; new or empty, but for a breaker.
    feed : FeedConfig, optional
        By default that of the exchange's symbol and interval.
    network : Network, optional
    algorithm : TwapAdaptiveConfig, optional
    instrument : CryptoPerpetual, optional
        By default `companion.execution.nautilus.perpetual_instrument`.
    starting_balance : Decimal
        In the quote currency.
    leverage : Decimal
        Of the margin account.
    latency_ms : float
        From an order to the venue, in milliseconds.
    check_s : float
        How often the supervisor looks at breaker and ledger, in seconds.
    trip_at_bar : float, optional
        A person trips the breaker so many bars after the first live bar opens.

    Returns
    -------
    Rehearsal

    Raises
    ------
    ValueError
        Names the argument that is out of range.
    InputError
        The folder is not empty, or can not be written.
    """
    instrument = instrument or perpetual_instrument()
    bar_type = bar_type_of(instrument, exchange.interval)
    if strategy.bar_type != bar_type:
        raise ValueError(f"strategy must have the bar_type {bar_type}, got {strategy.bar_type}")
    balance = to_decimal(starting_balance, "starting_balance")
    for name, amount in (("starting_balance", balance), ("leverage", to_decimal(leverage, "leverage"))):
        if not is_amount(amount):
            raise ValueError(f"{name} must be a positive amount, got {amount}")
    check_positive("latency_ms", latency_ms)
    folder = _empty(Path(folder))
    if not exchange.started:
        exchange.start_at(START_NS + exchange.n_history * exchange.bar_ns)
    symbol, interval, bar_ns = exchange.symbol, exchange.interval, exchange.bar_ns
    start_ns = next(exchange.events()).time_ns
    first_ns = start_ns // bar_ns * bar_ns
    recipe, desk = (desk, desk.make()) if isinstance(desk, DeskRecipe) else (None, desk)
    with CandleStore(f"sqlite:///{folder / STORE}") as store, AuditLog(folder / AUDIT) as audit:
        fetch = partial(exchange.history, now_ns=start_ns)
        warm = warm_up(desk, store, symbol=symbol, interval=interval, now_ns=start_ns, equity=balance, fetch=fetch)
        listener = Feed(feed or FeedConfig(symbol=symbol, interval=interval), last=warm.last)
        received = StreamClient(exchange, listener, store, network or Network()).run()
        if not received.arrivals:
            raise ValueError("exchange must let a quote or a candle through, got none: shorten its faults")
        if reasons := _contradictions(warm, received, interval):
            desk.reset()
            warm = replace(warm, ready=False, reasons=warm.reasons + reasons)
        settings = {
            "symbol": symbol,
            "interval": interval,
            "starting_balance": str(balance),
            "leverage": str(leverage),
            "latency_ms": latency_ms,
            "simulated": True,
        }
        _begin(audit, start_ns, settings, recipe, desk, warm)
        breaker = CircuitBreaker(folder / BREAKER)
        quotes = quote_arrays(received.arrivals)
        with rehearsal_engine(
            quotes,
            received.arrivals,
            instrument=instrument,
            bar_type=bar_type,
            bar_ns=bar_ns,
            starting_balance=balance,
            leverage=leverage,
            latency_ms=latency_ms,
        ) as engine:
            recorder = RehearsalRecorder(engine.kernel, bar_type)
            parts = attach(
                engine, instrument=instrument, strategy=strategy, desk=desk, limits=limits, algorithm=algorithm
            )
            supervisor = Supervisor(
                engine,
                parts,
                instrument=instrument,
                breaker=breaker,
                audit=audit,
                ledger=Ledger(balance),
                check_interval_s=check_s,
            )
            messages = [
                (news.time_ns, partial(supervisor.feed_changed, news.health, news.counts)) for news in received.health
            ]
            if trip_at_bar is not None:
                by_hand = partial(supervisor.trip, "person", "by hand, in a rehearsal")
                messages.append((start_ns + round(trip_at_bar * bar_ns), by_hand))
            engine.add_actor(Messenger(messages))
            engine.run(start=start_ns, end=received.end_ns)
            supervisor.remove()
            if engine.iteration != len(received.arrivals):
                raise RuntimeError(
                    f"the engine must process {len(received.arrivals)} quotes and bars, got {engine.iteration}"
                )
            return Rehearsal(
                symbol=symbol,
                interval=interval,
                bar_ns=bar_ns,
                start_ns=start_ns,
                end_ns=received.end_ns,
                limits=limits,
                gate=strategy.gate,
                warm=warm,
                quotes=quotes[0],
                quote_times_ns=quotes[1],
                sent=tuple(recorder.sent),
                orders=recorder.orders(),
                fills=recorder.fills(),
                refusals=recorder.refusals(),
                modes=tuple(recorder.modes),
                records=tuple(parts.strategy.records),
                incidents=tuple(parts.strategy.incidents),
                health=tuple(received.health),
                counts=listener.counts,
                trip=breaker.tripped,
                true_candles=tuple(exchange.history(first_ns, received.end_ns, now_ns=received.end_ns)),
                candles=tuple(store.between(symbol, interval, first_ns, received.end_ns)),
                bar_times_ns=tuple(recorder.bar_times_ns),
                connection=tuple(received.events),
                ended_well=parts.strategy.is_running or parts.strategy.is_stopped,
                audit=folder / AUDIT,
                breaker=folder / BREAKER,
                store=folder / STORE,
            )


def _begin(
    audit: AuditLog, now_ns: int, settings: dict[str, Any], recipe: DeskRecipe | None, desk: Desk, warm: WarmUp
) -> None:
    """The first lines of the log: who decides, from which state on, and how it came to know the market."""
    audit.append(
        "session",
        now_ns=now_ns,
        format=1,
        versions={name: version(name) for name in ("modeling-financial-chaos", "nautilus_trader")},
        settings=settings,
        desk=None if recipe is None else recipe.to_json(),
        state=desk.state(),
    )
    report = {name: getattr(warm, name) for name in ("ready", "reasons", "n_replayed", "n_fetched")}
    audit.append("warm_up", now_ns=now_ns, report=report)


def _contradictions(warm: WarmUp, received: Received, interval: str) -> tuple[str, ...]:
    """Why the first quote and the first candle do not go on where the warm-up ended."""
    contents = [arrival.content for arrival in received.arrivals]
    quote = next((one for one in contents if isinstance(one, StreamQuote)), None)
    candle = next((one for one in contents if isinstance(one, Candle)), None)
    firsts = ([] if quote is None else [(quote.bid + quote.ask) / 2]) + ([] if candle is None else [candle])
    return tuple(reason for first in firsts for reason in check_feed(warm, first, interval=interval))


def _empty(folder: Path) -> Path:
    """The folder, made if need be; refused if it holds a rehearsal already, since a log can not be begun twice."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(path.name.split(".lock")[0] != BREAKER for path in folder.iterdir()):
        raise InputError(f"{folder}: is not empty; give each rehearsal a folder of its own")
    return folder
