"""Figures on pages that are no notebook: one that a chapter stored, or a map of the book.

``{chapter-figure} fig-07-forest`` shows a stored figure of a chapter, so that the front page never says what the
chapter does not. ``{map-figure} book`` draws one of the maps below. The directive's text is the caption.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from plotly_figures import MIME, block
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from companion.plotting import Box, diagram
from companion.plotting._store import stored

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@cache
def chapter_figures() -> dict[str, tuple[str, dict[str, Any]]]:
    """Every stored figure by its name, with the file that holds it."""
    found = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            name = cell["metadata"].get("mystnb", {}).get("figure", {}).get("name")
            for output in cell.get("outputs", []):
                if name and MIME in output.get("data", {}):
                    found[name] = str(path), output["data"][MIME]
    return found


def book_map() -> dict[str, Any]:
    """The chapters by what each hands to the next."""
    boxes = {
        "1": Box("1 Attractors", 0.5, 2, "data"),
        "2": Box("2 Phase space", 0, 1),
        "3": Box("3 State-space<br>models", 0, 0),
        "4": Box("4 A market<br>with a truth", 1, 0, "data"),
        "5": Box("5 Training<br>Mamba", 0.5, -1),
        "6": Box("6 The latent", 0, -2),
        "7": Box("7 Regimes", 1, -2, "chaos"),
        "8": Box("8 Stress<br>tests", 2, -2, "decision"),
        "9": Box("9 Honest<br>backtests", 2, -3, "decision"),
        "10": Box("10 Leverage,<br>kill switch", 1, -3, "decision"),
        "11": Box("11 A safe<br>target", 1, -4, "stable"),
        "12": Box("12 Guardrails,<br>limits", 0, -4, "decision"),
        "13": Box("13 Going<br>live", 0, -5, "stable"),
    }
    handed = {"1": ("2", "4"), "2": ("3",), "3": ("5",), "4": ("5", "7"), "5": ("6", "7"), "7": ("8", "9", "10")}
    handed |= {"10": ("11",), "11": ("12",), "12": ("13",)}
    arrows = [(one, other) for one, others in handed.items() for other in others]
    alt = (
        "Chapter 1 asks what in a market could be predicted; 2 rebuilds a hidden state from the past, 3 learns one. "
        "Chapter 3 gives the model and chapter 4 the market to chapter 5, which trains; 6 looks inside, 7 detects "
        "regimes, 8 breaks the detectors, 9 tests them after costs, 10 turns the probability into leverage, 11 into a "
        "target, 12 trades it within limits, and 13 leaves that running."
    )
    return stored(diagram(boxes, arrows, alt=alt).to_dict())


def bar_to_order() -> dict[str, Any]:
    """What `companion.desk` does with a bar."""
    boxes = {
        "bar": Box("bar, quote,<br>equity", 1, 0, "data"),
        "detector": Box("detector:<br>P(stable)", 0, -1),
        "volatility": Box("volatility σ", 1, -1),
        "monitor": Box("monitor,<br>limits", 2, -1, "decision"),
        "leverage": Box("dimmer:<br>leverage", 0, -2),
        "law": Box("sizing law,<br>caps", 1, -2),
        "posture": Box("normal, hold<br>or flat", 2, -2, "decision"),
        "target": Box("target and<br>its reasons", 1, -3, "stable"),
    }
    arrows = [
        ("bar", "detector"),
        ("bar", "volatility"),
        ("bar", "monitor"),
        ("detector", "leverage"),
        ("leverage", "law"),
        ("volatility", "law"),
        ("monitor", "posture"),
        ("posture", "target"),
        ("law", "target"),
    ]
    alt = (
        "A bar goes to the detector, the volatility and the monitor; the probability becomes leverage, leverage and "
        "volatility go through the sizing law and its caps, and the monitor's posture decides what may be held."
    )
    return stored(diagram(boxes, arrows, alt=alt).to_dict())


MAPS = {"book": book_map, "bar-to-order": bar_to_order}


class PageFigure(SphinxDirective):
    """A figure with the directive's text as caption."""

    required_arguments = 1
    has_content = True

    def stored_figure(self) -> dict[str, Any]:
        """The figure as JSON."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Build the block and its caption."""
        figure = nodes.figure("", nodes.raw("", block(self.stored_figure()), format="html"))
        caption = nodes.caption("", "", *self.parse_inline(" ".join(self.content))[0])
        figure += caption
        return [figure]


class ChapterFigure(PageFigure):
    """A stored figure of a chapter."""

    def stored_figure(self) -> dict[str, Any]:
        """The figure, and the page is built again when the chapter changes."""
        name = self.arguments[0]
        if name not in chapter_figures():
            raise self.error(f"no chapter stores a figure named {name!r}")
        path, figure = chapter_figures()[name]
        self.env.note_dependency(path)
        return figure


class MapFigure(PageFigure):
    """One of the maps of this file."""

    def stored_figure(self) -> dict[str, Any]:
        """The map."""
        name = self.arguments[0]
        if name not in MAPS:
            raise self.error(f"no map named {name!r}; there are {sorted(MAPS)}")
        return MAPS[name]()


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the two directives."""
    app.add_directive("chapter-figure", ChapterFigure)
    app.add_directive("map-figure", MapFigure)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
