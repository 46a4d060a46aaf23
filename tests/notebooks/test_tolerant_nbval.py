"""`pytest --nbval` on notebooks with known faults: each is named with its cell and value."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

HERE = Path(__file__).parent
FIGURE = "application/vnd.plotly.v1+json"
SHOW = f"display({{'{FIGURE}': {{'data': [{{'y': [1, 2.5]}}]}}}}, raw=True)"
GLUE = "from myst_nb import glue\nglue('bias', 0.125, display=False)"
PYTEST_INI = "[pytest]\nfilterwarnings = error\nxfail_strict = true\n"


def printed(text: str, name: str = "stdout") -> list:
    return [new_output("stream", name=name, text=text)]


def shown(y: list) -> list:
    return [new_output("display_data", data={FIGURE: {"data": [{"y": y}]}})]


def glued(text: str) -> list:
    scrapbook = {"scrapbook": {"name": "bias", "mime_prefix": "application/papermill.record/"}}
    return [new_output("display_data", data={"application/papermill.record/text/plain": text}, metadata=scrapbook)]


# id, source, stored outputs, metadata, what pytest must say (nothing: the cell passes)
Case = tuple[str, str, list, dict[str, Any], str]
FAULTS: list[Case] = [
    ("digit", "print('bias 1.25')", printed("bias 1.26\n"), {}, "stdout, number 1: stored 1.26, now 1.25"),
    ("point", SHOW, shown([1, 2.51]), {}, "figure data[0].y[1]: stored 2.51, now 2.5"),
    ("glue", GLUE, glued("0.126"), {}, "glue 'bias', number 1: stored 0.126, now 0.125"),
    ("warning", "import warnings\nwarnings.warn('long step')", [], {}, "UserWarning: long step"),
    ("added", "1", [], {}, "result: stored nothing, now '1'"),
    ("gone", "x = 1", printed("1\n"), {}, "stdout: stored '1\\n', now nothing"),
    ("exempt", "print(2)", printed("1\n"), {"tags": ["nbval-ignore-output"]}, "tag 'nbval-ignore-output' exempts"),
    ("comment", "# NBVAL_SKIP\nprint(2)", printed("1\n"), {}, "comment 'NBVAL_SKIP' exempts"),
    ("unreasoned", "print(2)", printed("2\n"), {"nbval": {"rtol": 0.1}}, "widens the tolerance without a reason"),
    ("too-wide", "print(2)", printed("2\n"), {"nbval": {"rtol": 0.5, "reason": "noise"}}, "rtol is 0.5"),
    ("raises", "1 / 0", [], {}, "raised ZeroDivisionError: division by zero"),
    ("stderr", "print(2)", printed("2\n", "stderr"), {}, "stored stderr"),
]
AGREEING: list[Case] = [
    ("same", "print('bias 1.25')", printed("bias 1.25\n"), {}, ""),
    ("figure", SHOW, shown([1, 2.5]), {}, ""),
    ("glue", GLUE, glued("0.125"), {}, ""),
    ("noise", "print(2.5)", printed("2.5000001\n"), {}, ""),
    ("widened", "print(101)", printed("100\n"), {"nbval": {"rtol": 0.02, "reason": "counts of a race"}}, ""),
    ("silent", "x = 1", [], {}, ""),
]


def write(path: Path, cases: list[Case]) -> None:
    cells = []
    for number, (cell_id, source, outputs, metadata, _) in enumerate(cases, start=1):
        cells.append(new_code_cell(source, outputs=outputs, metadata=metadata, execution_count=number, id=cell_id))
    nbformat.write(new_notebook(cells=cells), path)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What one pytest run says about both notebooks and about one that was never executed."""
    folder = tmp_path_factory.mktemp("notebooks")
    write(folder / "faults.ipynb", FAULTS)
    write(folder / "agreeing.ipynb", AGREEING)
    nbformat.write(new_notebook(cells=[new_code_cell("2", id="unrun")]), folder / "unrun.ipynb")
    (folder / "pytest.ini").write_text(PYTEST_INI)
    options = ["-p", "tolerant_nbval", "--nbval", "--nbval-current-env", "-n", "2", "--dist", "loadfile", "-v"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", "--color=no", "."],
        cwd=folder,
        env={**_environment(), "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    return run.stdout


def _environment() -> dict[str, str]:
    """Ours, without what tells a pytest that it is the worker of another."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}


@pytest.mark.parametrize(("number", "case"), list(enumerate(FAULTS, start=1)), ids=[case[0] for case in FAULTS])
def test_a_fault_is_reported_with_its_cell_and_value(report: str, number: int, case: Case) -> None:
    cell_id, *_, message = case
    said = [line for line in report.splitlines() if line.startswith(f"faults.ipynb cell {number} ({cell_id}): ")]
    assert any(message in line for line in said), said


def test_a_cell_that_was_never_executed_is_reported(report: str) -> None:
    assert "unrun.ipynb cell 1 (unrun): was never executed, so no output is stored" in report


def test_what_agrees_passes(report: str) -> None:
    assert f"{len(FAULTS) + 1} failed, {len(AGREEING)} passed" in report
    assert "agreeing.ipynb cell" not in report
