"""The learner's ceiling: rows for every reader, no worse than it is, and of the shipped filter."""

import json
from pathlib import Path

import numpy as np
import pytest

from companion._files import recorded, sha256_file
from companion.datasets import load_study
from companion.regimes import _neural_filter
from companion.regimes._filter_training import RECIPES
from studies import learner_ceiling as module
from studies._study import run_study
from studies.learner_ceiling import FAMILIES, MARKETS, RIVALS, TINY, TOLD, CeilingConfig, learner_ceiling

READERS = {"learner", "learner, one run", "learner, all runs", "knowing", "scale_free 0", "EWMA, own units"}


def test_a_killed_study_keeps_its_paths_and_gives_the_same_rows(tmp_path):
    study, read = learner_ceiling(tiny=True), []

    def kill(what, done, total):
        if (what, done) == ("slow_reverting", 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "killed", kill)
    kept = {file: file.stat().st_mtime_ns for file in (tmp_path / "killed").glob("*.npz")}
    assert len(kept) == 10
    again = run_study(study, tmp_path / "killed", lambda what, done, total: read.append(what))
    assert read == ["slow_reverting"] * 3
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    assert again["rows"] == run_study(study, tmp_path / "killed")["rows"]
    rows = again["rows"]
    assert {row["market"] for row in rows} >= set(MARKETS)
    whole = [row["reader"] for row in rows if (row["market"], row["first_bar"]) == ("equity_index", 100)]
    assert set(whole) == READERS | {"universal", *map(TOLD.format, RIVALS)}
    for row in rows:
        assert row["auc_low"] <= row["auc_high"]
        if row["reader"] == "learner":
            assert row["share"] == row["share_low"] == row["share_high"] == 1.0


def test_the_noise_of_the_runs_is_taken_out():
    """Readings of known quality, blurred: the corrected scores are those of the readings themselves."""
    rng = np.random.default_rng(1)
    truth = (rng.random((30, 400)) < 0.3).astype(np.int8)
    log_odds = 1.5 * (truth - 0.5) + rng.standard_normal(truth.shape)
    clean = 1 / (1 + np.exp(-log_odds))
    clean = 0.2 + 0.6 * clean  # so that a blur stays a probability
    blurred = np.clip(clean + 0.04 * rng.standard_normal((2, *truth.shape)), 0.0, 1.0)
    scored = module._scores(truth, {"learner": blurred, "clean": clean[None]}, TINY, shipped="clean")
    exact, found = scored[1], scored[0]
    alone = module._scores(truth, {"learner": blurred[:1]}, TINY, shipped="learner")[0]
    assert abs(found["auc"] - exact["auc"]) < 0.3 * abs(alone["auc"] - exact["auc"])
    assert abs(found["brier"] - exact["brier"]) < 0.3 * abs(alone["brier"] - exact["brier"])


def test_the_parts_of_the_prior_come_in_pairs():
    markets = [module.market_of("wide prior", number)[0] for number in range(40)]
    counts = [sum(map(belongs, markets)) for belongs in FAMILIES.values()]
    assert all(one + other == 40 for one, other in zip(counts[::2], counts[1::2], strict=True))
    assert min(counts) > 5


def test_the_command_runs(tmp_path, capsys):
    assert module.main(["--tiny", "--work", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("knowing") >= 2 * len(MARKETS)


def test_the_first_seed_is_the_shipped_filter():
    file = Path(_neural_filter.__file__).parent / "pretrained" / "scale_free.safetensors"
    provenance = load_study("learner_ceiling").attrs["provenance"]
    assert provenance["inputs"]["scale_free 0"]["sha256"] == sha256_file(file)
    made = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))["provenance"]
    assert made["config"] == provenance["config"]["recipe"] == recorded(RECIPES["scale_free"])


def test_the_stored_table_is_whole_and_in_the_order_of_what_they_know():
    scores, config = load_study("learner_ceiling"), CeilingConfig()
    for (market, first), rows in scores.groupby(["market", "first_bar"]):
        value = rows.set_index("reader")["auc"]
        assert {f"scale_free {seed}" for seed in config.training_seeds} <= set(value.index), (market, first)
        assert value["knowing"] > value["scale_free 0"] > value["EWMA, own units"], (market, first)
        if market in MARKETS:
            assert (rows["n_paths"] == config.n_paths[market]).all()
        if market == "wide prior":  # of those who are told nothing Bayes' rule is best over its own prior
            assert value["knowing"] > value["learner"] > value["learner, all runs"] > value["scale_free 0"]
        elif market in MARKETS:  # to know the unit and a narrower prior is worth more than to be fitted to the market
            assert all(value["universal"] > value[TOLD.format(name)] for name in RIVALS), (market, first)
    assert (scores.loc[scores["reader"] == "scale_free 0", ["lead", "lead_low", "lead_high"]] == 0.0).all(axis=None)
    assert set(scores["market"]) == {*MARKETS, *FAMILIES}
    assert np.isfinite(scores.select_dtypes("number")).all(axis=None)
