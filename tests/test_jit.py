"""Compiled functions work where no folder can be written to, and keep what they compiled where one can."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {package!r})
from compiled_here import double
print(double(21), type(double._cache).__name__)
"""
MODULE = """
from companion._jit import compiled

@compiled(nogil=True)
def double(x):
    return 2 * x
"""


def run(folder: Path, home: Path) -> list[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "XDG_"))}
    environment = {**inherited, "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", PROGRAM.format(package=str(folder))]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=1200
    ).stdout.split()  # fmt: skip


@pytest.mark.parametrize("writable", [True, False])
def test_compiling_with_and_without_a_cache_folder(tmp_path: Path, writable: bool) -> None:
    (tmp_path / "compiled_here.py").write_text(MODULE, encoding="utf-8")
    home = tmp_path / "home"
    if not writable:  # files where the folders would have to be: no user, not even root, can write below them
        (tmp_path / "__pycache__").write_text("", encoding="utf-8")
        home.write_text("", encoding="utf-8")
    assert run(tmp_path, home) == ["42", "FunctionCache" if writable else "NullCache"]
    assert bool([*tmp_path.rglob("*.nbi")]) == writable
