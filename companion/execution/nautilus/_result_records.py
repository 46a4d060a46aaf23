"""What is kept of an execution: an order, a fill, a refusal, a change of mode, a target, a funding payment."""

from dataclasses import dataclass
from decimal import Decimal

BASIS_POINTS = Decimal(10_000)
BASIS_POINT_DIGITS = 6


@dataclass(frozen=True)
class OrderRecord:
    """One order, as it was sent and as it ended.

    Attributes
    ----------
    time_ns : int
        When it was made, in nanoseconds since 1970.
    order_id : str
        Identifier that the strategy or the algorithm gave it.
    parent_id : str or None
        The order of which it is a slice; None for one that a strategy sent.
    strategy_id : str
        Strategy that is answerable for it.
    quantity : Decimal
        Signed quantity as asked, in the base currency; of an order that was sliced, all of it.
    filled : Decimal
        Signed quantity that was filled, that of its slices included.
    status : str
        State it ended in, in the engine's words.
    reduce_only : bool
        Whether it could only shrink the position.
    tags : tuple of str
        Its tags.
    decision_mid : Decimal or None
        Mid of the last quote when it, or the order of which it is a slice, was made; None before the first quote.
    """

    time_ns: int
    order_id: str
    parent_id: str | None
    strategy_id: str
    quantity: Decimal
    filled: Decimal
    status: str
    reduce_only: bool
    tags: tuple[str, ...]
    decision_mid: Decimal | None


@dataclass(frozen=True)
class FillRecord:
    """One fill, beside the book it met and the mid at its decision; what it cost is in the quote currency.

    Against a fill at the decision's mid it costs ``fee + spread + impact + delay`` (Perold's implementation shortfall,
    1988, of what was filled). Each part may be negative, which is a gain.

    Attributes
    ----------
    time_ns : int
        When the venue filled it, in nanoseconds since 1970.
    order_id : str
        The order.
    parent_id : str or None
        The order of which that is a slice.
    quantity : Decimal
        Signed quantity, positive when bought.
    price : Decimal
        Price of the fill.
    fee : Decimal
        Commission.
    bid, ask : Decimal
        Top of the book that it met.
    decision_mid : Decimal
        Mid when its order, or the order of which that is a slice, was made.
    """

    time_ns: int
    order_id: str
    parent_id: str | None
    quantity: Decimal
    price: Decimal
    fee: Decimal
    bid: Decimal
    ask: Decimal
    decision_mid: Decimal

    @property
    def mid(self) -> Decimal:
        """Mid of the book that it met."""
        return (self.bid + self.ask) / 2

    @property
    def touch(self) -> Decimal:
        """Best price of the other side: the ask for a buyer."""
        return self.ask if self.quantity > 0 else self.bid

    @property
    def spread(self) -> Decimal:
        """Paid for crossing half of the spread."""
        return self.quantity * (self.touch - self.mid)

    @property
    def impact(self) -> Decimal:
        """Paid beyond the best price, because the order was larger than what stood there."""
        return self.quantity * (self.price - self.touch)

    @property
    def delay(self) -> Decimal:
        """Paid because the mid moved between decision and fill; about zero on average where nobody trades ahead."""
        return self.quantity * (self.mid - self.decision_mid)

    @property
    def slippage_bp(self) -> Decimal:
        """Price against the decision's mid, in basis points of it, positive when worse; the fee is not in it."""
        worse = self.price - self.decision_mid if self.quantity > 0 else self.decision_mid - self.price
        return round(worse / self.decision_mid * BASIS_POINTS, BASIS_POINT_DIGITS)


@dataclass(frozen=True)
class FundingRecord:
    """One funding payment of a perpetual: longs pay shorts ``quantity * mid * rate`` where the rate is positive.

    Attributes
    ----------
    time_ns : int
        Funding time, in nanoseconds since 1970.
    rate : Decimal
        Rate of the interval, as a share.
    quantity : Decimal
        Signed quantity held then.
    mid : Decimal
        Mid then, which stands for the mark price.
    paid : Decimal
        What was paid, in the quote currency, rounded to its 8 decimals; negative when received.
    """

    time_ns: int
    rate: Decimal
    quantity: Decimal
    mid: Decimal
    paid: Decimal


@dataclass(frozen=True)
class RefusalRecord:
    """One order that was refused.

    Attributes
    ----------
    time_ns : int
        When, in nanoseconds since 1970.
    by : str
        ``gate`` for ours, ``engine`` for the engine's own risk checks, ``venue`` for the exchange.
    rule : str
        The rule of the gate; what the others say has none, and is ``denied`` or ``rejected``.
    reason : str
        In words.
    order_id : str
        The order.
    quantity : Decimal
        Its signed quantity.
    """

    time_ns: int
    by: str
    rule: str
    reason: str
    order_id: str
    quantity: Decimal


@dataclass(frozen=True)
class ModeRecord:
    """A change of the trading mode.

    Attributes
    ----------
    time_ns : int
        When, in nanoseconds since 1970.
    mode : str
        The mode from then on.
    source : str
        Who demanded it.
    reason : str
        In words.
    """

    time_ns: int
    mode: str
    source: str
    reason: str


@dataclass(frozen=True)
class TargetRecord:
    """A target of the strategy.

    Attributes
    ----------
    time_ns : int
        When it was decided, in nanoseconds since 1970.
    quantity : Decimal
        Signed quantity to hold.
    reasons : tuple of str
        Why it is not more.
    """

    time_ns: int
    quantity: Decimal
    reasons: tuple[str, ...] = ()
