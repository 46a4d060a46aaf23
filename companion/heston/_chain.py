"""The Markov chain of the regimes: a stochastic matrix, and the law that it keeps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def check_transition(transition: Any, n_regimes: int) -> NDArray[np.float64]:
    """`transition` as a read-only stochastic matrix of `n_regimes` rows; else a `ValueError`."""
    try:
        matrix = np.array(transition, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"transition must be a matrix of numbers: {error}") from error
    if matrix.shape != (n_regimes, n_regimes):
        raise ValueError(f"transition must have shape ({n_regimes}, {n_regimes}), got {matrix.shape}")
    if not np.all((matrix >= 0) & (matrix <= 1)):
        raise ValueError(f"transition must hold probabilities in [0, 1], got {matrix.tolist()}")
    if not np.allclose(matrix.sum(axis=1), 1.0, rtol=0, atol=1e-9):
        raise ValueError(f"transition must have rows that sum to 1, got sums {matrix.sum(axis=1).tolist()}")
    matrix.flags.writeable = False
    return matrix


def stationary_law(transition: NDArray[np.float64]) -> NDArray[np.float64]:
    """The law that the chain keeps: ``pi @ transition = pi``, ``sum(pi) = 1``."""
    n = len(transition)
    equations = np.vstack([transition.T - np.eye(n), np.ones(n)])
    law, _, rank, _ = np.linalg.lstsq(equations, np.append(np.zeros(n), 1.0), rcond=None)
    if rank < n:
        raise ValueError(f"transition must have a single stationary law, got {transition.tolist()}")
    law = np.maximum(law, 0.0)
    return law / law.sum()
