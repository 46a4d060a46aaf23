"""How much of a detector is memory, and how much is only today: the share of its variance that the last bar decides."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from companion._checks import Floats, as_paths, check_count
from companion.regimes._filter import RegimeFilter


class Leak(NamedTuple):
    """Share of the variance that the current bar alone decides, of the features and of the score.

    Between 0 and 1, but for the error of sampling, which may lift a copy of the present a little above 1.
    """

    features: float
    score: float


def leak(detector: RegimeFilter, X: ArrayLike, *, every: int = 5) -> Leak:
    r"""Measure by experiment how much of the current bar passes straight through a fitted detector.

    Keep the past of a path as it was and give the detector two other returns for today, :math:`r` and :math:`r'`, each
    drawn from a stranger: the return of another path at that bar. With f what the detector then says, the leak is

    .. math:: E\,(f(\mathrm{past}, r) - f(\mathrm{past}, r'))^2 \; / \; 2 \operatorname{Var} f .

    It is Sobol's total index of today, by Jansen's estimator: 1 for a copy of the present, 0 for a detector that does
    not look at today, and :math:`1 - \lambda^2` for an exponential average with decay :math:`\lambda` (half-life 10
    bars: .13). For features of several columns, the squares and variances are summed over the columns.

    A regression of the latent on today's return would not tell a leak from good memory: volatility clusters, so that a
    perfect memory of the past is correlated with today. Here today is independent of the past, by construction.

    Parameters
    ----------
    detector : fitted RegimeFilter
    X : array_like of shape (n_paths, n_bars)
        Log returns of at least three independent paths, longer than the warm-up of the detector.
    every : int, default=5
        The experiment is made at every so many bars after the warm-up.

    Raises
    ------
    ValueError
        When `detector` is something else, such as the `BayesCeiling`, which has no answer bar by bar; when there are
        too few paths or bars, or what the detector says never changes.

    References
    ----------
    Sobol' (2001), "Global sensitivity indices for nonlinear mathematical models and their Monte Carlo estimates".
    Jansen (1999), "Analysis of variance designs for model output".
    """
    if not isinstance(detector, RegimeFilter):
        raise ValueError(f"detector must be a RegimeFilter, got {detector!r}")  # noqa: TRY004 - one kind of error
    check_is_fitted(detector, "calibration_")
    paths, _ = as_paths(X)
    if len(paths) < 3 or paths.shape[1] <= detector.warm_up:
        raise ValueError(f"X must hold at least 3 paths of more than {detector.warm_up} bars, got shape {paths.shape}")
    one, two = _strange_todays(detector, paths, check_count("every", every))
    return Leak(_share(one, two), _share(detector.rule_.score(one)[..., None], detector.rule_.score(two)[..., None]))


def _strange_todays(detector: RegimeFilter, paths: Floats, every: int) -> tuple[Floats, Floats]:
    """Features after a true past and two strangers' returns, each of shape (n_experiments, n_paths, n_features)."""
    feature = detector.feature_
    state, pairs = feature.start(len(paths)), []
    for bar, returns in enumerate(paths.T):
        if bar >= detector.warm_up and (bar - detector.warm_up) % every == 0:
            pairs.append([feature.advance(np.roll(returns, shift), state)[0] for shift in (1, 2)])
        _, state = feature.advance(returns, state)
    one, two = np.stack(pairs, axis=1)
    return one, two


def _share(one: Floats, two: Floats) -> float:
    variance = np.concatenate([one, two]).var(axis=(0, 1)).sum()
    if variance == 0.0:
        raise ValueError("detector must say different things at different bars, got no variance to share out")
    return float(((one - two) ** 2).mean(axis=(0, 1)).sum() / (2.0 * variance))
