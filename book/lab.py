"""Write the chapters as JupyterLab reads them: `make lab`, or `python book/lab.py [FOLDER]`.

The source of a chapter speaks Sphinx: citations, numbered figures, glued numbers. Here every role and directive becomes
what JupyterLab draws with its MyST extension, and a glued number becomes an expression, so that the text follows when a
reader changes a parameter and runs the chapter again. A chapter that the reader has changed is never written over.
"""

import argparse
import hashlib
import json
import re
import sys
from ast import literal_eval
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from pybtex.database import BibliographyData, Person, parse_file

from companion._files import atomic_write_text
from companion.notebook import typeset

ROOT = Path(__file__).resolve().parents[1]
RECORD = "application/papermill.record/text/plain"
FOLDED = {"hide-input", "remove-input", "remove-cell", "hide-cell"}
ROLE = re.compile(r"\{([a-z][\w:]*)\}`([^`]+)`")
FENCE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})[ ]*\{(?P<name>[\w:-]+)\}(?P<title>[^\n]*)\n(?P<body>.*?)^(?P=fence)[ ]*$", re.M | re.S
)
# What is written for JupyterLab has other braces until the end: the loops look for those of the source.
OPEN, CLOSE = "\N{LEFT WHITE SQUARE BRACKET}", "\N{RIGHT WHITE SQUARE BRACKET}"
FINISH = str.maketrans({OPEN: "{", CLOSE: "}"})
EXERCISE_FENCE = ":" * 6
OPTION = re.compile(r"^:([\w-]+):[ ]*(.*)$", re.M)
OPTIONS = re.compile(r"(?:[ ]*:[\w-]+:.*\n)*")
TOLD = "from companion.notebook import told  # the text asks it for its numbers"


class Labels:
    """What the book calls each label: "Figure 10.2", "(10.1)", "Definition 10.1"."""

    def __init__(self, notebook: NotebookNode, chapter: int) -> None:
        self.chapter = chapter
        self.counts: Counter[str] = Counter()
        self.names: dict[str, str] = {}
        self.titles: dict[str, str] = {}  # of sections
        self.section = [0, 0]
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                self._of_text(cell.source)
                self._of_headings(cell.source)
                continue
            for output in cell.outputs:
                if name := re.search(r"^:name: (\S+)$", _data(output, "text/markdown"), re.M):
                    self._add(name[1], "Table")
            if figure := cell.metadata.get("mystnb", {}).get("figure"):
                self._add(figure["name"], "Figure")

    def _add(self, label: str, kind: str) -> None:
        self.counts[kind] += 1
        number = f"{self.chapter}.{self.counts[kind]}"
        self.names[label] = f"({number})" if kind == "equation" else f"{kind} {number}"

    def _of_headings(self, text: str) -> None:
        """Sections count as Sphinx counts them: 10.2, 10.2.1."""
        for label, signs, title in re.findall(r"^(?:\(([\w-]+)\)=\n+)?(##|###) (.+)$", text, re.M):
            self.section = [self.section[0] + 1, 0] if signs == "##" else [self.section[0], self.section[1] + 1]
            if label:
                numbers = [self.chapter, *(number for number in self.section if number)]
                self.names[label] = f"Section {'.'.join(map(str, numbers))}"
                self.titles[label] = title

    def _of_text(self, text: str) -> None:
        for match in re.finditer(FENCE.pattern + r"|^\$\$[^$]*\$\$ \((?P<eq>[\w-]+)\)", text, re.M | re.S):
            if match["eq"]:
                self._add(match["eq"], "equation")
                continue
            options = dict(OPTION.findall(OPTIONS.match(match["body"])[0]))  # type: ignore[index]
            label = options.get("label") or options.get("name")
            name = match["name"]
            if name == "math" and label:
                self._add(label, "equation")
            elif name in ("list-table", "table") and label:
                self._add(label, "Table")
            elif name.startswith("prf:") and name != "prf:proof":
                self._add(label or f"unnamed {len(self.names)}", name[4:].capitalize())
            elif name.startswith("exercise") and name != "exercise-end":
                self._add(label or f"unnamed {len(self.names)}", "Exercise")
            self._of_text(match["body"])  # a directive may hold others


class Edition:
    """One chapter in the form that JupyterLab reads."""

    def __init__(
        self,
        notebook: NotebookNode,
        labels: dict[str, str],
        sections: dict[str, str],
        titles: dict[str, str],
        works: "Works",
    ) -> None:
        self.notebook = nbformat.from_dict(notebook)
        self.labels, self.sections, self.titles, self.works = labels, sections, titles, works
        self.values = {
            output.metadata.scrapbook.name: _value(output)
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            if RECORD in output.get("data", {})
        }

    def write(self) -> NotebookNode:
        """The chapter, converted."""
        cells: list[NotebookNode] = []
        for cell in self.notebook.cells:
            if cell.cell_type == "markdown":
                cells += self._text_cell(cell)
            else:
                cells += self._code_cell(cell)
        self.notebook.cells = cells
        return self.notebook

    def _text_cell(self, cell: NotebookNode) -> Iterable[NotebookNode]:
        if start := re.match(r"\s*`{3,}\{solution-start\}.*?^`{3,}[ ]*$", cell.source, re.M | re.S):
            heading = new_markdown_cell(self.text(start[0]), id=f"heading-{cell.id}"[:64])
            heading.metadata["jp-MarkdownHeadingCollapsed"] = True  # everything up to the next heading folds
            yield heading
            cell.source = cell.source[start.end() :]
        cell.source = self.text(cell.source)
        if cell.source:
            self._store_values(cell)
            yield cell

    def _code_cell(self, cell: NotebookNode) -> Iterable[NotebookNode]:
        described = cell.metadata.pop("mystnb", {}).get("figure")
        if "from companion.notebook import" in cell.source:
            cell.source += f"\n{TOLD}"
        if FOLDED & set(cell.metadata.get("tags", [])):
            cell.metadata["jupyter"] = {"source_hidden": True}
        cell.outputs = [output for output in cell.outputs if RECORD not in output.get("data", {})]
        for output in cell.outputs:
            if name := re.search(r"^:name: (\S+)$", _data(output, "text/markdown"), re.M):
                numbered = f'<caption style="text-align: left"><b>{self._name(name[1])}.</b> '
                html = output.data["text/html"].replace('<caption style="text-align: left">', numbered)
                output.data = nbformat.from_dict({"text/html": html, "text/plain": output.data["text/plain"]})
        yield cell
        if described:
            text = f"**{self._name(described['name'])}.** {self.text(described['caption'])}"
            caption = new_markdown_cell(text, id=f"caption-{cell.id}"[:64])
            self._store_values(caption)
            yield caption

    def _store_values(self, cell: NotebookNode) -> None:
        expressions = [text for name, text in ROLE.findall(cell.source) if name == "eval"]
        stored = [
            {"expression": text, "result": {"status": "ok", "data": {"text/plain": self._now(text)}, "metadata": {}}}
            for text in dict.fromkeys(expressions)
        ]
        if stored:
            cell.metadata["user_expressions"] = nbformat.from_dict(stored)

    def _now(self, expression: str) -> str:
        key, spec = re.findall(r'"([^"]*)"', expression)
        return repr(typeset(self.values[key], spec))

    def text(self, text: str) -> str:
        """Markdown of the source as JupyterLab's extension draws it."""
        while FENCE.search(text):
            text = FENCE.sub(self._directive, text)
        text = re.sub(r"^\$\$([^$]*)\$\$(?: \(([\w-]+)\))?", lambda m: self._math(m[1], m[2] or ""), text, flags=re.M)
        text = re.sub(r"^\([\w-]+\)=\n", "", text, flags=re.M)
        text = re.sub(r"\[([^]]+)\]\(\.\./book/[^)]*\)", r"\1", text)
        text = ROLE.sub(self._role, text).strip()
        return text.translate(FINISH)

    def _role(self, match: re.Match[str]) -> str:
        name, text = match[1], match[2]
        words, _, target = re.fullmatch(r"(?:([^<]*?)\s*(<)(?=.*>$))?(.*?)>?", text, re.S).groups()  # type: ignore[union-attr]
        handlers: dict[str, Callable[[], str]] = {
            "glue:text": lambda: self._number(text),
            "doc": lambda: self._chapter(words, target),
            "numref": lambda: self._name(target),
            "eq": lambda: self._name(target),
            "prf:ref": lambda: self._name(target),
            "ref": lambda: words or self.sections.get(target) or self._name(target),
            "cite:t": lambda: self.works.in_text(text),
            "cite:p": lambda: self.works.in_parentheses(text),
            "term": lambda: words or target,
        }
        if name.startswith("py:"):
            return f"`{target.rpartition('.')[2]}`"
        if name not in handlers:
            raise SystemExit(f"book/lab.py does not know the role {name!r} of {match[0]!r}")
        return handlers[name]()

    def _number(self, text: str) -> str:
        key, _, spec = text.partition(":")
        if key not in self.values:
            raise SystemExit(f"the text quotes {key!r}, which no cell tells")
        return f'{OPEN}eval{CLOSE}`told("{key}", "{spec}")`'

    def _chapter(self, words: str | None, target: str) -> str:
        name = Path(target).name
        file = f"{name}.ipynb"
        return f"[{words or self.titles[file]}]({file})" if file in self.titles else words or name

    def _name(self, label: str) -> str:
        if label not in self.labels:
            raise SystemExit(f"no chapter defines the label {label!r}")
        return self.labels[label]

    def _directive(self, match: re.Match[str]) -> str:
        name, title, body = match["name"], match["title"].strip(), match["body"]
        head = OPTIONS.match(body)[0]  # type: ignore[index]
        options, body = dict(OPTION.findall(head)), body[len(head) :].strip()
        label = options.get("label") or options.get("name") or ""
        if name == "math":
            return self._math(body, label)
        if name == "list-table":
            return self._list_table(title, label, body)
        if name == "exercise-start":
            return f"{EXERCISE_FENCE}{OPEN}admonition{CLOSE} {self._name(label)}: {title}\n"
        if name == "exercise-end":
            return f"\n{EXERCISE_FENCE}"
        if name == "solution-start":
            return f"###### Solution of {self._name(title)}"
        if name == "solution-end":
            return "###### End of the solution"
        if name.startswith("prf:"):
            kind = self.labels.get(label, name[4:].capitalize())
            title = f"{kind} ({title})" if title else kind
        elif name != "admonition":
            raise SystemExit(f"book/lab.py does not know the directive {name!r}")
        dropdown = ":class: dropdown\n" if "dropdown" in options.get("class", "") else ""
        fence = ":" * (5 if re.search(r"^:{3,}", body, re.M) else 4)
        return f"{fence}{OPEN}admonition{CLOSE} {title}\n{dropdown}\n{body}\n\n{fence}"

    def _math(self, body: str, label: str) -> str:
        body = body.strip()
        bare = re.sub(r"\\begin\{(\w+\*?)\}.*?\\end\{\1\}", "", body, flags=re.S)
        if "\\\\" in bare or "&" in bare:
            body = f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
        tag = f" \\tag{{{self._name(label).strip('()')}}}" if label else ""
        # Not `$$`: the extension would number it a second time.
        return f"```{OPEN}math{CLOSE}\n:enumerated: false\n\n{body}{tag}\n```"

    def _list_table(self, title: str, label: str, body: str) -> str:
        rows = [re.split(r"^[ ]+- ?", row, flags=re.M) for row in re.split(r"^\* - ?", f"{body}\n", flags=re.M)[1:]]
        lines = ["| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |" for row in rows]
        number = f"**{self._name(label)}.** " if label else ""
        return "\n".join([f"{number}{title}", "", lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


class Works:
    """Citations as text that links to the work."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def entries(self) -> BibliographyData:
        """The bibliography."""
        return parse_file(str(self.path)).entries

    def _cited(self, key: str) -> tuple[str, str, str]:
        entry = self.entries[key]
        people: list[Person] = entry.persons.get("author", [])
        names = [" ".join(person.last_names) for person in people] or [entry.fields["title"]]
        shown = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
        address = f"https://doi.org/{entry.fields['doi']}" if "doi" in entry.fields else entry.fields.get("url", "")
        return re.sub(r"[{}]", "", shown), entry.fields.get("year", "n.d."), address

    def in_text(self, keys: str) -> str:
        """Platt (1999), and more where there are more."""
        return " and ".join(self._link("{} ({})", key.strip()) for key in keys.split(","))

    def in_parentheses(self, keys: str) -> str:
        """(Platt 1999; …)."""
        return "(" + "; ".join(self._link("{} {}", key.strip()) for key in keys.split(",")) + ")"

    def _link(self, form: str, key: str) -> str:
        who, year, address = self._cited(key)
        return f"[{form.format(who, year)}]({address})" if address else form.format(who, year)


def _data(output: NotebookNode, mime: str) -> str:
    return str(output.get("data", {}).get(mime, ""))


def _value(output: NotebookNode) -> Any:
    try:
        return literal_eval(output.data[RECORD])
    except (ValueError, SyntaxError):
        return float(output.data[RECORD])  # nan and inf


def editions(folder: Path) -> dict[str, NotebookNode]:
    """Every chapter of `folder` in the form that JupyterLab reads, by file name."""
    notebooks = {path.name: nbformat.read(path, as_version=4) for path in sorted(folder.glob("*.ipynb"))}
    titles = {name: re.search(r"^# (.*)", nb.cells[0].source, re.M)[1] for name, nb in notebooks.items()}  # type: ignore[index]
    labels: dict[str, str] = {}
    sections: dict[str, str] = {}
    for name, notebook in notebooks.items():
        found = Labels(notebook, int(name[:2]))
        labels |= found.names
        sections |= found.titles
    works = Works(ROOT / "book" / "references.bib")
    return {name: Edition(notebook, labels, sections, titles, works).write() for name, notebook in notebooks.items()}


def main(arguments: list[str] | None = None) -> int:
    """Write the edition; keep, and name, what the reader has changed."""
    parser = argparse.ArgumentParser(description="Write the chapters as JupyterLab reads them.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "lab", help="default: lab/")
    folder = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    written_file = folder / ".written.json"
    written = json.loads(written_file.read_text(encoding="utf-8")) if written_file.is_file() else {}
    for name, notebook in editions(ROOT / "notebooks").items():
        path, text = folder / name, nbformat.writes(notebook, version=4) + "\n"
        if path.is_file() and _digest(path.read_text(encoding="utf-8")) != written.get(name):
            print(f"{path}: kept, it has your changes; move it away to get the chapter anew")
            continue
        atomic_write_text(path, text)
        written[name] = _digest(text)
    atomic_write_text(written_file, json.dumps(written, indent=1, sort_keys=True) + "\n")
    return 0


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
