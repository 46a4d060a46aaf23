"""`RegimeDetector`: K-Means on what the trained Mamba remembers of the returns so far."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from companion.regimes.base import Floats
from companion.regimes.clusters import KMeansRegimes
from companion.regimes.confidence import PlattCalibration

if TYPE_CHECKING:
    from companion.mamba import MarketMamba


class RegimeDetector(KMeansRegimes):
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

    model_: "MarketMamba"

    def __init__(
        self,
        model: "MarketMamba | None" = None,
        *,
        enter: float = 0.40,
        leave: float = 0.10,
        warm_up: int = 60,
        seed: int = 0,
    ) -> None:
        super().__init__(enter=enter, leave=leave, warm_up=warm_up, seed=seed)
        self.model = model

    def _fit_recursion(self, paths: Floats) -> None:
        from companion.mamba import load_pretrained

        self.model_ = load_pretrained() if self.model is None else self.model

    def _features(self, paths: Floats) -> Floats:
        from companion.mamba import latents

        return np.asarray(latents(self.model_, paths), dtype=np.float64)

    def _start(self, n_paths: int) -> Any:
        return self.model_.init_state(n_paths)

    def _advance(self, returns: Floats, state: Any) -> tuple[Floats, Any]:
        import torch

        from companion.mamba import market_features

        features = torch.from_numpy(market_features(returns[:, None])[:, 0])
        with torch.no_grad():
            latent, state = self.model_.step(features, state)
        return latent.numpy().astype(np.float64), state

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
