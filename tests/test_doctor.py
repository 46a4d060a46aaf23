"""The doctor's tested versions are the pinned ones, and every gap has a remedy."""

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from companion import doctor
from companion.cli import main

ROOT = Path(__file__).parents[1]


def test_tested_versions_are_the_pinned_ones():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    on_311 = {"python_version": "3.11"}
    pins = {
        canonicalize_name(pin.name): str(pin.specifier)
        for pin in pins
        if pin.marker is None or pin.marker.evaluate(on_311)
    }
    for part in doctor.PARTS:
        if part.tested != "-":  # mamba-ssm has no build without CUDA, so no pin
            assert pins[canonicalize_name(part.package)] == f"=={part.tested}", part.package


def test_this_environment_is_complete(capsys):
    assert main(["doctor"]) == 0
    assert "missing" not in capsys.readouterr().out


def test_what_is_missing_is_named_with_its_remedy(monkeypatch, capsys):
    def absent(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(doctor, "version", absent)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "torch", None)
    findings = {finding.name: finding for finding in doctor.examine()}
    assert findings["numpy"].state == "missing"
    assert "make book" in findings["numpy"].note
    assert findings["nautilus_trader"].state == "absent"
    assert ".[nautilus]" in findings["nautilus_trader"].note
    assert findings["CUDA"].state == "absent"
    assert "apt install chromium" in findings["Chromium"].note
    assert main(["doctor"]) == 1
    assert "missing" in capsys.readouterr().out


def test_another_version_than_the_tested_one_is_pointed_out(monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda package: "0.0.1")
    findings = {finding.name: finding for finding in doctor.examine()}
    assert findings["torch"].state == "differs"
    assert "tested with 2.13.0" in findings["torch"].note
