"""GARCH surrogates: the fit is arch's, and what is simulated from it has the moments that theory gives it."""

from types import SimpleNamespace

import numpy as np
import pytest
from arch import arch_model
from arch.univariate.base import ARCHModel
from scipy.special import ndtri

from companion.chaos import GarchFit, fit_garch, surrogates

NORMAL = ndtri((np.arange(4000) + 0.5) / 4000)


def _returns(n_points: int, *, asymmetry: float = 0.0, alpha: float = 0.1, beta: float = 0.85, seed: int = 0):
    """Daily-sized returns, by a recursion of the test's own."""
    innovations = np.random.default_rng(seed).standard_normal(n_points + 500)
    shocks, variance = np.empty(n_points + 500), 1e-4
    for step, innovation in enumerate(innovations):
        shocks[step] = np.sqrt(variance) * innovation
        falls = asymmetry if innovation < 0 else 0.0
        variance = 5e-6 + (alpha + falls) * shocks[step] ** 2 + beta * variance
    return 0.0004 + shocks[500:]


def _model(
    *, alpha: float, beta: float, asymmetry: float = 0.0, omega: float = 0.1, volatility: float = 1.0
) -> GarchFit:
    """A model whose innovations are drawn from the quantiles of the normal distribution."""
    return GarchFit(
        mean=2.0,
        omega=omega,
        alpha=alpha,
        beta=beta,
        asymmetry=asymmetry,
        residuals=NORMAL / NORMAL.std(),
        volatility=np.full(4000, volatility),
        log_likelihood=0.0,
    )


@pytest.mark.parametrize("asymmetric", [False, True])
def test_the_fit_is_that_of_arch_in_the_unit_of_the_series(asymmetric):
    returns = _returns(2000, asymmetry=0.06, alpha=0.05)
    fit = fit_garch(returns, asymmetric=asymmetric)
    peer = arch_model(100 * returns, mean="Constant", p=1, o=int(asymmetric), q=1, rescale=False).fit(disp="off")
    assert fit.mean == pytest.approx(peer.params["mu"] / 100, abs=2e-6)
    assert fit.omega == pytest.approx(peer.params["omega"] / 100**2, rel=0.01)
    assert fit.alpha == pytest.approx(peer.params["alpha[1]"], abs=1e-3)
    assert fit.beta == pytest.approx(peer.params["beta[1]"], abs=1e-3)
    assert fit.asymmetry == pytest.approx(peer.params.get("gamma[1]", 0.0), abs=1e-3)
    assert fit.log_likelihood == pytest.approx(peer.loglikelihood + 2000 * np.log(100), abs=1e-2)
    np.testing.assert_allclose(fit.volatility, peer.conditional_volatility / 100, rtol=1e-3)


def test_the_fit_finds_the_process_within_three_standard_errors():
    returns = _returns(6000, asymmetry=0.08, alpha=0.05)
    fit = fit_garch(returns, asymmetric=True)
    # standard errors as arch gives them for 6,000 points: .006 (alpha), .012 (asymmetry), .011 (beta)
    assert fit.alpha == pytest.approx(0.05, abs=0.018)
    assert fit.asymmetry == pytest.approx(0.08, abs=0.036)
    assert fit.beta == pytest.approx(0.85, abs=0.033)
    assert fit.persistence == pytest.approx(0.94, abs=0.03)


def test_residuals_are_the_shocks_over_their_volatility_standardized():
    returns = _returns(1000)
    fit = fit_garch(returns)
    assert fit.residuals.mean() == pytest.approx(0.0, abs=1e-12)
    assert fit.residuals.std() == pytest.approx(1.0, abs=1e-12)
    raw = (returns - fit.mean) / fit.volatility
    np.testing.assert_allclose(fit.residuals, (raw - raw.mean()) / raw.std(), atol=1e-9)
    # the likelihood's own maximum leaves little to standardize
    assert raw.mean() == pytest.approx(0.0, abs=0.05)
    assert raw.std() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("asymmetric", [False, True])
def test_innovations_are_fitted_residuals_and_no_others(asymmetric):
    returns = _returns(1000, asymmetry=0.05)
    fit = fit_garch(returns, asymmetric=asymmetric)
    path = fit.simulate(3000, n_paths=1, seed=0)[0]
    variance, found = fit.variance, np.empty(3000)
    for step, shock in enumerate(path - fit.mean):
        found[step] = shock / np.sqrt(variance)
        variance = fit.omega + (fit.alpha + fit.asymmetry * (shock < 0)) * shock**2 + fit.beta * variance
    # the variance before the path is not known: after 1,500 steps its trace is gone
    gaps = np.abs(found[1500:, None] - fit.residuals[None, :])
    assert gaps.min(axis=1).max() < 1e-9
    drawn = gaps.argmin(axis=1)
    assert len(np.unique(drawn)) == pytest.approx(1000 * (1 - np.exp(-1.5)), rel=0.05)


def test_the_nulls_are_the_two_fits():
    returns = _returns(1000, asymmetry=0.05)
    for null, asymmetric in (("garch", False), ("gjr_garch", True)):
        expected = fit_garch(returns, asymmetric=asymmetric).simulate(1000, n_paths=3, seed=5)
        np.testing.assert_array_equal(surrogates(returns, null=null, n_surrogates=3, seed=5), expected)


def test_mean_variance_and_kurtosis_are_those_of_the_model():
    model = _model(alpha=0.1, beta=0.8)
    paths = model.simulate(5000, n_paths=200, seed=0)
    assert model.persistence == pytest.approx(0.9)
    assert model.variance == pytest.approx(1.0)
    assert paths.mean() == pytest.approx(2.0, abs=0.005)
    assert paths.var() == pytest.approx(1.0, rel=0.015)
    fourth = np.mean(model.residuals**4)
    kurtosis = fourth * (1 - 0.9**2) / (1 - 0.9**2 - 0.1**2 * (fourth - 1))
    assert np.mean((paths - 2.0) ** 4) / paths.var() ** 2 == pytest.approx(kurtosis, rel=0.03)


def test_squares_have_the_autocorrelation_of_the_model_and_returns_have_none():
    alpha, beta = 0.1, 0.8
    shocks = _model(alpha=alpha, beta=beta).simulate(5000, n_paths=200, seed=1) - 2.0
    squares = shocks**2 - np.mean(shocks**2)
    first = alpha * (1 - alpha * beta - beta**2) / (1 - 2 * alpha * beta - beta**2)
    for lag in (1, 2, 5, 10, 20):
        assert np.mean(squares[:, lag:] * squares[:, :-lag]) / np.mean(squares**2) == pytest.approx(
            first * (alpha + beta) ** (lag - 1), abs=0.01
        )
        assert np.mean(shocks[:, lag:] * shocks[:, :-lag]) / np.mean(shocks**2) == pytest.approx(0.0, abs=0.005)


@pytest.mark.parametrize("volatility", [0.2, 5.0])
def test_paths_are_stationary_from_their_first_point_wherever_they_come_from(volatility):
    model = _model(alpha=0.08, beta=0.9, omega=0.02, volatility=volatility)
    squares = (model.simulate(50, n_paths=4000, seed=0) - 2.0) ** 2
    assert squares[:, :5].mean() == pytest.approx(model.variance, rel=0.1)
    assert squares[:, -5:].mean() == pytest.approx(model.variance, rel=0.1)


@pytest.mark.parametrize(("asymmetry", "sign"), [(0.0, 0.0), (0.1, -1.0)])
def test_falls_raise_the_variance_in_the_asymmetric_model_only(asymmetry, sign):
    model = _model(alpha=0.02, beta=0.7, asymmetry=asymmetry)
    shocks = model.simulate(5000, n_paths=200, seed=0) - 2.0
    leverage = np.corrcoef(shocks[:, :-1].ravel(), shocks[:, 1:].ravel() ** 2)[0, 1]
    # what a step's shock does to the next variance, in closed form; the third moment of |z| is sqrt(8 / pi)
    below = asymmetry * np.mean(np.minimum(model.residuals, 0.0) ** 3)
    assert below == pytest.approx(-asymmetry * np.sqrt(2 / np.pi), abs=0.002)
    assert np.sign(round(leverage, 2)) == sign
    covariance = np.mean(shocks[:, :-1] * shocks[:, 1:] ** 2)
    assert covariance == pytest.approx(below * np.mean(np.abs(shocks) ** 3) / np.sqrt(8 / np.pi), abs=0.003)
    assert model.persistence == pytest.approx(0.72 + asymmetry / 2, abs=1e-3)


def test_growth_is_nelsons_exponent_and_below_the_log_of_the_persistence():
    # for ARCH(1) with normal innovations it is log(alpha) - log(2) - Euler's constant: stationary up to 3.56
    for alpha in (0.5, 3.0):
        model = _model(alpha=alpha, beta=0.0)
        assert model.growth == pytest.approx(np.log(alpha) - np.log(2) - np.euler_gamma, abs=0.005)
    assert model.growth < 0 < np.log(model.persistence)
    assert model.variance == np.inf
    integrated = _model(alpha=0.1, beta=0.9)
    assert integrated.growth < np.log(integrated.persistence) == pytest.approx(0.0, abs=1e-12)
    assert np.isfinite(integrated.simulate(1000, n_paths=5, seed=0)).all()


def test_independent_returns_have_a_fit_and_surrogates_of_their_variance():
    for seed in range(15):
        noise = 0.01 * np.random.default_rng(seed).standard_normal(300)
        drawn = surrogates(noise, null="garch", n_surrogates=20, seed=0)
        assert drawn.std() == pytest.approx(noise.std(), rel=0.25)


def test_a_variance_that_only_grows_is_refused():
    skewed = 1.0 - np.random.default_rng(3).exponential(size=400)
    with pytest.raises(ValueError, match=r"series must let GJR-GARCH\(1, 1\) be stationary, got 400 points by which"):
        fit_garch(skewed * np.exp(0.01 * np.arange(400)), asymmetric=True)


def test_a_fit_that_does_not_converge_says_so(monkeypatch):
    starts = []

    def give_up(self, *, starting_values=None, **_):
        starts.append(starting_values)
        return SimpleNamespace(convergence_flag=9, params=np.zeros(4), loglikelihood=0.0)

    monkeypatch.setattr(ARCHModel, "fit", give_up)
    with pytest.raises(ValueError, match=r"series must let GARCH\(1, 1\) converge, got 300 points on which"):
        surrogates(_returns(300), null="garch", n_surrogates=2, seed=0)
    assert [None if start is None else len(start) for start in starts] == [None, 4, 4, 4, 4]


def test_where_the_optimizer_gives_up_the_likeliest_of_other_starts_counts(monkeypatch):
    returns, fit = _returns(500), ARCHModel.fit
    peer = fit_garch(returns)

    def give_up_at_first(self, *, starting_values=None, **options):
        result = fit(self, starting_values=starting_values, **options)
        if starting_values is None:
            result._optim_output.status = 8
        return result

    monkeypatch.setattr(ARCHModel, "fit", give_up_at_first)
    again = fit_garch(returns)
    assert again.log_likelihood == pytest.approx(peer.log_likelihood, abs=1e-3)
    assert again.alpha == pytest.approx(peer.alpha, abs=2e-3)


@pytest.mark.parametrize(
    ("n_points", "n_paths", "seed", "message"),
    [
        (0, 1, 0, "n_points must be a positive integer, got 0"),
        (10, -2, 0, "n_paths must be a positive integer, got -2"),
        (10, 1, 0.5, "seed must be a non-negative integer or a numpy.random.Generator, got 0.5"),
    ],
)
def test_what_is_wrong_with_a_simulation_is_named(n_points, n_paths, seed, message):
    with pytest.raises(ValueError, match=message):
        _model(alpha=0.1, beta=0.8).simulate(n_points, n_paths=n_paths, seed=seed)
