"""The settings of the sizing law, checked once."""

import math
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from companion.risk._decimal import as_float, from_float, is_amount, refuse_unless_positive, to_decimal

LARGEST_LEVERAGE = 1000.0
LARGEST_EXPONENT = 700.0  # exp of more is no float


@dataclass(frozen=True)
class SizingConfig:
    """Parameters of the sizing law. A bar is the decision interval, and nothing here is per year.

    Attributes
    ----------
    kappa : float
        Largest expected return per bar; see `mu_from_z`.
    gamma : float
        Risk aversion, without unit; see `frac_from_mu_sigma`.
    f_max : float
        Largest fraction of equity, at most 1000.
    z_sat : float
        Signal at which the expected return saturates, in the unit of Z.
    sigma_target : float or None
        Allowed volatility of equity per bar; see `vol_target_qty_cap`. None: no such cap.
    max_quantity : Decimal or None
        Largest absolute position, from liquidity for example. None: no such cap.
    sigma_floor : float
        Smallest volatility per bar that is believed; below it the target is flat, for a law that divides by the
        volatility would take the largest position on a feed that has stopped. One in a million is a tenth of what the
        calmest exchange rate shows within a second. 0: no floor.
    max_price_move : float or None
        Largest ``|log(mid / last close)|`` that is believed; beyond it, a price in another unit for example, the target
        is flat. It is checked where a sound quote and a usable last close are given. None: not checked.

    Raises
    ------
    ValueError
        Names the field that is not finite and positive.
    """

    kappa: float
    gamma: float
    f_max: float
    z_sat: float = 1.5
    sigma_target: float | None = None
    max_quantity: Decimal | None = None
    sigma_floor: float = 1e-6
    max_price_move: float | None = 0.5

    def __post_init__(self) -> None:
        numbers = {name: getattr(self, name) for name in ("kappa", "gamma", "f_max", "z_sat")}
        for name in ("sigma_target", "max_price_move"):
            if getattr(self, name) is not None:
                numbers[name] = getattr(self, name)
        refuse_unless_positive(**numbers)
        if not 0.0 <= as_float(self.sigma_floor) < math.inf:
            raise ValueError(f"sigma_floor must be finite and not negative, got {self.sigma_floor}: 0 is no floor")
        for name, value in (numbers | {"sigma_floor": self.sigma_floor}).items():
            object.__setattr__(self, name, float(value))
        if self.f_max > LARGEST_LEVERAGE:
            raise ValueError(f"f_max must be at most {LARGEST_LEVERAGE:g} times equity, got {self.f_max}")
        if self.max_quantity is not None:
            largest = to_decimal(self.max_quantity, "max_quantity")
            if not is_amount(largest):
                raise ValueError(f"max_quantity must be finite and positive, got {largest}")
            object.__setattr__(self, "max_quantity", largest)

    @cached_property
    def largest_price_ratio(self) -> Decimal:
        """Largest ratio of mid and last close, either way, made once; infinite where it is not checked."""
        move = math.inf if self.max_price_move is None else self.max_price_move
        return Decimal(f"{math.exp(move) if move < LARGEST_EXPONENT else math.inf:.9g}")  # short: it multiplies faster

    @cached_property
    def exact_sigma_target(self) -> Decimal:
        """Decimal of `sigma_target`, made once; infinite without such a cap."""
        return from_float(self.sigma_target or math.inf)
