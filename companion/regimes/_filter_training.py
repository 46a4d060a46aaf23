"""How the amortized Bayes filter learns: from simulated paths, and from the observer who knows each path's market.

The Bayes filter of a market with known parameters gives ``q = P(chaos | past, parameters)``. Over markets drawn at
random, ``E[q | past] = P(chaos | past)`` by the tower property: what an observer must say who has to infer the
parameters as well. Cross-entropy against q is therefore smallest at the same forecast as cross-entropy against the
true regime, and its gradient is far less noisy, since the luck of which regime it was has been averaged away.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from companion.heston import RegimeSwitchingHeston, WidePrior, bayes_filter, grid_filter
from companion.heston.kernels._blocks import for_blocks
from companion.mamba import MarketMamba, MarketMambaConfig, TrainConfig, forecasts, train
from companion.regimes._confidence import PlattCalibration

MARKETS: dict[str, Callable[[np.random.Generator], RegimeSwitchingHeston]] = {
    "equity_index": lambda rng: RegimeSwitchingHeston.equity_index(),
    "universal": RegimeSwitchingHeston.random,
    "scale_free": WidePrior().draw,
}
"""Where the paths come from: each has a market of its own, drawn by one of these."""

_LESSONS, _CALIBRATION = 1, 2  # streams of random numbers
_WARM_UP = 60  # first bars, which the calibration does not see

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class FilterRecipe:
    """What a filter is trained on, and how; `RECIPES` holds those of the shipped ones.

    Attributes
    ----------
    market : str
        A name of `MARKETS`.
    n_paths, n_bars : int
        Simulated paths and their length.
    n_particles : int or None
        Of the Bayes filter that knows each path's market; None for the one on a grid.
    training : TrainConfig
        With ``target="labels"``.
    n_calibration : int
        Fresh paths that the calibration sees, of `n_bars` bars too.
    """

    market: str
    n_paths: int
    n_bars: int
    n_particles: int | None
    training: TrainConfig
    n_calibration: int = 300

    def __post_init__(self) -> None:
        if self.market not in MARKETS:
            raise ValueError(f"market must be one of {', '.join(MARKETS)}, got {self.market!r}")
        if self.training.target != "labels":
            raise ValueError(f"training must have the target 'labels', got {self.training.target!r}")
        for name, least in (
            ("n_paths", 1),
            ("n_bars", self.training.fewest_bars),
            ("n_calibration", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)!r}")
        if self.n_particles is not None and self.n_particles < 4:
            raise ValueError(f"n_particles must be at least 4, got {self.n_particles!r}")


class Lessons(NamedTuple):
    """Simulated paths, each array of shape (n_paths, n_bars).

    Attributes
    ----------
    log_returns : float64 array
    regime : int8 array
        0 stable, 1 chaos.
    posterior : float64 array
        P(chaos | returns so far) of the observer who knows the path's market; NaN where none was asked for.
    """

    log_returns: NDArray[np.float64]
    regime: NDArray[np.int8]
    posterior: NDArray[np.float64]


def simulate_lessons(
    market: str,
    *,
    n_paths: int,
    n_bars: int,
    n_particles: int | None = 0,
    seed: int | list[int],
    report: Report | None = None,
) -> Lessons:
    """Simulate paths of markets drawn by ``MARKETS[market]``, one a path; path i depends on `seed` and i only.

    Parameters
    ----------
    market : str
    n_paths, n_bars : int
    n_particles : int or None
        Of the Bayes filter; with None it runs on a grid, with 0 not at all.
    seed : int or list of int
    report : callable, optional
        Called as ``report(done, n_paths)``.
    """
    shape = n_paths, n_bars
    lessons = Lessons(np.empty(shape), np.empty(shape, np.int8), np.full(shape, np.nan))

    def fill(path: int, _: int) -> None:
        rng = np.random.default_rng([*np.atleast_1d(seed), path])
        drawn = MARKETS[market](rng)
        simulated = drawn.simulate(n_paths=1, n_steps=n_bars, seed=rng)
        lessons.log_returns[path], lessons.regime[path] = simulated.log_returns[0], simulated.regime[0, 1:]
        if n_particles is None:
            lessons.posterior[path] = grid_filter(lessons.log_returns[path], drawn).p_regime[:, 1]
        elif n_particles:
            known = bayes_filter(lessons.log_returns[path], drawn, n_particles=n_particles, seed=rng)
            lessons.posterior[path] = known[:, 1]
        if report is not None:
            report(path + 1, n_paths)

    for_blocks(fill, n_paths, block=1)
    return lessons


def train_filter(
    recipe: FilterRecipe, *, seed: int, report: Report | None = None, checkpoint: str | Path | None = None
) -> MarketMamba:
    """Train a network whose output is the calibrated log-odds of chaos.

    Parameters
    ----------
    recipe : FilterRecipe
    seed : int
        Of the paths, the first weights and the batches.
    report : callable, optional
        Called as ``report(done, total)``, first in paths, then in steps of training.
    checkpoint : path, optional
        Where `companion.mamba._train` keeps an interrupted run.
    """
    lessons = simulate_lessons(
        recipe.market,
        n_paths=recipe.n_paths,
        n_bars=recipe.n_bars,
        n_particles=recipe.n_particles,
        seed=[seed, _LESSONS],
        report=report,
    )
    result = train(
        lessons.log_returns,
        recipe.training,
        labels=lessons.posterior,
        seed=seed,
        progress=report and (lambda step, steps, _: report(step, steps)),
        checkpoint=checkpoint,
    )
    fresh = simulate_lessons(
        recipe.market, n_paths=recipe.n_calibration, n_bars=recipe.n_bars, seed=[seed, _CALIBRATION]
    )
    return calibrated(result.model, fresh)


def calibrated(model: MarketMamba, fresh: Lessons) -> MarketMamba:
    """The model with Platt's calibration on paths that it has not seen folded into its head, in place."""
    log_odds = forecasts(model, fresh.log_returns)[:, _WARM_UP:, 0]
    platt = PlattCalibration.fit(log_odds, fresh.regime[:, _WARM_UP:])
    with torch.no_grad():
        model.head.weight.mul_(platt.slope)
        model.head.bias.mul_(platt.slope).add_(platt.intercept)
    return model


def _recipe(market: str, *, n_paths: int, n_bars: int, **training: Any) -> FilterRecipe:
    config = TrainConfig(target="labels", latent_noise=0.0, **training)
    return FilterRecipe(market, n_paths, n_bars, n_particles=300, training=config)


_INDEX = {"model": MarketMambaConfig(d_model=32, horizons=(1,)), "steps": 1600, "length": 512, "learning_rate": 5e-3}
_WIDE = {"batch": 12, "length": 1024, "learning_rate": 4e-3, "warm_up": 100}
_UNIVERSAL = {"model": MarketMambaConfig(horizons=(1,)), "steps": 10_000, **_WIDE}
_SCALE_FREE = {
    "model": MarketMambaConfig(horizons=(1,), scale_half_life=2000.0),
    "steps": 9_000,
    **_WIDE,
    "batch": 4,
    "length": 2560,
    "from_start": 0.5,
    "muon": True,
}
RECIPES = {
    "equity_index": _recipe("equity_index", n_paths=1500, n_bars=1025, **_INDEX),
    "universal": _recipe("universal", n_paths=10_000, n_bars=1537, **_UNIVERSAL),
    "scale_free": replace(
        _recipe("scale_free", n_paths=10_000, n_bars=4096, **_SCALE_FREE), n_particles=None, n_calibration=600
    ),
}
"""How the shipped filters were trained."""
