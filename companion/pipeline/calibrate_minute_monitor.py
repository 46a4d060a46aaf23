"""Calibrate the monitor of `companion.desk.minute_desk` on simulated minutes.

It takes a minute. Run it whenever the shipped `scale_free` filter changes, what that says of a past, or the rules of
the monitor.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from companion._checks import check_count
from companion._files import atomic_write_text, provenance
from companion.desk._minute import FORMAT_VERSION, MONITOR, minute_filter
from companion.heston import RegimeSwitchingHeston, WidePrior
from companion.heston.kernels._blocks import for_blocks
from companion.pipeline._step import Report, Step, main
from companion.regimes._neural_filter import OOD, SCALE_FREE
from companion.risk import SafetyMonitor
from companion.risk._distance import latents, normal_states, p_values_of

QUIETEST, WILDEST = 0.115, 0.4  # quantiles of the prior's scale: a stable regime of .02 to .12 % a minute
START, TICK = 50_000.0, 0.1


@dataclass(frozen=True)
class CalibrateMinuteMonitorConfig:
    """Fresh paths of markets drawn at random, one a path.

    Attributes
    ----------
    n_metric : int
        Paths that give the distance its unit, at least 1.
    n_paths : int
        Other paths, which set the thresholds: three in four of them have to be as many as `false_kill` asks for.
    n_bars : int
        Minutes after the warm-up, at least 1: the horizon of the promise.
    false_kill : float
        Probability of stopping a normal path within the horizon, in (0, 1).
    seed : int
        Seed of the paths, at least 0.
    """

    n_metric: int = 80
    n_paths: int = 800
    n_bars: int = 1440
    false_kill: float = 1 / 30
    seed: int = 161_002

    def __post_init__(self) -> None:
        for name in ("n_metric", "n_paths", "n_bars"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, least=0)


def minute_market(rng: np.random.Generator) -> RegimeSwitchingHeston:
    """A market of the wide prior whose bar is a minute, at 15 to 90 % a year in calm."""
    prior = WidePrior()
    return prior.market([*rng.random(prior.n_coordinates - 1), rng.uniform(QUIETEST, WILDEST)])


def minute_returns(*, n_paths: int, n_bars: int, seed: int | list[int]) -> NDArray[np.float64]:
    """Log returns (n_paths, n_bars) of prices on a tick, each path of a market of its own."""
    returns = np.empty((n_paths, n_bars))

    def fill(path: int, _: int) -> None:
        rng = np.random.default_rng([*np.atleast_1d(seed), path])
        market = minute_market(rng)
        paths = market.simulate(n_paths=1, n_steps=n_bars, s0=START, seed=rng)
        returns[path] = np.diff(np.log(np.rint(paths.price[0] / TICK)))

    for_blocks(fill, n_paths, block=1)
    return returns


def run(config: CalibrateMinuteMonitorConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Calibrate on simulated paths; the default settings are those of the shipped monitor."""
    monitor = calibrate(config)
    stored = {
        "format_version": FORMAT_VERSION,
        "provenance": provenance(seed=config.seed, config=asdict(config), inputs=inputs),
        "parameters": monitor.parameters(),
    }
    atomic_write_text(output, json.dumps(stored) + "\n")
    return f"{config.n_paths:,} paths of {config.n_bars:,} minutes"


def calibrate(config: CalibrateMinuteMonitorConfig) -> SafetyMonitor:
    """The monitor of the shipped filter, on paths that neither has seen."""
    detector = minute_filter()
    n_bars = detector.warm_up + config.n_bars
    metric, paths = (
        minute_returns(n_paths=n_paths, n_bars=n_bars, seed=[config.seed, part])
        for part, n_paths in enumerate((config.n_metric, config.n_paths))
    )
    states, centroids = normal_states(detector, metric, warm_up=detector.warm_up)
    return SafetyMonitor(
        states,
        centroids,
        calibration_paths=latents(detector, paths, warm_up=detector.warm_up),
        calibration_returns=paths,
        calibration_p_values=p_values_of(detector, paths),
        false_kill=config.false_kill,
    )


STEP = Step(
    "calibrate-minute-monitor",
    CalibrateMinuteMonitorConfig,
    inputs={"model": str(SCALE_FREE), "ood": str(OOD)},
    output=str(MONITOR),
    run=run,
)
APP = STEP.app()

if __name__ == "__main__":
    sys.exit(main(STEP))
