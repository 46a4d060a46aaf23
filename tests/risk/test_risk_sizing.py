"""The sizing law step by step, and each row of the errata that concerns it, named after its listing."""

import math
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.risk import (
    InstrumentRules,
    frac_from_mu_sigma,
    growth_of_estimated_kelly,
    growth_rate,
    kelly_fraction,
    mu_from_z,
    optimal_fraction,
    qty_from_fraction_equity_price,
    quantize_qty_to_instrument,
    simulate_growth,
    simulate_returns,
    vol_target_qty_cap,
)

PROPERTY = settings(derandomize=True, deadline=None, max_examples=500)
NAN, INF = float("nan"), float("inf")
STEP = InstrumentRules(3, Decimal("0.001"))
MU, SIGMA = 0.08, 0.2


class Money:
    """Prints like a Nautilus `Money`, so that `Decimal(str(money))` fails."""

    def __init__(self, amount):
        self.amount = amount

    def as_decimal(self):
        return Decimal(self.amount)

    def __str__(self):
        return f"{self.amount} USDT"


@pytest.mark.parametrize("z", [NAN, INF, -INF])
def test_listing_mu_from_z_a_missing_signal_is_no_maximum_long(z):
    """As printed, ``max(-3, min(3, nan))`` is 3."""
    assert mu_from_z(z, 0.01) == 0.0


def test_mu_saturates_at_kappa_and_is_clipped_at_three():
    assert mu_from_z(0.0, 0.01) == 0.0
    assert mu_from_z(1.5, 0.01) == pytest.approx(0.01 * math.tanh(1.0))
    assert mu_from_z(50.0, 0.01) == mu_from_z(3.0, 0.01) < 0.01
    assert mu_from_z(-2.0, 0.01, z_sat=1.0) == -mu_from_z(2.0, 0.01, z_sat=1.0)
    assert mu_from_z(1e-6, 0.01, z_sat=2.0) == pytest.approx(0.01 * 1e-6 / 2.0)


@pytest.mark.parametrize("gamma", [0.0, -1.0, NAN, INF])
def test_listing_frac_from_mu_sigma_refuses_a_risk_aversion_that_flips_the_sign(gamma):
    with pytest.raises(ValueError, match="gamma must be finite and positive"):
        frac_from_mu_sigma(0.01, 0.03, gamma, 1.0)


@pytest.mark.parametrize(
    ("mu", "sigma"), [(NAN, 0.03), (INF, 0.03), (-INF, 0.03), (0.01, NAN), (0.01, INF), (0.01, 0.0), (0.01, -1.0)]
)
def test_listing_frac_from_mu_sigma_bad_data_is_flat(mu, sigma):
    assert frac_from_mu_sigma(mu, sigma, 1.0, 2.0) == 0.0


@given(st.floats(-1e300, 1e300), st.floats(1e-320, 1e300), st.floats(0.01, 100.0), st.floats(0.01, 100.0))
@PROPERTY
def test_the_fraction_is_bounded_and_of_the_sign_of_the_drift(mu, sigma, gamma, f_max):
    fraction = frac_from_mu_sigma(mu, sigma, gamma, f_max)
    assert abs(fraction) <= f_max
    assert fraction * math.copysign(1.0, mu) >= 0.0


def test_the_fraction_is_mertons():
    assert frac_from_mu_sigma(0.08, 0.2, 1.0, 9.0) == pytest.approx(2.0)
    assert frac_from_mu_sigma(0.08, 0.2, 2.0, 9.0) == pytest.approx(1.0)
    assert frac_from_mu_sigma(-0.08, 0.2, 1.0, 1.5) == -1.5


@pytest.mark.parametrize("name", ["kappa", "z_sat"])
@pytest.mark.parametrize("value", [0.0, -1.0, NAN, INF])
def test_mu_from_z_refuses_its_parameters(name, value):
    with pytest.raises(ValueError, match=f"{name} must be finite and positive"):
        mu_from_z(1.0, **({"kappa": 0.01} | {name: value}))


def test_listing_qty_from_fraction_equity_price_takes_an_amount_with_a_currency():
    """As printed, ``Decimal(str(money))`` raises InvalidOperation."""
    assert qty_from_fraction_equity_price(-0.3, Money("1000"), Money("50")) == Decimal("-6")
    with pytest.raises(ValueError, match="equity must be a Decimal"):
        qty_from_fraction_equity_price(0.3, "1000 USDT", Decimal(50))


def test_a_tenth_is_a_tenth():
    assert qty_from_fraction_equity_price(0.1, Decimal(1000), Decimal(100)) == 1
    assert vol_target_qty_cap(Decimal(1000), Decimal(100), 0.1, 0.01) == 1


def test_what_has_no_end_is_cut_off_below():
    for quantity in (
        qty_from_fraction_equity_price(1.0, Decimal(2), Decimal(3)),
        qty_from_fraction_equity_price(-1.0, Decimal(2), Decimal(3)).copy_abs(),
        vol_target_qty_cap(Decimal(2), Decimal(3), 1.0, 1.0),
        vol_target_qty_cap(Decimal(2), Decimal(1), 3.0, 1.0),
    ):
        assert 0 < Fraction(2, 3) - Fraction(quantity) < Fraction(1, 10**36)


@pytest.mark.parametrize("bad", ["NaN", "sNaN", "Infinity", "0", "-5", "1E+30"])
def test_an_absurd_amount_is_flat(bad):
    good = Decimal(100)
    for equity, price in ((Decimal(bad), good), (good, Decimal(bad))):
        assert qty_from_fraction_equity_price(0.5, equity, price) == 0
        assert vol_target_qty_cap(equity, price, 0.03, 0.02) == 0


@pytest.mark.parametrize("sigma", [NAN, INF, 0.0, -0.1])
def test_no_volatility_allows_nothing(sigma):
    assert vol_target_qty_cap(Decimal(100), Decimal(10), sigma, 0.02) == 0
    with pytest.raises(ValueError, match="sigma_target"):
        vol_target_qty_cap(Decimal(100), Decimal(10), 0.03, sigma)


def test_a_fraction_that_is_no_number_is_flat():
    for fraction in (NAN, INF, -INF):
        assert qty_from_fraction_equity_price(fraction, Decimal(100), Decimal(10)) == 0


def test_listing_quantize_qty_to_instrument_no_minimum_means_no_limit():
    """As printed, ``Decimal(str(None))`` raises InvalidOperation."""
    assert STEP.min_quantity is None
    assert quantize_qty_to_instrument(Decimal("0.0014"), STEP) == Decimal("0.001")


@pytest.mark.parametrize("bad", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+300"])
def test_listing_quantize_qty_to_instrument_no_number_is_no_quantity(bad):
    assert quantize_qty_to_instrument(Decimal(bad), STEP) == 0


def test_listing_quantize_qty_to_instrument_refuses_to_guess_the_step():
    """As printed, an instrument without a step gets 0.001."""
    with pytest.raises(ValueError, match="instrument must have the field size_"):
        quantize_qty_to_instrument(Decimal(1), SimpleNamespace())


@given(
    st.decimals(allow_nan=True, allow_infinity=True),
    st.integers(0, 18),
    st.integers(1, 999),
    st.none() | st.integers(0, 10**6),
)
@settings(PROPERTY, max_examples=1000)
def test_a_quantity_is_the_largest_multiple_of_the_step_toward_zero(desired, places, steps, minimum):
    step = Decimal(steps).scaleb(-places)
    rules = InstrumentRules(places, step, min_quantity=None if minimum is None else Decimal(minimum))
    quantity = quantize_qty_to_instrument(desired, rules)
    assert quantity.is_finite()
    if not desired.is_finite() or desired.adjusted() > 39:
        assert quantity == 0
        return
    expected = abs(Fraction(desired)) // Fraction(step) * Fraction(step)
    expected = 0 if expected < (minimum or 0) else expected
    assert Fraction(quantity) == (-expected if desired < 0 else expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size_precision": -1}, "size_precision"),
        ({"size_precision": 2.5}, "size_precision"),
        ({"size_precision": 3.0}, "size_precision"),
        ({"size_increment": Decimal(0)}, "size_increment"),
        ({"size_increment": Decimal("NaN")}, "size_increment"),
        ({"size_increment": Decimal("0.0005")}, "size_increment must be positive with 3 places"),
        ({"size_increment": "0.001"}, "size_increment must be a Decimal"),
        ({"min_quantity": Decimal(-1)}, "min_quantity must be None or finite"),
        ({"max_notional": Decimal("Infinity")}, "max_notional must be None or finite"),
        ({"min_quantity": Decimal(2), "max_quantity": Decimal(1)}, "min_quantity must not exceed max_quantity"),
    ],
)
def test_rules_that_contradict_themselves_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        InstrumentRules(**({"size_precision": 3, "size_increment": Decimal("0.001")} | fields))


def test_a_precision_of_numpy_is_an_integer():
    rules = InstrumentRules(np.int64(3), Decimal("0.001"))
    assert type(rules.size_precision) is int
    assert quantize_qty_to_instrument(Decimal("0.0015"), rules) == Decimal("0.001")


@pytest.mark.parametrize("odd", [{"is_inverse": True}, {"multiplier": Decimal(10)}])
def test_a_contract_whose_notional_is_not_quantity_times_price_is_refused(odd):
    with pytest.raises(ValueError, match="linear with multiplier 1"):
        InstrumentRules.of(SimpleNamespace(**(vars(STEP) | odd)))


def test_the_simulated_growth_optimum_is_the_kelly_fraction():
    years, n_samples = 200, 200
    returns = simulate_returns(mu=MU, sigma=SIGMA, n_paths=n_samples, n_bars=252 * years, dt=1 / 252, seed=4)
    estimates = [optimal_fraction(sample) for sample in returns]
    fraction, error = np.array(estimates).T
    np.testing.assert_allclose(error, 1 / (SIGMA * np.sqrt(years)), rtol=0.05)
    covered = np.mean(np.abs(fraction - kelly_fraction(MU, SIGMA)) < 1.96 * error)
    assert 0.91 < covered < 0.985  # 95 % ± 2.6 standard errors of a share of 200
    assert abs(fraction.mean() - kelly_fraction(MU, SIGMA)) < fraction.std() / np.sqrt(n_samples)


def test_simulated_growth_is_the_closed_form():
    fractions = np.array([0.0, 0.5, 1.0, 2.0, 3.0, 4.0])
    growth = simulate_growth(fractions, mu=MU, sigma=SIGMA, years=10, n_paths=2000, seed=5)
    error = growth.std(axis=0) / np.sqrt(len(growth))
    assert np.all(np.abs(growth.mean(axis=0) - growth_rate(fractions, mu=MU, sigma=SIGMA)) <= 3 * error)
    np.testing.assert_allclose(growth.std(axis=0), fractions * SIGMA / np.sqrt(10), rtol=0.06)


def test_growth_is_per_year_that_was_simulated():
    market = {"mu": MU, "sigma": SIGMA, "n_paths": 3, "seed": 1}
    two_bars = simulate_growth([1.0], years=2 / 252, **market)
    np.testing.assert_array_equal(simulate_growth([1.0], years=1.5 / 252, **market), two_bars)
    with pytest.raises(ValueError, match="years must hold a bar"):
        simulate_growth([1.0], years=1 / 504, **market)


@pytest.mark.parametrize("mu", [NAN, INF, None])
def test_a_drift_that_is_no_number_is_refused(mu):
    years = {"years": 1.0}
    for call in (
        lambda: kelly_fraction(mu, SIGMA),
        lambda: growth_rate(1.0, mu=mu, sigma=SIGMA),
        lambda: growth_of_estimated_kelly(1.0, mu=mu, sigma=SIGMA, **years),
        lambda: simulate_growth(1.0, mu=mu, sigma=SIGMA, n_paths=1, seed=1, **years),
    ):
        with pytest.raises(ValueError, match="mu must be finite"):
            call()


def test_growth_is_zero_at_twice_kelly_and_ruin_is_minus_infinity():
    assert growth_rate(2 * kelly_fraction(MU, SIGMA), mu=MU, sigma=SIGMA) == pytest.approx(0.0)
    ruined = simulate_growth([1.0, 500.0], mu=MU, sigma=SIGMA, years=1, n_paths=2, seed=1)
    assert np.all(np.isfinite(ruined[:, 0]))
    assert np.all(np.isneginf(ruined[:, 1]))


def test_what_an_estimated_drift_costs_is_what_a_simulation_says():
    years, multiples = 5.0, np.array([0.25, 0.5, 1.0])
    estimate = MU + SIGMA / np.sqrt(years) * np.random.default_rng(3).standard_normal(200_000)
    held = multiples * kelly_fraction(1.0, SIGMA) * estimate[:, None]
    growth = growth_rate(held, mu=MU, sigma=SIGMA)
    expected = growth_of_estimated_kelly(multiples, mu=MU, sigma=SIGMA, years=years)
    assert np.all(np.abs(growth.mean(axis=0) - expected) < 3 * growth.std(axis=0) / np.sqrt(len(growth)))


def test_half_kelly_is_best_when_the_history_is_one_over_the_squared_sharpe_ratio():
    grid = np.linspace(0.0, 1.0, 101)
    growth = growth_of_estimated_kelly(grid, mu=MU, sigma=SIGMA, years=(SIGMA / MU) ** 2)
    assert grid[np.argmax(growth)] == 0.5
    assert growth[-1] == pytest.approx(0.0)


@pytest.mark.parametrize("returns", [[0.1, 0.2], [-0.1, -0.2], [], [0.1, NAN]])
def test_a_sample_without_an_optimum_is_refused(returns):
    with pytest.raises(ValueError, match="gains and losses"):
        optimal_fraction(returns)
