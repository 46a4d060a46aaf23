"""Calibrate what the shipped networks say of a past that is unlike the markets of their training.

It takes two minutes. Run it whenever a shipped network or `companion.regimes._ood` changes.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np

from companion._checks import check_count
from companion._files import atomic_write_text, provenance
from companion.mamba import MarketMamba
from companion.pipeline._step import Report, Step, main
from companion.regimes import NeuralRegimeFilter
from companion.regimes._filter_training import MARKETS, simulate_lessons
from companion.regimes._latent import Latent
from companion.regimes._neural_filter import OOD
from companion.regimes._ood import COLD, FORMAT_VERSION, OutOfDistribution

EVERY = 5  # bars; those in between are much like their neighbours


@dataclass(frozen=True)
class CalibrateOodConfig:
    """Fresh paths of the markets of each network, one market a path.

    Attributes
    ----------
    n_cloud : int
        Paths that show where the latents lie, at least 1.
    n_paths : int
        Other paths, which say how far a normal one leaves that, at least 1.
    n_bars : int
        Length of the paths, more than the 60 first bars, which are not judged.
    seed : int
        Seed of the paths, at least 0.
    """

    n_cloud: int = 100
    n_paths: int = 1_000
    n_bars: int = 2_500
    seed: int = 131_001

    def __post_init__(self) -> None:
        for name in ("n_cloud", "n_paths", "n_bars"):
            check_count(name, getattr(self, name))
        if self.n_bars <= COLD:
            raise ValueError(f"n_bars must be more than {COLD}, the bars that are not judged, got {self.n_bars}")
        check_count("seed", self.seed, least=0)


def run(config: CalibrateOodConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Calibrate on simulated paths; the default settings are those of the shipped file."""
    parameters = {}
    for done, (name, file) in enumerate(inputs.items()):
        report(done, len(inputs))
        detector = NeuralRegimeFilter.from_network(MarketMamba.load(file, made_by="companion train-filter"))
        parameters[name] = calibrate(detector, name, config).parameters()
    stored = {
        "format_version": FORMAT_VERSION,
        "provenance": provenance(seed=config.seed, config=asdict(config), inputs=inputs),
        "parameters": parameters,
    }
    atomic_write_text(output, json.dumps(stored) + "\n")
    return f"{len(parameters)} networks, {config.n_paths:,} paths of {config.n_bars:,} bars each"


def calibrate(detector: NeuralRegimeFilter, market: str, config: CalibrateOodConfig) -> OutOfDistribution:
    """The calibration of one detector, on paths of ``MARKETS[market]`` that it has not seen."""
    cloud, paths = (
        simulate_lessons(market, n_paths=n_paths, n_bars=config.n_bars, seed=[config.seed, part]).log_returns
        for part, n_paths in enumerate((config.n_cloud, config.n_paths))
    )
    judged = cast(Latent, detector.feature_).judged
    normal = np.concatenate([judged(path)[COLD::EVERY] for path in cloud])
    return OutOfDistribution.of_features(normal, map(judged, paths))


STEP = Step(
    "calibrate-ood",
    CalibrateOodConfig,
    inputs={name: str(OOD.parent / f"{name}.safetensors") for name in MARKETS},
    output=str(OOD),
    run=run,
)
APP = STEP.app()

if __name__ == "__main__":
    sys.exit(main(STEP))
