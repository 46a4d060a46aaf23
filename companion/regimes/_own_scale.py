"""The shipped network in units of its own slow scale: a stop-gap for bars of any volatility, and its calibration.

The network was trained on returns as they are, of 9 to 48 % a year in daily bars. Returns divided by their own slow
scale look like those, whatever they were; the network stays, and the calibration in its head is made anew for each
half-life.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from companion._files import read_json, sha256_file
from companion.errors import InputError
from companion.regimes._confidence import PlattCalibration

if TYPE_CHECKING:
    from companion.mamba import MarketMamba

FORMAT_VERSION = 1
WARM_UP = 720
"""Bars until the scale is one. On minutes drawn at random the area under the curve is .75 before and .83 after."""
REMEDY = "make it again with `python -m companion.pipeline.calibrate_scale`"


def in_own_scale(model: "MarketMamba", half_life: float) -> "MarketMamba":
    """The same weights, reading returns in units of their scale of that half-life in bars; `model` is changed."""
    model.config = replace(model.config, scale_half_life=float(half_life))
    return model


def calibration_file(model: Path) -> Path:
    """Where the calibrations of a shipped network lie: beside it."""
    return model.with_name(f"{model.stem}_own_scale.json")


def own_scale_calibration(model: Path, half_life: float) -> PlattCalibration:
    """The stored calibration of the shipped network in the file `model`, at that half-life.

    Raises
    ------
    ValueError
        When the network has none, or none at this half-life.
    InputError
        When the file is damaged, or belongs to another network.
    """
    path = calibration_file(model)
    if not path.is_file():
        raise ValueError(f"scale_half_life must be None for {model.stem!r}, got {half_life!r}: it is not calibrated so")
    stored = read_json(path, remedy=REMEDY)
    try:
        version, made_for = stored["format_version"], stored["provenance"]["inputs"]["model"]["sha256"]
        known = {float(key): (float(slope), float(intercept)) for key, (slope, intercept) in stored["platt"].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: content is not a calibration ({error!r}); {REMEDY}") from error
    if version != FORMAT_VERSION:
        raise InputError(f"{path}: format_version is {version!r}, this version reads {FORMAT_VERSION}; {REMEDY}")
    if made_for != sha256_file(model):
        raise InputError(f"{path}: model: the calibration is of another network than {model.name}; {REMEDY}")
    if half_life not in known:
        calibrated = ", ".join(f"{key:g}" for key in sorted(known))
        raise ValueError(f"scale_half_life must be one of {calibrated}, which are calibrated, got {half_life!r}")
    return PlattCalibration(*known[half_life])
