"""Map a function over the numbers of blocks, on this machine or on a Dask cluster, a few blocks ahead of the caller."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import Any

from companion.errors import InputError

LOCAL = "local"  # in place of a scheduler's address
TIMEOUT = 10  # seconds to find the scheduler


def results(
    function: Callable[[Any, int], Any], job: Any, numbers: Sequence[int], *, scheduler: str | None, threads: int = 2
) -> Generator[tuple[int, Any], None, None]:
    """Yield ``number, function(job, number)`` for each of `numbers`, in the order in which they are done.

    Without a `scheduler` this process makes them, in two threads (one simulates, on all cores, while the other packs
    what was simulated) or as many as are asked for, the caller's own if one; `LOCAL` starts a process for each core of
    this machine. No more than two calls a thread are begun before the caller has taken a result, which bounds the
    memory.

    Raises
    ------
    InputError
        There is no scheduler at that address, it has no workers, or it was lost; or Dask is not installed.
    """
    if not numbers:
        return
    if scheduler is None and threads == 1:
        yield from ((number, function(job, number)) for number in numbers)
        return
    waiting = iter(numbers)
    with _this_process(threads) if scheduler is None else _cluster(scheduler) as (executor, n_threads):
        running = {executor.submit(function, job, number): number for number in islice(waiting, 2 * n_threads)}
        while running:
            done = wait(running, return_when=FIRST_COMPLETED).done
            while done:
                future = done.pop()
                made = running.pop(future), future.result()
                del future  # or a cluster would make it again, for nobody, when its worker is lost
                yield made
                running |= {executor.submit(function, job, number): number for number in islice(waiting, 1)}


@contextmanager
def _this_process(threads: int) -> Iterator[tuple[Executor, int]]:
    executor = ThreadPoolExecutor(threads)
    try:
        yield executor, threads
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
    processes: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": None}
    place = processes if scheduler == LOCAL else {"address": scheduler}
    try:
        client = Client(**place, timeout=TIMEOUT, set_as_default=False)
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
