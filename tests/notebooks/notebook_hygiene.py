"""The rules of a stored chapter: what its outputs must not hold, how large it may be, how it opens and closes.

`hygiene_problems(notebook)` returns one line a breach. Each rule is a small function in `RULES`.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from nbformat import NotebookNode
from output_differences import FIGURE, GLUE_PREFIX
from tolerant_nbval import exemptions

MAX_FIGURE_BYTES = 100_000
MAX_NOTEBOOK_BYTES = 500_000
MAX_CELL_LINES = 15
MAX_FOLDED_LINES = 30  # a figure's drawing, which the reader unfolds
MAX_COLUMNS = 76  # what a page holds; beyond it a line wraps and its indentation lies
MAX_TOLD = 50  # JupyterLab hides what a cell puts out beyond that
FOLDED_TAGS = {"hide-input", "remove-input", "remove-cell", "hide-cell"}
MIN_FIGURES = 3
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}

READABLE_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
RANDOM_ID = re.compile(r"(?=.*\d)[0-9a-f]{8}(-[0-9a-f]{4,12})*")
# Written in pieces, so that a search of the sources for private paths does not stop here.
PRIVATE_PATH = re.compile(r"(?:/(?:" + "|".join(["home", "Users"]) + r")|\\Users)[/\\]+\w|/(?:" + "root|tmp" + r")/\w")
IN_OUTPUT = {
    "a time stamp": re.compile(r"\b\d{4}-\d\d-\d\d[T ](?!00:00(?::00)?\b)\d\d:\d\d"),
    "a memory address": re.compile(r"\b0x[0-9a-fA-F]{8,}\b"),
    "a progress bar": re.compile(r"\r(?!\n)|[█▏▎▍▌▋▊▉]|\d%\|| it/s\b"),
    "a warning": re.compile(r"\b\w*Warning: "),
}
NOT_FOR_PAPER = re.compile(r"image/.*|application/javascript|application/vnd\.(jupyter\.widget|bokeh|vega).*")
IMPORT = re.compile(r"^(?:import|from)\s+\w", re.MULTILINE)
DIRECTIVE = re.compile(
    r"^[`:]{3,}\{(exercise-start|exercise|solution-start|solution-end)\}[ ]*(\S*)(.*?)^[`:]{3,}", re.M | re.S
)
GLUED = re.compile(r"\{glue:text\}`([^`:]+):?([^`]*)`")
PRINTED = re.compile(r"(\d[\d,]*\.?\d*(?:e[-+]?\d+)?)[ \N{NO-BREAK SPACE}]?(%?)")
LABEL = re.compile(r"^:label:[ ]*(\S+)", re.MULTILINE)

Problems = Iterator[str]
RULES: list[Callable[[NotebookNode], Problems]] = []


def rule(check: Callable[[NotebookNode], Problems]) -> Callable[[NotebookNode], Problems]:
    """Add a check to the rules of a chapter."""
    RULES.append(check)
    return check


def hygiene_problems(notebook: NotebookNode) -> list[str]:
    """Every breach of every rule, one line each; empty for a clean chapter."""
    return [problem for check in RULES for problem in check(notebook)]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells in their order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _outputs(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, NotebookNode]]:
    for cell in code_cells(notebook):
        for output in cell.outputs:
            yield cell, output


def _figures(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, dict[str, Any]]]:
    for cell, output in _outputs(notebook):
        if FIGURE in output.get("data", {}):
            yield cell, output.data[FIGURE]


def _text(output: NotebookNode) -> str:
    """All words of an output: what it prints, its mime types' contents, an error's traceback."""
    if output.output_type == "stream":
        return str(output.text)
    parts = output.get("data", {}).values() if "data" in output else [output.get("evalue", "")]
    return "\n".join(part if isinstance(part, str) else json.dumps(part, ensure_ascii=False) for part in parts)


@rule
def nothing_is_exempt(notebook: NotebookNode) -> Problems:
    """No stderr, no error, no cell that nbval would not compare, no widening without a reason."""
    for cell in code_cells(notebook):
        yield from (f"cell {cell.id}: {problem}" for problem in exemptions(cell))


@rule
def outputs_are_the_same_everywhere(notebook: NotebookNode) -> Problems:
    """No private path, time stamp, memory address, progress bar or warning."""
    for cell in notebook.cells:
        if found := PRIVATE_PATH.search(cell.source):
            yield f"cell {cell.id}: source holds the path {found[0]!r}"
    for cell, output in _outputs(notebook):
        text = _text(output)
        for what, pattern in {"a private path": PRIVATE_PATH, **IN_OUTPUT}.items():
            if found := pattern.search(text):
                yield f"cell {cell.id}: output holds {what}: {found[0]!r}"


@rule
def outputs_are_figures_text_or_glue(notebook: NotebookNode) -> Problems:
    """A figure is stored as Plotly JSON and nothing beside it; no picture, no script, no widget."""
    for cell, output in _outputs(notebook):
        mimes = set(output.get("data", {}))
        if FIGURE in mimes and mimes != {FIGURE}:
            yield f"cell {cell.id}: figure stored with {sorted(mimes - {FIGURE})} beside it"
        for mime in sorted(mimes):
            if NOT_FOR_PAPER.fullmatch(mime.removeprefix(GLUE_PREFIX)):
                yield f"cell {cell.id}: output of type {mime}"
        if "<script" in output.get("data", {}).get("text/html", ""):
            yield f"cell {cell.id}: output holds a script"


@rule
def figures_are_small_and_plain(notebook: NotebookNode) -> Problems:
    """At most 100 kB a figure, lists instead of base64, no title inside."""
    for cell, figure in _figures(notebook):
        text = json.dumps(figure, separators=(",", ":"), ensure_ascii=False)
        if (size := len(text.encode())) > MAX_FIGURE_BYTES:
            yield f"cell {cell.id}: figure of {size} bytes, at most {MAX_FIGURE_BYTES}"
        if '"bdata":' in text:
            yield f"cell {cell.id}: figure holds a base64 array"
        if (figure.get("layout", {}).get("title") or {}).get("text"):
            yield f"cell {cell.id}: figure has a title inside; say it in the caption"


@rule
def figures_are_described(notebook: NotebookNode) -> Problems:
    """Alt text of at least three words, a caption, and a name of its own."""
    names: set[str] = set()
    for cell, figure in _figures(notebook):
        alt = (figure.get("layout", {}).get("meta") or {}).get("alt", "")
        if len(alt.split()) < 3:
            yield f"cell {cell.id}: figure without alt text (layout.meta.alt)"
        described = cell.metadata.get("mystnb", {}).get("figure", {})
        if not described.get("caption", "").strip():
            yield f"cell {cell.id}: figure without a caption (metadata mystnb.figure.caption)"
        name = described.get("name", "")
        if not name.startswith("fig-") or name in names:
            yield f"cell {cell.id}: figure name {name!r} must start with fig- and be its own (mystnb.figure.name)"
        names.add(name)


@rule
def executed_from_top_to_bottom(notebook: NotebookNode) -> Problems:
    """Execution counts are 1, 2, …, n."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"code cells were executed in the order {counts}"


@rule
def code_is_short_and_narrow(notebook: NotebookNode) -> Problems:
    """At most 15 lines a cell that the reader sees, 30 in a folded one, blank ones not counted; 76 columns."""
    for cell in code_cells(notebook):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        most = MAX_FOLDED_LINES if FOLDED_TAGS & set(cell.metadata.get("tags", [])) else MAX_CELL_LINES
        if len(lines) > most:
            yield f"cell {cell.id}: {len(lines)} lines of code, at most {most}"
        for line in lines:
            if len(line) > MAX_COLUMNS:
                yield f"cell {cell.id}: a line of {len(line)} columns, at most {MAX_COLUMNS}: {line.strip()[:40]}…"


@rule
def bookkeeping_is_out_of_sight(notebook: NotebookNode) -> Problems:
    """Numbers for the prose are told in cells that no reader sees, at most 50 a cell."""
    for cell in code_cells(notebook):
        told = [output for output in cell.outputs if _glue_key(output)]
        if told and "remove-cell" not in cell.metadata.get("tags", []):
            yield f"cell {cell.id}: tells numbers to the prose where the reader sees it: tag it remove-cell"
        if len(told) > MAX_TOLD:
            yield f"cell {cell.id}: tells {len(told)} numbers, at most {MAX_TOLD}"


@rule
def prose_numbers_are_in_an_output(notebook: NotebookNode) -> Problems:
    """Each number that the prose quotes is printed or tabled in the chapter, so that no viewer loses it."""
    values = {
        key: value for cell, output in _outputs(notebook) if (key := _glue_key(output)) for value in [_glued(output)]
    }
    shown = "\n".join(_visible_text(output) for _, output in _outputs(notebook))
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        for key, spec in GLUED.findall(cell.source):
            if key not in values:
                yield f"cell {cell.id}: quotes {key!r}, which no cell tells"
            elif not isinstance(values[key], str) and not _is_printed(format(values[key], spec), spec, shown):
                yield f"cell {cell.id}: quotes {key} = {format(values[key], spec)}, which no output shows"


def _glue_key(output: NotebookNode) -> str:
    return str(output.get("metadata", {}).get("scrapbook", {}).get("name", ""))


def _glued(output: NotebookNode) -> float | str:
    text = output["data"][GLUE_PREFIX + "text/plain"]
    try:
        return float(text)
    except ValueError:
        return str(text).strip("'\"")


def _visible_text(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return str(output.text)
    data = output.get("data", {})
    return "" if _glue_key(output) else str(data.get("text/plain", ""))


def _is_printed(wanted: str, spec: str, shown: str) -> bool:
    """Whether some printed number, read again, comes out as `wanted` in the format of the prose."""
    target = _unsigned(wanted)
    for number, percent in PRINTED.findall(shown):
        value = float(number.replace(",", ""))
        for scale in (0.01, 1.0) if percent else (1.0, 0.01, 100.0):
            if _unsigned(format(value * scale, spec)) == target:
                return True
    return False


def _unsigned(text: str) -> str:
    return text.lstrip("+-−")


@rule
def cells_have_names(notebook: NotebookNode) -> Problems:
    """Ids are unique words that a failure message can name."""
    ids = [cell.get("id", "") for cell in notebook.cells]
    for cell_id in sorted({cell_id for cell_id in ids if ids.count(cell_id) > 1}):
        yield f"cell id {cell_id!r} occurs {ids.count(cell_id)} times"
    for cell_id in ids:
        if not READABLE_ID.fullmatch(cell_id) or RANDOM_ID.fullmatch(cell_id):
            yield f"cell id {cell_id!r} is not a readable name such as 'qe-bias'"


@rule
def notebook_is_small_and_unversioned(notebook: NotebookNode) -> Problems:
    """At most 500 kB, and no interpreter's version in its metadata."""
    if (size := len(json.dumps(notebook, indent=1, ensure_ascii=False).encode())) > MAX_NOTEBOOK_BYTES:
        yield f"notebook of {size} bytes, at most {MAX_NOTEBOOK_BYTES}"
    if notebook.metadata != {"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}:
        yield f"notebook metadata {dict(notebook.metadata)} is not what `make refresh` writes"


@rule
def opens_like_a_chapter(notebook: NotebookNode) -> Problems:
    """A title with a promise, objectives, prerequisites, run time; then all imports in the first code cell."""
    opening: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            break
        opening.append(cell.source)
    text = "\n\n".join(opening)
    title, _, rest = text.lstrip().partition("\n")
    if not title.startswith("# "):
        yield "does not open with a title (# …)"
    if not re.match(r"\s*(?:\([\w-]+\)=\s*)?[\w*_\"“$]", rest):
        yield "no promise (a paragraph) under the title"
    for word in ("objectives", "prerequisites", "run time"):
        if word not in text.lower():
            yield f"opens without {word}"
    for position, cell in enumerate(code_cells(notebook)):
        if bool(IMPORT.search(cell.source)) != (position == 0):
            yield f"cell {cell.id}: the first code cell, and no other, holds the imports"


@rule
def shows_and_asks(notebook: NotebookNode) -> Problems:
    """At least three figures; at least one exercise, each with a folded solution; solutions that run."""
    if (count := sum(1 for _ in _figures(notebook))) < MIN_FIGURES:
        yield f"{count} figures, at least {MIN_FIGURES}"
    exercises: list[str] = []
    solved: dict[str, int] = {}
    open_solution = ""
    for cell in notebook.cells:
        if cell.cell_type == "code" and open_solution:
            solved[open_solution] += 1
        for kind, argument, options in DIRECTIVE.findall(cell.source) if cell.cell_type == "markdown" else []:
            if kind.startswith("exercise"):
                exercises += LABEL.findall(options) or [""]
            elif kind == "solution-start":
                open_solution = argument
                solved[argument] = 0
                if "dropdown" not in options:
                    yield f"cell {cell.id}: solution of {argument} is not folded (:class: dropdown)"
            else:
                open_solution = ""
    if not exercises:
        yield "no exercise"
    for label in exercises:
        if label not in solved:
            yield f"exercise {label!r} has no solution"
    if solved and not any(solved.values()):
        yield "no solution holds a code cell"
