"""Bars and quotes as the engine's own types, in its catalog, and the instrument that they are of."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import Bar, BarType, QuoteTick
from nautilus_trader.model.identifiers import InstrumentId, Symbol
from nautilus_trader.model.instruments import CryptoPerpetual, Instrument
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.persistence.catalog import ParquetDataCatalog

from companion.datasets import MinuteBars, Quotes
from companion.errors import InputError

TICK_TOLERANCE = 1e-4  # of a tick: more is no rounding of a float, but another grid


def perpetual_instrument(
    *, maker_fee: Decimal = Decimal("0.0002"), taker_fee: Decimal = Decimal("0.00018")
) -> CryptoPerpetual:
    """BTCUSDT-PERP on BINANCE, with the numbers of the engine's own test instrument.

    Tick .1, step and smallest order .001, largest 1,000 BTC, smallest notional 10 USDT, initial margin 5 %,
    maintenance 2.5 %.

    Parameters
    ----------
    maker_fee, taker_fee : Decimal
        Shares of the notional.
    """
    return CryptoPerpetual(
        instrument_id=InstrumentId.from_str("BTCUSDT-PERP.BINANCE"),
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=1,
        price_increment=Price.from_str("0.1"),
        size_precision=3,
        size_increment=Quantity.from_str("0.001"),
        max_quantity=Quantity.from_str("1000.000"),
        min_quantity=Quantity.from_str("0.001"),
        max_notional=None,
        min_notional=Money(10, USDT),
        max_price=Price.from_str("809484.0"),
        min_price=Price.from_str("261.1"),
        margin_init=Decimal("0.05"),
        margin_maint=Decimal("0.025"),
        maker_fee=maker_fee,
        taker_fee=taker_fee,
        ts_event=0,
        ts_init=0,
    )


def minute_bar_type(instrument: Instrument) -> BarType:
    """The type of one-minute bars of traded prices that come from outside the engine."""
    return BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")


def engine_bars(bars: MinuteBars, bar_type: BarType, instrument: Instrument) -> list[Bar]:
    """Bars of the engine, each with its close as its time, so that no strategy sees it before.

    Volumes are rounded to the instrument's size precision, since they move no price.

    Parameters
    ----------
    bars : MinuteBars
    bar_type : BarType
        Of one minute and `instrument`.
    instrument : Instrument

    Raises
    ------
    ValueError
        If the type is of another instrument or length, or a price is not on the tick; names it and the bar.
    """
    if (
        bar_type.instrument_id != instrument.id
        or str(bar_type.spec) != "1-MINUTE-LAST"
        or bar_type.is_internally_aggregated()
    ):
        raise ValueError(f"bar_type must be {minute_bar_type(instrument)}, got {bar_type}")
    times = bars.time_ns.astype(np.uint64)
    prices = [
        _on_tick(name, getattr(bars, name), instrument.price_increment) for name in ("open", "high", "low", "close")
    ]
    return Bar.from_raw_arrays_to_list(
        bar_type,
        instrument.price_precision,
        instrument.size_precision,
        *prices,
        bars.volume.copy(),
        times,
        times.copy(),
    )


def engine_quotes(quotes: Quotes, instrument: Instrument) -> list[QuoteTick]:
    """Quotes of the engine, in their order.

    Raises
    ------
    ValueError
        If a price is not on the instrument's tick or a size not on its step; names it and the quote.
    """
    times = quotes.time_ns.astype(np.uint64)
    return QuoteTick.from_raw_arrays_to_list(
        instrument.id,
        instrument.price_precision,
        instrument.size_precision,
        _on_tick("bid", quotes.bid, instrument.price_increment),
        _on_tick("ask", quotes.ask, instrument.price_increment),
        _on_tick("bid_size", quotes.bid_size, instrument.size_increment),
        _on_tick("ask_size", quotes.ask_size, instrument.size_increment),
        times,
        times.copy(),
    )


def write_catalog(
    path: str | Path,
    *,
    instrument: Instrument,
    bars: MinuteBars | None = None,
    quotes: Quotes | None = None,
) -> ParquetDataCatalog:
    """Write an instrument with its bars and quotes to the engine's Parquet catalog in a new or empty folder.

    Returns
    -------
    ParquetDataCatalog

    Raises
    ------
    InputError
        If the folder holds something: the engine would add to it.
    ValueError
        As `engine_bars` and `engine_quotes` do.
    """
    folder = Path(path)
    data: list[list[Any]] = [[instrument]]
    if bars is not None:
        data.append(engine_bars(bars, minute_bar_type(instrument), instrument))
    if quotes is not None:
        data.append(engine_quotes(quotes, instrument))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is not an empty folder: give a new one")
    folder.mkdir(parents=True, exist_ok=True)
    catalog = ParquetDataCatalog(folder)
    for part in data:
        if part:
            catalog.write_data(part)
    return catalog


def _on_tick(name: str, values: np.ndarray, increment: Price | Quantity) -> np.ndarray:
    """A writable copy of values that lie on a grid; a ValueError that names the first that does not."""
    unit = float(increment)
    counts = values / unit
    off = np.abs(counts - np.rint(counts)) > TICK_TOLERANCE + 1e-15 * np.abs(counts)
    if off.any():
        where = int(off.argmax())
        raise ValueError(
            f"{name} must be a multiple of {increment}, got {values[where]} at [{where}]: check the instrument"
        )
    return np.array(values, dtype=np.float64)
