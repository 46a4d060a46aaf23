"""The canonical call: whatever it is given, a position that can not blow up, and the reason why it is what it is."""

import decimal
import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from companion.risk import (
    InstrumentRules,
    Reason,
    SizingConfig,
    calculate_target_position,
    frac_from_mu_sigma,
    mu_from_z,
    qty_from_fraction_equity_price,
    quantize_qty_to_instrument,
    reference_price,
    vol_target_qty_cap,
)
from companion.risk._decimal import DOWN, UP, is_amount, to_decimal

# 12,000 checks of the target alone, and 500 of its parts.
PROPERTY = settings(derandomize=True, deadline=None)
NAN, INF = float("nan"), float("inf")
BAD_FLOATS = [NAN, INF, -INF]
BAD_AMOUNTS = [Decimal(text) for text in ("NaN", "sNaN", "Infinity", "-Infinity", "0", "-1", "1E+18", "9E-19")]
BAD_AMOUNTS += [Decimal("1E+999999999"), Decimal("1E-999999999")]

RULES = InstrumentRules(3, Decimal("0.001"), Decimal("0.001"), Decimal(1000), Decimal(10), Decimal(5_000_000))
CONFIG = SizingConfig(kappa=0.002, gamma=1.0, f_max=2.0)
MARKET = {"equity": Decimal(100_000), "bid": Decimal("49999.5"), "ask": Decimal("50000.5"), "instrument": RULES}


def scaled(low, high, places):
    """Decimals with a number of places."""
    return st.integers(low, high).map(lambda n: Decimal(n).scaleb(-places))


def spread(low, high):
    """Decimals of every order of magnitude from ``10**low`` to ``10**high``."""
    return st.builds(
        lambda digits, power: Decimal(digits).scaleb(power - 3), st.integers(1000, 9999), st.integers(low, high)
    )


PRICED = {"equity": spread(4, 8), "bid": spread(-2, 4)}
PLACES, STEPS = st.integers(2, 18), st.integers(1, 50)
LIMITS = [st.none() | spread(*powers) for powers in ((-6, 0), (1, 8), (-4, 3), (4, 9))]  # made once: making is slow


@st.composite
def instruments(draw):
    places, steps = draw(PLACES), draw(STEPS)
    return InstrumentRules(places, Decimal(steps).scaleb(-places), *map(draw, LIMITS))


CONFIGS = st.builds(
    SizingConfig,
    kappa=st.floats(1e-4, 0.1),
    gamma=st.floats(0.5, 10.0),
    f_max=st.floats(0.1, 20.0) | st.floats(1e-3, 1000.0),
    z_sat=st.floats(0.1, 10.0),
    sigma_target=st.none() | st.floats(1e-3, 0.1) | st.floats(1e-6, 1.0),
    max_quantity=st.none() | spread(0, 8),
    sigma_floor=st.sampled_from([0.0, 1e-6, 0.01]),
    max_price_move=st.none() | st.floats(1e-3, 1e3),
)
NO_NUMBERS = [None, "1.5", "x", b"1", Decimal("sNaN"), 10**400, -(10**400), [], 1j]
AMOUNTS = st.sampled_from([*BAD_AMOUNTS, None]) | scaled(1, 10**34, 17)
HEALTHY = {
    "signal_strength": st.floats(-3.5, 3.5),
    "sigma_bar": st.floats(1e-3, 0.2),
    "leverage": st.sampled_from([1.0, 0.8]) | st.floats(0.01, 3.0),
    **PRICED,
    "width": spread(-6, -3),
    "last_close": st.floats(0.9, 1.1) | st.floats(1e-3, 1e3),
}
EXTREMES = {
    "signal_strength": st.floats() | st.sampled_from(NO_NUMBERS),
    "sigma_bar": st.floats() | st.sampled_from(NO_NUMBERS),
    "leverage": st.floats() | st.sampled_from(NO_NUMBERS),
    **dict.fromkeys(("equity", "bid", "ask", "last_close"), AMOUNTS),
}

TENTHS = st.integers(0, 9)
BROKEN = st.lists(st.sampled_from(sorted(EXTREMES)), min_size=1, max_size=3, unique=True)


@st.composite
def markets(draw):
    """Data that can be sized, and in three of ten draws one to three extreme values among it."""
    market = {name: draw(values) for name, values in HEALTHY.items()}
    market["ask"] = market["bid"] * (1 + market.pop("width"))
    market["last_close"] = market["bid"] * Decimal(repr(market["last_close"]))
    if draw(TENTHS) < 3:
        names = draw(BROKEN)
        market |= {name: draw(EXTREMES[name]) for name in names}
    return market


HOSTILE = [
    decimal.Context(prec=28),
    decimal.Context(prec=2, rounding=decimal.ROUND_UP, Emax=3, Emin=-3, traps=[]),
    decimal.Context(prec=3, rounding=decimal.ROUND_CEILING, traps=list(decimal.Context().flags)),
]


@given(markets(), instruments(), CONFIGS, st.sampled_from(HOSTILE))
@settings(PROPERTY, max_examples=6000)
def test_any_input_gives_an_executable_position_within_every_cap(market, rules, config, context):
    with decimal.localcontext(context):
        target = calculate_target_position(**market, instrument=rules, config=config)
    note(target)
    quantity = target.quantity
    assert list(target.reasons) == [reason for reason in Reason if reason in target.reasons]
    assert type(quantity) is Decimal
    assert quantity.is_finite()
    assert not quantity.is_signed() or quantity < 0
    if not quantity:
        assert target.reasons or target.fraction == 0.0
        return
    assert (quantity > 0) == (market["signal_strength"] > 0)
    assert_executable(quantity, target.reference_price, rules)
    assert_within_caps(quantity, target.reference_price, market["sigma_bar"], market["equity"], config)
    assert market["sigma_bar"] >= config.sigma_floor
    assert 0.0 < market["leverage"] < INF
    assert_believed(target, market["last_close"], config)
    assert not any(reason.startswith("flat") for reason in target.reasons)


def assert_believed(target, close, config):
    """Where the position is of a quote, the quote is near a usable close."""
    quoted = Reason.NO_QUOTE not in target.reasons
    if quoted and config.max_price_move is not None and close is not None and is_amount(close):
        move = math.log(target.reference_price / close)
        assert abs(move) <= config.max_price_move * (1 + 1e-9)


def note(*targets):
    """Count for ``--hypothesis-show-statistics`` how often a position is left, and what bound it."""
    for text in {reason.value for target in targets for reason in target.reasons}:
        event(text)
    event(f"a position: {any(target.quantity for target in targets)}")


def assert_executable(quantity, price, rules):
    size, notional = abs(Fraction(quantity)), abs(Fraction(quantity)) * Fraction(price)
    assert size % Fraction(rules.size_increment) == 0
    assert quantity.as_tuple().exponent == -rules.size_precision
    assert size >= (rules.min_quantity or 0)
    assert notional >= (rules.min_notional or 0)
    assert rules.max_quantity is None or size <= Fraction(rules.max_quantity)
    assert rules.max_notional is None or notional <= Fraction(rules.max_notional)


def assert_within_caps(quantity, price, sigma, equity, config):
    exact = lambda value: Fraction(Decimal(repr(value)))  # noqa: E731
    notional = abs(Fraction(quantity)) * Fraction(price)
    assert notional <= exact(config.f_max) * Fraction(equity)
    assert config.max_quantity is None or quantity.copy_abs() <= config.max_quantity
    if config.sigma_target is not None:
        assert notional * exact(sigma) <= exact(config.sigma_target) * Fraction(equity)


@given(
    st.lists(st.floats(0.0, 4.0), min_size=2, max_size=4),
    st.lists(st.floats(1e-3, 0.5) | st.floats(1e-6, 1e300), min_size=2, max_size=4),
    st.lists(st.floats(0.0, 3.0) | st.floats(0.0, 1e308), min_size=2, max_size=4),
    st.floats(-4.0, 4.0),
    st.floats(1e-3, 0.5),
    *PRICED.values(),
    instruments(),
    CONFIGS,
)
@settings(PROPERTY, max_examples=2000)
def test_the_target_is_monotone(signals, volatilities, leverages, z, sigma, equity, price, rules, config):
    """Three checks of a draw: an instrument and a configuration take longer to draw than the targets to calculate."""
    market = {"equity": equity, "bid": price, "ask": price, "instrument": rules, "config": config}
    assert_grows_with_the_signal_and_is_odd_in_it(signals, sigma, market)
    assert_never_grows_with_volatility(z, volatilities, market)
    assert_never_grows_when_leverage_falls(z, sigma, leverages, market)


def assert_grows_with_the_signal_and_is_odd_in_it(signals, sigma, market):
    targets = [calculate_target_position(z, sigma, **market) for z in sorted(signals)]
    note(*targets)
    long = [target.quantity for target in targets]
    assert long == sorted(long)
    short = [calculate_target_position(-z, sigma, **market).quantity for z in sorted(signals)]
    assert short == [quantity.copy_negate() for quantity in long]


def assert_never_grows_with_volatility(z, volatilities, market):
    market = market | {"config": replace(market["config"], sigma_floor=min(volatilities))}
    targets = [calculate_target_position(z, sigma, **market) for sigma in sorted(volatilities)]
    note(*targets)
    sizes = [target.quantity.copy_abs() for target in targets]
    assert sizes == sorted(sizes, reverse=True)


def assert_never_grows_when_leverage_falls(z, sigma, leverages, market):
    targets = [calculate_target_position(z, sigma, leverage=leverage, **market) for leverage in sorted(leverages)]
    note(*targets)
    sizes = [target.quantity.copy_abs() for target in targets]
    assert sizes == sorted(sizes)
    assert calculate_target_position(z, sigma, leverage=1.0, **market) == calculate_target_position(z, sigma, **market)


NEAR_ONE = [0.5, 0.9, 1 - 1e-9, 1 - 1e-15, 1.0, 1 + 1e-15, 1 + 1e-9, 1.1, 2.0]


@given(st.floats(0.1, 3.0), st.floats(1e-3, 0.5), *PRICED.values(), instruments(), CONFIGS, st.sampled_from(NEAR_ONE))
@settings(PROPERTY, max_examples=500)
def test_the_call_is_the_composition_of_its_steps(z, sigma, equity, price, rules, config, near):
    config = replace(config, sigma_floor=0.0)
    rules = replace(rules, min_notional=None, max_notional=None)
    fraction = frac_from_mu_sigma(mu_from_z(z, config.kappa, config.z_sat), sigma, config.gamma, config.f_max)
    config = replace(config, sigma_target=fraction * sigma * near)  # the cap is near the fraction, where it is decided
    desired = qty_from_fraction_equity_price(fraction, equity, price)
    capped = min(desired, vol_target_qty_cap(equity, price, sigma, config.sigma_target))
    expected = quantize_qty_to_instrument(min(capped, config.max_quantity or capped), rules)
    target = calculate_target_position(z, sigma, equity=equity, bid=price, ask=price, instrument=rules, config=config)
    assert target.quantity == expected
    assert target.fraction == fraction
    assert (Reason.VOLATILITY_CAP in target.reasons) == (capped < desired)
    if expected:
        assert_within_caps(expected, price, sigma, equity, config)


def call(z=1.0, sigma=0.03, *, config=CONFIG, **market):
    return calculate_target_position(z, sigma, config=config, **(MARKET | market))


def test_a_healthy_call_needs_no_reason():
    target = call()
    fraction = 0.002 * math.tanh(1.0 / 1.5) / 0.03**2
    assert target.reasons == ()
    assert target.reference_price == 50_000
    assert target.fraction == pytest.approx(fraction)
    assert target.quantity == Decimal(math.floor(fraction * 2 * 1000)).scaleb(-3)
    assert call(-1.0).quantity == -target.quantity


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"z": bad}, Reason.SIGNAL_NOT_FINITE) for bad in BAD_FLOATS]
    + [({"sigma": bad}, Reason.VOLATILITY_INVALID) for bad in [*BAD_FLOATS, 0.0, -0.03]]
    + [({"sigma": small}, Reason.VOLATILITY_TOO_SMALL) for small in [1e-200, 5e-324, 9.999e-7]]
    + [({"leverage": bad}, Reason.LEVERAGE_INVALID) for bad in [*BAD_FLOATS, -0.8, *NO_NUMBERS]]
    + [({"leverage": zero}, Reason.LEVERAGE_ZERO) for zero in [0.0, -0.0, 0]]
    + [({"last_close": far}, Reason.PRICE_MOVED) for far in [Decimal(50), Decimal(30_000), Decimal(83_000), 50]]
    + [({"equity": bad}, Reason.EQUITY_INVALID) for bad in [*BAD_AMOUNTS, None]]
    + [({"bid": bad}, Reason.NO_PRICE) for bad in [*BAD_AMOUNTS, None]]
    + [({"ask": bad}, Reason.NO_PRICE) for bad in [*BAD_AMOUNTS, None, Decimal("49999.4")]],
)
def test_each_fail_safe_is_flat_and_says_so(change, reason):
    target = call(**change)
    assert target.quantity == 0
    assert target.reasons == (reason,)


def test_every_fail_safe_that_fires_is_told_in_order():
    assert call(NAN, -1.0, leverage=NAN, equity=None, bid=None).reasons == (
        Reason.SIGNAL_NOT_FINITE,
        Reason.VOLATILITY_INVALID,
        Reason.LEVERAGE_INVALID,
        Reason.EQUITY_INVALID,
        Reason.NO_PRICE,
    )
    assert call(sigma=1e-200, leverage=0.0, last_close=Decimal(50)).reasons == (
        Reason.VOLATILITY_TOO_SMALL,
        Reason.LEVERAGE_ZERO,
        Reason.PRICE_MOVED,
    )


def test_leverage_scales_the_fraction_before_the_caps():
    whole, half = call(), call(leverage=0.5)
    assert half.reasons == (Reason.LEVERAGE,)
    assert half.fraction == pytest.approx(0.5 * whole.fraction)
    assert half.quantity == Decimal(math.floor(half.fraction * 2 * 1000)).scaleb(-3)
    law = CONFIG.kappa * math.tanh(1.0 / 1.5) / 0.01**2  # 11.7 of equity, of which 2 are allowed
    for leverage in (1.0, 0.5, 0.9 * 2.0 / law):
        assert call(sigma=0.01, leverage=leverage).fraction == pytest.approx(min(2.0, leverage * law))
    capped = call(3.0, 0.01, leverage=1.2)
    assert capped.reasons == (Reason.LEVERAGE, Reason.FRACTION_CAP)
    assert capped == call(3.0, 0.01)._replace(reasons=capped.reasons)


@pytest.mark.parametrize("close", [Decimal("NaN"), Decimal(0), Decimal("1E+18"), None])
def test_without_a_usable_close_the_quote_is_believed(close):
    assert call(last_close=close) == call()


@pytest.mark.parametrize("move", [0.01, 0.5, 3.0])
def test_the_largest_price_move_is_that_of_the_configuration_either_way(move):
    config = replace(CONFIG, max_price_move=move)
    for sign in (1, -1):
        near, far = (Decimal(repr(50_000 * math.exp(sign * move * part))) for part in (0.999, 1.001))
        assert call(config=config, last_close=near) == call()
        assert call(config=config, last_close=far).reasons == (Reason.PRICE_MOVED,)
        assert call(config=replace(CONFIG, max_price_move=None), last_close=far) == call()
        assert call(config=replace(CONFIG, max_price_move=1e4), last_close=far) == call()


def test_the_floor_of_the_volatility_is_that_of_the_configuration():
    config = replace(CONFIG, sigma_floor=0.01)
    assert call(sigma=0.01, config=config).quantity == 4
    assert call(sigma=math.nextafter(0.01, 0.0), config=config).reasons == (Reason.VOLATILITY_TOO_SMALL,)
    assert call(sigma=1e-200, config=replace(CONFIG, sigma_floor=0.0)).quantity == 4


@pytest.mark.parametrize(
    ("change", "reasons", "quantity"),
    [
        ({"z": 3.5}, (Reason.SIGNAL_CLIPPED, Reason.FRACTION_CAP), "4.000"),
        ({"sigma": 0.02}, (Reason.FRACTION_CAP,), "4.000"),
        ({"config": replace(CONFIG, sigma_target=0.015)}, (Reason.VOLATILITY_CAP,), "1.000"),
        ({"config": replace(CONFIG, max_quantity=Decimal("0.7"))}, (Reason.QUANTITY_CAP,), "0.700"),
        ({"instrument": replace(RULES, max_quantity=Decimal("0.5005"))}, (Reason.INSTRUMENT_MAX_QUANTITY,), "0.500"),
        ({"instrument": replace(RULES, max_notional=Decimal(60_000))}, (Reason.INSTRUMENT_MAX_NOTIONAL,), "1.200"),
        ({"instrument": replace(RULES, min_quantity=Decimal(9))}, (Reason.BELOW_MIN_QUANTITY,), "0"),
        ({"instrument": replace(RULES, min_notional=Decimal(200_000))}, (Reason.BELOW_MIN_NOTIONAL,), "0"),
        ({"instrument": replace(RULES, min_notional=Decimal(129_500))}, (), "2.590"),
        ({"equity": Decimal("0.01")}, (Reason.BELOW_MIN_QUANTITY,), "0"),
        ({"leverage": 0.5, "z": 3.5}, (Reason.SIGNAL_CLIPPED, Reason.LEVERAGE), "2.142"),
        ({"bid": None, "last_close": Decimal(40_000)}, (Reason.NO_QUOTE,), "3.237"),
        ({"z": 0.0}, (), "0.000"),
    ],
)
def test_each_cap_that_binds_is_told(change, reasons, quantity):
    target = call(**change)
    assert target.reasons == reasons
    assert target.quantity == Decimal(quantity)


def test_rounding_can_only_make_a_position_smaller():
    """Amounts of 38 digits: the exact notional of `quantity` lies between two neighbors of them."""
    quantity, price = Decimal("1.000000000000000001"), Decimal(f"1.{1:037}")
    below, above = DOWN.multiply(quantity, price), UP.multiply(quantity, price)
    rules = InstrumentRules(18, Decimal("1E-18"))

    def size(equity, rules):
        config = replace(CONFIG, f_max=1.0, max_quantity=quantity)
        return call(3.0, 1e-3, equity=equity, bid=price, ask=price, instrument=rules, config=config).quantity

    assert size(above, rules) == quantity
    assert size(above, replace(rules, max_notional=below)) < quantity
    assert size(Decimal(2), replace(rules, min_notional=above)) == 0
    for bid, ask in ((price, Decimal(f"1.{2:037}")), (Decimal(f"9.{1:037}"), Decimal(f"9.{2:037}"))):
        assert Fraction(reference_price(bid, ask, None)[0]) >= (Fraction(bid) + Fraction(ask)) / 2


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_number_is_flat(value):
    assert call(value).reasons == (Reason.SIGNAL_NOT_FINITE,)
    assert call(sigma=value).reasons == (Reason.VOLATILITY_INVALID,)
    assert mu_from_z(value, 0.01) == frac_from_mu_sigma(value, 0.1, 1.0, 2.0) == 0.0
    assert frac_from_mu_sigma(0.1, value, 1.0, 2.0) == qty_from_fraction_equity_price(value, 100, 10) == 0
    assert vol_target_qty_cap(100, 10, value, 0.02) == 0


@pytest.mark.parametrize("kind", [np.float64, np.float32, lambda value: Decimal(repr(value))])
def test_the_numbers_of_a_configuration_become_floats(kind):
    fields = {"kappa": 0.002, "gamma": 1.0, "f_max": 2.1, "z_sat": 1.5, "sigma_target": 0.015}
    config = SizingConfig(**{name: kind(value) for name, value in fields.items()})
    assert {type(getattr(config, name)) for name in fields} == {float}
    assert call(config=config).quantity == pytest.approx(Decimal(1), rel=Decimal("0.002"))
    assert Reason.FRACTION_CAP in call(3.0, 0.01, config=config).reasons


def test_caps_that_bind_one_after_the_other_are_all_told():
    config = replace(CONFIG, sigma_target=0.015, max_quantity=Decimal("0.7"))
    target = call(
        5.0, config=config, instrument=replace(RULES, max_notional=Decimal(45_000), max_quantity=Decimal("0.5"))
    )
    assert target.reasons == (
        Reason.SIGNAL_CLIPPED,
        Reason.FRACTION_CAP,
        Reason.VOLATILITY_CAP,
        Reason.INSTRUMENT_MAX_NOTIONAL,
        Reason.QUANTITY_CAP,
        Reason.INSTRUMENT_MAX_QUANTITY,
    )


def test_listing_calculate_target_position_a_volatility_cap_of_zero_is_a_cap():
    """As printed, ``if cap > 0`` skips a cap that is zero, so the absurd price that made it zero lifts the limit."""
    assert vol_target_qty_cap(Decimal(100), Decimal(0), 0.03, 0.02) == 0
    assert call(bid=Decimal("1E-20"), config=replace(CONFIG, sigma_target=0.01)).quantity == 0


def test_the_reference_price_ladder():
    bid, ask, close = Decimal("99.5"), Decimal("100.4"), Decimal(98)
    assert reference_price(bid, ask, close) == (Decimal("99.95"), None)
    assert reference_price(ask, bid, close) == (close, Reason.NO_QUOTE)
    assert reference_price(None, ask, close) == (close, Reason.NO_QUOTE)
    assert reference_price(bid, Decimal("NaN"), Decimal(0)) == (None, Reason.NO_PRICE)
    assert reference_price(None, None, None) == (None, Reason.NO_PRICE)
    assert reference_price(Decimal(50), Decimal(100), close) == (Decimal(75), None)
    assert reference_price(Decimal(50), Decimal("100.1"), close) == (close, Reason.NO_QUOTE)  # a stub


def test_the_mid_is_exact_where_the_listing_made_a_float_of_it():
    """As printed, ``str(0.5 * (bid + ask))`` is 50000.149999999994."""
    assert reference_price(Decimal("50000.1"), Decimal("50000.2"), None)[0] == Decimal("50000.15")


def test_numbers_of_numpy_are_numbers():
    assert call(np.float64(1.0), np.float64(0.03), equity=np.int64(100_000)) == call()
    assert call(np.float32(NAN)).reasons == (Reason.SIGNAL_NOT_FINITE,)
    with np.errstate(all="raise"):
        assert call(np.float64(3.0), np.float64(1e-200)).reasons == (Reason.VOLATILITY_TOO_SMALL,)


@pytest.mark.parametrize("field", ["equity", "bid", "ask"])
@pytest.mark.parametrize("text", ["100000.00 USDT", "100000", True])
def test_text_is_no_amount(field, text):
    with pytest.raises(ValueError, match=f"{field} must be a Decimal"):
        call(**{field: text})


@pytest.mark.parametrize(
    ("field", "value"),
    [(f, v) for f in ("kappa", "gamma", "f_max", "z_sat", "sigma_target") for v in (0.0, -1.0, NAN, INF, "x", 10**400)]
    + [("max_price_move", v) for v in (0.0, -1.0, NAN, INF, "x")]
    + [("sigma_floor", v) for v in (-1e-9, NAN, INF, "x", None)]
    + [("f_max", 1000.1)]
    + [("max_quantity", v) for v in BAD_AMOUNTS],
)
def test_a_wrong_configuration_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} must be"):
        replace(CONFIG, **{field: value})


def test_a_nautilus_like_instrument_sizes_like_its_rules():
    amount = lambda text: SimpleNamespace(as_decimal=lambda: Decimal(text))  # noqa: E731
    instrument = SimpleNamespace(
        size_precision=3,
        size_increment=amount("0.001"),
        min_quantity=amount("0.001"),
        max_quantity=amount("1000"),
        min_notional=amount("10"),
        max_notional=None,
        multiplier=amount("1"),
        is_inverse=False,
    )
    assert call(instrument=instrument, equity=amount("100000")) == call()


def test_nautilus_itself():
    objects = pytest.importorskip("nautilus_trader.model.objects")
    usdt = pytest.importorskip("nautilus_trader.model.currencies").USDT
    provider = pytest.importorskip("nautilus_trader.test_kit.providers").TestInstrumentProvider
    amounts = {"bid": objects.Price.from_str("49999.5"), "ask": objects.Price.from_str("50000.5")}
    target = call(instrument=provider.btcusdt_perp_binance(), equity=objects.Money(100_000, usdt), **amounts)
    assert target == call()
    assert str(objects.Quantity.from_str(str(target.quantity))) == str(target.quantity)


def test_a_decimal_of_another_class_is_one_and_an_amount_may_answer_with_a_float():
    class Money(Decimal):
        pass

    class Price:
        def as_decimal(self):
            return 100.5

    assert type(to_decimal(Money(3), "equity")) is Decimal
    assert to_decimal(Price(), "price") == Decimal("100.5")
