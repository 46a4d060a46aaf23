"""Score the recipes of the amortized Bayes filter, each trained with three seeds, against the ceiling.

`python -m studies.filter_scores` trains what its folder lacks with the step `train-filter` (about an hour and
a half on two cores), scores it, and prints the table; with ``--store`` the table replaces the one in the package. The
first seed of each recipe is the shipped filter.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from companion.datasets._studies import STORED

from companion._files import atomic_write_text, provenance, read_json
from companion.errors import InputError
from companion.evaluation import compare_detectors
from companion.heston import RegimeSwitchingHeston
from companion.mamba import MarketMamba
from companion.pipeline import train_filter
from companion.pipeline._step import guarded
from companion.pipeline._step import main as run_step
from companion.regimes import NeuralRegimeFilter
from companion.regimes._filter_training import RECIPES

WORK = Path("build/filter_study")
SEEDS = (0, 1, 2)
MARKETS = {"equity_index": 61_211, "fast_reverting": 61_221, "slow_reverting": 61_231}
"""Markets, and the seeds of their held-out paths; nothing was chosen by a score on these paths."""
PATHS = {"n_paths": 40, "n_bars": 2500}


def run_study(work: Path) -> list[dict[str, Any]]:
    """Train what `work` lacks and score everything: one dictionary a line of the table."""
    trained = {f"{name} {seed}": _filter(name, seed, work) for name in RECIPES for seed in SEEDS}
    lines = []
    for name, test_seed in MARKETS.items():
        comparison = compare_detectors(getattr(RegimeSwitchingHeston, name)(), trained, **PATHS, seed=test_seed)
        for who, scores in comparison.scores().iterrows():
            by, _, seed = str(who).partition(" ")
            lines.append({"filter": by, "seed": int(seed or test_seed), "market": name, **scores})
    return lines


def _filter(name: str, seed: int, work: Path) -> NeuralRegimeFilter:
    file = _file(name, seed, work)
    if not file.exists() and run_step(train_filter.STEP, ["--market", name, "--seed", str(seed), "--out", str(file)]):
        raise InputError(f"{file}: its training ended without it; start again to go on from there")
    made = read_json(file.with_suffix(".json"), remedy=f"delete {file} to train it anew")["provenance"]
    if (made["seed"], made["config"]) != (seed, json.loads(json.dumps(asdict(RECIPES[name])))):
        raise InputError(f"{file}: trained by another recipe than today's; delete it to train it anew")
    return NeuralRegimeFilter.from_network(MarketMamba.load(file))


def _file(name: str, seed: int, work: Path) -> Path:
    return work / f"{name}-{seed}.safetensors"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study as a program and return its exit status: 2 for bad input, 130 for an interrupt."""
    parser = argparse.ArgumentParser(prog="python -m studies.filter_scores", description=__doc__)
    parser.add_argument("--store", action="store_true", help=f"write the table to {STORED.name} in the package")
    parser.add_argument("--work", type=Path, default=WORK, metavar="FOLDER", help="trained filters (%(default)s)")
    options = parser.parse_args(argv)
    return guarded("filter-study", lambda: _study(options.work, store=options.store))


def _study(work: Path, *, store: bool) -> None:
    lines = run_study(work)
    for line in lines:
        print(*(f"{value:.4f}" if isinstance(value, float) else value for value in line.values()))
    if store:
        rounded = [{k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in line.items()} for line in lines]
        inputs = {f"{name} {seed}": _file(name, seed, work) for name in RECIPES for seed in SEEDS}
        made = provenance(seed=None, config=PATHS | {"test_seeds": MARKETS}, inputs=inputs)
        stored = {"provenance": made, "scores": rounded}
        atomic_write_text(STORED, json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
