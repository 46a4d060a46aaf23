"""A strategy on trial: run it on histories that differ in what an answer may not depend on, and say what moved."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from companion._checks import Floats
from companion.backtest._histories import History, Input
from companion.datasets import log_returns

_N_STARTS = 4


class Finding(NamedTuple):
    """An answer that moved, as the attributes of `LookAheadError` say."""

    date: Any
    channel: str
    size: float
    way: str
    after: Any
    inputs: tuple[str, ...]
    first: Any


class Trial:
    """A strategy, its answers to a history, and a tally of what else was tried on it."""

    def __init__(self, strategy: Any, history: History, *, tolerance: float, entropy: int) -> None:
        self.strategy, self.history, self.tolerance, self.entropy = _callable(strategy), history, tolerance, entropy
        self.passed: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.reasons: dict[str, str] = {}
        self.largest_move = 0.0
        answers = self._ask(history)
        self.channels = answers.columns
        self.base = self._place(answers)
        if not np.isfinite(self.base).any():
            raise ValueError("strategy must answer a number at some bar, got none: give more prices")
        size = np.nan_to_num(np.abs(self.base), posinf=0.0).max(axis=0)
        self.size: Floats = np.where(size > 0.0, size, 1.0)

    def repeat(self) -> Finding | None:
        """What answers differently to the same history."""
        return self._moved("repeat", self.base, self._place(self._ask(self.history)), after=self.history.clock[-1])

    def change_future(self, way: str, bars: list[int]) -> Finding | None:
        """What another future moves, the future changed in one way after each of the bars."""
        history, base = self.history, self.base
        if way == "gap":
            history = history.with_gaps(np.array(bars))
            gapped = self._answers(way, history)
            if gapped is None:
                return None
            base = gapped
        for turn, bar in enumerate(bars):
            only = history.inputs[turn % len(history.inputs)] if way == "blank" else None
            if found := self._change_after(bar, way, history, base[: bar + 1], only):
                return found
        return None

    def change_start(self, warm_up: int) -> Finding | None:
        """What more history moves, of the bars that have `warm_up` bars before them in any case."""
        clock = self.history.clock
        for start in np.linspace(1, clock.size - warm_up - 1, _N_STARTS).astype(int).tolist():
            answers = self._answers("start", self.history.since(start))
            if answers is None:
                continue
            answers[: start + warm_up] = self.base[: start + warm_up]
            if found := self._moved("start", self.base, answers, after=clock[start]):
                return found
            self.passed["start"] += 1
        return None

    def _change_after(self, bar: int, way: str, history: History, past: Floats, only: Input | None) -> Finding | None:
        answers = self._answers(way, self._other(way, history, bar, only))
        if answers is None:
            return None
        now = answers[: bar + 1]
        silent = np.isnan(now) & ~np.isnan(past) & (way == "blank")
        if found := self._moved(way, past, np.where(silent, past, now), after=self.history.clock[bar]):
            return found._replace(inputs=(only.label,) if only else self._inputs(way, history, past, bar))
        if silent.any():
            self._refuse(way, "NaN for the past where the future is NaN")
        else:
            self.passed[way] += 1
        return None

    def _other(self, way: str, history: History, bar: int, only: Input | None) -> History:
        """The same history up to a bar, and another after it."""
        if way == "cut":
            return history.until(bar)
        if way == "scale":
            return history.scaled(bar, only)
        if way == "blank" and only is not None:
            return history.blanked(bar, only)
        return history.redrawn(bar, only, np.random.default_rng([self.entropy, bar]))

    def _ask(self, history: History) -> pd.DataFrame:
        """What the strategy says to a history, as a table of numbers by bar and channel."""
        try:
            strategy = deepcopy(self.strategy)  # what it learns in one run is not there in the next
        except TypeError as error:
            raise ValueError(f"strategy must be copyable, for every run is of a fresh copy, got {error}") from error
        return _table(strategy(history.give()), history.clock)

    def _place(self, answers: pd.DataFrame) -> Floats:
        """Answers at their bars of the whole history, NaN where there is none; a channel that is gone has moved."""
        if not answers.columns.equals(self.channels):
            answers = answers.reindex(columns=self.channels, fill_value=np.inf)
        placed = np.full((self.history.clock.size, self.channels.size), np.nan)
        placed[self.history.clock.get_indexer(answers.index)] = answers.to_numpy()
        return placed

    def _answers(self, way: str, history: History) -> Floats | None:
        """The answers to another history, None if the strategy refuses it; its warnings there would be no news."""
        try:
            with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
                return self._place(self._ask(history))
        except Exception as error:  # whatever it raises, it has refused, and the report quotes it
            self._refuse(way, f"{type(error).__name__}: {' '.join(str(error).split())}")
            return None

    def _refuse(self, way: str, reason: str) -> None:
        self.refused[way] += 1
        self.reasons.setdefault(way, reason)

    def _moved(self, way: str, base: Floats, answers: Floats, *, after: Any) -> Finding | None:
        """The largest move in units of its channel, if the tolerance does not cover it."""
        with np.errstate(invalid="ignore"):
            moves = np.nan_to_num(np.abs(base - answers), nan=np.inf)
        moves[(base == answers) | (np.isnan(base) & np.isnan(answers))] = 0.0
        relative = moves / self.size
        largest = float(relative.max(initial=0.0))
        if largest <= self.tolerance:
            self.largest_move = max(self.largest_move, largest)
            return None
        row, channel = divmod(int(np.argmax(relative)), relative.shape[1])
        first = int(np.argmax(relative[:, channel] > self.tolerance))
        return Finding(
            date=self.history.clock[row],
            channel=str(self.channels[channel]),
            size=float(moves[row, channel]),
            way=way,
            after=after,
            inputs=(),
            first=self.history.clock[first],
        )

    def _inputs(self, way: str, history: History, past: Floats, bar: int) -> tuple[str, ...]:
        """The inputs that move an answer on their own; of a cut, which takes all rows away, it can not be told."""
        if len(history.inputs) == 1:
            return (history.inputs[0].label,)
        if way == "cut":
            return ()
        guilty = []
        for only in history.inputs:
            answers = self._answers(way, self._other(way, history, bar, only))
            if answers is not None and self._moved(way, past, answers[: bar + 1], after=None):
                guilty.append(only.label)
        return tuple(guilty)


def _callable(strategy: Any) -> Callable[[Any], Any]:
    if hasattr(strategy, "predict_proba"):
        return _Detector(strategy)
    if callable(strategy):
        return strategy
    raise ValueError(f"strategy must be callable or have a predict_proba, got {type(strategy).__name__}")


class _Detector:
    """A fitted detector as a function of prices: it has no answer at the first bar, which has no return."""

    def __init__(self, fitted: Any) -> None:
        self.fitted = fitted

    def __call__(self, close: pd.Series) -> pd.DataFrame:
        returns = log_returns(close)
        probability = np.asarray(self.fitted.predict_proba(returns), dtype=np.float64)
        names = [f"P(regime {column})" for column in range(probability.shape[-1])]
        return pd.DataFrame(probability, index=returns.index, columns=names)


def _table(answers: Any, clock: pd.Index) -> pd.DataFrame:
    """Answers as a table of numbers: a column a channel, and rows at bars of the clock."""
    if isinstance(answers, Mapping):
        return pd.DataFrame({str(name): _rows(values, clock).iloc[:, 0] for name, values in answers.items()})
    return _rows(answers, clock)


def _rows(answers: Any, clock: pd.Index) -> pd.DataFrame:
    try:
        if isinstance(answers, pd.DataFrame):
            frame = answers.astype(np.float64)
        elif isinstance(answers, pd.Series):
            frame = answers.astype(np.float64).to_frame("answer")
        else:
            values = np.asarray(answers, dtype=np.float64)
            frame = pd.DataFrame(values, columns=["answer"] if values.ndim == 1 else None)
    except (TypeError, ValueError) as error:
        got = f"{type(answers).__name__}: {error}"
        raise ValueError(f"strategy must answer a row of numbers a bar, got {got}") from error
    if isinstance(frame.index, pd.RangeIndex) and len(frame) == len(clock):
        return frame.set_axis(clock)
    if frame.index.equals(clock) or (frame.index.is_unique and frame.index.isin(clock).all()):
        return frame
    raise ValueError(
        f"strategy must answer a row of numbers a bar, {len(clock)} rows or dates of theirs, got {len(frame)}"
    )
