"""The control for volatility: returns that cluster and fall with leverage, and are no deterministic chaos."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import Floats, check_finite, check_positive
from companion._jit import compiled
from companion.chaos._processes import FORGOTTEN, draw_path
from companion.chaos._systems import Seed


@dataclass(frozen=True)
class GARCH:
    r"""Returns whose variance remembers their squares: GARCH(1, 1) of Bollerslev (1986), with the leverage term of GJR.

    .. math:: r_t = \sqrt{h_t}\,e_t, \qquad h_{t+1} = \omega + (\alpha + \gamma\,[r_t < 0])\,r_t^2 + \beta h_t

    Parameters
    ----------
    omega, alpha, beta : float
        Level, reaction and memory of the variance; `omega` positive, the others not negative.
    asymmetry : float
        The :math:`\gamma` of Glosten, Jagannathan and Runkle (1993); ``alpha + asymmetry`` must not be negative.
    df : float, optional
        Degrees of freedom of a Student distribution of ``e``, scaled to variance 1; above 2. None is the normal.

    Attributes
    ----------
    name : str
        ``"GARCH"``, or ``"GJR-GARCH"`` where there is asymmetry.
    coordinates : tuple of str
        ``("x",)``.
    dt : float
        1.

    Raises
    ------
    ValueError
        If a parameter is outside its range, or ``alpha + beta + asymmetry / 2`` is not below 1: no variance then.
    """

    omega: float
    alpha: float
    beta: float
    asymmetry: float = 0.0
    df: float | None = None
    coordinates: ClassVar[tuple[str, ...]] = ("x",)
    dt: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        check_positive("omega", self.omega)
        for field in ("alpha", "beta"):
            if check_finite(field, getattr(self, field)) < 0:
                raise ValueError(f"{field} must not be negative, got {getattr(self, field)!r}")
        if self.alpha + check_finite("asymmetry", self.asymmetry) < 0:
            raise ValueError(f"asymmetry must be at least -alpha = {-self.alpha:g}, got {self.asymmetry!r}")
        if self.df is not None and not check_finite("df", self.df) > 2:
            raise ValueError(f"df must be above 2, where the variance is finite, or None, got {self.df!r}")
        if not self.persistence < 1:
            raise ValueError(f"alpha + beta + asymmetry / 2 must be below 1, got {self.persistence:.6g}")

    @property
    def name(self) -> str:
        """The name, with or without leverage."""
        return "GJR-GARCH" if self.asymmetry else "GARCH"

    @property
    def persistence(self) -> float:
        """Share of a shock to the variance that is expected to be left a step later."""
        return self.alpha + self.beta + self.asymmetry / 2

    @property
    def variance(self) -> float:
        """Variance of a return over the long run."""
        return self.omega / (1 - self.persistence)

    def simulate(
        self, n_points: int, *, seed: Seed, initial: ArrayLike | None = None, n_transient: int | None = None
    ) -> Floats:
        """Return a path of shape (n_points, 1); by default it is preceded by 1,000 to 20,000 points thrown away.

        Raises
        ------
        ValueError
            If `initial` is given: a return does not tell its variance. If a count or the seed is not valid.
        """
        transient = min(max(1000, math.ceil(math.log(1e-6) / math.log(max(self.persistence, FORGOTTEN)))), 20_000)
        return draw_path(
            self._path,
            n_points,
            seed=seed,
            initial=initial,
            n_transient=n_transient,
            default_transient=transient,
        )

    def _path(self, n_points: int, generator: np.random.Generator) -> Floats:
        if self.df is None:
            noise = generator.standard_normal(n_points)
        else:
            noise = generator.standard_t(self.df, n_points) * math.sqrt((self.df - 2) / self.df)
        return garch_path(noise, self.omega, self.alpha, self.beta, self.asymmetry, self.variance)


@compiled()
def garch_path(noise: Floats, omega: float, alpha: float, beta: float, asymmetry: float, variance: float) -> Floats:
    """Returns made of standardized noise; `variance` is that of the first."""
    returns = np.empty_like(noise)
    for t in range(len(noise)):
        returns[t] = np.sqrt(variance) * noise[t]
        reaction = alpha + asymmetry if returns[t] < 0.0 else alpha
        variance = omega + reaction * returns[t] ** 2 + beta * variance
    return returns
