"""What a chapter shows besides its figures: tables that read the same everywhere, and the numbers of its prose.

A table is one output in two forms, so that the book numbers it and JupyterLab draws it. The numbers of the prose are
glued from the run, never typed; where a chapter is run again, `told` gives the new ones to the text.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
