"""What every function that draws random numbers takes for a seed."""

import numpy as np


def check_seed(seed: int | np.random.Generator) -> None:
    """Refuse what is neither a non-negative integer nor a ``numpy.random.Generator`` with a `ValueError`."""
    if isinstance(seed, np.random.Generator):
        return
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be a non-negative integer or a numpy.random.Generator, got {seed!r}")
