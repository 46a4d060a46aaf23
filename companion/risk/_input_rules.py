"""Rules on the returns themselves: what is wrong with a feed is seen best before a model has squashed it.

A latent distance is blind to a feed that is frozen or a hundred times too quiet, for these look like a calm market. So
five statistics are taken of each return before the model sees it. They have no unit: a return is measured against the
volatility of the bars before it, and one strange bar counts in that volatility as no more than `CLIP` sigma, so that it
does not hide the next.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: The rules in the order of the last axis, and what an alarm of each means.
INPUT_RULES = {
    "invalid": "the return is not a finite number within ±10",
    "frozen": "the price does not move",
    "repeated": "the same move again and again",
    "jump": "a move far beyond recent volatility",
    "collapse": "volatility has all but vanished",
}
#: Three zeros or three repetitions in a row are needed for an alarm, even where calibration has seen none at all.
SHORTEST_RUN = 3
#: A log return beyond this is no return; a price given by mistake is the usual cause.
LARGEST_LOG_RETURN = 10.0
CLIP = 4.0
TOLERANCE = 1e-12  # two returns of the same prices differ by rounding only
SMALLEST_SIGMA = 1e-9


@dataclass(frozen=True)
class FeedState:
    """What the rules remember of each of n paths; every array has n rows."""

    n_bars: Floats
    square: Floats
    last: Floats
    zeros: Floats
    repeats: Floats
    recent: Floats


@dataclass(frozen=True)
class InputRules:
    """Statistics of a feed, one bar at a time or whole paths at once.

    Attributes
    ----------
    half_life : float
        Bars, of the exponentially weighted volatility that a return is measured against.
    window : int
        Bars over which a collapse of volatility is judged.
    warm_up : int
        Bars before "jump" and "collapse" speak: until then there is no volatility to compare with.
    """

    half_life: float = 10.0
    window: int = 5
    warm_up: int = 60

    def __post_init__(self) -> None:
        if not 0.0 < self.half_life < np.inf or self.window < 1 or self.warm_up < 1:
            raise ValueError(f"half_life, window and warm_up must be positive, got {self}")

    def start(self, n_paths: int) -> FeedState:
        """State before the first bar."""
        zero = np.zeros(n_paths)
        return FeedState(zero, zero, np.full(n_paths, np.inf), zero, zero, np.ones((n_paths, self.window)))

    def advance(self, returns: ArrayLike, state: FeedState) -> tuple[Floats, FeedState]:
        """Statistics of one more bar of returns (n_paths,) and the state after it; an invalid return changes no state.

        Returns
        -------
        statistics : ndarray of shape (n_paths, 5)
            In the order of `INPUT_RULES`: infinite where the return is invalid and else 0; zero returns in a row;
            repetitions of the last size in a row; size in units of the volatility before; how many times quieter than
            that volatility the last `window` bars were.
        state : FeedState
        """
        x = np.asarray(returns, dtype=np.float64)
        valid = np.abs(x) <= LARGEST_LOG_RETURN
        size = np.where(valid, np.abs(x), 0.0)
        decay = 0.5 ** (1.0 / self.half_life)
        warm = state.n_bars >= self.warm_up
        weight = np.maximum(1.0 - decay**state.n_bars, SMALLEST_SIGMA)
        sigma = np.maximum(np.sqrt(state.square / weight), SMALLEST_SIGMA)
        z = np.where(warm, size / sigma, 1.0)
        counted = np.where(warm, np.minimum(size, CLIP * sigma), size)
        after = FeedState(
            n_bars=state.n_bars + 1.0,
            square=decay * state.square + (1.0 - decay) * counted**2,
            last=size,
            zeros=np.where(size <= TOLERANCE, state.zeros + 1.0, 0.0),
            repeats=np.where(np.abs(size - state.last) <= TOLERANCE, state.repeats + 1.0, 0.0),
            recent=np.column_stack([state.recent[:, 1:], z * z]),
        )
        quieter = 1.0 / np.maximum(np.sqrt(after.recent.mean(axis=1)), SMALLEST_SIGMA)
        invalid = np.where(valid, 0.0, np.inf)
        loud, quiet = np.where(warm, z, 0.0), np.where(warm, quieter, 0.0)
        statistics = np.column_stack([invalid, after.zeros, after.repeats, loud, quiet])
        statistics[~valid, 1:] = 0.0
        return statistics, _where(valid, after, state)

    def statistics(self, log_returns: ArrayLike) -> Floats:
        """Statistics of whole paths, shape (…, n_bars, 5) for log returns (n_bars,) or (n_paths, n_bars).

        They are what `advance` gives bar by bar, so bar t depends on returns up to t only.
        """
        returns = np.asarray(log_returns, dtype=np.float64)
        if returns.ndim not in (1, 2) or returns.size == 0:
            raise ValueError(f"log_returns must have shape (n_bars,) or (n_paths, n_bars), got {returns.shape}")
        paths = np.atleast_2d(returns)
        state, out = self.start(len(paths)), np.empty((*paths.shape, len(INPUT_RULES)))
        for bar in range(paths.shape[1]):
            out[:, bar], state = self.advance(paths[:, bar], state)
        return out if returns.ndim == 2 else out[0]


def _where(valid: NDArray[np.bool_], after: FeedState, before: FeedState) -> FeedState:
    """The state after the bar on the paths where the return was valid, before it elsewhere."""
    if valid.all():
        return after
    chosen = {}
    for field in fields(FeedState):
        new, old = getattr(after, field.name), getattr(before, field.name)
        chosen[field.name] = np.where(valid if new.ndim == 1 else valid[:, None], new, old)
    return FeedState(**chosen)
