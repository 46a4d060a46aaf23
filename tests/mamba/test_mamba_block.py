"""The block is mamba-ssm's: its keys, its equations; and stepping is the same as running the sequence."""

import pytest
import torch
from torch.nn import functional

from companion.mamba import Mamba


def make_block(seed=0, **options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Mamba(8, d_state=4, **options).double()


def make_input(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_forward(block, x):
    """The block written out bar by bar from the paper, sharing nothing with `companion` but the weights."""
    w = block.state_dict()
    batch, length, _ = x.shape
    xz = x @ w["in_proj.weight"].T
    u, z = xz[..., : block.d_inner], xz[..., block.d_inner :]
    hidden, outputs = torch.zeros(batch, block.d_inner, block.d_state, dtype=x.dtype), []
    for t in range(length):
        taps = [
            u[:, t - lag] * w["conv1d.weight"][:, 0, block.d_conv - 1 - lag]
            for lag in range(block.d_conv)
            if t - lag >= 0
        ]
        v = functional.silu(sum(taps) + w["conv1d.bias"])
        dt, B, C = (v @ w["x_proj.weight"].T).split([block.dt_rank, block.d_state, block.d_state], -1)
        delta = functional.softplus(dt @ w["dt_proj.weight"].T + w["dt_proj.bias"])
        decay = torch.exp(-delta[..., None] * w["A_log"].exp())
        hidden = decay * hidden + delta[..., None] * B[:, None] * v[..., None]
        y = (hidden * C[:, None]).sum(-1) + w["D"] * v
        outputs.append((y * functional.silu(z[:, t])) @ w["out_proj.weight"].T)
    return torch.stack(outputs, 1)


def test_state_dict_has_the_keys_and_shapes_of_mamba_ssm():
    shapes = {name: tuple(tensor.shape) for name, tensor in Mamba(32).state_dict().items()}
    assert shapes == {
        "A_log": (64, 16),
        "D": (64,),
        "in_proj.weight": (128, 32),
        "conv1d.weight": (64, 1, 4),
        "conv1d.bias": (64,),
        "x_proj.weight": (2 + 32, 64),
        "dt_proj.weight": (64, 2),
        "dt_proj.bias": (64,),
        "out_proj.weight": (32, 64),
    }


def test_initial_step_sizes_lie_in_their_range():
    block = Mamba(64, dt_min=0.01, dt_max=0.05)
    dt = functional.softplus(block.dt_proj.bias)
    assert dt.min() > 0.01 * 0.9999
    assert dt.max() < 0.05 * 1.0001
    torch.testing.assert_close(-block.A_log.exp()[0], -torch.arange(1.0, 17.0))


def test_forward_is_the_equations_of_the_paper():
    block, x = make_block(), make_input(2, 50, 8)
    torch.testing.assert_close(block(x), plain_forward(block, x), rtol=1e-10, atol=1e-12)


def test_gradients_are_those_of_the_equations():
    block, x = make_block(), make_input(2, 20, 8)
    parameters = tuple(block.parameters())
    ours = torch.autograd.grad(block(x).square().sum(), parameters)
    for parameter in parameters:
        parameter.grad = None
    plain = plain_forward_with_gradients(block, x)
    for value, expected in zip(ours, plain, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-10)


def plain_forward_with_gradients(block, x):
    weights = {name: tensor.detach().clone().requires_grad_() for name, tensor in block.named_parameters()}

    class View:
        d_inner, d_conv, d_state, dt_rank = block.d_inner, block.d_conv, block.d_state, block.dt_rank

        @staticmethod
        def state_dict():
            return weights

    return torch.autograd.grad(plain_forward(View, x).square().sum(), tuple(weights.values()))


@pytest.mark.parametrize("options", [{}, {"bias": True, "conv_bias": False}, {"d_conv": 1, "expand": 1}])
def test_steps_equal_forward(options):
    block, x = make_block(**options), make_input(2, 200, 8)
    with torch.no_grad():
        state, outputs = block.init_state(2), []
        for x_t in x.unbind(1):
            y_t, state = block.step(x_t, state)
            outputs.append(y_t)
        torch.testing.assert_close(torch.stack(outputs, 1), block(x), rtol=1e-10, atol=1e-12)


def test_five_thousand_steps_equal_forward():
    block, x = make_block(), make_input(1, 5000, 8)
    with torch.no_grad():
        expected, state = block(x), block.init_state(1)
        for t, x_t in enumerate(x.unbind(1)):
            y_t, state = block.step(x_t, state)
            if t % 500 == 499:
                torch.testing.assert_close(y_t, expected[:, t], rtol=1e-10, atol=1e-12)


def test_step_leaves_the_state_it_was_given():
    block, state = make_block(), make_block().init_state(1)
    block.step(make_input(1, 8), state)
    assert not state.conv.any()
    assert not state.hidden.any()


def test_future_does_not_move_the_past():
    block, x = make_block(), make_input(1, 60, 8)
    before = block(x)
    x[:, 40:] += 1
    after = block(x)
    assert torch.equal(before[:, :40], after[:, :40])
    assert (before[:, 40:] != after[:, 40:]).all()


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match=r"^x: expected shape \(batch, length, 8\), got \(3, 8\)"):
        make_block()(make_input(3, 8))
    with pytest.raises(ValueError, match="dt_init: expected 'random' or 'constant', got 'uniform'"):
        Mamba(8, dt_init="uniform")


@pytest.mark.parametrize(("batch", "length"), [(0, 5), (2, 0)])
def test_nothing_in_nothing_out(batch, length):
    block = Mamba(8)
    x = torch.zeros(batch, length, 8, requires_grad=True)
    y = block(x)
    y.sum().backward()
    assert y.shape == x.shape
    assert not any(parameter.grad.any() for parameter in block.parameters() if parameter.grad is not None)


def test_wrong_precision_is_named():
    with pytest.raises(ValueError, match=r"x: expected torch.float32 as the weights have, got torch.float64"):
        Mamba(8)(torch.zeros(1, 4, 8, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"u: expected float32 or float64, got torch.float16"):
        Mamba(8).half()(torch.zeros(1, 4, 8).half())
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match=r"u: expected float32 or float64"):
        Mamba(8)(torch.zeros(1, 4, 8))
