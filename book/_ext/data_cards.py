"""The directive ``{data-cards}``: one section a series that `companion.datasets` ships, as its card has it."""

import inspect

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from companion.datasets import CARDS, DataCard


def prose(text: str) -> nodes.paragraph:
    """Return a paragraph in which `names` stand in code type."""
    pieces = enumerate(text.split("`"))
    return nodes.paragraph("", "", *(nodes.literal(text=piece) if i % 2 else nodes.Text(piece) for i, piece in pieces))


def rows(card: DataCard) -> list[tuple[str, nodes.Node]]:
    """Return what the card says, as pairs of a heading and its content."""
    return [
        ("Key", prose(f"`{card.name}`")),
        ("Coverage", prose(card.coverage)),
        ("Columns", prose(", ".join(card.columns))),
        ("Source", prose(card.source)),
        ("License", prose(card.license)),
        ("SHA-256 of the values", prose(f"`{card.sha256}`")),
        ("Notes", nodes.bullet_list("", *(nodes.list_item("", prose(note)) for note in card.notes))),
    ]


def table(card: DataCard) -> nodes.table:
    """Return the card as a table of two columns."""
    body = nodes.tbody()
    for heading, content in rows(card):
        body += nodes.row("", nodes.entry("", prose(heading)), nodes.entry("", content))
    columns = nodes.colspec(colwidth=20), nodes.colspec(colwidth=80)
    return nodes.table("", nodes.tgroup("", *columns, body, cols=2), classes=["data-card", "colwidths-given"])


class DataCards(SphinxDirective):
    """All cards, in the order of the registry."""

    def run(self) -> list[nodes.Node]:
        """Build a section a card."""
        self.env.note_dependency(inspect.getfile(DataCard))  # build this page again when the cards change
        sections: list[nodes.Node] = []
        for card in CARDS.values():
            anchor = nodes.make_id(f"data-{card.name}")
            section = nodes.section("", nodes.title(text=card.title), table(card), ids=[anchor])
            self.state.document.note_explicit_target(section, section)
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("data-cards", DataCards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
