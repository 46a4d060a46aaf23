"""Simulate the Heston model: Andersen's quadratic-exponential scheme, and full-truncation Euler to compare it with."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from companion._checks import check_count
from companion.heston._params import HestonParams, check_scale
from companion.heston.kernels._blocks import for_blocks
from companion.heston.kernels._random import key_from_seed
from companion.heston.kernels._schemes import LANES, euler_block, qe_block

BLOCK = 8 * LANES

Array = NDArray[np.float64]

Scheme = Literal["qe", "euler"]


@dataclass(frozen=True, eq=False)
class HestonPaths:
    """Paths of the Heston model.

    Attributes
    ----------
    price : float64 array of shape (n_paths, n_steps + 1)
        Price at the grid times; column 0 is the start.
    variance : float64 array of shape (n_paths, n_steps + 1)
        Annual variance at the same times.
    """

    price: NDArray[np.float64]
    variance: NDArray[np.float64]

    @property
    def log_returns(self) -> NDArray[np.float64]:
        """Log returns of the steps, shape (n_paths, n_steps)."""
        return np.diff(np.log(self.price), axis=1)


def simulate_heston(
    params: HestonParams,
    *,
    n_paths: int,
    n_steps: int,
    dt: float = 1 / 252,
    s0: float = 100.0,
    scheme: Scheme = "qe",
    seed: int | np.random.Generator,
) -> HestonPaths:
    """Simulate independent paths of the Heston model.

    ``"qe"`` is the quadratic-exponential scheme of Andersen (2008, sections 3.2 and 4.3): the variance matches the
    mean and variance of the exact transition, and the martingale correction makes ``E[S_T] = s0 exp(mu T)`` exact on
    every grid. Where that correction does not exist (``rho > 0`` and a long step, so that the step's exponential
    moment is infinite) the uncorrected constant of his equation 33 takes its place for that step.

    ``"euler"`` is Euler in (log price, variance) with full truncation (Lord, Koekkoek & van Dijk 2010): the variance
    may go below zero in between, drift and diffusion use its positive part, which is also what is returned.

    The Feller condition may be broken, and `xi`, `kappa`, `theta` and `v0` may tend to zero: both schemes then tend to
    the same limit. Both ask for a `dt` that is short against ``1 / kappa``. Path i depends on `seed` and i only: not on
    the number of paths or threads, nor on the machine.

    Parameters
    ----------
    params : HestonParams
    n_paths, n_steps : int
        Number of paths, and of steps a path.
    dt : float
        Length of a step in years.
    s0 : float
        Price at the start.
    scheme : {"qe", "euler"}
    seed : int or numpy.random.Generator
        The same integer means the same random numbers to `RegimeSwitchingHeston.simulate` and to `bayes_filter`: give
        them different ones where they shall be independent.

    Returns
    -------
    HestonPaths
        ``price`` and ``variance`` of shape (n_paths, n_steps + 1).

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    """
    price, variance = _simulate(params, n_paths, n_steps, dt, s0, scheme, seed, terminal=False)
    return HestonPaths(price, variance)


def simulate_heston_terminal(
    params: HestonParams,
    *,
    n_paths: int,
    n_steps: int,
    dt: float = 1 / 252,
    s0: float = 100.0,
    scheme: Scheme = "qe",
    seed: int | np.random.Generator,
) -> tuple[Array, Array]:
    """Price and variance at the last step only: the same bits as the last columns of `simulate_heston`.

    The memory is that of the result, two numbers a path, however many the steps.

    Parameters
    ----------
    params, n_paths, n_steps, dt, s0, scheme, seed
        As in `simulate_heston`.

    Returns
    -------
    price, variance : float64 arrays of shape (n_paths,)

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    """
    price, variance = _simulate(params, n_paths, n_steps, dt, s0, scheme, seed, terminal=True)
    return price[:, 0], variance[:, 0]


def _simulate(
    params: HestonParams,
    n_paths: int,
    n_steps: int,
    dt: float,
    s0: float,
    scheme: Scheme,
    seed: int | np.random.Generator,
    *,
    terminal: bool,
) -> tuple[Array, Array]:
    """Arrays of shape (n_paths, n_steps + 1), or (n_paths, 1) for the last step alone."""
    if not isinstance(params, HestonParams):
        raise ValueError(f"params must be HestonParams, got {params!r}")  # noqa: TRY004 - one kind of error for arguments
    if scheme not in ("qe", "euler"):
        raise ValueError(f"scheme must be 'qe' or 'euler', got {scheme!r}")
    n_paths, n_steps = check_count("n_paths", n_paths), check_count("n_steps", n_steps)
    dt, s0, key = check_scale("dt", dt), check_scale("s0", s0), key_from_seed(seed)
    shape = (n_paths, 1 if terminal else n_steps + 1)
    price, variance = np.empty(shape), np.empty(shape)
    kernel = qe_block if scheme == "qe" else euler_block
    numbers = params.as_array()

    def block(first: int, last: int) -> None:
        kernel(key, first, numbers, dt, s0, n_steps, price[first:last], variance[first:last])

    for_blocks(block, n_paths, block=BLOCK)
    return price, variance
