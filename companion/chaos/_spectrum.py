"""The Lyapunov spectrum from the equations, with an interval, and what follows from it."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from companion._checks import Floats, check_finite, check_positive, check_seed
from companion.chaos._systems import DeterministicSystem, Seed, System

#: Blocks from whose spread the interval comes.
N_BLOCKS = 20
LEVEL = 0.95


@dataclass(frozen=True)
class LyapunovSpectrum:
    """Exponents of a system, the largest first, in nats per unit of time (per iteration for a map).

    Attributes
    ----------
    exponents : ndarray of shape (n_exponents,)
        Mean rates of growth.
    interval : ndarray of shape (n_exponents, 2)
        95 % interval of each, from the means of 20 blocks of the orbit and Student's distribution. It is of sampling
        alone, the orbit being finite. Where the error shrinks faster than that of a mean of independent numbers, it is
        too wide: so for the zero exponent of a flow and at ``r = 4`` of the logistic map, whose local rates telescope.
        NaN where the exponent is minus infinity, at a superstable cycle.
    mean_divergence : float
        Mean rate at which small volumes grow; equal to the sum of the full spectrum. NaN for a delay equation.
    duration : float
        Length of the orbit behind it, in units of time or iterations.
    n_dimensions : float
        Dimension of the phase space; infinite for a delay equation.
    """

    exponents: Floats
    interval: Floats
    mean_divergence: float
    duration: float
    n_dimensions: float

    @property
    def total(self) -> float:
        """Sum of the exponents that were computed."""
        return float(self.exponents.sum())

    @property
    def kaplan_yorke(self) -> float:
        """Dimension of the attractor after Kaplan and Yorke (1979); NaN where more exponents would be needed.

        An exponent whose interval holds zero counts as zero, so that a cycle has dimension 1 and not 0.
        """
        near_zero = (self.interval[:, 0] <= 0) & (self.interval[:, 1] >= 0)
        exponents = np.where(near_zero, 0.0, self.exponents)
        sums = np.cumsum(exponents)
        (negative,) = np.nonzero(sums < 0)
        if len(negative) == 0:
            return self.n_dimensions if len(sums) == self.n_dimensions else math.nan
        j = int(negative[0])
        return float(j + (sums[j - 1] / -exponents[j] if j else 0.0))


def lyapunov_spectrum(
    system: System, *, n_exponents: int | None = None, duration: float, seed: Seed
) -> LyapunovSpectrum:
    """Lyapunov exponents of a system whose equations are known.

    An orbit is followed together with an orthonormal frame of perturbations, which the linearized equations move and
    which is made orthonormal again and again (Benettin, Galgani, Giorgilli and Strelcyn 1980; Shimada and Nagashima
    1979). A tenth of `duration` is run before and thrown away.

    Parameters
    ----------
    system : System
        `Lorenz`, `Rossler`, `Henon`, `LogisticMap` or `MackeyGlass`, or another with a `tangent_growth`.
    n_exponents : int, optional
        How many, from the largest down; by default all, and 4 of a delay equation.
    duration : float
        Length of the orbit in units of time, or iterations of a map. The interval shrinks as its square root.
    seed : int or numpy.random.Generator
        Draws the start and the first frame.

    Returns
    -------
    LyapunovSpectrum

    Raises
    ------
    ValueError
        If the system is stochastic, where the equations give no such spectrum; if there are not `n_exponents`; if
        `duration` or `seed` is not valid; if the orbit runs off to infinity.
    """
    if not isinstance(system, DeterministicSystem):
        name = getattr(system, "name", type(system).__name__)
        raise ValueError(  # noqa: TRY004 - one kind of error for arguments
            f"system must be deterministic, with known equations (a `tangent_growth` method), got {name}: noise has no "
            f"Lyapunov spectrum"
        )
    check_seed(seed)
    growth = system.tangent_growth(
        n_exponents=n_exponents, duration=check_positive("duration", duration), n_blocks=N_BLOCKS, seed=seed
    )
    exponents = growth.rates.mean(axis=0)
    order = np.argsort(-exponents, kind="stable")
    with np.errstate(invalid="ignore"):  # a superstable cycle: log 0 in every block
        spread = growth.rates.std(axis=0, ddof=1)
    half_width = stdtrit(N_BLOCKS - 1, 0.5 + LEVEL / 2) * spread / math.sqrt(N_BLOCKS)
    return LyapunovSpectrum(
        exponents=exponents[order],
        interval=np.stack([exponents - half_width, exponents + half_width], axis=1)[order],
        mean_divergence=growth.divergence,
        duration=N_BLOCKS * growth.block_duration,
        n_dimensions=growth.n_dimensions,
    )


def predictability_horizon(exponent: float, *, error: float, tolerance: float) -> float:
    """Time after which an error that grows at `exponent` reaches `tolerance`: ``log(tolerance / error) / exponent``.

    Parameters
    ----------
    exponent : float
        Largest Lyapunov exponent, in nats per unit of time.
    error : float
        Error of the start; positive.
    tolerance : float
        Error at which a forecast is of no more use, in the same unit; not below `error`.

    Returns
    -------
    float
        In the unit of time of `exponent`; infinite if it is not positive.

    Raises
    ------
    ValueError
        If a number is not finite, `error` is not positive, or `tolerance` is below it.
    """
    check_finite("exponent", exponent)
    if check_positive("tolerance", tolerance) < check_positive("error", error):
        raise ValueError(f"tolerance must be at least error, {error!r}, got {tolerance!r}")
    return math.log(tolerance / error) / exponent if exponent > 0 else math.inf
