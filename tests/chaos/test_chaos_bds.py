"""The BDS test: the numbers of statsmodels, the law it promises, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.tsa.stattools import bds

from companion.chaos import bds_test


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 6), st.sampled_from([0.4, 0.7, 1.0, 1.5, 2.0]), st.booleans())
def test_the_numbers_are_those_of_statsmodels(seed, max_dimension, distance, whole):
    generator = np.random.default_rng(seed)
    x = np.cumsum(generator.standard_normal(160)) if seed % 2 else generator.standard_t(4, 160)
    x = np.round(3 * x) if whole else x
    z, p = bds(x, max_dim=max_dimension, distance=distance)
    table = bds_test(x, max_dimension=max_dimension, distance=distance)
    assert list(table.columns) == ["dimension", "z", "p"]
    assert table["dimension"].tolist() == list(range(2, max_dimension + 1))
    np.testing.assert_allclose(table["z"], np.atleast_1d(z), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(table["p"], np.atleast_1d(p), rtol=1e-8, atol=1e-12)


def test_z_of_independent_values_is_standard_normal_and_sees_what_is_not():
    generator = np.random.default_rng(1)
    z = np.array([bds_test(generator.standard_normal(1000), max_dimension=3)["z"] for _ in range(200)])
    assert (np.abs(z.mean(axis=0)) < 0.4).all()  # its mean is not exactly zero at this length
    assert ((z.std(axis=0) > 0.85) & (z.std(axis=0) < 1.3)).all()
    x = np.zeros(1000)
    x[0] = 0.3
    for t in range(1, 1000):
        x[t] = 4 * x[t - 1] * (1 - x[t - 1])
    assert abs(stats.pearsonr(x[1:], x[:-1]).statistic) < 0.1  # white to a correlation
    assert (bds_test(x)["z"] > 20).all()


def test_the_unit_and_the_order_in_time_do_not_matter():
    x = np.random.default_rng(2).standard_normal(300)
    z = bds_test(x)["z"]
    np.testing.assert_allclose(bds_test(2.0**-40 * x)["z"], z, rtol=1e-9)
    np.testing.assert_allclose(bds_test(-x)["z"], z, rtol=1e-9)


def test_what_is_refused():
    x = np.random.default_rng(3).standard_normal(100)
    assert np.isfinite(bds_test(x)["z"]).all()
    with pytest.raises(ValueError, match=r"series must have at least 100 points for max_dimension=5, got 99"):
        bds_test(x[:-1])
    with pytest.raises(ValueError, match="max_dimension must be at least 2, got 1"):
        bds_test(x, max_dimension=1)
    with pytest.raises(ValueError, match=r"distance must be a positive finite number, got -1"):
        bds_test(x, distance=-1)
    with pytest.raises(ValueError, match=r"distance must leave some pairs near and others not, got 100 with 100.0%"):
        bds_test(x, distance=100)
    with pytest.raises(ValueError, match=r"distance must leave some pairs near and others not, got 1e-12 with 0.0%"):
        bds_test(x, distance=1e-12)
    with pytest.raises(ValueError, match="series must not be constant"):
        bds_test(np.ones(200))
    with pytest.raises(ValueError, match="series must be finite, got inf at point 4"):
        bds_test(np.where(np.arange(100) == 4, np.inf, x))
