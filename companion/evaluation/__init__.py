"""Evaluation: scores against the truth, with their intervals; comparisons, forecasts, crises, stress, the latent."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
