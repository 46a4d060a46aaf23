"""The compiled step's other half: whose weights it reads, where they lie, and when it may run at all."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from companion.mamba.kernels import _step_cpu as kernel

MAX_BATCH = 64  # above it PyTorch's matrix products win

_WEIGHTS = {  # column of the kernel's table: (submodule, parameter)
    kernel.IN_PROJ: ("in_proj", "weight"),
    kernel.IN_BIAS: ("in_proj", "bias"),
    kernel.CONV: ("conv1d", "weight"),
    kernel.CONV_BIAS: ("conv1d", "bias"),
    kernel.X_PROJ: ("x_proj", "weight"),
    kernel.DT_PROJ: ("dt_proj", "weight"),
    kernel.DT_BIAS: ("dt_proj", "bias"),
    kernel.A_LOG: ("", "A_log"),
    kernel.SKIP: ("", "D"),
    kernel.OUT_PROJ: ("out_proj", "weight"),
    kernel.OUT_BIAS: ("out_proj", "bias"),
}


class StackParts(NamedTuple):
    """What the compiled step runs through: `blocks`, and around them what a model has and a lone block has not."""

    blocks: Sequence[nn.Module]
    norms: Sequence[nn.Module | None]
    embedding: nn.Module | None = None
    final_norm: nn.Module | None = None


def compiled_stack(owner: nn.Module, parts: Callable[[], StackParts], x: Tensor) -> "CompiledStack | None":
    """Return the compiled step of `owner`, or None where PyTorch has to do it.

    The compiled form is for inference on the processor: autograd must be off (`torch.no_grad()` or
    `torch.inference_mode()`), the batch at most `MAX_BATCH`, the weights contiguous and all float32 or all float64.
    """
    if torch.is_grad_enabled() or x.device.type != "cpu" or len(x) > MAX_BATCH or torch.compiler.is_compiling():
        return None
    stack = _STACKS.get(owner)
    if stack is None or not stack.is_current():
        stack = _STACKS[owner] = CompiledStack(owner, parts())
    return stack if stack.is_usable else None


class CompiledStack:
    """The addresses of a stack's weights, good for as long as `is_current`."""

    def __init__(self, owner: nn.Module, parts: StackParts) -> None:
        block: Any = parts.blocks[0]
        rows = [[*_row(block, norm)] for block, norm in zip(parts.blocks, parts.norms, strict=True)]
        ends = [_parameter(parts.embedding, "weight"), _parameter(parts.embedding, "bias")]
        ends.append(_parameter(parts.final_norm, "weight"))
        weights = [weight for row in (ends, *rows) for weight in row if weight is not None]
        self._slots = [*_slots(owner)]
        self._places = [(weight, weight.data_ptr()) for weight in weights]
        self._alive = [weight.detach() for weight in weights]  # keeps the memory, whatever becomes of the parameter
        self._dtype = block.D.dtype
        # A weight that is no parameter is computed from others (a parametrization) and would be out of date unnoticed.
        self.is_usable = self._dtype in (torch.float32, torch.float64) and all(
            isinstance(w, nn.Parameter) and w.device.type == "cpu" and w.dtype == self._dtype and w.is_contiguous()
            for w in weights
        )
        n_in = block.d_model if ends[0] is None else ends[0].shape[1]
        self._shapes = (block.d_inner, block.d_conv - 1), (block.d_inner, block.d_state)
        self._x_shape, self._d_model = n_in, block.d_model
        eps = getattr(parts.final_norm, "eps", None) or 0.0
        self._sizes = n_in, block.d_model, block.d_inner, block.d_state, block.d_conv, block.dt_rank, eps
        self._ends = [_address(weight) for weight in ends]
        self._table = np.array([[_address(weight) for weight in row] for row in rows], np.int64)
        self._like = np.empty(1, np.float64 if self._dtype == torch.float64 else np.float32)

    def is_current(self) -> bool:
        """Whether every module, parameter and its memory is where it was; changes in place do not matter."""
        for places, key, value in self._slots:
            if places.get(key) is not value:
                return False
        return all(weight.data_ptr() == address for weight, address in self._places)

    def __call__(self, x: Tensor, state: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Output (batch, d_model) for x (batch, features), and what each block remembers after it."""
        batch = len(x)
        x = self._checked("x", x, (batch, self._x_shape))
        if len(state) != len(self._table):
            raise ValueError(f"state: expected {len(self._table)} parts, one a block, got {len(state)}")
        y = x.new_empty(batch, self._d_model)
        after: list[tuple[Tensor, Tensor]] = []
        addresses: list[int] = []
        conv_shape, hidden_shape = (batch, *self._shapes[0]), (batch, *self._shapes[1])
        keep = []  # a contiguous copy must outlive the kernel
        for conv, hidden in state:
            before = self._checked("state.conv", conv, conv_shape), self._checked("state.hidden", hidden, hidden_shape)
            next_conv, next_hidden = x.new_empty(conv_shape), x.new_empty(hidden_shape)
            keep.append(before)
            after.append((next_conv, next_hidden))
            addresses += before[0].data_ptr(), before[1].data_ptr(), next_conv.data_ptr(), next_hidden.data_ptr()
        ends = np.array([*self._ends, x.data_ptr(), y.data_ptr()], np.int64)
        table = np.array(addresses, np.int64).reshape(-1, 4)
        kernel.stack_step(batch, *self._sizes, ends, self._table, table, self._like)
        return y, after

    def _checked(self, name: str, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
        if tensor.shape != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {tuple(tensor.shape)}")
        if tensor.dtype != self._dtype:
            raise ValueError(f"{name}: expected {self._dtype} as the weights have, got {tensor.dtype}")
        if not tensor.is_cpu:
            raise ValueError(f"{name}: expected device cpu as the weights have, got {tensor.device}")
        return tensor.contiguous()


_STACKS: WeakKeyDictionary[nn.Module, CompiledStack] = WeakKeyDictionary()


def _row(block: nn.Module, norm: nn.Module | None) -> Iterator[Tensor | None]:
    """The weights of a block in the order of the kernel's columns."""
    yield _parameter(norm, "weight")
    for column in range(1, kernel.COLUMNS):
        child, name = _WEIGHTS[column]
        yield _parameter(block.get_submodule(child), name)


def _parameter(module: nn.Module | None, name: str) -> Tensor | None:
    return None if module is None else getattr(module, name)


def _address(weight: Tensor | None) -> int:
    return 0 if weight is None else weight.data_ptr()


def _slots(owner: nn.Module) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Every place under `owner` that holds a module or a parameter, and what it holds."""
    for module in owner.modules():
        for places in (module._modules, module._parameters):
            yield from ((places, key, value) for key, value in places.items())
