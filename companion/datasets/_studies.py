"""Results of long experiments: tables that ship with the package, each with a card that says how it was made.

The experiments themselves are in the repository's folder `studies`, which is not part of the package.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from companion._files import read_json
from companion.errors import InputError

STORED = Path(__file__).parent / "studies"
CARD = ("title", "question", "how", "cost", "columns", "command")
"""What a card says; `columns` is a mapping of each column to what it holds, the others are text."""


def study_names() -> tuple[str, ...]:
    """Names of the studies that ship with the package."""
    return tuple(sorted(path.stem for path in STORED.glob("*.json")))


def load_study(name: str) -> pd.DataFrame:
    """Read the table of a study.

    Parameters
    ----------
    name : str
        ``"filter_scores"`` (how near the amortized Bayes filter comes to the best possible observer),
        ``"hidden_coordinates"`` (a learned memory and the best delay vector, asked for what Lorenz hides),
        ``"learner_ceiling"`` (how near the scale-free filter comes to the best learner), ``"real_regimes"`` (when two
        indices and a share were in chaos, as the learner, the filter and two baselines say),
        ``"reconstruction_limits"`` (how noise, length and sampling break phase-space reconstruction),
        ``"surrogate_power"`` (how often the tests for nonlinearity, dependence and chaos reject, and when),
        ``"target_ablation"`` (which training target gives a latent that K-Means can split), ``"walk_forward_levels"``
        (at which probability each detector should leave the market, on development data) or ``"walk_forward"`` (the
        rules of the book on 23 series, after costs).

    Returns
    -------
    DataFrame
        What the study has a row for says its card: ``.attrs["card"]`` holds ``title``, ``question``, ``how``, ``cost``,
        ``command`` and, for each column, what it holds. ``.attrs["provenance"]`` holds settings, seeds and versions.

    Raises
    ------
    ValueError
        When there is no study of that name.
    InputError
        When the file is damaged.
    """
    known = study_names()
    if name not in known:
        raise ValueError(f"name must be one of {', '.join(known)}, got {name!r}")
    return read_study(STORED / f"{name}.json")


def read_study(path: Path) -> pd.DataFrame:
    """Read a file that a study wrote; see `load_study`."""
    remedy = f"make it with `python -m studies.{path.stem} --store`, or install the package anew"
    stored = read_json(path, remedy=remedy)
    fault = _fault(stored)
    if fault:
        raise InputError(f"{path}: {fault}; {remedy}")
    table = pd.DataFrame(stored["rows"])
    table.attrs |= {"card": stored["card"], "provenance": stored["provenance"]}
    return table


def _fault(stored: Any) -> str | None:
    """Say what is wrong with the content of a study's file, or None."""
    if not isinstance(stored, dict) or set(stored) != {"card", "provenance", "rows"}:
        return "must hold card, provenance and rows"
    card, rows = stored["card"], stored["rows"]
    if not isinstance(card, dict) or set(card) != set(CARD) or not all(card.values()):
        return f"card must hold {', '.join(CARD)}"
    if not isinstance(stored["provenance"], dict) or "config" not in stored["provenance"]:
        return "provenance must say the configuration"
    if not isinstance(rows, list) or not rows:
        return "rows must be a list of at least one"
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or list(row) != list(card["columns"]):
            return f"rows[{number}] must have the columns {', '.join(card['columns'])}"
        for column, value in row.items():
            kind = type(rows[0][column])
            if type(value) is not kind or value != value:  # a missing number
                return f"rows[{number}]: {column} must be a {kind.__name__}, got {value!r}"
    return None
