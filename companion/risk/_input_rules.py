"""Rules on the returns themselves: what is wrong with a feed is seen best before a model has squashed it.

A latent distance is blind to a feed that is frozen or a hundred times too quiet, for these look like a calm market. So
five statistics are taken of each return before the model sees it. They have no unit: a return is measured against the
volatility of the bars before it, and one strange bar counts in that volatility as no more than `CLIP` sigma, so that it
does not hide the next.

They are written twice: for whole paths in arrays (`InputRules.statistics`), and for one live feed in plain floats
(`Feed`), where arrays of one number would cost fifty times as much. Both do the same operations in the same order, and
only such as have one right rounding, so that they agree to the last bit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import LARGEST_LOG_RETURN, check_count, decay
from companion.risk._decimal import as_float
from companion.risk._floats import Floats, as_floats

#: The rules in the order of the last axis, and what an alarm of each means.
INPUT_RULES = {
    "invalid": f"the return is not a finite number within ±{LARGEST_LOG_RETURN:g}",
    "frozen": "the price does not move",
    "repeated": "the same move again and again",
    "jump": "a move far beyond recent volatility",
    "collapse": "volatility has all but vanished",
}
#: Three zeros or three repetitions in a row are needed for an alarm, even where calibration has seen none at all.
SHORTEST_RUN = 3
CLIP = 4.0
TOLERANCE = 1e-12  # two returns of the same prices differ by rounding only
SMALLEST_SIGMA = 1e-9

Statistics = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class InputRules:
    """Statistics of a feed.

    Attributes
    ----------
    half_life : float
        Bars, of the exponentially weighted volatility that a return is measured against.
    window : int
        Bars over which a collapse of volatility is judged.
    warm_up : int
        Bars before "jump" and "collapse" speak: until then there is no volatility to compare with.

    Raises
    ------
    ValueError
        Names the setting that is not positive.
    """

    half_life: float = 10.0
    window: int = 5
    warm_up: int = 60

    def __post_init__(self) -> None:
        decay(self.half_life)
        check_count("window", self.window)
        check_count("warm_up", self.warm_up)

    def statistics(self, log_returns: ArrayLike) -> Floats:
        """Statistics of whole paths, shape (…, n_bars, 5) for log returns (n_bars,) or (n_paths, n_bars).

        In the order of `INPUT_RULES`: infinite where the return is invalid and else 0; zero returns in a row;
        repetitions of the last size in a row; size in units of the volatility before; how many times quieter than that
        volatility the last `window` bars were. An invalid return is as if it had not been. Bar t depends on returns up
        to t only.

        Raises
        ------
        ValueError
            If `log_returns` are a table, no numbers, or of another shape.
        """
        if hasattr(log_returns, "columns"):
            raise ValueError(
                "log_returns must be one series or an array of paths, got a table: give one of its columns"
            )
        returns = as_floats(log_returns, "log_returns")
        if returns.ndim not in (1, 2) or returns.size == 0:
            raise ValueError(f"log_returns must have shape (n_bars,) or (n_paths, n_bars), got {returns.shape}")
        out = self._of_paths(np.atleast_2d(returns))
        return out if returns.ndim == 2 else out[0]

    def _of_paths(self, paths: Floats) -> Floats:
        """Bar by bar what `Feed.update` does, for all paths at once."""
        keep, out = decay(self.half_life), np.zeros((*paths.shape, len(INPUT_RULES)))
        n_bars, square, fading = np.zeros(len(paths)), np.zeros(len(paths)), np.ones(len(paths))
        last, zeros, repeats = np.full(len(paths), np.inf), np.zeros(len(paths)), np.zeros(len(paths))
        recent = np.ones((self.window, len(paths)))
        for bar, x in enumerate(paths.T):
            valid = np.abs(x) <= LARGEST_LOG_RETURN
            out[~valid, bar, 0] = np.inf
            size, warm = np.where(valid, np.abs(x), 0.0), n_bars >= self.warm_up
            weight = np.maximum(1.0 - fading, SMALLEST_SIGMA)
            sigma = np.maximum(np.sqrt(square / weight), SMALLEST_SIGMA)
            z = np.where(warm, size / sigma, 1.0)
            counted = np.where(warm, np.minimum(size, CLIP * sigma), size)
            now = np.concatenate([recent[1:], (z * z)[None]])
            mean = now[0]
            for one in now[1:]:
                mean = mean + one
            quieter = 1.0 / np.maximum(np.sqrt(mean / self.window), SMALLEST_SIGMA)
            run = np.where(size <= TOLERANCE, zeros + 1.0, 0.0)
            same = np.where(np.abs(size - last) <= TOLERANCE, repeats + 1.0, 0.0)
            loud, quiet = np.where(warm, z, 0.0), np.where(warm, quieter, 0.0)
            for rule, value in enumerate((run, same, loud, quiet), start=1):
                out[:, bar, rule] = np.where(valid, value, 0.0)
            square = np.where(valid, keep * square + (1.0 - keep) * (counted * counted), square)
            fading, n_bars = np.where(valid, keep * fading, fading), n_bars + valid
            last, zeros, repeats = (
                np.where(valid, size, last),
                np.where(valid, run, zeros),
                np.where(valid, same, repeats),
            )
            recent = np.where(valid, now, recent)
        return out


class Feed:
    """What the rules remember of one live feed, and their statistics of its next return.

    Parameters
    ----------
    rules : InputRules
    """

    def __init__(self, rules: InputRules) -> None:
        self._rules, self._keep = rules, decay(rules.half_life)
        self.reset()

    def reset(self) -> None:
        """Forget every return."""
        self._n_bars = self._zeros = self._repeats = 0
        self._square, self._fading, self._last = 0.0, 1.0, math.inf
        self._recent = [1.0] * self._rules.window

    def update(self, log_return: float, factor: float = 1.0) -> Statistics:
        """Statistics of one more return, as `InputRules.statistics` has them; an invalid one is forgotten.

        Its volatility is judged in units of `factor`, that which is usual at its time of day over the average.
        """
        size = abs(as_float(log_return))
        if not size <= LARGEST_LOG_RETURN:
            return math.inf, 0.0, 0.0, 0.0, 0.0
        warm = self._n_bars >= self._rules.warm_up
        sigma = max(math.sqrt(self._square / max(1.0 - self._fading, SMALLEST_SIGMA)), SMALLEST_SIGMA)
        usual = size / factor
        z = usual / sigma if warm else 1.0
        counted = min(usual, CLIP * sigma) if warm else usual
        self._recent = recent = [*self._recent[1:], z * z]
        self._zeros = self._zeros + 1 if size <= TOLERANCE else 0
        self._repeats = self._repeats + 1 if abs(size - self._last) <= TOLERANCE else 0
        self._square = self._keep * self._square + (1.0 - self._keep) * (counted * counted)
        self._fading *= self._keep
        self._last = size
        self._n_bars += 1
        if not warm:
            return 0.0, float(self._zeros), float(self._repeats), 0.0, 0.0
        total = recent[0]
        for one in recent[1:]:  # not sum(), which rounds in another way since Python 3.12
            total += one
        quieter = 1.0 / max(math.sqrt(total / self._rules.window), SMALLEST_SIGMA)
        return 0.0, float(self._zeros), float(self._repeats), z, quieter

    def state(self) -> dict[str, Any]:
        """What is remembered, as plain JSON types, exactly."""
        return {
            "n_bars": self._n_bars,
            "square": self._square,
            "fading": self._fading,
            "last": self._last if self._n_bars else None,
            "zeros": self._zeros,
            "repeats": self._repeats,
            "recent": list(self._recent),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave; a `ValueError` if it is none, or one of rules with another window."""
        try:
            counts = [int(state[name]) for name in ("n_bars", "zeros", "repeats")]
            square, fading = float(state["square"]), float(state["fading"])
            last = math.inf if state["last"] is None else float(state["last"])
            recent = [float(value) for value in state["recent"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"state must be what state() of a monitor gave, got another: {error!r}") from error
        if len(recent) != self._rules.window:
            raise ValueError(f"state must be of rules with a window of {self._rules.window}, got one of {len(recent)}")
        (self._n_bars, self._zeros, self._repeats), self._recent = counts, recent
        self._square, self._fading, self._last = square, fading, last
