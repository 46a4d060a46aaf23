"""What an execution did: orders, fills with what each cost, refusals, and equity that adds up to the last decimal."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from functools import cached_property
from itertools import accumulate
from typing import Any

from companion.execution.nautilus._result_records import (
    BASIS_POINT_DIGITS,
    BASIS_POINTS,
    FillRecord,
    FundingRecord,
    ModeRecord,
    OrderRecord,
    RefusalRecord,
    TargetRecord,
)

ZERO = Decimal(0)


@dataclass(frozen=True)
class CostSplit:
    """What trading cost against fills at the decision's mid, without fees and funding, in the quote currency."""

    fee: Decimal = ZERO
    spread: Decimal = ZERO
    impact: Decimal = ZERO
    delay: Decimal = ZERO
    funding: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        """All of it."""
        return sum((getattr(self, part.name) for part in fields(self)), ZERO)


@dataclass(frozen=True)
class ExecutionResult:
    """What `run_execution` found. Amounts are in the quote currency, quantities in the base currency, signed.

    Attributes
    ----------
    instrument : str
        What was traded.
    starting_balance : Decimal
        Balance at the start.
    n_bars : int
        Bars that the engine has processed: all that were given.
    n_quotes : int
        Quotes that it has processed: all that were given.
    time_ns : tuple of int
        When the series below are taken: at each bar's close, and at the end of the data.
    mid : tuple of Decimal or None
        Mid of the last quote; None before the first.
    held : tuple of Decimal
        Quantity held.
    target : tuple of Decimal or None
        Quantity that the strategy aimed at; None before its first decision.
    equity : tuple of Decimal
        Balance and unrealized result as the engine has it, a long marked at the bid and a short at the ask: without
        funding, which the engine does not charge.
    funding_paid : tuple of Decimal
        Funding paid so far.
    account_equity : Decimal
        The same as the last of `equity`, from the engine's own account.
    orders : tuple of OrderRecord
        Every order, slices included, in order of time.
    fills : tuple of FillRecord
        Every fill, in the venue's order.
    refusals : tuple of RefusalRecord
        Every order that was refused.
    modes : tuple of ModeRecord
        Every change of the trading mode.
    targets : tuple of TargetRecord
        Every target.
    funding : tuple of FundingRecord
        Every funding payment, those of nothing included.
    """

    instrument: str
    starting_balance: Decimal
    n_bars: int
    n_quotes: int
    time_ns: tuple[int, ...]
    mid: tuple[Decimal | None, ...]
    held: tuple[Decimal, ...]
    target: tuple[Decimal | None, ...]
    equity: tuple[Decimal, ...]
    funding_paid: tuple[Decimal, ...]
    account_equity: Decimal
    orders: tuple[OrderRecord, ...]
    fills: tuple[FillRecord, ...]
    refusals: tuple[RefusalRecord, ...]
    modes: tuple[ModeRecord, ...]
    targets: tuple[TargetRecord, ...]
    funding: tuple[FundingRecord, ...]

    @property
    def parents(self) -> tuple[OrderRecord, ...]:
        """Orders that a strategy sent."""
        return tuple(order for order in self.orders if order.parent_id is None)

    @property
    def children(self) -> tuple[OrderRecord, ...]:
        """Slices that an execution algorithm cut from them."""
        return tuple(order for order in self.orders if order.parent_id is not None)

    @cached_property
    def costs(self) -> CostSplit:
        """What trading cost, in its parts."""
        parts = {
            name: _total(getattr(fill, name) for fill in self.fills) for name in ("fee", "spread", "impact", "delay")
        }
        return CostSplit(**parts, funding=_total(payment.paid for payment in self.funding))

    @property
    def profit(self) -> Decimal:
        """Change of equity, after funding."""
        return self.equity[-1] - self.funding_paid[-1] - self.starting_balance

    @cached_property
    def paper_equity(self) -> tuple[Decimal, ...]:
        """`equity` if every fill had been at the mid of its decision, without fees and funding."""
        paid = (fill.quantity * (fill.price - fill.decision_mid) + fill.fee for fill in self.fills)
        paid_so_far, times = [ZERO, *accumulate(paid)], [fill.time_ns for fill in self.fills]
        at = zip(self.time_ns, self.equity, strict=True)
        return tuple(equity + paid_so_far[bisect_right(times, time_ns)] for time_ns, equity in at)

    @property
    def paper_profit(self) -> Decimal:
        """`profit` if every fill had been at the mid of its decision, without fees and funding."""
        return self.paper_equity[-1] - self.starting_balance

    @property
    def traded(self) -> Decimal:
        """Notional of all fills, at the mids of their decisions."""
        return _total(abs(fill.quantity) * fill.decision_mid for fill in self.fills)

    @property
    def slippage_bp(self) -> Decimal | None:
        """Mean price of all fills against the mids of their decisions, in basis points, weighted by notional."""
        if not self.traded:
            return None
        slipped = self.costs.spread + self.costs.impact + self.costs.delay
        return round(slipped / self.traded * BASIS_POINTS, BASIS_POINT_DIGITS)

    @property
    def refusals_by_rule(self) -> dict[str, int]:
        """How many orders each rule has refused, as ``by: rule``, in alphabetical order."""
        names = sorted(f"{refusal.by}: {refusal.rule}" for refusal in self.refusals)
        return {name: names.count(name) for name in dict.fromkeys(names)}

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON types: amounts as text, so that no decimal is lost."""
        return {
            "summary": self.summary(),
            "series": {name: _plain(getattr(self, name)) for name in _SERIES},
            **{name: [_record(each) for each in getattr(self, name)] for name in _RECORDS},
        }

    def summary(self) -> dict[str, Any]:
        """The figures that sum it up, as JSON types."""
        numbers = {
            name: getattr(self, name)
            for name in (
                "instrument",
                "n_bars",
                "n_quotes",
                "starting_balance",
                "profit",
                "paper_profit",
                "slippage_bp",
            )
        }
        numbers |= {"final_equity": self.equity[-1], "equity_after_funding": self.equity[-1] - self.funding_paid[-1]}
        numbers |= {"account_equity": self.account_equity, "held": self.held[-1], "traded": self.traded}
        numbers |= {"n_orders": len(self.parents), "n_children": len(self.children), "n_fills": len(self.fills)}
        costs = {part.name: getattr(self.costs, part.name) for part in fields(CostSplit)} | {"total": self.costs.total}
        return {
            **_mapping(numbers),
            "costs": _mapping(costs),
            "refusals": self.refusals_by_rule,
            "mode_changes": len(self.modes),
        }

    def to_json(self) -> str:
        """`to_dict` as JSON; two runs of the same backtest give the same bytes."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"


_SERIES = ("time_ns", "mid", "held", "target", "equity", "funding_paid")
_RECORDS = ("orders", "fills", "refusals", "modes", "targets", "funding")
_DERIVED = {FillRecord: ("spread", "impact", "delay", "slippage_bp")}


def _total(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, ZERO)


def _record(record: Any) -> dict[str, Any]:
    names = [part.name for part in fields(record)] + list(_DERIVED.get(type(record), ()))
    return {name: _plain(getattr(record, name)) for name in names}


def _mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return f"{value:f}" if isinstance(value, Decimal) else value
