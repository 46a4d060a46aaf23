"""`companion live` as a process of its own, as tests start it, read it and end it."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

LONGEST_S = 240.0  # a machine a fifth as fast takes less; whatever hangs for longer is killed
FIELD = re.compile(r"(position|bars) ([+-]?[\d.]+)")


def companion(*words: object) -> list[str]:
    """The command line, by this Python."""
    return [sys.executable, "-c", "import sys; from companion.cli import main; sys.exit(main())", *map(str, words)]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(companion(*words), capture_output=True, text=True, timeout=LONGEST_S, check=False)


class Service:
    """`companion live --plain` with a folder; it is killed in the end if it still runs.

    Attributes
    ----------
    lines : list of str
        What it has said on standard output, as far as it was read.
    """

    def __init__(self, folder: Path, *flags: object) -> None:
        words = companion("live", "--plain", "--folder", folder, *flags)
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines: list[str] = []
        self._end = threading.Timer(LONGEST_S, self.process.kill)
        self._end.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def until(self, *, bars: int, holds: bool) -> str:
        """Read on, up to a line with so many bars, and a position if asked for."""
        for line in self._read():
            found = fields(line)
            if found.get("bars", -1.0) >= bars and (found.get("position") or not holds):
                return line
        raise AssertionError(f"it ended before: {self.lines[-5:]} {self.process.communicate()[1]}")

    def wait(self) -> tuple[int, str]:
        """Wait for its end: exit status, and what it said on standard error."""
        self.lines += self._read()
        complaints = self.process.communicate()[1]
        return self.process.returncode, complaints

    def listening(self) -> list[str]:
        """Addresses on which it listens, TCP and UDP, as Linux tells them."""
        ours = {os.readlink(link) for link in self._links()}
        found = []
        for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
            for line in Path(f"/proc/{self.process.pid}/net/{table}").read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == state and f"socket:[{columns[9]}]" in ours:
                    found.append(columns[1])
        return found

    def _links(self) -> Iterator[Path]:
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            if link.is_symlink():
                yield link

    def _read(self) -> Iterator[str]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            yield self.lines[-1]


def fields(line: str) -> dict[str, float]:
    """Numbers of one of its lines."""
    return {name: float(number) for name, number in FIELD.findall(line)}
