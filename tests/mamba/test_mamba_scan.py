"""The compiled scan is the recurrence: same outputs, last state and gradients, whole or in halves, on any threads."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from companion.mamba import _scan as scan
from companion.mamba import selective_scan
from companion.mamba.kernels import _scan_op

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
EXTREME_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state")


def make_inputs(batch, dim, length, state, *, seed=0, dtype=torch.float64):
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return torch.from_numpy(rng.standard_normal(shape)).to(dtype)

    return {
        "u": draw(batch, dim, length),
        "delta": draw(batch, dim, length) - 1,
        "A": -draw(dim, state).exp(),
        "B": draw(batch, state, length),
        "C": draw(batch, state, length),
        "D": draw(dim),
        "z": draw(batch, dim, length),
        "delta_bias": draw(dim),
        "initial_state": draw(batch, dim, state),
    }


def outputs_and_gradients(inputs, *, backend, softplus):
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
    y, last = selective_scan(**leaves, delta_softplus=softplus, return_last_state=True, backend=backend)
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    loss = (y * weight).sum() + (last * last).sum()
    loss = loss + sum(0 * leaf.sum() for leaf in leaves.values())  # at length 0 the output depends on nothing
    grads = torch.autograd.grad(loss, tuple(leaves.values()))
    return {"y": y, "last": last, **{f"gradient of {n}": g for n, g in zip(leaves, grads, strict=True)}}


def relative_error(value, reference):
    if not reference.numel():
        return 0.0
    return ((value - reference).abs().max() / reference.abs().max().clamp(min=1e-3)).item()


@pytest.mark.parametrize("backend", ["cpu", "chunked"])
@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    batch=st.integers(0, 3),
    dim=st.sampled_from([1, 3, 17, 31, 32, 33, 70]),
    length=st.sampled_from([0, 1, 2, 17, 31, 32, 33, 70]),
    state=st.integers(1, 17),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    softplus=st.booleans(),
    optional=st.sets(st.sampled_from(NAMES[5:])),
    seed=st.integers(0, 1000),
)
def test_back_ends_equal_the_reference(backend, batch, dim, length, state, dtype, softplus, optional, seed):
    inputs = make_inputs(batch, dim, length, state, seed=seed)
    inputs = {name: tensor for name, tensor in inputs.items() if name in NAMES[:5] or name in optional}
    if not softplus:  # a step size is positive; without the softplus the caller must see to it
        inputs["delta"] = functional.softplus(inputs["delta"])
        inputs.pop("delta_bias", None)
    reference = outputs_and_gradients(inputs, backend="reference", softplus=softplus)
    compiled = outputs_and_gradients(
        {name: tensor.to(dtype) for name, tensor in inputs.items()}, backend=backend, softplus=softplus
    )
    for name, value in compiled.items():
        assert value.dtype == dtype
        assert relative_error(value.double(), reference[name]) < TOLERANCE[dtype], name


def in_memory_order(order, tensor):
    """The same numbers with their axes laid out in another order, or as a part of a larger tensor."""
    if order == "part":
        whole = torch.zeros([n + 2 for n in tensor.shape], dtype=tensor.dtype)
        part = whole[tuple(slice(1, 1 + n) for n in tensor.shape)]
        return part.copy_(tensor)
    inverse = [order.index(axis) for axis in range(3)]
    return tensor.permute(order).contiguous().permute(inverse)


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0), "part"])
@pytest.mark.parametrize("length", [0, 1, 70])
def test_any_layout_in_memory_gives_the_same_bits(order, length):
    inputs = make_inputs(3, 33, length, 5, dtype=torch.float32)
    moved = {name: in_memory_order(order, t) if t.ndim == 3 else t for name, t in inputs.items()}
    expected = outputs_and_gradients(inputs, backend="cpu", softplus=True)
    values = outputs_and_gradients(moved, backend="cpu", softplus=True)
    assert all(torch.equal(values[name], expected[name]) for name in expected)


def test_an_expanded_input_gives_the_same_bits():
    inputs = make_inputs(1, 3, 40, 5, dtype=torch.float32)
    inputs = {name: tensor.expand(4, -1, -1) if tensor.ndim == 3 else tensor for name, tensor in inputs.items()}
    dense = {name: tensor.contiguous() for name, tensor in inputs.items()}
    assert torch.equal(selective_scan(**inputs, delta_softplus=True), selective_scan(**dense, delta_softplus=True))


@pytest.mark.parametrize("backend", ["cpu", "chunked"])
def test_gradients_match_finite_differences(backend):
    inputs = {name: tensor.requires_grad_() for name, tensor in make_inputs(2, 3, 5, 2).items()}

    def run(*tensors):
        return selective_scan(
            **dict(zip(inputs, tensors, strict=True)), delta_softplus=True, return_last_state=True, backend=backend
        )

    assert torch.autograd.gradcheck(run, tuple(inputs.values()))


def test_operator_passes_opcheck():
    inputs = {name: tensor.requires_grad_() for name, tensor in make_inputs(2, 5, 40, 3).items()}
    operator = torch.ops.companion.selective_scan.default
    initial = inputs.pop("initial_state")
    torch.library.opcheck(operator, (*inputs.values(), True, initial))
    torch.library.opcheck(operator, (*list(inputs.values())[:5], None, None, None, False, None))


def test_two_halves_chained_equal_the_whole():
    inputs = make_inputs(2, 40, 101, 5)
    whole, last = selective_scan(**inputs, delta_softplus=True, return_last_state=True)
    state, parts = inputs["initial_state"], []
    for start, stop in pairwise((0, 37, 101)):
        part = {n: t[..., start:stop] if n in ("u", "delta", "B", "C", "z") else t for n, t in inputs.items()}
        y, state = selective_scan(**{**part, "initial_state": state}, delta_softplus=True, return_last_state=True)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, -1), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, last, rtol=1e-12, atol=1e-12)


def test_future_does_not_move_the_past():
    inputs = make_inputs(1, 5, 80, 4)
    before = selective_scan(**inputs, delta_softplus=True)
    for name in ("u", "delta", "B", "C", "z"):
        inputs[name][..., 50:] += 1
    after = selective_scan(**inputs, delta_softplus=True)
    assert torch.equal(before[..., :50], after[..., :50])
    assert not torch.isclose(before[..., 50:], after[..., 50:]).any()


def test_same_bits_on_one_and_two_threads():
    inputs = make_inputs(4, 100, 200, 8, dtype=torch.float32)  # above the size that is worth a second thread
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = outputs_and_gradients(inputs, backend="cpu", softplus=True)
        torch.set_num_threads(2)
        two = outputs_and_gradients(inputs, backend="cpu", softplus=True)
    finally:
        torch.set_num_threads(threads)
    for name in one:
        assert torch.equal(one[name], two[name]), name


@pytest.mark.parametrize("length", [129, 200])
def test_a_backward_pass_in_many_segments_equals_the_reference(monkeypatch, length):
    """Long sequences and large batches hand the adjoint state from segment to segment, the last first."""
    monkeypatch.setattr(_scan_op, "_PARTS", 1)
    assert len(_scan_op._segments(length, bar_size=1)) == -(-length // 64) >= 3
    inputs = make_inputs(2, 33, length, 3)
    found, expected = (outputs_and_gradients(inputs, backend=b, softplus=True) for b in ("cpu", "reference"))
    for name, value in found.items():
        assert relative_error(value, expected[name]) < 1e-10, name


@pytest.mark.parametrize("name", ["delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state"])
def test_the_operator_itself_checks_bounds(name):
    inputs = make_inputs(2, 8, 40, 3)
    inputs[name] = inputs[name][..., :1]
    tensors = [inputs[key] for key in NAMES[:-1]]
    with pytest.raises(ValueError, match=f"^{'B' if name == 'A' else name} must .*got"):
        torch.ops.companion.selective_scan(*tensors, True, inputs["initial_state"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("backend", "length"), [("cpu", 100_000), ("chunked", 20_000)])  # 312 chunks say it all
def test_long_sequences_stay_finite(dtype, backend, length):
    inputs = make_inputs(1, 4, length, 2, dtype=dtype)
    constant = torch.tensor([1e-6, 1.0, 1e3], dtype=dtype)[:, None].expand(3, length)
    order = torch.randperm(length, generator=torch.Generator().manual_seed(0))
    mixed = torch.logspace(-6, 3, length, dtype=dtype)[order]
    inputs["delta"] = torch.cat([constant, mixed[None]])[None]
    del inputs["delta_bias"]
    result = outputs_and_gradients(inputs, backend=backend, softplus=False)
    assert all(torch.isfinite(value).all() for value in result.values())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    delta=st.lists(
        st.one_of(st.floats(-120.0, 120.0), st.sampled_from([-1e4, -745.0, 20.5, 36.0, 88.8, 99.9, 100.1, 710.0, 1e4])),
        min_size=1,
        max_size=70,
    ),
    rate=st.one_of(st.just(0.0), st.floats(1e-6, 16.0)),
    bias=st.floats(-30.0, 30.0),
    gate=st.one_of(st.floats(-120.0, 120.0), st.sampled_from([-1e4, 1e4])),
)
def test_all_back_ends_agree_on_extreme_steps_and_gates(dtype, delta, rate, bias, gate):
    """A threshold, or an exponential, that suits one type may overflow in another, or round there."""

    def run(backend, kind):
        ones = torch.ones(1, 1, len(delta), dtype=kind)
        leaves = {
            "delta": torch.tensor([[delta]], dtype=kind).requires_grad_(),
            "A": torch.full((1, 1), -rate, dtype=kind).requires_grad_(),
            "z": (gate * ones).requires_grad_(),
            "delta_bias": torch.full((1,), bias, dtype=kind).requires_grad_(),
        }
        y, last = selective_scan(
            ones, B=0.5 * ones, C=ones, delta_softplus=True, return_last_state=True, backend=backend, **leaves
        )
        gradients = torch.autograd.grad(y.sum(), tuple(leaves.values()))
        return {"y": y, "last": last, **{f"gradient of {n}": g for n, g in zip(leaves, gradients, strict=True)}}

    expected = run("reference", torch.float64)
    for backend in ("cpu", "chunked", "reference"):
        for name, value in run(backend, dtype).items():
            assert torch.isfinite(value).all(), (backend, name)
            assert relative_error(value.double(), expected[name]) < EXTREME_TOLERANCE[dtype], (backend, name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", ["cpu", "chunked", "reference"])
def test_the_softplus_is_exact_where_its_argument_is_large(backend, dtype):
    """One bar, no decay: the output is softplus(delta) and its slope the gradient, to the last digits."""
    delta = torch.tensor([[[0.0, 15.0, 19.9, 20.1, 25.0, 39.9, 40.1, 88.8, 99.9, 100.1, 1e6]]], dtype=dtype)
    exact = [float(max(x, 0.0) + np.log1p(np.exp(-abs(x)))) for x in delta.double().flatten().tolist()]
    delta = delta.transpose(1, 2).contiguous().requires_grad_()
    one = torch.ones_like(delta)
    still = torch.zeros(len(exact), 1, dtype=dtype)
    y = selective_scan(one, delta, still, one[:, :1], one[:, :1], delta_softplus=True, backend=backend)
    few = 4 * torch.finfo(dtype).eps
    np.testing.assert_allclose(y.detach().flatten().double(), exact, rtol=few)
    (slope,) = torch.autograd.grad(y.sum(), delta)
    np.testing.assert_allclose(slope.flatten().double(), torch.sigmoid(delta.detach().double().flatten()), rtol=few)


@pytest.mark.parametrize("backend", ["cpu", "chunked"])
def test_growing_states_are_computed_as_they_are(backend):
    inputs = make_inputs(1, 3, 20, 2)
    inputs["A"] = inputs["A"].abs()
    compiled = selective_scan(**inputs, delta_softplus=True, backend=backend)
    torch.testing.assert_close(compiled, selective_scan(**inputs, delta_softplus=True, backend="reference"))


def test_nan_goes_through():
    inputs = make_inputs(1, 2, 10, 2)
    inputs["delta"][0, 0, 4] = torch.nan
    y = selective_scan(**inputs, delta_softplus=True)
    assert y[0, 0, 4:].isnan().all()
    assert not y[0, 0, :4].isnan().any()
    assert not y[0, 1].isnan().any()


def test_strided_inputs_equal_contiguous_ones():
    inputs = make_inputs(2, 6, 40, 3)
    expected = selective_scan(**inputs, delta_softplus=True)
    strided = {n: t.mT.contiguous().mT if t.ndim > 1 else t.repeat_interleave(2)[::2] for n, t in inputs.items()}
    assert not strided["u"].is_contiguous()
    assert torch.equal(selective_scan(**strided, delta_softplus=True), expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("fault", ["shape", "dimensions", "dtype", "type", "device"])
def test_errors_name_the_argument(name, fault):
    inputs = make_inputs(2, 4, 6, 3)
    good = inputs[name]
    bad = {
        "shape": good[:-1],
        "dimensions": good[None],
        "dtype": good.half(),
        "type": good.tolist(),
        "device": good.to("meta"),
    }[fault]
    inputs[name] = bad
    if name == "u" and fault == "shape":
        name = "delta"  # u sets the batch that the others must fit
    message = f"^{name} must .*got" if not (name == "u" and fault == "device") else "^(delta|backend) must .*got"
    with pytest.raises(ValueError, match=message):
        selective_scan(**inputs)


def test_unknown_or_absent_back_end():
    inputs = make_inputs(1, 2, 3, 1)
    with pytest.raises(ValueError, match=r"^backend must be one of cpu, cuda, chunked, reference, got 'tpu'"):
        selective_scan(**inputs, backend="tpu")
    with pytest.raises(
        ValueError, match=r"^backend must .* u is on cpu, got 'cuda'.*: move the tensors with .cuda\(\)"
    ):
        selective_scan(**inputs, backend="cuda")
    on_meta = {name: tensor.to("meta") for name, tensor in inputs.items()}
    with pytest.raises(ValueError, match=r"^backend must be another for u on meta, got 'cpu'"):
        selective_scan(**on_meta, backend="cpu")
    assert selective_scan(**on_meta).shape == inputs["u"].shape  # any other device takes the chunked scan


class OnCuda:
    """As much of a tensor as the choice of a back end looks at."""

    def __init__(self, dtype=torch.float32):
        self.device, self.dtype = torch.device("cuda"), dtype


def test_choice_of_a_back_end_on_cuda(monkeypatch):
    some_state = torch.zeros(1)
    monkeypatch.setattr(scan, "find_spec", lambda name: None)
    assert scan._chosen(None, OnCuda(), None) == "chunked"
    with pytest.raises(ValueError, match=r"mamba-ssm is not installed, got 'cuda'.*: install the extra \[gpu\]"):
        scan._chosen("cuda", OnCuda(), None)
    monkeypatch.setattr(scan, "find_spec", lambda name: name)
    assert scan._chosen(None, OnCuda(), None) == scan._chosen("cuda", OnCuda(), None) == "cuda"
    assert scan._chosen(None, OnCuda(), some_state) == scan._chosen(None, OnCuda(torch.float64), None) == "chunked"
    with pytest.raises(ValueError, match=r"there is an initial_state, got 'cuda'.*: leave it out"):
        scan._chosen("cuda", OnCuda(), some_state)
    with pytest.raises(ValueError, match=r"the tensors are torch\.float64, got 'cuda'"):
        scan._chosen("cuda", OnCuda(torch.float64), None)
