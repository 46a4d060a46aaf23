"""Heterogeneous autoregression: the variance of the last day, week and month forecasts that of the next month."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from companion._checks import Floats, Labels
from companion.regimes._clusters import KMeansRegimes
from companion.regimes._hysteresis import ENTER, LEAVE

#: Bars of the daily, the weekly and the monthly average.
WINDOWS = (1, 5, 22)
MONTH = WINDOWS[-1]
#: Part of the mean variance under each logarithm: a bar without a move is no outlier.
FLOOR = 0.1


class HarKMeans(KMeansRegimes):
    """K-Means on a forecast of log realized variance by the regression of Corsi (2009), in logs.

    The log mean squared return of the next bars is regressed on those of the last 1, 5 and 22. The mean of the fitted
    paths stands in for the bars before a path's first.

    Parameters
    ----------
    horizon : int, default=20
        Bars ahead that are forecast.
    enter, leave, warm_up, seed
        See `RegimeFilter`.

    Attributes
    ----------
    coefficients_ : ndarray of shape (4,)
        Intercept, daily, weekly, monthly.
    initial_variance_ : float
        Mean squared return of the fitted paths.
    """

    def __init__(
        self,
        horizon: int = 20,
        *,
        enter: float = ENTER,
        leave: float = LEAVE,
        warm_up: int = 60,
        seed: int = 0,
    ) -> None:
        super().__init__(enter=enter, leave=leave, warm_up=warm_up, seed=seed)
        self.horizon = horizon

    def _fit_recursion(self, paths: Floats, labels: Labels | None = None) -> None:
        longest = (paths.shape[1] - self.warm_up) // 2
        if not 1 <= self.horizon <= longest:
            raise ValueError(f"horizon = {self.horizon} must lie between 1 and {longest}, half of the fitted bars")
        self.initial_variance_ = float(np.mean(paths**2))
        squares = np.concatenate([self._start(len(paths)), paths**2], axis=1)
        months = sliding_window_view(squares, MONTH, axis=1)[:, 1 + self.warm_up : -self.horizon]
        known = self._log_averages(months).reshape(-1, len(WINDOWS))
        future = sliding_window_view(paths[:, self.warm_up + 1 :] ** 2, self.horizon, axis=1)
        target = self._log(future.mean(axis=-1)).reshape(-1)
        self.coefficients_ = np.linalg.lstsq(np.insert(known, 0, 1.0, axis=1), target, rcond=None)[0]

    def _log(self, variance: Floats) -> Floats:
        return np.asarray(np.log(variance + FLOOR * self.initial_variance_))

    def _log_averages(self, month: Floats) -> Floats:
        """Regressors (..., 3) from the squared returns of 22 bars, the last axis."""
        return self._log(np.stack([month[..., -window:].mean(axis=-1) for window in WINDOWS], axis=-1))

    def _start(self, n_paths: int) -> Floats:
        return np.full((n_paths, MONTH), self.initial_variance_)

    def _advance(self, returns: Floats, state: Floats) -> tuple[Floats, Floats]:
        """One bar; the state is the squared returns of the last 22."""
        month = np.concatenate([state[:, 1:], returns[:, None] ** 2], axis=1)
        forecast = self.coefficients_[0] + self._log_averages(month) @ self.coefficients_[1:]
        return forecast[:, None], month
