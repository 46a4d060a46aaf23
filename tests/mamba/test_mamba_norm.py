"""The compiled norm is PyTorch's: outputs, gradients, any shape, any number of threads."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.mamba.kernels._norm import RMSNorm

WIDTHS = st.sampled_from([1, 2, 7, 16, 64, 65])


def outputs_and_gradients(norm, x, weight):
    x = x.clone().requires_grad_()
    with torch.no_grad():
        norm.weight.copy_(weight)
    y = norm(x)
    rows = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    return (y, *torch.autograd.grad((y * rows).sum(), (x, norm.weight)))


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    shape=st.lists(st.sampled_from([0, 1, 3, 70]), max_size=2),
    width=WIDTHS,
    seed=st.integers(0, 1000),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_operator_is_the_norm_of_pytorch(shape, width, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(*shape, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(width, generator=generator, dtype=torch.float64)
    expected = outputs_and_gradients(torch.nn.RMSNorm(width, eps=1e-6, dtype=torch.float64), x, weight)
    values = outputs_and_gradients(RMSNorm(width, eps=1e-6, dtype=torch.float64), x, weight)
    for value, reference in zip(values, expected, strict=True):
        torch.testing.assert_close(value, reference, rtol=1e-9, atol=1e-12)


def test_operator_passes_opcheck():
    x, weight = torch.randn(3, 5, 8, requires_grad=True), torch.randn(8, requires_grad=True)
    torch.library.opcheck(torch.ops.companion.rms_norm.default, (x, weight, 1e-6))


def test_other_devices_take_pytorch():
    norm = RMSNorm(8, eps=1e-6, device="meta")
    assert norm(torch.empty(2, 3, 8, device="meta")).shape == (2, 3, 8)


@pytest.mark.parametrize("shape", [(3, 7), (3, 9), ()])
def test_a_row_of_another_width_is_refused(shape):
    with pytest.raises(ValueError, match=r"^x must have shape \(…, 8\), got"):
        RMSNorm(8, eps=1e-6)(torch.ones(shape))


def test_same_bits_on_one_and_two_threads():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(16, 256, 64, generator=generator), torch.randn(64, generator=generator)
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            results.append(outputs_and_gradients(RMSNorm(64, eps=1e-6), x, weight))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))
