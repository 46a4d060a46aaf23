"""A desk that is ready for minute bars of a market that never closes, such as a perpetual future of BTC.

Its three parts know minutes: a filter of any scale, a monitor that was calibrated on
simulated minutes, and a sizing law whose numbers are per minute.
"""

from decimal import Decimal
from pathlib import Path

from companion._files import read_json, sha256_file
from companion.datasets._intraday import IntradayVolatility
from companion.desk._desk import Desk, Leverage
from companion.desk._signals import Signal
from companion.errors import InputError
from companion.regimes import NeuralRegimeFilter
from companion.regimes._neural_filter import OOD, SCALE_FREE
from companion.risk import DailyLossLimit, SafetyMonitor, SizingConfig
from companion.risk._instrument import Instrument

MINUTES_PER_YEAR = 525_600
WARM_UP = 720
"""Bars until the filter's scale is one."""
MONITOR = Path(__file__).parent / "pretrained" / "minute_monitor.json"
FORMAT_VERSION = 2
REMEDY = "make it again with `python -m companion.pipeline.calibrate_minute_monitor`"


def minute_filter() -> NeuralRegimeFilter:
    """The filter of `minute_desk`, which knows every scale."""
    return NeuralRegimeFilter.load_pretrained("scale_free", warm_up=WARM_UP)


def minute_monitor() -> SafetyMonitor:
    """The monitor of `minute_desk`, as ``companion.pipeline.calibrate_minute_monitor`` has calibrated it.

    It stops a normal day of minutes with probability 1/30: one day a month. Normal are markets drawn by
    `companion.heston.WidePrior`, a bar a minute, at 15 to 90 % a year in calm, with prices on a tick of two in a
    million.

    Raises
    ------
    InputError
        When the file is missing or damaged, or was calibrated on another filter.
    """
    stored = read_json(MONITOR, remedy=REMEDY)
    try:
        version, inputs = stored["format_version"], stored["provenance"]["inputs"]
        made_for = [inputs[name]["sha256"] for name in ("model", "ood")]
        monitor = SafetyMonitor.from_parameters(stored["parameters"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{MONITOR}: content is not a monitor ({error!r}); {REMEDY}") from error
    if (version, made_for) != (FORMAT_VERSION, [sha256_file(SCALE_FREE), sha256_file(OOD)]):
        raise InputError(f"{MONITOR}: the monitor is of another format or filter than this version's; {REMEDY}")
    return monitor


def minute_sizing() -> SizingConfig:
    """The sizing law of `minute_desk`, per minute.

    A saturated signal expects 5e-7 a minute, 26 % a year, and Z = 1 expects 15 %: a view, not a measurement. With
    `gamma` 2 that is .43 of equity where volatility is 42 % a year, and never more than all of it. The volatility of
    equity is held to .00028 a minute, 20 % a year. A quote that is 5 % from the last close is not believed.
    """
    return SizingConfig(kappa=5e-7, gamma=2.0, f_max=1.0, sigma_target=0.00028, max_price_move=0.05)


def minute_desk(
    *,
    instrument: Instrument,
    sizing: SizingConfig | None = None,
    signal: Signal | None = None,
    leverage: Leverage | None = None,
    intraday: IntradayVolatility | None = None,
    max_daily_loss: Decimal | float = 0.03,
    bar: str = "1min",
) -> Desk:
    """A desk for minute bars, which warms up for 720 of them: twelve hours flat.

    It is made for regimes that last hours. They are read by a filter that knows every scale; volatility is that of the
    last 60 closes. The monitor stops one normal day a month, and flattens for as long as it fires. Bars up to 15
    minutes apart are a hole in the feed; after a longer one every bar is refused until `Desk.reset`, for the regime of
    an hour ago is no reading.

    Parameters
    ----------
    instrument : Instrument
        Steps and limits of what is traded.
    sizing : SizingConfig, optional
        Per minute; by default `minute_sizing`.
    signal : Signal, optional
        By default `AlwaysLong`.
    leverage : DimmerSteps or callable, optional
        As in `Desk`.
    intraday : IntradayVolatility, optional
        Curve of the time of day, of minutes, as in `Desk`.
    max_daily_loss : Decimal or float
        Share of the day's first equity, in (0, 1): three typical days where the volatility of equity is 20 % a year.
        The limit latches and flattens.
    bar : str
        Length of a bar, in the notation of `pandas.Timedelta`. All numbers here are per bar: another length is for a
        rehearsal, in which minutes are replayed faster and stamped anew.

    Raises
    ------
    ValueError
        When an argument is out of range.
    InputError
        When a file that ships with the package is damaged.
    """
    return Desk(
        minute_filter(),
        minute_monitor(),
        sizing=minute_sizing() if sizing is None else sizing,
        instrument=instrument,
        signal=signal,
        leverage=leverage,
        window=60,
        intraday=intraday,
        daily_loss=DailyLossLimit(max_daily_loss),
        bar=bar,
        longest_gap=15,
    )
