"""Files that are either the old version or the new one, never half of either; and where they came from."""

import errno
import hashlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import companion
from companion.errors import InputError

RECORDED_PACKAGES = ("numpy", "pandas", "pyarrow", "torch", "scikit-learn", "numba")


# What the system says of a place and not of the work: no space, quota, limit or right to write there.
_OF_THE_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


@contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; it replaces `target` in one step when the block ends without an error.

    Whatever interrupts the block (an exception, Ctrl-C, a kill, a full disk), `target` is what it was before. Where
    `target` is a symbolic link, what it links to is replaced, and the link stays.

    Raises
    ------
    InputError
        The place can not be written: no such folder, no permission, no space left. Other errors of the block, a file
        that it can not read among them, pass as they are.
    """
    target = Path(target)
    real = followed(target)
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{real.name}.", suffix=".part", dir=real.parent)
        os.close(handle)
        part = Path(name)
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.chmod(0o644)
        part.replace(real)
    except OSError as error:
        if error.errno in _OF_THE_PLACE or error.filename in (name, part):
            raise _unwritable(target, error) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def _unwritable(target: Path, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError(f"{target}: can not be written ({reason}); make room or choose another place")


def followed(path: Path) -> Path:
    """Return where the symbolic link `path` leads, however many there are; another path as it is.

    Raises
    ------
    InputError
        The links lead in a circle.
    """
    if not path.is_symlink():
        return path
    try:
        end = path.resolve()
    except RuntimeError:  # of Python before 3.13
        end = path
    if end.is_symlink():
        raise InputError(f"{path}: a symbolic link that leads to itself; delete it, or choose another name")
    return end


def atomic_write_text(target: str | Path, text: str) -> None:
    """Write `text` to `target` in one step."""
    with atomic_path(target) as part:
        part.write_text(text, encoding="utf-8")


def durable_write_text(target: str | Path, text: str) -> None:
    """`atomic_write_text`, and when it returns, the new version outlives a power cut: file and name are on the disk.

    Raises
    ------
    InputError
        The place can not be written.
    """
    atomic_write_text(target, text)
    try:
        sync_folder(followed(Path(target)).parent)
    except OSError as error:
        raise _unwritable(Path(target), error) from error


def sync_folder(path: Path) -> None:
    """Return when the names in a folder are on the disk: those of new and of replaced files."""
    if sys.platform == "win32":  # which opens no folders
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_folder(path: str | Path) -> str:
    """SHA-256 of the names and the bytes of the files that lie in a folder, in hexadecimal."""
    files = sorted(file for file in Path(path).iterdir() if file.is_file())
    return hashlib.sha256("".join(f"{sha256_file(file)}  {file.name}\n" for file in files).encode()).hexdigest()


def read_json(path: Path, *, remedy: str) -> Any:
    """Content of a JSON file of ours.

    Raises
    ------
    InputError
        If there is none, or it is not JSON; the message ends in `remedy`.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: can not be read ({error.strerror}); {remedy}") from error
    except ValueError as error:
        raise InputError(f"{path}: content is not JSON ({error}); {remedy}") from error


def provenance(*, seed: int | None, config: Mapping[str, Any], inputs: Mapping[str, str | Path]) -> dict[str, Any]:
    """Where an artifact came from: seed, configuration, versions, and the SHA-256 of every input file or folder.

    There is no time stamp: the same inputs give the same bytes.
    """
    from importlib.metadata import version  # an eighth of the time that `companion --help` takes

    return {
        "companion": companion.__version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in RECORDED_PACKAGES},
        "seed": seed,
        "config": dict(config),
        "inputs": {name: _identity(Path(path)) for name, path in inputs.items()},
    }


def recorded(config: Any) -> dict[str, Any]:
    """A dataclass of settings as JSON types, to be stored and compared; a setting that is None is left out.

    So a file stays that of its configuration when the code learns a setting that is off by default.
    """
    stored: dict[str, Any] = json.loads(json.dumps(asdict(config, dict_factory=_given)))
    return stored


def _given(settings: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in settings if value is not None}


def _identity(path: Path) -> dict[str, str]:
    return {"file": path.name, "sha256": sha256_folder(path) if path.is_dir() else sha256_file(path)}
