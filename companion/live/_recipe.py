"""The settings from which the very same desk is made again, as JSON."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal
from typing import Any, Self

from companion.desk import Desk, minute_desk, minute_sizing
from companion.regimes._clock import BarClock
from companion.risk import InstrumentRules, SizingConfig
from companion.risk._decimal import require_share, to_decimal
from companion.risk._instrument import Instrument

_RULES = tuple(rule.name for rule in fields(InstrumentRules))


@dataclass(frozen=True, kw_only=True)
class DeskRecipe:
    """What `companion.desk.minute_desk` is made with: two desks of one recipe have the same fingerprint.

    Attributes
    ----------
    size_precision : int
        Decimal places of a quantity; this and the next five are `companion.risk.InstrumentRules`.
    size_increment : Decimal
        Step between quantities.
    min_quantity : Decimal or None
        Smallest quantity.
    max_quantity : Decimal or None
        Largest quantity.
    min_notional : Decimal or None
        Smallest quantity times price.
    max_notional : Decimal or None
        Largest quantity times price.
    bar : str
        Length of a bar, such as "1m", which is kept as "1min", or "100ms".
    max_daily_loss : Decimal
        Share of the day's first equity, in (0, 1).
    sizing : SizingConfig
        Per bar; by default `companion.desk.minute_sizing`.

    Raises
    ------
    ValueError
        Names the setting that is out of range.
    """

    size_precision: int
    size_increment: Decimal
    min_quantity: Decimal | None = None
    max_quantity: Decimal | None = None
    min_notional: Decimal | None = None
    max_notional: Decimal | None = None
    bar: str = "1min"
    max_daily_loss: Decimal = Decimal("0.03")
    sizing: SizingConfig = field(default_factory=minute_sizing)

    def __post_init__(self) -> None:
        bar = re.sub(r"^(\d+)m$", r"\1min", str(self.bar))  # one name for one length, and so one fingerprint
        BarClock.start(bar, 1)
        object.__setattr__(self, "bar", bar)
        object.__setattr__(self, "max_daily_loss", to_decimal(self.max_daily_loss, "max_daily_loss"))
        require_share(self.max_daily_loss, "max_daily_loss")
        for name, rule in vars(self.instrument).items():
            object.__setattr__(self, name, rule)

    @classmethod
    def of(cls, instrument: Instrument, **settings: Any) -> Self:
        """The recipe for an instrument.

        Parameters
        ----------
        instrument : Instrument
            `companion.risk.InstrumentRules`, or an instrument of the engine.
        **settings
            `bar`, `max_daily_loss` and `sizing`.
        """
        return cls(**vars(InstrumentRules.of(instrument)), **settings)

    @property
    def instrument(self) -> InstrumentRules:
        """Rules of the instrument."""
        return InstrumentRules(**{name: getattr(self, name) for name in _RULES})

    def make(self) -> Desk:
        """A new desk, before its first bar."""
        return minute_desk(
            instrument=self.instrument, sizing=self.sizing, max_daily_loss=self.max_daily_loss, bar=self.bar
        )

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON types, amounts as text; `from_json` takes it back exactly."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any] | str) -> Self:
        """The recipe that `to_json` gave.

        Parameters
        ----------
        stored : mapping or str
            The object, or its text.

        Raises
        ------
        ValueError
            If it is no recipe, or one with other settings than this version's.
        """
        try:
            given = dict(json.loads(stored) if isinstance(stored, str) else stored)
            sizing = dict(given.pop("sizing"))
            sizing["max_quantity"] = _amount(sizing["max_quantity"])
            amounts = {name: _amount(value) for name, value in given.items() if name not in ("size_precision", "bar")}
            return cls(**given | amounts, sizing=SizingConfig(**sizing))
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"stored must be a recipe as to_json gives it, got something else ({error})") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return str(value) if isinstance(value, Decimal) else value


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
