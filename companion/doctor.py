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

DISTRIBUTION = "modeling-financial-chaos"
PYTHONS = ((3, 11), (3, 12), (3, 13))  # tested, oldest first
NAUTILUS = "1.221.0" if sys.version_info < (3, 12) else "1.231.0"  # 1.221.0 is the last for Python 3.11
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Part:
    """One thing the book can use: its package, the tested version, what it is for, and the extra that installs it."""

    package: str
    tested: str
    needed_for: str
    extra: str = ""

    @property
    def remedy(self) -> str:
        """The command that installs it."""
        return f"pip install '{DISTRIBUTION}[{self.extra}]'" if self.extra else f"pip install {DISTRIBUTION}"


PARTS = (
    Part("numpy", "2.4.6", "everything"),
    Part("pandas", "2.3.3", "everything"),
    Part("torch", "2.13.0", "Mamba"),
    Part("numba", "0.68.1", "fast simulation, scan and filters"),
    Part("scipy", "1.17.1", "pricing, statistics"),
    Part("pyarrow", "26.0.1", "tables on disk"),
    Part("safetensors", "0.8.0", "model checkpoints"),
    Part("arch", "8.0.0", "GARCH, bootstrap, S&P 500 bars"),
    Part("statsmodels", "0.15.0", "tests of independence"),
    Part("hmmlearn", "0.3.3", "the hidden Markov baseline"),
    Part("scikit-learn", "1.9.1", "K-Means, calibration"),
    Part("plotly", "7.1.0", "figures"),
    Part("duckdb", "2.0.0", "calibrating limits from quotes", "liquidity"),
    Part("skfolio", "1.12.2", "S&P 500 closes", "sp500"),
    Part("distributed", "2026.8.0", "simulating on a Dask cluster", "cluster"),
    Part("nautilus_trader", NAUTILUS, "execution (part V)", "nautilus"),
    Part("sqlalchemy", "2.1.9", "the store of going live", "live"),
    Part("alembic", "1.20.1", "the store of going live", "live"),
    Part("psycopg", "3.3.9", "the store of going live, on PostgreSQL", "live"),
    Part("aiohttp", "3.14.5", "the feed of going live", "live"),
    Part("tenacity", "9.2.1", "the feed of going live", "live"),
    Part("textual", "8.2.8", "the terminal view of going live", "live"),
    Part("jupyterlab", "4.6.6", "running the chapters", "book"),
    Part("jupyter-book", "1.0.4.post1", "building the book", "book"),
    Part("nbval", "0.11.0", "testing the chapters", "test"),
    Part("nolds", "0.6.2", "checking exponents", "test"),
    Part("playwright", "1.65.2", "testing the book in a browser", "test"),
    Part("mamba-ssm", "-", "the CUDA kernel, on a machine with CUDA", "gpu"),
)


@dataclass(frozen=True)
class Finding:
    """A line of the report. `state` is ok, differs (from the tested version), absent (optional) or missing."""

    name: str
    found: str
    tested: str
    state: str
    note: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at Python, the packages, CUDA and the browser."""
    return [_python(), *(_package(part) for part in PARTS), _cuda(), _browser()]


def main() -> int:
    """Print the report; return 1 if something required is missing, else 0."""
    findings = examine()
    table = Table("part", "found", "tested", "", "note")
    for finding in findings:
        table.add_row(finding.name, finding.found, finding.tested, finding.state, escape(finding.note))
    console = Console()
    console.print(table)
    for finding in findings:
        if finding.remedy:  # below the table, where a narrow terminal does not cut the command
            console.print(escape(f"{finding.name}: {finding.remedy}"), soft_wrap=True, highlight=False)
    return int(any(finding.state == "missing" for finding in findings))


def find_browser() -> str | None:
    """Path of a Chromium that can open the book, or None."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def _python() -> Finding:
    here = sys.version_info[:2]
    oldest, newest = (".".join(map(str, python)) for python in (PYTHONS[0], PYTHONS[-1]))
    state = "ok" if here in PYTHONS else "missing" if here < PYTHONS[0] else "differs"
    return Finding("python", platform.python_version(), f"{oldest} to {newest}", state, f"{oldest} or newer")


def _package(part: Part) -> Finding:
    try:
        found = version(part.package)
    except PackageNotFoundError:
        state = "absent" if part.extra else "missing"
        return Finding(part.package, "-", part.tested, state, part.needed_for, part.remedy)
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
        remedy = "apt install chromium, or install Chrome"
        return Finding("Chromium", "-", "-", "absent", "browser tests are skipped without it", remedy)
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return Finding("Chromium", said or Path(path).name, "-", "ok", "browser tests")
