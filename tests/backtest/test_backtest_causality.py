"""Planted leaks are caught by name and date, the book's strategies pass, and what was not checked is said."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from hmmlearn.hmm import GaussianHMM
from scipy import signal
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict

from companion.backtest import (
    Constant,
    LookAheadError,
    MovingAverage,
    VarianceRank,
    VolatilityTarget,
    WalkForward,
    assert_causal,
    buy_and_hold,
    walk_forward,
)
from companion.backtest._causality import WAYS
from companion.datasets import load_sp500_close
from companion.regimes import EwmaKMeans, NeuralRegimeFilter, RegimeDetector

N_BARS = 756


def volatility(close):
    return close.pct_change().ewm(halflife=10).std().fillna(0.0).to_numpy()[:, None]


@pytest.fixture(scope="module")
def close():
    return load_sp500_close().iloc[4000 : 4000 + N_BARS]


@pytest.fixture(scope="module")
def bars(close):
    rng = np.random.default_rng(1)
    low, high = np.sort(close.to_numpy() * np.exp(rng.normal(0, 0.004, (2, N_BARS))), axis=0)
    frame = pd.DataFrame({"Open": close.shift(1).bfill(), "Close": close}).assign(Volume=rng.integers(1, 10**9, N_BARS))
    frame["High"] = np.maximum(high, frame[["Open", "Close"]].max(axis=1))
    frame["Low"] = np.minimum(low, frame[["Open", "Close"]].min(axis=1))
    return frame


# ------------------------------------------------------------------------------------------------ planted leaks


def standardized(close):
    returns = close.pct_change()
    return (returns - returns.mean()) / returns.std()


def kmeans_on_the_test_span(close):
    features = volatility(close)
    clusters = KMeans(2, n_init=1, random_state=0).fit(features)
    return (clusters.predict(features) == np.argmax(clusters.cluster_centers_[:, 0])).astype(float)


def labels_aligned_with_the_whole_sample(close):
    """Causal clusters, of which the one with more variance in all the data is called chaos."""
    returns = close.pct_change().fillna(0.0)
    label = (returns.rolling(5).sum() > 0.0).astype(int)
    return (label == returns.groupby(label).var().idxmax()).astype(float)


def weekly_bar_stamped_at_its_start(close):
    return close.resample("W", label="left", closed="right").last().reindex(close.index, method="ffill")


def threshold_picked_on_the_test_span(close):
    returns, fast = close.pct_change(), close.pct_change(5)
    best = max(np.linspace(-0.03, 0.03, 61), key=lambda level: returns[(fast > level).shift(1, fill_value=False)].sum())
    return (fast > best).astype(float)


def smoothed_hmm(close):
    """hmmlearn's `predict_proba` with parameters that are no secret: it reads the returns from both ends."""
    model = GaussianHMM(2, covariance_type="diag")
    model.startprob_, model.transmat_ = np.array([0.5, 0.5]), np.array([[0.98, 0.02], [0.05, 0.95]])
    model.means_, model.covars_ = np.zeros((2, 1)), np.array([[0.008**2], [0.02**2]])
    returns = close.pct_change().dropna()
    chaos = model.predict_proba(returns.to_numpy()[:, None])[:, 1]
    return pd.Series(chaos, returns.index)


def regression_on_all_bars(close):
    returns = close.pct_change().fillna(0.0)
    lags = np.column_stack([returns.shift(lag, fill_value=0.0) for lag in range(3)])
    return LinearRegression().fit(lags[:-1], returns.to_numpy()[1:]).predict(lags)


def shuffled_folds(close):
    returns = close.pct_change().fillna(0.0)
    lags = np.column_stack([returns.shift(lag, fill_value=0.0) for lag in range(3)])
    target = returns.shift(-1, fill_value=0.0).to_numpy()
    return cross_val_predict(LinearRegression(), lags, target, cv=KFold(5, shuffle=True, random_state=0))


def first_principal_component(close):
    lags = np.column_stack([close.pct_change(lag).fillna(0.0) for lag in (1, 5, 20)])
    return lags @ np.linalg.svd(lags - lags.mean(axis=0), full_matrices=False)[2][0] ** 2


def low_pass(close):
    frequencies = np.fft.rfft(close.to_numpy())
    frequencies[20:] = 0.0
    return np.fft.irfft(frequencies, len(close))


class FittedOnFirstSight:
    """Fits itself to whatever it is given first, and keeps that."""

    level = None

    def __call__(self, close):
        if self.level is None:
            self.level = close.mean()
        return close - self.level


LEAKS = {
    "a centered window": lambda close: close.rolling(21, center=True).mean(),
    "scaling on the whole sample": standardized,
    "smoothed HMM states": smoothed_hmm,
    "K-Means fitted on the test span": kmeans_on_the_test_span,
    "labels aligned with the whole sample": labels_aligned_with_the_whole_sample,
    "a weekly bar stamped at its start": weekly_bar_stamped_at_its_start,
    "shift(-1)": lambda close: (close.shift(-1) > close).astype(float),
    "a threshold picked on the test span": threshold_picked_on_the_test_span,
    "a regression fitted on all bars": regression_on_all_bars,
    "shuffled folds": shuffled_folds,
    "principal components of the whole sample": first_principal_component,
    "a low pass by Fourier transform": low_pass,
    "a Savitzky-Golay filter": lambda close: signal.savgol_filter(close, 11, 2),
    "a filter run both ways": lambda close: signal.filtfilt(*signal.butter(2, 0.1), close),
    "a trend taken out of the whole sample": lambda close: signal.detrend(np.log(close)),
    "np.gradient": lambda close: np.gradient(close.to_numpy()),
    "ranks over the whole sample": lambda close: close.pct_change().rank(pct=True),
    "quantiles of the whole sample": lambda close: pd.qcut(close.pct_change(), 4, labels=False),
    "the mean of the month": lambda close: close.groupby(close.index.to_period("M")).transform("mean"),
    "rebased to the last bar": lambda close: close / close.iloc[-1],
    "the top of all time": lambda close: close / close.max() - 1.0,
    "gaps filled from behind": lambda close: close.bfill().pct_change(fill_method=None),
    "gaps interpolated": lambda close: close.interpolate(),
    "a fit kept from the first call": FittedOnFirstSight(),
    "how many bars there will be": lambda close: np.arange(len(close)) / len(close),
}


def assert_names_what_moved(error, clock):
    """Name, date, size and cause stand in one line, and date and cause are in order."""
    assert "\n" not in str(error)
    for bar in (error.date, error.after, error.first):
        assert f"{bar:%Y-%m-%d}" in str(error)
    assert error.channel in str(error)
    assert all(name in str(error) for name in error.inputs)
    assert error.size > 0.0
    assert error.first <= error.date <= error.after < clock[-1]
    assert {error.first, error.date, error.after} <= set(clock)


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_is_caught_by_name_and_date(close, name):
    with pytest.raises(LookAheadError) as caught:
        assert_causal(LEAKS[name], close)
    assert_names_what_moved(caught.value, close.index)
    assert caught.value.inputs == ("close",)


@pytest.mark.parametrize("reach", [1, 2, 7])
def test_the_earliest_bar_that_moved_tells_how_far_ahead_was_seen(close, reach):
    with pytest.raises(LookAheadError) as caught:
        assert_causal(lambda prices: prices.shift(-reach), close)
    first, after = close.index.get_indexer([caught.value.first, caught.value.after])
    assert after - first == reach - 1


@pytest.mark.parametrize(
    "recursive",
    [
        lambda close: close.ewm(span=20, adjust=False).mean(),
        lambda close: close.diff().clip(lower=0).ewm(alpha=1 / 14).mean() / close.diff().abs().ewm(alpha=1 / 14).mean(),
        lambda close: np.arange(len(close)),
        lambda close: close.expanding().mean(),
        lambda close: close.pct_change().cumsum(),
    ],
    ids=["EMA", "RSI", "steps", "expanding", "cumsum"],
)
def test_an_indicator_that_needs_more_history_than_it_says_is_caught(close, recursive):
    assert assert_causal(recursive, close, dates=3).warm_up is None
    with pytest.raises(LookAheadError, match=r"^warm-up too short: answer at \d{4}-\d\d-\d\d moved by") as caught:
        assert_causal(recursive, close, dates=3, warm_up=20)
    assert caught.value.way == "start"
    begin, moved = close.index.get_indexer([caught.value.after, caught.value.date])
    assert moved >= begin + 20


def test_enough_warm_up_passes(close):
    for strategy, warm_up in ((lambda prices: prices.rolling(20).min(), 19), (lambda prices: prices.shift(20), 20)):
        assert assert_causal(strategy, close, dates=3, warm_up=warm_up).passed["start"] == 4
        with pytest.raises(LookAheadError, match="warm-up too short"):
            assert_causal(strategy, close, dates=3, warm_up=warm_up - 1)
    assert assert_causal(lambda prices: prices.ewm(span=5, adjust=False).mean(), close, dates=3, warm_up=60)


# ------------------------------------------------------------------------------------- several inputs and channels


@pytest.fixture(scope="module")
def earnings(close):
    periods = pd.date_range(close.index[0] - pd.Timedelta(days=200), close.index[-1], freq="QE")
    values = np.random.default_rng(3).normal(5.0, 1.0, periods.size)
    released = periods + pd.Timedelta(days=40, hours=7)
    return pd.DataFrame({"eps": values, "shares": 100, "released": released}, index=periods)


def by_period(tables):
    return tables["earnings"]["eps"].reindex(tables["close"].index, method="ffill") / tables["close"]


def by_release(tables):
    eps = tables["earnings"].set_index("released")["eps"]
    return eps.reindex(tables["close"].index, method="ffill") / tables["close"]


@pytest.mark.parametrize("times", ["column", "array"])
def test_a_fundamental_dated_by_its_period_is_caught_once_its_release_is_known(close, earnings, times):
    tables = {"close": close, "earnings": earnings}
    known_at = {"earnings": "released" if times == "column" else earnings["released"].to_numpy()}
    assert assert_causal(by_period, tables).n_bars == N_BARS  # nobody has said when it became known
    assert assert_causal(by_release, tables, known_at=known_at).refused == {}
    with pytest.raises(LookAheadError) as caught:
        assert_causal(by_period, tables, known_at=known_at)
    assert_names_what_moved(caught.value, close.index)
    assert caught.value.inputs == ("earnings['eps']",)


def test_a_weekly_table_stamped_at_its_start_is_caught(close):
    weekly = close.resample("W-MON", label="left", closed="left").agg(["first", "last"])
    tables = {"daily": close, "weekly": weekly}

    def last_of_week(given):
        return {"week": given["weekly"]["last"].reindex(given["daily"].index, method="ffill"), "day": given["daily"]}

    with pytest.raises(LookAheadError) as caught:
        assert_causal(last_of_week, tables, known_at={"weekly": weekly.index + pd.Timedelta(days=7)})
    assert_names_what_moved(caught.value, close.index)
    assert (caught.value.channel, caught.value.inputs) == ("week", ("weekly['last']",))


@pytest.mark.parametrize("column", ["Open", "High", "Low", "Close", "Volume"])
def test_the_input_of_a_leak_is_named(bars, column):
    def strategy(given):
        moves = given["Close"].pct_change()
        return pd.DataFrame({"honest": moves, "leaky": given[column].shift(-2)})

    with pytest.raises(LookAheadError) as caught:
        assert_causal(strategy, bars)
    assert_names_what_moved(caught.value, bars.index)
    assert caught.value.channel == "leaky"
    assert column in caught.value.inputs


def test_a_universe_of_those_that_survived_is_caught(close):
    """`dropna(axis=1)` keeps the assets that have a price on every day, which nobody knew before the last."""
    rng = np.random.default_rng(5)
    assets = pd.DataFrame(np.exp(rng.normal(0, 0.01, (N_BARS, 4)).cumsum(axis=0)), close.index, list("abcd"))
    for strategy in (lambda given: given.dropna(axis=1), lambda given: given.dropna(axis=1).mean(axis=1)):
        with pytest.raises(LookAheadError) as caught:
            assert_causal(strategy, assets)
        assert caught.value.way == "blank"
        assert len(caught.value.inputs) == 1
        assert caught.value.inputs[0] in "abcd"


@pytest.mark.parametrize("shape", ["series", "array", "rows", "frame", "mapping"])
def test_a_leak_is_found_in_whatever_form_the_answer_comes(close, shape):
    def strategy(prices):
        one, two = prices.pct_change(), prices.shift(-1)
        return {
            "series": two.dropna(),
            "array": two.to_numpy(),
            "rows": np.column_stack([one, two]),
            "frame": pd.DataFrame({"a": one, "b": two}),
            "mapping": {"a": one, "b": two.to_numpy()},
        }[shape]

    with pytest.raises(LookAheadError) as caught:
        assert_causal(strategy, close)
    expected = {"series": "answer", "array": "answer", "rows": "1", "frame": "b", "mapping": "b"}
    assert caught.value.channel == expected[shape]


def test_arrays_have_bars_of_a_number(close):
    table = np.column_stack([close, close.pct_change().fillna(0.0)])
    assert assert_causal(lambda prices: np.cumsum(prices, axis=0), table).channels == ("0", "1")
    assert assert_causal(np.cumsum, close.to_numpy()).n_bars == N_BARS
    with pytest.raises(LookAheadError, match=r"bar \d+ .*\(input prices\[:, 1\]\)") as caught:
        assert_causal(lambda prices: prices[::-1, 1].cumsum()[::-1], table)
    assert isinstance(caught.value.date, int)


# ------------------------------------------------------------------------------------------- what passes, and how


def test_the_detectors_of_the_book_pass(close):
    """Two of them in float32, which rounds a longer input differently: 1e-4 of the largest probability."""
    fitted = EwmaKMeans().fit(np.diff(np.log(load_sp500_close().to_numpy()[:2000])))
    shipped = RegimeDetector.load_pretrained(), NeuralRegimeFilter.load_pretrained()
    for detector in (fitted, *shipped, NeuralRegimeFilter.load_pretrained("universal")):
        report = assert_causal(detector, close, dates=3, tolerance=1e-4)
        assert report.channels == ("P(regime 0)", "P(regime 1)")
        assert report.refused == {"blank": 3, "gap": 1}  # they want prices without NaN, and say so
        assert "missing" in report.reasons["blank"]


@pytest.mark.parametrize(
    "strategy",
    [buy_and_hold, Constant(0.6), MovingAverage(), VolatilityTarget(), VarianceRank()],
    ids=lambda strategy: type(strategy).__name__,
)
def test_the_strategies_of_the_book_pass(close, strategy):
    if hasattr(strategy, "fit"):
        strategy = strategy.fit(np.diff(np.log(load_sp500_close().to_numpy()[:2000])))
    report = assert_causal(strategy, close, dates=8, tolerance=1e-10)
    assert set(report.refused) <= {"blank", "gap"}
    assert report.passed["cut"] == 8


def test_walking_forward_is_a_causal_strategy(close):
    """Fits and all: what walks forward on less of the prices gives the same positions."""

    def strategy(prices):
        return walk_forward(prices, VarianceRank(), splitter=WalkForward(400, 120), bars_per_year=252).position

    report = assert_causal(strategy, close, dates=[close.index[bar] for bar in (410, 519, 520, 700)], tolerance=1e-10)
    assert report.passed == {"redraw": 4, "scale": 4, "cut": 4}
    with pytest.raises(LookAheadError):
        assert_causal(lambda returns: VarianceRank().fit(returns).predict_proba(returns), close.pct_change()[1:])


@pytest.mark.parametrize(
    "strategy",
    [
        lambda close: (close > close.rolling(200).mean()).astype(float),
        lambda close: close.pct_change().ewm(halflife=10).std(),
        lambda close: np.ones(len(close)),
        lambda close: close.expanding().rank(),
        lambda close: close.resample("W", label="right").last().reindex(close.index, method="ffill"),
    ],
    ids=["200 days", "EWMA", "constant", "rank so far", "last week"],
)
def test_honest_strategies_pass(close, strategy):
    report = assert_causal(strategy, close)
    assert report.refused == {}
    assert report.largest_move == 0.0


def test_the_number_of_runs_is_the_documented_one(close):
    calls = []

    def strategy(prices):
        calls.append(len(prices))
        return prices

    report = assert_causal(strategy, close, warm_up=10)
    assert len(calls) == 2 + 1 + sum(report.passed.values()) == 107
    assert report.passed == {"redraw": 20, "scale": 20, "cut": 20, "blank": 20, "gap": 20, "start": 4}


def test_dates_are_spread_over_all_bars_and_end_before_the_last(close):
    dates = close.index.get_indexer(assert_causal(lambda prices: prices, close).dates)
    assert len(dates) == 20
    assert assert_causal(lambda prices: prices, close, dates=["2006-01-03"]).dates == (pd.Timestamp("2006-01-03"),)
    assert dates[-1] == N_BARS - 2
    assert np.all(np.histogram(dates, bins=10, range=(1, N_BARS - 1))[0] == 2)
    chosen = [close.index[5], close.index[600]]
    assert list(assert_causal(lambda prices: prices, close, dates=chosen).dates) == chosen
    assert assert_causal(lambda prices: prices, close.iloc[:5], dates=99).dates == tuple(close.index[1:4])


def test_what_a_strategy_refuses_is_counted_and_quoted(close):
    def strategy(prices):
        if prices.isna().any():
            raise ValueError("no gaps,\nplease")
        if len(prices) < 400:
            raise IndexError("too short")
        return prices

    report = assert_causal(strategy, close, dates=10)
    assert 0 < report.refused["cut"] < 10
    assert report.refused | {"cut": 0} == {"cut": 0, "blank": 10, "gap": 1}
    assert report.reasons == {
        "cut": "IndexError: too short",
        "blank": "ValueError: no gaps, please",
        "gap": "ValueError: no gaps, please",
    }
    assert re.search(r"refused cut \(\d\): IndexError: too short", str(report))
    assert "not checked how much history it needs" in str(report)


def test_nan_for_the_past_because_of_nan_in_the_future_is_a_refusal(close):
    """A triangular matrix times NaN is NaN everywhere: zero times what is to come."""
    report = assert_causal(lambda prices: np.tril(np.ones((len(prices),) * 2)) @ prices, close.to_numpy(), dates=5)
    assert report.refused == {"blank": 5}
    assert report.largest_move < 1e-14


def test_a_strategy_that_can_not_be_run_on_another_future_is_an_error(close):
    def strategy(prices):
        if not prices.equals(close):
            raise ValueError("I know only one history")
        return prices

    with pytest.raises(ValueError, match=r"must run on other futures, it refused every one: .*I know only one history"):
        assert_causal(strategy, close)


def test_a_strategy_that_is_not_deterministic_is_told_so(close):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"must be deterministic, got answer at \d{4}-.*: give it a seed"):
        assert_causal(lambda prices: prices + rng.normal(), close)
    assert assert_causal(lambda prices: prices + np.random.default_rng(0).normal(), close, dates=2)


def test_a_strategy_may_write_on_what_it_is_given(close):
    def strategy(prices):
        prices.iloc[:] = np.cumsum(prices.to_numpy())
        return prices

    before = close.copy()
    assert assert_causal(strategy, close, dates=3).largest_move == 0.0
    pd.testing.assert_series_equal(close, before)


def test_the_warnings_of_other_futures_are_no_news(close):
    def strategy(prices):
        return np.log(prices.to_numpy() - close.min() * 0.99)

    assert assert_causal(strategy, close, dates=3).refused.get("scale", 0) == 0


def test_the_same_seed_asks_the_same(close):
    one, two, other = (assert_causal(lambda prices: prices, close, dates=5, seed=seed) for seed in (1, 1, 2))
    assert one == two
    assert one.dates != other.dates


def test_the_error_survives_a_trip_to_another_process(close):
    with pytest.raises(LookAheadError) as caught:
        assert_causal(lambda prices: prices.shift(-1), close)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert vars(copy) == vars(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_alone_finds_what_it_is_for(close, way):
    leak = {"gap": lambda prices: prices.bfill(), "blank": lambda prices: prices.notna().sum() - 0 * prices.ffill()}
    with pytest.raises(LookAheadError) as caught:
        assert_causal(leak.get(way, lambda prices: prices / prices.std()), close, ways=[way])
    assert caught.value.way == way


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": 3}, "strategy must be callable or have a predict_proba, got int"),
        (
            {"strategy": lambda prices: prices.to_numpy()[1:]},
            "strategy must answer a row of numbers a bar, 50 rows or dates .* got 49",
        ),
        (
            {"strategy": lambda prices: prices.astype(str) + "x"},
            "strategy must answer a row of numbers a bar, got Series: could not convert",
        ),
        ({"strategy": lambda prices: 1.0}, "strategy must answer a row of numbers a bar, got float: "),
        ({"strategy": lambda prices: prices * np.nan}, "strategy must answer a number at some bar, got none"),
        ({"strategy": lambda prices: {}}, "strategy must answer a number at some bar, got none"),
        ({"seed": -1}, "seed must be a non-negative integer"),
        ({"prices": {}}, "prices must hold at least one table"),
        ({"prices": [1.0, 2.0]}, "prices must hold at least 4 bars, got 2"),
        ({"prices": ["a"] * 9}, "prices must be numbers of shape"),
        ({"prices": np.zeros((9, 0))}, "prices must hold at least 2 rows and a column"),
        ({"prices": pd.Series(1.0, pd.date_range("2020", periods=9)[::-1])}, "prices must have dates that ascend"),
        ({"ways": ["cut", "burn"]}, "ways must be some of redraw, scale, cut, blank, gap, got cut, burn"),
        ({"ways": []}, "ways must be some of .* got none"),
        ({"dates": []}, "dates must be bars of the prices, .* got none"),
        ({"dates": 0}, "dates must be a positive integer, got 0"),
        ({"dates": [pd.Timestamp("2031-05-05")]}, "dates must be bars of the prices, .* got 2031-05-05"),
        ({"warm_up": 49}, "warm_up must leave a bar to check of the 50, got 49"),
        ({"warm_up": -1}, "warm_up must be a non-negative integer"),
        ({"tolerance": 0.0}, "tolerance must be a positive finite number"),
        ({"known_at": {"prices": "close"}}, "known_at must name tables after the first, .* got 'prices'"),
    ],
)
def test_bad_input_is_refused_by_name(close, change, message):
    arguments = {"strategy": lambda prices: prices, "prices": close.iloc[:50]} | change
    with pytest.raises(ValueError, match=message):
        assert_causal(arguments.pop("strategy"), arguments.pop("prices"), **arguments)


@pytest.mark.parametrize(
    ("table", "known_at", "message"),
    [
        (np.ones(7), None, "other must have a time for each of 7 rows, got 50: give known_at"),
        (pd.Series(1.0, range(7)), None, "other must be dated as the first table is, by datetime64.*, got int64"),
        (
            pd.DataFrame({"a": np.ones(7)}),
            "b",
            "known_at.'other'. must be a column of that table or its times, got 'b'",
        ),
        (np.ones(7), pd.date_range("2020", periods=6), "other must have a time for each of 7 rows, got 6"),
        (np.ones(7), pd.date_range("2020", periods=7, tz="UTC"), "other must be dated as the first table is"),
    ],
)
def test_a_table_that_can_not_be_dated_is_refused_by_name(close, table, known_at, message):
    with pytest.raises(ValueError, match=message):
        assert_causal(
            lambda tables: tables["close"],
            {"close": close.iloc[:50], "other": table},
            known_at=None if known_at is None else {"other": known_at},
        )
