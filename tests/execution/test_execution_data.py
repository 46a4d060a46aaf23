"""Bars and quotes as the engine's types: same numbers, right stamps, its catalog, and no bar before its close."""

from typing import Any

import numpy as np
import pytest
from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import Bar, BarType, QuoteTick
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
from nautilus_trader.model.objects import Money
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from nautilus_trader.trading.strategy import Strategy

from companion.datasets import MinuteBars, Quotes
from companion.datasets._market_arrays import MINUTE_NS
from companion.errors import InputError
from companion.execution import PerpetualMarket, simulate_perpetual
from companion.execution.nautilus import (
    engine_bars,
    engine_quotes,
    minute_bar_type,
    perpetual_instrument,
    write_catalog,
)

INSTRUMENT = perpetual_instrument()
BAR_TYPE = minute_bar_type(INSTRUMENT)


@pytest.fixture(scope="module")
def market() -> PerpetualMarket:
    return simulate_perpetual(n_minutes=30, seed=4)


class BuyOnFirstBar(Strategy):
    """Buys when it learns of the first bar; keeps when it saw what."""

    def __init__(self) -> None:
        super().__init__()
        self.bars: list[tuple[int, int]] = []
        self.n_quotes = 0

    def on_start(self) -> None:
        self.subscribe_quote_ticks(INSTRUMENT.id)
        self.subscribe_bars(BAR_TYPE)

    def on_quote_tick(self, tick: QuoteTick) -> None:
        self.n_quotes += 1

    def on_bar(self, bar: Bar) -> None:
        self.bars.append((self.clock.timestamp_ns(), self.n_quotes))
        if len(self.bars) == 1:
            self.submit_order(self.order_factory.market(INSTRUMENT.id, OrderSide.BUY, INSTRUMENT.make_qty(0.5)))


def run(*data: list[Any]) -> tuple[BuyOnFirstBar, list[Any]]:
    """A strategy that has seen the data in the real engine, and its fills."""
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        INSTRUMENT.id.venue,
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        base_currency=None,
        starting_balances=[Money(100_000, USDT)],
        bar_execution=False,
        trade_execution=False,
    )
    engine.add_instrument(INSTRUMENT)
    for part in data:
        engine.add_data(part, sort=True)
    strategy = BuyOnFirstBar()
    engine.add_strategy(strategy)
    engine.run()
    fills = [(order.ts_last, order.avg_px) for order in engine.cache.orders()]
    engine.dispose()
    return strategy, fills


def as_dicts(data: list[Any]) -> list[dict[str, Any]]:
    """What compares equal; `==` of a quote from the catalog and one made here aborts the process, in both versions."""
    return [type(row).to_dict(row) for row in data]


def test_the_instrument_is_the_engines_own_test_perpetual():
    theirs, ours = (item.to_dict(item) for item in (TestInstrumentProvider.btcusdt_perp_binance(), INSTRUMENT))
    numbers = {"margin_init", "margin_maint", "maker_fee", "taker_fee"}
    assert {name: float(theirs[name]) for name in numbers} == {name: float(ours[name]) for name in numbers}
    same = theirs.keys() - numbers - {"ts_event", "ts_init"}
    assert {name: theirs[name] for name in same} == {name: ours[name] for name in same}


def test_every_number_and_stamp_arrives(market):
    bars, quotes = engine_bars(market.bars, BAR_TYPE, INSTRUMENT), engine_quotes(market.quotes, INSTRUMENT)
    assert [bar.ts_event for bar in bars] == [bar.ts_init for bar in bars] == market.bars.time_ns.tolist()
    assert [quote.ts_init for quote in quotes] == market.quotes.time_ns.tolist()
    for name in ("open", "high", "low", "close", "volume"):
        assert [float(str(getattr(bar, name))) for bar in bars] == getattr(market.bars, name).tolist()
    for name in ("bid_price", "ask_price", "bid_size", "ask_size"):
        column = getattr(market.quotes, name.removesuffix("_price"))
        assert [float(str(getattr(quote, name))) for quote in quotes] == column.tolist()
    assert {quote.ask_price.precision for quote in quotes} == {INSTRUMENT.price_precision}
    assert {quote.ask_size.precision for quote in quotes} == {INSTRUMENT.size_precision}


def test_a_bar_is_seen_at_its_close_and_traded_on_at_a_later_quote(market):
    strategy, fills = run(engine_quotes(market.quotes, INSTRUMENT), engine_bars(market.bars, BAR_TYPE, INSTRUMENT))
    assert strategy.bars == [(close, 60 * k) for k, close in enumerate(market.bars.time_ns.tolist(), start=1)]
    assert strategy.n_quotes == 1800
    assert fills == [(int(market.bars.time_ns[0]), market.quotes.ask[59])]  # at the ask that stands, not at the close


def test_the_catalog_gives_back_what_was_written(market, tmp_path):
    catalog = write_catalog(tmp_path / "catalog", instrument=INSTRUMENT, bars=market.bars, quotes=market.quotes)
    bars, quotes = catalog.bars(), catalog.quote_ticks()
    assert as_dicts(catalog.instruments()) == as_dicts([INSTRUMENT])
    assert as_dicts(bars) == as_dicts(engine_bars(market.bars, BAR_TYPE, INSTRUMENT))
    assert as_dicts(quotes) == as_dicts(engine_quotes(market.quotes, INSTRUMENT))
    strategy, fills = run(quotes, bars)
    assert (strategy.n_quotes, len(strategy.bars)) == (1800, 30)
    assert fills[0][1] == market.quotes.ask[59]
    with pytest.raises(InputError, match="catalog: is not an empty folder: give a new one"):
        write_catalog(tmp_path / "catalog", instrument=INSTRUMENT, quotes=market.quotes)


def test_a_catalog_may_hold_the_instrument_alone(tmp_path):
    catalog = write_catalog(tmp_path, instrument=INSTRUMENT)
    assert len(catalog.instruments()) == 1
    assert catalog.bars() == catalog.quote_ticks() == []


def some_bars(**change: float) -> MinuteBars:
    columns = {"open": 50_000.1, "high": 50_000.3, "low": 50_000.0, "close": 50_000.2, "volume": 1.0} | change
    return MinuteBars(np.array([MINUTE_NS]), *(np.array([value]) for value in columns.values()))


def some_quotes(**change: float) -> Quotes:
    columns = {"bid": 50_000.1, "ask": 50_000.2, "bid_size": 1.0, "ask_size": 1.0} | change
    return Quotes(np.array([MINUTE_NS]), *(np.array([value]) for value in columns.values()))


def test_what_is_not_on_the_instruments_grid_is_refused_not_rounded():
    with pytest.raises(
        ValueError, match=r"open must be a multiple of 0\.1, got 50000\.15 at \[0\]: check the instrume"
    ):
        engine_bars(some_bars(open=50_000.15), BAR_TYPE, INSTRUMENT)
    with pytest.raises(ValueError, match=r"ask must be a multiple of 0\.1, got 50000\.21"):
        engine_quotes(some_quotes(ask=50_000.21), INSTRUMENT)
    with pytest.raises(ValueError, match=r"bid_size must be a multiple of 0\.001, got 0\.0005"):
        engine_quotes(some_quotes(bid_size=0.0005), INSTRUMENT)


def test_quotes_of_a_finer_instrument_keep_every_digit():
    spot = TestInstrumentProvider.btcusdt_binance()
    (quote,) = engine_quotes(some_quotes(bid=39_432.99, ask=39_433.62, bid_size=51_234.567891, ask_size=0.000001), spot)
    assert [str(part) for part in (quote.bid_price, quote.ask_price, quote.bid_size, quote.ask_size)] == [
        "39432.99",
        "39433.62",
        "51234.567891",
        "0.000001",
    ]


def test_a_volume_in_another_unit_is_rounded_to_the_step():
    assert str(engine_bars(some_bars(volume=2_300_413.7295), BAR_TYPE, INSTRUMENT)[0].volume) == "2300413.730"


@pytest.mark.parametrize(
    "bar_type",
    [
        "BTCUSDT-PERP.BINANCE-5-MINUTE-LAST-EXTERNAL",
        "BTCUSDT-PERP.BINANCE-100-TICK-LAST-EXTERNAL",
        "BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-INTERNAL",
        "ETHUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL",
    ],
)
def test_a_bar_type_of_other_bars_is_refused(market, bar_type):
    with pytest.raises(ValueError, match=r"bar_type must be BTCUSDT-PERP\.BINANCE-1-MINUTE-LAST-EXTERNAL, got "):
        engine_bars(market.bars, BarType.from_str(bar_type), INSTRUMENT)


def test_the_arrays_given_stay_as_they_are(market):
    bars, quotes = some_bars(), some_quotes()
    for array in (quotes.bid, quotes.time_ns, bars.volume):
        array.flags.writeable = False
    assert len(engine_quotes(quotes, INSTRUMENT)) == len(engine_bars(bars, BAR_TYPE, INSTRUMENT)) == 1
