"""The walk-forward study: its protocol came first, its levels are of development data, its table is the book's."""

import numpy as np
import pandas as pd
import pytest

from companion.datasets import load_study
from studies import walk_forward as module
from studies._series import LAST_DEVELOPMENT_DAY, cash_rate, real_series
from studies._study import run_study
from studies.walk_forward import HOLD, Protocol, protocol_sha256, walk_forward_study
from studies.walk_forward_levels import LevelsConfig, best_levels, development_series, walk_forward_levels


@pytest.fixture(scope="module")
def stored():
    return load_study("walk_forward")


def test_the_stored_table_was_made_by_this_protocol(stored):
    assert stored.attrs["provenance"]["config"]["protocol_sha256"] == protocol_sha256()


def test_the_levels_of_the_protocol_are_those_that_development_data_chose():
    protocol, table = Protocol.read(), load_study("walk_forward_levels")
    chosen = best_levels(table)
    assert {name: tuple(pair) for name, pair in protocol.levels.items()} == chosen
    means = {
        name: rows.set_index(["enter_chaos", "leave_chaos"]).loc[chosen[name], "sharpe"].mean()
        for name, rows in table.groupby("detector")
    }
    assert protocol.best_rule == f"{max(means, key=means.__getitem__)}, 0/1"


def test_no_level_was_chosen_on_a_bar_of_the_test():
    last = pd.Timestamp(LAST_DEVELOPMENT_DAY)
    config, protocol = LevelsConfig(), Protocol.read()
    dated = [close.index[-1] for group, _, close in development_series(config) if group != "simulated"]
    assert len(dated) > 20
    assert max(dated) <= last < pd.Timestamp(protocol.first_test_day)
    for close in real_series().values():
        assert close.index[protocol.first_test(close)] > last


def test_every_rule_has_every_measure_once(stored):
    keys = ["series", "rule", "delay", "cost_bp", "measure"]
    assert not stored.duplicated(keys).any()
    sharpe = stored[stored["measure"].str.startswith("sharpe")]  # percentiles of a drawdown may all be on one side
    assert sharpe["estimate"].between(sharpe["low"], sharpe["high"]).all()
    protocol = Protocol.read()
    assert set(stored["series"]) == set(protocol.series)
    index = stored[(stored["series"] == "S&P 500") & (stored["measure"] == "sharpe")]
    n_grid = len(protocol.delays) * len(protocol.costs_bp)
    assert (index.groupby("rule").size() == n_grid).all()


def test_the_tiny_study_reads_nothing_of_the_test_and_gives_the_same_rows_again(tmp_path):
    study = walk_forward_study(tiny=True)
    assert pd.Timestamp(study.config["last_day"]) == pd.Timestamp(LAST_DEVELOPMENT_DAY)
    rows = run_study(study, tmp_path / "one")["rows"]
    assert rows == run_study(study, tmp_path / "two")["rows"]
    table = pd.DataFrame(rows).set_index(["rule", "delay", "cost_bp", "measure"])["estimate"]
    hold = table.xs(("sharpe", 1, 10.0), level=("measure", "delay", "cost_bp"))
    gap = table.xs(("sharpe_minus_hold", 1, 10.0), level=("measure", "delay", "cost_bp"))
    np.testing.assert_allclose(gap, hold[gap.index] - hold[HOLD], atol=2e-6)


def test_the_tiny_levels_run(tmp_path, capsys):
    assert module.main(["--tiny", "--work", str(tmp_path / "a")]) == 0
    rows = run_study(walk_forward_levels(tiny=True), tmp_path / "b")["rows"]
    assert {row["group"] for row in rows} == {"simulated", "index"}
    assert all(row["n_series"] > 0 for row in rows)


def test_cash_earns_the_bill_until_the_data_end_and_nothing_after():
    rate = cash_rate(pd.Series(1.0, pd.to_datetime(["2000-06-01", "2018-11-30", "2020-01-02"])))
    assert 0.04 < rate.iloc[0] < 0.07
    assert 0.015 < rate.iloc[1] < 0.03
    assert rate.iloc[2] == 0.0
    assert (cash_rate(pd.Series([1.0, 2.0])) == 0.0).all()
