"""The comparison: it says what the scores say of the same forecasts, on paths that no detector was fitted on."""

from dataclasses import fields

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from companion.evaluation import balanced_accuracy, expected_calibration_error
from companion.evaluation._comparison import DEVELOPMENT_SEED, SCORES, TEST_SEEDS, TRAIN_SEED, compare_detectors
from companion.evaluation._switches import delay_into_chaos, false_switches, missed_spells
from companion.heston import RegimeSwitchingHeston
from companion.regimes import ENTER_CHAOS, LEAVE_CHAOS, BayesCeiling, EwmaKMeans, HarKMeans, hysteresis
from studies import filter_scores as filter_study
from studies import target_ablation as ablation_study

SIZE = {"n_paths": 6, "n_bars": 900, "seed": 5}
BASE = RegimeSwitchingHeston.equity_index()


@pytest.fixture(scope="module")
def paths():
    return BASE.simulate(n_paths=6, n_steps=900, seed=5)


@pytest.fixture(scope="module")
def posterior(paths):
    return BayesCeiling(BASE, n_particles=200).predict_proba(paths.log_returns)


@pytest.fixture(scope="module")
def fitted(market):
    return HarKMeans(warm_up=80).fit(*market)


@pytest.fixture(scope="module")
def comparison(posterior, fitted):
    return compare_detectors(BASE, {"ewma": EwmaKMeans(), "har": fitted}, ceiling=posterior, **SIZE)


def test_the_scores_are_those_of_the_forecasts(comparison, fitted, paths):
    """Recomputed by hand for the detector that came fitted, without the longest warm-up."""
    truth, table = paths.regime[:, 81:], comparison.scores()
    np.testing.assert_array_equal(comparison.truth, truth)
    assert list(table.index) == ["ewma", "har", "ceiling"]
    assert list(table) == list(SCORES)
    chaos, held = fitted.predict_proba(paths.log_returns)[:, 80:, 1], fitted.predict(paths.log_returns)[:, 80:]
    expected = {
        "balanced_accuracy": balanced_accuracy(truth, chaos > 60 / 310),
        "calibration_error": expected_calibration_error(truth, chaos),
        "held_accuracy": balanced_accuracy(truth, held),
        "false_switches": false_switches(truth, held),
        "delay_into_chaos": delay_into_chaos(truth, held),
        "missed_spells": missed_spells(truth, held),
    }
    assert table.loc["har", list(expected)].to_dict() == pytest.approx(expected)


def test_the_ceiling_is_held_like_the_others(comparison, posterior):
    expected = hysteresis(posterior[..., 1], enter_chaos=ENTER_CHAOS, leave_chaos=LEAVE_CHAOS)[:, 80:]
    np.testing.assert_array_equal(comparison.forecasts["ceiling"].held, expected)


def test_path_by_path(comparison):
    table = comparison.by_path()
    assert table.index.names == ["detector", "path"]
    one_regime = np.ptp(comparison.truth, axis=1) == 0
    assert one_regime.sum() in range(1, 5)
    for name in comparison.forecasts:
        assert (table.loc[name].isna().all(axis=1) == one_regime).all()
    both = int(np.flatnonzero(~one_regime)[0])
    forecast = comparison.forecasts["har"].p_chaos[both]
    assert table.loc[("har", both), "calibration_error"] == expected_calibration_error(comparison.truth[both], forecast)


def test_shares_and_differences_are_paired(comparison):
    own = comparison.share("ceiling")
    assert (own.estimate, own.low, own.high) == (1.0, 1.0, 1.0)
    table = comparison.scores()
    share = comparison.share("har", "balanced_accuracy")
    expected = (table.loc["har", "balanced_accuracy"] - 0.5) / (table.loc["ceiling", "balanced_accuracy"] - 0.5)
    assert share.estimate == pytest.approx(expected)
    there, back = comparison.difference("har", "ewma"), comparison.difference("ewma", "har")
    assert there.estimate == pytest.approx(table.loc["har", "auc"] - table.loc["ewma", "auc"])
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.high - there.low < comparison.interval("har", "auc").high - comparison.interval("har", "auc").low


def test_what_is_not_there_is_named(comparison):
    with pytest.raises(ValueError, match="name must be one of ewma, har, ceiling, got 'garch'"):
        comparison.interval("garch", "auc")
    with pytest.raises(ValueError, match=r"score must be one of auc, .*, got 'f1'"):
        comparison.difference("har", "ewma", "f1")
    with pytest.raises(ValueError, match=r"score must be one of auc, .*, got 'brier'"):
        comparison.share("har", "brier")


def test_detectors_stay_as_they_came_and_another_training_seed_is_another_fit(comparison, posterior):
    mine = EwmaKMeans()
    other = compare_detectors(BASE, {"ewma": mine}, ceiling=posterior, train_seed=9, **SIZE)
    with pytest.raises(NotFittedError):
        mine.predict([0.0])
    assert other.truth.shape == (6, 840)  # its own warm-up, not that of HAR
    assert other.scores().loc["ewma", "brier"] != comparison.scores().loc["ewma", "brier"]


def test_without_a_posterior_the_ceiling_is_computed():
    paths = BASE.simulate(n_paths=2, n_steps=300, seed=DEVELOPMENT_SEED)
    for given in ({}, {"n_particles": 200}):
        small = compare_detectors(BASE, {}, n_paths=2, n_bars=300, seed=DEVELOPMENT_SEED, **given)
        expected = BayesCeiling(BASE, **given).predict_proba(paths.log_returns)[:, 60:, 1]
        np.testing.assert_array_equal(small.forecasts["ceiling"].p_chaos, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detectors": {"ceiling": EwmaKMeans()}}, "detectors must have other names than .*, got 'ceiling'"),
        ({"detectors": {"bayes": BayesCeiling(BASE)}}, "detectors must be RegimeFilters, got another under 'bayes'"),
        ({"seed": TRAIN_SEED}, "no detector may see the paths it is scored on"),
        ({"ceiling": np.zeros((6, 900))}, r"ceiling must have shape \(6, 900, 2\), got \(6, 900\)"),
    ],
)
def test_arguments_are_checked(changes, message, posterior):
    arguments = {"detectors": {}, "ceiling": posterior, **SIZE, **changes}
    with pytest.raises(ValueError, match=message):
        compare_detectors(BASE, **arguments)


def test_no_two_purposes_share_a_seed():
    ablation = ablation_study.AblationConfig()
    samples = [field.default.seed for field in fields(ablation) if hasattr(field.default, "seed")]
    seeds = [*TEST_SEEDS.values(), DEVELOPMENT_SEED, TRAIN_SEED, *filter_study.MARKETS.values(), *samples]
    assert len(set(seeds)) == len(seeds)
