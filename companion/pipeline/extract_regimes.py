"""Step 3: read the regimes of a real price series day by day, with a model that has only ever seen simulations."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from companion._checks import check_count
from companion._files import provenance, recorded
from companion._tables import read_table, write_table
from companion.datasets import log_returns
from companion.errors import InputError
from companion.heston import RegimePaths
from companion.heston._ensemble import MARKETS, open_ensemble
from companion.mamba import MarketMamba
from companion.pipeline._prices import SP500, PriceSettings, check_daily, load_prices
from companion.pipeline._step import Report, Step, main
from companion.regimes import RegimeDetector
from companion.regimes._hysteresis import ENTER_CHAOS, LEAVE_CHAOS

KIND = "regimes"
COLUMNS = {
    "date": "timestamp[ns]",
    "close": "float64",
    "log_return": "float64",
    "p_chaos": "float64",
    "confidence": "float64",
    "regime": "int8",
}


@dataclass(frozen=True)
class ExtractRegimesConfig(PriceSettings):
    """The prices to read, and the detector's settings.

    Attributes
    ----------
    enter_chaos : float
        Probability of chaos at which the regime becomes chaos, above 0 and below 1.
    leave_chaos : float
        Probability of chaos at which it becomes stable again, above 0 and below 1, at most that of `enter_chaos`.
    longest_gap : int
        Days from one close to the next, at least 1. Twelve admit every closure of the large exchanges since 1990 but
        two or three (weekends, lunar new year, September 2001) and refuse what is not daily: monthly closes by the
        gap, weekly ones because five long gaps follow each other.
    seed : int
        Seed of the simulated paths that the detector is fitted to, at least 0.
    """

    prices: str = SP500
    enter_chaos: float = ENTER_CHAOS
    leave_chaos: float = LEAVE_CHAOS
    longest_gap: int = 12
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        leave, enter = self.leave_chaos, self.enter_chaos
        if not 0 < leave <= enter < 1:
            raise ValueError(f"0 < leave_chaos <= enter_chaos < 1 must hold, got {leave} and {enter}")
        check_count("longest_gap", self.longest_gap)
        check_count("seed", self.seed, least=0)


def run(config: ExtractRegimesConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Fit K-Means and the calibration on fresh paths of the market, then read the prices one bar at a time."""
    if config.prices != SP500 and Path(config.prices).resolve() == output.resolve():
        raise InputError(f"--out {output}: is the price file itself; choose another name")
    close, identity = load_prices(config)
    check_daily(close, longest_gap=config.longest_gap, name=config.prices)
    model, paths = MarketMamba.load(inputs["model"]), fresh_paths(inputs["market"], config.seed)
    try:
        detector = fit_detector(model, paths, config)
    except ValueError as error:
        raise InputError(f"{inputs['model']}: {error}; train it longer") from error
    detector.reset(longest_gap=config.longest_gap)
    table = read_day_by_day(detector, close, report)
    settings = recorded(config) | {"prices": Path(config.prices).name}
    source = provenance(seed=config.seed, config=settings, inputs=inputs)
    source["inputs"]["prices"] = identity
    write_table(output, table, kind=KIND, columns=COLUMNS, provenance=source)
    chaotic = (table["regime"] == 1).mean()
    return f"{len(table):,} days of {settings['prices']}, {chaotic:.0%} of them chaotic"


def fresh_paths(market: Path, seed: int) -> RegimePaths:
    """Simulate 40 paths of the market that the ensemble `market` holds; the model has seen none of them."""
    ensemble, _ = open_ensemble(market)
    draws = np.random.default_rng([seed, ensemble.seed])
    return MARKETS[ensemble.market]().simulate(n_paths=40, n_steps=2060, seed=draws)


def fit_detector(model: MarketMamba, paths: RegimePaths, config: ExtractRegimesConfig) -> RegimeDetector:
    """Find the two clusters without labels, and calibrate their probability on the simulated truth."""
    detector = RegimeDetector(model, enter_chaos=config.enter_chaos, leave_chaos=config.leave_chaos, seed=config.seed)
    return detector.fit(paths.log_returns, paths.regime[:, 1:])


def read_day_by_day(detector: RegimeDetector, close: pd.Series, report: Report) -> pd.DataFrame:
    """Feed `close` to a fitted and reset `detector` as the days came; one row a day that has a return."""
    returns = log_returns(close)
    readings = []
    for day, (date, value) in enumerate(zip(returns.index, returns, strict=True), start=1):
        readings.append(detector.update(value, date))
        report(day, len(returns))
    return pd.DataFrame(
        {
            "date": returns.index,
            "close": close.to_numpy()[1:],
            "log_return": returns.to_numpy(),
            "p_chaos": [reading.p_chaos for reading in readings],
            "confidence": [reading.confidence for reading in readings],
            "regime": np.array([reading.regime for reading in readings], dtype=np.int8),
        }
    )


def read_regimes(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the artifact of this step: a table indexed by date, and its provenance."""
    table, source = read_table(path, kind=KIND, columns=COLUMNS, made_by=f"companion {STEP.name}")
    growth = table["close"].pct_change().iloc[1:]
    rules = {
        "date": table["date"].is_monotonic_increasing and table["date"].is_unique,
        "close": (table["close"] > 0).all(),
        "log_return": np.allclose(np.expm1(table["log_return"].iloc[1:]), growth, rtol=0, atol=1e-9),
        "p_chaos": table["p_chaos"].between(0, 1).all(),
        "confidence": table["confidence"].between(0, 1).all(),
        "regime": table["regime"].isin([0, 1]).all(),
    }
    for column, holds in rules.items():
        if not holds:
            remedy = f"make it with `companion {STEP.name}`"
            raise InputError(f"{path}: column '{column}' is not what this step writes; {remedy}")
    return table.set_index("date"), source


STEP = Step(
    "extract-regimes",
    ExtractRegimesConfig,
    inputs={"model": "model.safetensors", "market": "heston.parquet"},
    output="regimes.parquet",
    run=run,
)
APP = STEP.app()

if __name__ == "__main__":
    sys.exit(main(STEP))
