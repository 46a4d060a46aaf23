"""A family of strategies that is quick to decide, so that a sweep has little to hide behind; workers import it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Band:
    """Invested while the close is above its mean over a window by a share."""

    window: int
    band: float

    def __call__(self, close: pd.Series) -> NDArray[np.float64]:
        """Weight at each close."""
        return self.positions(close, [{"window": self.window, "band": self.band}])[0]

    @staticmethod
    def positions(close: pd.Series, parameter_sets: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
        """Weights of many at once, shape (n_sets, n_bars)."""
        values = close.to_numpy()
        sums = np.concatenate([[0.0], np.cumsum(values)])
        weights = np.zeros((len(parameter_sets), len(values)))
        for row, given in zip(weights, parameter_sets, strict=True):
            window = int(given["window"])
            level = (sums[window:] - sums[:-window]) * ((1.0 + given["band"]) / window)
            np.greater(values[window - 1 :], level, out=row[window - 1 :])
        return weights


class OneByOne(Band):
    """The same, one at a time."""

    positions = None  # type: ignore[assignment]

    def __call__(self, close: pd.Series) -> NDArray[np.float64]:
        """Weight at each close."""
        return Band.positions(close, [{"window": self.window, "band": self.band}])[0]
