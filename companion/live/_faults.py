"""What goes wrong with an exchange: the kinds of fault, when one begins and how long it lasts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from companion._checks import check_finite, check_positive
from companion.errors import InputError

CLOCK_SKEW_S = 5.0  # the exchange's clock ahead of ours: the dangerous way, since what is old then looks fresh


class FaultKind(StrEnum):
    """A fault of an exchange, on its stream only: its history is always true.

    Attributes
    ----------
    DISCONNECT
        Connections are cut without a word, and new ones refused.
    SILENCE
        Nothing is sent; pings are answered.
    SLOW_DRIP
        One message comes in fragments, and is whole only when the fault ends, with its stamps of before; the others
        of that time are lost.
    HALF_OPEN
        Connections stay open, but are dead for good: nothing is sent, pings and closing are not answered.
    DUPLICATES
        Each message comes twice.
    REORDERING
        Quotes come in groups of four and closed candles in pairs, the newest first.
    GAPS
        No candles; quotes come as usual.
    MALFORMED
        Each message is broken: cut short, of another symbol or type, without a field, or no JSON at all.
    NAN
        Each price is the text of no finite number.
    GLITCH
        Each price is a hundred times too high.
    FROZEN
        Quotes repeat the first one's prices and sizes, with new ids and stamps; candles come as usual.
    CROSSED_BOOK
        Bid and ask have changed places.
    EMPTY_BOOK
        Both sizes are zero.
    CLOCK_SKEW
        The exchange's stamps of events and transactions are five seconds ahead.
    """

    DISCONNECT = "disconnect"
    SILENCE = "silence"
    SLOW_DRIP = "slow-drip"
    HALF_OPEN = "half-open"
    DUPLICATES = "duplicates"
    REORDERING = "reordering"
    GAPS = "gaps"
    MALFORMED = "malformed"
    NAN = "nan"
    GLITCH = "glitch"
    FROZEN = "frozen"
    CROSSED_BOOK = "crossed-book"
    EMPTY_BOOK = "empty-book"
    CLOCK_SKEW = "clock-skew"


@dataclass(frozen=True)
class Fault:
    """A fault of one kind at one time.

    Parameters
    ----------
    kind : FaultKind
    at_bar : float
        Bars after the first live bar opens; not negative.
    bars : float
        How many bars it lasts; positive.

    Raises
    ------
    ValueError
        Names the argument that is out of range.
    """

    kind: FaultKind
    at_bar: float
    bars: float

    def __post_init__(self) -> None:
        if not isinstance(self.kind, FaultKind):
            raise ValueError(f"kind must be a FaultKind, got {self.kind!r}")  # noqa: TRY004
        if check_finite("at_bar", self.at_bar) < 0:
            raise ValueError(f"at_bar must not be negative, got {self.at_bar!r}")
        check_positive("bars", self.bars)

    def span_ns(self, start_ns: int, bar_ns: int) -> tuple[int, int]:
        """Beginning and end in nanoseconds, the end excluded, where live bar 0 opens at `start_ns`."""
        return start_ns + round(self.at_bar * bar_ns), start_ns + math.ceil((self.at_bar + self.bars) * bar_ns)


def parse_fault(text: str) -> Fault:
    """Read a fault as the command line writes it, ``kind:at:bars``, such as ``half-open:20:3``.

    Raises
    ------
    InputError
        If it is no such text.
    """
    try:
        kind, at_bar, bars = text.split(":")
        return Fault(FaultKind(kind), float(at_bar), float(bars))
    except ValueError as error:
        kinds = ", ".join(FaultKind)
        raise InputError(
            f"--fault {text}: {error}; give KIND:AT:BARS, such as half-open:20:3, of the kinds {kinds}"
        ) from error


def check_faults(faults: Sequence[Fault]) -> tuple[Fault, ...]:
    """Faults as a tuple, in the order in which they were given.

    Raises
    ------
    ValueError
        If one is no `Fault`, or two of a kind overlap.
    """
    for fault in faults:
        if not isinstance(fault, Fault):
            raise ValueError(f"faults must hold Fault objects, got {fault!r}")  # noqa: TRY004
    in_order = sorted(faults, key=lambda fault: (fault.kind, fault.at_bar))
    for one, other in pairwise(in_order):
        if one.kind == other.kind and other.at_bar < one.at_bar + one.bars:
            raise ValueError(f"faults of a kind must not overlap, got {one.kind} at {one.at_bar} and {other.at_bar}")
    return tuple(faults)
