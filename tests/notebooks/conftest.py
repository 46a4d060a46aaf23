"""What the notebook tests share."""

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def refresh_tool(load_script: Callable[[str], ModuleType]) -> ModuleType:
    """`book/refresh.py`."""
    return load_script("refresh")
