"""Limits on orders and on equity.

An order limit is a number derived from what the market can take and the account can lose. A limit on equity is a latch:
it is told the equity bar by bar, trips when a loss is too large, and stays tripped until somebody calls `reset`. It
knows no clock and no file: the day is an argument, and `state` and `restore` are for who stores it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from decimal import Decimal, DecimalException
from typing import Any, NamedTuple

from companion.risk._decimal import UP, ZERO, Amount, is_amount, multiply_down, require_share, to_decimal
from companion.risk._posture import Posture


def max_order_qty_from_liquidity(L_bar: Decimal | Amount, rho: Decimal | float) -> Decimal:
    """Largest order: a share of what usually stands at the top of the book, ``rho * L_bar``.

    Parameters
    ----------
    L_bar : Decimal or amount
        Typical min(bid size, ask size), in the base currency.
    rho : Decimal or float
        Share in (0, 1); .01 to .05 is customary.
    """
    return _share_of(L_bar, rho, "L_bar", "rho")


def max_notional_per_order_from_equity(equity: Decimal | Amount, eta: Decimal | float) -> Decimal:
    """Largest notional of one order: a share `eta` in (0, 1) of equity; .001 to .01 is customary."""
    return _share_of(equity, eta, "equity", "eta")


def max_daily_loss_from_starting_equity(starting_equity: Decimal | Amount, delta: Decimal | float) -> Decimal:
    """Largest loss of a day: a share `delta` in (0, 1) of the equity it began with; .01 to .03 is customary."""
    return _share_of(starting_equity, delta, "starting_equity", "delta")


class LimitReading(NamedTuple):
    """One answer of a limit on equity; true only when safe.

    Attributes
    ----------
    safe : bool
        Whether the limit holds and has held since the last reset.
    reason : str
        "safe", or why the limit tripped.
    distance : Decimal
        Loss as a share of the equity it is measured from, rounded up; NaN where the equity is no amount.
    threshold : Decimal
        The largest loss that is safe.
    rule : str
        "drawdown" or "daily loss".
    posture : Posture
        What to do: `Posture.NORMAL` while safe.
    """

    safe: bool
    reason: str
    distance: Decimal
    threshold: Decimal
    rule: str
    posture: Posture

    def __bool__(self) -> bool:
        """Whether it is safe: a tuple would be true on every alarm."""
        return self.safe


class _LatchedLimit(ABC):
    """A largest loss from a reference equity, latched."""

    rule: str

    def __init__(self, largest: Decimal | float, name: str, posture: Posture) -> None:
        self.threshold = require_share(largest, name)
        self.posture = Posture(posture)
        if self.posture is Posture.NORMAL:
            raise ValueError("posture must be one that acts, got Posture.NORMAL: freeze, shrink only or flatten")
        self.tripped: str | None = None
        self._reference: Decimal | None = None
        self._day: str | None = None

    @abstractmethod
    def _measured_from(self, equity: Decimal, before: Decimal | None, *, new_day: bool) -> Decimal:
        """Equity that the loss of this bar is measured from; None before the first."""

    def _check(self, equity: Decimal | Amount | None, day: str | None) -> LimitReading:
        amount = ZERO if equity is None else to_decimal(equity, "equity")
        if is_amount(amount):
            start = self._measured_from(amount, self._reference, new_day=day != self._day)
            self._reference, self._day = start, day
            loss = UP.divide(UP.subtract(start, amount), start) if amount < start else ZERO
            reason = None
            if loss > self.threshold:
                reason = f"{self.rule} of {float(loss):.2%} is beyond {float(self.threshold):.2%}"
        else:
            loss, reason = Decimal("NaN"), f"the equity is not an amount: {equity}"
        self.tripped = self.tripped or reason
        posture = self.posture if self.tripped else Posture.NORMAL
        return LimitReading(not self.tripped, self.tripped or "safe", loss, self.threshold, self.rule, posture)

    def reset(self, *, reason: str) -> None:
        """Lift the latch and measure from the next equity on. Who does it says why.

        Raises
        ------
        ValueError
            If `reason` is empty.
        """
        if not (isinstance(reason, str) and reason.strip()):
            raise ValueError(f"reason must say why the {self.rule} limit is lifted, got {reason!r}")
        self.tripped = self._reference = None

    def state(self) -> dict[str, Any]:
        """What the limit remembers, as plain JSON types, exactly; `restore` takes it back."""
        reference = None if self._reference is None else str(self._reference)
        return {"rule": self.rule, "tripped": self.tripped, "reference": reference, "day": self._day}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises
        ------
        ValueError
            If it is the state of another limit, or no state at all.
        """
        try:
            rule, tripped, stored, day = (state[name] for name in ("rule", "tripped", "reference", "day"))
            reference = None if stored is None else Decimal(stored)
        except (KeyError, TypeError, ValueError, DecimalException) as error:
            raise ValueError(f"state must be what state() of a limit gave, got another: {error!r}") from error
        texts = all(text is None or isinstance(text, str) for text in (tripped, day))
        if rule != self.rule or not texts or not (reference is None or is_amount(reference)):
            raise ValueError(f"state must be that of a {self.rule} limit, got {dict(state)}")
        self.tripped, self._reference, self._day = tripped, reference, day


class DrawdownBreaker(_LatchedLimit):
    """Trips when equity falls too far below its highest since the start or the last reset: a trailing drawdown.

    Parameters
    ----------
    max_drawdown : Decimal or float
        Largest drawdown that is safe, a share in (0, 1).
    posture : Posture
        What a desk does once it has tripped. By default it flattens: a strategy that has lost this much is not the
        one that was tested, and every position it keeps can lose more.

    Attributes
    ----------
    tripped : str or None
        Why it tripped.
    threshold : Decimal
        `max_drawdown`.

    Raises
    ------
    ValueError
        If the share is not between 0 and 1, or the posture would do nothing.
    """

    rule = "drawdown"

    def __init__(self, max_drawdown: Decimal | float, *, posture: Posture = Posture.FLATTEN) -> None:
        super().__init__(max_drawdown, "max_drawdown", posture)

    def check_equity(self, equity: Decimal | Amount | None, day: object = None) -> LimitReading:
        """Judge the equity of one more bar; one that is no amount (None, NaN, zero, negative) trips the breaker.

        `day` is not used; with it both limits are called alike.
        """
        return self._check(equity, None)

    def _measured_from(self, equity: Decimal, before: Decimal | None, *, new_day: bool) -> Decimal:
        return equity if before is None else max(before, equity)


class DailyLossLimit(_LatchedLimit):
    """Trips when a day has lost too much of the equity it began with.

    It stays tripped on the days after, too, until somebody calls `reset`; a new day only sets a new start.

    Parameters
    ----------
    max_loss : Decimal or float
        Largest loss that is safe, a share in (0, 1) of the day's first equity.
    posture : Posture
        What a desk does once it has tripped. By default it flattens: to freeze would keep the very position that is
        losing, and the loss of the day would have no bound.

    Attributes
    ----------
    tripped : str or None
        Why it tripped.
    threshold : Decimal
        `max_loss`.

    Raises
    ------
    ValueError
        If the share is not between 0 and 1, or the posture would do nothing.
    """

    rule = "daily loss"

    def __init__(self, max_loss: Decimal | float, *, posture: Posture = Posture.FLATTEN) -> None:
        super().__init__(max_loss, "max_loss", posture)

    def check_equity(self, equity: Decimal | Amount | None, day: object) -> LimitReading:
        """Judge the equity of one more bar; one that is no amount (None, NaN, zero, negative) trips the limit.

        Parameters
        ----------
        equity : Decimal or amount
        day : date or str
            The day of the bar, such as its date or "2024-05-31". Another one than before begins a new day.

        Raises
        ------
        ValueError
            If `day` is None or has a time of day, which would make each bar a day of its own.
        """
        text = "" if day is None else str(day)
        if not text or ":" in text:
            raise ValueError(f"day must be a date, such as bar_time.date(), got {day!r}")
        return self._check(equity, text)

    def _measured_from(self, equity: Decimal, before: Decimal | None, *, new_day: bool) -> Decimal:
        return equity if before is None or new_day else before


def _share_of(amount: Decimal | Amount, share: Decimal | float, amount_name: str, share_name: str) -> Decimal:
    """A share of an amount, rounded down. An amount that is not finite, not positive or absurd allows nothing: 0."""
    exact_share, exact_amount = require_share(share, share_name), to_decimal(amount, amount_name)
    return multiply_down(exact_share, exact_amount) if is_amount(exact_amount) else ZERO
