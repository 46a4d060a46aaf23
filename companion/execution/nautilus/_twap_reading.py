"""What the engine's cache says of an order that is worked over time, and of the book it is worked against."""

from decimal import Decimal
from statistics import median

from nautilus_trader.cache.base import CacheFacade
from nautilus_trader.model.data import QuoteTick
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.orders import Order

from companion.execution.nautilus._twap_config import TwapAdaptiveConfig
from companion.execution.nautilus._twap_slice import SliceBook
from companion.risk._decimal import ZERO

#: Quotes, evenly spaced over those in the cache, of which the usual spread is the median.
SPREAD_SAMPLE = 31


def slices_of(cache: CacheFacade, primary: Order) -> list[Order]:
    """Slices of a primary that are orders of their own, oldest first."""
    orders = cache.orders_for_exec_spawn(primary.client_order_id)
    return sorted((order for order in orders if order.is_spawned), key=lambda order: order.ts_init)


def ordered(primary: Order) -> Decimal:
    """Quantity that was ordered."""
    quantity: Decimal = primary.init_event.quantity.as_decimal()
    return quantity


def not_sent(primary: Order, slices: list[Order]) -> Decimal:
    """Quantity that no slice has filled or may still fill."""
    spoken_for = ((one.filled_qty if one.is_closed else one.quantity).as_decimal() for one in slices)
    return ordered(primary) - sum(spoken_for, ZERO)


def filled_and_in_flight(orders: list[Order]) -> tuple[Decimal, Decimal]:
    """Quantity that orders have filled, and that those at the venue, or on the way, may still fill."""
    filled = sum((order.filled_qty.as_decimal() for order in orders), ZERO)
    sent = (order for order in orders if not (order.is_closed or order.is_active_local))
    return filled, sum((order.leaves_qty.as_decimal() for order in sent), ZERO)


def latest_failures(slices: list[Order]) -> list[Order]:
    """The latest slices, those that filled nothing since one did."""
    failed: list[Order] = []
    for one in slices:
        failed = [] if one.filled_qty.as_decimal() else [*failed, one]
    return failed


def last_words(order: Order) -> str:
    """Reason of the last event of an order, or else its status."""
    words: str = getattr(order.last_event, "reason", None) or order.status_string().lower()
    return words


def read_book(
    cache: CacheFacade, primary: Order, now_ns: int, config: TwapAdaptiveConfig
) -> tuple[SliceBook | None, str]:
    """What a slice would trade against, or why there is nothing to trust."""
    quote: QuoteTick | None = cache.quote_tick(primary.instrument_id)
    if quote is None:
        return None, "there is no quote"
    age_s = abs(now_ns - quote.ts_event) / 1e9
    if age_s > config.max_quote_age_s:
        return None, f"the last quote is {age_s:g} s old"
    bid, ask = quote.bid_price.as_decimal(), quote.ask_price.as_decimal()
    if not 0 < bid < ask:
        return None, f"the quote is crossed: bid {bid}, ask {ask}"
    usual = usual_spread(cache, primary.instrument_id, config.min_quotes)
    if usual is None:
        return None, f"fewer than {config.min_quotes} quotes came before the last"
    price, size = (ask, quote.ask_size) if primary.side == OrderSide.BUY else (bid, quote.bid_size)
    ratio = _spread(quote) / usual if usual > 0 else 1.0
    return SliceBook(price=price, size=size.as_decimal(), spread_ratio=ratio), ""


def usual_spread(cache: CacheFacade, instrument_id: InstrumentId, min_quotes: int) -> float | None:
    """Median spread of a sample of the quotes in the cache, the present one excluded, in the engine's raw units."""
    n_before = cache.quote_tick_count(instrument_id) - 1
    if n_before < min_quotes:
        return None
    ages = range(1, n_before + 1, -(-n_before // SPREAD_SAMPLE))
    return median(_spread(cache.quote_tick(instrument_id, age)) for age in ages)


def _spread(quote: QuoteTick) -> int:
    """Spread in raw units, whole numbers, so that a ratio of spreads is exact."""
    spread: int = quote.ask_price.raw - quote.bid_price.raw
    return spread
