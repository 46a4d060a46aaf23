"""`RegimeDetector`: K-Means on what the trained Mamba remembers of the returns so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from sklearn.utils.validation import check_is_fitted

from companion._files import read_json, sha256_file
from companion.errors import InputError
from companion.regimes._confidence import PlattCalibration
from companion.regimes._features import Feature
from companion.regimes._filter import RegimeFilter
from companion.regimes._latent import Latent
from companion.regimes._rules import Rule, TwoMeans

if TYPE_CHECKING:
    from companion.mamba import MarketMamba


FORMAT_VERSION = 2
MODEL = Path(__file__).parents[1] / "mamba" / "pretrained" / "market.safetensors"
FITTED = Path(__file__).parent / "pretrained" / "detector.json"
"""What `companion.pipeline.fit_detector` has learned on the latents of `MODEL`."""
REMEDY = "make it again with `python -m companion.pipeline.fit_detector`"


@dataclass(eq=False, repr=False)
class RegimeDetector(RegimeFilter):
    """Regimes as two K-Means clusters of the latent state of `MarketMamba`.

    The latent at bar t is a function of the returns up to t. It is clustered in two, the calmer cluster is called
    stable, and the difference of the squared distances to the centroids is calibrated to a probability.

    Parameters
    ----------
    model : MarketMamba, optional
        The trained model; without one, the checkpoint that ships with the package.
    enter_chaos, leave_chaos, warm_up, seed
        See `RegimeFilter`.

    Attributes
    ----------
    centroids_ : ndarray of shape (2, d_model)
        Row 0 the stable regime, row 1 chaos.
    model_ : MarketMamba
        The model in use.
    """

    model: "MarketMamba | None" = None

    def _parts(self) -> tuple[Feature, Rule]:
        from companion.mamba import load_pretrained

        return Latent(load_pretrained() if self.model is None else self.model), TwoMeans()

    @property
    def model_(self) -> "MarketMamba":
        """The model in use."""
        return cast(Latent, self.feature_).model

    @classmethod
    def load_pretrained(cls, **settings: Any) -> Self:
        """The fitted detector that ships with the package, on the model that ships with it; the same in every process.

        Parameters
        ----------
        **settings
            `enter_chaos`, `leave_chaos` and `warm_up`, in place of the stored ones.

        Raises
        ------
        InputError
            When the file is missing or damaged, or was fitted on another model.
        """
        return cls.from_parameters({**read_fitted(FITTED, model=MODEL), **settings})

    def parameters(self) -> dict[str, Any]:
        """What `fit` has learned and the settings, as plain JSON types; `from_parameters` takes it back."""
        check_is_fitted(self, "calibration_")
        return {
            "centroids": cast(TwoMeans, self.rule_).centroids_.tolist(),
            "slope": self.calibration_.slope,
            "intercept": self.calibration_.intercept,
            "enter_chaos": self.enter_chaos,
            "leave_chaos": self.leave_chaos,
            "warm_up": self.warm_up,
            "seed": self.seed,
        }

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any], *, model: "MarketMamba | None" = None) -> Self:
        """A fitted detector from `parameters()` and the model they were fitted with.

        Raises
        ------
        ValueError
            When a parameter is missing or unknown, or the centroids do not fit the model.
        """
        from companion.mamba import load_pretrained

        learned = dict(parameters)
        try:
            centroids = np.array(learned.pop("centroids"), dtype=np.float64)
            calibration = PlattCalibration(float(learned.pop("slope")), float(learned.pop("intercept")))
            detector = cls(model, **learned)
        except (KeyError, TypeError) as error:
            raise ValueError(f"parameters must describe a RegimeDetector, got others: {error}") from error
        feature, rule = Latent(load_pretrained() if model is None else model), TwoMeans()
        shape = (2, feature.stepper.d_model)
        if centroids.shape != shape or not np.isfinite(centroids).all():
            raise ValueError(f"centroids must be finite and of shape {shape} to fit the model, got {centroids.shape}")
        rule.centroids_ = centroids
        return detector._take(feature, rule, calibration, "whatever gave the stored parameters")


def read_fitted(path: Path, *, model: Path) -> dict[str, Any]:
    """`RegimeDetector.parameters` from a file that `fit_detector` wrote, if they belong to the checkpoint `model`."""
    stored = read_json(path, remedy=REMEDY)
    try:
        version, parameters = stored["format_version"], dict(stored["parameters"])
        fitted_on = stored["provenance"]["inputs"]["model"]["sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: content is not a fitted detector ({error!r}); {REMEDY}") from error
    if version != FORMAT_VERSION:
        raise InputError(f"{path}: format_version is {version!r}, this version reads {FORMAT_VERSION}; {REMEDY}")
    if fitted_on != sha256_file(model):
        raise InputError(f"{path}: model: the detector was fitted on another model than {model.name}; {REMEDY}")
    return parameters
