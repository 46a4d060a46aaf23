"""Linear state-space models: discretization against the exact solution, kernel, HiPPO, Kalman filter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.legendre import Legendre
from scipy.integrate import solve_ivp
from scipy.linalg import solve_discrete_are

from companion.mamba._linear_ssm import (
    discretize,
    hippo_legs,
    kalman_filter,
    legs_memory,
    legs_reconstruct,
    ssm_kernel,
    steady_state_gain,
)

SPRING = np.array([[0.0, 1.0], [-1.0, -0.2]]), np.array([0.0, 1.0])


def run(A_bar, B_bar, u):
    h = np.zeros(len(A_bar))
    for u_t in u:
        h = A_bar @ h + B_bar * u_t
    return h


def test_zero_order_hold_solves_the_differential_equation_for_a_held_input():
    A, B = SPRING
    u, dt = np.random.default_rng(0).normal(size=6), 0.7
    h = np.zeros(2)
    for u_t in u:
        h = solve_ivp(lambda _, h, u_t=u_t: A @ h + B * u_t, (0, dt), h, rtol=1e-12, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(run(*discretize(A, B, dt), u), h, atol=1e-10)


def test_zero_order_hold_needs_no_inverse_of_a():
    A_bar, B_bar = discretize([[0.0]], [2.0], 0.5)
    assert A_bar[0, 0] == 1.0
    assert B_bar[0] == 1.0


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("bilinear", 2)])
def test_order_of_convergence(method, order):
    A, B = SPRING
    exact = discretize(A, B, 4.0)[1]  # a unit input held for 4 units of time
    errors = [
        np.abs(run(*discretize(A, B, 4.0 / n, method=method), np.ones(n)) - exact).max() for n in (400, 800, 1600)
    ]
    slopes = np.diff(np.log2(errors))
    np.testing.assert_allclose(slopes, -order, atol=0.05)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    real=st.floats(-50, -1e-3),
    imaginary=st.floats(-50, 50),
    dt=st.floats(1e-4, 1e2),
    method=st.sampled_from(["zoh", "bilinear"]),
)
def test_a_stable_system_stays_stable_at_any_step(real, imaginary, dt, method):
    A_bar, _ = discretize([[real, imaginary], [-imaginary, real]], [1.0, 0.0], dt, method=method)
    assert np.abs(np.linalg.eigvals(A_bar)).max() < 1


def test_euler_is_unstable_at_a_long_step():
    A_bar, _ = discretize([[-1.0]], [1.0], 2.5, method="euler")
    assert A_bar[0, 0] == -1.5


def test_recurrence_is_convolution():
    u, C = np.random.default_rng(1).normal(size=40), np.array([0.3, -1.1])
    A_bar, B_bar = discretize(*SPRING, 0.4)
    whole = np.convolve(ssm_kernel(A_bar, B_bar, C, len(u)), u)[: len(u)]
    stepped = [C @ run(A_bar, B_bar, u[: t + 1]) for t in range(len(u))]
    np.testing.assert_allclose(whole, stepped, atol=1e-13)


def test_kernel_is_causal():
    kernel = ssm_kernel(*discretize(*SPRING, 0.4), [1.0, 0.0], 30)
    u = np.random.default_rng(2).normal(size=30)
    future = u.copy()
    future[20:] += 5
    before = np.convolve(kernel, u)[:30]
    after = np.convolve(kernel, future)[:30]
    np.testing.assert_array_equal(before[:20], after[:20])
    assert np.abs(before[20:] - after[20:]).max() > 0


def test_legs_matrix_has_the_published_entries():
    A, B = hippo_legs(3)
    np.testing.assert_allclose(A, [[1, 0, 0], [3**0.5, 2, 0], [5**0.5, 15**0.5, 3]])
    np.testing.assert_allclose(B, [1, 3**0.5, 5**0.5])


def test_legs_state_is_the_projection_of_the_history():
    f, order = np.random.default_rng(3).normal(size=25), 12
    edges = 2 * np.arange(26) / 25 - 1
    projection = [np.sqrt(2 * n + 1) / 2 * (f * np.diff(Legendre.basis(n).integ()(edges))).sum() for n in range(order)]
    np.testing.assert_allclose(legs_memory(f, order), projection, atol=1e-11)


def test_legs_recalls_a_polynomial_exactly_up_to_the_width_of_a_bar():
    t = (np.arange(400) + 0.5) / 400
    f = 1 - 3 * t + 2 * t**3
    np.testing.assert_allclose(legs_reconstruct(legs_memory(f, 6), 400), f, atol=2e-4)


def test_smaller_memory_is_the_beginning_of_a_larger_one():
    f = np.random.default_rng(4).normal(size=30)
    np.testing.assert_allclose(legs_memory(f, 5), legs_memory(f, 9)[:5], atol=1e-12)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(phi=st.floats(-1.2, 1.2), q=st.floats(1e-6, 1e3), r=st.floats(1e-6, 1e3))
def test_steady_gain_solves_the_riccati_equation(phi, q, r):
    gain, predicted = steady_state_gain(phi=phi, q=q, r=r)
    assert 0 < gain <= 1
    np.testing.assert_allclose(phi**2 * predicted * r / (predicted + r) + q, predicted, rtol=1e-9)


def test_steady_gain_agrees_with_scipy_and_with_the_running_filter():
    phi, q, r = 0.95, 0.1, 2.0
    gain, predicted = steady_state_gain(phi=phi, q=q, r=r)
    riccati = solve_discrete_are(np.array([[phi]]), np.eye(1), np.array([[q]]), np.array([[r]]))[0, 0]
    np.testing.assert_allclose(predicted, riccati, rtol=1e-10)
    for start in (0.0, 100.0):
        path = kalman_filter(np.zeros(200), phi=phi, q=q, r=r, variance=start)
        np.testing.assert_allclose(path.gain[-1], gain, rtol=1e-12)


def test_filter_is_the_conditional_expectation_of_the_joint_gaussian():
    phi, q, r, n = 0.8, 0.5, np.array([1.0, 4.0, 0.5, 9.0]), 4
    # x = (I - phi L)^-1 w with w_0 carrying the prior: var(x_0) = phi^2 * 2 + q
    lower = np.linalg.inv(np.eye(n) - phi * np.eye(n, k=-1))
    covariance = lower @ np.diag([phi**2 * 2 + q, q, q, q]) @ lower.T
    z = np.array([1.0, -2.0, 0.3, 4.0])
    expected = covariance[-1] @ np.linalg.solve(covariance + np.diag(r), z)
    path = kalman_filter(z, phi=phi, q=q, r=r, variance=2.0)
    np.testing.assert_allclose(path.mean[-1], expected, rtol=1e-12)
    left = covariance[-1, -1] - covariance[-1] @ np.linalg.solve(covariance + np.diag(r), covariance[-1])
    np.testing.assert_allclose(path.variance[-1], left, rtol=1e-12)


def test_many_paths_are_filtered_as_each_alone():
    rng = np.random.default_rng(6)
    z, r = rng.normal(size=(3, 20)), rng.uniform(0.5, 2.0, size=(3, 20))
    together = kalman_filter(z, phi=0.9, q=0.2, r=r)
    for i in range(3):
        for whole, alone in zip(together, kalman_filter(z[i], phi=0.9, q=0.2, r=r[i]), strict=True):
            np.testing.assert_array_equal(whole[i], alone)


def test_filter_is_causal():
    z = np.random.default_rng(5).normal(size=30)
    future = z.copy()
    future[20:] += 5
    before, after = (kalman_filter(x, phi=1.0, q=0.1, r=1.0).mean for x in (z, future))
    np.testing.assert_array_equal(before[:20], after[:20])
    assert (before[20:] != after[20:]).all()


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: discretize(np.ones((2, 3)), np.ones(2), 1.0), "A"),
        (lambda: discretize(np.eye(2), np.ones(3), 1.0), "B"),
        (lambda: discretize(np.eye(2), [1.0, np.nan], 1.0), "B"),
        (lambda: discretize(np.eye(2), np.ones(2), 0.0), "dt"),
        (lambda: discretize(np.eye(2), np.ones(2), 1.0, method="rk4"), "method"),
        (lambda: ssm_kernel(np.eye(2), np.ones(2), np.ones(3), 4), "C"),
        (lambda: ssm_kernel(np.ones((2, 3)), np.ones(2), np.ones(2), 4), "A_bar"),
        (lambda: ssm_kernel(np.eye(2), np.ones(2), np.ones(2), 0), "length"),
        (lambda: legs_reconstruct([], 4), "coefficients"),
        (lambda: legs_reconstruct([1.0], 0), "length"),
        (lambda: hippo_legs(0), "order"),
        (lambda: legs_memory([], 4), "history"),
        (lambda: legs_memory([1.0, np.inf], 4), "history"),
        (lambda: steady_state_gain(phi=0.9, q=0.0, r=1.0), "q"),
        (lambda: steady_state_gain(phi=np.nan, q=1.0, r=1.0), "phi"),
        (lambda: kalman_filter([np.nan], phi=0.9, q=1.0, r=1.0), "observations"),
        (lambda: kalman_filter([1.0, 2.0], phi=0.9, q=1.0, r=[1.0, -1.0]), "r"),
        (lambda: kalman_filter([1.0, 2.0], phi=0.9, q=1.0, r=[1.0, 1.0, 1.0]), "r"),
        (lambda: kalman_filter([1.0], phi=0.9, q=-1.0, r=1.0), "q"),
        (lambda: kalman_filter([1.0], phi=np.nan, q=1.0, r=1.0), "phi"),
        (lambda: kalman_filter([1.0], phi=0.9, q=1.0, r=1.0, mean=np.inf), "mean"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(call, name):
    with pytest.raises(ValueError, match=rf"^{name} must .*got"):
        call()
