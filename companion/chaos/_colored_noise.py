"""Noise with a power law for a spectrum: the process that has a finite dimension and no chaos."""

import numpy as np

from companion._checks import Floats, check_count, check_finite, check_seed


def colored_noise(n_points: int, *, exponent: float, seed: int | np.random.Generator) -> Floats:
    """Draw noise whose power falls with frequency f as f**(-exponent), of shape (n_points,), mean 0 and variance 1.

    The power at each Fourier frequency is set exactly and the phases are drawn, as Osborne and Provenzale (1989) do.
    The series is periodic, its end goes on where it begins. Exponent 0 is white, 2 moves like a random walk.

    For exponents between 1 and 3 the path is a fractal curve of dimension 2 / (exponent − 1), and so is its
    reconstruction: `correlation_dimension` without a Theiler window finds a finite value with no dynamics behind it.
    From a few thousand points it lies above that limit, as the path is no fractal below one step (Theiler 1991).

    Parameters
    ----------
    n_points : int
        At least 4.
    exponent : float
        Of the power spectrum, between −4 and 4.
    seed : int or numpy.random.Generator

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    if check_count("n_points", n_points) < 4:
        raise ValueError(f"n_points must be at least 4, got {n_points}")
    if not -4 <= check_finite("exponent", exponent) <= 4:
        raise ValueError(f"exponent must be between -4 and 4, got {exponent}")
    check_seed(seed)
    generator = np.random.default_rng(seed)
    frequencies = np.arange(1, n_points // 2 + 1)
    phases = generator.uniform(0.0, 2.0 * np.pi, len(frequencies))
    coefficients = np.concatenate(([0.0], frequencies ** (-exponent / 2.0) * np.exp(1j * phases)))
    if n_points % 2 == 0:
        # the highest frequency has no phase: a real series has a real coefficient there
        coefficients[-1] = np.abs(coefficients[-1]) * (1.0 if phases[-1] < np.pi else -1.0)
    series = np.fft.irfft(coefficients, n_points)
    return series / series.std()
