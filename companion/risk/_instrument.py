"""What an exchange accepts: step, minimum and maximum of an instrument, and a quantity that respects them."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from companion.risk._decimal import (
    LARGEST_POWER,
    WIDE,
    ZERO,
    Amount,
    is_amount,
    multiply_exactly,
    to_decimal,
    whole_multiples,
)


class Instrument(Protocol):
    """Fields that sizing reads. An instrument of NautilusTrader has them; None means no limit."""

    @property
    def size_precision(self) -> int:
        """Decimal places of a quantity."""

    @property
    def size_increment(self) -> Decimal | Amount:
        """Step between quantities."""

    @property
    def min_quantity(self) -> Decimal | Amount | None:
        """Smallest quantity of an order."""

    @property
    def max_quantity(self) -> Decimal | Amount | None:
        """Largest quantity of an order."""

    @property
    def min_notional(self) -> Decimal | Amount | None:
        """Smallest quantity times price, in the quote currency."""

    @property
    def max_notional(self) -> Decimal | Amount | None:
        """Largest quantity times price, in the quote currency."""


@dataclass(frozen=True)
class InstrumentRules:
    """Checked rules of one instrument whose notional is quantity × price. Immutable: check once, size often.

    Attributes
    ----------
    size_precision : int
        Decimal places of a quantity, 0 to 18.
    size_increment : Decimal
        Step between quantities, a multiple of ``10**-size_precision``.
    min_quantity : Decimal or None
        Smallest quantity, in the base currency.
    max_quantity : Decimal or None
        Largest quantity, in the base currency.
    min_notional : Decimal or None
        Smallest quantity × price, in the quote currency.
    max_notional : Decimal or None
        Largest quantity × price, in the quote currency.

    Raises
    ------
    ValueError
        Names the field that is missing, not an amount, or contradicts another.
    """

    size_precision: int
    size_increment: Decimal
    min_quantity: Decimal | None = None
    max_quantity: Decimal | None = None
    min_notional: Decimal | None = None
    max_notional: Decimal | None = None

    def __post_init__(self) -> None:
        if not hasattr(self.size_precision, "__index__") or self.size_precision not in range(LARGEST_POWER + 1):
            raise ValueError(f"size_precision must be an integer from 0 to {LARGEST_POWER}, got {self.size_precision}")
        object.__setattr__(self, "size_precision", int(self.size_precision))
        step = to_decimal(self.size_increment, "size_increment")
        if not is_amount(step) or (printed := WIDE.quantize(step, Decimal((0, (1,), -self.size_precision)))) != step:
            raise ValueError(f"size_increment must be positive with {self.size_precision} places, got {step}")
        object.__setattr__(self, "size_increment", printed)
        for kind in ("quantity", "notional"):
            low, high = (self._checked_limit(f"{end}_{kind}") for end in ("min", "max"))
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{kind} must not exceed max_{kind}, got {low} and {high}")

    @classmethod
    def of(cls, instrument: Instrument) -> "InstrumentRules":
        """Rules of any instrument, a Nautilus one included.

        Raises
        ------
        ValueError
            Also for an inverse contract or a multiplier other than 1, whose notional is not quantity × price.
        """
        if isinstance(instrument, cls):
            return instrument
        multiplier = to_decimal(getattr(instrument, "multiplier", 1), "multiplier")
        if getattr(instrument, "is_inverse", False) or multiplier != 1:
            raise ValueError(f"instrument must be linear with multiplier 1, got {instrument!r}")
        try:
            return cls(**{name: getattr(instrument, name) for name in cls.__dataclass_fields__})
        except AttributeError as error:
            raise ValueError(f"instrument must have the field {error.name}, got {instrument!r}") from None

    def executable(self, magnitude: Decimal) -> Decimal:
        """Largest quantity up to a magnitude in whole steps; zero if that is less than the smallest quantity."""
        # The step has size_precision places, so its multiples have, too.
        quantity = multiply_exactly(whole_multiples(magnitude, self.size_increment), self.size_increment)
        return ZERO if self.min_quantity is not None and quantity < self.min_quantity else quantity

    def _checked_limit(self, name: str) -> Decimal | None:
        if getattr(self, name) is None:
            return None
        limit = to_decimal(getattr(self, name), name)
        if not (limit.is_finite() and limit >= 0):
            raise ValueError(f"{name} must be None or finite and not negative, got {limit}")
        object.__setattr__(self, name, limit)
        return limit


def quantize_qty_to_instrument(desired_qty: Decimal, instrument: Instrument) -> Decimal:
    """Signed quantity that the instrument accepts, never larger than desired: whole steps, toward zero.

    Parameters
    ----------
    desired_qty : Decimal
        Signed, in the base currency.
    instrument : Instrument
        `InstrumentRules`, or anything with the same fields, such as an instrument of NautilusTrader.

    Returns
    -------
    Decimal
        A multiple of the step with `size_precision` places, at most `max_quantity`. Zero if that is less than
        `min_quantity`, and for a quantity that is not finite or has more digits than an amount can have.

    Raises
    ------
    ValueError
        If the instrument lacks a field or its rules contradict each other.
    """
    rules = InstrumentRules.of(instrument)
    desired = to_decimal(desired_qty, "desired_qty")
    if not desired.is_finite() or desired.adjusted() > 2 * LARGEST_POWER + 3:
        return ZERO
    magnitude = desired.copy_abs()
    quantity = rules.executable(magnitude if rules.max_quantity is None else min(magnitude, rules.max_quantity))
    return quantity.copy_sign(desired) if quantity else ZERO
