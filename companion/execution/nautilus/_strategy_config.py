"""Settings of the strategy, checked when they are made."""

from decimal import Decimal

from nautilus_trader.model.data import BarType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.config import StrategyConfig

from companion._checks import check_count, check_positive
from companion.execution._gate_config import GateConfig
from companion.risk import Posture
from companion.risk._decimal import is_amount, require_share, to_decimal


class RegimeStrategyConfig(StrategyConfig, kw_only=True, frozen=True):
    """Settings of a `RegimeStrategy`; those of every strategy, such as ``strategy_id``, are accepted too.

    Attributes
    ----------
    instrument_id : InstrumentId
        What is traded. The strategy is its only trader: it reconciles whatever it finds.
    bar_type : BarType
        Bars that the desk decides on, of the same instrument.
    gate : GateConfig
        Thresholds of the liquidity gate.
    dead_band : Decimal
        Smallest difference from the target that is traded away, in the base currency; zero trades all of them.
    reducing_posture : Posture
        What to do while the gate says REDUCING: FREEZE holds, SHRINK_ONLY follows the target towards zero, FLATTEN
        holds nothing.
    max_order_quantity : Decimal or None
        Largest order, in the base currency; what is missing beyond it comes in the next loop. None leaves that to the
        instrument and to the `RiskGate`.
    twap_horizon_s : float or None
        Time in which TWAP_ADAPTIVE works an order, in seconds; None sends plain market orders.
    twap_interval_s : float
        Time between two of its slices, in seconds.
    loop_interval_s : float or None
        Runs the control loop by a timer as well, in seconds: the target stays that of the last bar, but a halt, a loss
        or a canceled order is answered within this time. None runs it at each bar only.
    max_daily_loss : Decimal or None
        Loss of a day (UTC) that halts trading until `RegimeStrategy.lift` is called, a share of the equity that the
        day began with. None leaves that to the desk and to the `RiskGate`.
    invalid_volatility_grace_bars : int
        Bars in succession without a volatility that are borne flat; one more stops the strategy.
    retry_after_s : float
        Time after a denied, rejected or expired order before the next of its kind, in seconds.
    flatten_on_stop : bool
        Whether stopping sells what is held; working orders are canceled in any case.
    max_bar_age_s : float or None
        Age, since its close, from which on a bar that comes in is decided on and not traded on, in seconds: what was
        missed is caught up with. Until the next bar only a flatten is sent. None trades on each bar.
    keep_records : int or None
        Records and incidents that are kept, the latest; None keeps all.

    Raises
    ------
    ValueError
        Names the setting that is out of range or contradicts another.
    """

    instrument_id: InstrumentId
    bar_type: BarType
    gate: GateConfig
    dead_band: Decimal
    reducing_posture: Posture = Posture.SHRINK_ONLY
    max_order_quantity: Decimal | None = None
    twap_horizon_s: float | None = 50.0
    twap_interval_s: float = 5.0
    loop_interval_s: float | None = None
    max_daily_loss: Decimal | None = Decimal("0.02")
    invalid_volatility_grace_bars: int = 5
    retry_after_s: float = 60.0
    flatten_on_stop: bool = False
    max_bar_age_s: float | None = None
    keep_records: int | None = None

    def __post_init__(self) -> None:
        if self.bar_type.instrument_id != self.instrument_id:
            raise ValueError(f"bar_type must be of {self.instrument_id}, got {self.bar_type}")
        if self.reducing_posture is Posture.NORMAL:
            raise ValueError(
                "reducing_posture must be one that acts, got Posture.NORMAL: freeze, shrink only or flatten"
            )
        band = to_decimal(self.dead_band, "dead_band")
        if not (band.is_finite() and band >= 0):
            raise ValueError(f"dead_band must be finite and not negative, got {self.dead_band!r}")
        if self.max_order_quantity is not None and not is_amount(to_decimal(self.max_order_quantity, "quantity")):
            raise ValueError(f"max_order_quantity must be None or a positive amount, got {self.max_order_quantity!r}")
        if self.max_daily_loss is not None:
            require_share(self.max_daily_loss, "max_daily_loss")
        for name in ("twap_horizon_s", "twap_interval_s", "loop_interval_s", "retry_after_s", "max_bar_age_s"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if self.twap_horizon_s is not None and self.twap_interval_s > self.twap_horizon_s:
            raise ValueError(
                f"twap_interval_s must not exceed twap_horizon_s, {self.twap_horizon_s}, got {self.twap_interval_s}"
            )
        if self.keep_records is not None:
            check_count("keep_records", self.keep_records)
        grace = self.invalid_volatility_grace_bars
        if isinstance(grace, bool) or not isinstance(grace, int) or grace < 0:
            raise ValueError(f"invalid_volatility_grace_bars must be an integer from 0, got {grace!r}")
