"""Fit the detector that ships with the package: K-Means on the latents of the shipped model, and its calibration.

It takes half a minute. Run it whenever the shipped model has changed: `RegimeDetector.load_pretrained` refuses a
detector that was fitted on another.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from companion._checks import check_count
from companion._files import atomic_write_text, provenance
from companion.errors import InputError
from companion.heston import RegimeSwitchingHeston
from companion.mamba import MarketMamba
from companion.pipeline._step import Report, Step, main
from companion.regimes._detector import FITTED, FORMAT_VERSION, MODEL, RegimeDetector


@dataclass(frozen=True)
class FitDetectorConfig:
    """Fresh paths of the base market; with 200 the share of chaos among them is within a hundredth of the market's.

    Attributes
    ----------
    n_paths : int
        Simulated paths, at least 1.
    n_bars : int
        Bars of a path, in trading days, at least 1; the detector says how many it needs after its warm-up.
    seed : int
        Seed of the paths, at least 0.
    """

    n_paths: int = 200
    n_bars: int = 2060
    seed: int = 31_013

    def __post_init__(self) -> None:
        check_count("n_paths", self.n_paths)
        check_count("n_bars", self.n_bars)
        check_count("seed", self.seed, least=0)


def run(config: FitDetectorConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Fit the detector to a model on simulated paths; the default settings are those of the shipped detector."""
    try:
        detector = fit_detector(config, model=inputs["model"])
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{inputs['model']}: {error}; give more or longer paths, or a model trained longer") from error
    stored = {
        "format_version": FORMAT_VERSION,
        "parameters": detector.parameters(),
        "provenance": provenance(seed=config.seed, config=asdict(config), inputs=inputs),
    }
    atomic_write_text(output, json.dumps(stored, indent=1) + "\n")
    return f"{config.n_paths:,} paths of {config.n_bars:,} bars"


def fit_detector(config: FitDetectorConfig, *, model: Path) -> RegimeDetector:
    """Find the clusters without labels, and calibrate on the true regimes of the same paths."""
    market = RegimeSwitchingHeston.equity_index()
    paths = market.simulate(n_paths=config.n_paths, n_steps=config.n_bars, seed=config.seed)
    return RegimeDetector(MarketMamba.load(model)).fit(paths.log_returns, paths.regime[:, 1:])


STEP = Step("fit-detector", FitDetectorConfig, inputs={"model": str(MODEL)}, output=str(FITTED), run=run)
APP = STEP.app()

if __name__ == "__main__":
    sys.exit(main(STEP))
