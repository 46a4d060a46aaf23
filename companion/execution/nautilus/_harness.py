"""A strategy in the real engine, over simulated or recorded data: every order, fill and refusal, and what it cost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import numpy as np
from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.models import LatencyModel
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money

from companion._checks import check_positive
from companion.desk import Desk
from companion.errors import InputError
from companion.execution import MinuteBars, PerpetualMarket, Quotes, RiskLimits
from companion.execution.nautilus._data import engine_bars, engine_quotes, minute_bar_type, perpetual_instrument
from companion.execution.nautilus._harness_collect import Data, collect
from companion.execution.nautilus._harness_recorder import Recorder
from companion.execution.nautilus._node import attach
from companion.execution.nautilus._result import ExecutionResult
from companion.execution.nautilus._strategy_config import RegimeStrategyConfig
from companion.execution.nautilus._twap_config import TwapAdaptiveConfig
from companion.risk._decimal import is_amount, to_decimal

Market = PerpetualMarket | tuple[MinuteBars, Quotes]
"""Simulated, with funding; or recorded bars and quotes, without."""


def run_execution(
    market: Market,
    *,
    desk: Desk,
    strategy: RegimeStrategyConfig,
    limits: RiskLimits,
    algorithm: TwapAdaptiveConfig | None = None,
    instrument: CryptoPerpetual | None = None,
    **venue: Any,
) -> ExecutionResult:
    """Run `RegimeStrategy` with its gate and its execution algorithm over a market.

    Parameters
    ----------
    market : PerpetualMarket or (MinuteBars, Quotes)
    desk : Desk
        Says what to hold; it is used up by the run.
    strategy : RegimeStrategyConfig
    limits : RiskLimits
        Of the gate.
    algorithm : TwapAdaptiveConfig, optional
    instrument : CryptoPerpetual, optional
        By default `perpetual_instrument`.
    **venue
        `starting_balance`, `leverage` and `latency_ms` of `run_engine`.

    Returns
    -------
    ExecutionResult

    Raises
    ------
    ValueError
        Names the argument that is out of range.
    """
    instrument = instrument or perpetual_instrument()
    parts: dict[str, Any] = {"desk": desk, "strategy": strategy, "limits": limits, "algorithm": algorithm}
    return run_engine(
        market, lambda engine: attach(engine, instrument=instrument, **parts), instrument=instrument, **venue
    )


def run_engine(
    market: Market,
    prepare: Callable[[BacktestEngine], Any],
    *,
    starting_balance: Decimal = Decimal(100_000),
    leverage: Decimal = Decimal(10),
    latency_ms: float = 50.0,
    instrument: CryptoPerpetual | None = None,
) -> ExecutionResult:
    """Run whatever `prepare` puts into the engine over a market, and account for all that it did.

    Parameters
    ----------
    market : PerpetualMarket or (MinuteBars, Quotes)
    prepare : callable
        Called with the engine before it runs, to add strategies, algorithms and gates.
    starting_balance : Decimal
        In the quote currency.
    leverage : Decimal
        Of the margin account.
    latency_ms : float
        From an order to the venue, in milliseconds, above zero: no order meets the quote that made it.
    instrument : CryptoPerpetual, optional
        By default `perpetual_instrument`.

    Returns
    -------
    ExecutionResult

    Raises
    ------
    ValueError
        Names the argument that is out of range.
    InputError
        A price or size is not on the instrument's grid.
    RuntimeError
        The engine has not processed all data, or its account differs from the cash flows of its fills: a defect.
    """
    instrument = instrument or perpetual_instrument()
    data = _data_of(market)
    balance = to_decimal(starting_balance, "starting_balance")
    venue: dict[str, Any] = {
        "instrument": instrument,
        "starting_balance": balance,
        "leverage": leverage,
        "latency_ms": latency_ms,
    }
    with backtest_engine(data.bars, data.quotes, **venue) as engine:
        recorder = Recorder(engine.kernel, instrument.id)
        prepare(engine)
        engine.run()
        if engine.iteration != len(data.bars) + len(data.quotes):
            raise RuntimeError(
                f"the engine must process {len(data.bars)} bars and {len(data.quotes)} quotes, "
                f"got {engine.iteration} in all"
            )
        return collect(engine, recorder, data, instrument=instrument, starting_balance=balance)


@contextmanager
def backtest_engine(
    bars: MinuteBars,
    quotes: Quotes,
    *,
    instrument: CryptoPerpetual,
    starting_balance: Decimal,
    leverage: Decimal,
    latency_ms: float,
) -> Iterator[BacktestEngine]:
    """An engine with its venue and its data, in which nobody trades yet; disposed of afterwards.

    Orders are filled from quotes alone: the engine would let a bar overwrite the book with its close.
    """
    for name, amount in (("starting_balance", starting_balance), ("leverage", leverage)):
        if not is_amount(to_decimal(amount, name)):
            raise ValueError(f"{name} must be a positive amount, got {amount!r}")
    latency_ns = round(check_positive("latency_ms", latency_ms) * 1e6)
    engine = BacktestEngine(BacktestEngineConfig(trader_id="CHAOS-001", logging=LoggingConfig(bypass_logging=True)))
    try:
        engine.add_venue(
            venue=instrument.id.venue,
            oms_type=OmsType.NETTING,
            account_type=AccountType.MARGIN,
            base_currency=None,
            starting_balances=[Money(starting_balance, instrument.quote_currency)],
            default_leverage=Decimal(leverage),
            latency_model=LatencyModel(base_latency_nanos=latency_ns),
            bar_execution=False,
            trade_execution=False,
        )
        engine.add_instrument(instrument)
        try:
            data = engine_quotes(quotes, instrument), engine_bars(bars, minute_bar_type(instrument), instrument)
        except ValueError as error:
            raise InputError(str(error)) from error
        for part in data:  # the quotes first: they then come before a bar of the same time
            engine.add_data(part, sort=True)
        yield engine
    finally:
        engine.dispose()


def _data_of(market: Market) -> Data:
    if isinstance(market, PerpetualMarket):
        data = Data(market.bars, market.quotes, market.funding_times_ns, market.funding_rates)
    elif isinstance(market, tuple) and [type(part) for part in market] == [MinuteBars, Quotes]:
        data = Data(*market, np.empty(0, np.int64), np.empty(0))
    else:
        raise ValueError(f"market must be a PerpetualMarket or (MinuteBars, Quotes), got {type(market).__name__}")
    if not len(data.bars) or not len(data.quotes):
        raise ValueError(f"market must have bars and quotes, got {len(data.bars)} and {len(data.quotes)}")
    return data
