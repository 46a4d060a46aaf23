"""From a file as people have it to a report in one command; what is odd is named with its date, what is bad refused."""

import json

import numpy as np
import pandas as pd
import pytest

from companion._files import sha256_file
from companion._tables import read_table
from companion.backtest import Constant, run_backtest
from companion.cli import main
from companion.pipeline import _contenders
from companion.pipeline.backtest_walkforward import COLUMNS, KIND

FAST = ["--first-test", "500", "--refit-every", "250", "--n-resamples", "100"]
DAYS = pd.bdate_range("2000-01-03", periods=900, name="date")
QUIET_AND_LOUD = np.where(np.arange(900) % 300 < 220, 0.7, 2.0)
CLOSE = pd.Series(100 * np.exp((np.random.default_rng(1).normal(0, 0.009, 900) * QUIET_AND_LOUD).cumsum()), DAYS)


@pytest.fixture(scope="module", autouse=True)
def one_baseline():
    """EWMA stands for the three that are refitted: the chain's tests run them all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_contenders, "BASELINES", {"EWMA K-Means": _contenders.BASELINES["EWMA K-Means"]})
        yield


def backtest(file, *more, out=None):
    out = out or file.with_name("report.json")
    return main(["backtest-walkforward", f"--prices={file}", f"--out={out}", *FAST, *more])


def write(tmp_path, close=CLOSE, **columns):
    file = tmp_path / "prices.csv"
    close.rename("Close").to_frame().assign(**columns).rename_axis("Date").to_csv(file)
    return file


def report_of(file):
    return json.loads(file.with_name("report.json").read_text())


def bytes_of(folder, stem):
    return [(folder / f"{stem}.{kind}").read_bytes() for kind in ("json", "html", "parquet")]


def test_a_file_of_prices_becomes_a_report_a_page_and_a_table(tmp_path, capsys):
    file = write(tmp_path)
    assert backtest(file) == 0
    report, page = report_of(file), (tmp_path / "report.html").read_text()
    assert "Of 11 strategies" in capsys.readouterr().out
    assert not any("failed" in row for row in report["strategies"].values())
    assert report["best"]["n_trials"] == len(report["strategies"]) == 12
    assert report["notes"] == []
    assert page.count("Plotly.newPlot") == 4
    table, source = read_table(tmp_path / "report.parquet", kind=KIND, columns=COLUMNS, made_by="backtest-walkforward")
    assert source == report["provenance"]
    assert source["inputs"]["prices"] == {"file": "prices.csv", "sha256": sha256_file(file)}
    for name, of_one in table.groupby("strategy"):
        assert list(of_one["date"]) == list(DAYS[500:])
        np.testing.assert_allclose(of_one["equity"], (1 + of_one["returns"]).cumprod(), rtol=1e-12)
        assert of_one["equity"].iloc[-1] - 1 == pytest.approx(report["strategies"][name]["total_return"], rel=1e-12)


def test_no_fit_saw_the_bars_that_it_was_asked_about(tmp_path):
    file = write(tmp_path)
    assert backtest(file) == 0
    strategies = report_of(file)["strategies"]
    for window in strategies["EWMA K-Means"]["audit"]:
        assert window["fitted"] == "window"
        assert window["fit_last"] < window["test_first"]
        assert window["fit_last_date"] < window["test_first_date"]
    assert [window["fitted"] for window in strategies["universal filter"]["audit"]] == ["before"]
    assert strategies["universal filter"]["audit"][0]["fit_last_date"] is None


def test_the_constant_exposure_is_as_large_as_the_strategy_was_on_average(tmp_path):
    file = write(tmp_path)
    assert backtest(file, "--half-spread-bp", "5") == 0
    fair = report_of(file)["strategies"]["200-day average"]["constant_exposure"]
    table = pd.read_parquet(tmp_path / "report.parquet")
    weights = table.loc[table["strategy"] == "200-day average", "position"]
    assert fair["weight"] == pytest.approx(weights.iloc[:-1].mean(), abs=1e-12)
    tested = CLOSE.iloc[500:].round(14)
    same = run_backtest(tested, Constant(fair["weight"])(tested), cost_bp=10.0, half_spread_bp=5.0)
    assert fair["cagr"] == pytest.approx(same.performance().cagr, rel=1e-9)


def test_what_was_run_can_be_run_again_from_its_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, **{"Adj Close": CLOSE * 0.5})
    first = ["--prices", "prices.csv", "--adjusted", "no", "--cost-bp", "7", "--seed", "3", *FAST]
    assert main(["backtest-walkforward", *first, "--out", "report.json"]) == 0
    assert main(["backtest-walkforward", "--config", "report.json", "--out", "again.json"]) == 0
    assert bytes_of(tmp_path, "again") == bytes_of(tmp_path, "report")
    write(tmp_path, CLOSE * 1.5, **{"Adj Close": CLOSE})
    capsys.readouterr()
    assert main(["backtest-walkforward", "--config", "report.json", "--out", "other.json"]) == 2
    assert "prices.csv: sha256 is" in capsys.readouterr().err
    assert not (tmp_path / "other.json").exists()


def with_row(row, value):
    def change(close):
        text = close.astype(str)
        text.iloc[row] = value
        return text

    return change


def swapped(close):
    order = np.arange(900)
    order[[10, 11]] = 11, 10
    return close.iloc[order]


@pytest.mark.parametrize(
    ("change", "flags", "says"),
    [
        (with_row(40, ""), [], "close: row 41: '' (2000-02-28) is no value: --missing drop leaves such rows out"),
        (with_row(40, "NaN"), [], "row 41: 'NaN' (2000-02-28) is no value"),
        (with_row(40, "0"), [], "row 41 (2000-02-28): price is 0: prices are above zero"),
        (with_row(40, "-37.63"), [], "row 41 (2000-02-28): price is -37.63"),
        (with_row(40, "inf"), [], "row 41"),
        (with_row(40, "1e9"), [], "row 41 (2000-02-28): price is 1e+09 after"),
        (lambda close: close.iloc[[*range(11), *range(10, 900)]], [], "row 12 (2000-01-17): the same date"),
        (swapped, [], "row 12 (2000-01-17): earlier than the row before: sort the rows"),
        (lambda close: close[::-1], [], "from newest to oldest: give --order 'newest first'"),
        (
            lambda close: close.iloc[:600],
            [],
            "600 bars, but these settings need 751; take --first-test 349 --refit-every 251",
        ),
        (
            lambda close: close.drop(close.index[600:650]),
            [],
            "nothing for 73 days after row 100 (2002-04-19 00:00:00): give the bars on one side of the gap, or "
            "--bars-per-year",
        ),
        (lambda close: close * 0 + 5, [], "the price never changes"),
        (
            lambda close: close.set_axis(close.index.strftime("%d/%m/%Y")).iloc[:8],
            [],
            "'03/01/2000' and all others may begin with the day or the month: give --dayfirst yes or --dayfirst no",
        ),
        (lambda close: close, ["--column", "last"], "column 'last' is not there"),
        (lambda close: close, ["--order", "newest"], "--order: order must be one of"),
        (lambda close: close, ["--adjusted", "perhaps"], "--adjusted must be yes or no"),
        (lambda close: close, ["--adjusted", "yes"], "column 'Adj Close' is not there"),
        (lambda close: close, ["--regimes", "regimes.parquet"], "--prices and --regimes: one takes the place"),
    ],
)
def test_what_would_spoil_the_result_is_refused_with_its_date_and_a_remedy(tmp_path, capsys, change, flags, says):
    file = write(tmp_path, change(CLOSE))
    assert backtest(file, *flags) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error
    assert [path.name for path in tmp_path.iterdir()] == ["prices.csv"]


def test_two_kinds_of_close_are_asked_for_by_flag(tmp_path, capsys):
    file = write(tmp_path, **{"Adj Close": CLOSE / 2})
    assert backtest(file) == 2
    assert "give --adjusted yes (splits and dividends taken out) or --adjusted no" in capsys.readouterr().err
    assert backtest(file, "--adjusted", "yes") == 0


def test_flags_about_a_file_need_a_file(tmp_path, capsys):
    status = main(["backtest-walkforward", "--column", "x", f"--out={tmp_path}/report.json"])
    assert status == 2
    assert "--column: column says how to read a file, and there is none: give prices" in capsys.readouterr().err


def test_the_page_or_the_table_never_overwrites_the_prices(tmp_path, capsys):
    file = tmp_path / "prices.parquet"
    CLOSE.rename("close").to_frame().to_parquet(file)
    assert backtest(file, out=tmp_path / "prices.json") == 2
    assert "prices.parquet, written beside it, is an input" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (with_row([40, 41], ""), "2 rows without a price are left out, the first of 2000-02-28: give their closes"),
        (lambda close: close.drop(close.index[600:620]), "1 long gap, the longest of 31 days after 2002-04-19"),
        (
            lambda close: close.where(close.index < "2002-05-01", close / 2),
            "1 bar with a move like that of a split, the first by a factor of",
        ),
        (lambda close: close.where(np.arange(900) % 900 < 700, close.iloc[700]).add(np.arange(900) == 899), "equal to"),
    ],
)
def test_what_is_odd_is_counted_and_dated_in_the_report(tmp_path, change, says):
    file = write(tmp_path, change(CLOSE))
    assert backtest(file, "--missing", "drop") == 0
    notes = report_of(file)["notes"]
    assert any(note.startswith("Prices: ") and says in note for note in notes), notes
    assert says in (tmp_path / "report.html").read_text()


def test_mixed_frequencies_are_noted_and_the_shipped_detectors_decline(tmp_path):
    mixed = pd.concat(
        [CLOSE.iloc[:700], CLOSE.iloc[700:].set_axis(pd.date_range(DAYS[700], periods=200, freq="W-FRI"))]
    )
    file = write(tmp_path, mixed)
    assert backtest(file) == 0
    report = report_of(file)
    assert any("mixed frequencies: a bar comes every 1 days at first, every 7" in note for note in report["notes"])
    for name in ("Mamba K-Means", "index filter", "universal filter", "universal filter, desk"):
        reason = report["strategies"][name]["failed"]
        assert reason.startswith("not applicable, for it knows daily bars only: prices: date: row 70")
        assert f"{name} is not reported: {reason}." in report["notes"]
    assert "failed" not in report["strategies"]["EWMA K-Means"]


@pytest.mark.parametrize("scale", [0.05, 6.0])
def test_a_detector_declines_prices_of_a_scale_that_it_does_not_know(tmp_path, scale):
    close = 100 * (CLOSE / 100) ** scale
    file = write(tmp_path, close)
    assert backtest(file) == 0
    strategies = report_of(file)["strategies"]
    for name in _contenders.SHIPPED:
        reason = strategies[name]["failed"]
        assert reason.startswith("not applicable on 400 of 400 bars, the first on 2001-12-03: it knows returns of 0.2%")
    assert strategies["EWMA K-Means"].get("failed") is None


def test_a_detector_is_flat_on_the_few_days_of_another_scale(tmp_path):
    returns = np.log(CLOSE).diff()
    returns.iloc[880] = 1.5
    file = write(tmp_path, 100 * np.exp(returns.fillna(0).cumsum()))
    assert backtest(file) == 0
    report = report_of(file)
    what = f"flat on 20 of 400 bars, the first on {DAYS[880]:%Y-%m-%d}: it knows returns of 0.2% to 3.0% a bar"
    for name in (*_contenders.SHIPPED, _contenders.DESK):
        assert any(note.startswith(f"{name} is {what}") for note in report["notes"])
    table = pd.read_parquet(tmp_path / "report.parquet")
    late = table[(table["date"] > DAYS[880]) & table["strategy"].str.contains("Mamba|filter")]
    assert late["position"].abs().max() == 0


@pytest.fixture(scope="module")
def of_plain(tmp_path_factory):
    """What the report says of a plain file of date and close."""
    file = write(tmp_path_factory.mktemp("plain"), LATER)
    assert backtest(file) == 0
    return report_of(file)["strategies"]


LATER = CLOSE.round(6).set_axis(pd.bdate_range("2018-01-01", periods=900))
YAHOO = "Date,Open,High,Low,Close,Adj Close,Volume", "%Y-%m-%d", "{d},{c},{c},{c},{c},{c},100", ["--adjusted", "no"]
STOOQ = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>", "%Y%m%d"
KLINE = "{d},{c},{c},{c},{c},1,{d},1,1,1,1,0"


@pytest.mark.parametrize(
    ("header", "day", "row", "flags"),
    [
        YAHOO,
        (*STOOQ, "^X,D,{d},000000,{c},{c},{c},{c},0,0", []),
        ("Date,Open,High,Low,Close,Volume", "%Y-%m-%d", "{d},{c},{c},{c},{c},0", []),
        ("", "", KLINE, []),
        ("Open time,Open,High,Low,Close,Volume,Close time,a,b,c,d,e", "", KLINE, []),
        ("DATE,CLOSE", "%Y-%m-%d 00:00:00-05:00", "{d},{c}", []),
        ("timestamp,close", "%Y-%m-%dT21:00:00Z", "{d},{c}", []),
        ("date;close", "%d.%m.%Y", "{d};{c}", []),
    ],
)
def test_files_as_people_have_them_give_the_same_report(tmp_path, of_plain, header, day, row, flags):
    file = tmp_path / "prices.csv"
    stamps = LATER.index.strftime(day) if day else (LATER.index.asi8 // 10**6).astype(str)
    lines = [row.format(d=date, c=f"{close:.6f}") for date, close in zip(stamps, LATER, strict=True)]
    file.write_text("\n".join([header, *lines] if header else lines) + "\n")
    assert backtest(file, *flags) == 0
    assert report_of(file)["strategies"] == of_plain
