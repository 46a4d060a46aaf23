"""Lyapunov spectra against closed forms and published values, their intervals, and what follows from an exponent."""

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import lambertw

from companion.chaos import (
    AR1,
    GARCH,
    Henon,
    LogisticMap,
    Lorenz,
    LyapunovSpectrum,
    MackeyGlass,
    Process,
    Rossler,
    lyapunov_spectrum,
    predictability_horizon,
    separation,
)

LN2 = math.log(2.0)


@pytest.mark.parametrize(
    ("system", "published", "rounding", "duration", "half_width"),
    [
        # Sprott (2003)
        (Lorenz(), (0.9056, 0.0, -14.5723), 5e-5, 4000, 0.01),
        (Rossler(), (0.0714, 0.0, -5.3943), 5e-5, 30_000, 0.003),
        (Henon(), (0.41922, -1.62319), 5e-6, 400_000, 0.002),
        # Wolf, Swift, Swinney and Vastano (1985), in bits a second
        (Lorenz(sigma=16.0, rho=45.92, beta=4.0), (2.16 * LN2, 0.0, -32.4 * LN2), 0.05 * LN2, 1000, 0.04),
        # closed form
        (LogisticMap(), (LN2,), 0.0, 100_000, 2e-4),
    ],
    ids=["Lorenz", "Rössler", "Hénon", "Lorenz of Wolf et al.", "logistic"],
)
def test_published_exponents_are_in_the_interval(
    system: Any, published: tuple[float, ...], rounding: float, duration: float, half_width: float
) -> None:
    spectrum = lyapunov_spectrum(system, duration=duration, seed=1)
    low, high = spectrum.interval.T
    assert (low - rounding <= published).all()
    assert (published <= high + rounding).all()
    assert (high - low)[0] / 2 < half_width
    assert (low <= spectrum.exponents).all()
    assert (spectrum.exponents <= high).all()
    assert spectrum.duration >= duration


@pytest.mark.parametrize(
    ("system", "divergence"),
    [(Lorenz(), -41 / 3), (Rossler(), None), (Rossler(a=0.1, b=0.1, c=18.0), None), (Henon(), math.log(0.3))],
    ids=["Lorenz", "Rössler", "fast Rössler", "Hénon"],
)
def test_the_sum_of_the_spectrum_is_the_mean_divergence(system: Any, divergence: float | None) -> None:
    spectrum = lyapunov_spectrum(system, duration=1000, seed=0)
    assert spectrum.total == pytest.approx(spectrum.mean_divergence, abs=1e-6)
    if divergence is not None:
        assert spectrum.total == pytest.approx(divergence, abs=1e-6)
    # Fewer exponents are the first of all.
    fewer = lyapunov_spectrum(system, n_exponents=1, duration=1000, seed=0)
    np.testing.assert_allclose(fewer.exponents, spectrum.exponents[:1], rtol=1e-6)
    assert fewer.interval.shape == (1, 2)


@pytest.mark.parametrize(("tau", "jitcdde", "kaplan_yorke"), [(17.0, 197, 2.10), (23.0, 106, 2.82), (30.0, 139, 3.58)])
def test_mackey_glass_exponents_agree_with_other_work(tau: float, jitcdde: float, kaplan_yorke: float) -> None:
    """Lyapunov times of the package jitcdde (as NeuroBench publishes them), and Farmer's (1982) dimensions."""
    spectrum = lyapunov_spectrum(MackeyGlass(tau=tau), duration=200_000, seed=1)
    low, high = spectrum.interval[0]
    assert low < 1 / jitcdde < high
    assert high - low < 0.1 / jitcdde * 2
    assert spectrum.kaplan_yorke == pytest.approx(kaplan_yorke, abs=0.05)
    assert math.isnan(spectrum.mean_divergence)
    assert spectrum.n_dimensions == math.inf
    zero = np.argmin(np.abs(spectrum.exponents))
    assert spectrum.interval[zero, 0] < 0 < spectrum.interval[zero, 1]


@pytest.mark.parametrize("tau", [2.0, 4.0])
def test_a_delay_equation_at_rest_has_the_roots_of_its_characteristic_equation(tau: float) -> None:
    # Near its fixed point, 1, perturbations obey d' = -gamma d + s d(t - tau): rates solve z = -gamma + s exp(-z tau).
    slope = 0.2 * 0.5 * (1 - 10 * 0.5)
    branches = [lambertw(slope * tau * math.exp(0.1 * tau), k).real / tau - 0.1 for k in range(-3, 3)]
    expected = sorted(branches, reverse=True)[:4]
    spectrum = lyapunov_spectrum(MackeyGlass(tau=tau), n_exponents=4, duration=4000, seed=0)
    # A pair turns, so that the share of each of the two hangs on the phase; their mean does not.
    pairs = spectrum.exponents.reshape(2, 2).mean(axis=1)
    np.testing.assert_allclose(pairs, np.reshape(expected, (2, 2)).mean(axis=1), rtol=1e-3)


def test_a_flow_at_rest_has_the_real_parts_of_its_eigenvalues() -> None:
    system = Lorenz(rho=10.0)
    rest = math.sqrt(8 / 3 * 9)
    expected = np.sort(np.linalg.eigvals(system.jacobian([rest, rest, 9.0])).real)[::-1]
    spectrum = lyapunov_spectrum(system, duration=500, seed=0)
    np.testing.assert_allclose(spectrum.exponents, expected, atol=5e-3)
    assert spectrum.kaplan_yorke == 0.0


@pytest.mark.parametrize(
    ("r", "exponent"),
    [(0.5, math.log(0.5)), (2.5, math.log(0.5)), (3.2, math.log(4 + 2 * 3.2 - 3.2**2) / 2), (2.0, -math.inf)],
)
def test_the_logistic_map_on_a_cycle_has_the_exponent_of_its_multiplier(r: float, exponent: float) -> None:
    spectrum = lyapunov_spectrum(LogisticMap(r), duration=2000, seed=0)
    assert spectrum.exponents[0] == pytest.approx(exponent, rel=1e-9)
    assert spectrum.kaplan_yorke == 0.0
    assert np.isnan(spectrum.interval).all() == (exponent == -math.inf)


@pytest.mark.parametrize(
    ("system", "duration", "truth"),
    [(Rossler(), 2000, 0.0714), (Henon(), 20_000, 0.41922), (MackeyGlass(), 20_000, 0.00515)],
    ids=["Rössler", "Hénon", "Mackey–Glass"],
)
def test_the_interval_holds_the_truth_about_as_often_as_it_says(system: Any, duration: float, truth: float) -> None:
    runs = [lyapunov_spectrum(system, n_exponents=1, duration=duration, seed=seed) for seed in range(20)]
    low, high = np.array([run.interval[0] for run in runs]).T
    assert np.count_nonzero((low <= truth) & (truth <= high)) >= 17
    # and is no wider for it: half of it is about twice the spread of the estimates
    ratio = np.mean(high - low) / 2 / np.std([run.exponents[0] for run in runs], ddof=1)
    assert 1.3 < ratio < 4.0


def test_kaplan_yorke_dimension() -> None:
    assert lyapunov_spectrum(Lorenz(), duration=2000, seed=0).kaplan_yorke == pytest.approx(2.062, abs=0.002)
    assert lyapunov_spectrum(Henon(), duration=100_000, seed=0).kaplan_yorke == pytest.approx(1.2583, abs=0.002)
    assert lyapunov_spectrum(LogisticMap(), duration=1000, seed=0).kaplan_yorke == 1.0
    cycle = lyapunov_spectrum(Rossler(c=2.5), duration=2000, seed=0)
    assert cycle.kaplan_yorke == 1.0
    assert math.isnan(lyapunov_spectrum(MackeyGlass(), n_exponents=2, duration=20_000, seed=0).kaplan_yorke)


@given(exponents=st.lists(st.floats(-5, 5), min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_kaplan_yorke_is_where_the_sum_of_the_exponents_crosses_zero(exponents: list[float]) -> None:
    values = np.sort(exponents)[::-1]
    interval = np.stack([values, values], axis=1)
    spectrum = LyapunovSpectrum(values, interval, math.nan, 1.0, float(len(values)))
    dimension = spectrum.kaplan_yorke
    sums = np.concatenate([[0.0], np.cumsum(values)])
    if values[0] < 0:
        assert dimension == 0.0
    elif (sums[1:] >= 0).all():
        assert dimension == len(values)
    else:
        scale = np.abs(values).max()
        assert np.interp(dimension, np.arange(len(sums)), sums) == pytest.approx(0.0, abs=1e-9 * scale)


@pytest.mark.parametrize("process", [AR1(0.5), GARCH(0.1, 0.1, 0.8), Process("a path", lambda n, g: g.normal(size=n))])
def test_a_stochastic_process_is_refused(process: Any) -> None:
    message = rf"system must be deterministic, with known equations .*, got {re.escape(process.name)}: noise has no"
    with pytest.raises(ValueError, match=message):
        lyapunov_spectrum(process, duration=1000, seed=0)


@pytest.mark.parametrize(
    ("system", "arguments", "message"),
    [
        (Lorenz(), {"n_exponents": 4}, "n_exponents must be at most 3, the dimension, got 4"),
        (Henon(), {"n_exponents": 0}, "n_exponents must be a positive integer, got 0"),
        (LogisticMap(), {"n_exponents": 2}, "n_exponents must be at most 1, the dimension, got 2"),
        (MackeyGlass(), {"n_exponents": 1000}, "n_exponents must be at most 87, the dimension, got 1000"),
        (Lorenz(), {"duration": 0.0}, "duration must be a positive finite number, got 0.0"),
        (Lorenz(), {"duration": math.inf}, "duration must be a positive finite number, got inf"),
        (Lorenz(), {"seed": None}, "seed must be a non-negative integer"),
        (Henon(a=2.0), {}, "initial must lie in the basin of a bounded attractor"),
        ("Lorenz", {}, "system must be deterministic, with known equations"),
    ],
)
def test_a_wrong_request_is_refused(system: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        lyapunov_spectrum(system, **{"duration": 100.0, "seed": 0, **arguments})


@given(exponent=st.floats(1e-3, 10), error=st.floats(1e-12, 1.0), factor=st.floats(1.0, 1e9))
@settings(max_examples=100, deadline=None)
def test_an_error_reaches_the_tolerance_at_the_horizon(exponent: float, error: float, factor: float) -> None:
    horizon = predictability_horizon(exponent, error=error, tolerance=error * factor)
    assert error * math.exp(exponent * horizon) == pytest.approx(error * factor, rel=1e-9)
    # A start a thousand times as good buys the same time, however good it was.
    better = predictability_horizon(exponent, error=error / 1000, tolerance=error * factor)
    assert better - horizon == pytest.approx(math.log(1000) / exponent, rel=1e-6)


def test_predictability_horizon() -> None:
    assert predictability_horizon(0.0, error=1e-3, tolerance=1.0) == math.inf
    assert predictability_horizon(-1.0, error=1e-3, tolerance=1.0) == math.inf
    with pytest.raises(ValueError, match=r"tolerance must be at least error, 0\.1, got 0\.01"):
        predictability_horizon(1.0, error=0.1, tolerance=0.01)
    with pytest.raises(ValueError, match="error must be a positive finite number, got 0"):
        predictability_horizon(1.0, error=0.0, tolerance=0.01)
    with pytest.raises(ValueError, match="exponent must be a finite number, got nan"):
        predictability_horizon(math.nan, error=0.1, tolerance=1.0)


@pytest.mark.parametrize(
    ("system", "exponent", "duration"),
    [(Lorenz(), 0.9056, 14.0), (Henon(), 0.41922, 30), (LogisticMap(), LN2, 18)],
    ids=["Lorenz", "Hénon", "logistic"],
)
def test_neighbors_separate_at_the_largest_exponent(system: Any, exponent: float, duration: float) -> None:
    logs = []
    for seed in range(40):
        times, distances = separation(system, distance=1e-9, duration=duration, seed=seed)
        assert distances[0] == pytest.approx(1e-9, rel=1e-5)
        logs.append(np.log(distances))
    assert times[-1] == pytest.approx(duration)
    assert times[1] == system.dt
    slope = np.polyfit(times, np.mean(logs, axis=0), 1)[0]
    assert slope == pytest.approx(exponent, rel=0.12)


def test_separation_ends_at_the_size_of_the_attractor() -> None:
    times, distances = separation(Rossler(), distance=0.5, duration=600.0, seed=0)
    assert len(times) == len(distances) == 6001
    assert 5 < distances.max() < 40
    for seed in range(50):
        separation(LogisticMap(), distance=0.4, duration=3, seed=seed)  # both orbits start in the unit interval
    with pytest.raises(ValueError, match="whose state is a point, got Mackey–Glass"):
        separation(MackeyGlass(), distance=0.1, duration=10, seed=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"distance must be a positive finite number, got 0\.0"):
        separation(Lorenz(), distance=0.0, duration=10, seed=0)
    with pytest.raises(ValueError, match="duration must be a positive finite number, got -1"):
        separation(Lorenz(), distance=0.1, duration=-1, seed=0)
