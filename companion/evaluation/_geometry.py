"""The geometry of the latent: its axes, its way through a switch, its answer to one shock, the border K-Means draws."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA

from companion._checks import Floats, as_paths

if TYPE_CHECKING:
    from companion.mamba import MarketMamba


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """Principal axes of a cloud of latents, the longest first.

    Attributes
    ----------
    center : ndarray of shape (d,)
    directions : ndarray of shape (d, d)
        Row k is the unit vector of axis k, pointing to the longer tail of the cloud.
    variances : ndarray of shape (d,)
        Variance of the cloud along each axis.
    """

    center: Floats
    directions: Floats
    variances: Floats

    def project(self, latents: ArrayLike) -> Floats:
        """Coordinates along the axes of latents (..., d), of the same shape."""
        return np.asarray((np.asarray(latents, dtype=np.float64) - self.center) @ self.directions.T)


def principal_axes(latents: ArrayLike) -> PrincipalAxes:
    """Principal components of latents (..., d), each turned so that its coordinates have a positive third moment.

    Eigenvectors have no sign of their own; a rule that looks at the cloud gives the same one on every machine, as long
    as the cloud is not symmetric along the axis.
    """
    points = np.asarray(latents, dtype=np.float64)
    points = points.reshape(-1, points.shape[-1])
    pca = PCA(svd_solver="covariance_eigh").fit(points)
    skew = (pca.transform(points) ** 3).mean(axis=0)
    return PrincipalAxes(pca.mean_, pca.components_ * np.where(skew < 0, -1.0, 1.0)[:, None], pca.explained_variance_)


def participation_ratio(variances: ArrayLike) -> float:
    r"""How many directions a cloud fills: :math:`(\sum \lambda_k)^2 / \sum \lambda_k^2`, between 1 and their number.

    Source: Gao et al. (2017), "A theory of multineuronal dimensionality, dynamics and measurement".
    """
    values = np.asarray(variances, dtype=np.float64)
    if not (values >= 0).all() or not values.sum() > 0:
        raise ValueError(f"variances must be non-negative and not all zero, got {values}")
    shares = values / values.sum()
    return float(1.0 / np.sum(shares**2))


def aligned_at_switches(values: ArrayLike, regime: ArrayLike, *, into: int, before: int, after: int) -> Floats:
    """Cut the same window around every switch of the true regime.

    Parameters
    ----------
    values : array_like of shape (n_paths, n_bars, ...)
    regime : array_like of int, shape (n_paths, n_bars)
    into : int
        The regime that is entered.
    before, after : int
        Bars of the window before the switch, and from the switch on. A switch counts if the old spell lasted at least
        `before` of the bars given, and the new one lasts at least `after`.

    Returns
    -------
    ndarray of shape (n_switches, before + after, ...)
        Index `before` is the first bar of the new regime.

    Raises
    ------
    ValueError
        When the shapes disagree, a length is below 1, or no switch counts.
    """
    array, truth = np.asarray(values, dtype=np.float64), np.asarray(regime)
    if truth.ndim != 2 or array.shape[:2] != truth.shape:
        raise ValueError(f"values must have a shape that begins with that of regime, {truth.shape}, got {array.shape}")
    if min(before, after) < 1:
        raise ValueError(f"before and after must be at least 1, got {before} and {after}")
    windows = []
    for path, spells in zip(array, truth, strict=True):
        edges = [0, *(np.flatnonzero(np.diff(spells)) + 1), len(spells)]
        for start, switch, end in zip(edges, edges[1:], edges[2:], strict=False):
            if spells[switch] == into and switch - start >= before and end - switch >= after:
                windows.append(path[switch - before : switch + after])
    if not windows:
        raise ValueError(f"regime must switch into {into} after {before} bars and for {after}, got no such switch")
    return np.stack(windows)


def share_of_way(windows: ArrayLike, before: int, *, settled: int = 10) -> Floats:
    """How far the mean of windows (n_switches, n_bars) has come at each bar, of its own way through the switch.

    0 is its mean over the first `before` bars, 1 its mean over the last `settled`.
    """
    mean = np.asarray(windows, dtype=np.float64).mean(axis=0)
    if not 0 < before < len(mean) - settled:
        raise ValueError(
            f"before must leave more than {settled} of the {len(mean)} bars after the switch, got {before}"
        )
    start, end = mean[:before].mean(), mean[-settled:].mean()
    return np.asarray((mean - start) / (end - start))


def half_way(windows: ArrayLike, before: int) -> float:
    """Bars from the switch until `share_of_way` first exceeds one half, interpolated."""
    share = share_of_way(windows, before)[before - 1 :]
    above = int(np.argmax(share > 0.5))
    return float(above - 1 - (share[above] - 0.5) / (share[above] - share[above - 1]))


def impulse_response(
    memory: Callable[[Floats], ArrayLike], log_returns: ArrayLike, *, bar: int, shock: float
) -> Floats:
    """By how much one changed return moves a memory of the returns, everything else being the same.

    Parameters
    ----------
    memory : callable
        Takes log returns (n_paths, n_bars), gives features (n_paths, n_bars, ...): the latents of a model, an average.
    log_returns : array_like of shape (n_paths, n_bars)
    bar : int
        The bar whose return is changed.
    shock : float
        Added to its log return.

    Returns
    -------
    ndarray of shape (n_paths, n_bars - bar, ...)
        Shocked minus undisturbed features; index 0 is the bar of the shock.
    """
    paths, _ = as_paths(log_returns, name="log_returns")
    if not 0 <= bar < paths.shape[1]:
        raise ValueError(f"bar must lie between 0 and {paths.shape[1] - 1}, got {bar}")
    shocked = paths.copy()
    shocked[:, bar] += shock
    after, before = (np.asarray(memory(world), dtype=np.float64)[:, bar:] for world in (shocked, paths))
    return after - before


def half_life(response: ArrayLike) -> float:
    """Bars from the peak of a response (n_bars,) until it first falls below half of it, interpolated; else NaN."""
    values = np.asarray(response, dtype=np.float64)
    values = values[int(np.argmax(values)) :]
    below = np.flatnonzero(values < values[0] / 2)
    if not len(below):
        return float("nan")
    high, low = values[below[0] - 1], values[below[0]]
    return float(below[0] - 1 + (high - values[0] / 2) / (high - low))


def step_sizes(model: "MarketMamba", log_returns: ArrayLike) -> list[Floats]:
    r"""Step sizes :math:`\Delta_t` of each block on paths of returns (n_paths, n_bars).

    State n of channel c keeps the share :math:`e^{-\Delta_t a_{cn}}` of itself at bar t, where a is
    ``model.blocks[k].A_log.exp()`` (Gu and Dao 2023, equations 2a and 4).

    Returns
    -------
    list of ndarray of shape (n_paths, n_bars, d_inner), one a block
    """
    import torch

    from companion.mamba import market_features

    paths, _ = as_paths(log_returns, name="log_returns")
    sizes = []
    with torch.no_grad():
        x = model.embedding(torch.from_numpy(market_features(paths)).to(model.precision))
        for norm, block in zip(model.norms, model.blocks, strict=True):
            normed = norm(x)
            sizes.append(cast(Any, block).step_sizes(normed).numpy().astype(np.float64))
            x = x + block(normed)
    return sizes


def midplane_distance(latents: ArrayLike, centroids: ArrayLike) -> Floats:
    """Signed distance of latents (..., d) from the plane halfway between two centroids (2, d), positive beyond it.

    The plane is where K-Means puts its border: the points as near to one centroid as to the other.
    """
    near, far = np.asarray(centroids, dtype=np.float64)
    gap = np.linalg.norm(far - near)
    if not gap > 0:
        raise ValueError("centroids must be two different points, got the same twice")
    return np.asarray((np.asarray(latents, dtype=np.float64) - (near + far) / 2) @ ((far - near) / gap))
