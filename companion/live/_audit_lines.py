"""One line of the audit log: how it is written, how it hangs on the line before it, and what a torn one looks like."""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from companion.errors import InputError
from companion.live._masked import masked

AUDIT_FORMAT = 1
"""Format that a line "session" names in its content; a log with another one is refused."""
KIND = re.compile("[a-z][a-z_]{0,31}")
_HEAD = re.compile(rb'\{"n":(\d{1,18}),"time_ns":(-?\d{1,20}),"kind":"([a-z_]{1,32})","content":\{')
_SEAL = len(b',"sha256":"') + 64 + len(b'"}\n')
_REMEDY = "keep the file as it is, find out why, and begin another"


class AuditHead(NamedTuple):
    """Where a log ends: it may have grown since, but a log that does not hold this line is not the same.

    Attributes
    ----------
    n_lines : int
        Lines so far.
    sha256 : str
        Hash of the last one, and so of all; 64 zeros before the first.
    """

    n_lines: int
    sha256: str


START = AuditHead(0, "0" * 64)


class Link(NamedTuple):
    """A line that follows from the one before it; `content` is JSON that has not been read yet."""

    n: int
    time_ns: int
    kind: str
    content: bytes


def encode(after: AuditHead, kind: str, time_ns: int, content: Mapping[str, Any]) -> tuple[bytes, AuditHead]:
    """The line that follows `after`, and the new head; ValueError names what JSON can not say.

    Its hash is SHA-256 of the hash before and of the line's own bytes up to the hash.
    """
    if not (isinstance(kind, str) and KIND.fullmatch(kind)):
        raise ValueError(f"kind must be a word of small letters, got {kind!r}")
    if type(time_ns) is not int:
        raise ValueError(f"now_ns must be an integer, got {time_ns!r}")
    line = {"n": after.n_lines + 1, "time_ns": time_ns, "kind": kind, "content": _plain("content", content)}
    body = json.dumps(line, separators=(",", ":"), allow_nan=False)[:-1].encode("ascii")  # without the last brace
    head = AuditHead(after.n_lines + 1, _hash(after, body))
    return body + f',"sha256":"{head.sha256}"}}\n'.encode("ascii"), head


def _hash(after: AuditHead, body: bytes) -> str:
    return hashlib.sha256(after.sha256.encode("ascii") + body).hexdigest()


def _plain(name: str, value: Any) -> Any:
    """A value of JSON types, its secrets masked; ValueError for another type, and for a number that JSON has not."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(f"{name}[{key!r}]", part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(f"{name}[{i}]", part) for i, part in enumerate(value)]
    got = repr(value) if isinstance(value, float) else type(value).__name__
    raise ValueError(f"{name} must be of JSON types with finite numbers, got {got}; give numbers like it as text")


class Chain:
    """The lines of a file, each proved to follow from the one before it.

    Parameters
    ----------
    file : binary file
        At its beginning.
    path : Path
        Its name, for complaints.
    expected : AuditHead, optional
        A line that it has to hold.

    Attributes
    ----------
    head : AuditHead
        The last line that has been read.
    n_bytes : int
        Length of the lines that have been read.
    torn : bytes
        What follows the last whole line: the beginning of one that was never finished. Known at the end.
    """

    def __init__(self, file: BinaryIO, path: Path, expected: AuditHead | None = None) -> None:
        self.head, self.n_bytes, self.torn = START, 0, b""
        self._file, self._path, self._expected = file, path, expected

    def __iter__(self) -> Iterator[Link]:
        """Read on; InputError at the first line that does not follow, and at the end if the expected one is missing."""
        for raw in self._file:
            if not raw.endswith(b"\n"):
                self.torn = self._checked_torn(raw)
                break
            yield self._link(raw)
        if self._expected is not None and self.head.n_lines < self._expected.n_lines:
            raise self.broken(f"is missing: there were {self._expected.n_lines} lines, the end has been cut off")

    def _link(self, raw: bytes) -> Link:
        body, found = raw[:-_SEAL], _HEAD.match(raw)
        head = AuditHead(self.head.n_lines + 1, _hash(self.head, body))
        if found is None or raw[-_SEAL:] != f',"sha256":"{head.sha256}"}}\n'.encode("ascii"):
            raise self.broken("does not follow from the line before it: one was changed, removed, added or moved")
        link = Link(int(found[1]), int(found[2]), found[3].decode("ascii"), raw[found.end() - 1 : -_SEAL])
        if link.n != head.n_lines:
            raise self.broken(f"calls itself line {link.n}")
        if self._expected is not None and head.n_lines == self._expected.n_lines and head != self._expected:
            raise self.broken("is not the one that was written: the log has been replaced")
        if link.kind == "session" and (version := json.loads(link.content).get("format")) != AUDIT_FORMAT:
            raise InputError(
                f"{self._path}: line {link.n}: a session of format {version}, this version reads {AUDIT_FORMAT}; "
                "read it with the version that wrote it"
            )
        self.head, self.n_bytes = head, self.n_bytes + len(raw)
        return link

    def _checked_torn(self, raw: bytes) -> bytes:
        begins = f'{{"n":{self.head.n_lines + 1},"time_ns":'.encode("ascii")
        written = raw.rstrip(b"\0")  # what some file systems leave of a line after a power cut
        if not (written.startswith(begins) or begins.startswith(written)):
            raise self.broken("is no beginning of a line of ours")
        return raw

    def broken(self, why: str) -> "BrokenChainError":
        """The complaint about the next line."""
        n = self.head.n_lines + 1
        return BrokenChainError(f"{self._path}: line {n} {why}; {_REMEDY}", n)


class BrokenChainError(InputError):
    """The log is not as it was written; `n` is the first line that does not follow."""

    def __init__(self, message: str, n: int) -> None:
        super().__init__(message)
        self.n = n
