"""The backtest report as one HTML page that opens without a network: a table, its figures, and how to read them."""

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

import numpy as np

from companion import plotting
from companion.backtest import BacktestResult, drawdown

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Walk-forward backtest</title>
<style>
 body {{ font: 16px/1.55 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
 .wide {{ overflow-x: auto; }}
 table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
 th, td {{ padding: .3rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd; }}
 th:first-child, td:first-child {{ text-align: left; }}
 figure {{ margin: 2rem 0; }} figcaption {{ color: #555; }}
</style>
<h1>Walk-forward backtest, {first_day} to {last_day}</h1>
<p><strong>{conclusion}</strong></p>
<p>A detector holds the index in the stable regime and cash in the chaos regime; the 200-day average holds it above
that average. A decision at a close is traded {delay} bar(s) later, at a cost of {cost_bp:g} basis points one way; cash
earns {cash_rate:.1%} a year, and a year has {bars_per_year:.1f} bars, as the dates have it. The baselines are refitted
every {refit_every} bars on all of the past. The Mamba model is trained on simulated markets only and is never refitted.
Every detector's probability is calibrated on simulated paths, where the regime is known, and switches at the same two
levels: chaos from {enter_chaos:g} up, stable again at {leave_chaos:g}. Prices are without dividends. A backtest is a
description of the past, not a promise.</p>
<div class="wide">{table}</div>
<p>In brackets: 95 % intervals from a stationary block bootstrap. A difference whose interval contains zero is no
difference that these years can show.</p>
{notes}
{figures}
</html>
"""
_COLUMNS = {
    "growth a year": ("cagr", "{:.1%}"),
    "volatility": ("volatility", "{:.1%}"),
    "Sharpe": ("sharpe", "{:.2f}"),
    "worst drawdown": ("max_drawdown", "{:.1%}"),
    "turnover a year": ("turnover", "{:.1f}"),
    "invested": ("time_invested", "{:.0%}"),
}


def report_html(summary: Mapping[str, Any], results: Mapping[str, BacktestResult], regime: np.ndarray) -> str:
    """Render the report.

    Parameters
    ----------
    summary : mapping
        What the step writes as JSON.
    results : mapping of str to BacktestResult
        One result a strategy, "buy & hold" among them, all on the same days.
    regime : ndarray of shape (n_bars,)
        The model's regime on those days.
    """
    figures = "\n".join(
        f"<figure>{figure.to_html(full_html=False, include_plotlyjs=number == 0, div_id=f'figure-{number}')}"
        f"<figcaption>{escape(figure.layout.meta['alt'])}</figcaption></figure>"
        for number, figure in enumerate(_figures(results, regime))
    )
    settings = summary["provenance"]["config"]
    filled = {
        "table": _table(summary["strategies"]),
        "notes": "".join(f"<p>{escape(note)}</p>" for note in summary["notes"]),
        "figures": figures,
    }
    return _PAGE.format(**settings | dict(summary) | filled)


def _table(strategies: Mapping[str, Mapping[str, Any]]) -> str:
    heads = ["strategy", *_COLUMNS, "Sharpe − buy & hold"]
    rows = ["".join(f"<th>{escape(head)}</th>" for head in heads)]
    for name, values in strategies.items():
        cells = [escape(name)]
        for head, (key, form) in _COLUMNS.items():
            value = values.get(key)
            cell = form.format(value) if value is not None else "–"
            cells.append(cell + _bracket(values.get("sharpe_interval")) * (head == "Sharpe"))
        difference = values.get("sharpe_minus_buy_and_hold")
        cells.append(f"{difference['estimate']:+.2f}{_bracket(difference)}" if difference else "")
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def _bracket(interval: Mapping[str, float | None] | None) -> str:
    if interval is None:
        return ""
    low, high = interval["low"], interval["high"]
    return f" [{'−∞' if low is None else f'{low:.2f}'}, {'∞' if high is None else f'{high:.2f}'}]"


def _figures(results: Mapping[str, BacktestResult], regime: np.ndarray) -> list[Any]:
    market = results["buy & hold"]
    days = np.asarray(market.index)
    rules = ("Mamba K-Means", "buy & hold", "200-day average")
    detectors = [name for name in results if name not in rules[1:]]

    def curves(names: Iterable[str], of: Callable[[BacktestResult], np.ndarray]) -> dict[str, Any]:
        return {name: plotting.thin(days, of(results[name]), n=2000) for name in names}

    def equity(result: BacktestResult) -> np.ndarray:
        return result.equity

    return [
        plotting.regimes(
            days,
            market.equity,
            regime,
            log_y=True,
            alt="The index, one at the start, with the days that the Mamba model calls chaos shaded.",
            y_title="index",
        ),
        plotting.lines(
            curves(rules, equity),
            log_y=True,
            alt="Equity after costs: the model beside the index and its 200-day average.",
            y_title="equity",
        ),
        plotting.lines(
            curves(detectors, equity),
            log_y=True,
            alt="Equity after costs: the model beside the other detectors.",
            y_title="equity",
        ),
        plotting.lines(
            curves(rules, lambda result: drawdown(result.equity)),
            alt="Drawdown from the highest equity so far.",
            y_title="drawdown",
        ),
    ]
