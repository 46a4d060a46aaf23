"""What one strategy holds, what works for it and what the account is worth, read from the engine's cache."""

from decimal import Decimal
from typing import Any, NamedTuple

from nautilus_trader.model.enums import OrderStatus
from nautilus_trader.model.instruments import Instrument

from companion.desk import Quote
from companion.execution._reconcile import WorkingOrder
from companion.risk._decimal import ZERO

_CANCELING = (OrderStatus.PENDING_CANCEL, OrderStatus.CANCELED)


class Holdings(NamedTuple):
    """One look at a position and at the orders that change it.

    Attributes
    ----------
    held : Decimal
        Net position in the instrument, signed, in the base currency, whoever opened it.
    own : Decimal
        The part of it that orders of this strategy made.
    working : tuple of WorkingOrder
        Orders of this strategy that are not done, oldest first; a primary and all its children are one.
    """

    held: Decimal
    own: Decimal
    working: tuple[WorkingOrder, ...]

    @property
    def in_flight(self) -> Decimal:
        """Signed quantity that works and is not filled yet."""
        return sum((order.remaining for order in self.working), ZERO)


class HoldingsView:
    """Reads `Holdings`, and equity, for one strategy and one instrument.

    The engine's lists of open orders and of orders in flight leave out what an execution algorithm holds. So the view
    is told of each order that is submitted, and keeps it until it and all that was spawned from it is done. Orders of
    others do not count as working: they are no business of this strategy before they are a position.

    Parameters
    ----------
    strategy : Strategy
        A registered strategy; those of its orders that already work are found.
    instrument : Instrument
        What it trades.
    """

    def __init__(self, strategy: Any, instrument: Instrument) -> None:
        self._cache, self._portfolio, self._strategy_id = strategy.cache, strategy.portfolio, strategy.id
        self._id, self._currency = instrument.id, instrument.quote_currency
        self._orders: dict[str, Any] = {}
        for order in self._cache.orders(instrument_id=self._id, strategy_id=self._strategy_id):
            if not order.is_spawned:
                self.track(order)

    def track(self, order: Any) -> None:
        """Remember an order that is submitted."""
        self._orders[order.client_order_id.value] = order

    def order(self, order_id: str) -> Any:
        """The order that `WorkingOrder.order_id` names."""
        return self._orders[order_id]

    def read(self) -> Holdings:
        """What is held and what works now; orders that are done are forgotten."""
        working = []
        for order_id, order in list(self._orders.items()):
            if still_open := [part for part in self._family(order) if not part.is_closed]:
                working.append(_as_working(order_id, order, still_open))
            else:
                del self._orders[order_id]
        return Holdings(self._portfolio.net_position(self._id), self.own(), tuple(working))

    def own(self) -> Decimal:
        """The part of the position that orders of this strategy made, signed."""
        positions = self._cache.positions_open(instrument_id=self._id, strategy_id=self._strategy_id)
        return sum((position.signed_decimal_qty() for position in positions), ZERO)

    def equity(self) -> Decimal | None:
        """Balance and what is unrealized on the venue, in the quote currency; None while that is not known.

        Never the engine's realized result, which 1.221 gets wrong after a position has flipped.
        """
        account = self._portfolio.account(self._id.venue)
        balance = None if account is None else account.balance_total(self._currency)
        if balance is None:
            return None
        equity = balance.as_decimal()
        for instrument_id in {position.instrument_id for position in self._cache.positions_open(venue=self._id.venue)}:
            unrealized = self._portfolio.unrealized_pnl(instrument_id)
            if unrealized is None:
                return None
            if unrealized.currency == self._currency:
                equity += unrealized.as_decimal()
        return equity

    def quote(self) -> Quote | None:
        """Last quote, fresh or not; None before the first."""
        tick = self._cache.quote_tick(self._id)
        return None if tick is None else Quote(tick.bid_price.as_decimal(), tick.ask_price.as_decimal())

    def _family(self, order: Any) -> list[Any]:
        """The order, with its children if an algorithm works it."""
        return [order] if order.exec_algorithm_id is None else self._cache.orders_for_exec_spawn(order.client_order_id)


def _as_working(order_id: str, primary: Any, still_open: list[Any]) -> WorkingOrder:
    remaining = sum((part.leaves_qty.as_decimal() for part in still_open), ZERO)
    return WorkingOrder(
        order_id=order_id,
        remaining=remaining if primary.is_buy else -remaining,
        reduce_only=primary.is_reduce_only,
        cancelling=primary.status in _CANCELING,
    )
