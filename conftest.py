"""Loads the notebook tests' pytest plugin, so that `pytest --nbval` compares every output within a tolerance."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "tests" / "notebooks"))

pytest_plugins = ["tolerant_nbval"]


@pytest.fixture(autouse=True)
def _same_weights_in_every_run():
    """A network that a test makes without a seed has PyTorch's global one, which is otherwise another each time."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
