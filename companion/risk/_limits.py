"""Limits derived from what the market can take and the account can lose. What they limit is refused, not repaired."""

from decimal import Decimal

from companion.risk._decimal import ZERO, Amount, is_amount, multiply_down, require_share, to_decimal


def max_order_qty_from_liquidity(L_bar: Decimal | Amount, rho: Decimal | float) -> Decimal:
    """Largest order: a share of what usually stands at the top of the book, ``rho * L_bar``.

    Parameters
    ----------
    L_bar : Decimal or amount
        Typical min(bid size, ask size), in the base currency.
    rho : Decimal or float
        Share in (0, 1); .01 to .05 is customary.
    """
    return _share_of(L_bar, rho, "L_bar", "rho")


def max_notional_per_order_from_equity(equity: Decimal | Amount, eta: Decimal | float) -> Decimal:
    """Largest notional of one order: a share `eta` in (0, 1) of equity; .001 to .01 is customary."""
    return _share_of(equity, eta, "equity", "eta")


def max_daily_loss_from_starting_equity(starting_equity: Decimal | Amount, delta: Decimal | float) -> Decimal:
    """Loss at which the day is over: a share `delta` in (0, 1) of the equity it began with; .01 to .03 is customary."""
    return _share_of(starting_equity, delta, "starting_equity", "delta")


def _share_of(amount: Decimal | Amount, share: Decimal | float, amount_name: str, share_name: str) -> Decimal:
    """A share of an amount, rounded down. An amount that is not finite, not positive or absurd allows nothing: 0."""
    exact_share, exact_amount = require_share(share, share_name), to_decimal(amount, amount_name)
    return multiply_down(exact_share, exact_amount) if is_amount(exact_amount) else ZERO
