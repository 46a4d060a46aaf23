"""MarketMamba: log returns in, a latent state of the market out, one bar at a time or whole paths at once."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from companion._checks import check_count, check_log_returns, check_positive
from companion._files import recorded
from companion.mamba._block import Mamba, MambaState
from companion.mamba._checkpoint import read_checkpoint, write_checkpoint
from companion.mamba._features import N_FEATURES, features_of
from companion.mamba._precision import check_input, in_weights_precision
from companion.mamba._scale import rescaled
from companion.mamba.kernels._norm import RMSNorm
from companion.mamba.kernels._stepper import Stepper

_PRETRAINED = Path(__file__).parent / "pretrained"


@dataclass(frozen=True)
class MarketMambaConfig:
    """Shape of the model.

    The default horizons are the two that separated regimes best (chapter 5). With a `scale_half_life`, in bars, returns
    are read in units of their own slow scale, and the model is the same at every scale; without, in units of 1 %.
    """

    d_model: int = 64
    n_layers: int = 2
    d_state: int = 16
    d_conv: int = 4
    expand: int = 2
    horizons: tuple[int, ...] = (20, 60)
    scale_half_life: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.horizons, Sequence):
            raise ValueError(f"horizons must be increasing numbers of bars, got {self.horizons!r}")  # noqa: TRY004
        object.__setattr__(self, "horizons", tuple(self.horizons))
        for name in ("d_model", "n_layers", "d_state", "d_conv", "expand"):
            check_count(name, getattr(self, name))
        if self.scale_half_life is not None:
            check_positive("scale_half_life", self.scale_half_life)
        for horizon in self.horizons:
            check_count("horizons", horizon)
        if not self.horizons or sorted(set(self.horizons)) != list(self.horizons):
            raise ValueError(f"horizons must be increasing numbers of bars, got {self.horizons!r}")


def inputs_of(config: MarketMambaConfig, log_returns: NDArray[np.float64]) -> NDArray[np.float32]:
    """What a model of this configuration reads of checked log returns (…, n_bars), from their first bar: (…, 3)."""
    half_life = config.scale_half_life
    return features_of(log_returns if half_life is None else rescaled(log_returns, half_life))


class MarketMamba(nn.Module):
    """A stack of Mamba blocks that forecasts the log variance of the coming bars.

    The forecast is the exercise that shapes it; the product is `latent`, the normalized state before the last layer.

    Parameters
    ----------
    config : MarketMambaConfig
    """

    def __init__(self, config: MarketMambaConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or MarketMambaConfig()
        self.embedding = nn.Linear(N_FEATURES, c.d_model)
        self.norms = nn.ModuleList(RMSNorm(c.d_model, eps=1e-6) for _ in range(c.n_layers))
        self.blocks = nn.ModuleList(Mamba(c.d_model, c.d_state, c.d_conv, c.expand) for _ in range(c.n_layers))
        self.final_norm = RMSNorm(c.d_model, eps=1e-6)
        self.head = nn.Linear(c.d_model, len(c.horizons))

    @property
    def precision(self) -> torch.dtype:
        """Type of the weights."""
        return self.head.weight.dtype

    @in_weights_precision
    def latent(self, features: Tensor) -> Tensor:
        """Latent (batch, length, d_model) of features (batch, length, 3); bar t sees bars 0 to t only."""
        check_input("features", features, ("batch", "length", N_FEATURES), self.precision)
        x = self.embedding(features)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = x + block(norm(x))
        return self.final_norm(x)

    @in_weights_precision
    def forward(self, features: Tensor) -> Tensor:
        """Forecasts (batch, length, n_horizons) of what it was trained on: by default `future_log_variance`."""
        return self.head(self.latent(features))

    def init_state(self, batch: int) -> tuple[MambaState, ...]:
        """State before the first bar, one part a block."""
        return tuple(cast(Mamba, block).init_state(batch) for block in self.blocks)

    @in_weights_precision
    def step(self, features_t: Tensor, state: tuple[MambaState, ...]) -> tuple[Tensor, tuple[MambaState, ...]]:
        """Latent (batch, d_model) of the next bar's features (batch, 3), and the state after it.

        PyTorch's own, block by block, so that gradients flow; the state passed in is left as it is. For live use take
        `stepper`, which is compiled.
        """
        check_input("features", features_t, (len(features_t), N_FEATURES), self.precision)
        if len(state) != len(self.blocks):
            raise ValueError(f"state must have {len(self.blocks)} parts, one a block, got {len(state)}")
        x, after = self.embedding(features_t), []
        for norm, block, part in zip(self.norms, self.blocks, state, strict=True):
            y, moved = cast(Mamba, block).step(norm(x), part)
            x = x + y
            after.append(moved)
        return self.final_norm(x), tuple(after)

    def stepper(self) -> Stepper:
        """The step compiled, for inference on the processor: all layers in one call, on a copy of today's weights.

        ``stepper.start(batch)`` is the state before the first bar, and ``stepper.step(features, state)`` gives the
        latent and the state after it, as numpy arrays. Who trains the model further takes another stepper.
        """
        return Stepper(self)

    def save(self, path: str | Path, *, provenance: Mapping[str, Any]) -> None:
        """Write the weights to `path` (*.safetensors) and a readable copy of the header beside it (*.json)."""
        write_checkpoint(path, tensors=self.state_dict(), config=recorded(self.config), provenance=provenance)

    @classmethod
    def load(cls, path: str | Path, *, made_by: str = "companion train-mamba") -> "MarketMamba":
        """Read a model written by `save`; an `InputError` names the file, the field and the remedy.

        `made_by` is the command that makes such a file, for the remedy.
        """

        def build(config: dict[str, Any]) -> "MarketMamba":
            return cls(MarketMambaConfig(**config))

        return read_checkpoint(path, build=build, fields=MarketMambaConfig, made_by=made_by)


def load_pretrained(name: str = "market") -> MarketMamba:
    """Return the model shipped with the package, in evaluation mode; the same weights in every process."""
    known = sorted(path.stem for path in _PRETRAINED.glob("*.safetensors"))
    if name not in known:
        raise ValueError(f"name must be one of {', '.join(known)}, the shipped models, got {name!r}")
    return MarketMamba.load(_PRETRAINED / f"{name}.safetensors")


def latents(model: MarketMamba, log_returns: ArrayLike, *, batch: int = 8) -> NDArray[np.float32]:
    """Latents of log returns (n_bars,) or (n_paths, n_bars): float32 of shape (…, n_bars, d_model)."""
    return _apply(model, model.latent, log_returns, batch).to(torch.float32).numpy()


def forecasts(model: MarketMamba, log_returns: ArrayLike, *, batch: int = 8) -> NDArray[np.float64]:
    """Forecasts at every bar, by default of `future_log_variance`: float64 of shape (…, n_bars, n_horizons)."""
    return _apply(model, model.forward, log_returns, batch).to(torch.float64).numpy()


def _apply(model: MarketMamba, function: Callable[[Tensor], Tensor], log_returns: ArrayLike, batch: int) -> Tensor:
    features = torch.from_numpy(inputs_of(model.config, check_log_returns(log_returns))).to(model.precision)
    paths = features if features.ndim == 3 else features[None]
    result = torch.cat(_each(function, paths.split(check_count("batch", batch))))
    return result if features.ndim == 3 else result[0]


def _each(function: Callable[[Tensor], Tensor], parts: Sequence[Tensor]) -> list[Tensor]:
    """`function` of each part, without gradients, a thread a part: several threads within a part wait for each other.

    PyTorch counts its threads a thread: a worker sets one for itself, and what the caller has stays as it is.
    """
    threads = min(torch.get_num_threads(), len(parts))
    if threads == 1:
        return [_without_gradients(function, part) for part in parts]
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        results = list(pool.map(partial(_without_gradients, function), parts))
    torch.set_num_threads(torch.get_num_threads())  # what a thread that is yet to start begins with
    return results


@torch.no_grad()
def _without_gradients(function: Callable[[Tensor], Tensor], part: Tensor) -> Tensor:
    return function(part)
