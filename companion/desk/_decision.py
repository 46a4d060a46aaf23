"""What the desk is given and what it answers: a bar and a quote in, one decision with every reason out."""

import json
import math
from dataclasses import dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, Self

from companion.risk import LimitReading, Posture, SafetyReading


class Bar(NamedTuple):
    """One bar, known at its close.

    Attributes
    ----------
    time : datetime, date or None
        When it closed; a series has a time at every bar or at none.
    open : float
        First price, in the quote currency.
    high : float
        Highest price, in the quote currency.
    low : float
        Lowest price, in the quote currency.
    close : float
        Last price, in the quote currency.
    """

    time: datetime | date | None
    open: float
    high: float
    low: float
    close: float


class Quote(NamedTuple):
    """Top of the book at the time of the decision, in the quote currency."""

    bid: Decimal
    ask: Decimal


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What to hold after a bar, and why: inputs, every number on the way, and the answer.

    `Desk.replay` makes the same decision again from the inputs that are kept in it. Two decisions are equal where every
    field is, and a number that is missing in both (NaN) is the same.

    Attributes
    ----------
    bar : Bar
        As given to `Desk.on_bar`.
    quote : Quote or None
        As given to `Desk.on_bar`.
    equity : Decimal
        As given to `Desk.on_bar`.
    held : Decimal or None
        As given to `Desk.on_bar`.
    quantity : Decimal
        Signed quantity to hold, in the base currency.
    reasons : tuple of str
        Why it is not more, in the order in which the desk asked: refusals, alarms, caps.
    posture : Posture
        What the strictest alarm demands; NORMAL without one.
    p_stable : float
        Filtered probability of the stable regime; NaN where there is no reading.
    regime : int
        0 stable, 1 chaos after hysteresis; -1 where there is no reading.
    n_bars : int
        Bars the detector has seen.
    leverage : float
        Multiplies the fraction of equity, before the caps.
    sigma_bar : float
        Volatility of the next bar; NaN where there is none yet.
    signal : float
        Z; NaN where there is none yet.
    fraction : float
        Signed fraction of equity that the sizing law asked for, after the leverage.
    price : Decimal or None
        Price it was sized with.
    safety : tuple of SafetyReading and LimitReading
        Every check that was made, in order.
    """

    bar: Bar
    quote: Quote | None
    equity: Decimal | None
    held: Decimal
    quantity: Decimal
    reasons: tuple[str, ...]
    posture: Posture
    p_stable: float
    regime: int
    n_bars: int
    leverage: float
    sigma_bar: float
    signal: float
    fraction: float
    price: Decimal | None
    safety: tuple[SafetyReading | LimitReading, ...]

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Decision) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> Any:
        return _without_nan(tuple(getattr(self, field.name) for field in fields(self)))

    @property
    def safe(self) -> bool:
        """Whether every check that was made found nothing."""
        return all(self.safety)

    def __str__(self) -> str:
        """One line for the answer, one for the numbers, one for each reason."""
        when = "" if self.bar.time is None else f"{self.bar.time}: "
        lines = [
            f"{when}hold {self.quantity} at {self.price if self.price is not None else 'no price'}",
            f"  P(stable) {self.p_stable:.3f}, leverage {self.leverage:.2f}, volatility {self.sigma_bar:.4f} a bar, "
            f"signal {self.signal:+.2f}, fraction of equity {self.fraction:+.3f}",
            *(f"  {reason}" for reason in self.reasons),
        ]
        return "\n".join(lines)

    def to_json(self) -> str:
        """One line of JSON; `from_json` takes it back exactly."""
        return json.dumps({field.name: _plain(getattr(self, field.name)) for field in fields(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The decision that `to_json` wrote; ValueError if the line is not one."""
        try:
            stored = json.loads(line)
            bar, quote = stored["bar"], stored["quote"]
            return cls(
                bar=Bar(_time(bar[0]), *(_number(price) for price in bar[1:])),
                quote=None if quote is None else Quote(Decimal(quote[0]), Decimal(quote[1])),
                equity=None if stored["equity"] is None else Decimal(stored["equity"]),
                held=Decimal(stored["held"]),
                quantity=Decimal(stored["quantity"]),
                reasons=tuple(stored["reasons"]),
                posture=Posture(stored["posture"]),
                p_stable=_number(stored["p_stable"]),
                regime=stored["regime"],
                n_bars=stored["n_bars"],
                leverage=_number(stored["leverage"]),
                sigma_bar=_number(stored["sigma_bar"]),
                signal=_number(stored["signal"]),
                fraction=_number(stored["fraction"]),
                price=None if stored["price"] is None else Decimal(stored["price"]),
                safety=tuple(_check(reading) for reading in stored["safety"]),
            )
        except (ArithmeticError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"line must be a decision as to_json writes it, got something else ({error!r})") from error


def _without_nan(value: Any) -> Any:
    """A value that equals itself: NaN is replaced, in tuples too. Dataclasses of Python 3.13 do not overlook it."""
    if isinstance(value, tuple):
        return tuple(_without_nan(part) for part in value)
    missing = value.is_nan() if isinstance(value, Decimal) else isinstance(value, float) and math.isnan(value)
    return "missing" if missing else value


def _plain(value: Any) -> Any:
    """A value as JSON types: Decimals and times as text, numbers that JSON has not as text, too."""
    if isinstance(value, SafetyReading | LimitReading):
        return {name: _plain(part) for name, part in value._asdict().items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | Posture) else value


def _number(value: Any) -> float:
    number = float(value)
    return math.nan if math.isnan(number) else number


def _time(text: str | None) -> datetime | date | None:
    if text is None:
        return None
    return date.fromisoformat(text) if len(text) == len("2024-01-31") else datetime.fromisoformat(text)


def _check(stored: dict[str, Any]) -> SafetyReading | LimitReading:
    if "posture" in stored:
        amounts = Decimal(stored["distance"]), Decimal(stored["threshold"])
        return LimitReading(stored["safe"], stored["reason"], *amounts, stored["rule"], Posture(stored["posture"]))
    numbers = _number(stored["distance"]), _number(stored["threshold"])
    return SafetyReading(stored["safe"], stored["reason"], *numbers, stored["rule"])
