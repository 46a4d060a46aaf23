"""From a file of prices to a folder of runs: one line says what was tried, and a stopped run goes on where it was."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from companion.backtest import MovingAverage, WalkForward, open_sweep, walk_forward
from companion.cli import main
from companion.pipeline.sweep_strategies import STEP, SweepConfig

DAYS = pd.bdate_range("2000-01-03", periods=760, name="Date")
QUIET_AND_LOUD = np.where(np.arange(760) % 300 < 220, 0.7, 2.0)
CLOSE = pd.Series(100 * np.exp((np.random.default_rng(3).normal(0.0004, 0.009, 760) * QUIET_AND_LOUD).cumsum()), DAYS)
FEW = {"first_test": 500, "refit_every": 250, "windows": [20, 60], "half_lives": [10.0]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "prices.csv"
    CLOSE.rename("Close").to_csv(path)
    path.with_name("few.toml").write_text("\n".join(f"{name} = {value}" for name, value in FEW.items()))
    return path


def call(file: Path, *more: str) -> int:
    files = {"prices": file, "config": file.with_name("few.toml"), "out": file.with_name("sweep.parquet")}
    return main(["sweep-strategies", *(f"--{name}={path}" for name, path in files.items()), *more])


def stop_after_one(file: Path) -> None:
    def report(done: int, total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        STEP.run(SweepConfig(prices=str(file), **FEW), {}, file.with_name("sweep.parquet"), report)


def states(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_the_line_is_what_the_folder_says_and_a_second_call_does_nothing(file, capsys):
    assert call(file) == 0
    folder = file.with_name("sweep.parquet")
    said, result, before = capsys.readouterr().out, open_sweep(folder), states(folder)
    best = result.best
    assert said.startswith(
        f"sweep-strategies: 4 of 4 trials counted, the best {best['strategy']} {best['parameters']}: "
        f"Sharpe ratio {result.runs['sharpe'].max():.2f}, deflated Sharpe ratio {result.deflated_sharpe_ratio:.2f}, "
        f"probability of overfitting {result.overfitting.probability:.2f} -> {folder} ("
    )
    assert said.count("\n") == 1
    assert result.runs["strategy"].tolist() == ["MovingAverage"] * 2 + ["VolatilityTarget", "EwmaKMeans"]
    alone = walk_forward(CLOSE, MovingAverage(60), splitter=WalkForward(500, 250)).backtest.performance()
    assert result.runs["sharpe"][1] == pytest.approx(alone.sharpe, rel=1e-12)
    assert call(file) == 0
    assert capsys.readouterr().out.partition(" (")[0] == said.partition(" (")[0]
    assert states(folder) == before


def test_a_stopped_run_goes_on_and_another_setting_is_refused_until_then(file, capsys):
    stop_after_one(file)
    partial = file.with_name("sweep.parquet.partial")
    before = states(partial)
    assert before
    assert call(file, "--cost-bp", "5") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{partial}: an unfinished sweep with other settings (" in said
    assert call(file) == 0
    assert before.items() <= states(file.with_name("sweep.parquet")).items()


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--windows", "20", "0"], "--windows: windows must be at least 1, got 0"),
        (["--windows", "20", "20"], "--windows: windows must be one or more values, each once, got [20, 20]"),
        (["--windows", "many"], "--windows must be a whole number, got 'many'"),
        (["--half-lives", "10", "-1"], "--half-lives: half_lives must be a positive finite number, got -1.0"),
        (
            ["--first-test", "700"],
            "prices.csv: 760 bars, but these settings need 951; take --first-test 509 --refit-every 251",
        ),
        (["--column", "zebra"], "zebra"),
        (["--target-volatility", "nan"], "--target-volatility: target_volatility must be a positive finite number"),
    ],
)
def test_what_can_not_be_is_one_line(file, capsys, flags, says):
    assert call(file, *flags) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("companion sweep-strategies: ")
    assert said.err.count("\n") == 1
    assert says in said.err


def test_the_scheduler_is_asked(file, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)  # not installed
    assert call(file, "--scheduler", "tcp://there:1") == 2
    said = capsys.readouterr().err
    assert said.startswith("companion sweep-strategies: --scheduler tcp://there:1: needs Dask; install it with ")
    assert said.count("\n") == 1


def test_a_sweep_in_which_too_few_traded_says_so(file, capsys):
    """No average of 5,000 closes in 760, and no two regimes in prices that rise by the same share every day."""
    pd.Series(100 * 1.001 ** np.arange(760), DAYS, name="Close").to_csv(file)
    assert call(file, "--windows", "5000") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith("; try more windows or half-lives\n")
