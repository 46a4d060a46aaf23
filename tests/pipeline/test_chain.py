"""The four steps in a row on a small market: what comes out, what is refused, what an interrupt leaves."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from companion.cli import main
from companion.pipeline.backtest_walkforward import BacktestConfig, decide
from companion.pipeline.extract_regimes import read_regimes
from companion.pipeline.generate_heston import read_paths

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
    return main(["generate-heston", "--n-paths", "40", "--n-bars", "500", "--out", f"{folder}/heston.parquet", *more])


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
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_paths_are_those_of_the_simulation(folder):
    returns, regime = read_paths(folder / "heston.parquet")
    assert returns.shape == regime.shape == (40, 500)
    assert set(np.unique(regime)) == {0, 1}
    assert returns[regime == 1].std() > 1.5 * returns[regime == 0].std()


def test_every_day_has_a_regime_and_its_probability(folder):
    table = read_regimes(folder / "regimes.parquet")
    prices = pd.read_csv(folder / "prices.csv", parse_dates=["date"]).set_index("date")["close"]
    pd.testing.assert_series_equal(table["close"], prices.iloc[1:])
    assert table[["p_chaos", "confidence"]].to_numpy().min() >= 0
    assert table[["p_chaos", "confidence"]].to_numpy().max() <= 1


def test_the_report_has_every_strategy_with_its_interval(folder):
    report = json.loads((folder / "backtest.json").read_text())
    names = ["buy & hold", "Mamba K-Means", "200-day average", "EWMA K-Means", "GARCH K-Means", "Gaussian HMM"]
    assert list(report["strategies"]) == names
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
    for name in first.keys() - {"backtest.html"}:  # Plotly gives each figure of the page a random id
        assert first[name] == second[name], name


def test_tomorrow_does_not_move_yesterdays_decision(folder):
    table = read_regimes(folder / "regimes.parquet")
    config = BacktestConfig(first_test=500, refit_every=250)
    changed = table.copy()
    changed.iloc[800:, changed.columns.get_indexer(["close", "log_return"])] *= 3
    before, after = (decide(frame, config, lambda done, total: None) for frame in (table, changed))
    for name in before:
        np.testing.assert_array_equal(before[name][:800], after[name][:800], err_msg=name)


def refused(status, capsys, *says):
    error = capsys.readouterr().err
    assert status == 2
    assert error.count("\n") == 1
    for text in says:
        assert text in error


@pytest.mark.parametrize(
    ("step", "file", "made_by"),
    [(train, "heston.parquet", "generate-heston"), (backtest, "regimes.parquet", "extract-regimes")],
)
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_step_refuses_a_damaged_input_and_keeps_its_old_output(folder, tmp_path, capsys, step, file, made_by, damage):
    for name, content in bytes_of(folder).items():
        (tmp_path / name).write_bytes(content)
    whole = (tmp_path / file).read_bytes()
    (tmp_path / file).unlink() if damage == "missing" else (tmp_path / file).write_bytes(whole[: len(whole) // 2])
    before = bytes_of(tmp_path)
    refused(step(tmp_path), capsys, file, f"companion {made_by}")
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_extraction_refuses_a_damaged_model(folder, tmp_path, capsys, damage):
    for name, content in bytes_of(folder).items():
        (tmp_path / name).write_bytes(content)
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
        ("generate-heston", "heston.parquet", "n_paths = 0", "n_paths"),
        ("generate-heston", "heston.parquet", "n_path = 3", "did you mean 'n_paths'"),
        ("generate-heston", "heston.parquet", "market = 'moon'", "moon"),
        ("train-mamba", "model.safetensors", "steps = -1", "steps"),
        ("extract-regimes", "regimes.parquet", "enter = 1.5", "enter"),
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupt_leaves_the_previous_artifact_whole(folder, tmp_path, number):
    target = tmp_path / "heston.parquet"
    target.write_bytes((folder / "heston.parquet").read_bytes())
    big = ["--n-paths", "3000", "--n-bars", "2000", "--out", str(target)]
    process = subprocess.Popen(
        [sys.executable, "-m", "companion.pipeline.generate_heston", *big], stdout=-1, stderr=-1, text=True
    )
    while process.poll() is None and not list(tmp_path.glob("*.part")):
        time.sleep(0.01)
    os.kill(process.pid, number)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), error
    assert target.read_bytes() == (folder / "heston.parquet").read_bytes()
    assert read_paths(target)[0].shape == (40, 500)
