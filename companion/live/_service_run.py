"""One run of the service: the node with all its parts, from the first message to the last order."""

import asyncio
import functools
import gc
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Concatenate, ParamSpec

from nautilus_trader.adapters.sandbox.factory import SandboxLiveExecClientFactory
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import QuoteTick

from companion.execution.nautilus import attach, make_trading_node_config
from companion.live._checkpoint import Checkpoint, save_checkpoint
from companion.live._data_client import LiveFeedConfig, data_client_factory
from companion.live._feed import Feed
from companion.live._feed_config import FeedHealth
from companion.live._paper import restore_paper_account, starting_balance
from companion.live._service_parts import algorithm_config, all_in, feed_config, risk_limits, strategy_config
from companion.live._service_start import Start
from companion.live._service_view import ServiceView
from companion.live._settings import SYMBOL
from companion.live._supervisor import Supervisor
from companion.live._warm_up import check_feed

_LOOK_S = 0.05
_END_S = 30.0
"""Longest wait for the engine's own end, after it has been stopped."""
_Given = ParamSpec("_Given")


def _guarded(
    handler: "Callable[Concatenate[ServiceRun, _Given], None]",
) -> "Callable[Concatenate[ServiceRun, _Given], None]":
    """A handler whose failure trips the breaker, and never reaches the engine that calls it."""

    @functools.wraps(handler)
    def call(self: "ServiceRun", *args: _Given.args, **kwargs: _Given.kwargs) -> None:
        try:
            handler(self, *args, **kwargs)
        except Exception as error:
            self._supervisor.trip("fault", f"the service failed in {handler.__name__.strip('_')}: {error!r}")

    return call


@contextmanager
def paper_node(start: Start, *, quiet: bool) -> Iterator[TradingNode]:
    """A node with the account of the ledger, which is taken apart in the end: nothing complains after the last line.

    Parameters
    ----------
    start : Start
    quiet : bool
        Whether the engine says nothing, for a terminal shows something else.
    """
    opened, venue = start.opened, start.instrument.id.venue.value
    client = LiveFeedConfig(base_url_http=opened.address.http, base_url_ws=opened.address.websocket)
    config = make_trading_node_config(
        venue=venue,
        starting_balances=[starting_balance(opened.ledger)],
        leverage=Decimal(repr(float(opened.settings.leverage))),
        data_clients={venue: client},
        log_level="OFF" if quiet else "ERROR",
    )
    loop = asyncio.new_event_loop()
    try:
        node = TradingNode(config, loop=loop)
        try:
            yield node
        finally:
            loop.run_until_complete(_end_tasks())
            node.dispose()
    finally:
        loop.close()
        gc.collect()


async def _end_tasks() -> None:
    """End what the engine leaves behind when it stops: the workers of its queues."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class ServiceRun:
    """Strategy, supervisor and feed in a node, and whoever tells them to stop.

    Parameters
    ----------
    start : Start
    node : TradingNode
        Of `paper_node`, not built yet.
    say : callable
        Gets a line after each bar, while no terminal shows them.

    Attributes
    ----------
    view : ServiceView
    why : str
        Why it was told to stop; empty if it was not.
    """

    def __init__(self, start: Start, node: TradingNode, say: Callable[[str], None]) -> None:
        opened, instrument, price = start.opened, start.instrument, start.price()
        settings, venue = opened.settings, instrument.id.venue.value
        whole = all_in(settings.starting_balance, price)
        self.why, self._start, self._node, self._say = "", start, node, say
        self._showing: asyncio.Task[None] | None = None
        self._opened, self._settings = opened, settings
        self._feed = Feed(feed_config(settings), last=start.warm.last)
        factory = data_client_factory(
            instrument, feed=self._feed, store=opened.store, on_health=self._on_health, on_dead=self._on_dead
        )
        node.add_data_client_factory(venue, factory)
        node.add_exec_client_factory(venue, SandboxLiveExecClientFactory)
        node.build()
        self._parts = attach(
            node,
            instrument=instrument,
            strategy=strategy_config(settings, instrument, whole),
            desk=start.desk,
            limits=risk_limits(settings, whole, price),
            algorithm=algorithm_config(settings),
        )
        restore_paper_account(node, instrument, self._parts.strategy.id, opened.ledger)
        if opened.checkpoint is not None and opened.checkpoint.strategy and opened.checkpoint.gate:
            self._parts.strategy.restore(opened.checkpoint.strategy)
            self._parts.gate.restore(opened.checkpoint.gate)
        told = {"instrument": instrument, "breaker": opened.breaker, "ledger": opened.ledger}
        self._supervisor = Supervisor(node, self._parts, audit=opened.audit, checkpoint=self._save_checkpoint, **told)
        self.view = ServiceView(node, self._parts, feed=self._feed, on_bar=self._on_bar, **told)
        self._quotes = f"data.quotes.{instrument.id.venue}.{instrument.id.symbol}"
        node.kernel.msgbus.subscribe(topic=self._quotes, handler=self._on_first_quote)

    def trade(self, *, end_ns: int | None, show: bool) -> None:
        """Trade until told to stop, or tripped; then stop the node.

        Parameters
        ----------
        end_ns : int or None
            When the market is over, nanoseconds since 1970.
        show : bool
            Show the terminal view meanwhile.
        """
        self._node.kernel.loop.run_until_complete(self._trade(end_ns, show))

    async def _trade(self, end_ns: int | None, show: bool) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):  # in place of the engine's own
            loop.add_signal_handler(number, self._stop, f"by {number.name}")
        running = loop.create_task(self._node.run_async(), name="node")
        self._showing = loop.create_task(self._show(), name="view") if show else None
        try:
            await self._until_end(running, end_ns)
        finally:
            if self._showing is not None:
                self._showing.cancel()
                await asyncio.wait([self._showing])
            try:
                await self._node.stop_async()
                await asyncio.wait([running], timeout=_END_S)
            finally:
                self._supervisor.remove()

    async def _until_end(self, running: asyncio.Task[None], end_ns: int | None) -> None:
        """Until told to stop; tripped, until it is flat and has stopped, or has had no price for too long."""
        patience_s = self._settings.flatten_within_s
        while not (self._node.is_running() or running.done()):  # to stop what only starts would leave it half started
            await asyncio.sleep(_LOOK_S)
        while True:
            if self.why:
                self._supervisor.check(time.time_ns())  # another process may have tripped it since the last look
            if self._opened.breaker.tripped is not None:  # to stop then would keep what is held
                patience_s -= _LOOK_S
                if self._parts.strategy.is_stopped or patience_s <= 0:
                    return
            elif self.why:
                return
            elif running.done():
                self._supervisor.trip("fault", f"the engine has ended: {running.exception()!r}")
                return
            elif end_ns is not None and time.time_ns() >= end_ns:
                self._stop("the simulated market is over")
            await asyncio.sleep(_LOOK_S)

    async def _show(self) -> None:
        from companion.live._terminal import watch

        ended = await watch(self.view.status, lambda reason: self._supervisor.trip("person", reason))
        self._showing = None
        if ended is None:
            self._stop("at the terminal")
        else:
            self._tell(ended)

    def _tell(self, line: str) -> None:
        try:
            self._say(line)
        except OSError:  # whoever read has gone, which is no reason to stop
            self._say = lambda _: None

    def _stop(self, why: str) -> None:
        self.why = self.why or why

    # --- what the engine tells ---------------------------------------------------------------------------------------

    def _on_health(self, health: FeedHealth) -> None:
        self.view.health = health
        self._supervisor.feed_changed(health, self._feed.counts.to_dict())

    def _on_dead(self, reason: str) -> None:
        self._supervisor.feed_died(reason)

    @_guarded
    def _on_first_quote(self, quote: QuoteTick) -> None:
        """See whether the live market is the one that the desk has warmed up on."""
        bus, loop = self._node.kernel.msgbus, asyncio.get_running_loop()
        loop.call_soon(lambda: bus.unsubscribe(topic=self._quotes, handler=self._on_first_quote))
        mid = (float(quote.bid_price) + float(quote.ask_price)) / 2
        warm = replace(self._start.warm, last=self._feed.last)  # candles may have come before the quote
        if reasons := check_feed(warm, mid, interval=self._settings.interval):
            self._start.begin_anew(reasons)

    @_guarded
    def _on_bar(self) -> None:
        if self._showing is None:
            self._tell(self.view.status().plain_line())
        if self._settings.bars is not None and self.view.n_bars >= self._settings.bars:
            self._stop("all bars are over")

    def _save_checkpoint(self, now_ns: int) -> None:
        """Keep what a restart needs, as of the last bar that the desk has seen."""
        decision, opened, step_ns = self.view.decision, self._opened, self._settings.step_ns
        if decision is None or decision.equity is None or decision.equity <= 0:
            return
        closed = decision.bar.time
        assert isinstance(closed, datetime)  # `desk_bar` and the engine's bars have no other
        open_ns = round(closed.timestamp() * 1e6) * 1000 - step_ns
        (candle,) = opened.store.between(SYMBOL, self._settings.interval, open_ns, open_ns + 1)
        save_checkpoint(
            opened.folder.checkpoint,
            Checkpoint(
                time_ns=now_ns,
                symbol=SYMBOL,
                interval=self._settings.interval,
                last=candle,
                equity=decision.equity,
                desk=self._start.desk.state(),
                gate=self._parts.gate.state(),
                strategy=self._parts.strategy.saved_state(),
                audit_head=opened.audit.sync(),
            ),
        )
