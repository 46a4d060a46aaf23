"""The detectors that the walk-forward studies hold against each other."""

from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator

from companion._checks import Floats
from companion.backtest import CrossValidatedJumpModel, Frozen, VarianceRank
from companion.evaluation import rescale_to_unit
from companion.regimes import (
    EwmaKMeans,
    GarchKMeans,
    GaussianHmmFilter,
    GjrKMeans,
    NeuralRegimeFilter,
    RegimeDetector,
)

INDEX_VOLATILITY = 0.17 / 252**0.5
"""Of a day, on the markets that the shipped detectors have learned from."""

FITTED: dict[str, Callable[[], BaseEstimator]] = {
    "EWMA K-Means": EwmaKMeans,
    "GARCH K-Means": GarchKMeans,
    "GJR K-Means": GjrKMeans,
    "GJR rank": lambda: VarianceRank("gjr"),
    "HMM": lambda: GaussianHmmFilter(n_restarts=2),
}
"""Detectors that are fitted anew as time goes on."""

SHIPPED: dict[str, Callable[[], Any]] = {
    "Mamba K-Means": RegimeDetector.load_pretrained,
    "index filter": lambda: NeuralRegimeFilter.load_pretrained("equity_index"),
    "universal filter": lambda: NeuralRegimeFilter.load_pretrained("universal"),
}
"""Detectors that come with the package: they have learned from simulated markets alone, and are never fitted here."""

JUMP_MODEL = "jump model"
"""Chooses its penalty itself, and answers 0 or 1: there are no levels to choose."""


class InUnits:
    """A shipped detector that reads returns in the unit it knows: divided by their own volatility so far."""

    def __init__(self, detector: Any) -> None:
        self.detector = detector

    def predict_proba(self, X: Floats) -> Floats:
        """P(stable) and P(chaos) per bar, causal."""
        in_units = rescale_to_unit(X, half_life=float("inf"), daily_volatility=INDEX_VOLATILITY)
        return self.detector.predict_proba(in_units)


def detector_for(name: str, *, in_units: bool) -> Any:
    """The detector `name` for `walk_forward`; a shipped one reads other scales than an index's `in_units`."""
    if name == JUMP_MODEL:
        return CrossValidatedJumpModel()
    if name in FITTED:
        return FITTED[name]()
    detector = SHIPPED[name]()
    return Frozen(InUnits(detector) if in_units else detector)
