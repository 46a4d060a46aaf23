"""Position and equity at any time, from fills and quotes alone: no engine is asked."""

from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from companion.execution import Quotes, funding_payment
from companion.execution.nautilus._result_records import FillRecord, FundingRecord
from companion.risk._decimal import ZERO

CENT = Decimal("1e-8")
"""Last decimal of a balance in USDT."""
RATE_DIGITS = 8
"""Decimals in which an exchange publishes a funding rate."""


class Ledger:
    """Cash flows of fills, and what is held marked at the quotes.

    Parameters
    ----------
    fills : sequence of FillRecord
        In order of time.
    quotes : Quotes
        In order of time.
    starting_balance : Decimal
    price_digits : int
        Decimals of a price.
    """

    def __init__(
        self, fills: Sequence[FillRecord], quotes: Quotes, *, starting_balance: Decimal, price_digits: int
    ) -> None:
        self._times = [fill.time_ns for fill in fills]
        self._held = [ZERO, *accumulate(fill.quantity for fill in fills)]
        flows = (-fill.quantity * fill.price - fill.fee for fill in fills)
        self._cash = list(accumulate(flows, initial=starting_balance))
        self._quotes, self._digits = quotes, price_digits

    def held(self, time_ns: int) -> Decimal:
        """Signed quantity held after all fills up to a time."""
        return self._held[bisect_right(self._times, time_ns)]

    def equity(self, time_ns: int) -> Decimal:
        """Balance and unrealized result: a long is marked at the bid, a short at the ask. Funding is not in it."""
        held, book = self.held(time_ns), self.book(time_ns)
        cash = self._cash[bisect_right(self._times, time_ns)]
        return cash if book is None else cash + held * book[0 if held > 0 else 1]

    def book(self, time_ns: int) -> tuple[Decimal, Decimal] | None:
        """Bid and ask of the last quote up to a time; None before the first."""
        last = int(np.searchsorted(self._quotes.time_ns, time_ns, side="right")) - 1
        return None if last < 0 else (self._price(self._quotes.bid[last]), self._price(self._quotes.ask[last]))

    def mid(self, time_ns: int) -> Decimal | None:
        """Mid of that quote."""
        book = self.book(time_ns)
        return None if book is None else sum(book, ZERO) / 2

    def funding(self, times_ns: NDArray[np.int64], rates: NDArray[np.float64]) -> tuple[FundingRecord, ...]:
        """Payments at the funding times, on what is held then; none before the first quote."""
        return tuple(
            self._payment(time_ns, rate)
            for time_ns, rate in zip(times_ns.tolist(), rates.tolist(), strict=True)
            if self.book(time_ns) is not None
        )

    def _payment(self, time_ns: int, rate: float) -> FundingRecord:
        held, mid, rate = self.held(time_ns), self.mid(time_ns) or ZERO, round(rate, RATE_DIGITS)
        paid = -funding_payment(held, mid, rate).quantize(CENT)
        return FundingRecord(time_ns, Decimal(f"{rate:.{RATE_DIGITS}f}"), held, mid, paid)

    def _price(self, price: float) -> Decimal:
        return Decimal(f"{price:.{self._digits}f}")
