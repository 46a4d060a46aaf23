"""What every part of this room takes for log returns."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int8]

#: A log return beyond this is no return; a price given by mistake is the usual cause. As in `heston.bayes_filter`.
LARGEST_LOG_RETURN = 10.0


def as_paths(X: ArrayLike, *, name: str = "X") -> tuple[Floats, bool]:
    """Log returns as float64 of shape (n_paths, n_bars), and whether they came as one path of shape (n_bars,).

    Raises
    ------
    ValueError
        When the shape is another, there is no bar, or a value is not finite or too large for a log return; the message
        calls the argument `name`.
    """
    try:
        given = np.asarray(X)
        returns = given.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from error
    if given.dtype.kind not in "fiuO":  # numpy would read text, and take a bool for 0 or 1
        raise ValueError(f"{name} is not an array of numbers but of {given.dtype}")
    if returns.ndim not in (1, 2):
        raise ValueError(f"{name} has shape {returns.shape}: give log returns of shape (n_bars,) or (n_paths, n_bars)")
    if returns.size == 0:
        raise ValueError(f"{name} has shape {returns.shape}: there is no bar")
    bad = np.argwhere(~(np.abs(returns) <= LARGEST_LOG_RETURN))
    if len(bad):
        where, value = tuple(int(i) for i in bad[0]), returns[tuple(bad[0])]
        raise ValueError(f"{name}{list(where)} = {value}: a log return is a number between ±{LARGEST_LOG_RETURN:g}")
    return np.atleast_2d(returns), returns.ndim == 1
