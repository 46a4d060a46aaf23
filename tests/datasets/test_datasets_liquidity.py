"""Sizes by hour of day from files as they come: exact against numpy, and no file, however broken, stops or fools it."""

import gzip
import json
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from companion.datasets._binance_files import BLOCK, LAYOUTS
from companion.datasets._liquidity import calibrate_liquidity
from companion.errors import InputError

PROPERTY = settings(
    derandomize=True, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
QUOTES = ",".join(LAYOUTS["bookTicker"].columns)
CANDLES = ",".join(LAYOUTS["klines"].columns)
MIDNIGHT = int(datetime(2024, 1, 15, tzinfo=UTC).timestamp() * 1000)
SOUND = f"3831603310013,42500.10000000,1.40400000,42500.20000000,4.94100000,{MIDNIGHT},{MIDNIGHT + 5}"
TIME_WRONG = "transaction_time is not a time in ms or µs"


def quote(*, bid="1.0", ask="2.0", hour=0, bid_price="100.1", ask_price="100.2", unit=1):
    time = (MIDNIGHT + hour * 3_600_000) * unit
    return f"1,{bid_price},{bid},{ask_price},{ask},{time},{time}"


def kline(minute, *, buy="10", time="{}"):
    opened = MIDNIGHT + 60_000 * minute
    return f"{time.format(opened)},1,2,1,2,100.5,{opened + 59_999},1,7,{buy},1,0"


def written(tmp_path, *lines, name="quotes.csv", header=QUOTES):
    path = tmp_path / name
    path.write_bytes(
        b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in (header, *lines))
    )
    return path


@pytest.fixture(scope="module")
def market():
    """Bid and ask sizes on a grid of .001, and hours, of 5,000 quotes."""
    rng = np.random.default_rng(0)
    bid, ask = np.round(rng.lognormal(1.0, 1.2, (2, 5000)), 3)
    return bid, ask, rng.integers(0, 24, 5000)


def quotes_of(market, *, unit=1):
    return [quote(bid=f"{b:.8f}", ask=f"{a:.8f}", hour=h, unit=unit) for b, a, h in zip(*market, strict=True)]


@pytest.mark.parametrize("unit", [1, 1000])
def test_statistics_are_those_of_numpy_exactly(tmp_path, market, unit):
    bid, ask, hours = market
    calibration = calibrate_liquidity(written(tmp_path, *quotes_of(market, unit=unit)), trim=0.05)
    assert (calibration.n_lines, calibration.n_broken, calibration.broken) == (5000, 0, ())
    assert list(calibration.hours) == list(range(24))
    size = np.minimum(bid, ask)
    for found, sizes in [
        (calibration.whole_day, size),
        *((calibration.hours[hour], size[hours == hour]) for hour in range(24)),
    ]:
        exact = sorted(Decimal(f"{x:.3f}") for x in sizes)
        cut = int(Decimal("0.05") * len(exact))
        kept = exact[cut : len(exact) - cut]
        assert found.n == len(exact)
        assert found.median == exact[(len(exact) + 1) // 2 - 1]
        assert found.trimmed_mean == (sum(kept) / len(kept)).quantize(Decimal("1e-8"))
        for share, value in found.quantiles.items():
            assert float(value) == np.quantile(sizes, float(share), method="inverted_cdf")
    medians = {hour: found.median for hour, found in calibration.hours.items()}
    assert calibration.quietest.median == min(medians.values())
    assert {row["hour"]: row["median"] for row in calibration.table()} == medians


def test_header_zip_order_newlines_and_parts_do_not_matter(tmp_path, market):
    lines = quotes_of(market)
    expected = calibrate_liquidity(written(tmp_path, *lines))
    packed = tmp_path / "quotes.csv.gz"
    packed.write_bytes(gzip.compress("\n".join([QUOTES, *lines]).encode()))
    zipped = tmp_path / "quotes.zip"
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("quotes.csv", "\n".join([QUOTES, *lines]))
    same = [
        written(tmp_path, *lines[1:], name="bare.csv", header=lines[0]),
        written(tmp_path, *reversed(lines), name="order.csv"),
        written(tmp_path, *(line + "\r" for line in lines), name="dos.csv", header=QUOTES + "\r"),
        written(tmp_path, *lines, name="mark.csv", header="\ufeff" + QUOTES),
        written(tmp_path, *lines, name="glob [a-z]*?.csv"),
        zipped,
        packed,
        [
            written(tmp_path, *lines[:2000], name="1.csv"),
            written(tmp_path, *lines[2001:], name="2.csv", header=lines[2000]),
        ],
    ]
    for paths in same:
        assert calibrate_liquidity(paths) == expected


def test_candles_give_what_went_through_the_book(tmp_path):
    bars = [kline(minute, buy=buy) for minute, buy in enumerate(("10", "100.25", "30.125", "200", "-1"))]
    calibration = calibrate_liquidity(written(tmp_path, *bars, header=CANDLES), kind="klines")
    assert "takers" in calibration.measure
    assert calibration.whole_day.n == 3
    assert calibration.whole_day.median == Decimal("10")
    assert calibration.whole_day.quantiles["0.95"] == Decimal("30.125")
    assert [(line.line, line.reason) for line in calibration.broken] == [
        (5, "taker_buy_volume is not a number from 0 to volume"),
        (6, "taker_buy_volume is not a number from 0 to volume"),
    ]


def test_times_that_a_spreadsheet_has_rounded_are_broken_lines(tmp_path):
    """In milliseconds as in microseconds; two hours of minutes would all fall into one."""
    rounded = [f"{x:.5E}," + kline(i).partition(",")[2] for i in range(120) for x in [MIDNIGHT + 60_000 * i]]
    micro = [f"{1000.0 * x:.5E}," + kline(i).partition(",")[2] for i in range(120) for x in [MIDNIGHT + 60_000 * i]]
    sound = [kline(minute) for minute in range(120, 180)]
    calibration = calibrate_liquidity(written(tmp_path, *rounded, *micro, *sound, header=CANDLES), kind="klines")
    assert {hour: found.n for hour, found in calibration.hours.items()} == {2: 60}
    assert calibration.n_broken == 240
    assert {line.reason for line in calibration.broken} == {
        "open_time is a time that a spreadsheet has rounded, like 1.73569E+12"
    }


def test_a_kline_counts_once_and_a_quote_as_often_as_it_comes(tmp_path):
    """The first sound line of a time counts; a broken one before it takes nothing from it."""
    lines = [kline(0, buy="-1"), kline(0), kline(1), kline(0, buy="20"), kline(1)]
    calibration = calibrate_liquidity(written(tmp_path, *lines, header=CANDLES), kind="klines")
    assert [(line.line, line.reason) for line in calibration.broken] == [
        (2, "taker_buy_volume is not a number from 0 to volume"),
        (5, "open_time is that of an earlier line"),
        (6, "open_time is that of an earlier line"),
    ]
    assert calibration.whole_day.median == Decimal("10")
    assert calibrate_liquidity(written(tmp_path, SOUND, SOUND)).n_broken == 0


def test_without_duckdb_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(
        InputError, match=r"duckdb is not installed: pip install 'modeling-financial-chaos\[liquidity\]'"
    ):
        calibrate_liquidity(written(tmp_path, SOUND))


BROKEN = {
    "": "not 7 columns",
    "1,2,3": "not 7 columns",
    SOUND + ",": "not 7 columns",
    SOUND.replace(",", ";"): "not 7 columns",
    SOUND + "\r" + SOUND: "not 7 columns",
    "x" * (3 * BLOCK): "not 7 columns",
    ",".join(["1"] * BLOCK): "not 7 columns",
    QUOTES: TIME_WRONG,
    SOUND.replace(str(MIDNIGHT), str(MIDNIGHT // 1000)): TIME_WRONG,
    SOUND.replace(str(MIDNIGHT), str(MIDNIGHT * 1_000_000)): TIME_WRONG,
    SOUND.replace(str(MIDNIGHT), "9" * 30): TIME_WRONG,
    SOUND.replace(str(MIDNIGHT), f"-{MIDNIGHT}"): TIME_WRONG,
    quote(bid="-1"): "best_bid_qty is not a number from 0 on",
    quote(bid="nan"): "best_bid_qty is not a number from 0 on",
    quote(ask="inf"): "best_ask_qty is not a number from 0 on",
    quote(ask="1e15"): "best_ask_qty is not a number from 0 on",
    quote(ask="1e999"): "best_ask_qty is not a number from 0 on",
    quote(ask='"1.0"'): "best_ask_qty is not a number from 0 on",
    quote(ask="1_0"): "best_ask_qty is not a number from 0 on",
    quote(ask="1\x00"): "best_ask_qty is not a number from 0 on",
    quote(ask="1\x01"): "best_ask_qty is not a number from 0 on",
    quote(ask="٣"): "best_ask_qty is not a number from 0 on",
    quote(bid_price="0"): "best_bid_price is not a positive number",
    quote(ask_price=""): "best_ask_price is not a positive number",
    quote(bid_price="100.3"): "best_bid_price is above best_ask_price",
}


@pytest.mark.parametrize("header", [QUOTES, SOUND])
def test_each_broken_line_is_named_and_the_others_count(tmp_path, header):
    """Once each kind alone between sound lines, whose sizes are known, then all in one file."""
    lines = [line for broken in BROKEN for line in (SOUND, broken)]
    calibration = calibrate_liquidity(written(tmp_path, *lines, SOUND, header=header), n_named=100)
    assert calibration.n_broken == len(BROKEN)
    assert [line.line for line in calibration.broken] == list(range(3, 2 * len(BROKEN) + 2, 2))
    assert [line.reason for line in calibration.broken] == list(BROKEN.values())
    assert calibration.whole_day.n == len(BROKEN) + 1 + (header == SOUND)
    assert calibration.whole_day.median == Decimal("1.404")
    assert calibration.n_lines == calibration.n_broken + calibration.whole_day.n


def test_only_the_first_broken_lines_are_named(tmp_path):
    path = written(tmp_path, *[SOUND, "x"] * 50)
    calibration = calibrate_liquidity([path, path], n_named=60)
    assert calibration.n_broken == 100
    assert [line.line for line in calibration.broken] == [*range(3, 103, 2), *range(3, 23, 2)]
    assert calibrate_liquidity(path, n_named=0).broken == ()


# A field, a line, a file: from almost sound to noise.
FIELD = st.one_of(
    st.sampled_from([b"1", b"0.5", b"100", str(MIDNIGHT).encode(), str(MIDNIGHT * 1000).encode(), b"nan", b"-3"]),
    st.binary(max_size=12),
    st.integers().map(lambda i: str(i).encode()),
    st.floats().map(lambda x: repr(x).encode()),
)
LINE = st.one_of(
    st.just(SOUND.encode()), st.lists(FIELD, min_size=5, max_size=9).map(b",".join), st.binary(max_size=200)
)


@given(st.lists(LINE, max_size=30))
@PROPERTY
def test_no_bytes_stop_it_and_every_line_is_sound_or_named(tmp_path, lines):
    lines = [line.replace(b"\n", b"?") for line in lines]
    path = written(tmp_path, *lines, header=SOUND)
    calibration = calibrate_liquidity(path, n_named=100)
    assert calibration.n_lines == len(lines) + 1
    assert len(calibration.broken) == calibration.n_broken == calibration.n_lines - calibration.whole_day.n
    named = [broken.line for broken in calibration.broken]
    assert named == sorted(set(named))
    assert not {number for number, line in enumerate(lines, start=2) if line == SOUND.encode()} & set(named)
    assert sum(hour.n for hour in calibration.hours.values()) == calibration.whole_day.n
    for hour in calibration.hours.values():
        assert all(0 <= value < Decimal("1e15") for value in (hour.median, hour.trimmed_mean, *hour.quantiles.values()))


def test_unusable_files_are_refused_in_one_line(tmp_path):
    damaged = tmp_path / "damaged.zip"
    with zipfile.ZipFile(damaged, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("quotes.csv", "\n".join([SOUND] * 1000))
    content = bytearray(damaged.read_bytes())
    content[60:80] = b"\xff" * 20
    damaged.write_bytes(content)
    cut = tmp_path / "cut.zip"
    cut.write_bytes(bytes(content[:400]))
    wide, page = tmp_path / "wide.csv", tmp_path / "page.csv"
    wide.write_text(SOUND, encoding="utf-16")
    page.write_text("<!DOCTYPE html><title>404</title>")
    two = tmp_path / "two.zip"
    with zipfile.ZipFile(two, "w") as archive:
        archive.writestr("a.csv", SOUND)
        archive.writestr("b.csv", SOUND)
    other = QUOTES.replace("best_bid_price,best_bid_qty", "best_bid_qty,best_bid_price")
    moved = "best_bid_qty,best_bid_price,update_id" + QUOTES[len("update_id,best_bid_price,best_bid_qty") :]
    cases = {
        tmp_path / "missing.csv": "no such file",
        tmp_path: "is a folder",
        damaged: "damaged",
        cut: "damaged",
        wide: "is UTF-16 text",
        page: "is a web page",
        two: "holds 2 files",
        written(tmp_path, name="empty.csv"): "not one usable line of bookTicker among 0",
        written(tmp_path, "1,2", name="broken.csv"): "line 2: not 7 columns",
        written(tmp_path, SOUND, name="other.csv", header=other): "header is 'update_id,best_bid_qty",
        written(tmp_path, SOUND, name="moved.csv", header=moved): f"header is 'best_bid_qty.*give the columns {QUOTES}",
        written(tmp_path, SOUND, name="words.csv", header="no,data"): "header is 'no,data",
    }
    for path, message in cases.items():
        with pytest.raises(InputError, match=message) as refused:
            calibrate_liquidity(path)
        assert str(path) in str(refused.value)
        assert str(refused.value).isprintable()


def test_the_file_at_fault_is_the_one_that_is_named(tmp_path, monkeypatch):
    good, empty = written(tmp_path, SOUND, name="good.csv"), written(tmp_path, name="empty.csv")
    broken = written(tmp_path, "1,2", name="broken.csv")
    with pytest.raises(InputError, match=r"broken\.csv: not one usable line of bookTicker among 1; line 2"):
        calibrate_liquidity([empty, broken])

    def count(con, layout, number, file, n_named):
        if number == 1:
            raise duckdb.OutOfMemoryException("out of memory")

    monkeypatch.setattr("companion.datasets._liquidity.count_file", count)
    with pytest.raises(InputError, match=r"broken\.csv: out of memory: raise memory_mb"):
        calibrate_liquidity([good, broken, empty])


@pytest.mark.parametrize("size", ["12345678901.123", "0.00000001", "999999999999999.99999999"])
def test_a_size_is_the_decimal_number_in_the_file(tmp_path, size):
    found = calibrate_liquidity(written(tmp_path, quote(bid=size, ask=size))).whole_day
    assert (found.median, found.trimmed_mean, found.quantiles["0.95"]) == (Decimal(size),) * 3


def test_bad_arguments_are_named(tmp_path):
    path = written(tmp_path, SOUND)
    for name, value in [
        ("kind", "trades"),
        ("trim", "0.5"),
        ("trim", "x"),
        ("quantiles", ["0.5", "nan"]),
        ("quantiles", [1]),
        ("quantiles", ["0.1", 0.1]),
        ("scratch", tmp_path / "nowhere"),
        ("n_named", -1),
        ("memory_mb", 1),
        ("threads", 0),
    ]:
        with pytest.raises(ValueError, match=name):
            calibrate_liquidity(path, **{name: value})
    with pytest.raises(ValueError, match="paths"):
        calibrate_liquidity([])


def test_nothing_is_left_behind(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = written(tmp_path, SOUND + "\r", "x")
    calibrate_liquidity(path, scratch=scratch)
    with pytest.raises(InputError):
        calibrate_liquidity(written(tmp_path, "x\r", name="bad.csv"), scratch=scratch)
    assert list(scratch.iterdir()) == []


# VmHWM, because getrusage's figure is inherited from the process that started this one.
MEASURE = r"""
import json, re, sys
from pathlib import Path
from companion.datasets._liquidity import calibrate_liquidity
found = calibrate_liquidity(sys.argv[1])
peak = 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps([peak, found.n_lines, str(found.whole_day.median), str(found.whole_day.trimmed_mean)]))
"""


def test_by_default_memory_stays_bounded_even_if_no_size_repeats(tmp_path):
    """Two million sizes .001, .002, …, shuffled, in a zip: enough to fill the memory; five times as many add 15 MB."""
    n, path = 2_000_000, tmp_path / "worst.zip"
    with duckdb.connect() as con:
        con.execute(
            f"""COPY (SELECT 1, 1, ((i * 1000003) % {n} + 1) / 1000, 2, 1000000, {MIDNIGHT} + i * 7919 % 86400 * 1000, 1
            FROM range({n}) AS t(i)) TO '{tmp_path / "worst.csv"}' (HEADER false)"""
        )
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "worst.csv")
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    peak, *found = json.loads(done.stdout)
    assert found == [n, "1000.00000000", "1000.00050000"]
    assert peak < 450e6
