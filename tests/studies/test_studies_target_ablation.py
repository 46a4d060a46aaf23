"""The ablation of training targets: its samples, its rows, a kill on the way, and what the stored table says."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from companion.datasets import load_study
from companion.evaluation import auc, balanced_accuracy
from companion.heston import RegimeSwitchingHeston, bayes_filter
from companion.mamba import TrainConfig
from studies import target_ablation as module
from studies._study import run_study
from studies.target_ablation import BASELINES, ROWS, AblationConfig, Sample, target_ablation

FEW = ("next_return", "variance_20_60_noise")


def test_a_killed_training_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROWS", {row: ROWS[row] for row in FEW})
    monkeypatch.setattr(module, "TINY", replace(module.TINY, steps=55))  # a training is kept after every 50 steps
    study, steps = target_ablation(tiny=True), {}

    def kill(what, done, total):
        if what == f"{FEW[1]}, seed 0" and done == 52:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "killed", kill)
    assert (tmp_path / "killed" / f"{FEW[1]}-0.unfinished").exists()
    again = run_study(study, tmp_path / "killed", lambda what, done, total: steps.setdefault(what, []).append(done))
    assert steps == {f"{FEW[1]}, seed 0": [51, 52, 53, 54, 55], "ewma": [0], "garch": [0]}
    assert again == run_study(study, tmp_path / "whole")
    assert [(row["row"], row["seed"]) for row in again["rows"]] == [(row, 0) for row in (*FEW, *BASELINES)]


def test_the_command_runs_every_row(tmp_path, capsys):
    assert module.main(["--tiny", "--work", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert all(row in printed for row in (*ROWS, *BASELINES))


def test_the_stored_table_has_every_row_and_seed():
    runs = load_study("target_ablation")
    seeds = runs.groupby("row", sort=False)["seed"].apply(tuple).to_dict()
    assert seeds == {row: AblationConfig().seeds for row in ROWS} | dict.fromkeys(BASELINES, (0,))
    assert runs["auc"].between(0.5, 1).all()
    assert runs[["latent_leak", "score_leak"]].to_numpy().min() >= 0


def test_the_stored_baseline_is_what_the_study_finds_today(tmp_path):
    (row,) = target_ablation().runs["ewma"](tmp_path, lambda *_: None)
    stored = load_study("target_ablation").set_index("row").loc["ewma"]
    for name, value in row.items():
        if name != "row":
            assert value == pytest.approx(stored[name], rel=1e-4)


def test_every_seed_of_the_shipped_recipe_has_its_share_of_the_ceiling():
    """K-Means on the unsupervised latent, against the best possible observer of the same paths."""
    market, test = RegimeSwitchingHeston.equity_index(), AblationConfig().test
    paths = market.simulate(n_paths=test.n_paths, n_steps=test.n_bars, seed=test.seed)
    chaos = bayes_filter(paths.log_returns, market, n_particles=3000, seed=1)[:, 60:, 1]
    truth, runs = paths.regime[:, 61:], load_study("target_ablation").set_index("row").loc["variance_20_60_noise"]
    for score, best, share in (
        ("auc", auc(truth, chaos), 0.86),
        ("balanced_accuracy", balanced_accuracy(truth, chaos > market.stationary[1]), 0.84),
    ):
        assert ((runs[score] - 0.5) / (best - 0.5) >= share).all()


def test_the_last_row_is_the_recipe_of_the_shipped_model():
    assert AblationConfig().recipe("variance_20_60_noise") == TrainConfig()
    assert asdict(AblationConfig())["train"] == {"n_paths": 400, "n_bars": 1500, "seed": 2026}


def test_samples_and_seeds_must_differ():
    with pytest.raises(ValueError, match="train, fit and test must have three different seeds"):
        AblationConfig(test=Sample(40, 2500, 2026))
    for seeds in ((1, 1), ()):
        with pytest.raises(ValueError, match="seeds must be different integers, got"):
            AblationConfig(seeds=seeds)
    assert np.isfinite(load_study("target_ablation").select_dtypes("number")).all(axis=None)
