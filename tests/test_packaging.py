"""The house rules that no single room can test: which way imports run, what stays light, what is documented."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "companion").rglob("*.py"))
MAX_LINES = 350

# Room: the rooms it may import. Arrows only run downwards; the foundation is open to all.
FOUNDATION = {"errors", "_files", "_tables", "_jit", "_tile", "_seed"}
ROOMS: dict[str, set[str]] = {
    "datasets": set(),
    "chaos": set(),
    "mamba": set(),
    "heston": set(),
    "regimes": {"mamba", "heston"},
    "risk": set(),
    "backtest": {"regimes", "risk"},
    "execution": {"risk"},
    "live": {"execution", "regimes", "risk"},
    "plotting": set(),
    "doctor": set(),
    "errors": set(),
    "_files": set(),
    "_tables": set(),
    "_seed": set(),
    "_jit": set(),
    "_tile": {"_jit"},
}
ROOMS["pipeline"] = set(ROOMS) - {"doctor"}
ROOMS["cli"] = {"pipeline", "live", "doctor"}
ROOMS["__init__"] = set()

# What the pure rooms know nothing of: one engine, one vendor's frames, clocks.
IMPURE = {"nautilus_trader", "pandas", "time", "datetime"}
PURE = ("risk", "execution.instrument", "execution.guardrails", "execution.reconcile")
NAUTILUS_ROOMS = ("execution.nautilus", "live")


def import_problems(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """The imports in `source`, the text of `companion.<module>`, that break a rule of the house."""
    room = module.partition(".")[0]
    problems = []
    for name in _imported(module, source, is_package):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if top in ("tests", "benchmarks"):
            problems.append(f"{module} imports {name}")
        elif top == "companion" and target and target != room and target not in ROOMS[room] | FOUNDATION:
            problems.append(f"{module} imports {name}: {room} may import {sorted(ROOMS[room]) or 'no other room'}")
        elif top == "nautilus_trader" and not _inside(module, NAUTILUS_ROOMS):
            problems.append(f"{module} imports {name}: only {NAUTILUS_ROOMS} may")
        elif top in IMPURE and _inside(module, PURE):
            problems.append(f"{module} imports {name}: it must stay pure")
    return problems


def _imported(module: str, source: str, is_package: bool) -> Iterator[str]:
    """Absolute names of all that is imported anywhere in the module, inside functions too."""
    package = ["companion", *module.split(".")] if is_package else ["companion", *module.split(".")[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"companion.{alias.name}" if origin == "companion" else origin for alias in node.names)


def _inside(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def style_problems(source: str) -> list[str]:
    """What is too long, undocumented, or reads the environment."""
    problems = []
    if (lines := source.count("\n")) > MAX_LINES:
        problems.append(f"{lines} lines, at most {MAX_LINES}")
    tree = ast.parse(source)
    if ast.get_docstring(tree) is None:
        problems.append("module without a docstring")
    problems += [f"{name} without a docstring" for name in _undocumented(tree)]
    if any(isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") for node in ast.walk(tree)):
        problems.append("reads the environment")
    return problems


def _undocumented(scope: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[str]:
    for node in scope.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        overload = any(getattr(decorator, "id", "") == "overload" for decorator in node.decorator_list)
        if ast.get_docstring(node) is None and not overload:
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node, f"{node.name}.")


def dotted(path: Path) -> str:
    """`companion/risk/sizing.py` as `risk.sizing`; a package's `__init__.py` as the package."""
    parts = path.relative_to(ROOT / "companion").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_run_downwards(path: Path) -> None:
    assert dotted(path).partition(".")[0] in ROOMS, f"{path} is in no room of the house"
    is_package = path.name == "__init__.py" and path.parent != ROOT / "companion"
    assert import_problems(dotted(path), path.read_text(encoding="utf-8"), is_package=is_package) == []


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_modules_are_short_and_documented(path: Path) -> None:
    problems = style_problems(path.read_text(encoding="utf-8"))
    if dotted(path) == "cli":
        problems = [problem for problem in problems if problem != "reads the environment"]
    assert problems == []


def test_the_table_of_rooms_has_no_circle() -> None:
    for room in ROOMS:
        below, frontier = set(), ROOMS[room]
        while frontier := frontier - below:
            below |= frontier
            frontier = set().union(*(ROOMS[name] for name in frontier))
        assert room not in below


@pytest.mark.parametrize(
    ("module", "source", "problem"),
    [
        ("heston.params", "import companion.regimes", "heston may import no other room"),
        ("heston.params", "from companion import regimes", "heston may import no other room"),
        ("heston.params", "from ..regimes import scores", "heston may import no other room"),
        ("heston.params", "from .. import regimes", "heston may import no other room"),
        (
            "heston.params",
            "def f():\n    from companion.evaluation._scores import auc",
            "heston may import no other room",
        ),
        ("backtest.engine", "from companion.pipeline import step", "backtest may import ['regimes', 'risk']"),
        ("risk.sizing", "import pandas as pd", "must stay pure"),
        ("risk.sizing", "from datetime import datetime", "must stay pure"),
        ("risk.sizing", "import nautilus_trader.model", "only ('execution.nautilus', "),
        (
            "execution.reconcile",
            "from nautilus_trader.model import Quantity",
            "only ('execution.nautilus', 'live') may",
        ),
        ("execution.guardrails", "import time", "must stay pure"),
        ("risk.sizing", "from companion.heston import HestonParams", "risk may import no other room"),
        ("mamba.scan", "import tests.mamba", "mamba.scan imports tests.mamba"),
        ("pipeline.step", "from companion.cli import main", "pipeline may import"),
        ("_files", "from companion.risk import dimmer", "_files may import no other room"),
    ],
)
def test_an_import_that_runs_upwards_is_found(module: str, source: str, problem: str) -> None:
    found = import_problems(module, source)
    assert len(found) == 1
    assert problem in found[0]


@pytest.mark.parametrize(
    ("module", "source", "is_package"),
    [
        ("regimes.detector", "from companion.mamba import MarketMamba\nfrom .base import RegimeFilter", False),
        ("regimes", "from .base import RegimeFilter\nfrom companion.evaluation._scores import auc", True),
        ("execution.nautilus.strategy", "import nautilus_trader.trading\nimport datetime", False),
        ("risk.sizing", "from companion.errors import InputError\nimport companion", False),
        ("cli", "from companion.pipeline import step\nfrom companion import doctor", False),
    ],
)
def test_an_import_that_runs_downwards_is_fine(module: str, source: str, is_package: bool) -> None:
    assert import_problems(module, source, is_package=is_package) == []


def test_what_is_long_or_undocumented_is_found() -> None:
    source = "import os\nclass Open:\n    def method(self): ...\n    def _own(self): ...\ndef public(): ...\n"
    assert style_problems(source + "\n" * 346 + "x = os.environ") == [
        "351 lines, at most 350",
        "module without a docstring",
        "Open without a docstring",
        "Open.method without a docstring",
        "public without a docstring",
        "reads the environment",
    ]


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("companion", {"torch", "numba", "pandas", "numpy", "nautilus_trader", "sklearn", "plotly"}),
        ("companion.cli", {"torch", "numba", "nautilus_trader"}),
        ("companion.heston", {"torch", "nautilus_trader"}),
        ("companion.risk", {"torch", "numba", "nautilus_trader"}),
        ("companion.plotting", {"torch", "numba", "nautilus_trader"}),
        ("companion.datasets", {"torch", "nautilus_trader"}),
    ],
)
def test_opening_a_room_stays_light(module: str, heavy: set[str]) -> None:
    program = f"import sys, {module}; print(*({heavy!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.split() == []
