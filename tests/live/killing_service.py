"""`companion live`, killed at random moments and started again each time.

As a program it forks a life of the service whenever it is asked to: a second of CPU time, where a start costs five.
"""

import gc
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from kill_witness import BALANCE, INTERVAL, Witness, stage
from service import LONGEST_S, fields

from companion.cli import main
from companion.desk import Bar
from companion.execution.nautilus import perpetual_instrument
from companion.live import DeskRecipe, read_audit
from companion.live._simulator_process import LISTENING, MODULE
from companion.live._store_open import open_database  # noqa: F401 - so that a life need not import Alembic

MARKET = ("--history=8000", "--seed=9", "--quotes-per-second=200")  # all that a warm-up asks for
HABITS = ("--dead-band=0", "--max-daily-loss=.9", "--stale-after-s=1", "--dead-after-s=1")
KILLED, TRIPPED = -signal.SIGKILL, 3
LOOK_S = 0.0005
LONGEST_FLAT = 300
"""Bars of a life after which what is planned is done although nothing is held."""
SPARE_BARS = 10_000
"""Of the market: one that has ended is silent, and every life trips."""
MOST_ENDS = 5
"""Lives, one after the other, of which one has to end as told; the others trip."""
TORN_EACH = 3
"""After so many kills the log gets the beginning of a line, as a kill amid its writing would leave it."""


class Kill(NamedTuple):
    """One kill: how its moment was chosen, what was going on, and whether the breaker was tripped."""

    plan: str
    stage: str
    tripped: bool


# --- a life of the service -------------------------------------------------------------------------------------------


class Lives:
    """Starts lives of the service, one at a time.

    Parameters
    ----------
    folder : Path
        For a pipe.
    """

    def __init__(self, folder: Path) -> None:
        self._pipe, self._pid, self._mutex = folder / "said", 0, threading.Lock()
        os.mkfifo(self._pipe)
        # A pool of threads does not outlive a fork, and there is nothing to share among two of them here.
        alone = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, str(self._pipe)]
        self._mother = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=alone
        )
        assert self._answer() == "ready\n"

    def __enter__(self) -> "Lives":
        return self

    def __exit__(self, *error: object) -> None:
        self.signal(signal.SIGKILL)
        self._mother.communicate()

    def signal(self, number: int) -> None:
        """Send a signal to the life; one that has ended takes no notice, for nobody has asked yet how it ended."""
        with self._mutex:
            if self._pid:
                os.kill(self._pid, number)

    def live(self, words: list[str], *, kill_after_s: float | None, on_line: Callable[[str], object]) -> int:
        """Begin a life, and kill it so many seconds later if it still lives; hear what it says until it ends.

        Its exit status comes back, -9 if it was killed.
        """
        with open(os.open(self._pipe, os.O_RDONLY | os.O_NONBLOCK)) as said:  # there before anybody writes
            print(json.dumps(words), file=self._mother.stdin)
            self._pid = int(self._answer())
            os.set_blocking(said.fileno(), True)
            if kill_after_s is not None:
                self.kill_in(kill_after_s)
            for line in said:
                on_line(line.rstrip("\n"))
        with self._mutex:
            self._pid = 0
        print(file=self._mother.stdin)
        return int(self._answer())

    def kill_in(self, delay_s: float, *, once: Callable[[], bool] = lambda: True) -> None:
        """Kill this life, and no later one, so long after something has come true."""
        threading.Thread(target=self._kill_in, args=(self._pid, delay_s, once), daemon=True).start()

    def _kill_in(self, pid: int, delay_s: float, once: Callable[[], bool]) -> None:
        while pid == self._pid and not once():
            time.sleep(LOOK_S)
        time.sleep(delay_s)
        with self._mutex:
            if pid == self._pid:
                os.kill(pid, signal.SIGKILL)

    def _answer(self) -> str:
        assert self._mother.stdout is not None
        return self._mother.stdout.readline()


def mother(pipe: str) -> None:
    """Fork a life for each line of words, say its number, and when asked, how it ended."""
    desk = DeskRecipe.of(perpetual_instrument(), bar=INTERVAL).make()
    desk.on_bar(Bar(datetime.now(UTC), 1.0, 1.0, 1.0, 1.0), equity=BALANCE)  # loads what Numba has compiled
    assert threading.active_count() == 1
    gc.freeze()  # what all lives share is no garbage of any
    print("ready", flush=True)
    for words in sys.stdin:
        with Path(pipe).open("w") as said:
            if (child := os.fork()) == 0:
                signal.alarm(int(LONGEST_S))  # whoever asked may be gone
                for stream in (1, 2):
                    os.dup2(said.fileno(), stream)
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1) for stream in (1, 2))
                status = main(json.loads(words))
                sys.stdout.flush()
                os._exit(status)
        print(child, flush=True)
        sys.stdin.readline()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


# --- the drill -------------------------------------------------------------------------------------------------------


@contextmanager
def exchange(minutes: int) -> Iterator[tuple[str, Callable[[int], None]]]:
    """A simulated exchange that outlives every life: its address, and how to send it a signal."""
    command = [sys.executable, "-m", MODULE, f"--interval={INTERVAL}", f"--minutes={minutes}", *MARKET]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix(LISTENING).strip(), process.send_signal
        finally:
            process.kill()


class Drill:
    """Kills a service again and again.

    Parameters
    ----------
    folder : Path
        Empty.
    n_kills : int
    seed : int
        Of the moments.
    """

    def __init__(self, folder: Path, *, n_kills: int, seed: int) -> None:
        self._folder, self._random = folder, random.Random(seed)
        n_tripped, n_others = max(1, n_kills // 4), max(1, n_kills // 12)
        plans = ["trip"] * n_tripped + ["stop"] * n_others + ["silence"] * n_others
        plans += ["moment"] * (n_kills - 1 - len(plans))
        self._random.shuffle(plans)
        self._plans = deque(["begin", *plans[: n_kills - 1]])
        self.kills: list[Kill] = []
        self.n_refused, self.n_ended, self.last_said = 0, 0, ""

    def run(self) -> Witness:
        """Do it; what the folder holds in the end comes back, after a last life that is told to stop."""
        with ExitStack() as stack:
            self._lives = stack.enter_context(Lives(self._folder))
            minutes = SPARE_BARS + 1000 * len(self._plans)
            url, self._signal_exchange = stack.enter_context(exchange(minutes))
            place = self._folder / "live"
            self._breaker = ("--file", str(place / "breaker.json"))
            addresses = (f"--http={url}", f"--websocket=ws{url.removeprefix('http')}")
            self._words = ["live", "--plain", f"--folder={place}", f"--interval={INTERVAL}", *HABITS, *addresses]
            self._witness, self._span_s = Witness(place, url), 0.0
            while self._plans:
                self._kill(self._plans.popleft())
            self._converge()
        return self._witness

    def _kill(self, plan: str) -> None:
        began, struck, said = time.monotonic(), False, list[str]()

        def on_line(line: str) -> None:
            nonlocal struck
            said.append(line)
            found = fields(line)
            n_bars = found.get("bars", 0.0)
            ripe = n_bars >= (20 if plan == "begin" else 5) and (found.get("position") or n_bars >= LONGEST_FLAT)
            if not struck and ripe:
                struck = True
                self._strike(plan, time.monotonic() - began)

        after_s = self._random.uniform(0.0, self._span_s) if plan == "moment" else None
        status = self._lives.live(self._words, kill_after_s=after_s, on_line=on_line)
        self._signal_exchange(signal.SIGCONT)
        new = self._witness.look()
        expected = {KILLED} | ({TRIPPED} if self._witness.tripped else set())
        assert status in expected | ({0} if plan == "stop" else set()), (plan, status, said)
        if status == KILLED:
            if len(self.kills) % TORN_EACH == 0:
                self._witness.tear()
            self.kills.append(Kill(plan, stage(new), self._witness.tripped))
        else:  # it was faster
            self._plans.appendleft(plan)
            self.n_ended += 1
            assert self.n_ended <= 10 + len(self.kills), f"no kill comes in time; the last was to be a {plan}"
        if self._witness.tripped:
            self._refuse()

    def _strike(self, plan: str, lived_s: float) -> None:
        """Do to a life what was planned, and kill it within the time that it takes to heed that."""
        if plan == "begin":
            self._span_s = lived_s  # how fast this machine is
            self._lives.signal(signal.SIGKILL)
        elif plan == "trip":
            self._command("trip", "a drill")
            if self._random.random() < 0.5:
                self._lives.kill_in(self._random.uniform(0.0, 0.3))
            else:  # when it has just noticed
                self._lives.kill_in(self._random.uniform(0.0, 0.01), once=self._witness.sees_trip)
        elif plan == "stop":
            self._lives.signal(signal.SIGTERM)
            self._lives.kill_in(self._random.uniform(0.0, 0.3))
        elif plan == "silence":
            self._signal_exchange(signal.SIGSTOP)
            self._lives.kill_in(self._random.uniform(0.0, 0.05), once=self._witness.sees_trip)

    def _refuse(self) -> None:
        """Tripped, it does not start, and leaves everything as it was, until a person resets it."""
        said: list[str] = []
        length = self._witness.n_bytes
        assert self._lives.live(self._words, kill_after_s=None, on_line=said.append) == TRIPPED, said
        assert "nothing is started" in said[-1]
        assert self._witness.look() == []
        assert self._witness.n_bytes == length
        self.n_refused += 1
        self._command("reset", "the drill goes on")

    def _converge(self) -> None:
        """A last life that holds what it wants to hold, or is flat, and stops as told."""

        def on_line(line: str) -> None:
            self.last_said = line
            if fields(line).get("bars", 0.0) >= 20 and self._has_converged():
                self._lives.signal(signal.SIGTERM)

        for _ in range(MOST_ENDS):
            status = self._lives.live(self._words, kill_after_s=None, on_line=on_line)
            if status != TRIPPED:
                break
            self._witness.look()
            self._command("reset", "the drill goes on")
        assert status == 0, self.last_said
        assert "stop" in [line.kind for line in self._witness.look()]

    def _has_converged(self) -> bool:
        """Whether what was wanted at one pass was held at the next."""
        known = len(self._witness.lines)
        new = (line.content for line in read_audit(self._witness.folder.audit) if line.n > known)
        passes = [(Decimal(said["held"]), Decimal(said["target"])) for said in new if "held" in said]
        return any(wanted == held for (_, wanted), (held, _) in pairwise(passes))

    def _command(self, name: str, reason: str) -> None:
        with redirect_stdout(io.StringIO()):
            assert main(["breaker", name, reason, *self._breaker]) == 0


if __name__ == "__main__":
    mother(sys.argv[1])
