"""Power analysis: the published variance, a simulation of it, and its inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.backtest import power_of, sharpe_difference_error, years_to_detect

PROPERTY = settings(derandomize=True, deadline=None, max_examples=50)


@given(
    sharpe=st.floats(-2.0, 2.0),
    difference=st.floats(-2.0, 2.0),
    correlation=st.floats(-0.99, 0.99),
    year=st.floats(4.0, 400.0),
)
@PROPERTY
def test_the_error_is_that_of_memmel(sharpe, difference, correlation, year):
    """Memmel (2003), equation 2, in ratios per bar, and the bars of a year."""
    a, b = (sharpe + difference) / np.sqrt(year), sharpe / np.sqrt(year)
    variance = (2 - 2 * correlation + (a**2 + b**2 - 2 * a * b * correlation**2) / 2) / year
    error = sharpe_difference_error(difference, correlation=correlation, sharpe=sharpe, bars_per_year=year)
    assert error == pytest.approx(np.sqrt(year * variance), rel=1e-9)


@pytest.mark.parametrize(("degrees", "kurtosis"), [(np.inf, 3.0), (10.0, 4.0)])
def test_the_error_is_what_a_simulation_shows(degrees, kurtosis):
    """Ratios of half their standard deviation a bar, so that the tails matter: 10,000 histories of 600 bars."""
    rng = np.random.default_rng(0)
    shocks = rng.normal(size=(10_000, 2, 600))
    shocks[:, 1] = 0.6 * shocks[:, 0] + 0.8 * shocks[:, 1]
    if np.isfinite(degrees):
        shocks *= np.sqrt((degrees - 2.0) / rng.chisquare(degrees, (10_000, 1, 600)))
    shocks += np.array([0.7, 0.5])[:, None]
    ratios = shocks.mean(axis=2) / shocks.std(axis=2, ddof=1)
    error = sharpe_difference_error(0.2, correlation=0.6, sharpe=0.5, kurtosis=kurtosis, bars_per_year=1)
    assert (ratios[:, 0] - ratios[:, 1]).std() * np.sqrt(600) == pytest.approx(error, rel=0.03)


@given(
    difference=st.floats(0.02, 2.0),
    correlation=st.floats(0.0, 0.98),
    power=st.floats(0.1, 0.99),
    level=st.floats(0.001, 0.15),
    kurtosis=st.floats(3.0, 20.0),
)
@PROPERTY
def test_years_and_power_are_each_other_turned_around(difference, correlation, power, level, kurtosis):
    options = {"correlation": correlation, "kurtosis": kurtosis, "level": level}
    years = years_to_detect(difference, power=power, **options)
    assert power_of(difference, years=years, **options) == pytest.approx(power, abs=1e-9)
    assert power_of(difference, years=2.0 * years, **options) > power
    assert years_to_detect(difference / 2.0, power=power, **options) > 3.0 * years


def test_a_small_edge_takes_lifetimes():
    """A rule that is invested half of the time: correlation √½."""
    years = [years_to_detect(difference, correlation=np.sqrt(0.5)) for difference in (0.1, 0.2, 0.3)]
    assert years == [pytest.approx(460, abs=1), pytest.approx(115, abs=1), pytest.approx(51, abs=1)]


def test_a_rule_that_trades_at_random_correlates_by_the_root_of_its_time():
    rng = np.random.default_rng(0)
    market = rng.normal(0.0, 0.01, 200_000)
    rule = market * (rng.random(200_000) < 0.3)
    assert np.corrcoef(rule, market)[0, 1] == pytest.approx(np.sqrt(0.3), abs=0.01)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: years_to_detect(0.0, correlation=0.5), "difference must not be zero"),
        (lambda: years_to_detect(0.1, correlation=1.0), r"correlation must lie in \(-1, 1\)"),
        (lambda: years_to_detect(0.1, correlation=0.5, power=0.02), r"power must lie in \(0.025, 1\)"),
        (lambda: years_to_detect(0.1, correlation=0.5, level=1.0), r"level must lie in \(0, 1\)"),
        (lambda: years_to_detect(0.1, correlation=0.5, kurtosis=0.0), "kurtosis must be finite and at least 1"),
        (lambda: power_of(0.1, years=0.0, correlation=0.5), "years must be a positive finite number"),
        (lambda: power_of(np.nan, years=1.0, correlation=0.5), "difference must be a finite number"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
