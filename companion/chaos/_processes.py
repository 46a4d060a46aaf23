"""Stochastic controls: what has dependence, or looks wild, and yet is no deterministic chaos."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import lfilter

from companion._checks import Floats, check_finite, check_positive, check_seed
from companion.chaos._systems import Seed, check_lengths

#: What is left of the start of an ARMA process once its transient is over, as a share.
FORGOTTEN = 1e-12
#: A root nearer to the unit circle than this forgets too slowly to be simulated from nothing.
LARGEST_ROOT = 0.9999


@dataclass(frozen=True)
class Process:
    """Any simulator of a scalar series as a system, for example one path of log returns of a Heston market.

    Parameters
    ----------
    name : str
        What it is called in a table or a legend.
    draw : callable
        ``draw(n_points, generator)`` returns `n_points` numbers, shape (n_points,), from a ``numpy.random.Generator``.
    dt : float
        Time between two points.

    Attributes
    ----------
    coordinates : tuple of str
        ``("x",)``.
    """

    name: str
    draw: Callable[[int, np.random.Generator], NDArray[np.floating]]
    dt: float = 1.0
    coordinates: ClassVar[tuple[str, ...]] = ("x",)

    def __post_init__(self) -> None:
        check_positive("dt", self.dt)

    def simulate(
        self, n_points: int, *, seed: Seed, initial: ArrayLike | None = None, n_transient: int | None = None
    ) -> Floats:
        """Return `n_points` numbers, shape (n_points, 1), after `n_transient` (default 0) that are thrown away.

        Raises
        ------
        ValueError
            If `initial` is given, since the state behind the series is not known here; if a count or the seed is not
            valid; if `draw` returns another shape, or what is not finite.
        """
        return draw_path(self.draw, n_points, seed=seed, initial=initial, n_transient=n_transient)


@dataclass(frozen=True)
class AR1:
    """Autoregression of order one, ``x_t = phi x_{t-1} + e_t`` with standard normal ``e``; it starts stationary.

    Parameters
    ----------
    phi : float
        Autocorrelation at lag 1, between -1 and 1, the ends excluded.

    Attributes
    ----------
    name : str
        ``"AR(1)"``.
    coordinates : tuple of str
        ``("x",)``.
    dt : float
        1.

    Raises
    ------
    ValueError
        If `phi` is not in (-1, 1).
    """

    phi: float
    name: ClassVar[str] = "AR(1)"
    coordinates: ClassVar[tuple[str, ...]] = ("x",)
    dt: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not abs(check_finite("phi", self.phi)) < 1:
            raise ValueError(f"phi must lie between -1 and 1, got {self.phi!r}")

    def simulate(
        self, n_points: int, *, seed: Seed, initial: ArrayLike | None = None, n_transient: int | None = None
    ) -> Floats:
        """Return a stationary path of shape (n_points, 1); its variance is 1 / (1 - phi²).

        Raises
        ------
        ValueError
            If `initial` is given: the path starts from its stationary law. If a count or the seed is not valid.
        """
        return draw_path(self._path, n_points, seed=seed, initial=initial, n_transient=n_transient)

    def _path(self, n_points: int, generator: np.random.Generator) -> Floats:
        noise = generator.standard_normal(n_points)
        noise[0] /= math.sqrt((1 - self.phi) * (1 + self.phi))
        return np.asarray(lfilter([1.0], [1.0, -self.phi], noise))


@dataclass(frozen=True)
class ARMA:
    """ARMA, ``x_t = sum_i ar_i x_{t-i} + e_t + sum_j ma_j e_{t-j}`` with standard normal ``e``.

    Parameters
    ----------
    ar, ma : tuple of float
        Coefficients from lag 1 on; either may be empty.

    Attributes
    ----------
    name : str
        ``"ARMA(p, q)"`` with the two orders.
    coordinates : tuple of str
        ``("x",)``.
    dt : float
        1.

    Raises
    ------
    ValueError
        If a coefficient is not finite, or the autoregression is not stationary.
    """

    ar: tuple[float, ...] = ()
    ma: tuple[float, ...] = ()
    coordinates: ClassVar[tuple[str, ...]] = ("x",)
    dt: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        for field in ("ar", "ma"):
            given = getattr(self, field)
            if not isinstance(given, tuple | list):
                raise ValueError(f"{field} must be a tuple of numbers, got {given!r}")  # noqa: TRY004
            object.__setattr__(self, field, tuple(check_finite(field, value) for value in given))
        if self._largest_root() > LARGEST_ROOT:
            raise ValueError(
                f"ar must be stationary, all roots within {LARGEST_ROOT:g} of zero, got {self.ar} with a root of size "
                f"{self._largest_root():.6g}"
            )

    @property
    def name(self) -> str:
        """The name with the two orders."""
        return f"ARMA({len(self.ar)}, {len(self.ma)})"

    def simulate(
        self, n_points: int, *, seed: Seed, initial: ArrayLike | None = None, n_transient: int | None = None
    ) -> Floats:
        """Return a path of shape (n_points, 1), by default stationary to one part in 10¹².

        Raises
        ------
        ValueError
            If `initial` is given: more than one past value would be needed. If a count or the seed is not valid.
        """
        root = self._largest_root()
        forgets = len(self.ar) * math.ceil(math.log(FORGOTTEN) / math.log(root)) if root > FORGOTTEN else len(self.ar)
        return draw_path(
            self._path,
            n_points,
            seed=seed,
            initial=initial,
            n_transient=n_transient,
            default_transient=forgets + len(self.ma),
        )

    def _largest_root(self) -> float:
        return float(np.abs(np.roots([1.0, *(-value for value in self.ar)])).max(initial=0.0))

    def _path(self, n_points: int, generator: np.random.Generator) -> Floats:
        noise = generator.standard_normal(n_points)
        return np.asarray(lfilter([1.0, *self.ma], [1.0, *(-value for value in self.ar)], noise))


def draw_path(
    draw: Callable[[int, np.random.Generator], NDArray[np.floating]],
    n_points: int,
    *,
    seed: Seed,
    initial: ArrayLike | None,
    n_transient: int | None,
    default_transient: int = 0,
) -> Floats:
    """Points of a scalar process as a column, the transient cut off."""
    check_seed(seed)
    if initial is not None:
        raise ValueError(
            f"initial must be None for a stochastic process, which starts from its own law, got {initial!r}"
        )
    n_points, n_transient = check_lengths(n_points, n_transient, initial=None, default_transient=default_transient)
    series = np.asarray(draw(n_points + n_transient, np.random.default_rng(seed)), dtype=np.float64)
    if series.shape != (n_points + n_transient,) or not np.isfinite(series).all():
        raise ValueError(
            f"draw must return {n_points + n_transient} finite numbers in shape ({n_points + n_transient},), got shape "
            f"{series.shape} with {np.count_nonzero(~np.isfinite(series))} that are not finite"
        )
    return series[n_transient:, None]
