"""`RegimeDetector`: K-Means on what the trained Mamba remembers of the returns so far."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from companion._checks import Floats, Labels
from companion._files import read_json, sha256_file
from companion.errors import InputError
from companion.regimes._clusters import KMeansRegimes
from companion.regimes._confidence import PlattCalibration
from companion.regimes._hysteresis import ENTER, LEAVE
from companion.regimes._latent import LatentFilter

if TYPE_CHECKING:
    from companion.mamba import MarketMamba


FORMAT_VERSION = 1
MODEL = Path(__file__).parents[1] / "mamba" / "pretrained" / "market.safetensors"
FITTED = Path(__file__).parent / "pretrained" / "detector.json"
"""What `python -m companion.pipeline.fit_detector` has learned on the latents of `MODEL`."""
REMEDY = "make it again with `python -m companion.pipeline.fit_detector`"


class RegimeDetector(KMeansRegimes, LatentFilter):
    """Regimes as two K-Means clusters of the latent state of `MarketMamba`.

    The latent at bar t is a function of the returns up to t. It is clustered in two, the calmer cluster is called
    stable, and the difference of the squared distances to the centroids is calibrated to a probability.

    Parameters
    ----------
    model : MarketMamba, optional
        The trained model; without one, the checkpoint that ships with the package.
    enter, leave, warm_up, seed
        See `RegimeFilter`.

    Attributes
    ----------
    centroids_ : ndarray of shape (2, d_model)
        Row 0 the stable regime, row 1 chaos.
    calibration_ : PlattCalibration
        From score to probability.
    model_ : MarketMamba
        The model in use.
    """

    def __init__(
        self,
        model: "MarketMamba | None" = None,
        *,
        enter: float = ENTER,
        leave: float = LEAVE,
        warm_up: int = 60,
        seed: int = 0,
    ) -> None:
        super().__init__(enter=enter, leave=leave, warm_up=warm_up, seed=seed)
        self.model = model

    def _fit_recursion(self, paths: Floats, labels: Labels | None = None) -> None:
        from companion.mamba import load_pretrained

        self.model_ = load_pretrained() if self.model is None else self.model

    @classmethod
    def load_pretrained(cls, **settings: Any) -> Self:
        """The fitted detector that ships with the package, on the model that ships with it; the same in every process.

        Parameters
        ----------
        **settings
            `enter`, `leave` and `warm_up`, in place of the stored ones.

        Raises
        ------
        InputError
            When the file is missing or damaged, or was fitted on another model.
        """
        return cls.from_parameters({**read_fitted(FITTED, model=MODEL), **settings})

    def parameters(self) -> dict[str, Any]:
        """What `fit` has learned and the settings, as plain JSON types; `from_parameters` takes it back."""
        self.transform([0.0])  # raises NotFittedError before anything is read
        return {
            "centroids": self.centroids_.tolist(),
            "slope": self.calibration_.slope,
            "intercept": self.calibration_.intercept,
            "enter": self.enter,
            "leave": self.leave,
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
        learned = dict(parameters)
        try:
            centroids = np.array(learned.pop("centroids"), dtype=np.float64)
            calibration = PlattCalibration(float(learned.pop("slope")), float(learned.pop("intercept")))
            detector = cls(model, **learned)
        except (KeyError, TypeError) as error:
            raise ValueError(f"parameters do not describe a RegimeDetector: {error}") from error
        detector._fit_recursion(np.empty((0, 0)))
        width = detector._features(np.zeros((1, 1))).shape[-1]
        if centroids.shape != (2, width) or not np.isfinite(centroids).all():
            raise ValueError(f"centroids have shape {centroids.shape} or are not finite: the model needs (2, {width})")
        detector.centroids_, detector.calibration_ = centroids, calibration
        return detector.reset()


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
