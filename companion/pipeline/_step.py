"""What the four steps share: a configuration from flags and a TOML file, checked before anything runs."""

import argparse
import difflib
import sys
import tempfile
import time
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from companion.errors import InputError

FOLDER = Path("build/pipeline")

Report = Callable[[int, int], None]
"""Called as `report(done, total)` while a step works."""


class OneLineParser(argparse.ArgumentParser):
    """A parser whose complaint is one line that ends in the remedy."""

    def error(self, message: str) -> NoReturn:
        """Print the complaint and exit with status 2."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


@dataclass(frozen=True)
class Step:
    """One step of the pipeline.

    Attributes
    ----------
    name : str
        The subcommand, for example ``generate-heston``.
    config : type
        A frozen dataclass that validates itself; its fields become flags and the keys of a TOML file.
    inputs : mapping of str to str
        Artifacts it reads: flag name to default file name in `FOLDER`.
    output : str
        Default name of the artifact it writes.
    run : callable
        ``run(config, inputs, output, report) -> str``: does the work and returns one line that says what came out.
    folder : bool
        Whether the artifact is a folder of files.
    """

    name: str
    config: type
    inputs: Mapping[str, str]
    output: str
    run: Callable[[Any, Mapping[str, Path], Path, Report], str]
    folder: bool = False


def add_arguments(step: Step, parser: argparse.ArgumentParser) -> None:
    """Give `parser` the flags of `step`: its files, `--config`, and one flag a configuration field."""
    for name, file in step.inputs.items():
        parser.add_argument(f"--{name}", type=Path, default=FOLDER / file, metavar="PATH", help="input (%(default)s)")
    parser.add_argument("--out", type=Path, default=FOLDER / step.output, metavar="PATH", help="output (%(default)s)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file with any of the settings below")
    settings = parser.add_argument_group("settings (a flag wins over the file)")
    hints = typing.get_type_hints(step.config)
    for field in fields(step.config):
        several = typing.get_origin(hints[field.name]) is tuple
        settings.add_argument(
            _flag(field.name),
            dest=f"set_{field.name}",
            type=_scalar(hints[field.name]),
            nargs="+" if several else None,
            default=argparse.SUPPRESS,
            metavar=field.name.upper(),
            help=f"default {field.default}",
        )


def execute(step: Step, arguments: argparse.Namespace) -> None:
    """Run `step` as its parsed arguments say, with a progress bar if standard error is a terminal."""
    flags = {name.removeprefix("set_"): value for name, value in vars(arguments).items() if name.startswith("set_")}
    config = make_config(step.config, file=arguments.config, flags=flags)
    inputs = {name: getattr(arguments, name) for name in step.inputs}
    suffix, files = Path(step.output).suffix, [*inputs.values(), arguments.config]
    check_output(arguments.out, suffix=suffix, inputs=files, folder=step.folder)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    start = time.perf_counter()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(step.name, total=None)
        said = step.run(
            config, inputs, arguments.out, lambda done, total: bar.update(task, completed=done, total=total)
        )
    print(f"{step.name}: {said} -> {arguments.out} ({time.perf_counter() - start:.1f} s)")


def check_output(output: Path, *, suffix: str, inputs: Iterable[Path | None], folder: bool = False) -> None:
    """Refuse an output, before any work is done, that can not be written or would overwrite an input.

    Raises
    ------
    InputError
        `output` has another suffix than `suffix`, is one of `inputs`, is a folder where a file is wanted or the other
        way round, or lies where no folder can be.
    """
    if output.suffix != suffix:
        raise InputError(f"--out {output}: the name must end in {suffix}")
    if any(file is not None and file.resolve() == output.resolve() for file in inputs):
        raise InputError(f"--out {output}: is an input of this step; choose another name")
    if output.is_file() if folder else output.is_dir():
        there, wanted = ("file", "folder") if folder else ("folder", "file")
        raise InputError(f"--out {output}: is a {there}; name a {wanted} that ends in {suffix}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output.parent):
            pass
    except OSError as error:
        raise InputError(f"--out {output}: can not be written ({error.strerror}); choose another place") from error


def main(step: Step, argv: Sequence[str] | None = None) -> int:
    """Run one step as a program of its own (``python -m companion.pipeline.…``) and return its exit status."""
    parser = OneLineParser(prog=f"companion {step.name}", description=step.run.__doc__)
    add_arguments(step, parser)
    arguments = parser.parse_args(argv)
    return guarded(step.name, lambda: execute(step, arguments))


def guarded(name: str, work: Callable[[], None]) -> int:
    """Call `work`; turn the user's errors into one line and a status: 2 for bad input, 130 for an interrupt."""
    try:
        work()
    except InputError as error:
        print(f"companion {name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"companion {name}: interrupted; the previous output is as it was", file=sys.stderr)
        return 130
    return 0


def make_config(config: type, *, file: Path | None = None, flags: Mapping[str, Any] | None = None) -> Any:
    """Build `config` from a TOML file and flags.

    Raises
    ------
    InputError
        The file is missing or not TOML; a key is unknown; a value has the wrong type or is out of range.
    """
    flags = flags or {}
    settings = _read_toml(file) if file else {}
    hints = typing.get_type_hints(config)
    for key, value in settings.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(hints)}"
            raise InputError(f"{file}: unknown key '{key}'; {hint}")
        settings[key] = _typed(value, hints[key], where=f"{file}: {key}")
    values = settings | {key: tuple(value) if isinstance(value, list) else value for key, value in flags.items()}
    try:
        return config(**values)
    except ValueError as error:
        named = [_flag(key) for key in flags if key in str(error)] or [str(file)]
        raise InputError(f"{', '.join(named)}: {error}") from error


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); give --config an existing TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not TOML ({error}); write one `key = value` a line") from error


def _typed(value: Any, hint: Any, *, where: str) -> Any:
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise InputError(f"{where} must be a list, got {value!r}")
        return tuple(_typed(item, typing.get_args(hint)[0], where=where) for item in value)
    kind = _scalar(hint)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise InputError(f"{where} must be {kind.__name__}, got {value!r}")
    return value


def _scalar(hint: Any) -> type:
    """Return the plain type behind ``int``, ``tuple[int, ...]`` or ``int | None``."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is tuple:
        return _scalar(typing.get_args(hint)[0])
    return hint


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
