"""Exact amounts whatever the decimal context of the thread: precision, rounding and traps are this module's own.

Magnitudes are rounded down and divisors up, so that rounding can only make a position smaller.
"""

import math
from decimal import MAX_EMAX, MIN_EMIN, ROUND_DOWN, ROUND_UP, Context, Decimal, DivisionByZero, InvalidOperation
from numbers import Integral, Real
from typing import Protocol

ZERO = Decimal(0)
LARGEST_POWER = 18
SMALLEST, TOO_LARGE = Decimal("1E-18"), Decimal("1E+18")  # of money, prices and quantity steps
DIGITS = 38  # two machine words of libmpdec, and more than any account needs
_SETTING = {"Emin": MIN_EMIN, "Emax": MAX_EMAX, "traps": [InvalidOperation, DivisionByZero]}
DOWN = Context(prec=DIGITS, rounding=ROUND_DOWN, **_SETTING)  # type: ignore[arg-type]
UP = Context(prec=DIGITS, rounding=ROUND_UP, **_SETTING)  # type: ignore[arg-type]
WIDE = Context(prec=60, rounding=ROUND_DOWN, **_SETTING)  # type: ignore[arg-type]  # the largest quantity in steps
multiply_down, divide_down = DOWN.multiply, DOWN.divide
add_up, multiply_up = UP.add, UP.multiply
whole_multiples, multiply_exactly = WIDE.divide_int, WIDE.multiply


class Amount(Protocol):
    """What a Nautilus `Money`, `Price` and `Quantity` have in common."""

    def as_decimal(self) -> Decimal:
        """Return the amount without its currency."""


def to_decimal(value: Decimal | Amount | float, name: str) -> Decimal:
    """Decimal of an amount.

    Raises
    ------
    ValueError
        For anything else, text included: "100 USDT" is no number, and a library must not guess the currency.
    """
    if type(value) is Decimal:
        return value
    if hasattr(value, "as_decimal"):
        value = value.as_decimal()
    if isinstance(value, Decimal):
        return Decimal(value)
    if isinstance(value, Real) and not isinstance(value, bool):
        return Decimal(int(value)) if isinstance(value, Integral) else from_float(as_float(value))  # type: ignore[arg-type]
    raise ValueError(f"{name} must be a Decimal, a number or an amount with as_decimal(), got {value!r}")


def is_amount(value: Decimal) -> bool:
    """Whether a value can be somebody's money or price: finite, positive and of a size that occurs."""
    return value.is_finite() and SMALLEST <= value < TOO_LARGE


def from_float(value: float) -> Decimal:
    """Decimal of a float as it prints, so that 0.1 is a tenth."""
    return Decimal(repr(value))


def as_float(value: float) -> float:
    """Float of a number, NaN of what is none: None, text, a signaling NaN, an integer beyond every float."""
    if type(value) is float:
        return value
    try:
        return math.ldexp(value, 0)  # unlike float(), which reads text
    except (TypeError, ValueError, OverflowError):
        return math.nan


def refuse_unless_positive(**values: float) -> None:
    """Refuse the first parameter that is not finite and positive."""
    for name, value in values.items():
        if not 0.0 < as_float(value) < math.inf:
            raise ValueError(f"{name} must be finite and positive, got {value}")


def require_share(value: Decimal | float, name: str) -> Decimal:
    """Decimal of a share in (0, 1)."""
    share = to_decimal(value, name)
    if not (share.is_finite() and 0 < share < 1):
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    return share
