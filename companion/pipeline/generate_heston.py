"""Step 1: simulate a regime-switching Heston market, whose every regime is known."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from companion.errors import InputError
from companion.heston._ensemble import Ensemble, open_ensemble, read_blocks, write_ensemble
from companion.pipeline._step import Report, Step, main

MOST_BARS = 50_000_000  # what `read_paths` reads: half a GB


@dataclass(frozen=True)
class GenerateHestonConfig(Ensemble):
    """Which market, how much of it, and the seed; and the Dask cluster that simulates it, by default this machine.

    Attributes
    ----------
    market : str
        Base market of the book or a variant: equity_index, fast_reverting or slow_reverting.
    paths : int
        Paths, at least 1, in at most 100,000 files.
    bars : int
        Bars of a path after its start, in trading days, at least 1; a block holds at most 10,000,000 bars.
    block : int
        Paths in a file, at least 1.
    seed : int
        Seed of the random numbers, at least 0.
    scheduler : str or None
        Address of a Dask scheduler, such as tcp://host:8786, whose workers simulate; without one this machine does.
    """

    scheduler: str | None = None


def run(config: GenerateHestonConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Simulate regime-switching Heston paths, block by block; a run that was stopped goes on where it was."""
    settings = asdict(config)
    scheduler = settings.pop("scheduler")
    write_ensemble(Ensemble(**settings), output, scheduler=scheduler, report=report)
    return f"{config.paths:,} paths of {config.bars:,} bars"


def read_paths(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a small ensemble whole: log returns and regimes at the end of each bar, both (n_paths, n_bars)."""
    ensemble, _ = open_ensemble(folder)
    shape = ensemble.paths, ensemble.bars
    if ensemble.paths * ensemble.bars > MOST_BARS:
        raise InputError(
            f"{folder}: {ensemble.paths:,} paths of {ensemble.bars:,} bars are too much to hold in memory "
            f"({MOST_BARS:,} bars at most); generate fewer with --paths"
        )
    returns, regime = np.empty(shape), np.empty(shape, np.int8)
    for number, paths in enumerate(read_blocks(folder)):
        rows = slice(number * ensemble.block, (number + 1) * ensemble.block)
        returns[rows], regime[rows] = paths.log_returns, paths.regime[:, 1:]
    return returns, regime


STEP = Step("generate-heston", GenerateHestonConfig, inputs={}, output="heston.parquet", run=run, folder=True)
APP = STEP.app()

if __name__ == "__main__":
    sys.exit(main(STEP))
