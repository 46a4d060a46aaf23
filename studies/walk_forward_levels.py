"""At which levels of P(chaos) should each detector leave the market, and come back? Development data only."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from companion.backtest import WalkForward, ZeroOne, backtest_table, walk_forward
from companion.heston import RegimeSwitchingHeston
from studies._contenders import FITTED, SHIPPED, detector_for
from studies._series import LAST_DEVELOPMENT_DAY, cash_rate, real_series
from studies._study import Report, Row, Study
from studies._study import main as run_as_program


@dataclass(frozen=True)
class LevelsConfig:
    """Simulated paths of the base market, and the real series until the end of 1997.

    A detector is fitted on the first `first_test` bars of a series and anew after every `refit_every`; returns count
    from `first_test` on, after `delay` bars and `cost_bp`.
    """

    n_paths: int = 20
    n_bars: int = 2520
    seed: int = 91_003
    last_day: str = LAST_DEVELOPMENT_DAY
    series: tuple[str, ...] = ()
    first_test: int = 756
    refit_every: int = 504
    delay: int = 1
    cost_bp: float = 10.0
    enter: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    leave: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
    detectors: tuple[str, ...] = (*FITTED, *SHIPPED)

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Levels to enter and to leave chaos, the second never above the first."""
        return [(enter, leave) for enter, leave in product(self.enter, self.leave) if leave <= enter]


TINY = LevelsConfig(
    n_paths=2,
    n_bars=900,
    series=("S&P 500",),
    enter=(0.3, 0.5),
    leave=(0.1,),
    detectors=("EWMA K-Means", "universal filter"),
)
"""Sizes that only show that it runs."""


def walk_forward_levels(tiny: bool = False) -> Study:
    """Return the study: a run each detector."""
    config = TINY if tiny else LevelsConfig()
    return Study(
        name="walk_forward_levels",
        title="Levels of P(chaos) at which each detector leaves and comes back",
        question="Of all pairs of levels, which gives each detector the best Sharpe ratio after costs on development "
        "data, at no more than four changes of the whole position a year?",
        how="Twenty simulated paths, and the S&P 500, 20 stocks and crude oil until 1997: each detector walks forward, "
        "and every pair of levels trades what it said. No bar after 1997 is read.",
        cost="about a quarter of an hour on one core",
        columns={
            "detector": "name of the detector",
            "enter_chaos": "level of P(chaos) at which the position is sold",
            "leave_chaos": "level at which it is bought back",
            "group": "simulated paths, the index, or other real series",
            "sharpe": "mean over the series of the group, per year, after costs",
            "turnover": "mean over the series of the group, one way, in units of equity a year",
            "n_series": "series in the group",
        },
        config=json.loads(json.dumps(asdict(config))),
        runs={name: partial(_run, name, config) for name in config.detectors},
    )


def development_series(config: LevelsConfig) -> Iterator[tuple[str, str, pd.Series]]:
    """Yield group, name and closes of every development series, none with a bar after `last_day`."""
    market = RegimeSwitchingHeston.equity_index()
    paths = market.simulate(n_paths=config.n_paths, n_steps=config.n_bars, seed=config.seed)
    for number, price in enumerate(paths.price):
        yield "simulated", f"path {number}", pd.Series(price)
    for name, close in real_series().items():
        early = close[: config.last_day]
        if (not config.series or name in config.series) and len(early) > 2 * config.first_test:
            yield "index" if name == "S&P 500" else "other", name, early


def _run(name: str, config: LevelsConfig, work: Path, report: Report) -> list[Row]:
    splitter = WalkForward(config.first_test, config.refit_every)
    rules = [ZeroOne(*pair) for pair in config.pairs]
    series = list(development_series(config))
    tables = []
    for number, (group, which, close) in enumerate(series):
        report(f"{name} on {which}", number, len(series))
        try:
            p_chaos = walk_forward(close, detector_for(name, in_units=group == "other"), splitter=splitter).p_chaos
        except ValueError:  # it finds no two regimes in a window: the series is not counted in `n_series`
            continue
        test = close.loc[p_chaos.index]
        table = backtest_table(
            test,
            np.stack([rule(p_chaos.to_numpy()) for rule in rules]),
            delay=config.delay,
            cost_bp=config.cost_bp,
            cash_rate=cash_rate(test).to_numpy(),
        )
        tables.append(table[["sharpe", "turnover"]].assign(group=group, pair=range(len(rules))))
    return list(_rows(name, pd.concat(tables), config))


def _rows(name: str, table: pd.DataFrame, config: LevelsConfig) -> Iterator[dict[str, Any]]:
    """A row a pair and group; a path on which a pair never trades has no Sharpe ratio, and counts as 0."""
    for (pair, group), part in table.fillna({"sharpe": 0.0}).groupby(["pair", "group"], sort=True):
        enter, leave = config.pairs[pair]
        yield {
            "detector": name,
            "enter_chaos": enter,
            "leave_chaos": leave,
            "group": group,
            "sharpe": float(part["sharpe"].mean()),
            "turnover": float(part["turnover"].mean()),
            "n_series": len(part),
        }


def best_levels(table: pd.DataFrame, *, most_turnover: float = 4.0) -> dict[str, tuple[float, float]]:
    """Levels of each detector: the best mean of the groups' Sharpe ratios, of those within the turnover.

    Where no pair keeps to the turnover, the one that trades least.
    """
    levels = {}
    for name, rows in table.groupby("detector", sort=False):
        mean = rows.groupby(["enter_chaos", "leave_chaos"])[["sharpe", "turnover"]].mean()
        allowed = mean[mean["turnover"] <= most_turnover]
        pair = allowed["sharpe"].idxmax() if len(allowed) else mean["turnover"].idxmin()
        levels[str(name)] = (float(pair[0]), float(pair[1]))
    return levels


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study as a program."""
    return run_as_program(walk_forward_levels, argv)


if __name__ == "__main__":
    sys.exit(main())
