"""Training: the same seed gives the same run, also through a kill; it learns; it stops where numbers stop."""

import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from companion.errors import InputError
from companion.mamba import MarketMambaConfig, TrainConfig, future_log_variance, train
from companion.mamba._train import initial_model, learning_rate

SMALL = TrainConfig(
    model=MarketMambaConfig(d_model=8, n_layers=1, d_state=4, horizons=(5, 20)), steps=12, batch=4, length=48
)

NEXT_BAR = replace(SMALL, model=replace(SMALL.model, horizons=(1,)), target="gaussian_nll")
BY_LABELS = replace(NEXT_BAR, target="labels")
BY_MUON = replace(SMALL, muon=True)


@pytest.fixture(scope="module")
def returns():
    """Returns whose volatility switches between 0.5 % and 2 % every hundred bars or so."""
    rng = np.random.default_rng(0)
    loud = np.cumsum(rng.random((30, 600)) < 0.01, axis=1) % 2
    return np.where(loud, 0.02, 0.005) * rng.standard_normal((30, 600))


def test_same_seed_same_bits(returns):
    one, two = (train(returns, SMALL, seed=7) for _ in range(2))
    np.testing.assert_array_equal(one.losses, two.losses)
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, two.model.state_dict()[name])
    assert not np.array_equal(one.losses, train(returns, SMALL, seed=8).losses)
    np.testing.assert_array_equal(
        train(returns, SMALL, seed=np.random.default_rng(3)).losses,
        train(returns, SMALL, seed=np.random.default_rng(3)).losses,
    )


def test_loss_falls_below_the_constant_forecast(returns):
    config = replace(SMALL, steps=120)
    losses = train(returns, config, seed=0).losses
    targets = future_log_variance(returns, config.model.horizons)
    assert losses[-20:].mean() < 0.8 * targets.var(axis=(0, 1)).mean()


def test_progress_hears_every_step(returns):
    heard = []
    losses = train(returns, SMALL, seed=0, progress=lambda *args: heard.append(args)).losses
    assert heard == [(step + 1, 12, loss) for step, loss in enumerate(losses)]


class _KillError(Exception):
    pass


def _kill_at(step):
    def progress(done, n_steps, loss):
        if done == step:
            raise _KillError

    return progress


@pytest.mark.parametrize("config", [SMALL, NEXT_BAR, BY_MUON], ids=["variance", "likelihood", "muon"])
def test_a_killed_run_goes_on_to_the_same_end(returns, tmp_path, config):
    whole = train(returns, config, seed=1)
    store = tmp_path / "run.pt"
    with pytest.raises(_KillError):
        train(returns, config, seed=1, checkpoint=store, checkpoint_every=5, progress=_kill_at(8))
    steps = []
    resumed = train(
        returns, config, seed=1, checkpoint=store, checkpoint_every=5, progress=lambda done, n, loss: steps.append(done)
    )
    assert steps == list(range(6, 13))
    np.testing.assert_array_equal(resumed.losses, whole.losses)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name])
    assert not list(tmp_path.iterdir())


def test_a_run_does_not_go_on_from_another(returns, tmp_path):
    store = tmp_path / "run.pt"
    with pytest.raises(_KillError):
        train(returns, SMALL, seed=1, checkpoint=store, checkpoint_every=5, progress=_kill_at(8))
    for other in ({"seed": 2}, {"seed": 1, "config": replace(SMALL, learning_rate=1e-4)}):
        with pytest.raises(InputError, match=r"run\.pt: identity differs: another config, seed or data; delete it"):
            train(returns, **{"config": SMALL, **other}, checkpoint=store)
    store.write_bytes(b"not a run")
    with pytest.raises(InputError, match=r"run\.pt: content is not an interrupted training run; delete it"):
        train(returns, SMALL, seed=1, checkpoint=store)
    assert store.read_bytes() == b"not a run"


def test_a_run_does_not_go_on_with_another_target(returns, tmp_path):
    store = tmp_path / "run.pt"
    with pytest.raises(_KillError):
        train(returns, NEXT_BAR, seed=1, checkpoint=store, checkpoint_every=5, progress=_kill_at(8))
    with pytest.raises(InputError, match=r"run\.pt: identity differs"):
        train(returns, replace(NEXT_BAR, target="return"), seed=1, checkpoint=store)


def test_the_likelihood_learns_the_volatility(returns):
    """Against the best constant forecast, whose loss is known: (1 + log of the mean square) / 2."""
    losses = train(returns, replace(NEXT_BAR, steps=120, latent_noise=0.0), seed=0).losses
    constant = 0.5 * (1 + np.log((1e4 * returns**2).mean()))
    assert losses[-20:].mean() < constant - 0.1


@pytest.mark.parametrize("config", [SMALL, NEXT_BAR], ids=["variance", "likelihood"])
def test_stops_at_the_first_number_that_is_not_finite(returns, config):
    wild = replace(config, learning_rate=1e30, warm_up=0)
    with pytest.raises(FloatingPointError, match=r"step \d+ of 12: loss .*; lower learning_rate, now 1e\+30"):
        train(returns, wild, seed=0)


def test_short_or_broken_data_is_refused(returns):
    with pytest.raises(ValueError, match="log_returns must have at least 68 bars a path, got 60: give longer paths"):
        train(returns[:, :60], SMALL, seed=0)
    broken = returns.copy()
    broken[2, 5] = np.nan
    with pytest.raises(ValueError, match=r"log_returns\[2, 5\] must be a log return, .* got nan"):
        train(broken, SMALL, seed=0)


@pytest.mark.parametrize(("config", "needs"), [(SMALL, 48 + 20), (NEXT_BAR, 48 + 1), (BY_LABELS, 48)])
def test_the_shortest_path_is_one_window_and_the_future_it_is_to_tell(returns, config, needs):
    def losses(n_bars):
        short = returns[:, :n_bars]
        labels = (np.abs(short) > 0.01).astype(float) if config is BY_LABELS else None
        return train(short, config, seed=0, labels=labels).losses

    assert config.fewest_bars == needs
    assert np.isfinite(losses(needs)).all()
    with pytest.raises(ValueError, match=f"at least {needs} bars a path, got {needs - 1}"):
        losses(needs - 1)


@pytest.mark.parametrize("bar", [0, -1])
def test_the_first_and_the_last_window_are_drawn(returns, bar):
    """With room for two windows, each of the two bars at the ends is in one of them alone."""
    short = returns[:, : SMALL.fewest_bars + 1]
    other = short.copy()
    other[:, bar] *= 3.0
    assert not np.array_equal(train(short, SMALL, seed=0).losses, train(other, SMALL, seed=0).losses)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("batch", 2.5),
        ("length", -3),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("clip", float("inf")),
        ("latent_noise", -1.0),
        ("weight_decay", float("nan")),
        ("dtype", "float16"),
        ("muon", "yes"),
    ],
)
def test_config_refuses_values_out_of_range(field, value):
    with pytest.raises(ValueError, match=f"^{field} must be .* got {value!r}"):
        replace(SMALL, **{field: value})


def test_learning_rate_warms_up_and_falls_along_a_cosine():
    config = TrainConfig()
    rates = [learning_rate(config, step) for step in range(config.steps)]
    assert rates[0] == pytest.approx(config.learning_rate / 20)
    assert max(rates) == pytest.approx(config.learning_rate, rel=0.02)
    assert learning_rate(config, config.steps) == pytest.approx(0.05 * config.learning_rate)
    assert np.argmax(rates) == 19


def test_muon_moves_a_large_matrix_by_about_the_same_length_in_every_direction(returns):
    """A step is the rate times .2 times the root of the longer side times a matrix on the way to an orthogonal one."""
    config = replace(BY_MUON, steps=1, warm_up=0, weight_decay=0.0)
    before, after = initial_model(config.model, seed=3), train(returns, config, seed=3).model
    for name in ("blocks.0.in_proj.weight", "blocks.0.out_proj.weight"):
        moved = (after.state_dict()[name] - before.state_dict()[name]).double()
        unit = 0.2 * config.learning_rate * max(moved.shape) ** 0.5
        lengths = torch.linalg.svdvals(moved) / unit
        assert 0.6 < lengths.max() < 1.3
        assert lengths.median() > 0.3  # where the gradient is small it stays shorter


def test_float64_is_trained_in_float64(returns):
    model = train(returns, replace(SMALL, dtype="float64", steps=2), seed=0).model
    assert {p.dtype for p in model.parameters()} == {torch.float64}


def test_same_bits_on_one_and_two_threads(returns):
    wide = replace(SMALL, model=replace(SMALL.model, d_model=32), steps=3, length=200)
    before, losses = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            losses.append(train(returns, wide, seed=2).losses)
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(*losses)


def test_a_run_that_the_system_kills_goes_on_to_the_same_end(returns, tmp_path):
    script = (
        "import os, signal, sys, numpy as np\n"
        "from companion.mamba import MarketMambaConfig, TrainConfig, train\n"
        f"from companion.mamba._train import TrainConfig\nconfig = {SMALL!r}\n"
        "kill = lambda done, n, loss: done == 8 and os.kill(os.getpid(), signal.SIGKILL)\n"
        "returns = np.load(sys.argv[1])\n"
        "train(returns, config, seed=1, checkpoint=sys.argv[2], checkpoint_every=5, progress=kill)\n"
    )
    np.save(tmp_path / "returns.npy", returns)
    store, steps = tmp_path / "run.pt", []
    command = [sys.executable, "-c", script, str(tmp_path / "returns.npy"), str(store)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    resumed = train(returns, SMALL, seed=1, checkpoint=store, progress=lambda done, n, loss: steps.append(done))
    assert steps == list(range(6, 13))
    np.testing.assert_array_equal(resumed.losses, train(returns, SMALL, seed=1).losses)


def test_stops_at_an_infinite_gradient_of_a_finite_loss(returns, monkeypatch):
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(torch.inf))
    with pytest.raises(FloatingPointError, match=r"step 1 of 12: loss .*, gradient norm inf; lower learning_rate"):
        train(returns, SMALL, seed=0)


@pytest.mark.parametrize("seed", [1.5, -1, True, "7"])
def test_bad_seed_is_named(returns, seed):
    with pytest.raises(ValueError, match="seed must be a non-negative integer"):
        train(returns, SMALL, seed=seed)
    with pytest.raises(ValueError, match="checkpoint_every must be a positive integer, got 0"):
        train(returns, SMALL, seed=0, checkpoint_every=0)
