"""Bar by bar is the batch form: for every detector, from any bar on, out of any store, and beside any other stepper."""

import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from companion.datasets import load_sp500_close, log_returns
from companion.mamba import MarketMamba, MarketMambaConfig, load_pretrained
from companion.mamba._model import inputs_of
from companion.regimes import EwmaKMeans, JumpModelFilter, NeuralRegimeFilter, RegimeDetector

# The fixtures are fitted detectors: a stepper of their own is all that an example changes.
DETERMINISTIC = settings(
    derandomize=True, deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def same(one, two):
    """Whether two readings agree to the last bit, features included."""
    return one == two and np.array_equal(one.features, two.features)


def test_the_stepper_says_what_the_batch_form_says(ready, market):
    path = np.concatenate([market[0][0, :400], [0.0, 0.0, 0.25, -0.3, 9.0, -10.0], market[0][1, :60]])
    stepper = ready.stepper()
    readings = [stepper.update(value) for value in path]
    p = ready.predict_proba(path)
    np.testing.assert_allclose([r.p_chaos for r in readings], p[:, 1], rtol=0, atol=1e-6)
    np.testing.assert_allclose([r.p_stable for r in readings], p[:, 0], rtol=0, atol=1e-6)
    np.testing.assert_allclose([r.confidence for r in readings], ready.confidence(path), rtol=0, atol=1e-5)
    np.testing.assert_allclose([r.features for r in readings], ready.transform(path), rtol=1e-5, atol=1e-5)
    assert [r.regime for r in readings] == ready.predict(path).tolist()
    assert [r.n_bars for r in readings] == list(range(1, len(path) + 1))
    assert [r.warm for r in readings] == [n > ready.warm_up for n in range(1, len(path) + 1)]


def test_update_is_a_stepper_and_reset_begins_anew(ready, market):
    path, stepper = market[0][2, :50], ready.stepper()
    expected = [stepper.update(value) for value in path]
    for _ in range(2):
        assert all(same(ready.update(value), reading) for value, reading in zip(path, expected, strict=True))
        ready.reset()


def test_a_reading_is_not_changed_by_the_bars_after_it(ready, market):
    stepper = ready.stepper()
    first = stepper.update(market[0][0, 0])
    kept = first.features.copy()
    for value in market[0][0, 1:20]:
        stepper.update(value)
    np.testing.assert_array_equal(first.features, kept)


@DETERMINISTIC
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-0.2, 0.2)), min_size=1, max_size=60))
def test_steppers_of_one_detector_do_not_disturb_one_another(ready, stream):
    """Bars of three paths come mixed; each path reads as if it were alone. `update` is a fourth."""
    mixed, found = [ready.stepper() for _ in range(3)], [[], [], []]
    for path, value in stream:
        found[path].append(mixed[path].update(value))
        ready.update(-value)
    for path in range(3):
        alone = ready.stepper()
        expected = [alone.update(value) for which, value in stream if which == path]
        assert all(same(one, two) for one, two in zip(found[path], expected, strict=True))


@DETERMINISTIC
@given(
    st.lists(st.floats(-0.3, 0.3), max_size=40),
    st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=20),
    st.floats(-1, 1),
)
def test_a_stored_state_goes_on_exactly(ready, past, future, noise):
    stepper, other = ready.stepper(), ready.stepper()
    for value in past:
        stepper.update(value)
    stored = json.dumps(stepper.state(), allow_nan=False)
    expected = [stepper.update(value) for value in future]
    other.update(noise)  # what it had seen is forgotten
    other.restore(json.loads(stored))
    assert other.n_bars == len(past)
    assert all(same(other.update(value), reading) for value, reading in zip(future, expected, strict=True))
    other.restore(json.loads(stored))  # the state is not used up
    assert same(other.update(future[0]), expected[0])


def test_a_detector_is_pickled_in_the_middle_of_a_stream(ready, market):
    for value in market[0][0, :30]:
        ready.update(value)
    copy = pickle.loads(pickle.dumps(ready))
    for value in market[0][0, 30:60]:
        assert same(copy.update(value), ready.update(value))
    np.testing.assert_array_equal(copy.predict_proba(market[0][1]), ready.predict_proba(market[0][1]))


FOREIGN = [
    ("None", lambda state: None),
    ("no state", lambda state: {}),
    ("a list", lambda state: [state]),
    ("negative bars", lambda state: {**state, "n_bars": -1}),
    ("half a bar", lambda state: {**state, "n_bars": 2.5}),
    ("bars as text", lambda state: {**state, "n_bars": "3"}),
    ("a third regime", lambda state: {**state, "regime": 2}),
    ("no regime", lambda state: {**state, "regime": None}),
    ("another detector", lambda state: {**state, "detector": "0" * 64}),
    ("no memory", lambda state: {**state, "feature": None}),
    ("a memory in one number", lambda state: {**state, "feature": 0.5}),
    ("a memory of nothing", lambda state: {**state, "feature": {"dtype": "<f8", "shape": [0], "data": ""}}),
    ("a memory that is no base64", lambda state: {**state, "feature": {"dtype": "<f8", "shape": [1], "data": "?"}}),
    ("a memory of objects", lambda state: {**state, "feature": {"dtype": "O", "shape": [1], "data": "AAAAAAAAAAA="}}),
    ("a memory that is no number", lambda state: {**state, "feature": _not_a_number(state["feature"])}),
]


def _not_a_number(packed):
    if isinstance(packed, list):
        return [_not_a_number(part) for part in packed]
    if packed is None:
        return None
    ones = "////" * (len(packed["data"]) // 4)  # all bits set is NaN in every floating format
    return {**packed, "data": ones[: len(packed["data"].rstrip("="))] + "=" * packed["data"].count("=")}


@pytest.mark.parametrize(("kind", "change"), FOREIGN, ids=[kind for kind, _ in FOREIGN])
def test_what_is_no_state_is_refused_and_changes_nothing(ready, market, kind, change):
    stepper, twin = ready.stepper(), ready.stepper()
    for value in market[0][0, :12]:
        stepper.update(value)
        twin.update(value)
    with pytest.raises(ValueError, match="state must be"):
        stepper.restore(change(stepper.state()))
    assert same(stepper.update(0.01), twin.update(0.01))


def test_the_state_of_another_detector_is_refused(market):
    returns, regime = (array[:, :400] for array in market)
    makers = [
        lambda: EwmaKMeans().fit(returns, regime),
        lambda: EwmaKMeans(half_life=11.0).fit(returns, regime),
        lambda: EwmaKMeans(warm_up=61).fit(returns, regime),
        lambda: EwmaKMeans(leave_chaos=0.2).fit(returns, regime),
        lambda: EwmaKMeans().fit(returns[:3], regime[:3]),
        lambda: JumpModelFilter().fit(returns, regime),
        RegimeDetector.load_pretrained,
        lambda: RegimeDetector.load_pretrained(enter_chaos=0.5),
        lambda: NeuralRegimeFilter.load_pretrained("equity_index"),
        lambda: NeuralRegimeFilter.load_pretrained("universal"),
        lambda: NeuralRegimeFilter.from_network(_other_network()),
    ]
    detectors, again = [make() for make in makers], [make() for make in makers]
    states = [detector.stepper().state() for detector in detectors]
    for i, detector in enumerate(again):
        for j, state in enumerate(states):
            if i == j:
                detector.stepper().restore(state)  # made again in the same way it is the same detector
            else:
                with pytest.raises(ValueError, match="state must be that of the same detector"):
                    detector.stepper().restore(state)


def _other_network():
    """The shipped filter with one weight of its memory another, deep inside."""
    network = NeuralRegimeFilter.load_pretrained().model_
    network.blocks[0].A_log.data[3, 2] += 1e-3
    return network


def _double(detector):
    """The same detector on the same network in float64."""
    if isinstance(detector, NeuralRegimeFilter):
        return NeuralRegimeFilter.from_network(detector.model_.double())
    return RegimeDetector.from_parameters(detector.parameters(), model=load_pretrained().double())


def test_a_network_in_float64_is_stepped_in_float64(load_shipped, market):
    path, single = market[0][0, :300], load_shipped()
    p = single.predict_proba(path)[:, 1]
    double = _double(single)
    readings = [double.update(value) for value in path]
    inputs = torch.from_numpy(inputs_of(double.model_.config, path)).double()
    with torch.no_grad():
        exact = double.model_.latent(inputs[None])[0].numpy()
    np.testing.assert_allclose([r.features for r in readings], exact, rtol=0, atol=1e-13)  # float32 is off by 1e-7
    np.testing.assert_allclose([r.p_chaos for r in readings], double.predict_proba(path)[:, 1], rtol=0, atol=1e-6)
    np.testing.assert_allclose([r.p_chaos for r in readings], p, rtol=0, atol=1e-4)
    stored = double.stepper()
    stored.update(0.01)
    other = double.stepper()
    other.restore(json.loads(json.dumps(stored.state())))
    assert same(other.update(0.02), stored.update(0.02))
    with pytest.raises(ValueError, match="state must be"):
        single.stepper().restore(stored.state())


@pytest.mark.parametrize("maker", [RegimeDetector, lambda model: NeuralRegimeFilter(model, steps=2)])
def test_a_detector_is_fitted_on_a_network_in_float64(maker, market):
    model = MarketMamba(MarketMambaConfig(d_model=8, n_layers=1, d_state=4, horizons=(1,))).double()
    detector = maker(model).fit(market[0][:3, :400], market[1][:3, :400])
    path = market[0][4, :100]
    found = [detector.update(value).p_chaos for value in path]
    np.testing.assert_allclose(found, detector.predict_proba(path)[:, 1], rtol=0, atol=1e-6)
    assert detector.model_.head.weight.dtype == torch.float64


def test_a_network_in_half_precision_says_so():
    model = MarketMamba(MarketMambaConfig(d_model=8, n_layers=1, horizons=(1,))).half()
    with pytest.raises(ValueError, match=r"model must be in float32 or float64 .*, got torch\.float16"):
        NeuralRegimeFilter.from_network(model)


@pytest.mark.parametrize(
    ("daily", "known"), [(0.001, False), (0.005, True), (0.01, True), (0.025, True), (0.04, False)]
)
def test_a_reading_says_whether_the_detector_knows_the_scale(ready, daily, known):
    """A bond, an index in calm and in crisis, a coin; a detector that is free of units knows them all."""
    path = daily * np.random.default_rng(0).standard_normal(400)
    stepper, free = ready.stepper(), ready.feature_.rms_range is None
    readings = [stepper.update(value) for value in path]
    assert all(reading.known_scale for reading in readings if not reading.warm)
    assert [reading.known_scale for reading in readings[150:]] == [free or known] * 250


def test_decades_of_an_index_is_of_a_known_scale(load_shipped):
    stepper = load_shipped().stepper()
    assert all(stepper.update(value).known_scale for value in log_returns(load_sp500_close()))
