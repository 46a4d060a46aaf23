"""A polynomial through pairs of present and next values, with intervals that allow for dependent residuals."""

from dataclasses import dataclass

import numpy as np
from scipy import fft, special

from companion._checks import Floats


def sum_covariance(scores: Floats) -> tuple[Floats, float]:
    """Covariance of the sum of dependent `scores` (n, k), and the quantile of Student's t that goes with it."""
    n = len(scores)
    n_frequencies = max(2, int(0.5 * np.sqrt(n)))
    cosines = fft.dct(scores, type=2, norm="ortho", axis=0)[1 : n_frequencies + 1]
    return n * cosines.T @ cosines / n_frequencies, float(special.stdtrit(n_frequencies, 0.975))


@dataclass(frozen=True, eq=False)
class Polynomial:
    """Least squares of the next value on powers of the present, with the covariance of its coefficients.

    Attributes
    ----------
    coefficients : ndarray of shape (degree + 1,)
        From the constant up.
    covariance : ndarray of shape (degree + 1, degree + 1)
    quantile : float
        Standard errors from an estimate to either end of its interval.
    unexplained : float
        Variance of the residuals over that of the next value.
    """

    coefficients: Floats
    covariance: Floats
    quantile: float
    unexplained: float

    @classmethod
    def fit(cls, now: Floats, then: Floats, *, degree: int) -> "Polynomial":
        """Fit one polynomial to all pairs."""
        powers = np.vander(now, degree + 1, increasing=True)
        coefficients: Floats = np.linalg.lstsq(powers, then, rcond=None)[0].astype(np.float64)
        residual = then - powers @ coefficients
        inverse = np.linalg.inv(powers.T @ powers)
        covariance, quantile = sum_covariance(powers * residual[:, None])
        return cls(coefficients, inverse @ covariance @ inverse, quantile, float(residual.var() / then.var()))

    def interval(self, value: float, gradient: Floats) -> Floats:
        """Interval (2,) of 95 % about `value`, which moves by `gradient` with the coefficients."""
        half = self.quantile * np.sqrt(gradient @ self.covariance @ gradient)
        return np.array([value - half, value + half])

    def slope(self, z: float) -> tuple[float, Floats]:
        """Slope at `z` and its interval."""
        gradient = np.array([0.0, 1.0, 2.0 * z])
        value = float(gradient @ self.coefficients)
        return value, self.interval(value, gradient)

    def fixed_point(self, low: float, high: float) -> float | None:
        """Crossing of the diagonal between `low` and `high`, the flatter of two; None if there is none."""
        roots = np.atleast_1d(np.polynomial.Polynomial(self.coefficients - [0.0, 1.0, 0.0]).roots()).astype(complex)
        crossings = [float(z.real) for z in roots.tolist() if abs(z.imag) < 1e-9 and low <= z.real <= high]
        return min(crossings, key=lambda z: abs(self.slope(z)[0]), default=None)

    def fixed_point_interval(self, z: float | None) -> Floats:
        """Interval of the crossing `z`; NaN without one."""
        return np.full(2, np.nan) if z is None else self.interval(z, self._fixed_point_gradient(z))

    def fixed_point_slope_interval(self, z: float | None) -> Floats:
        """Interval of the slope at the crossing `z`, which moves with the crossing; NaN without one."""
        if z is None:
            return np.full(2, np.nan)
        moved = 2.0 * self.coefficients[2] * self._fixed_point_gradient(z)
        return self.interval(self.slope(z)[0], np.array([0.0, 1.0, 2.0 * z]) + moved)

    def _fixed_point_gradient(self, z: float) -> Floats:
        """How the crossing moves with the coefficients: the parabola's rise over the gap that the diagonal opens."""
        return np.array([1.0, z, z**2]) / (1.0 - self.slope(z)[0])
