"""What a shipped network says of a past that is none of its markets': a p-value that keeps its promise."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import binom

from companion.errors import InputError
from companion.pipeline import calibrate_ood
from companion.pipeline.calibrate_ood import CalibrateOodConfig
from companion.regimes import EwmaKMeans, NeuralRegimeFilter
from companion.regimes import _ood as ood_module
from companion.regimes._filter_training import MARKETS, simulate_lessons
from companion.regimes._neural_filter import OOD
from companion.regimes._ood import COLD, OutOfDistribution
from companion.regimes._packing import pack, unpack
from companion.risk import false_kill_interval

N_BARS, ALPHA = 2_500, 0.05
FLIPS = np.sign(np.random.default_rng(0).normal(size=400))
RETURNS = FLIPS * np.where(np.arange(400) < 200, 0.01, 0.05)  # unlike any market
SMALL = CalibrateOodConfig(n_cloud=3, n_paths=4, n_bars=200)
MODELS = {name: OOD.parent / f"{name}.safetensors" for name in MARKETS}


@pytest.fixture(params=MARKETS)
def name(request):
    return request.param


def shipped(name):
    return NeuralRegimeFilter.load_pretrained(name)


def lowest(name, paths):
    """Smallest p-value of each path (n_paths, n_bars)."""
    return np.array([shipped(name).ood_p_value(path).min() for path in paths])


def distances(detector, paths):
    return detector.feature_.ood.distances(detector.feature_.judged(paths))


def test_of_many_bars_as_of_one(name):
    detector = shipped(name)
    stepper, whole, far = detector.stepper(), detector.ood_p_value(RETURNS), distances(detector, RETURNS)
    for value, p_value, distance in zip(RETURNS, whole, far, strict=True):
        reading = stepper.update(value)
        if stepper.n_bars > COLD:
            average = unpack(stepper.state()["past"])[0]
            assert average == pytest.approx(distance, rel=1e-4)  # float32, another order of sums
        assert reading.ood_p_value == pytest.approx(p_value, abs=0.003)
    assert (whole[:COLD] == 1.0).all()
    assert len(np.unique(far[COLD:])) == far[COLD:].size
    np.testing.assert_array_equal(detector.ood_p_value(RETURNS[None]), [whole])


def test_no_bar_knows_the_next(name):
    other = np.concatenate([RETURNS[:300], 0.1 * RETURNS[300:]])
    before, after = np.split(distances(shipped(name), RETURNS) == distances(shipped(name), other), [300])
    assert before.all()
    assert not after.any()


def test_a_market_of_the_training_is_suspected_as_often_as_stated(name):
    paths = simulate_lessons(name, n_paths=40, n_bars=N_BARS, seed=77).log_returns
    low, high = false_kill_interval(CalibrateOodConfig.n_paths, len(paths), false_kill=ALPHA, level=0.999)
    assert low <= np.mean(lowest(name, paths) <= ALPHA) <= high


NORMAL = np.random.default_rng(1).normal(size=(10, N_BARS))
CAUCHY = np.random.default_rng(2).standard_cauchy(size=(10, N_BARS))
LATE = np.arange(N_BARS) >= N_BARS // 2
UNLIKE = {
    "tails without a variance": np.clip(0.001 * CAUCHY, -5.0, 5.0),
    "coin flips": 0.01 * np.sign(NORMAL),
    "nine of ten bars without a trade": 0.01 * NORMAL * (np.arange(N_BARS) % 10 == 0),
    "a drift of one sigma a bar": 0.01 * (NORMAL + 1.0),
    "ten times the volatility, for good": 0.003 * NORMAL * np.where(LATE, 10.0, 1.0),
    "a tenth of the volatility, for good": 0.03 * NORMAL * np.where(LATE, 0.1, 1.0),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_it_says_that_a_past_is_unlike_any_market(what):
    assert np.mean(lowest("scale_free", UNLIKE[what]) <= ALPHA) >= 0.7


def test_what_none_can_see_is_part_of_it(name):
    """As chapter 7 says: each return half undone by the next, and uniform shocks."""
    undone = lfilter([1.0], [1.0, 0.5], 0.01 * NORMAL[:5], axis=-1)
    uniform = np.random.default_rng(4).uniform(-0.017, 0.017, size=(5, N_BARS))
    said = np.sum(lowest(name, [*undone, *uniform]) <= ALPHA)
    assert said <= binom.ppf(0.999, 10, ALPHA)  # as often as by chance


def test_the_unit_of_returns_does_not_matter_where_the_network_has_none():
    one, other = (shipped("scale_free").ood_p_value(unit * RETURNS) for unit in (1.0, 1e-3))
    assert np.mean(one == other) > 0.99
    assert one.min() <= ALPHA


@given(
    st.lists(st.floats(0.0, 100.0), min_size=1, max_size=30),
    st.lists(st.floats(-5.0, 5.0), min_size=1, max_size=20),
    st.integers(1, 3),
)
def test_it_is_the_share_of_paths_that_were_as_far_from_the_middle(maxima, values, n_features):
    """Against the definition, with a cloud around zero of the unit covariance."""
    ood = OutOfDistribution(np.zeros(n_features), np.eye(n_features), maxima)
    latents = np.concatenate([np.zeros((COLD, n_features)), np.repeat(np.array(values)[:, None], n_features, axis=1)])
    average = float(n_features)
    for bar, value in enumerate(values, start=COLD):
        average = ood_module.KEPT * average + (1.0 - ood_module.KEPT) * n_features * value**2
        assert ood.distances(latents)[bar] == pytest.approx(average)
        p_value = (1 + np.sum(np.array(maxima) >= ood.distances(latents)[bar])) / (1 + len(maxima))
        assert ood.p_values(latents)[bar] == p_value == ood.p_value(ood.distances(latents)[bar])


def test_the_distance_has_the_unit_of_the_cloud():
    rng = np.random.default_rng(3)
    mixed = rng.normal(size=(20_000, 3)) @ rng.normal(size=(3, 3)) + [1.0, -2.0, 5.0]
    ood = OutOfDistribution.of_features(mixed, [mixed[:500]])
    assert ood.distances(mixed)[COLD:].mean() == pytest.approx(3.0, rel=0.02)  # chi-squared with three degrees


def test_a_stream_goes_on_from_its_state(name):
    whole, first = shipped(name).stepper(), shipped(name).stepper()
    readings = [whole.update(value).ood_p_value for value in RETURNS]
    for value in RETURNS[:200]:
        first.update(value)
    second = shipped(name).stepper()
    second.restore(json.loads(json.dumps(first.state())))
    assert [second.update(value).ood_p_value for value in RETURNS[200:]] == readings[200:]
    for past in (np.zeros(2), np.full(3, np.inf)):
        with pytest.raises(ValueError, match="state"):
            second.restore(first.state() | {"past": pack(past)})


def test_whoever_has_no_known_markets_says_so():
    paths = np.random.default_rng(0).normal(scale=np.where(np.arange(600) // 100 % 2, 0.03, 0.006), size=(2, 600))
    assert EwmaKMeans().fit(paths).update(0.01).ood_p_value is None
    adapted = shipped("scale_free").fit(paths)
    assert adapted.update(0.01).ood_p_value is None
    with pytest.raises(ValueError, match="must be a shipped one"):
        adapted.ood_p_value(paths)


def test_the_step_gives_the_same_twice_and_what_ships_is_of_its_making(tmp_path):
    for file in ("a.json", "b.json"):
        calibrate_ood.run(SMALL, MODELS, tmp_path / file, lambda done, total: None)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    made = OutOfDistribution.load(tmp_path / "a.json", "universal", MODELS["universal"])
    assert len(made.maxima) == SMALL.n_paths
    assert json.loads(OOD.read_text())["provenance"]["config"] == vars(CalibrateOodConfig())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda stored: stored | {"format_version": 99}, "another format or network"),
        (lambda stored: stored | {"parameters": {}}, "no calibration"),
        (lambda stored: [], "no calibration"),
        (lambda stored: stored | {"parameters": {"universal": {"mean": [0.0], "root": [1.0], "maxima": []}}}, "finite"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_its_remedy(tmp_path, change, says):
    file = tmp_path / "ood.json"
    file.write_text(json.dumps(change(json.loads(OOD.read_text()))))
    with pytest.raises(InputError, match=rf"ood\.json: .*{says}.*calibrate_ood"):
        OutOfDistribution.load(file, "universal", MODELS["universal"])


def test_a_calibration_for_another_network_is_refused():
    with pytest.raises(InputError, match="another format or network"):
        OutOfDistribution.load(OOD, "universal", MODELS["scale_free"])
