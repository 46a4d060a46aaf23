"""What a trained Mamba remembers of the returns so far, as a feature: whole paths at once, or bar by bar."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from companion._checks import Floats
from companion.regimes._features import Feature

if TYPE_CHECKING:
    from companion.mamba import MarketMamba


@dataclass
class Latent(Feature):
    """The latent of a `MarketMamba`, (…, d_model).

    Parameters
    ----------
    model : MarketMamba
    """

    model: "MarketMamba"
    rms_range = (0.004, 0.03)  # the book's markets: 6 to 48 % a year, of daily bars

    def __post_init__(self) -> None:
        self.stepper = self.model.stepper()

    def fingerprint_parts(self) -> Any:
        """The weights: what tells this latent from another, as `fingerprint` wants to know."""
        return self.stepper.weights

    def fit(self, paths: Floats, *, warm_up: int, seed: int) -> Self:
        """Learn nothing: the model is trained."""
        return self

    def start(self, n_paths: int) -> Any:
        """Zeros."""
        return self.stepper.start(n_paths)

    def advance(self, returns: Floats, state: Any) -> tuple[Floats, Any]:
        """One bar, by the compiled step."""
        from companion.mamba._features import features_of

        latent, state = self.stepper.step(features_of(returns), state)
        return latent.astype(np.float64), state

    def transform(self, paths: Floats) -> Floats:
        """Whole paths, by the scan."""
        from companion.mamba import latents

        return np.asarray(latents(self.model, paths), dtype=np.float64)
