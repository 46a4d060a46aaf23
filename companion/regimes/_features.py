"""What a detector looks at: causal summaries of the returns so far, each a recursion of one bar.

A feature learns what its recursion needs (`fit`), starts (`start`), and moves on by one bar (`advance`). All of these
are free of units: returns × c, fitted and read, give the same regimes.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from companion._checks import Floats, check_count, decay

#: Part of the mean variance under each logarithm, so that a spell without a move is quiet and not infinite.
SMALLEST_SHARE = 1e-6
#: Bars of the daily, the weekly and the monthly average of the heterogeneous autoregression.
HAR_WINDOWS = (1, 5, 22)
MONTH = HAR_WINDOWS[-1]
#: The same floor for averages of as little as one bar.
HAR_FLOOR = 0.1


class Feature(ABC):
    """A causal feature of the returns so far.

    Attributes
    ----------
    rms_range : tuple of float or None
        Root mean squares of a bar's log return between which the feature means what it meant when it was made; None
        where it has no unit.
    """

    rms_range: tuple[float, float] | None = None

    @abstractmethod
    def fit(self, paths: Floats, *, warm_up: int, seed: int) -> Self:
        """Learn from log returns (n_paths, n_bars); the first `warm_up` bars of a path may start the recursion only."""

    @abstractmethod
    def start(self, n_paths: int) -> Any:
        """State before the first bar."""

    @abstractmethod
    def advance(self, returns: Floats, state: Any) -> tuple[Floats, Any]:
        """Features (n_paths, n_features) and state after one bar of returns (n_paths,); `state` stays as it is."""

    def transform(self, paths: Floats) -> Floats:
        """Features of whole paths, (n_paths, n_bars, n_features)."""
        state, rows = self.start(len(paths)), []
        for returns in paths.T:
            row, state = self.advance(returns, state)
            rows.append(row)
        return np.stack(rows, axis=1)


@dataclass
class Ewma(Feature):
    """Log of an exponentially weighted variance.

    Parameters
    ----------
    half_life : float, default=10.0
        Bars after which a squared return has half its weight.

    Attributes
    ----------
    initial_variance_ : float
        Mean squared return of the fitted paths, where the average starts.
    """

    half_life: float = 10.0

    def fit(self, paths: Floats, *, warm_up: int, seed: int) -> Self:
        """Take the mean squared return of the paths."""
        self._decay, self.initial_variance_ = decay(self.half_life), float(np.mean(paths**2))
        return self

    def start(self, n_paths: int) -> Floats:
        """The mean variance."""
        return np.full(n_paths, self.initial_variance_)

    def advance(self, returns: Floats, state: Floats) -> tuple[Floats, Floats]:
        """One bar; the state is the average."""
        variance = self._decay * state + (1.0 - self._decay) * returns**2
        return np.log(variance + SMALLEST_SHARE * self.initial_variance_)[:, None], variance


@dataclass
class Garch(Feature):
    """Log of a GARCH(1, 1) forecast of the next bar's variance (Bollerslev 1986).

    `arch` estimates the parameters by Gaussian quasi-maximum likelihood, on all paths joined end to end; the recursion
    is then run forward on its own, one bar at a time, on whatever returns it is given.

    Attributes
    ----------
    scale_ : float
        Root mean square of the fitted returns, the unit of what follows.
    mean_, omega_, alpha_, beta_ : float
        Parameters of ``v[t+1] = omega + alpha (r[t] - mean)² + beta v[t]``.
    initial_variance_ : float
        Variance of the fitted returns, where the recursion starts.
    """

    def fit(self, paths: Floats, *, warm_up: int, seed: int) -> Self:
        """Estimate; ValueError where the likelihood has no maximum that `arch` can find."""
        self.mean_, self.omega_, self.alpha_, self.beta_ = self._estimate(paths, falls=0)
        return self

    def _estimate(self, paths: Floats, *, falls: int) -> list[float]:
        """Parameters in the order of `arch`, with one for falls or without; scale and variance are set."""
        from arch import arch_model

        self.scale_ = float(np.sqrt(np.mean(paths**2)))
        returns = paths.reshape(-1) / self.scale_
        result = arch_model(returns, mean="Constant", vol="GARCH", p=1, o=falls, q=1, rescale=False).fit(
            disp="off", show_warning=False
        )
        if result.convergence_flag != 0:
            name = "GJR-GARCH(1, 1)" if falls else "GARCH(1, 1)"
            raise ValueError(f"X must let {name} converge, got {returns.size} bars that do not: fit on more")
        self.initial_variance_ = float(returns.var())
        names = ("mu", "omega", "alpha[1]", *["gamma[1]"] * falls, "beta[1]")
        return [float(result.params[name]) for name in names]

    def start(self, n_paths: int) -> Floats:
        """The variance of the fitted returns."""
        return np.full(n_paths, self.initial_variance_)

    def advance(self, returns: Floats, state: Floats) -> tuple[Floats, Floats]:
        """One bar; the state is the forecast."""
        variance = self.omega_ + self.alpha_ * (returns / self.scale_ - self.mean_) ** 2 + self.beta_ * state
        return np.log(variance + SMALLEST_SHARE)[:, None], variance


@dataclass
class Gjr(Garch):
    """Log of a GJR-GARCH(1, 1) forecast of the next bar's variance: falls count extra (Glosten et al. 1993).

    Attributes
    ----------
    scale_, initial_variance_ : float
        As in `Garch`.
    mean_, omega_, alpha_, gamma_, beta_ : float
        Parameters of ``v[t+1] = omega + (alpha + gamma [r[t] < mean]) (r[t] - mean)² + beta v[t]``.
    """

    def fit(self, paths: Floats, *, warm_up: int, seed: int) -> Self:
        """Estimate; ValueError where the likelihood has no maximum that `arch` can find."""
        self.mean_, self.omega_, self.alpha_, self.gamma_, self.beta_ = self._estimate(paths, falls=1)
        return self

    def advance(self, returns: Floats, state: Floats) -> tuple[Floats, Floats]:
        """One bar; the state is the forecast."""
        shock = returns / self.scale_ - self.mean_
        variance = self.omega_ + (self.alpha_ + self.gamma_ * (shock < 0.0)) * shock**2 + self.beta_ * state
        return np.log(variance + SMALLEST_SHARE)[:, None], variance


@dataclass
class Har(Feature):
    """Forecast of log realized variance by the heterogeneous autoregression of Corsi (2009), in logs.

    The log mean squared return of the next bars is regressed on those of the last 1, 5 and 22. The mean of the fitted
    paths stands in for the bars before a path's first.

    Parameters
    ----------
    horizon : int, default=20
        Bars ahead that are forecast.

    Attributes
    ----------
    coefficients_ : ndarray of shape (4,)
        Intercept, daily, weekly, monthly.
    initial_variance_ : float
        Mean squared return of the fitted paths.
    """

    horizon: int = 20

    def fit(self, paths: Floats, *, warm_up: int, seed: int) -> Self:
        """Estimate by least squares."""
        longest = (paths.shape[1] - warm_up) // 2
        if check_count("horizon", self.horizon) > longest:
            raise ValueError(f"horizon must be at most {longest}, half of the fitted bars, got {self.horizon}")
        self.initial_variance_ = float(np.mean(paths**2))
        squares = np.concatenate([self.start(len(paths)), paths**2], axis=1)
        months = sliding_window_view(squares, MONTH, axis=1)[:, 1 + warm_up : -self.horizon]
        known = self._log_averages(months).reshape(-1, len(HAR_WINDOWS))
        future = sliding_window_view(paths[:, warm_up + 1 :] ** 2, self.horizon, axis=1)
        target = self._log(future.mean(axis=-1)).reshape(-1)
        self.coefficients_ = np.linalg.lstsq(np.insert(known, 0, 1.0, axis=1), target, rcond=None)[0]
        return self

    def _log(self, variance: Floats) -> Floats:
        return np.asarray(np.log(variance + HAR_FLOOR * self.initial_variance_))

    def _log_averages(self, month: Floats) -> Floats:
        """Regressors (..., 3) from the squared returns of 22 bars, the last axis."""
        return self._log(np.stack([month[..., -window:].mean(axis=-1) for window in HAR_WINDOWS], axis=-1))

    def start(self, n_paths: int) -> Floats:
        """A month of mean variance."""
        return np.full((n_paths, MONTH), self.initial_variance_)

    def advance(self, returns: Floats, state: Floats) -> tuple[Floats, Floats]:
        """One bar; the state is the squared returns of the last 22."""
        month = np.concatenate([state[:, 1:], returns[:, None] ** 2], axis=1)
        forecast = self.coefficients_[0] + self._log_averages(month) @ self.coefficients_[1:]
        return forecast[:, None], month
