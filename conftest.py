"""Loads the plugins of the tests: Dask in processes, and `pytest --nbval` that compares within a tolerance."""

import gc
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).parent / "tests"
sys.path[:0] = [str(TESTS / room) for room in ("notebooks", "runs")]

pytest_plugins = ["dask_processes", "tolerant_nbval"]


def pytest_collection_finish() -> None:
    """Thousands of tests live to the end: no search for garbage among those of a test need walk through them."""
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _same_weights_in_every_run():
    """A network that a test makes without a seed has PyTorch's global one, which is otherwise another each time."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def load_script() -> Callable[[str], ModuleType]:
    """Import a script of `book/`, which is in no package, by its name."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / "book" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
