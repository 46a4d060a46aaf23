"""The same small model in three libraries: two layers of width 64 between a linear embedding and a linear head."""

import torch
from mambapy.mamba import Mamba as MambapyStack
from mambapy.mamba import MambaConfig as MambapyConfig
from torch import Tensor, nn
from transformers import MambaConfig, MambaModel

WIDTH, LAYERS, FEATURES, OUTPUTS = 64, 2, 3, 2


def mambapy_model() -> nn.Sequential:
    """mambapy's stack between the ends that `MarketMamba` has."""
    return _between_ends(MambapyStack(MambapyConfig(d_model=WIDTH, n_layers=LAYERS)))


def transformers_model() -> nn.Sequential:
    """The stack of transformers, on its path for the processor."""
    return _between_ends(TransformersStack())


def _between_ends(stack: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(FEATURES, WIDTH), stack, nn.RMSNorm(WIDTH), nn.Linear(WIDTH, OUTPUTS))


class TransformersStack(nn.Module):
    """`MambaModel` on vectors instead of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.model = MambaModel(MambaConfig(hidden_size=WIDTH, num_hidden_layers=LAYERS, state_size=16, vocab_size=2))

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states (batch, length, width) of vectors of that shape."""
        return self.model(inputs_embeds=x, use_cache=False).last_hidden_state

    def step(self, x: Tensor, cache: object) -> tuple[Tensor, object]:
        """The hidden state of one more bar (batch, 1, width); the cache is changed in place."""
        result = self.model(inputs_embeds=x, cache_params=cache, use_cache=True)
        return result.last_hidden_state, result.cache_params


def make_features(batch: int, length: int) -> Tensor:
    """Random features (batch, length, 3)."""
    return torch.randn(batch, length, FEATURES, generator=torch.Generator().manual_seed(0))
