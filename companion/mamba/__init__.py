"""Mamba on an ordinary computer: the selective scan, the block, and the model of the market built from it."""

from companion.mamba.block import Mamba, MambaState
from companion.mamba.features import future_log_variance, market_features, past_log_variance
from companion.mamba.model import MarketMamba, MarketMambaConfig, forecasts, latents, load_pretrained
from companion.mamba.scan import selective_scan
from companion.mamba.train import TrainConfig, TrainResult, train

__all__ = [
    "Mamba",
    "MambaState",
    "MarketMamba",
    "MarketMambaConfig",
    "TrainConfig",
    "TrainResult",
    "forecasts",
    "future_log_variance",
    "latents",
    "load_pretrained",
    "market_features",
    "past_log_variance",
    "selective_scan",
    "train",
]
