"""Hold any code to the rule that no bar sees its own future, by changing the future.

What is decided at bar t may depend on what is known at t, and on nothing else. So keep the past as it was, put another
future behind it and run the code again: no answer up to t may move. This needs no look at the code, and works on
whatever can be called.

It sees what happens inside the call. It can not see a fit that was made before, on all the data (the audit of
`walk_forward` does), a file that was revised later, or a trade at a price that was gone (see the delay of
`run_backtest`).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from companion._checks import check_count, check_positive, check_seed
from companion.backtest._histories import History
from companion.backtest._trial import Trial

WAYS = {
    "redraw": "redrawn from all rows",
    "scale": "made to move three times as far",
    "cut": "cut off",
    "blank": "NaN",
    "gap": "redrawn behind a gap of two bars",
}


class LookAheadError(AssertionError):
    """An answer depends on what became known after its bar, or with `warm_up` on more history than it says it needs.

    Attributes
    ----------
    date : Timestamp or int
        The bar whose answer moved most.
    channel : str
        Which answer that was.
    size : float
        By how much; infinite where one run has a number and the other has not.
    way : str
        How the future was changed, one of `assert_causal`'s ways, or ``start`` where it was the past.
    after : Timestamp or int
        The last bar that was as before; for ``start``, the first bar that there was.
    inputs : tuple of str
        The inputs that move it on their own; empty where that can not be told.
    first : Timestamp or int
        The earliest bar whose answer moved: how far the code looks ahead.
    """

    def __init__(
        self, date: Any, channel: str, size: float, way: str, after: Any, inputs: tuple[str, ...], first: Any
    ) -> None:
        super().__init__(date, channel, size, way, after, inputs, first)
        self.date, self.channel, self.size, self.way = date, channel, size, way
        self.after, self.inputs, self.first = after, inputs, first

    def __str__(self) -> str:
        how = f"moved by {self.size:.3g}" if np.isfinite(self.size) else "came or went"
        what = f"{self.channel} at {_day(self.date)} {how}"
        if self.way == "start":
            return f"warm-up too short: {what} when the history began at {_day(self.after)}"
        source = f" (input {', '.join(self.inputs)})" if self.inputs else ""
        cause = f"what came after {_day(self.after)} was {WAYS[self.way]}{source}"
        return f"look-ahead: {what} when only {cause}; the earliest to move was {_day(self.first)}"


@dataclass(frozen=True)
class CausalityReport:
    """What `assert_causal` has tried on a strategy that passed.

    Attributes
    ----------
    n_bars : int
        Bars of the prices.
    channels : tuple of str
        Names of the answers.
    dates : tuple
        The bars after which the future was changed.
    passed : dict
        Runs by way in which nothing moved; ``start`` is the check of the warm-up.
    refused : dict
        Runs by way that the strategy refused: with an error, or with NaN for the past where it was given NaN.
    reasons : dict
        The first refusal by way.
    largest_move : float
        The largest move that the tolerance let pass, in units of its channel.
    warm_up : int or None
        As given.
    """

    n_bars: int
    channels: tuple[str, ...]
    dates: tuple[Any, ...]
    passed: dict[str, int]
    refused: dict[str, int]
    reasons: dict[str, str]
    largest_move: float
    warm_up: int | None

    def __str__(self) -> str:
        passed = ", ".join(f"{way} {n}" for way, n in self.passed.items())
        lines = [f"causal at {len(self.dates)} of {self.n_bars} bars ({passed}); largest move {self.largest_move:.2g}"]
        lines += [f"refused {way} ({n}): {self.reasons[way]}" for way, n in self.refused.items()]
        if self.warm_up is None:
            lines.append("not checked how much history it needs: give warm_up")
        return "\n".join(lines)


def assert_causal(
    strategy: Any,
    prices: Any,
    *,
    known_at: Mapping[str, Any] | None = None,
    dates: int | Sequence[Any] = 20,
    warm_up: int | None = None,
    ways: Collection[str] = tuple(WAYS),
    tolerance: float = 1e-8,
    seed: int | np.random.Generator = 0,
) -> CausalityReport:
    """Fail if an answer at some bar depends on what became known after it.

    The strategy runs twice on the prices as they are, once on prices with gaps, once a date and way, and four times for
    the warm-up: 107 runs with the defaults and a warm-up. Each is of a copy of the strategy on a copy of the prices.

    Parameters
    ----------
    strategy : callable or fitted detector
        Takes what `prices` is, or less of it, and answers a number a bar (array or Series) or a row of numbers a bar,
        its channels (array of shape (n_bars, n_channels), DataFrame, or mapping of names to numbers a bar). What has
        dates may leave bars out. What has a ``predict_proba`` is asked for that of the log returns of a Series.
    prices : Series, DataFrame, array_like, or mapping of names to them
        A row a bar. Of several tables the first says what the bars are.
    known_at : mapping, optional
        When each row became known, for tables after the first: name of the table to the column that says so, or to the
        times. Without, a row is known at its date, and a row of an array at the bar of its number.
    dates : int or sequence
        After how many bars the future is changed (spread at random over all of them, the last but one among them), or
        after which.
    warm_up : int, optional
        Bars of history that the strategy says it needs: more than these must not move its answers. Not checked without.
    ways : collection of str
        How the future is changed: ``redraw`` (rows drawn from all rows; of prices, their steps), ``scale`` (moves three
        times as large), ``cut`` (no future), ``blank`` (NaN, in one input after the other) and ``gap`` (``redraw``
        behind two bars of NaN, which shows what is filled from behind).
    tolerance : float
        How much an answer may move, in units of the largest of its channel. A network in float32 may need 1e-4,
        for the products of larger matrices round differently.
    seed : int or Generator
        Source of dates and futures.

    Returns
    -------
    CausalityReport
        What was tried, and what the strategy refused.

    Raises
    ------
    LookAheadError
        Names the date, the channel and the size of what moved, the future that moved it and the input that it came by.
    ValueError
        An argument out of range, or a strategy that answers other than one row a bar, is not deterministic, or refuses
        every other future.

    Notes
    -----
    A strategy that answers NaN for the past where the future is NaN, as a product with a triangular matrix does, has
    refused. One that asks the calendar whether its bar is the last of the month does not survive a ``cut``: leave out
    the way that you can account for.
    """
    if not ways or not set(ways) <= set(WAYS):
        raise ValueError(f"ways must be some of {', '.join(WAYS)}, got {', '.join(ways) or 'none'}")
    check_seed(seed)
    history, rng = History.of(prices, known_at), np.random.default_rng(seed)
    n_bars = history.clock.size
    if warm_up is not None and check_count("warm_up", warm_up, least=0) > n_bars - 2:
        raise ValueError(f"warm_up must leave a bar to check of the {n_bars}, got {warm_up}: give more prices")
    bars = _bars(history.clock, dates, rng)
    trial = Trial(strategy, history, tolerance=check_positive("tolerance", tolerance), entropy=int(rng.integers(2**62)))
    if found := trial.repeat():
        raise ValueError(
            f"strategy must be deterministic, got {found.channel} at {_day(found.date)} that moves by {found.size:.3g} "
            f"from one run to the next on the same prices: give it a seed"
        )
    for way in [way for way in WAYS if way in ways]:
        if found := trial.change_future(way, bars):
            raise LookAheadError(*found)
    if not trial.passed:
        raise ValueError(f"strategy must run on other futures, it refused every one: {trial.reasons}")
    if warm_up is not None and (found := trial.change_start(warm_up)):
        raise LookAheadError(*found)
    return CausalityReport(
        n_bars=n_bars,
        channels=tuple(map(str, trial.channels)),
        dates=tuple(history.clock[bars]),
        passed=dict(trial.passed),
        refused=dict(trial.refused),
        reasons=trial.reasons,
        largest_move=trial.largest_move,
        warm_up=warm_up,
    )


def _bars(clock: pd.Index, dates: int | Sequence[Any], rng: np.random.Generator) -> list[int]:
    """The bars after which to change the future, each with one before and one after it."""
    last = clock.size - 2
    if isinstance(dates, Sequence | pd.Index | np.ndarray):
        bars = clock.get_indexer(pd.Index([*dates]).astype(clock.dtype))
        wrong = (bars < 1) | (bars > last)
        if wrong.any() or not bars.size:
            got = dates[int(np.argmax(wrong))] if bars.size else "none"
            raise ValueError(f"dates must be bars of the prices, but neither the first nor the last, got {got}")
        return bars.tolist()
    edges = np.linspace(1, last + 1, min(check_count("dates", dates), last) + 1).astype(int)
    return [*rng.integers(edges[:-2], edges[1:-1]).tolist(), last]


def _day(bar: Any) -> str:
    """A bar as a message names it."""
    return f"{bar:%Y-%m-%d %H:%M}".removesuffix(" 00:00") if isinstance(bar, pd.Timestamp) else f"bar {bar}"
