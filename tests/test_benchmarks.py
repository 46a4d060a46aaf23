"""The benchmarks run, at sizes that say nothing about speed; what appendix C shows is whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = sorted(script.stem for script in FOLDER.glob("[!_]*.py"))


APART = "live"  # sends its own classes to a process that it starts, which looks for them in the main module
# One process runs the others, since what they import takes longer than they do at these sizes.
OTHERS = """
import contextlib, faulthandler, io, json, runpy, sys, traceback
folder, *names = sys.argv[1:]
sys.path.insert(0, folder)
for name in names:
    faulthandler.dump_traceback_later(600, exit=True)  # what hangs says where
    said, sys.argv = io.StringIO(), [name, "--tiny"]
    with contextlib.redirect_stdout(said):
        try:
            runpy.run_path(f"{folder}/{name}.py", run_name="__main__")
            fault = ""
        except BaseException:
            fault = traceback.format_exc()
    print(json.dumps({"name": name, "said": said.getvalue(), "fault": fault}), flush=True)
"""


def python(*arguments: object) -> str:
    """What a process says that ends well and leaves the stored results alone."""
    before = (FOLDER / "results.json").read_bytes()
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=2400, check=False)
    assert run.returncode == 0, run.stderr
    assert (FOLDER / "results.json").read_bytes() == before
    return run.stdout


@pytest.fixture(scope="module")
def ran() -> dict[str, dict[str, str]]:
    """What each benchmark said, and what went wrong."""
    lines = python("-c", OTHERS, FOLDER, *(name for name in NAMES if name != APART)).splitlines()
    alone = {"name": APART, "said": python(FOLDER / f"{APART}.py", "--tiny"), "fault": ""}
    return {outcome["name"]: outcome for outcome in (*map(json.loads, lines), alone)}


@pytest.mark.parametrize("name", NAMES)
def test_benchmark_runs(ran: dict[str, dict[str, str]], name: str) -> None:
    assert ran[name]["fault"] == ""
    assert "companion" in ran[name]["said"]


@pytest.mark.parametrize("name", NAMES)
def test_stored_results_are_whole(name: str) -> None:
    result = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))[name]
    assert result["setting"]["threads"] == 2
    assert {row["contender"] for row in result["rows"]} >= {"companion"}
    assert all(row["value"] > 0 for row in result["rows"])


TIE = "the volatility cap nearly binds"
NOT_REACHED = {
    (
        "target_position",
        TIE,
    ): "an exact tie takes a second Decimal of a float, .5 µs; fail-safes .45 µs",
}
"""Asked for and not measured, and why. A row that reaches its floor after all fails: take it off this list."""
FLOORS = {
    "scan": {
        ("(16, 256, 128, 16)", "mambapy, parallel scan"): 28,
        ("(16, 1024, 128, 16)", "mambapy, parallel scan"): 28,
        ("(16, 256, 128, 16)", "loop, discretized inside"): 18,
        ("(16, 1024, 128, 16)", "loop, discretized inside"): 18,
        ("(16, 256, 128, 16)", "loop, discretized first and sliced"): 500,
    },
    "training_step": {
        ("2 layers, d = 64, 16 x 256", "mambapy"): 14,
        ("2 layers, d = 64, 16 x 256", "transformers"): 300,
    },
    "streaming": {("2 layers, d = 64, batch 1", "mambapy"): 20},
    "heston": {
        (f"{scheme}, 20,000 x 252", other): floor
        for scheme in ("Euler", "quadratic-exponential")
        for other, floor in (("NumPy, Euler", 5), ("hestonpy, Euler", 10), ("QuantLib, Euler, into arrays", 100))
    },
    "backtest": {
        ("1,000 sets x 5,031 bars", "NumPy, final equity alone"): 1,
        ("1,000 sets x 5,031 bars", "vectorbt 1.2.0, final equity alone"): 10,
    },
    "liquidity": {("1 GB of quotes", "DuckDB alone, every column"): 0.5},
    "target_position": {
        (case, "20 quantized products"): 1
        for case in ("no cap binds", "the volatility cap binds", "the fraction cap binds", TIE)
    },
    "execution": {("288,480 bars and quotes, dead band 0.1 BTC", "no-op strategy"): 0.55},
}
"""What the project asks of the ratio to `companion`, at least."""


@pytest.mark.parametrize("name", FLOORS)
def test_stored_ratios_are_what_was_asked_for(name: str) -> None:
    rows = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))[name]["rows"]
    ratios = {(row["case"], row["contender"]): row["ratio"] for row in rows}
    short = {(name, case) for (case, other), floor in FLOORS[name].items() if ratios[case, other] < floor}
    assert short == {row for row in NOT_REACHED if row[0] == name}


def test_a_stored_bar_costs_the_same_in_a_long_sequence() -> None:
    rows = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))["length_and_memory"]["rows"]
    longest = [row["ratio"] for row in rows if row["case"] == "(1, 65,536, 128, 16)" and row["ratio"] is not None]
    assert len(longest) == 2
    assert max(longest) <= 1.3


def test_stored_memory_is_bounded() -> None:
    results = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
    peaks = {row["unit"]: row["value"] for name in ("liquidity", "length_and_memory") for row in results[name]["rows"]}
    assert peaks["MB at most"] < 500
    assert peaks["x (u, delta, y)"] < 4


def test_the_gate_judges_in_less_than_half_of_what_a_submission_takes() -> None:
    rows = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))["execution"]["rows"]
    ratios = {row["contender"]: row["ratio"] for row in rows if row["case"] == "one order, a position held"}
    assert ratios["submission, no gate"] > 2


def test_a_sweep_takes_less_than_a_twentieth_beside_its_runs() -> None:
    rows = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))["sweep"]["rows"]
    longest = [row["value"] for row in rows if row["contender"] == "companion, 95 % to"]
    assert len(longest) == 3
    assert max(longest) < 1.05


def test_twenty_thousand_quotes_a_second_all_arrive_in_time() -> None:
    rows = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))["live"]["rows"]
    case, ours = "20,000 quotes/s for 60 s: ", [row for row in rows if row["contender"] == "companion"]
    values = {row["case"].removeprefix(case): row["value"] for row in ours if row["case"].startswith(case)}
    assert values["arrived"] == 1_200_000
    assert values["latency, median"] < 1.0
    assert values["latency, 99 %"] < 10.0


KERNELS = (
    *("scan forward", "scan backward", "convolution forward", "convolution backward", "norm forward", "norm backward"),
    "one bar, MarketMamba.stepper",
    *("Heston, Euler", "Heston, QE", "regime switching", "particle filter"),
)


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_has_its_floor_and_none_is_faster(kernel: str) -> None:
    """A floor above the time would be one that counts too much, or a rate that was not the machine's."""
    rows = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))["roofline"]["rows"]
    mine = [row for row in rows if row["case"].startswith(kernel)]
    assert [row["contender"].partition(",")[0] for row in mine] == ["companion", "floor"]
    assert mine[1]["contender"].partition(" by ")[2].partition(":")[0] in ("flops", "exponentials", "normals", "bytes")
    assert 0 < mine[1]["ratio"] < 1.05
    assert mine[1]["ratio"] == pytest.approx(mine[1]["value"] / mine[0]["value"], rel=0.02)


def test_the_limits_were_measured_in_the_same_run() -> None:
    rows = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))["roofline"]["rows"]
    limits = {row["contender"]: row["value"] for row in rows if row["case"] == "limits of this machine"}
    assert set(limits) == {
        "flops, float32",
        "flops, float64",
        "exponentials, float32",
        "normals, float64",
        "bytes, no cache",
    }
    assert limits["flops, float64"] < limits["flops, float32"]
