"""In which arithmetic a block computes: that of its weights, float32 or float64, and inside an autocast region too."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor

from companion.mamba._checks import PRECISIONS

Module = TypeVar("Module", bound=Any)
Rest = ParamSpec("Rest")
Result = TypeVar("Result")
Method = Callable[Concatenate[Module, Tensor, Rest], Result]


def in_weights_precision(method: Method[Module, Rest, Result]) -> Method[Module, Rest, Result]:
    """Let a method of a module compute as its `precision` says, whatever autocast is told.

    A recurrence adds up what half precision rounds away, so an autocast region is left for the time of the call, and
    what a layer before it has rounded comes back to the weights' own type, as `torch.amp.custom_fwd` does it. Without
    autocast an input of another type is the caller's error, and so are weights in half precision.
    """

    @wraps(method)
    def run(self: Module, x: Tensor, *rest: Rest.args, **named: Rest.kwargs) -> Result:
        dtype, name = self.precision, type(self).__name__
        if dtype not in PRECISIONS:
            raise ValueError(f"the weights of {name} must be float32 or float64, got {dtype}: call .float() on it")
        if not isinstance(x, Tensor):
            raise ValueError(f"the input of {name} must be a tensor, got {type(x).__name__}")  # noqa: TRY004
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return method(self, x.to(dtype) if x.is_floating_point() else x, *rest, **named)
        return method(self, x, *rest, **named)

    return run


def check_input(name: str, x: Tensor, shape: tuple[int | str, ...], dtype: torch.dtype) -> None:
    """Refuse a tensor of another shape, in which a text stands for any number, or of another type than the weights."""
    sizes = [size if isinstance(wanted, str) else wanted for size, wanted in zip(x.shape, shape, strict=False)]
    if x.ndim != len(shape) or list(x.shape) != sizes:
        wanted = str(tuple(shape)).replace("'", "")
        raise ValueError(f"{name} must have shape {wanted}, got {tuple(x.shape)}")
    if x.dtype != dtype:
        raise ValueError(f"{name} must be {dtype} as the weights are, got {x.dtype}: convert one to the other")
