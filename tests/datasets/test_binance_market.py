"""Recorded bars and quotes: read to the last digit from any form of the file, or one error that names the line."""

import gzip
import re
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from companion.datasets import Gap, read_book_ticker, read_klines
from companion.datasets._binance_files import LAYOUTS
from companion.datasets._market_arrays import MINUTE_NS
from companion.errors import InputError

PROPERTY = settings(
    derandomize=True, deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
KLINES, TICKER = (",".join(LAYOUTS[kind].columns) for kind in ("klines", "bookTicker"))
PLAIN = "timestamp,open,high,low,close,volume"
MIDNIGHT = int(datetime(2024, 1, 15, tzinfo=UTC).timestamp() * 1000)


def kline(minute: int, *, unit: int = 1, prices: str = "42500.1,42510.0,42490.5,42505.3", volume: str = "3.25") -> str:
    opened = (MIDNIGHT + 60_000 * minute) * unit
    return f"{opened},{prices},{volume},{opened + 60_000 * unit - 1},138125.5,77,1.5,63000.1,0"


def quote(number: int, *, ms: int | None = None, unit: int = 1, bid: str = "42500.1", ask: str = "42500.2") -> str:
    time = (MIDNIGHT + (100 * number if ms is None else ms)) * unit
    return f"{3831603310013 + number},{bid},1.404,{ask},4.941,{time},{time + 5 * unit}"


def plain(minute: int, *, volume: str = "2300413.7295") -> str:
    stamp = pd.Timestamp(MIDNIGHT, unit="ms") + pd.Timedelta(minutes=minute)
    return f"{stamp:%Y-%m-%d %H:%M:%S.%f},46319.0,46385.0,46319.0,46377.0,{volume}"


def written(folder: Path, *lines: str, name: str = "market.csv", packed: str = "") -> Path:
    content = "".join(f"{line}\n" for line in lines).encode()
    path = folder / (name + packed)
    if packed == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, content)
    else:
        path.write_bytes(gzip.compress(content) if packed == ".gz" else content)
    return path


@pytest.mark.parametrize("packed", ["", ".zip", ".gz"])
@pytest.mark.parametrize("unit", [1, 1000])
@pytest.mark.parametrize("header", [True, False])
def test_a_kline_is_known_at_its_close(tmp_path, header, unit, packed):
    lines = [KLINES] * header + [kline(minute, unit=unit) for minute in range(3)]
    found = read_klines(written(tmp_path, *lines, packed=packed))
    assert found.bars.time_ns.tolist() == [MIDNIGHT * 10**6 + MINUTE_NS * k for k in (1, 2, 3)]
    bar = [getattr(found.bars, name)[1] for name in ("open", "high", "low", "close", "volume")]
    assert bar == [42500.1, 42510.0, 42490.5, 42505.3, 3.25]
    assert (found.n_lines, found.n_disordered, found.n_repeated, found.gaps, found.n_missing) == (3, 0, 0, (), 0)


@pytest.mark.parametrize("packed", ["", ".zip", ".gz"])
@pytest.mark.parametrize("unit", [1, 1000])
@pytest.mark.parametrize("header", [True, False])
def test_a_quote_has_its_transaction_time(tmp_path, header, unit, packed):
    lines = [TICKER] * header + [quote(k, unit=unit) for k in range(3)]
    found = read_book_ticker(written(tmp_path, *lines, packed=packed))
    assert found.quotes.time_ns.tolist() == [(MIDNIGHT + 100 * k) * 10**6 for k in range(3)]
    values = [getattr(found.quotes, name)[2] for name in ("bid", "ask", "bid_size", "ask_size")]
    assert values == [42500.1, 42500.2, 1.404, 4.941]
    assert (found.n_lines, found.n_disordered, found.n_repeated, found.gaps) == (3, 0, 0, ())


def test_gaps_are_reported(tmp_path):
    found = read_klines(written(tmp_path, *(kline(m) for m in (0, 1, 5, 6, 8))))
    close = MIDNIGHT * 10**6 + MINUTE_NS
    assert found.gaps == (
        Gap(close + MINUTE_NS, close + 5 * MINUTE_NS),
        Gap(close + 6 * MINUTE_NS, close + 8 * MINUTE_NS),
    )
    assert found.n_missing == 4
    assert found.gaps[0].seconds == 240
    path = written(tmp_path, quote(0), quote(1, ms=60_000), quote(2, ms=120_001))
    assert [gap.seconds for gap in read_book_ticker(path).gaps] == [60.001]
    assert len(read_book_ticker(path, longest_pause_s=59).gaps) == 2


def test_disorder_is_sorted_and_repetition_taken_once_and_both_are_counted(tmp_path):
    first = written(tmp_path, KLINES, *(kline(m) for m in (2, 0, 1)), name="a.csv")
    second = written(tmp_path, *(kline(m) for m in (2, 3)), name="b.csv")
    found = read_klines([second, first])
    assert (np.diff(found.bars.time_ns) == MINUTE_NS).all()
    assert (len(found.bars), found.n_lines, found.n_disordered, found.n_repeated) == (4, 5, 1, 1)
    path = written(tmp_path, quote(1), quote(0), quote(1), quote(3, ms=100), quote(2, ms=100, bid="42500.0"))
    quotes = read_book_ticker(path)
    assert (len(quotes.quotes), quotes.n_lines, quotes.n_disordered, quotes.n_repeated) == (4, 5, 1, 1)
    assert quotes.quotes.bid.tolist() == [42500.1, 42500.1, 42500.0, 42500.1]  # of one time: by the update id


def test_rows_that_contradict_each_other_are_named(tmp_path):
    path = written(tmp_path, KLINES, kline(0), kline(1), kline(0, volume="4"))
    with pytest.raises(InputError, match=r"csv: line 4: has the time_ns of .*csv: 2, but volume 4.0 and not 3.25"):
        read_klines(path)
    path = written(tmp_path, quote(0), quote(0, ms=7))
    with pytest.raises(InputError, match=r"line 2: has the update_id of .*csv: 1, but time_ns"):
        read_book_ticker(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (kline(1, prices="42500.1,42400,42490.5,42505.3"), "line 3: high must be at least open and close, got 42400.0"),
        (kline(1, prices="1,2,1,nan"), "line 3: close 'nan' is not a number: correct or remove it"),
        (kline(1, prices="1,2,1,1_0"), r"line 3: close '1\?0' is not a number"),
        (kline(1, prices="1,2,1,"), "line 3: close '' is not a number"),
        (kline(1, prices="1,1e999,1,1"), "line 3: high '1e999' is not a number"),
        (kline(1, prices="-1,2,-1,1"), "line 3: open must be a positive number, got -1.0"),
        (kline(1, volume="-2"), "line 3: volume must be a number from 0 on, got -2.0"),
        (kline(1, prices="1,2,1"), "line 3: has 11 fields, not 12"),
        (
            kline(1).replace(str(MIDNIGHT + 60_000), "1.73569E+12"),
            "line 3: open_time '1.73569E.12' is not a time in ms",
        ),
        (kline(1).replace(str(MIDNIGHT + 60_000), "1705"), "line 3: open_time '1705' is not a time in ms"),
        (kline(1).replace(str(MIDNIGHT + 119_999), str(MIDNIGHT + 359_999)), "line 3: 299.999 s from open_time"),
        (kline(0.5), "line 3: open_time '1705276830000.0' is not a time in ms"),
        ("", "line 3: has 1 fields, not 12"),
    ],
)
def test_a_kline_that_can_not_be_used_is_named(tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        read_klines(written(tmp_path, KLINES, kline(0), line, kline(2)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (quote(1, bid="42500.3"), "line 2: bid must be at most ask, the quote is crossed, got 42500.3"),
        (quote(1, ask="inf"), "line 2: best_ask_price 'inf' is not a number"),
        (quote(1, bid="0"), "line 2: bid must be a positive number, got 0.0"),
        (quote(1).removesuffix("5"), "line 2: event_time '[0-9]+' is not a time in ms or µs from 2009 to 2100"),
        (quote(1).replace("3831603310014", "x"), "line 2: update_id 'x' is not an integer"),
    ],
)
def test_a_quote_that_can_not_be_used_is_named(tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        read_book_ticker(written(tmp_path, quote(0), line, quote(2)))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "holds no line of data"),
        ((KLINES,), "holds no line of data"),
        (("time,price", "1,2"), "header is 'time,price': give the columns open_time"),
        ((PLAIN, "2024-02-30 00:00:00,1,1,1,1,1"), "line 2: timestamp '2024-02-30 00:00:00' is not a time like"),
        ((PLAIN, "2024-02-03 00:00:30,1,1,1,1,1"), "line 2: time_ns must be a full minute"),
        ((PLAIN, "2024-02-03 00:00:00+01:00,1,1,1,1,1"), "line 2: timestamp .* is not a time like"),
        ((PLAIN, *(plain(5 * k) for k in range(4))), "no two bars are a minute apart: give one-minute bars"),
    ],
)
def test_a_file_that_is_none_of_minute_bars_is_refused(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        read_klines(written(tmp_path, *lines))


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="paths is empty"):
        read_klines([])
    with pytest.raises(ValueError, match="stamped must be 'open' or 'close', got 'middle'"):
        read_klines(tmp_path, stamped="middle")
    with pytest.raises(ValueError, match="longest_pause_s must be a positive finite number, got 0"):
        read_book_ticker(tmp_path, longest_pause_s=0)
    with pytest.raises(InputError, match="no such file"):
        read_klines(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match="is a folder"):
        read_book_ticker(tmp_path)


def test_the_minute_file_of_the_engines_repository_loads_without_loss(tmp_path):
    """A file of its layout, length and stamps: 45,031 minutes, 2021-12-31 23:01 to 2022-02-01 05:31, none missing."""
    stamps = pd.date_range("2021-12-31 23:01", "2022-02-01 05:31", freq="min").strftime("%Y-%m-%d %H:%M:%S.%f")
    rng = np.random.default_rng(0)
    close = 46_000.0 + np.cumsum(rng.integers(-20, 21, len(stamps)))
    open_, volume = np.append(46_000.0, close[:-1]), np.round(rng.lognormal(13, 1, len(stamps)), 4)
    high, low = np.maximum(open_, close) + 3, np.minimum(open_, close) - 3
    rows = zip(stamps, *(column.tolist() for column in (open_, high, low, close, volume)), strict=True)
    path = written(tmp_path, PLAIN, *(",".join(map(str, row)) for row in rows))
    for stamped, later_ns in (("open", MINUTE_NS), ("close", 0)):
        found = read_klines(path, stamped=stamped)
        assert (len(found.bars), found.n_lines, found.gaps, found.n_repeated) == (45_031, 45_031, (), 0)
        first, last = pd.to_datetime(found.bars.time_ns[[0, -1]] - later_ns)
        assert (str(first), str(last)) == ("2021-12-31 23:01:00", "2022-02-01 05:31:00")
    for name, column in (("open", open_), ("high", high), ("low", low), ("close", close), ("volume", volume)):
        assert (getattr(found.bars, name) == column).all()


@pytest.mark.parametrize("zone", [None, "UTC"])
@pytest.mark.parametrize("unit", ["ns", "us", "ms"])
def test_the_quotes_of_the_engines_repository_load_without_loss(tmp_path, unit, zone):
    """A file of its columns and length: 451 quotes of 46 seconds of a spot market, several of one time among them."""
    rng = np.random.default_rng(0)
    times = pd.Timestamp("2021-01-08 10:00", tz=zone) + pd.to_timedelta(
        np.sort(rng.integers(0, 46_001, 451)), unit="ms"
    )
    bid = np.round(39_432.99 + np.cumsum(rng.normal(0, 0.3, 451)), 2)
    sizes = np.round(rng.lognormal(0, 1, (2, 451)), 6)
    ask = np.round(bid + rng.choice([0.01, 0.63, 7.4], 451), 2)
    frame = pd.DataFrame({"timestamp": times.as_unit(unit), "symbol": "BTCUSDT", "ask_size": sizes[0], "ask": ask})
    path = tmp_path / "quotes.parquet"
    frame.assign(bid_size=sizes[1], bid=bid).to_parquet(path)
    found = read_book_ticker(path, longest_pause_s=5)
    assert (len(found.quotes), found.n_lines, found.n_disordered, found.n_repeated) == (451, 451, 0, 0)
    assert (found.quotes.time_ns == times.as_unit("ns").asi8).all()
    assert (found.quotes.bid == bid).all()
    assert (found.quotes.ask_size == sizes[0]).all()
    assert found.gaps == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bid": [9.0, None]}, "row 2: bid is missing"),
        ({"bid": [9.0, 11.0]}, "row 2: bid must be at most ask, the quote is crossed, got 11.0"),
        ({"bid": ["a", "b"]}, "column bid is .*string: store it as numbers"),
        ({"timestamp": [1, 2]}, "column timestamp is int64: store it as a timestamp"),
        (
            {"timestamp": pd.to_datetime(["2024-01-01", None])},
            "row 2: timestamp 'None' is not a time from 2009 to 2100",
        ),
        ({"symbol": ["BTCUSDT", "ETHUSDT"]}, "holds the symbols 'BTCUSDT, ETHUSDT': give one instrument"),
    ],
)
def test_a_table_of_quotes_that_can_not_be_used_is_refused(tmp_path, change, message):
    frame = pd.DataFrame({"timestamp": pd.to_datetime(["2024-01-01", "2024-01-02"]), "bid": [9.0, 9.0]})
    frame = frame.assign(ask=[10.0, 10.0], bid_size=[1.0, 1.0], ask_size=[1.0, 1.0]).assign(**change)
    frame.to_parquet(tmp_path / "quotes.parquet")
    with pytest.raises(InputError, match=message):
        read_book_ticker(tmp_path / "quotes.parquet")


def test_a_table_without_quotes_is_refused(tmp_path):
    pd.DataFrame({"price": [1.0]}).to_parquet(tmp_path / "trades.parquet")
    with pytest.raises(InputError, match="lacks the column timestamp among 'price': give quotes"):
        read_book_ticker(tmp_path / "trades.parquet")


prices = st.decimals("0.01", "99999", places=2)
sizes = st.decimals("0", "9999", places=3)


@PROPERTY
@given(
    st.lists(st.tuples(st.integers(0, 10**7), prices, prices, sizes, sizes), min_size=1, max_size=12),
    st.sampled_from(["", ".zip", ".gz"]),
    st.booleans(),
)
def test_any_sound_quotes_come_back_as_they_were_written(tmp_path, rows, packed, header):
    rows = [(ms, min(a, b), max(a, b), *rest) for ms, a, b, *rest in sorted(rows, key=lambda row: row[0])]
    lines = [f"{k},{bid},{n},{ask},{m},{MIDNIGHT + ms},{MIDNIGHT + ms}" for k, (ms, bid, ask, n, m) in enumerate(rows)]
    found = read_book_ticker(written(tmp_path, *[TICKER] * header, *lines, packed=packed)).quotes
    columns = (found.bid, found.ask, found.bid_size, found.ask_size)
    assert list(zip(*columns, strict=True)) == [tuple(map(float, row[1:])) for row in rows]
    assert found.time_ns.tolist() == [(MIDNIGHT + row[0]) * 10**6 for row in rows]


edits = st.lists(
    st.tuples(st.sampled_from("rid"), st.integers(0, 10**6), st.binary(min_size=1, max_size=3)), max_size=3
)


def mutated(content: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    """`content` after replacing, inserting and deleting bytes at some places."""
    for kind, where, new in changes:
        place = where % (len(content) + 1)
        rest = content[place + (0 if kind == "i" else len(new)) :]
        content = content[:place] + (b"" if kind == "d" else new) + rest
    return content


def outcome(read: Callable[[Path], Any], path: Path) -> tuple[Any, str]:
    """What was read, or the message of the error."""
    try:
        return read(path), ""
    except InputError as error:
        return None, str(error)


@pytest.mark.parametrize("packed", ["", ".zip", ".gz"])
@pytest.mark.parametrize(
    ("read", "lines"),
    [
        (read_klines, (KLINES, *(kline(m) for m in range(4)))),
        (read_klines, (PLAIN, *(plain(m) for m in range(4)))),
        (read_book_ticker, tuple(quote(k) for k in range(4))),
    ],
    ids=["klines", "plain", "quotes"],
)
def test_a_damaged_file_is_one_clear_error_or_every_line_of_it(tmp_path, read, lines, packed):
    path = written(tmp_path, *lines, packed=packed)
    whole = path.read_bytes()

    @settings(derandomize=True, deadline=None, max_examples=30)
    @given(edits, st.integers(0, 10**6))
    def check(changes, cut):
        content = mutated(whole, changes) if changes else whole[: cut % len(whole)]
        path.write_bytes(content)
        found, message = outcome(read, path)
        if found is None:
            assert re.fullmatch(rf"{re.escape(str(path))}: [^\n]+: [^\n]+", message)
            return
        assert len(found.bars if read is read_klines else found.quotes) == found.n_lines - found.n_repeated
        if not packed:
            n_lines = len(content.rstrip(b"\n").split(b"\n"))
            assert n_lines - found.n_lines in (0, 1)  # a header

    check()


def test_a_damaged_parquet_file_is_one_clear_error_or_all_of_it(tmp_path):
    frame = pd.DataFrame({"timestamp": pd.to_datetime(["2024-01-01", "2024-01-02"]), "bid": [9.0, 9.0]})
    path = tmp_path / "quotes.parquet"
    frame.assign(ask=10.0, bid_size=1.0, ask_size=1.0).to_parquet(path)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 97):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match=r"quotes\.parquet: "):
            read_book_ticker(path)
    for place in range(0, len(whole), 31):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x80]) + whole[place + 1 :])
        found, message = outcome(read_book_ticker, path)
        assert len(found.quotes) == 2 if found else re.fullmatch(r"\S+quotes\.parquet: [^\n]+: [^\n]+", message)
