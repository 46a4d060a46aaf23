"""Amortized filters that a study trains anew, each from a recipe and a seed; a folder keeps them."""

from pathlib import Path

from companion._files import provenance, read_json, recorded
from companion.errors import InputError
from companion.mamba import MarketMamba
from companion.regimes import NeuralRegimeFilter
from companion.regimes._filter_training import FilterRecipe, train_filter
from studies._study import Report


def filter_file(name: str, seed: int, work: Path) -> Path:
    """Where `work` keeps the filter of that recipe and seed."""
    return work / f"{name}-{seed}.safetensors"


def trained_filter(name: str, seed: int, recipe: FilterRecipe, work: Path, report: Report) -> NeuralRegimeFilter:
    """The filter that `work` holds, or else a new one that it holds from now on."""
    file, what = filter_file(name, seed, work), f"{name}, seed {seed}"
    if not file.exists():
        unfinished = file.with_suffix(".unfinished")
        model = train_filter(
            recipe, seed=seed, report=lambda done, total: report(what, done, total), checkpoint=unfinished
        )
        model.save(file, provenance=provenance(seed=seed, config=recorded(recipe), inputs={}))
    made = read_json(file.with_suffix(".json"), remedy=f"delete {file} to train it anew")["provenance"]
    if (made["seed"], made["config"]) != (seed, recorded(recipe)):
        raise InputError(f"{file}: trained by another recipe than today's; delete it to train it anew")
    return NeuralRegimeFilter.from_network(MarketMamba.load(file, made_by="companion train-filter"))
