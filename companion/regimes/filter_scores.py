"""How good the amortized Bayes filter is: its scores as shares of the best possible observer's, and the stored table.

`python -m companion.pipeline.filter_study --store` makes the table.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from companion.regimes.hysteresis import ENTER, LEAVE, hysteresis
from companion.regimes.scores import auc, balanced_accuracy, brier_score, expected_calibration_error, switch_statistics

if TYPE_CHECKING:
    import pandas as pd

STORED = Path(__file__).parent / "filter_scores.json"
CEILING = "bayes_filter"
WARM_UP = 60
"""Leading bars of each path that are not scored."""


def score_probability(regime: NDArray[np.int8], chaos: NDArray[np.float64], *, prior: float) -> dict[str, float]:
    """Scores of calibrated probabilities of chaos, after the first `WARM_UP` bars of each path.

    Parameters
    ----------
    regime, chaos : arrays of shape (n_paths, n_bars)
        True regimes, and P(chaos).
    prior : float
        The market's long-run share of chaos. As a threshold it maximizes the balanced accuracy of a probability that
        is true: a bar is called chaos when chaos has become more likely than it always was.
    """
    called = hysteresis(chaos, enter=ENTER, leave=LEAVE)
    regime, chaos, called = regime[:, WARM_UP:], chaos[:, WARM_UP:], called[:, WARM_UP:]
    switches = switch_statistics(regime, called)
    return {
        "auc": auc(regime, chaos),
        "balanced_accuracy": balanced_accuracy(regime, chaos > prior),
        "brier": brier_score(regime, chaos),
        "ece": expected_calibration_error(regime, chaos),
        "balanced_accuracy_hysteresis": balanced_accuracy(regime, called),
        "false_per_1000": switches.false_per_1000,
        "delay_into_chaos": switches.delay_into_chaos,
        "delay_into_stable": switches.delay_into_stable,
    }


def load_filter_scores() -> "pd.DataFrame":
    """Read the stored table.

    Returns
    -------
    DataFrame
        One line a filter (``equity_index``, ``universal``, and ``bayes_filter``, the ceiling), training seed and
        market, with the scores of `score_probability` and two shares: ``auc_share`` and ``balanced_accuracy_share``
        are (score − .5) / (ceiling's score − .5). ``.attrs["provenance"]`` holds protocol and versions.
    """
    import pandas as pd

    stored = json.loads(STORED.read_text(encoding="utf-8"))
    scores = pd.DataFrame(stored["scores"])
    ceiling = scores[scores["filter"] == CEILING].set_index("market")
    for name in ("auc", "balanced_accuracy"):
        scores[f"{name}_share"] = (scores[name] - 0.5) / (scores["market"].map(ceiling[name]) - 0.5)
    scores.attrs["provenance"] = stored["provenance"]
    return scores
