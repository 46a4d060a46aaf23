"""The largest exponent from data: right where there is chaos, and no number where there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import nolds_measures

from companion.chaos import (
    AR1,
    GARCH,
    Henon,
    LogisticMap,
    Lorenz,
    colored_noise,
    delay_embedding,
    lyapunov_kantz,
    lyapunov_rosenstein,
    surrogates,
)
from companion.chaos._lyapunov import straight_part

TRUTH = {"logistic": np.log(2), "henon": 0.4192}
MAP = {"delay": 1, "dimension": 2, "theiler": 10, "horizon": 25}
FLOW = {"delay": 3, "dimension": 5, "theiler": 20, "horizon": 80, "dt": 0.05}


def series_of(name: str, n_points: int = 1500, seed: int = 0) -> np.ndarray:
    return {"logistic": LogisticMap(), "henon": Henon()}[name].simulate(n_points, seed=seed)[:, 0]


@pytest.fixture(scope="module")
def lorenz() -> np.ndarray:
    return Lorenz(dt=0.05).simulate(2500, seed=0)[:, 0]


def noise(n_points: int = 1500, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n_points)


@pytest.mark.parametrize("name", TRUTH)
@pytest.mark.parametrize("seed", range(5))
def test_published_value_is_within_a_narrow_interval(name, seed):
    estimate = lyapunov_rosenstein(series_of(name, seed=seed), **MAP)
    low, high = estimate.interval
    assert low <= TRUTH[name] <= high
    assert high - low < 0.25 * TRUTH[name]
    assert estimate.reason == ""
    assert not estimate.is_lower_bound


def test_lorenz_is_within_its_interval(lorenz):
    estimate = lyapunov_rosenstein(lorenz, **FLOW)
    low, high = estimate.interval
    assert low <= 0.9056 <= high
    assert high - low < 0.7


def test_a_region_begins_after_the_choice_and_ends_a_nat_below_saturation():
    times = np.arange(21.0)
    region = straight_part(times, -10.0 + 0.5 * times, 0.0)
    assert (region.start, region.stop) == (1, 19)
    assert region.slope == pytest.approx(0.5)
    assert straight_part(times, -10.0 + 0.5 * times, -7.0) is None


@pytest.mark.parametrize("name", TRUTH)
def test_kantz_agrees(name):
    low, high = lyapunov_kantz(series_of(name, 3000), **MAP).interval
    assert low <= TRUTH[name] <= high
    assert high - low < 0.35 * TRUTH[name]


def random_series() -> dict[str, np.ndarray]:
    return {
        "white noise": noise(),
        "AR(1)": AR1(0.9).simulate(1500, seed=0)[:, 0],
        "near a unit root": AR1(0.99).simulate(1500, seed=0)[:, 0],
        "GARCH": GARCH(0.02, 0.1, 0.88, df=5).simulate(1500, seed=0)[:, 0],
        "volatility": np.abs(GARCH(0.02, 0.1, 0.88).simulate(1500, seed=0)[:, 0]),
        "colored noise": colored_noise(3000, exponent=2.0, seed=0)[:1500],
    }


@pytest.mark.parametrize("method", [lyapunov_rosenstein, lyapunov_kantz])
@pytest.mark.parametrize("name", random_series())
def test_no_region_no_number(name, method):
    estimate = method(random_series()[name], delay=1, dimension=4, theiler=20, horizon=40)
    assert estimate.exponent is None
    assert estimate.region is None
    assert np.isnan(estimate.interval).all()
    assert estimate.reason
    assert np.isfinite(estimate.divergence[1:]).all()
    assert not estimate.is_lower_bound


def test_lorenz_without_its_phases_has_no_number(lorenz):
    for surrogate in surrogates(lorenz[:1500], null="phase", n_surrogates=3, seed=0):
        assert lyapunov_rosenstein(surrogate, **FLOW).exponent is None


def test_noise_in_the_observation_is_flagged():
    clean = series_of("logistic")
    noisy = lyapunov_rosenstein(clean + 0.01 * clean.std() * noise(len(clean)), **MAP | {"dimension": 3})
    assert noisy.is_lower_bound
    assert noisy.exponent < TRUTH["logistic"]
    very = lyapunov_rosenstein(clean + 0.1 * clean.std() * noise(len(clean)), **MAP | {"dimension": 3})
    assert very.exponent is None


def test_a_horizon_that_is_too_short_is_named():
    estimate = lyapunov_rosenstein(series_of("henon"), **MAP | {"horizon": 3})
    assert estimate.exponent is None
    assert "horizon of 3 steps" in estimate.reason
    assert "horizon of 1 step neighbors" in lyapunov_rosenstein(series_of("henon"), **MAP | {"horizon": 1}).reason
    assert "after 1 step neighbors" in lyapunov_rosenstein(noise(), **MAP).reason


def test_rosenstein_curve_is_its_definition():
    series = series_of("henon", 150)
    settings = {"delay": 2, "dimension": 3, "theiler": 4, "horizon": 6}
    curve = lyapunov_rosenstein(series, **settings).divergence
    standard = (series - series.mean()) / series.std()
    vectors = delay_embedding(standard, delay=2, dimension=3)
    n = len(vectors) - 6
    logs = []
    for i in range(n):
        far = [np.linalg.norm(vectors[i] - vectors[j]) if abs(i - j) > 4 else np.inf for j in range(n)]
        j = int(np.argmin(far))
        logs.append([np.log(abs(vectors[i + k, 0] - vectors[j + k, 0])) for k in range(7)])
    assert curve == pytest.approx(np.mean(logs, axis=0))


def test_kantz_curve_is_its_definition():
    series = series_of("henon", 200)
    curve = lyapunov_kantz(series, delay=1, dimension=2, theiler=4, horizon=6, radii=[0.1]).divergence
    vectors = delay_embedding(series, delay=1, dimension=2)
    n = len(vectors) - 6
    logs = []
    for i in range(n):
        ball = [j for j in range(n) if abs(i - j) > 4 and np.abs(vectors[i] - vectors[j]).max() <= 0.1]
        if len(ball) >= 5:
            logs.append([np.log(np.mean([abs(vectors[i + k, 0] - vectors[j + k, 0]) for j in ball])) for k in range(7)])
    assert 10 < len(logs) < n
    assert curve == pytest.approx(np.mean(logs, axis=0) - np.log(series.std()))


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.01, 1000.0), shift=st.floats(-10.0, 10.0), dt=st.floats(0.01, 10.0))
def test_units_of_the_series_and_of_time(scale, shift, dt):
    series = series_of("logistic", 300)
    plain, other = lyapunov_rosenstein(series, **MAP), lyapunov_rosenstein(scale * series + shift, dt=dt, **MAP)
    assert other.exponent == pytest.approx(plain.exponent / dt, rel=1e-3)
    assert other.interval == pytest.approx(plain.interval / dt, rel=1e-2)


def test_radii_are_in_units_of_the_series():
    series = series_of("henon", 600)
    plain = lyapunov_kantz(series, radii=[0.05, 0.1], **MAP)
    other = lyapunov_kantz(10.0 * series, radii=[0.5, 1.0], **MAP)
    assert other.radii == pytest.approx(10 * plain.radii)
    assert other.curves == pytest.approx(plain.curves)
    empty = lyapunov_kantz(series, radii=[1e-9], **MAP)
    assert empty.exponent is None
    assert "no point has enough neighbors" in empty.reason


@pytest.mark.parametrize("method", [lyapunov_rosenstein, lyapunov_kantz])
def test_ties_are_a_reason_and_integers_are_numbers(method):
    rounded = np.random.default_rng(0).integers(0, 4, 600)
    assert "rounded or repeats itself" in method(rounded, **MAP).reason
    assert "rounded or repeats itself" in method(np.tile([0.0, 1.0, 3.0], 200), **MAP).reason
    fine = (1e6 * series_of("henon", 600)).astype(int)
    assert np.array_equal(method(fine, **MAP).divergence, method(fine.astype(float), **MAP).divergence)


@pytest.mark.parametrize("method", [lyapunov_rosenstein, lyapunov_kantz])
@pytest.mark.parametrize(
    ("series", "setting", "message"),
    [
        (np.r_[noise(), np.nan], {}, "series must be finite"),
        (np.r_[noise(), -np.inf], {}, "series must be finite"),
        (np.ones(900), {}, "series must"),
        (noise(105), {}, "at least 106 points for dimension=2, delay=1, theiler=10, horizon=25, got 105"),
        (noise(), {"delay": 0}, "delay must be a positive integer, got 0"),
        (noise(), {"dimension": 2.5}, "dimension must be a positive integer, got 2.5"),
        (noise(), {"theiler": -1}, "theiler must be a non-negative integer, got -1"),
        (noise(), {"horizon": 1500}, "horizon must be below 1500 steps, got 1500"),
        (noise(), {"dt": 0.0}, "dt must be a positive finite number"),
    ],
)
def test_bad_arguments_are_named(method, series, setting, message):
    with pytest.raises(ValueError, match=message):
        method(series, **MAP | setting)


@pytest.mark.parametrize(
    ("radii", "message"),
    [([], "positive finite"), ([0.0, 1.0], "positive finite"), ([0.2, 0.1], "ascend"), ([np.nan], "positive finite")],
)
def test_bad_radii_are_named(radii, message):
    with pytest.raises(ValueError, match=f"radii must.*{message}"):
        lyapunov_kantz(noise(), radii=radii, **MAP)


def test_the_shortest_series_is_taken():
    assert lyapunov_rosenstein(noise(106), **MAP).exponent is None


def test_as_near_to_ln_2_as_nolds():
    series = series_of("logistic", 1000)
    peer = nolds_measures().lyap_r(series, emb_dim=2, lag=1, min_tsep=10, trajectory_len=8)
    ours = lyapunov_rosenstein(series, **MAP).exponent
    assert ours == pytest.approx(peer, abs=0.02)
    assert abs(ours - np.log(2)) < 0.02
