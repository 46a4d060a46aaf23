"""Systems: the equations against scipy, closed forms and their own derivatives; the processes against their theory."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import solve_ivp
from scipy.spatial import cKDTree

from companion.chaos import (
    AR1,
    ARMA,
    GARCH,
    DeterministicSystem,
    Henon,
    LogisticMap,
    Lorenz,
    MackeyGlass,
    Process,
    Rossler,
    _delay_flow,
    _flow_kernels,
)

FLOWS = [Lorenz(), Lorenz(sigma=16.0, rho=45.92, beta=4.0), Rossler(), Rossler(a=0.1, b=0.1, c=18.0)]
MAPS = [Henon(), LogisticMap()]
DETERMINISTIC = [Lorenz(), Rossler(), *MAPS, MackeyGlass()]
PROCESSES = [
    AR1(0.7),
    ARMA((0.5, -0.3), (0.4,)),
    GARCH(0.05, 0.1, 0.85),
    GARCH(0.05, 0.02, 0.85, asymmetry=0.1, df=6.0),
    Process("uniform", lambda n_points, generator: generator.uniform(size=n_points)),
]


def label(system: Any) -> str:
    return f"{system.name}"


@pytest.mark.parametrize("system", [*DETERMINISTIC, *PROCESSES], ids=label)
def test_a_system_returns_points_that_its_seed_determines(system: Any) -> None:
    points = system.simulate(50, seed=3)
    assert points.shape == (50, len(system.coordinates))
    assert points.dtype == np.float64
    assert np.isfinite(points).all()
    np.testing.assert_array_equal(system.simulate(50, seed=np.random.default_rng(3)), points)
    assert not np.array_equal(system.simulate(50, seed=4), points)
    assert system.dt > 0
    assert isinstance(system, DeterministicSystem) == (system in DETERMINISTIC)


@pytest.mark.parametrize(
    ("system", "start"),
    [
        (Lorenz(), [1, 2, 3]),
        (Rossler(), [1.0, 1.0, 0.0]),
        (Henon(), [0, 0]),
        (LogisticMap(), [0.3]),
        (MackeyGlass(), [1.2]),
    ],
    ids=["Lorenz", "Rössler", "Hénon", "logistic", "Mackey–Glass"],
)
def test_a_given_start_is_the_first_point_and_a_transient_is_cut_off(system: Any, start: list[float]) -> None:
    points = system.simulate(60, seed=0, initial=start)
    np.testing.assert_allclose(points[0], start, rtol=1e-15)
    np.testing.assert_array_equal(system.simulate(20, seed=1, initial=start, n_transient=40), points[40:])


@pytest.mark.parametrize("system", FLOWS, ids=str)
def test_flows_follow_scipys_adaptive_integrator(system: Any) -> None:
    points = system.simulate(80, seed=1)
    times = system.dt * np.arange(80)
    solution = solve_ivp(
        lambda _, state: system.field(state),
        (0.0, times[-1]),
        points[0],
        method="DOP853",
        rtol=1e-12,
        atol=1e-12,
        t_eval=times,
    )
    np.testing.assert_allclose(points, solution.y.T, atol=1e-7)


@pytest.mark.parametrize("system", [Lorenz(), Rossler()], ids=label)
def test_the_integrator_is_of_eighth_order_for_points_perturbations_and_volume(system: Any) -> None:
    parameters = np.array(system._parameters())

    def after(n_steps: int) -> np.ndarray:
        y = np.concatenate([system.simulate(1, seed=5)[0], [0.0], np.eye(3).ravel()])
        _flow_kernels.advance(system._kind, parameters, y, 60 * system.step / n_steps, n_steps)
        return y

    reference = after(480)
    coarse, fine = (np.abs(after(n_steps) - reference) for n_steps in (20, 40))
    for part in (slice(0, 3), slice(4, 13)):
        assert 7.0 < math.log2(coarse[part].max() / fine[part].max()) < 9.5
    # Liouville: the determinant of the tangent map is the exponential of the integrated divergence.
    y = np.concatenate([system.simulate(1, seed=5)[0], [0.0], np.eye(3).ravel()])
    _flow_kernels.advance(system._kind, parameters, y, system.step, 8)
    assert math.log(np.linalg.det(y[4:].reshape(3, 3))) == pytest.approx(y[3], abs=1e-8)
    # The perturbations are derivatives of the flow: central differences agree to the square of their width.
    y0 = np.concatenate([system.simulate(1, seed=5)[0], [0.0]])
    for i, width in enumerate([1e-5] * 3):
        ends = []
        for sign in (1.0, -1.0):
            y = y0.copy()
            y[i] += sign * width
            _flow_kernels.advance(system._kind, parameters, y, system.step / 8, 480)
            ends.append(y[:3])
        np.testing.assert_allclose((ends[0] - ends[1]) / (2 * width), reference[4 + 3 * i : 7 + 3 * i], atol=2e-6)


def complex_step(function: Any, states: np.ndarray) -> np.ndarray:
    """Derivatives to rounding error: the imaginary part of the function at a point moved by an imaginary 1e-30."""
    columns = [function(states + 1e-30j * unit).imag / 1e-30 for unit in np.eye(states.shape[-1])]
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("system", [*FLOWS, Henon(1.2, -0.4), LogisticMap(3.7)], ids=str)
def test_jacobians_are_derivatives(system: Any) -> None:
    states = np.random.default_rng(0).normal(scale=3.0, size=(2, 5, len(system.coordinates)))
    function = system.field if hasattr(system, "field") else system.iterate
    np.testing.assert_allclose(system.jacobian(states), complex_step(function, states), rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(system.jacobian(states)[1, 2], system.jacobian(states[1, 2]))


def test_divergence() -> None:
    states = np.random.default_rng(0).normal(size=(7, 3))
    np.testing.assert_allclose(Lorenz().divergence(states), -41 / 3, rtol=1e-14)
    np.testing.assert_allclose(Rossler().divergence(states), 0.2 + states[:, 0] - 5.7, rtol=1e-14)


def test_orbits_are_on_the_attractor_from_the_first_point_on() -> None:
    # The mean of a derivative is a difference of ends over time: no more than the attractor's size over time.
    points, duration = Lorenz().simulate(20_000, seed=0), 400.0
    x, y, z = points.T
    assert abs(np.mean(y - x) * 10) < 60 / duration
    assert abs(np.mean(x * y - 8 / 3 * z)) < 60 / duration
    assert abs(x.mean()) < 1.0  # both wings
    assert z.min() > 0
    assert z.max() < 50
    x, y, z = Rossler().simulate(20_000, seed=0).T
    assert abs(np.mean(y + z)) < 30 / 2000
    assert z.min() > 0
    assert 20 < z.max() < 25
    starts = np.array([Lorenz().simulate(1, seed=seed)[0] for seed in range(30)])
    assert np.median(cKDTree(points).query(starts)[0]) < 0.3
    assert (starts[:, 0] > 0).any()
    assert (starts[:, 0] < 0).any()


@pytest.mark.parametrize("system", MAPS, ids=label)
def test_maps_iterate(system: Any) -> None:
    points = system.simulate(100, seed=0)
    np.testing.assert_allclose(system.iterate(points[:-1]), points[1:], rtol=1e-12, atol=1e-15)


def test_logistic_map_at_4_is_a_doubling_of_angles() -> None:
    angle = 0.123456789
    points = LogisticMap().simulate(12, seed=0, initial=[math.sin(math.pi * angle) ** 2])[:, 0]
    np.testing.assert_allclose(points, np.sin(math.pi * angle * 2.0 ** np.arange(12)) ** 2, atol=1e-11)
    # Its invariant law is the arcsine law.
    points = LogisticMap().simulate(20_000, seed=0)[:, 0]
    assert stats.kstest(points[::20], stats.arcsine.cdf).pvalue > 0.01
    assert points.mean() == pytest.approx(0.5, abs=0.01)
    assert points.var() == pytest.approx(1 / 8, abs=0.003)


def test_logistic_map_keeps_its_chaos_in_double_precision_but_not_from_a_short_fraction() -> None:
    points = LogisticMap().simulate(1_000_000, seed=0)[:, 0]
    assert len(np.unique(points[-100_000:])) == 100_000
    assert LogisticMap().simulate(4, seed=0, initial=[0.5])[:, 0].tolist() == [0.5, 1.0, 0.0, 0.0]


def test_mackey_glass_in_its_first_delay_relaxes_exponentially() -> None:
    system = MackeyGlass(dt=0.7)
    past = 0.6
    level = 0.2 * past / (1 + past**10) / 0.1
    times = 0.7 * np.arange(24)  # up to 16.1, within the first delay of 17
    x = system.simulate(24, seed=0, initial=[past])[:, 0]
    np.testing.assert_allclose(x, level + (past - level) * np.exp(-0.1 * times), rtol=1e-8)


def test_mackey_glass_in_its_second_delay_follows_scipy() -> None:
    past, g = 0.6, 2.0 * 0.6 / (1 + 0.6**10)

    def rate(t: float, x: np.ndarray) -> np.ndarray:
        before = g + (past - g) * math.exp(-0.1 * (t - 17.0))
        return 0.2 * before / (1 + before**10) - 0.1 * x

    x = MackeyGlass().simulate(35, seed=0, initial=[past])[:, 0]
    solution = solve_ivp(rate, (17.0, 34.0), x[17:18], rtol=1e-11, atol=1e-12, t_eval=np.arange(17.0, 35.0))
    np.testing.assert_allclose(x[17:], solution.y[0], rtol=1e-8)


def test_mackey_glass_is_of_fourth_order_for_its_orbit_and_its_perturbations() -> None:
    parameters = np.array([0.2, 0.1, 10.0, 17.0])
    ends = {}
    for n_steps in (24, 48, 96, 768):
        times = np.linspace(0.0, 17.0, n_steps + 1)
        past = np.stack([0.9 + 0.2 * np.sin(0.3 * times), 0.06 * np.cos(0.3 * times)])
        frame = np.stack([np.cos(0.2 * times), -0.2 * np.sin(0.2 * times)])[:, None]
        for _ in range(3):
            past, frame = _delay_flow._one_delay(parameters, past, frame)
        ends[n_steps] = np.array([past[0, -1], frame[0, 0, -1]])
    errors = {n_steps: np.abs(end - ends[768]) for n_steps, end in ends.items()}
    assert (np.log2(errors[24] / errors[48]) > 3.3).all()
    assert (np.log2(errors[48] / errors[96]) > 3.6).all()
    assert (np.log2(errors[48] / errors[96]) < 5.0).all()


def test_mackey_glass_perturbations_are_derivatives_of_its_orbit() -> None:
    system = MackeyGlass(tau=30.0)
    parameters, n_nodes = system._parameters(), system.n_steps + 1
    times = np.linspace(0.0, 30.0, n_nodes)
    past = np.stack([0.9 + 0.2 * np.sin(0.3 * times), 0.06 * np.cos(0.3 * times)])
    frame = np.stack([np.cos(0.2 * times), -0.2 * np.sin(0.2 * times)])[:, None]
    _, pushed = _delay_flow._one_delay(parameters, past, frame)
    none = np.zeros((2, 0, n_nodes))
    ends = [_delay_flow._one_delay(parameters, past + width * frame[:, 0], none)[0] for width in (1e-5, -1e-5)]
    np.testing.assert_allclose((ends[0] - ends[1]) / 2e-5, pushed[:, 0], atol=1e-7)


def test_mackey_glass_keeps_perturbations_orthonormal_and_their_slopes_with_them() -> None:
    system = MackeyGlass(tau=23.0)
    n_nodes = system.n_steps + 1
    past, frame = np.zeros((2, n_nodes)), np.zeros((2, 3, n_nodes))
    past[0] = 0.7
    frame[0] = np.random.default_rng(0).normal(size=(3, n_nodes))
    _delay_flow._delay_growth(system._parameters(), past, frame, 1, 20)
    np.testing.assert_allclose(frame[0] @ frame[0].T, np.eye(3), atol=1e-12)
    slopes = np.gradient(frame[0], 23.0 / system.n_steps, axis=1)
    np.testing.assert_allclose(frame[1, :, 1:-1], slopes[:, 1:-1], atol=0.02 * np.abs(slopes).max())


def test_mackey_glass_returns_the_same_solution_at_any_sampling() -> None:
    coarse = MackeyGlass(tau=23.0).simulate(40, seed=0, initial=[0.5])[:, 0]
    fine = MackeyGlass(tau=23.0, dt=0.25).simulate(160, seed=0, initial=[0.5])[:, 0]
    np.testing.assert_allclose(fine[::4], coarse, rtol=1e-12)
    still = MackeyGlass().simulate(100, seed=0, initial=[1.0])[:, 0]  # the fixed point (beta / gamma - 1) ** (1 / n)
    np.testing.assert_allclose(still, 1.0, rtol=1e-12)


@pytest.mark.parametrize("phi", [0.9, -0.5])
def test_ar1_starts_stationary(phi: float) -> None:
    generator = np.random.default_rng(0)
    paths = np.array([AR1(phi).simulate(3, seed=generator)[:, 0] for _ in range(4000)])
    scaled = paths * math.sqrt(1 - phi**2)
    for column in scaled.T:
        assert stats.kstest(column, "norm").pvalue > 0.01
    assert np.corrcoef(scaled[:, 0], scaled[:, 1])[0, 1] == pytest.approx(phi, abs=0.06)
    assert np.corrcoef(scaled[:, 0], scaled[:, 2])[0, 1] == pytest.approx(phi**2, abs=0.06)


def test_arma_has_the_autocorrelation_of_its_coefficients() -> None:
    ar, ma = 0.8, -0.4
    x = ARMA((ar,), (ma,)).simulate(100_000, seed=0)[:, 0]
    variance = (1 + 2 * ar * ma + ma**2) / (1 - ar**2)
    first = (1 + ar * ma) * (ar + ma) / (1 + 2 * ar * ma + ma**2)
    assert x.var() == pytest.approx(variance, rel=0.03)
    assert np.corrcoef(x[1:], x[:-1])[0, 1] == pytest.approx(first, abs=0.015)
    assert np.corrcoef(x[2:], x[:-2])[0, 1] == pytest.approx(first * ar, abs=0.015)
    # The first point is as much at home as the others.
    generator = np.random.default_rng(1)
    starts = [ARMA((ar,), (ma,)).simulate(1, seed=generator)[0, 0] for _ in range(2000)]
    assert stats.kstest(np.array(starts) / math.sqrt(variance), "norm").pvalue > 0.01


@pytest.mark.parametrize(
    ("system", "law"),
    [
        (GARCH(0.05, 0.1, 0.85), stats.norm()),
        (GARCH(0.05, 0.02, 0.85, asymmetry=0.16), stats.norm()),
        (GARCH(0.05, 0.1, 0.85, df=5.0), stats.t(5.0, scale=math.sqrt(3 / 5))),
    ],
    ids=["normal", "asymmetric", "Student"],
)
def test_garch_returns_divided_by_their_volatility_are_the_noise(system: GARCH, law: Any) -> None:
    returns = system.simulate(20_000, seed=2)[:, 0]
    variance, noise = system.variance, []
    for value in returns:
        noise.append(value / math.sqrt(variance))
        reaction = system.alpha + system.asymmetry * (value < 0)
        variance = system.omega + reaction * value**2 + system.beta * variance
    noise = np.array(noise[1000:])  # a thousand steps forget the variance that was guessed for the first
    assert stats.kstest(noise, law.cdf).pvalue > 0.01
    assert abs(np.corrcoef(np.abs(noise[1:]), np.abs(noise[:-1]))[0, 1]) < 0.025
    assert np.corrcoef(np.abs(returns[1:]), np.abs(returns[:-1]))[0, 1] > 0.06
    assert returns.var() == pytest.approx(system.variance, rel=0.2)
    assert system.variance == pytest.approx(1.0)
    leverage = np.corrcoef(returns[:-1], np.abs(returns[1:]))[0, 1]
    assert leverage < -0.06 if system.asymmetry else abs(leverage) < 0.03


@given(
    r=st.floats(0.01, 4.0),
    start=st.floats(0.0, 1.0),
    past=st.floats(0.0, 3.0),
    tau=st.floats(0.1, 40.0),
    x=st.tuples(*[st.floats(-40.0, 40.0)] * 3),
)
@settings(max_examples=60, deadline=None)
def test_orbits_stay_where_theory_keeps_them(r: float, start: float, past: float, tau: float, x: Any) -> None:
    points = LogisticMap(r).simulate(50, seed=0, initial=[start])
    assert points.min() >= 0
    assert points.max() <= 1
    # Production is at most beta, so that x falls from where it starts to at most beta / gamma, and never below zero.
    x_delay = MackeyGlass(tau=tau, dt=tau).simulate(8, seed=0, initial=[past])
    assert x_delay.min() >= 0
    assert x_delay.max() <= max(past, 2.0) + 1e-9
    # Orbits of Lorenz's end in a ball about (0, 0, rho + sigma), of radius beta (rho + sigma) / (2 sqrt(beta - 1)).
    end = Lorenz().simulate(2, seed=0, initial=x, n_transient=1000)[-1]
    assert math.hypot(*(end - (0.0, 0.0, 38.0))) < 8 / 3 * 38 / (2 * math.sqrt(5 / 3)) + 1e-3


@given(n_points=st.integers(1, 30), n_transient=st.integers(0, 30), seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_lengths_are_as_asked(n_points: int, n_transient: int, seed: int) -> None:
    for system in (Lorenz(), Henon(), MackeyGlass(dt=3.1), AR1(0.2), GARCH(1.0, 0.1, 0.1)):
        points = system.simulate(n_points, seed=seed, n_transient=n_transient)
        assert points.shape == (n_points, len(system.coordinates))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lorenz(sigma=-1.0), "sigma must be a positive finite number, got -1.0"),
        (lambda: Lorenz(dt=math.nan), "dt must be a positive finite number, got nan"),
        (lambda: Rossler(c=math.inf), "c must be a finite number, got inf"),
        (lambda: Rossler(dt=0.0), "dt must be a positive finite number, got 0.0"),
        (lambda: Henon(b=0.0), "b must not be zero"),
        (lambda: LogisticMap(4.01), "r must lie above 0 and be at most 4, got 4.01"),
        (lambda: LogisticMap(0.0), "r must lie above 0 and be at most 4, got 0.0"),
        (lambda: MackeyGlass(tau=0.0), "tau must be a positive finite number, got 0.0"),
        (lambda: AR1(1.0), "phi must lie between -1 and 1, got 1.0"),
        (
            lambda: ARMA((1.0,)),
            "ar must be stationary, all roots within 0.9999 of zero, got (1.0,) with a root of size 1",
        ),
        (lambda: ARMA(0.5), "ar must be a tuple of numbers, got 0.5"),  # type: ignore[arg-type]
        (lambda: ARMA((0.5,), (math.nan,)), "ma must be a finite number, got nan"),
        (lambda: GARCH(0.0, 0.1, 0.8), "omega must be a positive finite number, got 0.0"),
        (lambda: GARCH(0.1, -0.1, 0.8), "alpha must not be negative, got -0.1"),
        (lambda: GARCH(0.1, 0.2, 0.8), "alpha + beta + asymmetry / 2 must be below 1, got 1"),
        (lambda: GARCH(0.1, 0.1, 0.8, asymmetry=-0.2), "asymmetry must be at least -alpha = -0.1, got -0.2"),
        (lambda: GARCH(0.1, 0.1, 0.8, df=2.0), "df must be above 2, where the variance is finite, or None, got 2.0"),
        (lambda: Process("x", lambda n, g: g.normal(size=n), dt=0.0), "dt must be a positive finite number, got 0.0"),
        (lambda: Lorenz().simulate(0, seed=0), "n_points must be a positive integer, got 0"),
        (lambda: Lorenz().simulate(3, seed=0, n_transient=-1), "n_transient must be a non-negative integer, got -1"),
        (lambda: Lorenz().simulate(3, seed=0.5), "seed must be a non-negative integer"),  # type: ignore[arg-type]
        (lambda: Henon().simulate(3, seed=-1), "seed must be a non-negative integer"),
        (lambda: AR1(0.5).simulate(3, seed=True), "seed must be a non-negative integer"),
        (lambda: Lorenz().simulate(3, seed=0, initial=[1.0, 2.0]), "initial must be finite numbers, one for each of"),
        (lambda: Henon().simulate(3, seed=0, initial=[math.nan, 0.0]), "initial must be finite numbers, one for each"),
        (lambda: LogisticMap().simulate(3, seed=0, initial=["a"]), "initial must be finite numbers, one for each of"),
        (lambda: LogisticMap().simulate(3, seed=0, initial=[1.1]), "initial must lie in [0, 1], got [1.1]"),
        (lambda: MackeyGlass().simulate(3, seed=0, initial=[-0.1]), "initial must not be negative, got [-0.1]"),
        (
            lambda: GARCH(1.0, 0.1, 0.1).simulate(3, seed=0, initial=[0.0]),
            "initial must be None for a stochastic process",
        ),
        (
            lambda: Henon().simulate(99, seed=0, initial=[9.0, 9.0]),
            "initial must lie in the basin of a bounded attractor",
        ),
        (lambda: Rossler(a=1.0).simulate(99, seed=0), "initial must lie in the basin of a bounded attractor"),
        (lambda: Lorenz().field([1.0, 2.0]), "states must be numbers of shape (…, 3), got shape (2,) of float64"),
        (lambda: Henon().jacobian("ab"), "states must be numbers of shape (…, 2), got shape ()"),
        (
            lambda: Process("short", lambda n, g: g.normal(size=n - 1)).simulate(5, seed=0),
            "draw must return 5 finite numbers in shape (5,), got shape (4,) with 0 that are not finite",
        ),
        (
            lambda: Process("gaps", lambda n, g: np.full(n, math.nan)).simulate(5, seed=0, n_transient=2),
            "draw must return 7 finite numbers in shape (7,), got shape (7,) with 7 that are not finite",
        ),
    ],
)
def test_what_is_wrong_is_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is compared below, brackets and all
        make()
    assert message in str(error.value)
