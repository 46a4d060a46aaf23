"""Risk: how much to hold when the model is right, and when to stop because it may not be."""

from companion.risk.drills import inject_faults
from companion.risk.leverage import DimmerSteps, dimmer, ramp
from companion.risk.safety import SafetyMonitor, SafetyReading, conformal_threshold

__all__ = [
    "DimmerSteps",
    "SafetyMonitor",
    "SafetyReading",
    "conformal_threshold",
    "dimmer",
    "inject_faults",
    "ramp",
]
