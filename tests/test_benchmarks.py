"""The benchmarks run, at sizes that say nothing about speed; what appendix C shows is whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = sorted(script.stem for script in FOLDER.glob("[!_]*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_benchmark_runs(name: str) -> None:
    before = (FOLDER / "results.json").read_bytes()
    command = [sys.executable, "-W", "error", str(FOLDER / f"{name}.py"), "--tiny"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    assert "companion" in run.stdout
    assert (FOLDER / "results.json").read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_stored_results_are_whole(name: str) -> None:
    result = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))[name]
    assert result["setting"]["threads"] == 2
    assert {row["contender"] for row in result["rows"]} >= {"companion"}
    assert all(row["value"] > 0 for row in result["rows"])
