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

# Outside the repository the package is in `target`. The modules of every package that the core does not ask for are
# not found.
OUTSIDE = """
import sys
from importlib.machinery import PathFinder
target, repository, *absent = sys.argv[1:]
class Core(PathFinder):
    find_spec = staticmethod(lambda name, *rest: None if name in absent else PathFinder.find_spec(name, *rest))
sys.meta_path[sys.meta_path.index(PathFinder)] = Core
sys.path[:] = [target, *(place for place in sys.path if place != repository)]
"""
# What a reader with prices of their own does.
READER = """
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
# What the kernels compute, forward and backward.
HASH = """
import hashlib, torch
from companion.mamba import MarketMamba
torch.manual_seed(0)
model, features = MarketMamba(), torch.randn(2, 100, 3)
outputs = model(features)
outputs.square().sum().backward()
tensors = [outputs, *(weight.grad for weight in model.parameters())]
print(hashlib.sha256(b"".join(tensor.detach().numpy().tobytes() for tensor in tensors)).hexdigest())
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


@pytest.fixture(scope="module")
def alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the package is installed, into `site`, and nothing else is there."""
    folder = tmp_path_factory.mktemp("alone")
    pip("install", "--no-deps", "--target", folder / "site", wheel)
    return folder


def run_alone(folder: Path, program: str) -> str:
    """The last line that a program outside the repository says."""
    command = [sys.executable, "-I", "-c", OUTSIDE + program, str(folder / "site"), str(ROOT), *absent_modules()]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()[-1]


def test_it_works_alone_and_computes_the_same_with_what_it_has_compiled_before(alone: Path) -> None:
    """The first process compiles each kernel, the second reads it from where numba has kept it."""
    compiled = run_alone(alone, READER + HASH)
    assert {path.name for path in alone.glob("build/**/*")} >= {"regimes.parquet", "backtest.json", "backtest.html"}
    assert list(alone.glob("site/companion/mamba/**/*.nbc")), "no kernel was kept"
    assert run_alone(alone, HASH) == compiled


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
