"""Whatever is no series of log returns is refused at every door, with the name of the argument and the remedy."""

import numpy as np
import pandas as pd
import pytest

from companion.evaluation import leak, score_detector
from companion.heston import RegimeSwitchingHeston
from companion.regimes import BayesCeiling

DATES = pd.bdate_range("2019-01-01", periods=400)
RETURNS = pd.Series(0.01 * np.random.default_rng(0).standard_normal(400), DATES)
CLOSE = 100.0 * np.exp(RETURNS.cumsum())

BAD = {
    "a table of one column": (RETURNS.to_frame("close"), "X must be one series or an array of paths, got a table"),
    "a table of assets": (
        pd.DataFrame({"a": RETURNS, "b": RETURNS}),
        "X must be one series .* got a table with columns",
    ),
    "prices": (CLOSE, "X.* must be a log return, .*datasets.log_returns"),
    "prices below ten": (CLOSE / 50, "X must be log returns, got what moves like prices or log prices: .*log_returns"),
    "log prices": (np.log(CLOSE), "X must be log returns, got what moves like prices or log prices"),
    "log prices from zero": (
        CLOSE.map(np.log) - np.log(100) + 0.3,
        "X must be log returns, got what moves like prices",
    ),
    "percent": (100 * RETURNS, "X must be log returns, got most of them beyond ±0.3: divide percent by 100"),
    "newest first": (RETURNS[::-1], "X must have dates that ascend, each once"),
    "a day twice": (pd.concat([RETURNS[:9], RETURNS[8:]]), "X must have dates that ascend, each once"),
    "a column": (RETURNS.to_numpy()[:, None], "X must have its bars along the last axis"),
    "a hole": (RETURNS.where(RETURNS.index != DATES[7]), r"X\[7\] must be a log return, .* got nan"),
    "text": (RETURNS.astype(str), "X must be an array of numbers"),
    "nothing": ([], "X must hold at least one bar"),
    "one number": (0.01, "X must have shape"),
    "a cube": (np.zeros((2, 3, 4)), "X must have shape"),
}


@pytest.mark.parametrize("kind", BAD)
def test_every_door_of_a_detector_refuses(ready, kind):
    bad, message = BAD[kind]
    doors = [
        ready.fit,
        lambda X: ready.fit(X, np.zeros(np.shape(X), dtype=int)),
        ready.predict,
        ready.predict_proba,
        ready.transform,
        ready.decision_function,
        ready.confidence,
        lambda X: ready.score(X, np.zeros(np.shape(X), dtype=int)),
        lambda X: leak(ready, X),
        lambda X: score_detector(ready, X, np.zeros((1, 400), dtype=int)),
    ]
    for door in doors:
        with pytest.raises(ValueError, match=message):
            door(bad)


@pytest.mark.parametrize("kind", BAD)
def test_the_ceiling_refuses_the_same(kind):
    bad, message = BAD[kind]
    ceiling = BayesCeiling(RegimeSwitchingHeston.equity_index(), n_particles=10)
    for door in (ceiling.fit, ceiling.predict_proba, ceiling.predict):
        with pytest.raises(ValueError, match=message):
            door(bad)


def test_a_dated_series_is_read_as_its_numbers(ready):
    plain = ready.predict_proba(RETURNS.to_numpy())
    for form in (
        RETURNS,
        RETURNS.tolist(),
        RETURNS.rename("close"),
        RETURNS.astype(object),
        RETURNS.tz_localize("UTC"),
    ):
        np.testing.assert_array_equal(ready.predict_proba(form), plain)
