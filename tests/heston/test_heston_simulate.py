"""Simulation against the theory of the Heston model."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from companion.heston import HestonParams, heston_call_price, simulate_heston, variance_law
from companion.heston import _simulate as simulate
from companion.heston._simulate import simulate_heston_terminal
from companion.heston.kernels import _blocks

CALM = HestonParams(mu=0.07, kappa=5.0, theta=0.04, xi=0.5, rho=-0.7, v0=0.06)
ANDERSEN_1 = HestonParams(mu=0.0, kappa=0.5, theta=0.04, xi=1.0, rho=-0.9, v0=0.04)  # Feller broken by a factor 25
ANDERSEN_3 = HestonParams(mu=0.0, kappa=1.0, theta=0.09, xi=1.0, rho=-0.3, v0=0.09)
RISING = HestonParams(mu=-0.1, kappa=3.0, theta=0.04, xi=0.4, rho=0.6, v0=0.04)


def _mean_and_error(sample: np.ndarray) -> tuple[float, float]:
    return float(sample.mean()), float(sample.std(ddof=1) / math.sqrt(len(sample)))


@pytest.mark.parametrize("params", [CALM, ANDERSEN_1, ANDERSEN_3, RISING])
@pytest.mark.parametrize(("scheme", "dt"), [("qe", 0.25), ("qe", 1 / 52), ("euler", 0.25), ("euler", 1 / 52)])
def test_discounted_price_is_a_martingale(params: HestonParams, scheme: str, dt: float) -> None:
    n_steps = round(2 / dt)
    price = simulate_heston(params, n_paths=50_000, n_steps=n_steps, dt=dt, scheme=scheme, seed=1).price
    mean, error = _mean_and_error(price[:, -1] * math.exp(-params.mu * 2))
    assert abs(mean - 100) < 4 * error


@pytest.mark.parametrize("params", [CALM, ANDERSEN_1, ANDERSEN_3])
@pytest.mark.parametrize("dt", [1.0, 1 / 12])
def test_qe_variance_has_the_exact_moments(params: HestonParams, dt: float) -> None:
    v = simulate_heston(params, n_paths=100_000, n_steps=round(1 / dt), dt=dt, seed=2).variance[:, -1]
    law = variance_law(params, 1.0)
    mean, error = _mean_and_error(v)
    assert abs(mean - law.mean()) < 4 * error
    second, error = _mean_and_error((v - law.mean()) ** 2)
    assert abs(second - law.var()) < 4 * error


def test_qe_variance_has_the_exact_law_on_a_fine_grid() -> None:
    v = simulate_heston(CALM, n_paths=20_000, n_steps=64, dt=1 / 64, seed=3).variance[:, -1]
    assert stats.kstest(v, variance_law(CALM, 1.0).cdf).pvalue > 0.01


def test_one_step_of_qe_has_an_atom_of_the_right_size() -> None:
    """Where ``psi > 1.5``: Andersen's equation 29 for the atom, and the moments that it is made to match."""
    law = variance_law(ANDERSEN_1, 0.1)
    psi = law.var() / law.mean() ** 2
    assert psi > 1.5
    _, v = simulate_heston_terminal(ANDERSEN_1, n_paths=400_000, n_steps=1, dt=0.1, seed=13)
    atom = (psi - 1) / (psi + 1)
    assert abs((v == 0).mean() - atom) < 4 * math.sqrt(atom * (1 - atom) / 400_000)
    mean, error = _mean_and_error(v)
    assert abs(mean - law.mean()) < 4 * error
    assert stats.kstest(v[v > 0], stats.expon(scale=law.mean() / (1 - atom)).cdf).pvalue > 0.01


@pytest.mark.parametrize("params", [CALM, ANDERSEN_1, RISING])
def test_one_step_of_qe_in_the_price(params: HestonParams) -> None:
    """Given both variances the log return is normal (his equation 33): slope k2 in the new variance, spread k3."""
    dt = 0.25
    price, v = simulate_heston_terminal(params, n_paths=200_000, n_steps=1, dt=dt, seed=14)
    slope = 0.5 * dt * (params.kappa * params.rho / params.xi - 0.5) + params.rho / params.xi
    weight = np.sqrt(0.5 * dt * (1 - params.rho**2) * (params.v0 + v))
    rest = (np.log(price / 100) - slope * v) / weight
    z = rest - (rest / weight).sum() / (1 / weight**2).sum() / weight  # the constant is the martingale test's affair
    assert stats.kstest(z, "norm").pvalue > 0.01
    for power in (1, 2):
        assert abs(np.corrcoef(z**power, v)[0, 1]) < 4 / math.sqrt(len(z))


@pytest.mark.parametrize("rho", [-1.0, 1.0])
def test_euler_moves_price_and_variance_by_the_same_noise(rho: float) -> None:
    """At full correlation the noise read off the variance gives the log return to the last digits."""
    params = HestonParams(mu=0.1, kappa=2.0, theta=0.04, xi=0.1, rho=rho, v0=0.06)
    paths = simulate_heston(params, n_paths=50, n_steps=60, scheme="euler", seed=15)
    old, new, dt = paths.variance[:, :-1], paths.variance[:, 1:], 1 / 252
    assert (old > 0).all()
    shock = (new - old - 2.0 * (0.04 - old) * dt) / 0.1
    np.testing.assert_allclose(paths.log_returns, (0.1 - 0.5 * old) * dt + rho * shock, rtol=0, atol=1e-12)
    assert stats.kstest((shock / np.sqrt(old * dt)).ravel(), "norm").pvalue > 0.01


def test_qe_variance_forgets_its_start_and_becomes_gamma() -> None:
    _, v = simulate_heston_terminal(CALM, n_paths=20_000, n_steps=192, dt=1 / 64, seed=9)
    assert stats.kstest(v, variance_law(CALM, math.inf).cdf).pvalue > 0.01


@pytest.mark.parametrize("dt", [1.0, 1 / 12])
def test_euler_variance_has_the_moments_of_its_recursion(dt: float) -> None:
    """While the variance stays positive: mean and variance of ``v + kappa (theta - v) dt + xi sqrt(v dt) z``."""
    params = HestonParams(mu=0.0, kappa=0.8, theta=0.5, xi=0.1, rho=-0.5, v0=0.3)
    n_steps = round(1 / dt)
    _, v = simulate_heston_terminal(params, n_paths=100_000, n_steps=n_steps, dt=dt, scheme="euler", seed=10)
    mean, spread, keep = 0.3, 0.0, 1 - 0.8 * dt
    for _ in range(n_steps):
        mean, spread = 0.5 + (mean - 0.5) * keep, spread * keep**2 + 0.01 * mean * dt
    measured, error = _mean_and_error(v)
    assert abs(measured - mean) < 4 * error
    second, error = _mean_and_error((v - mean) ** 2)
    assert abs(second - spread) < 4 * error


def test_stationary_law_is_the_limit() -> None:
    late, limit = variance_law(CALM, 50.0), variance_law(CALM, math.inf)
    points = np.linspace(0.005, 0.15, 20)
    np.testing.assert_allclose(late.cdf(points), limit.cdf(points), atol=1e-9)


@pytest.mark.parametrize(("params", "maturity"), [(ANDERSEN_1, 10), (ANDERSEN_3, 5)])
def test_qe_prices_converge_to_the_semi_analytic_price(params: HestonParams, maturity: int) -> None:
    paths = simulate_heston(params, n_paths=60_000, n_steps=16 * maturity, dt=1 / 16, seed=4)
    for strike in (70.0, 100.0, 140.0):
        mean, error = _mean_and_error(np.maximum(paths.price[:, -1] - strike, 0))
        exact = heston_call_price(params, s0=100.0, strike=strike, maturity=float(maturity))
        assert abs(mean - exact) < 3 * error


def test_euler_is_biased_where_qe_is_not() -> None:
    exact = heston_call_price(ANDERSEN_1, s0=100.0, strike=100.0, maturity=5.0)
    bias = {}
    for scheme in ("qe", "euler"):
        price = simulate_heston(ANDERSEN_1, n_paths=60_000, n_steps=20, dt=0.25, scheme=scheme, seed=5).price
        mean, error = _mean_and_error(np.maximum(price[:, -1] - 100, 0))
        bias[scheme] = mean - exact
    assert bias["euler"] > 10 * error
    assert abs(bias["qe"]) < bias["euler"] / 8


def test_euler_is_the_textbook_recursion() -> None:
    """With `xi` tiny and `rho` = 1 the variance follows its ordinary differential equation by Euler's method."""
    params = HestonParams(mu=0.1, kappa=5.0, theta=0.04, xi=1e-12, rho=1.0, v0=0.01)
    paths = simulate_heston(params, n_paths=3, n_steps=50, dt=0.01, scheme="euler", seed=6)
    expected = 0.04 - 0.03 * (1 - 5.0 * 0.01) ** np.arange(51)
    np.testing.assert_allclose(paths.variance, np.tile(expected, (3, 1)), rtol=1e-9)
    z = (paths.log_returns - (0.1 - 0.5 * expected[:-1]) * 0.01) / np.sqrt(expected[:-1] * 0.01)
    assert 0.7 < z.std() < 1.3


@pytest.mark.parametrize("scheme", ["qe", "euler"])
def test_a_path_is_the_same_bits_in_any_company(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(n_paths: int, n_steps: int = 70):
        return simulate_heston(ANDERSEN_1, n_paths=n_paths, n_steps=n_steps, scheme=scheme, seed=7)

    monkeypatch.setattr(_blocks, "n_threads", lambda: 1)
    many = run(1000)
    for n_paths, n_steps in ((1, 70), (7, 70), (33, 70), (5, 1), (5, 32), (5, 65)):
        few = run(n_paths, n_steps)
        np.testing.assert_array_equal(few.price, many.price[:n_paths, : n_steps + 1])
        np.testing.assert_array_equal(few.variance, many.variance[:n_paths, : n_steps + 1])
    monkeypatch.setattr(_blocks, "n_threads", lambda: 2)
    for block in (1, 7, 256, 1000):
        monkeypatch.setattr(simulate, "BLOCK", block)
        np.testing.assert_array_equal(run(1000).price, many.price)
        np.testing.assert_array_equal(run(1000).variance, many.variance)


@pytest.mark.parametrize("scheme", ["qe", "euler"])
@pytest.mark.parametrize(("n_paths", "n_steps"), [(1, 1), (7, 32), (300, 33), (40, 100)])
def test_terminal_values_are_the_last_columns(scheme: str, n_paths: int, n_steps: int) -> None:
    arguments = {"n_paths": n_paths, "n_steps": n_steps, "dt": 0.1, "s0": 50.0, "scheme": scheme, "seed": 11}
    paths = simulate_heston(ANDERSEN_1, **arguments)  # type: ignore[arg-type]
    price, variance = simulate_heston_terminal(ANDERSEN_1, **arguments)  # type: ignore[arg-type]
    np.testing.assert_array_equal(price, paths.price[:, -1])
    np.testing.assert_array_equal(variance, paths.variance[:, -1])


@pytest.mark.parametrize(
    ("scheme", "price", "variance"),
    [
        ("qe", "0x1.a8e306a61dd98p+6", "0x1.7450ede96b980p-6"),
        ("euler", "0x1.acde56ab1c566p+6", "0x1.5c378e8528da4p-6"),
    ],
)
def test_bits_are_those_of_every_machine(scheme: str, price: str, variance: str) -> None:
    """Recorded once; a change of the random numbers, the functions or the order of operations shows here."""
    paths = simulate_heston(CALM, n_paths=3, n_steps=252, scheme=scheme, seed=12)
    assert (float(paths.price[2, -1]).hex(), float(paths.variance[2, -1]).hex()) == (price, variance)


def test_seeds_and_paths_differ() -> None:
    a, b = (simulate_heston(CALM, n_paths=4, n_steps=3, seed=seed).price[:, -1] for seed in (1, 2))
    assert len(np.unique(np.concatenate([a, b]))) == 8
    generator = np.random.default_rng(1)
    c, d = (simulate_heston(CALM, n_paths=4, n_steps=3, seed=generator).price[:, -1] for _ in range(2))
    assert not np.array_equal(c, d)


positive = st.floats(1e-4, 20.0)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    params=st.builds(
        HestonParams,
        mu=st.floats(-1, 1),
        kappa=positive,
        theta=st.floats(1e-4, 1.0),
        xi=positive,
        rho=st.floats(-1, 1),
        v0=st.floats(0.0, 1.0),
    ),
    dt=st.floats(1e-6, 1.0),
    scheme=st.sampled_from(["qe", "euler"]),
)
def test_any_parameters_give_finite_positive_paths(params: HestonParams, dt: float, scheme: str) -> None:
    paths = simulate_heston(params, n_paths=8, n_steps=16, dt=dt, scheme=scheme, seed=8)
    assert np.isfinite(paths.price).all()
    assert (paths.price > 0).all()
    assert np.isfinite(paths.variance).all()
    assert (paths.variance >= 0).all()
    assert (paths.price[:, 0] == 100).all()
    assert (paths.variance[:, 0] == params.v0).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("n_paths", 0), ("n_paths", 2.5), ("n_steps", 0), ("n_steps", -3), ("n_steps", True)],
        *[("dt", 0.0), ("dt", math.nan), ("dt", -1.0), ("s0", 0.0), ("s0", math.inf)],
        *[("scheme", "milstein"), ("seed", -1), ("params", "calm")],
    ],
)
def test_bad_argument_is_named(name: str, value: object) -> None:
    arguments = {"params": CALM, "n_paths": 2, "n_steps": 2, "seed": 0, name: value}
    with pytest.raises(ValueError, match=f"^{name} must"):
        simulate_heston(arguments.pop("params"), **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("kappa", [100.0, 800.0, 1e5])
def test_the_variance_forgets_its_start_within_a_long_step(kappa: float) -> None:
    """Then it has its stationary law, a gamma distribution of mean theta and variance ``theta xi^2 / (2 kappa)``."""
    params = HestonParams(mu=0.0, kappa=kappa, theta=0.04, xi=0.5, rho=-0.5, v0=0.3)
    _, variance = simulate_heston_terminal(params, n_paths=20_000, n_steps=1, dt=1.0, seed=3)
    spread = math.sqrt(0.04 * 0.25 / (2 * kappa))
    assert abs(variance.mean() - 0.04) < 4 * spread / math.sqrt(20_000)
    assert variance.std() == pytest.approx(spread, rel=0.03)
