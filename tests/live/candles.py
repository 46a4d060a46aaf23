"""What the tests of cold starts share: candles of a simulated market, a store in memory, and the desk's recipe."""

from decimal import Decimal
from functools import cache

from companion.execution import simulate_perpetual
from companion.live import Candle, DeskRecipe

MINUTE_NS = 60_000_000_000
EQUITY = Decimal(100_000)
RECIPE = DeskRecipe(
    size_precision=3, size_increment=Decimal("0.001"), min_quantity=Decimal("0.001"), min_notional=Decimal(10)
)
MARKET = {"symbol": "BTCUSDT", "interval": "1m"}


@cache
def market(n_minutes: int, seed: int) -> tuple[Candle, ...]:
    """Candles of a simulated perpetual future."""
    bars = simulate_perpetual(n_minutes=n_minutes, quotes_per_minute=4, seed=seed).bars
    columns = [column.tolist() for column in (bars.time_ns, bars.open, bars.high, bars.low, bars.close, bars.volume)]
    return tuple(Candle(close_ns - MINUTE_NS, *rest) for close_ns, *rest in zip(*columns, strict=True))


class Shelf:
    """A store in memory that believes everything, as a database that another program has written to would."""

    def __init__(self, candles=()):
        self.held = {candle.open_time_ns: candle for candle in candles}

    def between(self, symbol, interval, start_ns, end_ns):
        assert (symbol, interval) == tuple(MARKET.values())
        return [self.held[time_ns] for time_ns in sorted(self.held) if start_ns <= time_ns < end_ns]

    def upsert(self, symbol, interval, candles):
        new = {candle.open_time_ns: candle for candle in candles}
        changed = sum(self.held.get(time_ns) != candle for time_ns, candle in new.items())
        self.held |= new
        return changed


class Exchange:
    """Answers as the exchange would, and remembers what it was asked."""

    def __init__(self, candles):
        self.candles, self.asked = candles, []

    def __call__(self, start_ns, end_ns):
        self.asked.append((start_ns, end_ns))
        return [candle for candle in self.candles if start_ns <= candle.open_time_ns < end_ns]
