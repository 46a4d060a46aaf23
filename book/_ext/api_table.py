"""The directive ``{api-table} ROOM``: the public names of a room, what each is, and the chapters that use it."""

import ast
import importlib
import inspect
import json
import re
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def uses(source: str) -> set[str]:
    """Return the public names of `companion`, as ``room.name``, that a cell of code mentions."""
    found, rooms = set(), set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("companion"):
            room = (node.module or "").partition(".")[2]
            names = {alias.name for alias in node.names}
            rooms |= set() if room else names
            found |= {f"{room}.{name}" for name in names} if room else set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add(f"{node.value.id}.{node.attr}")
    return found


@cache
def chapters() -> dict[str, list[str]]:
    """Return for each ``room.name`` the notebooks that use it, in order."""
    places: dict[str, list[str]] = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        for name in uses(code):
            places.setdefault(name, []).append(path.stem)
    return places


def summary(value: object) -> str:
    """Return the first sentence of a docstring, or the value of a constant in short."""
    if not (inspect.isclass(value) or callable(value)):
        text = repr(value)
        return text if len(text) < 40 else f"{type(value).__name__}, see below"
    first = (inspect.getdoc(value) or "").partition("\n\n")[0]
    return " ".join(first.split())


def home(value: object) -> str:
    """Return the room that a class or function was made in; another may hand it on."""
    return value.__module__.partition("._")[0]


class ApiTable(SphinxDirective):
    """A row a name: linked, in one line, and the numbers of the chapters, linked."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        room = self.arguments[0]
        module = importlib.import_module(f"companion.{room}")
        for path in NOTEBOOKS.glob("*.ipynb"):
            self.env.note_dependency(str(path))  # build this page again when a chapter changes
        body = nodes.tbody()
        for name in module.__all__:
            value = getattr(module, name)
            documented = inspect.isclass(value) or callable(value)
            shown = self._reference(f"{home(value)}.{name}") if documented else nodes.literal(text=name)
            used = self._links(f"{room.rpartition('.')[2]}.{name}")
            cells = nodes.paragraph("", "", shown), self._plain(summary(value)), used
            body += nodes.row("", *(nodes.entry("", cell) for cell in cells))
        head = nodes.thead("", nodes.row("", *(nodes.entry("", nodes.paragraph(text=t)) for t in HEADINGS)))
        widths = [nodes.colspec(colwidth=width) for width in (30, 55, 15)]
        group = nodes.tgroup("", *widths, head, body, cols=3)
        return [nodes.container("", nodes.table("", group, classes=["colwidths-given"]), classes=["wide-table"])]

    def _reference(self, target: str) -> nodes.Node:
        return addnodes.pending_xref(
            "",
            nodes.literal(text=target.rpartition(".")[2]),
            refdomain="py",
            reftype="obj",
            reftarget=target,
            refexplicit=True,
            refdoc=self.env.docname,
            refwarn=True,
        )

    def _plain(self, text: str) -> nodes.paragraph:
        pieces = enumerate(re.split(r"``?([^`]+)``?", text))
        return nodes.paragraph("", "", *(nodes.literal(text=p) if i % 2 else nodes.Text(p) for i, p in pieces))

    def _links(self, name: str) -> nodes.paragraph:
        paragraph = nodes.paragraph()
        for number, stem in enumerate(chapters().get(name, [])):
            if number:
                paragraph += nodes.Text(", ")
            paragraph += addnodes.pending_xref(
                "",
                nodes.inline(text=str(int(stem[:2]))),
                refdomain="std",
                reftype="doc",
                reftarget=f"/notebooks/{stem}",
                refexplicit=True,
                refdoc=self.env.docname,
                refwarn=True,
            )
        return paragraph


HEADINGS = ("name", "what it is", "chapters")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("api-table", ApiTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
