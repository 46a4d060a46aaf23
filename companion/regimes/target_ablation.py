"""Which training target gives a latent that K-Means can split: the design of the comparison, and its stored result.

`python -m companion.regimes.ablation --store` runs it (see `companion.regimes.ablation`).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from companion._files import read_json
from companion.errors import InputError
from companion.regimes.base import RegimeFilter, as_paths
from companion.regimes.leak import leak
from companion.regimes.scores import auc, balanced_accuracy, switch_statistics

if TYPE_CHECKING:
    import pandas as pd

    from companion.mamba import TrainConfig

STORED = Path(__file__).parent / "target_ablation.json"
FORMAT_VERSION = 1
REMEDY = "make it again with `python -m companion.regimes.ablation --store`"

ROWS: dict[str, tuple[str, tuple[int, ...], float]] = {
    "next_return": ("return", (1,), 0.0),
    "next_absolute_return": ("absolute_return", (1,), 0.0),
    "next_log_square": ("log_variance", (1,), 0.0),
    "gaussian_nll": ("gaussian_nll", (1,), 0.0),
    "next_log_square_noise": ("log_variance", (1,), 1.0),
    "variance_5_20_60": ("log_variance", (5, 20, 60), 0.0),
    "variance_20_60": ("log_variance", (20, 60), 0.0),
    "variance_5_20_60_noise": ("log_variance", (5, 20, 60), 1.0),
    "variance_20_60_noise": ("log_variance", (20, 60), 1.0),
}
"""Trained rows: target, horizons and latent noise. All else is the recipe of `TrainConfig`."""
BASELINES = ("ewma", "garch")
"""Rows without training, for scale."""


@dataclass(frozen=True)
class Sample:
    """Paths of the base market: how many, how long, and from which seed."""

    n_paths: int
    n_bars: int
    seed: int


@dataclass(frozen=True)
class AblationConfig:
    """The protocol: three samples that share no path, and training seeds.

    `train` is the sample of the shipped model. K-Means is fitted on the latents of `fit`. All scores are taken on
    `test` after `warm_up` bars; nothing in this book was chosen by a score on it. The other fields are those of
    `TrainConfig` and `MarketMambaConfig`, here to be made small in a test.
    """

    train: Sample = Sample(n_paths=400, n_bars=1500, seed=2026)
    fit: Sample = Sample(n_paths=40, n_bars=1500, seed=31_007)
    test: Sample = Sample(n_paths=40, n_bars=2500, seed=77_003)
    seeds: tuple[int, ...] = (0, 1, 2)
    warm_up: int = 60
    steps: int = 300
    length: int = 384
    d_model: int = 64
    n_layers: int = 2

    def __post_init__(self) -> None:
        if len({self.train.seed, self.fit.seed, self.test.seed}) < 3:
            raise ValueError("train, fit and test must have three different seeds: they may not share a path")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds: expected different integers, got {self.seeds!r}")

    def recipe(self, row: str) -> "TrainConfig":
        """Return the training of one row of `ROWS`."""
        from companion.mamba import MarketMambaConfig, TrainConfig

        target, horizons, noise = ROWS[row]
        shape = MarketMambaConfig(d_model=self.d_model, n_layers=self.n_layers, horizons=horizons)
        return TrainConfig(shape, steps=self.steps, length=self.length, target=target, latent_noise=noise)

    def record(self) -> dict[str, Any]:
        """Everything the result depends on but the code, as JSON types."""
        recipes = {row: asdict(self.recipe(row)) for row in ROWS}
        return json.loads(json.dumps({"protocol": asdict(self), "recipes": recipes, "baselines": BASELINES}))


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


def load_target_ablation(path: str | Path | None = None) -> "pd.DataFrame":
    """Read the stored comparison.

    Parameters
    ----------
    path : path, optional
        A file that the command wrote; by default the one that comes with the package.

    Returns
    -------
    DataFrame
        One line a run: ``row`` (a name of `ROWS` or `BASELINES`), ``seed``, and the fields of `DetectorScore`.
        ``.attrs["provenance"]`` holds configuration and versions.

    Raises
    ------
    InputError
        If the file is missing, damaged, of another format, or lacks a run or a score.
    """
    import pandas as pd

    path = Path(STORED if path is None else path)
    stored = _read(path)
    runs = pd.DataFrame(stored["runs"])
    columns = ["row", "seed", *DetectorScore._fields]
    if list(runs) != columns:
        odd = sorted({str(name) for name in runs} ^ set(columns))
        raise InputError(f"{path}: runs have unknown or missing fields {odd}; {REMEDY}")
    scores = runs[list(DetectorScore._fields)]
    if not all(kind.kind == "f" for kind in scores.dtypes) or not np.isfinite(scores.to_numpy()).all():
        raise InputError(f"{path}: runs hold a score that is not a finite number; {REMEDY}")
    missing = {*ROWS, *BASELINES} - set(runs["row"])
    if missing:
        raise InputError(f"{path}: runs lack the rows {sorted(missing)}; {REMEDY}")
    runs.attrs["provenance"] = stored["provenance"]
    return runs


def _read(path: Path) -> Mapping[str, Any]:
    stored = read_json(path, remedy=REMEDY)
    version = stored.get("format_version") if isinstance(stored, dict) else None
    if version != FORMAT_VERSION or not {"runs", "provenance"} <= set(stored):
        raise InputError(f"{path}: format_version is {version!r}, this version reads {FORMAT_VERSION}; {REMEDY}")
    return stored


def summarize_runs(runs: "pd.DataFrame") -> "pd.DataFrame":
    """Mean, standard deviation and range over the seeds: one line a row, columns (score, mean, std, min or max).

    The standard deviation divides by n - 1; it is NaN for a row of one run, as the baselines are.
    """
    return runs.drop(columns="seed").groupby("row", sort=False).agg(["mean", "std", "min", "max"])
