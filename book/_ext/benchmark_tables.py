"""The directive ``{benchmark-tables}``: a section a benchmark, its numbers as `benchmarks/results.json` has them."""

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results.json"
ORDER = (
    "scan",
    "training_step",
    "streaming",
    "length_and_memory",
    "chaos",
    "heston",
    "neural_filter",
    "target_position",
    "liquidity",
    "backtest",
    "sweep",
    "execution",
    "live",
    "live_kills",
    "roofline",
)
HEADINGS = ("Case", "Contender", "Median", "Against companion")


def number(value: float) -> str:
    """Return three digits that count, without an exponent: 9400, 12.3, 0.987."""
    digits = f"{value:#.3g}"
    return f"{float(digits):,.0f}" if abs(float(digits)) >= 100 else digits


def cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """Return what a row of the table says."""
    ratio = "" if row["ratio"] is None else f"{number(row['ratio'])} ×"
    return row["case"], row["contender"], f"{number(row['value'])} {row['unit']}", ratio


def table(rows: list[dict[str, Any]]) -> nodes.table:
    """Return the table of one benchmark."""
    lines = [
        nodes.row("", *(nodes.entry("", nodes.paragraph(text=text)) for text in line))
        for line in (HEADINGS, *map(cells, rows))
    ]
    columns = [nodes.colspec(colwidth=width) for width in (32, 32, 20, 16)]
    group = nodes.tgroup("", *columns, nodes.thead("", lines[0]), nodes.tbody("", *lines[1:]), cols=len(columns))
    return nodes.table("", group, classes=["benchmark"])


def setting(values: dict[str, Any]) -> str:
    """Return one sentence about threads and versions."""
    versions = ", ".join(f"{name} {version}" for name, version in values.items() if name != "threads")
    return f"{values['threads']} threads; {versions}."


class BenchmarkTables(SphinxDirective):
    """All benchmarks that were stored."""

    def run(self) -> list[nodes.Node]:
        """Build a section a benchmark."""
        self.env.note_dependency(str(RESULTS))  # build this page again when the numbers change
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
        sections: list[nodes.Node] = []
        for name in ORDER:
            result = results[name]
            title, _, remark = result["question"].partition(";")
            command = nodes.paragraph("", "", nodes.literal(text=f"python benchmarks/{name}.py"))
            command += nodes.Text(f". {setting(result['setting'])}")
            if remark:
                command += nodes.Text(f" A case is {remark.strip()}.")
            anchor = nodes.make_id(f"benchmark-{name}")
            section = nodes.section("", nodes.title(text=title), command, table(result["rows"]), ids=[anchor])
            self.state.document.note_explicit_target(section, section)
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("benchmark-tables", BenchmarkTables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
