"""Every stored chapter keeps the rules, and every rule catches the breach it is there for."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import nbformat
import notebook_hygiene
import pytest
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_hygiene import FIGURE, GLUE_PREFIX, KERNELSPEC, hygiene_problems

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SLASH = "/"
OPENING = "# A title\n\nThe promise.\n\n**Objectives** …\n\n**Prerequisites** …\n\n**Run time** …"
EXERCISE = "```{exercise-start} Look again\n:label: ex-look\n```\nLook.\n```{exercise-end}\n```"
SOLUTION = "```{solution-start} ex-look\n:class: dropdown\n```"


def figure_cell(number: int) -> NotebookNode:
    layout = {"meta": {"alt": "a line that rises"}}
    shown = new_output(
        "display_data", data={FIGURE: {"data": [{"x": ["2008-01-02T00:00:00"], "y": [1]}], "layout": layout}}
    )
    described = {"mystnb": {"figure": {"name": f"fig-{number}", "caption": "It rises."}}}
    return new_code_cell("line()", id=f"figure-{number}", outputs=[shown], metadata=described)


def glued(key: str, text: str) -> NotebookNode:
    metadata = {"scrapbook": {"name": key, "mime_prefix": GLUE_PREFIX}}
    return new_output("display_data", data={f"{GLUE_PREFIX}text/plain": text}, metadata=metadata)


def clean() -> NotebookNode:
    """A chapter without a fault: a number told and quoted, three figures, an exercise with a solution that ran."""
    printed = new_output("stream", name="stdout", text="on 2008-01-02 it was 0.5\n")
    cells = [
        new_markdown_cell(OPENING, id="opening"),
        new_code_cell("import numpy as np", id="import"),
        new_code_cell("print('…')", id="result", outputs=[printed]),
        new_code_cell("tell(ece=ece)", id="told", outputs=[glued("10-ece", "0.5")], metadata={"tags": ["remove-cell"]}),
        new_markdown_cell("It was {glue:text}`10-ece:.2f`.", id="said"),
        *(figure_cell(number) for number in (1, 2, 3)),
        new_markdown_cell(EXERCISE, id="exercise"),
        new_markdown_cell(SOLUTION, id="solution"),
        new_code_cell("x = 1", id="solved"),
        new_markdown_cell("```{solution-end}\n```", id="solution-end"),
    ]
    for number, cell in enumerate((cell for cell in cells if cell.cell_type == "code"), start=1):
        cell.execution_count = number
    return new_notebook(cells=cells, metadata={"kernelspec": KERNELSPEC, "language_info": {"name": "python"}})


def cell(notebook: NotebookNode, cell_id: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if cell.id == cell_id)


def prints(text: str) -> Callable[[NotebookNode], object]:
    return lambda notebook: cell(notebook, "result").outputs[0].update(text=text)


def source(cell_id: str, text: str) -> Callable[[NotebookNode], object]:
    return lambda notebook: cell(notebook, cell_id).update(source=text)


def metadata(**values: object) -> Callable[[NotebookNode], object]:
    return lambda notebook: cell(notebook, "result").metadata.update(values)


def figure(change: Callable[[dict], object]) -> Callable[[NotebookNode], object]:
    return lambda notebook: change(cell(notebook, "figure-2").outputs[0].data[FIGURE])


def result(**data: object) -> Callable[[NotebookNode], object]:
    shown = new_output("execute_result", data=data)
    return lambda notebook: cell(notebook, "result").outputs.append(shown)


def drop(cell_id: str) -> Callable[[NotebookNode], object]:
    return lambda notebook: notebook.cells.remove(cell(notebook, cell_id))


BREACHES: list[tuple[str, Callable[[NotebookNode], object], str]] = [
    ("nothing_is_exempt", lambda n: cell(n, "result").outputs[0].update(name="stderr"), "stored stderr"),
    ("nothing_is_exempt", metadata(tags=["nbval-skip"]), "tag 'nbval-skip' exempts"),
    ("nothing_is_exempt", metadata(tags=["raises-exception"]), "exempts"),
    ("nothing_is_exempt", source("result", "# NBVAL_IGNORE_OUTPUT\nprint('…')"), "comment 'NBVAL_IGNORE_OUTPUT'"),
    ("nothing_is_exempt", metadata(nbval={"rtol": 0.1}), "without a reason"),
    ("nothing_is_exempt", lambda n: cell(n, "solved").update(execution_count=None), "never executed"),
    ("outputs_are_the_same_everywhere", prints(f"{SLASH}home{SLASH}ada{SLASH}x.csv"), "private path"),
    ("outputs_are_the_same_everywhere", prints(f"{SLASH}Users{SLASH}ada"), "private path"),
    ("outputs_are_the_same_everywhere", prints(f"{SLASH}root{SLASH}x.csv"), "private path"),
    ("outputs_are_the_same_everywhere", source("result", f"open('{SLASH}home{SLASH}ada')"), "source holds the path"),
    ("outputs_are_the_same_everywhere", prints("at 2026-11-21 09:30:01"), "time stamp"),
    ("outputs_are_the_same_everywhere", prints("2026-11-21T00:30"), "time stamp"),
    ("outputs_are_the_same_everywhere", prints("<A object at 0x7f3a5c2b1d90>"), "memory address"),
    ("outputs_are_the_same_everywhere", prints(" 40%|████      | 4/10"), "progress bar"),
    ("outputs_are_the_same_everywhere", prints("step 1\rstep 2"), "progress bar"),
    ("outputs_are_the_same_everywhere", prints("x.py:2: FutureWarning: soon"), "a warning"),
    ("outputs_are_figures_text_or_glue", result(**{"image/png": "AAAA"}), "output of type image/png"),
    ("outputs_are_figures_text_or_glue", result(**{"text/html": "<script>1</script>"}), "a script"),
    (
        "outputs_are_figures_text_or_glue",
        lambda n: cell(n, "figure-1").outputs[0].data.update({"text/html": "<div>"}),
        "beside it",
    ),
    ("figures_are_small_and_plain", figure(lambda f: f["data"][0].update(y=[0.12345] * 20_000)), "figure of"),
    ("figures_are_small_and_plain", figure(lambda f: f["data"][0].update(y={"dtype": "f8", "bdata": "AA"})), "base64"),
    ("figures_are_small_and_plain", figure(lambda f: f["layout"].update(title={"text": "A"})), "title inside"),
    ("figures_are_described", figure(lambda f: f["layout"]["meta"].update(alt="")), "alt text"),
    ("figures_are_described", lambda n: cell(n, "figure-1").metadata.clear(), "without a caption"),
    (
        "figures_are_described",
        lambda n: cell(n, "figure-1").metadata["mystnb"]["figure"].update(name="fig-2"),
        "be its own",
    ),
    ("executed_from_top_to_bottom", lambda n: cell(n, "result").update(execution_count=7), "in the order [1, 7, 3"),
    ("code_is_short_and_narrow", source("solved", "x = 1\n" * 16), "16 lines of code, at most 15"),
    ("code_is_short_and_narrow", source("solved", f"x = '{'a' * 80}'"), "a line of 86 columns, at most 76"),
    ("bookkeeping_is_out_of_sight", lambda n: cell(n, "told").metadata.pop("tags"), "tag it remove-cell"),
    (
        "bookkeeping_is_out_of_sight",
        lambda n: cell(n, "told").outputs.extend([glued("10-ece", "0.5")] * 51),
        "tells 52 numbers, at most 50",
    ),
    ("prose_numbers_are_in_an_output", prints("it was 0.4\n"), "quotes 10-ece = 0.50, which no output shows"),
    ("prose_numbers_are_in_an_output", drop("told"), "quotes '10-ece', which no cell tells"),
    ("cells_have_names", lambda n: cell(n, "result").update(id="import"), "'import' occurs 2 times"),
    ("cells_have_names", lambda n: cell(n, "result").update(id="1f0a22bc"), "'1f0a22bc' is not a readable name"),
    ("cells_have_names", lambda n: cell(n, "result").update(id="d5b8c1f0"), "'d5b8c1f0' is not a readable name"),
    ("notebook_is_small_and_unversioned", prints("0.1234567 " * 60_000), "notebook of"),
    ("notebook_is_small_and_unversioned", lambda n: n.metadata.language_info.update(version="3.11.7"), "metadata"),
    ("opens_like_a_chapter", source("opening", OPENING.replace("# A title", "A title")), "title"),
    ("opens_like_a_chapter", source("opening", OPENING.replace("The promise.", "## Contents")), "no promise"),
    ("opens_like_a_chapter", source("opening", OPENING.replace("Objectives", "Aims")), "without objectives"),
    ("opens_like_a_chapter", source("opening", OPENING.replace("Run time", "Speed")), "without run time"),
    ("opens_like_a_chapter", source("solved", "import os"), "cell solved: the first code cell, and no other"),
    ("shows_and_asks", drop("figure-2"), "2 figures, at least 3"),
    ("shows_and_asks", drop("exercise"), "no exercise"),
    ("shows_and_asks", drop("solution"), "exercise 'ex-look' has no solution"),
    ("shows_and_asks", drop("solved"), "no solution holds a code cell"),
    ("shows_and_asks", source("solution", SOLUTION.replace(":class: dropdown\n", "")), "not folded"),
]


def test_a_clean_chapter_has_no_problem() -> None:
    assert hygiene_problems(clean()) == []


@pytest.mark.parametrize(("rule", "spoil", "words"), BREACHES, ids=[f"{b[0]}-{b[2]}" for b in BREACHES])
def test_a_breach_is_reported_by_its_rule(rule: str, spoil: Callable, words: str) -> None:
    notebook = clean()
    spoil(notebook)
    check = getattr(notebook_hygiene, rule)
    assert any(words in problem for problem in check(notebook)), list(check(notebook))
    assert set(check(notebook)) <= set(hygiene_problems(notebook))


def test_every_rule_has_a_breach_that_it_catches() -> None:
    assert {rule.__name__ for rule in notebook_hygiene.RULES} == {rule for rule, *_ in BREACHES}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.name for path in NOTEBOOKS])
def test_a_chapter_keeps_the_rules(path: Path) -> None:
    problems = hygiene_problems(nbformat.read(path, as_version=4))
    assert not problems, "\n".join(f"{path.name}: {problem}" for problem in problems)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.name for path in NOTEBOOKS])
def test_a_chapter_is_stored_as_refresh_stores_it(path: Path, refresh_tool: ModuleType) -> None:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    assert path.read_text(encoding="utf-8") == refresh_tool.stored_text(notebook), f"run `make refresh` on {path.name}"


def test_contents_disk_and_tests_hold_the_same_notebooks() -> None:
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    entries = [entry["file"] for part in contents["parts"] for entry in part["chapters"]]
    in_contents = sorted(f"{entry}.ipynb" for entry in entries if entry.startswith("notebooks/"))
    on_disk = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks").rglob("*.ipynb"))
    assert in_contents == on_disk
    options = ["--nbval", "--nbval-current-env", "--collect-only", "-q", "-p", "no:cacheprovider", "notebooks"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert sorted({line.partition("::")[0] for line in run.stdout.splitlines() if "::" in line}) == on_disk, run.stdout
