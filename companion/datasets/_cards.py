"""Data cards: what is known about each bundled series, and the fingerprint that proves it is still that series."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from companion.errors import InputError


@dataclass(frozen=True)
class DataCard:
    """What is known, and what is not, about one series.

    Attributes
    ----------
    name : str
        Key of the card in `CARDS`.
    title : str
        The series in a few words.
    source : str
        Where the values come from, as far as the distributor says.
    license : str
        License of the package that distributes the values.
    sha256 : str
        Fingerprint of the values, by `values_sha256`.
    n_bars : int
        Number of rows.
    start : str
        First date, ISO 8601.
    end : str
        Last date, ISO 8601.
    columns : tuple of str
        Columns, in order.
    notes : tuple of str
        What a reader must know before using the values.
    bars : str
        What a row is.
    """

    name: str
    title: str
    source: str
    license: str
    sha256: str
    n_bars: int
    start: str
    end: str
    columns: tuple[str, ...]
    notes: tuple[str, ...]
    bars: str = "daily bars"

    @property
    def coverage(self) -> str:
        """First date, last date and number of bars, as one phrase."""
        return f"{self.start} to {self.end}, {self.n_bars:,} {self.bars}"

    def verify(self, frame: pd.DataFrame) -> None:
        """Compare `frame` with the card.

        Raises
        ------
        InputError
            When columns, coverage or values differ from those the card describes.
        """
        remedy = "install the package versions of constraints.txt"
        if tuple(frame.columns) != self.columns:
            raise InputError(f"{self.name}: columns are {list(frame.columns)}, not {list(self.columns)}: {remedy}")
        if len(frame) != self.n_bars:
            raise InputError(f"{self.name}: {len(frame)} rows, not {self.n_bars}: {remedy}")
        found = values_sha256(frame)
        if found != self.sha256:
            raise InputError(f"{self.name}: sha256 of the values is {found}, not {self.sha256}: {remedy}")


def values_sha256(frame: pd.DataFrame) -> str:
    """SHA-256 over the canonical form of a dated table of numbers.

    The canonical form is the column names joined by commas, a line feed, the dates as little-endian int64 days since
    1970-01-01, and then the columns one after another as little-endian float64. It does not depend on the file format,
    on compression, or on how a library prints a float.

    Parameters
    ----------
    frame : DataFrame
        Numeric columns on a DatetimeIndex of whole days.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(",".join(map(str, frame.columns)).encode() + b"\n")
    digest.update(frame.index.to_numpy().astype("datetime64[D]").astype("<i8").tobytes())
    for column in frame.columns:
        digest.update(frame[column].to_numpy(dtype="<f8").tobytes())
    return digest.hexdigest()


CARDS: Mapping[str, DataCard] = MappingProxyType(
    {
        card.name: card
        for card in (
            DataCard(
                name="sp500",
                title="S&P 500 index, daily open, high, low, close and volume",
                source="the data set `arch.data.sp500` of the Python package arch, which does not name its origin; "
                "the column names and the form of the values are those of Yahoo Finance (^GSPC)",
                license="distributed inside arch under the NCSA license; arch states no separate terms for the values",
                sha256="cef3f2754c5d738aef71ad4975ddfc86b78cabdaa80047ab588009c16dc50578",
                n_bars=5031,
                start="1999-01-04",
                end="2018-12-31",
                columns=("open", "high", "low", "close", "volume"),
                notes=(
                    "A price index: dividends are not included, so the total return is about two percent a year more.",
                    "Until 2006 the open is nearly always the previous close, copied (97 % of 1999, 40 % of "
                    "all days). Estimators that use the overnight gap see no gap in those years.",
                    "The adjusted close of the original equals the close on every day and is left out.",
                    "The close agrees with that of `sp500_close` to .0002 index points on every common day.",
                ),
            ),
            DataCard(
                name="sp500_close",
                title="S&P 500 index, daily close",
                source="the data set `load_sp500_index` of the Python package skfolio, which does not name its origin",
                license="distributed inside skfolio under the BSD 3-clause license; skfolio calls the values stale and "
                "means them for tests and examples only",
                sha256="f6ced39617c73b32544f4aeb11851777de37132c991cd2b53cd67bdfedb59456",
                n_bars=8313,
                start="1990-01-02",
                end="2022-12-28",
                columns=("close",),
                notes=(
                    "A price index: dividends are not included, although skfolio calls the close adjusted.",
                    "The longest gap is 2001-09-10 to 2001-09-17, when the exchange was closed.",
                    "The values have two decimals.",
                ),
            ),
            DataCard(
                name="nasdaq",
                title="NASDAQ Composite index, daily open, high, low, close and volume",
                source="the data set `arch.data.nasdaq` of the Python package arch, which does not name its origin; "
                "the column names and the form of the values are those of Yahoo Finance (^IXIC)",
                license="distributed inside arch under the NCSA license; arch states no separate terms for the values",
                sha256="b4bfcb1ce056828e5a7737acc84c9afba6935005eee3536083b07e41b0855633",
                n_bars=5031,
                start="1999-01-04",
                end="2018-12-31",
                columns=("open", "high", "low", "close", "volume"),
                notes=(
                    "A price index: dividends are not included.",
                    "Its days are those of `sp500`. Unlike there, the open is not a copy of the previous close "
                    "(it is on .2 % of the days).",
                    "The adjusted close of the original equals the close on every day and is left out.",
                ),
            ),
            DataCard(
                name="stocks",
                title="Twenty American stocks, daily adjusted close",
                source="the data set `load_sp500_dataset` of the Python package skfolio, which does not name its "
                "origin",
                license="distributed inside skfolio under the BSD 3-clause license; skfolio calls the values stale and "
                "means them for tests and examples only",
                sha256="c1148d8f0991fd6db04bd0476219c2da3766bb93837932d87216362431cb7044",
                n_bars=8313,
                start="1990-01-02",
                end="2022-12-28",
                columns=(
                    *("AAPL", "AMD", "BAC", "BBY", "CVX", "GE", "HD", "JNJ", "JPM", "KO"),
                    *("LLY", "MRK", "MSFT", "PEP", "PFE", "PG", "RRC", "UNH", "WMT", "XOM"),
                ),
                notes=(
                    "Survivors: companies that were in the S&P 500 at the end and had been traded since 1990. Who "
                    "held these in 1990 had luck that no strategy explains; compare strategies on them with buy & "
                    "hold of the same stock only.",
                    "Adjusted, skfolio says: splits and dividends are taken out, so returns are total returns, "
                    "and an early price is not what was paid (Apple: .264 dollars in January 1990).",
                    "Three decimals. Where the adjusted price is .1 to .6, as for Best Buy and UnitedHealth in "
                    "1990, rounding alone moves a daily return by some tenths of a percent.",
                    "The price of RRC stays the same on 13 % of the days and loses two thirds on 1990-04-10.",
                    "The days are those of `sp500_close`.",
                ),
            ),
            DataCard(
                name="wti",
                title="West Texas Intermediate crude oil, daily spot price at Cushing",
                source="the data set `arch.data.wti` of the Python package arch, from the series DCOILWTICO of FRED, "
                "Federal Reserve Bank of St. Louis (U.S. Energy Information Administration)",
                license="distributed inside arch under the NCSA license; the agency's data are in the public domain",
                sha256="61f823c93153713d2ac9e13a0d0303cf94facc10c8e05b465efaa6962229ab0c",
                n_bars=8321,
                start="1986-01-02",
                end="2019-01-03",
                columns=("close",),
                notes=(
                    "A spot price: nobody can hold it without storage. A strategy on it is an exercise; a "
                    "futures position earns another return.",
                    "The 290 weekdays on which the source has no price, holidays, are left out; a return runs from "
                    "one price to the next.",
                    "The longest gap is five days. The largest move is -33 %, on 1991-01-17.",
                    "The negative prices of April 2020 lie behind the end.",
                ),
            ),
            DataCard(
                name="cash_rate",
                title="One-month Treasury bill, return of each month in percent",
                source="the data set `arch.data.frenchdata` of the Python package arch, column RF of the monthly "
                "factors in Kenneth French's data library (Ibbotson and Associates)",
                license="distributed inside arch under the NCSA license; arch states no separate terms for the values",
                sha256="a5d0dbc6013c448d26d31fabbf61542762282639a69515aead99d826c612853e",
                n_bars=1109,
                start="1926-07-01",
                end="2018-11-01",
                columns=("percent_a_month",),
                notes=(
                    "Each month is dated by its first day. `load_cash_rate` gives the yearly rate, for any dates.",
                    "Two decimals of a percent a month: the yearly rate is known to .06 percentage points.",
                    "Below zero in twelve months of 1933 to 1941.",
                ),
                bars="months",
            ),
        )
    }
)
