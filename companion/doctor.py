"""What is installed, against what the book was tested with, and how to get what is missing."""

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

NAUTILUS = "1.221.0" if sys.version_info < (3, 12) else "1.231.0"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Part:
    """One thing the book can use: its package, the tested version, and what it is for."""

    package: str
    tested: str
    needed_for: str
    remedy: str = "make book"
    required: bool = True


PARTS = (
    Part("numpy", "2.4.6", "everything"),
    Part("pandas", "2.3.3", "everything"),
    Part("torch", "2.13.0", "Mamba"),
    Part("numba", "0.68.1", "fast simulation, scan and filters"),
    Part("scipy", "1.17.1", "pricing, statistics"),
    Part("pyarrow", "26.0.1", "tables on disk"),
    Part("safetensors", "0.8.0", "model checkpoints"),
    Part("arch", "8.0.0", "GARCH, bootstrap, S&P 500 bars"),
    Part("duckdb", "2.0.0", "calibrating limits from quotes"),
    Part("hmmlearn", "0.3.3", "the hidden Markov baseline"),
    Part("jumpmodels", "0.1.1", "the jump model baseline"),
    Part("skfolio", "1.12.2", "S&P 500 closes"),
    Part("scikit-learn", "1.9.1", "K-Means, calibration"),
    Part("plotly", "7.1.0", "figures"),
    Part("jupyterlab", "4.6.6", "running the chapters", "make lab"),
    Part("jupyter-book", "1.0.4.post1", "building the book"),
    Part("nbval", "0.11.0", "testing the chapters", "make test", required=False),
    Part("playwright", "1.65.2", "testing the book in a browser", "make test", required=False),
    Part("nautilus_trader", NAUTILUS, "execution (part V)", "pip install -e '.[nautilus]'", required=False),
    Part("mamba-ssm", "-", "the CUDA kernel", "pip install -e '.[gpu]' on a machine with CUDA", required=False),
)


@dataclass(frozen=True)
class Finding:
    """A line of the report. `state` is ok, differs (from the tested version), absent (optional) or missing."""

    name: str
    found: str
    tested: str
    state: str
    note: str


def examine() -> list[Finding]:
    """Look at Python, the packages, CUDA and the browser."""
    python = platform.python_version()
    state = "missing" if sys.version_info < (3, 11) else "ok" if python.startswith("3.11.") else "differs"
    findings = [Finding("python", python, "3.11", state, "3.11 or newer")]
    findings += [_package(part) for part in PARTS]
    return [*findings, _cuda(), _browser()]


def main() -> int:
    """Print the report; return 1 if something required is missing, else 0."""
    findings = examine()
    table = Table("part", "found", "tested", "", "note")
    for finding in findings:
        table.add_row(finding.name, finding.found, finding.tested, finding.state, escape(finding.note))
    Console().print(table)
    return int(any(finding.state == "missing" for finding in findings))


def find_browser() -> str | None:
    """Path of a Chromium that can open the book, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def _package(part: Part) -> Finding:
    try:
        found = version(part.package)
    except PackageNotFoundError:
        state = "missing" if part.required else "absent"
        return Finding(part.package, "-", part.tested, state, f"{part.needed_for}: {part.remedy}")
    same = part.tested in ("-", found.split("+")[0])
    note = part.needed_for if same else f"{part.needed_for}; the book was tested with {part.tested}"
    return Finding(part.package, found, part.tested, "ok" if same else "differs", note)


def _cuda() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("CUDA", "-", "-", "absent", "needs torch")
    if not torch.cuda.is_available():
        return Finding("CUDA", "-", "-", "absent", "optional: nothing in the book needs a GPU")
    return Finding("CUDA", f"{torch.version.cuda}, {torch.cuda.get_device_name()}", "-", "ok", "training can use it")


def _browser() -> Finding:
    path = find_browser()
    if path is None:
        note = "browser tests are skipped without it: apt install chromium, or install Chrome"
        return Finding("Chromium", "-", "-", "absent", note)
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return Finding("Chromium", said or Path(path).name, "-", "ok", "browser tests")
