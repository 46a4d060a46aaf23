"""Re-execute notebooks and store their outputs: `make refresh`, or `python book/refresh.py notebooks/04_….ipynb`.

A second run gives the same bytes: no time stamps, streams in one piece, only the metadata that means something.
A notebook that raises, warns or writes to stderr is not stored.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from ipykernel.kernelspec import RESOURCES, get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from rich.console import Console
from traitlets import default

from companion._files import atomic_write_text
from companion.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
CELL_TIMEOUT_S = 1500  # ends what hangs, on a machine a tenth as fast too
# What JupyterLab and nbclient note down for themselves; all else in a cell's metadata is the author's.
EDITOR_NOTES = ("execution", "ExecuteTime", "collapsed", "scrolled", "jupyter", "editable", "slideshow", "trusted")
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class RefreshError(RuntimeError):
    """A notebook that can not be stored, with the cell and the reason."""


class ThisPython(KernelSpecManager):
    """Every kernel is the interpreter that runs this file, whatever kernels the machine has registered."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())


class ThisPythonKernel(AsyncKernelManager):
    """A kernel manager that asks only `ThisPython`."""

    @default("kernel_spec_manager")
    def _this_python(self) -> ThisPython:
        return ThisPython()


def read_notebook(path: Path) -> NotebookNode:
    """The notebook at `path`, whose cells all have an id of their own.

    Raises
    ------
    InputError
        The file is missing, is not a notebook, or has cells without ids.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name an .ipynb file that exists") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text; name an .ipynb file") from None
    try:
        notebook = nbformat.v4.reads(text)
        ids = [cell["id"] for cell in notebook["cells"]]  # `nbformat.reads` would repair them with random ones
        if len(set(ids)) != len(ids):
            raise InputError(f"{path}: two cells share the id {max(ids, key=ids.count)!r}; give each its own")
        nbformat.validate(notebook)
    except (json.JSONDecodeError, nbformat.ValidationError, AttributeError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0][:120]
        raise InputError(f"{path}: not a notebook of format 4.5 with cell ids ({reason}); save it as one") from None
    return notebook


def stored_text(notebook: NotebookNode) -> str:
    """The one way in which a notebook is written down: cleaned metadata, sorted mime types, one newline at the end."""
    notebook = nbformat.from_dict(notebook)
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    for cell in notebook.cells:
        for note in EDITOR_NOTES:
            cell.metadata.pop(note, None)
        for output in cell.get("outputs", []):
            if "data" in output:
                output.data = nbformat.from_dict(dict(sorted(output.data.items())))
    return str(nbformat.writes(notebook, version=nbformat.NO_CONVERT)).rstrip("\n") + "\n"


def _cell_name(notebook: NotebookNode, position: int) -> str:
    number = sum(cell.cell_type == "code" for cell in notebook.cells[: position + 1])
    return f"cell {number} ({notebook.cells[position].id})"


def execute(notebook: NotebookNode, *, folder: Path, progress: Any = None) -> NotebookNode:
    """A copy of `notebook`, executed from top to bottom in `folder`.

    `progress(done, total)` is called before each code cell.

    Raises
    ------
    RefreshError
        A cell raised, ran out of time, warned or wrote to stderr. The message names the cell.
    """
    notebook = nbformat.from_dict(notebook)
    total = sum(cell.cell_type == "code" for cell in notebook.cells)
    position = 0

    def before_cell(cell: NotebookNode, cell_index: int) -> None:
        nonlocal position
        position = cell_index
        if progress is not None:
            progress(sum(c.cell_type == "code" for c in notebook.cells[:cell_index]), total)

    client = NotebookClient(
        notebook,
        kernel_manager_class=ThisPythonKernel,
        timeout=CELL_TIMEOUT_S,
        record_timing=False,
        coalesce_streams=True,
        on_cell_execute=before_cell,
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute(stderr=subprocess.DEVNULL)  # the kernel's own chatter; what a cell writes comes by message
    except CellExecutionError as error:
        raise RefreshError(f"{_cell_name(notebook, position)}: {_plain(str(error))}") from None
    except (CellTimeoutError, DeadKernelError, RuntimeError) as error:
        raise RefreshError(f"{_cell_name(notebook, position)}: {type(error).__name__}: {_plain(str(error))}") from None
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                raise RefreshError(f"{_cell_name(notebook, index)}: stderr: {_plain(output.text)}")
    return notebook


def _plain(text: str) -> str:
    return TERMINAL_CODES.sub("", text).strip()


def refresh(path: Path, *, progress: Any = None) -> bool:
    """Execute and store one notebook; True where the stored bytes changed."""
    before = path.read_bytes() if path.is_file() else b""
    notebook = execute(read_notebook(path), folder=path.resolve().parent, progress=progress)
    text = stored_text(notebook)
    if text.encode() == before:
        return False
    atomic_write_text(path, text)
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """0: stored; 1: a notebook failed and was left as it was; 2: a file that is not a notebook, nothing was run."""
    parser = argparse.ArgumentParser(
        description="Re-execute notebooks and store their outputs, the same bytes each time."
    )
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: every notebook in notebooks/")
    paths = parser.parse_args(arguments).notebooks or sorted((ROOT / "notebooks").glob("*.ipynb"))
    console = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    try:
        for path in paths:
            read_notebook(path)
    except InputError as error:
        console.print(f"refresh: {error}")
        return 2

    failed = 0
    for number, path in enumerate(paths, start=1):
        prefix = f"[{number}/{len(paths)}] {path.name}"
        with console.status(prefix) as status:

            def show(done: int, total: int, prefix: str = prefix, status: Any = status) -> None:
                status.update(f"{prefix}: cell {done + 1} of {total}")

            try:
                changed = refresh(path, progress=show)
            except RefreshError as error:
                failed += 1
                console.print(f"{prefix}: NOT STORED\n{path} {error}\n")
                continue
        console.print(f"{prefix}: {'stored' if changed else 'unchanged'}")
    if failed:
        console.print(f"{failed} of {len(paths)} notebooks failed and were left as they were.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
