"""Run a compiled kernel over blocks of paths on several threads.

Plain threads around kernels that release the lock, not numba's own pool: that one may not be entered from two threads
at once, which is how a Dask worker or a web service would call it.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from numba.core import config


def n_threads() -> int:
    """Threads to use: ``NUMBA_NUM_THREADS`` of the environment, by default the cores this process may run on."""
    return int(config.NUMBA_NUM_THREADS)


def for_blocks(kernel: Callable[[int, int], None], n_paths: int, *, block: int) -> None:
    """Call ``kernel(first, last)`` for consecutive blocks of at most `block` paths, on `n_threads` threads."""
    edges = [(first, min(first + block, n_paths)) for first in range(0, n_paths, block)]
    if min(n_threads(), len(edges)) == 1:
        for first, last in edges:
            kernel(first, last)
        return
    with ThreadPoolExecutor(min(n_threads(), len(edges))) as pool:
        for done in [pool.submit(kernel, first, last) for first, last in edges]:
            done.result()
