"""One figure function a figure kind: arrays in, a Plotly figure out, in the visual language of the whole book.

Importing this room changes nothing; `use` makes a notebook store its figures as plain, rounded numbers only.
The stable regime and the chaos regime have one color each everywhere; every figure carries an alternative text for
readers who can not see it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
