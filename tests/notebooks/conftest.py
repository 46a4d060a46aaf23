"""What the notebook tests share."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def refresh_tool() -> ModuleType:
    """`book/refresh.py`, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("refresh", ROOT / "book" / "refresh.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
