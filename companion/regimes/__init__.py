"""Regimes: detectors that never look ahead, probabilities that mean what they say, and scores against the truth."""

from companion.regimes.base import RegimeFilter, RegimeReading
from companion.regimes.baselines import EwmaKMeans, GarchKMeans, GaussianHmmFilter
from companion.regimes.ceiling import BayesCeiling
from companion.regimes.clusters import KMeansRegimes, order_by_volatility
from companion.regimes.comparison import Comparison, Forecast, compare_detectors
from companion.regimes.confidence import PlattCalibration, centroid_distances, get_regime_confidence
from companion.regimes.crises import CRISES, Alarms, Crisis, alarms, detection_lags
from companion.regimes.detector import RegimeDetector
from companion.regimes.filter_scores import load_filter_scores
from companion.regimes.forecasts import (
    DieboldMariano,
    LogVarianceRegression,
    diebold_mariano,
    expanding_forecast,
    qlike,
    realized_variance,
)
from companion.regimes.geometry import (
    PrincipalAxes,
    aligned_at_switches,
    half_life,
    half_way,
    impulse_response,
    midplane_distance,
    participation_ratio,
    principal_axes,
    share_of_way,
    step_sizes,
)
from companion.regimes.har import HarKMeans
from companion.regimes.hysteresis import hysteresis
from companion.regimes.jump_model import JumpModelFilter
from companion.regimes.leak import Leak, leak
from companion.regimes.neural_filter import NeuralRegimeFilter
from companion.regimes.probes import LinearProbe, r_squared, return_averages
from companion.regimes.random_market import random_market
from companion.regimes.scores import (
    Interval,
    ReliabilityCurve,
    SwitchStatistics,
    auc,
    balanced_accuracy,
    bootstrap_over_paths,
    brier_score,
    expected_calibration_error,
    paired_difference,
    reliability_curve,
    share_of_ceiling,
    switch_statistics,
)
from companion.regimes.stress import (
    add_noise,
    carry_forward,
    distorted_market,
    drop_unseen,
    hold_last,
    random_gaps,
    rescale_to_unit,
)
from companion.regimes.switches import (
    delay_into_chaos,
    delay_into_stable,
    false_switches,
    missed_spells,
    switch_delay,
)
from companion.regimes.target_ablation import (
    AblationConfig,
    DetectorScore,
    load_target_ablation,
    score_detector,
    summarize_runs,
)

__all__ = [
    "CRISES",
    "AblationConfig",
    "Alarms",
    "BayesCeiling",
    "Comparison",
    "Crisis",
    "DetectorScore",
    "DieboldMariano",
    "EwmaKMeans",
    "Forecast",
    "GarchKMeans",
    "GaussianHmmFilter",
    "HarKMeans",
    "Interval",
    "JumpModelFilter",
    "KMeansRegimes",
    "Leak",
    "LinearProbe",
    "LogVarianceRegression",
    "NeuralRegimeFilter",
    "PlattCalibration",
    "PrincipalAxes",
    "RegimeDetector",
    "RegimeFilter",
    "RegimeReading",
    "ReliabilityCurve",
    "SwitchStatistics",
    "add_noise",
    "alarms",
    "aligned_at_switches",
    "auc",
    "balanced_accuracy",
    "bootstrap_over_paths",
    "brier_score",
    "carry_forward",
    "centroid_distances",
    "compare_detectors",
    "delay_into_chaos",
    "delay_into_stable",
    "detection_lags",
    "diebold_mariano",
    "distorted_market",
    "drop_unseen",
    "expanding_forecast",
    "expected_calibration_error",
    "false_switches",
    "get_regime_confidence",
    "half_life",
    "half_way",
    "hold_last",
    "hysteresis",
    "impulse_response",
    "leak",
    "load_filter_scores",
    "load_target_ablation",
    "midplane_distance",
    "missed_spells",
    "order_by_volatility",
    "paired_difference",
    "participation_ratio",
    "principal_axes",
    "qlike",
    "r_squared",
    "random_gaps",
    "random_market",
    "realized_variance",
    "reliability_curve",
    "rescale_to_unit",
    "return_averages",
    "score_detector",
    "share_of_ceiling",
    "share_of_way",
    "step_sizes",
    "summarize_runs",
    "switch_delay",
    "switch_statistics",
]
