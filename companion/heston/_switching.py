"""A Heston market that switches between regimes: the book's laboratory animal, since its regime is known.

At the start of every bar the regime moves by a Markov chain; the variance is continuous there, only its dynamics
change. Within a bar the variance follows full-truncation Euler in a few substeps. That discrete market *is* the market
(not an approximation of one), so that `companion.heston._bayes_filter` can know it exactly.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from companion._checks import check_count, check_positive, check_seed
from companion.heston._chain import check_transition, stationary_law
from companion.heston._params import HestonParams, check_scale
from companion.heston.kernels._blocks import for_blocks
from companion.heston.kernels._random import key_from_seed
from companion.heston.kernels._regime_scheme import add_jumps, simulate_block
from companion.heston.kernels._schemes import LANES

BLOCK = 2 * LANES


@dataclass(frozen=True, eq=False)
class RegimePaths:
    """Paths of a regime-switching market.

    Attributes
    ----------
    price : float64 array of shape (n_paths, n_steps + 1)
        Price at the bar boundaries; column 0 is the start.
    variance : float64 array of shape (n_paths, n_steps + 1)
        Annual variance at the same times.
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


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _random_params(
    rng: np.random.Generator, kappa: float, theta: float, *, rho: tuple[float, float], mu: tuple[float, float]
) -> HestonParams:
    xi = math.sqrt(2 * kappa * theta) * rng.uniform(0.5, 1.1)
    return HestonParams(mu=rng.uniform(*mu), kappa=kappa, theta=theta, xi=xi, rho=rng.uniform(*rho), v0=theta)


@dataclass(frozen=True, eq=False)
class RegimeSwitchingHeston:
    """A Heston market whose parameters follow a Markov chain.

    Parameters
    ----------
    regimes : tuple of HestonParams
        One set of parameters a regime, the calmest (lowest `theta`) first.
    transition : array of shape (n_regimes, n_regimes)
        ``transition[i, j]`` is the probability, per bar, to go from regime i to regime j.
    jump_rate : float
        Probability, per bar and whatever the regime, that the log price jumps (Merton 1976, at most once a bar).
    jump_size : float
        Standard deviation of a jump of the log price; its mean is 0.

    Raises
    ------
    ValueError
        If there are fewer than two regimes, they are not ordered by `theta`, `transition` is not a stochastic matrix
        with a single stationary law, or the jumps are no probability and size.
    """

    regimes: tuple[HestonParams, ...]
    transition: NDArray[np.float64]
    jump_rate: float = 0.0
    jump_size: float = 0.0

    def __post_init__(self) -> None:
        regimes = tuple(self.regimes)
        if len(regimes) < 2 or not all(isinstance(params, HestonParams) for params in regimes):
            raise ValueError(f"regimes must be at least two HestonParams, got {self.regimes!r}")
        thetas = [params.theta for params in regimes]
        if thetas != sorted(thetas):
            raise ValueError(f"regimes must be ordered from calm to turbulent, got theta {thetas}")
        transition = check_transition(self.transition, len(regimes))
        if not 0.0 <= self.jump_rate < 1.0:
            raise ValueError(f"jump_rate must be a probability below 1, got {self.jump_rate!r}")
        if not 0.0 <= self.jump_size < np.inf or (self.jump_rate > 0.0) != (self.jump_size > 0.0):
            raise ValueError(f"jump_size must be positive where prices jump and 0 elsewhere, got {self.jump_size!r}")
        object.__setattr__(self, "regimes", regimes)
        object.__setattr__(self, "transition", transition)
        stationary_law(transition)

    @property
    def stationary(self) -> NDArray[np.float64]:
        """Share of the bars spent in each regime, shape (n_regimes,)."""
        return stationary_law(self.transition)

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
    def random(cls, seed: int | np.random.Generator) -> "RegimeSwitchingHeston":
        """A market of two regimes from the prior that the `universal` filter was trained on.

        ================================  ===============  =====================
        parameter, all independent        stable           chaos
        ================================  ===============  =====================
        speed of reversion, per year      3–45 (log)       × .8–1.8
        root of `theta`, per year         9–16 %           `theta` × 2.5–9
        `xi` / sqrt(2 `kappa` `theta`)    .5–1.1           .5–1.1
        correlation                       −.8 to −.3       −.9 to −.4
        drift, per year                   0–25 %           −60 to +10 %
        mean duration, bars               150–900 (log)    × .15–.45
        ================================  ===============  =====================

        Draws are uniform, in the logarithm where that is said; × stands for a multiple of the stable value. The three
        markets of the book lie inside: what an observer may believe who knows the kind of market, not its parameters.

        Parameters
        ----------
        seed : int or numpy.random.Generator
        """
        check_seed(seed)
        rng = np.random.default_rng(seed)
        kappa, theta = _log_uniform(rng, 3.0, 45.0), rng.uniform(0.09, 0.16) ** 2
        calm = _random_params(rng, kappa, theta, rho=(-0.8, -0.3), mu=(0.0, 0.25))
        kappa, theta = kappa * rng.uniform(0.8, 1.8), theta * rng.uniform(2.5, 9.0)
        chaos = _random_params(rng, kappa, theta, rho=(-0.9, -0.4), mu=(-0.6, 0.1))
        bars = _log_uniform(rng, 150.0, 900.0)
        enter, leave = 1 / bars, 1 / (bars * rng.uniform(0.15, 0.45))
        return cls((calm, chaos), np.array([[1 - enter, enter], [leave, 1 - leave]]))

    def scaled(
        self, *, reversion: float = 1.0, volatility: float = 1.0, duration: float = 1.0
    ) -> "RegimeSwitchingHeston":
        """The market whose parameters are multiples of those of this one.

        Parameters
        ----------
        reversion : float
            Of the speed at which the variance reverts; its stationary law stays the same, as `xi` grows with the root.
        volatility : float
            Of the volatility in all regimes; the variance path is the old one times the square.
        duration : float
            Of the mean time that is spent in each regime.

        Raises
        ------
        ValueError
            If a factor is not positive and finite, or the chain would have to leave a regime with a probability above
            one.
        """
        for name, factor in (("reversion", reversion), ("volatility", volatility), ("duration", duration)):
            check_positive(name, factor)
        scale, speed = volatility**2, np.sqrt(reversion)
        regimes = tuple(
            replace(p, kappa=p.kappa * reversion, theta=p.theta * scale, xi=p.xi * volatility * speed, v0=p.v0 * scale)
            for p in self.regimes
        )
        stay = np.eye(len(regimes))
        slower = stay + (self.transition - stay) / duration
        return replace(self, regimes=regimes, transition=slower, jump_size=self.jump_size * volatility)

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
            The same integer means the same random numbers to `bayes_filter` and `simulate_heston`: give them different
            ones where they shall be independent.

        Raises
        ------
        ValueError
            If an argument is out of range; the message names it.
        """
        n_paths, n_steps = check_count("n_paths", n_paths), check_count("n_steps", n_steps)
        dt, s0, substeps = check_scale("dt", dt), check_scale("s0", s0), check_count("substeps", substeps)
        first_path = check_count("first_path", first_path, least=0)
        key, params = key_from_seed(seed), self.params_array()
        law, transition = np.cumsum(self.stationary), np.cumsum(self.transition, axis=1)
        shape = (n_paths, n_steps + 1)
        price, variance, regime = np.empty(shape), np.empty(shape), np.empty(shape, np.int8)

        def block(first: int, last: int) -> None:
            rows = slice(first, last)
            arrays = price[rows], variance[rows], regime[rows]
            simulate_block(key, first_path + first, params, law, transition, dt, s0, substeps, *arrays)
            if self.jump_rate:
                add_jumps(key, first_path + first, self.jump_rate, self.jump_size, price[rows])

        for_blocks(block, n_paths, block=BLOCK)
        return RegimePaths(price, variance, regime)

    def params_array(self) -> NDArray[np.float64]:
        """The parameters as an array of shape (n_regimes, 6), in the order of `HestonParams`."""
        return np.stack([params.as_array() for params in self.regimes])
