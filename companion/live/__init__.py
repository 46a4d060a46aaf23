"""What surrounds the strategy when it runs live: store, feed, warm-up, breaker, audit, and a simulated exchange."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
