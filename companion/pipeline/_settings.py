"""A step's settings: help from the docstring, values from flags and a file, all checked before anything runs.

A configuration is a frozen dataclass that validates itself. Its docstring (or that of the class it extends) has a
section ``Attributes`` that says of each field what it is, its unit and its range; the command line prints that, and has
no other text. The file is TOML, or the JSON that a step has written: then its settings are taken from there.
"""

import difflib
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields
from inspect import cleandoc
from pathlib import Path
from typing import Any

from docstring_parser import DocstringStyle, parse

from companion._files import read_json
from companion.errors import InputError

_WORDS = {"yes": True, "no": False}


def help_texts(config: type) -> dict[str, str]:
    """What the docstring of `config` says of each field; a `TypeError` names the fields that it forgets."""
    pages = [cleandoc(part.__doc__ or "") for part in reversed(config.__mro__) if part is not object]
    texts = {}
    for entry in (entry for page in pages for entry in parse(page, DocstringStyle.NUMPYDOC).params):
        text = " ".join((entry.description or "").split())
        texts.update(dict.fromkeys(entry.arg_name.split(", "), text))
    if missing := [field.name for field in fields(config) if not texts.get(field.name)]:
        raise TypeError(f"{config.__name__} must say in its docstring what {', '.join(missing)} is")
    return {field.name: texts[field.name] for field in fields(config)}


def make_config(config: type, *, file: Path | None = None, flags: Mapping[str, Any] | None = None) -> Any:
    """Build `config` from a file and flags; a flag wins over the file, and the file over the default.

    Raises
    ------
    InputError
        The file is missing, or neither TOML nor a report with settings; a key is unknown; a value has the wrong type or
        is out of range. The message names the flag, or the file and its key.
    """
    settings = _read_file(file, typing.get_type_hints(config)) if file else {}
    values = settings | dict(flags or {})
    try:
        return config(**values)
    except ValueError as error:
        guilty = [key for key in values if _complaint(config, values, without=key) != str(error)]
        places = [flag(key) if key in (flags or {}) else str(file) for key in guilty or values]
        raise InputError(f"{', '.join(dict.fromkeys(places))}: {error}") from error


def read_flags(config: type, texts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Read the values of flags from their text, each a sequence of words.

    Raises
    ------
    InputError
        A word is not a number where one is wanted.
    """
    hints, values = typing.get_type_hints(config), {}
    for name, words in texts.items():
        kind = scalar(hints[name])
        try:
            read = tuple(_WORDS[word] if kind is bool else kind(word) for word in words)
        except (KeyError, ValueError) as error:
            wanted = {int: "a whole number", bool: "yes or no"}.get(kind, "a number")
            raise InputError(f"{flag(name)} must be {wanted}, got {' '.join(words)!r}; see --help") from error
        values[name] = read if typing.get_origin(hints[name]) is tuple else read[-1]
    return values


def _complaint(config: type, values: Mapping[str, Any], *, without: str) -> str | None:
    """What `config` says against `values` without one of them: something else, or nothing, if that one is guilty."""
    try:
        config(**{key: value for key, value in values.items() if key != without})
    except ValueError as error:
        return str(error)
    return None


def _read_file(file: Path, hints: Mapping[str, Any]) -> dict[str, Any]:
    settings = _read_report(file) if file.suffix == ".json" else _read_toml(file)
    for key, value in settings.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(hints)}"
            raise InputError(f"{file}: unknown key {key!r}; {hint}")
        settings[key] = _typed(value, hints[key], where=f"{file}: {key}")
    return settings


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); give --config an existing TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not TOML ({error}); write one `key = value` a line") from error


def _read_report(file: Path) -> dict[str, Any]:
    """The settings of the run that wrote the JSON `file`."""
    remedy = "give --config a TOML file, or the JSON that a step has written"
    stored = read_json(file, remedy=remedy)
    try:
        return dict(stored["provenance"]["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{file}: lacks provenance.config; {remedy}") from error


def _typed(value: Any, hint: Any, *, where: str) -> Any:
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise InputError(f"{where} must be a list, got {value!r}")
        return tuple(_typed(item, typing.get_args(hint)[0], where=where) for item in value)
    kind = scalar(hint)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise InputError(f"{where} must be {kind.__name__}, got {value!r}")
    return value


def scalar(hint: Any) -> type:
    """Return the plain type behind ``int``, ``tuple[int, ...]``, ``int | None`` or ``Literal["a", "b"]``."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is tuple:
        return scalar(typing.get_args(hint)[0])
    if typing.get_origin(hint) is typing.Literal:
        return type(typing.get_args(hint)[0])
    return hint


def flag(name: str) -> str:
    """Return the flag of a field."""
    return "--" + name.replace("_", "-")
