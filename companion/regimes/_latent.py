"""What the detectors on a `MarketMamba` share: its latent as the feature, path by path or bar by bar."""

from typing import TYPE_CHECKING, Any

import numpy as np

from companion.regimes._filter import Floats, RegimeFilter

if TYPE_CHECKING:
    from companion.mamba import MarketMamba


class LatentFilter(RegimeFilter):
    """A detector whose feature is the latent of a `MarketMamba`.

    Attributes
    ----------
    model_ : MarketMamba
        The model in use, set by the fit.
    """

    model_: "MarketMamba"

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
