"""Many strategies on one price series, walk-forward: the best of them, and how much of that is luck."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from companion._checks import check_positive
from companion.backtest import MovingAverage, SweepResult, VolatilityTarget, WalkForward, sweep
from companion.errors import InputError
from companion.pipeline._backtest_settings import WalkForwardSettings
from companion.pipeline._prices import load_prices
from companion.pipeline._step import Report, Step, main
from companion.regimes import EwmaKMeans


@dataclass(frozen=True)
class SweepConfig(WalkForwardSettings):
    """Prices, bars and costs, the strategies to try, and the Dask cluster that tries them, by default this process.

    Attributes
    ----------
    windows : tuple of int
        Closes in the mean of each MovingAverage, at least 1.
    half_lives : tuple of float
        Half-life of the variance of each VolatilityTarget and each EwmaKMeans, in bars, above 0.
    scheduler : str or None
        Address of a Dask scheduler, such as tcp://host:8786, whose workers try the strategies, or local for a process
        on each core of this machine; without one this process does.
    """

    windows: tuple[int, ...] = (20, 50, 100, 200)
    half_lives: tuple[float, ...] = (5.0, 10.0, 20.0, 40.0)
    scheduler: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("windows", "half_lives"):
            values = getattr(self, name)
            if not values or len({*values}) < len(values):  # one that is tried twice would count twice
                raise ValueError(f"{name} must be one or more values, each once, got {list(values)}")
        if min(self.windows) < 1:
            raise ValueError(f"windows must be at least 1, got {min(self.windows)}")
        for half_life in self.half_lives:
            check_positive("half_lives", half_life)

    def strategies(self, close: pd.Series) -> dict[Any, dict[str, list[Any]]]:
        """What is tried: each strategy, and the values of its parameters."""
        half_lives = list(self.half_lives)
        year = self.year(close.iloc[: self.first_test])  # what is known when the first position is taken
        target = {"target": [self.target_volatility], "bars_per_year": [year]}
        return {
            MovingAverage: {"window": list(self.windows)},
            VolatilityTarget: {"half_life": half_lives, **target},
            EwmaKMeans: {"half_life": half_lives},
        }


def run(config: SweepConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Try many strategies walk-forward, count them, and say how much of the best one is luck.

    They are MovingAverage, once a window (200 is the 200-day average), and VolatilityTarget and EwmaKMeans, once a
    half-life each. A run that was stopped goes on where it was. `companion.backtest.open_sweep` reads the folder.
    """
    close, identity = load_prices(config)
    config.check_bars(len(close), identity["file"])
    result = sweep(
        close,
        config.strategies(close),
        folder=output,
        seeds=[config.seed],
        splitter=WalkForward(config.first_test, config.refit_every),
        scheduler=config.scheduler,
        report=report,
        **config.trading(config.year(close.iloc[config.first_test :])),
    )
    try:
        return _summary(result)
    except ValueError as error:  # too few of them ever traded
        raise InputError(f"{output}: {error}; try more windows or half-lives") from error


def _summary(result: SweepResult) -> str:
    best = result.best
    return (
        f"{result.n_trials} of {len(result.runs)} trials counted, the best {best['strategy']} {best['parameters']}: "
        f"Sharpe ratio {best['sharpe']:.2f}, deflated Sharpe ratio {result.deflated_sharpe_ratio:.2f}, "
        f"probability of overfitting {result.overfitting.probability:.2f}"
    )


STEP = Step("sweep-strategies", SweepConfig, inputs={}, output="sweep.parquet", run=run, folder=True)
APP = STEP.app()

if __name__ == "__main__":
    sys.exit(main(STEP))
