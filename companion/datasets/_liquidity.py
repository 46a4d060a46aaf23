"""How much the market takes at the top of the book, by hour of day, from Binance's files of any size.

The sizes of an exchange lie on a grid, so a file of ten million quotes holds far fewer different ones. DuckDB counts
them in one pass, an hour of day and a size a row; median, quantiles and trimmed mean are then exact, and the memory is
that of the counts, which DuckDB spills to disk where they are too many.

Every update of a quote counts once, however long it stood: a busy second weighs more than a quiet minute.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import NamedTuple

from companion._checks import need
from companion.datasets._binance_files import LAYOUTS, Kind, Layout
from companion.datasets._file_kinds import called
from companion.datasets._liquidity_counts import broken_lines, count_file, counting_database, statistics
from companion.errors import InputError

QUANTILES = ("0.01", "0.05", "0.25", "0.75", "0.95")
GRID = Decimal("1e-8")  # the finest step of a quantity on Binance


class BrokenLine(NamedTuple):
    """A line that was not used: its file, its number from 1 on, and what is wrong with it."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class HourLiquidity:
    """Sizes in one hour of day.

    Attributes
    ----------
    n : int
        Sizes, one a line.
    median : Decimal
        Half of the sizes are no larger.
    quantiles : mapping of str to Decimal
        The smallest size that a share of them does not exceed.
    trimmed_mean : Decimal
        Mean without the smallest and largest share `trim` of them, to eight decimals.
    """

    n: int
    median: Decimal
    quantiles: Mapping[str, Decimal]
    trimmed_mean: Decimal


@dataclass(frozen=True)
class LiquidityCalibration:
    """What `calibrate_liquidity` found.

    Attributes
    ----------
    measure : str
        What the sizes are.
    hours : mapping of int to HourLiquidity
        By hour of day in UTC, 0 to 23; an hour without a sound line is not there.
    whole_day : HourLiquidity
        The same over all hours. ``companion.risk.max_order_qty_from_liquidity(calibration.whole_day.median, rho)`` is
        the cap on an order; with ``calibration.quietest.median`` it holds at every hour.
    n_lines : int
        Lines after the header.
    n_broken : int
        How many of them could not be used.
    broken : tuple of BrokenLine
        The first of them.
    """

    measure: str
    hours: Mapping[int, HourLiquidity]
    whole_day: HourLiquidity
    n_lines: int
    n_broken: int
    broken: tuple[BrokenLine, ...]

    @property
    def quietest(self) -> HourLiquidity:
        """The hour with the smallest median."""
        return min(self.hours.values(), key=lambda hour: hour.median)

    def table(self) -> list[dict[str, int | Decimal]]:
        """One row an hour of day: hour, n, median, trimmed_mean and the quantiles under their shares."""
        return [
            {"hour": hour, "n": found.n, "median": found.median, "trimmed_mean": found.trimmed_mean, **found.quantiles}
            for hour, found in self.hours.items()
        ]


def calibrate_liquidity(
    paths: str | Path | Sequence[str | Path],
    *,
    kind: Kind = "bookTicker",
    quantiles: Sequence[str | float] = QUANTILES,
    trim: str | float = "0.05",
    n_named: int = 20,
    memory_mb: int = 128,
    threads: int = 2,
    scratch: str | Path | None = None,
) -> LiquidityCalibration:
    """Typical sizes by hour of day, from CSV files, packed or not, in the format of Binance's public data.

    From quotes (``bookTicker``) the size is min(bid size, ask size), what an order of either side finds at the best
    price. ``klines`` hold no sizes; there it is min(volume bought, volume sold) by takers in a bar, what
    went through the book and not what stood in it. The two are not to be mixed: a share of the first limits an order,
    a share of the second the trading in a bar.

    A line that is not made of numbers, or of impossible ones (a negative size, a bid above the ask, a time before 2009
    or after 2100, a time that a spreadsheet has rounded to 1.73569E+12, the opening time of an earlier kline of the
    file), is counted and named, and the rest is used. Only the columns that are read are judged. Sizes are
    read to eight decimals, times as milliseconds or microseconds by their magnitude, line by line; lines may be in any
    order.

    Parameters
    ----------
    paths : path or sequence of paths
        Files of one instrument, with a header or without.
    kind : {"bookTicker", "klines"}
    quantiles : sequence of str or float
        Shares in (0, 1), all different.
    trim : str or float
        Share in [0, .5) that the trimmed mean leaves out at each end.
    n_named : int
        Broken lines to name; all are counted.
    memory_mb : int
        Memory DuckDB may use, in MB. Some 290 MB come on top, for Python, its libraries and what is being read: the
        peak was 413 MB at the default with 880 MB of quotes whose sizes were all different.
    threads : int
    scratch : path, optional
        Existing folder for what does not fit in memory, by default the system's temporary one. Nothing is left in it.

    Returns
    -------
    LiquidityCalibration

    Raises
    ------
    InputError
        Names a file that can not be read, a header with other columns, files without a single sound line, or what to
        install if DuckDB is missing.
    ValueError
        Names the argument that is out of range.
    """
    duckdb = need("duckdb", "liquidity")
    files = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    layout = _check_arguments(files, kind, n_named, memory_mb, threads, scratch)
    shares = [_share("quantiles", share, least="0.0001", below="1") for share in quantiles]
    if len(set(shares)) < len(shares):
        raise ValueError(f"quantiles must all be different, got {quantiles!r}")
    trimmed = _share("trim", trim, least="0", below="0.5")
    with (
        TemporaryDirectory(dir=scratch) as folder,
        counting_database(folder, memory_mb=memory_mb, threads=threads) as con,
    ):
        try:
            for number, file in enumerate(files):
                count_file(con, layout, number, file, n_named)
            n_lines, n_broken = con.execute("SELECT sum(n), sum(n) FILTER (fault > 0) FROM counts").fetchall()[0]
            broken = tuple(BrokenLine(*line) for line in broken_lines(con, layout, files, n_named))
            rows = statistics(con, [Decimal("0.5"), *shares], trimmed)
        except duckdb.Error as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"{called(file)}: {reason}: raise memory_mb or give scratch a folder with room") from error
    if not rows:
        first = f"; line {broken[0].line}: {broken[0].reason}" if broken else ""
        file = Path(broken[0].file) if broken else files[0]
        raise InputError(
            f"{called(file)}: not one usable line of {kind} among {n_lines or 0}{first}: check kind and file"
        )
    found = {
        hour: HourLiquidity(
            n, median, MappingProxyType(dict(zip(map(str, shares), values, strict=True))), (total / kept).quantize(GRID)
        )
        for hour, n, kept, total, median, *values in rows
    }
    whole_day = found.pop(-1)
    return LiquidityCalibration(
        layout.measure, MappingProxyType(found), whole_day, int(n_lines), int(n_broken or 0), broken
    )


def _check_arguments(
    files: list[Path], kind: str, n_named: int, memory_mb: int, threads: int, scratch: str | Path | None
) -> Layout:
    if not files:
        raise ValueError("paths is empty: give at least one file")
    if kind not in LAYOUTS:
        raise ValueError(f"kind must be one of {', '.join(LAYOUTS)}, got {kind!r}")
    ranges = {"n_named": (n_named, 0, 100_000), "memory_mb": (memory_mb, 64, 1 << 20), "threads": (threads, 1, 1024)}
    for name, (value, least, most) in ranges.items():
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{name} must be an integer from {least} to {most}, got {value!r}")
    if scratch is not None and not Path(scratch).is_dir():
        raise ValueError(f"scratch must be an existing folder, got {str(scratch)!r}")
    return LAYOUTS[kind]


def _share(name: str, value: str | float | Decimal, *, least: str, below: str) -> Decimal:
    try:
        share = Decimal(str(value))
        inside = Decimal(least) <= share < Decimal(below)
    except InvalidOperation:
        inside = False
    if not inside:
        raise ValueError(f"{name} must lie from {least} to below {below}, got {value!r}")
    return share
