"""What risk measures in units of the time of day: the same as of returns that somebody else has divided by it."""

import numpy as np
import pytest

from companion.risk import InputRules, StreamingVolatility
from companion.risk._input_rules import Feed
from companion.risk._volatility import ESTIMATORS


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_volatility_is_that_of_moves_divided_by_the_factor(estimator):
    rng = np.random.default_rng(1)
    plain, through = (StreamingVolatility(window=20, estimator=estimator) for _ in range(2))
    close = shown_close = 0.0  # logarithms
    for _ in range(60):
        factor, (jump, body, up, down) = rng.uniform(0.3, 3.0), 0.01 * rng.standard_normal(4)
        low, high = min(0.0, body) - abs(down), max(0.0, body) + abs(up)
        bar, shown = (
            [start + x * unit for x in (0.0, high, low, body)]
            for start, unit in ((close + jump, 1.0), (shown_close + factor * jump, factor))
        )
        close, shown_close = bar[-1], shown[-1]
        expected, found = plain.update(*np.exp(bar)), through.update(*np.exp(shown), factor=factor)
        assert found.per_bar == pytest.approx(expected.per_bar, rel=1e-9, nan_ok=True)


def test_jumps_are_judged_in_units_of_the_time_of_day_and_runs_as_they_are():
    returns, factors = np.random.default_rng(2).standard_normal((2, 200))
    returns, factors = 0.001 * returns, np.exp(factors)
    plain, through = Feed(InputRules()), Feed(InputRules())
    for value, factor in zip(returns, factors, strict=True):
        np.testing.assert_allclose(through.update(value * factor, factor), plain.update(value), rtol=1e-9)
    repeats = [through.update(0.002, factor)[2] for factor in (1.0, 0.5, 2.0, 1.5)]
    assert repeats == [0.0, 1.0, 2.0, 3.0]
