"""Regimes of four real series, as read by the best learner there is, by the shipped network, and by two baselines."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from companion import datasets
from companion._checks import Floats
from companion._files import atomic_path
from companion.evaluation import CRISES, Crisis, alarms, detection_lags
from companion.regimes import BayesLearner, EwmaKMeans, GjrKMeans, NeuralRegimeFilter, hysteresis
from studies._study import Report, Row, Study
from studies._study import main as run_as_program

SERIES: dict[str, Callable[[], pd.Series]] = {
    "S&P 500": datasets.load_sp500_close,
    "NASDAQ": lambda: datasets.load_nasdaq()["close"],
    "Wal-Mart": lambda: datasets.load_stocks()["WMT"].loc["2003":],
    "S&P 500, weeks": lambda: datasets.load_sp500_close().resample("W-FRI").last(),
}
"""Two indices, a share, and the first in weeks."""
LEARNER, NETWORK = "learner", "scale-free filter"
FITTED = {"GJR-GARCH": GjrKMeans, "EWMA-10": EwmaKMeans}
"""Baselines, fitted to the whole series: an advantage that the other two do not have."""
ENTER = tuple(np.arange(10, 96, 5) / 100)
RATIOS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""Levels that are tried: where chaos is called, and what share of that level ends it."""
MOST_QUIET_CALLED, MOST_FALSE_ALARMS = 0.25, 1.0
"""What the best levels may cost: share of the quiet bars, and false alarms in 252 bars."""
MARGINS = {"S&P 500, weeks": 12}
"""Bars around a crisis that count as part of it, where they are not 60."""
WARM_UP = 250
"""Leading bars that are read and not scored."""


@dataclass(frozen=True)
class RealConfig:
    """Which series, how many of their last bars (None: all), and the learner's sizes."""

    series: tuple[str, ...] = tuple(SERIES)
    n_bars: int | None = None
    n_markets: int = BayesLearner.n_markets
    n_runs: int = BayesLearner.n_runs
    seed: int = 13

    def record(self) -> dict[str, Any]:
        """Everything the result depends on but the code, as JSON types."""
        levels = {"enter": ENTER, "ratios": RATIOS, "most": (MOST_QUIET_CALLED, MOST_FALSE_ALARMS), "warm_up": WARM_UP}
        levels["margins"] = MARGINS
        return json.loads(json.dumps(asdict(self) | levels))


TINY = RealConfig(("S&P 500", "NASDAQ"), n_bars=900, n_markets=16, n_runs=1)
"""Sizes that only show that it runs."""


def real_regimes(tiny: bool = False) -> Study:
    """Return the study: a run a series. `work` keeps what the learner said of it."""
    config = TINY if tiny else RealConfig()
    return Study(
        name="real_regimes",
        title="Regimes of real series, by the best learner, the network and two baselines",
        question="When were these markets in chaos, and who says so first?",
        how="Each reader goes through the log returns bar by bar. The learner and the scale-free filter were told "
        "nothing of the series; GJR-GARCH and EWMA-10 are fitted to all of it. Calls are by the levels that a reader "
        "ships with, and by its own best ones in hindsight: of the pairs that call at most a quarter of the quiet bars "
        "and raise at most one false alarm a year those that answer the most crises, of these the one of the smallest "
        "median lag. The crises are those of the stock market, whatever the series is.",
        cost="about a quarter of an hour on one core",
        columns={
            "series": "read",
            "first": "day of the first scored bar",
            "last": "day of the last",
            "n_bars": "scored",
            "volatility": "standard deviation of a bar's log return",
            "n_crises": "that lie within the scored bars",
            "reader": "`learner`, `scale-free filter`, or a baseline",
            "levels": "`shipped` or `best`",
            "enter": "P(chaos) at which chaos is called",
            "leave": "P(chaos) at which it is over",
            "correlation": "of its P(chaos) with the learner's",
            "in_chaos": "share of the bars called chaos",
            "spells_a_year": "called spells in 365.25 days",
            "longest_first": "first day of the longest called spell",
            "longest_last": "its last day",
            "answered": "of these",
            "median_lag": "bars from the start of a crisis to that of the spell that answers it",
            "quiet_called": "share called chaos of the bars that are 60 days, or 12 weeks, away from every crisis",
            "false_alarms": "called spells that touch no crisis, in 252 quiet bars",
        },
        config=config.record(),
        runs={name: partial(_run, name, config) for name in config.series},
    )


def _run(name: str, config: RealConfig, work: Path, report: Report) -> list[Row]:
    close = SERIES[name]()
    returns = np.log(close / close.shift()).dropna()
    returns = returns if config.n_bars is None else returns.iloc[-config.n_bars :]
    x = returns.to_numpy()
    report(name, 0, 1)
    network = NeuralRegimeFilter.load_pretrained("scale_free")
    said = {LEARNER: _learned(name, x, config, work), NETWORK: network.predict_proba(x)[:, 1]}
    said |= {reader: detector().fit(x).predict_proba(x)[:, 1] for reader, detector in FITTED.items()}
    days, margin = returns.index[WARM_UP:], MARGINS.get(name, 60)
    crises = [c for c in CRISES if days[0].date() < c.start and c.end < days[-1].date()]
    common = {"series": name, "first": _day(days[0]), "last": _day(days[-1]), "n_bars": len(days)}
    common |= {"volatility": float(x.std()), "n_crises": len(crises)}
    rows: list[Row] = []
    for reader, p in said.items():
        levels = {"best": _best_levels(p, returns.index, crises, margin)}
        if reader not in FITTED:
            levels = {"shipped": (network.enter_chaos, network.leave_chaos)} | levels
        r = float(np.corrcoef(p[WARM_UP:], said[LEARNER][WARM_UP:])[0, 1])
        for which, (enter, leave) in levels.items():
            scores = _scores(_called(p, enter, leave, returns.index), crises, margin)
            chosen = {"reader": reader, "levels": which, "enter": enter, "leave": leave, "correlation": r}
            rows.append(common | chosen | scores)
    return rows


def _learned(name: str, x: Floats, config: RealConfig, work: Path) -> Floats:
    """P(chaos) by the learner, (n_bars,); `work` keeps it, since it takes minutes."""
    file = work / f"{name.replace('&', '').replace(', ', '_').replace(' ', '_')}.npy"
    if not file.exists():
        learner = BayesLearner(n_markets=config.n_markets, n_runs=config.n_runs, seed=config.seed)
        said = learner.predict_proba(x)[:, 1]
        work.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as part, part.open("wb") as stream:
            np.save(stream, said)
    return np.load(file)


def _called(p: Floats, enter: float, leave: float, index: pd.Index) -> pd.Series:
    return pd.Series(hysteresis(p, enter_chaos=enter, leave_chaos=leave), index=index).iloc[WARM_UP:]


def _best_levels(p: Floats, index: pd.Index, crises: Sequence[Crisis], margin: int = 60) -> tuple[float, float]:
    """Those of the smallest median lag that can be afforded."""
    tried = []
    for enter in ENTER:
        for ratio in RATIOS:
            scores = _scores(_called(p, enter, ratio * enter, index), crises, margin)
            dear = scores["quiet_called"] > MOST_QUIET_CALLED or scores["false_alarms"] > MOST_FALSE_ALARMS
            lag = np.inf if scores["median_lag"] is None else scores["median_lag"]
            tried.append((dear, -scores["answered"], lag, scores["quiet_called"], enter, ratio * enter))
    *_, enter, leave = min(tried)
    return enter, leave


def _scores(calls: pd.Series, crises: Sequence[Crisis], margin: int = 60) -> dict[str, Any]:
    lags, between = detection_lags(calls, crises), alarms(calls, crises, margin=margin)
    starts = (calls.diff() != 0).cumsum()[calls == 1]
    longest = calls.index[:0] if starts.empty else starts.index[starts == starts.value_counts().idxmax()]
    return {
        "in_chaos": float(calls.mean()),
        "spells_a_year": float((calls.diff() == 1).sum() / ((calls.index[-1] - calls.index[0]).days / 365.25)),
        "longest_first": _day(longest[0]) if len(longest) else None,
        "longest_last": _day(longest[-1]) if len(longest) else None,
        "answered": int(lags.notna().sum()),
        "median_lag": float(lags.median()) if lags.notna().any() else None,
        "quiet_called": between.quiet_called,
        "false_alarms": between.false_a_year,
    }


def _day(when: Any) -> str:
    return f"{when:%Y-%m-%d}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study as a program."""
    return run_as_program(real_regimes, argv)


if __name__ == "__main__":
    sys.exit(main())
