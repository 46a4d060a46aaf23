"""What halts a strategy until a person lifts it: a loss, a missing volatility, a desk that fails. Knows no engine."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

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
    cause : str
        Of that halt: "daily_loss", "fault" where what it decides with is gone, "order" where somebody asked for it.
    stops : bool
        Whether the strategy stops once it holds nothing: what it decides with is gone, not only money.
    """

    def __init__(self, *, max_daily_loss: Decimal | None, grace_bars: int) -> None:
        self.halted: str | None = None
        self.cause = ""
        self.stops = False
        self._daily_loss = None if max_daily_loss is None else DailyLossLimit(max_daily_loss)
        self._grace_bars = grace_bars
        self._n_without: int | None = None  # None until the first volatility: a warm-up is no fault

    @property
    def must_flatten(self) -> str | None:
        """Why nothing may be held now, halted or not; None where something may."""
        return self.halted or (f"no volatility for {self._n_without} bars" if self._n_without else None)

    def trip(self, reason: str, *, cause: str, stops: bool) -> None:
        """Halt; a reason that is there already stays, a stop adds to it."""
        if self.halted is None:
            self.halted, self.cause = reason, cause
        self.stops = self.stops or stops

    def watch_equity(self, equity: Decimal | None, day: str) -> None:
        """Judge the equity; one that is missing, zero or negative halts too."""
        if self._daily_loss is not None and not (reading := self._daily_loss.check_equity(equity, day)):
            self.trip(reading.reason, cause="daily_loss", stops=False)

    def watch_volatility(self, sigma_bar: float) -> None:
        """Judge the volatility of one more bar: finite and positive, or missing."""
        if math.isfinite(sigma_bar) and sigma_bar > 0.0:
            self._n_without = 0
        elif self._n_without is not None:
            self._n_without += 1
            if self._n_without > self._grace_bars:
                reason = f"no volatility for {self._n_without} bars, {self._grace_bars} are borne"
                self.trip(reason, cause="fault", stops=True)

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
        self.halted, self.cause, self.stops, self._n_without = None, "", False, None

    def state(self) -> dict[str, Any]:
        """What must outlast a restart, as plain JSON types."""
        return {
            "halted": self.halted,
            "cause": self.cause,
            "stops": self.stops,
            "n_without": self._n_without,
            "daily_loss": None if self._daily_loss is None else self._daily_loss.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave: only a person lifts a halt, and a restart is none.

        Raises
        ------
        ValueError
            If it is no such state, or one with another set of limits.
        """
        try:
            halted, cause, stops, n_without, loss = (
                state[name] for name in ("halted", "cause", "stops", "n_without", "daily_loss")
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"state must be what state() of a strategy gave, got another: {error!r}") from error
        texts = isinstance(halted, str | None) and isinstance(cause, str) and isinstance(stops, bool)
        if not (texts and isinstance(n_without, int | None) and (loss is None) == (self._daily_loss is None)):
            raise ValueError(f"state must be that of a strategy with the same limits, got {dict(state)}")
        if self._daily_loss is not None:
            self._daily_loss.restore(loss)
        self.halted, self.cause, self.stops, self._n_without = halted, cause, stops, n_without
