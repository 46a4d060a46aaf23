"""Linear probes: what can be read from a memory of the past, be it a latent or a handful of averages."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import lfilter
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from companion._checks import Floats, as_paths, decay
from companion.evaluation._intervals import counted

#: Ridge penalties that a probe chooses from, as shares of the variance of a standardized feature.
PENALTIES = tuple(10.0**k for k in range(-5, 1))
#: Percent squared, added to a mean square before its log, as in the targets of the model.
FLOOR = 0.02


def return_averages(log_returns: ArrayLike, half_lives: Sequence[float]) -> Floats:
    r"""Plain memories to compare a latent with: exponential averages of the returns and of their squares.

    With x in percent, :math:`\log(\overline{x^2} + 0.02)` and :math:`\bar x / (\overline{x^2} + 0.02)^{1/2}` for each
    half-life; the weights sum to one from the first bar on.

    Parameters
    ----------
    log_returns : array_like of shape (n_bars,) or (n_paths, n_bars)
    half_lives : sequence of float
        In bars.

    Returns
    -------
    ndarray of shape (..., n_bars, 2 * len(half_lives))
        First the log mean squares, then the scaled means. Bar t depends on returns up to t only.
    """
    if not len(half_lives):
        raise ValueError(f"half_lives must hold at least one, got {half_lives!r}")
    paths, single = as_paths(log_returns, name="log_returns")
    x, squares, means = 100.0 * paths, [], []
    for bars in half_lives:
        keep = decay(bars)
        square, mean, weight = (lfilter([1.0], [1.0, -keep], part, axis=-1) for part in (x * x, x, np.ones_like(x)))
        square = square / weight + FLOOR
        squares.append(np.log(square))
        means.append(mean / weight / np.sqrt(square))
    averages = np.stack(squares + means, axis=-1)
    return averages[0] if single else averages


def _r_squared_counted(truth: ArrayLike, reading: ArrayLike, counts: Floats) -> Floats:
    y, read = (np.asarray(array, dtype=np.float64) for array in (truth, reading))
    y, read = y.reshape(counts.shape[1], -1), read.reshape(counts.shape[1], -1)
    bars = counts.sum(axis=1) * y.shape[1]
    total, squares, errors = (counts @ part.sum(axis=1) for part in (y, y**2, (y - read) ** 2))
    return np.asarray(1.0 - errors / (squares - total**2 / bars))


@counted(_r_squared_counted)
def r_squared(truth: ArrayLike, reading: ArrayLike) -> float:
    """Share of the variance of `truth` that `reading` explains; both (n_paths, n_bars), all bars pooled."""
    if np.shape(truth) != np.shape(reading):
        raise ValueError(f"reading must have the shape of truth, {np.shape(truth)}, got {np.shape(reading)}")
    return float(_r_squared_counted(truth, reading, np.ones((1, len(np.asarray(truth)))))[0])


class LinearProbe(BaseEstimator):
    """Ridge regression of a target on features of the same bar, its penalty chosen by cross-validation over paths.

    Bars of one path resemble each other. A fold that shares its paths with the fit would reward a probe for
    recognizing the path, so whole paths are held out. What a path adds to the normal equations is one small matrix:
    with these at hand, a fold costs a subtraction, where a general-purpose cross-validation reads all bars again.

    Parameters
    ----------
    n_folds : int, default=5

    Attributes
    ----------
    penalty_ : float
        The one of `PENALTIES` that was chosen.
    center_ : ndarray of shape (n_features,)
        Means of the features.
    scale_ : ndarray of shape (n_features,)
        Their standard deviations.
    weights_ : ndarray of shape (n_features,)
        Weights of the standardized features.
    intercept_ : float
    """

    def __init__(self, *, n_folds: int = 5) -> None:
        self.n_folds = n_folds

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit to features X (n_paths, n_bars, n_features) and their target y (n_paths, n_bars).

        Raises
        ------
        ValueError
            When the shapes disagree or there are fewer paths than folds.
        """
        features, target = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if features.ndim != 3 or features.shape[:2] != target.shape:
            raise ValueError(f"X and y must have shapes (p, n, d) and (p, n), got {features.shape} and {target.shape}")
        if not 2 <= self.n_folds <= len(features):
            raise ValueError(f"n_folds must lie between 2 and the number of paths, {len(features)}, got {self.n_folds}")
        self.center_, spread = features.mean(axis=(0, 1)), features.std(axis=(0, 1))
        self.scale_, self.intercept_ = np.where(spread > 0, spread, 1.0), float(target.mean())
        z, rest = (features - self.center_) / self.scale_, target - self.intercept_
        grams, moments = z.transpose(0, 2, 1) @ z, np.einsum("pnd,pn->pd", z, rest)
        fold = np.arange(len(z)) % self.n_folds
        parts = [(grams[fold == k].sum(0), moments[fold == k].sum(0)) for k in range(self.n_folds)]
        gram, moment = grams.sum(0), moments.sum(0)
        errors = []
        for penalty in PENALTIES:
            fits = [_ridge(gram - g, moment - m, penalty * target.size) for g, m in parts]
            errors.append(sum(w @ g @ w - 2 * w @ m for w, (g, m) in zip(fits, parts, strict=True)))
        self.penalty_ = PENALTIES[int(np.argmin(errors))]
        self.weights_ = _ridge(gram, moment, self.penalty_ * target.size)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """What the probe reads from features (..., n_features): an array of shape (...)."""
        check_is_fitted(self, "weights_")
        weights = self.weights_ / self.scale_
        return np.asarray(np.asarray(X, dtype=np.float64) @ weights + (self.intercept_ - self.center_ @ weights))


def _ridge(gram: Floats, moment: Floats, penalty: float) -> Floats:
    return np.asarray(np.linalg.solve(gram + penalty * np.eye(len(gram)), moment))
