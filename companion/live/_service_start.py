"""With what a run of the service begins: what its folder remembers, and a desk that has warmed up."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from companion.desk import Desk
from companion.errors import InputError
from companion.execution.nautilus import perpetual_instrument
from companion.live._audit import AuditLog
from companion.live._breaker import CircuitBreaker
from companion.live._candles import Candle
from companion.live._checkpoint import Checkpoint
from companion.live._http import ExchangeAddress, fetch_klines
from companion.live._ledger import Ledger
from companion.live._recipe import DeskRecipe
from companion.live._service_folder import Reset, ServiceFolder
from companion.live._settings import SYMBOL, LiveSettings
from companion.live._store import CandleStore
from companion.live._warm_up import WarmUp, resume, warm_up


@dataclass(frozen=True)
class Opened:
    """What is open while a service runs, and outlasts it.

    Attributes
    ----------
    settings : LiveSettings
    folder : ServiceFolder
    breaker : CircuitBreaker
        Armed.
    audit : AuditLog
    store : CandleStore
    address : ExchangeAddress
    ledger : Ledger
        The account as the audit log tells it.
    checkpoint : Checkpoint or None
        Of the run before, if nobody has reset the breaker since: what a person has looked into is latched no more.
    reset : Reset or None
        A reset of the breaker of which the audit log does not know.
    """

    settings: LiveSettings
    folder: ServiceFolder
    breaker: CircuitBreaker
    audit: AuditLog
    store: CandleStore
    address: ExchangeAddress
    ledger: Ledger
    checkpoint: Checkpoint | None
    reset: Reset | None


class Start:
    """A desk that has warmed up, and what was found on the way.

    Parameters
    ----------
    opened : Opened
    say : callable
        Gets a line about the warm-up.

    Attributes
    ----------
    instrument : Instrument
    desk : Desk
    warm : WarmUp

    Raises
    ------
    InputError
        The paper account is used up, or a file or the database fails.
    """

    def __init__(self, opened: Opened, say: Callable[[str], None]) -> None:
        self.opened, self.instrument = opened, perpetual_instrument()
        self._recipe = DeskRecipe.of(self.instrument, bar=opened.settings.interval)
        self.desk: Desk = self._recipe.make()
        self.warm = self._warm_up(time.time_ns())
        how = "from the checkpoint" if self.warm.resumed else "from history"
        ready = "ready" if self.warm.ready else "not ready, and flat until it is"
        say(f"warm-up: {ready}; {self.warm.n_replayed} bars replayed {how}, {self.warm.n_fetched} of them fetched")
        for reason in self.warm.reasons:
            say(f"warm-up: {reason}")
        self._begin_session()
        if (reset := opened.reset) is not None:
            opened.audit.append("reset", now_ns=time.time_ns(), reason=reset.reason, reset_ns=reset.time_ns)

    def _warm_up(self, now_ns: int) -> WarmUp:
        opened, interval = self.opened, self.opened.settings.interval
        if opened.ledger.balance <= 0:
            raise InputError(f"{opened.folder.path}: its paper account is used up; give another --folder")

        def fetch(start_ns: int, end_ns: int) -> list[Candle]:
            return asyncio.run(fetch_klines(opened.address.http, SYMBOL, interval, start_ns, end_ns))

        told: dict[str, Any] = {"symbol": SYMBOL, "interval": interval, "now_ns": now_ns, "fetch": fetch}
        told["equity"] = opened.ledger.balance
        if opened.checkpoint is None:
            return warm_up(self.desk, opened.store, **told)
        return resume(self.desk, opened.checkpoint, opened.store, **told)

    def begin_anew(self, reasons: tuple[str, ...]) -> None:
        """Forget the warm-up, for the live market is another one: flat until the desk has seen enough of it."""
        self.desk.reset()
        self.warm = WarmUp(False, reasons, 0, self.warm.n_fetched, None, None)
        self._begin_session()

    def price(self) -> Decimal:
        """The newest price that is known.

        Raises
        ------
        InputError
            None is.
        """
        known = [self.warm.last] if self.warm.last else self.opened.store.last(SYMBOL, self.opened.settings.interval, 1)
        if not known:
            raise InputError(
                f"{self.opened.address.http}: no price is known: {' '.join(self.warm.reasons)} Start when it answers"
            )
        return Decimal(repr(known[-1].close))

    def _begin_session(self) -> None:
        """Write down what the desk begins with, so that its decisions can be made again."""
        opened, now_ns = self.opened, time.time_ns()
        opened.audit.append(
            "session",
            now_ns=now_ns,
            sync=True,
            format=1,
            versions={name: version(name) for name in ("modeling-financial-chaos", "nautilus_trader")},
            settings=opened.settings.to_json(),
            desk=self._recipe.to_json(),
            state=self.desk.state(),
        )
        opened.audit.append("warm_up", now_ns=now_ns, report=asdict(self.warm) | {"decision": None})
