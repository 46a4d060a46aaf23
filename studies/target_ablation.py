"""Run the ablation of training targets: train every row with every seed, score it, store the table.

`python -m studies.target_ablation` takes about twenty minutes on two cores. Every finished run is kept in a folder,
and a training that was killed goes on from its last checkpoint, so that nothing is lost; with ``--store`` the table
replaces the one in the package.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from companion._files import atomic_write_text, provenance
from companion.errors import InputError
from companion.heston import RegimeSwitchingHeston
from companion.mamba import train
from companion.regimes._baselines import EwmaKMeans, GarchKMeans
from companion.regimes._detector import RegimeDetector
from companion.regimes._filter import RegimeFilter

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


WORK = Path("build/target_ablation")
TINY = AblationConfig(
    train=Sample(n_paths=4, n_bars=200, seed=1),
    fit=Sample(n_paths=4, n_bars=400, seed=2),
    test=Sample(n_paths=4, n_bars=400, seed=3),
    seeds=(0, 1),
    steps=4,
    length=64,
    d_model=8,
    n_layers=1,
)
"""Sizes that only show that it runs."""

Report = Callable[[str, int, int], None]
"""Called as `report(what, done, total)` while a run works."""
Paths = tuple[NDArray[np.float64], NDArray[np.int8]]


def simulate(sample: Sample) -> Paths:
    """Log returns and true regimes of a sample, each of shape (n_paths, n_bars)."""
    market = RegimeSwitchingHeston.equity_index()
    paths = market.simulate(n_paths=sample.n_paths, n_steps=sample.n_bars, seed=sample.seed)
    return paths.log_returns, paths.regime[:, 1:]


def run_ablation(config: AblationConfig, *, work: Path, report: Report | None = None) -> pd.DataFrame:
    """Train and score what `work` does not hold yet.

    Parameters
    ----------
    config : AblationConfig
    work : Path
        Folder of the finished runs, one JSON file each, and of the checkpoint of the run that was interrupted.
    report : callable, optional
        Called as ``report(what, done, total)``, in steps of the training.

    Returns
    -------
    DataFrame
        One line a run, as `load_target_ablation` returns it.

    Raises
    ------
    InputError
        If `work` holds a run of another configuration or of other package versions, or can not be written.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{work}: is no folder and can not be made ({error.strerror}); choose another") from error
    samples = [simulate(sample) for sample in (config.train, config.fit, config.test)]
    runs = [(row, seed) for row in ROWS for seed in config.seeds]
    lines = []
    for row, seed in [*runs, ("ewma", 0), ("garch", 0)]:
        lines.append({"row": row, "seed": seed, **_finished(row, seed, config, samples, work, report)})
    return pd.DataFrame(lines)


def _finished(
    row: str, seed: int, config: AblationConfig, samples: Sequence[Paths], work: Path, report: Report | None
) -> dict[str, float]:
    """The scores of one run: read from its file, or measured now and written there."""
    identity = _identity(config)
    store = work / f"{row}-{seed}.json"
    if store.exists():
        return _read_run(store, identity)
    (returns, _), (fit, fit_regime), (test, regime) = samples
    detector = _detector(row, seed, config, returns, store.with_suffix(".unfinished"), report)
    score = score_detector(detector.fit(fit, fit_regime), test, regime)._asdict()
    atomic_write_text(store, json.dumps({"identity": identity, "score": score}, indent=2) + "\n")
    return score


def _identity(config: AblationConfig) -> str:
    source = provenance(seed=None, config=config.record(), inputs={})
    return hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()


def _read_run(store: Path, identity: str) -> dict[str, float]:
    try:
        run: dict[str, Any] = json.loads(store.read_text(encoding="utf-8"))
        score = DetectorScore(**run["score"])._asdict()
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{store}: content is not a finished run; delete it to run it anew") from error
    if run.get("identity") != identity:
        raise InputError(f"{store}: identity differs: another configuration or version; delete it to run it anew")
    return score


def _detector(
    row: str, seed: int, config: AblationConfig, returns: NDArray[np.float64], checkpoint: Path, report: Report | None
) -> RegimeFilter:
    if row == "ewma":
        return EwmaKMeans(warm_up=config.warm_up)
    if row == "garch":
        return GarchKMeans(warm_up=config.warm_up)
    result = train(
        returns,
        config.recipe(row),
        seed=seed,
        checkpoint=checkpoint,
        progress=report and (lambda step, steps, loss: report(f"{row}, seed {seed}", step, steps)),
    )
    return RegimeDetector(result.model, warm_up=config.warm_up, seed=seed)


def store_runs(runs: pd.DataFrame, config: AblationConfig, path: Path) -> None:
    """Write the table with its provenance to `path`, in one step."""
    stored = {
        "format_version": FORMAT_VERSION,
        "provenance": provenance(seed=None, config=config.record(), inputs={}),
        "runs": [
            {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in line.items()}
            for line in runs.to_dict("records")
        ],
    }
    atomic_write_text(path, json.dumps(stored, indent=1) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ablation as a program and return its exit status: 2 for bad input, 130 for an interrupt."""
    parser = argparse.ArgumentParser(prog="python -m studies.target_ablation", description=__doc__)
    parser.add_argument("--store", nargs="?", type=Path, const=STORED, metavar="FILE", help="write the table (package)")
    parser.add_argument("--work", type=Path, default=WORK, metavar="FOLDER", help="finished runs (%(default)s)")
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that it runs")
    options = parser.parse_args(argv)
    if options.tiny and options.store == STORED:
        parser.error("--tiny is not for the table in the package: give --store a file")
    config = TINY if options.tiny else AblationConfig()
    try:
        runs = _run_with_progress(config, options.work)
        if options.store is not None:
            store_runs(runs, config, options.store)
    except InputError as error:
        print(f"ablation: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"ablation: interrupted; {options.work} keeps what is finished", file=sys.stderr)
        return 130
    _print(runs)
    return 0


def _run_with_progress(config: AblationConfig, work: Path) -> pd.DataFrame:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("ablation", total=None)
        return run_ablation(
            config,
            work=work,
            report=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )


def _print(runs: pd.DataFrame) -> None:
    summary = summarize_runs(runs)
    table = Table("row", *DetectorScore._fields, title="mean ± standard deviation over seeds")
    for row, values in summary.iterrows():
        cells = [f"{values[name, 'mean']:.3f} ± {values[name, 'std']:.3f}" for name in DetectorScore._fields]
        cells = [cell.removesuffix(" ± nan") for cell in cells]  # a baseline has one run
        table.add_row(str(row), *cells)
    Console(width=160).print(table)


if __name__ == "__main__":
    sys.exit(main())
