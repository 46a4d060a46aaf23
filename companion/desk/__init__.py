"""The desk: the one way from a bar to a position, with every reason; no engine, no clock, no file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
