"""Loads the notebook tests' pytest plugin, so that `pytest --nbval` compares every output within a tolerance."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tests" / "notebooks"))

pytest_plugins = ["tolerant_nbval"]
