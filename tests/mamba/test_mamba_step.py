"""The compiled step: the same as the sequence and as PyTorch's step, and never with weights that are not there now."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from companion.mamba import Mamba, MarketMamba, MarketMambaConfig
from companion.mamba._train import initial_model
from companion.mamba.kernels._step import MAX_BATCH, compiled_stack

SMALL = MarketMambaConfig(d_model=8, n_layers=3, d_state=5, d_conv=3, horizons=(5,))


def make_features(batch=2, seed=1):
    return torch.randn(batch, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def model():
    return initial_model(SMALL, seed=0).double()


def after_some_bars(model, batch=2):
    state = model.init_state(batch)
    with torch.no_grad():
        for seed in range(5):
            _, state = model.step(make_features(batch, seed), state)
    return state


def both_steps(model, features, state):
    """The compiled step and PyTorch's, which is the one that is taken while gradients are recorded."""
    with torch.no_grad():
        assert compiled_stack(model, model._parts, features) is not None
        compiled = model.step(features, state)
    assert compiled_stack(model, model._parts, features) is None
    return compiled, model.step(features, state)


def assert_steps_agree(model, features, state):
    (y, after), (expected, expected_after) = both_steps(model, features, state)
    torch.testing.assert_close(y, expected.detach(), rtol=1e-10, atol=1e-12)
    for part, expected_part in zip(after, expected_after, strict=True):
        torch.testing.assert_close(part.conv, expected_part.conv.detach(), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(part.hidden, expected_part.hidden.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("batch", [0, 1, MAX_BATCH])
def test_compiled_step_is_the_step(model, batch):
    assert_steps_agree(model, make_features(batch), after_some_bars(model, batch))


def test_five_thousand_steps_of_the_model_equal_its_latent():
    model = initial_model(MarketMambaConfig(), seed=0).eval()
    features = torch.randn(1, 5000, 3, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, state, worst = model.latent(features), model.init_state(1), 0.0
        for t, features_t in enumerate(features.unbind(1)):
            latent, state = model.step(features_t, state)
            worst = max(worst, (latent - expected[:, t]).abs().max().item())
    assert worst < 1e-5 * expected.abs().max()


def test_state_that_is_passed_in_stays_as_it_is(model):
    state = after_some_bars(model)
    before = copy.deepcopy(state)
    with torch.no_grad():
        one, _ = model.step(make_features(), state)
        two, _ = model.step(make_features(), state)
    assert torch.equal(one, two)
    assert all(torch.equal(a, b) for p, q in zip(state, before, strict=True) for a, b in zip(p, q, strict=True))


def in_place(model):
    model.blocks[1].in_proj.weight.data.mul_(2)


def by_optimizer(model):
    model.latent(make_features()[:, None]).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()


def by_new_data(model):
    model.blocks[0].A_log.data = model.blocks[0].A_log.data * 0.5


def by_new_parameter(model):
    model.norms[2].weight = nn.Parameter(torch.full((8,), 1.5, dtype=torch.float64))


def by_new_block(model):
    model.blocks[2] = Mamba(8, 5, 3).double()


def by_loading(model):
    model.load_state_dict(initial_model(SMALL, seed=9).double().state_dict(), assign=True)


@pytest.mark.parametrize("change", [in_place, by_optimizer, by_new_data, by_new_parameter, by_new_block, by_loading])
def test_changed_weights_count_from_the_next_bar(model, change):
    state, features = after_some_bars(model), make_features()
    with torch.no_grad():
        before, _ = model.step(features, state)
    change(model)
    assert_steps_agree(model, features, state)
    with torch.no_grad():
        assert not torch.allclose(model.step(features, state)[0], before)


def test_a_copy_has_weights_of_its_own(model):
    state, features = after_some_bars(model), make_features()
    twin = copy.deepcopy(model)
    in_place(twin)
    assert_steps_agree(model, features, state)
    assert_steps_agree(twin, features, state)


def test_half_precision_is_left_to_pytorch(model):
    half, features = model.bfloat16(), make_features().bfloat16()
    with torch.no_grad():
        assert compiled_stack(half, half._parts, features) is None
        assert half.step(features, half.init_state(2))[0].dtype == torch.bfloat16


def test_gradients_flow_through_the_step(model):
    features = make_features().requires_grad_()
    latent, _ = model.step(features, model.init_state(2))
    latent.sum().backward()
    assert features.grad is not None


@torch.no_grad()
def test_wrong_input_is_named(model):
    state = model.init_state(2)
    with pytest.raises(ValueError, match=r"^x: expected shape \(2, 3\), got \(2, 4\)"):
        model.step(torch.zeros(2, 4, dtype=torch.float64), state)
    with pytest.raises(ValueError, match=r"^x: expected torch\.float64 as the weights have, got torch\.float32"):
        model.step(torch.zeros(2, 3), state)
    with pytest.raises(ValueError, match=r"^state.conv: expected shape \(1, 16, 2\), got \(2, 16, 2\)"):
        model.step(make_features(1), state)
    with pytest.raises(ValueError, match=r"^state: expected 3 parts, one a block, got 2"):
        model.step(make_features(), state[:2])
    with pytest.raises(ValueError, match=r"^state.hidden: expected device cpu"):
        model.step(make_features(), tuple(part._replace(hidden=part.hidden.to("meta")) for part in state))


def test_default_model_is_made_of_blocks_that_can_be_compiled():
    model = MarketMamba().eval()
    with torch.no_grad():
        assert compiled_stack(model, model._parts, torch.zeros(1, 3)) is not None


@torch.no_grad()
def test_a_weight_that_is_computed_from_others_is_left_to_pytorch():
    block, x = Mamba(8), torch.randn(1, 8)
    weight_norm(block.in_proj)
    for _ in range(2):
        torch.testing.assert_close(block.step(x, block.init_state(1))[0], block(x[:, None])[:, 0])
        block.in_proj.parametrizations.weight.original0.mul_(2)
