"""Train the amortized Bayes filter on simulated markets; the default settings are the recipes of the shipped ones."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from companion._checks import check_count
from companion._files import provenance, recorded
from companion.errors import InputError
from companion.pipeline._step import Report, Step, main
from companion.regimes._filter_training import MARKETS, RECIPES, FilterRecipe, train_filter


@dataclass(frozen=True)
class TrainFilterConfig:
    """Which market, and the seed; a setting that is not given is that of the market's recipe.

    Attributes
    ----------
    market : str
        Recipe of a shipped filter: equity_index, one known market; universal, a daily market of a stock index drawn for
        each path; or scale_free, a market of any scale and bar.
    n_paths : int or None
        Simulated paths, at least 1.
    n_bars : int or None
        Bars of a path, in trading days, above the length of a window.
    n_particles : int or None
        Particles of the Bayes filter that teaches, at least 4; where the recipe has none it teaches from a grid.
    n_calibration : int or None
        Fresh paths for the calibration, at least 1.
    d_model : int or None
        Width of the latent, in channels, at least 1.
    n_layers : int or None
        Mamba blocks, at least 1.
    steps : int or None
        Steps of training, at least 1.
    batch : int or None
        Windows in a step, at least 1.
    length : int or None
        Length of a window, in bars, at least 1.
    learning_rate : float or None
        Largest step size of the optimizer, without unit, above 0.
    seed : int
        Seed of the paths, the weights and the batches, at least 0.
    """

    market: str = "equity_index"
    n_paths: int | None = None
    n_bars: int | None = None
    n_particles: int | None = None
    n_calibration: int | None = None
    d_model: int | None = None
    n_layers: int | None = None
    steps: int | None = None
    batch: int | None = None
    length: int | None = None
    learning_rate: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("seed", self.seed, least=0)
        self.recipe()

    def recipe(self) -> FilterRecipe:
        """Return the market's recipe with the settings that are given."""
        if self.market not in MARKETS:
            raise ValueError(f"market must be one of {', '.join(MARKETS)}, got {self.market!r}")
        given = {key: value for key, value in asdict(self).items() if value is not None}
        known = RECIPES[self.market]
        model = replace(known.training.model, **_chosen(known.training.model, given))
        training = replace(known.training, model=model, **_chosen(known.training, given))
        return replace(known, training=training, **_chosen(known, given))


def _chosen(part: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: given[field.name] for field in fields(part) if field.name in given}


def run(config: TrainFilterConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Train a filter on fresh simulated paths; an interrupted run goes on from where it was when started again."""
    recipe = config.recipe()
    try:
        model = train_filter(recipe, seed=config.seed, report=report, checkpoint=output.with_suffix(".unfinished"))
    except FloatingPointError as error:
        raise InputError(f"training diverged at {error}") from error
    model.save(output, provenance=provenance(seed=config.seed, config=recorded(recipe), inputs=inputs))
    return f"{recipe.n_paths:,} paths of {recipe.n_bars:,} bars, {recipe.training.steps:,} steps"


STEP = Step("train-filter", TrainFilterConfig, inputs={}, output="filter.safetensors", run=run)
APP = STEP.app()

if __name__ == "__main__":
    sys.exit(main(STEP))
