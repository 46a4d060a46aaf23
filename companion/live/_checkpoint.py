"""What a desk needs to go on where it stopped, in one file: the old one or the new one, never half of either."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from companion._files import atomic_write_text, followed, read_json
from companion.errors import InputError
from companion.live._candles import Candle, interval_ns
from companion.risk._decimal import is_amount

FORMAT_VERSION = 1
REMEDY = "delete it, the desk then warms up from the store"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """All that is remembered after one candle.

    Attributes
    ----------
    time_ns : int
        When it was made, nanoseconds since 1970.
    symbol : str
        Of the candles.
    interval : str
        How long one is.
    last : Candle
        The last one that the desk has seen.
    equity : Decimal
        What the desk was told with it, in the quote currency; positive.
    desk : dict
        `companion.desk.Desk.state`: JSON types, the desk's fingerprint among them.
    gate : dict or None
        State of the risk gate, JSON types.
    strategy : dict or None
        State of the strategy, JSON types.
    audit_head : (int, str) or None
        Number of lines of the audit log, and the hash of the last.

    Raises
    ------
    ValueError
        Names the field that is not what it must be.
    """

    time_ns: int
    symbol: str
    interval: str
    last: Candle
    equity: Decimal
    desk: dict[str, Any]
    gate: dict[str, Any] | None = None
    strategy: dict[str, Any] | None = None
    audit_head: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        interval_ns(self.interval)
        right = {
            "time_ns": isinstance(self.time_ns, int),
            "symbol": isinstance(self.symbol, str),
            "last": isinstance(self.last, Candle),
            "equity": isinstance(self.equity, Decimal) and is_amount(self.equity),
            "desk": isinstance(self.desk, dict),
            "gate": isinstance(self.gate, dict | None),
            "strategy": isinstance(self.strategy, dict | None),
        }
        for name in (name for name, fits in right.items() if not fits):
            raise ValueError(f"{name} must be of its documented type, got {getattr(self, name)!r}")
        if self.audit_head is not None:
            n_lines, sha256 = self.audit_head
            object.__setattr__(self, "audit_head", (int(n_lines), str(sha256)))


def save_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; when this returns it is on the disk. Until then the file is the old one, whatever happens.

    Raises
    ------
    InputError
        The place can not be written.
    ValueError
        A state holds what JSON has not, such as NaN.
    """
    payload = asdict(checkpoint) | {"last": list(checkpoint.last), "equity": str(checkpoint.equity)}
    stored = {"format": FORMAT_VERSION, "sha256": _sha256(payload), "payload": payload}
    atomic_write_text(path, json.dumps(stored, allow_nan=False))
    folder = os.open(followed(Path(path)).parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name of the file, too
    finally:
        os.close(folder)


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    InputError
        There is none, or it is damaged, edited, no checkpoint at all, or one of another version.
    """
    path = Path(path)
    stored = read_json(path, remedy=REMEDY)
    if not isinstance(stored, dict) or set(stored) != {"format", "sha256", "payload"}:
        raise InputError(f"{path}: is no checkpoint; {REMEDY}, or name another file")
    if stored["format"] != FORMAT_VERSION:
        raise InputError(f"{path}: format is {stored['format']!r}, this version reads {FORMAT_VERSION}; {REMEDY}")
    payload = stored["payload"]
    try:
        whole = _sha256(payload) == stored["sha256"]
    except ValueError:
        whole = False  # a number that is none
    if not whole:
        raise InputError(f"{path}: sha256 is not that of the content, which was damaged or edited; {REMEDY}")
    try:
        return Checkpoint(**payload | {"last": Candle(*payload["last"]), "equity": Decimal(payload["equity"])})
    except (ArithmeticError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: content is not a checkpoint ({error}); {REMEDY}") from error


def _sha256(payload: Any) -> str:
    """Hash of the content, however it is laid out in the file."""
    text = json.dumps(payload, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
