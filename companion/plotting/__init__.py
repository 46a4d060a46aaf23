"""One figure function a figure kind: arrays in, a Plotly figure out, in the visual language of the whole book.

Importing this package registers the template ``companion`` and the renderer ``companion`` and makes both the default:
a notebook then stores a figure as plain, rounded numbers and nothing else. The stable regime and the chaos regime have
one color each everywhere; every figure carries an alternative text for readers who can not see it.
"""

from companion.plotting._compose import animate, stack
from companion.plotting._figures import bars, heatmap, histogram, lines, reliability, scatter
from companion.plotting._regimes import regimes
from companion.plotting._store import MIME, stored
from companion.plotting._style import CHAOS, COLORS, STABLE, thin

__all__ = [
    "CHAOS",
    "COLORS",
    "MIME",
    "STABLE",
    "animate",
    "bars",
    "heatmap",
    "histogram",
    "lines",
    "regimes",
    "reliability",
    "scatter",
    "stack",
    "stored",
    "thin",
]
