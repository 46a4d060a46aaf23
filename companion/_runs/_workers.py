"""Map a function over the numbers of blocks, on this machine or on a Dask cluster, a few blocks ahead of the caller."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any

from companion.errors import InputError

TIMEOUT = 10  # seconds to find the scheduler


def results(
    function: Callable[[Any, int], Any], job: Any, numbers: Sequence[int], *, scheduler: str | None
) -> Generator[tuple[int, Any], None, None]:
    """Yield ``number, function(job, number)`` for each of `numbers`, in the order in which they are done.

    No more than two calls a thread are begun before the caller has taken a result, which bounds the memory.

    Raises
    ------
    InputError
        There is no scheduler at that address, it has no workers, or it was lost; or Dask is not installed.
    """
    if not numbers:
        return
    waiting = iter(numbers)
    with _this_machine() if scheduler is None else _cluster(scheduler) as (executor, n_threads):
        running = {executor.submit(function, job, number): number for number in islice(waiting, 2 * n_threads)}
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
                running |= {executor.submit(function, job, number): number for number in islice(waiting, 1)}


@contextmanager
def _this_machine() -> Iterator[tuple[Executor, int]]:
    """Two threads: one simulates, on all cores, while the other packs what was simulated."""
    executor = ThreadPoolExecutor(2)
    try:
        yield executor, 2
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def _cluster(scheduler: str) -> Iterator[tuple[Executor, int]]:
    where = f"--scheduler {scheduler}"
    try:
        from distributed import Client
        from distributed.scheduler import KilledWorker
    except ImportError as error:
        remedy = "pip install 'modeling-financial-chaos[cluster]'"
        raise InputError(f"{where}: needs Dask; install it with {remedy}") from error
    try:
        client = Client(scheduler, timeout=TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: no scheduler answers there; start one with `dask scheduler`") from error
    with client:
        n_threads = sum(client.nthreads().values())
        if not n_threads:
            raise InputError(f"{where}: has no workers; start some with `dask worker {scheduler}`")
        executor = client.get_executor(pure=False)
        try:
            yield executor, n_threads
        except KilledWorker as error:
            raise InputError(f"{where}: a block ended every worker that tried it; give workers more memory") from error
        except (CancelledError, OSError) as error:
            raise InputError(f"{where}: was lost; run the command again to go on where it was") from error
        except (ImportError, RuntimeError) as error:
            said = str(error).partition("\n")[0]
            raise InputError(f"{where}: {said}; install companion there as it is here") from error
        finally:
            executor.shutdown(wait=False)
