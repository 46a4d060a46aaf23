"""The simulated exchange as a process of its own, which tests, drills and the service start."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from companion.errors import InputError

LISTENING = "listening on "
STOP_S = 10.0
MODULE = "companion.pipeline.exchange_simulator"


@contextmanager
def simulator_process(arguments: Sequence[str] = ()) -> Iterator[str]:
    """Run the simulator as a process of its own while the context is open; it ends with this process too.

    Parameters
    ----------
    arguments : sequence of str
        As after ``python -m companion.pipeline.exchange_simulator``.

    Yields
    ------
    str
        The address, "http://127.0.0.1:PORT".

    Raises
    ------
    InputError
        If it does not start; it has said why on standard error.
    """
    command = [sys.executable, "-m", MODULE, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            if not said.startswith(LISTENING):
                raise InputError(f"exchange simulator: does not start with {list(arguments)}; see what it complains of")
            yield said.removeprefix(LISTENING).strip()
        finally:
            process.stdin.close()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
