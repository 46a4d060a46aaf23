"""Training by one recipe, and the alternatives it was chosen from: other targets, other horizons, no noise."""

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from companion._checks import check_count, check_positive, check_seed
from companion._files import atomic_path
from companion.errors import InputError
from companion.mamba._features import check_log_returns
from companion.mamba._model import MarketMamba, MarketMambaConfig, inputs_of
from companion.mamba._targets import LABELS, TARGETS, check_target

Progress = Callable[[int, int, float], None]
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class TrainConfig:
    """The recipe. Its defaults are those of the shipped model.

    `latent_noise` is the standard deviation of the noise added to the latent before the head, in training only: the
    head can then read only what the latent says loudly, which pulls the regimes apart. `dtype` is the arithmetic of
    training; in float64, rounding that differs between processors stays too small to steer the run. `from_start` is
    the share of windows that begin with the first bar of their path, without which a model that carries a scale along
    hardly ever sees it begin; the others begin anywhere. With `muon` the matrices into and out of the blocks are moved
    by Muon, at the same rate (Liu et al. 2025), and the rest by AdamW: it comes further in as many steps. It turns the
    gradient in bfloat16, whatever the `dtype`.

    `target` is what the head forecasts, one output a horizon of the model, with returns in percent:

    - ``"log_variance"``: log mean squared return over each horizon, by mean squared error; see `future_log_variance`.
      With ``horizons=(1,)`` it is the log square of the next return.
    - ``"return"``, ``"absolute_return"``: the next return or its size, by mean squared error; ``horizons=(1,)``.
    - ``"gaussian_nll"``: the log variance of the next return, by Gaussian likelihood; ``horizons=(1,)``.
    - ``"labels"``: the log-odds of the probability that `train` is given for each bar, by cross-entropy;
      ``horizons=(1,)``.
    """

    model: MarketMambaConfig = field(default_factory=MarketMambaConfig)
    steps: int = 300
    batch: int = 16
    length: int = 384
    learning_rate: float = 3e-3
    final_rate: float = 0.05
    warm_up: int = 20
    weight_decay: float = 0.01
    clip: float = 1.0
    latent_noise: float = 1.0
    dtype: str = "float32"
    target: str = "log_variance"
    from_start: float | None = None
    muon: bool | None = None

    def __post_init__(self) -> None:
        check_target(self.target, self.model.horizons)
        for name in ("steps", "batch", "length"):
            object.__setattr__(self, name, check_count(name, getattr(self, name)))
        for name in ("learning_rate", "clip"):
            check_positive(name, getattr(self, name))
        for name in ("final_rate", "warm_up", "weight_decay", "latent_noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a finite number that is not negative, got {getattr(self, name)!r}")
        if self.from_start is not None and not 0 <= self.from_start <= 1:
            raise ValueError(f"from_start must be a share in [0, 1], got {self.from_start!r}")
        if self.muon not in (None, False, True):
            raise ValueError(f"muon must be True or False, got {self.muon!r}")
        if self.dtype not in _DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, got {self.dtype!r}")

    @property
    def fewest_bars(self) -> int:
        """Bars of the shortest path that it can learn from: a window, and the future that its last bar is to tell."""
        return self.length + (0 if self.target == LABELS else max(self.model.horizons))


class TrainResult(NamedTuple):
    """A trained model in evaluation mode, and the loss of every step."""

    model: MarketMamba
    losses: NDArray[np.float64]


def train(
    log_returns: ArrayLike,
    config: TrainConfig | None = None,
    *,
    seed: int | np.random.Generator,
    labels: ArrayLike | None = None,
    model: MarketMamba | None = None,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 50,
) -> TrainResult:
    """Train a `MarketMamba` on log returns.

    Parameters
    ----------
    log_returns : array of shape (n_bars,) or (n_paths, n_bars)
    config : TrainConfig, optional
    seed : int or numpy Generator
        Initial weights, batches and noise. The same seed on the same machine gives the same bits.
    labels : array of the shape of `log_returns`, optional
        Probabilities, or truths 0 and 1, for ``target="labels"`` and only for it.
    model : MarketMamba, optional
        Where to start from instead of random weights; it is left as it is.
    progress : callable, optional
        Called as `progress(step, n_steps, loss)` after every step.
    checkpoint : path, optional
        Where to keep the run every `checkpoint_every` steps. A run that finds its own file there goes on from it, to
        the same losses as one that was never stopped; the file is removed at the end.

    Returns
    -------
    TrainResult

    Raises
    ------
    ValueError
        If the returns are not finite or too short, the labels are missing, superfluous or no probabilities, `seed` is
        no seed, or `model` has another shape than the configuration.
    FloatingPointError
        At the first loss or gradient that is not finite; the message names the step.
    InputError
        If `checkpoint` holds another run, or no run at all.
    """
    config = config or TrainConfig()
    returns = np.atleast_2d(check_log_returns(log_returns))
    if returns.shape[1] < config.fewest_bars:
        raise ValueError(
            f"log_returns must have at least {config.fewest_bars} bars a path, got {returns.shape[1]}: "
            f"give longer paths, or a shorter length than {config.length}"
        )
    check_count("checkpoint_every", checkpoint_every)
    check_seed(seed)
    base = int(seed.integers(2**62)) if isinstance(seed, np.random.Generator) else int(seed)
    run = _Run(returns, _check_labels(labels, returns.shape, config), config, base, model)
    store = None if checkpoint is None else Path(checkpoint)
    if store is not None and store.exists():
        run.restore(store)
    for step in range(len(run.losses), config.steps):
        run.advance(step)
        if progress is not None:
            progress(step + 1, config.steps, run.losses[-1])
        if store is not None and (step + 1) % checkpoint_every == 0:
            run.keep(store)
    if store is not None:
        store.unlink(missing_ok=True)
    return TrainResult(run.model.eval(), np.array(run.losses))


def _check_labels(labels: ArrayLike | None, shape: tuple[int, ...], config: TrainConfig) -> NDArray[np.float64] | None:
    if (labels is None) == (config.target == LABELS):
        wanted = "be given for" if labels is None else "be left out for"
        raise ValueError(
            f"labels must {wanted} the target {config.target!r}, got {'none' if labels is None else 'some'}"
        )
    if labels is None:
        return None
    array = np.atleast_2d(np.asarray(labels, dtype=np.float64))
    if array.shape != shape:
        raise ValueError(f"labels must have the shape of the returns, {shape}, got {array.shape}")
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError("labels must lie in [0, 1] at every bar, got a value that does not")
    return array


def initial_model(config: MarketMambaConfig, *, seed: int) -> MarketMamba:
    """Return an untrained model whose weights depend on the seed alone; PyTorch's global generator is left as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        return MarketMamba(config)


class _Run:
    """A training run between two steps: all that a kill may not lose."""

    def __init__(
        self,
        returns: NDArray[np.float64],
        labels: NDArray[np.float64] | None,
        config: TrainConfig,
        seed: int,
        model: MarketMamba | None,
    ) -> None:
        self.config, self.seed = config, seed
        self.features = inputs_of(config.model, returns)
        if labels is None:
            target = TARGETS[config.target]
            self.observed, self.loss = target.observe(returns, config.model.horizons), target.loss
        else:
            self.observed, self.loss = labels[..., None], functional.binary_cross_entropy_with_logits
        self.dtype = _DTYPES[config.dtype]
        self.model = initial_model(config.model, seed=seed).to(self.dtype).train()
        if model is not None:
            if model.config != config.model:
                raise ValueError(f"model must have the shape {config.model} of the configuration, got {model.config}")
            self.model.load_state_dict(model.state_dict())
        self.optimizers = _optimizers(self.model, config)
        self.losses: list[float] = []
        identity = hashlib.sha256(json.dumps([asdict(config), seed], sort_keys=True).encode() + returns.tobytes())
        identity.update(self.observed.tobytes())
        for weight in self.model.state_dict().values():
            identity.update(weight.numpy().tobytes())
        self.identity = identity.hexdigest()

    def advance(self, step: int) -> None:
        """Take one step of the optimizer and record its loss."""
        features, observed, noise = self._batch(step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.config, step)
        forecast = self.model.head(self.model.latent(features) + noise)
        loss = self.loss(forecast, observed)
        self.model.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            what = f"loss {loss.item()}, gradient norm {norm.item()}"
            remedy = f"lower learning_rate, now {self.config.learning_rate}"
            raise FloatingPointError(f"step {step + 1} of {self.config.steps}: {what}; {remedy}")
        for optimizer in self.optimizers:
            optimizer.step()
        self.losses.append(loss.item())

    def _batch(self, step: int) -> tuple[Tensor, Tensor, Tensor | float]:
        """Windows and noise of one step, from a generator of its own: a run that is resumed draws the same."""
        rng = np.random.default_rng([self.seed, step])
        c = self.config
        paths = rng.integers(self.features.shape[0], size=c.batch)
        starts = rng.integers(self.observed.shape[1] - c.length + 1, size=c.batch)
        if c.from_start is not None:
            starts[rng.random(c.batch) < c.from_start] = 0
        bars = starts[:, None] + np.arange(c.length)
        x, y = (
            torch.from_numpy(array[paths[:, None], bars]).to(self.dtype) for array in (self.features, self.observed)
        )
        if c.latent_noise == 0:
            return x, y, 0.0
        noise = c.latent_noise * rng.standard_normal((c.batch, c.length, c.model.d_model), dtype=np.float32)
        return x, y, torch.from_numpy(noise).to(self.dtype)

    def keep(self, path: Path) -> None:
        """Write the run to `path` in one step."""
        state = {"identity": self.identity, "model": self.model.state_dict(), "losses": self.losses}
        with atomic_path(path) as part:
            torch.save({**state, "optimizers": [each.state_dict() for each in self.optimizers]}, part)

    def restore(self, path: Path) -> None:
        """Go back to where `keep` left this very run."""
        try:
            state: dict[str, Any] = torch.load(path, weights_only=True)
            identity = state["identity"]
        except Exception as error:  # torch.load raises a different type for each way a file can be broken
            raise InputError(f"{path}: content is not an interrupted training run; delete it to start anew") from error
        if identity != self.identity:
            raise InputError(f"{path}: identity differs: another config, seed or data; delete it to start anew")
        self.model.load_state_dict(state["model"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        self.losses = state["losses"]


def _optimizers(model: MarketMamba, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW of all weights, or Muon of the blocks' large matrices and AdamW of the others."""
    decay, betas = config.weight_decay, (0.9, 0.98)
    if not config.muon:
        return [torch.optim.AdamW(model.parameters(), config.learning_rate, betas, weight_decay=decay)]
    large: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        (large if name.endswith((".in_proj.weight", ".out_proj.weight")) else others).append(weight)
    muon = torch.optim.Muon(large, config.learning_rate, decay, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(others, config.learning_rate, betas, weight_decay=decay)]


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then half a cosine down to `final_rate` of the peak."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / config.steps))
    return config.learning_rate * min(1, (step + 1) / max(config.warm_up, 1)) * (
        config.final_rate + (1 - config.final_rate) * cosine
    )  # fmt: skip
