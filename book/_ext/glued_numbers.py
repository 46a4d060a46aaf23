"""A glued number looks like the text around it: a true minus, and no sign on a zero."""

from docutils import nodes
from sphinx.application import Sphinx

from companion.notebook._words import typographic


def typeset_glued(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Rewrite what `glue` pasted into the text of a page."""
    for node in doctree.findall(nodes.inline):
        if "pasted-text" in node["classes"]:
            node[:] = [nodes.Text(typographic(node.astext()))]


def setup(app: Sphinx) -> dict[str, bool]:
    """Run when MyST-NB has pasted its values."""
    app.connect("doctree-resolved", typeset_glued)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
