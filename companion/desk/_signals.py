"""What the desk bets on: a signal Z in [-3, 3], from the bars so far."""

import math
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

from companion._checks import check_count, check_finite
from companion.risk import SignalNormalizer
from companion.risk._sizing import Z_MAX


class Signal(ABC):
    """A causal signal: Z after each close; NaN, which is flat, while there is none."""

    @abstractmethod
    def update(self, close: float) -> float:
        """Z after one more close, positive and finite."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What it remembers, as JSON types."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""


class AlwaysLong(Signal):
    """The same Z at every bar: a view on the market as a whole, which the regime then dims.

    Parameters
    ----------
    z : float, default=1.0
        Between -3 and 3.
    """

    def __init__(self, z: float = 1.0) -> None:
        self.z = check_finite("z", z)
        if abs(self.z) > Z_MAX:
            raise ValueError(f"z must lie between -{Z_MAX:g} and {Z_MAX:g}, got {z!r}")

    def __repr__(self) -> str:
        return f"AlwaysLong({self.z!r})"

    def update(self, close: float) -> float:
        """`z`."""
        return self.z

    def state(self) -> dict[str, Any]:
        """Nothing is remembered."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing is remembered."""


class Momentum(Signal):
    """Log return over the last `lookback` bars, against what it was in the `window` bars before (chapter 11).

    Parameters
    ----------
    lookback : int, default=60
        Bars the return is taken over.
    window : int, default=252
        Earlier values that make the baseline; see `SignalNormalizer`.
    """

    def __init__(self, lookback: int = 60, window: int = 252) -> None:
        self.lookback, self.window = check_count("lookback", lookback), window
        self._normalizer = SignalNormalizer(window)
        self._closes: deque[float] = deque(maxlen=lookback + 1)

    def __repr__(self) -> str:
        return f"Momentum({self.lookback!r}, {self.window!r})"

    def update(self, close: float) -> float:
        """Z of the return; NaN until lookback and baseline are full."""
        self._closes.append(close)
        if len(self._closes) <= self.lookback:
            return math.nan
        return self._normalizer.update(math.log(close / self._closes[0]))

    def state(self) -> dict[str, Any]:
        """The closes of the lookback, and the baseline."""
        return {"closes": list(self._closes), "baseline": self._normalizer.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self._closes = deque((float(close) for close in state["closes"]), maxlen=self.lookback + 1)
        self._normalizer.restore(state["baseline"])
