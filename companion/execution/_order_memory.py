"""What the rules on orders remember: events within a window, and the market of the last minutes.

Time comes in as an argument, in nanoseconds, so that both run in a backtest as they do live.
"""

from collections import deque
from decimal import Decimal

from companion._checks import check_positive

SECOND_NS = 1_000_000_000
#: Samples of the market a period: its start is then known to within a twentieth.
SAMPLES_PER_PERIOD = 20


class SlidingCount:
    """Number of events within the last `window_s` seconds.

    Parameters
    ----------
    window_s : float
        Length of the window; an event leaves it when it is that old.

    Raises
    ------
    ValueError
        If the window is not a positive finite number.
    """

    def __init__(self, window_s: float) -> None:
        self._window_ns = round(check_positive("window_s", window_s) * SECOND_NS)
        self._times: deque[int] = deque()

    def add(self, now_ns: int, n: int = 1) -> None:
        """Count `n` events at one time."""
        self._times.extend([now_ns] * n)
        self.count(now_ns)

    def count(self, now_ns: int) -> int:
        """Events within the window that ends now."""
        times, gone = self._times, now_ns - self._window_ns
        while times and times[0] <= gone:
            times.popleft()
        return len(times)

    def clear(self) -> None:
        """Begin again."""
        self._times.clear()


class MarketMemory:
    """The mid and the smaller size at the touch, sampled twenty times a period and kept for one.

    Parameters
    ----------
    period_s : float
        How far back the memory reaches. After a gap in the quotes it keeps the last sample before the gap.

    Attributes
    ----------
    due_ns : int
        Time of the next sample; a quote before it is not needed.
    mid_before : Decimal or None
        Mid a period ago; that of the oldest sample where the memory is younger, None where it is empty.
    usual_size : Decimal or None
        Mean of the smaller size at the touch, None where the memory is empty.

    Raises
    ------
    ValueError
        If the period is not a positive finite number.
    """

    def __init__(self, period_s: float) -> None:
        self._period_ns = round(check_positive("period_s", period_s) * SECOND_NS)
        self._samples: deque[tuple[int, Decimal, Decimal]] = deque()
        self._sizes = Decimal(0)
        self.due_ns = 0
        self.mid_before: Decimal | None = None
        self.usual_size: Decimal | None = None

    def sample(self, now_ns: int, *, mid: Decimal, size: Decimal) -> None:
        """Take a sample."""
        samples = self._samples
        samples.append((now_ns, mid, size))
        self._sizes += size
        while len(samples) > 1 and samples[1][0] <= now_ns - self._period_ns:
            self._sizes -= samples.popleft()[2]
        self.due_ns = now_ns + self._period_ns // SAMPLES_PER_PERIOD
        self.mid_before = samples[0][1]
        self.usual_size = self._sizes / len(samples)
