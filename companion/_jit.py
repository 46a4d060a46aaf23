"""Compiling with numba, on any disk: results are cached where a folder can be written, compiled anew where none can."""

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Return `numba.njit` with these options and a cache on disk.

    Where numba finds no folder to write to (a read-only installation and home), it would refuse to compile at all; the
    function is then compiled anew in each process, to the same code.
    """

    def decorate(function: Function) -> Function:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError as error:
            if "cannot cache function" not in str(error):
                raise
            return njit(**options)(function)

    return decorate


# What a kernel is compiled with. The compiler may fuse a multiply and an add, and may reorder sums; it must still
# respect NaN and infinity. Without numpy's error model each division would be a branch that raises, and no loop with
# one would be vectorized.
KERNEL: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}
