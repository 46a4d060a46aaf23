"""What a trained Mamba remembers of the returns so far, as a feature: whole paths at once, or bar by bar."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from companion._checks import Floats, decay
from companion.regimes._features import Feature
from companion.regimes._ood import OutOfDistribution, with_moments

if TYPE_CHECKING:
    from companion.mamba import MarketMamba


@dataclass
class Latent(Feature):
    """The latent of a `MarketMamba`, (…, d_model).

    Parameters
    ----------
    model : MarketMamba
    ood : OutOfDistribution, optional
        What tells a past that the model was not trained on.
    """

    model: "MarketMamba"
    ood: OutOfDistribution | None = None

    def __post_init__(self) -> None:
        self.stepper = self.model.stepper()
        half_life = self.model.config.scale_half_life
        self.kept = None if half_life is None else decay(half_life)
        if self.kept is None:
            self.rms_range = (0.004, 0.03)  # the book's markets: 6 to 48 % a year, of daily bars

    def fingerprint_parts(self) -> Any:
        """What tells this latent from another, as `fingerprint` wants to know."""
        return self.stepper.weights, self.kept, None if self.ood is None else self.ood.parameters()

    def fit(self, paths: Floats, *, warm_up: int, seed: int) -> Self:
        """Learn nothing: the model is trained."""
        return self

    def start(self, n_paths: int) -> Any:
        """Zeros: the convolutions, the scans, and the scale where there is one."""
        from companion.mamba._scale import start_scale

        return *self.stepper.start(n_paths), None if self.kept is None else start_scale(n_paths)

    def advance(self, returns: Floats, state: Any) -> tuple[Floats, Any]:
        """One bar, by the compiled step."""
        from companion.mamba._features import features_of
        from companion.mamba._scale import rescale

        conv, hidden, scale = state
        if self.kept is not None:
            returns, scale = rescale(returns, scale, self.kept)
        latent, after = self.stepper.step(features_of(returns), (conv, hidden))
        return latent.astype(np.float64), (*after, scale)

    def transform(self, paths: Floats) -> Floats:
        """Whole paths, by the scan."""
        from companion.mamba import latents

        return np.asarray(latents(self.model, paths), dtype=np.float64)

    def judged(self, paths: Floats) -> Floats:
        """What `ood` looks at, of whole paths: the latent, and two moments of the returns as the model reads them."""
        from companion.mamba._features import SCALE
        from companion.mamba._scale import rescaled

        half_life = self.model.config.scale_half_life
        read = paths if half_life is None else rescaled(paths, half_life)
        return with_moments(self.transform(paths), read / SCALE)
