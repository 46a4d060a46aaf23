"""The one call that turns a signal into a position, and says why it is what it is."""

import math
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from companion.risk._decimal import (
    SMALLEST,
    TOO_LARGE,
    ZERO,
    Amount,
    add_up,
    as_float,
    divide_down,
    from_float,
    is_amount,
    multiply_down,
    multiply_exactly,
    multiply_up,
    refuse_unless_positive,
    to_decimal,
)
from companion.risk._instrument import Instrument, InstrumentRules
from companion.risk._sizing import Z_MAX, checked_cap, checked_fraction, checked_mu, checked_qty

LARGEST_LEVERAGE = 1000.0
HALF = Decimal("0.5")
NEARLY_EQUAL = 1e-9  # far above the rounding of three floats


class Reason(StrEnum):
    """Why a target is not what the sizing law says, in the order in which `calculate_target_position` asks."""

    SIGNAL_NOT_FINITE = "flat: the signal is not a number"
    VOLATILITY_INVALID = "flat: the volatility is not finite and positive"
    EQUITY_INVALID = "flat: the equity is not an amount"
    NO_PRICE = "flat: no usable quote and no usable close"
    NO_QUOTE = "no usable quote: priced at the last close"
    SIGNAL_CLIPPED = "capped: signal clipped to 3"
    FRACTION_CAP = "capped: fraction of equity"
    VOLATILITY_CAP = "capped: volatility target"
    QUANTITY_CAP = "capped: largest position of the configuration"
    INSTRUMENT_MAX_QUANTITY = "capped: the instrument's largest quantity"
    INSTRUMENT_MAX_NOTIONAL = "capped: the instrument's largest notional"
    BELOW_MIN_QUANTITY = "flat: less than the instrument's step or smallest quantity"
    BELOW_MIN_NOTIONAL = "flat: less than the instrument's smallest notional"


class TargetPosition(NamedTuple):
    """Signed quantity to hold, what it was sized with, and every reason why it is not more, in order."""

    quantity: Decimal
    reasons: tuple[Reason, ...]
    fraction: float
    reference_price: Decimal | None


@dataclass(frozen=True)
class SizingConfig:
    """Parameters of the sizing law, per decision interval.

    Attributes
    ----------
    kappa, z_sat : float
        Largest expected return, and the signal at which it saturates; see `mu_from_z`.
    gamma, f_max : float
        Risk aversion and largest fraction of equity (at most 1000); see `frac_from_mu_sigma`.
    sigma_target : float or None
        Allowed volatility of equity; see `vol_target_qty_cap`. None: no such cap.
    max_quantity : Decimal or None
        Largest absolute position, from liquidity for example. None: no such cap.

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

    def __post_init__(self) -> None:
        numbers = {"kappa": self.kappa, "gamma": self.gamma, "f_max": self.f_max, "z_sat": self.z_sat}
        if self.sigma_target is not None:
            numbers["sigma_target"] = self.sigma_target
        refuse_unless_positive(**numbers)
        for name, value in numbers.items():
            object.__setattr__(self, name, float(value))
        if self.f_max > LARGEST_LEVERAGE:
            raise ValueError(f"f_max must be at most {LARGEST_LEVERAGE:g} times equity, got {self.f_max}")
        if self.max_quantity is not None:
            largest = to_decimal(self.max_quantity, "max_quantity")
            if not is_amount(largest):
                raise ValueError(f"max_quantity must be finite and positive, got {largest}")
            object.__setattr__(self, "max_quantity", largest)

    @cached_property
    def exact_sigma_target(self) -> Decimal:
        """Decimal of `sigma_target`, made once; infinite without such a cap."""
        return from_float(self.sigma_target or math.inf)


def reference_price(
    bid: Decimal | Amount | None, ask: Decimal | Amount | None, last_close: Decimal | Amount | None
) -> tuple[Decimal | None, Reason | None]:
    """Price to size with: the mid of a sound quote, else the last close, else none.

    A quote is sound if both prices are finite and positive, and the ask is neither below the bid nor more than twice
    it: the mid of a stub quote, .01 bid and 100 asked, is nobody's price. The reason says which rung of the ladder was
    left: None for the mid, `Reason.NO_QUOTE` for the close, `Reason.NO_PRICE` for none.
    """
    if bid is not None and ask is not None:
        low, high = to_decimal(bid, "bid"), to_decimal(ask, "ask")
        if low.is_finite() and high.is_finite() and SMALLEST <= low <= high < TOO_LARGE and high <= add_up(low, low):
            return multiply_up(add_up(low, high), HALF), None
    if last_close is not None:
        close = to_decimal(last_close, "last_close")
        if is_amount(close):
            return close, Reason.NO_QUOTE
    return None, Reason.NO_PRICE


def calculate_target_position(
    signal_strength: float,
    volatility: float,
    *,
    equity: Decimal | Amount | None,
    instrument: Instrument,
    config: SizingConfig,
    bid: Decimal | Amount | None = None,
    ask: Decimal | Amount | None = None,
    last_close: Decimal | Amount | None = None,
) -> TargetPosition:
    """Signed quantity to hold now, and why: each fail-safe that fired and each cap that bound.

    Parameters
    ----------
    signal_strength : float
        Normalized signal Z in [-3, 3]; beyond, it is clipped.
    volatility : float
        Volatility per decision interval.
    equity : Decimal or amount
        In the quote currency; None or not an amount: flat.
    instrument : Instrument
        `InstrumentRules`, or anything with the same fields, which is checked on each call and takes twice as long.
    config : SizingConfig
        The sizing law.
    bid, ask, last_close : Decimal or amount
        The reference price ladder: mid, last close, flat. Decimals are the fastest; to convert floats takes half of
        the time again or more.

    Returns
    -------
    TargetPosition
        Its quantity is finite, within every cap, zero or a multiple of the step of at least the minimum, of the sign
        of the signal or zero, monotone in the absolute signal, and never grows when the volatility grows.

    Raises
    ------
    ValueError
        If the instrument's rules contradict each other or an amount is of the wrong type. Bad data is no error: flat.
    """
    rules = instrument if type(instrument) is InstrumentRules else InstrumentRules.of(instrument)
    z, sigma = as_float(signal_strength), as_float(volatility)
    money = ZERO if equity is None else to_decimal(equity, "equity")
    price, rung = reference_price(bid, ask, last_close)
    reasons = _faults(z, sigma, money)
    flat = bool(reasons)
    if rung is not None:
        reasons.append(rung)
    if flat or price is None:
        return TargetPosition(ZERO, tuple(reasons), 0.0, price)
    fraction = _fraction(z, sigma, config, reasons)
    quantity = _magnitude(abs(fraction), sigma, money, price, config, rules, reasons)
    signed = quantity.copy_negate() if quantity and z < 0 else quantity
    return TargetPosition(signed, tuple(reasons), fraction, price)


def _faults(z: float, sigma: float, equity: Decimal) -> list[Reason]:
    """Fail-safes that the data of this decision fire, the price aside."""
    faults = []
    if not math.isfinite(z):
        faults.append(Reason.SIGNAL_NOT_FINITE)
    if not 0.0 < sigma < math.inf:
        faults.append(Reason.VOLATILITY_INVALID)
    if not is_amount(equity):
        faults.append(Reason.EQUITY_INVALID)
    return faults


def _fraction(z: float, sigma: float, config: SizingConfig, reasons: list[Reason]) -> float:
    """Signed fraction of equity that the sizing law asks for."""
    if abs(z) > Z_MAX:
        reasons.append(Reason.SIGNAL_CLIPPED)
    mu = checked_mu(z, config.kappa, config.z_sat)
    fraction = checked_fraction(mu, sigma, config.gamma, config.f_max)
    if abs(fraction) == config.f_max:
        reasons.append(Reason.FRACTION_CAP)
    return fraction


def _magnitude(
    fraction: float,
    sigma: float,
    equity: Decimal,
    price: Decimal,
    config: SizingConfig,
    rules: InstrumentRules,
    reasons: list[Reason],
) -> Decimal:
    """Quantity of a fraction of equity, within every cap and executable."""
    desired, bound = _within_volatility(fraction, sigma, equity, price, config)
    if bound:
        reasons.append(Reason.VOLATILITY_CAP)
    if rules.max_notional is not None and multiply_up(desired, price) > rules.max_notional:
        desired = divide_down(rules.max_notional, price)
        reasons.append(Reason.INSTRUMENT_MAX_NOTIONAL)
    if config.max_quantity is not None and desired > config.max_quantity:
        desired = config.max_quantity
        reasons.append(Reason.QUANTITY_CAP)
    if rules.max_quantity is not None and desired > rules.max_quantity:
        desired = rules.max_quantity
        reasons.append(Reason.INSTRUMENT_MAX_QUANTITY)
    quantity = rules.executable(desired)
    if not quantity and desired:
        reasons.append(Reason.BELOW_MIN_QUANTITY)
    elif quantity and rules.min_notional is not None and multiply_down(quantity, price) < rules.min_notional:
        reasons.append(Reason.BELOW_MIN_NOTIONAL)
        return ZERO
    return quantity


def _within_volatility(
    fraction: float, sigma: float, equity: Decimal, price: Decimal, config: SizingConfig
) -> tuple[Decimal, bool]:
    """Quantity of a fraction of equity, or of the volatility cap if that is less, and whether it is."""
    # The costliest step is to make a Decimal of a float, so floats decide unless the two are nearly equal.
    load = 0.0 if config.sigma_target is None else fraction * sigma / config.sigma_target
    if load < 1.0 - NEARLY_EQUAL:
        return checked_qty(from_float(fraction), equity, price), False
    volatility, target = from_float(sigma), config.exact_sigma_target
    if load <= 1.0 + NEARLY_EQUAL and multiply_exactly(share := from_float(fraction), volatility) <= target:
        return checked_qty(share, equity, price), False
    return checked_cap(equity, price, volatility, target), True
