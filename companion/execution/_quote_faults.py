"""What makes a quote one: two prices of a market and two sizes, in the order of time."""

import sys

LARGEST = sys.float_info.max
END_OF_TIME = 2**63  # of nanoseconds in 64 bits


def spread_from_quote(bid: float, ask: float) -> float:
    """Spread of a quote, ask minus bid, in the quote currency; whatever has a float will do, a Nautilus price too."""
    return float(ask) - float(bid)


def fault_of(bid: float, ask: float, bid_size: float, ask_size: float, time_ns: int) -> str:
    """What is wrong with numbers that are no sound quote."""
    if not (0.0 < bid <= LARGEST and 0.0 < ask <= LARGEST):
        return f"invalid: prices must be positive and finite, got {bid} and {ask}"
    if not (0.0 < bid_size <= LARGEST and 0.0 < ask_size <= LARGEST):
        return f"invalid: sizes must be positive and finite, got {bid_size} and {ask_size}"
    if ask < bid:
        return f"crossed: {bid} bid and {ask} asked"
    if ask - bid > bid:
        return f"stub: {bid} bid and {ask} asked"
    return f"clock: a quote of {time_ns} ns, earlier than the one before or no time"
