"""What halts a strategy until a person lifts it: a loss, a missing volatility, a desk that fails. Knows no engine."""

import math
from decimal import Decimal

from companion.risk import DailyLossLimit


class Breaker:
    """Latched; it remembers the first reason to halt, and whether the strategy has to stop as well.

    Parameters
    ----------
    max_daily_loss : Decimal or None
        Share of the equity that a day began with; None watches no equity.
    grace_bars : int
        Bars in succession without a volatility that are borne; one more halts and stops.

    Attributes
    ----------
    halted : str or None
        Why trading is halted.
    stops : bool
        Whether the strategy stops once it holds nothing: what it decides with is gone, not only money.
    """

    def __init__(self, *, max_daily_loss: Decimal | None, grace_bars: int) -> None:
        self.halted: str | None = None
        self.stops = False
        self._daily_loss = None if max_daily_loss is None else DailyLossLimit(max_daily_loss)
        self._grace_bars = grace_bars
        self._n_without: int | None = None  # None until the first volatility: a warm-up is no fault

    @property
    def must_flatten(self) -> str | None:
        """Why nothing may be held now, halted or not; None where something may."""
        return self.halted or (f"no volatility for {self._n_without} bars" if self._n_without else None)

    def trip(self, reason: str, *, stops: bool) -> None:
        """Halt; a reason that is there already stays, a stop adds to it."""
        self.halted, self.stops = self.halted or reason, self.stops or stops

    def watch_equity(self, equity: Decimal | None, day: str) -> None:
        """Judge the equity; one that is missing, zero or negative halts too."""
        if self._daily_loss is not None and not (reading := self._daily_loss.check_equity(equity, day)):
            self.trip(reading.reason, stops=False)

    def watch_volatility(self, sigma_bar: float) -> None:
        """Judge the volatility of one more bar: finite and positive, or missing."""
        if math.isfinite(sigma_bar) and sigma_bar > 0.0:
            self._n_without = 0
        elif self._n_without is not None:
            self._n_without += 1
            if self._n_without > self._grace_bars:
                self.trip(f"no volatility for {self._n_without} bars, {self._grace_bars} are borne", stops=True)

    def lift(self, *, reason: str) -> None:
        """Begin anew; a loss is measured from the next equity on.

        Raises
        ------
        ValueError
            If `reason` is empty.
        """
        if not (isinstance(reason, str) and reason.strip()):
            raise ValueError(f"reason must say why the halt is lifted, got {reason!r}")
        if self._daily_loss is not None:
            self._daily_loss.reset(reason=reason)
        self.halted, self.stops, self._n_without = None, False, None
