"""Surrogates keep what their null says, and the ends of a series are judged as the paper says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import lfilter
from scipy.special import ndtri

from companion.chaos import endpoint_mismatch, match_endpoints, spectrum_error, surrogates

FOURIER = ("phase", "aaft", "iaaft")
KEEP_VALUES = ("shuffle", "aaft", "iaaft")
NULLS = ("shuffle", *FOURIER, "garch", "gjr_garch")
#: Even, odd and prime: all go through the transform uncut.
LENGTHS = (500, 501, 499)


def _autoregression(n_points: int, *, phi: float = 0.7, seed: int = 0) -> np.ndarray:
    return lfilter([1.0], [1.0, -phi], np.random.default_rng(seed).standard_normal(n_points + 200))[200:]


def _autocorrelation(series: np.ndarray, lag: int) -> np.ndarray:
    centered = series - series.mean(axis=-1, keepdims=True)
    return (centered[..., lag:] * centered[..., :-lag]).sum(axis=-1) / (centered**2).sum(axis=-1)


@pytest.mark.parametrize("null", NULLS)
def test_a_seed_gives_the_same_bits_twice_and_another_seed_other_series(null):
    series = _autoregression(500)
    first = surrogates(series, null=null, n_surrogates=3, seed=7)
    assert first.shape == (3, 500)
    assert first.dtype == np.float64
    assert first.tobytes() == surrogates(series, null=null, n_surrogates=3, seed=7).tobytes()
    generator = np.random.default_rng(7)
    assert first.tobytes() == surrogates(series, null=null, n_surrogates=3, seed=generator).tobytes()
    other = surrogates(series, null=null, n_surrogates=3, seed=8)
    rows = np.vstack([series, first, other])
    assert len(np.unique(rows, axis=0)) == 7


@pytest.mark.parametrize("null", NULLS)
def test_the_unit_of_the_series_is_the_unit_of_its_surrogates(null):
    series = _autoregression(500)
    scaled = surrogates(4.0 * series, null=null, n_surrogates=2, seed=1)
    np.testing.assert_array_equal(scaled, 4.0 * surrogates(series, null=null, n_surrogates=2, seed=1))


@pytest.mark.parametrize("n_points", LENGTHS)
@pytest.mark.parametrize("null", KEEP_VALUES)
def test_the_values_are_kept_bit_for_bit(null, n_points):
    series = np.exp(_autoregression(n_points))
    drawn = np.sort(surrogates(series, null=null, n_surrogates=5, seed=0), axis=1)
    assert drawn.tobytes() == np.tile(np.sort(series), (5, 1)).tobytes()


@pytest.mark.parametrize("n_points", LENGTHS)
def test_phase_surrogates_keep_every_fourier_amplitude_and_the_mean(n_points):
    series = 3.0 + _autoregression(n_points)
    drawn = surrogates(series, null="phase", n_surrogates=5, seed=0)
    np.testing.assert_allclose(np.abs(np.fft.rfft(drawn)), np.tile(np.abs(np.fft.rfft(series)), (5, 1)), rtol=1e-10)
    np.testing.assert_allclose(drawn.mean(axis=1), series.mean(), rtol=1e-12)
    assert spectrum_error(series, drawn).max() < 1e-14


def test_phases_are_uniform_and_independent_of_one_another():
    series = _autoregression(100)
    drawn = surrogates(series, null="phase", n_surrogates=2000, seed=0)
    turns = np.fft.rfft(drawn) / np.fft.rfft(series)
    # the mean of 2,000 unit vectors is below 4 / sqrt(2,000) but for one in a million; alternation can only flip
    assert np.abs(turns[:, 1:-1].mean(axis=0)).max() < 0.09
    assert np.abs((turns[:, 1:-2] * turns[:, 2:-1].conj()).mean(axis=0)).max() < 0.09
    assert np.mean(turns[:, -1].real > 0) == pytest.approx(0.5, abs=0.05)


def test_phase_surrogates_of_a_skewed_series_are_not_skewed():
    series = np.random.default_rng(0).exponential(size=1000)
    cubes = ((surrogates(series, null="phase", n_surrogates=200, seed=0) - series.mean()) / series.std()) ** 3
    assert np.mean((series - series.mean()) ** 3) / series.std() ** 3 > 1.5
    assert cubes.mean() == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize(("n_points", "tolerance"), [(100, 0.08), (499, 0.02), (500, 0.02), (4096, 0.002)])
@pytest.mark.parametrize("phi", [0.5, 0.9])
def test_iaaft_keeps_the_spectrum_of_a_linear_process_the_better_the_longer(n_points, phi, tolerance):
    series = _autoregression(n_points, phi=phi)
    assert spectrum_error(series, surrogates(series, null="iaaft", n_surrogates=5, seed=0)).max() < tolerance


def test_iaaft_is_nearer_to_the_spectrum_than_aaft_whose_spectrum_is_too_white():
    series = np.exp(0.5 * _autoregression(1000))
    refined, plain = (surrogates(series, null=null, n_surrogates=20, seed=0) for null in ("iaaft", "aaft"))
    assert spectrum_error(series, refined).max() < 0.08 < 0.1 < spectrum_error(series, plain).min()
    assert _autocorrelation(plain, 1).mean() < _autocorrelation(series, 1) - 0.02


@pytest.mark.parametrize(("tails", "least", "most"), [("light", 0.0, 0.4), ("heavy", 0.7, 1.0)])
def test_where_few_values_carry_the_spectrum_iaaft_comes_near_to_shifted_copies(tails, least, most):
    gaussian = _autoregression(1000)
    series = np.exp(gaussian) if tails == "heavy" else gaussian
    drawn = surrogates(series, null="iaaft", n_surrogates=5, seed=0) - series.mean()
    spectrum = np.fft.rfft(series - series.mean())
    likeness = [np.fft.irfft(np.fft.rfft(drawn) * turned).max(axis=1) for turned in (spectrum, spectrum.conj())]
    nearest = np.max(likeness, axis=0) / np.sum((series - series.mean()) ** 2)
    assert (nearest > least).all()
    assert (nearest < most).all()


@pytest.mark.parametrize("null", FOURIER)
def test_autocorrelation_over_the_circle_obeys_the_bound_that_the_spectrum_error_sets(null):
    series = np.exp(0.5 * _autoregression(501))
    drawn = surrogates(series, null=null, n_surrogates=5, seed=0)
    error = spectrum_error(series, drawn)

    def circular(rows):
        centered = rows - series.mean()
        return np.array([np.sum(centered * np.roll(centered, lag, axis=-1), axis=-1) for lag in range(501)]).T

    gaps = np.abs(circular(drawn) - circular(series)).max(axis=1) / np.sum((series - series.mean()) ** 2)
    assert (gaps <= (2 + error) * error + 1e-12).all()


def test_iaaft_keeps_autocorrelation_and_a_shuffle_does_not():
    series = _autoregression(2000)
    refined, shuffled = (surrogates(series, null=null, n_surrogates=20, seed=0) for null in ("iaaft", "shuffle"))
    for lag in (1, 2, 5, 10):
        np.testing.assert_allclose(_autocorrelation(refined, lag), _autocorrelation(series, lag), atol=0.01)
    assert np.abs(_autocorrelation(shuffled, 1)).max() < 4 / np.sqrt(2000)


def test_aaft_sees_through_any_rising_function():
    series = _autoregression(300)
    drawn = surrogates(series, null="aaft", n_surrogates=3, seed=0)
    seen = surrogates(np.exp(series), null="aaft", n_surrogates=3, seed=0)
    np.testing.assert_array_equal(seen, np.exp(drawn))


def test_aaft_surrogates_of_a_gaussian_process_seen_through_a_function_have_its_hidden_autocorrelation():
    series = _autoregression(4000, phi=0.8) ** 3
    drawn = surrogates(series, null="aaft", n_surrogates=20, seed=0)
    ranks = (drawn.argsort(axis=1).argsort(axis=1) + 0.5) / 4000
    # mean of 20, each with a standard error near sqrt((1 - .8²) / 4,000) = .0095 about the hidden .8 of this draw
    assert _autocorrelation(ndtri(ranks), 1).mean() == pytest.approx(0.8, abs=0.03)


def test_equal_values_are_ranked_at_random_so_that_no_trend_enters():
    coins = np.random.default_rng(0).integers(0, 2, 2000)
    assert abs(_autocorrelation(coins.astype(float), 1)) < 0.05
    assert np.abs(_autocorrelation(surrogates(coins, null="aaft", n_surrogates=10, seed=0), 1)).max() < 0.1


def test_of_two_values_iaaft_keeps_both_but_not_the_spectrum_and_the_error_says_so():
    states = (_autoregression(1000, phi=0.9) > 0).astype(int)
    drawn = surrogates(states, null="iaaft", n_surrogates=3, seed=0)
    assert (drawn.sum(axis=1) == states.sum()).all()
    assert spectrum_error(states, drawn).min() > 0.25


def test_integers_are_taken_as_floats():
    counts = np.random.default_rng(0).poisson(5, 300)
    for null in NULLS:
        drawn = surrogates(counts, null=null, n_surrogates=2, seed=0)
        np.testing.assert_array_equal(drawn, surrogates(counts.astype(float), null=null, n_surrogates=2, seed=0))


@settings(deadline=None, max_examples=40)
@given(
    series=st.integers(32, 70).flatmap(
        lambda n: arrays(np.float64, n, elements=st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda x: round(x, 3)))
    ),
    null=st.sampled_from(["shuffle", *FOURIER]),
)
def test_any_series_that_varies_has_surrogates_that_keep_their_promise(series, null):
    if (series == series[0]).all():
        with pytest.raises(ValueError, match="series must not be constant"):
            surrogates(series, null=null, n_surrogates=2, seed=0)
        return
    drawn = surrogates(series, null=null, n_surrogates=2, seed=0)
    assert drawn.shape == (2, len(series))
    if null == "phase":
        size = np.abs(series).max()
        wanted = np.tile(np.abs(np.fft.rfft(series)), (2, 1))
        np.testing.assert_allclose(np.abs(np.fft.rfft(drawn)), wanted, rtol=0, atol=1e-11 * size * len(series))
    else:
        np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile(np.sort(series), (2, 1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"series": np.arange(31.0)}, r"series must have at least 32 points for null='iaaft', got 31"),
        (
            {"series": np.arange(249.0), "null": "garch"},
            r"series must have at least 250 points for GARCH\(1, 1\), got 249",
        ),
        ({"series": np.full(300, 2.0)}, r"series must not be constant, got 2 at all of its 300 points"),
        ({"series": np.append(np.arange(40.0), np.nan)}, r"series must be finite, got nan at point 40"),
        ({"series": np.append(np.inf, np.arange(40.0))}, r"series must be finite, got inf at point 0"),
        ({"series": np.zeros((2, 40))}, r"series must be one series, of shape \(n_points,\), got \(2, 40\)"),
        ({"null": "noise"}, r"null must be one of shuffle, phase, aaft, iaaft, garch, gjr_garch, got 'noise'"),
        ({"n_surrogates": 0}, r"n_surrogates must be a positive integer, got 0"),
        ({"seed": -1}, r"seed must be a non-negative integer or a numpy.random.Generator, got -1"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    arguments = {"series": np.arange(40.0), "null": "iaaft", "n_surrogates": 2, "seed": 0} | change
    with pytest.raises(ValueError, match=message):
        surrogates(arguments.pop("series"), **arguments)


def test_spectrum_error_in_closed_form():
    series = 5.0 + _autoregression(500)
    assert spectrum_error(series, series)[0] == 0.0
    np.testing.assert_allclose(spectrum_error(series, [series[::-1], 1.25 * series, -series]), [0, 0.25, 0], atol=1e-12)
    # two white series: amplitudes are independent Rayleigh variables, the ratio is 2 - pi / 2
    noise, other = np.random.default_rng(0).standard_normal((2, 20_000))
    assert spectrum_error(noise, other)[0] == pytest.approx(np.sqrt(2 - np.pi / 2), abs=0.02)


@pytest.mark.parametrize("others", [np.zeros((2, 499)), np.full(500, np.nan), np.zeros((1, 2, 500))])
def test_spectrum_error_refuses_other_lengths_and_what_is_no_number(others):
    with pytest.raises(ValueError, match=r"others must be finite, of shape \(n_series, 500\)"):
        spectrum_error(_autoregression(500), others)


def test_end_point_mismatch_of_a_ramp_in_closed_form():
    n_points = 200
    mismatch = endpoint_mismatch(np.arange(n_points))
    assert mismatch.jump == pytest.approx((n_points - 1) ** 2 / (n_points * (n_points**2 - 1) / 12))
    assert mismatch.slip == 0.0
    arch = endpoint_mismatch(np.sin(np.linspace(0, np.pi, n_points)))
    assert arch.jump == pytest.approx(0.0, abs=1e-12)
    assert arch.slip == pytest.approx((2 * np.pi / 199) ** 2 / (n_points * (0.5 - 4 / np.pi**2)), rel=0.05)


def test_end_point_mismatch_of_independent_values_is_two_and_four_parts_of_n_on_average():
    noise = np.random.default_rng(0).standard_normal((2000, 64))
    found = np.array([[m.jump, m.slip] for m in map(endpoint_mismatch, noise)])
    # slip: four values, of which none is counted twice
    np.testing.assert_allclose(found.mean(axis=0), np.array([2, 4]) / 63, rtol=0.12)


def test_a_jump_between_the_ends_enters_the_surrogates_and_matched_ends_keep_it_out():
    series = 0.02 * np.arange(600.0) + np.sin(np.arange(600.0) / 4)
    whole = surrogates(series, null="phase", n_surrogates=20, seed=0)
    assert np.diff(whole).std() > 1.5 * np.diff(series).std()
    periodic = np.cos(2 * np.pi * np.arange(600) / 87)
    stretch = periodic[match_endpoints(periodic, max_drop=90)]
    matched = surrogates(stretch, null="phase", n_surrogates=20, seed=0)
    assert np.diff(matched).std() == pytest.approx(np.diff(stretch).std(), rel=0.02)


@pytest.mark.parametrize("max_drop", [0, 1, 9])
@pytest.mark.parametrize("seed", range(6))
def test_matching_finds_what_a_search_of_all_stretches_finds(max_drop, seed):
    series = np.cumsum(np.random.default_rng(seed).standard_normal(45))

    def cost(start, stop):
        x = series[start:stop]
        gaps = (x[0] - x[-1]) ** 2 + (x[1] - x[0] - x[-1] + x[-2]) ** 2
        return gaps / np.sum((x - x.mean()) ** 2)

    all_stretches = [(i, 45 - j) for i in range(max_drop + 1) for j in range(max_drop + 1 - i)]
    best = min(all_stretches, key=lambda ends: cost(*ends))
    found = match_endpoints(series, max_drop=max_drop)
    assert (found.start, found.stop) == best
    whole, part = endpoint_mismatch(series), endpoint_mismatch(series[found])
    assert part.jump + part.slip <= whole.jump + whole.slip


def test_matching_names_the_least_length():
    with pytest.raises(ValueError, match=r"series must have at least 52 points for max_drop=20, got 51"):
        match_endpoints(np.arange(51.0), max_drop=20)
    with pytest.raises(ValueError, match=r"max_drop must be a non-negative integer, got -1"):
        match_endpoints(np.arange(51.0), max_drop=-1)
