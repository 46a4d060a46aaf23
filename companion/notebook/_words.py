"""How a number is written: a true minus, no minus on a zero, and an estimate with its uncertainty as one word."""

import re
from typing import Protocol

_NEGATIVE_ZERO = re.compile(r"^[-+](?=0(?:[.,]0*)?%?$)")
_MINUS = re.compile(r"(?<!\d)-(?=[\d.])")  # not the hyphens of a date
_BLANK = "\N{NO-BREAK SPACE}"


class Estimate(Protocol):
    """Anything with an estimate and the ends of its interval, such as `companion.evaluation.Interval`."""

    @property
    def estimate(self) -> float:
        """The estimate."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""


def typeset(value: object, spec: str = "") -> str:
    """Write a value as the book does: ``format(value, spec)`` with a true minus, and no sign on a zero.

    Parameters
    ----------
    value
        A number, or a text, which stays as it is.
    spec
        A format specification, such as ``".2f"`` or ``"+.1%"``.

    Raises
    ------
    ValueError
        If the specification does not fit the value.
    """
    if isinstance(value, str) and not spec:
        return value
    return typographic(format(value, spec))


def typographic(text: str) -> str:
    """Give a number that is already formatted a true minus, and a zero no sign."""
    return _MINUS.sub("\N{MINUS SIGN}", _NEGATIVE_ZERO.sub("", text))


def plus_minus(value: float, half: float, spec: str = ".2f") -> str:
    """Write an estimate and half the width of its interval: ``0.42 ± 0.06``. The half has no sign."""
    return f"{typeset(value, spec)}{_BLANK}±{_BLANK}{typeset(half, spec.replace('+', ''))}"


def signed_interval(low: float, high: float, spec: str = "+.2f") -> str:
    """Write the ends of an interval: ``−0.17 to +0.29``."""
    return f"{typeset(low, spec)}{_BLANK}to{_BLANK}{typeset(high, spec)}"


def with_interval(estimate: Estimate, spec: str = ".2f") -> str:
    """Write an estimate and its interval: ``0.05 (0.02 to 0.08)``.

    Parameters
    ----------
    estimate
        What `companion.evaluation.bootstrap_over_paths` and its like return.
    spec
        The format of all three numbers.
    """
    return f"{typeset(estimate.estimate, spec)} ({signed_interval(estimate.low, estimate.high, spec)})"
