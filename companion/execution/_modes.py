"""What a desk may do at this moment, from everything to nothing."""

from enum import StrEnum

from companion.risk import Posture


class TradingMode(StrEnum):
    """What may be sent, from the mildest to the strictest. Compare with ``is``.

    Attributes
    ----------
    ACTIVE
        Any order within the limits.
    REDUCING
        The market is abnormal: exposure may only shrink.
    HALTED
        There is no quote to trust: no order at all.
    """

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


_SEVERITY = {mode: severity for severity, mode in enumerate(TradingMode)}


def strictest_mode(*modes: TradingMode) -> TradingMode:
    """The strictest of several modes, `TradingMode.ACTIVE` of none."""
    return max(modes, key=_SEVERITY.__getitem__, default=TradingMode.ACTIVE)


def posture_in(mode: TradingMode, *, reducing: Posture) -> Posture:
    """What a desk does with its target in a mode: its own choice in REDUCING, nothing in HALTED.

    Raises
    ------
    ValueError
        If there is no such mode or posture, or the posture would let exposure grow.
    """
    if Posture(reducing) is Posture.NORMAL:
        raise ValueError("reducing must be a posture that acts, got Posture.NORMAL: freeze, shrink only or flatten")
    match TradingMode(mode):
        case TradingMode.ACTIVE:
            return Posture.NORMAL
        case TradingMode.REDUCING:
            return Posture(reducing)
        case TradingMode.HALTED:
            return Posture.FREEZE
