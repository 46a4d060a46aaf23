"""Results of long experiments: tables that ship with the package, each with a card that says how it was made.

The experiments themselves are in the repository's folder `studies`, which is not part of the package.
"""

import json
from pathlib import Path

import pandas as pd

_FOLDER = Path(__file__).parent / "studies"


def load_study(name: str) -> pd.DataFrame:
    """Read the table of a study.

    Parameters
    ----------
    name : str
        ``"filter_scores"`` or ``"target_ablation"``.

    Returns
    -------
    DataFrame
        One line a run. ``.attrs["card"]`` says what was asked and how; ``.attrs["provenance"]`` holds protocol, seeds
        and versions.

    Raises
    ------
    ValueError
        When there is no study of that name.
    """
    known = sorted(path.stem for path in _FOLDER.glob("*.json"))
    if name not in known:
        raise ValueError(f"name must be one of {', '.join(known)}, got {name!r}")
    stored = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    table = pd.DataFrame(stored["rows"])
    table.attrs |= {"card": stored["card"], "provenance": stored["provenance"]}
    return table
