"""The folder of a service: one service at a time, one account and one market, from the first start on."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from companion._files import durable_write_text, read_json
from companion._runs._lock import locked
from companion.errors import InputError
from companion.live._breaker_file import read_breaker
from companion.live._settings import LiveSettings

FORMAT = 1
_OTHER = "give another --folder, or the settings that it was begun with"


class Reset(NamedTuple):
    """A person has reset the breaker: when, in nanoseconds since 1970, and why."""

    time_ns: int
    reason: str


class ServiceFolder:
    """What lies in the folder of a service, and where.

    Attributes
    ----------
    path : Path
        The folder.
    audit, breaker, checkpoint, run : Path
        Audit log; circuit breaker; checkpoint; what was settled at the first start.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.audit, self.breaker = path / "audit.jsonl", path / "breaker.json"
        self.checkpoint, self.run = path / "checkpoint.json", path / "run.json"

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Keep every other service out.

        Raises
        ------
        InputError
            One is there, or the folder can not be made.
        """
        with ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                ours = stack.enter_context(locked(self.path / "service.lock"))
            except OSError as error:
                raise InputError(f"{self.path}: can not be used ({error.strerror}); give another --folder") from error
            if not ours:
                raise InputError(f"{self.path}: a service runs here already; stop it, or give another --folder")
            for part in self.path.glob(".*.part"):  # of a file that a kill left unfinished
                part.unlink(missing_ok=True)
            yield

    def settle(self, settings: LiveSettings, now_ns: int) -> int:
        """Settle account, bars and market at the first start, and hold to it; when that was, nanoseconds since 1970.

        Raises
        ------
        InputError
            These settings contradict it, or it can not be read.
        """
        simulated = ("minutes", "history", "seed") if settings.simulate else ()
        names = ("simulate", "interval", "balance", *simulated)
        wanted = {"format": FORMAT, **{name: getattr(settings, name) for name in names}}
        if not self.run.exists():
            durable_write_text(self.run, json.dumps({**wanted, "start_ns": now_ns}, indent=1) + "\n")
        settled = read_json(self.run, remedy=_OTHER)
        if not isinstance(settled, dict) or not isinstance(settled.get("start_ns"), int):
            raise InputError(f"{self.run}: is no record of a service; {_OTHER}")
        for name, value in wanted.items():
            if settled.get(name) != value:
                raise InputError(f"{self.run}: {name} is {settled.get(name)}, not {value}; {_OTHER}")
        start_ns: int = settled["start_ns"]
        return start_ns

    def last_reset(self) -> Reset | None:
        """The last time that a person reset the breaker."""
        resets = [event for event in read_breaker(self.breaker) if event["event"] == "reset"]
        return Reset(resets[-1]["time_ns"], resets[-1]["reason"]) if resets else None
