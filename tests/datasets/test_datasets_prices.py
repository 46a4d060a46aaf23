"""The door is strict, its messages name what to mend, and what is sound passes through unchanged."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.datasets import check_prices, load_sp500, log_returns, read_prices
from companion.errors import InputError

DETERMINISTIC = settings(derandomize=True, deadline=None, max_examples=60)
PRICE = st.floats(1e-3, 1e6)


def series(values, start="2020-01-01"):
    return pd.Series(
        values, index=pd.date_range(start, periods=len(values), name="date"), name="close", dtype="float64"
    )


def one_line(excinfo):
    assert "\n" not in str(excinfo.value)
    return str(excinfo.value)


@DETERMINISTIC
@given(st.lists(PRICE, min_size=1, max_size=30))
def test_sound_prices_come_back_as_they_are(values):
    prices = series(values)
    assert check_prices(prices, source="mine") is prices


@DETERMINISTIC
@given(st.lists(PRICE, min_size=2, max_size=30), st.data())
def test_the_first_bad_price_is_named(values, data):
    row = data.draw(st.integers(0, len(values) - 1))
    bad = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -1.0]))
    prices = series(values)
    prices.iloc[row:] = bad
    with pytest.raises(InputError, match=rf"^mine: close: row {row + 1} \({prices.index[row]:%Y-%m-%d}\): ") as excinfo:
        check_prices(prices, source="mine")
    one_line(excinfo)


@DETERMINISTIC
@given(st.permutations(range(6)))
def test_only_the_ascending_order_passes(order):
    prices = series(np.arange(1.0, 7.0)).iloc[list(order)]
    if list(order) == sorted(order):
        check_prices(prices, source="mine")
    else:
        row = next(i for i in range(1, 6) if order[i] < order[i - 1])
        with pytest.raises(InputError, match=rf"^mine: date: row {row + 1} .*sort the rows"):
            check_prices(prices, source="mine")


@DETERMINISTIC
@given(st.integers(0, 4))
def test_a_repeated_date_is_refused(row):
    index = pd.date_range("2020-01-01", periods=6).to_list()
    index[row + 1] = index[row]
    with pytest.raises(InputError, match=rf"date: row {row + 2} .*keep one row a date"):
        check_prices(pd.Series(1.0, index=pd.DatetimeIndex(index)), source="mine")


@pytest.mark.parametrize(
    ("prices", "message"),
    [
        (series([]), "mine: no rows"),
        (pd.Series([1.0, 2.0]), "mine: date: the index is RangeIndex"),
        (series([1, 2]).tz_localize("UTC"), "mine: date: has the time zone UTC"),
        (pd.Series([1.0], index=pd.DatetimeIndex([pd.NaT])), "mine: date: row 1 .*no date"),
        (series([1, 2]).astype(str), "mine: close: has type object"),
        (series([1, 2]).astype(bool), "mine: close: has type bool"),
        (series([1, 2]).to_frame("price"), r"column \['price'\] unknown"),
        (series([1, 2]).to_frame()[[]], "unknown or missing"),
        (pd.concat([series([1, 2])] * 2, axis=1), "repeat a name"),
    ],
)
def test_what_is_not_a_price_table_is_refused(prices, message):
    with pytest.raises(InputError, match=message) as excinfo:
        check_prices(prices, source="mine")
    one_line(excinfo)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("high", 1.0, "high: row 3 .*high 1 but open"),
        ("low", 1e9, r"high: row 3 .*but low 1e\+09"),
        ("low", 1250.0, "low: row 3 .*low 1250 but open 1244.78"),
        ("volume", -1.0, "volume: row 3 .*zero or more"),
        ("open", 0.0, "open: row 3 .*above zero"),
    ],
)
def test_impossible_bars_are_refused(column, value, message):
    bars = load_sp500().head(10).copy()
    bars.iloc[2, bars.columns.get_loc(column)] = value
    with pytest.raises(InputError, match=f"^mine: {message}"):
        check_prices(bars, source="mine")


def test_a_day_without_volume_is_a_day():
    bars = load_sp500().head(10).assign(volume=0.0)
    assert check_prices(bars, source="mine") is bars


@pytest.fixture
def prices():
    return series([100.0, 101.5, 99.25])


def test_csv_and_parquet_give_the_same_prices(tmp_path, prices):
    prices.to_csv(tmp_path / "a.csv")
    prices.to_frame().to_parquet(tmp_path / "index.parquet")
    prices.reset_index().assign(volume=1).to_parquet(tmp_path / "columns.parquet")
    dates = [dt.date(2020, 1, day) for day in (1, 2, 3)]
    pq.write_table(pa.table({"date": dates, "close": [100.0, 101.5, 99.25]}), tmp_path / "date32.parquet")
    pq.write_table(pa.table({"date": [f"{d}" for d in dates], "close": prices.to_numpy()}), tmp_path / "text.parquet")
    for path in tmp_path.iterdir():
        pd.testing.assert_series_equal(read_prices(path), prices, check_freq=False, check_index_type=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a CSV table"),
        ("date,close\n", "no rows"),
        ("date,price\n2020-01-01,1\n", r"column 'close' is not there exactly once; found \['date', 'price'\]"),
        ("date,close\n2020-01-01,1\n2020-01-02\n", r"close: row 2: '.*' is not a number"),
        ("date,close\n2020-01-01,1\n2020-01-02,\n", "close: row 2: '' is not a number"),
        ("date,close\n2020-01-01,1\n2020-01-02,nan\n", "close: row 2: 'nan'"),
        ("date,close\n2020-01-01,1\n2020-01-02,inf\n", r"close: row 2 \(2020-01-02\): value is inf"),
        ("date,close\n2020-01-01,1\n2020-01-02,-3\n", r"close: row 2 \(2020-01-02\): price is -3"),
        ("date,close\n2020-01-01,1\n2020-01-02,1,234.5\n", "not a CSV table"),
        ("date,close\n2020-01-02,1\n2020-01-01,2\n", "earlier than the row before"),
        ("date,close\n2020-01-02,1\n2020-01-02,2\n", "the same date"),
        ("date,close\n2020-01-02,1\n03/01/2020,2\n", "date: row 2: '03/01/2020' is not a date like 2024-01-31"),
        ("date,close\n2020-01-02T00:00Z,1\n2020-01-03T00:00+02:00,2\n", "date: row 1: '2020-01-02T00:00Z' is not"),
        ('date,close\n2020-01-02,1\n2020-01-03,"2\n', "not a CSV table|close: row 2"),
    ],
)
def test_bad_csv_is_one_line(tmp_path, text, message):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as excinfo:
        read_prices(path)
    assert one_line(excinfo).startswith(f"{path}: ")


def test_a_comma_in_a_number_is_not_cut_off(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("date,close\n2020-01-01,1,234.5\n2020-01-02,1,236.5\n")
    with pytest.raises(InputError, match="more fields than the header"):
        read_prices(path)


def test_bad_files_are_one_line(tmp_path, prices):
    good = tmp_path / "good.parquet"
    prices.to_frame().to_parquet(good)
    (tmp_path / "truncated.parquet").write_bytes(good.read_bytes()[:-40])
    (tmp_path / "text.parquet").write_text("date,close\n")
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "binary.csv").write_bytes(bytes(range(128, 256)) * 20)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "notes.txt").write_text("")
    prices.rename("price").to_frame().to_parquet(tmp_path / "schema.parquet")
    for name, message in {
        "missing.parquet": "no such file",
        "folder.csv": "no such file",
        "truncated.parquet": "truncated or not Parquet",
        "text.parquet": "truncated or not Parquet",
        "empty.parquet": "truncated or not Parquet",
        "binary.csv": "not a CSV table",
        "notes.txt": "give a .csv or a .parquet",
        "schema.parquet": "column 'close' is not there",
    }.items():
        with pytest.raises(InputError, match=message) as excinfo:
            read_prices(tmp_path / name)
        assert name in one_line(excinfo)


@pytest.mark.parametrize(
    "table",
    [
        {"date": [20200101, 20200102], "close": [1.0, 2.0]},
        {"date": ["2020-01-01", "2020-01-02"], "close": [True, False]},
        {"date": ["2020-01-01", "2020-01-02"], "close": [[1.0], [2.0]]},
        {"date": ["2020-01-01", None], "close": [1.0, 2.0]},
        {"date": ["2020-01-01", "2020-01-02"], "close": [1.0, None]},
    ],
)
def test_parquet_of_other_types_is_refused(tmp_path, table):
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.table(table), path)
    with pytest.raises(InputError, match=r"mine\.parquet: (date|close)") as excinfo:
        read_prices(path)
    one_line(excinfo)


@DETERMINISTIC
@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=40))
def test_log_returns_invert_the_price(returns):
    close = series(100 * np.exp(np.concatenate([[0], np.cumsum(returns)])))
    found = log_returns(close)
    np.testing.assert_allclose(found, returns, atol=1e-12)
    assert found.name == "log_return"
    assert (found.index == close.index[1:]).all()


def test_log_returns_need_two_sound_prices():
    with pytest.raises(InputError, match="a return needs two"):
        log_returns(series([1.0]))
    with pytest.raises(InputError, match="close: close: row 2"):
        log_returns(series([1.0, np.nan]))
