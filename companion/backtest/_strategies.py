"""Strategies without anything to fit: functions of the closes so far to a weight at each of them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from companion._checks import check_count, check_finite
from companion.backtest._result import BacktestResult


@dataclass(frozen=True)
class Constant:
    """The same weight at every close.

    Attributes
    ----------
    weight : float
        Share of equity in the asset; 1 is `buy_and_hold`, another is brought back to itself at every close.

    Raises
    ------
    ValueError
        When the weight is no finite number.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        check_finite("weight", self.weight)

    @classmethod
    def matching(cls, result: BacktestResult) -> Self:
        """The constant that holds as much as another strategy did on average: its fair baseline.

        A rule that is half the time in cash has half the risk of the market, for which it needs no skill. The mean is
        known at the end only, so this is a yardstick and no strategy that anyone could have followed.

        Parameters
        ----------
        result : BacktestResult
            Of one path. The mean is that of the weights that earned a return, so the last bar's does not count.
        """
        if result.position.ndim != 1 or result.position.size < 2:
            raise ValueError(f"result must be of one path of at least 2 bars, got shape {result.position.shape}")
        return cls(float(result.position[:-1].mean()))

    def __call__(self, close: pd.Series) -> pd.Series:
        """Weight at each close."""
        return pd.Series(float(self.weight), index=close.index)


def buy_and_hold(close: pd.Series) -> pd.Series:
    """All in, at every close: a weight of 1, to be compared with."""
    return Constant(1.0)(close)


@dataclass(frozen=True)
class MovingAverage:
    """Invested while the close is not below the mean of the last `window` closes, this one included (Faber 2007).

    Attributes
    ----------
    window : int
        Closes in the mean. Until there are so many, the strategy is in cash.

    Raises
    ------
    ValueError
        When the window is no positive integer.
    """

    window: int = 200

    def __post_init__(self) -> None:
        check_count("window", self.window)

    def __call__(self, close: pd.Series) -> pd.Series:
        """Weight at each close, 0 or 1."""
        weights = np.zeros(len(close))
        if len(close) >= self.window:
            closes = close.to_numpy(dtype=np.float64)
            # A running sum would depend on where the history began; this mean is that of its window alone.
            mean = sliding_window_view(closes, self.window).mean(axis=-1)
            weights[self.window - 1 :] = closes[self.window - 1 :] >= mean
        return pd.Series(weights, index=close.index)
