"""Surrogates: series that keep of a given one what a null hypothesis says, and are random in all else."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import scipy.fft
from numpy.typing import ArrayLike

from companion._checks import Floats, check_count, check_seed, check_varied_series
from companion.chaos._garch_surrogates import fit_garch

Null = Literal["shuffle", "phase", "aaft", "iaaft", "garch", "gjr_garch"]
NULLS: tuple[str, ...] = get_args(Null)

#: Fewest points of a series; the GARCH nulls ask for more, `companion.chaos.fit_garch` says how many.
FEWEST_POINTS = 32
#: IAAFT stops when its spectrum error has fallen by less than this share over this many rounds. Going on until nothing
#: moves takes 2 to 4 times as long, and changes the autocorrelation at lag 1 by less than .004.
SMALLEST_GAIN, ROUNDS_BETWEEN_LOOKS = 0.05, 10


def surrogates(series: ArrayLike, *, null: Null, n_surrogates: int, seed: int | np.random.Generator) -> Floats:
    """Series drawn from a null hypothesis that is fitted to a given series.

    ============= ============================================= =================================================
    null          hypothesis                                    kept of the series
    ============= ============================================= =================================================
    ``shuffle``   independent values of one distribution        the values, each once
    ``phase``     a stationary linear Gaussian process          the periodogram, to rounding
    ``aaft``      such a process, seen through a rising         the values, each once; the spectrum roughly: it is
                  function                                      whiter than that of the series
    ``iaaft``     as ``aaft``                                   the values, each once; the periodogram up to
                                                                `spectrum_error`
    ``garch``     a constant mean plus GARCH(1, 1) noise with   the parameters and standardized residuals of a fit
                  independent innovations of any distribution
    ``gjr_garch`` as ``garch``, with falls counting extra       likewise
    ============= ============================================= =================================================

    Surrogates serve a test of a whole series that has been observed. Each of their points depends on all points of
    the series, so nothing that is computed from them may serve as a feature of a forecast.

    The Fourier nulls (``phase``, ``aaft``, ``iaaft``) take the series for one period of a periodic one. Where its ends
    do not meet, the jump between them enters the spectrum: see `endpoint_mismatch` and `match_endpoints`. No point is
    cut off whatever the length; a length with a large prime factor costs up to six times the time.

    Parameters
    ----------
    series : array-like of shape (n_points,)
        Finite and not constant; at least 32 points, 250 for the GARCH nulls. Of equal values ``aaft`` ranks one before
        the other at random. Where most values are equal ``iaaft`` can not reach the spectrum: `spectrum_error` tells.
        Where values are dependent and a few large ones carry the spectrum, it leaves little to chance: the surrogates
        of the exponential of an AR(1) correlate at .8 with the series or its mirror image, shifted, and a test with
        them rejects too often. With the `normal_scores` of such a series it does not.
    null : {"shuffle", "phase", "aaft", "iaaft", "garch", "gjr_garch"}
    n_surrogates : int
    seed : int or numpy.random.Generator

    Returns
    -------
    ndarray of shape (n_surrogates, n_points)

    Raises
    ------
    ValueError
        When an argument is not as above, or `fit_garch` raises.

    References
    ----------
    Theiler, Eubank, Longtin, Galdrikian & Farmer (1992): ``phase``, ``aaft``. Schreiber & Schmitz (1996): ``iaaft``,
    which starts here from an AAFT surrogate. `fit_garch` names the sources of the GARCH nulls.
    """
    if null not in NULLS:
        raise ValueError(f"null must be one of {', '.join(NULLS)}, got {null!r}")
    observed = check_varied_series(series, least=FEWEST_POINTS, purpose=f"null={null!r}")
    n_surrogates = check_count("n_surrogates", n_surrogates)
    check_seed(seed)
    if null in ("garch", "gjr_garch"):
        fit = fit_garch(observed, asymmetric=null == "gjr_garch")
        return fit.simulate(len(observed), n_paths=n_surrogates, seed=seed)
    generator = np.random.default_rng(seed)
    return np.stack([_DRAWS[null](observed, generator) for _ in range(n_surrogates)])


def spectrum_error(series: ArrayLike, others: ArrayLike) -> Floats:
    """How far the Fourier amplitudes of other series are from those of a given one; the mean is left out.

    With a(f) the amplitude of the series at frequency f and b(f) that of another it is
    sqrt(sum of (b - a)² / sum of a²) over all f > 0: 0 for equal spectra, .66 for white noise and its shuffle. The
    autocovariances of the two, over the circle, then differ by at most ``(2 + error) * error`` times the variance.

    Parameters
    ----------
    series : array-like of shape (n_points,)
    others : array-like of shape (n_series, n_points) or (n_points,)
        Surrogates, as a rule.

    Returns
    -------
    ndarray of shape (n_series,)

    Raises
    ------
    ValueError
        When `series` is not as `surrogates` asks, or `others` has another number of points or is not finite.
    """
    observed = check_varied_series(series, least=FEWEST_POINTS)
    rows = np.atleast_2d(np.asarray(others, dtype=np.float64))
    if rows.ndim != 2 or rows.shape[1] != len(observed) or not np.isfinite(rows).all():
        raise ValueError(
            f"others must be finite, of shape (n_series, {len(observed)}) as series has {len(observed)} points, "
            f"got shape {np.shape(others)}"
        )
    return _amplitude_error(_amplitudes(rows), _amplitudes(observed))


def _amplitudes(series: Floats) -> Floats:
    """Fourier amplitudes of the series less their means, weighted so that their squares add up as over the circle."""
    amplitudes = np.abs(scipy.fft.rfft(series - series.mean(axis=-1, keepdims=True)))
    # all frequencies but that of alternation, which an even length has, stand for themselves and their negative
    amplitudes[..., 1 : (series.shape[-1] + 1) // 2] *= np.sqrt(2.0)
    return amplitudes


def _amplitude_error(amplitudes: Floats, wanted: Floats) -> Floats:
    return np.sqrt(((amplitudes - wanted)[..., 1:] ** 2).sum(axis=-1) / (wanted[1:] ** 2).sum())


def _shuffled(series: Floats, generator: np.random.Generator) -> Floats:
    return generator.permutation(series)


def _phase_randomized(series: Floats, generator: np.random.Generator) -> Floats:
    """The series with each Fourier component turned by an angle of its own."""
    mean = series.mean()
    spectrum = scipy.fft.rfft(series - mean)
    turns = np.exp(2j * np.pi * generator.random(len(spectrum)))
    if len(series) % 2 == 0:
        # the component of alternation is real: it can only keep its sign or change it
        turns[-1] = np.sign(turns[-1].real)
    return mean + scipy.fft.irfft(spectrum * turns, len(series))


def _amplitude_adjusted(series: Floats, generator: np.random.Generator) -> Floats:
    """The values of the series in the order of a phase-randomized Gaussian series that had the order of the series."""
    order = np.lexsort((generator.random(len(series)), series))
    gaussian = np.empty(len(series))
    gaussian[order] = np.sort(generator.standard_normal(len(series)))
    adjusted = np.empty(len(series))
    adjusted[np.argsort(_phase_randomized(gaussian, generator))] = np.sort(series)
    return adjusted


def _iterated(series: Floats, generator: np.random.Generator) -> Floats:
    """Impose the spectrum and then the values, again and again, until the spectrum comes no nearer."""
    n_points, values = len(series), np.sort(series)
    centered = values - series.mean()
    wanted, target = np.abs(scipy.fft.rfft(series - series.mean())), _amplitudes(series)
    surrogate = _amplitude_adjusted(series, generator)
    order, iterate = np.argsort(surrogate, kind="stable"), surrogate - series.mean()
    error, before = float(_amplitude_error(_amplitudes(surrogate), target)), np.inf
    while error < (1 - SMALLEST_GAIN) * before:
        for _ in range(ROUNDS_BETWEEN_LOOKS):
            spectrum = scipy.fft.rfft(iterate)
            amplitudes = np.abs(spectrum)
            spectrum *= np.divide(wanted, amplitudes, out=np.zeros(len(wanted)), where=amplitudes > 0)
            matched = scipy.fft.irfft(spectrum, n_points)
            # the order changes little from round to round, and a stable sort is fast on what is nearly sorted
            order = order[np.argsort(matched[order], kind="stable")]
            iterate[order] = centered
        before, error = error, float(_amplitude_error(_amplitudes(iterate), target))
    surrogate[order] = values
    return surrogate


_DRAWS: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "shuffle": _shuffled,
    "phase": _phase_randomized,
    "aaft": _amplitude_adjusted,
    "iaaft": _iterated,
}
