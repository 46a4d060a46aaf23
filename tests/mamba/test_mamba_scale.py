"""The slow scale that a model may carry: its law, its causality, and that a model with it knows no unit."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from companion.mamba import MarketMamba, MarketMambaConfig, TrainConfig, forecasts, latents, train
from companion.mamba._features import SCALE
from companion.mamba._scale import rescale, rescale_in_place, rescaled, start_scale
from companion.mamba._train import initial_model
from companion.mamba.kernels._slow_scale import FAR

CONFIG = MarketMambaConfig(d_model=8, n_layers=1, d_state=4, scale_half_life=30.0)
RETURNS = 0.001 * np.random.default_rng(3).standard_normal((4, 300))
PATHS = st.lists(st.just(0.0) | st.floats(-10.0, 10.0, allow_subnormal=False), min_size=1, max_size=40)


@given(PATHS, st.sampled_from([1.0, 30.0, 1000.0]))
@settings(deadline=None, max_examples=200)
def test_the_scale_is_the_weighted_root_mean_square_of_the_first_returns(path, half_life):
    path = np.where(np.abs(path) < 1e-100, 0.0, path)  # whose squares are numbers
    found = rescaled(path, half_life)
    for t, value in enumerate(path):
        weights = 0.5 ** (np.arange(t, -1, -1) / half_life)
        scale = np.sqrt(np.average(path[: t + 1] ** 2, weights=weights))
        np.testing.assert_allclose(found[t], SCALE * value / scale if scale else 0.0, rtol=1e-12)


def test_bar_by_bar_is_the_whole_path():
    kept, state, one = 0.5 ** (1 / 30.0), start_scale(4), np.zeros(2)
    whole = rescaled(RETURNS, 30.0)
    for t in range(300):
        bar, state = rescale(RETURNS[:, t], state, kept)
        np.testing.assert_allclose(bar, whole[:, t], rtol=1e-13)
        assert rescale_in_place(RETURNS[0, t], one, kept) == pytest.approx(whole[0, t], rel=1e-13)
        np.testing.assert_allclose(one, state[0], rtol=1e-13)


def test_the_first_move_is_its_own_scale():
    np.testing.assert_array_equal(rescaled(np.array([0.0, 0.0, -0.3]), 1000.0)[:2], 0.0)
    assert rescaled(np.array([-0.3]), 5.0)[0] == -SCALE


@given(st.floats(1.0, 1e6), st.floats(-1.0, 1.0), st.sampled_from([200.0, 2000.0]), st.sampled_from([70, 900]))
@settings(deadline=None, max_examples=50)
def test_no_single_bar_makes_the_next_ones_look_calm(far, sign, half_life, at):
    """A split that nobody has adjusted: at most 12 scales count, whatever its size."""
    path = np.random.default_rng(5).standard_normal(1000)
    split = path.copy()
    split[at] += math.copysign(far, sign)
    usual, found = rescaled(path, half_life), rescaled(split, half_life)
    np.testing.assert_array_equal(found[:at], usual[:at])
    weight = (1 - 0.5 ** (np.arange(at + 1, 1000) / half_life)) / (1 - 0.5 ** (1 / half_life))
    wider = (usual / found)[at + 1 :] ** 2
    assert (wider <= 1 + 1.2 * FAR**2 / weight).all()  # 1.2: the scale before it, on as few as 70 bars


@pytest.mark.parametrize("factor", [10.0, 100.0, 1e4])
def test_a_market_that_has_truly_become_wilder_moves_the_scale(factor):
    noise = np.random.default_rng(6).standard_normal(3500)
    found = rescaled(np.r_[noise[:2500], factor * noise[2500:]], 300.0)
    assert np.std(found[-400:]) == pytest.approx(SCALE, rel=0.3)


def test_the_past_does_not_move_when_the_future_changes():
    model, changed = initial_model(CONFIG, seed=0), RETURNS.copy()
    changed[:, 200:] *= 50
    np.testing.assert_array_equal(latents(model, changed)[:, :200], latents(model, RETURNS)[:, :200])


@pytest.mark.parametrize("factor", [1e-4, 0.3, 100.0])
def test_a_model_with_a_scale_knows_no_unit(factor):
    model = initial_model(CONFIG, seed=0)
    np.testing.assert_allclose(latents(model, factor * RETURNS), latents(model, RETURNS), rtol=0, atol=1e-6)
    labels = (RETURNS > 0).astype(float)
    recipe = TrainConfig(
        MarketMambaConfig(d_model=8, n_layers=1, d_state=4, horizons=(1,), scale_half_life=30.0),
        steps=5, batch=2, length=100, target="labels", latent_noise=0.0,
    )  # fmt: skip
    one, other = (train(x, recipe, seed=0, labels=labels).model for x in (RETURNS, factor * RETURNS))
    np.testing.assert_allclose(forecasts(one, RETURNS), forecasts(other, factor * RETURNS), rtol=0, atol=1e-5)


def test_a_model_without_one_does():
    model = initial_model(MarketMambaConfig(d_model=8, n_layers=1, d_state=4), seed=0)
    assert np.abs(latents(model, 30 * RETURNS) - latents(model, RETURNS)).max() > 0.1


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), "30", True])
def test_a_half_life_is_a_positive_number_of_bars(value):
    with pytest.raises(ValueError, match=r"^scale_half_life must be"):
        MarketMambaConfig(scale_half_life=value)


def test_a_file_keeps_the_scale_and_an_older_one_has_none(tmp_path):
    model, path = initial_model(CONFIG, seed=0), tmp_path / "model.safetensors"
    model.save(path, provenance={})
    loaded = MarketMamba.load(path)
    assert loaded.config == CONFIG
    np.testing.assert_array_equal(latents(loaded, RETURNS), latents(model, RETURNS))
    with safe_open(path, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    (key,) = metadata
    header = json.loads(metadata[key])
    del header["config"]["scale_half_life"]
    save_file(tensors, path, {key: json.dumps(header)})
    assert MarketMamba.load(path).config.scale_half_life is None
