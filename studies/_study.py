"""What every study has in common: a card, runs that are kept one by one, a table that ships, and one command line."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from companion._files import atomic_write_text, provenance, read_json
from companion._runs._blocks import Blocks, Identity
from companion._runs._folder import ResumableFolder
from companion._tables import DamagedFileError
from companion.datasets._studies import STORED
from companion.errors import InputError

WORK = Path("build/studies")

Row = Mapping[str, Any]
Report = Callable[[str, int, int], None]
"""Called as ``report(what, done, total)`` while a run works."""
Run = Callable[[Path, Report], Sequence[Row]]
"""Called as ``run(work, report)``, where `work` is a folder for checkpoints; returns the rows of this run."""


@dataclass(frozen=True)
class Study:
    """One experiment.

    Attributes
    ----------
    name : str
        That of its module, and of the table in the package.
    title, question : str
        What it is about, and what it asks.
    how : str
        The protocol: what is fitted on what, scored on what, and what was not looked at.
    cost : str
        How long the whole takes.
    columns : mapping of str to str
        What each column of the table holds, with its unit.
    config : mapping
        Everything that the rows depend on but the code and the versions, JSON types.
    runs : mapping of str to callable
        By what a reader calls it. A run depends on `config` alone, not on the other runs.
    inputs : callable
        ``inputs(work)``: files that the runs left in `work` and whose SHA-256 belongs in the provenance.
    """

    name: str
    title: str
    question: str
    how: str
    cost: str
    columns: Mapping[str, str]
    config: Mapping[str, Any]
    runs: Mapping[str, Run]
    inputs: Callable[[Path], Mapping[str, Path]] = field(default=lambda work: {})

    @property
    def command(self) -> str:
        """The command that makes the table in the package."""
        return f"python -m studies.{self.name} --store"

    @property
    def card(self) -> dict[str, Any]:
        """What the table says of itself."""
        said = {name: getattr(self, name) for name in ("title", "question", "how", "cost", "columns", "command")}
        return json.loads(json.dumps(said))


class _Runs(Blocks[list[Row]]):
    """A JSON file a run, with its rows."""

    noun, suffix = "study", ".json"

    def __init__(self, study: Study) -> None:
        self.names, self.maker = list(study.runs), f"python -m studies.{study.name}"

    def identify(self, file: Path, command: str) -> Identity:
        if not file.is_file():
            raise DamagedFileError(f"{file}: no such file; make it with `{command}`")
        try:
            stored = read_json(file, remedy=f"make it with `{command}`")
        except InputError as error:
            raise DamagedFileError(str(error)) from error
        if not isinstance(stored, dict) or set(stored) != {"identity", "run", "rows"}:
            raise InputError(f"{file}: content is not a finished run; delete it")
        return stored["identity"]

    def read(self, file: Path, number: int, identity: Identity) -> list[Row]:
        stored = read_json(file, remedy="delete it to run it anew")
        if stored["run"] != self.names[number]:
            raise InputError(f"{file}: holds the run '{stored['run']}', not '{self.names[number]}'; delete it")
        return stored["rows"]

    def count(self, identity: Identity) -> int:
        return len(self.names)

    def command(self, identity: Identity, folder: Path) -> str:
        return f"{self.maker} --work {folder.parent}"


def run_study(study: Study, work: Path, report: Report = lambda what, done, total: None) -> dict[str, Any]:
    """Do the runs that `work` does not hold yet; return card, provenance and rows, as they are stored.

    Parameters
    ----------
    study : Study
    work : Path
        Folder of the finished runs, and of what a run needs to go on after a kill.
    report : callable

    Raises
    ------
    InputError
        If `work` holds runs of another configuration or of other package versions, or can not be written.
    """
    identity = provenance(seed=None, config=study.config, inputs={})
    with ResumableFolder(work / "runs", _Runs(study), identity) as folder:
        for number in folder.missing():
            name, run = list(study.runs.items())[number]
            rows = [_checked(row, study) for row in run(work, report)]
            stored = {"identity": folder.identity, "run": name, "rows": rows}
            folder.put(number, (json.dumps(stored, indent=1) + "\n").encode())
        folder.finish()
        rows = [row for number in range(folder.total) for row in folder.read(number)]
    made = provenance(seed=None, config=study.config, inputs=study.inputs(work))
    return {"card": study.card, "provenance": made, "rows": rows}


def _checked(row: Row, study: Study) -> Row:
    """The row to six digits, more than its scores mean."""
    if list(row) != list(study.columns):
        raise ValueError(f"row must have the columns {list(study.columns)}, got {list(row)}")
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()}


def main(make: Callable[[bool], Study], argv: Sequence[str] | None = None) -> int:
    """Run a study as a program and return its exit status: 2 for bad input, 130 for an interrupt.

    ``make(tiny)`` returns the study, or a form of it that only shows that it runs.
    """
    study = make(False)
    stored = STORED / f"{study.name}.json"
    parser = argparse.ArgumentParser(prog=f"python -m studies.{study.name}", description=study.question)
    parser.add_argument("--work", type=Path, metavar="FOLDER", help=f"finished runs ({WORK / study.name})")
    parser.add_argument("--store", nargs="?", type=Path, const=stored, metavar="FILE", help="write the table (package)")
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that it runs")
    options = parser.parse_args(argv)
    if options.tiny and options.store == stored:
        parser.error("--tiny is not for the table in the package: give --store a file")
    study = make(options.tiny)
    work = options.work or WORK / (f"{study.name}_tiny" if options.tiny else study.name)
    try:
        table = _run_with_progress(study, work)
        if options.store is not None:
            atomic_write_text(options.store, json.dumps(table, indent=1) + "\n")
    except InputError as error:
        print(f"{study.name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{study.name}: interrupted; {work} keeps what is finished", file=sys.stderr)
        return 130
    print(study.title)
    print(pd.DataFrame(table["rows"]).to_string(index=False, float_format="{:.4f}".format))
    return 0


def _run_with_progress(study: Study, work: Path) -> dict[str, Any]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(study.name, total=None)
        return run_study(
            study, work, lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
        )
