"""Mamba on an ordinary computer: the selective scan, the block, and the model of the market built from it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
