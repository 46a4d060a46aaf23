"""The shipped network in units of its own slow scale: the same answer in every unit, and honest probabilities."""

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from companion.errors import InputError
from companion.heston import RegimeSwitchingHeston
from companion.pipeline.calibrate_scale import CalibrateScaleConfig, run
from companion.regimes import NeuralRegimeFilter
from companion.regimes._filter_training import simulate_lessons
from companion.regimes._neural_filter import UNIVERSAL
from companion.regimes._own_scale import calibration_file, own_scale_calibration

HALF_LIFE = 2000.0


@pytest.fixture(scope="module")
def of_any_scale():
    return NeuralRegimeFilter.load_pretrained("universal", scale_half_life=HALF_LIFE)


@pytest.fixture(scope="module")
def minutes():
    """Minute returns (2, 900) of about .08 %."""
    market = RegimeSwitchingHeston.equity_index().scaled(volatility=0.08)
    return market.simulate(n_paths=2, n_steps=900, seed=4).log_returns


@pytest.mark.parametrize("factor", [1e-4, 1e-3, 0.1, 10.0, 100.0])
def test_no_unit_changes_a_probability(of_any_scale, minutes, factor):
    expected, found = (of_any_scale.predict_proba(x) for x in (minutes, factor * minutes))
    assert np.ptp(expected) > 0.2  # there is something to change
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("factor", [1e-4, 1.0, 100.0])
def test_bar_by_bar_it_says_the_same_of_every_scale_and_knows_it(of_any_scale, minutes, factor):
    stepper, whole = of_any_scale.stepper(), of_any_scale.predict_proba(minutes[0])[:, 1]
    readings = [stepper.update(float(x)) for x in factor * minutes[0]]
    np.testing.assert_allclose([reading.p_chaos for reading in readings], whole, rtol=0, atol=1e-5)
    assert all(reading.known_scale for reading in readings)
    assert of_any_scale.known_scale(factor * minutes).all()
    assert [reading.warm for reading in readings].index(True) == of_any_scale.warm_up == 720


def test_it_goes_on_exactly_from_a_saved_state_and_refuses_that_of_the_absolute_filter(of_any_scale, minutes):
    stepper, twin = of_any_scale.stepper(), of_any_scale.stepper()
    for x in minutes[0, :300].tolist():
        stepper.update(x)
    twin.restore(json.loads(json.dumps(stepper.state())))
    assert [stepper.update(x) for x in minutes[0, 300:400]] == [twin.update(x) for x in minutes[0, 300:400]]
    for other in (
        NeuralRegimeFilter.load_pretrained("universal", warm_up=720),
        NeuralRegimeFilter.load_pretrained("universal", scale_half_life=1000.0),
    ):
        with pytest.raises(ValueError, match="same detector"):
            other.stepper().restore(stepper.state())


def test_the_weights_are_those_of_the_absolute_filter_but_for_the_calibration(of_any_scale, minutes):
    absolute = NeuralRegimeFilter.load_pretrained("universal")
    assert absolute.model_.config.scale_half_life is None
    own = of_any_scale.model_.state_dict()
    differ = [name for name, weight in absolute.model_.state_dict().items() if not weight.equal(own[name])]
    assert differ == ["head.weight", "head.bias"]
    again = NeuralRegimeFilter.from_network(of_any_scale.model_)
    np.testing.assert_array_equal(again.predict_proba(minutes), of_any_scale.predict_proba(minutes))


def test_its_probabilities_are_calibrated_and_cost_what_is_said():
    """Fresh markets at a tenth of their volatility: the absolute filter, which needs it whole, is the yardstick."""
    fresh = simulate_lessons("universal", n_paths=30, n_bars=2000, seed=990_016)
    truth = fresh.regime[:, 720:].ravel()
    own, absolute = (
        NeuralRegimeFilter.load_pretrained("universal", scale_half_life=half_life) for half_life in (HALF_LIFE, None)
    )
    p, q = own.predict_proba(0.1 * fresh.log_returns), absolute.predict_proba(fresh.log_returns)
    p, q = p[:, 720:, 1].ravel(), q[:, 720:, 1].ravel()
    assert -0.01 < roc_auc_score(truth, q) - roc_auc_score(truth, p) < 0.05
    called = np.digitize(p, np.linspace(0, 1, 11)[1:-1])
    errors = [abs(p[called == k].mean() - truth[called == k].mean()) * np.mean(called == k) for k in np.unique(called)]
    assert sum(errors) < 0.05
    assert p.mean() == pytest.approx(truth.mean(), abs=0.03)


@pytest.mark.parametrize(("name", "half_life"), [("equity_index", 2000.0), ("universal", 3.0), ("universal", -1.0)])
def test_what_is_not_calibrated_is_refused(name, half_life):
    with pytest.raises(ValueError, match="scale_half_life must be"):
        NeuralRegimeFilter.load_pretrained(name, scale_half_life=half_life)


def test_the_calibration_is_made_anew_and_belongs_to_one_network(tmp_path):
    model = tmp_path / "universal.safetensors"
    model.write_bytes(UNIVERSAL.read_bytes())
    config = CalibrateScaleConfig(half_lives=(50.0,), n_paths=4, n_bars=1000, seed=3)
    run(config, {"model": model}, calibration_file(model), lambda done, total: None)
    made = own_scale_calibration(model, 50.0)
    assert 0.3 < made.slope < 3.0
    with pytest.raises(ValueError, match="one of 50"):
        own_scale_calibration(model, 2000.0)
    stored = json.loads(calibration_file(model).read_text(encoding="utf-8"))
    for field, value, problem in [("platt", {"x": 1}, "not a calibration"), ("format_version", 9, "format_version")]:
        calibration_file(model).write_text(json.dumps(stored | {field: value}), encoding="utf-8")
        with pytest.raises(InputError, match=problem):
            own_scale_calibration(model, 50.0)
    calibration_file(model).write_text(json.dumps(stored), encoding="utf-8")
    model.write_bytes(b"another")
    with pytest.raises(InputError, match="another network"):
        own_scale_calibration(model, 50.0)
