"""The settings of a walk-forward backtest, of a few strategies or of many."""

from dataclasses import dataclass

import pandas as pd

from companion._checks import check_count, check_positive
from companion.backtest import Trading
from companion.datasets import bars_per_year
from companion.errors import InputError
from companion.pipeline._prices import PriceSettings


@dataclass(frozen=True)
class WalkForwardSettings(PriceSettings):
    """Prices, bars and costs.

    Attributes
    ----------
    first_test : int
        First bar that is traded, at least 250; the bars before only fit what is fitted.
    refit_every : int
        Bars after which a strategy is fitted anew on all of the past, at least 1.
    delay : int
        Bars between the close that decides and the close that trades, 0 to 250.
    cost_bp : float
        One-way cost, in basis points of the notional traded, 0 to 1000.
    half_spread_bp : float
        Half of the spread, paid on top of the cost, in basis points of the notional traded, 0 to 1000.
    cash_rate : float
        Rate that cash earns, as a share a year, -0.5 to 0.5.
    bars_per_year : float or None
        Bars in a year, above 0, where the dates do not tell it.
    target_volatility : float
        Volatility a year that strategies with a target aim at, as a share, above 0.
    seed : int
        Seed of the fits, at least 0.
    """

    first_test: int = 1260
    refit_every: int = 252
    delay: int = 1
    cost_bp: float = 10.0
    half_spread_bp: float = 0.0
    cash_rate: float = 0.0
    bars_per_year: float | None = None
    target_volatility: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_least(first_test=250, refit_every=1, delay=0, seed=0)
        if self.delay > 250:
            raise ValueError(f"delay must be at most 250 bars, got {self.delay}")
        for name in ("cost_bp", "half_spread_bp"):
            if not 0 <= getattr(self, name) <= 1000:
                raise ValueError(f"{name} must be 0 to 1000 basis points, got {getattr(self, name)}")
        if not -0.5 <= self.cash_rate <= 0.5:
            raise ValueError(f"cash_rate must be a share of -0.5 to 0.5 a year, got {self.cash_rate}")
        for name in ("bars_per_year", "target_volatility"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))

    def _check_least(self, **least: int) -> None:
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"{name} must be at least {value}, got {getattr(self, name)}")

    def check_bars(self, n_bars: int, name: str) -> None:
        """Refuse prices, those of `name`, that are too few to be fitted and traded on, with an `InputError`."""
        need = self.first_test + max(self.refit_every, self.delay + 250)
        if n_bars < need:
            least = 500 + self.delay
            remedy = f"give a longer history, of {least} bars at least"
            if n_bars >= least:
                remedy = f"take --first-test {n_bars - 250 - self.delay} --refit-every {250 + self.delay}"
            raise InputError(f"{name}: {n_bars} bars, but these settings need {need}; {remedy}")

    def year(self, close: pd.Series) -> float:
        """Bars a year: as set, or as the dates have it; an `InputError` where they do not tell."""
        try:
            return self.bars_per_year or bars_per_year(close)
        except InputError as error:
            raise InputError(str(error).replace("bars_per_year as a number", "--bars-per-year")) from error

    def trading(self, year: float) -> Trading:
        """What every strategy pays, in a year of `year` bars."""
        return Trading(
            delay=self.delay,
            cost_bp=self.cost_bp,
            half_spread_bp=self.half_spread_bp,
            cash_rate=self.cash_rate,
            bars_per_year=year,
        )


@dataclass(frozen=True)
class BacktestConfig(WalkForwardSettings):
    """Prices, bars, costs and the bootstrap.

    Attributes
    ----------
    prices : str or None
        Closes to backtest the shipped detectors on: sp500, or a file of dates and prices, CSV or Parquet. Without it,
        the prices and the model are those of --regimes.
    longest_gap : int
        Days from one close to the next that the shipped detectors take for daily bars, at least 1.
    n_resamples : int
        Resamples of the bootstrap, at least 100.
    seed : int
        Seed of the bootstrap and of the fits, at least 0.
    sha256 : str or None
        SHA-256 that the prices (or the regimes) must have. A report holds it, so that a run that takes its settings
        from there (--config backtest.json) is of the same prices, or refused.
    """

    prices: str | None = None
    longest_gap: int = 12
    n_resamples: int = 1000
    sha256: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_least(n_resamples=100)
        check_count("longest_gap", self.longest_gap)
