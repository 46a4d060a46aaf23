"""One row of a comparison of detectors that cluster: rank, call, false switches, and how much is only today."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import as_paths
from companion.evaluation._leak import leak
from companion.evaluation._scores import auc, balanced_accuracy
from companion.evaluation._switches import switch_statistics
from companion.regimes._filter import RegimeFilter

if TYPE_CHECKING:
    import pandas as pd


class DetectorScore(NamedTuple):
    """One row of the comparison, on one sample.

    Attributes
    ----------
    auc : float
        Of the detector's score against the true regime.
    balanced_accuracy, false_per_1000 : float
        Of the bare label, the nearer centroid; `switch_statistics` says which switch is false.
    latent_leak, score_leak : float
        Share of the variance that today alone decides; see `leak`.
    """

    auc: float
    balanced_accuracy: float
    false_per_1000: float
    latent_leak: float
    score_leak: float


def score_detector(detector: RegimeFilter, X: ArrayLike, regime: ArrayLike) -> DetectorScore:
    """Score a fitted detector that clusters, on paths it has not seen, after its warm-up.

    Parameters
    ----------
    detector : fitted RegimeFilter
        Its score must be positive where it calls chaos, as that of the K-Means detectors is.
    X, regime : array_like of shape (n_paths, n_bars)
        Log returns and true regimes.
    """
    paths, _ = as_paths(X)
    truth = np.asarray(regime)[:, detector.warm_up :]
    score = detector.decision_function(paths)[:, detector.warm_up :]
    label = (score > 0).astype(np.int8)
    share = leak(detector, paths)
    return DetectorScore(
        auc=auc(truth, score),
        balanced_accuracy=balanced_accuracy(truth, label),
        false_per_1000=switch_statistics(truth, label).false_per_1000,
        latent_leak=share.features,
        score_leak=share.score,
    )


def summarize_runs(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Mean, standard deviation and range over the seeds: one line a row, columns (score, mean, std, min or max).

    The standard deviation divides by n - 1; it is NaN for a row of one run, as the baselines are.
    """
    return runs.drop(columns="seed").groupby("row", sort=False).agg(["mean", "std", "min", "max"])
