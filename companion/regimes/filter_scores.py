"""How good the amortized Bayes filter is: its scores as shares of the best possible observer's, and the stored table.

`python -m companion.pipeline.filter_study --store` makes the table.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from companion.regimes.comparison import CEILING

if TYPE_CHECKING:
    import pandas as pd

STORED = Path(__file__).parent / "filter_scores.json"


def load_filter_scores() -> "pd.DataFrame":
    """Read the stored table.

    Returns
    -------
    DataFrame
        One line a filter (``equity_index``, ``universal``, and ``ceiling``), training seed and market, with the scores
        of `Comparison.scores` and two shares: ``auc_share`` and ``balanced_accuracy_share`` are
        (score − .5) / (ceiling's score − .5). ``.attrs["provenance"]`` holds protocol and versions.
    """
    import pandas as pd

    stored = json.loads(STORED.read_text(encoding="utf-8"))
    scores = pd.DataFrame(stored["scores"])
    ceiling = scores[scores["filter"] == CEILING].set_index("market")
    for name in ("auc", "balanced_accuracy"):
        scores[f"{name}_share"] = (scores[name] - 0.5) / (scores["market"].map(ceiling[name]) - 0.5)
    scores.attrs["provenance"] = stored["provenance"]
    return scores
