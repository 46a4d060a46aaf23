"""Number a chapter as its file is numbered: `notebooks/07_regimes.ipynb` is chapter 7, whatever else is published.

Sphinx counts the files of a numbered table of contents, so a book that appears chapter by chapter would renumber its
chapters, figures and exercises with every new one. Part openers and appendices have no number.
"""

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.environment.collectors.toctree import TocTreeCollector

CHAPTER = re.compile(r"notebooks/(\d\d)_\w+$")

Number = tuple[int, ...]


def headings(toc: nodes.Node, prefix: Number, first: int = 1) -> Iterator[tuple[nodes.reference, Number]]:
    """Yield the link of every heading of a page with its number: 7, then 7.1, 7.1.1, …"""
    for count, item in enumerate((node for node in toc.children if isinstance(node, nodes.list_item)), start=first):
        number = (*prefix, count)
        for node in item.children:
            if isinstance(node, addnodes.compact_paragraph):
                yield next(node.findall(nodes.reference)), number
            elif isinstance(node, nodes.bullet_list):
                yield from headings(node, number)


def number_chapters(env: BuildEnvironment) -> list[str]:
    """Set the numbers of all chapters and of their sections; return the chapters."""
    for docname, toc in env.tocs.items():
        chapter = CHAPTER.match(docname)
        if chapter is None:
            continue
        numbers: dict[str, Number] = {}
        for link, number in headings(toc, (), first=int(chapter[1])):
            numbers[link["anchorname"]] = number
            link["secnumber"] = list(number)
        env.toc_secnumbers[docname] = numbers
        env.titles[docname]["secnumber"] = list(numbers[""])
    return [docname for docname in env.tocs if CHAPTER.match(docname)]


def setup(app: Sphinx) -> dict[str, bool]:
    """Number the chapters when the files have their numbers, and figures, equations, exercises and proofs not yet.

    In a handler of its own it would come too late, and all of those would have to be counted twice.
    """
    count_figures = TocTreeCollector.assign_figure_numbers

    def number(collector: TocTreeCollector, env: BuildEnvironment) -> list[str]:
        return number_chapters(env) + count_figures(collector, env)

    TocTreeCollector.assign_figure_numbers = number  # type: ignore[method-assign]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
