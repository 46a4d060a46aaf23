"""The places that name a version agree: pyproject.toml, constraints.txt, environment.yml, the pre-commit hooks."""

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
PYTHONS = ("3.11", "3.12", "3.13")


def pin_problems(constraints: str) -> list[str]:
    """What in a constraints file is not one exact version of a package from an index."""
    problems = []
    for line in _lines(constraints):
        if line.startswith("-") or "@" in line or "://" in line:
            problems.append(f"{line}: not a package from an index")
        elif not re.fullmatch(r"[\w.\-]+==[\w.]+(\s*;.*)?", line):
            problems.append(f"{line}: not an exact version that every index has")
    return problems


def range_problems(constraints: str, requirements: list[str], *, python: str) -> list[str]:
    """The requirements that have no pin, or more than one, or one outside their range, under one Python version."""
    problems = []
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    pins = _pins(constraints, environment)
    for requirement in map(Requirement, requirements):
        found = pins.get(canonicalize_name(requirement.name), [])
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        if len(found) != 1:
            problems.append(f"{requirement.name}: {len(found)} pins under Python {python}")
        elif not requirement.specifier.contains(found[0], prereleases=True):
            problems.append(f"{requirement.name}: {found[0]} is outside {requirement.specifier} under Python {python}")
    return problems


def _pins(constraints: str, environment: dict[str, str] | None = None) -> dict[str, list[str]]:
    """The pinned versions of each package, by default under the Python that runs this."""
    pins: dict[str, list[str]] = {}
    for pin in map(Requirement, _lines(constraints)):
        if pin.marker is None or pin.marker.evaluate(environment):
            pins.setdefault(canonicalize_name(pin.name), []).append(str(pin.specifier).removeprefix("=="))
    return pins


def _lines(text: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def _requirements() -> list[str]:
    """What pyproject.toml asks for in all but the extra for CUDA."""
    groups = [PROJECT["dependencies"], *(group for name, group in EXTRAS.items() if name not in ("gpu", "all"))]
    return [requirement for group in groups for requirement in group]


def _installed_with(requirement: Requirement, seen: set[tuple[str, str]]) -> Iterator[str]:
    """The names of a package and of all that it pulls in here."""
    for extra in ("", *sorted(requirement.extras)):
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        yield name
        try:
            needed = requires(name) or []
        except PackageNotFoundError:
            continue
        for deeper in map(Requirement, needed):
            if deeper.marker is None or deeper.marker.evaluate({"extra": extra}):
                yield from _installed_with(deeper, seen)


@pytest.fixture(scope="module")
def constraints() -> str:
    return (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_every_pin_is_an_exact_version_that_every_index_has(constraints: str) -> None:
    assert pin_problems(constraints) == []
    assert "torch==2.13.0" in _lines(constraints)


@pytest.mark.parametrize("python", PYTHONS)
def test_pins_are_inside_the_ranges(constraints: str, python: str) -> None:
    assert python in SpecifierSet(PROJECT["requires-python"])
    assert range_problems(constraints, _requirements(), python=python) == []


def test_everything_that_is_pulled_in_is_pinned(constraints: str) -> None:
    pins, seen = _pins(constraints), set[tuple[str, str]]()
    needed = {name for requirement in map(Requirement, _requirements()) for name in _installed_with(requirement, seen)}
    needed.discard(canonicalize_name(PROJECT["name"]))
    assert {name: pins.get(name) for name in needed} == {name: [_found(name)] for name in needed}


def _found(name: str) -> str:
    """The installed version without what names a build, as in 2.13.0+cpu."""
    return version(name).partition("+")[0]


@pytest.mark.parametrize(
    "line", ["torch==2.13.0+cpu", "companion @ file:///x", "-e .", "numpy>=2", "a @ git+https://example.org/a", "numpy"]
)
def test_a_line_that_is_no_pin_is_found(line: str) -> None:
    assert len(pin_problems(f"scipy==1.17.1  # fine\n\n{line}\n")) == 1


def test_a_pin_outside_its_range_is_found() -> None:
    by_python = 'a==1.0; python_version < "3.12"\na==2.0; python_version >= "3.12"\n'
    assert range_problems(by_python, ["a>=1"], python="3.11") == []
    assert range_problems(by_python, ["a>=1,<2"], python="3.12") == ["a: 2.0 is outside <2,>=1 under Python 3.12"]
    assert range_problems(by_python, ["b"], python="3.11") == ["b: 0 pins under Python 3.11"]
    assert range_problems("a==1.0\na==2.0\n", ["a"], python="3.11") == ["a: 2 pins under Python 3.11"]


def test_the_extra_for_everything_holds_all_but_cuda() -> None:
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.name == PROJECT["name"]
    assert everything.extras == set(EXTRAS) - {"all", "gpu"}


def test_the_tested_pythons_are_named_everywhere(constraints: str) -> None:
    prefix = "Programming Language :: Python :: "
    assert [line.removeprefix(prefix) for line in PROJECT["classifiers"] if line.startswith(prefix)] == list(PYTHONS)
    assert f"Python {', '.join(PYTHONS[:-1])} and {PYTHONS[-1]}" in constraints
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"


def _made() -> list[str]:
    """What `make` gives to `pip install`, without the flags that say how much it prints."""
    (line,) = re.findall(r"-m pip install (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    return [word for word in shlex.split(line) if not word.startswith("--")]


def _conda_form() -> tuple[str, list[str]]:
    """The Python of environment.yml, and what it gives to `pip install`."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert set(environment) == {"name", "channels", "dependencies"}
    assert re.fullmatch(r"[\w-]+", environment["name"])
    assert environment["channels"] == ["conda-forge"]
    python, pip, from_pip = environment["dependencies"]
    assert pip == "pip"  # asked for by name, or conda warns and adds one
    assert set(from_pip) == {"pip"}
    name, _, python = python.partition("=")
    assert name == "python"
    return python, [word for line in from_pip["pip"] for word in shlex.split(line)]


def test_binder_and_conda_install_the_same_as_make() -> None:
    python, installed = _conda_form()
    assert python in PYTHONS
    assert installed == _made()


def test_what_they_install_resolves_here() -> None:
    """Pip finds no conflict between the pins: all is installed, so it has nothing to fetch."""
    asked = [word for word in _conda_form()[1] if word != "-e"]  # which changes where the code lies, not what it needs
    resolve = ["-m", "pip", "install", "--dry-run", "--quiet", "--no-index", "--no-build-isolation", *asked]
    run = subprocess.run([sys.executable, *resolve], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_hooks_download_nothing_and_see_notebooks() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repository["repo"] for repository in hooks["repos"]] == ["local"]
    by_id = {hook["id"]: hook for hook in hooks["repos"][0]["hooks"]}
    assert set(by_id) == {"ruff-check", "ruff-format", "mypy"}
    assert {hook["language"] for hook in by_id.values()} == {"system"}
    assert all("jupyter" in by_id[name]["types_or"] for name in ("ruff-check", "ruff-format"))
