"""Forecasts of variance on one real series: the loss that ranks them, the test of a difference, a regression."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from scipy import stats

from companion._checks import Floats, as_paths, check_count


def realized_variance(log_returns: ArrayLike, horizon: int) -> Floats:
    """Mean squared return of the next `horizon` bars: the proxy that a forecast made at each bar is held against.

    Parameters
    ----------
    log_returns : array_like of shape (n_bars,) or (n_paths, n_bars)
    horizon : int

    Returns
    -------
    ndarray of shape (..., n_bars - horizon)
        Bar t looks at t + 1 to t + horizon, and at nothing else.
    """
    paths, single = as_paths(log_returns, name="log_returns")
    if check_count("horizon", horizon) >= paths.shape[1]:
        raise ValueError(f"horizon must be below the {paths.shape[1]} bars of the returns, got {horizon}")
    mean = sliding_window_view(paths[:, 1:] ** 2, horizon, axis=1).mean(axis=-1)
    return mean[0] if single else mean


def qlike(realized: ArrayLike, forecast: ArrayLike) -> Floats:
    """Loss ``realized / forecast - log(realized / forecast) - 1`` of each forecast of a variance.

    0 for a perfect one. It depends on the ratio alone, and ranks forecasts as if the true variance were known, however
    noisy an unbiased `realized` is (Patton 2011, equation 24 and proposition 1).

    Parameters
    ----------
    realized, forecast : array_like of the same shape
        Variances above zero, in the same unit.

    Raises
    ------
    ValueError
        When shapes differ, or a value is not above zero and finite.
    """
    true, said = np.asarray(realized, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    if true.shape != said.shape:
        raise ValueError(f"forecast must have the shape of realized, {true.shape}, got {said.shape}")
    for name, values in (("realized", true), ("forecast", said)):
        wrong = ~(np.isfinite(values) & (values > 0))
        if wrong.any():
            raise ValueError(f"{name} must hold positive finite variances, got {values[wrong][0]}")
    ratio = true / said
    return np.asarray(ratio - np.log(ratio) - 1.0)


@dataclass(frozen=True)
class DieboldMariano:
    """Result of `diebold_mariano`: mean difference of the losses, its standard error, the statistic and its p-value."""

    difference: float
    standard_error: float
    statistic: float
    p_value: float


def diebold_mariano(loss: ArrayLike, other_loss: ArrayLike, *, horizon: int, lags: int | None = None) -> DieboldMariano:
    """Test whether two forecasts are equally good on average (Diebold & Mariano 1995).

    The mean of ``loss - other_loss`` over its standard error, which counts the dependence of neighbor bars by the
    weights of Newey & West (1987), with the small-sample factor of Harvey, Leybourne & Newbold (1997) and Student's t
    with n - 1 degrees of freedom. Negative: the first forecast is better.

    Forecasts of `horizon` bars made at every bar overlap, so that their losses depend on each other over that many bars
    even if the forecasts are perfect. Newey and West give the lag k the weight ``1 - k / (lags + 1)``, which with
    ``horizon - 1`` lags misses a third of that: a nominal 5 % test then tells two equally good forecasts apart one time
    in ten. The default, three times the horizon and never less than the ``1.3 sqrt(n)`` of Lazarus et al. (2018),
    does so in 5 to 8 %.

    Parameters
    ----------
    loss, other_loss : array_like of shape (n_bars,)
        Losses of the two forecasts at the same bars, in order of time.
    horizon : int
        Bars that each forecast reaches ahead.
    lags : int, optional
        Number of autocovariances in the standard error.

    Raises
    ------
    ValueError
        When the losses are not two finite series of one length, the same at every bar, or too few for the horizon and
        the lags.
    """
    one, other = np.asarray(loss, dtype=np.float64), np.asarray(other_loss, dtype=np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(
            f"loss and other_loss must be two series of one length, got shapes {one.shape} and {other.shape}"
        )
    difference, n = one - other, one.size
    if not np.isfinite(difference).all():
        raise ValueError(
            f"loss and other_loss must be finite, got {difference[~np.isfinite(difference)][0]} as a difference"
        )
    check_count("horizon", horizon)
    lags = max(3 * horizon, int(1.3 * np.sqrt(n))) if lags is None else check_count("lags", lags, least=0)
    if not 2 * max(horizon, lags) < n:
        raise ValueError(f"horizon and lags must be below half of the {n} bars, got {horizon} and {lags}")
    centered = difference - difference.mean()
    covariance = [centered[k:] @ centered[: n - k] / n for k in range(lags + 1)]
    weights = 1.0 - np.arange(1, lags + 1) / (lags + 1)
    variance = covariance[0] + 2.0 * weights @ covariance[1:]
    if not variance > 0.0:
        raise ValueError(f"loss and other_loss must differ by more than a constant, got {difference[0]} at every bar")
    small_sample = np.sqrt((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n)
    error = float(np.sqrt(variance / n) / small_sample)
    statistic = float(difference.mean() / error)
    return DieboldMariano(float(difference.mean()), error, statistic, float(2 * stats.t.sf(abs(statistic), n - 1)))


@dataclass(frozen=True)
class LogVarianceRegression:
    """A variance forecast ``scale * exp(intercept + features @ slopes)``, fitted by least squares in logs.

    A forecast of the log is not one of the variance: the mean of an exponential exceeds the exponential of the mean.
    `scale` is the mean ratio of realized to forecast variance in the fit (the smearing factor of Duan 1983), which is
    also the factor that minimizes the QLIKE there.
    """

    intercept: float
    slopes: Floats
    scale: float

    @classmethod
    def fit(cls, features: ArrayLike, realized: ArrayLike) -> "LogVarianceRegression":
        """Regress log `realized` (n,) on `features` (n, n_features); ValueError on a variance that is not positive."""
        x, y = np.asarray(features, dtype=np.float64), np.asarray(realized, dtype=np.float64)
        if not (y > 0).all():
            raise ValueError(f"realized must hold positive variances, which have a logarithm, got {y[~(y > 0)][0]}")
        coefficients = np.asarray(
            np.linalg.lstsq(np.insert(x, 0, 1.0, axis=1), np.log(y), rcond=None)[0], dtype=np.float64
        )
        plain = cls(float(coefficients[0]), coefficients[1:], 1.0)
        return cls(plain.intercept, plain.slopes, float(np.mean(y / plain.predict(x))))

    def predict(self, features: ArrayLike) -> Floats:
        """Variance forecast for features (..., n_features), in the unit of the fit."""
        return np.asarray(self.scale * np.exp(self.intercept + np.asarray(features) @ self.slopes))


def expanding_forecast(features: ArrayLike, log_returns: ArrayLike, *, horizon: int, start: int, every: int) -> Floats:
    """Forecasts of one series by `LogVarianceRegression`, fitted again and again on all that was known.

    Parameters
    ----------
    features : array_like of shape (n_bars, n_features)
        Row t a function of the returns up to t.
    log_returns : array_like of shape (n_bars,)
    horizon : int
        Bars ahead.
    start : int
        First bar with a forecast. The first fit sees the bars before it.
    every : int
        Bars between two fits.

    Returns
    -------
    ndarray of shape (n_bars - start,)
        Forecasts of `realized_variance`. A fit at bar t learns from targets that end at t or before.
    """
    x, n_bars = np.asarray(features, dtype=np.float64), len(np.asarray(log_returns))
    realized = realized_variance(log_returns, horizon)
    check_count("every", every)
    fewest = x.shape[-1] + 2 + horizon
    if not fewest <= check_count("start", start) < n_bars:
        raise ValueError(
            f"start must be at least {fewest}, for the first fit, and below the {n_bars} bars, got {start}"
        )
    said = []
    for fit in range(start, n_bars, every):
        model = LogVarianceRegression.fit(x[: fit - horizon + 1], realized[: fit - horizon + 1])
        said.append(model.predict(x[fit : fit + every]))
    return np.concatenate(said)
