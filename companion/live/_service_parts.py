"""With what a service trades: strategy, limits and feed from its settings, every minute of them a bar."""

from decimal import ROUND_DOWN, Decimal

from nautilus_trader.model.instruments import Instrument

from companion.errors import InputError
from companion.execution import GateConfig, RiskLimits
from companion.execution.nautilus import RegimeStrategyConfig, TwapAdaptiveConfig
from companion.live._data_client import bar_type_of
from companion.live._feed_config import FeedConfig
from companion.live._settings import SYMBOL, LiveSettings

MAX_BAR_AGE_S = 5.0, 1.0
"""A bar of a minute, or one of next to nothing, that comes later is decided on, and not traded on."""
LOOP_S = 1.0
"""Between two looks of the strategy, and so longest wait of what is halted, refused or canceled, without a bar."""
KEEP = 1000
"""Records in memory; the audit log has all."""


def all_in(balance: Decimal, price: Decimal) -> Decimal:
    """What the balance buys, in whole steps of the instrument.

    Raises
    ------
    InputError
        If that is nothing.
    """
    quantity = (balance / price).quantize(Decimal("0.001"), ROUND_DOWN)
    if quantity <= 0:
        raise InputError(f"--balance: {balance} USDT buys less than .001 BTC at {price}; begin anew with more")
    return quantity


def strategy_config(settings: LiveSettings, instrument: Instrument, whole: Decimal) -> RegimeStrategyConfig:
    """The strategy of chapter 12; `whole` is what the balance buys."""
    pace = settings.pace
    return RegimeStrategyConfig(
        use_uuid_client_order_ids=True,  # the engine's own count anew in each run, to the second
        instrument_id=instrument.id,
        bar_type=bar_type_of(instrument, settings.interval),
        gate=GateConfig(sample_s=5.0 * pace, calm_s=30.0 * pace, max_age_s=settings.max_quote_age_s),
        dead_band=whole * Decimal(repr(settings.dead_band)),
        twap_horizon_s=50.0 * pace,
        twap_interval_s=5.0 * pace,
        loop_interval_s=LOOP_S,
        max_daily_loss=Decimal(repr(settings.max_daily_loss)),
        retry_after_s=60.0 * pace,
        max_bar_age_s=max(MAX_BAR_AGE_S[0] * pace, MAX_BAR_AGE_S[1]),
        keep_records=KEEP,
    )


def algorithm_config(settings: LiveSettings) -> TwapAdaptiveConfig:
    """TWAP_ADAPTIVE, with the same age of a quote."""
    return TwapAdaptiveConfig(max_quote_age_s=settings.max_quote_age_s, keep_outcomes=KEEP)


def risk_limits(settings: LiveSettings, whole: Decimal, price: Decimal) -> RiskLimits:
    """Twice what the balance buys, in one order and in all; a slice every five seconds is far below every rate."""
    return RiskLimits(
        max_order_quantity=2 * whole,
        max_order_notional=2 * whole * price,
        max_position=2 * whole,
        max_open_orders=10,
        price_collar=Decimal("0.01"),
        period_collar=Decimal("0.05"),
        period_s=300.0 * settings.pace,
        max_messages=60,
        message_window_s=60.0 * settings.pace,
        max_repeats=40,
        repeat_window_s=60.0 * settings.pace,
        max_daily_loss=Decimal(repr(settings.max_daily_loss)),
        max_quote_age_s=settings.max_quote_age_s,
    )


def feed_config(settings: LiveSettings) -> FeedConfig:
    """The feed of quotes and bars."""
    return FeedConfig(
        symbol=SYMBOL,
        interval=settings.interval,
        stale_after_s=settings.stale_after_s,
        dead_after_s=settings.dead_after_s,
    )
