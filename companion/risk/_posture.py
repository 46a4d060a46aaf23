"""What a desk does with its target while a limit is broken: nothing new, only less, or nothing at all."""

from decimal import Decimal
from enum import StrEnum

from companion.risk._decimal import ZERO, Amount, to_decimal


class Posture(StrEnum):
    """What a desk does with its target, from the mildest to the strictest.

    Attributes
    ----------
    NORMAL
        Hold the target.
    FREEZE
        Hold what is held: no order at all.
    SHRINK_ONLY
        Follow the target towards zero, never away from it and never through it.
    FLATTEN
        Hold nothing.
    """

    NORMAL = "normal"
    FREEZE = "freeze"
    SHRINK_ONLY = "shrink_only"
    FLATTEN = "flatten"


_SEVERITY = {posture: severity for severity, posture in enumerate(Posture)}


def strictest(*postures: Posture) -> Posture:
    """The strictest of several postures, `Posture.NORMAL` of none."""
    return max(postures, key=_SEVERITY.__getitem__, default=Posture.NORMAL)


def apply_posture(posture: Posture, target: Decimal | Amount, held: Decimal | Amount) -> Decimal:
    """Quantity to hold, given what the sizing law wants and what is held, both signed.

    Raises
    ------
    ValueError
        If there is no such posture, or a quantity is not finite.
    """
    wanted, now = to_decimal(target, "target"), to_decimal(held, "held")
    for name, quantity in (("target", wanted), ("held", now)):
        if not quantity.is_finite():
            raise ValueError(f"{name} must be a finite quantity, got {quantity}")
    match Posture(posture):
        case Posture.NORMAL:
            return wanted
        case Posture.FREEZE:
            return now
        case Posture.SHRINK_ONLY:
            return max(ZERO, min(wanted, now)) if now > 0 else min(ZERO, max(wanted, now))
        case Posture.FLATTEN:
            return ZERO
