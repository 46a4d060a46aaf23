"""What the model is asked to foretell: a function of the bars after t, and the loss of a forecast of it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from companion._checks import check_log_returns
from companion.mamba._features import FLOOR, SCALE

NEXT_BAR = (1,)
LABELS = "labels"
"""Name of the target that is no function of the returns: `train` is given it."""


class Target(NamedTuple):
    """A training target.

    Attributes
    ----------
    observe : callable
        ``observe(log_returns, horizons)``: what came true, float64 of shape (…, n_bars - max(horizons), n_horizons).
        Row t is a function of the bars after t alone.
    loss : callable
        ``loss(forecast, observed)``: a scalar tensor.
    next_bar_only : bool
        Whether the only horizon it can have is one bar.
    """

    observe: Callable[[ArrayLike, tuple[int, ...]], NDArray[np.float64]]
    loss: Callable[[Tensor, Tensor], Tensor]
    next_bar_only: bool


def future_log_variance(log_returns: ArrayLike, horizons: tuple[int, ...]) -> NDArray[np.float64]:
    r"""Targets: :math:`\log(\frac{1}{H} \sum_{k=1}^{H} x_{t+k}^2 + 0.02)` for each horizon H, with x in percent.

    Parameters
    ----------
    log_returns : array of shape (n_bars,) or (n_paths, n_bars)
    horizons : tuple of int
        Numbers of future bars to average over. With (1,) it is the log square of the next return.

    Returns
    -------
    float64 array of shape (…, n_bars - max(horizons), len(horizons)): the bars whose whole future is known.
    """
    square = (check_log_returns(log_returns) / SCALE) ** 2
    known = square.shape[-1] - max(horizons)
    if known < 1:
        raise ValueError(f"log_returns: {square.shape[-1]} bars are too few for a horizon of {max(horizons)}")
    total = np.concatenate([np.zeros((*square.shape[:-1], 1)), np.cumsum(square, axis=-1)], axis=-1)
    means = [(total[..., 1 + h : 1 + h + known] - total[..., 1 : 1 + known]) / h for h in horizons]
    return np.log(np.stack(means, axis=-1) + FLOOR)


def gaussian_nll(log_variance: Tensor, returns: Tensor) -> Tensor:
    r"""Mean of :math:`\frac12 (\log v + x^2 / v)` with :math:`v = e^s + 0.02`, forecasts s, returns x in percent.

    The negative log-likelihood of a Gaussian of mean zero, its constant left out; the floor of the other targets keeps
    a forecast of no variance at all from an infinite loss.
    """
    variance = torch.exp(log_variance) + FLOOR
    return 0.5 * (torch.log(variance) + returns**2 / variance).mean()


def _next_return(log_returns: ArrayLike, horizons: tuple[int, ...]) -> NDArray[np.float64]:
    returns = check_log_returns(log_returns)
    if returns.shape[-1] < 2:
        raise ValueError(f"log_returns: {returns.shape[-1]} bars are too few for a horizon of 1")
    return returns[..., 1:, None] / SCALE


def _next_absolute_return(log_returns: ArrayLike, horizons: tuple[int, ...]) -> NDArray[np.float64]:
    return np.abs(_next_return(log_returns, horizons))


TARGETS: dict[str, Target] = {
    "log_variance": Target(future_log_variance, functional.mse_loss, next_bar_only=False),
    "return": Target(_next_return, functional.mse_loss, next_bar_only=True),
    "absolute_return": Target(_next_absolute_return, functional.mse_loss, next_bar_only=True),
    "gaussian_nll": Target(_next_return, gaussian_nll, next_bar_only=True),
}


def check_target(name: str, horizons: tuple[int, ...]) -> None:
    """Refuse a target that there is not, or one that can not have these horizons, with a `ValueError`."""
    if name not in (*TARGETS, LABELS):
        raise ValueError(f"target: expected one of {', '.join(TARGETS)}, {LABELS}, got {name!r}")
    if (name == LABELS or TARGETS[name].next_bar_only) and horizons != NEXT_BAR:
        raise ValueError(f"target: {name!r} is about the next bar and needs model.horizons {NEXT_BAR}, got {horizons}")
