"""Step 4: from prices to a report: detectors walk-forward, after delay and costs, beside what any reader would try."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from companion._files import atomic_path, followed, provenance, recorded, sha256_file
from companion._tables import table_bytes
from companion.backtest import ZeroOne, price_notes
from companion.errors import InputError
from companion.pipeline._backtest_settings import BacktestConfig
from companion.pipeline._backtest_summary import summarize, to_table
from companion.pipeline._contenders import Contest, Recorded
from companion.pipeline._prices import load_prices
from companion.pipeline._report import report_html
from companion.pipeline._step import Report, Step, main
from companion.pipeline.extract_regimes import read_regimes

FORMAT = 3
KIND = "walk-forward backtest"
COLUMNS = {
    "date": "timestamp[ns]",
    "strategy": "string",
    "position": "float64",
    "returns": "float64",
    "equity": "float64",
}


def run(config: BacktestConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Backtest the detectors and what any reader would try instead, walk-forward.

    The prices are those of --prices, read by the shipped detectors, or those of --regimes, read by a model of your own.
    The report is JSON; beside it lie the same as a page (.html) and positions, returns and equity (.parquet). It holds
    all settings: --config REPORT.json runs it again.
    """
    _check_beside(output, [*inputs.values(), *([Path(config.prices)] if config.prices else [])])
    close, identity, rule, model = _read(config, inputs)
    if config.sha256 not in (None, identity["sha256"]):
        raise InputError(
            f"{identity['file']}: sha256 is {identity['sha256']}, not {config.sha256}: give the file that was used "
            f"then, or leave sha256 out"
        )
    config.check_bars(len(close), identity["file"])
    contest = Contest(close, config, rule)
    contest.run(report, model=model)
    summary = {
        "kind": KIND,
        "format": FORMAT,
        "levels": asdict(rule),
        **summarize(contest, config),
        "provenance": provenance(seed=config.seed, config=recorded(config) | {"sha256": identity["sha256"]}, inputs={}),
    }
    odd = [*_left_out(close), *price_notes(close)]
    summary["notes"] = [*(f"Prices: {note}." for note in odd), *summary["notes"]]
    summary["provenance"]["inputs"]["prices" if model is None else "regimes"] = identity
    _write(output, summary, contest)
    return f"{summary['conclusion']} See {output.with_suffix('.html')}"


def _read(
    config: BacktestConfig, inputs: Mapping[str, Path]
) -> tuple[pd.Series, dict[str, str], ZeroOne, Recorded | None]:
    """Closes, what identifies them, the levels at which detectors switch, and the user's own model, if there is one."""
    if config.prices is not None:
        return *load_prices(config), ZeroOne(), None
    path = inputs["regimes"]
    table, source = read_regimes(path)
    try:
        rule = ZeroOne(**{name: source["config"][name] for name in ("enter_chaos", "leave_chaos")})
    except (KeyError, TypeError) as error:
        what = f"was not written by this version, lacks {error}"
        raise InputError(f"{path}: {what}; make it with `companion extract-regimes`") from error
    identity = {"file": path.name, "sha256": sha256_file(path)}
    return table["close"], identity, rule, Recorded(table["p_chaos"].to_numpy()[1:])


def _left_out(close: pd.Series) -> list[str]:
    """What `--missing drop` has done."""
    dates = close.attrs.get("left_out", ())
    if not dates:
        return []
    return [
        f"{len(dates)} rows without a price are left out, the first of {dates[0]}: give their closes if there are any"
    ]


def _check_beside(output: Path, inputs: Sequence[Path]) -> None:
    """Refuse a report whose page or table would overwrite an input."""
    for path in (output.with_suffix(".html"), output.with_suffix(".parquet")):
        if any(followed(file).resolve() == followed(path).resolve() for file in inputs):
            raise InputError(f"--out {output}: {path.name}, written beside it, is an input; choose another name")


def _write(output: Path, summary: Mapping[str, Any], contest: Contest) -> None:
    """The report as JSON, as a page and as a table; all are whole before any is replaced."""
    page = report_html(summary, contest)
    content = table_bytes(to_table(contest), kind=KIND, columns=COLUMNS, provenance=summary["provenance"])
    with (
        atomic_path(output) as json_part,
        atomic_path(output.with_suffix(".html")) as html_part,
        atomic_path(output.with_suffix(".parquet")) as table_part,
    ):
        table_part.write_bytes(content)
        html_part.write_text(page, encoding="utf-8")
        json_part.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")


STEP = Step(
    "backtest-walkforward",
    BacktestConfig,
    inputs={"regimes": "regimes.parquet"},
    output="backtest.json",
    run=run,
    instead={"prices": "regimes"},
)
APP = STEP.app()

if __name__ == "__main__":
    sys.exit(main(STEP))
