"""Series of known origin for the study of surrogate tests: those of each null, and those that are something else."""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from companion.chaos import (
    AR1,
    GARCH,
    Henon,
    LogisticMap,
    Lorenz,
    System,
    colored_noise,
    fit_garch,
    match_endpoints,
    normal_scores,
)
from companion.heston import RegimeSwitchingHeston

Floats = NDArray[np.float64]
Draw = Callable[[int, np.random.Generator], Floats]
"""``draw(n_points, generator)`` returns a series of shape (n_points,)."""


def _first(system: System, n_points: int, generator: np.random.Generator) -> Floats:
    return system.simulate(n_points, seed=generator)[:, 0]


def _normal(n_points: int, generator: np.random.Generator) -> Floats:
    return generator.standard_normal(n_points)


def _student(n_points: int, generator: np.random.Generator) -> Floats:
    return generator.standard_t(3, n_points)


def _exponential_of_ar(phi: float, n_points: int, generator: np.random.Generator) -> Floats:
    """The exponential of an AR(1) of variance 1: skewed and positive, like a volatility."""
    return np.exp(_first(AR1(phi), n_points, generator) * np.sqrt(1 - phi**2))


def _matched(draw: Draw, n_points: int, generator: np.random.Generator) -> Floats:
    """A series less up to a tenth of its points, so that its ends meet."""
    x = draw(n_points, generator)
    return x[match_endpoints(x, max_drop=n_points // 10)]


def _scored(draw: Draw, n_points: int, generator: np.random.Generator) -> Floats:
    """A series by its ranks alone."""
    return normal_scores(draw(n_points, generator))


def _residuals_of_ar(n_points: int, generator: np.random.Generator) -> Floats:
    """What least squares leaves of an AR(1)."""
    x = _first(AR1(0.6), n_points + 1, generator)
    slope, level = np.polyfit(x[:-1], x[1:], 1)
    return x[1:] - level - slope * x[:-1]


def _residuals_of_garch(n_points: int, generator: np.random.Generator) -> Floats:
    """The standardized residuals of a fitted GARCH, of a path of GARCH: independent, but for the fit."""
    return fit_garch(_first(GARCH(0.05, 0.1, 0.85), n_points, generator)).residuals


def _log_squares_of_garch(n_points: int, generator: np.random.Generator) -> Floats:
    return np.log(_residuals_of_garch(n_points, generator) ** 2)


def _noisy_henon(ratio: float, n_points: int, generator: np.random.Generator) -> Floats:
    """Hénon's x as an instrument sees it; `ratio` is the variance of x over that of the noise."""
    x = _first(Henon(), n_points, generator)
    return x + x.std() / np.sqrt(ratio) * generator.standard_normal(n_points)


def _threshold(n_points: int, generator: np.random.Generator) -> Floats:
    """An autoregression with the coefficient .8 below zero and -.4 above (Tong's SETAR)."""
    noise = generator.standard_normal(n_points + 100)
    x = np.zeros(len(noise))
    for t in range(1, len(noise)):
        x[t] = (0.8 if x[t - 1] <= 0 else -0.4) * x[t - 1] + noise[t]
    return x[100:]


def _shot_noise(n_points: int, generator: np.random.Generator) -> Floats:
    """Jumps up, decay down: an AR(1) with exponential innovations, linear but not Gaussian."""
    return np.asarray(lfilter([1.0], [1.0, -0.6], generator.exponential(size=n_points + 100)))[100:]


def _heston(n_points: int, generator: np.random.Generator) -> Floats:
    market = RegimeSwitchingHeston.equity_index()
    return market.simulate(n_paths=1, n_steps=n_points, seed=generator).log_returns[0]


def _two_tones(n_points: int, generator: np.random.Generator) -> Floats:
    """Two frequencies whose ratio is the golden mean, begun at random: regular, and never the same again."""
    t, (one, two) = np.arange(n_points), 2 * np.pi * generator.random(2)
    return np.cos(0.7 * t + one) + np.cos(0.35 * (1 + np.sqrt(5)) * t + two)


def _colored(exponent: float, n_points: int, generator: np.random.Generator) -> Floats:
    return colored_noise(n_points, exponent=exponent, seed=generator)


GJR = GARCH(0.05, 0.03, 0.85, asymmetry=0.15)
PROCESSES: dict[str, Draw] = {
    "normal noise": _normal,
    "Student noise, 3 degrees": _student,
    "AR(1), .6": partial(_first, AR1(0.6)),
    "AR(1), .95": partial(_first, AR1(0.95)),
    "exp of AR(1), .6": partial(_exponential_of_ar, 0.6),
    "exp of AR(1), .95": partial(_exponential_of_ar, 0.95),
    "AR(1), .95, ends matched": partial(_matched, partial(_first, AR1(0.95))),
    "exp of AR(1), .95, ends matched": partial(_matched, partial(_exponential_of_ar, 0.95)),
    "scores of exp of AR(1), .6": partial(_scored, partial(_exponential_of_ar, 0.6)),
    "scores of exp of AR(1), .95, ends matched": partial(_scored, partial(_matched, partial(_exponential_of_ar, 0.95))),
    "GARCH": partial(_first, GARCH(0.05, 0.1, 0.85)),
    "GARCH, Student 6": partial(_first, GARCH(0.05, 0.1, 0.85, df=6.0)),
    "GJR-GARCH": partial(_first, GJR),
    "residuals of AR(1)": _residuals_of_ar,
    "residuals of GARCH": _residuals_of_garch,
    "log squares of residuals of GARCH": _log_squares_of_garch,
    "Hénon": partial(_first, Henon()),
    "Hénon, noise 10 dB below": partial(_noisy_henon, 10.0),
    "Hénon, noise 7 dB below": partial(_noisy_henon, 5.0),
    "Hénon, noise as large": partial(_noisy_henon, 1.0),
    "scores of Hénon, noise as large": partial(_scored, partial(_noisy_henon, 1.0)),
    "logistic map": partial(_first, LogisticMap()),
    "Lorenz x, every 0.1": partial(_first, Lorenz(dt=0.1)),
    "threshold AR": _threshold,
    "shot noise": _shot_noise,
    "Heston market": _heston,
    "scores of Heston market": partial(_scored, _heston),
    "two tones": _two_tones,
    "1/f noise": partial(_colored, 1.0),
    "1/f^2 noise": partial(_colored, 2.0),
}
"""By name. A ratio of variances of 10 is 10 dB, of 5 is 7 dB, of 1 is 0 dB."""
