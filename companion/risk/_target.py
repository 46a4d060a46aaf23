"""The one call that turns a signal into a position, and says why it is what it is."""

import math
from decimal import Decimal
from enum import StrEnum
from functools import partial
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
    to_decimal,
)
from companion.risk._instrument import Instrument, InstrumentRules
from companion.risk._sizing import Z_MAX, checked_cap, checked_fraction, checked_mu, checked_qty
from companion.risk._sizing_config import SizingConfig

HALF = Decimal("0.5")
NEARLY_EQUAL = 1e-9  # far above the rounding of three floats


class Reason(StrEnum):
    """Why a target is not what the sizing law says, in the order in which the reasons of one target come."""

    SIGNAL_NOT_FINITE = "flat: the signal is not a number"
    VOLATILITY_INVALID = "flat: the volatility is not finite and positive"
    VOLATILITY_TOO_SMALL = "flat: a volatility below the floor is a broken feed"
    LEVERAGE_INVALID = "flat: the leverage is not finite, or negative"
    LEVERAGE_ZERO = "flat: the leverage is 0"
    EQUITY_INVALID = "flat: the equity is not an amount"
    NO_PRICE = "flat: no usable quote and no usable close"
    NO_QUOTE = "no usable quote: priced at the last close"
    PRICE_MOVED = "flat: the quote is too far from the last close"
    SIGNAL_CLIPPED = "capped: signal clipped to 3"
    LEVERAGE = "scaled: leverage other than 1"
    FRACTION_CAP = "capped: fraction of equity"
    VOLATILITY_CAP = "capped: volatility target"
    INSTRUMENT_MAX_NOTIONAL = "capped: the instrument's largest notional"
    QUANTITY_CAP = "capped: largest position of the configuration"
    INSTRUMENT_MAX_QUANTITY = "capped: the instrument's largest quantity"
    BELOW_MIN_QUANTITY = "flat: less than the instrument's step or smallest quantity"
    BELOW_MIN_NOTIONAL = "flat: less than the instrument's smallest notional"


class TargetPosition(NamedTuple):
    """Signed quantity to hold, what it was sized with, and every reason why it is not more, in order."""

    quantity: Decimal
    reasons: tuple[Reason, ...]
    fraction: float
    reference_price: Decimal | None


_target = partial(tuple.__new__, TargetPosition)  # less than half the time of the constructor


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
    sigma_bar: float,
    *,
    leverage: float = 1.0,
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
    sigma_bar : float
        Volatility of one bar, the decision interval, as `rolling_volatility` gives it without `bars_per_year`; an
        annual one is 16 times as large where bars are days. Below `config.sigma_floor`: flat.
    leverage : float
        From `dimmer`, `ramp` or `kelly_leverage`: the fraction that the law asks for is multiplied by it before any
        cap. 0, NaN, infinite or negative: flat.
    equity : Decimal or amount
        In the quote currency; None or not an amount: flat.
    instrument : Instrument
        `InstrumentRules`, or anything with the same fields, which is checked on each call and takes twice as long.
    config : SizingConfig
        The sizing law.
    bid, ask, last_close : Decimal or amount
        The reference price ladder: mid, last close, flat. A mid too far from the last close is flat, too
        (`config.max_price_move`); without a last close there is nothing to check it against. Decimals are the
        fastest; to convert floats takes half of the time again or more.

    Returns
    -------
    TargetPosition
        Its quantity is finite, within every cap, zero or a multiple of the step of at least the minimum, of the sign
        of the signal or zero, monotone in the absolute signal, and never grows when the leverage falls or the
        volatility grows, from its floor on. The reasons come in the order of `Reason`.

    Raises
    ------
    ValueError
        If the instrument's rules contradict each other or an amount is of the wrong type. Bad data is no error: flat.
    """
    rules = instrument if type(instrument) is InstrumentRules else InstrumentRules.of(instrument)
    z, sigma, scale = as_float(signal_strength), as_float(sigma_bar), as_float(leverage)
    money = ZERO if equity is None else to_decimal(equity, "equity")
    price, rung = reference_price(bid, ask, last_close)
    reasons = _faults(z, sigma, scale, money, config)
    flat = bool(reasons)
    if rung is not None:
        reasons.append(rung)
    elif price is not None and last_close is not None and _far(price, to_decimal(last_close, "last_close"), config):
        reasons.append(Reason.PRICE_MOVED)
        flat = True
    if flat or price is None:
        return TargetPosition(ZERO, tuple(reasons), 0.0, price)
    fraction = _fraction(z, sigma, scale, config, reasons)
    quantity = _magnitude(abs(fraction), sigma, money, price, config, rules, reasons)
    signed = quantity.copy_negate() if z < 0.0 and quantity else quantity
    return _target((signed, tuple(reasons) if reasons else (), fraction, price))


def _faults(z: float, sigma: float, leverage: float, equity: Decimal, config: SizingConfig) -> list[Reason]:
    """Fail-safes that the data of this decision fire, the price aside."""
    faults = []
    if not math.isfinite(z):
        faults.append(Reason.SIGNAL_NOT_FINITE)
    if not 0.0 < sigma < math.inf:
        faults.append(Reason.VOLATILITY_INVALID)
    elif sigma < config.sigma_floor:
        faults.append(Reason.VOLATILITY_TOO_SMALL)
    if not 0.0 < leverage < math.inf:
        faults.append(Reason.LEVERAGE_ZERO if leverage == 0.0 else Reason.LEVERAGE_INVALID)
    if not is_amount(equity):
        faults.append(Reason.EQUITY_INVALID)
    return faults


def _far(price: Decimal, close: Decimal, config: SizingConfig) -> bool:
    """Whether a price is too far from a usable close, up or down."""
    if not is_amount(close):
        return False
    low, high = (close, price) if close < price else (price, close)
    return high > multiply_up(low, config.largest_price_ratio)


def _fraction(z: float, sigma: float, leverage: float, config: SizingConfig, reasons: list[Reason]) -> float:
    """Signed fraction of equity that the sizing law asks for, times the leverage."""
    if abs(z) > Z_MAX:
        reasons.append(Reason.SIGNAL_CLIPPED)
    if leverage != 1.0:
        reasons.append(Reason.LEVERAGE)
    mu = leverage * checked_mu(z, config.kappa, config.z_sat)
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
