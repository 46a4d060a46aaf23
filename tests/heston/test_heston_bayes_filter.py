"""The particle filter against closed forms, its causality, and what it is for."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from companion.heston import FilterRun, HestonParams, RegimePaths, RegimeSwitchingHeston, bayes_filter, run_bayes_filter
from companion.heston.kernels import _blocks

BASE = RegimeSwitchingHeston.equity_index()
FAST = 4 * 252.0  # at this kappa one of four daily substeps carries the variance all the way to theta


def _exact_filter(returns: np.ndarray, transition: np.ndarray, law: np.ndarray, mean, sigma, jumps=(0.0, 0.0)):
    """Forward algorithm for a return whose law depends on the regimes of this bar and of the one before.

    `mean` and `sigma` are (n_regimes, n_regimes), row the regime before; `jumps` are their rate and size. Gives the
    filter and the log likelihood.
    """
    p, out, log_likelihood = law, [], 0.0
    rate, size = jumps
    for r in returns:
        still, jumped = (stats.norm.pdf(r, mean, s) for s in (sigma, np.hypot(sigma, size)))
        joint = p[:, None] * transition * ((1 - rate) * still + rate * jumped)
        total = joint.sum()
        p = joint.sum(axis=0) / total
        out.append(p)
        log_likelihood += math.log(total)
    return np.array(out), log_likelihood


@pytest.mark.parametrize("jumps", [(0.0, 0.0), (0.02, 0.03)])
def test_agrees_with_the_forward_algorithm_where_the_variance_is_pinned(jumps: tuple[float, float]) -> None:
    """Constant variance in each regime, reached within the first substep: a hidden Markov model with known answer."""
    transition, theta = np.array([[0.97, 0.03], [0.08, 0.92]]), np.array([0.01, 0.06])
    regimes = tuple(HestonParams(mu=0.1, kappa=FAST, theta=t, xi=1e-12, rho=0.0, v0=t) for t in theta)
    market = RegimeSwitchingHeston(regimes, transition, *jumps)
    returns = market.simulate(n_paths=2, n_steps=400, seed=1).log_returns
    power = (theta[:, None] + 3 * theta[None, :]) / (4 * 252)  # the first substep still has the variance from before
    run = run_bayes_filter(returns, market, n_particles=2000, seed=2)
    for i in range(2):
        exact, log_likelihood = _exact_filter(
            returns[i], transition, market.stationary, 0.1 / 252 - power / 2, np.sqrt(power), jumps
        )
        assert 0.05 < exact[:, 1].mean() < 0.6
        np.testing.assert_allclose(run.p_regime[i], exact, atol=2e-3)
        assert abs(run.log_likelihood[i].sum() - log_likelihood) < 0.05


def test_agrees_with_the_forward_algorithm_where_only_the_drift_switches() -> None:
    transition, drift = np.array([[0.95, 0.05], [0.1, 0.9]]), np.array([4.0, -4.0])
    regimes = tuple(HestonParams(mu=m, kappa=5.0, theta=0.04, xi=1e-12, rho=0.0, v0=0.04) for m in drift)
    market = RegimeSwitchingHeston(regimes, transition)
    returns = market.simulate(n_paths=1, n_steps=500, seed=3).log_returns[0]
    mean = np.tile((drift - 0.02) / 252, (2, 1))
    exact, log_likelihood = _exact_filter(returns, transition, market.stationary, mean, np.full((2, 2), 0.2 / 252**0.5))
    run = run_bayes_filter(returns, market, n_particles=10, seed=4)
    np.testing.assert_allclose(run.p_regime, exact, atol=1e-8)
    assert abs(run.log_likelihood.sum() - log_likelihood) < 1e-6
    np.testing.assert_allclose(run.effective_sample_size, 1 / (exact**2 / 5).sum(axis=1), rtol=1e-6)


@pytest.fixture(scope="module")
def ceiling() -> tuple[RegimePaths, FilterRun]:
    """The book's ceiling: 40 paths of 2,500 bars, 3,000 particles; about 12 s on two cores."""
    paths = BASE.simulate(n_paths=40, n_steps=2500, seed=19)
    return paths, run_bayes_filter(paths.log_returns, BASE, n_particles=3000, seed=20)


def test_the_ceiling_of_the_base_market(ceiling: tuple[RegimePaths, FilterRun]) -> None:
    """An AUC of .855 (its sampling error over 40 paths is .007), calibrated, and better than a plain variance."""
    paths, run = ceiling
    ewma, recent = np.zeros((40, 2500)), paths.log_returns[:, 0] ** 2
    for bar in range(2500):
        recent = recent + (1 - 0.5**0.1) * (paths.log_returns[:, bar] ** 2 - recent)
        ewma[:, bar] = recent
    truth, p = paths.regime[:, 61:].ravel(), run.p_regime[:, 60:, 1].ravel()
    best, plain = roc_auc_score(truth, p), roc_auc_score(truth, ewma[:, 60:].ravel())
    assert abs(best - 0.855) < 0.01
    assert best > plain + 0.02
    group = np.minimum((p * 15).astype(int), 14)
    gaps = np.abs(np.bincount(group, p - truth, minlength=15))  # the sum over groups, not the mean
    assert gaps.sum() / p.size <= 0.015
    assert run.effective_sample_size.mean() > 1000


def test_the_probability_is_a_martingale_but_for_the_chain(ceiling: tuple[RegimePaths, FilterRun]) -> None:
    """Tomorrow's probability is on average today's, moved by the transition: nothing known today corrects it."""
    _, run = ceiling
    today, tomorrow = run.p_regime[:, :-1], run.p_regime[:, 1:, 1]
    surprise = tomorrow - (today @ BASE.transition)[..., 1]
    for known in (np.ones_like(surprise), today[..., 1] - 0.2, np.sign(today[..., 1] - 0.5)):
        product = surprise * known
        assert abs(product.mean()) < 4 * product.std() / math.sqrt(product.size)


@pytest.mark.parametrize("jump_rate", [0.0, 0.01])
@pytest.mark.parametrize("name", ["equity_index", "fast_reverting", "slow_reverting"])
def test_the_regime_is_on_average_what_was_said_of_it(name: str, jump_rate: float) -> None:
    """Also where the variance often touches zero (`fast_reverting`), a guide that starts there would say too little."""
    market = replace(getattr(RegimeSwitchingHeston, name)(), jump_rate=jump_rate, jump_size=0.03 * (jump_rate > 0))
    paths = market.simulate(n_paths=160, n_steps=800, seed=31)
    p = bayes_filter(paths.log_returns, market, n_particles=300, seed=32)[..., 1]
    surprise = (paths.regime[:, 1:] - p).mean(axis=1)
    assert abs(surprise.mean()) < 3 * stats.sem(surprise)


def test_more_particles_hardly_move_the_answer(ceiling: tuple[RegimePaths, FilterRun]) -> None:
    """The mean over eight of the paths is .0063, with a standard error over paths of .0004."""
    paths, run = ceiling
    many = bayes_filter(paths.log_returns[:8], BASE, n_particles=12_000, seed=10)
    assert 0 < np.abs(many - run.p_regime[:8]).mean() < 0.01


def test_the_order_of_the_paths_does_not_matter() -> None:
    """Each path has random numbers of its own; another place moves its answer by the particles' noise only."""
    returns = BASE.simulate(n_paths=4, n_steps=300, seed=21).log_returns
    here, there = (bayes_filter(r, BASE, n_particles=2000, seed=22) for r in (returns, returns[::-1]))
    assert 0 < np.abs(here - there[::-1]).mean() < 0.015


def test_likelihood_prefers_the_true_market() -> None:
    returns = BASE.simulate(n_paths=4, n_steps=750, seed=7).log_returns
    true, fast = (
        run_bayes_filter(returns, market, n_particles=400, seed=8).log_likelihood.sum()
        for market in (BASE, RegimeSwitchingHeston.fast_reverting())
    )
    assert true > fast + 5


def test_the_past_does_not_move_when_the_future_changes() -> None:
    returns = BASE.simulate(n_paths=1, n_steps=80, seed=11).log_returns[0]
    changed = returns.copy()
    changed[50:] = 0.2
    before, after = (run_bayes_filter(r, BASE, n_particles=100, seed=12) for r in (returns, changed))
    np.testing.assert_array_equal(before.p_regime[:50], after.p_regime[:50])
    np.testing.assert_array_equal(before.log_likelihood[:50], after.log_likelihood[:50])
    assert not np.array_equal(before.p_regime[50:], after.p_regime[50:])
    np.testing.assert_array_equal(before.p_regime[:50], bayes_filter(returns[:50], BASE, n_particles=100, seed=12))


def test_one_path_many_paths_and_threads_agree_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    returns = BASE.simulate(n_paths=5, n_steps=40, seed=13).log_returns
    monkeypatch.setattr(_blocks, "n_threads", lambda: 1)
    many = run_bayes_filter(returns, BASE, n_particles=101, seed=14)
    one = run_bayes_filter(returns[0], BASE, n_particles=101, seed=14)
    monkeypatch.setattr(_blocks, "n_threads", lambda: 2)
    threads = run_bayes_filter(returns, BASE, n_particles=101, seed=14)
    assert many.p_regime.shape == (5, 40, 2)
    assert one.p_regime.shape == (40, 2)
    for name in ("p_regime", "log_likelihood", "effective_sample_size"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name)[0])
        np.testing.assert_array_equal(getattr(threads, name), getattr(many, name))


def test_three_regimes() -> None:
    calm, chaos = BASE.regimes
    middle = HestonParams(mu=0.0, kappa=10.0, theta=0.04, xi=0.8, rho=-0.7, v0=0.04)
    market = RegimeSwitchingHeston((calm, middle, chaos), np.full((3, 3), 0.01) + 0.97 * np.eye(3))
    paths = market.simulate(n_paths=4, n_steps=1000, seed=15)
    probability = bayes_filter(paths.log_returns, market, n_particles=300, seed=16)
    truth = paths.regime[:, 1:]
    assert probability.shape == (4, 1000, 3)
    for k in (0, 2):
        assert probability[truth == k, k].mean() > probability[truth != k, k].mean() + 0.1


@pytest.mark.parametrize("shock", [10.0, -10.0, 0.0, 0.5])
def test_rows_are_probabilities_even_for_impossible_returns(shock: float) -> None:
    returns = BASE.simulate(n_paths=1, n_steps=30, seed=17).log_returns[0]
    returns[10:13] = shock
    run = run_bayes_filter(returns, BASE, n_particles=50, seed=18)
    assert (run.p_regime >= 0).all()
    np.testing.assert_allclose(run.p_regime.sum(axis=1), 1, atol=1e-12)
    assert np.isfinite(run.log_likelihood).all()
    assert (run.effective_sample_size >= 1 - 1e-9).all()
    assert (run.effective_sample_size <= 50 + 1e-9).all()


@pytest.mark.parametrize(
    "returns",
    [
        [0.01, math.nan],
        [0.01, math.inf],
        [0.01, -math.inf],
        [[0.0, 0.01], [0.0, 11.0]],
        [],
        [[]],
        0.01,
        np.zeros((1, 2, 3)),
    ],
)
def test_bad_returns_are_refused(returns: object) -> None:
    with pytest.raises(ValueError, match=r"^returns.* must"):
        bayes_filter(returns, BASE, seed=0)  # type: ignore[arg-type]


def test_bad_return_is_located() -> None:
    with pytest.raises(ValueError, match=r"^returns\[1, 0\] must be .* got nan"):
        bayes_filter([[0.0, 0.1], [math.nan, 0.1]], BASE, seed=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_particles", 3), ("n_particles", 0), ("substeps", 0), ("dt", -1.0), ("seed", None), ("market", "index")],
)
def test_bad_argument_is_named(name: str, value: object) -> None:
    arguments = {"market": BASE, "seed": 0, name: value}
    with pytest.raises(ValueError, match=f"^{name} must"):
        bayes_filter([0.01, 0.02], arguments.pop("market"), **arguments)  # type: ignore[arg-type]


def test_perfect_correlation_is_refused() -> None:
    regimes = tuple(HestonParams(**{**vars(params), "rho": -1.0}) for params in BASE.regimes)
    with pytest.raises(ValueError, match=r"^market must have rho"):
        bayes_filter([0.01, 0.02], RegimeSwitchingHeston(regimes, BASE.transition), seed=0)


def test_an_answer_that_the_seed_decides_says_so() -> None:
    """A jump of 8 % after calm: the weights collapse, and the run knows it; an ordinary bar is reliable."""
    calm = 0.006 * np.random.default_rng(0).standard_normal(200)
    runs = [run_bayes_filter(np.r_[calm, 0.08], BASE, n_particles=3000, seed=seed) for seed in range(12)]
    assert np.std([run.p_regime[-1, 1] for run in runs]) > 0.05
    assert not any(run.reliable[-1] for run in runs)
    assert np.std([run.p_regime[-2, 1] for run in runs]) < 0.01
    assert all(run.reliable[:-1].all() for run in runs)


def test_an_observer_who_knows_that_prices_jump_survives_an_outlier() -> None:
    """What is far out is then most likely a jump, which says nothing of the regime, and no particle stands alone."""
    market = replace(BASE, jump_rate=0.002, jump_size=0.05)
    calm = 0.006 * np.random.default_rng(0).standard_normal(200)
    for outlier in (0.08, -0.08, 0.1, 0.3):
        runs = [run_bayes_filter(np.r_[calm, outlier], market, n_particles=3000, seed=seed) for seed in range(50)]
        assert np.std([run.p_regime[-1, 1] for run in runs]) < 0.02
        assert all(run.reliable.all() for run in runs)
