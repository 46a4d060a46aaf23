"""Calibration of liquidity from a file larger than the memory it may use, against reading that file with DuckDB alone.

`python benchmarks/liquidity.py`; the file, 1 GB of quotes in Binance's format, is made in a temporary folder. "DuckDB
alone" parses every column and keeps the largest value of each. The peak is that of a fresh process, as Linux reports
it.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from _timing import THREADS, Row, main, race

from companion.datasets._liquidity import calibrate_liquidity

BYTES_PER_LINE = 94
# VmHWM, because getrusage's figure is inherited from the process that started this one.
PEAK = r"""
import re, sys
from pathlib import Path
from companion.datasets._liquidity import calibrate_liquidity
calibrate_liquidity(sys.argv[1])
print(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
"""


def write_quotes(path: Path, *, n_lines: int, broken_every: int) -> None:
    """Quotes of one day and a bit, sizes log-normal on a grid of .001, a size missing every `broken_every` lines."""
    with duckdb.connect() as con:
        con.execute("SET enable_progress_bar = false")
        con.execute("SELECT setseed(0.5)")
        con.execute(
            f"""COPY (SELECT 3831603310013 + i AS update_id, (42500 + i % 1000 * 0.1)::DECIMAL(18, 8) AS best_bid_price,
            CASE WHEN i % {broken_every} < {broken_every} - 1 THEN
                exp(1.2 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))::DECIMAL(18, 3)::DECIMAL(18, 8) END
                AS best_bid_qty, (42500.1 + i % 1000 * 0.1)::DECIMAL(18, 8) AS best_ask_price,
            exp(1.2 * sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()))::DECIMAL(18, 3)::DECIMAL(18, 8)
                AS best_ask_qty, 1705276800000 + 9 * i AS transaction_time, 1705276800005 + 9 * i AS event_time
            FROM range({n_lines}) AS t(i)) TO '{path}' (HEADER, DELIMITER ',')"""
        )


def peak_megabytes(path: Path) -> float:
    """Peak resident memory of a process that calibrates the file."""
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1e3


def measure(tiny: bool) -> list[Row]:
    """The two sides in turns, and the peak."""
    n_lines = (10_000_000 if tiny else 1_000_000_000) // BYTES_PER_LINE
    with TemporaryDirectory() as folder, duckdb.connect(config={"threads": THREADS}) as con:
        con.execute("SET enable_progress_bar = false")
        path = Path(folder) / "quotes.csv"
        write_quotes(path, n_lines=n_lines, broken_every=n_lines // 25)
        case = f"{path.stat().st_size / 1e9:.2g} GB of quotes"
        peak = Row(case, "companion", peak_megabytes(path), "MB at most")
        columns = "SELECT max(COLUMNS(*)) FROM read_csv(?, ignore_errors = true)"
        lines = "SELECT count(*) FROM read_csv(?, ignore_errors = true)"
        contenders = {
            "companion": lambda: calibrate_liquidity(path, threads=THREADS),
            "DuckDB alone, every column": lambda: con.execute(columns, [str(path)]).fetchall(),
            "DuckDB alone, lines counted": lambda: con.execute(lines, [str(path)]).fetchall(),
        }
        return [*race(case, contenders, rounds=1 if tiny else 3), peak]


if __name__ == "__main__":
    main("liquidity", measure, "Liquidity by hour of day from a file of quotes, against reading it alone")
