"""Try many strategies at once, on this machine or on a cluster, and keep count of what was tried.

The best of many trials looks good by luck alone. A sweep is therefore the one place that knows the number that
`deflated_sharpe_ratio` and `probability_of_overfitting` ask for: how many there were, and how much they differed.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Unpack

import pandas as pd

from companion._files import followed
from companion._runs._folder import ResumableFolder
from companion.backtest._costs import Trading
from companion.backtest._rules import Rule
from companion.backtest._splitter import WalkForward
from companion.backtest._sweep_files import SWEEPS, encode_block, source_of
from companion.backtest._sweep_plan import Grid, Maker, Plan
from companion.backtest._sweep_result import SweepResult
from companion.backtest._sweep_runs import Job
from companion.backtest._walk_forward import YEARLY, checked_closes


def sweep(
    prices: pd.Series,
    strategies: Mapping[Maker, Grid],
    *,
    folder: str | Path,
    seeds: Sequence[int] = (0,),
    splitter: WalkForward = YEARLY,
    rule: Rule | None = None,
    n_folds: int = 16,
    block: int | None = None,
    scheduler: str | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
    **trading: Unpack[Trading],
) -> SweepResult:
    """Walk forward with every strategy, every combination of its parameters, and every seed; keep each run in a file.

    A run is a row of Parquet, some runs are a file, and the files are a folder that also says what made them. A sweep
    that was stopped goes on where it was when it is called again with the same arguments. Who makes a run, in which
    order and how often changes no bit of its row. One that raises an error says so in its row; the others go on.

    Parameters
    ----------
    prices : Series or array_like of shape (n_bars,)
        As in `walk_forward`.
    strategies : mapping of class or function to Grid
        For each, the values of its parameters, of which every combination is tried: ``{MovingAverage: {"window": [50,
        100, 200]}, buy_and_hold: {}}``. A class is made with the parameters, a function of the closes is given them
        besides. Each must stand in a module that a worker can import, and a value must be one that JSON can write. A
        class that has ``positions(close, parameter_sets)``, the weights (n_sets, n_bars) of many sets at once, does
        them by one compiled pass each; the first of each lot is also run alone, and must agree.
    folder : path
        Where the rows are kept; its parent is made if there is none. A finished sweep of other settings that is there
        is replaced: its trials no longer count.
    seeds : sequence of int
        For those strategies that take a ``seed``.
    splitter, rule, **trading
        As in `walk_forward`; the rule is for the detectors among the strategies. A strategy that is never fitted reads
        the prices once, whatever ``refit_every`` is.
    n_folds : int
        Equal parts of the test bars whose returns and squares are summed in the row, an even number: what
        `probability_of_overfitting` needs, and 4 GB less than 100,000 series of returns.
    block : int, optional
        Runs in a file, made by one worker in one go; a worker that dies costs as many. By default one that fits
        something, 150 that do not, or 10,000 that are done by one pass, but no fewer than 4 files: a file costs 10 ms,
        which is much beside a few quick runs. Where a run without a fit takes seconds, say 1.
    scheduler : str, optional
        Address of a Dask scheduler whose workers make the runs, or "local" for a process on each core of this machine
        (in a script, below ``if __name__ == "__main__":``); by default this process does, one after the other. A worker
        may be lost on the way.
    report : callable
        Called as ``report(done, total)``, in files.

    Returns
    -------
    SweepResult
        Read back from the folder, as `open_sweep` does. It takes some kB of memory a run; the rest of a sweep takes as
        much for 1,000 runs as for 100,000.

    Raises
    ------
    ValueError
        Prices, strategies, seeds or settings that can not be; the message names them.
    InputError
        `folder` holds something else, or an unfinished sweep of other settings, prices or code; another process is
        writing it; it can not be written; the cluster can not be reached, is lost, or runs other versions. Finished
        files are kept.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from companion.backtest import MovingAverage, WalkForward, sweep
    >>> close = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0.0, 0.01, 600)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     windows = {"window": [20, 50, 100, 200]}
    ...     result = sweep(close, {MovingAverage: windows}, folder=f"{folder}/sweep", splitter=WalkForward(200, 400))
    >>> result.n_trials
    4
    >>> result.deflated_sharpe_ratio < 0.95
    True
    """
    job = Job(checked_closes(prices), Plan(strategies, seeds, splitter, rule, trading, n_folds, block))
    with ResumableFolder(folder, SWEEPS, source_of(job)) as place:
        place.fill(encode_block, job, scheduler=scheduler, threads=1, report=report)
        place.finish()
        return SweepResult.of([place.read(number) for number in range(place.total)], place.identity)


def open_sweep(folder: str | Path) -> SweepResult:
    """Read a finished sweep.

    Raises
    ------
    InputError
        It is no sweep, or an unfinished or a damaged one; the message names the files and the remedy.
    """
    source = SWEEPS.open(Path(folder))
    place = followed(Path(folder))
    return SweepResult.of([SWEEPS.block(place, number, source) for number in range(SWEEPS.count(source))], source)
