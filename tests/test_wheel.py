"""The wheel: what it holds, what it asks for, and that it works alone, with no more than its own dependencies."""

import email
import importlib.metadata
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SHIPPED = {".py", ".pyi", ".typed", ".json", ".safetensors"}

# What a reader with prices of their own does, outside the repository, where the package is in `target`.
# The modules of every package that the core does not ask for are not found.
READER = """
import sys
from importlib.machinery import PathFinder
target, repository, *absent = sys.argv[1:]
class Core(PathFinder):
    find_spec = staticmethod(lambda name, *rest: None if name in absent else PathFinder.find_spec(name, *rest))
sys.meta_path[sys.meta_path.index(PathFinder)] = Core
sys.path[:] = [target, *(place for place in sys.path if place != repository)]
import numpy as np, pandas as pd
import companion.evaluation, companion.plotting, companion.risk
from companion.cli import main
assert companion.__file__.startswith(target)
day = pd.bdate_range("2000-01-03", periods=900, name="date")
steps = np.random.default_rng(1).normal(0, 0.01, len(day)) * np.where(np.arange(len(day)) % 300 < 220, 0.7, 2.5)
pd.Series(100 * np.exp(steps.cumsum()), day, name="close").to_csv("prices.csv")
for command in (
    "generate-heston --paths 40 --bars 500",
    "train-mamba --steps 2 --batch 4 --length 64",
    "extract-regimes --prices prices.csv",
    "backtest-walkforward --first-test 500 --n-resamples 100",
    "doctor",
):
    assert main(command.split()) == 0, command
"""


def pip(*arguments: str | Path) -> None:
    """Run pip without the network."""
    run = subprocess.run(
        [sys.executable, "-m", "pip", *arguments, "--quiet", "--no-index"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_the_package_and_nothing_else(wheel: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = [path for path in (ROOT / "companion").rglob("*") if path.suffix in SHIPPED]
    assert inside == {path.relative_to(ROOT).as_posix() for path in there}
    assert "companion/py.typed" in inside
    assert {"companion/risk/__init__.pyi", "companion/heston/__init__.pyi"} <= inside  # the lazy rooms read theirs
    assert {Path(name).suffix for name in inside if "/pretrained/" in name} == {".json", ".safetensors"}


def test_it_says_what_pyproject_says(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(archive.read(name))
    assert (metadata["Name"], metadata["Version"]) == (PROJECT["name"], PROJECT["version"])
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    asked = map(Requirement, metadata.get_all("Requires-Dist", []))
    core = {canonicalize_name(requirement.name) for requirement in asked if requirement.marker is None}
    assert core == {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}


def test_it_works_alone(wheel: Path, tmp_path: Path) -> None:
    target, desk = tmp_path / "site", tmp_path / "desk"
    desk.mkdir()
    pip("install", "--no-deps", "--target", target, wheel)
    arguments = [str(target), str(ROOT), *absent_modules()]
    run = subprocess.run(
        [sys.executable, "-I", "-c", READER, *arguments], cwd=desk, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert {path.name for path in desk.rglob("*")} >= {"regimes.parquet", "backtest.json", "backtest.html"}


def absent_modules() -> list[str]:
    """The modules that an environment with the core alone does not have, of those that this one has."""
    core = {name for line in PROJECT["dependencies"] for name in pulled_in(Requirement(line), set())}
    owners = importlib.metadata.packages_distributions()
    return sorted(
        module
        for module, packages in owners.items()
        if not module.startswith("_") and module != "companion" and core.isdisjoint(map(canonicalize_name, packages))
    )


def pulled_in(requirement: Requirement, seen: set[tuple[str, str]]) -> Iterator[str]:
    """The names of a package and of all that it pulls in here."""
    for extra in ("", *requirement.extras):
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        yield name
        for deeper in map(Requirement, importlib.metadata.requires(name) or []):
            if deeper.marker is None or deeper.marker.evaluate({"extra": extra}):
                yield from pulled_in(deeper, seen)
