"""Risk: how much to hold when the model is right, and when to stop because it may not be."""

from companion.risk.conformal import conformal_threshold, false_kill_interval, joint_thresholds
from companion.risk.drills import inject_faults
from companion.risk.input_rules import INPUT_RULES, InputRules
from companion.risk.instrument import Instrument, InstrumentRules, quantize_qty_to_instrument
from companion.risk.kelly import (
    OptimalFraction,
    growth_of_estimated_kelly,
    growth_rate,
    kelly_fraction,
    optimal_fraction,
    simulate_growth,
    simulate_returns,
)
from companion.risk.leverage import DimmerSteps, dimmer, kelly_leverage, ramp
from companion.risk.limits import (
    max_daily_loss_from_starting_equity,
    max_notional_per_order_from_equity,
    max_order_qty_from_liquidity,
)
from companion.risk.liquidity import BrokenLine, HourLiquidity, LiquidityCalibration, calibrate_liquidity
from companion.risk.rolling import RollingSpreadStats
from companion.risk.safety import SafetyMonitor, SafetyReading
from companion.risk.signal import SignalNormalizer, normalized_signal
from companion.risk.sizing import frac_from_mu_sigma, mu_from_z, qty_from_fraction_equity_price, vol_target_qty_cap
from companion.risk.target import Reason, SizingConfig, TargetPosition, calculate_target_position, reference_price
from companion.risk.volatility import (
    ESTIMATORS,
    FAULTS,
    StreamingVolatility,
    VolatilityReading,
    bar_faults,
    rolling_volatility,
    yang_zhang,
)
from companion.risk.volatility_efficiency import (
    bars_from_paths,
    brownian_paths,
    estimator_efficiency,
    theoretical_efficiency,
)

__all__ = [
    "ESTIMATORS",
    "FAULTS",
    "INPUT_RULES",
    "BrokenLine",
    "DimmerSteps",
    "HourLiquidity",
    "InputRules",
    "Instrument",
    "InstrumentRules",
    "LiquidityCalibration",
    "OptimalFraction",
    "Reason",
    "RollingSpreadStats",
    "SafetyMonitor",
    "SafetyReading",
    "SignalNormalizer",
    "SizingConfig",
    "StreamingVolatility",
    "TargetPosition",
    "VolatilityReading",
    "bar_faults",
    "bars_from_paths",
    "brownian_paths",
    "calculate_target_position",
    "calibrate_liquidity",
    "conformal_threshold",
    "dimmer",
    "estimator_efficiency",
    "false_kill_interval",
    "frac_from_mu_sigma",
    "growth_of_estimated_kelly",
    "growth_rate",
    "inject_faults",
    "joint_thresholds",
    "kelly_fraction",
    "kelly_leverage",
    "max_daily_loss_from_starting_equity",
    "max_notional_per_order_from_equity",
    "max_order_qty_from_liquidity",
    "mu_from_z",
    "normalized_signal",
    "optimal_fraction",
    "qty_from_fraction_equity_price",
    "quantize_qty_to_instrument",
    "ramp",
    "reference_price",
    "rolling_volatility",
    "simulate_growth",
    "simulate_returns",
    "theoretical_efficiency",
    "vol_target_qty_cap",
    "yang_zhang",
]
