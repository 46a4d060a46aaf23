"""What can be known of the regime by who must learn the market as well, and how near does the network come?"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from companion._files import atomic_path, recorded
from companion.evaluation import auc, expected_calibration_error
from companion.evaluation._intervals import percentile_interval
from companion.heston import RegimeSwitchingHeston, WidePrior, grid_filter, learner_filter
from companion.mamba import MarketMambaConfig, TrainConfig
from companion.mamba._scale import rescaled
from companion.regimes import (
    EwmaKMeans,
    GarchKMeans,
    GaussianHmmFilter,
    GjrKMeans,
    HarKMeans,
    JumpModelFilter,
    NeuralRegimeFilter,
)
from companion.regimes._filter import RegimeFilter
from companion.regimes._filter_training import RECIPES, FilterRecipe
from studies._filters import filter_file, trained_filter
from studies._study import Report, Row, Study
from studies._study import main as run_as_program

Floats = NDArray[np.float64]

MARKETS = {"wide prior": 132_201, "equity_index": 132_202, "fast_reverting": 132_203, "slow_reverting": 132_204}
"""Kinds of markets, and the seeds of their paths: fixed before any of them was read, and after every setting of the
filter and of the learner, which were tried on others."""
FAMILIES = {
    "slow reversion": lambda market: market.regimes[0].kappa < 60**0.5,
    "fast reversion": lambda market: market.regimes[0].kappa >= 60**0.5,
    "levels near": lambda market: market.regimes[1].theta < 27**0.5 * market.regimes[0].theta,
    "levels far": lambda market: market.regimes[1].theta >= 27**0.5 * market.regimes[0].theta,
    "short spells": lambda market: market.mean_durations[0] < 120_000**0.5,
    "long spells": lambda market: market.mean_durations[0] >= 120_000**0.5,
    "jumps": lambda market: market.jump_rate > 0,
    "no jumps": lambda market: market.jump_rate == 0,
}
"""Parts of the wide prior, cut at the middle of a parameter's range."""
LEARNER = 131_300
"""Seed of the learner's markets."""
SCALE_FREE = "scale_free"
DEVELOPMENT = 131_299
"""Seed of the labeled paths on which the rivals are fitted, calibrated, and find their best settings."""
HALF_LIVES = (4, 6, 8, 10, 14, 20, 28, 40, 56, 80)
RIVALS: dict[str, list[RegimeFilter]] = {
    "EWMA": [EwmaKMeans(half_life=half_life) for half_life in HALF_LIVES],
    "GARCH": [GarchKMeans()],
    "GJR": [GjrKMeans()],
    "HAR": [HarKMeans(horizon=horizon) for horizon in (1, 5, 10, 20, 60)],
    "HMM": [GaussianHmmFilter(n_restarts=2)],
    "jump model": [
        JumpModelFilter(half_life=half_life, penalty=penalty)
        for half_life in (2.5, 5, 10, 20)
        for penalty in (0, 0.3, 1, 3, 10)
    ],
}
"""The rivals, each with the settings it may choose from."""
TOLD, OWN_UNITS = "{}, told its market", "EWMA, own units"
"""A rival that learned from labeled paths of the very market, in its unit; and the simplest one that is told nothing,
like the scale-free filter: in units of the same slow scale, with the half-life that is best over the prior."""
SLOW = RECIPES[SCALE_FREE].training.model.scale_half_life


@dataclass(frozen=True)
class CeilingConfig:
    """How many paths of each of `MARKETS`, how finely they are filtered, and the network."""

    recipe: FilterRecipe = field(default_factory=lambda: RECIPES[SCALE_FREE])
    training_seeds: tuple[int, ...] = (0, 1, 2)
    n_paths: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(MARKETS, 80) | {"wide prior": 200})
    n_bars: int = 2500
    n_development: int = 40
    first_bars: tuple[int, ...] = (300, 1500)
    n_markets: int = 512
    n_runs: int = 2
    spacing: float = 1.2
    n_resamples: int = 500

    def record(self) -> dict[str, Any]:
        """Everything the result depends on but the code, as JSON types."""
        seeds = {"test_seeds": MARKETS, "learner_seed": LEARNER, "development_seed": DEVELOPMENT}
        rivals = {name: [each.get_params() for each in settings] for name, settings in RIVALS.items()}
        return recorded(self) | seeds | {"rivals": rivals}


_TINY_RECIPE = FilterRecipe(
    SCALE_FREE,
    6,
    90,
    None,
    TrainConfig(
        MarketMambaConfig(d_model=8, n_layers=1, d_state=4, horizons=(1,), scale_half_life=50.0),
        steps=4,
        batch=2,
        length=64,
        target="labels",
        latent_noise=0.0,
    ),
    40,
)
TINY = CeilingConfig(_TINY_RECIPE, (0,), dict.fromkeys(MARKETS, 3), 600, 3, (100, 300), 16, 2, 2.0, 20)
"""Sizes that only show that it runs."""


class PathRead(NamedTuple):
    """A path, its regimes, and P(chaos) as said by who knows its market and by each run of who learns it."""

    log_returns: Floats
    regime: NDArray[np.int8]
    knowing: Floats
    learner: Floats


def learner_ceiling(tiny: bool = False) -> Study:
    """Return the study: a run a kind of market. `work` keeps every filtered path, and the filters that were trained."""
    config = TINY if tiny else CeilingConfig()
    return Study(
        name="learner_ceiling",
        title="How near the scale-free filter comes to the best learner",
        question="What share of what a learner can know does the scale-free filter know, over three training seeds?",
        how="The learner knows the wide prior and no market: 512 markets, weighted by their likelihood and refined "
        "where few are left, run twice. Two runs differ; the learner's AUC is twice that of their mean less the mean "
        "of theirs, which removes the loss by noise to first order, and his Brier score the mean product of their "
        "errors, which removes it wholly. Intervals are of paths, drawn whole. The first seed is the shipped filter. "
        "The universal filter, which knows daily index returns, is shown where the scale is one it knows. Rivals stand "
        "beside, told their market: fitted, calibrated and with their settings chosen on 40 other, labeled paths; "
        "and a moving average that is told nothing.",
        cost="about two and a half hours for the paths on one core, and half an hour for each of three filters",
        columns={
            "market": "kind of market, or a part of the wide prior",
            "first_bar": "from which on it is scored",
            "reader": "`learner` as if without noise, one run of his or the mean of all as they are, `knowing` (of the "
            "market), a filter and the seed of its training, or a rival",
            "n_paths": "scored",
            "auc": "of P(chaos) against the true regime, all paths together",
            "auc_low": "lower end of its 95 % interval",
            "auc_high": "upper end",
            "share": "(auc − .5) over that of the learner",
            "share_low": "lower end of its 95 % interval",
            "share_high": "upper end",
            "lead": "auc less that of the shipped filter, `scale_free 0`",
            "lead_low": "lower end of its 95 % interval: both on the same paths",
            "lead_high": "upper end",
            "brier": "mean squared error of P(chaos)",
            "calibration_error": "expected calibration error; of the learner, of the mean of his runs",
        },
        config=config.record(),
        runs={kind: partial(_run, kind, config) for kind in MARKETS},
        inputs=lambda work: {
            f"{SCALE_FREE} {seed}": filter_file(SCALE_FREE, seed, work) for seed in config.training_seeds
        },
    )


def market_of(kind: str, number: int) -> tuple[RegimeSwitchingHeston, np.random.Generator]:
    """The market of path `number` of a kind, and what goes on to draw the path."""
    rng = np.random.default_rng([MARKETS[kind], number])
    return WidePrior().draw(rng) if kind == "wide prior" else getattr(RegimeSwitchingHeston, kind)(), rng


def read_path(kind: str, number: int, config: CeilingConfig, work: Path) -> PathRead:
    """Path `number` of a kind, filtered; `work` keeps it, since it takes a quarter of a minute."""
    file = work / f"{kind.replace(' ', '_')}-{number}.npz"
    if not file.exists():
        market, rng = market_of(kind, number)
        paths = market.simulate(n_paths=1, n_steps=config.n_bars, seed=rng)
        x, learner = paths.log_returns[0], []
        for seed in np.random.default_rng([LEARNER, MARKETS[kind], number]).integers(2**62, size=config.n_runs):
            run = learner_filter(x, WidePrior(), n_markets=config.n_markets, spacing=config.spacing, seed=int(seed))
            learner.append(run.p_regime[:, 1])
        read = PathRead(x, paths.regime[0, 1:], grid_filter(x, market).p_regime[:, 1], np.array(learner))
        work.mkdir(parents=True, exist_ok=True)
        with atomic_path(file) as part, part.open("wb") as stream:
            np.savez_compressed(stream, **read._asdict())
    with np.load(file) as stored:
        return PathRead(*(stored[name] for name in PathRead._fields))


def _run(kind: str, config: CeilingConfig, work: Path, report: Report) -> list[Row]:
    filters = {
        f"{SCALE_FREE} {seed}": trained_filter(SCALE_FREE, seed, config.recipe, work, report)
        for seed in config.training_seeds
    }
    rivals = {OWN_UNITS: _best("wide prior", RIVALS["EWMA"], config)}
    if kind != "wide prior":
        filters["universal"] = NeuralRegimeFilter.load_pretrained("universal")
        rivals |= {TOLD.format(name): _best(kind, settings, config) for name, settings in RIVALS.items()}
    reads = []
    for number in range(config.n_paths[kind]):
        report(kind, number, config.n_paths[kind])
        reads.append(read_path(kind, number, config, work))
    path = PathRead(*(np.array(part) for part in zip(*reads, strict=True)))
    runs = path.learner.swapaxes(0, 1)
    said = {"learner": runs, "learner, one run": runs[:1], "learner, all runs": runs.mean(axis=0)[None]}
    said["knowing"] = path.knowing[None]
    said |= {name: each.predict_proba(path.log_returns)[None, ..., 1] for name, each in filters.items()}
    said |= {
        name: rival.predict_proba(_in_units(path.log_returns, own=name == OWN_UNITS))[None, ..., 1]
        for name, rival in rivals.items()
    }
    parts = {kind: np.ones(len(reads), bool)}
    if kind == "wide prior":
        markets = [market_of(kind, number)[0] for number in range(len(reads))]
        parts |= {name: np.array([belongs(market) for market in markets]) for name, belongs in FAMILIES.items()}
    rows: list[Row] = []
    for name, chosen in parts.items():
        for first in config.first_bars:
            truth, readings = path.regime[chosen, first:], {who: p[:, chosen, first:] for who, p in said.items()}
            if np.unique(truth).size == 2:  # a part of few short paths may lack one
                scored = _scores(truth, readings, config, shipped=f"{SCALE_FREE} {config.training_seeds[0]}")
                rows += [{"market": name, "first_bar": first} | row for row in scored]
    return rows


def _best(kind: str, settings: Sequence[RegimeFilter], config: CeilingConfig) -> RegimeFilter:
    """The one of these that is best on labeled paths of the kind, fitted to them; in own units for the prior."""
    law = WidePrior() if kind == "wide prior" else getattr(RegimeSwitchingHeston, kind)()
    paths = law.simulate(n_paths=config.n_development, n_steps=config.n_bars, seed=DEVELOPMENT)
    returns, regime = _in_units(paths.log_returns, own=kind == "wide prior"), paths.regime[:, 1:]
    fitted = [clone(each).fit(returns, regime) for each in settings]
    first = config.first_bars[0]
    return max(fitted, key=lambda each: auc(regime[:, first:], each.predict_proba(returns)[:, first:, 1]))


def _in_units(log_returns: Floats, *, own: bool) -> Floats:
    """What a rival reads."""
    return 0.01 * rescaled(log_returns, SLOW) if own else log_returns


def _scores(truth: NDArray[np.int8], said: Mapping[str, Floats], config: CeilingConfig, *, shipped: str) -> list[Row]:
    """A row a reader, whose probabilities are (n_runs, n_paths, n_bars); the leads are over `shipped`."""
    chaotic = truth.mean(axis=1)
    drawn = np.random.default_rng(0).integers(len(truth), size=(4 * config.n_resamples, len(truth)))
    drawn = [paths for paths in drawn if 0 < chaotic[paths].mean() < 1][: config.n_resamples]  # an AUC needs both
    counts = np.stack([np.bincount(paths, minlength=len(truth)) for paths in drawn]).astype(np.float64)
    values = {who: _without_noise(truth, p, counts) for who, p in said.items()}
    best, rows = values["learner"] - 0.5, []
    for who, p in said.items():
        own = percentile_interval(values[who][0], values[who][1:], 0.95)
        ratio = (values[who] - 0.5) / best
        share = percentile_interval(ratio[0], ratio[1:], 0.95)
        ahead = values[who] - values[shipped]
        lead = percentile_interval(ahead[0], ahead[1:], 0.95)
        rows.append(
            {
                "reader": who,
                "n_paths": len(truth),
                "auc": own.estimate,
                "auc_low": own.low,
                "auc_high": own.high,
                "share": share.estimate,
                "share_low": share.low,
                "share_high": share.high,
                "lead": lead.estimate,
                "lead_low": lead.low,
                "lead_high": lead.high,
                "brier": float(np.mean((truth - p[0]) * (truth - p[-1]))),
                "calibration_error": expected_calibration_error(truth, p.mean(axis=0)),
            }
        )
    return rows


def _without_noise(truth: NDArray[np.int8], p: Floats, counts: Floats) -> Floats:
    """AUC of all paths, and then of each resample, as if the runs of `p` did not differ."""

    def of(reading: Floats) -> Floats:
        return np.concatenate([[auc(truth, reading)], auc.counted(truth, reading, counts=counts)])

    return of(p[0]) if len(p) == 1 else 2 * of(p.mean(axis=0)) - np.mean([of(one) for one in p], axis=0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study as a program."""
    return run_as_program(learner_ceiling, argv)


if __name__ == "__main__":
    sys.exit(main())
