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

from companion._files import atomic_path, provenance
from companion.backtest import (
    BacktestResult,
    run_backtest,
    sharpe_difference_interval,
    sharpe_interval,
    walk_forward_probabilities,
)
from companion.errors import InputError
from companion.pipeline._report import report_html
from companion.pipeline._step import Report, Step, main
from companion.pipeline.extract_regimes import read_regimes
from companion.regimes import EwmaKMeans, GarchKMeans, GaussianHmmFilter, hysteresis

FORMAT = 1
MODEL = "Mamba K-Means"
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
    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("first_test", 250), ("refit_every", 1), ("delay", 0), ("n_resamples", 100), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.delay > 250:
            raise ValueError(f"delay must be at most 250 bars, got {self.delay}")
        if not 0 <= self.cost_bp < 1000:
            raise ValueError(f"cost_bp must be in [0, 1000) basis points, got {self.cost_bp}")
        if not -0.5 < self.cash_rate < 0.5:
            raise ValueError(f"cash_rate must be within 50 % a year, got {self.cash_rate}")


def run(config: BacktestConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Backtest the model's regimes, buy & hold and the baselines; write the report as JSON and as HTML beside it."""
    table, source = read_regimes(inputs["regimes"])
    need = config.first_test + max(config.refit_every, config.delay + 250)
    if len(table) < need:
        raise InputError(f"{inputs['regimes']}: {len(table)} days, but these settings need {need}; lower first_test")
    levels = {name: source["config"][name] for name in ("enter", "leave")}
    close = table["close"].iloc[config.first_test :]
    try:
        regimes = decide(table, config, report, levels=levels)
        results = {name: _trade(close, regime, config) for name, regime in regimes.items()}
        numbers = summarize(results, config)
    except ValueError as error:  # a filter that finds no two regimes in these prices, a strategy that never trades
        raise InputError(f"{inputs['regimes']}: {error}") from error
    written = {"provenance": provenance(seed=config.seed, config=asdict(config) | levels, inputs=inputs)}
    summary = {"kind": "walk-forward backtest", "format": FORMAT, **numbers, **written}
    page = output.with_suffix(".html")
    with atomic_path(output) as json_part, atomic_path(page) as html_part:  # both are whole before either is replaced
        html_part.write_text(report_html(summary, results, regimes[MODEL]), encoding="utf-8")
        json_part.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return f"{summary['conclusion']} See {page}"


def _trade(close: pd.Series, regime: np.ndarray, config: BacktestConfig) -> BacktestResult:
    invested = (regime == 0).astype(float)
    return run_backtest(close, invested, delay=config.delay, cost_bp=config.cost_bp, cash_rate=config.cash_rate)


def decide(
    table: pd.DataFrame, config: BacktestConfig, report: Report, *, levels: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """Return the regime that each method holds at each close from `first_test` on: 0 invested, 1 in cash.

    `levels` are the hysteresis levels, the same for the model and for its baselines.
    """
    close, test = table["close"], slice(config.first_test, None)
    below = close < close.rolling(200, min_periods=1).mean()
    regimes = {
        "buy & hold": np.zeros(len(table), dtype=np.int8)[test],
        MODEL: table["regime"].to_numpy()[test],
        "200-day average": below.to_numpy().astype(np.int8)[test],
    }
    for number, (name, make) in enumerate(BASELINES.items()):

        def progress(done: int, total: int, before: int = number) -> None:
            report(before * total + done, len(BASELINES) * total)

        probability = walk_forward_probabilities(
            make(config.seed),
            table["log_return"].to_numpy(),
            first_test=config.first_test,
            refit_every=config.refit_every,
            progress=progress,
        )
        regimes[name] = hysteresis(probability[test, 1], enter=levels["enter"], leave=levels["leave"])
    return regimes


def summarize(results: Mapping[str, BacktestResult], config: BacktestConfig) -> dict[str, Any]:
    """Performance of each strategy with bootstrap intervals, and one sentence that says whether any stands out."""
    market = results["buy & hold"].returns[1:]
    first, last = np.asarray(results["buy & hold"].index)[[0, -1]].astype("datetime64[D]")
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
        "first_day": str(first),
        "last_day": str(last),
        "conclusion": f"In Sharpe ratio, {who} significantly from buy & hold (95 % block bootstrap).",
        "strategies": strategies,
    }


STEP = Step(
    "backtest-walkforward", BacktestConfig, inputs={"regimes": "regimes.parquet"}, output="backtest.json", run=run
)

if __name__ == "__main__":
    sys.exit(main(STEP))
