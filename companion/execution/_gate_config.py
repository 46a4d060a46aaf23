"""Settings and answers of the liquidity gate: when a market is abnormal, and when a quote is none."""

from dataclasses import dataclass
from typing import NamedTuple

from companion._checks import check_count, check_finite, check_positive
from companion.execution._modes import TradingMode


@dataclass(frozen=True)
class GateConfig:
    """When a `LiquidityGate` closes and when it opens again.

    The spread is wide above ``median + k * max(1.4826 * MAD, floor * median)`` of the baseline, with `k_enter` while
    the market is calm and `k_leave` until it is calm again. By default, on a market whose spread is always one tick,
    that is from five ticks on, until it is back at two.

    A lasting change is usual, and the gate opens again, after half of the `window` and `calm_s`: 30.5 minutes by
    default. A shorter shock leaves the threshold within reach of the usual spreads, so that the next one is seen.

    Attributes
    ----------
    window : int
        Samples in the baseline, at least 2.
    sample_s : float
        One sample is taken each so many seconds, so that the baseline spans a time and not a number of quotes.
    warm_up : int
        Samples before the gate is open for the first time, 1 to `window`.
    k_enter : float
        Deviations from the median above which a spread is wide.
    k_leave : float
        Deviations to which it must come back, at most `k_enter`.
    floor : float
        Smallest deviation that counts, as a share of the median. Most perpetuals quote one tick all day: their
        deviation is zero, and without a floor two ticks would be infinitely many. With .1, two ticks are wide.
    size_enter : float
        Size of the smaller side below which the book is thin, in the base currency; 0 for no such limit.
    size_leave : float
        Size to which it must come back, at least `size_enter`.
    calm_s : float
        Seconds without a wide, thin or bad quote before the gate opens again.
    max_age_s : float
        Age beyond which a quote is stale, in seconds.
    max_frozen_s : float
        Seconds for which a quote may be repeated to the last digit.

    Raises
    ------
    ValueError
        Names the setting that is out of range.
    """

    window: int = 720
    sample_s: float = 5.0
    warm_up: int = 12
    k_enter: float = 7.0
    k_leave: float = 3.0
    floor: float = 0.5
    size_enter: float = 0.0
    size_leave: float = 0.0
    calm_s: float = 30.0
    max_age_s: float = 10.0
    max_frozen_s: float = 60.0

    def __post_init__(self) -> None:
        if check_count("window", self.window) < 2:
            raise ValueError(f"window must be at least 2, got {self.window}")
        if check_count("warm_up", self.warm_up) > self.window:
            raise ValueError(f"warm_up must be at most the window of {self.window}, got {self.warm_up}")
        for name in ("sample_s", "k_enter", "k_leave", "floor", "max_age_s", "max_frozen_s"):
            check_positive(name, getattr(self, name))
        for name in ("size_enter", "size_leave", "calm_s"):
            if check_finite(name, getattr(self, name)) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)!r}")
        if self.k_leave > self.k_enter:
            raise ValueError(f"k_leave must be at most the k_enter of {self.k_enter}, got {self.k_leave}")
        if self.size_leave < self.size_enter:
            raise ValueError(f"size_leave must be at least the size_enter of {self.size_enter}, got {self.size_leave}")


class GateReading(NamedTuple):
    """One answer of the gate.

    Attributes
    ----------
    mode : TradingMode
        HALTED where there is no quote to trust, REDUCING where the market is abnormal, else ACTIVE.
    reasons : tuple of str
        Why it is not ACTIVE. Each begins with a word and a colon: missing, invalid, crossed, stub, clock, stale and
        frozen halt; warm-up, wide, thin and settling reduce.
    spread : float
        Of the last quote, in the quote currency; NaN where that is bad.
    threshold : float
        Above it the spread is wide now; NaN during warm-up.
    age_s : float
        Seconds since the last quote; NaN before the first sound one.
    """

    mode: TradingMode
    reasons: tuple[str, ...]
    spread: float
    threshold: float
    age_s: float
