"""The study of real series: a kill on the way, levels that are the best ones, and what chapter 8 may say."""

import numpy as np
import pandas as pd
import pytest

from companion.datasets import load_study
from companion.evaluation import CRISES
from studies import real_regimes as module
from studies._study import run_study
from studies.real_regimes import ENTER, LEARNER, NETWORK, RATIOS, SERIES, RealConfig, real_regimes


def test_a_killed_study_keeps_what_the_learner_said(tmp_path, monkeypatch):
    study, calls = real_regimes(tiny=True), []

    class Counted(module.BayesLearner):
        def predict_proba(self, X):
            calls.append(len(X))
            return super().predict_proba(X)

    monkeypatch.setattr(module, "BayesLearner", Counted)

    def kill(what, done, total):
        if what == "NASDAQ":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "work", kill)
    rows = run_study(study, tmp_path / "work")["rows"]
    assert calls == [900, 900]  # each series once
    assert rows == run_study(study, tmp_path / "work")["rows"]
    assert [(row["series"], row["reader"], row["levels"]) for row in rows] == [
        (name, reader, levels)
        for name in ("S&P 500", "NASDAQ")
        for reader in (LEARNER, NETWORK, *module.FITTED)
        for levels in (("best",) if reader in module.FITTED else ("shipped", "best"))
    ]


def test_the_best_levels_are_the_best_that_can_be_afforded():
    rng = np.random.default_rng(3)
    index = pd.bdate_range("2006-01-02", periods=1600)
    crises = [crisis for crisis in CRISES if index[250].date() < crisis.start and crisis.end < index[-1].date()]
    storm = np.zeros(len(index))
    for crisis in crises:
        storm[index.get_indexer([pd.Timestamp(crisis.start)], method="bfill")[0] + 5 :][:80] = 1.0
    p = 1 / (1 + np.exp(2 - 4 * storm - rng.standard_normal(len(index))))
    enter, leave = module._best_levels(p, index, crises)
    chosen = module._scores(module._called(p, enter, leave, index), crises)
    assert chosen["quiet_called"] <= module.MOST_QUIET_CALLED
    assert chosen["false_alarms"] <= module.MOST_FALSE_ALARMS
    for other in ENTER:
        for ratio in RATIOS:
            scores = module._scores(module._called(p, other, ratio * other, index), crises)
            if scores["quiet_called"] <= module.MOST_QUIET_CALLED and scores["false_alarms"] <= 1.0:
                assert scores["answered"] <= chosen["answered"]
                if scores["answered"] == chosen["answered"]:
                    assert scores["median_lag"] >= chosen["median_lag"]


def test_a_reader_that_never_calls_answers_nothing():
    index = pd.bdate_range("2006-01-02", periods=1600)
    scores = module._scores(module._called(np.zeros(1600), 0.5, 0.25, index), CRISES[4:5])
    assert (scores["in_chaos"], scores["answered"], scores["median_lag"], scores["longest_first"]) == (
        0.0,
        0,
        None,
        None,
    )


def test_the_stored_table_is_whole():
    table = load_study("real_regimes")
    assert list(table["series"].unique()) == list(SERIES)
    assert set(table["reader"]) == {LEARNER, NETWORK, *module.FITTED}
    np.testing.assert_allclose(table.loc[table["reader"] == LEARNER, "correlation"], 1.0)
    assert ((table["in_chaos"] > 0) & (table["in_chaos"] < 1)).all()
    best = table[table["levels"] == "best"]
    assert (best["quiet_called"] <= module.MOST_QUIET_CALLED).all()
    assert (best["false_alarms"] <= module.MOST_FALSE_ALARMS).all()
    assert table.attrs["provenance"]["config"] == RealConfig().record()
