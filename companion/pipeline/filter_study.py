"""Score the recipes of the amortized Bayes filter, each trained with three seeds, against the ceiling.

`python -m companion.pipeline.filter_study` trains what its folder lacks with the step `train-filter` (about an hour on
two cores), scores it, and prints the table; with ``--store`` the table replaces the one in the package. The first seed
of each recipe is the shipped filter.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from companion._files import atomic_write_text, provenance
from companion.errors import InputError
from companion.heston import RegimeSwitchingHeston, bayes_filter
from companion.mamba import MarketMamba
from companion.pipeline import train_filter
from companion.pipeline.step import guarded
from companion.pipeline.step import main as run_step
from companion.regimes import NeuralRegimeFilter
from companion.regimes.filter_scores import CEILING, STORED, score_probability
from companion.regimes.filter_training import RECIPES

WORK = Path("build/filter_study")
SEEDS = (0, 1, 2)
MARKETS = ("equity_index", "fast_reverting", "slow_reverting")
PROTOCOL = {"n_paths": 40, "n_bars": 2500, "n_particles": 3000, "seed": 77_003}
"""Held-out paths of each market, particles of the ceiling; nothing was chosen by a score on these paths."""


def run_study(work: Path) -> list[dict[str, Any]]:
    """Train what `work` lacks and score everything: one dictionary a line of the table."""
    filters = {(name, seed): _filter(name, seed, work) for name in RECIPES for seed in SEEDS}
    n_paths, n_bars, n_particles, test = PROTOCOL.values()
    lines = []
    for name in MARKETS:
        market: RegimeSwitchingHeston = getattr(RegimeSwitchingHeston, name)()
        paths = market.simulate(n_paths=n_paths, n_steps=n_bars, seed=test)
        known = bayes_filter(paths.log_returns, market, n_particles=n_particles, seed=test)
        forecasts = {key: trained.predict_proba(paths.log_returns) for key, trained in filters.items()}
        for (by, seed), probability in ({(CEILING, test): known} | forecasts).items():
            prior = float(market.stationary[1])
            scores = score_probability(paths.regime[:, 1:], probability[..., 1], prior=prior)
            lines.append({"filter": by, "seed": seed, "market": name, **scores})
    return lines


def _filter(name: str, seed: int, work: Path) -> NeuralRegimeFilter:
    file = work / f"{name}-{seed}.safetensors"
    if not file.exists() and run_step(train_filter.STEP, ["--market", name, "--seed", str(seed), "--out", str(file)]):
        raise InputError(f"{file}: its training ended without it; start again to go on from there")
    return NeuralRegimeFilter.from_network(MarketMamba.load(file))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study as a program and return its exit status: 2 for bad input, 130 for an interrupt."""
    parser = argparse.ArgumentParser(prog="python -m companion.pipeline.filter_study", description=__doc__)
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
        stored = {"provenance": provenance(seed=PROTOCOL["seed"], config=PROTOCOL, inputs={}), "scores": rounded}
        atomic_write_text(STORED, json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
