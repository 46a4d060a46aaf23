"""The leak: it has the value that theory gives it, and what it can not measure is refused."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from companion.evaluation import leak
from companion.heston import RegimeSwitchingHeston
from companion.regimes import BayesCeiling, EwmaKMeans
from companion.regimes._features import Ewma
from companion.regimes._rules import TwoMeans


class _Average(Ewma):
    """An exponential average of squares, without the logarithm: its leak is known. Half-life 0.0…: a copy of today."""

    def advance(self, returns, state):
        _, variance = super().advance(returns, state)
        return 1e4 * variance[:, None], variance


class _Yesterday(_Average):
    """The same average, one bar late: it does not look at today."""

    def advance(self, returns, state):
        _, variance = super().advance(returns, state)
        return 1e4 * state[:, None], variance


class _Silence(_Average):
    """It hears nothing."""

    def advance(self, returns, state):
        features, variance = super().advance(returns, state)
        return 0.0 * features, variance


class _Linear(EwmaKMeans):
    """Two means on the plain average."""

    def _parts(self):
        return _Average(self.half_life), TwoMeans()


class _Late(EwmaKMeans):
    """Two means on that of yesterday."""

    def _parts(self):
        return _Yesterday(self.half_life), TwoMeans()


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
    late = _Late(5.0).fit(returns)
    assert leak(late, returns) == (0.0, 0.0)
    memory = late.transform(returns)[:, 60:, 0].ravel()
    assert np.corrcoef(memory, np.abs(returns[:, 60:]).ravel())[0, 1] > 0.2  # where a regression would see a leak


def test_leak_refuses_what_it_can_not_measure(noise):
    detector = EwmaKMeans().fit(noise)
    with pytest.raises(ValueError, match=r"X must hold at least 3 paths of more than 60 bars, got shape \(2, 1500\)"):
        leak(detector, noise[:2])
    with pytest.raises(ValueError, match=r"X must hold at least 3 paths of more than 60 bars, got shape \(40, 60\)"):
        leak(detector, noise[:, :60])
    with pytest.raises(ValueError, match="every must be a positive integer, got 0"):
        leak(detector, noise, every=0)
    detector.feature_ = _Silence().fit(noise, warm_up=60, seed=0)
    with pytest.raises(ValueError, match="detector must say different things at different bars"):
        leak(detector, noise)
    with pytest.raises(ValueError, match=r"detector must be a RegimeFilter, got BayesCeiling\("):
        leak(BayesCeiling(RegimeSwitchingHeston.equity_index()), noise)
    with pytest.raises(NotFittedError):
        leak(EwmaKMeans(), noise)
