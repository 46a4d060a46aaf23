"""The compiled convolution with its SiLU is PyTorch's two operations: outputs, gradients, any number of threads."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from companion.mamba.kernels._conv_op import causal_conv_silu


def plain(u, weight, bias):
    dim, taps = weight.shape
    return functional.silu(functional.conv1d(functional.pad(u, (taps - 1, 0)), weight[:, None], bias, groups=dim))


def make_inputs(batch, dim, length, taps, *, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shapes = (batch, dim, length), (dim, taps), (dim,)
    return [torch.randn(shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    batch=st.integers(1, 3),
    dim=st.integers(1, 5),
    length=st.sampled_from([1, 2, 3, 4, 5, 33]),
    taps=st.integers(1, 6),
    bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_operator_is_convolution_and_silu(batch, dim, length, taps, bias, seed):
    inputs = make_inputs(batch, dim, length, taps, seed=seed)
    leaves = inputs if bias else inputs[:2]
    results = []
    for function in (plain, causal_conv_silu):
        y = function(*leaves) if bias else function(*leaves, None)
        results.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
    for expected, value in zip(*results, strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("batch", "length"), [(0, 4), (2, 0)])
def test_nothing_in_nothing_out(batch, length):
    inputs = make_inputs(batch, 3, length, 4)
    y = causal_conv_silu(*inputs)
    assert y.shape == (batch, 3, length)
    assert all(not gradient.any() for gradient in torch.autograd.grad(y.sum(), inputs))


def test_operator_passes_opcheck():
    torch.library.opcheck(torch.ops.companion.causal_conv_silu.default, tuple(make_inputs(2, 3, 20, 4)))


def test_other_devices_take_pytorch():
    inputs = [tensor.to("meta") for tensor in make_inputs(2, 3, 20, 4)]
    assert causal_conv_silu(*inputs).shape == (2, 3, 20)


def test_same_bits_on_one_and_two_threads():
    inputs = make_inputs(4, 64, 300, 4, dtype=torch.float32)  # above the size that is worth a second thread
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            y = causal_conv_silu(*inputs)
            results.append((y, *torch.autograd.grad(y.square().sum(), inputs)))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u": torch.zeros(2, 5)}, "^u must be a tensor of shape .*got"),
        ({"u": torch.zeros(2, 3, 5).bfloat16()}, "^u must be float32 or float64, got torch.bfloat16"),
        ({"weight": torch.zeros(2, 4)}, "^weight must be a tensor of shape .*got"),
        ({"weight": torch.zeros(3)}, "^weight must be a tensor of shape .*got"),
        ({"weight": torch.zeros(3, 4).double()}, "^weight must be torch.float32 as u is, got"),
        ({"bias": torch.zeros(2)}, "^bias must be a tensor of shape"),
    ],
)
def test_what_does_not_fit_is_named_before_compiled_code_runs(change, message):
    arguments = {"u": torch.zeros(2, 3, 5), "weight": torch.zeros(3, 4), "bias": torch.zeros(3), **change}
    with pytest.raises(ValueError, match=message):
        torch.ops.companion.causal_conv_silu(*arguments.values())
