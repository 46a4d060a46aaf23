"""One row of a comparison of detectors that cluster, and what several rows come to."""

import numpy as np
import pandas as pd
import pytest

from companion.evaluation import auc, balanced_accuracy, leak, score_detector, summarize_runs, switch_statistics
from companion.evaluation._detector_score import DetectorScore
from companion.regimes import EwmaKMeans


def test_a_score_is_that_of_the_warmed_up_bars(market):
    returns, regime = market
    detector = EwmaKMeans().fit(returns)
    found = score_detector(detector, returns, regime)
    score = detector.decision_function(returns)[:, 60:]
    assert found.auc == auc(regime[:, 60:], score)
    assert found.false_per_1000 == switch_statistics(regime[:, 60:], score > 0).false_per_1000
    assert found.balanced_accuracy == balanced_accuracy(regime[:, 60:], score > 0)
    assert 0.5 < found.balanced_accuracy < 1
    assert (found.latent_leak, found.score_leak) == leak(detector, returns)


def test_runs_are_summed_up_by_row():
    scores = {name: [0.5, 0.7, 0.9] for name in DetectorScore._fields}
    runs = pd.DataFrame({"row": ["b", "b", "a"], "seed": [0, 1, 0], **scores})
    summary = summarize_runs(runs)
    assert list(summary.index) == ["b", "a"]
    assert summary.loc["b", ("auc", "mean")] == pytest.approx(0.6)
    assert summary.loc["b", ("auc", "std")] == pytest.approx(0.2 / np.sqrt(2))
    assert tuple(summary.loc["b", "auc"][["min", "max"]]) == (0.5, 0.7)
    assert np.isnan(summary.loc["a", ("auc", "std")])
