"""One sizing decision against 20 Decimal multiplications, each quantized to the instrument's step.

`python benchmarks/target_position.py`. Every case has every cap and limit set; they differ in what binds. The decision
sees no history, so its cost can not depend on one. To be no slower than the products is asked of checked rules and
`Decimal` amounts; the last two cases show what it costs to convert and to check on each call instead.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import ROUND_DOWN, Decimal
from types import SimpleNamespace

from _timing import Row, main, race

from companion.risk import InstrumentRules, SizingConfig, calculate_target_position

SIGNAL, VOLATILITY = 1.2371, 0.03123124125123
STEP, EQUITY = Decimal("0.001"), Decimal("100000.25")
BID, ASK, CLOSE = Decimal("50000.1"), Decimal("50000.2"), Decimal("50000.0")
RULES = InstrumentRules(3, STEP, STEP, Decimal(1000), Decimal(10), Decimal(10_000_000))
CONFIG = SizingConfig(kappa=0.002, gamma=1.0, f_max=2.0, sigma_target=0.2, max_quantity=Decimal(500))
MARKET = {"equity": EQUITY, "instrument": RULES, "config": CONFIG, "bid": BID, "ask": ASK, "last_close": CLOSE}
CAP_OF_FRACTION = 0.04339487542565787  # sigma_target at which both caps allow the same
CASES: dict[str, dict[str, object]] = {
    "no cap binds": {},
    "the volatility cap binds": {"config": replace(CONFIG, sigma_target=0.02)},
    "the volatility cap nearly binds": {"config": replace(CONFIG, sigma_target=CAP_OF_FRACTION)},
    "the fraction cap binds": {"config": replace(CONFIG, f_max=0.5)},
    "amounts are floats": {name: float(MARKET[name]) for name in ("equity", "bid", "ask", "last_close")},
    "the instrument is checked on each call": {"instrument": SimpleNamespace(**vars(RULES))},
}


def decision(change: dict[str, object]) -> Callable[[], object]:
    """The canonical call."""
    market = MARKET | change
    return lambda: calculate_target_position(SIGNAL, VOLATILITY, **market)


def twenty_quantized_products() -> None:
    """A fraction as precise as the sizing law's times equity, in whole steps, 20 times."""
    fraction = Decimal("1.3819703855730467")
    for _ in range(20):
        (fraction * EQUITY).quantize(STEP, rounding=ROUND_DOWN)


def measure(tiny: bool) -> list[Row]:
    """Race each case."""
    rows = []
    for case, change in CASES.items():
        contenders = {"companion": decision(change), "20 quantized products": twenty_quantized_products}
        rows += race(case, contenders, rounds=1 if tiny else 61)
    return [row._replace(value=1e3 * row.value, unit="µs") for row in rows]


if __name__ == "__main__":
    main("target_position", measure, "One sizing decision against 20 Decimal multiplications with quantization")
