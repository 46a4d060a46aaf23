"""From an engine that has run to a result: what was recorded, marked to the quotes, and checked against the account."""

from bisect import bisect_right
from decimal import Decimal
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.model.instruments import Instrument
from numpy.typing import NDArray

from companion.execution import MinuteBars, Quotes
from companion.execution.nautilus._harness_recorder import Recorder
from companion.execution.nautilus._result import ExecutionResult
from companion.execution.nautilus._result_ledger import CENT, Ledger
from companion.execution.nautilus._result_records import TargetRecord
from companion.execution.nautilus._strategy import RegimeStrategy
from companion.risk._decimal import ZERO


class Data(NamedTuple):
    """What an engine is run on; without funding times nothing is paid."""

    bars: MinuteBars
    quotes: Quotes
    funding_times_ns: NDArray[np.int64]
    funding_rates: NDArray[np.float64]


def collect(
    engine: BacktestEngine, recorder: Recorder, data: Data, *, instrument: Instrument, starting_balance: Decimal
) -> ExecutionResult:
    """All that happened, as series at the bars' closes and as records.

    Raises
    ------
    RuntimeError
        The engine's account differs from the cash flows of its fills by more than it rounds.
    """
    fills = recorder.fills()
    ledger = Ledger(fills, data.quotes, starting_balance=starting_balance, price_digits=instrument.price_precision)
    funding = ledger.funding(data.funding_times_ns, data.funding_rates)
    times = np.unique([*data.bars.time_ns, max(data.bars.time_ns[-1], data.quotes.time_ns[-1])]).tolist()
    targets = _targets(engine)
    result = ExecutionResult(
        instrument=str(instrument.id),
        starting_balance=starting_balance,
        n_bars=len(data.bars),
        n_quotes=len(data.quotes),
        time_ns=tuple(times),
        mid=tuple(map(ledger.mid, times)),
        held=tuple(map(ledger.held, times)),
        target=_last_known(times, [t.time_ns for t in targets], [None, *(t.quantity for t in targets)]),
        equity=tuple(map(ledger.equity, times)),
        funding_paid=_last_known(
            times, [f.time_ns for f in funding], list(accumulate((f.paid for f in funding), initial=ZERO))
        ),
        account_equity=account_equity(engine, instrument),
        orders=recorder.orders(),
        fills=fills,
        refusals=recorder.refusals(),
        modes=tuple(recorder.modes),
        targets=targets,
        funding=funding,
    )
    if abs(result.account_equity - result.equity[-1]) > CENT * (1 + len(fills)):
        raise RuntimeError(
            f"the account must be worth what its fills add up to, {result.equity[-1]}, got {result.account_equity}"
        )
    return result


def account_equity(engine: BacktestEngine, instrument: Instrument) -> Decimal:
    """Balance and unrealized result, from the engine's own account."""
    venue, currency = instrument.id.venue, instrument.quote_currency
    unrealized = engine.portfolio.unrealized_pnls(venue).get(currency)
    balance = engine.portfolio.account(venue).balance_total(currency).as_decimal()
    return balance if unrealized is None else balance + unrealized.as_decimal()


def _targets(engine: BacktestEngine) -> tuple[TargetRecord, ...]:
    """What the strategies that follow a desk aimed at, in order of time."""
    strategies = [each for each in engine.trader.strategies() if isinstance(each, RegimeStrategy)]
    records = sorted((record for each in strategies for record in each.records), key=lambda record: record.time_ns)
    return tuple(TargetRecord(record.time_ns, record.target, record.reasons) for record in records)


def _last_known(times: list[int], changed: list[int], values: list[Any]) -> tuple[Any, ...]:
    """At each time the value since the last change: the first of `values` holds before any."""
    return tuple(values[bisect_right(changed, time_ns)] for time_ns in times)
