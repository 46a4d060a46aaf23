"""A small causal Mamba that maps an observed series to another of the same times, with `fit` and `predict`."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from companion._checks import check_seed
from companion.mamba._block import Mamba
from companion.mamba._model import MarketMambaConfig, _each
from companion.mamba._train import TrainConfig, learning_rate
from companion.mamba.kernels._norm import RMSNorm

_PATHS_A_CALL = 8
"""Paths that `predict` hands to the network at once."""


@dataclass(kw_only=True)
class SequenceRegressor:
    """Regression of a series on the past and present of another: Mamba blocks, a norm and a linear head.

    A delay vector is a linear state-space model with a fixed memory: it keeps the last few observations and nothing
    else. This model learns what to keep. Inputs and targets are standardized by their mean and standard deviation on
    the training set; the loss is the mean squared error; the optimizer, the warm-up, the falling learning rate and the
    clipping of gradients are those of `TrainConfig`.

    Parameters
    ----------
    d_model : int
        Width of the network between its blocks.
    n_layers : int
        Number of Mamba blocks.
    d_state, d_conv, expand : int
        States a channel, taps of the causal convolution, and channels inside a block over `d_model`; see `Mamba`.
    steps : int
        Steps of the optimizer.
    batch : int
        Windows a step, drawn at random from the training paths.
    length : int
        Bars a window. The state is zero before the first, so nothing is learned of memory longer than this.
    learning_rate : float
        The largest; it is reached after 20 steps and falls along half a cosine to a twentieth.
    seed : int or numpy Generator
        Initial weights and windows. The same integer on the same machine gives the same bits.

    Attributes
    ----------
    losses_ : array of shape (steps,)
        Mean squared error of each step's windows in units of the targets' variances, once it is fitted: a model that
        knows nothing is near 1.

    Raises
    ------
    ValueError
        If an argument is out of range; the message names it.
    """

    d_model: int = 32
    n_layers: int = 2
    d_state: int = 16
    d_conv: int = 4
    expand: int = 2
    steps: int = 300
    batch: int = 16
    length: int = 256
    learning_rate: float = 3e-3
    seed: int | np.random.Generator
    losses_: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_seed(self.seed)
        self._recipe()

    def fit(self, x: ArrayLike, y: ArrayLike) -> "SequenceRegressor":
        """Train a new network on paths; what was learned before is forgotten.

        Parameters
        ----------
        x : array of shape (n_paths, n_bars, d_in)
            What is observed.
        y : array of shape (n_paths, n_bars, d_out)
            What is to be told at the same bar.

        Returns
        -------
        SequenceRegressor
            Itself.

        Raises
        ------
        ValueError
            If the arrays are not finite, not of these shapes, shorter than a window, or constant in a column.
        FloatingPointError
            At the first loss or gradient that is not finite; the message names the step.
        """
        recipe, seed = self._recipe(), self.seed
        observed, told = _paths("x", x), _paths("y", y)
        if observed.shape[:2] != told.shape[:2]:
            raise ValueError(f"y must have the paths and bars of x, {observed.shape[:2]}, got {told.shape[:2]}")
        if observed.shape[1] < self.length:
            raise ValueError(
                f"x must have at least {self.length} bars a path, got {observed.shape[1]}: "
                f"give longer paths, or a shorter length"
            )
        self._inputs, self._targets = _Scale.of("x", observed), _Scale.of("y", told)
        base = int(seed.integers(2**62)) if isinstance(seed, np.random.Generator) else int(seed)
        self._network = _initial_network(recipe.model, observed.shape[2], told.shape[2], base).train()
        self.losses_ = _train(
            self._network, self._inputs.standardize(observed), self._targets.standardize(told), recipe, base
        )
        self._network.eval()
        return self

    def predict(self, x: ArrayLike) -> NDArray[np.float64]:
        """Tell the targets (n_paths, n_bars, d_out) of x (n_paths, n_bars, d_in); bar t sees bars 0 to t only.

        Raises
        ------
        ValueError
            If it is not fitted, or x is not finite or not of that shape.
        """
        if not hasattr(self, "_network"):
            raise ValueError("this SequenceRegressor must be fitted before it predicts: call fit(x, y)")
        observed, d_in = _paths("x", x), len(self._inputs.mean)
        if observed.shape[2] != d_in:
            raise ValueError(f"x must have shape (n_paths, n_bars, {d_in}) as in fit, got {observed.shape}")
        paths = torch.from_numpy(self._inputs.standardize(observed))
        told = torch.cat(_each(self._network.forward, paths.split(_PATHS_A_CALL)))
        return self._targets.restore(told.numpy())

    def _recipe(self) -> TrainConfig:
        shape = MarketMambaConfig(self.d_model, self.n_layers, self.d_state, self.d_conv, self.expand)
        return TrainConfig(
            shape, self.steps, self.batch, self.length, learning_rate=self.learning_rate, latent_noise=0.0
        )


@dataclass(frozen=True)
class _Scale:
    """Mean and standard deviation of each column of the training set, (width,) each."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    @classmethod
    def of(cls, name: str, paths: NDArray[np.float64]) -> "_Scale":
        constant = np.ptp(paths, axis=(0, 1)) == 0
        if constant.any():
            column = int(constant.argmax())
            raise ValueError(
                f"{name} must vary in every column, got {paths[0, 0, column]:g} throughout column {column}"
            )
        return cls(paths.mean(axis=(0, 1)), paths.std(axis=(0, 1)))

    def standardize(self, paths: NDArray[np.float64]) -> NDArray[np.float32]:
        return ((paths - self.mean) / self.std).astype(np.float32)

    def restore(self, standardized: NDArray[np.float32]) -> NDArray[np.float64]:
        return self.mean + self.std * standardized


class _Network(nn.Module):
    """`MarketMamba` with any number of inputs and outputs."""

    def __init__(self, shape: MarketMambaConfig, d_in: int, d_out: int) -> None:
        super().__init__()
        s = shape
        self.embedding = nn.Linear(d_in, s.d_model)
        self.norms = nn.ModuleList(RMSNorm(s.d_model, eps=1e-6) for _ in range(s.n_layers))
        self.blocks = nn.ModuleList(Mamba(s.d_model, s.d_state, s.d_conv, s.expand) for _ in range(s.n_layers))
        self.final_norm = RMSNorm(s.d_model, eps=1e-6)
        self.head = nn.Linear(s.d_model, d_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (batch, length, d_in) to (batch, length, d_out); bar t sees bars 0 to t only."""
        x = self.embedding(x)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = x + block(norm(x))
        return self.head(self.final_norm(x))


def _initial_network(shape: MarketMambaConfig, d_in: int, d_out: int, seed: int) -> _Network:
    """Untrained weights that depend on the seed alone; PyTorch's global generator is left as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        return _Network(shape, d_in, d_out)


def _train(
    network: _Network, x: NDArray[np.float32], y: NDArray[np.float32], recipe: TrainConfig, seed: int
) -> NDArray[np.float64]:
    """Train the network in place on standardized paths (n_paths, n_bars, width) and return the loss of every step."""
    weights = list(network.parameters())
    optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay)
    rng, losses = np.random.default_rng(seed), np.empty(recipe.steps)
    for step in range(recipe.steps):
        paths = rng.integers(x.shape[0], size=recipe.batch)[:, None]
        starts = rng.integers(x.shape[1] - recipe.length + 1, size=recipe.batch)[:, None]
        bars = starts + np.arange(recipe.length)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        loss = functional.mse_loss(network(torch.from_numpy(x[paths, bars])), torch.from_numpy(y[paths, bars]))
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(weights, recipe.clip)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            what = f"loss {loss.item()}, gradient norm {norm.item()}"
            remedy = f"lower learning_rate, now {recipe.learning_rate}"
            raise FloatingPointError(f"step {step + 1} of {recipe.steps}: {what}; {remedy}")
        optimizer.step()
        losses[step] = loss.item()
    return losses


def _paths(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Finite float64 of shape (n_paths, n_bars, width), or a `ValueError`."""
    try:
        paths = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of numbers: {error}") from error
    if paths.ndim != 3 or paths.size == 0:
        raise ValueError(f"{name} must have shape (n_paths, n_bars, width), none of them 0, got {paths.shape}")
    bad = np.argwhere(~np.isfinite(paths))
    if len(bad):
        where = [int(i) for i in bad[0]]
        raise ValueError(f"{name}{where} must be finite, got {paths[tuple(bad[0])]}")
    return paths
