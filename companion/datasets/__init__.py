"""Real prices that come with the installation, each with a data card, and the door through which a user's prices enter.

Nothing here touches the network: the series ship inside the packages `arch` and `skfolio`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
