"""Strategies that look at nothing but a forecast of the next bar's volatility: the rivals of every regime detector."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from companion._checks import Floats, as_paths, check_count, check_positive
from companion.backtest._readers import returns_of
from companion.regimes._features import Ewma, Feature, Garch, Gjr

Volatility = Literal["ewma", "garch", "gjr"]


@dataclass(eq=False, repr=False)
class VarianceRank(BaseEstimator):
    """How high the forecast variance stands among those of the training bars, in place of P(chaos).

    The share of training bars with no higher forecast is a rank, no probability of a regime. With ``ZeroOne(0.9, 0.7)``
    the market is left when the forecast reaches the ninth decile of the past, and entered again at its seventh.

    Parameters
    ----------
    volatility : {"ewma", "garch", "gjr"}
        Forecast: exponentially weighted, GARCH(1, 1), or GJR-GARCH(1, 1), in which falls count extra.
    half_life : float
        Of the exponentially weighted one, in bars; the others do not look at it.
    warm_up : int
        Leading training bars that do not count for the rank.

    Attributes
    ----------
    sample_ : ndarray
        Log variances of the training bars, ascending.
    """

    volatility: Volatility = "ewma"
    _: KW_ONLY
    half_life: float = 20.0
    warm_up: int = 60

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Fit the forecast to log returns (n_bars,), and take the sample; ValueError where either is impossible."""
        paths, _ = as_paths(X)
        check_count("warm_up", self.warm_up, least=0)
        feature = _fitted(self.volatility, self.half_life, paths)
        sample = feature.transform(paths)[:, self.warm_up :, 0]
        if np.unique(sample).size < 2:
            raise ValueError(f"X must vary after the warm-up of {self.warm_up} bars, got {paths.shape[1]} that do not")
        self.feature_, self.sample_ = feature, np.sort(sample, axis=None)
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """One less the rank, and the rank in [0, 1], at each bar: shape (…, n_bars, 2). Causal."""
        check_is_fitted(self, "sample_")
        paths, single = as_paths(X)
        log_variance = self.feature_.transform(paths)[..., 0]
        rank = np.searchsorted(self.sample_, log_variance, side="right") / self.sample_.size
        both = np.stack([1.0 - rank, rank], axis=-1)
        return both[0] if single else both


@dataclass(eq=False, repr=False)
class VolatilityTarget(BaseEstimator):
    """Hold as much as makes the forecast volatility of the portfolio the target (Moreira & Muir 2017, in spirit).

    The weight is ``target / forecast``, at most `max_leverage`. It moves a little at every close, and pays for it.

    Parameters
    ----------
    target : float
        Volatility a year, as a share: 0.1 is 10 %.
    volatility : {"ewma", "garch", "gjr"}
        As in `VarianceRank`.
    half_life : float
        Of the exponentially weighted forecast, in bars.
    max_leverage : float
        Largest weight; above 1 the portfolio borrows.
    bars_per_year : float
        Bars in a year; a strategy can not take it from dates that lie in its future.

    Attributes
    ----------
    feature_ : Feature
        The fitted forecast of log variance.
    """

    target: float = 0.1
    _: KW_ONLY
    volatility: Volatility = "ewma"
    half_life: float = 20.0
    max_leverage: float = 1.0
    bars_per_year: float = 252.0

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Fit the forecast to log returns (n_bars,); ValueError where a setting is no positive number."""
        for name in ("target", "max_leverage", "bars_per_year"):
            check_positive(name, getattr(self, name))
        self.feature_ = _fitted(self.volatility, self.half_life, as_paths(X)[0])
        return self

    def __call__(self, close: pd.Series) -> pd.Series:
        """Weight at each close, 0 at the first, which has no return."""
        check_is_fitted(self, "feature_")
        weights = np.zeros(len(close))
        if len(close) > 1:
            variance = np.exp(self.feature_.transform(returns_of(close)[None])[0, :, 0])
            yearly = getattr(self.feature_, "scale_", 1.0) * np.sqrt(variance * self.bars_per_year)
            weights[1:] = np.minimum(self.target / yearly, self.max_leverage)
        return pd.Series(weights, index=close.index)


def _fitted(volatility: Volatility, half_life: float, paths: Floats) -> Feature:
    features: dict[str, Feature] = {"ewma": Ewma(half_life), "garch": Garch(), "gjr": Gjr()}
    if volatility not in features:
        raise ValueError(f"volatility must be one of {', '.join(features)}, got {volatility!r}")
    if not paths.any():
        raise ValueError("X must vary, got returns that are all zero")
    return features[volatility].fit(paths, warm_up=0, seed=0)
