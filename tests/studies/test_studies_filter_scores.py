"""The scores of the amortized Bayes filter: the stored table is of the shipped files, and says what the book says."""

import json
from pathlib import Path

import numpy as np
import pytest

from companion._files import recorded, sha256_file
from companion.datasets import load_study
from companion.errors import InputError
from companion.mamba import MarketMamba, MarketMambaConfig
from companion.regimes import _neural_filter
from studies import filter_scores as module
from studies._study import run_study
from studies.filter_scores import KNOWN_SCALE, MARKETS, TINY, ScoresConfig, filter_scores

SHARES = ["auc_share", "balanced_accuracy_share"]


def test_a_killed_study_keeps_its_filters_and_gives_the_same_rows(tmp_path):
    study, trained = filter_scores(tiny=True), []

    def kill(what, done, total):
        if what == "scores on fast_reverting":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "killed", kill)
    again = run_study(study, tmp_path / "killed", lambda what, done, total: trained.append(what))
    assert trained == ["scores on fast_reverting", "scores on slow_reverting"]
    assert again == run_study(study, tmp_path / "whole")
    files = again["provenance"]["inputs"]
    assert list(files) == [f"{name} 0" for name in TINY.recipes]
    assert files["universal 0"]["sha256"] == sha256_file(tmp_path / "killed" / "universal-0.safetensors")


def test_shares_are_of_the_ceiling_of_the_same_market(tmp_path):
    rows = run_study(filter_scores(tiny=True), tmp_path)["rows"]
    assert [(row["filter"], row["market"]) for row in rows] == [
        (who, market) for market in MARKETS for who in (*TINY.recipes, "ceiling")
    ]
    for name in ("auc", "balanced_accuracy"):
        best = {row["market"]: row[name] for row in rows if row["filter"] == "ceiling"}
        for row in rows:
            assert row[f"{name}_share"] == pytest.approx((row[name] - 0.5) / (best[row["market"]] - 0.5), abs=1e-4)


def test_the_command_runs(tmp_path, capsys):
    assert module.main(["--tiny", "--work", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("ceiling") == len(MARKETS)


def test_a_filter_of_another_recipe_is_refused(tmp_path):
    tiny = MarketMambaConfig(d_model=8, n_layers=1, d_state=4, horizons=(1,))
    MarketMamba(tiny).save(tmp_path / "equity_index-0.safetensors", provenance={"seed": 0, "config": {"steps": 5}})
    with pytest.raises(InputError, match=r"equity_index-0.safetensors: trained by another recipe than today's"):
        run_study(filter_scores(), tmp_path)


@pytest.mark.parametrize("name", KNOWN_SCALE)
def test_the_first_seed_is_the_shipped_filter(name):
    file = Path(_neural_filter.__file__).parent / "pretrained" / f"{name}.safetensors"
    provenance = load_study("filter_scores").attrs["provenance"]
    assert provenance["inputs"][f"{name} 0"]["sha256"] == sha256_file(file)
    made = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))["provenance"]
    assert made["config"] == provenance["config"]["recipes"][name] == recorded(KNOWN_SCALE[name])


def test_the_stored_table_is_whole_and_shares_are_of_the_ceiling():
    scores, config = load_study("filter_scores"), ScoresConfig()
    seeds = scores.groupby(["market", "filter"], sort=False)["seed"].apply(tuple).to_dict()
    assert seeds == {(market, name): config.seeds for market in MARKETS for name in KNOWN_SCALE} | {
        (market, "ceiling"): (seed,) for market, seed in MARKETS.items()
    }
    assert np.isfinite(scores.select_dtypes("number")).all(axis=None)
    ceiling = scores[scores["filter"] == "ceiling"]
    assert ceiling[SHARES].eq(1.0).all(axis=None)
    assert (scores[scores["filter"] != "ceiling"]["auc_share"] < 1.0).all()
    for share in SHARES:
        name = share.removesuffix("_share")
        best = scores["market"].map(ceiling.set_index("market")[name])
        np.testing.assert_allclose(scores[share], (scores[name] - 0.5) / (best - 0.5), atol=1e-5)


def test_the_stored_table_is_what_was_asked_for():
    """At home on every score and with every seed; `universal` as chapter 7 tells it: a hair short on two markets."""
    scores = load_study("filter_scores").set_index(["filter", "market"]).sort_index()
    home = scores.loc[("equity_index", "equity_index")]
    assert (home["auc_share"] >= 0.98).all()
    assert (home["balanced_accuracy_share"] >= 0.975).all()
    assert (home["calibration_error"] <= 0.02).all()
    assert (home["false_switches"] <= 6.5).all()
    assert (home["delay_into_chaos"] <= 14).all()
    shares = scores["auc_share"].groupby(level=[0, 1]).mean()["universal"]
    assert shares["fast_reverting"] >= 0.95
    assert shares["equity_index"] >= 0.93 - 0.01
    assert shares["slow_reverting"] >= 0.88 - 0.02
