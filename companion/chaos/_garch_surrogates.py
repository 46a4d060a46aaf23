"""Series from a fitted GARCH model whose innovations are drawn again from its own residuals."""

import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import Floats, check_count, check_seed, check_varied_series
from companion.chaos._garch import garch_path

#: Fewest points of a fit. Of 100 points of a GARCH process one fit in eight ends at persistence 1, of 500 one in 100.
FEWEST_POINTS = 250
#: Where the optimizer gives up it is started again, from where it stopped and from these: omega (share of the series'
#: variance), alpha, asymmetry, beta. Of what converges the likeliest counts.
OTHER_STARTS = ((0.1, 0.05, 0.0, 0.85), (0.5, 0.1, 0.02, 0.4), (0.02, 0.03, 0.01, 0.94))
#: A simulation runs until what its first variance weighs has fallen to this share, but no longer than MOST_WARM_UP.
FORGOTTEN, MOST_WARM_UP = 1e-6, 20_000
#: A variance that grows by less a step does not grow: of independent values a fit may end at beta = 1, to rounding.
MOST_GROWTH = 1e-6


class GarchNotFittedError(ValueError):
    """A series on which the optimizer finds no maximum, or one that is no stationary model."""


@dataclass(frozen=True)
class GarchFit:
    """A GARCH(1, 1) or GJR-GARCH(1, 1) model of a series, as fitted.

    With shock ``e[t] = x[t] - mean`` the variance follows
    ``v[t+1] = omega + (alpha + asymmetry * (e[t] < 0)) * e[t]**2 + beta * v[t]``.

    Attributes
    ----------
    mean : float
        In units of the series.
    omega : float
        In squared units of the series.
    alpha : float
        Weight of a squared shock.
    beta : float
        Weight of the variance before.
    asymmetry : float
        Weight that a squared negative shock has besides; 0 in a GARCH model.
    residuals : ndarray of shape (n_points,)
        Shocks divided by their fitted standard deviations, then shifted and scaled to mean 0 and variance 1.
    volatility : ndarray of shape (n_points,)
        Fitted standard deviations, in units of the series.
    log_likelihood : float
        Gaussian, of the series in its own units, in nats.
    """

    mean: float
    omega: float
    alpha: float
    beta: float
    asymmetry: float
    residuals: Floats = field(repr=False)
    volatility: Floats = field(repr=False)
    log_likelihood: float

    @property
    def weights(self) -> Floats:
        """Factor (n_points,) by which each residual, were it drawn, would multiply the variance."""
        z = self.residuals
        return self.beta + (self.alpha + self.asymmetry * (z < 0)) * z**2

    @property
    def persistence(self) -> float:
        """Mean factor: the share of a change of variance that is expected to be left a step later."""
        return float(self.weights.mean())

    @property
    def growth(self) -> float:
        """Mean logarithm of the factor a step, in nats; the model is stationary where it is negative (Nelson 1990).

        It is the Lyapunov exponent of the variance. It lies below the logarithm of the persistence, so a model with a
        persistence of 1 is stationary too, though its variance has no mean.
        """
        return float(np.log(np.maximum(self.weights, np.finfo(float).tiny)).mean())

    @property
    def variance(self) -> float:
        """Variance of the model in squared units of the series; infinite where the persistence is 1 or more."""
        return self.omega / (1 - self.persistence) if self.persistence < 1 else math.inf

    def simulate(self, n_points: int, *, n_paths: int, seed: int | np.random.Generator) -> Floats:
        """Paths of the model with innovations drawn from `residuals` with replacement.

        Each path starts before its first point, from the mean of the fitted variances, and runs until that start
        weighs less than 1e-6 (by `growth`; 20,000 steps at most). What is returned is stationary.

        Parameters
        ----------
        n_points, n_paths : int
        seed : int or numpy.random.Generator

        Returns
        -------
        ndarray of shape (n_paths, n_points)

        Raises
        ------
        ValueError
            When an argument is not as above.
        """
        n_points, n_paths = check_count("n_points", n_points), check_count("n_paths", n_paths)
        check_seed(seed)
        generator = np.random.default_rng(seed)
        warm_up = math.ceil(math.log(FORGOTTEN) / min(self.growth, math.log(FORGOTTEN) / MOST_WARM_UP))
        paths = np.empty((n_paths, n_points))
        start = float(np.mean(self.volatility**2))
        for path in paths:
            innovations = self.residuals[generator.integers(len(self.residuals), size=warm_up + n_points)]
            whole = garch_path(innovations, self.omega, self.alpha, self.beta, self.asymmetry, start)
            path[:] = whole[warm_up:]
        return self.mean + paths


def fit_garch(series: ArrayLike, *, asymmetric: bool = False) -> GarchFit:
    """Fit GARCH(1, 1) with a constant mean by Gaussian quasi-maximum likelihood, with the package `arch`.

    The estimate is consistent whatever the distribution of the innovations (Bollerslev & Wooldridge 1992), so the
    residuals may be drawn again as innovations (Pascual, Romo & Ruiz 2006).

    Parameters
    ----------
    series : array-like of shape (n_points,)
        Returns, in any unit: they are divided by their standard deviation for the optimizer, and what is fitted is
        given in their own unit. At least 250 points.
    asymmetric : bool
        Whether negative shocks count extra (Glosten, Jagannathan & Runkle 1993).

    Raises
    ------
    ValueError
        When the series is too short, constant or not finite; when the optimizer does not converge; when the fitted
        model is not stationary.

    References
    ----------
    Bollerslev (1986); Glosten, Jagannathan & Runkle (1993); Bollerslev & Wooldridge (1992); Nelson (1990); Pascual,
    Romo & Ruiz (2006).
    """
    name = "GJR-GARCH(1, 1)" if asymmetric else "GARCH(1, 1)"
    returns = check_varied_series(series, least=FEWEST_POINTS, purpose=name)
    scale = float(returns.std())
    result = _maximum(returns / scale, asymmetric)
    if result is None:
        raise GarchNotFittedError(
            f"series must let {name} converge, got {len(returns)} points on which the optimizer finds no maximum of "
            f"the likelihood"
        )
    shocks = np.asarray(result.std_resid)
    fit = GarchFit(
        mean=float(result.params["mu"]) * scale,
        omega=float(result.params["omega"]) * scale**2,
        alpha=float(result.params["alpha[1]"]),
        beta=float(result.params["beta[1]"]),
        asymmetry=float(result.params["gamma[1]"]) if asymmetric else 0.0,
        residuals=(shocks - shocks.mean()) / shocks.std(),
        volatility=np.asarray(result.conditional_volatility) * scale,
        log_likelihood=float(result.loglikelihood) - len(returns) * math.log(scale),
    )
    if not fit.growth < MOST_GROWTH:
        raise GarchNotFittedError(
            f"series must let {name} be stationary, got {len(returns)} points by which its variance grows by "
            f"{fit.growth:.2g} a step"
        )
    return fit


def _maximum(returns: Floats, asymmetric: bool) -> Any:
    """What `arch` fits to returns of variance 1, or None where its optimizer does not converge from any start."""
    from arch import arch_model

    model = arch_model(returns, mean="Constant", vol="GARCH", p=1, o=int(asymmetric), q=1, dist="normal", rescale=False)
    with warnings.catch_warnings():
        # what the optimizer warns of on its way shows in its flag at the end
        warnings.simplefilter("ignore")
        results = [model.fit(disp="off", show_warning=False)]
        if results[0].convergence_flag != 0:
            starts = [
                [returns.mean(), omega, alpha, *[asymmetry] * asymmetric, beta]
                for omega, alpha, asymmetry, beta in OTHER_STARTS
            ]
            results += [
                model.fit(disp="off", show_warning=False, starting_values=np.asarray(start))
                for start in (results[0].params, *starts)
            ]
    converged = [result for result in results if result.convergence_flag == 0]
    return max(converged, key=lambda result: float(result.loglikelihood), default=None)
