"""A pytest plugin: nbval with a numeric tolerance, readable differences, and no way to exempt a cell.

nbval starts the kernels and runs the cells. What it collects is replaced by the two subclasses below, which compare
every output of every cell. They use nbval's internals, so its version is pinned and checked.
"""

import re
from collections.abc import Generator, Iterator
from importlib.metadata import version
from typing import Any

import nbval.plugin
import pytest
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError
from output_differences import TERMINAL_CODES, Tolerance, output_differences

NBVAL_VERSION = "0.11.0"
# Ten times what a loaded machine with two cores was seen to need: a limit ends what hangs, it does not measure.
CELL_TIMEOUT_S = 1500.0
KERNEL_START_TIMEOUT_S = 600.0
MAX_LINES = 12
EXEMPTING_TAGS = {*nbval.plugin.metadata_tags, "skip-execution"} - {"nbval-check-output"}
EXEMPTING_COMMENT = re.compile(r"#\s*(\w*(?:IGNORE_OUTPUT|RAISES_EXCEPTION|NBVAL_SKIP))\b", re.IGNORECASE)


def exemptions(cell: Any) -> list[str]:
    """What in a code cell would keep its outputs from being compared; nothing is allowed to."""
    found = [f"tag {tag!r} exempts the cell" for tag in cell.metadata.get("tags", []) if tag.lower() in EXEMPTING_TAGS]
    found += [f"comment {match[1]!r} exempts the cell" for match in EXEMPTING_COMMENT.finditer(cell.source)]
    if cell.execution_count is None:
        found.append("was never executed, so no output is stored")
    found += [f"stored {_kind(output)}" for output in cell.outputs if _kind(output) in ("stderr", "error")]
    try:
        Tolerance.of_cell(cell.metadata)
    except ValueError as error:
        found.append(str(error))
    return found


def _kind(output: Any) -> str:
    return str(output.get("name", output.output_type))


class ComparedCell(IPyNbCell):
    """A code cell whose every output is compared, whatever its tags say."""

    def runtest(self) -> None:
        if found := exemptions(self.cell):
            self.raise_cell_error("not comparable", "\n".join(found))
        self.options = {"check": True, "skip": False, "check_exception": False}
        super().runtest()

    def compare_outputs(self, test: Any, ref: Any, skip_compare: Any = None) -> bool:
        """nbval's hook: False where the outputs differ, with the lines in `comparison_traceback`."""
        self.comparison_traceback = output_differences(ref, test, Tolerance.of_cell(self.cell.metadata))
        return not self.comparison_traceback

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """Lines that each name the notebook, the cell and the value."""
        place = self.nodeid.replace("::", " ")
        error = excinfo.value
        if not isinstance(error, NbCellError):
            return f"{place}: {type(error).__name__}: {error}"
        details = TERMINAL_CODES.sub("", error.inner_traceback or "").strip("\n")
        if error.args[0] == "Cell execution caused an exception":
            return f"{place}: raised {details.splitlines()[-1]}\n\n{details}\n\n{self.cell.source}"
        lines = details.splitlines() or [str(error)]
        shown = [f"{place}: {line}" for line in lines[:MAX_LINES]]
        if len(lines) > MAX_LINES:
            shown.append(f"{place}: … and {len(lines) - MAX_LINES} more differences")
        return "\n".join([*shown, "If the change is meant, `make refresh` stores the new outputs."])


class ComparedNotebook(IPyNbFile):
    """A notebook as a file of test items: one a code cell, numbered as the reader sees them, `In [n]`."""

    def collect(self) -> Iterator[ComparedCell]:
        for item in super().collect():
            number = item.cell_num + 1
            name = f"cell {number} ({item.cell.get('id', 'no id')})"
            yield ComparedCell.from_parent(self, name=name, cell_num=number, cell=item.cell, options={})


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(parent: pytest.Collector) -> Generator[None, list, list]:
    """Put our notebook in the place of nbval's."""
    collected = yield
    return [
        ComparedNotebook.from_parent(parent, path=found.path) if type(found) is IPyNbFile else found
        for found in collected
    ]


def pytest_configure(config: pytest.Config) -> None:
    """Refuse an nbval other than the one whose internals are used here, and do not wait half an hour for a cell."""
    if version("nbval") != NBVAL_VERSION:
        raise pytest.UsageError(f"nbval {version('nbval')} is installed, the notebook tests need {NBVAL_VERSION}")
    config.option.nbval_cell_timeout = min(config.option.nbval_cell_timeout, CELL_TIMEOUT_S)
    config.option.nbval_kernel_startup_timeout = max(config.option.nbval_kernel_startup_timeout, KERNEL_START_TIMEOUT_S)
