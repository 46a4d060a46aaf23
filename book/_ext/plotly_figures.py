"""Draw the Plotly figures that the notebooks store, without a network.

A notebook keeps a figure as JSON (`companion.plotting`). Here it becomes a labelled block with that JSON inside, which
`figures.js` draws with the plotly.js of the installed `plotly` package: copied once into the book, and loaded only by
pages that have a figure.
"""

import html
import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import plotly
from docutils import nodes
from myst_nb.core import render
from sphinx.application import Sphinx

MIME = "application/vnd.plotly.v1+json"
SCRIPTS = ("plotly.min.js", "figures.js")


class PlotlyFigure:
    """A myst-nb renderer of Plotly's mime type."""

    mime_priority_overrides: ClassVar = [("html", MIME, 1), ("singlehtml", MIME, 1)]

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        """Return the block of a figure, or None to leave other mime types to the other renderers."""
        if inline or data.mime_type != MIME:
            return None
        return [nodes.raw("", block(data.content), format="html")]


def block(figure: dict[str, Any]) -> str:
    """Return the HTML of one figure.

    Raises
    ------
    ValueError
        If the figure has no alternative text.
    """
    layout = figure["layout"]
    alt = layout.get("meta", {}).get("alt")
    if not alt:
        raise ValueError("a figure has no alternative text: make it with companion.plotting, which asks for alt")
    label = html.escape(alt, quote=True)
    figure_json = json.dumps(figure, separators=(",", ":"), sort_keys=True).replace("</", "<\\/")
    return (
        f'<div class="book-plotly" role="group" aria-roledescription="interactive figure" aria-label="{label}"'
        f' style="min-height:{int(layout["height"])}px"><script type="application/json">{figure_json}</script>'
        f"<noscript><p>{label}</p></noscript></div>"
    )


def load_scripts(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Load plotly.js on the pages that need it and no other: it is 4 MB."""
    if "book-plotly" in context.get("body", ""):
        for script in SCRIPTS:
            app.add_js_file(script, loading_method="defer")


def copy_plotly(app: Sphinx, exception: Exception | None) -> None:
    """Copy plotly.js from the installed package into the book."""
    if exception is None and app.builder.format == "html":
        source = Path(plotly.__file__).parent / "package_data" / SCRIPTS[0]
        shutil.copyfile(source, Path(app.outdir) / "_static" / SCRIPTS[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer for this book only.

    myst-nb finds renderers by entry point, which would change every Sphinx project in the reader's environment; it
    keeps what it found in one cached list, so joining that list reaches this build and nothing else.
    """
    renderers = render.load_mime_renders()
    if PlotlyFigure not in renderers:
        renderers.append(PlotlyFigure)
    app.connect("html-page-context", load_scripts)
    app.connect("build-finished", copy_plotly)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
