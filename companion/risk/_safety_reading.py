"""What a monitor answers."""

from typing import NamedTuple


class SafetyReading(NamedTuple):
    """One answer of the monitor; true only when safe.

    Attributes
    ----------
    safe : bool
        Whether it is safe to trade.
    reason : str
        "safe", or what is wrong.
    distance : float
        Value of the rule that came closest to its threshold.
    threshold : float
        That threshold.
    rule : str
        Name of that rule: "distance", "past", or one of "invalid", "frozen", "repeated", "jump" and "collapse".
    """

    safe: bool
    reason: str
    distance: float
    threshold: float
    rule: str

    def __bool__(self) -> bool:
        """Whether it is safe: a tuple would be true on every alarm."""
        return self.safe
