"""Fit the detector that ships with the package: K-Means on the latents of the shipped model, and its calibration.

`python -m companion.pipeline.fit_detector` takes half a minute. Run it whenever the shipped model has changed:
`RegimeDetector.load_pretrained` refuses a detector that was fitted on another.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from companion._files import atomic_write_text, provenance
from companion.errors import InputError
from companion.heston import RegimeSwitchingHeston
from companion.mamba import MarketMamba
from companion.regimes._detector import FITTED, FORMAT_VERSION, MODEL, RegimeDetector


@dataclass(frozen=True)
class FitDetectorConfig:
    """Fresh paths of the base market; with 200 the share of chaos among them is within a hundredth of the market's."""

    n_paths: int = 200
    n_bars: int = 2060
    seed: int = 31_013


def fit_detector(config: FitDetectorConfig, *, model: Path) -> RegimeDetector:
    """Find the clusters without labels, and calibrate on the true regimes of the same paths."""
    market = RegimeSwitchingHeston.equity_index()
    paths = market.simulate(n_paths=config.n_paths, n_steps=config.n_bars, seed=config.seed)
    return RegimeDetector(MarketMamba.load(model)).fit(paths.log_returns, paths.regime[:, 1:])


def store_detector(detector: RegimeDetector, config: FitDetectorConfig, path: Path, *, model: Path) -> None:
    """Write what the detector has learned, with its provenance, to `path`, in one step."""
    stored = {
        "format_version": FORMAT_VERSION,
        "parameters": detector.parameters(),
        "provenance": provenance(seed=config.seed, config=asdict(config), inputs={"model": model}),
    }
    atomic_write_text(path, json.dumps(stored, indent=1) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run as a program and return its exit status: 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m companion.pipeline.fit_detector", description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL, metavar="FILE", help="checkpoint to fit on (the shipped)")
    parser.add_argument("--out", type=Path, default=FITTED, metavar="FILE", help="file to write (the shipped)")
    options = parser.parse_args(argv)
    try:
        config = FitDetectorConfig()
        store_detector(fit_detector(config, model=options.model), config, options.out, model=options.model)
    except InputError as error:
        print(f"fit_detector: {error}", file=sys.stderr)
        return 2
    print(f"fit_detector: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
