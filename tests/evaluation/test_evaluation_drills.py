"""The injected faults are what their names say, and only from their bar on."""

import numpy as np
import pytest

from companion.evaluation import inject_faults

START = 100


@pytest.fixture(scope="module")
def healthy():
    return np.random.default_rng(0).normal(0.0, 0.01, (5, 140))


@pytest.fixture(scope="module")
def faulty(healthy):
    return inject_faults(healthy, start=START, seed=1)


def test_nothing_changes_before_the_fault(healthy, faulty):
    for name, returns in faulty.items():
        assert returns.shape == healthy.shape
        np.testing.assert_array_equal(returns[:, :START], healthy[:, :START])
        changed = not np.array_equal(returns[:, START:], healthy[:, START:])
        assert changed == (name != "no fault")


def test_single_bar_faults_are_single(healthy, faulty):
    sigma = healthy[:, START - 60 : START].std(axis=1)
    np.testing.assert_allclose(faulty["one bar of −10 σ"][:, START], -10.0 * sigma)
    np.testing.assert_array_equal(faulty["one bar of −10 σ"][:, START + 1 :], healthy[:, START + 1 :])
    np.testing.assert_allclose(faulty["one bar of +10 σ"][:, START], 10.0 * sigma)
    np.testing.assert_array_equal(faulty["one bar of +10 σ"][:, START + 1 :], healthy[:, START + 1 :])
    halved = np.exp(np.cumsum(faulty["price halved for a bar"] - healthy, axis=1))
    np.testing.assert_allclose(halved[:, START], 0.5)
    np.testing.assert_allclose(np.delete(halved, START, axis=1), 1.0)


def test_lasting_faults_last(healthy, faulty):
    after = slice(START, None)
    assert np.all(faulty["frozen price"][:, after] == 0.0)
    assert np.all(faulty["last return repeated"][:, after] == healthy[:, START - 1 : START])
    assert np.all(np.isnan(faulty["missing values"][:, after]))
    turns = np.cumsum(faulty["two prices in turn"][:, after], axis=1)
    np.testing.assert_allclose(turns[:, 1::2], 0.0, atol=1e-15)
    np.testing.assert_allclose(np.ptp(turns[:, ::2], axis=1), 0.0, atol=1e-15)
    np.testing.assert_array_equal(faulty["sign flipped"][:, after], -healthy[:, after])
    for name, factor in (("returns × 100", 100.0), ("returns × 0.01", 0.01), ("volatility × 3", 3.0)):
        np.testing.assert_allclose(faulty[name][:, after], factor * healthy[:, after])


def test_white_noise_has_the_volatility_before_it_and_its_own_seed(healthy, faulty):
    noise = inject_faults(np.tile(healthy, (1, 20)), start=START, seed=2)["white noise"][:, START:]
    np.testing.assert_allclose(noise.std(axis=1), healthy[:, START - 60 : START].std(axis=1), rtol=0.05)
    same = inject_faults(healthy, start=START, seed=1)["white noise"]
    np.testing.assert_array_equal(same, faulty["white noise"])
    assert not np.array_equal(inject_faults(healthy, start=START, seed=3)["white noise"], same)


@pytest.mark.parametrize("start", [59, 139, -1])
def test_a_fault_without_room_is_refused(healthy, start):
    with pytest.raises(ValueError, match="start must lie in"):
        inject_faults(healthy, start=start, seed=0)


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        (np.zeros(100), r"log_returns must have shape \(n_paths, n_bars\), got \(100,\)"),
        (np.full((2, 100), np.nan), r"log_returns\[0, 0\] must be a log return, .* got nan"),
    ],
)
def test_bad_returns_are_refused(returns, message):
    with pytest.raises(ValueError, match=message):
        inject_faults(returns, start=70, seed=0)
