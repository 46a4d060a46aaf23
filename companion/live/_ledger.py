"""The account as its fills tell it: position, average price and balance, in exact amounts; no engine is asked."""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path
from typing import Self

from companion.errors import InputError
from companion.live._audit_read import read_audit
from companion.risk._decimal import ZERO

CENT = Decimal("1e-8")
"""Last decimal of a balance in USDT."""
_FILL = ("quantity", "price", "fee", "position", "balance")
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


class Ledger:
    """Position, average price and balance of one instrument and one currency.

    A balance has eight decimals, as that of an exchange and of the engine has: each gain is rounded to them when it is
    realized. The engine reckons gains in binary numbers, so that its balance and this one may differ by `CENT` a fill.

    Parameters
    ----------
    starting_balance : Decimal
        In the quote currency, before the first fill.

    Attributes
    ----------
    position : Decimal
        Signed quantity held, in the base currency.
    average_price : Decimal
        Average price at which the position was opened, zero where there is none.
    balance : Decimal
        Starting balance, gains that are realized, less fees; what is unrealized is not in it.
    n_fills : int
        Fills so far.

    Raises
    ------
    ValueError
        If the balance is not a finite Decimal.
    """

    def __init__(self, starting_balance: Decimal) -> None:
        _check(starting_balance=starting_balance)
        self.balance = starting_balance
        self.position = self.average_price = ZERO
        self.n_fills = 0

    def on_fill(self, quantity: Decimal, price: Decimal, fee: Decimal) -> None:
        """Take one fill: the part that closes realizes its gain, the part that opens moves the average price.

        Parameters
        ----------
        quantity : Decimal
            Signed, positive when bought, in the base currency.
        price : Decimal
        fee : Decimal
            In the quote currency, negative for a rebate.

        Raises
        ------
        ValueError
            If one is not a finite Decimal, the quantity is zero or the price is not positive.
        """
        _check(quantity=quantity, price=price, fee=fee)
        if not quantity or price <= 0:
            raise ValueError(f"quantity and price must be a fill's, not zero, got {quantity} at {price}")
        closing = ZERO
        if quantity * self.position < 0:
            closing = min(abs(quantity), abs(self.position)).copy_sign(quantity)
        opening = quantity - closing
        gain = _EXACT.multiply(_EXACT.subtract(self.average_price, price), closing)
        self.balance += gain.quantize(CENT, context=_EXACT) - fee
        self.position += closing
        if opening:
            value = _EXACT.fma(self.average_price, self.position, _EXACT.multiply(price, opening))
            self.position += opening
            self.average_price = _EXACT.divide(value, self.position)
        elif not self.position:
            self.average_price = ZERO
        self.n_fills += 1

    def unrealized(self, price: Decimal) -> Decimal:
        """What closing the position at a price would gain, before fees."""
        return _EXACT.multiply(_EXACT.subtract(price, self.average_price), self.position)

    def equity(self, price: Decimal) -> Decimal:
        """Balance and what is unrealized at a price."""
        return self.balance + self.unrealized(price)

    @classmethod
    def from_audit(cls, path: str | Path, starting_balance: Decimal) -> Self:
        """The ledger after all fills of an audit log, whatever number of sessions wrote them.

        Raises
        ------
        InputError
            If the log is damaged, or a line differs from what the fills before it add up to.
        """
        ledger = cls(starting_balance)
        for line in read_audit(path):
            if line.kind != "fill":
                continue
            quantity, price, fee, position, balance = (Decimal(line.content[name]) for name in _FILL)
            ledger.on_fill(quantity, price, fee)
            if (ledger.position, ledger.balance) != (position, balance):
                raise InputError(
                    f"{path}: line {line.n} says position {position} and balance {balance}, but its fills add up to "
                    f"{ledger.position} and {ledger.balance}; begin with the balance that the log began with"
                )
        return ledger


def _check(**amounts: Decimal) -> None:
    for name, amount in amounts.items():
        if not isinstance(amount, Decimal) or not amount.is_finite():
            raise ValueError(f"{name} must be a finite Decimal, got {amount!r}")
