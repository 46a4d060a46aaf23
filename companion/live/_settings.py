"""What `companion live` is told: where the market is, where the folder, how much paper money, how much risk."""

from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from companion._checks import check_count, check_positive
from companion.errors import InputError
from companion.live._candles import engine_step, interval_ns
from companion.live._faults import parse_fault
from companion.live._http import ExchangeAddress

SYMBOL = "BTCUSDT"
FOLDER = Path("build/live")


@dataclass(frozen=True)
class LiveSettings:
    """Settings of a service that trades on paper, by default against a simulated exchange on this machine.

    Attributes
    ----------
    simulate : bool
        Start an exchange on this machine, too; its market goes on where the folder's last one would be by now.
    http : str or None
        Address of a REST interface like that of Binance's futures, for a market that is not simulated.
    websocket : str or None
        Address of its streams; give both.
    folder : Path
        Where audit log, breaker, checkpoint and candles lie; one service at a time.
    store : str or None
        SQLAlchemy's URL of the candles, by default an SQLite file in the folder. A password has no place in it.
    interval : str
        Length of a bar: 1m, or shorter to rehearse, such as 100ms; all that is meant per minute shrinks with it.
    balance : float
        Balance that the folder's paper account begins with, in USDT, above 0.
    leverage : float
        Leverage of the account, 1 to 125.
    dead_band : float
        Smallest difference from the target that is traded away, as a share of the balance, 0 to 1.
    max_daily_loss : float
        Loss of a day that trips the breaker, as a share of the equity that the day began with, above 0 and below 1.
    max_quote_age_s : float
        Age from which on a quote is no longer a price, in seconds, above 0.
    stale_after_s : float
        Seconds without a quote after which the feed is stale and trading halts, above 0.
    dead_after_s : float
        Seconds for which the feed may be stale before it is dead, which trips the breaker, above 0.
    flatten_within_s : float
        Seconds that a tripped service waits for a price to sell at before it ends holding what it holds, above 0.
    bars : int or None
        Stop after so many bars; by default when told to.
    minutes : int
        Bars of the simulated market after its history, at least 1; when they are over the service stops.
    history : int
        Bars of the simulated market before the first start, at least 1.
    seed : int
        Seed of the simulated market, at least 0.
    fault : tuple of str
        Faults of the simulated stream, KIND:AT:BARS, such as half-open:20:3.
    quotes_per_second : float or None
        Quotes of the simulated market, to measure load; by default as many as the market has.

    Raises
    ------
    ValueError
        Names the setting that is out of range, or contradicts another.
    InputError
        If an address is none, or has a password.
    """

    simulate: bool = False
    http: str | None = None
    websocket: str | None = None
    folder: Path = FOLDER
    store: str | None = None
    interval: str = "1m"
    balance: float = 100_000.0
    leverage: float = 10.0
    dead_band: float = 0.01
    max_daily_loss: float = 0.02
    max_quote_age_s: float = 10.0
    stale_after_s: float = 2.0
    dead_after_s: float = 30.0
    flatten_within_s: float = 60.0
    bars: int | None = None
    minutes: int = 10_080
    history: int = 8_000
    seed: int = 0
    fault: tuple[str, ...] = ()
    quotes_per_second: float | None = None

    def __post_init__(self) -> None:
        if self.simulate == (self.http is not None or self.websocket is not None):
            raise ValueError("the market must be one: give --simulate, or --http and --websocket of an exchange")
        if not self.simulate:
            if self.http is None or self.websocket is None:
                raise ValueError("http and websocket belong together: give the addresses of both")
            ExchangeAddress(self.http, self.websocket)
            if self.fault or self.quotes_per_second is not None:
                raise ValueError("fault and quotes_per_second are of the simulated market: give them with --simulate")
        for text in self.fault:
            parse_fault(text)
        if interval_ns(self.interval) > interval_ns("1m"):
            raise ValueError(f"interval must be at most 1m, which the desk is made for, got {self.interval!r}")
        engine_step(self.interval)
        for name in ("balance", "max_quote_age_s", "stale_after_s", "dead_after_s", "flatten_within_s"):
            check_positive(name, getattr(self, name))
        for name in ("minutes", "history"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, least=0)
        for name, check in (("bars", check_count), ("quotes_per_second", check_positive)):
            if getattr(self, name) is not None:
                check(name, getattr(self, name))
        if not 1 <= self.leverage <= 125:
            raise ValueError(f"leverage must be 1 to 125, got {self.leverage}")
        if not 0 <= self.dead_band <= 1:
            raise ValueError(f"dead_band must be a share of 0 to 1, got {self.dead_band}")
        if not 0 < self.max_daily_loss < 1:
            raise ValueError(f"max_daily_loss must be a share above 0 and below 1, got {self.max_daily_loss}")
        _refuse_password(self.store)

    @property
    def step_ns(self) -> int:
        """Length of a bar in nanoseconds."""
        return interval_ns(self.interval)

    @property
    def pace(self) -> float:
        """Length of a bar in minutes: what is meant per minute is multiplied with it."""
        return self.step_ns / interval_ns("1m")

    @property
    def store_url(self) -> str:
        """Where the candles are."""
        return self.store or f"sqlite:///{self.folder / 'candles.db'}"

    @property
    def starting_balance(self) -> Decimal:
        """The balance as an exact amount."""
        return Decimal(repr(float(self.balance)))

    def to_json(self) -> dict[str, Any]:
        """All settings as JSON types."""
        return asdict(self) | {"folder": str(self.folder), "fault": list(self.fault)}


def _refuse_password(store: str | None) -> None:
    """Refuse a URL whose password every user of this machine could read in its list of processes."""
    try:
        password = None if store is None else sa.make_url(store).password
    except (sa.exc.ArgumentError, ValueError):
        return  # the store refuses it, and does not repeat it
    if password is not None:
        raise InputError(
            "a password on the command line can be read by every user of this machine; put it into ~/.pgpass "
            "(HOST:PORT:NAME:USER:PASSWORD, readable by you alone) and leave it out here"
        )
