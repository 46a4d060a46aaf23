"""What the strategies did, in numbers: performance, its intervals, and what chance does with so many of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from companion.backtest import (
    BacktestResult,
    Constant,
    deflated_sharpe_ratio,
    effective_trials,
    performance_ratio_interval,
    run_backtest,
    sharpe_difference_interval,
    sharpe_interval,
    sharpe_ratio,
)
from companion.evaluation import Interval
from companion.pipeline._backtest_settings import BacktestConfig
from companion.pipeline._contenders import HOLD, Contest


def summarize(contest: Contest, config: BacktestConfig) -> dict[str, Any]:
    """Performance of each strategy with bootstrap intervals, and one sentence that says whether any stands out.

    What is undefined is None, and a note says why; a strategy that failed has a reason in place of numbers.
    """
    results = {name: each.backtest for name, each in contest.tried.items()}
    market = results[HOLD]
    strategies: dict[str, dict[str, Any]] = {}
    notes = list(contest.notes)
    for name, result in results.items():
        row: dict[str, Any] = dict(result.performance().to_dict())
        row["sharpe_interval"] = _interval(sharpe_interval, [result], config)
        if name != HOLD:
            row["sharpe_minus_buy_and_hold"] = _interval(sharpe_difference_interval, [result, market], config)
            row["drawdown_over_buy_and_hold"] = _interval(
                performance_ratio_interval, [result, market], config, "max_drawdown"
            )
            row["constant_exposure"] = _constant(result, contest, config)
        row["audit"] = contest.tried[name].audit
        notes += _notes(name, row)
        strategies[name] = row
    for name, reason in contest.failed.items():
        strategies[name] = {"failed": reason}
        notes.append(f"{name} is not reported: {reason}.")
    first, last = (f"{day:%Y-%m-%d}" for day in contest.tested.index[[0, -1]])
    return {
        "first_day": first,
        "last_day": last,
        "bars_per_year": market.bars_per_year,
        "conclusion": _conclusion(strategies),
        "best": _best(results, config),
        "notes": notes,
        "strategies": strategies,
    }


def _conclusion(strategies: Mapping[str, Mapping[str, Any]]) -> str:
    compared = {name: row.get("sharpe_minus_buy_and_hold") for name, row in strategies.items()}
    differences = {name: difference for name, difference in compared.items() if difference}
    outside = [
        f"{name!r} ({'above' if difference['estimate'] > 0 else 'below'} it)"
        for name, difference in differences.items()
        if difference["excludes_zero"]
    ]
    return (
        f"Of {len(differences)} strategies, the Sharpe ratio of {', '.join(outside) or 'none'} differs from that of "
        f"buy & hold (95 % block bootstrap, one comparison at a time: of twenty without a difference, one shows one)."
    )


def _constant(result: BacktestResult, contest: Contest, config: BacktestConfig) -> dict[str, Any]:
    """The fair baseline: the same weight at every close, as much as this strategy had on average."""
    constant = Constant.matching(result)
    same = run_backtest(contest.tested, constant(contest.tested), **contest.trading)
    row = dict(same.performance().to_dict())
    kept = ("cagr", "volatility", "sharpe", "max_drawdown")
    return {
        "weight": constant.weight,
        **{name: row[name] for name in kept},
        "sharpe_difference": _interval(sharpe_difference_interval, [result, same], config),
    }


def _best(results: Mapping[str, BacktestResult], config: BacktestConfig) -> dict[str, Any] | None:
    """The strategy with the largest Sharpe ratio, deflated by the number of those that were tried."""
    ratios = {name: ratio for name, result in results.items() if not np.isnan(ratio := _sharpe(result))}
    if len(ratios) < 2:
        return None
    best = max(ratios, key=lambda name: ratios[name])
    trials = np.stack([results[name].returns[1:] for name in ratios], axis=1)
    chosen = results[best]
    return {
        "strategy": best,
        "n_trials": len(ratios),
        "effective_trials": effective_trials(trials),
        "deflated_sharpe_ratio": deflated_sharpe_ratio(
            chosen.returns[1:], trials=trials, cash_rate=config.cash_rate, bars_per_year=chosen.bars_per_year
        ),
    }


def _sharpe(result: BacktestResult) -> float:
    return sharpe_ratio(result.returns[1:], cash_rate=result.cash_rate, bars_per_year=result.bars_per_year)


def _interval(
    interval_of: Callable[..., Interval], results: Sequence[BacktestResult], config: BacktestConfig, *field: str
) -> dict[str, float | bool | None] | None:
    """Interval of a measure of one result, or of two compared; None if undefined, and so is an end without bound."""
    if any(np.isnan(_sharpe(each)) for each in results):
        return None
    interval = interval_of(
        *(each.returns[1:] for each in results),
        *field,
        seed=config.seed,
        n_resamples=config.n_resamples,
        cash_rate=config.cash_rate,
        bars_per_year=results[0].bars_per_year,
    )
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


def to_table(contest: Contest) -> pd.DataFrame:
    """Every strategy at every tested close, in long form: `COLUMNS` of the artifact."""
    parts = [
        each.backtest.to_frame()[["position", "returns", "equity"]].assign(strategy=name)
        for name, each in contest.tried.items()
    ]
    return pd.concat(parts).rename_axis("date").reset_index()
