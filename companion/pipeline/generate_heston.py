"""Step 1: simulate a regime-switching Heston market, whose every regime is known."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from companion._files import provenance
from companion.errors import InputError
from companion.heston import RegimeSwitchingHeston
from companion.pipeline.artifacts import read_table, write_table
from companion.pipeline.step import Report, Step, main

MARKETS = {
    "equity_index": RegimeSwitchingHeston.equity_index,
    "fast_reverting": RegimeSwitchingHeston.fast_reverting,
    "slow_reverting": RegimeSwitchingHeston.slow_reverting,
}
MOST_BARS = 50_000_000  # about 4 GB of memory
KIND = "heston paths"
COLUMNS = {"path": "int32", "bar": "int32", "price": "float64", "variance": "float64", "regime": "int8"}


@dataclass(frozen=True)
class GenerateHestonConfig:
    """Which market, how much of it, and the seed. A bar is a day."""

    market: str = "equity_index"
    n_paths: int = 400
    n_bars: int = 1500
    seed: int = 2026

    def __post_init__(self) -> None:
        if self.market not in MARKETS:
            raise ValueError(f"market must be one of {', '.join(MARKETS)}, got {self.market!r}")
        for name, least in (("n_paths", 1), ("n_bars", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.n_paths * self.n_bars > MOST_BARS:
            raise ValueError(f"n_paths times n_bars must be at most {MOST_BARS:,}, got {self.n_paths * self.n_bars:,}")


def run(config: GenerateHestonConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Simulate regime-switching Heston paths and write one row a path and bar, bar 0 the start."""
    report(0, 1)
    paths = MARKETS[config.market]().simulate(n_paths=config.n_paths, n_steps=config.n_bars, seed=config.seed)
    shape = paths.price.shape
    table = pd.DataFrame(
        {
            "path": np.repeat(np.arange(shape[0], dtype=np.int32), shape[1]),
            "bar": np.tile(np.arange(shape[1], dtype=np.int32), shape[0]),
            "price": paths.price.ravel(),
            "variance": paths.variance.ravel(),
            "regime": paths.regime.ravel(),
        }
    )
    source = provenance(seed=config.seed, config=asdict(config), inputs={})
    write_table(output, table, kind=KIND, columns=COLUMNS, provenance=source)
    report(1, 1)
    return f"{config.n_paths:,} paths of {config.n_bars:,} bars"


def read_paths(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the artifact of this step: log returns and regimes at the end of each bar, both (n_paths, n_bars)."""
    table, _ = read_table(path, kind=KIND, columns=COLUMNS, made_by=STEP.name)
    n_paths = int(table["path"].max()) + 1
    shape = (n_paths, len(table) // n_paths)
    index = np.divmod(np.arange(len(table)), shape[1])
    if not (np.array_equal(table["path"], index[0]) and np.array_equal(table["bar"], index[1])):
        raise InputError(f"{path}: columns 'path' and 'bar' do not count whole paths in order; make it again")
    if not (table["price"] > 0).all():
        raise InputError(f"{path}: column 'price' holds a value that is not positive; make it again")
    if not table["regime"].isin([0, 1]).all():
        raise InputError(f"{path}: column 'regime' holds a value other than 0 and 1; make it again")
    price, regime = (table[name].to_numpy().reshape(shape) for name in ("price", "regime"))
    return np.diff(np.log(price), axis=1), regime[:, 1:]


STEP = Step("generate-heston", GenerateHestonConfig, inputs={}, output="heston.parquet", run=run)

if __name__ == "__main__":
    sys.exit(main(STEP))
