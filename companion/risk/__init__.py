"""Risk: how much to hold when the model is right, and when to stop because it may not be."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
