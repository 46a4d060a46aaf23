"""The amortized Bayes filter: what it learns from, and that what it learned is Bayes' rule as far as it can be."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from companion._files import recorded
from companion.cli import main
from companion.evaluation import auc, bootstrap_over_paths, expected_calibration_error
from companion.heston import RegimeSwitchingHeston, bayes_filter
from companion.mamba import MarketMamba, MarketMambaConfig, TrainConfig, forecasts, train
from companion.regimes import NeuralRegimeFilter, PlattCalibration
from companion.regimes import _neural_filter as module
from companion.regimes._filter_training import RECIPES, FilterRecipe, calibrated, simulate_lessons, train_filter

SHIPPED = ("equity_index", "universal")
BOOK_MARKETS = ("equity_index", "fast_reverting", "slow_reverting")
TINY = MarketMambaConfig(d_model=8, n_layers=1, d_state=4, horizons=(1,))
TINY_RECIPE = FilterRecipe(
    "universal", 6, 90, 20, TrainConfig(TINY, steps=4, batch=2, length=64, target="labels", latent_noise=0.0), 40
)


def in_prior(market):
    """Whether a market is one that `RegimeSwitchingHeston.random` could have drawn, each quantity in its range."""
    calm, chaos = market.regimes
    bars = market.mean_durations
    quantities = [
        (calm.kappa, 3.0, 45.0),
        (chaos.kappa / calm.kappa, 0.8, 1.8),
        (np.sqrt(calm.theta), 0.09, 0.16),
        (chaos.theta / calm.theta, 2.5, 9.0),
        *((p.xi / np.sqrt(2 * p.kappa * p.theta), 0.5, 1.1) for p in market.regimes),
        (calm.rho, -0.8, -0.3),
        (chaos.rho, -0.9, -0.4),
        (calm.mu, 0.0, 0.25),
        (chaos.mu, -0.6, 0.1),
        (bars[0], 150.0, 900.0),
        (bars[1] / bars[0], 0.15, 0.45),
    ]
    return all(low - 1e-9 <= value <= high + 1e-9 for value, low, high in quantities)


def test_random_markets_and_the_books_own_lie_in_the_stated_ranges():
    drawn = [RegimeSwitchingHeston.random(seed) for seed in range(300)]
    assert all(in_prior(market) for market in drawn)
    assert all(in_prior(getattr(RegimeSwitchingHeston, name)()) for name in BOOK_MARKETS)
    kappa = np.log([market.regimes[0].kappa for market in drawn])
    assert np.mean(kappa) == pytest.approx(np.log(3 * 45) / 2, abs=4 * np.log(15) / np.sqrt(12 * 300))
    again, other = (RegimeSwitchingHeston.random(seed) for seed in (7, 8))
    assert drawn[7].regimes == again.regimes != other.regimes


@pytest.fixture(scope="module")
def lessons():
    return simulate_lessons("universal", n_paths=40, n_bars=500, n_particles=200, seed=[5, 5])


def test_the_target_is_unbiased_given_the_past(lessons):
    """E[posterior | past] = P(chaos | past): what is left of the truth has mean 0 against any function of the past."""
    surprise = lessons.regime - lessons.posterior
    past = np.cumsum(lessons.log_returns**2, axis=1) / np.arange(1, 501) * 1e4
    for weight in (np.ones_like(past), past, lessons.posterior):
        by_path = (surprise * weight).mean(axis=1)
        assert abs(by_path.mean()) < 4 * by_path.std(ddof=1) / np.sqrt(len(by_path))
    assert np.var(lessons.posterior) < 0.8 * np.var(lessons.regime)


def test_a_path_depends_on_the_seed_and_its_number_alone(lessons):
    fewer = simulate_lessons("universal", n_paths=3, n_bars=500, n_particles=200, seed=[5, 5])
    for found, expected in zip(fewer, lessons, strict=True):
        np.testing.assert_array_equal(found, expected[:3])
    other = simulate_lessons("universal", n_paths=3, n_bars=500, seed=[5, 6])
    assert np.isnan(other.posterior).all()
    assert not np.isin(other.log_returns, fewer.log_returns).any()


def test_training_is_calibrated_repeatable_and_reported():
    said = []
    first = train_filter(TINY_RECIPE, seed=1, report=lambda done, total: said.append((done, total)))
    second, other = train_filter(TINY_RECIPE, seed=1), train_filter(TINY_RECIPE, seed=2)
    weights = [torch.cat([p.flatten() for p in model.parameters()]) for model in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert said[-4:] == [(step, 4) for step in (1, 2, 3, 4)]
    assert (6, 6) in said


def test_calibration_is_folded_into_the_head():
    fresh = simulate_lessons("equity_index", n_paths=8, n_bars=400, seed=3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = calibrated(MarketMamba(TINY), fresh)
    platt = PlattCalibration.fit(forecasts(model, fresh.log_returns)[:, 60:, 0], fresh.regime[:, 60:])
    assert (platt.slope, platt.intercept) == (pytest.approx(1.0, abs=1e-3), pytest.approx(0.0, abs=1e-3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"market": "moon"}, "market must be one of equity_index, universal, scale_free, got 'moon'"),
        ({"n_bars": 63}, "n_bars must be at least 64, got 63"),
        ({"n_paths": 0}, "n_paths must be at least 1, got 0"),
        ({"training": TrainConfig(length=64)}, "training must have the target 'labels', got"),
    ],
)
def test_a_bad_recipe_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FilterRecipe(**{**vars(TINY_RECIPE), **change})


@pytest.mark.parametrize(
    ("labels", "target", "message"),
    [
        (None, "labels", "labels must be given for the target 'labels', got none"),
        (np.zeros((2, 80)), "log_variance", "labels must be left out for the target 'log_variance', got some"),
        (np.zeros((2, 79)), "labels", r"labels must have the shape of the returns, \(2, 80\), got"),
        (np.full((2, 80), 1.5), "labels", r"labels must lie in \[0, 1\]"),
        (np.full((2, 80), np.nan), "labels", r"labels must lie in \[0, 1\]"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, target, message):
    config = TrainConfig(TINY, steps=1, batch=1, length=64, target=target)
    with pytest.raises(ValueError, match=message):
        train(np.zeros((2, 80)), config, seed=0, labels=labels)


def test_training_goes_on_from_a_model_and_leaves_it(lessons):
    config = TrainConfig(TINY, steps=1, batch=2, length=64, target="labels", latent_noise=0.0)
    start = train(lessons.log_returns, config, seed=0, labels=lessons.posterior).model
    before = start.head.weight.clone()
    again = train(lessons.log_returns, config, seed=9, labels=lessons.posterior, model=start).model
    assert torch.equal(start.head.weight, before)
    moved = torch.abs(again.head.weight - before).max()
    assert 0 < moved < 2 * config.learning_rate  # as far as one step of AdamW goes
    with pytest.raises(ValueError, match="model must have the shape MarketMambaConfig"):
        train(lessons.log_returns, config, seed=0, labels=lessons.posterior, model=MarketMamba())


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request):
    return NeuralRegimeFilter.load_pretrained(request.param)


@pytest.fixture(scope="module")
def held_out():
    """Log returns, regimes and the ceiling of 12 paths × 1,500 bars of the base market."""
    base = RegimeSwitchingHeston.equity_index()
    paths = base.simulate(n_paths=12, n_steps=1500, seed=4711)
    returns = paths.log_returns
    return returns, paths.regime[:, 1:], bayes_filter(returns, base, n_particles=1000, seed=1)[..., 1]


def test_the_past_does_not_move_when_the_future_does(shipped, held_out):
    returns = held_out[0][:3, :800]
    changed = np.concatenate([returns[:, :500], -3 * returns[:, 500:]], axis=1)
    before, after = shipped.predict_proba(returns), shipped.predict_proba(changed)
    np.testing.assert_allclose(after[:, :500], before[:, :500], rtol=0, atol=1e-12)
    assert np.abs(after[:, 500:] - before[:, 500:]).max() > 0.1


def test_close_to_the_ceiling_and_not_above_it(shipped, held_out):
    returns, regime, ceiling = held_out
    chaos = shipped.predict_proba(returns)[..., 1]
    least, most = {"equity_index": (0.95, 0.1), "universal": (0.88, 0.3)}[_name(shipped)]
    regime, chaos, ceiling = regime[:, 60:], chaos[:, 60:], ceiling[:, 60:]
    assert (auc(regime, chaos) - 0.5) / (auc(regime, ceiling) - 0.5) > least

    def excess(truth, forecast, best):
        """Mean log loss above that of Bayes' rule: a divergence, so not negative but for the luck of the draw."""
        return float(np.mean(_log_loss(truth, forecast) - _log_loss(truth, best)))

    interval = bootstrap_over_paths(excess, regime, chaos, ceiling, n_resamples=200, seed=0)
    assert interval.high > 0
    ignorant = np.full_like(chaos, RegimeSwitchingHeston.equity_index().stationary[1])
    assert excess(regime, chaos, ceiling) < most * excess(regime, ignorant, ceiling)


def test_calibrated_on_fresh_paths_of_what_it_was_trained_on(shipped):
    fresh = simulate_lessons(_name(shipped), n_paths=60, n_bars=1500, seed=[99, 99])
    chaos = shipped.predict_proba(fresh.log_returns)[:, 60:, 1]
    regime = fresh.regime[:, 60:]
    gap = bootstrap_over_paths(lambda p, y: float(np.mean(p - y)), chaos, regime, n_resamples=200, seed=0)
    assert abs(gap.estimate) < 4 * gap.standard_error
    assert expected_calibration_error(regime, chaos) < 0.02 + 2 * gap.standard_error


def _name(shipped):
    return next(n for n in SHIPPED if _same(shipped.model_, NeuralRegimeFilter.load_pretrained(n).model_))


def _same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def _log_loss(truth, chaos):
    return -np.log(np.clip(np.where(truth == 1, chaos, 1 - chaos), 1e-9, 1))


def test_universal_is_the_better_stranger():
    """Where the market is another than the base market, who was trained on many beats who was trained on one."""
    slow = RegimeSwitchingHeston.slow_reverting().simulate(n_paths=12, n_steps=1500, seed=4712)
    chaos = {name: NeuralRegimeFilter.load_pretrained(name).predict_proba(slow.log_returns)[..., 1] for name in SHIPPED}
    loss = {name: _log_loss(slow.regime[:, 1:], forecast).mean() for name, forecast in chaos.items()}
    assert loss["universal"] < loss["equity_index"]


def test_fit_without_labels_keeps_the_network_and_with_them_learns(held_out):
    returns, regime = held_out[0][:6, :400], held_out[1][:6, :400]
    before = NeuralRegimeFilter.load_pretrained()
    plain = NeuralRegimeFilter().fit(returns)
    assert _same(plain.model_, before.model_)
    assert plain.calibration_.slope == pytest.approx(1.0, abs=0.1)  # calibrated on the market it was trained on
    learned, other = (NeuralRegimeFilter(steps=10, seed=seed).fit(returns, regime) for seed in (0, 1))
    loss = [_log_loss(regime, 1 - detector.confidence(returns)).mean() for detector in (before, learned)]
    assert loss[1] < loss[0]
    assert not _same(learned.model_, other.model_)
    assert _same(plain.model_, before.model_)


def test_what_is_not_a_filter_is_refused(held_out):
    with pytest.raises(
        ValueError, match="name must be one of the shipped filters equity_index, scale_free, universal, got 'nasdaq'"
    ):
        NeuralRegimeFilter.load_pretrained("nasdaq")
    for call in (NeuralRegimeFilter.from_network, lambda model: NeuralRegimeFilter(model).fit(held_out[0])):
        with pytest.raises(ValueError, match="model must have one output, the log-odds of chaos, got 2"):
            call(MarketMamba())


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_are_small_and_say_where_they_come_from(name):
    folder = Path(module.__file__).parent / "pretrained"
    file = folder / f"{name}.safetensors"
    assert file.stat().st_size < 1_000_000
    with safe_open(file, framework="pt") as stored:
        header = json.loads(stored.metadata()["companion"])
    assert header == json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    assert header["provenance"]["seed"] == 0
    assert header["provenance"]["config"] == recorded(RECIPES[name])


def test_the_command_trains_and_refuses(tmp_path, capsys):
    settings = "--n-paths 4 --n-bars 90 --n-particles 20 --d-model 8 --n-layers 1 --steps 2 --batch 2 --length 64"
    settings += " --n-calibration 40"
    out = tmp_path / "filter.safetensors"
    command = ["train-filter", "--market", "universal", "--seed", "5", "--out", str(out), *settings.split()]
    assert main(command) == 0
    provenance = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))["provenance"]
    assert (provenance["seed"], provenance["config"]["market"]) == (5, "universal")
    assert provenance["config"]["training"]["model"]["d_model"] == 8
    first = out.read_bytes()
    assert main(command) == 0
    assert out.read_bytes() == first
    assert NeuralRegimeFilter.from_network(MarketMamba.load(out)).update(0.01).n_bars == 1
    for wrong, says in ((["--market", "moon"], "got 'moon'"), (["--n-bars", "511"], "n_bars must be at least 512")):
        capsys.readouterr()
        assert main(["train-filter", *wrong, "--out", str(out)]) == 2
        said = capsys.readouterr().err
        assert says in said
        assert said.count("\n") == 1
