"""Step 3: read the regimes of a real price series day by day, with a model that has only ever seen simulations."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from companion._files import provenance
from companion.datasets import load_sp500, load_sp500_close, log_returns, read_prices
from companion.errors import InputError
from companion.mamba import MarketMamba
from companion.pipeline.artifacts import read_table, write_table
from companion.pipeline.generate_heston import read_paths
from companion.pipeline.step import Report, Step, main
from companion.regimes import RegimeDetector

KIND = "regimes"
COLUMNS = {
    "date": "timestamp[ns]",
    "close": "float64",
    "log_return": "float64",
    "p_chaos": "float64",
    "confidence": "float64",
    "regime": "int8",
}
SP500 = "sp500"


@dataclass(frozen=True)
class ExtractRegimesConfig:
    """Prices to read (`sp500`, or a CSV or Parquet file with the columns date and close), and the detector's settings.

    `enter` and `leave` are the probabilities of chaos at which the regime switches on and off.
    """

    prices: str = SP500
    enter: float = 0.40
    leave: float = 0.10
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.leave <= self.enter < 1:
            raise ValueError(f"leave and enter must satisfy 0 < leave <= enter < 1, got {self.leave} and {self.enter}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")


def run(config: ExtractRegimesConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Fit K-Means and the calibration on the simulated market, then read the prices one bar at a time."""
    close = sp500_close() if config.prices == SP500 else read_prices(config.prices)
    if len(close) < 2:
        raise InputError(f"{config.prices}: {len(close)} price; a return needs at least two")
    model = MarketMamba.load(inputs["model"])
    returns, truth = read_paths(inputs["market"])
    detector = RegimeDetector(model, enter=config.enter, leave=config.leave, seed=config.seed).fit(returns, truth)
    table = read_day_by_day(detector, close, report)
    settings = asdict(config) | {"prices": Path(config.prices).name}
    source = provenance(seed=config.seed, config=settings, inputs=inputs)
    write_table(output, table, kind=KIND, columns=COLUMNS, provenance=source)
    chaotic = (table["regime"] == 1).mean()
    return f"{len(table):,} days of {settings['prices']}, {chaotic:.0%} of them chaotic"


def sp500_close() -> pd.Series:
    """Closes of the S&P 500, 1990–2022, where a second source's daily bars of 1999–2018 confirm them.

    Raises
    ------
    InputError
        The two sources differ by more than a basis point on a day that both have.
    """
    close, bars = load_sp500_close(), load_sp500()
    both = close.index.intersection(bars.index)
    gap = (close[both] / bars["close"][both] - 1).abs()
    if gap.max() > 1e-4:
        raise InputError(
            f"{SP500}: the two sources differ on {gap.idxmax():%Y-%m-%d}; install what constraints.txt pins"
        )
    return close


def read_day_by_day(detector: RegimeDetector, close: pd.Series, report: Report) -> pd.DataFrame:
    """Feed `close` to a fitted `detector` in the order in which the days came; one row a day that has a return."""
    detector.reset()
    returns = log_returns(close)
    readings = []
    for day, value in enumerate(returns, start=1):
        readings.append(detector.update(value))
        report(day, len(returns))
    return pd.DataFrame(
        {
            "date": returns.index,
            "close": close.to_numpy()[1:],
            "log_return": returns.to_numpy(),
            "p_chaos": [reading.probability for reading in readings],
            "confidence": [reading.confidence for reading in readings],
            "regime": np.array([reading.regime for reading in readings], dtype=np.int8),
        }
    )


def read_regimes(path: Path) -> pd.DataFrame:
    """Read the artifact of this step, indexed by date."""
    table, _ = read_table(path, kind=KIND, columns=COLUMNS, made_by=STEP.name)
    dates = table["date"]
    if not (dates.is_monotonic_increasing and dates.is_unique):
        raise InputError(f"{path}: column 'date' is not strictly increasing; make it with `companion {STEP.name}`")
    if not (table["close"] > 0).all():
        raise InputError(f"{path}: column 'close' holds a value that is not positive; make it again")
    return table.set_index("date")


STEP = Step(
    "extract-regimes",
    ExtractRegimesConfig,
    inputs={"model": "model.safetensors", "market": "heston.parquet"},
    output="regimes.parquet",
    run=run,
)

if __name__ == "__main__":
    sys.exit(main(STEP))
