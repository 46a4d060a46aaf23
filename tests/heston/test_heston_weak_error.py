"""Option prices by simulation against the exact ones: Andersen's test cases, and the error against the step."""

import importlib
import math

import numpy as np
import pytest

from companion.heston import HestonParams, weak_error

STRIKES = (70.0, 100.0, 140.0)
# Andersen (2008), table 1: options on currencies, interest rates and equities; the Feller condition is broken in each.
CASES = {
    "I": (HestonParams(mu=0.0, kappa=0.5, theta=0.04, xi=1.0, rho=-0.9, v0=0.04), 10.0),
    "II": (HestonParams(mu=0.0, kappa=0.3, theta=0.04, xi=0.9, rho=-0.5, v0=0.04), 15.0),
    "III": (HestonParams(mu=0.0, kappa=1.0, theta=0.09, xi=1.0, rho=-0.3, v0=0.09), 5.0),
}


@pytest.mark.parametrize("case", CASES)
def test_qe_prices_andersens_cases(case: str) -> None:
    """A million paths at a step of 1/32 year: within three standard errors at every strike."""
    params, maturity = CASES[case]
    result = weak_error(
        params, strikes=STRIKES, maturity=maturity, steps_per_year=[32], n_paths=1_000_000, scheme="qe", seed=1
    )
    assert np.all(np.abs(result.error) < 3 * result.standard_error), result
    assert np.all(result.standard_error < 0.03)  # a test of width zero proves nothing, nor does one of any width


def test_error_of_euler_is_of_first_order_and_that_of_qe_far_smaller() -> None:
    params, maturity = CASES["I"]
    results = {
        scheme: weak_error(
            params,
            strikes=STRIKES,
            maturity=maturity,
            steps_per_year=(2, 4, 8, 16),
            n_paths=100_000,
            scheme=scheme,
            seed=2,
        )
        for scheme in ("qe", "euler")
    }
    euler, qe = results["euler"], results["qe"]
    np.testing.assert_allclose(euler.dt, [1 / 2, 1 / 4, 1 / 8, 1 / 16])
    assert np.all(euler.error > 10 * euler.standard_error)
    orders = np.polyfit(np.log(euler.dt), np.log(euler.error), 1)[0]  # a power of the step for each strike
    assert np.all((orders[:2] > 0.8) & (orders[:2] < 1.15))
    assert orders[2] > 0.8  # far out of the money the leading terms still cancel: it falls faster
    assert np.all(np.abs(qe.error) + 2 * qe.standard_error < euler.error / 3)
    assert np.all(np.abs(qe.error[1:]) < euler.error[1:] / 15 + 2 * qe.standard_error[1:])


@pytest.mark.parametrize(("scheme", "rho"), [("qe", -0.7), ("qe", 0.5), ("euler", 0.5)])
def test_standard_error_is_the_spread_over_seeds(scheme: str, rho: float) -> None:
    """With the control variate and without it (QE with positive correlation); the rate is not zero."""
    params = HestonParams(mu=0.1, kappa=2.0, theta=0.04, xi=0.3, rho=rho, v0=0.09)
    runs = [
        weak_error(
            params, strikes=(80.0, 110.0), maturity=0.5, steps_per_year=[64], n_paths=2000, scheme=scheme, seed=seed
        )
        for seed in range(100)
    ]
    errors = np.array([run.error[0] for run in runs])
    claimed = np.mean([run.standard_error[0] for run in runs], axis=0)
    np.testing.assert_allclose(errors.std(axis=0, ddof=1) / claimed, 1.0, atol=4 / math.sqrt(200))
    assert np.all(np.abs(errors.mean(axis=0)) < 4 * claimed / 10)


def test_paths_are_simulated_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("companion.heston._weak_error"), "MOST_AT_ONCE", 300)
    params, _ = CASES["III"]
    result = weak_error(params, strikes=(100.0,), maturity=1.0, steps_per_year=[4, 8], n_paths=1000, seed=3)
    assert result.error.shape == result.standard_error.shape == (2, 1)
    assert result.exact.shape == (1,)
    assert np.all(np.abs(result.error) < 4 * result.standard_error)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("n_paths", 1), ("maturity", 0.0), ("strikes", (100.0, -1.0)), ("strikes", (math.nan,))],
        *[("steps_per_year", [0]), ("steps_per_year", [3]), ("scheme", "exact"), ("s0", 0.0), ("seed", -1)],
        *[("params", "calm"), ("params", HestonParams(mu=1500.0, kappa=1.0, theta=0.04, xi=0.5, rho=0.0, v0=0.04))],
    ],
)
def test_bad_argument_is_named(name: str, value: object) -> None:
    arguments = {"strikes": (100.0,), "maturity": 0.5, "steps_per_year": [2], "n_paths": 10, "seed": 0}
    arguments = {"params": CASES["I"][0], **arguments, name: value}
    with pytest.raises(ValueError, match=f"^{name} must"):
        weak_error(arguments.pop("params"), **arguments)  # type: ignore[arg-type]
