"""`make test-portability` changes what it says it changes: threads, torch's and numba's instructions, in the kernel."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[2]
PROBE = """
import numba, torch
from numba.core.registry import cpu_target
cpu = cpu_target.target_context.codegen().magic_tuple()[1]
print(torch.get_num_threads(), numba.get_num_threads(), torch.backends.cpu.get_cpu_capability(), cpu)
"""


def recipe() -> list[dict[str, str]]:
    """The variables that each line of the make target sets before it runs pytest."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    _, _, target = makefile.partition("\ntest-portability:")
    lines = [line for line in re.split(r"\n(?!\t)", target)[0].splitlines()[1:] if "nbval" in line.lower()]
    return [dict(re.findall(r"([A-Z_]+)=(\S+)", line.partition("$")[0])) for line in lines]


def in_kernel(refresh_tool: ModuleType, folder: Path) -> list[str]:
    """Threads of torch and of numba, and the instructions of each, as a notebook sees them."""
    notebook = new_notebook(cells=[new_code_cell(PROBE, id="probe")])
    return str(refresh_tool.execute(notebook, folder=folder).cells[0].outputs[0].text).split()


@pytest.mark.parametrize(
    ("variable", "position", "value"),
    [("OMP_NUM_THREADS", 0, "2"), ("ATEN_CPU_CAPABILITY", 2, "DEFAULT"), ("NUMBA_CPU_NAME", 3, "generic")],
)
def test_a_line_of_the_recipe_reaches_the_kernel(
    variable: str,
    position: int,
    value: str,
    refresh_tool: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (line,) = [variables for variables in recipe() if variable in variables]
    for name, setting in line.items():
        monkeypatch.setenv(name, setting)
    seen = in_kernel(refresh_tool, tmp_path)
    assert seen[position] == value
    if variable == "OMP_NUM_THREADS":
        assert seen[:2] == ["2", "2"]


def test_the_recipe_has_one_line_a_question() -> None:
    assert [next(iter(line)) for line in recipe()] == ["OMP_NUM_THREADS", "ATEN_CPU_CAPABILITY", "NUMBA_CPU_NAME"]
