"""The backtest report as one HTML page that opens without a network: a table, its figures, and how to read them."""

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

import numpy as np

from companion import plotting
from companion.backtest import BacktestResult, drawdown
from companion.pipeline._contenders import AVERAGE, BASELINES, HOLD, MODEL, TARGET, UNIVERSAL, Contest

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
<p>A detector holds the asset in the stable regime and cash in the chaos regime: chaos from a probability of
{enter_chaos:g} up, stable again at {leave_chaos:g}. Its dimmer holds more or less by the same probability, and the desk
sizes the position besides, with a cap on its volatility. The 200-day average holds the asset while it is not below that
average; the volatility target aims at {target_volatility:.0%} a year. A decision at a close is traded {delay} bar(s)
later, at a cost of {cost_bp:g} basis points one way and half a spread of {half_spread_bp:g}; cash earns {cash_rate:.1%}
a year, and a year has {bars_per_year:.1f} bars. EWMA, GARCH and HMM are fitted anew every {refit_every} bars, on all of
the past and nothing else. The Mamba detectors were trained on simulated markets only and are never fitted again; every
probability is calibrated on simulated paths, where the regime is known. Prices are taken as they are: without dividends
where the file has none. A backtest is a description of the past, not a promise.</p>
<div class="wide">{table}</div>
<p>In brackets: 95 % intervals from a stationary block bootstrap. A difference whose interval contains zero is no
difference that these years can show. The last three columns are of a constant weight, as large as the strategy's own
was on average: who is half in cash has half the drawdown without any skill.</p>
{luck}
{notes}
{figures}
</html>
"""
_COLUMNS = {
    "growth a year": ("cagr", "{:.1%}"),
    "volatility": ("volatility", "{:.1%}"),
    "Sharpe": ("sharpe", "{:.2f}"),
    "worst drawdown": ("max_drawdown", "{:.1%}"),
    "its length in bars": ("drawdown_bars", "{:.0f}"),
    "Calmar": ("calmar", "{:.2f}"),
    "turnover a year": ("turnover", "{:.1f}"),
    "invested": ("time_invested", "{:.0%}"),
}


def report_html(summary: Mapping[str, Any], contest: Contest) -> str:
    """Render the report.

    Parameters
    ----------
    summary : mapping
        What the step writes as JSON.
    contest : Contest
        The strategies that were tried, all on the same days.
    """
    results = {name: each.backtest for name, each in contest.tried.items()}
    figures = "\n".join(
        f"<figure>{figure.to_html(full_html=False, include_plotlyjs=number == 0, div_id=f'figure-{number}')}"
        f"<figcaption>{escape(figure.layout.meta['alt'])}</figcaption></figure>"
        for number, figure in enumerate(_figures(results))
    )
    filled = {
        "table": _table(summary["strategies"]),
        "luck": _luck(summary["best"]),
        "notes": "".join(f"<p>{escape(note)}</p>" for note in summary["notes"]),
        "figures": figures,
    }
    levels = {name: getattr(contest.rule, name) for name in ("enter_chaos", "leave_chaos")}
    return _PAGE.format(**vars(contest.config) | levels | dict(summary) | filled)


def _luck(best: Mapping[str, Any] | None) -> str:
    if best is None:
        return ""
    return (
        f"<p>{best['n_trials']} strategies were tried on these prices, as different as {best['effective_trials']:.1f} "
        f"that have nothing to do with each other. The best of them by its Sharpe ratio, {escape(best['strategy'])}, "
        f"has one above zero with a probability of {best['deflated_sharpe_ratio']:.2f}, that choice counted (deflated "
        f"Sharpe ratio). Above zero is more than cash, not more than buy &amp; hold.</p>"
    )


def _table(strategies: Mapping[str, Mapping[str, Any]]) -> str:
    last = ("drawdown / buy & hold", "Sharpe − buy & hold", "Sharpe − constant", "its growth", "its drawdown")
    rows = ["".join(f"<th>{escape(head)}</th>" for head in ("strategy", *_COLUMNS, *last))]
    for name, values in strategies.items():
        cells = [escape(name)]
        for head, (key, form) in _COLUMNS.items():
            cells.append(_number(values.get(key), form) + _bracket(values.get("sharpe_interval")) * (head == "Sharpe"))
        constant = values.get("constant_exposure") or {}
        ratio = values.get("drawdown_over_buy_and_hold")
        cells.append("" if ratio is None else f"{ratio['estimate']:.2f}{_bracket(ratio)}")
        cells += map(_difference, (values.get("sharpe_minus_buy_and_hold"), constant.get("sharpe_difference")))
        cells += (_number(constant.get(key), "{:.1%}") for key in ("cagr", "max_drawdown"))
        rows.append("".join(f"<td>{cell}</td>" for cell in cells))
    return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def _difference(interval: Mapping[str, float | None] | None) -> str:
    return "" if interval is None else f"{interval['estimate']:+.2f}{_bracket(interval)}"


def _bracket(interval: Mapping[str, float | None] | None) -> str:
    if interval is None:
        return ""
    low, high = interval["low"], interval["high"]
    return f" [{'−∞' if low is None else f'{low:.2f}'}, {'∞' if high is None else f'{high:.2f}'}]"


def _figures(results: Mapping[str, BacktestResult]) -> list[Any]:
    market = results[HOLD]
    days = np.asarray(market.index)
    reader = next((name for name in (MODEL, UNIVERSAL, AVERAGE) if name in results), HOLD)
    rules = [name for name in (reader, HOLD, AVERAGE, TARGET) if name in results]
    detectors = [name for name in (MODEL, UNIVERSAL, *BASELINES) if name in results]

    def curves(names: Iterable[str], of: Callable[[BacktestResult], np.ndarray]) -> dict[str, Any]:
        return {name: plotting.thin(days, of(results[name]), n=2000) for name in dict.fromkeys(names)}

    def equity(result: BacktestResult) -> np.ndarray:
        return result.equity

    return [
        plotting.regimes(
            days,
            market.equity,
            (results[reader].position == 0).astype(np.int8),
            log_y=True,
            alt=f"The price, one at the start, with the days shaded on which {reader} held cash.",
            y_title="price",
        ),
        plotting.lines(
            curves(rules, equity),
            log_y=True,
            alt="Equity after costs: a detector beside the price itself and what needs no model.",
            y_title="equity",
        ),
        plotting.lines(
            curves(detectors or [HOLD], equity),
            log_y=True,
            alt="Equity after costs: the detectors, all or nothing.",
            y_title="equity",
        ),
        plotting.lines(
            curves(rules, lambda result: drawdown(result.equity)),
            alt="Drawdown from the highest equity so far.",
            y_title="drawdown",
        ),
    ]
