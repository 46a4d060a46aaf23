"""Mamba on an ordinary computer: the selective scan, the block, and the model of the market built from it."""

from companion.mamba.block import Mamba, MambaState
from companion.mamba.features import market_features, past_log_variance
from companion.mamba.linear_ssm import (
    KalmanPath,
    discretize,
    hippo_legs,
    kalman_filter,
    legs_memory,
    legs_reconstruct,
    ssm_kernel,
    steady_state_gain,
)
from companion.mamba.model import MarketMamba, MarketMambaConfig, forecasts, latents, load_pretrained
from companion.mamba.scan import selective_scan
from companion.mamba.targets import future_log_variance
from companion.mamba.train import TrainConfig, TrainResult, train

__all__ = [
    "KalmanPath",
    "Mamba",
    "MambaState",
    "MarketMamba",
    "MarketMambaConfig",
    "TrainConfig",
    "TrainResult",
    "discretize",
    "forecasts",
    "future_log_variance",
    "hippo_legs",
    "kalman_filter",
    "latents",
    "legs_memory",
    "legs_reconstruct",
    "load_pretrained",
    "market_features",
    "past_log_variance",
    "selective_scan",
    "ssm_kernel",
    "steady_state_gain",
    "train",
]
