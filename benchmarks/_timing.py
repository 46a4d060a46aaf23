"""Timing side by side: contenders take turns in one process, and what is reported is the median of each."""

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import binom

RESULTS = Path(__file__).parent / "results.json"
THREADS = 2
_TIMER_FLOOR = 0.1  # seconds; a call shorter than this is timed in a loop


class Row(NamedTuple):
    """One contender in one case. `ratio` is its median over that of `companion` in the same case."""

    case: str
    contender: str
    value: float
    unit: str
    ratio: float | None = None
    repeats: int = 1


def race(case: str, contenders: dict[str, Callable[[], object]], *, rounds: int) -> list[Row]:
    """Time the contenders in turns; `companion` must be among them.

    Each turn begins with a call that is not timed: the first one after another contender's pays for its memory and
    caches, which the system has taken away meanwhile, and measures the system more than the contender. A single turn
    only shows that everything runs, so each turn of it has one call. What was imported is frozen first: the garbage
    collector would go through it now and then, 150 ms that fall on whoever has the turn.
    """
    gc.collect()
    gc.freeze()
    loops = {name: calls_worth_timing(call) if rounds > 1 else 1 for name, call in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            call()
            start = time.perf_counter()
            for _ in range(loops[name]):
                call()
            times[name].append((time.perf_counter() - start) / loops[name])
    medians = {name: statistics.median(values) for name, values in times.items()}
    return [Row(case, name, m * 1e3, "ms", m / medians["companion"], rounds) for name, m in medians.items()]


def compare(case: str, call: Callable[[], object], other: Callable[[], object], *, pairs: int) -> list[Row]:
    """How many times as long as `other` a call takes, where the difference is smaller than what a machine drifts.

    The two take turns, each first in every other pair; the middle of the ratios is reported, with the 95 % interval
    that their order gives (the k-th from either end, of as many fair coins).
    """
    gc.collect()
    gc.freeze()
    call()
    other()
    ratios = []
    for pair in range(pairs):
        seconds = {}
        for each in (call, other) if pair % 2 else (other, call):
            start = time.perf_counter()
            each()
            seconds[each] = time.perf_counter() - start
        ratios.append(seconds[call] / seconds[other])
    rank = max(1, int(binom.ppf(0.025, pairs, 0.5)))
    low, high = (sorted(ratios)[at] for at in (rank - 1, -rank))
    said = {"companion": statistics.median(ratios), "companion, 95 % from": low, "companion, 95 % to": high}
    return [Row(case, name, ratio, "x", repeats=pairs) for name, ratio in said.items()]


def calls_worth_timing(call: Callable[[], object], seconds: float = _TIMER_FLOOR) -> int:
    """How many calls take so long together."""
    call()
    start = time.perf_counter()
    call()
    return max(1, round(seconds / max(time.perf_counter() - start, 1e-9)))


def main(name: str, measure: Callable[[bool], list[Row]], description: str) -> None:
    """Measure, print the table, and with ``--store`` keep it in results.json, from which appendix C is made."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--store", action="store_true", help=f"write the table into {RESULTS.name}")
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that it runs")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    rows = measure(options.tiny)
    _print(rows, description)
    if options.store:
        everything = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        everything[name] = {
            "question": description,
            "setting": setting(),
            "rows": [{**row._asdict(), "value": _rounded(row.value), "ratio": _rounded(row.ratio)} for row in rows],
        }
        RESULTS.write_text(json.dumps(everything, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def setting() -> dict[str, Any]:
    """What the figures depend on, the machine aside."""
    packages = ("torch", "numba", "mambapy", "transformers", "hestonpy", "QuantLib")
    return {"threads": torch.get_num_threads(), **{package: version(package) for package in packages}}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _print(rows: list[Row], title: str) -> None:
    table = Table("case", "contender", "median", "against companion", title=title)
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.3g} x"
        table.add_row(row.case, row.contender, f"{row.value:.4g} {row.unit}", ratio)
    console = Console()
    console.print(table)
    console.print(", ".join(f"{key} {value}" for key, value in setting().items()))
