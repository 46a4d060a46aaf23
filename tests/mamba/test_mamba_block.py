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
    with pytest.raises(ValueError, match=r"^x must have shape \(batch, length, 8\), got \(3, 8\)"):
        make_block()(make_input(3, 8))
    with pytest.raises(ValueError, match=r"^dt_init must be 'random' or 'constant', got 'uniform'"):
        Mamba(8, dt_init="uniform")


@pytest.mark.parametrize(("batch", "length"), [(0, 5), (2, 0)])
def test_nothing_in_nothing_out(batch, length):
    block = Mamba(8)
    x = torch.zeros(batch, length, 8, requires_grad=True)
    y = block(x)
    y.sum().backward()
    assert y.shape == x.shape
    assert not any(parameter.grad.any() for parameter in block.parameters() if parameter.grad is not None)


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, bad) for name in ("d_model", "d_state", "d_conv", "dt_rank") for bad in (0, -1, 1.5, None, "four")]
    + [(name, bad) for name in ("expand", "dt_min", "dt_max", "dt_scale", "dt_init_floor") for bad in (0, -1.0, None)]
    + [("expand", 0.01), ("dt_max", 1e-4)],
)
def test_every_number_of_the_constructor_is_checked(name, value):
    with pytest.raises(ValueError, match=rf"^{name} must .*got {value!r}"):
        Mamba(**{"d_model": 8, name: value})


def test_a_fraction_of_a_channel_is_left_out():
    assert Mamba(7, expand=1.5).d_inner == 10


def calls(block, x):
    """Every way in: forward, and a step with and without gradients."""

    def steps():
        return block.step(x[:, 0], block.init_state(len(x)))[0]

    def without_gradients():
        with torch.no_grad():
            return steps()

    return {"forward": lambda: block(x)[:, 0], "step": steps, "compiled step": without_gradients}


WAYS_IN = ("forward", "step", "compiled step")


@pytest.mark.parametrize("way", WAYS_IN)
def test_an_input_of_another_type_is_named(way):
    with pytest.raises(
        ValueError, match=r"^x must be torch\.float32 as the weights are, got torch\.float64|^x: expected"
    ):
        calls(Mamba(8), torch.zeros(1, 4, 8, dtype=torch.float64))[way]()


@pytest.mark.parametrize("way", WAYS_IN)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_are_refused_by_their_own_name(way, dtype):
    message = rf"^the weights of Mamba must be float32 or float64, got {dtype}: call \.float\(\)"
    with pytest.raises(ValueError, match=message):
        calls(Mamba(8).to(dtype), torch.zeros(1, 4, 8, dtype=dtype))[way]()


@pytest.mark.parametrize("way", WAYS_IN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_autocast_changes_nothing(way, dtype):
    block, x = make_block().to(dtype), make_input(2, 4, 8).to(dtype)
    expected = calls(block, x)[way]()
    with torch.autocast("cpu", torch.bfloat16):
        found = calls(block, x)[way]()
        half = calls(block, x.bfloat16())[way]()  # as a layer before it in the same region would hand it over
    assert torch.equal(found, expected)
    assert half.dtype == dtype
    assert torch.equal(half, calls(block, x.bfloat16().to(dtype))[way]())


def test_gradients_under_autocast_are_those_without():
    block, x = make_block().float(), make_input(2, 4, 8).float()
    expected = torch.autograd.grad(block(x).square().sum(), tuple(block.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        loss = block(x).square().sum()
    found = torch.autograd.grad(loss, tuple(block.parameters()))
    assert all(torch.equal(one, two) for one, two in zip(found, expected, strict=True))


@pytest.mark.parametrize("part", ["conv", "hidden"])
def test_a_state_of_another_batch_is_refused_with_gradients_too(part):
    block = make_block()
    state = block.init_state(2)._replace(**{part: getattr(block.init_state(1), part)})
    with pytest.raises(ValueError, match=rf"^state\.{part} must have shape \(2, "):
        block.step(make_input(2, 8), state)


def test_steps_equal_forward_where_the_step_size_is_large():
    """Near 25 a softplus with PyTorch's default threshold differs in float64 between the two."""
    block, x = make_block(), make_input(1, 30, 8)
    with torch.no_grad():
        block.dt_proj.bias.fill_(25.0)
        block.A_log.fill_(-4.0)
    state, outputs = block.init_state(1), []
    for x_t in x.unbind(1):
        y_t, state = block.step(x_t, state)
        outputs.append(y_t)
    torch.testing.assert_close(torch.stack(outputs, 1), block(x), rtol=1e-12, atol=1e-13)


def test_step_sizes_are_those_the_scan_uses():
    block, x = make_block(), make_input(2, 30, 8)
    w, batch = block.state_dict(), 2
    u = (x @ w["in_proj.weight"].T)[..., : block.d_inner].transpose(1, 2)
    u = functional.conv1d(u, w["conv1d.weight"], w["conv1d.bias"], groups=block.d_inner, padding=3)[..., :30]
    low = (functional.silu(u).transpose(1, 2) @ w["x_proj.weight"].T)[..., : block.dt_rank]
    expected = functional.softplus(low @ w["dt_proj.weight"].T + w["dt_proj.bias"])
    assert block.step_sizes(x).shape == (batch, 30, block.d_inner)
    torch.testing.assert_close(block.step_sizes(x), expected, rtol=1e-12, atol=1e-14)
