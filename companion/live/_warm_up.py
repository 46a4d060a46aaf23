"""Cold start: a desk replays the last candles until it knows the market; there is no way to trade from here."""

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from companion._checks import check_count
from companion.desk import Bar, Decision, Desk
from companion.live._candles import Candle, interval_ns
from companion.live._checkpoint import Checkpoint
from companion.live._warm_up_error import stated_error
from companion.live._warm_up_history import Candles, Fetch, History, as_time, read_history, shown
from companion.risk._decimal import is_amount

REFUSED = "flat: bar refused"
SEQ_LEN = 500
"""Candles without which nothing is traded, whatever the desk says: the source's number."""
N_BARS = 8000
"""Candles that are replayed where they are to be had: four half-lives of the minute desk's slow scale, .7 s of CPU."""
MAX_MOVE = 0.05
"""Log return from the last candle's close to the live market beyond which they are not the same market."""
ROUNDING = 1e-9
"""Largest difference of volatility and signal between a checkpoint and a warm-up; the first is some 1e-4 a minute."""
MAX_LATE = 1
"""Candles that may still be on their way when the warm-up reads history: the feed brings them."""


@dataclass(frozen=True)
class WarmUp:
    """How a desk was started.

    Attributes
    ----------
    ready : bool
        Whether the desk may trade at the next candle. If not, it is flat by itself until it has seen enough.
    reasons : tuple of str
        Why it is not ready, and what else was not as it should be: sentences.
    n_replayed : int
        Candles that the desk was shown: those of the warm-up, or those since the checkpoint.
    n_fetched : int
        Candles that the store lacked and the exchange had.
    last : Candle or None
        The newest that the desk knows; None where it begins anew.
    decision : Decision or None
        What it said to the last one it was shown.
    resumed : bool
        Whether it goes on from a checkpoint.
    """

    ready: bool
    reasons: tuple[str, ...]
    n_replayed: int
    n_fetched: int
    last: Candle | None
    decision: Decision | None
    resumed: bool = False


def desk_bar(candle: Candle, interval: str) -> Bar:
    """The candle as the desk's bar, at the time at which it closed, UTC."""
    return Bar(as_time(candle.open_time_ns + interval_ns(interval)), *candle[1:5])


def warm_up(
    desk: Desk,
    store: Candles,
    *,
    symbol: str,
    interval: str,
    now_ns: int,
    equity: Decimal,
    fetch: Fetch | None = None,
    n_bars: int | None = None,
    quote_mid: float | None = None,
) -> WarmUp:
    """Let a desk begin anew and replay the last candles, so that it knows what one that never stopped would know.

    History has to end now, be unbroken and agree with the live market. Where it is short, or has a gap, only its
    unbroken end is replayed; where it is old, contradicts the exchange or the quote, nothing is. The desk then is not
    ready, and flat by itself for the candles that it still lacks. The liquidity gate learns from quotes, which are in
    no candle: it warms up on the live feed.

    Parameters
    ----------
    desk : Desk
        Forgets what it knew, what its limits have latched included: who latches for good is the circuit breaker.
    store : CandleStore
        What it lacks and the exchange has is stored.
    symbol, interval : str
        Of the candles, as the store names them.
    now_ns : int
        Nanoseconds since 1970. No candle that closes later is looked at.
    equity : Decimal
        Positive; the same at every candle, so that no limit trips. It is what the next loss is measured from: the
        equity that the day began with, if the ledger knows it.
    fetch : callable, optional
        Asks the exchange for the candles that open in [start, end), in nanoseconds. It may fail.
    n_bars : int, optional
        Candles to replay where they are to be had, by default 8,000 or what the desk needs if that is more; see
        `stated_error` for what fewer cost. Ready is a desk after `SEQ_LEN` or what it needs, whichever is more.
    quote_mid : float, optional
        Of the live market, to compare with the last close.

    Returns
    -------
    WarmUp

    Raises
    ------
    ValueError
        If the equity is no amount, or `n_bars` fewer than the desk needs.
    InputError
        When the database fails.
    """
    if not isinstance(equity, Decimal) or not is_amount(equity):
        raise ValueError(f"equity must be a positive Decimal, got {equity!r}")
    needed = max(SEQ_LEN, desk.warm_up_bars)
    wanted = max(N_BARS, needed) if n_bars is None else check_count("n_bars", n_bars)
    if wanted < desk.warm_up_bars:
        raise ValueError(f"n_bars must be at least {desk.warm_up_bars}, which the desk needs, got {n_bars}")
    desk.reset()
    history = read_history(store, symbol=symbol, interval=interval, now_ns=now_ns, n_bars=wanted, fetch=fetch)
    candles, decision = history.candles, None
    if not (reasons := _unusable(history, quote_mid)):
        for candle in candles:
            decision = desk.on_bar(desk_bar(candle, interval), equity=equity)
            if _refuses(decision):
                reasons = (f"The desk refuses the candle of {shown(candle.open_time_ns)}: {decision.reasons[0]}.",)
                break
    if reasons:
        desk.reset()
        return WarmUp(False, reasons + history.notes, 0, history.n_fetched, None, None)
    if len(candles) < (least := min(needed, wanted)):
        reasons = (f"The desk has seen {len(candles)} of the {least} candles that it needs. {history.end}",)
    ready = not reasons
    return WarmUp(ready, reasons + history.notes, len(candles), history.n_fetched, candles[-1], decision)


def check_feed(warm: WarmUp, first: Candle | float, *, interval: str, max_move: float = MAX_MOVE) -> tuple[str, ...]:
    """Why the live feed does not go on where the warm-up ended; nothing if it does.

    Whoever finds a reason calls `Desk.reset`: the desk then begins anew, flat.

    Parameters
    ----------
    warm : WarmUp
    first : Candle or float
        The first live candle, which has to be the next; or the mid of the first quote.
    interval : str
        Of the candles.
    max_move : float
        Largest log return from the last close to the candle's open, or to the mid.
    """
    if warm.last is None:
        return ()
    if not isinstance(first, Candle):
        return _moved(warm.last, first, max_move)
    due_ns = warm.last.open_time_ns + interval_ns(interval)
    if first.open_time_ns != due_ns:
        return (f"The first live candle opens at {shown(first.open_time_ns)}, not at {shown(due_ns)}.",)
    return _moved(warm.last, first.open, max_move)


def resume(
    desk: Desk, checkpoint: Checkpoint, store: Candles, *, symbol: str, interval: str, **settings: Any
) -> WarmUp:
    """Go on from a checkpoint, if a warm-up from the store agrees with it; else from the warm-up.

    The candles since the checkpoint are replayed with its equity: what was lost in the meantime counts at the first
    live candle. The desk must then have seen as many as the warm-up at least. Last, both are asked about one more
    candle that closes where the last one did: P(chaos) may differ by `stated_error`, volatility and signal by rounding
    only (a desk whose curve of the day learns is refused for it). A checkpoint that is refused by mistake costs little.
    What the limits of the checkpoint have latched stays latched even if it is refused, unless it is of another desk.

    Parameters
    ----------
    desk : Desk
        Made as the one of the checkpoint.
    checkpoint : Checkpoint
    store, symbol, interval, **settings
        As in `warm_up`.

    Returns
    -------
    WarmUp
        `resumed` says which it was; if the checkpoint was refused, `reasons` says why.

    Raises
    ------
    ValueError, InputError
        As `warm_up` does.
    """
    warm = warm_up(desk, store, symbol=symbol, interval=interval, **settings)
    warmed = desk.state()
    try:
        since = _since(checkpoint, warm, store, symbol, interval)
        return _resumed(desk, checkpoint, warm, since, interval)
    except _RefusedError as error:
        same = checkpoint.desk.get("desk") == warmed["desk"]
        desk.restore(warmed | {"limits": checkpoint.desk["limits"]} if same else warmed)
        return replace(warm, reasons=(*warm.reasons, f"The checkpoint is not used: {error}."))


def _unusable(history: History, quote_mid: float | None) -> tuple[str, ...]:
    """Why none of it may be replayed."""
    if history.contradiction:
        remedy = "One of the two is of another market: repair the store, or name another."
        return (f"{history.contradiction} {remedy}",)
    if not history.candles:
        return (history.end,)
    last = history.candles[-1]
    if history.n_late > MAX_LATE:
        return (f"The newest candle is that of {shown(last.open_time_ns)}: {history.n_late} are missing after it.",)
    return () if quote_mid is None else _moved(last, quote_mid, MAX_MOVE)


def _refuses(decision: Decision) -> bool:
    """Whether the desk took the candle for none."""
    return any(reason.startswith(REFUSED) for reason in decision.reasons)


def _moved(last: Candle, price: float, max_move: float) -> tuple[str, ...]:
    """Why a live price is none of the market that history is of."""
    if 0.0 < price < math.inf and abs(math.log(price / last.close)) <= max_move:
        return ()
    said = f"The live price is {price:g}, and the candle of {shown(last.open_time_ns)} closed at {last.close:g}"
    return (f"{said}: at most {max_move:.0%} apart would be one market.",)


class _RefusedError(Exception):
    """Why a checkpoint is not used."""


def _since(checkpoint: Checkpoint, warm: WarmUp, store: Candles, symbol: str, interval: str) -> list[Candle]:
    """The candles that were replayed in the warm-up and are newer than the checkpoint."""
    if (checkpoint.symbol, checkpoint.interval) != (symbol, interval):
        raise _RefusedError(f"it is of {checkpoint.symbol} {checkpoint.interval}")
    if not warm.ready or warm.last is None:
        raise _RefusedError("there is no full warm-up to compare it with")
    at_ns, end_ns = checkpoint.last.open_time_ns, warm.last.open_time_ns
    if not 0 <= end_ns - at_ns < warm.n_replayed * interval_ns(interval):
        raise _RefusedError(f"the history that was replayed has no candle of {shown(at_ns)}, its last")
    then, *since = store.between(symbol, interval, at_ns, end_ns + 1)
    if then[:5] != checkpoint.last[:5]:
        raise _RefusedError(f"its last candle, of {shown(at_ns)}, is another than the one that was replayed")
    return since


def _resumed(desk: Desk, checkpoint: Checkpoint, warm: WarmUp, since: list[Candle], interval: str) -> WarmUp:
    """Take the desk from the warm-up to the checkpoint and on, if both agree."""
    last = [checkpoint.last, *since][-1]
    expected, decision = _one_more(desk, last, interval), None
    try:
        desk.restore(checkpoint.desk)
    except ValueError as error:
        raise _RefusedError(str(error)) from error
    for candle in since:
        decision = desk.on_bar(desk_bar(candle, interval), equity=checkpoint.equity)
        if _refuses(decision):
            raise _RefusedError(f"its state and its last candle do not go together ({decision.reasons[0]})")
    found = _one_more(desk, last, interval)
    if found.n_bars < expected.n_bars:
        raise _RefusedError(f"it has seen {found.n_bars} candles, fewer than the warm-up, {expected.n_bars}")
    largest = {"p_stable": stated_error(warm.n_replayed), "sigma_bar": ROUNDING, "signal": ROUNDING}
    for name, allowed in largest.items():
        here, there = getattr(found, name), getattr(expected, name)
        if not (abs(here - there) <= allowed or (math.isnan(here) and math.isnan(there))):
            raise _RefusedError(f"its {name} is {here:g}, that of the warm-up {there:g}, more than {allowed:g} away")
    return replace(warm, n_replayed=len(since), decision=decision, resumed=True)


def _one_more(desk: Desk, last: Candle, interval: str) -> Decision:
    """What the desk would say to one more candle that stands still; it forgets it again."""
    kept, time_ns = desk.state(), last.open_time_ns + interval_ns(interval)
    still = Candle(time_ns, last.close, last.close, last.close, last.close, 0.0)
    decision = desk.on_bar(desk_bar(still, interval), equity=Decimal(1))
    desk.restore(kept)
    return decision
