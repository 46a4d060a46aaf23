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
    sharpe_ratio,
    walk_forward_probabilities,
)
from companion.datasets import bars_per_year
from companion.errors import InputError
from companion.pipeline._report import report_html
from companion.pipeline._step import Report, Step, main
from companion.pipeline.extract_regimes import read_regimes
from companion.regimes import EwmaKMeans, GarchKMeans, GaussianHmmFilter, hysteresis

FORMAT = 2
MODEL = "Mamba K-Means"
BASELINES: dict[str, Callable[[int], BaseEstimator]] = {
    "EWMA K-Means": lambda seed: EwmaKMeans(seed=seed),
    "GARCH K-Means": lambda seed: GarchKMeans(seed=seed),
    "Gaussian HMM": lambda seed: GaussianHmmFilter(n_restarts=2, seed=seed),
}


@dataclass(frozen=True)
class BacktestConfig:
    """Bars, costs and the bootstrap.

    Attributes
    ----------
    first_test : int
        First bar that is traded, at least 250; the bars before only fit the baselines.
    refit_every : int
        Bars after which the baselines are fitted anew on all of the past, at least 1.
    delay : int
        Bars between the close that decides and the close that trades, 0 to 250.
    cost_bp : float
        One-way cost, in basis points of the notional traded, 0 to 1000.
    cash_rate : float
        Rate that cash earns, as a share a year, -0.5 to 0.5.
    n_resamples : int
        Resamples of the bootstrap, at least 100.
    seed : int
        Seed of the bootstrap and of the fits, at least 0.
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
        if not 0 <= self.cost_bp <= 1000:
            raise ValueError(f"cost_bp must be 0 to 1000 basis points, got {self.cost_bp}")
        if not -0.5 <= self.cash_rate <= 0.5:
            raise ValueError(f"cash_rate must be a share of -0.5 to 0.5 a year, got {self.cash_rate}")


def run(config: BacktestConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Backtest the model's regimes, buy & hold and the baselines; write the report as JSON and as HTML beside it."""
    table, source = read_regimes(inputs["regimes"])
    need = config.first_test + max(config.refit_every, config.delay + 250)
    if len(table) < need:
        raise InputError(f"{inputs['regimes']}: {len(table)} days, but these settings need {need}; lower first_test")
    try:
        levels = {name: source["config"][name] for name in ("enter_chaos", "leave_chaos")}
    except (KeyError, TypeError) as error:
        what = f"was not written by this version, lacks {error}"
        raise InputError(f"{inputs['regimes']}: {what}; make it with `companion extract-regimes`") from error
    close = table["close"].iloc[config.first_test :]
    year = bars_per_year(close)
    regimes, failed = decide(table, config, report, levels=levels)
    results = {name: _trade(close, regime, config, year) for name, regime in regimes.items()}
    summary = {
        "kind": "walk-forward backtest",
        "format": FORMAT,
        **summarize(results, config, failed=failed),
        "provenance": provenance(seed=config.seed, config=asdict(config) | levels, inputs=inputs),
    }
    page, text = output.with_suffix(".html"), report_html(summary, results, regimes[MODEL])
    with atomic_path(output) as json_part, atomic_path(page) as html_part:  # both are whole before either is replaced
        html_part.write_text(text, encoding="utf-8")
        json_part.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return f"{summary['conclusion']} See {page}"


def _trade(close: pd.Series, regime: np.ndarray, config: BacktestConfig, year: float) -> BacktestResult:
    invested = (regime == 0).astype(float)
    costs = {"cost_bp": config.cost_bp, "cash_rate": config.cash_rate, "bars_per_year": year}
    return run_backtest(close, invested, delay=config.delay, **costs)


def decide(
    table: pd.DataFrame, config: BacktestConfig, report: Report, *, levels: Mapping[str, float]
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the regime that each method holds at each close from `first_test` on, and which could not be fitted, why.

    A regime is 0, invested, or 1, in cash. `levels` are the hysteresis levels, the same for the model and for its
    baselines.
    """
    close, test = table["close"], slice(config.first_test, None)
    below = close < close.rolling(200, min_periods=1).mean()
    failed: dict[str, str] = {}
    regimes = {
        "buy & hold": np.zeros(len(table), dtype=np.int8)[test],
        MODEL: table["regime"].to_numpy()[test],
        "200-day average": below.to_numpy().astype(np.int8)[test],
    }
    for number, (name, make) in enumerate(BASELINES.items()):

        def progress(done: int, total: int, before: int = number) -> None:
            report(before * total + done, len(BASELINES) * total)

        try:
            probability = walk_forward_probabilities(
                make(config.seed),
                table["log_return"],
                first_test=config.first_test,
                refit_every=config.refit_every,
                progress=progress,
            )
        except ValueError as error:  # these prices show this method no two regimes; the others go on
            failed[name] = str(error)
        else:
            regimes[name] = hysteresis(
                probability[test, 1], enter_chaos=levels["enter_chaos"], leave_chaos=levels["leave_chaos"]
            )
    return regimes, failed


def summarize(
    results: Mapping[str, BacktestResult], config: BacktestConfig, *, failed: Mapping[str, str]
) -> dict[str, Any]:
    """Performance of each strategy with bootstrap intervals, and one sentence that says whether any stands out.

    What is undefined is None, and a note says why; a method that `failed` has a reason in place of numbers.
    """
    market = results["buy & hold"]
    first, last = np.asarray(market.index)[[0, -1]].astype("datetime64[D]")
    strategies: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    for name, result in results.items():
        row: dict[str, Any] = dict(result.performance().to_dict())
        row["sharpe_interval"] = _interval(result, None, config)
        if name != "buy & hold":
            row["sharpe_minus_buy_and_hold"] = _interval(result, market, config)
        notes += _notes(name, row)
        strategies[name] = row
    for name, reason in failed.items():
        strategies[name] = {"failed": reason}
        notes.append(f"{name} is not reported: {reason}.")
    compared = {name: row.get("sharpe_minus_buy_and_hold") for name, row in strategies.items()}
    significant = [name for name, difference in compared.items() if difference and difference["excludes_zero"]]
    who = f"{', '.join(significant)} differ" if significant else "no strategy differs"
    return {
        "first_day": str(first),
        "last_day": str(last),
        "bars_per_year": market.bars_per_year,
        "conclusion": f"In Sharpe ratio, {who} significantly from buy & hold (95 % block bootstrap).",
        "notes": notes,
        "strategies": strategies,
    }


def _interval(
    result: BacktestResult, baseline: BacktestResult | None, config: BacktestConfig
) -> dict[str, float | bool | None] | None:
    """Interval of a Sharpe ratio, or of the difference of two; None if undefined, and so is an end without bound."""
    pair = [each.returns[1:] for each in (result, baseline) if each is not None]
    year: dict[str, Any] = {"cash_rate": config.cash_rate, "bars_per_year": result.bars_per_year}
    if any(np.isnan(sharpe_ratio(returns, **year)) for returns in pair):
        return None
    interval_of = sharpe_interval if baseline is None else sharpe_difference_interval
    interval = interval_of(*pair, seed=config.seed, n_resamples=config.n_resamples, **year)
    ends = {name: value if np.isfinite(value) else None for name, value in asdict(interval).items()}
    return ends | {"excludes_zero": interval.excludes_zero}


def _notes(name: str, row: Mapping[str, Any]) -> list[str]:
    """What a reader has to know of a row whose numbers are not all there."""
    if row["sharpe"] is None:
        state = "was never invested" if row["time_invested"] == 0 else "had returns that do not vary"
        return [f"{name} {state}: its Sharpe ratio is undefined, and so is every comparison with it."]
    if None in (row["sharpe_interval"]["low"], row["sharpe_interval"]["high"]):
        return [f"{name} has so few days with a return that the interval of its Sharpe ratio has no bound."]
    return []


STEP = Step(
    "backtest-walkforward", BacktestConfig, inputs={"regimes": "regimes.parquet"}, output="backtest.json", run=run
)
APP = STEP.app()

if __name__ == "__main__":
    sys.exit(main(STEP))
