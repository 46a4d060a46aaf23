"""What a sweep costs beside its runs: files, hashes, progress and the count of trials; and many runs in little memory.

`python benchmarks/sweep.py`. The bare loop keeps nothing: it makes the same strategies and drops their performance.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _band import Band, OneByOne
from _timing import Row, compare, main, race
from sklearn.model_selection import ParameterGrid

from companion.backtest import WalkForward, backtest_table, sweep, walk_forward
from companion.backtest._sweep_plan import Plan
from companion.backtest._sweep_runs import Job, make_rows
from companion.regimes import EwmaKMeans

BARS, FIRST = 5031, 1260
RETURNS = np.random.default_rng(0).normal(2e-4, 0.012, BARS)
CLOSE = pd.Series(100.0 * np.exp(np.cumsum(RETURNS)), pd.bdate_range("2003-01-01", periods=BARS))
YEARLY, ONCE = WalkForward(FIRST, 252), WalkForward(FIRST, BARS)
Grid = Mapping[str, list[Any]]


def grid(n_sets: int) -> Grid:
    """Windows times bands."""
    return {"window": list(range(10, 10 + n_sets // 10)), "band": [0.002 * step for step in range(10)]}


def swept(maker: type, values: Grid, splitter: WalkForward) -> Callable[[], object]:
    """A sweep into a folder that is not there before."""

    def call() -> None:
        with tempfile.TemporaryDirectory() as folder:
            sweep(CLOSE, {maker: values}, folder=Path(folder) / "sweep", splitter=splitter)

    return call


def looped(maker: type, values: Grid, splitter: WalkForward) -> Callable[[], object]:
    """The same strategies, one after the other."""
    return lambda: [
        walk_forward(CLOSE, maker(**given), splitter=splitter).backtest.performance() for given in ParameterGrid(values)
    ]


def both(maker: type, values: Grid, splitter: WalkForward) -> tuple[Callable[[], object], Callable[[], object]]:
    """A sweep, and the bare loop."""
    return swept(maker, values, splitter), looped(maker, values, splitter)


def runs_alone(values: Grid) -> Callable[[], object]:
    """The very runs of a sweep, without its folder."""
    job = Job(CLOSE, Plan({Band: values}, (0,), ONCE, None, {}, n_folds=16, block=None))
    return lambda: deque(make_rows(job, range(job.plan.n_runs)), maxlen=0)


def tabled(values: Grid) -> Callable[[], object]:
    """The same strategies by the compiled pass, as many at a time as fit into 32 MB."""
    sets = list(ParameterGrid(values))
    lots = [sets[first : first + 795] for first in range(0, len(sets), 795)]
    return lambda: [backtest_table(CLOSE.iloc[FIRST:], Band.positions(CLOSE, lot)[:, FIRST:]) for lot in lots]


def peak(n_sets: int) -> tuple[float, float]:
    """Seconds and peak memory, in MB, of a process that sweeps this many sets."""
    program = f"import sweep; sweep.alone({n_sets})"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    seconds, megabytes = map(float, run.stdout.split())
    return seconds, megabytes


def alone(n_sets: int) -> None:
    """Sweep, and print what it took."""
    swept(Band, grid(10), ONCE)()  # compiles
    start = time.perf_counter()
    swept(Band, grid(n_sets), ONCE)()
    print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure(tiny: bool) -> list[Row]:
    """Race the sweep against bare loops, and measure its memory."""
    together, single, fitted = (20, 10, 1) if tiny else (30_000, 500, 2)
    half_lives = {"half_life": [5.0 + step for step in range(fitted)]}
    refitted = WalkForward(FIRST, 2000) if tiny else YEARLY
    rows = race(
        f"{together:,} sets at once",
        {"companion": swept(Band, grid(together), ONCE), "backtest_table alone": tabled(grid(together))},
        rounds=1 if tiny else 5,
    )
    for case, call, other in (
        (f"{together:,} sets at once, its runs alone", swept(Band, grid(together), ONCE), runs_alone(grid(together))),
        (f"{single} sets one by one, bare loop", *both(OneByOne, grid(single), ONCE)),
        (f"{fitted} detectors fitted yearly, bare loop", *both(EwmaKMeans, half_lives, refitted)),
    ):
        rows += compare(f"{case} = 1", call, other, pairs=1 if tiny else 41)
    sizes = (10,) if tiny else (1_000, 100_000)
    for n_sets in sizes:
        seconds, megabytes = peak(n_sets)
        rows += [
            Row(f"{n_sets:,} sets, a process", "companion", seconds, "s"),
            Row(f"{n_sets:,} sets, a process, peak memory", "companion", megabytes, "MB"),
        ]
    return rows


if __name__ == "__main__":
    main("sweep", measure, "A sweep of strategies against bare loops over the same; 5,031 bars, 10 bp, a day's delay")
