"""The live service: a folder, a market and a desk become one process that trades on paper until it is told to stop."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from companion.errors import InputError
from companion.live._audit import AuditLog
from companion.live._audit_lines import AuditHead
from companion.live._breaker import CircuitBreaker, Trip
from companion.live._checkpoint import load_checkpoint
from companion.live._http import ExchangeAddress
from companion.live._ledger import Ledger
from companion.live._service_folder import ServiceFolder
from companion.live._service_run import ServiceRun, paper_node
from companion.live._service_start import Opened, Start
from companion.live._settings import SYMBOL, LiveSettings
from companion.live._simulator_process import simulator_process
from companion.live._store import CandleStore

TRIPPED = 3
"""Exit status of a service that the breaker has ended, or has not let begin."""


class Outcome(NamedTuple):
    """How a service ended.

    Attributes
    ----------
    status : int
        0 where it was told to stop or was done, 3 where the breaker is tripped.
    said : str
        Why, and what is held, in one line.
    """

    status: int
    said: str


def run_service(settings: LiveSettings, *, say: Callable[[str], None] = print, show: bool = False) -> Outcome:
    """Trade on paper until told to stop, by SIGINT, SIGTERM, the number of bars, or the breaker.

    All that must outlast it is in its folder: another start goes on with the same account and market, from the
    checkpoint if a warm-up from the store agrees with it. It listens on nothing itself.

    Parameters
    ----------
    settings : LiveSettings
    say : callable
        Gets a line about the start, and without the view one after each bar.
    show : bool
        Show the terminal view meanwhile.

    Returns
    -------
    Outcome

    Raises
    ------
    InputError
        It can not begin: the folder is taken, or of another run; a file or the database is damaged; the exchange does
        not answer, and no price is known.
    """
    folder = ServiceFolder(settings.folder)
    with folder.taken(), ExitStack() as stack:
        breaker = CircuitBreaker(folder.breaker)
        if breaker.tripped is not None:
            return _tripped(breaker.tripped, folder, "nothing is started")
        start_ns = folder.settle(settings, time.time_ns())
        end_ns = start_ns + settings.minutes * settings.step_ns if settings.simulate else None
        if end_ns is not None and time.time_ns() >= end_ns:
            raise InputError(f"{folder.run}: its simulated market is over; give another --folder")
        start = Start(_open(settings, folder, breaker, start_ns, stack), say)
        node = stack.enter_context(paper_node(start, quiet=show))
        run = ServiceRun(start, node, say)
        run.trade(end_ns=end_ns, show=show)
        ledger = start.opened.ledger
        account = f"{run.view.n_bars} bars, position {ledger.position} BTC, balance {ledger.balance} USDT"
        if (trip := breaker.refresh()) is not None:
            return _tripped(trip, folder, account)
        return Outcome(0, f"stopped ({run.why}): {account}")


def _open(
    settings: LiveSettings, folder: ServiceFolder, breaker: CircuitBreaker, start_ns: int, stack: ExitStack
) -> Opened:
    """Open what lies in the folder, and the exchange; `stack` closes it all."""
    checkpoint, reset = load_checkpoint(folder.checkpoint) if folder.checkpoint.exists() else None, folder.last_reset()
    head = AuditHead(*checkpoint.audit_head) if checkpoint and checkpoint.audit_head else None
    if checkpoint is not None and reset is not None:
        checkpoint, reset = (checkpoint, None) if checkpoint.time_ns > reset.time_ns else (None, reset)
    audit = stack.enter_context(AuditLog(folder.audit, expected_head=head))
    store = stack.enter_context(CandleStore(settings.store_url))
    ledger = Ledger.from_audit(folder.audit, settings.starting_balance)
    address = stack.enter_context(_exchange(settings, start_ns))
    return Opened(settings, folder, breaker, audit, store, address, ledger, checkpoint, reset)


@contextmanager
def _exchange(settings: LiveSettings, start_ns: int) -> Iterator[ExchangeAddress]:
    """The exchange's address, and the exchange itself if it is simulated."""
    if settings.http is not None and settings.websocket is not None:
        yield ExchangeAddress(settings.http, settings.websocket)
        return
    named = {name: getattr(settings, name) for name in ("interval", "minutes", "history", "seed", "quotes_per_second")}
    named |= {"symbol": SYMBOL, "start_ns": start_ns}
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in named.items() if value is not None]
    with simulator_process([*flags, *(f"--fault={fault}" for fault in settings.fault)]) as url:
        yield ExchangeAddress.of(url)


def _tripped(trip: Trip, folder: ServiceFolder, account: str) -> Outcome:
    """Why it stands still, and the only way on."""
    remedy = f'companion breaker reset "WHY" --file {folder.breaker}'
    why = f"the breaker is tripped ({trip.source}: {trip.reason}); {account}"
    return Outcome(TRIPPED, f"{why}; look into it, then `{remedy}`, and start again")
