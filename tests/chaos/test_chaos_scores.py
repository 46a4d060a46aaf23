"""Normal scores undo whatever increasing function a series was seen through, and give the IAAFT test its size back."""

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from companion.chaos import AR1, correlation_sum_at, match_endpoints, normal_scores, surrogate_test

QUANTILE = NormalDist().inv_cdf
SERIES = arrays(np.int64, st.integers(2, 40), elements=st.integers(-30, 30)).filter(lambda x: np.ptp(x) > 0)


def _autoregression(phi: float, n_points: int, seed: int) -> np.ndarray:
    """Of variance 1."""
    return AR1(phi).simulate(n_points, seed=seed)[:, 0] * np.sqrt(1 - phi**2)


def test_scores_are_quantiles_of_the_ranks():
    """Rank r of n gets the quantile of (r - 3/8) / (n + 1/4), Blom's plotting position."""
    expected = [QUANTILE((rank - 0.375) / 5.25) for rank in (4, 1, 5, 2, 3)]
    assert normal_scores([3.0, -7.0, 1e9, 0.0, 0.5]) == pytest.approx(expected, abs=1e-12)


def test_ties_get_the_score_of_their_mean_rank():
    assert normal_scores([5, 1, 5, 5]) == pytest.approx([QUANTILE((r - 0.375) / 4.25) for r in (3, 1, 3, 3)], abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(series=SERIES)
def test_only_the_order_counts(series):
    scores = normal_scores(series)
    assert np.array_equal(np.sign(scores[:, None] - scores), np.sign(series[:, None] - series))
    for increasing in (np.exp, np.cbrt, lambda x: 3.0 * x - 1e6):
        assert np.array_equal(normal_scores(increasing(series.astype(float))), scores)
    assert normal_scores(-series) == pytest.approx(-scores, abs=1e-12)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("n_points", [2, 9, 1000, 8300])
def test_mean_is_zero_and_variance_a_little_below_one(n_points):
    scores = normal_scores(np.random.default_rng(n_points).permutation(n_points))
    assert scores.mean() == pytest.approx(0.0, abs=1e-12)
    assert max(0.0, 1.0 - 6.0 / n_points) < scores.var() < 1.0
    assert np.mean(scores**3) == pytest.approx(0.0, abs=1e-10)
    assert n_points < 1000 or np.mean(scores**4) == pytest.approx(3.0, abs=150.0 / n_points)


def test_an_exponential_is_undone():
    """What is left is the luck of the sample, beside its mean and variance: some hundredths, at the ends more."""
    for seed in range(3):
        gaussian = _autoregression(0.6, 2000, seed)
        scores = normal_scores(np.exp(2.0 * gaussian))
        assert np.corrcoef(gaussian, scores)[0, 1] > 0.997
        standard = (gaussian - gaussian.mean()) / gaussian.std()
        assert np.median(np.abs(standard - scores)) < 0.06
        assert np.corrcoef(gaussian, np.exp(2.0 * gaussian))[0, 1] < 0.7


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([1.0, np.nan, 2.0], "series must be finite, got nan at point 1"),
        ([1.0, np.inf, 2.0], "series must be finite, got inf at point 1"),
        ([2.0, 2.0, 2.0], "series must not be constant"),
        ([1.0], "series must have at least 2 points, got 1"),
        ([[1.0, 2.0], [2.0, 1.0]], "series must be one series"),
        (["a", "b"], "series must be an array of numbers"),
    ],
)
def test_what_has_no_order_is_refused(series, message):
    with pytest.raises(ValueError, match=message):
        normal_scores(series)


def test_surrogates_of_scores_give_the_test_its_size():
    """Of 40 series of the null more than 9 are rejected by chance less than once in 10,000; without scores they are."""
    most, rejected = int(binom.isf(1e-4, 40, 0.05)), {"plain": 0, "scores": 0}
    for seed in range(40):
        series = np.exp(_autoregression(0.95, 200, 7_000 + seed))
        for name, given_series in (("plain", series), ("scores", normal_scores(series))):
            whole = given_series[match_endpoints(given_series, max_drop=20)]
            statistics = {"correlation sum": correlation_sum_at}
            test = surrogate_test(whole, statistics, null="iaaft", n_surrogates=19, seed=seed)
            rejected[name] += test.table["p"].item() <= 0.05
    assert rejected["scores"] <= most < rejected["plain"]
