"""MarketMamba: log returns in, a latent state of the market out, one bar at a time or whole paths at once."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from companion.mamba._block import Mamba, MambaState
from companion.mamba._checkpoint import read_checkpoint, write_checkpoint
from companion.mamba._features import N_FEATURES, market_features
from companion.mamba.kernels._norm import RMSNorm
from companion.mamba.kernels._step import StackParts, compiled_stack

_PRETRAINED = Path(__file__).parent / "pretrained"


@dataclass(frozen=True)
class MarketMambaConfig:
    """Shape of the model.

    The default horizons are the two that separated regimes best; a horizon of one bar lets the current return pass
    straight through the residual stream (chapter 5).
    """

    d_model: int = 64
    n_layers: int = 2
    d_state: int = 16
    d_conv: int = 4
    expand: int = 2
    horizons: tuple[int, ...] = (20, 60)

    def __post_init__(self) -> None:
        object.__setattr__(self, "horizons", tuple(self.horizons))
        for name in ("d_model", "n_layers", "d_state", "d_conv", "expand"):
            _check_count(name, getattr(self, name))
        if not self.horizons or sorted(set(self.horizons)) != list(self.horizons):
            raise ValueError(f"horizons: expected increasing numbers of bars, got {self.horizons!r}")
        for horizon in self.horizons:
            _check_count("horizons", horizon)


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}: expected a positive integer, got {value!r}")


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

    def latent(self, features: Tensor) -> Tensor:
        """Latent (batch, length, d_model) of features (batch, length, 3); bar t sees bars 0 to t only."""
        x = self.embedding(features)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = x + block(norm(x))
        return self.final_norm(x)

    def forward(self, features: Tensor) -> Tensor:
        """Forecasts (batch, length, n_horizons) of what it was trained on: by default `future_log_variance`."""
        return self.head(self.latent(features))

    def init_state(self, batch: int) -> tuple[MambaState, ...]:
        """State before the first bar, one part a block."""
        return tuple(cast(Mamba, block).init_state(batch) for block in self.blocks)

    def step(self, features_t: Tensor, state: tuple[MambaState, ...]) -> tuple[Tensor, tuple[MambaState, ...]]:
        """Latent (batch, d_model) of the next bar's features (batch, 3), and the state after it.

        Under `torch.no_grad()`, small batches on the processor pass all layers in one compiled call; where gradients
        are recorded the step is PyTorch's, block by block. The state passed in is left as it is.
        """
        stack = compiled_stack(self, self._parts, features_t)
        if stack is not None:
            latent_t, moves = stack(features_t, state)
            return latent_t, tuple(MambaState(*moved) for moved in moves)
        x, after = self.embedding(features_t), []
        for norm, block, part in zip(self.norms, self.blocks, state, strict=True):
            y, moved = cast(Mamba, block).step(norm(x), part)
            x = x + y
            after.append(moved)
        return self.final_norm(x), tuple(after)

    def _parts(self) -> StackParts:
        return StackParts(list(self.blocks), list(self.norms), self.embedding, self.final_norm)

    def save(self, path: str | Path, *, provenance: Mapping[str, Any]) -> None:
        """Write the weights to `path` (*.safetensors) and a readable copy of the header beside it (*.json)."""
        write_checkpoint(path, tensors=self.state_dict(), config=asdict(self.config), provenance=provenance)

    @classmethod
    def load(cls, path: str | Path) -> "MarketMamba":
        """Read a model written by `save`; an `InputError` names the file, the field and the remedy."""
        return read_checkpoint(path, build=lambda config: cls(MarketMambaConfig(**config)), fields=MarketMambaConfig)


def load_pretrained(name: str = "market") -> MarketMamba:
    """Return the model shipped with the package, in evaluation mode; the same weights in every process."""
    known = sorted(path.stem for path in _PRETRAINED.glob("*.safetensors"))
    if name not in known:
        raise ValueError(f"name: no shipped model {name!r}; there are {', '.join(known)}")
    return MarketMamba.load(_PRETRAINED / f"{name}.safetensors")


def latents(model: MarketMamba, log_returns: ArrayLike, *, batch: int = 32) -> NDArray[np.float32]:
    """Latents of log returns (n_bars,) or (n_paths, n_bars): float32 of shape (…, n_bars, d_model)."""
    return _apply(model, model.latent, log_returns, batch).to(torch.float32).numpy()


def forecasts(model: MarketMamba, log_returns: ArrayLike, *, batch: int = 32) -> NDArray[np.float64]:
    """Forecasts at every bar, by default of `future_log_variance`: float64 of shape (…, n_bars, n_horizons)."""
    return _apply(model, model.forward, log_returns, batch).to(torch.float64).numpy()


@torch.no_grad()
def _apply(model: MarketMamba, function: Callable[[Tensor], Tensor], log_returns: ArrayLike, batch: int) -> Tensor:
    features = torch.from_numpy(market_features(log_returns)).to(model.head.weight.dtype)
    paths = features if features.ndim == 3 else features[None]
    result = torch.cat([function(part) for part in paths.split(batch)])
    return result if features.ndim == 3 else result[0]
