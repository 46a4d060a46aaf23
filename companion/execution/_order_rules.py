"""What one order must satisfy before it leaves, judged by plain numbers.

The controls are those of Article 15 of RTS 6 (Commission Delegated Regulation (EU) 2017/589), and beside them a
position, a margin, a number of open orders and a trading mode. Nothing here knows an engine or a clock: what the market
shows and what is held and at work come in as numbers, so that every rule can be checked by hand.
"""

from decimal import Decimal
from typing import NamedTuple

from companion.execution._modes import TradingMode
from companion.execution._order_limits import RiskLimits
from companion.risk import InstrumentRules
from companion.risk._decimal import ZERO


class Breach(NamedTuple):
    """Why an order may not leave.

    Attributes
    ----------
    rule : str
        Name of the limit, one word: reports count by it.
    reason : str
        The figures, in one line.
    """

    rule: str
    reason: str


class OrderFacts(NamedTuple):
    """What the rules read of an order, or of what a change would make of it.

    Attributes
    ----------
    quantity : Decimal
        Signed, positive to buy; for a change the quantity that the order would have.
    prices : tuple of Decimal
        Limit and trigger price, those that it has; none for a market order.
    filled : Decimal
        Quantity filled so far, not negative.
    flatten : bool
        Whether it was marked, by name, as one that must go out to reduce the position.
    """

    quantity: Decimal
    prices: tuple[Decimal, ...] = ()
    filled: Decimal = ZERO
    flatten: bool = False


class Exposure(NamedTuple):
    """What is held and what may still come, each order counted from the moment it was let through.

    Attributes
    ----------
    held : Decimal
        Signed position.
    buying : Decimal
        What other orders may still buy, not negative.
    selling : Decimal
        What other orders may still sell, not negative.
    n_open : int
        Number of the other orders.
    equity : Decimal or None
        Balance and what is unrealized; None where no account is known.
    margin_rate : Decimal
        Initial margin as a share of notional, leverage included.
    """

    held: Decimal
    buying: Decimal
    selling: Decimal
    n_open: int
    equity: Decimal | None
    margin_rate: Decimal

    def may_reach(self, quantity: Decimal) -> Decimal:
        """Signed position if an order and everything on its side is filled, and nothing on the other."""
        return self.held + (self.buying if quantity > 0 else -self.selling) + quantity

    def shrinks(self, quantity: Decimal) -> bool:
        """Whether an order can only reduce the position, and not turn it, whatever else is filled first."""
        return self.held * quantity < 0 and self.held * self.may_reach(quantity) >= 0


class MarketFacts(NamedTuple):
    """What the market shows.

    Attributes
    ----------
    bid : Decimal or None
        Best bid; None where there is no quote.
    ask : Decimal or None
        Best ask; None where there is no quote.
    age_s : float
        Age of the quote, in seconds.
    mid_before : Decimal or None
        Mid `period_s` ago, or the oldest known; None where none is known.
    usual_size : Decimal or None
        Smaller size at the touch, averaged over the same period.
    """

    bid: Decimal | None
    ask: Decimal | None
    age_s: float = 0.0
    mid_before: Decimal | None = None
    usual_size: Decimal | None = None


def judge_order(
    order: OrderFacts,
    *,
    instrument: InstrumentRules,
    price_increment: Decimal,
    exposure: Exposure,
    market: MarketFacts,
    limits: RiskLimits,
    mode: TradingMode,
) -> Breach | None:
    """Judge one order, or one change of an order that `exposure` then leaves out.

    Parameters
    ----------
    order : OrderFacts
    instrument : InstrumentRules
        What the exchange accepts.
    price_increment : Decimal
        The tick.
    exposure : Exposure
    market : MarketFacts
    limits : RiskLimits
    mode : TradingMode
        In REDUCING an order must shrink the position. In HALTED it must do so by name (`flatten`). Such a flatten
        passes every limit: it is bounded by what is held, and to refuse it would keep a risk.

    Returns
    -------
    Breach or None
        The first rule that is broken; None lets the order leave.
    """
    remaining = order.quantity - order.filled if order.quantity > 0 else order.quantity + order.filled
    reach = exposure.may_reach(remaining)
    shrinking = exposure.held * remaining < 0 and exposure.held * reach >= 0
    if breach := _judge_form(order, instrument, price_increment) or _judge_mode(order, shrinking, exposure, mode):
        return breach
    if order.flatten:
        return None
    bid, ask = market.bid, market.ask
    if bid is None or ask is None:
        return Breach("quote", "there is no quote")
    touch = ask if order.quantity > 0 else bid
    if breach := _judge_price(order.prices or (touch,), bid, ask, market=market, limits=limits):
        return breach
    # An order is worth the most that it can cost: its own price, or the touch where that is dearer.
    price = max(*order.prices, touch) if order.prices else touch
    if breach := _judge_size(abs(order.quantity), price, shrinking, instrument, market=market, limits=limits):
        return breach
    if exposure.n_open >= limits.max_open_orders:
        return Breach("open_orders", f"{exposure.n_open} are open, of at most {limits.max_open_orders}")
    return None if shrinking else _judge_exposure(remaining, reach, price, exposure, limits)


def _judge_form(order: OrderFacts, instrument: InstrumentRules, price_increment: Decimal) -> Breach | None:
    """Steps and sizes of the exchange: a wrong one is a rejection later, and the quantity is gone."""
    size = abs(order.quantity)
    if size % instrument.size_increment:
        return Breach("precision", f"quantity {size} is not in steps of {instrument.size_increment}")
    for price in order.prices:
        if price <= 0 or price % price_increment:
            return Breach("precision", f"price {price} is not in ticks of {price_increment}")
    if not order.filled < size:
        return Breach("instrument_size", f"quantity {size} leaves nothing to fill, {order.filled} is filled")
    if instrument.min_quantity is not None and size < instrument.min_quantity:
        return Breach("instrument_size", f"quantity {size} is below the instrument's {instrument.min_quantity}")
    if instrument.max_quantity is not None and size > instrument.max_quantity:
        return Breach("instrument_size", f"quantity {size} is above the instrument's {instrument.max_quantity}")
    return None


def _judge_mode(order: OrderFacts, shrinking: bool, exposure: Exposure, mode: TradingMode) -> Breach | None:
    if not shrinking and (order.flatten or mode is TradingMode.REDUCING):
        at_work = f"with {exposure.buying} to buy and {exposure.selling} to sell at work"
        reason = f"{order.quantity} could do more than shrink a position of {exposure.held}, {at_work}"
        return Breach("flatten" if order.flatten else "reducing", reason)
    if mode is TradingMode.HALTED and not order.flatten:
        return Breach("halted", "nothing passes but an order that flattens by name")
    return None


def _judge_price(
    prices: tuple[Decimal, ...], bid: Decimal, ask: Decimal, *, market: MarketFacts, limits: RiskLimits
) -> Breach | None:
    if not 0 < bid <= ask:
        return Breach("quote", f"bid {bid} and ask {ask} are no market")
    if not market.age_s <= limits.max_quote_age_s:
        return Breach("quote", f"the quote is {market.age_s:.3f} s old, beyond {limits.max_quote_age_s:g} s")
    mid, before = (bid + ask) / 2, market.mid_before
    for price in prices:
        if abs(price - mid) > limits.price_collar * mid:
            away = f"{price} is {abs(price - mid) / mid:.2%} from the mid {mid}"
            return Breach("price_collar", f"{away}, beyond {limits.price_collar:.2%}")
    if before is not None and abs(mid - before) > limits.period_collar * before:
        moved = f"the mid {mid} is {abs(mid - before) / before:.2%} from {before}, {limits.period_s:g} s ago"
        return Breach("period_collar", f"{moved}, beyond {limits.period_collar:.2%}")
    return None


def _judge_size(
    size: Decimal,
    price: Decimal,
    shrinking: bool,
    instrument: InstrumentRules,
    *,
    market: MarketFacts,
    limits: RiskLimits,
) -> Breach | None:
    """Volume and value, ours and the exchange's. What is left of a position may be worth less than a new one."""
    if size > limits.max_order_quantity:
        return Breach("order_quantity", f"{size} is above {limits.max_order_quantity}")
    if limits.max_liquidity_share is not None:
        largest = limits.max_liquidity_share * (market.usual_size or ZERO)
        if size > largest:
            usual = f"{limits.max_liquidity_share:.2%} of the usual size at the touch"
            return Breach("order_liquidity", f"{size} is above {largest:.6g}, {usual}")
    notional = size * price
    if notional > limits.max_order_notional:
        return Breach("order_notional", f"{notional} is above {limits.max_order_notional}")
    if instrument.max_notional is not None and notional > instrument.max_notional:
        return Breach("instrument_size", f"notional {notional} is above the instrument's {instrument.max_notional}")
    if instrument.min_notional is not None and notional < instrument.min_notional and not shrinking:
        return Breach("instrument_size", f"notional {notional} is below the instrument's {instrument.min_notional}")
    return None


def _judge_exposure(
    remaining: Decimal, reach: Decimal, price: Decimal, exposure: Exposure, limits: RiskLimits
) -> Breach | None:
    """Position and margin, if everything at work on this side is filled and nothing on the other."""
    if abs(reach) > limits.max_position and reach * remaining > 0:
        return Breach("position", f"{remaining} could lead to {reach}, beyond {limits.max_position}")
    if exposure.equity is None:
        return Breach("equity", "the equity of a margin account is not known")
    margin = abs(reach) * price * exposure.margin_rate
    if margin > exposure.equity:
        return Breach("margin", f"a position of {reach} needs {margin:.2f}, the equity is {exposure.equity:.2f}")
    return None
