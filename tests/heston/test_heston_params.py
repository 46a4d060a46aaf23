"""Parameters: what they refuse and what they know of themselves."""

import dataclasses
import math
import re

import numpy as np
import pytest

from companion.heston import HestonParams

GOOD = {"mu": 0.05, "kappa": 2.0, "theta": 0.04, "xi": 0.3, "rho": -0.7, "v0": 0.04}


def test_feller_condition_at_its_boundary() -> None:
    assert HestonParams(**{**GOOD, "kappa": 1.0, "theta": 0.125, "xi": 0.5}).feller
    assert not HestonParams(**{**GOOD, "kappa": 1.0, "theta": 0.125, "xi": 0.501}).feller


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        HestonParams(**GOOD).mu = 1.0  # type: ignore[misc]


def test_array_keeps_the_order_of_the_constructor() -> None:
    np.testing.assert_array_equal(HestonParams(**GOOD).as_array(), list(GOOD.values()))


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in GOOD for value in (math.nan, math.inf, -math.inf, "x", None, True)]
    + [(name, value) for name in ("kappa", "theta", "xi") for value in (1e-51, 1e-300, 1e51)]
    + [
        ("mu", 1e51),
        ("mu", -1e51),
        ("v0", 1e51),
        ("kappa", 0.0),
        ("kappa", -1.0),
        ("theta", 0.0),
        ("xi", 0.0),
        ("xi", -0.1),
    ]
    + [("rho", 1.0001), ("rho", -1.0001), ("v0", -1e-9)],
)
def test_bad_value_is_named(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must .*got {re.escape(repr(value))}"):
        HestonParams(**{**GOOD, name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"rho": 1.0}, {"rho": -1.0}, {"v0": 0.0}, {"xi": 50.0}, {"mu": -3.0}, {"xi": 1e-50}, {"v0": 1e-300}]
)
def test_extremes_are_allowed(change: dict[str, float]) -> None:
    assert HestonParams(**{**GOOD, **change})
