"""What people's files become: their layouts are read, what may mean two things is asked, the rest is named.

Every layout is written from the same bars, so that what comes back is known to the last digit.
"""

import datetime as dt
import gzip
import io
import random
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from companion.datasets import read_bars, read_prices
from companion.errors import InputError

PROPERTY = settings(
    derandomize=True, deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
OHLC = ["open", "high", "low", "close"]


def known_bars(n=30, seed=0):
    """Bars with two decimals on weekdays, so that any layout can hold them exactly."""
    rng = np.random.default_rng(seed)
    close = np.round(1500 * np.exp(np.cumsum(0.01 * rng.standard_normal(n))), 2)
    open_ = np.round(close * (1 + 0.004 * rng.standard_normal(n)), 2)
    frame = pd.DataFrame({"open": open_, "high": close, "low": close, "close": close})
    frame["high"] = np.round(frame.max(axis=1) + rng.uniform(0, 9, n), 2)
    frame["low"] = np.round(frame.min(axis=1) - rng.uniform(0, 9, n), 2)
    frame["volume"] = rng.integers(1_000_000, 9_000_000, n).astype(float)
    return frame.set_index(pd.bdate_range("2024-01-02", periods=n, name="date", unit="ns"))


BARS = known_bars()


def table(header, row, *, newest_first=False, separator=",", bars=BARS):
    rows = [separator.join(row(date, *values)) for date, *values in bars.itertuples()]
    return "\n".join([header, *(rows[::-1] if newest_first else rows)]) + "\n"


def plain(date, o, h, low, c, v):
    return [f"{date:%Y-%m-%d}", f"{o:.2f}", f"{h:.2f}", f"{low:.2f}", f"{c:.2f}", f"{v:.0f}"]


def comma(x, digits=2):
    return f"{x:,.{digits}f}".translate(str.maketrans(",.", ".,"))


def kline(unit):
    def row(date, o, h, low, c, v):
        opened = int(date.timestamp()) * unit
        return [
            str(opened),
            *(f"{x:.8f}" for x in (o, h, low, c, v)),
            str(opened + 86_400 * unit - 1),
            *["1200.5", "3", "1", "1", "0"],
        ]

    return row


def packed(text, name="bars.csv"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
        archive.writestr("README.txt", "not a table")
    return file.getvalue()


YAHOO = table(
    "Date,Open,High,Low,Close,Adj Close,Volume",
    lambda d, o, h, low, c, v: [*plain(d, o, h, low, c, v)[:5], f"{c:.6f}", f"{v:.0f}"],
)
STOOQ = table("Date,Open,High,Low,Close,Volume", plain)
ALPHA = table("timestamp,open,high,low,close,volume", plain, newest_first=True)
EXCEL = table(
    "Date;Open;High;Low;Close;Volume",
    lambda d, o, h, low, c, v: [f"{d:%d.%m.%Y}", *map(comma, (o, h, low, c)), comma(v, 0)],
    separator=";",
)
LAYOUTS = {
    "Yahoo": (YAHOO, {"adjusted": False}),
    "Stooq": (STOOQ, {}),
    "Stooq, newest first": (
        table("Date,Open,High,Low,Close,Volume", plain, newest_first=True),
        {"order": "newest first"},
    ),
    "Stooq, bulk": (
        table(
            "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
            lambda d, o, h, low, c, v: ["SPY.US", "D", f"{d:%Y%m%d}", "000000", *plain(d, o, h, low, c, v)[1:], "0"],
        ),
        {},
    ),
    "Binance, ms": (table("", kline(1000)).lstrip("\n"), {}),
    "Binance, µs, zip": (packed(table("", kline(1_000_000)).lstrip("\n"), "BTCUSDT-1d-2025-01.csv"), {}),
    "Binance, header": (
        table(
            "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,"
            "ignore",
            kline(1000),
        ),
        {},
    ),
    "Alpha Vantage": (ALPHA, {"order": "newest first"}),
    "Excel, German": (EXCEL, {}),
    "Excel, UTF-16 with tabs": (
        table("DATE\tOPEN\tHIGH\tLOW\tCLOSE\tVOLUME", plain, separator="\t").encode("utf-16"),
        {},
    ),
    "UTF-8 with a byte order mark, CR LF": (STOOQ.replace("\n", "\r\n").encode("utf-8-sig"), {}),
    "gzip": (gzip.compress(STOOQ.encode()), {}),
    "pandas, no name for the index": (table(",open,high,low,close,volume", plain), {}),
    "yfinance.download": (
        table(
            "Price,Close,High,Low,Open,Volume\nTicker,SPY,SPY,SPY,SPY,SPY\nDate,,,,,",
            lambda d, o, h, low, c, v: [f"{d:%Y-%m-%d}", f"{c!r}", f"{h!r}", f"{low!r}", f"{o!r}", f"{v:.0f}"],
        ),
        {},
    ),
    "yfinance history, local midnights over a change of clocks": (
        table(
            "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits",
            lambda d, o, h, low, c, v: [
                f"{d:%Y-%m-%d} 00:00:00-0{4 if d >= pd.Timestamp('2024-01-20') else 5}:00",
                *plain(d, o, h, low, c, v)[1:],
                "0.0",
                "0.0",
            ],
        ),
        {},
    ),
    "Nasdaq": (
        table(
            "Date,Close/Last,Volume,Open,High,Low",
            lambda d, o, h, low, c, v: [
                f"{d:%m/%d/%Y}",
                f"${c:.2f}",
                f"{v:.0f}",
                f"${o:.2f}",
                f"${h:.2f}",
                f"${low:.2f}",
            ],
            newest_first=True,
        ),
        {"order": "newest first"},
    ),
    "Investing.com": (
        table(
            '"Date","Price","Open","High","Low","Vol.","Change %"',
            lambda d, o, h, low, c, v: [
                f'"{x}"' for x in (f"{d:%m/%d/%Y}", *(f"{x:,.2f}" for x in (c, o, h, low)), f"{v / 1e6:.6f}M", "0.1%")
            ],
            newest_first=True,
        ),
        {"order": "newest first"},
    ),
    "MetaTrader": (
        table(
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
            lambda d, o, h, low, c, v: [
                f"{d:%Y.%m.%d}",
                "00:00:00",
                *plain(d, o, h, low, c, v)[1:5],
                "9",
                f"{v:.0f}",
                "1",
            ],
            separator="\t",
        ),
        {},
    ),
    "months by name": (
        table("Trade,Open,High,Low,Close,Volume,Date", lambda d, *x: ["1", *plain(d, *x)[1:], f"{d:%d-%b-%Y}"]),
        {},
    ),
}


def written(tmp_path, content, name="mine.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(call):
    with pytest.raises(InputError) as told:
        call()
    assert str(told.value).isprintable()  # one line, and nothing that a terminal would obey
    return str(told.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_that_people_have_are_read(tmp_path, layout):
    content, choices = LAYOUTS[layout]
    path = written(tmp_path, content, name="whatever.dat")
    found = read_bars(path, **choices)
    pd.testing.assert_frame_equal(found, BARS, check_freq=False, rtol=1e-14)
    pd.testing.assert_series_equal(read_prices(path, **choices), BARS["close"], check_freq=False, rtol=1e-14)
    assert found.index.dtype == "datetime64[ns]"


def test_parquet_is_read_however_it_was_written(tmp_path):
    dates = [day.date() for day in BARS.index]
    new_york = BARS.set_index(BARS.index.tz_localize("America/New_York"))
    tables = [
        pa.Table.from_pandas(BARS),
        pa.Table.from_pandas(BARS.rename(columns=str.title).rename_axis("Date")),
        pa.Table.from_pandas(new_york),
        pa.Table.from_pandas(BARS.rename_axis(None).rename_axis("Datetime").reset_index().astype(str)),
        pa.table({"date": dates} | {name: BARS[name].to_numpy() for name in BARS}),
        pa.table({"timestamp": BARS.index.astype("int64") // 10**6} | {name: BARS[name] for name in BARS}),
        pa.table({"date": pa.array(dates).cast(pa.timestamp("us"))} | {name: BARS[name] for name in BARS}),
    ]
    for i, content in enumerate(tables):
        pq.write_table(content, tmp_path / f"{i}")
        pd.testing.assert_frame_equal(read_bars(tmp_path / f"{i}"), BARS, check_freq=False)


def test_adjusted_or_not_is_asked(tmp_path):
    """A split and a dividend: the ratio carries every price of the bar, and the close is the adjusted one."""
    bars = BARS.assign(adjusted=np.round(BARS["close"] * np.where(np.arange(30) < 15, 0.4871, 1.0), 4))
    header = "Date,Open,High,Low,Close,Adj Close,Volume"
    rows = [f"{d:%Y-%m-%d},{o},{h},{low},{c},{a},{v}" for d, o, h, low, c, v, a in bars.itertuples()]
    path = written(tmp_path, "\n".join([header, *rows]))
    for read in (read_bars, read_prices):
        assert "both 'Close' and 'Adj Close': give adjusted=True" in refused(lambda read=read: read(path))
    raw, scaled = read_bars(path, adjusted=False), read_bars(path, adjusted=True)
    pd.testing.assert_frame_equal(raw, BARS, check_freq=False)
    assert (scaled["close"] == bars["adjusted"]).all()
    ratio = bars["adjusted"] / bars["close"]
    for name in OHLC:
        np.testing.assert_allclose(scaled[name], BARS[name] * ratio, rtol=1e-12)
    assert (scaled["volume"] == BARS["volume"]).all()
    assert (read_prices(path, adjusted=True) == bars["adjusted"]).all()
    assert (read_prices(path, column="Adj Close") == bars["adjusted"]).all()
    assert "column 'Adj Close' is not there" in refused(
        lambda: read_bars(written(tmp_path, STOOQ, "s.csv"), adjusted=True)
    )
    alone = written(tmp_path, "date,adjusted_close\n2024-01-02,5\n", "a.csv")
    assert read_prices(alone).tolist() == [5.0]
    assert "column 'close' is not there" in refused(lambda: read_prices(alone, adjusted=False))


@given(st.lists(st.tuples(*[st.floats(10.0, 1e5)] * 5), min_size=1, max_size=20))
@PROPERTY
def test_adjusted_bars_are_bars_whatever_the_rounding(tmp_path, rows):
    """A high that was the close stays at or above it after both have been scaled."""
    text = "date,open,high,low,close,adj close\n"
    for i, (a, b, c, d, adjusted) in enumerate(rows):
        low, *inside, high = sorted((a, b, c, d))
        close = high if i % 2 else low
        text += f"{dt.date(2024, 1, 1) + dt.timedelta(i)},{inside[0]!r},{high!r},{low!r},{close!r},{adjusted!r}\n"
    bars = read_bars(written(tmp_path, text), adjusted=True)
    assert bars["close"].tolist() == [row[4] for row in rows]
    assert (bars["high"] >= bars.max(axis=1)).all()
    assert (bars["low"] <= bars[OHLC].min(axis=1)).all()


def test_the_order_of_the_rows_is_said(tmp_path):
    newest, oldest = written(tmp_path, ALPHA), written(tmp_path, STOOQ, "o.csv")
    assert "from newest to oldest: give order='newest first'" in refused(lambda: read_prices(newest))
    assert "leave out order='newest first'" in refused(lambda: read_prices(oldest, order="newest first"))
    lines = ALPHA.splitlines()
    lines[3], lines[4] = lines[4], lines[3]
    mixed = written(tmp_path, "\n".join(lines), "m.csv")
    assert "date: row 4 (2024-02-08): later than the row before" in refused(
        lambda: read_bars(mixed, order="newest first")
    )
    assert "row" in refused(lambda: read_bars(mixed))
    assert read_prices(written(tmp_path, "\n".join(lines[:2]), "1.csv"), order="newest first").size == 1


def prices_of(tmp_path, *rows, header="date,close", **choices):
    return read_prices(written(tmp_path, "\n".join([header, *rows])), **choices)


@pytest.mark.parametrize(
    ("stamps", "choices", "expected"),
    [
        (["31/01/2024", "01/02/2024"], {}, ["2024-01-31", "2024-02-01"]),
        (["01/31/2024", "02/01/2024"], {}, ["2024-01-31", "2024-02-01"]),
        (["02.01.2024", "03.01.2024"], {"dayfirst": True}, ["2024-01-02", "2024-01-03"]),
        (["02/01/2024", "03/01/2024"], {"dayfirst": False}, ["2024-02-01", "2024-03-01"]),
        (["01-01-2024", "02-02-2024"], {}, ["2024-01-01", "2024-02-02"]),
        (["Jan 31, 2024", "Feb 01, 2024"], {}, ["2024-01-31", "2024-02-01"]),
        (["20240131", "20240201"], {}, ["2024-01-31", "2024-02-01"]),
        (["1706659200", "1706745600"], {}, ["2024-01-31", "2024-02-01"]),
        (["1735603200000", "1735689600000000"], {}, ["2024-12-31", "2025-01-01"]),
        (["2024-01-02 09:30", "2024-01-02 09:31"], {}, ["2024-01-02 09:30", "2024-01-02 09:31"]),
        (["2024-01-02T14:30:00.250Z", "2024-01-03T14:30:00Z"], {}, ["2024-01-02 14:30:00.25", "2024-01-03 14:30"]),
        (["2024-03-08 09:30:00-05:00", "2024-03-11 09:30:00-04:00"], {}, ["2024-03-08 14:30", "2024-03-11 13:30"]),
        (["2024-01-02 00:00:00+01:00", "2024-01-03 00:00:00+01:00"], {}, ["2024-01-02", "2024-01-03"]),
        (["01.01.2024 22:00:00.000", "14.01.2024 22:00:00.000"], {}, ["2024-01-01 22:00", "2024-01-14 22:00"]),
    ],
)
def test_dates_are_what_they_say(tmp_path, stamps, choices, expected):
    found = prices_of(tmp_path, *(f'"{stamp}",{i + 1}' for i, stamp in enumerate(stamps)), **choices)
    assert found.index.tolist() == [pd.Timestamp(x) for x in expected]
    assert found.tolist() == [1.0, 2.0]


def test_a_column_of_times_belongs_to_the_date(tmp_path):
    found = prices_of(tmp_path, "2024-01-02,09:30,1", "2024-01-02,10:30:15,2", header="Date,Time,Close")
    assert found.index.tolist() == [pd.Timestamp("2024-01-02 09:30"), pd.Timestamp("2024-01-02 10:30:15")]
    found = prices_of(tmp_path, "20240102,0930,1", "20240102,1030,2", header="Date,Time,Close")
    assert found.index.tolist() == [pd.Timestamp("2024-01-02 09:30"), pd.Timestamp("2024-01-02 10:30")]


@pytest.mark.parametrize(
    ("rows", "choices", "message"),
    [
        (
            ["01/02/2024", "02/02/2024"],
            {},
            "'01/02/2024' and all others may begin with the day or the month: give dayfirst=",
        ),
        (["31/01/2024", "01/31/2024"], {}, "row 2: '01/31/2024' is in another order than others"),
        (["31/01/2024"], {"dayfirst": False}, "row 1: '31/01/2024' can not be read with dayfirst=False"),
        (["31/01/24"], {}, "row 1: '31/01/24' is not a date like 2024-01-31"),
        (["2024-01-02", "03/01/2024"], {}, "row 2: '03/01/2024' is not a date like 2024-01-02"),
        (["2024-01-02", "2024-01-02 09:30"], {}, "row 2: '2024-01-02 09:30' is not a date like 2024-01-02: write all"),
        (["2024-01-02T00:00Z", "2024-01-03T00:00"], {}, "row 2: '2024-01-03T00:00' is not a date like"),
        (["2024-02-29", "2024-02-30"], {}, "row 2: '2024-02-30' is no day of the calendar"),
        (["2024-01-02 24:00"], {}, "'2024-01-02 24:00' is no day of the calendar"),
        (["2024-01-02", "9999-12-31"], {}, "row 2: '9999-12-31' is not between 1678 and 2261"),
        (["2024-01-02", "2024-01-02"], {}, "row 2 (2024-01-02): the same date as the row before"),
        (["2024-01-02", "2024-01-04", "2024-01-03"], {}, "row 3 (2024-01-03): earlier than the row before: sort"),
        (["2023-11-05 01:58", "2023-11-05 01:59", "2023-11-05 01:00"], {}, "before: if summer time ended there, give"),
        (["2024-01-02", ""], {}, "date: row 2: '' is not a date"),
        (["1.73569E+12", "1.73578E+12"], {}, "row 1: '1.73569E+12' is a time that a spreadsheet has rounded"),
        ([f"{1735690 + i}000000" for i in range(9)], {}, "and all others are times that a spreadsheet has rounded"),
        (["45292", "45293"], {}, "row 1: '45292' is not a date like 2024-01-31 but a spreadsheet's number of a day"),
        (["9999999999999999999"], {}, "is no time since 1970"),
        (["########"], {}, "is not a date like 2024-01-31"),
    ],
)
def test_what_is_no_date_is_named(tmp_path, rows, choices, message):
    told = refused(lambda: prices_of(tmp_path, *(f"{row},{i + 1}" for i, row in enumerate(rows)), **choices))
    assert message in told


@pytest.mark.parametrize(
    ("fields", "separator", "choices", "expected"),
    [
        (["1234.5", "1,234.50"], ";", {}, [1234.5, 1234.5]),
        (["1.234,5", "1234,5"], ";", {}, [1234.5, 1234.5]),
        (["1 234,5", "12\u202f345,5"], ";", {}, [1234.5, 12345.5]),
        (["1'234.5", "1\u2019234.5"], ";", {}, [1234.5, 1234.5]),
        (["1.234", "1.235"], ";", {"decimal": "."}, [1.234, 1.235]),
        (["1.234", "1.235"], ";", {"decimal": ","}, [1234.0, 1235.0]),
        (["0.985", "1.085"], ";", {}, [0.985, 1.085]),
        (["1.234", "1.235"], ",", {}, [1.234, 1.235]),
        (['"1,234"', '"1,234,567"'], ",", {}, [1234.0, 1234567.0]),
        (["1e-05", "2.5E-5"], ",", {}, [1e-5, 2.5e-5]),
        ([".5", "5."], ",", {}, [0.5, 5.0]),
        (["$12.50", "$1"], ",", {}, [12.5, 1.0]),
        ([" 12.5 ", "+13"], ",", {}, [12.5, 13.0]),
    ],
)
def test_numbers_are_what_they_say(tmp_path, fields, separator, choices, expected):
    rows = [f"2024-01-0{i}{separator}{field}" for i, field in enumerate(fields, start=2)]
    assert prices_of(tmp_path, *rows, header=f"date{separator}close", **choices).tolist() == expected


@pytest.mark.parametrize(
    ("fields", "separator", "message"),
    [
        (["1.234", "1.235"], ";", "row 1: '1.234' may be 1.234 or 1234: give decimal='.' or decimal=','"),
        (['"1,234"', '"1,235"'], ",", "row 1: '1,234' may be 1234 or 1.234: give decimal="),
        (["1.5", "1,5"], ";", "is not a number like 4500"),
        (["12,34,567", "1.5"], ";", "is not a number like 4500"),
        (["1", "1_000"], ",", "close: row 2: '1_000' is not a number like 4500.25"),
        (["1", "١٢"], ",", "close: row 2: '١٢' is not a number"),
        (["1", "inf"], ",", "close: row 2: 'inf' is not a number"),
        (["1", "1e999"], ",", "close: row 2 (2024-01-03): value is inf: give a finite number"),
        (["1", "-3"], ",", "close: row 2 (2024-01-03): price is -3: prices are above zero"),
        (["1", "0"], ",", "close: row 2 (2024-01-03): price is 0"),
        (["1", "=A1*2"], ",", "'=A1*2' is not a number"),
        (["1", "#DIV/0!"], ",", "'#DIV/0!' is not a number"),
        (["1", "null"], ",", "close: row 2: 'null' (2024-01-03) is no value: missing='drop' leaves such rows out"),
        (["1", ""], ",", "close: row 2: '' (2024-01-03) is no value"),
    ],
)
def test_what_is_no_number_is_named(tmp_path, fields, separator, message):
    rows = [f"2024-01-0{i}{separator}{field}" for i, field in enumerate(fields, start=2)]
    assert message in refused(lambda: prices_of(tmp_path, *rows, header=f"date{separator}close"))


def test_rows_without_a_value_are_left_out_if_asked(tmp_path):
    """Yahoo's null rows; the numbers of the rows in a message stay those of the file."""
    header, nothing = "Date,Open,High,Low,Close,Volume\n", "2024-01-03,null,null,null,null,null\n"
    text = f"{header}2024-01-02,1,2,1,2,9\n{nothing}2024-01-04,1,2,1,1,9\n"
    path = written(tmp_path, text)
    assert "open: row 2: 'null' (2024-01-03) is no value" in refused(lambda: read_bars(path))
    assert read_bars(path, missing="drop").index.day.tolist() == [2, 4]
    assert read_prices(path, missing="drop").tolist() == [2.0, 1.0]
    bad = written(tmp_path, text + "2024-01-05,1,2,1.5,2,9\n", "bad.csv")
    assert "low: row 4 (2024-01-05): low 1.5 but open 1" in refused(lambda: read_bars(bad, missing="drop"))
    empty = written(tmp_path, header + nothing, "empty.csv")
    assert "no rows with a price" in refused(lambda: read_bars(empty, missing="drop"))


def test_without_a_volume_there_is_none(tmp_path):
    for header, end in (
        ("date,open,high,low,close", ""),
        ("date,open,high,low,close,volume", ","),
        ("date,open,high,low,close,volume", ",N/A"),
    ):
        path = written(tmp_path, f"{header}\n2024-01-02,1,2,1,2{end}\n")
        assert list(read_bars(path)) == OHLC


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no rows"),
        ("\ufeff\n\n", "no rows"),
        ("date,close\n", "no rows"),
        ("2024-01-02,1\n2024-01-03,2\n", "begins with numbers and not with the names"),
        ("date,value\n2024-01-02,1\n", "column 'close' is not there; found ['date', 'value']"),
        ("when,close\n2024-01-02,1\n", "column 'date' is not there"),
        ("date,close,close\n2024-01-02,100,1\n", "column 'close' is there 2 times"),
        ("date,Close,CLOSE\n2024-01-02,100,1\n", "column 'Close' is there 2 times"),
        ("date,Date,close\n2024-01-02,2024-01-02,1\n", "column 'date' is there 2 times"),
        ("My prices\ndate,close\n2024-01-02,1\n", "row 1 has 2 fields where the first line has one: if it is a title"),
        ("date,close\n2024-01-02,1\n2024-01-03,1,234.5\n", "row 2 has 3 fields where the header has 2"),
        ("date,close\n2024-01-02,1\n2024-01-03\n", "row 2 has 1 field"),
        ('date,close\n2024-01-02,1\n2024-01-03,"2\n', "a quotation mark is not closed"),
        ("date,close\n2024-01-02,\x1b[31m1\n", "control characters"),
        ("date,close\n2024-01-02,1\x002\n", "control characters"),
        ("date,clo\x9bse\n2024-01-02,1\n".encode("latin-1"), "neither UTF-8 nor UTF-16"),
        ("date,close\n2024-01-02,1\n".encode("utf-16-le"), "control characters"),
        ("<!DOCTYPE html><html>404</html>", "is a web page"),
        ('{"Error Message": "limit"}', "is JSON"),
        (bytes(range(128, 256)) * 20, "neither UTF-8 nor UTF-16"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 20, "old Excel workbook"),
        (packed("", "xl/workbook.xml"), "is an Excel workbook"),
        (packed("", "notes.txt"), "holds 0 files that end in .csv"),
        (packed(STOOQ)[:300], "damaged or encrypted archive"),
        (gzip.compress(STOOQ.encode())[:200], "damaged or encrypted archive"),
        (b"\x1f\x8b" + b"\xff" * 90, "damaged or encrypted archive"),
        (b"PAR1" + b"\x00" * 90, "truncated or damaged Parquet"),
        (b"BZh91AY&SY", "compressed with bzip2: unpack"),
        ("Price,Close,Close\nTicker,SPY,QQQ\nDate,,\n2024-01-02,1,2\n", "holds 2 tickers"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, content, message):
    path = written(tmp_path, content)
    told = refused(lambda: read_prices(path))
    assert message in told
    assert told.startswith(f"{path}: ")


def test_files_that_are_not_there_and_names_that_do_not_print(tmp_path):
    assert "no such file" in refused(lambda: read_prices(tmp_path / "missing.csv"))
    assert "is a folder" in refused(lambda: read_prices(tmp_path))
    assert "can not be read" in refused(lambda: read_prices("a\0b.csv"))
    odd = written(tmp_path, "date,close\n2024-01-02,x\n", "line\nfeed\x1b[31m.csv")
    assert "feed" in refused(lambda: read_prices(odd))


@pytest.mark.parametrize("name", ["adjusted", "order", "dayfirst", "decimal", "missing"])
@pytest.mark.parametrize("read", [read_bars, read_prices])
def test_a_choice_is_one_of_those_there_are(tmp_path, read, name):
    with pytest.raises(ValueError, match=f"^{name} must be one of .*, got 'x'"):
        read(written(tmp_path, STOOQ), **{name: "x"})


def test_a_close_of_another_name_is_named(tmp_path):
    text = "observation_date,SP500\n2024-01-02,4742.83\n2024-01-03,.\n2024-01-04,4688.68\n"
    path = written(tmp_path, text)
    assert "read_prices(…, column=…)" in refused(lambda: read_prices(path))
    assert read_prices(path, column="SP500", missing="drop").tolist() == [4742.83, 4688.68]
    assert "column 'sp500' is not there" in refused(lambda: read_prices(path, column="sp500"))
    with pytest.raises(InputError, match="adjusted must be left out"):
        read_prices(path, column="SP500", adjusted=True)


@pytest.mark.parametrize(
    "columns",
    [
        {"date": [1.5, 2.5], "close": [1.0, 2.0]},
        {"date": ["2020-01-01", "2020-01-02"], "close": [True, False]},
        {"date": ["2020-01-01", "2020-01-02"], "close": [[1.0], [2.0]]},
        {"date": ["2020-01-01", None], "close": [1.0, 2.0]},
        {"date": [dt.datetime(2020, 1, 1), None], "close": [1.0, 2.0]},
        {"date": ["2020-01-01", "2020-01-02"], "close": [1.0, None]},
        {"date": [dt.datetime(2020, 1, 1), dt.datetime(9999, 12, 31)], "close": [1.0, 2.0]},
        {"date": [dt.datetime(2020, 1, 1)] * 2, "close": [1.0, 2.0]},
    ],
)
def test_parquet_of_other_types_is_refused(tmp_path, columns):
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.table(columns), path)
    assert refused(lambda: read_prices(path)).startswith(f"{path}: ")


def test_hours_of_one_day_stay_hours(tmp_path):
    hours = [dt.datetime(2024, 1, 2, 9), dt.datetime(2024, 1, 2, 10)]
    pq.write_table(pa.table({"date": hours, "close": [1.0, 2.0]}), tmp_path / "x")
    assert read_prices(tmp_path / "x").index.tolist() == hours


# Whatever happens to a file: the right values, or one line that says why not.


def outcome(call):
    """What comes back, or the message of the refusal."""
    try:
        return call()
    except InputError as error:
        return str(error)


def reverse(lines, rng):
    return lines[:1] + lines[:0:-1]


def swap_rows(lines, rng):
    i, j = rng.sample(range(1, len(lines)), 2)
    lines[i], lines[j] = lines[j], lines[i]
    return lines


def repeat_row(lines, rng):
    i = rng.randrange(1, len(lines))
    return lines[: i + 1] + lines[i:]


def lose_row(lines, rng):
    i = rng.randrange(1, len(lines))
    return lines[:i] + lines[i + 1 :] if len(lines) > 2 else lines


def lose_header(lines, rng):
    return lines[1:]


def change_field(change):
    def changed(lines, rng):
        i = rng.randrange(len(lines))
        fields = lines[i].split(",")
        change(fields, rng)
        lines[i] = ",".join(fields)
        return lines

    return changed


def empty_field(fields, rng):
    fields[rng.randrange(len(fields))] = rng.choice(
        ["", "null", "NaN", "n/a", "-", "inf", "1.73569E+12", "0", "-1", "#REF!"]
    )


def lose_field(fields, rng):
    del fields[rng.randrange(len(fields))]


def add_field(fields, rng):
    fields.insert(rng.randrange(len(fields) + 1), rng.choice(["", "1", "2024-01-02", "x"]))


def name_twice(lines, rng):
    names = lines[0].split(",")
    names[rng.randrange(len(names))] = rng.choice(names)
    lines[0] = ",".join(names)
    return lines


def insert_text(lines, rng):
    """Anything but a digit or an exponent, which may make another number that could have been there."""
    text = "\n".join(lines)
    i = rng.randrange(len(text))
    junk = rng.choice(
        [",", ";", "\t", '"', "\n", ".", "-", "x", "\x00", "\x1b[31m", "\u202e", "é", " ", "'", "\ufeff", "|"]
    )
    return (text[:i] + junk + text[i:]).split("\n")


def lose_separator(lines, rng):
    text = "\n".join(lines)
    places = [i for i, letter in enumerate(text) if letter in ",\n"]
    i = rng.choice(places) if places else 0
    return (text[:i] + text[i + 1 :]).split("\n")


def cut_text(lines, rng):
    text = "\n".join(lines)
    return text[: rng.randint(len("\n".join(lines[:5])), len(text))].split("\n")


ROWS = [reverse, swap_rows, repeat_row, lose_row, lose_header, name_twice, change_field(empty_field)]
WIDTHS = [insert_text, lose_separator, cut_text, change_field(lose_field), change_field(add_field)]
ENCODINGS = [
    str.encode,
    lambda t: t.encode("utf-16"),
    lambda t: t.encode("utf-8-sig"),
    lambda t: gzip.compress(t.encode()),
    packed,
]


@given(
    st.lists(st.sampled_from(ROWS), max_size=3),
    st.sampled_from([[], ["cut"], *([fault] for fault in WIDTHS)]),
    st.sampled_from(ENCODINGS),
    st.integers(0, 2**32 - 1),
)
@PROPERTY
def test_whatever_happens_to_a_file_no_value_is_silently_wrong(tmp_path, faults, width, encode, seed):
    """Of the faults that change how many fields a row has there is one at most: two in one row may cancel."""
    rng = random.Random(seed)
    lines = table("Date,Open,High,Low,Close,Volume", plain, bars=BARS[:8]).splitlines()
    for fault in [*faults, *(fault for fault in width if fault != "cut")]:
        lines = fault(lines, rng)
    content = encode("\n".join(lines))
    if width == ["cut"]:
        content = content[: rng.randint(len(encode("\n".join(lines[:5]))), len(content))]
    path = written(tmp_path, content)
    for read, columns in ((read_bars, OHLC), (lambda path, **more: read_prices(path, **more).to_frame(), ["close"])):
        for choices in ({}, {"order": "newest first", "missing": "drop", "dayfirst": True}):
            found = outcome(lambda read=read, choices=choices: read(path, **choices))
            if isinstance(found, str):
                assert found.isprintable()
                continue
            assert found.index.is_monotonic_increasing
            assert found.index.is_unique
            assert found.index.isin(BARS.index).all()
            pd.testing.assert_frame_equal(found[columns], BARS.loc[found.index, columns], check_freq=False)


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b", b"PAR1", b"\xff\xfe", b"date,close\n2024-01-02,"]),
)
@PROPERTY
def test_no_bytes_make_more_than_a_line(tmp_path, noise, start):
    path = written(tmp_path, start + noise)
    found = outcome(lambda: read_prices(path))
    assert found.isprintable() if isinstance(found, str) else (found > 0).all()
