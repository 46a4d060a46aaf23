"""Step 4: backtest the regimes walk-forward, after a delay and costs, beside the baselines any reader would try."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from companion._files import atomic_write_text, provenance
from companion.backtest import (
    BacktestResult,
    run_backtest,
    sharpe_difference_interval,
    sharpe_interval,
    walk_forward_probabilities,
)
from companion.errors import InputError
from companion.pipeline.extract_regimes import read_regimes
from companion.pipeline.report import report_html
from companion.pipeline.step import Report, Step, main
from companion.regimes import EwmaKMeans, GarchKMeans, GaussianHmmFilter, hysteresis

FORMAT = 1
BASELINES: dict[str, Callable[[int], BaseEstimator]] = {
    "EWMA K-Means": lambda seed: EwmaKMeans(seed=seed),
    "GARCH K-Means": lambda seed: GarchKMeans(seed=seed),
    "Gaussian HMM": lambda seed: GaussianHmmFilter(n_restarts=2, seed=seed),
}


@dataclass(frozen=True)
class BacktestConfig:
    """Bars, costs and the bootstrap.

    The first `first_test` bars only fit the baselines, which are refitted every `refit_every` bars on all of the past.
    A decision at a close is traded `delay` bars later at a cost of `cost_bp` basis points of the notional, one way.
    """

    first_test: int = 1260
    refit_every: int = 252
    delay: int = 1
    cost_bp: float = 10.0
    cash_rate: float = 0.0
    enter: float = 0.40
    leave: float = 0.10
    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("first_test", 250), ("refit_every", 1), ("delay", 0), ("n_resamples", 100), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 <= self.cost_bp < 1000:
            raise ValueError(f"cost_bp must be in [0, 1000) basis points, got {self.cost_bp}")
        if not -0.5 < self.cash_rate < 0.5:
            raise ValueError(f"cash_rate must be within 50 % a year, got {self.cash_rate}")
        if not 0 < self.leave <= self.enter < 1:
            raise ValueError(f"leave and enter must satisfy 0 < leave <= enter < 1, got {self.leave} and {self.enter}")


def run(config: BacktestConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Backtest the model's regimes, buy & hold and the baselines; write the report as JSON and as HTML beside it."""
    table = read_regimes(inputs["regimes"])
    if len(table) < config.first_test + config.refit_every:
        need = config.first_test + config.refit_every
        raise InputError(f"{inputs['regimes']}: {len(table)} days, but first_test + refit_every need {need}")
    regimes = decide(table, config, report)
    close = table["close"].iloc[config.first_test :]
    results = {
        name: run_backtest(
            close,
            (regime[config.first_test :] == 0).astype(float),
            cost_bp=config.cost_bp,
            delay=config.delay,
            cash_rate=config.cash_rate,
        )
        for name, regime in regimes.items()
    }
    source = provenance(seed=config.seed, config=asdict(config), inputs=inputs)
    summary = {"kind": "walk-forward backtest", "format": FORMAT, **summarize(results, config), "provenance": source}
    page = output.with_suffix(".html")
    atomic_write_text(page, report_html(summary, results, table["regime"].to_numpy()[config.first_test :]))
    atomic_write_text(output, json.dumps(summary, indent=1) + "\n")
    return f"{summary['conclusion']} See {page}"


def decide(table: pd.DataFrame, config: BacktestConfig, report: Report) -> dict[str, np.ndarray]:
    """Return the regime that each method holds at each close, from what was known then: 0 invested, 1 in cash."""
    close, returns = table["close"], table["log_return"].to_numpy()
    regimes = {
        "buy & hold": np.zeros(len(table), dtype=np.int8),
        "Mamba K-Means": table["regime"].to_numpy(),
        "200-day average": (close < close.rolling(200, min_periods=1).mean()).to_numpy().astype(np.int8),
    }
    for number, (name, make) in enumerate(BASELINES.items()):

        def progress(done: int, total: int, before: int = number) -> None:
            report(before * total + done, len(BASELINES) * total)

        probability = walk_forward_probabilities(
            make(config.seed),
            returns,
            first_test=config.first_test,
            refit_every=config.refit_every,
            progress=progress,
        )
        chaos = np.nan_to_num(probability[:, 1], nan=0.0)  # no decision, so no chaos, before the first test bar
        regimes[name] = hysteresis(chaos, enter=config.enter, leave=config.leave)
    return regimes


def summarize(results: Mapping[str, BacktestResult], config: BacktestConfig) -> dict[str, Any]:
    """Performance of each strategy with bootstrap intervals, and one sentence that says whether any stands out."""
    index = next(iter(results.values())).index
    assert index is not None
    market = results["buy & hold"].returns[1:]
    bootstrap: dict[str, Any] = {"seed": config.seed, "n_resamples": config.n_resamples, "cash_rate": config.cash_rate}
    strategies: dict[str, dict[str, Any]] = {}
    significant = []
    for name, result in results.items():
        row: dict[str, Any] = dict(result.performance().to_dict())
        row["sharpe_interval"] = asdict(sharpe_interval(result.returns[1:], **bootstrap))
        if name != "buy & hold":
            difference = sharpe_difference_interval(result.returns[1:], market, **bootstrap)
            row["sharpe_minus_buy_and_hold"] = asdict(difference)
            significant += [name] * difference.excludes_zero
        strategies[name] = row
    who = f"{', '.join(significant)} differ" if significant else "no strategy differs"
    return {
        "first_day": str(index[0].date()),
        "last_day": str(index[-1].date()),
        "conclusion": f"In Sharpe ratio, {who} significantly from buy & hold (95 % block bootstrap).",
        "strategies": strategies,
    }


STEP = Step(
    "backtest-walkforward", BacktestConfig, inputs={"regimes": "regimes.parquet"}, output="backtest.json", run=run
)

if __name__ == "__main__":
    sys.exit(main(STEP))
