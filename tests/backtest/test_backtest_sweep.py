"""A sweep: whoever makes a run, and whatever stops it, the rows are the same; and what was tried is counted."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dask_processes import results_kept, wait_for, workers
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.model_selection import ParameterGrid
from swept import Band, Coin, Liar, Marked, OneByOne, Picky, anything, share

from companion.backtest import (
    Constant,
    MovingAverage,
    WalkForward,
    ZeroOne,
    deflated_sharpe_ratio,
    open_sweep,
    probability_of_overfitting,
    sweep,
    walk_forward,
)
from companion.backtest import _sweep_plan as plans
from companion.backtest import _sweep_runs as making
from companion.backtest._sweep_plan import Plan
from companion.datasets import bars_per_year
from companion.errors import InputError
from companion.regimes import EwmaKMeans

DATES = pd.bdate_range("2001-01-01", periods=600)
VOLATILITY = np.where(np.arange(600) // 50 % 3 == 2, 0.03, 0.007)
CLOSE = pd.Series(100.0 * np.exp(np.cumsum(VOLATILITY * np.random.default_rng(5).normal(0.02, 1.0, 600))), DATES)
ONCE = WalkForward(100, 500)
HERE = Path(__file__).parent
WINDOWS = {"window": [5, 20, 50], "band": [0.0, 0.01]}


def table_of(result):
    return pd.concat([result.runs, pd.DataFrame(result.sums), pd.DataFrame(result.squares)], axis=1)


def same(one, other):
    pd.testing.assert_frame_equal(table_of(one), table_of(other), check_exact=True)
    assert one.provenance == other.provenance


def bytes_of(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


class StoppedError(Exception):
    """Ends a sweep on the way."""


def stop_after(n_files):
    def report(done, total):
        if done == n_files:
            raise StoppedError

    return report


def test_a_row_is_what_walk_forward_says_of_the_strategy(tmp_path):
    splitter, trading = WalkForward(250, 150, window=200, purge=2), {"cost_bp": 5.0, "delay": 2, "cash_rate": 0.02}
    strategies = {MovingAverage: {"window": [10, 40]}, share: {"weight": [0.5]}, EwmaKMeans: {"half_life": [5.0, 20.0]}}
    result = sweep(CLOSE, strategies, folder=tmp_path / "s", splitter=splitter, rule=ZeroOne(0.7, 0.3), **trading)
    assert result.runs["strategy"].tolist() == ["MovingAverage"] * 2 + ["share"] + ["EwmaKMeans"] * 2
    assert (result.runs["failed"] == "").all()
    detectors = [EwmaKMeans(half_life=5.0), EwmaKMeans(half_life=20.0)]
    for number, made in enumerate([MovingAverage(10), MovingAverage(40), Constant(0.5), *detectors]):
        rule = ZeroOne(0.7, 0.3) if made in detectors else None
        backtest = walk_forward(CLOSE, made, splitter=splitter, rule=rule, **trading).backtest
        wanted = backtest.performance().to_dict()
        assert result.runs.loc[number, list(wanted)].to_dict() == wanted
        excess = backtest.excess[1:]
        moments = [stats.skew(excess), stats.kurtosis(excess, fisher=False)]
        np.testing.assert_allclose(result.runs.loc[number, ["skewness", "kurtosis"]].tolist(), moments)
        folds = np.array_split(excess, 16)
        np.testing.assert_allclose(result.sums[number], [fold.sum() for fold in folds])
        with np.errstate(invalid="ignore"):
            ratios = [fold.mean() / fold.std(ddof=1) for fold in folds]
        np.testing.assert_allclose(result.folds["sharpe"][number], ratios, rtol=1e-9)
        assert result.folds["n_bars"][number].tolist() == [len(fold) for fold in folds]


def test_many_at_once_are_the_same_as_one_by_one(tmp_path, monkeypatch):
    """By `positions` and a compiled pass, in lots that do not divide the file."""
    monkeypatch.setattr(making, "MOST_WEIGHTS", 4 * len(CLOSE))
    together = sweep(CLOSE, {Band: WINDOWS}, folder=tmp_path / "a", splitter=ONCE, block=6)
    alone = sweep(CLOSE, {OneByOne: WINDOWS}, folder=tmp_path / "b", splitter=ONCE, block=1)
    pd.testing.assert_frame_equal(
        table_of(together).drop(columns="strategy"), table_of(alone).drop(columns="strategy"), rtol=1e-12
    )
    assert together.runs["sharpe"].nunique() == 6


def test_only_so_many_are_done_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(making, "MOST_WEIGHTS", 4 * len(CLOSE))
    plain, lots = Band.positions, []

    def positions(close, parameter_sets):
        lots.append(len(parameter_sets))
        return plain(close, parameter_sets)

    monkeypatch.setattr(Band, "positions", staticmethod(positions))
    sweep(CLOSE, {Band: {"window": range(2, 20)}}, folder=tmp_path / "s", splitter=ONCE, block=9)
    assert max(lots) == 4


def test_positions_that_are_not_those_of_the_strategy_stop_the_sweep(tmp_path):
    with pytest.raises(ValueError, match=r"Liar\.positions must be what .* got 0\.5 for 1\.0 at 2001-.* with .*5}"):
        sweep(CLOSE, {Liar: WINDOWS}, folder=tmp_path / "s", splitter=ONCE, block=6)


def test_a_run_that_fails_says_why_and_the_others_go_on(tmp_path):
    grid = {"window": [5, 7, 9, 20]}
    result = sweep(CLOSE, {Picky: grid}, folder=tmp_path / "s", splitter=ONCE, block=4)
    assert result.runs["failed"].str.partition(":")[0].tolist() == ["", "ValueError", "ZeroDivisionError", ""]
    assert result.runs["failed"][1].endswith("window of seven is unlucky")
    assert result.runs["sharpe"].isna().tolist() == [False, True, True, False]
    assert result.n_trials == 2
    good = sweep(CLOSE, {OneByOne: {"window": [5, 20]}}, folder=tmp_path / "t", splitter=ONCE)
    pd.testing.assert_series_equal(result.runs["sharpe"].dropna(), good.runs["sharpe"], check_index=False)
    none = sweep(CLOSE, {Picky: {"window": [7]}}, folder=tmp_path / "u", splitter=ONCE)
    with pytest.raises(ValueError, match="no run has a Sharpe ratio: ValueError: window of seven is unlucky"):
        _ = none.best


def test_seeds_are_for_those_that_take_one(tmp_path):
    result = sweep(
        CLOSE, {Coin: {}, share: {"weight": [0.5, 1.0]}}, folder=tmp_path / "s", seeds=range(3), splitter=ONCE
    )
    assert result.runs["strategy"].tolist() == ["Coin"] * 3 + ["share"] * 2
    assert result.runs["seed"].tolist() == [0, 1, 2, -1, -1]
    assert result.runs["sharpe"][:3].nunique() == 3
    assert result.n_trials == 5
    assert result.parameters["weight"].tolist()[3:] == [0.5, 1.0]


def test_what_was_tried_is_counted_and_used(tmp_path):
    """The two statistics equal those of the returns themselves, which the sweep does not keep."""
    result = sweep(CLOSE, {Coin: {}, Band: WINDOWS}, folder=tmp_path / "s", seeds=range(20), splitter=ONCE, n_folds=8)
    makers = [Coin(seed) for seed in range(20)] + [Band(**given) for given in ParameterGrid(WINDOWS)]
    excess = np.stack([walk_forward(CLOSE, made, splitter=ONCE).backtest.excess[1:] for made in makers], axis=1)
    assert result.n_trials == 26
    assert result.best.name == np.argmax(excess.mean(axis=0) / excess.std(axis=0, ddof=1))
    year = {"bars_per_year": bars_per_year(CLOSE.iloc[100:])}
    chosen, ratios = excess[:, result.best.name], result.runs["sharpe"]
    for error, said in (
        ("one", result.deflated_sharpe_ratio),
        ("largest", result.evidence.deflated(ratios, error="largest")),
    ):
        assert said == pytest.approx(deflated_sharpe_ratio(chosen, trials=excess, error=error, **year), rel=1e-9)
    overfitting = probability_of_overfitting(excess, n_blocks=8, **year)
    for name in ("chosen", "in_sample", "out_of_sample", "logits"):
        np.testing.assert_allclose(getattr(result.overfitting, name), getattr(overfitting, name), rtol=1e-9)


@settings(max_examples=50, deadline=None)
@given(
    grids=st.lists(
        st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(), min_size=1, max_size=3, unique=True)),
        min_size=1,
        max_size=3,
    ),
    seeds=st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    block=st.none() | st.integers(1, 5),
)
def test_a_number_names_a_run_and_every_file_its_runs(grids, seeds, block):
    """Against the plain loops over grid and seeds."""
    plan = Plan({anything: grids, Coin: {}}, seeds, ONCE, None, {}, 16, block)
    wanted = [(dict(point), None) for point in ParameterGrid(grids)] + [({}, seed) for seed in seeds]
    assert [(run.parameters, run.seed) for run in map(plan.run, range(plan.n_runs))] == wanted
    assert [number for file in range(plan.n_blocks) for number in plan.runs(file)] == list(range(plan.n_runs))


@pytest.mark.parametrize(
    ("maker", "parameter", "runs", "files"),
    [
        (EwmaKMeans, "half_life", 1_000, 1_000),
        (OneByOne, "window", 1_000, 7),
        (Band, "window", 100_000, 10),
        (OneByOne, "window", 10, 4),
        (OneByOne, "window", 2, 2),
    ],
)
def test_a_file_holds_some_hundred_milliseconds_of_runs_and_a_sweep_has_four(maker, parameter, runs, files):
    assert Plan({maker: {parameter: range(1, runs + 1)}}, (0,), ONCE, None, {}, 16, None).n_blocks == files


def marked(folder, numbers=8):
    (folder / "marks").mkdir(exist_ok=True)
    return {Marked: {"number": range(numbers), "folder": [str(folder / "marks")], "bars": [len(CLOSE)]}}


def executions(folder):
    """How often each run was made."""
    return pd.Series([int(file.stem) for file in (folder / "marks").glob("[0-9]*.*")]).value_counts().to_dict()


def test_a_sweep_that_was_stopped_goes_on_and_does_nothing_twice(tmp_path):
    with pytest.raises(StoppedError):
        sweep(CLOSE, marked(tmp_path), folder=tmp_path / "s", splitter=ONCE, block=1, report=stop_after(3))
    with pytest.raises(
        InputError, match=r"not finished, lacks 5 of 8 blocks .* with `companion\.backtest\.sweep\(…, folder="
    ):
        open_sweep(tmp_path / "s")
    result = sweep(CLOSE, marked(tmp_path), folder=tmp_path / "s", splitter=ONCE, block=1)
    again = sweep(CLOSE, marked(tmp_path), folder=tmp_path / "s", splitter=ONCE, block=1)
    same(result, again)
    same(result, open_sweep(tmp_path / "s"))
    assert executions(tmp_path) == dict.fromkeys(range(8), 1)


PROGRAM = """
import sys
import test_backtest_sweep as here
strategies = here.marked(here.Path(sys.argv[1]))
here.sweep(here.CLOSE, strategies, folder=sys.argv[1] + "/s", splitter=here.ONCE, block=1)
"""


def test_a_sweep_that_was_killed_goes_on_and_only_the_run_in_work_is_made_again(tmp_path):
    strategies = marked(tmp_path)
    (tmp_path / "marks" / "latch.5").touch()
    env = os.environ | {"PYTHONPATH": os.pathsep.join(str(HERE.parent / room) for room in ("backtest", "runs"))}
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], env=env)
    try:
        wait_for(lambda: process.poll() or len([*(tmp_path / "s.partial").glob("part-*")]) == 5)
        wait_for(lambda: process.poll() or (tmp_path / "marks" / "waiting").exists())
    finally:
        process.kill()
        process.wait()
    result = sweep(CLOSE, strategies, folder=tmp_path / "s", splitter=ONCE, block=1)
    assert executions(tmp_path) == {number: 1 + (number == 5) for number in range(8)}
    same(result, sweep(CLOSE, strategies, folder=tmp_path / "serial", splitter=ONCE, block=1))
    assert bytes_of(tmp_path / "s") == bytes_of(tmp_path / "serial")


def test_a_worker_that_is_killed_costs_its_run_only(tmp_path, monkeypatch, cluster):
    """Two workers; one is killed in the middle of a run, when the other has done all the others."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    address, _ = cluster(2)
    strategies = marked(tmp_path)
    (tmp_path / "marks" / "latch.3").touch()

    def kill(done, total):
        if done == total - 1:
            wait_for(lambda: not results_kept(address))
            os.kill(int((tmp_path / "marks" / "waiting").read_text()), signal.SIGKILL)

    result = sweep(CLOSE, strategies, folder=tmp_path / "s", splitter=ONCE, block=1, scheduler=address, report=kill)
    assert len(workers(address)) == 1
    assert executions(tmp_path) == {number: 1 + (number == 3) for number in range(8)}
    same(result, sweep(CLOSE, strategies, folder=tmp_path / "serial", splitter=ONCE, block=1))
    assert bytes_of(tmp_path / "s") == bytes_of(tmp_path / "serial")


def test_processes_of_this_machine_give_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    strategies = {Coin: {}, Band: WINDOWS}
    sweep(CLOSE, strategies, folder=tmp_path / "a", splitter=ONCE, block=3, scheduler="local")
    sweep(CLOSE, strategies, folder=tmp_path / "b", splitter=ONCE, block=3)
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")


def test_what_is_unfinished_is_gone_on_with_only_by_the_same_sweep(tmp_path, monkeypatch):
    def begin(close=CLOSE, grid=WINDOWS, **settings):
        settings = {"splitter": ONCE, "block": 1} | settings
        return sweep(close, {Band: grid}, folder=tmp_path / "s", **settings)

    with pytest.raises(StoppedError):
        begin(report=stop_after(2))
    moved = CLOSE.copy()
    moved.iloc[300] *= 1.0 + 1e-12
    later = CLOSE.set_axis(DATES + pd.Timedelta("1D"))
    others = [
        {"close": moved},
        {"close": later},
        {"grid": {"window": [5, 20, 51], "band": [0.0, 0.01]}},
        {"splitter": WalkForward(101, 499)},
        {"cost_bp": 5.0},
        {"cash_rate": np.full(len(CLOSE), 0.01)},
        {"block": 2},
        {"n_folds": 8},
        {"seeds": [1]},
    ]
    for other in others:
        with pytest.raises(InputError, match=r"s\.partial: an unfinished sweep with other settings"):
            begin(**other)
    with monkeypatch.context() as patch:
        patch.setattr(plans, "sha256_file", lambda file: "edited")
        with pytest.raises(InputError, match="an unfinished sweep with other settings"):
            begin()
    assert len(begin().runs) == 6


def test_a_damaged_file_is_found_and_mended(tmp_path):
    strategies, folder = {Band: WINDOWS}, tmp_path / "s"
    sweep(CLOSE, strategies, folder=folder, splitter=ONCE, block=1)
    whole = bytes_of(folder)
    (folder / "part-00001.parquet").write_bytes(whole["part-00001.parquet"][:-9])
    (folder / "part-00003.parquet").write_bytes(whole["part-00002.parquet"])
    with pytest.raises(InputError, match=r"part-0000[13]\.parquet: .*; make it with `companion\.backtest\.sweep"):
        open_sweep(folder)
    sweep(CLOSE, strategies, folder=folder, splitter=ONCE, block=1)
    assert bytes_of(folder) == whole


def test_a_folder_by_its_dot_and_one_that_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "prices.csv").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"holds 'prices.csv', which no sweep has; name another folder"):
        sweep(CLOSE, {Band: WINDOWS}, folder=".", splitter=ONCE)
    with pytest.raises(
        InputError, match=r"no such sweep; make it with `companion.backtest.sweep\(…, folder='nothere'\)`"
    ):
        open_sweep("nothere")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"strategies": {}}, "strategies must hold at least one"),
        ({"strategies": {lambda close: close: {}}}, "a worker can import, got .*<lambda> of test_backtest_sweep"),
        ({"strategies": {Constant(1.0): {}}}, "a worker can import, got"),
        ({"strategies": {type("Made", (), {}): {}}}, "a worker can import, got Made"),
        ({"strategies": {Band: {"windw": [5]}}}, "Band got an unexpected keyword argument 'windw'; it takes .*window"),
        ({"strategies": {Band: {"window": []}}}, r"Band: window must be a list of values, got \[\]"),
        ({"strategies": {Band: {"window": 5}}}, "Band: window must be a list of values, got 5"),
        ({"strategies": {Band: {"window": [5, 6, 5]}}}, "Band: window has 5 twice, which would count as two trials"),
        ({"strategies": {Band: {"window": {5, 6}}}}, "Band: window must be a list of values, got {5, 6}"),
        ({"strategies": {Band: []}}, "Band must have a grid"),
        ({"strategies": {Band: {"window": [np.nan]}}}, "Band: window must be a number, .* got nan"),
        ({"strategies": {Band: {"window": [(1, 2)]}}}, r"Band: window must be a number, .* got \(1, 2\)"),
        ({"strategies": {Band: {"window": [Band(5)]}}}, "write a class"),
        ({"rule": lambda p: p}, "rule must be of classes or functions that a worker can import"),
        ({"seeds": []}, "seeds must hold at least one"),
        ({"seeds": [-1]}, "seeds must be a non-negative integer"),
        ({"n_folds": 5}, "n_folds must be even"),
        ({"n_folds": 500}, "n_folds=500 asks for two returns in each, got 500 test bars: lower it, or first_test=100"),
        ({"block": 0}, "block must be a positive integer"),
        ({"splitter": WalkForward(600, 10)}, "first_test=600 leaves none of 600 bars"),
        ({"prices": CLOSE.iloc[::-1]}, "earlier than the row before"),
        ({"cost": 5.0}, "unexpected keyword|cost must be"),
    ],
)
def test_what_can_not_be_is_refused_before_any_work(tmp_path, settings, says):
    settings = {"prices": CLOSE, "strategies": {Band: WINDOWS}, "splitter": ONCE} | settings
    with pytest.raises((ValueError, TypeError), match=says) as caught:
        sweep(settings.pop("prices"), settings.pop("strategies"), folder=tmp_path / "s", **settings)
    assert "\n" not in str(caught.value)
    assert not [*tmp_path.iterdir()]
