"""What the steps share: a command with its flags, its files, its progress and its one-line errors."""

import inspect
import io
import sys
import tempfile
import time
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter, Token

from companion._files import followed
from companion.errors import InputError
from companion.pipeline._settings import flag, help_texts, make_config, read_flags

FOLDER = Path("build/pipeline")

Report = Callable[[int, int], None]
"""Called as `report(done, total)` while a step works."""


@dataclass(frozen=True)
class Step:
    """One step of the pipeline.

    Attributes
    ----------
    name : str
        The subcommand, for example ``generate-heston``.
    config : type
        A frozen dataclass that validates itself; its fields become flags and the keys of a TOML file, and what its
        docstring says of them their help.
    inputs : mapping of str to str
        Artifacts it reads: flag name to default file name in `FOLDER`, or an absolute path.
    output : str
        Default name of the artifact it writes, or an absolute path.
    run : callable
        ``run(config, inputs, output, report) -> str``: does the work and returns one line that says what came out.
    folder : bool
        Whether the artifact is a folder of files.
    instead : mapping of str to str
        Settings that take the place of an input, where they are given: setting to flag name of the input.
    """

    name: str
    config: type
    inputs: Mapping[str, str]
    output: str
    run: Callable[[Any, Mapping[str, Path], Path, Report], str]
    folder: bool = False
    instead: Mapping[str, str] = field(default_factory=dict)

    def app(self, name: str = "") -> App:
        """Return the command, by default of the step's name: its files, ``--config``, and one flag a setting."""

        def command(**given: Any) -> int:
            return guarded(self.name, lambda: execute(self, given))

        files: dict[str, tuple[Path | None, str]] = {key: (FOLDER / file, "input") for key, file in self.inputs.items()}
        files |= {"out": (FOLDER / self.output, "output"), "config": (None, "TOML file, or the JSON of an earlier run")}
        hints, texts = typing.get_type_hints(self.config), help_texts(self.config)
        settings = "Settings (a flag wins over the file)"
        parameters = [_parameter(key, Path, default, text, "Files") for key, (default, text) in files.items()]
        parameters += [
            _parameter(each.name, hints[each.name], each.default, texts[each.name], settings)
            for each in fields(self.config)
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        about = inspect.getdoc(self.run)  # the command line has a line of its own for the head
        return App(
            name=name or self.name,
            help_epilogue=about,
            default_command=command,
            help_format="plaintext",
            version_flags=(),
        )


def _parameter(name: str, hint: Any, default: Any, text: str, group: str) -> inspect.Parameter:
    several = typing.get_origin(hint) is tuple
    kind = str if hint == bool | None else hint  # for the library, a flag of a truth has no value
    how = Parameter(
        name=flag(name),
        help=text,
        group=group,
        # Settings stay text until `make_config`: the library's own reader rounds 1.5 to the int 2.
        converter=None if hint is Path else _texts,
        allow_repeating=True,  # the last one counts
        consume_multiple=several,
        negative=(),
        show_default=(lambda values: " ".join(map(str, values))) if several else default is not None,
    )
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, how])


def _texts(hint: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(token.value for token in tokens)


def execute(step: Step, given: Mapping[str, Any]) -> None:
    """Run `step` with the flags that were given, and a progress bar if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    flags = dict(given)
    out, file = flags.pop("out", FOLDER / step.output), flags.pop("config", None)
    inputs = {name: flags.pop(name, FOLDER / default) for name, default in step.inputs.items()}
    config = make_config(step.config, file=file, flags=read_flags(step.config, flags))
    for setting, name in step.instead.items():
        if getattr(config, setting) is not None:
            if name in given:
                raise InputError(
                    f"{flag(setting)} and {flag(name)}: one takes the place of the other; give one of them"
                )
            del inputs[name]
    check_output(out, suffix=Path(step.output).suffix, inputs=[*inputs.values(), file], folder=step.folder)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    start = time.perf_counter()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(step.name, total=None)
        said = step.run(config, inputs, out, lambda done, total: bar.update(task, completed=done, total=total))
    print(f"{step.name}: {said} -> {out} ({time.perf_counter() - start:.1f} s)")


def check_output(output: Path, *, suffix: str, inputs: Iterable[Path | None], folder: bool = False) -> None:
    """Refuse an output, before any work is done, that can not be written or would overwrite an input.

    Where `output` is a symbolic link, what it leads to is judged: that is what the step will replace.

    Raises
    ------
    InputError
        `output` has another suffix than `suffix`, is one of `inputs`, is a folder where a file is wanted or the other
        way round, or lies where no folder can be.
    """
    if output.suffix != suffix:
        raise InputError(f"--out {output}: the name must end in {suffix}")
    target = followed(output).resolve()
    if any(file is not None and followed(file).resolve() == target for file in inputs):
        raise InputError(f"--out {output}: is an input of this step; choose another name")
    if target.is_file() if folder else target.is_dir():
        there, wanted = ("file", "folder") if folder else ("folder", "file")
        raise InputError(f"--out {output}: is a {there}; name a {wanted} that ends in {suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise InputError(f"--out {output}: can not be written ({error.strerror}); choose another place") from error


def main(step: Step, argv: Sequence[str] | None = None) -> int:
    """Run one step as a program of its own (``python -m companion.pipeline.…``) and return its exit status."""
    return call(step.app(f"companion {step.name}"), sys.argv[1:] if argv is None else argv)


def call(app: App, argv: Sequence[str]) -> int:
    """Run a command line and return its exit status: 0 done, 2 for a line that can not be read, else what it returns.

    Names of files and methods are printed whatever the stream can show: what it can not is escaped.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return app(argv, exit_on_error=False, print_error=False, result_action="return_value") or 0
    except CycloptsError as error:
        name = " ".join([app.name[0], *(error.command_chain or ())])
        return refuse(name, f"{' '.join(str(error).split()).rstrip('.')}; see {name} --help")


def refuse(name: str, complaint: str) -> int:
    """Print one line, its control characters escaped, and return the status of bad input."""
    line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in f"{name}: {complaint}")
    print(line, file=sys.stderr)
    return 2


def guarded(name: str, work: Callable[[], None]) -> int:
    """Call `work`; turn the user's errors into one line and a status: 2 for bad input, 130 for an interrupt."""
    try:
        work()
    except InputError as error:
        return refuse(f"companion {name}", str(error))
    except KeyboardInterrupt:
        print(f"companion {name}: interrupted; the previous output is as it was", file=sys.stderr)
        return 130
    return 0
