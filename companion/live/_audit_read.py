"""Reading an audit log: line by line with proof, or all of it for a verdict."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from companion.errors import InputError
from companion.live._audit_lines import AuditHead, BrokenChainError, Chain


class AuditLine(NamedTuple):
    """One line of an audit log.

    Attributes
    ----------
    n : int
        Its number, from 1.
    time_ns : int
        When, in nanoseconds since 1970.
    kind : str
        "session", "decision", "order", "fill", "trip" and so on.
    content : dict
        JSON types; decimals are text.
    """

    n: int
    time_ns: int
    kind: str
    content: dict[str, Any]


@dataclass(frozen=True)
class AuditReport:
    """Verdict on an audit log; true where it is whole.

    Attributes
    ----------
    head : AuditHead
        The last line that follows from all before it.
    n_torn : int
        Bytes of a last line that is not finished: a writer was killed, or is writing.
    problem : str or None
        What is wrong, in one line; None where nothing is.
    line : int or None
        The first line that does not follow.
    """

    head: AuditHead
    n_torn: int = 0
    problem: str | None = None
    line: int | None = None

    def __bool__(self) -> bool:
        return self.problem is None


def read_audit(path: str | Path) -> Iterator[AuditLine]:
    """Lines of an audit log, each verified before it is handed out; an unfinished last line is left out.

    Raises
    ------
    InputError
        The file can not be read or is of another format; or, at that line, a line does not follow from the one before.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            for link in Chain(file, path):
                yield AuditLine(link.n, link.time_ns, link.kind, json.loads(link.content))
    except OSError as error:
        raise InputError(f"{path}: can not be read ({error.strerror}); name an audit log") from error


def verify_audit(path: str | Path, expected_head: AuditHead | None = None) -> AuditReport:
    """Whether an audit log is as it was written.

    Parameters
    ----------
    path : str or Path
        The log.
    expected_head : AuditHead, optional
        Where it ended at some time, as a checkpoint keeps it. Without it, lines missing at the end do not show.

    Raises
    ------
    InputError
        The file can not be read, or is of another format.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            chain = Chain(file, path, expected_head)
            try:
                for _ in chain:
                    pass
            except BrokenChainError as error:
                return AuditReport(chain.head, len(chain.torn), str(error), error.n)
            return AuditReport(chain.head, len(chain.torn))
    except OSError as error:
        raise InputError(f"{path}: can not be read ({error.strerror}); name an audit log") from error
