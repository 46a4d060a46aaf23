"""Heston markets: simulation, prices, regime switching, and the best possible observer of the regime (chapter 4)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
