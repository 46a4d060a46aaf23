"""The ablation: its leak has the value that theory gives it, its command survives a kill, its table is the code's."""

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from studies.target_ablation_design import BASELINES, ROWS, STORED, DetectorScore, Sample

from companion.datasets import load_target_ablation
from companion.errors import InputError
from companion.evaluation import auc, balanced_accuracy, leak, switch_statistics
from companion.heston import RegimeSwitchingHeston, bayes_filter
from companion.regimes import AblationConfig, EwmaKMeans, score_detector, summarize_runs
from studies import target_ablation as command

FEW = ("next_return", "variance_20_60_noise")


class _Linear(EwmaKMeans):
    """An exponential average of squares, without the logarithm: its leak is known. Half-life 0.0…: a copy of today."""

    def _advance(self, returns, state):
        _, variance = super()._advance(returns, state)
        return 1e4 * variance[:, None], variance


class _Yesterday(_Linear):
    """The same average, one bar late: it does not look at today."""

    def _advance(self, returns, state):
        _, variance = super()._advance(returns, state)
        return 1e4 * state[:, None], variance


class _Deaf(_Linear):
    """Fitted like the others, and then it hears nothing."""

    def _advance(self, returns, state):
        features, variance = super()._advance(returns, state)
        return features * (not hasattr(self, "calibration_")), variance


@pytest.fixture(scope="module")
def noise():
    return 0.01 * np.random.default_rng(0).standard_normal((40, 1500))


@pytest.mark.parametrize("half_life", [1.0, 5.0, 10.0])
def test_leak_of_an_exponential_average_is_the_closed_form(noise, half_life):
    detector = _Linear(half_life).fit(noise)
    share = leak(detector, noise, every=1)
    assert share.features == pytest.approx(1 - 0.5 ** (2 / half_life), rel=0.06)


def test_leak_of_a_copy_is_one_and_of_yesterday_none(noise, market):
    assert leak(_Linear(1e-3).fit(noise), noise, every=1).features == pytest.approx(1.0, abs=0.02)
    returns, _ = market
    late = _Yesterday(5.0).fit(returns)
    assert leak(late, returns) == (0.0, 0.0)
    memory = late.transform(returns)[:, 60:, 0].ravel()
    assert np.corrcoef(memory, np.abs(returns[:, 60:]).ravel())[0, 1] > 0.2  # where a regression would see a leak


def test_leak_refuses_what_it_can_not_measure(noise):
    detector = EwmaKMeans().fit(noise)
    with pytest.raises(ValueError, match=r"X has shape \(2, 1500\): give at least 3 paths of more than 60 bars"):
        leak(detector, noise[:2])
    with pytest.raises(ValueError, match="X has shape"):
        leak(detector, noise[:, :60])
    with pytest.raises(ValueError, match="every = 0 must be at least 1"):
        leak(detector, noise, every=0)
    deaf = _Deaf().fit(noise)
    with pytest.raises(ValueError, match="says the same at every bar"):
        leak(deaf, noise)


def test_a_score_is_that_of_the_warmed_up_bars(market):
    returns, regime = market
    detector = EwmaKMeans().fit(returns)
    found = score_detector(detector, returns, regime)
    score = detector.decision_function(returns)[:, 60:]
    assert found.auc == auc(regime[:, 60:], score)
    assert found.false_per_1000 == switch_statistics(regime[:, 60:], score > 0).false_per_1000
    assert 0.5 < found.balanced_accuracy < 1
    assert (found.latent_leak, found.score_leak) == leak(detector, returns)


def test_runs_are_summed_up_by_row():
    scores = {name: [0.5, 0.7, 0.9] for name in DetectorScore._fields}
    runs = pd.DataFrame({"row": ["b", "b", "a"], "seed": [0, 1, 0], **scores})
    summary = summarize_runs(runs)
    assert list(summary.index) == ["b", "a"]
    assert summary.loc["b", ("auc", "mean")] == pytest.approx(0.6)
    assert summary.loc["b", ("auc", "std")] == pytest.approx(0.2 / np.sqrt(2))
    assert tuple(summary.loc["b", "auc"][["min", "max"]]) == (0.5, 0.7)
    assert np.isnan(summary.loc["a", ("auc", "std")])


@pytest.fixture
def few_rows(monkeypatch):
    monkeypatch.setattr(command, "ROWS", {row: ROWS[row] for row in FEW})


def test_a_killed_ablation_goes_on_where_it_was(few_rows, tmp_path):
    whole = command.run_ablation(command.TINY, work=tmp_path / "whole")
    assert list(whole["row"]) == [FEW[0], FEW[0], FEW[1], FEW[1], *BASELINES]
    assert list(whole) == ["row", "seed", *DetectorScore._fields]

    def kill(what, done, total):
        if what == f"{FEW[1]}, seed 1" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        command.run_ablation(command.TINY, work=tmp_path / "killed", report=kill)
    trained = set()
    resumed = command.run_ablation(
        command.TINY, work=tmp_path / "killed", report=lambda what, done, total: trained.add(what)
    )
    assert trained == {f"{FEW[1]}, seed 1"}
    pd.testing.assert_frame_equal(resumed, whole)


def test_a_run_of_another_configuration_is_not_taken(few_rows, tmp_path):
    command.run_ablation(command.TINY, work=tmp_path)
    with pytest.raises(InputError, match=r"next_return-0\.json: identity differs: .* delete it"):
        command.run_ablation(replace(command.TINY, steps=5), work=tmp_path)
    (tmp_path / "next_return-0.json").write_text("{")
    with pytest.raises(InputError, match=r"next_return-0\.json: content is not a finished run; delete it"):
        command.run_ablation(command.TINY, work=tmp_path)


def test_the_command_stores_what_is_read_back(tmp_path, capsys):
    """All rows: the table of a command is whole, or it is refused."""
    store = tmp_path / "table.json"
    argv = ["--tiny", "--work", str(tmp_path / "work"), "--store", str(store)]
    assert command.main(argv) == 0
    printed = capsys.readouterr().out
    assert all(row in printed for row in (*ROWS, *BASELINES))
    runs = load_target_ablation(store)
    assert len(runs) == 2 * len(ROWS) + len(BASELINES)
    assert runs.attrs["provenance"]["config"] == command.TINY.record()
    first = store.read_bytes()
    assert command.main(argv) == 0
    assert store.read_bytes() == first


def test_a_tiny_table_does_not_replace_the_one_in_the_package(tmp_path, capsys):
    before = STORED.read_bytes()
    with pytest.raises(SystemExit):
        command.main(["--tiny", "--store", "--work", str(tmp_path)])
    assert "--tiny is not for the table in the package" in capsys.readouterr().err
    assert STORED.read_bytes() == before


def test_bad_input_and_an_interrupt_are_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "work").write_text("a file")
    assert command.main(["--tiny", "--work", str(tmp_path / "work")]) == 2

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_ablation", interrupt)
    assert command.main(["--tiny", "--work", str(tmp_path)]) == 130
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[1].endswith("keeps what is finished")


def test_the_stored_table_is_the_one_of_this_recipe():
    """A changed recipe, sample or row asks for a new run: python -m studies.target_ablation --store."""
    runs = load_target_ablation()
    assert runs.attrs["provenance"]["config"] == AblationConfig().record()
    seeds = runs.groupby("row", sort=False)["seed"].apply(tuple).to_dict()
    assert seeds == {row: AblationConfig().seeds for row in ROWS} | dict.fromkeys(BASELINES, (0,))
    assert runs["auc"].between(0.5, 1).all()
    assert runs[["latent_leak", "score_leak"]].to_numpy().min() >= 0


def test_every_seed_of_the_shipped_recipe_has_its_share_of_the_ceiling():
    """K-Means on the unsupervised latent, against the best possible observer of the same paths."""
    market, test = RegimeSwitchingHeston.equity_index(), AblationConfig().test
    paths = market.simulate(n_paths=test.n_paths, n_steps=test.n_bars, seed=test.seed)
    chaos = bayes_filter(paths.log_returns, market, n_particles=3000, seed=1)[:, 60:, 1]
    truth, runs = paths.regime[:, 61:], load_target_ablation().set_index("row").loc["variance_20_60_noise"]
    for score, best, share in (
        ("auc", auc(truth, chaos), 0.86),
        ("balanced_accuracy", balanced_accuracy(truth, chaos > market.stationary[1]), 0.84),
    ):
        assert ((runs[score] - 0.5) / (best - 0.5) >= share).all()


def test_the_last_row_is_the_recipe_of_the_shipped_model():
    from companion.mamba import TrainConfig

    assert AblationConfig().recipe("variance_20_60_noise") == TrainConfig()
    assert asdict(AblationConfig())["train"] == {"n_paths": 400, "n_bars": 1500, "seed": 2026}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(format_version=9), "format_version is 9, this version reads 1"),
        (lambda t: t["runs"][0].update(auc=None), "score that is not a finite number"),
        (lambda t: t["runs"][0].update(auc="high"), "score that is not a finite number"),
        (lambda t: [run.pop("auc") for run in t["runs"]], r"unknown or missing fields \['auc'\]"),
        (lambda t: t.update(runs=[r for r in t["runs"] if r["row"] != "ewma"]), r"lack the rows \['ewma'\]"),
        (lambda t: t.update(runs=[]), "unknown or missing fields"),
    ],
)
def test_a_damaged_table_is_refused_with_the_remedy(tmp_path, change, message):
    table = json.loads(STORED.read_text(encoding="utf-8"))
    change(table)
    path = tmp_path / "table.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(InputError, match=f"table.json: .*{message}.*; make it again with `python -m companion"):
        load_target_ablation(path)


def test_a_missing_or_broken_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no\.json: can not be read \(No such file"):
        load_target_ablation(tmp_path / "no.json")
    (tmp_path / "half.json").write_text('{"runs": [')
    with pytest.raises(InputError, match=r"half\.json: content is not JSON"):
        load_target_ablation(tmp_path / "half.json")


def test_samples_and_seeds_must_differ():
    with pytest.raises(ValueError, match="train, fit and test must have three different seeds"):
        AblationConfig(test=Sample(40, 2500, 2026))
    with pytest.raises(ValueError, match=r"seeds: expected different integers, got \(1, 1\)"):
        AblationConfig(seeds=(1, 1))
