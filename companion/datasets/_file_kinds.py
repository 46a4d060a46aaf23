"""What a file is, by its first bytes and not by its name; and how to say so without printing what it holds."""

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from companion.errors import InputError

PARQUET = b"PAR1"
ZIP = b"PK\x03\x04"
GZIP = b"\x1f\x8b"
UTF16 = (b"\xff\xfe", b"\xfe\xff")

#: First bytes of what is no table of ours, what it is, and what to do about it.
_FOREIGN = (
    (b"PK\x05\x06", "an empty zip archive", "give an archive with one CSV file"),
    (b"BZh", "compressed with bzip2", "unpack it first"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as UTF-8 CSV"),
    (b"%PDF", "a PDF document", "give a CSV or Parquet file"),
    (b"ARROW1", "a Feather file", "write it as Parquet or CSV"),
    (b"\x89HDF", "an HDF5 file", "write it as Parquet or CSV"),
    (b"<!", "a web page, not a table", "download the CSV file itself"),
    (b"<html", "a web page, not a table", "download the CSV file itself"),
    (b"<?xml", "XML, not a table", "download the CSV file itself"),
    (b"{", "JSON, not a table", "write it as CSV or Parquet"),
    (b"[{", "JSON, not a table", "write it as CSV or Parquet"),
)


def shown(text: object, limit: int = 40) -> str:
    """`text` in quotes for a message, cut short, on one line, every control character escaped."""
    plain = str(text)
    return repr(plain if len(plain) <= limit else plain[:limit] + "…")


def called(path: Path) -> str:
    """The name of a file for a message, escaped if it holds what does not print."""
    return str(path) if str(path).isprintable() else repr(str(path))


def first_bytes(path: Path) -> bytes:
    """The beginning of a file.

    Raises
    ------
    InputError
        If it is not there or can not be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(16)
    except FileNotFoundError as error:
        raise InputError(f"{called(path)}: no such file: check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{called(path)}: is a folder: name the file in it") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or shown(error)
        raise InputError(f"{called(path)}: can not be read ({reason}): check the file") from error


@contextmanager
def opened_text(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a text file, unpacked if it is compressed with gzip or the only CSV file of a zip archive.

    Raises
    ------
    InputError
        If it can not be read, its archive is damaged, encrypted or not of a single CSV, or it is no text.
    """
    start, name = first_bytes(path), called(path)
    try:
        if start.startswith(ZIP):
            with zipfile.ZipFile(path) as archive, archive.open(_only_table(archive, name)) as member:
                yield member
            return
        refuse_foreign(start, name)
        file: IO[bytes]
        with cast("IO[bytes]", gzip.open(path)) if start.startswith(GZIP) else path.open("rb") as file:
            yield file
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputError(f"{name}: damaged or encrypted archive ({_line(error)}): download it again") from error
    except OSError as error:
        raise InputError(f"{name}: can not be read ({error.strerror or _line(error)}): check the file") from error


def refuse_foreign(start: bytes, name: str) -> None:
    """Refuse by name what is known and is no text, with an `InputError`."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, kind, remedy in _FOREIGN:
        if text.startswith(magic) or text.lower().startswith(magic):
            raise InputError(f"{name}: is {kind}: {remedy}")


def _only_table(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    if any(info.filename.startswith("xl/") for info in archive.infolist()):
        raise InputError(f"{name}: is an Excel workbook: save the sheet as UTF-8 CSV")
    members = [info for info in archive.infolist() if info.filename.lower().endswith(".csv")]
    if len(members) != 1:
        raise InputError(f"{name}: holds {len(members)} files that end in .csv: give an archive with one")
    return members[0]


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:120]
    return text if text.isprintable() else shown(text)
