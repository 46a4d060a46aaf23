"""What is usual, in two order statistics that a few wild values can not move: a rolling median and its deviation."""

import math
from bisect import bisect_left, insort
from collections import deque


class RollingMedian:
    """Median and median absolute deviation of the last `window` values, without any rounding.

    Both are values of the sample or the difference of two, the upper one where the count is even. As long as fewer than
    half of the values are wild, neither can leave the range of the others, however wild they are: no statistic has a
    higher breakdown point (Rousseeuw & Croux 1993). A value costs one insertion into a sorted list.

    Parameters
    ----------
    window : int
        Number of values, at least 1.
    """

    def __init__(self, window: int) -> None:
        self._arrived: deque[float] = deque()
        self._sorted: list[float] = []
        self._window = window
        self._run = 0  # where the values nearest to the median began at last

    def __len__(self) -> int:
        """Number of values in the window."""
        return len(self._sorted)

    def values(self) -> list[float]:
        """What the window holds, oldest first."""
        return list(self._arrived)

    def update(self, x: float) -> None:
        """Take the next finite value; the oldest leaves a full window."""
        self._arrived.append(x)
        insort(self._sorted, x)
        if len(self._arrived) > self._window:
            del self._sorted[bisect_left(self._sorted, self._arrived.popleft())]

    def median_mad(self) -> tuple[float, float]:
        """Median, and median of the distances from it, not scaled; NaN of no value.

        The k values nearest to the median stand side by side in sorted order. While such a run moves to the right, its
        left end comes nearer and its right end goes away, and it need only move as far as a value has shifted it.
        """
        values, n = self._sorted, len(self._sorted)
        if not n:
            return math.nan, math.nan
        k = n // 2 + 1
        median, run = values[k - 1], min(self._run, n - k)
        while run < n - k and values[run + k] - median < median - values[run]:
            run += 1
        while run and median - values[run - 1] <= values[run + k - 1] - median:
            run -= 1
        self._run = run
        return median, max(median - values[run], values[run + k - 1] - median)
