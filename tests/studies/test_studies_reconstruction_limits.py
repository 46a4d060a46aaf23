"""The maps of reconstruction: their cells, their intervals, their control, and that today's code finds them again."""

import numpy as np
import pandas as pd
import pytest

from companion.chaos import Lorenz
from companion.datasets import load_study
from studies import reconstruction_limits as module
from studies.reconstruction_limits import METHODS, Answer, LimitsConfig, Series, _row, reconstruction_limits

CELL = ["measure", "dt", "n_points", "snr_db"]


@pytest.fixture(scope="module")
def table():
    return load_study("reconstruction_limits")


def test_the_command_runs_every_method(tmp_path, capsys):
    assert module.main(["--tiny", "--work", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert all(method in printed for method in METHODS)


def test_a_row_counts_answers_and_right_ones():
    answers = [Answer(3, True)] * 18 + [Answer(5, False), Answer(None, False)]
    row = _row("dimension", 0.1, 250, 0.0, answers)
    assert (row["n_series"], row["n_answers"], row["n_right"], row["share"], row["median"]) == (20, 19, 18, 0.9, 3.0)
    all_right = _row("dimension", 0.1, 250, 0.0, [Answer(3, True)] * 20)
    assert all_right["low"] == pytest.approx(0.025 ** (1 / 20))  # closed form of Clopper and Pearson
    assert all_right["high"] == 1.0
    assert _row("exponent", 0.1, 250, 0.0, [Answer(None, False)] * 20)["median"] == 0.0


@pytest.mark.parametrize("dt", LimitsConfig().dt)
def test_no_neighbor_shares_a_point_with_what_is_forecast(dt):
    series = Series(np.empty(0), np.empty((0, 3)), dt)
    ways = series.ways
    assert ways["delay"] >= 1
    assert ways["theiler"] >= (ways["dimension"] - 1) * ways["delay"] + series.points(module.FORECAST)


def test_the_stored_table_has_every_cell_once(table):
    config = LimitsConfig()
    assert not table.duplicated(CELL).any()
    cells = table.groupby("measure")[["dt", "n_points", "snr_db"]].nunique()
    n_lengths = len(config.n_points)
    assert set(cells.index) == set(METHODS)
    assert (cells["dt"] == len(config.dt)).all()
    assert (cells["snr_db"] == len(config.snr_db)).all()
    for measure, n_points in cells["n_points"].items():
        assert n_points == (
            n_lengths
            if measure != "surrogates"
            else sum(length <= config.surrogates_up_to for length in config.n_points)
        )
    assert len(table) == (cells["n_points"] * len(config.dt) * len(config.snr_db)).sum()
    assert (table["n_series"] == config.n_series).all()
    np.testing.assert_allclose(table["share"], table["n_right"] / table["n_series"])
    assert table["share"].between(table["low"], table["high"]).all()
    assert (table["n_right"] <= table["n_answers"]).all()


def test_in_noise_nothing_is_found(table):
    """At −20 dB the tests reject at their level and the others give no right answer."""
    noise = table[table["snr_db"] == -20.0].groupby("measure")[["n_right", "n_series"]].sum()
    found = noise["n_right"] / noise["n_series"]
    assert (found.drop("surrogates") <= 0.02).all()
    assert found["surrogates"] < 0.05 + 3 * np.sqrt(0.05 * 0.95 / noise["n_series"]["surrogates"])


def test_clean_long_and_well_sampled_all_is_found(table):
    best = table[(table["snr_db"] == 40.0) & (table["n_points"] >= 4000) & (table["dt"] == 0.1)]
    assert set(best["measure"]) == set(METHODS)
    assert (best["share"] >= 0.8).all()


def test_noise_takes_and_never_gives(table):
    shares = table.groupby(["measure", "snr_db"])["share"].mean().unstack()
    assert (np.diff(shares.to_numpy(), axis=1) > -0.05).all()
    assert (shares[40.0] > shares[0.0]).all()


@pytest.mark.parametrize(
    ("measure", "n_points"), [("dimension", 250), ("hidden", 250), ("forecast", 1000), ("exponent", 1000)]
)
def test_the_clear_cells_are_found_again_today(table, measure, n_points):
    """Lorenz paths part on another processor, so only cells where all or none of the series succeed can be asked."""
    config = LimitsConfig()
    again = pd.DataFrame(module._run(measure, n_points, 0.1, config, None, lambda *_: None)).set_index(CELL)
    stored = table.set_index(CELL).loc[again.index]
    none, all_ = stored["n_right"] == 0, stored["n_right"] == config.n_series
    assert none.any() or all_.any()
    assert (again["n_right"][none] <= 4).all()
    assert (again["n_right"][all_] >= config.n_series - 4).all()


def test_what_each_method_is_asked(table):
    """On one clean series of 1,000 points, each answer against the truth it stands for."""
    states = Lorenz(dt=0.1).simulate(1000, seed=3)
    series, config = Series(states[:, 0], states, 0.1), LimitsConfig(n_surrogates=19)
    answers = {measure: ask(series, config, 0) for measure, ask in METHODS.items()}
    assert answers["dimension"].number in (3, 4)
    assert 0.9 < answers["hidden"].number < 1
    assert 0.5 < answers["forecast"].number < 1
    assert answers["surrogates"] == Answer(0.05, True)
    assert answers["exponent"].number is None or answers["exponent"].number > 0
    noise = np.random.default_rng(0).standard_normal(1000)
    series = Series(noise, states, 0.1)
    assert not any(ask(series, config, 0).right for ask in METHODS.values())


def test_the_tiny_form_is_smaller():
    assert len(reconstruction_limits(tiny=True).runs) == len(METHODS)
