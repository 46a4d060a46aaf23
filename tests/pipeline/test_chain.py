"""The four steps in a row on a small market: what comes out, what is refused, what an interrupt leaves."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from companion._tables import write_table
from companion.backtest import ZeroOne
from companion.cli import main
from companion.datasets import read_prices
from companion.errors import InputError
from companion.mamba import MarketMamba
from companion.pipeline import generate_heston
from companion.pipeline._backtest_settings import BacktestConfig
from companion.pipeline._contenders import BASELINES, Contest, Recorded
from companion.pipeline._prices import check_daily
from companion.pipeline.extract_regimes import (
    COLUMNS,
    KIND,
    ExtractRegimesConfig,
    fit_detector,
    fresh_paths,
    read_day_by_day,
    read_regimes,
)
from companion.pipeline.generate_heston import read_paths

INPUTS = {"market": "heston.parquet", "model": "model.safetensors", "regimes": "regimes.parquet"}
TRAIN = ["--steps", "3", "--batch", "4", "--length", "64"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A finished run of the chain on 40 short paths and 900 days of prices."""
    folder = tmp_path_factory.mktemp("chain")
    day = pd.bdate_range("2000-01-03", periods=900, name="date")
    steps = np.random.default_rng(1).normal(0, 0.01, len(day)) * np.where(np.arange(len(day)) % 300 < 220, 0.7, 2.5)
    pd.Series(100 * np.exp(steps.cumsum()), day, name="close").to_csv(folder / "prices.csv")
    assert generate(folder) == 0
    assert train(folder) == 0
    assert extract(folder) == 0
    assert backtest(folder) == 0
    return folder


def generate(folder, *more):
    return main(["generate-heston", "--paths", "40", "--bars", "500", "--out", f"{folder}/heston.parquet", *more])


def train(folder, *more):
    files = ["--market", f"{folder}/heston.parquet", "--out", f"{folder}/model.safetensors"]
    return main(["train-mamba", *files, *TRAIN, *more])


def extract(folder, *more, prices=None):
    files = [
        f"--{name}={folder}/{file}" for name, file in (("model", "model.safetensors"), ("market", "heston.parquet"))
    ]
    prices = prices or f"{folder}/prices.csv"
    return main(["extract-regimes", *files, f"--out={folder}/regimes.parquet", f"--prices={prices}", *more])


def backtest(folder, *more):
    files = ["--regimes", f"{folder}/regimes.parquet", "--out", f"{folder}/backtest.json"]
    windows = ["--first-test", "500", "--refit-every", "250", "--n-resamples", "100"]
    return main(["backtest-walkforward", *files, *windows, *more])


def bytes_of(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def copy(folder, place):
    shutil.copytree(folder, place, dirs_exist_ok=True)


def test_the_paths_are_those_of_the_simulation(folder):
    returns, regime = read_paths(folder / "heston.parquet")
    assert returns.shape == regime.shape == (40, 500)
    assert set(np.unique(regime)) == {0, 1}
    assert returns[regime == 1].std() > 1.5 * returns[regime == 0].std()


def test_an_ensemble_too_large_to_train_on_is_refused(folder, capsys, monkeypatch):
    monkeypatch.setattr(generate_heston, "MOST_BARS", 40 * 500 - 1)
    refused(train(folder), capsys, "heston.parquet", "40 paths of 500 bars", "generate fewer with --paths")


def test_a_scheduler_that_is_not_there_is_refused(tmp_path, capsys):
    pytest.importorskip("distributed")
    refused(generate(tmp_path, "--scheduler=nowhere://1:1"), capsys, "--scheduler nowhere://1:1: no scheduler answers")
    assert bytes_of(tmp_path) == {}


def test_every_day_has_a_regime_and_its_probability(folder):
    table, _ = read_regimes(folder / "regimes.parquet")
    prices = pd.read_csv(folder / "prices.csv", parse_dates=["date"]).set_index("date")["close"]
    pd.testing.assert_series_equal(table["close"], prices.iloc[1:])
    assert table[["p_chaos", "confidence"]].to_numpy().min() >= 0
    assert table[["p_chaos", "confidence"]].to_numpy().max() <= 1


def test_the_report_has_every_strategy_with_its_interval(folder):
    report = json.loads((folder / "backtest.json").read_text())
    detectors = ["Mamba K-Means", "index filter", "universal filter", "EWMA K-Means", "GARCH K-Means", "Gaussian HMM"]
    names = ["buy & hold", "volatility target", "200-day average", "universal filter, desk", *detectors]
    names += [f"{name}, dimmer" for name in detectors]
    assert sorted(report["strategies"]) == sorted(names)
    for row in report["strategies"].values():
        assert row["sharpe_interval"]["low"] <= row["sharpe"] <= row["sharpe_interval"]["high"]
    settings = report["provenance"]["config"]
    assert (settings["delay"], settings["cost_bp"]) == (1, 10.0)
    page = (folder / "backtest.html").read_text()
    assert all(name.replace("&", "&amp;") in page for name in names)
    assert page.count("Plotly.newPlot") >= 3
    assert "<script src=" not in page  # plotly.js is inside: the page opens without a network
    assert "http" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_a_second_run_gives_the_same_bytes(folder, tmp_path):
    (tmp_path / "prices.csv").write_bytes((folder / "prices.csv").read_bytes())
    assert [step(tmp_path) for step in (generate, train, extract, backtest)] == [0, 0, 0, 0]
    first, second = bytes_of(folder), bytes_of(tmp_path)
    assert first.keys() == second.keys()
    for name in first:
        assert first[name] == second[name], name


def test_a_link_to_a_folder_stays_a_link_and_what_it_leads_to_is_replaced(folder, tmp_path):
    disk = tmp_path / "disk.parquet"
    (tmp_path / "heston.parquet").symlink_to(disk)
    for paths in ("40", "41", "41"):
        assert generate(tmp_path, "--paths", paths) == 0
        assert (tmp_path / "heston.parquet").is_symlink()
        assert len(read_paths(disk)[0]) == int(paths)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[0] != ".") == ["disk.parquet", "heston.parquet"]


def test_a_model_in_double_precision_reads_prices_too(folder, tmp_path):
    copy(folder, tmp_path)
    assert train(tmp_path, "--dtype", "float64") == 0
    assert extract(tmp_path) == 0


def test_one_other_price_is_another_provenance(folder, tmp_path):
    copy(folder, tmp_path)
    prices = pd.read_csv(tmp_path / "prices.csv")
    prices.loc[700, "close"] *= 1.0001
    prices.to_csv(tmp_path / "prices.csv", index=False)
    assert extract(tmp_path) == 0
    before, after = (read_regimes(place / "regimes.parquet")[1]["inputs"] for place in (folder, tmp_path))
    assert before["prices"] != after["prices"]
    assert before["model"] == after["model"]


def test_tomorrow_does_not_move_yesterdays_decision(folder):
    prices = read_prices(folder / "prices.csv")
    changed = prices.copy()
    changed.iloc[800:] *= 1.3
    paths = fresh_paths(folder / "heston.parquet", seed=0)
    detector = fit_detector(MarketMamba.load(folder / "model.safetensors"), paths, ExtractRegimesConfig())
    config = BacktestConfig(first_test=500, refit_every=250)

    def positions(close):
        table = read_day_by_day(detector.reset(), close, ignore)
        contest = Contest(close.iloc[1:], config, ZeroOne())
        contest.run(ignore, model=Recorded(table["p_chaos"].to_numpy()[1:]))
        assert not contest.failed
        return {name: each.backtest.position for name, each in contest.tried.items()}

    before, after = positions(prices), positions(changed)
    known = 800 - 1 - 500 + config.delay  # the first changed close is bar 799, and is acted on a bar later
    for name in before:
        np.testing.assert_array_equal(before[name][:known], after[name][:known], err_msg=name)
    assert any((before[name][known:] != after[name][known:]).any() for name in before)


def ignore(done, total):
    """Report no progress."""


def refused(status, capsys, *says):
    error = capsys.readouterr().err
    assert status == 2
    assert error.count("\n") == 1
    for text in says:
        assert text in error


@pytest.mark.parametrize(
    ("step", "file", "made_by"),
    [(train, "heston.parquet/part-00000.parquet", "generate-heston"), (backtest, "regimes.parquet", "extract-regimes")],
)
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_step_refuses_a_damaged_input_and_keeps_its_old_output(folder, tmp_path, capsys, step, file, made_by, damage):
    copy(folder, tmp_path)
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).unlink() if damage == "missing" else (tmp_path / file).write_bytes(whole[: len(whole) // 2])
    before = bytes_of(tmp_path)
    refused(step(tmp_path), capsys, file.partition("/")[0], f"companion {made_by}")
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_extraction_refuses_a_damaged_model(folder, tmp_path, capsys, damage):
    copy(folder, tmp_path)
    model = tmp_path / "model.safetensors"
    model.unlink() if damage == "missing" else model.write_bytes(model.read_bytes()[:-50])
    before = bytes_of(tmp_path)
    refused(extract(tmp_path), capsys, "model.safetensors")
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize(
    ("column", "row", "value", "says"),
    [
        ("close", 5, "nan", "close"),
        ("close", 5, "-3", "close"),
        ("close", 5, "0", "close"),
        ("date", 5, "1999-01-01", "date"),
        ("date", 5, "2000-01-07", "date"),
        ("date", 5, "soon", "date"),
    ],
)
def test_bad_prices_are_refused_with_file_field_and_row(folder, tmp_path, capsys, column, row, value, says):
    frame = pd.read_csv(folder / "prices.csv", dtype=str)
    frame.loc[row, column] = value
    frame.to_csv(tmp_path / "bad.csv", index=False)
    before = bytes_of(folder)
    refused(extract(folder, prices=tmp_path / "bad.csv"), capsys, "bad.csv", says, f"row {row + 1}")
    assert bytes_of(folder) == before


@pytest.mark.parametrize(
    ("step", "output", "setting", "says"),
    [
        ("generate-heston", "heston.parquet", "paths = 0", "paths"),
        ("generate-heston", "heston.parquet", "path = 3", "did you mean 'paths'"),
        ("generate-heston", "heston.parquet", "market = 'moon'", "moon"),
        ("train-mamba", "model.safetensors", "steps = -1", "steps"),
        ("extract-regimes", "regimes.parquet", "enter_chaos = 1.5", "enter_chaos"),
        ("backtest-walkforward", "backtest.json", "cost_bp = -1.0", "cost_bp"),
        ("backtest-walkforward", "backtest.json", "delay = 'late'", "delay"),
    ],
)
def test_a_bad_setting_is_refused_and_nothing_is_written(folder, tmp_path, capsys, step, output, setting, says):
    file = tmp_path / "settings.toml"
    file.write_text(setting + "\n")
    before = bytes_of(folder)
    refused(main([step, "--config", str(file), "--out", f"{folder}/{output}"]), capsys, "settings.toml", says)
    assert bytes_of(folder) == before


@pytest.mark.parametrize(
    ("step", "option", "says"),
    [
        (generate, "--out={}/regimes.parquet", "is a file; name a folder that ends in .parquet"),
        (generate, "--out={}", "must end in .parquet"),
        (generate, "--out={}/prices.csv/x.parquet", "can not be written"),
        (generate, "--out={}/heston.csv", "must end in .parquet"),
        (generate, "--paths=99999999999", "--paths: paths must be at most"),
        (generate, "--block=0", "--block: block must be at least 1"),
        (generate, "--bars=99999999", "--bars: block times bars must be at most"),
        (train, "--out={}/heston.parquet", "must end in .safetensors"),
        (train, "--market={}/regimes.parquet", "a file, not a folder of blocks"),
        (train, "--market={}", "holds 'backtest.html', which no ensemble has"),
        (train, "--length=5000", "generate longer paths"),
        (extract, "--out={}/heston.parquet", "is an input"),
        (extract, "--model={}/heston.parquet", "heston.parquet"),
        (extract, "--market={}/prices.csv", "a file, not a folder of blocks"),
        (backtest, "--regimes={}/heston.parquet/part-00000.parquet", "holds 'heston paths', not 'regimes'"),
        (backtest, "--out={}/backtest.html", "must end in .json"),
        (backtest, "--first-test=5000", "--first-test"),
        (backtest, "--delay=251", "--delay: delay must be at most 250"),
    ],
)
def test_a_misplaced_file_or_setting_is_refused_and_nothing_changes(folder, capsys, step, option, says):
    before = bytes_of(folder)
    refused(step(folder, option.format(folder)), capsys, says)
    assert bytes_of(folder) == before


@pytest.mark.parametrize(
    ("row", "factor", "says"), [(400, 1e6, "row 401 (2001-07-16)"), (slice(None), 0.0, "never changes")]
)
def test_prices_that_no_market_makes_are_refused(folder, tmp_path, capsys, row, factor, says):
    prices = pd.read_csv(folder / "prices.csv")
    prices.loc[row, "close"] = prices.loc[row, "close"] * factor + (factor == 0)
    prices.to_csv(tmp_path / "odd.csv", index=False)
    refused(extract(folder, prices=tmp_path / "odd.csv"), capsys, "odd.csv", says)


def days(*ends):
    """Closes on these days, and on the working days before them."""
    first = pd.bdate_range(end=pd.Timestamp(ends[0]), periods=300)
    dates = first.union(pd.DatetimeIndex(ends))
    return pd.Series(100.0 + np.arange(len(dates)) % 7, dates, name="close")


def test_the_longest_closures_of_the_exchanges_are_daily_bars():
    """September 2001 in New York, lunar new year 2020 in Shanghai, ten days in Tokyo in 2019, bank holiday of 1933."""
    for last, first in (
        ("2001-09-10", "2001-09-17"),
        ("2020-01-23", "2020-02-03"),
        ("2019-04-26", "2019-05-07"),
        ("1933-03-03", "1933-03-15"),
    ):
        check_daily(days(last, first), longest_gap=ExtractRegimesConfig().longest_gap, name="x")


@pytest.mark.parametrize(
    ("frequency", "says"),
    [
        ("W-FRI", "row 6 .*: 7 days after the row before, and so are those before it: not daily closes"),
        ("2D", "row 6 .*: 2 days after"),
        ("ME", "row 2 .*: 28 days after the row before, more than the longest gap of 12; .*--longest-gap"),
        ("6h", "row 2 .*: 0.25 days after"),
    ],
)
def test_closes_of_another_frequency_are_refused(frequency, says):
    dates = pd.date_range("1999-01-31", periods=200, freq=frequency)
    with pytest.raises(InputError, match=f"x: date: {says}"):
        check_daily(pd.Series(100.0, dates), longest_gap=12, name="x")


def test_weekly_closes_are_refused_by_the_command(folder, tmp_path, capsys):
    weekly = read_prices(folder / "prices.csv").resample("W-FRI").last()
    weekly.to_csv(tmp_path / "weekly.csv")
    refused(
        extract(folder, prices=tmp_path / "weekly.csv"), capsys, "weekly.csv: date: row 6", "one close a trading day"
    )


def test_an_error_that_no_price_has_made_is_not_blamed_on_one(folder, monkeypatch):
    def broken(self, log_return, timestamp=None):
        raise ValueError("a defect of ours")

    monkeypatch.setattr("companion.regimes.RegimeDetector.update", broken)
    with pytest.raises(ValueError, match="a defect of ours") as caught:
        extract(folder)
    assert not isinstance(caught.value, InputError)


def test_regimes_of_an_earlier_version_are_refused_by_name(folder, tmp_path, capsys):
    table, source = read_regimes(folder / "regimes.parquet")
    old = source | {"config": {"enter": 0.3, "leave": 0.1}}
    write_table(tmp_path / "regimes.parquet", table.reset_index(), kind=KIND, columns=COLUMNS, provenance=old)
    refused(backtest(tmp_path), capsys, "regimes.parquet", "lacks 'enter_chaos'", "companion extract-regimes")


@pytest.fixture
def idle(folder, tmp_path):
    """The finished run, in which the model has called chaos every day and so never held the index."""
    table, source = read_regimes(folder / "regimes.parquet")
    table = table.reset_index().assign(p_chaos=1.0, regime=np.int8(1))
    write_table(tmp_path / "regimes.parquet", table, kind=KIND, columns=COLUMNS, provenance=source)
    return tmp_path


def test_a_strategy_that_never_trades_does_not_cost_the_report(idle):
    assert backtest(idle) == 0
    report = json.loads((idle / "backtest.json").read_text())
    row = report["strategies"]["Mamba K-Means"]
    assert (row["sharpe"], row["sharpe_interval"], row["sharpe_minus_buy_and_hold"]) == (None, None, None)
    assert row["time_invested"] == 0
    note = "Mamba K-Means was never invested: its Sharpe ratio is undefined"
    assert any(each.startswith(note) for each in report["notes"])
    assert note in (idle / "backtest.html").read_text()
    assert report["strategies"]["buy & hold"]["sharpe_interval"]["low"] is not None


def test_a_method_that_can_not_be_fitted_is_named_and_the_others_are_reported(folder, tmp_path, monkeypatch):
    class Stubborn(BaseEstimator):
        def fit(self, returns):
            if len(returns) > 500:
                raise ValueError("one regime is empty")
            return self

        def predict_proba(self, returns):
            return np.full((len(returns), 2), 0.5)

    copy(folder, tmp_path)
    monkeypatch.setitem(BASELINES, "GARCH K-Means", lambda seed: Stubborn())
    assert backtest(tmp_path) == 0
    report = json.loads((tmp_path / "backtest.json").read_text())
    days = read_regimes(folder / "regimes.parquet")[0].index
    reason = report["strategies"]["GARCH K-Means"]["failed"]
    assert "Stubborn in window 2 of 2" in reason
    assert f"fitted on {days[0]:%Y-%m-%d} to {days[749]:%Y-%m-%d}" in reason
    assert reason.endswith("one regime is empty")
    assert f"GARCH K-Means is not reported: {reason}." in report["notes"]
    others = [name for name in report["strategies"] if name != "GARCH K-Means"]
    assert len(others) == 14
    assert all(report["strategies"][name]["sharpe_interval"] for name in others)
    assert "GARCH K-Means" in (tmp_path / "backtest.html").read_text()


def test_the_bars_of_a_year_are_those_of_the_dates(folder, tmp_path):
    every_day = pd.date_range("2000-01-03", periods=900, name="date")
    prices = read_prices(folder / "prices.csv").set_axis(every_day)
    prices.to_csv(tmp_path / "prices.csv")
    copy(folder / "heston.parquet", tmp_path / "heston.parquet")
    for name in ("model.safetensors", "model.json"):
        shutil.copy(folder / name, tmp_path / name)
    assert extract(tmp_path) == 0
    assert backtest(tmp_path) == 0
    year = json.loads((tmp_path / "backtest.json").read_text())["bars_per_year"]
    assert year == pytest.approx(365.25, rel=1e-12)
    assert "a year has 365.2 bars" in (tmp_path / "backtest.html").read_text()
    of_weekdays = json.loads((folder / "backtest.json").read_text())["bars_per_year"]
    assert of_weekdays == pytest.approx(365.25 * 5 / 7, rel=1e-12)


@pytest.mark.parametrize("column", ["date", "close", "log_return", "p_chaos", "confidence", "regime"])
def test_regimes_that_the_step_never_writes_are_refused(folder, tmp_path, capsys, column):
    table, source = read_regimes(folder / "regimes.parquet")
    table = table.reset_index()
    table.loc[5, column] = table.loc[700, column] if column == "date" else -2
    write_table(tmp_path / "regimes.parquet", table, kind=KIND, columns=COLUMNS, provenance=source)
    refused(backtest(tmp_path), capsys, "regimes.parquet", f"'{column}'", "companion extract-regimes")


def work_of(step, folder, out):
    """Arguments that keep a step busy for a while, writing to `out`."""
    files = {name: f"--{name}={folder}/{file}" for name, file in INPUTS.items()}
    return {
        "generate-heston": ["--paths=20000", "--bars=2000"],
        "train-mamba": [files["market"], "--steps=5000", "--length=256"],
        "extract-regimes": [files["model"], files["market"]],
        "backtest-walkforward": [files["regimes"], "--first-test=500", "--refit-every=1"],
    }[step] + [f"--out={out}"]


@pytest.mark.parametrize(
    ("step", "output", "number"),
    [
        ("generate-heston", "heston.parquet", signal.SIGKILL),
        ("generate-heston", "heston.parquet", signal.SIGINT),
        ("train-mamba", "model.safetensors", signal.SIGKILL),
        ("extract-regimes", "regimes.parquet", signal.SIGINT),
        ("backtest-walkforward", "backtest.json", signal.SIGKILL),
    ],
)
def test_an_interrupt_leaves_the_previous_artifact_whole(folder, tmp_path, step, output, number):
    target = tmp_path / output
    copy(folder, tmp_path)
    before = bytes_of(target) if target.is_dir() else target.read_bytes()
    program = (
        "import signal, sys; from companion import cli; from companion.pipeline import _step as step\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job's children ignore it
        "plain = step.execute\n"
        "def execute(*a): print('working', flush=True); plain(*a)\n"
        "step.execute = execute; sys.exit(cli.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, step, *work_of(step, folder, target)]
    process = subprocess.Popen(command, stdout=-1, stderr=-1, text=True)
    assert process.stdout.readline() == "working\n"
    time.sleep(0.1)
    os.kill(process.pid, number)
    error = process.communicate(timeout=600)[1]
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), error
    assert (bytes_of(target) if target.is_dir() else target.read_bytes()) == before
