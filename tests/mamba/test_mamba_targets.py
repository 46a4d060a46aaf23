"""Targets: by definition, of the bars after t alone; losses that are least where theory says; errors that name both."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.mamba import MarketMambaConfig, TrainConfig, market_features
from companion.mamba._targets import TARGETS, future_log_variance, gaussian_nll

RNG = np.random.default_rng(0)
RETURNS = 0.01 * RNG.standard_normal((3, 80))
CASES = [
    (name, horizons) for name in TARGETS for horizons in ((1,), (5, 20)) if horizons == (1,) or name == "log_variance"
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("return", lambda x: x),
        ("absolute_return", np.abs),
        ("gaussian_nll", lambda x: x),
        ("log_variance", lambda x: np.log(x**2 + 0.02)),
    ],
)
def test_the_next_bar_by_definition(name, expected):
    observed = TARGETS[name].observe(RETURNS, (1,))
    assert observed.shape == (3, 79, 1)
    np.testing.assert_allclose(observed[..., 0], expected(100 * RETURNS[:, 1:]), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(TARGETS[name].observe(RETURNS[0], (1,)), observed[0])


@pytest.mark.parametrize(("name", "horizons"), CASES)
@settings(derandomize=True, deadline=None, max_examples=25)
@given(bar=st.integers(0, 79), size=st.sampled_from([-0.2, 0.001, 0.07]))
def test_a_target_sees_the_future_only_and_the_inputs_the_past(name, horizons, bar, size):
    changed = RETURNS.copy()
    changed[:, bar] += size
    before, after = (TARGETS[name].observe(returns, horizons) for returns in (RETURNS, changed))
    moved = ~np.isclose(before, after, rtol=1e-7, atol=1e-9).all(axis=(0, 2))
    bars = np.arange(len(moved))
    np.testing.assert_array_equal(moved, (bars < bar) & (bars >= bar - max(horizons)))
    seen = (market_features(RETURNS) != market_features(changed)).any(axis=(0, 2))
    np.testing.assert_array_equal(np.flatnonzero(seen), [bar])


def test_the_likelihood_is_least_at_the_true_variance():
    returns = torch.from_numpy(1.3 * RNG.standard_normal(20_000))
    forecasts = torch.linspace(-3, 3, 601, dtype=torch.float64)
    losses = torch.stack([gaussian_nll(s, returns) for s in forecasts])
    mean_square = float((returns**2).mean())
    assert float(torch.exp(forecasts[losses.argmin()])) + 0.02 == pytest.approx(mean_square, rel=0.01)
    assert float(losses.min()) == pytest.approx(0.5 * (np.log(mean_square) + 1), rel=1e-4)


def test_the_likelihood_of_no_variance_at_all_is_finite():
    assert torch.isfinite(gaussian_nll(torch.tensor(-1e4), torch.tensor(10.0)))


def test_a_target_and_its_horizons_must_fit():
    with pytest.raises(ValueError, match=r"target: expected one of log_variance, .* got 'volume'"):
        TrainConfig(target="volume")
    for name in ("return", "absolute_return", "gaussian_nll"):
        message = f"target: {name!r} is about the next bar and needs model.horizons (1,), got (20, 60)"
        with pytest.raises(ValueError, match=re.escape(message)):
            TrainConfig(target=name)
        assert TrainConfig(MarketMambaConfig(horizons=(1,)), target=name).target == name


@pytest.mark.parametrize("name", TARGETS)
def test_one_bar_has_no_future(name):
    with pytest.raises(ValueError, match="log_returns: 1 bars are too few for a horizon of 1"):
        TARGETS[name].observe(np.zeros(1), (1,))


def test_the_default_target_is_the_log_variance():
    default = TARGETS[TrainConfig().target]
    assert default.observe is future_log_variance
    assert default.loss is torch.nn.functional.mse_loss
