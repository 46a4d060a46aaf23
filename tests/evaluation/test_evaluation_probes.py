"""A probe reads what is there, does not read what is not, and is not fooled by paths that it has met."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import PredefinedSplit
from sklearn.preprocessing import StandardScaler

from companion.evaluation import LinearProbe, bootstrap_over_paths, r_squared, return_averages
from companion.evaluation._probes import PENALTIES


def test_averages_are_those_of_pandas(market):
    returns, half_lives = market[0][:2, :300], (3, 40)
    found = return_averages(returns, half_lives)
    assert found.shape == (2, 300, 4)
    for path, columns in zip(100 * returns, found, strict=True):
        for k, bars in enumerate(half_lives):
            square = pd.Series(path**2).ewm(halflife=bars).mean() + 0.02
            mean = pd.Series(path).ewm(halflife=bars).mean()
            np.testing.assert_allclose(columns[:, k], np.log(square), rtol=1e-9)
            np.testing.assert_allclose(columns[:, 2 + k], mean / np.sqrt(square), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(return_averages(returns[1], half_lives), found[1])


def test_averages_do_not_see_the_future(market):
    returns = market[0][:2, :200].copy()
    before = return_averages(returns, (5, 50))
    returns[:, 120:] *= -3
    after = return_averages(returns, (5, 50))
    np.testing.assert_array_equal(before[:, :120], after[:, :120])
    assert np.abs(before[:, 120:] - after[:, 120:]).max() > 0.1


@pytest.mark.parametrize("half_lives", [(), (5, 0), (-1,), (np.nan,)])
def test_averages_need_half_lives(half_lives):
    with pytest.raises(ValueError, match=r"half_li(fe|ves) must"):
        return_averages([0.01, 0.02], half_lives)


def test_probe_recovers_a_linear_law_on_other_paths():
    rng = np.random.default_rng(0)
    features, weights = rng.normal(size=(20, 200, 6)) * [1, 10, 100, 1, 1, 1] + 5, np.array([2, 0.3, -0.01, 0, 1, 0])
    target = features @ weights + 3 + 0.1 * rng.normal(size=(20, 200))
    probe = LinearProbe().fit(features[:10], target[:10])
    assert r_squared(target[10:], probe.predict(features[10:])) > 0.99
    assert probe.predict(features[12]).shape == (200,)


def test_probe_reads_nothing_from_noise():
    rng = np.random.default_rng(1)
    features, target = rng.normal(size=(20, 300, 30)), rng.normal(size=(20, 300))
    probe = LinearProbe().fit(features[:10], target[:10])
    assert probe.penalty_ == pytest.approx(1.0)  # the largest there is
    assert -0.02 < r_squared(target[10:], probe.predict(features[10:])) < 0.01


def test_folds_hold_out_whole_paths():
    """Features that name the path explain the target of every path that was met, and of no other."""
    rng = np.random.default_rng(2)
    name = np.repeat(rng.normal(size=(15, 1, 12)), 60, axis=1)
    target = np.repeat(rng.normal(size=(15, 1)), 60, axis=1) + 0.01 * rng.normal(size=(15, 60))
    probe = LinearProbe().fit(name, target)
    assert probe.penalty_ == pytest.approx(1.0)  # folds that mix paths would choose 1e-5


def test_probe_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"X and y must have shapes .*, got \(5, 9, 2\) and \(5, 8\)"):
        LinearProbe().fit(np.zeros((5, 9, 2)), np.zeros((5, 8)))
    with pytest.raises(ValueError, match="n_folds must lie between 2 and the number of paths, 2, got 5"):
        LinearProbe().fit(np.zeros((2, 9, 2)), np.zeros((2, 9)))


def test_probe_is_scikit_learns_ridge_with_whole_paths_held_out():
    rng = np.random.default_rng(3)
    features, noise = rng.normal(size=(12, 40, 8)) * np.geomspace(0.1, 10, 8) + 3, rng.normal(size=(12, 40))
    target = features @ rng.normal(size=8) + 30 * noise
    paths = np.repeat(np.arange(12), 40)
    folds = list(PredefinedSplit(paths % 4).split())
    flat = StandardScaler().fit_transform(features.reshape(-1, 8))
    theirs = RidgeCV(np.array(PENALTIES) * 480, cv=folds, fit_intercept=False, scoring="neg_mean_squared_error")
    theirs.fit(flat, target.reshape(-1) - target.mean())
    probe = LinearProbe(n_folds=4).fit(features, target)
    assert PENALTIES[0] < probe.penalty_ < PENALTIES[-1]
    assert probe.penalty_ * 480 == pytest.approx(theirs.alpha_)
    np.testing.assert_allclose(probe.weights_, theirs.coef_, rtol=1e-8)


def test_a_feature_that_never_changes_does_no_harm():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(6, 50, 2))
    features[..., 1] = 7.0
    probe = LinearProbe().fit(features, 2 * features[..., 0])
    assert r_squared(2 * features[..., 0], probe.predict(features)) > 0.999


def test_r_squared_is_scikit_learns_also_when_paths_are_drawn_again():
    rng = np.random.default_rng(5)
    truth = 10 + rng.normal(size=(7, 30)) + rng.normal(size=(7, 1))
    reading = truth + 0.5 * rng.normal(size=(7, 30))
    assert r_squared(truth, reading) == pytest.approx(r2_score(truth.ravel(), reading.ravel()))
    fast = bootstrap_over_paths(r_squared, truth, reading, n_resamples=50, seed=1)
    slow = bootstrap_over_paths(lambda y, p: r2_score(y.ravel(), p.ravel()), truth, reading, n_resamples=50, seed=1)
    assert vars(fast) == pytest.approx(vars(slow))
    with pytest.raises(ValueError, match="reading must have the shape of truth"):
        r_squared(truth, reading[:, :9])
