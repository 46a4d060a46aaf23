"""The book's own Sphinx extensions, without building the book."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from docutils import nodes
from docutils.utils import new_document
from sphinx.domains.std import StandardDomain

EXTENSIONS = Path(__file__).parents[2] / "book" / "_ext"


def load(name: str) -> ModuleType:
    """Import an extension without leaving its folder on the path."""
    spec = importlib.util.spec_from_file_location(name, EXTENSIONS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def plotly_figures() -> ModuleType:
    return load("plotly_figures")


def test_a_figure_can_not_close_its_script(plotly_figures: ModuleType) -> None:
    layout = {"meta": {"alt": 'said "</script>"'}, "height": 300}
    text = plotly_figures.block({"data": [], "layout": layout})
    assert text.count("</script>") == 1
    assert 'aria-label="said &quot;&lt;/script&gt;&quot;"' in text


@pytest.mark.parametrize("layout", [{"height": 300}, {"height": 300, "meta": {"alt": ""}}])
def test_a_figure_without_alternative_text_is_refused(plotly_figures: ModuleType, layout: dict) -> None:
    with pytest.raises(ValueError, match="alternative text"):
        plotly_figures.block({"data": [], "layout": layout})


def test_other_mime_types_are_left_to_others(plotly_figures: ModuleType) -> None:
    handle = plotly_figures.PlotlyFigure.handle_mime
    assert handle(None, SimpleNamespace(mime_type="text/html", content=""), inline=False) is None


def test_mathjax_of_the_book_is_in_the_installed_package() -> None:
    offline_math = load("offline_math")
    assert all((offline_math.installed_mathjax() / part).exists() for part in offline_math.PARTS)


def test_chapters_count_from_the_number_of_their_file() -> None:
    chapter_numbers = load("chapter_numbers")

    def item(name: str, *children: nodes.Node) -> nodes.list_item:
        link = nodes.reference(text=name, anchorname=name)
        paragraph = chapter_numbers.addnodes.compact_paragraph("", "", link)
        return nodes.list_item("", paragraph, *children)

    toc = nodes.bullet_list(
        "", item("title", nodes.bullet_list("", item("a", nodes.bullet_list("", item("a.a"))), item("b")))
    )
    numbers = {link["anchorname"]: number for link, number in chapter_numbers.headings(toc, (), first=7)}
    assert numbers == {"title": (7,), "a": (7, 1), "a.a": (7, 1, 1), "b": (7, 2)}
    assert chapter_numbers.CHAPTER.match("notebooks/07_regimes")
    assert not chapter_numbers.CHAPTER.match("book/07_regimes")


def test_benchmark_cells_keep_the_digits_that_count() -> None:
    tables = load("benchmark_tables")
    assert [tables.number(v) for v in (9446.0, 123.4, 12.34, 1.0, 0.98765)] == ["9,450", "123", "12.3", "1.00", "0.988"]
    row = {"case": "a", "contender": "b", "value": 30.25, "unit": "µs", "ratio": None}
    assert tables.cells(row) == ("a", "b", "30.2 µs", "")
    assert tables.cells(row | {"ratio": 5309 / 9.5})[3] == "559 ×"


def test_every_stored_benchmark_has_its_table() -> None:
    tables = load("benchmark_tables")
    results = tables.json.loads(tables.RESULTS.read_text(encoding="utf-8"))
    assert set(results) == set(tables.ORDER)
    for result in results.values():
        assert len(list(tables.table(result["rows"]).findall(nodes.row))) == len(result["rows"]) + 1


def test_a_page_shows_figures_that_a_chapter_stores_and_maps_that_say_what_they_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(EXTENSIONS))
    page_figures = load("page_figures")
    stored = page_figures.chapter_figures()
    intro = (EXTENSIONS.parent / "intro.md").read_text(encoding="utf-8")
    (name,) = re.findall(r"^```\{chapter-figure\} (\S+)$", intro, re.M)
    assert name in stored
    for draw in page_figures.MAPS.values():
        assert page_figures.block(draw()).count("book-plotly") == 1


def test_a_glued_number_gets_a_true_minus_and_a_zero_no_sign() -> None:
    glued_numbers = load("glued_numbers")
    document = new_document("page")
    for text in ("-0.12", "-0.00", "+0.5%", "1998-10-08"):
        document += nodes.inline(text, text, classes=["pasted-text"])
    document += nodes.inline("-1", "-1")
    glued_numbers.typeset_glued(None, document, "page")
    assert [node.astext() for node in document.children] == ["−0.12", "0.00", "+0.5%", "1998-10-08", "-1"]


def test_a_page_is_read_once_for_all_references_to_it() -> None:
    read: list[str] = []
    env = SimpleNamespace(get_doctree=lambda page: read.append(page) or object(), config="the book's")
    quick_references = load("quick_references")
    trees = quick_references.RememberedTrees(env)
    assert trees.get_doctree("chapter") is trees.get_doctree("chapter")
    assert (read, trees.config) == (["chapter"], "the book's")
    assert hasattr(StandardDomain, "_resolve_numref_xref"), "Sphinx calls it otherwise: nothing is remembered"
