"""What the desk's tests share: scripted detectors, bars, and one way to make a desk."""

import math
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from companion.desk import Bar, Desk
from companion.regimes import RegimeReading
from companion.risk import InstrumentRules, SizingConfig

EQUITY = Decimal(100_000)
SIZING = SizingConfig(kappa=0.001, gamma=2.0, f_max=1.5, sigma_target=0.02, max_quantity=Decimal(900))
RULES = InstrumentRules(2, Decimal("0.01"), min_quantity=Decimal("0.05"), min_notional=Decimal(10))


class Scripted:
    """A detector that says what it was told to say, whatever the returns; after the script, its last word."""

    def __init__(self, *p_stable: float, warm_up: int = 0) -> None:
        self.said, self.warm_up = list(p_stable), warm_up

    def stepper(self) -> "Scripted":
        twin = Scripted(warm_up=self.warm_up)
        twin.said, twin.n_bars = self.said, 0  # one script, so that a test may change it
        return twin

    def update(self, log_return: float) -> RegimeReading:
        assert math.isfinite(log_return)
        p_stable = self.said[min(self.n_bars, len(self.said) - 1)]
        self.n_bars += 1
        return RegimeReading(1.0 - p_stable, 0, p_stable, self.n_bars, self.n_bars > self.warm_up, np.zeros(1))

    def state(self) -> dict:
        return {"n_bars": self.n_bars}

    def restore(self, state: dict) -> None:
        self.n_bars = state["n_bars"]


def make_bars(closes, *, start=datetime(2020, 1, 6), spread=0.0):
    """Daily bars around closes: open at the close before, high and low `spread` beyond both."""
    bars, before = [], closes[0]
    for day, close in enumerate(closes):
        high, low = max(before, close) * (1 + spread), min(before, close) * (1 - spread)
        bars.append(Bar(start + timedelta(days=day), before, high, low, close))
        before = close
    return bars


def random_bars(n, seed, *, sigma=0.01):
    return make_bars((100 * np.exp(sigma * np.random.default_rng(seed).standard_normal(n).cumsum())).tolist())


def make_desk(detector=None, **settings):
    settings = {"sizing": SIZING, "instrument": RULES, "window": 5, **settings}
    return Desk(Scripted(0.95) if detector is None else detector, **settings)


@pytest.fixture(scope="session")
def bars():
    return random_bars(60, seed=1)
