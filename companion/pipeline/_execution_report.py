"""The report of an execution as one HTML page that opens without a network: what was done, what it cost, and why."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from companion import plotting

if TYPE_CHECKING:
    from companion.execution.nautilus import ExecutionResult

MOST_ROWS = 200  # of a table; the rest is in the JSON
_PARTS = {
    "fee": "commission of the exchange",
    "spread": "half of the spread at the fill",
    "impact": "beyond the best price, where the order was larger than what stood there",
    "delay": "the mid moved between decision and fill",
    "funding": "paid to the other side of the perpetual every eight hours",
    "total": "against fills at the decision's mid, without fees and funding",
}
_TEXT = {"what it is", "the first reason", "mode", "source", "reason", "ended"}  # columns of words
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Execution backtest</title>
<style>
 body {{ font: 16px/1.55 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
 .wide {{ overflow-x: auto; }}
 table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
 th, td {{ padding: .3rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd; }}
 th:first-child, td:first-child, .text {{ text-align: left; }}
 figure {{ margin: 2rem 0; }} figcaption {{ color: #555; }}
</style>
<h1>Execution backtest, {instrument}</h1>
<p><strong>{conclusion}</strong></p>
<p>{n_bars:,} bars and {n_quotes:,} quotes, from {first} to {last}, went through NautilusTrader {engine}. An order
reaches the venue {latency_ms:g} ms after its decision and is filled from quotes, never from the bar that made it.
Equity marks a long at the bid and a short at the ask. A backtest is a description of the past, not a promise; this one
has no other traders, so nobody reacts to its orders.</p>
{notes}
<h2>What it cost</h2>
<div class="wide">{costs}</div>
<h2>What was refused</h2>
<div class="wide">{refusals}</div>
<h2>Changes of the trading mode</h2>
<div class="wide">{modes}</div>
{figures}
<h2>Orders</h2>
<div class="wide">{orders}</div>
</html>
"""


def report_html(summary: Mapping[str, Any], result: "ExecutionResult") -> str:
    """Render the report.

    Parameters
    ----------
    summary : mapping
        What the step writes as JSON.
    result : ExecutionResult
        What the run found.
    """
    figures = "\n".join(
        f"<figure>{figure.to_html(full_html=False, include_plotlyjs=number == 0, div_id=f'figure-{number}')}"
        f"<figcaption>{escape(figure.layout.meta['alt'])}</figcaption></figure>"
        for number, figure in enumerate(_figures(result))
    )
    return _PAGE.format(
        instrument=escape(result.instrument),
        conclusion=escape(summary["conclusion"]),
        n_bars=result.n_bars,
        n_quotes=result.n_quotes,
        first=utc(result.time_ns[0]),
        last=utc(result.time_ns[-1]),
        engine=summary["engine"],
        latency_ms=summary["provenance"]["config"]["latency_ms"],
        notes="".join(f"<p>{escape(note)}</p>" for note in summary["notes"]),
        costs=_costs(result),
        refusals=_refusals(result),
        modes=_modes(result),
        orders=_orders(result),
        figures=figures,
    )


def _costs(result: "ExecutionResult") -> str:
    rows = []
    for name, meaning in _PARTS.items():
        amount = getattr(result.costs, name)
        share = f"{amount / result.traded * 10_000:+.2f}" if result.traded else "–"
        rows.append((name, f"{amount:+,.2f}", share, meaning))
    return _table(("part", "USDT", "bp of what was traded", "what it is"), rows)


def _refusals(result: "ExecutionResult") -> str:
    reasons = {f"{refusal.by}: {refusal.rule}": refusal.reason for refusal in reversed(result.refusals)}
    rows = [(rule, f"{count:,}", reasons[rule]) for rule, count in result.refusals_by_rule.items()]
    return _table(("rule", "orders", "the first reason"), rows)


def _modes(result: "ExecutionResult") -> str:
    rows = [(utc(mode.time_ns), mode.mode, mode.source, mode.reason) for mode in result.modes]
    return _table(("time (UTC)", "mode", "source", "reason"), rows)


def _orders(result: "ExecutionResult") -> str:
    children = [child.parent_id for child in result.children]
    rows = [
        (
            utc(order.time_ns),
            f"{order.quantity:+f}",
            f"{order.filled:+f}",
            f"{children.count(order.order_id)}",
            _slippage(result, order.order_id),
            order.status.lower(),
        )
        for order in result.parents
    ]
    return _table(("time (UTC)", "asked", "filled", "slices", "slippage, bp", "ended"), rows)


def _slippage(result: "ExecutionResult", order_id: str) -> str:
    fills = [fill for fill in result.fills if order_id in (fill.order_id, fill.parent_id)]
    if not fills:
        return "–"
    weights = [abs(fill.quantity) for fill in fills]
    mean = sum(w * f.slippage_bp for w, f in zip(weights, fills, strict=True)) / sum(weights)
    return f"{mean:+.2f}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p>None.</p>"
    kinds = [' class="text"' if head in _TEXT else "" for head in heads]
    lines = [
        "".join(f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, row, strict=True))
        for tag, row in [("th", heads), *(("td", row) for row in rows[:MOST_ROWS])]
    ]
    more = len(rows) - MOST_ROWS
    left_out = f"<p>{more:,} more are in the JSON.</p>" if more > 0 else ""
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>" + left_out


def utc(time_ns: int) -> str:
    """Time in nanoseconds since 1970, to the second."""
    return str(np.datetime64(int(time_ns), "ns").astype("datetime64[s]")).replace("T", " ")


def _figures(result: "ExecutionResult") -> Iterable[Any]:
    times = np.array(result.time_ns, "datetime64[ns]")
    held, target, mid, equity, paper = (
        _floats(series) for series in (result.held, result.target, result.mid, result.equity, result.paper_equity)
    )
    after_funding = equity - _floats(result.funding_paid)
    yield plotting.lines(
        {"price": _thin(times, mid)},
        alt="The mid at each close.",
        y_title="USDT",
    )
    yield plotting.lines(
        {"target": _thin(times, np.nan_to_num(target)), "held": _thin(times, held)},
        steps=("target", "held"),
        alt="What the strategy aimed at and what it held, in the base currency: they part where orders are refused, "
        "delayed or below the dead band.",
        y_title="quantity",
    )
    yield plotting.lines(
        {"on paper": _thin(times, paper), "after costs": _thin(times, after_funding)},
        alt="Equity if every fill had been at the mid of its decision, and equity after all costs.",
        y_title="USDT",
    )
    if result.fills:
        yield plotting.scatter(
            {name: _slippages(result, sign) for name, sign in (("bought", 1), ("sold", -1))},
            alt="Slippage of each fill against the mid at the decision of its order, positive when worse.",
            y_title="basis points",
        )


def _thin(times: np.ndarray, values: np.ndarray) -> Any:
    return plotting.thin(times, values)


def _slippages(result: "ExecutionResult", sign: int) -> tuple[np.ndarray, np.ndarray]:
    fills = [fill for fill in result.fills if fill.quantity * sign > 0]
    times = np.array([fill.time_ns for fill in fills], "datetime64[ns]")
    return times, _floats([fill.slippage_bp for fill in fills])


def _floats(values: Iterable[Decimal | None]) -> np.ndarray:
    return np.array([np.nan if value is None else float(value) for value in values])
