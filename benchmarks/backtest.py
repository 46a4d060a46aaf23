"""A thousand parameter sets on 20 years of days, against plain NumPy and vectorbt; a hundred thousand in little memory.

`python benchmarks/backtest.py [--vectorbt PYTHON]`. A set is a pair of moving averages, in the market while the fast
one is above the slow one; a decision is traded a bar later at 10 basis points. Positions are made before the clock
starts. vectorbt wants other versions of plotly and pandas and runs in an environment of its own, of which PYTHON is the
interpreter; its compilation is timed apart. All contenders must agree on the final equity.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from _timing import Row, main, race
from numpy.typing import NDArray

from companion.backtest import backtest_table

Array = NDArray[np.float64]
N_BARS, COST = 5031, 1e-3

VECTORBT = """
import json, statistics, sys, time
import numpy as np, vectorbt as vbt
data = np.load(sys.argv[1])
held = np.vstack([np.zeros(data["positions"].shape[0]), data["positions"].T[:-1]]) > 0
before = np.vstack([np.zeros_like(held[:1]), held[:-1]])
def run():
    start = time.perf_counter()
    bought = vbt.Portfolio.from_signals(data["close"][:, None], held & ~before, before & ~held, fees=0.001, freq="1D")
    total = np.asarray(bought.total_return())
    return time.perf_counter() - start, total
first, total = run()
took = statistics.median(run()[0] for _ in range(int(sys.argv[2])))
print(json.dumps({"version": vbt.__version__, "first": first, "took": took, "total": total.tolist()}))
"""


def prices() -> Array:
    """A geometric random walk as volatile as an index."""
    return 100.0 * np.exp(np.cumsum(np.random.default_rng(0).normal(2e-4, 0.012, N_BARS)))


def crossings(close: Array, n_sets: int) -> Iterator[Array]:
    """Positions of `n_sets` pairs of moving averages, one after the other."""
    total = np.cumsum(np.append(0.0, close))
    for number in range(n_sets):
        fast = 2 + number % 100
        slow = fast + 1 + number // 100
        above = np.zeros(close.size)
        quick, slowly = ((total[slow:] - total[slow - w : -w]) / w for w in (fast, slow))
        above[slow - 1 :] = quick > slowly
        yield above


def growth(close: Array, positions: Array) -> tuple[Array, Array]:
    """Factor of equity over each bar after the first, and of it that of the trade, of positions that are 0 or 1."""
    held = np.zeros_like(positions)
    held[:, 1:] = positions[:, :-1]
    change = np.diff(held, axis=1)
    kept = np.where(change > 0.0, 1.0 / (1.0 + COST), np.where(change < 0.0, 1.0 - COST, 1.0))
    return (1.0 + held[:, :-1] * (close[1:] / close[:-1] - 1.0)) * kept, kept


def final_equity(close: Array, positions: Array) -> Array:
    """The rule alone."""
    return growth(close, positions)[0].prod(axis=1)


def same_measures(close: Array, positions: Array) -> dict[str, Array]:
    """The rule and the measures of `Performance`, but for the time under water, which needs a loop."""
    factor, kept = growth(close, positions)
    returns = factor - 1.0
    equity = factor.cumprod(axis=1)
    depth = (equity / np.maximum(np.maximum.accumulate(equity, axis=1), 1.0) - 1.0).min(axis=1)
    mean, cagr = returns.mean(axis=1), equity[:, -1] ** (252 / returns.shape[1]) - 1.0
    deviation, downside = returns.std(axis=1, ddof=1), np.sqrt((np.minimum(returns, 0.0) ** 2).mean(axis=1))
    low, high = np.percentile(returns, [5, 95], axis=1)
    paid = (1.0 - kept).sum(axis=1)
    return {
        "total_return": equity[:, -1] - 1.0,
        "cagr": cagr,
        "volatility": deviation * np.sqrt(252),
        "sharpe": mean / deviation * np.sqrt(252),
        "sortino": mean / downside * np.sqrt(252),
        "calmar": cagr / -depth,
        "max_drawdown": depth,
        "tail_ratio": high / np.abs(low),
        "turnover": paid / COST / returns.shape[1] * 252,
        "cost_paid": paid,
        "time_invested": np.count_nonzero(positions[:, :-2], axis=1) / returns.shape[1],
    }


def vectorbt_rows(case: str, python: str, close: Array, positions: Array, ours: float, *, rounds: int) -> list[Row]:
    """vectorbt's total returns, by the interpreter that has it; `ours` is companion's median in milliseconds."""
    with TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        np.savez(data, close=close, positions=positions)
        command = [python, "-c", VECTORBT, str(data), str(rounds)]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    np.testing.assert_allclose(1.0 + np.array(told["total"]), final_equity(close, positions), rtol=1e-9)
    name = f"vectorbt {told['version']}, final equity alone"
    compiling = Row(case, f"{name}, its first call", 1e3 * told["first"], "ms")
    return [Row(case, name, 1e3 * told["took"], "ms", 1e3 * told["took"] / ours, rounds), compiling]


def peak_megabytes(n_sets: int) -> float:
    """Peak resident memory of a fresh process that backtests so many sets, made one after the other."""
    code = f"import backtest; print(backtest.many({n_sets}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def many(n_sets: int) -> float:
    """Backtest so many sets; the peak of this process so far, in megabytes, as Linux reports it."""
    close = prices()
    assert len(backtest_table(close, crossings(close, n_sets))) == n_sets
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert peak is not None
    return int(peak[1]) / 1e3


def measure(tiny: bool) -> list[Row]:
    """The race, vectorbt if its interpreter is given, and the memory of few and of many sets."""
    n_sets, n_many, rounds = (20, 200, 1) if tiny else (1000, 100_000, 9)
    close = prices()
    positions = np.array(list(crossings(close, n_sets)))
    table = backtest_table(close, positions)
    np.testing.assert_allclose(1.0 + table["total_return"], final_equity(close, positions), rtol=1e-9)
    for name, values in same_measures(close, positions).items():
        np.testing.assert_allclose(table[name], values, rtol=1e-9)
    case = f"{n_sets:,} sets x {N_BARS:,} bars"
    contenders = {
        "companion": lambda: backtest_table(close, positions),
        "NumPy, final equity alone": lambda: final_equity(close, positions),
        "NumPy, the same measures": lambda: same_measures(close, positions),
    }
    rows = race(case, contenders, rounds=rounds)
    if OPTIONS.vectorbt:
        rows += vectorbt_rows(case, OPTIONS.vectorbt, close, positions, rows[0].value, rounds=3)
    peaks = [Row(f"{n:,} sets, one by one", "companion", peak_megabytes(n), "MB at peak") for n in (n_sets, n_many)]
    return rows + peaks


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--vectorbt", metavar="PYTHON")
    OPTIONS, sys.argv[1:] = parser.parse_known_args()
    main("backtest", measure, "Backtests of many parameter sets with costs and delay, and what they say of each")
