"""How much of an order goes out now: its share of the time left, its share of the book, and less when that is thin."""

from dataclasses import dataclass
from decimal import Decimal

from companion.risk._decimal import ZERO, whole_multiples
from companion.risk._instrument import InstrumentRules


@dataclass(frozen=True, kw_only=True)
class SliceBook:
    """What a slice would trade against.

    Attributes
    ----------
    price : Decimal
        Touch on the side that is taken: the ask for a purchase.
    size : Decimal
        Quantity displayed there.
    spread_ratio : float
        Present spread over the usual one.
    """

    price: Decimal
    size: Decimal
    spread_ratio: float


def smallest_order(rules: InstrumentRules, price: Decimal, *, min_notional: Decimal) -> Decimal:
    """Smallest quantity in whole steps that the instrument takes and that is worth `min_notional` at a price."""
    by_notional = _in_steps(min_notional / price, rules)
    if by_notional * price < min_notional:
        by_notional += rules.size_increment
    return max(rules.size_increment, rules.min_quantity or ZERO, by_notional)


def slice_quantity(
    left: Decimal,
    *,
    n_left: int,
    book: SliceBook,
    least: Decimal,
    rules: InstrumentRules,
    participation: Decimal,
    widening: float,
) -> Decimal:
    """Quantity of the slice to send now, in whole steps; zero to wait.

    An equal share of what is left for each of the `n_left` slices that remain, this one included. Where the spread is
    more than `widening` times its usual value, the share shrinks in proportion; what was not sent is caught up when
    the spread is itself again. No slice takes more than `participation` of the size displayed, but the last takes all
    of it. A slice below `least` waits, and what would leave less than `least` behind takes it along.

    Parameters
    ----------
    left : Decimal
        Quantity that is neither filled nor working, at least `least`.
    n_left : int
        Slices that remain until the horizon, at least 1.
    book : SliceBook
    least : Decimal
        `smallest_order`.
    rules : InstrumentRules
    participation : Decimal
        Largest share of the size displayed.
    widening : float
        Spread over its usual value up to which nothing slows down.

    Returns
    -------
    Decimal
        Not negative, at most `left`, the size displayed and the instrument's maximum.
    """
    most = min(left, book.size * (1 if n_left == 1 else participation))
    if rules.max_quantity is not None:
        most = min(most, rules.max_quantity)
    calm = Decimal(min(1.0, widening / book.spread_ratio)) if book.spread_ratio > 0 else Decimal(1)
    quantity = _in_steps(min(left / n_left * calm, most), rules)
    if quantity < least:
        return ZERO
    whole = _in_steps(left, rules)
    return whole if ZERO < whole - quantity < least and whole <= most else quantity


def _in_steps(quantity: Decimal, rules: InstrumentRules) -> Decimal:
    return whole_multiples(quantity, rules.size_increment) * rules.size_increment
