"""The doctor's tested versions are the pinned ones on every tested Python, and every gap has a remedy that works."""

import importlib
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from companion import doctor
from companion.cli import main

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
UNPINNED = {"mamba-ssm"}  # it has no build without CUDA


def pins(python):
    """Pinned version of each package under a Python such as ``(3, 12)``."""
    environment = {"python_version": ".".join(map(str, python)), "python_full_version": f"{python[0]}.{python[1]}.0"}
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    found = [Requirement(line) for line in lines if line]
    return {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin in found
        if pin.marker is None or pin.marker.evaluate(environment)
    }


@pytest.mark.parametrize("python", doctor.PYTHONS)
def test_tested_versions_are_the_pinned_ones(python, monkeypatch):
    try:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "version_info", (*python, 0, "final", 0))
            parts = importlib.reload(doctor).PARTS
    finally:
        importlib.reload(doctor)
    tested = {canonicalize_name(part.package): part.tested for part in parts if part.package not in UNPINNED}
    assert tested == {name: pins(python).get(name) for name in tested}


def test_core_and_extras_are_those_of_the_distribution():
    assert PROJECT["name"] == doctor.DISTRIBUTION
    extras = PROJECT["optional-dependencies"]
    for part in doctor.PARTS:
        group = extras[part.extra] if part.extra else PROJECT["dependencies"]
        assert canonicalize_name(part.package) in {canonicalize_name(Requirement(line).name) for line in group}


def test_this_environment_is_complete(capsys):
    assert main(["doctor"]) == 0
    assert "missing" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("python", "state"), [((3, 10), "missing"), *((python, "ok") for python in doctor.PYTHONS), ((3, 14), "differs")]
)
def test_every_tested_python_is_fine(monkeypatch, python, state):
    monkeypatch.setattr(sys, "version_info", (*python, 1, "final", 0))
    finding = doctor.examine()[0]
    assert (finding.name, finding.tested, finding.state) == ("python", "3.11 to 3.13", state)


def test_what_is_missing_is_named_with_its_remedy(monkeypatch, capsys):
    def absent(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(doctor, "version", absent)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "torch", None)
    findings = {finding.name: finding for finding in doctor.examine()}
    assert findings["numpy"].state == "missing"
    assert findings["numpy"].remedy == "pip install modeling-financial-chaos"
    assert findings["duckdb"].state == findings["jupyterlab"].state == "absent"
    assert findings["duckdb"].remedy == "pip install 'modeling-financial-chaos[liquidity]'"
    assert findings["CUDA"].state == "absent"
    assert "apt install chromium" in findings["Chromium"].remedy
    assert main(["doctor"]) == 1
    assert "missing" in capsys.readouterr().out


def test_the_core_alone_is_enough(monkeypatch, capsys):
    core = {part.package: part.tested for part in doctor.PARTS if not part.extra}

    def only_core(package):
        if package not in core:
            raise PackageNotFoundError(package)
        return core[package]

    monkeypatch.setattr(doctor, "version", only_core)
    assert main(["doctor"]) == 0
    assert "jupyterlab: pip install 'modeling-financial-chaos[book]'" in capsys.readouterr().out.splitlines()


def test_another_version_than_the_tested_one_is_pointed_out(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda package: "0.0.1")
    findings = {finding.name: finding for finding in doctor.examine()}
    assert findings["torch"].state == "differs"
    assert "tested with 2.13.0" in findings["torch"].note
