"""The leak: it has the value that theory gives it, and what it can not measure is refused."""

import numpy as np
import pytest

from companion.evaluation import leak
from companion.regimes import EwmaKMeans


class _Linear(EwmaKMeans):
    """An exponential average of squares, without the logarithm: its leak is known. Half-life 0.0…: a copy of today."""

    def _advance(self, returns, state):
        _, variance = super()._advance(returns, state)
        return 1e4 * variance[:, None], variance


class _Yesterday(_Linear):
    """The same average, one bar late: it does not look at today."""

    def _advance(self, returns, state):
        _, variance = super()._advance(returns, state)
        return 1e4 * state[:, None], variance


class _Deaf(_Linear):
    """Fitted like the others, and then it hears nothing."""

    def _advance(self, returns, state):
        features, variance = super()._advance(returns, state)
        return features * (not hasattr(self, "calibration_")), variance


@pytest.fixture(scope="module")
def noise():
    return 0.01 * np.random.default_rng(0).standard_normal((40, 1500))


@pytest.mark.parametrize("half_life", [1.0, 5.0, 10.0])
def test_leak_of_an_exponential_average_is_the_closed_form(noise, half_life):
    detector = _Linear(half_life).fit(noise)
    share = leak(detector, noise, every=1)
    assert share.features == pytest.approx(1 - 0.5 ** (2 / half_life), rel=0.06)


def test_leak_of_a_copy_is_one_and_of_yesterday_none(noise, market):
    assert leak(_Linear(1e-3).fit(noise), noise, every=1).features == pytest.approx(1.0, abs=0.02)
    returns, _ = market
    late = _Yesterday(5.0).fit(returns)
    assert leak(late, returns) == (0.0, 0.0)
    memory = late.transform(returns)[:, 60:, 0].ravel()
    assert np.corrcoef(memory, np.abs(returns[:, 60:]).ravel())[0, 1] > 0.2  # where a regression would see a leak


def test_leak_refuses_what_it_can_not_measure(noise):
    detector = EwmaKMeans().fit(noise)
    with pytest.raises(ValueError, match=r"X has shape \(2, 1500\): give at least 3 paths of more than 60 bars"):
        leak(detector, noise[:2])
    with pytest.raises(ValueError, match="X has shape"):
        leak(detector, noise[:, :60])
    with pytest.raises(ValueError, match="every = 0 must be at least 1"):
        leak(detector, noise, every=0)
    deaf = _Deaf().fit(noise)
    with pytest.raises(ValueError, match="says the same at every bar"):
        leak(deaf, noise)
