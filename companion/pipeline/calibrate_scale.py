"""Calibrate the shipped `universal` filter where it reads returns in units of their own scale.

It takes a minute. Run it whenever the shipped network has changed: `NeuralRegimeFilter.load_pretrained` refuses the
calibration of another.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from companion._checks import check_count, check_positive
from companion._files import atomic_write_text, provenance
from companion.mamba import MarketMamba
from companion.pipeline._step import Report, Step, main
from companion.regimes._filter_training import calibration_of, simulate_lessons
from companion.regimes._neural_filter import UNIVERSAL
from companion.regimes._own_scale import FORMAT_VERSION, WARM_UP, calibration_file, in_own_scale


@dataclass(frozen=True)
class CalibrateScaleConfig:
    """Fresh paths of markets drawn by `RegimeSwitchingHeston.random`, one a path.

    Attributes
    ----------
    half_lives : tuple of float
        Half-lives of the scale, in bars, each positive.
    n_paths : int
        Simulated paths, at least 1.
    n_bars : int
        Bars of a path, at least 1; the first 720 warm up.
    seed : int
        Seed of the paths, at least 0.
    """

    half_lives: tuple[float, ...] = (1000.0, 2000.0, 4000.0)
    n_paths: int = 300
    n_bars: int = 3000
    seed: int = 161_001

    def __post_init__(self) -> None:
        for half_life in self.half_lives:
            check_positive("half_lives", half_life)
        check_count("n_paths", self.n_paths)
        check_count("n_bars", self.n_bars)
        check_count("seed", self.seed, least=0)


def run(config: CalibrateScaleConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Fit one calibration a half-life, all to the same paths; the default settings are those of the shipped file."""
    lessons = simulate_lessons("universal", n_paths=config.n_paths, n_bars=config.n_bars, seed=config.seed)
    platt, model = {}, MarketMamba.load(inputs["model"])
    for done, half_life in enumerate(config.half_lives, start=1):
        calibration = calibration_of(in_own_scale(model, half_life), lessons, warm_up=WARM_UP)
        platt[f"{half_life:g}"] = [calibration.slope, calibration.intercept]
        report(done, len(config.half_lives))
    stored = {
        "format_version": FORMAT_VERSION,
        "platt": platt,
        "provenance": provenance(seed=config.seed, config=asdict(config), inputs=inputs),
    }
    atomic_write_text(output, json.dumps(stored, indent=1) + "\n")
    return f"{len(platt)} half-lives on {config.n_paths:,} paths of {config.n_bars:,} bars"


STEP = Step(
    "calibrate-scale",
    CalibrateScaleConfig,
    inputs={"model": str(UNIVERSAL)},
    output=str(calibration_file(UNIVERSAL)),
    run=run,
)
APP = STEP.app()

if __name__ == "__main__":
    sys.exit(main(STEP))
