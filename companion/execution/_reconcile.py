"""From what should be held and what is held to one order, or none: orders that still work count as if they had filled.

The plan is made anew in each pass of the control loop and remembers nothing. It never lets the position leave the span
between what is held and what is wanted by more than the dead band, whichever of the working orders fill.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from companion.risk import InstrumentRules, Posture, apply_posture
from companion.risk._decimal import TOO_LARGE, WIDE, ZERO, divide_down, is_amount, multiply_down


def delta_qty(q_target: Decimal, q_actual: Decimal, q_in_flight: Decimal = ZERO) -> Decimal:
    """What is missing, signed: ``target - (actual + in flight)``, exact. In flight is what working orders may fill."""
    return WIDE.subtract(q_target, WIDE.add(q_actual, q_in_flight))


def should_rebalance(delta_q: Decimal, eps_q: Decimal) -> bool:
    """Whether a difference is worth an order: larger than the dead band `eps_q`, either way."""
    return delta_q.copy_abs() > eps_q


@dataclass(frozen=True, slots=True)
class WorkingOrder:
    """An order that is not closed, wherever it is: not yet sent, at the venue, or with an execution algorithm.

    Attributes
    ----------
    order_id : str
        By which it can be canceled.
    remaining : Decimal
        What may still fill, signed, in the base currency.
    reduce_only : bool
        Whether the venue refuses to let it open a position. No plan relies on it: venues differ in what they do with
        one that is larger than the position.
    cancelling : bool
        Whether its cancel was sent and is not confirmed; until then it may fill.

    Raises
    ------
    ValueError
        If `remaining` is not a finite Decimal.
    """

    order_id: str
    remaining: Decimal
    reduce_only: bool = False
    cancelling: bool = False

    def __post_init__(self) -> None:
        _check_quantity("remaining", self.remaining)


@dataclass(frozen=True, slots=True)
class OrderIntent:
    """An order to send.

    Attributes
    ----------
    quantity : Decimal
        Signed, in the base currency, in whole steps of the instrument.
    reduce_only : bool
        Whether it can only shrink the position: the venue should be told so.
    """

    quantity: Decimal
    reduce_only: bool


@dataclass(frozen=True, slots=True)
class Rebalance:
    """What to do now.

    Attributes
    ----------
    order : OrderIntent or None
        What to send.
    cancel : tuple of str
        Orders to cancel; then there is no order to send before their end is confirmed.
    reasons : tuple of str
        Why the order is not all that is missing from the target; empty if nothing is, or all of it is sent.
    """

    order: OrderIntent | None
    cancel: tuple[str, ...]
    reasons: tuple[str, ...]


def plan_rebalance(
    target: Decimal,
    *,
    held: Decimal,
    working: Iterable[WorkingOrder],
    instrument: InstrumentRules,
    price: Decimal | None,
    dead_band: Decimal,
    posture: Posture = Posture.NORMAL,
    max_quantity: Decimal | None = None,
) -> Rebalance:
    """What to cancel, or else what to send, so that the position comes to the target.

    In this order: the posture bends the target; a target on the other side of zero waits until the position is closed;
    working orders on the wrong side, or beyond the target by more than the dead band, are canceled, the youngest first,
    and nothing is sent until every cancel is confirmed; then what is missing is sent, unless it is within the dead
    band, there is no price, or the venue would not take it.

    A target of zero is exact: no dead band keeps a position that should be closed. What closes the whole position is
    sent below `min_notional`, too, since venues exempt it; below `min_quantity` no venue takes it, and the reasons say
    so in each pass.

    Parameters
    ----------
    target : Decimal
        Signed quantity to hold, in the base currency.
    held : Decimal
        Signed quantity that is held, by whoever opened it.
    working : iterable of WorkingOrder
        Every order of the instrument that is not closed, oldest first.
    instrument : InstrumentRules
        What the venue accepts.
    price : Decimal or None
        A fresh mid; without one, cancels are made but nothing is sent.
    dead_band : Decimal
        Difference that is not worth an order, in the base currency; not negative.
    posture : Posture
        FREEZE holds what is held: it cancels what works and sends nothing. SHRINK_ONLY and FLATTEN never let the
        position grow or change its side.
    max_quantity : Decimal, optional
        Largest quantity of one order, besides that of the instrument; the rest follows in the next pass.

    Raises
    ------
    ValueError
        Names the quantity that is not a finite Decimal, or is negative where that makes no sense.
    """
    posture = Posture(posture)
    _check_quantity("target", target)
    _check_quantity("held", held)
    _check_quantity("dead_band", dead_band, signed=False)
    if max_quantity is not None:
        _check_quantity("max_quantity", max_quantity, signed=False)
    orders = tuple(working)
    wanted, reasons = _wanted(target, held, posture)
    band = dead_band if wanted else ZERO
    cancel = _to_cancel(orders, delta_qty(wanted, held), band if posture is Posture.NORMAL else ZERO)
    if cancel or any(order.cancelling for order in orders):
        return Rebalance(None, cancel, (*reasons, "cancel: nothing is sent until every cancel is confirmed"))
    missing = delta_qty(wanted, held, _total(orders))
    if not missing:
        return Rebalance(None, (), reasons)
    if not should_rebalance(missing, band):
        return Rebalance(None, (), (*reasons, f"dead band: {missing} is missing, at most {band} is not worth an order"))
    if price is None or not is_amount(price):
        return Rebalance(None, (), (*reasons, f"no price: {missing} is missing, and the price is {price}"))
    order, size_reasons = _order(missing, held, InstrumentRules.of(instrument), price, max_quantity)
    return Rebalance(order, (), reasons + size_reasons)


def _check_quantity(name: str, quantity: object, *, signed: bool = True) -> None:
    """Refuse what is no quantity, or is negative where that makes no sense."""
    if not (isinstance(quantity, Decimal) and quantity.is_finite() and quantity.copy_abs() < TOO_LARGE):
        raise ValueError(f"{name} must be a finite Decimal below 1E+18 in size, got {quantity!r}")
    if quantity < 0 and not signed:
        raise ValueError(f"{name} must not be negative, got {quantity}")


def _wanted(target: Decimal, held: Decimal, posture: Posture) -> tuple[Decimal, tuple[str, ...]]:
    """Where to go now: the target as the posture bends it, but not through zero while something is held."""
    wanted = apply_posture(posture, target, held)
    reasons = () if wanted == target else (f"posture: {posture} holds {wanted} instead of {target}",)
    if _opposite(wanted, held):
        return ZERO, (*reasons, f"zero first: {held} is closed before {wanted} is opened")
    return wanted, reasons


def _to_cancel(orders: Sequence[WorkingOrder], need: Decimal, band: Decimal) -> tuple[str, ...]:
    """Orders that are on the wrong side, or for which the older ones leave no room on the way from held to wanted.

    An order that is being canceled may still fill, and takes its room first.
    """
    room = WIDE.add(need.copy_abs(), band)
    used, cancel = ZERO, []
    for order in sorted(orders, key=lambda order: not order.cancelling):
        wrong_side = _opposite(order.remaining, need)
        with_it = used if wrong_side else WIDE.add(used, order.remaining.copy_abs())
        if order.cancelling:
            used = with_it
        elif wrong_side or with_it > room:
            cancel.append(order.order_id)
        else:
            used = with_it
    return tuple(cancel)


def _order(
    missing: Decimal, held: Decimal, rules: InstrumentRules, price: Decimal, max_quantity: Decimal | None
) -> tuple[OrderIntent | None, tuple[str, ...]]:
    """What the venue takes of what is missing, and why it is not all of it."""
    size, shrinks = missing.copy_abs(), _opposite(missing, held)
    closes = shrinks and size == held.copy_abs()
    limits = [size, max_quantity, rules.max_quantity, rules.max_notional and divide_down(rules.max_notional, price)]
    largest = min(limit for limit in limits if limit is not None)
    quantity = rules.executable(largest)
    if not quantity:
        smallest = max(rules.size_increment, rules.min_quantity or ZERO)
        what = f"{'dust' if closes else 'too small'}: {missing} is missing"
        return None, (f"{what}, at most {largest} may be sent, and the smallest order is {smallest}",)
    if rules.min_notional is not None and not closes and multiply_down(quantity, price) < rules.min_notional:
        return None, (f"too small: {quantity} at {price} is worth less than {rules.min_notional}",)
    reasons = () if quantity == size else (f"in parts: {quantity} of {size} now",)
    return OrderIntent(quantity.copy_sign(missing), shrinks), reasons


def _opposite(one: Decimal, other: Decimal) -> bool:
    """Whether two quantities have opposite signs; zero has none."""
    return bool(one and other) and (one < 0) != (other < 0)


def _total(orders: Iterable[WorkingOrder]) -> Decimal:
    total = ZERO
    for order in orders:
        total = WIDE.add(total, order.remaining)
    return total
