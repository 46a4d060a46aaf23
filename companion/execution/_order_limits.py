"""Limits on the orders of one instrument: the figures behind `companion.execution.judge_order`."""

from dataclasses import dataclass
from decimal import Decimal

from companion._checks import check_count, check_positive
from companion.risk._decimal import is_amount, require_share, to_decimal


@dataclass(frozen=True, kw_only=True)
class RiskLimits:
    """Limits on the orders of one instrument. Every one is given: a limit that nobody chose is no limit.

    Attributes
    ----------
    max_order_quantity : Decimal
        Largest quantity of one order, in the base currency: maximum order volume.
    max_order_notional : Decimal
        Largest quantity × price of one order, in the quote currency: maximum order value.
    max_position : Decimal
        Largest position of either sign, in the base currency, if everything that works on its side is filled.
    max_open_orders : int
        Largest number of orders that were accepted and are not closed.
    price_collar : Decimal
        Largest distance of an order's price from the mid, a share of the mid. For a market order it is that of the
        price it will find, the touch.
    period_collar : Decimal
        Largest distance of the mid from what it was `period_s` ago, a share of that.
    period_s : float
        Period of `period_collar`, and the one over which the usual size at the touch is averaged, in seconds.
    max_messages : int
        Largest number of orders, changes and cancels within `message_window_s`. A cancel counts and is never refused.
    message_window_s : float
        In seconds.
    max_repeats : int
        Orders of one strategy within `repeat_window_s` after which it is disabled until a person enables it.
    repeat_window_s : float
        In seconds.
    max_daily_loss : Decimal
        Largest loss of a day (UTC), a share of the equity it began with. Latched until a person enables trading.
    max_quote_age_s : float
        Age from which on a quote is no longer a price, in seconds.
    max_liquidity_share : Decimal or None
        Largest quantity of one order as a share of the usual size at the touch, min(bid size, ask size) averaged over
        `period_s`, as in `companion.risk.max_order_qty_from_liquidity`. None leaves the volume to `max_order_quantity`.

    Raises
    ------
    ValueError
        Names the limit that is not positive, or not a share between 0 and 1.
    """

    max_order_quantity: Decimal
    max_order_notional: Decimal
    max_position: Decimal
    max_open_orders: int
    price_collar: Decimal
    period_collar: Decimal
    period_s: float
    max_messages: int
    message_window_s: float
    max_repeats: int
    repeat_window_s: float
    max_daily_loss: Decimal
    max_quote_age_s: float
    max_liquidity_share: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("max_order_quantity", "max_order_notional", "max_position"):
            amount = to_decimal(getattr(self, name), name)
            if not is_amount(amount):
                raise ValueError(f"{name} must be a positive amount, got {getattr(self, name)!r}")
            object.__setattr__(self, name, amount)
        for name in ("price_collar", "period_collar", "max_daily_loss", "max_liquidity_share"):
            if name != "max_liquidity_share" or self.max_liquidity_share is not None:
                object.__setattr__(self, name, require_share(getattr(self, name), name))
        for name in ("max_open_orders", "max_messages", "max_repeats"):
            object.__setattr__(self, name, check_count(name, getattr(self, name)))
        for name in ("period_s", "message_window_s", "repeat_window_s", "max_quote_age_s"):
            object.__setattr__(self, name, check_positive(name, getattr(self, name)))
