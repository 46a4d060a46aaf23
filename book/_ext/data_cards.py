"""The directives ``{data-cards}`` and ``{study-cards}``: a table a series or study that ships, as its card has it."""

import inspect

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from companion.datasets import CARDS, DataCard, load_study
from companion.datasets._studies import STORED, study_names


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


def study_rows(name: str) -> list[tuple[str, nodes.Node]]:
    """Return what the card of a study says, in the same form."""
    study = load_study(name)
    card = study.attrs["card"]
    columns = (prose(f"`{column}`: {meaning}") for column, meaning in card["columns"].items())
    return [
        ("Key", prose(f"`{name}`")),
        *((label.capitalize(), prose(card[label])) for label in ("question", "how", "cost")),
        ("Command", prose(f"`{card['command']}`")),
        ("Lines", prose(f"{len(study)}")),
        ("Columns", nodes.bullet_list("", *(nodes.list_item("", column) for column in columns))),
    ]


def table(content: list[tuple[str, nodes.Node]]) -> nodes.table:
    """Return a card as a table of two columns."""
    body = nodes.tbody()
    for heading, node in content:
        body += nodes.row("", nodes.entry("", prose(heading)), nodes.entry("", node))
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
            section = nodes.section("", nodes.title(text=card.title), table(rows(card)), ids=[anchor])
            self.state.document.note_explicit_target(section, section)
            sections.append(section)
        return sections


class StudyCards(SphinxDirective):
    """All studies, by name."""

    def run(self) -> list[nodes.Node]:
        """Build a table a study, under its title."""
        built: list[nodes.Node] = []
        for name in study_names():
            self.env.note_dependency(str(STORED / f"{name}.json"))
            built += [nodes.rubric(text=load_study(name).attrs["card"]["title"]), table(study_rows(name))]
        return built


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("data-cards", DataCards)
    app.add_directive("study-cards", StudyCards)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
