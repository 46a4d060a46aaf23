"""A node that trades on paper without a network, and the one way to attach gate, algorithm and strategy."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from nautilus_trader.adapters.sandbox.config import SandboxExecutionClientConfig
from nautilus_trader.adapters.sandbox.factory import SandboxLiveExecClientFactory
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LiveExecEngineConfig, LoggingConfig, TradingNodeConfig
from nautilus_trader.execution.engine import ExecutionEngine
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.identifiers import TraderId
from nautilus_trader.model.instruments import Instrument

from companion._checks import check_positive
from companion.desk import Desk
from companion.execution._order_rules import RiskLimits
from companion.execution.nautilus._gate import RiskGate
from companion.execution.nautilus._strategy import RegimeStrategy
from companion.execution.nautilus._strategy_config import RegimeStrategyConfig
from companion.execution.nautilus._twap import TwapAdaptive
from companion.execution.nautilus._twap_config import TwapAdaptiveConfig

PURGE_INTERVAL_MINS, PURGE_BUFFER_MINS = 10, 60
"""A node forgets each ten minutes what is closed for an hour: longer than any order is worked, and no month grows."""
PURGE_POSITIONS_MINS = 1
"""A closed position goes at the next minute, for with each that opens again the engine keeps a copy of the last."""


class Attached(NamedTuple):
    """The three parts, as they stand in the engine.

    Attributes
    ----------
    gate : RiskGate
    algorithm : TwapAdaptive
    strategy : RegimeStrategy
    """

    gate: RiskGate
    algorithm: TwapAdaptive
    strategy: RegimeStrategy


def make_trading_node_config(
    *,
    trader_id: str = "CHAOS-001",
    venue: str = "BINANCE",
    starting_balances: Sequence[str] = ("100000 USDT",),
    leverage: Decimal | int = 10,
    data_clients: Mapping[str, Any] | None = None,
    log_level: str = "WARN",
    timeout_s: float = 5.0,
) -> TradingNodeConfig:
    """Configuration of a `TradingNode` whose orders are filled by a simulated venue: paper trading, no network.

    Fills come from quotes alone, as in the backtest of the book: neither a bar nor a trade moves the simulated book.
    Nothing is reconciled at the start, since the simulated account has no past. Orders that have been closed for an
    hour leave the engine's memory.

    Parameters
    ----------
    trader_id : str
        Name and number, such as "CHAOS-001".
    venue : str
        Venue of the instruments, and name of the simulated account.
    starting_balances : sequence of str
        Amounts with their currency.
    leverage : Decimal or int
        Leverage of the margin account, at least 1.
    data_clients : mapping, optional
        Configurations of data clients by name. Their factories are added to the node before it is built. Without any,
        data come in by whatever publishes on the node's message bus.
    log_level : str
        "DEBUG", "INFO", "WARN", "ERROR" or "OFF".
    timeout_s : float
        Longest wait for a connection, in seconds.

    Raises
    ------
    ValueError
        If the leverage is below 1, the timeout is not positive, or there is no balance.
    """
    if not Decimal(leverage) >= 1:
        raise ValueError(f"leverage must be at least 1, got {leverage}")
    if isinstance(starting_balances, str) or not starting_balances:
        raise ValueError(f'starting_balances must be amounts such as ["100000 USDT"], got {starting_balances!r}')
    check_positive("timeout_s", timeout_s)
    sandbox = SandboxExecutionClientConfig(
        venue=venue,
        starting_balances=list(starting_balances),
        default_leverage=Decimal(leverage),
        bar_execution=False,
        trade_execution=False,
        use_random_ids=True,  # numbers would begin anew with each run, and name two trades alike
    )
    return TradingNodeConfig(
        trader_id=TraderId(trader_id),
        logging=LoggingConfig(log_level=log_level),
        exec_engine=LiveExecEngineConfig(
            reconciliation=False,
            purge_closed_orders_interval_mins=PURGE_INTERVAL_MINS,
            purge_closed_orders_buffer_mins=PURGE_BUFFER_MINS,
            purge_closed_positions_interval_mins=PURGE_POSITIONS_MINS,
            purge_closed_positions_buffer_mins=0,
            purge_account_events_interval_mins=PURGE_INTERVAL_MINS,
            purge_account_events_lookback_mins=PURGE_BUFFER_MINS,
        ),
        data_clients=dict(data_clients or {}),
        exec_clients={venue: sandbox},
        timeout_connection=timeout_s,
        timeout_reconciliation=timeout_s,
        timeout_portfolio=timeout_s,
        timeout_disconnection=timeout_s,
        timeout_post_stop=0.1,  # nothing is left to wait for: the venue is in this process
    )


def attach(
    host: BacktestEngine | TradingNode,
    *,
    instrument: Instrument,
    strategy: RegimeStrategyConfig,
    desk: Desk,
    limits: RiskLimits | Mapping[str, RiskLimits],
    algorithm: TwapAdaptiveConfig | None = None,
) -> Attached:
    """Put gate, TWAP_ADAPTIVE and strategy into a `BacktestEngine` or a `TradingNode`: the same call for both.

    A node that is not built yet is built here, for paper trading on the instrument's venue; one with other clients is
    built by whoever adds their factories. A `BacktestEngine` must have its venue and its instrument.

    Parameters
    ----------
    host : BacktestEngine or TradingNode
        One that does not run yet.
    instrument : Instrument
        What is traded; the simulated venue of a node has to know it before it connects.
    strategy : RegimeStrategyConfig
    desk : Desk
        Made with the same instrument.
    limits : RiskLimits, or mapping of instrument id to RiskLimits
        For the gate.
    algorithm : TwapAdaptiveConfig, optional

    Examples
    --------
    ```python
    node = TradingNode(make_trading_node_config())
    parts = attach(node, instrument=instrument, strategy=config, desk=desk, limits=limits)
    node.run()
    parts.strategy.records, parts.gate.refusals
    ```
    """
    if isinstance(host, TradingNode):
        _build(host, instrument)
        _apply_order_events_at_once(host.kernel)
    parts = Attached(
        gate=RiskGate(host.kernel, limits, keep_refusals=strategy.keep_records),
        algorithm=TwapAdaptive(algorithm or TwapAdaptiveConfig(keep_outcomes=strategy.keep_records)),
        strategy=RegimeStrategy(strategy, desk),
    )
    host.kernel.trader.add_exec_algorithm(parts.algorithm)
    host.kernel.trader.add_strategy(parts.strategy)
    return parts


def _build(node: TradingNode, instrument: Instrument) -> None:
    if not node.is_built():
        node.add_exec_client_factory(instrument.id.venue.value, SandboxLiveExecClientFactory)
        node.build()
    node.cache.add_instrument(instrument)


def _apply_order_events_at_once(kernel: Any) -> None:
    """Let what happens to an order be true when it happens, as in a backtest, not when a queue has been worked off.

    The simulated venue asks an order what is left of it. While its first fill waits in the node's queue, it looks as if
    nothing were: what the touch did not hold is neither filled behind it nor canceled, the venue forgets it, and the
    order stays open for ever.
    """
    bus, engine = kernel.msgbus, kernel.exec_engine
    bus.deregister(endpoint="ExecEngine.process", handler=engine.process)
    bus.register(endpoint="ExecEngine.process", handler=lambda event: ExecutionEngine.process(engine, event))
