"""The compiled step: the same as PyTorch's and as the sequence, on a copy of the weights as they were."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from companion.mamba import MarketMamba, MarketMambaConfig
from companion.mamba._train import initial_model

SMALL = MarketMambaConfig(d_model=8, n_layers=3, d_state=5, d_conv=3, horizons=(5,))


def make_features(batch=2, seed=1):
    return np.random.default_rng(seed).standard_normal((batch, 3))


@pytest.fixture
def model():
    return initial_model(SMALL, seed=0).double()


def both_run(model, batch=2, bars=6):
    """Latents of the compiled step and of PyTorch's, bar by bar, (bars, batch, d_model)."""
    stepper = model.stepper()
    state, expected_state, found, expected = stepper.start(batch), model.init_state(batch), [], []
    with torch.no_grad():
        for bar in range(bars):
            features = make_features(batch, bar)
            latent, state = stepper.step(features, state)
            theirs, expected_state = model.step(torch.from_numpy(features), expected_state)
            found.append(latent)
            expected.append(theirs.numpy())
    return np.array(found), np.array(expected)


@pytest.mark.parametrize("batch", [0, 1, 65])
@pytest.mark.parametrize(
    "config", [SMALL, MarketMambaConfig(d_model=4, n_layers=1, d_state=1, d_conv=1, horizons=(5,))]
)
def test_compiled_step_is_the_step(config, batch):
    found, expected = both_run(initial_model(config, seed=0).double(), batch)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_projections_may_have_a_bias_and_the_convolution_none(model):
    for block in model.blocks:
        block.in_proj.bias = nn.Parameter(torch.linspace(-1, 1, 32, dtype=torch.float64))
        block.out_proj.bias = nn.Parameter(torch.linspace(-1, 1, 8, dtype=torch.float64))
        block.conv1d.bias = None
    np.testing.assert_allclose(*both_run(model), rtol=1e-10, atol=1e-12)


def test_five_thousand_steps_of_the_model_equal_its_latent():
    model = initial_model(MarketMambaConfig(), seed=0).eval()
    features = torch.randn(1, 5000, 3, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = model.latent(features)[0].numpy()
    stepper = model.stepper()
    state, latent, found = stepper.start(), np.empty((1, 64), np.float32), []
    for row in features[0].numpy():
        stepper.step_in_place(row[None], state, latent)
        found.append(latent[0].copy())
    assert np.abs(np.array(found) - expected).max() < 1e-5 * np.abs(expected).max()


def test_state_that_is_passed_in_stays_as_it_is(model):
    stepper = model.stepper()
    _, state = stepper.step(make_features(), stepper.start(2))
    before = copy.deepcopy(state)
    one, _ = stepper.step(make_features(), state)
    two, _ = stepper.step(make_features(), state)
    np.testing.assert_array_equal(one, two)
    for part, was in zip(state, before, strict=True):
        np.testing.assert_array_equal(part, was)


def test_a_stepper_keeps_the_weights_it_was_made_of(model):
    stepper, features = model.stepper(), make_features()
    before, _ = stepper.step(features, stepper.start(2))
    model.blocks[1].in_proj.weight.data.mul_(2)
    np.testing.assert_array_equal(stepper.step(features, stepper.start(2))[0], before)
    assert not np.allclose(model.stepper().step(features, stepper.start(2))[0], before)
    np.testing.assert_allclose(*both_run(model), rtol=1e-10, atol=1e-12)


def test_a_weight_that_is_computed_from_others_counts_as_it_is(model):
    weight_norm(model.blocks[0].in_proj)
    model.blocks[0].in_proj.parametrizations.weight.original0.data.mul_(2)
    np.testing.assert_allclose(*both_run(model), rtol=1e-10, atol=1e-12)


def test_half_precision_is_refused(model):
    with pytest.raises(ValueError, match=r"float32 or float64.*got torch\.bfloat16"):
        model.bfloat16().stepper()


def test_gradients_flow_through_pytorchs_step(model):
    features = torch.from_numpy(make_features()).requires_grad_()
    latent, _ = model.step(features, model.init_state(2))
    latent.sum().backward()
    assert features.grad is not None


def test_wrong_input_is_named(model):
    stepper = model.stepper()
    state = stepper.start(2)
    with pytest.raises(ValueError, match=r"^features must have shape \(2, 3\), got \(2, 4\)"):
        stepper.step(np.zeros((2, 4)), state)
    with pytest.raises(ValueError, match=r"^state must have shape \(1, 3, 2, 16\), got \(2, 3, 2, 16\)"):
        stepper.step(make_features(1), state)


def test_single_and_double_precision_agree():
    model = MarketMamba().eval()
    single, double = model.stepper(), copy.deepcopy(model).double().stepper()
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    one, _ = single.step(make_features(), single.start(2))
    two, _ = double.step(make_features(), double.start(2))
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)
