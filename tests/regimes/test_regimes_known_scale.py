"""Whether a detector was made for returns of this size: all bars at once, as bar by bar."""

import numpy as np
import pytest

from companion.regimes import EwmaKMeans, RegimeDetector


@pytest.mark.parametrize("scale", [0.001, 0.0021, 0.01, 0.03, 0.06])
def test_the_scale_is_known_of_many_bars_as_of_one(scale):
    detector = RegimeDetector.load_pretrained()
    returns = np.random.default_rng(0).normal(0.0, scale, 400)
    stepper = detector.stepper()
    bar_by_bar = [stepper.update(value).known_scale for value in returns]
    np.testing.assert_array_equal(detector.known_scale(returns), bar_by_bar)
    np.testing.assert_array_equal(detector.known_scale(returns[None]), [bar_by_bar])
    assert all(bar_by_bar[: detector.warm_up])


def test_a_detector_without_a_unit_knows_every_scale():
    returns = np.random.default_rng(0).normal(0.0, 0.2, 400)
    assert EwmaKMeans().fit(returns / 100).known_scale(returns).all()
