"""From a simulated day, or a recorded one, to a report: what the desk wanted, what was traded, and what it cost."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from companion._checks import check_count, check_positive, need
from companion._files import atomic_path, followed, provenance, recorded
from companion.errors import InputError
from companion.pipeline._step import Report, Step, main

if TYPE_CHECKING:
    from companion.execution import MinuteBars, PerpetualMarket, Quotes, RiskLimits
    from companion.execution.nautilus import ExecutionResult

KIND = "execution backtest"
FORMAT = 1
MOST_QUOTES = 10_000_000  # some 4 GB in the engine


@dataclass(frozen=True)
class ExecutionConfig:
    """A market, simulated or recorded, the account, and how the strategy trades.

    Attributes
    ----------
    klines : tuple of str
        Recorded minute bars of BTCUSDT in Binance's format, CSV, zipped or not; give the files of quotes too.
    quotes : tuple of str
        Recorded quotes in Binance's bookTicker format; with klines they replace the simulated market.
    minutes : int
        Minutes to simulate, at least 1; the desk watches the first 720 before it holds anything.
    quotes_per_minute : int
        Simulated quotes a minute, at least 1.
    shock_minute : float
        Minute at which the simulated spread widens and the book thins, at least 0; beyond the end it never does.
    shock_minutes : float
        How long that lasts in full, at least 0 minutes.
    seed : int
        Seed of the simulated market, at least 0.
    balance : float
        Balance of the account at the start, in USDT, above 0.
    leverage : float
        Leverage of the account, at least 1.
    latency_ms : float
        From an order to the venue, in milliseconds, above 0.
    dead_band : float
        Smallest difference from the target that is traded away, as a share of the balance, 0 to 1.
    twap_horizon_s : float
        Time in which an order is worked in slices, in seconds, above 5.
    max_daily_loss : float
        Loss of a day that stops trading, as a share of the equity that the day began with, above 0 and below 1.
    max_quote_age_s : float
        Age from which on a quote is no longer a price, in seconds, above 0.
    """

    klines: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    minutes: int = 2880
    quotes_per_minute: int = 60
    shock_minute: float = 1800.0
    shock_minutes: float = 10.0
    seed: int = 0
    balance: float = 100_000.0
    leverage: float = 10.0
    latency_ms: float = 50.0
    dead_band: float = 0.01
    twap_horizon_s: float = 50.0
    max_daily_loss: float = 0.02
    max_quote_age_s: float = 10.0

    def __post_init__(self) -> None:
        if bool(self.klines) != bool(self.quotes):
            raise ValueError("klines and quotes belong together: give the files of both, or of neither to simulate")
        for name in ("minutes", "quotes_per_minute"):
            check_count(name, getattr(self, name))
        if self.minutes * self.quotes_per_minute > MOST_QUOTES:
            raise ValueError(
                f"minutes times quotes_per_minute must be at most {MOST_QUOTES:,}, got {self.minutes:,} and "
                f"{self.quotes_per_minute:,}"
            )
        check_count("seed", self.seed, least=0)
        for name in ("balance", "latency_ms", "max_quote_age_s"):
            check_positive(name, getattr(self, name))
        for name in ("shock_minute", "shock_minutes"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be a finite number of minutes, at least 0, got {getattr(self, name)}")
        if not 1 <= self.leverage <= 125:
            raise ValueError(f"leverage must be 1 to 125, got {self.leverage}")
        if not 0 <= self.dead_band <= 1:
            raise ValueError(f"dead_band must be a share of 0 to 1, got {self.dead_band}")
        if not 5 < self.twap_horizon_s < float("inf"):
            raise ValueError(
                f"twap_horizon_s must be above 5 seconds, the time between slices, got {self.twap_horizon_s}"
            )
        if not 0 < self.max_daily_loss < 1:
            raise ValueError(f"max_daily_loss must be a share above 0 and below 1, got {self.max_daily_loss}")


def run(config: ExecutionConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Trade the desk's targets on minute bars and quotes of a perpetual, in NautilusTrader, with gate and TWAP.

    Without files the market is simulated, with one shock to its spread. The report is JSON; beside it lies the same as
    a page (.html). It holds all settings: --config REPORT.json runs it again, and gives the same bytes.
    """
    need("nautilus_trader", "nautilus")  # before anything is simulated or read
    from companion.pipeline._execution_report import report_html

    files = {
        f"{name} {n}": Path(file) for name in ("klines", "quotes") for n, file in enumerate(getattr(config, name), 1)
    }
    _check_beside(output, files)
    market, notes = _market(config)
    result = execute(market, config)
    summary = {
        "kind": KIND,
        "format": FORMAT,
        "conclusion": _conclusion(result),
        "notes": [*notes, *_idle(result)],
        "engine": version("nautilus_trader"),
        **result.to_dict(),
        "provenance": provenance(seed=config.seed, config=recorded(config), inputs=files),
    }
    page = report_html(summary, result)
    with atomic_path(output) as json_part, atomic_path(output.with_suffix(".html")) as html_part:
        html_part.write_text(page, encoding="utf-8")
        json_part.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return f"{summary['conclusion']} See {output.with_suffix('.html')}"


def execute(market: "PerpetualMarket | tuple[MinuteBars, Quotes]", config: ExecutionConfig) -> "ExecutionResult":
    """Run the strategy over a market, with limits that follow from the balance and the first price."""
    from companion.desk import minute_desk
    from companion.execution import GateConfig
    from companion.execution.nautilus import (
        RegimeStrategyConfig,
        TwapAdaptiveConfig,
        minute_bar_type,
        perpetual_instrument,
        run_execution,
    )

    instrument = perpetual_instrument()
    bars = market[0] if isinstance(market, tuple) else market.bars
    balance, price = (Decimal(repr(float(amount))) for amount in (config.balance, bars.open[0]))
    all_in = (balance / price).quantize(Decimal("0.001"), ROUND_DOWN)
    if not all_in:
        raise InputError(f"--balance: {balance} USDT buys less than .001 BTC at {price}; give more")
    strategy = RegimeStrategyConfig(
        instrument_id=instrument.id,
        bar_type=minute_bar_type(instrument),
        gate=GateConfig(max_age_s=config.max_quote_age_s),
        dead_band=all_in * Decimal(repr(config.dead_band)),
        twap_horizon_s=config.twap_horizon_s,
        max_daily_loss=Decimal(repr(config.max_daily_loss)),
    )
    return run_execution(
        market,
        desk=minute_desk(instrument=instrument),
        strategy=strategy,
        limits=_limits(config, all_in, price),
        algorithm=TwapAdaptiveConfig(max_quote_age_s=config.max_quote_age_s),
        starting_balance=balance,
        leverage=Decimal(repr(config.leverage)),
        latency_ms=config.latency_ms,
        instrument=instrument,
    )


def _limits(config: ExecutionConfig, all_in: Decimal, price: Decimal) -> "RiskLimits":
    """Twice what the balance buys in one order and in all; a slice every five seconds is far below every rate."""
    from companion.execution import RiskLimits

    return RiskLimits(
        max_order_quantity=2 * all_in,
        max_order_notional=2 * all_in * price,
        max_position=2 * all_in,
        max_open_orders=10,
        price_collar=Decimal("0.01"),
        period_collar=Decimal("0.05"),
        period_s=300.0,
        max_messages=60,
        message_window_s=60.0,
        max_repeats=40,
        repeat_window_s=60.0,
        max_daily_loss=Decimal(repr(config.max_daily_loss)),
        max_quote_age_s=config.max_quote_age_s,
    )


def _market(config: ExecutionConfig) -> tuple[Any, list[str]]:
    """The market, and what a reader has to know of it."""
    from companion.execution import SpreadShock, simulate_perpetual

    if config.klines:
        return _recorded(config)
    shock = SpreadShock(config.shock_minute, config.shock_minutes)
    market = simulate_perpetual(
        n_minutes=config.minutes, quotes_per_minute=config.quotes_per_minute, seed=config.seed, shocks=[shock]
    )
    inside = config.shock_minute < config.minutes
    told = f"one shock to spread and depth at minute {config.shock_minute:g}" if inside else "no shock to its spread"
    return market, [f"The market is simulated, with {told}."]


def _recorded(config: ExecutionConfig) -> tuple[Any, list[str]]:
    from companion.datasets import read_book_ticker, read_klines
    from companion.pipeline._execution_report import utc

    klines, ticker = read_klines(config.klines), read_book_ticker(config.quotes)
    bars, quotes = klines.bars.time_ns, ticker.quotes.time_ns
    if bars[-1] <= quotes[0] or quotes[-1] < bars[0]:
        spans = " and ".join(f"{utc(times[0])} to {utc(times[-1])}" for times in (bars, quotes))
        raise InputError(f"--klines and --quotes must overlap, got {spans}: give files of the same days")
    notes = ["The data are recorded and hold no funding rates: funding is not charged."]
    if klines.gaps:
        notes.append(
            f"{klines.n_missing} minutes have no bar, in {len(klines.gaps)} gaps, the first after "
            f"{utc(klines.gaps[0].after_ns)}."
        )
    if ticker.gaps:
        longest = max(ticker.gaps, key=lambda gap: gap.seconds)
        notes.append(
            f"{len(ticker.gaps)} times no quote came for more than a minute, at most {longest.seconds:.0f} s after "
            f"{utc(longest.after_ns)}: without a fresh quote nothing is sent."
        )
    return (klines.bars, ticker.quotes), notes


def _conclusion(result: "ExecutionResult") -> str:
    costs = result.costs
    return (
        f"{len(result.parents)} orders in {len(result.children)} slices and {len(result.fills)} fills, "
        f"{len(result.refusals)} refused: {result.profit:+,.2f} USDT, of which costs {-costs.total:+,.2f} "
        f"(fee {costs.fee:,.2f}, spread {costs.spread:,.2f}, impact {costs.impact:,.2f}, delay {costs.delay:,.2f}, "
        f"funding {costs.funding:,.2f})."
    )


def _idle(result: "ExecutionResult") -> list[str]:
    """Why nothing was traded, if nothing was."""
    if result.parents:
        return []
    decided = [target.reasons for target in result.targets if target.reasons]
    last = "; ".join(decided[-1]) if decided else "it has found nothing to do"
    return [f"No order was sent. The last that the strategy said: {last}."]


def _check_beside(output: Path, files: Mapping[str, Path]) -> None:
    """Refuse a report whose files would overwrite an input."""
    for path in (output, output.with_suffix(".html")):
        if any(followed(file).resolve() == followed(path).resolve() for file in files.values()):
            raise InputError(f"--out {output}: {path.name} is an input; choose another name")


STEP = Step("backtest-execution", ExecutionConfig, inputs={}, output="execution.json", run=run)
APP = STEP.app()

if __name__ == "__main__":
    sys.exit(main(STEP))
