"""Tasks of a compiled kernel on PyTorch's number of threads; how a tensor's memory reaches the kernel."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
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
    bounds = [tasks * piece // pieces for piece in range(pieces + 1)]
    for done in [_pool(threads).submit(kernel, a, b, *arguments) for a, b in pairwise(bounds)]:
        done.result()


def array_of(tensor: Tensor | None, like: Tensor, ndim: int) -> np.ndarray:
    """The tensor's memory as a contiguous numpy array; an empty array where there is no tensor."""
    if tensor is None:
        tensor = like.new_empty((0,) * ndim)
    return tensor.detach().contiguous().numpy()
