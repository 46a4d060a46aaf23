"""Chaos: systems that have it, processes that look like it, and tests that can tell them apart, or say why not."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
