"""No honest strategy of a thousand is accused, and of those with a leak none gets away."""

import numpy as np
import pandas as pd
from scipy import signal

from companion.backtest import LookAheadError, assert_causal
from companion.regimes import hysteresis

N_BARS, N_HONEST, N_LEAKY = 200, 1000, 200


def weekly(values):
    """The last week that is over, from its last day on."""
    return values.resample("W", label="right").last().reindex(values.index, method="ffill")


def regimes(values):
    """In above the median so far, out below the lower quarter so far: a state that remembers."""
    rank = values.expanding().rank(pct=True).fillna(0.5)
    return pd.Series(hysteresis(rank.to_numpy(), enter_chaos=0.6, leave_chaos=0.4), values.index, dtype=float)


def filtered(values):
    return pd.Series(signal.lfilter([0.2, 0.1], [1.0, -0.9, 0.2], values.fillna(0.0)), values.index)


ONE = [
    lambda x, k: x.ewm(halflife=k).mean(),
    lambda x, k: x.ewm(alpha=1 / k, adjust=False).std(),
    lambda x, k: x.rolling(k).mean(),
    lambda x, k: x.rolling(k).std(),
    lambda x, k: x.rolling(k).median(),
    lambda x, k: x.rolling(k).rank(),
    lambda x, k: x.rolling(k).max() - x.rolling(k).min(),
    lambda x, k: x.shift(k),
    lambda x, k: x.diff(k),
    lambda x, k: x - x.expanding().mean(),
    lambda x, k: x / x.expanding().std(),
    lambda x, k: x - x.cummax(),
    lambda x, k: x.expanding(k).rank(pct=True),
    lambda x, k: x.cumsum() / k,
    lambda x, k: x.ffill().fillna(0.0),
    lambda x, k: x.where(x > x.shift(k)).ffill(),
    lambda x, k: x.groupby(x.index.to_period("M")).cumsum(),
    lambda x, k: np.tanh(x),
    lambda x, k: np.sign(x),
    lambda x, k: x.clip(-1.0, 1.0),
    lambda x, k: (x > 0.0).astype(float),
    lambda x, k: weekly(x),
    lambda x, k: regimes(x),
    lambda x, k: filtered(x),
]
FIRST_THAT_MAY_ONLY_RISE = 13
TWO = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x / (1.0 + y.abs()),
    lambda x, y: x.where(y > 0.0, 0.0),
    lambda x, y: (x > y).astype(float),
]
SOURCES = [lambda close: close, np.log, lambda close: np.log(close).diff(), lambda close: close.pct_change().abs()]
LEAKS = [
    lambda x, k: x.shift(-k),
    lambda x, k: x.rolling(2 * k + 1, center=True).mean(),
    lambda x, k: x[::-1].ewm(halflife=k).mean()[::-1],
    lambda x, k: x - x.mean(),
    lambda x, k: x / x.std(),
    lambda x, k: x.rank(),
    lambda x, k: x - x[::-1].cummax()[::-1],
    lambda x, k: x.groupby(x.index.to_period("M")).transform("mean"),
    lambda x, k: pd.Series(np.gradient(x.fillna(0.0)), x.index),
    lambda x, k: x.resample("W", label="left").last().reindex(x.index, method="ffill"),
]


def draw(rng, depth):
    """A random composition of causal operations, as a function of closes."""
    if depth == 0:
        return SOURCES[rng.integers(len(SOURCES))]
    inner = draw(rng, depth - 1)
    if rng.random() < 0.3:
        other, two = draw(rng, depth - 1), TWO[rng.integers(len(TWO))]
        return lambda close: two(inner(close), other(close))
    one, k = ONE[rng.integers(len(ONE))], int(rng.integers(2, 40))
    return lambda close: one(inner(close), k)


def market(rng):
    """Closes of working days, with a volatility of their own."""
    steps = rng.standard_t(4, N_BARS) * 0.01 * np.exp(np.cumsum(rng.normal(0.0, 0.05, N_BARS)))
    return pd.Series(100.0 * np.exp(np.cumsum(steps)), pd.bdate_range("2015-01-01", periods=N_BARS), name="close")


def test_none_of_a_thousand_honest_strategies_is_accused():
    """Twenty at a time, as channels of one, each on its own."""
    rng = np.random.default_rng(20)
    alarms, refused = [], 0
    for batch in range(N_HONEST // 20):
        drawn = {f"strategy {number}": draw(rng, int(rng.integers(1, 4))) for number in range(20)}
        try:
            report = assert_causal(
                lambda close: {name: strategy(close) for name, strategy in drawn.items()},  # noqa: B023
                market(rng),
                dates=2,
                seed=batch,
            )
            refused += sum(report.refused.values())
        except LookAheadError as error:
            alarms.append(f"batch {batch}: {error}")
    assert alarms == []
    assert refused == 0


def test_none_of_those_with_a_leak_gets_away():
    """A leak behind an honest operation; of a series that only rises, not even ranks over all bars would be one."""
    rng = np.random.default_rng(21)
    missed = []
    for number in range(N_LEAKY):
        leak, k = LEAKS[number % len(LEAKS)], int(rng.integers(1, 20))
        source, honest = SOURCES[number % len(SOURCES)], ONE[rng.integers(FIRST_THAT_MAY_ONLY_RISE)]
        try:
            assert_causal(lambda close: leak(honest(source(close), k + 1), k), market(rng), seed=number)  # noqa: B023
            missed.append(number)
        except LookAheadError:
            continue
    assert missed == []
