"""Killing a process before each of the steps of what it does: every place where a power cut could come.

Run as a program, it forks; so it is a process of its own, without threads.
"""

import os
import signal
import sys
from collections.abc import Callable

ENOUGH = 5000


def kill_at_each_step(work: Callable[[int, int], None], after: Callable[[int, bytes], None]) -> int:
    """Run ``work(k, pipe)`` in a child that is killed before its k-th call into C, for k = 1, 2, … until it survives.

    Whatever the child writes to `pipe` is what the world has heard of it; ``after(k, heard)`` judges what it has left.
    The number of kills comes back.
    """
    for k in range(1, ENOUGH):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            left = [k]

            def step(frame: object, event: str, argument: object, left: list[int] = left) -> None:
                if event == "c_call":
                    left[0] -= 1
                    if left[0] == 0:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.setprofile(step)
            work(k, writer)
            sys.setprofile(None)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            heard = file.read()
        _, status = os.waitpid(child, 0)
        after(k, heard)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return k - 1
        assert os.WTERMSIG(status) == signal.SIGKILL
    raise AssertionError("the work has no end")
