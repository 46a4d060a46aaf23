"""How good is the amortized Bayes filter? Each shipped recipe from three seeds, against the best possible observer."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from companion._files import recorded
from companion.evaluation._comparison import CEILING, compare_detectors
from companion.heston import RegimeSwitchingHeston
from companion.mamba import MarketMambaConfig, TrainConfig
from companion.regimes._filter_training import RECIPES, FilterRecipe
from studies._filters import filter_file, trained_filter
from studies._study import Report, Row, Study
from studies._study import main as run_as_program

MARKETS = {"equity_index": 61_211, "fast_reverting": 61_221, "slow_reverting": 61_231}
"""Markets, and the seeds of their held-out paths; nothing was chosen by a score on these paths."""


KNOWN_SCALE = {name: RECIPES[name] for name in ("equity_index", "universal")}
"""Recipes of filters that read returns as they are; ``studies.learner_ceiling`` has the one that knows no scale."""


@dataclass(frozen=True)
class ScoresConfig:
    """The recipes, the seeds they are trained from, and what is read of each of `MARKETS`."""

    recipes: Mapping[str, FilterRecipe] = field(default_factory=lambda: KNOWN_SCALE)
    seeds: tuple[int, ...] = (0, 1, 2)
    n_paths: int = 40
    n_bars: int = 2500

    def record(self) -> dict[str, Any]:
        """Everything the result depends on but the code, as JSON types."""
        recipes = {name: recorded(recipe) for name, recipe in self.recipes.items()}
        sizes = {"n_paths": self.n_paths, "n_bars": self.n_bars, "test_seeds": MARKETS}
        return json.loads(json.dumps({**sizes, "training_seeds": self.seeds, "recipes": recipes}))

    @property
    def filters(self) -> list[tuple[str, int]]:
        """Every recipe with every seed."""
        return [(name, seed) for name in self.recipes for seed in self.seeds]


def _tiny_recipe(market: str) -> FilterRecipe:
    shape = MarketMambaConfig(d_model=8, n_layers=1, d_state=4, horizons=(1,))
    training = TrainConfig(shape, steps=4, batch=2, length=64, target="labels", latent_noise=0.0)
    return FilterRecipe(market, 6, 90, 20, training, 40)


TINY = ScoresConfig({name: _tiny_recipe(name) for name in KNOWN_SCALE}, seeds=(0,), n_paths=3, n_bars=400)
"""Sizes that only show that it runs."""


def filter_scores(tiny: bool = False) -> Study:
    """Return the study: a run a market. The first one trains the filters, and `work` keeps them for the others."""
    config = TINY if tiny else ScoresConfig()
    return Study(
        name="filter_scores",
        title="How good the amortized Bayes filter is",
        question="What share of the best possible observer's score does each shipped recipe reach, over three training "
        "seeds?",
        how="Each filter reads 40 held-out paths of 2,500 bars of each market, after the warm-up; the ceiling is the "
        "particle filter that knows the market. Nothing was chosen by a score on these paths. The first seed of each "
        "recipe is the shipped filter.",
        cost="about an hour and a half on two cores",
        columns={
            "filter": "recipe, or `ceiling`",
            "seed": "of the training; of the paths for the ceiling",
            "market": "that is read",
            "auc": "of P(chaos) against the true regime",
            "balanced_accuracy": "of P(chaos) above the share of chaos in the market",
            "brier": "mean squared error of P(chaos)",
            "calibration_error": "expected calibration error of P(chaos)",
            "held_accuracy": "balanced accuracy of the regime after hysteresis",
            "false_switches": "of the regime after hysteresis, per 1,000 bars",
            "delay_into_chaos": "median bars from a switch into chaos to its call, infinite if most are never called",
            "delay_into_stable": "the same, into the stable regime",
            "missed_spells": "share of the spells that end before they are called",
            "auc_share": "(auc − .5) / (auc of the ceiling − .5)",
            "balanced_accuracy_share": "the same, of the balanced accuracy",
        },
        config=config.record(),
        runs={market: partial(_run, market, config) for market in MARKETS},
        inputs=lambda work: {f"{name} {seed}": filter_file(name, seed, work) for name, seed in config.filters},
    )


def _run(market: str, config: ScoresConfig, work: Path, report: Report) -> list[Row]:
    trained = {
        f"{name} {seed}": trained_filter(name, seed, config.recipes[name], work, report)
        for name, seed in config.filters
    }
    report(f"scores on {market}", 0, 1)
    read = getattr(RegimeSwitchingHeston, market)()
    test_seed = MARKETS[market]
    comparison = compare_detectors(read, trained, n_paths=config.n_paths, n_bars=config.n_bars, seed=test_seed)
    scores = comparison.scores()
    for name in ("auc", "balanced_accuracy"):
        scores[f"{name}_share"] = (scores[name] - 0.5) / (scores[name][CEILING] - 0.5)
    rows: list[Row] = []
    for who, values in zip(scores.index, scores.to_dict("records"), strict=True):
        by, _, seed = who.partition(" ")
        row = {"filter": by, "seed": int(seed or test_seed), "market": market}
        rows.append(row | {str(name): value for name, value in values.items()})
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study as a program."""
    return run_as_program(filter_scores, argv)


if __name__ == "__main__":
    sys.exit(main())
