"""MarketMamba: features and targets by definition, causal latents, checkpoints that survive or say what is wrong."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from companion.errors import InputError
from companion.mamba import (
    MarketMamba,
    MarketMambaConfig,
    forecasts,
    future_log_variance,
    latents,
    load_pretrained,
    market_features,
    past_log_variance,
)
from companion.mamba._train import initial_model

SMALL = MarketMambaConfig(d_model=8, n_layers=2, d_state=4, horizons=(5, 20))


def make_returns(n_paths=3, n_bars=120, seed=0):
    return 0.01 * np.random.default_rng(seed).standard_normal((n_paths, n_bars))


def test_features_of_known_returns():
    features = market_features([0.0, 0.02, -0.5])
    expected = [
        [0.0, -0.8, 0.5 * (np.log(0.01) + 1.5)],
        [2.0, 1.2, 0.5 * (np.log(4.01) + 1.5)],
        [-10.0, 10.0, 0.5 * (np.log(2500.01) + 1.5)],
    ]
    np.testing.assert_allclose(features, expected, rtol=1e-6)
    assert features.dtype == np.float32


def test_targets_are_the_log_mean_square_of_the_future():
    returns = make_returns()
    targets = future_log_variance(returns, (1, 5, 20))
    assert targets.shape == (3, 100, 3)
    for column, horizon in enumerate((1, 5, 20)):
        future = (100 * returns[1, 43 : 43 + horizon]) ** 2
        assert targets[1, 42, column] == pytest.approx(np.log(future.mean() + 0.02), rel=1e-12)
    np.testing.assert_array_equal(future_log_variance(returns[0], (1, 5, 20)), targets[0])


def test_regressors_are_the_targets_seen_from_the_other_end():
    returns = make_returns()
    past = past_log_variance(returns, (1, 5, 20))
    assert past.shape == (3, 120, 3)
    for column, window in enumerate((1, 5, 20)):  # the next H bars seen from t are the last H bars seen from t + H
        ahead = future_log_variance(returns, (window,))[..., 0]
        np.testing.assert_allclose(past[:, window:, column], ahead, rtol=1e-9)
    np.testing.assert_allclose(past[:, 2, 2], np.log(((100 * returns[:, :3]) ** 2).mean(1) + 0.02))


@pytest.mark.parametrize("function", [market_features, lambda r: future_log_variance(r, (5,))])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_returns_must_be_finite(function, bad):
    returns = make_returns()
    returns[1, 7] = bad
    with pytest.raises(ValueError, match=re.escape("log_returns[1, 7] must be a log return")):
        function(returns)


def test_returns_must_have_one_or_two_axes_and_a_future():
    with pytest.raises(ValueError, match=r"^log_returns must have shape .* got \(1, 2, 3\)"):
        market_features(np.zeros((1, 2, 3)))
    with pytest.raises(ValueError, match="log_returns: 20 bars are too few for a horizon of 20"):
        future_log_variance(np.zeros(20), (5, 20))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("d_model", 0), ("n_layers", 1.5), ("d_state", -1), ("d_conv", 0), ("expand", True)],
        *[("horizons", value) for value in ((), (20, 5), (0, 5), 20, "20", None)],
    ],
)
def test_config_refuses_what_is_not_a_model(field, value):
    with pytest.raises(ValueError, match=f"^{field} must .*got"):
        replace(SMALL, **{field: value})


def test_future_does_not_move_the_past():
    model, returns = initial_model(SMALL, seed=0), make_returns()
    before = latents(model, returns)
    returns[:, 70:] *= 3
    after = latents(model, returns)
    np.testing.assert_array_equal(before[:, :70], after[:, :70])
    assert (before[:, 70:] != after[:, 70:]).any(axis=-1).all()


def test_latents_of_one_path_and_of_many():
    model, returns = initial_model(SMALL, seed=0), make_returns(n_paths=5)
    many = latents(model, returns, batch=2)
    assert many.shape == (5, 120, 8)
    assert many.dtype == np.float32
    np.testing.assert_allclose(latents(model, returns[3]), many[3], rtol=1e-4, atol=1e-5)


def test_forecasts_are_the_head_of_the_latents():
    model, returns = initial_model(SMALL, seed=0), make_returns()
    expected = latents(model, returns) @ model.head.weight.detach().numpy().T + model.head.bias.detach().numpy()
    np.testing.assert_allclose(forecasts(model, returns), expected, rtol=1e-4, atol=1e-5)
    assert forecasts(model, returns[0]).shape == (120, 2)


def test_steps_equal_the_latent():
    model, returns = initial_model(SMALL, seed=0).double(), make_returns()
    features = torch.from_numpy(market_features(returns)).double()
    with torch.no_grad():
        expected, state = model.latent(features), model.init_state(3)
        for t, features_t in enumerate(features.unbind(1)):
            latent, state = model.step(features_t, state)
            torch.testing.assert_close(latent, expected[:, t], rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(model(features), model.head(expected))


@pytest.mark.parametrize("gradients", [True, False])
def test_autocast_changes_nothing(gradients):
    model, features = initial_model(SMALL, seed=0), torch.from_numpy(market_features(make_returns()))
    with torch.set_grad_enabled(gradients):
        results = []
        for enabled in (False, True):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                latent, state = model.step(features[:, 0], model.init_state(3))
                results.append((model(features), model.latent(features), latent, state[1].hidden))
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


@pytest.mark.parametrize("gradients", [True, False])
def test_a_model_in_half_precision_is_refused_by_its_own_name(gradients):
    model, features = initial_model(SMALL, seed=0).bfloat16(), torch.zeros(1, 4, 3, dtype=torch.bfloat16)
    message = r"^the weights of MarketMamba must be float32 or float64, got torch\.bfloat16: call \.float\(\)"
    for call in (model, model.latent, lambda x: model.step(x[:, 0], model.init_state(1))):
        with torch.set_grad_enabled(gradients), pytest.raises(ValueError, match=message):
            call(features)
    with pytest.raises(ValueError, match=message):
        latents(model, [0.01, 0.02])


def test_what_the_model_is_given_is_named():
    model = initial_model(SMALL, seed=0)
    with pytest.raises(ValueError, match=r"^features must have shape \(batch, length, 3\), got \(2, 3\)"):
        model.latent(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"^features must be torch\.float32 as the weights are, got torch\.float64"):
        model(torch.zeros(1, 4, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"^state must have 2 parts, one a block, got 1"):
        model.step(torch.zeros(1, 3), model.init_state(1)[:1])
    with pytest.raises(ValueError, match=r"^features must have shape \(1, 3\), got \(1, 4\)"):
        model.step(torch.zeros(1, 4), model.init_state(1))
    with pytest.raises(ValueError, match=r"^batch must be a positive integer, got 0"):
        latents(model, [0.01, 0.02], batch=0)


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    expected_next = torch.rand(1)
    torch.manual_seed(5)
    one, two, other = (initial_model(SMALL, seed=s).state_dict() for s in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected_next)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["embedding.weight"], other["embedding.weight"])


def test_save_and_load_keep_every_bit(tmp_path):
    model = initial_model(SMALL, seed=3)
    path = tmp_path / "model.safetensors"
    model.save(path, provenance={"seed": 3})
    loaded = MarketMamba.load(path)
    assert loaded.config == SMALL
    assert not loaded.training
    np.testing.assert_array_equal(latents(loaded, make_returns()), latents(model, make_returns()))
    copy = json.loads(path.with_suffix(".json").read_text())
    assert copy["provenance"] == {"seed": 3}
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["companion"]) == copy
    first = path.read_bytes()
    model.save(path, provenance={"seed": 3})
    assert path.read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors"]


def test_save_asks_for_the_right_name(tmp_path):
    with pytest.raises(ValueError, match=r"^path must end in \.safetensors, got 'model\.pt'"):
        initial_model(SMALL, seed=0).save(tmp_path / "model.pt", provenance={})


def _rewrite(path, *, header=None, tensors=None):
    with safe_open(path, framework="pt") as file:
        old = json.loads(file.metadata()["companion"])
    new_tensors = load_file(path)
    if tensors:
        tensors(new_tensors)
    if header:
        header(old)
    save_file(new_tensors, path, {"companion": json.dumps(old)})


def _in_header(change):
    return lambda path: _rewrite(path, header=change)


def _in_config(change):
    return lambda path: _rewrite(path, header=lambda header: change(header["config"]))


def _in_tensors(change):
    return lambda path: _rewrite(path, tensors=change)


def _convert(tensors, dtype):
    tensors.update({name: tensor.to(dtype) for name, tensor in tensors.items()})


FAULTS = {
    "no such file": lambda path: path.unlink(),
    "content is not a whole safetensors file": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "content is not a whole": lambda path: path.write_bytes(b"PK\x03\x04 something else"),
    "content is not": lambda path: path.write_bytes(b""),
    "metadata has no field 'companion'": lambda path: save_file(load_file(path), path),
    "format_version is 99, this version reads 1": _in_header(lambda header: header.update(format_version=99)),
    "format_version is None": _in_header(lambda header: header.pop("format_version")),
    "config has unknown or missing keys 7": _in_header(lambda header: header.update(config=7)),
    r"config has unknown or missing keys \['width'\]": _in_config(lambda config: config.update(width=1)),
    r"config has unknown or missing keys \['d_model'\]": _in_config(lambda config: config.pop("d_model")),
    "config: d_model must be a positive integer, got -8": _in_config(lambda config: config.update(d_model=-8)),
    "config: horizons must be": _in_config(lambda config: config.update(horizons="20")),
    r"tensor .* has shape .*, config asks for": _in_config(lambda config: config.update(d_model=16)),
    "tensor head.bias is unknown or missing": _in_tensors(lambda tensors: tensors.pop("head.bias")),
    "tensor extra is unknown or missing": _in_tensors(lambda tensors: tensors.update(extra=torch.zeros(1))),
    r"tensors are torch\.float16, a model computes in float32 or float64": _in_tensors(
        lambda t: _convert(t, torch.half)
    ),
    r"tensors are torch\.bfloat16, a model": _in_tensors(lambda t: _convert(t, torch.bfloat16)),
    r"tensors are torch\.int32, a model computes": _in_tensors(lambda t: _convert(t, torch.int32)),
    r"tensor head\.bias is torch\.float64, the others are torch\.float32": _in_tensors(
        lambda t: t.update({"head.bias": t["head.bias"].double()})
    ),
    "tensor head.bias holds values that are not finite": _in_tensors(lambda t: t["head.bias"].fill_(torch.nan)),
}


@pytest.mark.parametrize("message", FAULTS)
def test_broken_checkpoints_say_what_is_wrong(tmp_path, message):
    path = tmp_path / "model.safetensors"
    initial_model(SMALL, seed=0).save(path, provenance={})
    FAULTS[message](path)
    with pytest.raises(InputError, match=f"model.safetensors: {message}") as caught:
        MarketMamba.load(path)
    assert "\n" not in str(caught.value)
    assert "train it again with `companion train-mamba`" in str(caught.value)
    with pytest.raises(InputError, match="train it again with `companion train-filter`") as caught:
        MarketMamba.load(path, made_by="companion train-filter")
    assert "train-mamba" not in str(caught.value)


def test_shipped_model_loads_and_fits_the_package():
    model = load_pretrained()
    assert model.config == MarketMambaConfig()
    assert np.isfinite(latents(model, make_returns())).all()
    with pytest.raises(ValueError, match=r"^name must be one of market, the shipped models, got 'nasdaq'"):
        load_pretrained("nasdaq")
