"""An order that the gate let through, and what of it may still be filled."""

from decimal import Decimal

from nautilus_trader.model.orders import Order


class WorkingOrder:
    """An order that was let through and is not closed, and what of it may still be filled.

    Attributes
    ----------
    order : Order
    left : Decimal
        Unfilled quantity, not negative; while a change is on its way, that of the larger of the two quantities.
    n_events : int
        Number of its events when it was read: cheap to compare, and exact.
    """

    __slots__ = ("_asked", "left", "n_events", "order")

    def __init__(self, order: Order) -> None:
        self.order = order
        self._asked: Decimal | None = None
        self.read()

    def read(self) -> bool:
        """Read the order anew, as one must when it has more events than `n_events`; whether it is still at work."""
        order = self.order
        self.n_events: int = order.event_count
        self.left: Decimal = order.leaves_qty.as_decimal()
        if self._asked is not None and order.is_pending_update:
            self.left = max(self.left, self._asked - order.filled_qty.as_decimal())
        else:
            self._asked = None
        return not order.is_closed

    def ask(self, quantity: Decimal) -> None:
        """Count the larger quantity until the exchange has answered."""
        self._asked = max(quantity, self._asked or Decimal(0))
        self.read()
