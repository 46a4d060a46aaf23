"""Honest backtests: decide on the past, trade after a delay, pay for every trade, put intervals on the result."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
