"""The strategy, its execution algorithm and the gate in front of the engine, for NautilusTrader 1.221 and 1.231."""

from companion._checks import need

need("nautilus_trader", "nautilus")

import lazy_loader  # noqa: E402

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
