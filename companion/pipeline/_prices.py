"""The prices that a step reads: the shipped S&P 500, or a reader's own file and what it does not say of itself."""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import pandas as pd

from companion._files import sha256_file
from companion.datasets import CARDS, load_sp500, load_sp500_close, read_prices
from companion.datasets._bars import Missing, Order, check_choices
from companion.datasets._numbers import Decimal
from companion.errors import InputError
from companion.regimes._clock import BarClock

SP500 = "sp500"


@dataclass(frozen=True)
class PriceSettings:
    """A price series, and the answers to what its file leaves open.

    Attributes
    ----------
    prices : str
        Daily closes: sp500, or a file of dates and prices, CSV or Parquet.
    column : str or None
        Name of the column to read, where it is not called close.
    adjusted : bool or None
        Whether to read Adj Close or Close, where the file has both: yes or no.
    order : str
        Order of the rows in the file: oldest first, or newest first.
    dayfirst : bool or None
        Whether 01/02/2024 is in February, where no date of the file says so: yes or no.
    decimal : str or None
        Decimal mark, where no number of the file says so: a point or a comma.
    missing : str
        What to do with a row without a price: refuse or drop.
    """

    prices: str | None = SP500
    column: str | None = None
    adjusted: bool | None = None
    order: Order = "oldest first"
    dayfirst: bool | None = None
    decimal: Decimal | None = None
    missing: Missing = "refuse"

    def __post_init__(self) -> None:
        given = self.choices()
        check_choices(**{name: value for name, value in given.items() if name != "column"})
        if self.prices in (None, SP500):
            for field in fields(PriceSettings)[1:]:
                if given[field.name] != field.default:
                    raise ValueError(f"{field.name} says how to read a file, and there is none: give prices")

    def choices(self) -> dict[str, Any]:
        """What `read_prices` wants to know besides the file."""
        return {field.name: getattr(self, field.name) for field in fields(PriceSettings)[1:]}


def load_prices(settings: PriceSettings) -> tuple[pd.Series, dict[str, str]]:
    """Closes, and the name and SHA-256 that a provenance keeps of them; `settings.prices` must not be None.

    Raises
    ------
    InputError
        The file can not be read or holds what no market has; the message names the flag that decides, where one does.
    """
    name = cast("str", settings.prices)
    if name == SP500:
        return sp500_close(), {"file": SP500, "sha256": CARDS["sp500_close"].sha256}
    try:
        close = read_prices(name, **settings.choices())
    except InputError as error:
        raise InputError(_by_flags(str(error))) from error
    if close.nunique() < 2:
        raise InputError(f"{name}: the price never changes, so there is nothing to read; give a traded series")
    return close, {"file": Path(name).name, "sha256": sha256_file(name)}


def sp500_close() -> pd.Series:
    """Closes of the S&P 500, 1990–2022, where a second source's daily bars of 1999–2018 confirm them.

    Raises
    ------
    InputError
        The two sources differ by more than a basis point on a day that both have.
    """
    close, bars = load_sp500_close(), load_sp500()
    both = close.index.intersection(bars.index)
    gap = (close[both] / bars["close"][both] - 1).abs()
    if gap.max() > 1e-4:
        raise InputError(
            f"{SP500}: the two sources differ on {gap.idxmax():%Y-%m-%d}; install what constraints.txt pins"
        )
    return close


def check_daily(close: pd.Series, *, longest_gap: int, name: str) -> None:
    """Refuse closes that are not one a trading day, before the detector reads any.

    Raises
    ------
    InputError
        The message names the row, counted from 1, its date and the remedy.
    """
    clock = BarClock.start("1D", longest_gap)
    for row, date in enumerate(close.index):
        try:
            clock = clock.tick(date)
        except ValueError as error:
            days = (date - close.index[row - 1]) / pd.Timedelta("1D")
            if days > longest_gap:
                what = f"more than the longest gap of {longest_gap}; give the closes that are missing, or --longest-gap"
            else:
                what = "and so are those before it: not daily closes; give one close a trading day"
            raise InputError(
                f"{name}: date: row {row + 1} ({date:%Y-%m-%d}): {days:g} days after the row before, {what}"
            ) from error


def _by_flags(complaint: str) -> str:
    """The arguments of `read_prices` in a complaint as the flags of a command."""
    names = "|".join(field.name for field in fields(PriceSettings)[1:])
    words = {"True": "yes", "False": "no", "'drop'": "drop"}
    complaint = complaint.replace("read_prices(…, column=…)", "--column")
    return re.sub(
        rf"\b({names})=('[^']*'|True|False)", lambda found: f"--{found[1]} {words.get(found[2], found[2])}", complaint
    )
