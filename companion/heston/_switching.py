"""A Heston market that switches between regimes: the book's laboratory animal, since its regime is known.

At the start of every bar the regime moves by a Markov chain; the variance is continuous there, only its dynamics
change. Within a bar the variance follows full-truncation Euler in a few substeps. That discrete market *is* the market
(not an approximation of one), so that `companion.heston._bayes_filter` can know it exactly.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from companion._checks import check_count, check_positive
from companion.heston._params import HestonParams
from companion.heston.kernels._blocks import for_blocks
from companion.heston.kernels._random import key_from_seed
from companion.heston.kernels._regime_scheme import simulate_block
from companion.heston.kernels._schemes import LANES

BLOCK = 2 * LANES


@dataclass(frozen=True, eq=False)
class RegimePaths:
    """Paths of a regime-switching market.

    Attributes
    ----------
    price, variance : float64 arrays of shape (n_paths, n_steps + 1)
        Price and annual variance at the bar boundaries; column 0 is the start.
    regime : int8 array of shape (n_paths, n_steps + 1)
        Column ``t`` is the regime of the bar that ends at ``t``, 0 the calmest; ``regime[:, 1:]`` belongs to
        `log_returns`. Column 0 is the regime just before the first bar.
    """

    price: NDArray[np.float64]
    variance: NDArray[np.float64]
    regime: NDArray[np.int8]

    @property
    def log_returns(self) -> NDArray[np.float64]:
        """Log returns of the bars, shape (n_paths, n_steps)."""
        return np.diff(np.log(self.price), axis=1)


def _check_transition(transition: Any, n_regimes: int) -> NDArray[np.float64]:
    try:
        matrix = np.array(transition, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"transition must be a matrix of numbers: {error}") from error
    if matrix.shape != (n_regimes, n_regimes):
        raise ValueError(f"transition must have shape ({n_regimes}, {n_regimes}), got {matrix.shape}")
    if not np.all((matrix >= 0) & (matrix <= 1)):
        raise ValueError(f"transition must hold probabilities in [0, 1], got {matrix.tolist()}")
    if not np.allclose(matrix.sum(axis=1), 1.0, rtol=0, atol=1e-9):
        raise ValueError(f"transition must have rows that sum to 1, got sums {matrix.sum(axis=1).tolist()}")
    matrix.flags.writeable = False
    return matrix


def _stationary(transition: NDArray[np.float64]) -> NDArray[np.float64]:
    """The law that the chain keeps: ``pi @ transition = pi``, ``sum(pi) = 1``."""
    n = len(transition)
    equations = np.vstack([transition.T - np.eye(n), np.ones(n)])
    law, _, rank, _ = np.linalg.lstsq(equations, np.append(np.zeros(n), 1.0), rcond=None)
    if rank < n:
        raise ValueError(f"transition must have a single stationary law, got {transition.tolist()}")
    law = np.maximum(law, 0.0)
    return law / law.sum()


@dataclass(frozen=True, eq=False)
class RegimeSwitchingHeston:
    """A Heston market whose parameters follow a Markov chain.

    Parameters
    ----------
    regimes : tuple of HestonParams
        One set of parameters a regime, the calmest (lowest `theta`) first.
    transition : array of shape (n_regimes, n_regimes)
        ``transition[i, j]`` is the probability, per bar, to go from regime i to regime j.

    Raises
    ------
    ValueError
        If there are fewer than two regimes, they are not ordered by `theta`, or `transition` is not a stochastic
        matrix with a single stationary law.
    """

    regimes: tuple[HestonParams, ...]
    transition: NDArray[np.float64]

    def __post_init__(self) -> None:
        regimes = tuple(self.regimes)
        if len(regimes) < 2 or not all(isinstance(params, HestonParams) for params in regimes):
            raise ValueError(f"regimes must be at least two HestonParams, got {self.regimes!r}")
        thetas = [params.theta for params in regimes]
        if thetas != sorted(thetas):
            raise ValueError(f"regimes must be ordered from calm to turbulent, got theta {thetas}")
        transition = _check_transition(self.transition, len(regimes))
        object.__setattr__(self, "regimes", regimes)
        object.__setattr__(self, "transition", transition)
        _stationary(transition)

    @property
    def stationary(self) -> NDArray[np.float64]:
        """Share of the bars spent in each regime, shape (n_regimes,)."""
        return _stationary(self.transition)

    @property
    def mean_durations(self) -> NDArray[np.float64]:
        """Mean length of a stay in each regime, in bars, shape (n_regimes,); infinite for one that is never left."""
        with np.errstate(divide="ignore"):
            return 1.0 / (1.0 - np.diag(self.transition))

    @classmethod
    def equity_index(cls) -> "RegimeSwitchingHeston":
        """The book's base market: calm spells of 250 bars on average, chaos of 60; about 17 % volatility."""
        return cls._two_regimes(kappa=(8.0, 12.0), xi=(0.35, 1.2), durations=(250.0, 60.0))

    @classmethod
    def fast_reverting(cls) -> "RegimeSwitchingHeston":
        """A variant whose variance reverts faster, which makes the regime easier to see."""
        return cls._two_regimes(kappa=(25.0, 40.0), xi=(0.7, 2.4), durations=(250.0, 60.0))

    @classmethod
    def slow_reverting(cls) -> "RegimeSwitchingHeston":
        """A variant whose variance reverts slower and whose spells are three to four times as long."""
        return cls._two_regimes(kappa=(4.0, 4.0), xi=(0.28, 0.8), durations=(750.0, 250.0))

    @classmethod
    def _two_regimes(
        cls, *, kappa: tuple[float, float], xi: tuple[float, float], durations: tuple[float, float]
    ) -> "RegimeSwitchingHeston":
        calm = HestonParams(mu=0.15, kappa=kappa[0], theta=0.013, xi=xi[0], rho=-0.5, v0=0.013)
        chaos = HestonParams(mu=-0.30, kappa=kappa[1], theta=0.09, xi=xi[1], rho=-0.8, v0=0.09)
        leave = 1 / durations[0], 1 / durations[1]
        return cls((calm, chaos), np.array([[1 - leave[0], leave[0]], [leave[1], 1 - leave[1]]]))

    def simulate(
        self,
        *,
        n_paths: int,
        n_steps: int,
        dt: float = 1 / 252,
        s0: float = 100.0,
        substeps: int = 4,
        first_path: int = 0,
        seed: int | np.random.Generator,
    ) -> RegimePaths:
        """Simulate `n_paths` independent paths of `n_steps` bars.

        The regime starts from its stationary law, the variance from that regime's `v0`, and both run through
        ``BURN_IN_BARS`` bars before the first one kept. Path i depends on `seed` and i only.

        Parameters
        ----------
        n_paths, n_steps, substeps : int
            Paths, bars a path, Euler steps a bar.
        dt : float
            Length of a bar in years.
        s0 : float
            Price at the start.
        first_path : int
            Number of the first path: ``first_path=7, n_paths=3`` gives the rows 7, 8 and 9 of a larger simulation.
        seed : int or numpy.random.Generator

        Raises
        ------
        ValueError
            If an argument is out of range; the message names it.
        """
        n_paths, n_steps = check_count("n_paths", n_paths), check_count("n_steps", n_steps)
        dt, s0, substeps = check_positive("dt", dt), check_positive("s0", s0), check_count("substeps", substeps)
        first_path = check_count("first_path", first_path, least=0)
        key, params = key_from_seed(seed), self.params_array()
        law, transition = np.cumsum(self.stationary), np.cumsum(self.transition, axis=1)
        shape = (n_paths, n_steps + 1)
        price, variance, regime = np.empty(shape), np.empty(shape), np.empty(shape, np.int8)

        def block(first: int, last: int) -> None:
            rows = slice(first, last)
            arrays = price[rows], variance[rows], regime[rows]
            simulate_block(key, first_path + first, params, law, transition, dt, s0, substeps, *arrays)

        for_blocks(block, n_paths, block=BLOCK)
        return RegimePaths(price, variance, regime)

    def params_array(self) -> NDArray[np.float64]:
        """The parameters as an array of shape (n_regimes, 6), in the order of `HestonParams`."""
        return np.stack([params.as_array() for params in self.regimes])
