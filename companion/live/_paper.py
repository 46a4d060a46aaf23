"""The paper account after a restart: the simulated venue forgets everything, and is told what the ledger says."""

from decimal import ROUND_HALF_EVEN, Decimal

from nautilus_trader.common.factories import OrderFactory
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.enums import LiquiditySide, OmsType, OrderSide
from nautilus_trader.model.events import OrderAccepted, OrderFilled, OrderSubmitted
from nautilus_trader.model.identifiers import ClientOrderId, PositionId, StrategyId, TradeId, VenueOrderId
from nautilus_trader.model.instruments import Instrument
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.model.position import Position

from companion.live._ledger import CENT, Ledger

_PRICE_DIGITS = 9
"""Most decimals that a price of the engine can have in every one of its builds."""


def starting_balance(ledger: Ledger, currency: str = "USDT") -> str:
    """What `make_trading_node_config` is given as ``starting_balances=[…]`` to go on from a ledger."""
    return f"{ledger.balance.quantize(CENT):f} {currency}"


def restore_paper_account(
    node: TradingNode, instrument: Instrument, strategy_id: StrategyId | str, ledger: Ledger
) -> None:
    """Give a node that trades on paper the position of a ledger, before it runs.

    Afterwards portfolio, unrealized result, reduce-only orders, `RiskGate` and strategy see it as if it had been traded
    in this run: one order, bought or sold at the average price, without a fee. No event of it is published, for
    whoever writes fills down has written these.

    Parameters
    ----------
    node : TradingNode
        Built, not running, with `starting_balance` of the same ledger as its balance.
    instrument : Instrument
    strategy_id : StrategyId or str
        Whose position it is: a venue knows it by strategy, and lets no other one reduce it.
    ledger : Ledger

    Raises
    ------
    ValueError
        If the node is not built, runs already, holds a position, or has another balance than the ledger; or the
        ledger's position is not in whole steps of the instrument.
    """
    cache, currency = node.kernel.cache, instrument.quote_currency
    if node.is_running() or cache.positions(instrument_id=instrument.id):
        raise ValueError("node must not run and hold nothing yet, got one that does: restore it first")
    account = cache.account_for_venue(instrument.id.venue)
    if account is None:
        raise ValueError(f"node must have an account at {instrument.id.venue}, got none: build it first, by attach()")
    balance = account.balance_total(currency)
    if balance is None or balance.as_decimal() != ledger.balance.quantize(CENT):
        raise ValueError(
            f"node must have the balance of the ledger, {ledger.balance}, got {balance}: "
            f'make it with starting_balances=["{starting_balance(ledger, str(currency))}"]'
        )
    if ledger.position:
        _open(node, instrument, StrategyId(str(strategy_id)), ledger, account.id)


def _open(node: TradingNode, instrument: Instrument, strategy_id: StrategyId, ledger: Ledger, account_id: str) -> None:
    """Put the order that opened the position, and the position, into the engine's cache."""
    cache, clock = node.kernel.cache, node.kernel.clock
    side = OrderSide.BUY if ledger.position > 0 else OrderSide.SELL
    try:
        quantity = Quantity.from_str(f"{abs(ledger.position):.{instrument.size_precision}f}")
    except ValueError as error:
        raise ValueError(f"ledger must hold a quantity that the engine can hold, got {ledger.position}") from error
    if quantity.as_decimal() != abs(ledger.position):
        raise ValueError(f"ledger must hold whole steps of {instrument.size_increment}, got {ledger.position}")
    price = ledger.average_price.quantize(Decimal(1).scaleb(-_PRICE_DIGITS), ROUND_HALF_EVEN)
    factory = OrderFactory(node.trader_id, strategy_id, clock)
    name = f"restored-{UUID4()}"
    order = factory.market(instrument.id, side, quantity, client_order_id=ClientOrderId(name), tags=["RESTORED"])
    now_ns = clock.timestamp_ns()
    ids = (order.trader_id, strategy_id, instrument.id, order.client_order_id)
    venue_order_id = VenueOrderId(name)
    order.apply(OrderSubmitted(*ids, account_id, UUID4(), now_ns, now_ns))
    order.apply(OrderAccepted(*ids, venue_order_id, account_id, UUID4(), now_ns, now_ns))
    fill = OrderFilled(
        *ids,
        venue_order_id,
        account_id,
        TradeId(str(UUID4())),
        PositionId(f"{instrument.id}-{strategy_id}"),
        side,
        order.order_type,
        quantity,
        Price.from_str(f"{price:f}"),
        instrument.quote_currency,
        Money(0, instrument.quote_currency),
        LiquiditySide.TAKER,
        UUID4(),
        now_ns,
        now_ns,
    )
    order.apply(fill)
    cache.add_order(order)
    cache.add_position(Position(instrument, fill), OmsType.NETTING)
    cache.update_order(order)
