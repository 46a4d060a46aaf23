"""Regimes: detectors that never look ahead, probabilities that mean what they say, and scores against the truth."""

from companion.regimes.base import RegimeFilter, RegimeReading
from companion.regimes.baselines import EwmaKMeans, GarchKMeans, GaussianHmmFilter
from companion.regimes.clusters import KMeansRegimes, order_by_volatility
from companion.regimes.confidence import PlattCalibration, centroid_distances, get_regime_confidence
from companion.regimes.detector import RegimeDetector
from companion.regimes.hysteresis import hysteresis
from companion.regimes.leak import Leak, leak
from companion.regimes.scores import (
    Interval,
    ReliabilityCurve,
    SwitchStatistics,
    auc,
    balanced_accuracy,
    bootstrap_over_paths,
    brier_score,
    expected_calibration_error,
    reliability_curve,
    switch_statistics,
)
from companion.regimes.target_ablation import (
    AblationConfig,
    DetectorScore,
    load_target_ablation,
    score_detector,
    summarize_runs,
)

__all__ = [
    "AblationConfig",
    "DetectorScore",
    "EwmaKMeans",
    "GarchKMeans",
    "GaussianHmmFilter",
    "Interval",
    "KMeansRegimes",
    "Leak",
    "PlattCalibration",
    "RegimeDetector",
    "RegimeFilter",
    "RegimeReading",
    "ReliabilityCurve",
    "SwitchStatistics",
    "auc",
    "balanced_accuracy",
    "bootstrap_over_paths",
    "brier_score",
    "centroid_distances",
    "expected_calibration_error",
    "get_regime_confidence",
    "hysteresis",
    "leak",
    "load_target_ablation",
    "order_by_volatility",
    "reliability_curve",
    "score_detector",
    "summarize_runs",
    "switch_statistics",
]
