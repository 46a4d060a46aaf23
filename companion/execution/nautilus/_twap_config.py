"""Configuration of TWAP_ADAPTIVE, and the report that each of its orders ends with."""

from dataclasses import dataclass
from decimal import Decimal

from nautilus_trader.config import ExecAlgorithmConfig
from nautilus_trader.model.identifiers import ExecAlgorithmId

from companion._checks import check_count, check_positive
from companion.risk._decimal import ZERO, to_decimal

#: Topic on the message bus that every `TwapOutcome` is published on.
TWAP_TOPIC = "events.twap"


class TwapAdaptiveConfig(ExecAlgorithmConfig, frozen=True, kw_only=True):
    """Configuration of `TwapAdaptive`, for all its orders.

    Attributes
    ----------
    exec_algorithm_id : ExecAlgorithmId
    participation : Decimal
        Largest share of the displayed size that a slice takes, in (0, 1]; the last one may take all of it.
    widening : float
        Spread over its usual value from which on slices shrink in proportion, at least 1.
    min_slice_notional : Decimal
        Smallest quantity × price of a slice beside the instrument's own minimums, in the quote currency. Slices that
        only reduce are exempt from both, as they are at the venues.
    max_slip : Decimal
        What a slice may pay beyond the touch, as a share of its price, in [0, 1). It is an immediate-or-cancel limit
        order: when the market has moved further it fills nothing, and its quantity is tried again. A market of 60 %
        volatility a year moves by a basis point in a second.
    max_quote_age_s : float
        Age from which on a quote is no price, in seconds.
    min_quotes : int
        Quotes before the present one without which there is no usual spread, and nothing is sent.
    max_failures : int
        Slices in a row that fill nothing after which the order is handed back.
    keep_outcomes : int or None
        Outcomes that are kept, the latest; None keeps all.

    Raises
    ------
    ValueError
        Names the field that is out of its range.
    """

    exec_algorithm_id: ExecAlgorithmId | None = ExecAlgorithmId("TWAP_ADAPTIVE")
    participation: Decimal = Decimal("0.2")
    widening: float = 2.0
    min_slice_notional: Decimal = ZERO
    max_slip: Decimal = Decimal("0.0005")
    max_quote_age_s: float = 5.0
    min_quotes: int = 20
    max_failures: int = 3
    keep_outcomes: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self._amount("participation") <= 1:
            raise ValueError(f"participation must be in (0, 1], got {self.participation}")
        if self._amount("min_slice_notional") < 0:
            raise ValueError(f"min_slice_notional must be zero or positive, got {self.min_slice_notional}")
        if check_positive("widening", self.widening) < 1:
            raise ValueError(f"widening must be at least 1, the usual spread, got {self.widening}")
        if not 0 <= self._amount("max_slip") < 1:
            raise ValueError(f"max_slip must be a share in [0, 1), got {self.max_slip}")
        check_positive("max_quote_age_s", self.max_quote_age_s)
        check_count("min_quotes", self.min_quotes)
        check_count("max_failures", self.max_failures)
        if self.keep_outcomes is not None:
            check_count("keep_outcomes", self.keep_outcomes)

    def _amount(self, name: str) -> Decimal:
        amount = to_decimal(getattr(self, name), name)
        if not amount.is_finite():
            raise ValueError(f"{name} must be a finite Decimal, got {amount}")
        return amount


@dataclass(frozen=True, kw_only=True)
class TwapOutcome:
    """How the work on one order ended; published on "events.twap" just before the order is closed.

    Attributes
    ----------
    time_ns : int
        When, in nanoseconds.
    order_id : str
        The primary.
    strategy_id : str
        Who sent it.
    reason : str
        "filled", or why the rest was handed back.
    quantity : Decimal
        Ordered: the sum of the three that follow.
    filled : Decimal
        What the venue filled.
    in_flight : Decimal
        What was on its way, where the algorithm was stopped in the meantime; else zero.
    handed_back : Decimal
        What nobody works any more.
    """

    time_ns: int
    order_id: str
    strategy_id: str
    reason: str
    quantity: Decimal
    filled: Decimal
    in_flight: Decimal
    handed_back: Decimal
