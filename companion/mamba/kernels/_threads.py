"""Tasks of a compiled kernel on PyTorch's number of threads; how a tensor's memory reaches the kernel.

A kernel walks along time, which must be contiguous. In which order the sequences and channels lie does not matter to
it: it takes the memory and the two steps, so that neither a projection's output (channels first) nor a part of a larger
tensor has to be copied.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from torch import Tensor

_WORK_WORTH_A_THREAD = 200_000  # multiplications


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="companion.mamba")


os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked child has the pool object but not its threads


def run_tasks(kernel: Callable[..., None], tasks: int, work: int, *arguments: Any) -> None:
    """Call `kernel(first, last, *arguments)` for pieces of 0..tasks; which thread takes which does not matter."""
    threads = min(torch.get_num_threads(), tasks) if work > _WORK_WORTH_A_THREAD else 1
    if threads == 1:
        kernel(0, tasks, *arguments)
        return
    pieces = min(tasks, 4 * threads)
    ranges = iter(list(pairwise(tasks * piece // pieces for piece in range(pieces + 1))))  # shared by the threads

    def take_ranges() -> None:
        for first, last in ranges:
            kernel(first, last, *arguments)

    helpers = [_pool(threads - 1).submit(take_ranges) for _ in range(threads - 1)]
    take_ranges()  # the calling thread is one of them
    for helper in helpers:
        helper.result()


Rows = tuple[np.ndarray, int, int]
"""Memory of a tensor (batch, channels, length), and the steps to the next sequence and to the next channel."""


def rows_of(tensor: Tensor | None, like: Tensor) -> Rows:
    """Memory of a tensor (batch, channels, length), a copy only if time is not contiguous; empty if there is none."""
    if tensor is None:
        return array_of(None, like, 1), 0, 0
    tensor = tensor.detach()
    if tensor.stride(2) != 1:
        tensor = tensor.clone(memory_format=torch.contiguous_format)
    (batch, channels, length), (to_batch, to_channel, _) = tensor.shape, tensor.stride()
    extent = (batch - 1) * to_batch + (channels - 1) * to_channel + length if tensor.numel() else 0
    return tensor.as_strided((extent,), (1,)).numpy(), to_batch, to_channel


def empty_rows(like: Tensor, count: int = 1) -> list[Tensor]:
    """`count` tensors (batch, channels, length) to be filled: time contiguous, the other axes in the order of `like`'s.

    They lie side by side in numpy's memory: for a large array numpy asks the system for large pages, PyTorch does not,
    and fresh memory costs more than the scan that fills it. They are arranged there, too: to autograd a tensor that is
    a view of another is not its own to add to, and it would add gradients into fresh memory again.
    """
    memory = np.empty((count, like.numel()), array_of(None, like, 1).dtype)
    shape, strides = tuple(like.shape), tuple(memory.itemsize * step for step in row_strides(like))
    return [torch.from_numpy(as_strided(part, shape, strides)) for part in memory]


def row_strides(like: Tensor) -> tuple[int, int, int]:
    """Strides of `empty_rows`, for the fake kernels too."""
    batch, channels, length = like.shape
    return (length, batch * length, 1) if like.stride(1) > like.stride(0) else (channels * length, length, 1)


def array_of(tensor: Tensor | None, like: Tensor, ndim: int) -> np.ndarray:
    """The tensor's memory as a contiguous numpy array; an empty array where there is no tensor."""
    if tensor is None:
        tensor = like.new_empty((0,) * ndim)
    return tensor.detach().contiguous().numpy()
