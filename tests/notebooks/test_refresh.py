"""`make refresh`: the same bytes each time, the author's metadata kept, and nothing stored that raises or warns."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

REFRESH = Path(__file__).parents[2] / "book" / "refresh.py"
METADATA = {
    "mystnb": {"figure": {"name": "fig-a", "caption": "A."}},
    "nbval": {"rtol": 1e-3, "reason": "a race"},
    "tags": ["hide-input"],
}


def refresh(*paths: Path, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(REFRESH), *map(str, paths)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=1200, check=False)


def write(path: Path, *sources: str) -> Path:
    cells = [new_markdown_cell("# A title", id="title")]
    cells += [new_code_cell(source, id=f"step-{i}") for i, source in enumerate(sources, start=1)]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_a_second_run_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    path = write(
        tmp_path / "deep" / "a.ipynb",
        f"import sys, pathlib\nassert sys.executable == {sys.executable!r}",
        "print(1)\ndisplay({'text/plain': 'x', 'text/html': 'y'}, raw=True)\nprint(pathlib.Path().resolve().name)",
    )
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata = nbformat.from_dict(
        {**METADATA, "collapsed": True, "execution": {"iopub.execute": "now"}}
    )
    nbformat.write(notebook, path)

    first = refresh(path, cwd=tmp_path)
    assert (first.returncode, "stored" in first.stderr) == (0, True), first.stderr
    bytes_once = path.read_bytes()
    second = refresh(Path("deep") / "a.ipynb", cwd=tmp_path)
    assert (second.returncode, "unchanged" in second.stderr) == (0, True), second.stderr
    assert path.read_bytes() == bytes_once

    stored = nbformat.read(path, as_version=4)
    assert [cell.id for cell in stored.cells] == ["title", "step-1", "step-2"]
    assert stored.cells[1].metadata == METADATA
    assert stored.cells[2].outputs[0].text == "1\ndeep\n"
    assert [cell.execution_count for cell in stored.cells[1:]] == [1, 2]
    assert list(stored.cells[2].outputs[1].data) == ["text/html", "text/plain"]
    assert stored.metadata.language_info == {"name": "python"}


def test_a_notebook_that_raises_or_warns_is_not_stored(
    refresh_tool: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    raises = write(tmp_path / "raises.ipynb", "x = 1", "1 / 0")
    warns = write(tmp_path / "warns.ipynb", "import warnings", "x = 1", "warnings.warn('too long a step')")
    before = raises.read_bytes(), warns.read_bytes()
    assert refresh_tool.main([str(raises), str(warns)]) == 1
    said = capsys.readouterr().err
    assert f"{raises} cell 2 (step-2): " in said
    assert "ZeroDivisionError" in said
    assert f"{warns} cell 3 (step-3): stderr: " in said
    assert "UserWarning: too long a step" in said
    assert (raises.read_bytes(), warns.read_bytes()) == before


def with_cells(*cells: dict) -> str:
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


EMPTY = {"cell_type": "markdown", "metadata": {}, "source": ""}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read (No such file or directory)"),
        ("{", "JSONDecodeError"),
        ("[]", "not a notebook"),
        ('{"cells": []}', "not a notebook"),
        (with_cells(EMPTY), "KeyError: 'id'"),
        (with_cells({**EMPTY, "id": "same"}, {**EMPTY, "id": "same"}), "two cells share the id 'same'"),
    ],
)
def test_what_is_no_notebook_is_one_clear_line_and_nothing_runs(
    refresh_tool: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str | None, words: str
) -> None:
    good = write(tmp_path / "good.ipynb", "1")
    before = good.read_bytes()
    bad = tmp_path / "bad.ipynb"
    if text is not None:
        bad.write_text(text)
    assert refresh_tool.main([str(good), str(bad)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith(f"refresh: {bad}: ")
    assert words in said.err
    assert good.read_bytes() == before
