"""SequenceRegressor: it learns what needs a memory, sees no future, has no unit, and refuses what it can not read."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.mamba import SequenceRegressor, _sequence_regressor

SMALL = {"d_model": 8, "n_layers": 1, "d_state": 4, "steps": 6, "batch": 4, "length": 32}


def paths(n_paths=6, n_bars=80, seed=0):
    """Noise, and beside it two targets: an exponential average of it, and the product of it and its last value."""
    x = np.random.default_rng(seed).standard_normal((n_paths, n_bars, 1))
    average = np.zeros_like(x)
    for t in range(1, n_bars):
        average[:, t] = 0.8 * average[:, t - 1] + x[:, t]
    return x, np.concatenate([average, x * np.roll(x, 1, axis=1)], axis=2)


@pytest.fixture(scope="module")
def fitted():
    return SequenceRegressor(seed=0, **SMALL).fit(*paths())


def test_it_learns_a_memory_and_a_product():
    x, y = paths(20, 200)
    settings = SMALL | {"d_model": 16, "steps": 150, "length": 64, "learning_rate": 1e-2}
    model = SequenceRegressor(seed=0, **settings).fit(x, y)
    new_x, new_y = paths(20, 200, seed=1)
    error = (model.predict(new_x) - new_y)[:, 20:]
    share = (error**2).mean((0, 1)) / new_y[:, 20:].var((0, 1))
    # The present alone leaves .64 of the average and all of the product, the four taps of the convolution .17 and none.
    assert (share < 0.15).all()
    assert model.losses_[:5].mean() > 0.7
    assert model.losses_[-20:].mean() == pytest.approx(share.mean(), abs=0.05)


def test_same_seed_same_bits(fitted):
    x, y = paths()
    again, other = SequenceRegressor(seed=0, **SMALL).fit(x, y), SequenceRegressor(seed=1, **SMALL).fit(x, y)
    np.testing.assert_array_equal(again.losses_, fitted.losses_)
    np.testing.assert_array_equal(again.predict(x), fitted.predict(x))
    np.testing.assert_array_equal(again.fit(x, y).losses_, fitted.losses_)
    assert not np.array_equal(other.losses_, fitted.losses_)
    drawn = [SequenceRegressor(seed=np.random.default_rng(3), **SMALL).fit(x, y).losses_ for _ in range(2)]
    np.testing.assert_array_equal(*drawn)


def test_it_is_quiet_and_leaves_the_global_generator(fitted, capfd):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    SequenceRegressor(seed=0, **SMALL).fit(*paths())
    assert torch.equal(torch.rand(1), expected)
    assert capfd.readouterr() == ("", "")


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 79), st.sampled_from([-1e3, 0.0, 7.0]))
def test_the_future_does_not_move_the_past(fitted, bar, value):
    x, _ = paths()
    changed = x.copy()
    changed[:, bar:] = value
    before, after = fitted.predict(x), fitted.predict(changed)
    np.testing.assert_allclose(after[:, :bar], before[:, :bar], rtol=0, atol=1e-5)
    assert (np.abs(after[:, bar] - before[:, bar]) > 1e-5).all()


def test_a_path_is_told_alike_alone_and_among_many(fitted):
    x, _ = paths(n_paths=19)
    many = fitted.predict(x)
    assert many.shape == (19, 80, 2)
    assert many.dtype == np.float64
    np.testing.assert_allclose(fitted.predict(x[11:12])[0], many[11], atol=1e-5)
    np.testing.assert_allclose(fitted.predict(x[:, :1]), many[:, :1], atol=1e-5)


@settings(max_examples=4, deadline=None)
@given(st.sampled_from([1e-6, 3.0, 1e8]), st.sampled_from([-40.0, 0.0, 5.0]))
def test_units_do_not_matter(fitted, unit, origin):
    """Feet or meters, Kelvin or Celsius: the same prediction in the new unit, up to float32."""
    x, y = paths()
    other = SequenceRegressor(seed=0, **SMALL).fit(unit * (x + origin), unit * (y + origin))
    told = other.predict(unit * (x + origin)) / unit - origin
    np.testing.assert_allclose(told, fitted.predict(x), atol=1e-3)


def test_integers_are_numbers():
    x, y = (np.rint(10 * array).astype(int) for array in paths())
    model = SequenceRegressor(seed=0, **SMALL)
    assert model.fit(x, y) is model
    np.testing.assert_array_equal(
        model.predict(x), SequenceRegressor(seed=0, **SMALL).fit(x.astype(float), y.astype(float)).predict(x)
    )


def test_one_window_is_enough():
    x, y = (array[:, :32] for array in paths())
    assert np.isfinite(SequenceRegressor(seed=0, **SMALL).fit(x, y).losses_).all()
    with pytest.raises(ValueError, match="x must have at least 32 bars a path, got 31: give longer paths"):
        SequenceRegressor(seed=0, **SMALL).fit(x[:, :31], y[:, :31])


def test_the_first_and_the_last_window_are_drawn():
    """With room for two windows, each of the two bars at the ends is in one of them alone."""
    x, y = (array[:, :33] for array in paths())
    losses = SequenceRegressor(seed=0, **SMALL).fit(x, y).losses_
    for bar in (0, -1):
        other = x.copy()
        other[:, bar] = x[::-1, bar]  # mean and standard deviation stay
        assert not np.allclose(SequenceRegressor(seed=0, **SMALL).fit(other, y).losses_, losses, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_must_be_finite(fitted, bad):
    x, y = paths()
    broken = x.copy()
    broken[1, 7, 0] = bad
    with pytest.raises(ValueError, match=rf"x\[1, 7, 0\] must be finite, got {bad}"):
        SequenceRegressor(seed=0, **SMALL).fit(broken, y)
    with pytest.raises(ValueError, match=r"y\[1, 7, 0\] must be finite"):
        SequenceRegressor(seed=0, **SMALL).fit(x, broken)
    with pytest.raises(ValueError, match=r"x\[1, 7, 0\] must be finite"):
        fitted.predict(broken)


def test_shapes_are_checked(fitted):
    x, y = paths()
    model = SequenceRegressor(seed=0, **SMALL)
    with pytest.raises(ValueError, match=r"x must have shape \(n_paths, .*, none of them 0, got \(6, 80\)"):
        model.fit(x[..., 0], y)
    with pytest.raises(ValueError, match=r"y must have shape .* got \(6, 80, 0\)"):
        model.fit(x, y[..., :0])
    with pytest.raises(ValueError, match=r"y must have the paths and bars of x, \(6, 80\), got \(6, 79\)"):
        model.fit(x, y[:, 1:])
    with pytest.raises(ValueError, match="x must be an array of numbers"):
        model.fit([[["a"]]], y)
    with pytest.raises(ValueError, match="must be fitted before it predicts"):
        model.predict(x)
    with pytest.raises(ValueError, match=r"x must have shape \(n_paths, n_bars, 1\) as in fit, got \(6, 80, 2\)"):
        fitted.predict(y)


def test_a_constant_column_is_refused(fitted):
    x, y = paths()
    with pytest.raises(ValueError, match="y must vary in every column, got 3 throughout column 1"):
        SequenceRegressor(seed=0, **SMALL).fit(x, np.dstack([y[..., 0], np.full(x.shape[:2], 3.0)]))
    with pytest.raises(ValueError, match="x must vary in every column, got 0 throughout column 0"):
        SequenceRegressor(seed=0, **SMALL).fit(0 * x, y)
    assert np.isfinite(fitted.predict(0 * x)).all()  # but what is fitted may meet a market that stands still


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("d_model", 0), ("n_layers", 1.5), ("d_state", -1), ("steps", 0), ("batch", True), ("length", "9")],
        *[("learning_rate", 0.0), ("learning_rate", float("nan")), ("seed", -1), ("seed", 1.5)],
    ],
)
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be .* got {value!r}"):
        SequenceRegressor(**({"seed": 0} | SMALL | {name: value}))


def test_it_stops_at_the_first_number_that_is_not_finite(monkeypatch):
    with pytest.raises(FloatingPointError, match=r"step \d of 6: loss .*; lower learning_rate, now 1e\+30"):
        SequenceRegressor(seed=0, **SMALL, learning_rate=1e30).fit(*paths())
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(torch.inf))
    with pytest.raises(FloatingPointError, match=r"step 1 of 6: loss .*, gradient norm inf"):
        SequenceRegressor(seed=0, **SMALL).fit(*paths())


def test_the_rate_of_each_step_is_that_of_the_recipe(monkeypatch):
    heard = []

    def rate(recipe, step):
        heard.append((recipe.learning_rate, recipe.warm_up, recipe.steps, step))
        return 0.0

    monkeypatch.setattr(_sequence_regressor, "learning_rate", rate)
    x, y = paths()
    model = SequenceRegressor(seed=0, **SMALL, learning_rate=2e-3).fit(x, y)
    assert heard == [(2e-3, 20, 6, step) for step in range(6)]
    untrained = _sequence_regressor._initial_network(model._recipe().model, 1, 2, 0)
    for name, weight in model._network.state_dict().items():  # a rate of 0 moves nothing
        assert torch.equal(weight, untrained.state_dict()[name])
    other = _sequence_regressor._initial_network(model._recipe().model, 1, 2, 1)
    assert not torch.equal(other.embedding.weight, untrained.embedding.weight)
