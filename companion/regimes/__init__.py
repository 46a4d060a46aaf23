"""Regimes: detectors that never look ahead, probabilities that mean what they say, and scores against the truth."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
