"""The 0–1 test for chaos: does a walk driven by the series stay, or does it spread like a random one?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import Floats, check_count, check_finite, check_seed, check_varied_series

#: Gottwald and Melbourne: the displacement is followed over a tenth of the series.
_SHARE_FOLLOWED = 10
#: Resonances at frequencies near 0 and π spoil the test, so they are drawn from between.
_LOWEST, _HIGHEST = np.pi / 5, 4 * np.pi / 5
#: Fewest points: the displacement is then followed over 20 steps.
_LEAST_POINTS = 200
#: Standard deviation of the series over its mean absolute step, from which on it is sampled too finely. White noise has
#: .89; the Lorenz flow has 2.2 at a step of .1, where K is right, and 4.5 at .05, where it is not.
OVERSAMPLED = 3.0


@dataclass(frozen=True, eq=False)
class ZeroOneTest:
    """What the 0–1 test says of a series.

    Attributes
    ----------
    k : float
        Median of `k_by_frequency`: near 0 for regular motion, near 1 for chaos *and for noise*.
    k_by_frequency : ndarray of shape (n_frequencies,)
        Correlation of the mean square displacement with time, between −1 and 1.
    frequencies : ndarray of shape (n_frequencies,)
        In radians per point, ascending.
    p : ndarray of shape (n_points + 1,)
        The walk at `picture_frequency` along the cosines, in units of the series, from 0: bounded for regular motion.
    q : ndarray of shape (n_points + 1,)
        The same along the sines.
    picture_frequency : float
        The frequency whose K is nearest the median.
    step_ratio : float
        Standard deviation of the series over its mean absolute step.
    is_oversampled : bool
        Whether `step_ratio` is above 3: the series is sampled so finely that the test takes it for regular, whatever
        it is. Keep every second, fifth or tenth point and ask again.
    """

    k: float
    k_by_frequency: Floats
    frequencies: Floats
    p: Floats
    q: Floats
    picture_frequency: float
    step_ratio: float
    is_oversampled: bool


def zero_one_test(
    series: ArrayLike, *, n_frequencies: int = 100, damping: float = 0.0, seed: int | np.random.Generator
) -> ZeroOneTest:
    """Run the 0–1 test for chaos (Gottwald & Melbourne, 2009, correlation method).

    The series drives a walk in the plane, p(n) = Σ x(j) cos(jc), q(n) = Σ x(j) sin(jc). Its mean square displacement,
    less the oscillation that the mean of the series causes, is bounded if the series is periodic or quasi-periodic,
    and grows linearly if it is chaotic. K is its correlation with time, and the answer the median over frequencies c.

    The test asks *regular or not*. It answers 1 for white noise, for GARCH and for colored noise of small exponent as
    it does for chaos: K near 1 is no evidence of determinism. It answers near 0 for a flow sampled too finely; see
    `ZeroOneTest.is_oversampled`.

    Parameters
    ----------
    series : array-like of shape (n_points,)
        At least 200 points.
    n_frequencies : int
        Frequencies, drawn uniformly from (π/5, 4π/5).
    damping : float
        The paper's α for noisy data, not negative: α (mean)² sin(√2 n) is added to the displacement, which pulls K of
        weakly noisy regular motion to 0. The paper uses 2.5. It depends on the mean of the series; at mean 0 it does
        nothing.
    seed : int or numpy.random.Generator

    Raises
    ------
    ValueError
        If the series is too short, constant or not finite, or a setting is out of range.
    """
    numbers = check_varied_series(series, least=_LEAST_POINTS, purpose="the 0–1 test")
    check_count("n_frequencies", n_frequencies)
    if check_finite("damping", damping) < 0:
        raise ValueError(f"damping must not be negative, got {damping}")
    check_seed(seed)
    frequencies = np.sort(np.random.default_rng(seed).uniform(_LOWEST, _HIGHEST, n_frequencies))
    growth = np.array([_growth(numbers, c, damping) for c in frequencies])
    k = float(np.median(growth))
    shown = float(frequencies[np.argmin(np.abs(growth - k))])
    walk = np.concatenate(([0.0], _walk(numbers, shown)))
    ratio = float(numbers.std() / np.abs(np.diff(numbers)).mean())
    return ZeroOneTest(
        k=k,
        k_by_frequency=growth,
        frequencies=frequencies,
        p=walk.real.copy(),
        q=walk.imag.copy(),
        picture_frequency=shown,
        step_ratio=ratio,
        is_oversampled=ratio > OVERSAMPLED,
    )


def _walk(series: Floats, frequency: float) -> np.ndarray:
    """The translation variables as p + iq, shape (n_points,)."""
    return np.cumsum(series * np.exp(1j * frequency * np.arange(1, len(series) + 1)))


def _growth(series: Floats, frequency: float, damping: float) -> float:
    """Correlation of the corrected mean square displacement with time."""
    n_followed = len(series) // _SHARE_FOLLOWED
    times = np.arange(1, n_followed + 1)
    displacement = mean_square_displacement(_walk(series, frequency), n_followed)
    mean_square = series.mean() ** 2
    oscillation = mean_square * (1 - np.cos(times * frequency)) / (1 - np.cos(frequency))
    damped = displacement - oscillation + damping * mean_square * np.sin(np.sqrt(2.0) * times)
    return float(np.corrcoef(times, damped)[0, 1]) if np.ptp(damped) > 0 else 0.0


def mean_square_displacement(walk: np.ndarray, n_lags: int) -> Floats:
    """Mean of |walk(j + n) − walk(j)|² over the first n_points − n_lags points j, for lags n of 1 to `n_lags`.

    Through the Fourier transform, in O(n log n).
    """
    # the mean of the walk cancels in every difference; without it squares stay small and digits are kept
    walk = walk - walk.mean()
    n_starts = len(walk) - n_lags
    size = 2 * len(walk)
    heads = np.fft.fft(walk[:n_starts], size)
    products = np.fft.ifft(np.conj(heads) * np.fft.fft(walk, size))[1 : n_lags + 1].real
    squares = np.concatenate(([0.0], np.cumsum(np.abs(walk) ** 2)))
    later = squares[n_starts + 1 : n_starts + n_lags + 1] - squares[1 : n_lags + 1]
    return (squares[n_starts] + later - 2.0 * products) / n_starts
