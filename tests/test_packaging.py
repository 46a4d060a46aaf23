"""The house rules that no single room can test: which way imports run, what stays light, what is documented."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "companion").rglob("*.py"))
MAX_LINES = 350

# Room: the rooms it may import. Arrows only run downwards; the ground is open to all.
GROUND = {"errors", "_checks", "_files", "_tables", "_jit", "_tile", "_exp2", "_runs"}
ROOMS: dict[str, set[str]] = {
    "datasets": set(),
    "chaos": set(),
    "mamba": set(),
    "heston": set(),
    "regimes": {"mamba", "heston"},
    "evaluation": {"regimes", "mamba", "heston"},
    "risk": set(),
    "backtest": {"datasets", "regimes", "evaluation", "risk"},
    "desk": {"datasets", "regimes", "risk"},
    "execution": {"datasets", "desk", "heston", "risk"},
    "live": {"datasets", "execution", "desk", "regimes", "risk"},
    "plotting": set(),
    "notebook": set(),
    "doctor": set(),
    **{name: set() for name in GROUND},
}
ROOMS["_tile"] = {"_jit"}
ROOMS["_exp2"] = {"_jit"}
ROOMS["pipeline"] = set(ROOMS) - {"doctor"}
ROOMS["cli"] = {"pipeline", "live", "doctor"}
ROOMS["__init__"] = set()
PUBLIC_ROOMS = sorted(
    path.parent.name for path in (ROOT / "companion").glob("[a-z]*/__init__.pyi")
)  # the pipeline's files are programs

# What the pure rooms know nothing of: one engine, clocks.
IMPURE = {"nautilus_trader", "time"}
PURE = ("risk", "desk", "execution")
NAUTILUS_ROOMS = ("execution.nautilus", "live")


def import_problems(module: str, source: str, *, is_package: bool = False) -> list[str]:
    """The imports in `source`, the text of `companion.<module>`, that break a rule of the house."""
    room = module.partition(".")[0]
    problems = []
    for name in _imported(module, source, is_package):
        top, _, rest = name.partition(".")
        target = rest.partition(".")[0]
        if top in ("tests", "benchmarks", "studies"):
            problems.append(f"{module} imports {name}")
        elif top == "companion" and target and target != room and target not in ROOMS[room] | GROUND:
            problems.append(f"{module} imports {name}: {room} may import {sorted(ROOMS[room]) or 'no other room'}")
        elif top == "nautilus_trader" and not _inside(module, NAUTILUS_ROOMS):
            problems.append(f"{module} imports {name}: only {NAUTILUS_ROOMS} may")
        elif top in IMPURE and _inside(module, PURE) and not _inside(module, NAUTILUS_ROOMS):
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
        ("heston._params", "import companion.regimes", "heston may import no other room"),
        ("heston._params", "from companion import regimes", "heston may import no other room"),
        ("heston._params", "from ..regimes import auc", "heston may import no other room"),
        ("heston._params", "from .. import regimes", "heston may import no other room"),
        ("heston._params", "def f():\n    from companion.regimes import hysteresis", "heston may import no other room"),
        (
            "backtest._engine",
            "from companion.pipeline import _step",
            "backtest may import ['datasets', 'evaluation', ",
        ),
        ("risk._sizing", "import time", "must stay pure"),
        ("desk._desk", "from time import time", "must stay pure"),
        ("risk._sizing", "import nautilus_trader.model", "only ('execution.nautilus', "),
        (
            "execution._reconcile",
            "from nautilus_trader.model import Quantity",
            "only ('execution.nautilus', 'live') may",
        ),
        ("risk._sizing", "from companion.heston import HestonParams", "risk may import no other room"),
        ("mamba._scan", "import tests.mamba", "mamba._scan imports tests.mamba"),
        ("mamba._scan", "import studies.filter_scores", "mamba._scan imports studies.filter_scores"),
        ("pipeline._step", "from companion.cli import main", "pipeline may import"),
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
        ("regimes._detector", "from companion.mamba import MarketMamba\nfrom ._filter import RegimeFilter", False),
        ("regimes", "from ._filter import RegimeFilter\nfrom companion.regimes._rules import TwoMeans", True),
        ("execution.nautilus._strategy", "import nautilus_trader.trading\nimport datetime", False),
        ("risk._sizing", "from companion.errors import InputError\nimport companion", False),
        ("cli", "from companion.pipeline import _step\nfrom companion import doctor", False),
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


HEAVY = {"torch", "numba", "pandas", "numpy", "scipy", "sklearn", "plotly", "duckdb", "arch", "nautilus_trader"}


@cache
def loaded(program: str) -> set[str]:
    """The modules that a fresh Python holds after `program`."""
    run = subprocess.run(
        [sys.executable, "-c", f"import sys\n{program}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(run.stdout.split())


@pytest.mark.parametrize(
    ("program", "may_load"),
    [
        ("import companion", set()),
        ("import companion.cli", {"numpy"}),
        *((f"import companion.{room}", set()) for room in PUBLIC_ROOMS),
        ("from companion.risk import *", {"numpy", "scipy"}),
        ("from companion.heston import *", HEAVY - {"torch", "sklearn", "plotly", "duckdb", "arch", "nautilus_trader"}),
        ("from companion.plotting import *", {"numpy", "pandas", "plotly"}),
        ("from companion.notebook import *", {"numpy", "pandas"}),
        ("from companion.datasets import *", {"numpy", "pandas", "scipy"}),
    ],
)
def test_opening_a_room_stays_light(program: str, may_load: set[str]) -> None:
    assert loaded(program) & HEAVY <= may_load


@pytest.mark.parametrize("room", PUBLIC_ROOMS)
def test_a_whole_room_loads_only_the_rooms_below_it(room: str) -> None:
    below, frontier = {room}, ROOMS[room]
    while frontier := frontier - below:
        below |= frontier
        frontier = set().union(*(ROOMS[name] for name in frontier))
    names = {name.split(".")[1] for name in loaded(f"from companion.{room} import *") if name.startswith("companion.")}
    assert names <= below | GROUND


@pytest.mark.parametrize("room", PUBLIC_ROOMS)
def test_a_room_shows_what_its_stub_lists_and_keeps_its_files_private(room: str) -> None:
    module = importlib.import_module(f"companion.{room}")
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None
    files = [path.stem for path in (ROOT / "companion" / room).glob("*.py")]
    assert [name for name in files if not name.startswith("_")] == []
