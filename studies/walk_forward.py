"""Does any rule of the book beat what holds as much of the market? One test, by a protocol frozen before it."""

import hashlib
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from companion._checks import Floats
from companion.backtest import (
    BacktestResult,
    Constant,
    Dimmer,
    MovingAverage,
    VolatilityTarget,
    WalkForward,
    ZeroOne,
    buy_and_hold,
    deflated_sharpe_ratio,
    performance_difference_interval,
    performance_interval,
    performance_ratio_interval,
    run_backtest,
    walk_forward,
)
from companion.evaluation import Interval
from studies._contenders import JUMP_MODEL, detector_for
from studies._series import LAST_DEVELOPMENT_DAY, cash_rate, real_series
from studies._study import Report, Row, Study
from studies._study import main as run_as_program

PROTOCOL = Path(__file__).with_suffix(".toml")
HOLD, AVERAGE, TARGET = "buy & hold", "200-day average", "volatility target"
FIELDS = ("cagr", "volatility", "sharpe", "sortino", "calmar", "max_drawdown", "drawdown_bars", "tail_ratio")
FIELDS += ("turnover", "cost_paid", "time_invested")

Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Protocol:
    """What `walk_forward.toml` says; its comments say why."""

    question: str
    hypotheses: tuple[str, ...]
    caveats: tuple[str, ...]
    report: tuple[str, ...]
    series: tuple[str, ...]
    first_test_day: str
    last_day: str
    fewest_bars: int
    refit_every: int
    delay: int
    cost_bp: float
    delays: tuple[int, ...]
    costs_bp: tuple[float, ...]
    grid_series: tuple[str, ...]
    volatility_target: float
    dimmed: tuple[str, ...]
    best_rule: str
    n_resamples: int
    seed: int
    levels: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def read(cls) -> "Protocol":
        """The frozen protocol."""
        text = tomllib.loads(PROTOCOL.read_text(encoding="utf-8"))
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in text.items()})

    def first_test(self, close: pd.Series) -> int:
        """First bar of the test: the first of `first_test_day` or after, and at least `fewest_bars` from the start."""
        return max(int(close.index.searchsorted(pd.Timestamp(self.first_test_day))), self.fewest_bars)


def protocol_sha256() -> str:
    """Hash of the protocol's text, which the stored table carries."""
    return hashlib.sha256(PROTOCOL.read_bytes()).hexdigest()


def walk_forward_study(tiny: bool = False) -> Study:
    """Return the study: a run each series."""
    protocol = Protocol.read()
    if tiny:
        few = {name: protocol.levels[name] for name in ("EWMA K-Means", "universal filter")}
        protocol = replace(
            protocol,
            series=("S&P 500",),
            first_test_day="1996-01-01",
            last_day=LAST_DEVELOPMENT_DAY,
            levels=few,
            dimmed=tuple(few),
            n_resamples=100,
        )
    return Study(
        name="walk_forward",
        title="Rules of the book after costs, walk-forward, against holding as much",
        question=protocol.question,
        how="By the protocol in the configuration, which was written, hashed and committed before the run: levels from "
        "`walk_forward_levels`, every detector fitted on the past alone, a day's delay, 10 basis points, cash at the "
        "Treasury bill's rate. Intervals are of the stationary bootstrap, 95 %.",
        cost="about an hour on one core",
        columns={
            "series": "name of the prices",
            "rule": "detector and what makes a weight of it, or a baseline",
            "delay": "bars between decision and trade",
            "cost_bp": "cost of a trade, basis points one way",
            "measure": "field of `Performance`; or a comparison: `sharpe_minus_hold`, `sharpe_minus_constant` (of the "
            "constant exposure with the rule's mean weight), `drawdown_over_hold`, `drawdown_over_constant`; or "
            "`sharpe_interval`, `deflated_sharpe`, `n_bars`",
            "estimate": "its value",
            "low": "lower end of its interval, or the value where it has none",
            "high": "upper end",
        },
        config=json.loads(json.dumps({**asdict(protocol), "protocol_sha256": protocol_sha256()})),
        runs={name: partial(_run, name, protocol) for name in protocol.series},
    )


def _run(name: str, protocol: Protocol, work: Path, report: Report) -> list[Row]:
    close = real_series()[name][: protocol.last_day]
    first = protocol.first_test(close)
    test = close.iloc[first:]
    positions = dict(_positions(name, close, first, protocol, report))
    trade = partial(_trade, test)
    results = {rule: trade(position, protocol.delay, protocol.cost_bp) for rule, position in positions.items()}
    report(f"intervals on {name}", 0, 1)
    rows = list(_compare(results, test, protocol))
    if name in protocol.grid_series:
        for rule, position in positions.items():
            rows += _grid(rule, position, trade, protocol)
    rows.append(_row(HOLD, "n_bars", len(test)))
    main = {"delay": protocol.delay, "cost_bp": protocol.cost_bp}
    order = ("series", "rule", "delay", "cost_bp", "measure", "estimate", "low", "high")
    return [{column: ({"series": name} | main | row)[column] for column in order} for row in rows]


def _positions(
    name: str, close: pd.Series, first: int, protocol: Protocol, report: Report
) -> Iterator[tuple[str, pd.Series]]:
    """Weights of every rule on the test bars."""
    walk = partial(walk_forward, close, splitter=WalkForward(first, protocol.refit_every))
    past = float(np.log(close.iloc[:first]).diff().std() * np.sqrt(252))
    target = VolatilityTarget(protocol.volatility_target * past, max_leverage=1.0)
    for rule, strategy in ((HOLD, buy_and_hold), (AVERAGE, MovingAverage(200)), (TARGET, target)):
        yield rule, walk(strategy).position
    yield f"{JUMP_MODEL}, 0/1", walk(detector_for(JUMP_MODEL, in_units=False)).position
    for number, (detector, levels) in enumerate(protocol.levels.items()):
        report(f"{detector} on {name}", number, len(protocol.levels))
        try:
            p_chaos = walk(detector_for(detector, in_units=name != "S&P 500")).p_chaos
        except ValueError as error:  # it finds no two regimes in a window; its rules have no row on this series
            report(f"{detector} on {name} left out: {error}", number, len(protocol.levels))
            continue
        rules = {"0/1": ZeroOne(*levels)} | ({"dimmer": Dimmer()} if detector in protocol.dimmed else {})
        for how, rule in rules.items():
            yield f"{detector}, {how}", pd.Series(rule(p_chaos.to_numpy()), p_chaos.index)


def _trade(test: pd.Series, position: Any, delay: int, cost_bp: float) -> BacktestResult:
    return run_backtest(test, position, delay=delay, cost_bp=cost_bp, cash_rate=cash_rate(test))


def _compare(results: Mapping[str, BacktestResult], test: pd.Series, protocol: Protocol) -> Rows:
    """Every measure of every rule, its intervals, and what it is less than buy & hold and the constant exposure."""
    hold = results[HOLD]
    returns = np.stack([result.returns[1:] for result in results.values()], axis=1)
    cash = cash_rate(test).to_numpy()[:-1]  # known at a close, earned until the next
    how: dict[str, Any] = {"seed": protocol.seed, "n_resamples": protocol.n_resamples, "cash_rate": cash}
    how["bars_per_year"] = hold.bars_per_year
    for rule, result in results.items():
        said, earned = result.performance().to_dict(), result.returns[1:]
        yield from (_row(rule, name, said[name]) for name in FIELDS if said[name] is not None)
        if said["sharpe"] is None:
            continue
        yield _row(rule, "sharpe_interval", performance_interval(earned, "sharpe", **how))
        evidence = deflated_sharpe_ratio(earned, trials=returns, cash_rate=cash, bars_per_year=hold.bars_per_year)
        yield _row(rule, "deflated_sharpe", float(evidence))
        if rule != HOLD:
            constant = _trade(test, Constant.matching(result)(test), protocol.delay, protocol.cost_bp)
            yield from _differences(rule, earned, {"hold": hold.returns[1:], "constant": constant.returns[1:]}, how)


def _differences(rule: str, earned: Floats, others: Mapping[str, Floats], how: Mapping[str, Any]) -> Rows:
    for name, other in others.items():
        difference = performance_difference_interval(earned, other, "sharpe", **how)
        yield _row(rule, f"sharpe_minus_{name}", difference)
        ratio = performance_ratio_interval(earned, other, "max_drawdown", **how)
        yield _row(rule, f"drawdown_over_{name}", ratio)


def _grid(rule: str, position: pd.Series, trade: Any, protocol: Protocol) -> Rows:
    """Sharpe ratio and drawdown at other delays and costs than the protocol's own."""
    for delay in protocol.delays:
        for cost_bp in protocol.costs_bp:
            if (delay, cost_bp) != (protocol.delay, protocol.cost_bp):
                said = trade(position, delay, cost_bp).performance().to_dict()
                for name in ("sharpe", "max_drawdown"):
                    if said[name] is not None:
                        yield _row(rule, name, said[name]) | {"delay": delay, "cost_bp": cost_bp}


def _row(rule: str, measure: str, value: float | Interval) -> dict[str, Any]:
    ends = (value.estimate, value.low, value.high) if isinstance(value, Interval) else (value,) * 3
    estimate, low, high = (float(end) for end in ends)
    return {"rule": rule, "measure": measure, "estimate": estimate, "low": low, "high": high}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study as a program."""
    return run_as_program(walk_forward_study, argv)


if __name__ == "__main__":
    sys.exit(main())
