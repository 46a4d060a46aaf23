"""The kinds of strategy that can walk forward, each as a reader: from closes so far to a number at each of them.

============================================ ===================== =============================
strategy                                     fitted                the number
============================================ ===================== =============================
estimator with ``predict_proba``             in each window        P(chaos), for a rule
`Frozen` with such an estimator              before, elsewhere     P(chaos), for a rule
callable on closes, with a ``fit``           in each window        weight
any other callable on closes                 never                 weight
============================================ ===================== =============================
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from companion._checks import Floats

Reader = Callable[[pd.Series], Floats]
Fitted = Literal["window", "before", "never"]

# Longer inputs may round differently in float32 matrix products; a filter that reads the future differs by far more.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Frozen:
    """A detector that was fitted elsewhere, on none of these prices, and is never fitted again.

    Attributes
    ----------
    detector : estimator
        Fitted, with the interface of the detectors of `companion.regimes`.
    """

    detector: Any


@dataclass(frozen=True)
class Kind:
    """What walking forward needs to know of a strategy.

    Attributes
    ----------
    name : str
        What to call it in a message.
    fitted : {"window", "before", "never"}
        When it is fitted.
    gives_chaos : bool
        Whether it answers with P(chaos), for a rule, and not with weights.
    reader : callable
        From the log returns of a training window to a `Reader`.
    """

    name: str
    fitted: Fitted
    gives_chaos: bool
    reader: Callable[[NDArray[np.float64]], Reader]


def kind_of(strategy: Any) -> Kind:
    """Say which kind of strategy this is; ValueError where it is none."""
    made = not isinstance(strategy, type)
    if not made:
        raise ValueError(f"strategy must be made first, got the class {strategy.__name__}: give {strategy.__name__}(…)")
    if isinstance(strategy, Frozen):
        return Kind(type(strategy.detector).__name__, "before", True, lambda _: _of_detector(strategy.detector))
    name = getattr(strategy, "__name__", type(strategy).__name__)
    if hasattr(strategy, "predict_proba"):
        return Kind(name, "window", True, lambda returns: _of_detector(clone(strategy).fit(returns)))
    if callable(strategy) and hasattr(strategy, "fit"):
        return Kind(name, "window", False, lambda returns: _of_callable(clone(strategy).fit(returns)))
    if callable(strategy):
        return Kind(name, "never", False, lambda _: _of_callable(strategy))
    raise ValueError(f"strategy must be a detector, or a function of closes to weights, got {strategy!r}")


def returns_of(close: pd.Series) -> NDArray[np.float64]:
    """Log returns, (n_bars - 1,): that of bar t is at ``t - 1``, for bar 0 has none."""
    return np.diff(np.log(close.to_numpy()))


def _of_detector(detector: Any) -> Reader:
    def read(close: pd.Series) -> Floats:
        probability = np.asarray(detector.predict_proba(returns_of(close)), dtype=np.float64)
        if probability.shape != (len(close) - 1, 2):
            raise ValueError(
                f"predict_proba must give P(stable) and P(chaos) at each return, shape {(len(close) - 1, 2)}, got "
                f"{probability.shape}"
            )
        return np.concatenate([[np.nan], probability[:, 1]])

    return read


def _of_callable(strategy: Callable[[pd.Series], Any]) -> Reader:
    def read(close: pd.Series) -> Floats:
        weights = strategy(close.copy())
        if isinstance(weights, pd.Series) and not weights.index.equals(close.index):
            raise ValueError("weights must have the index of the closes: align them inside the strategy")
        values = np.asarray(weights, dtype=np.float64)
        if values.shape != (len(close),):
            raise ValueError(f"weights must be one at each close, shape {(len(close),)}, got {values.shape}")
        return values

    return read


def check_past(name: str, before: Floats, after: Floats, index: pd.Index) -> None:
    """Raise if the first bars of `after`, read with later bars at hand, are not those of `before`, read without."""
    then, now = before, after[: len(before)]
    moved = np.where(np.isnan(then) & np.isnan(now), 0.0, np.abs(now - then))
    bad = ~(moved <= TOLERANCE)
    if bad.any():
        bar = int(np.argmax(bad))
        raise ValueError(
            f"strategy {name} is not causal: later bars move what it said at {at(index, bar)} from {then[bar]:.3g} to "
            f"{now[bar]:.3g}; companion.backtest.assert_causal finds the leak"
        )


def at(index: pd.Index, bar: int) -> str:
    """A bar by its date, or by its number where it has none."""
    return str(index[bar]).removesuffix(" 00:00:00") if isinstance(index, pd.DatetimeIndex) else f"bar {bar}"
