"""Walk forward: fit on the past, act on what comes next, never the other way around; and say who saw what."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from companion import datasets
from companion._checks import check_series
from companion.backtest._costs import Trading
from companion.backtest._engine import run_backtest
from companion.backtest._notes import price_notes
from companion.backtest._readers import Kind, Reader, at, check_past, kind_of, returns_of
from companion.backtest._result import BacktestResult
from companion.backtest._rules import Rule, ZeroOne
from companion.backtest._splitter import Fold, WalkForward

#: Five years of days to begin with, and a fit a year.
YEARLY = WalkForward(first_test=1260, refit_every=252)


@dataclass(frozen=True)
class WalkForwardResult:
    """What a strategy did on bars that its fits had not seen; every series is one of the test bars.

    Attributes
    ----------
    position : Series of shape (n_test,)
        Weight decided at the close of each bar.
    p_chaos : Series of shape (n_test,) or None
        P(chaos) at each close, where the strategy is a detector.
    backtest : BacktestResult
        What came of the positions, from the first test bar on.
    audit : DataFrame
        A row a window: when the strategy was ``fitted`` ("window": here; "before": elsewhere; "never"), first and last
        bar whose return the fit saw and how many they were (``fit_first``, ``fit_last``, ``n_fit``), the bars it was
        asked about (``test_first``, ``test_last``), the dates of these four where there are dates, ``purge`` and
        ``embargo``. Bars are counted from 0 over all prices; -1 and NaT stand for none. What is never fitted has
        learned nothing beforehand; that its answers need no bar after their own is checked at every window.
    fit_first : ndarray of int64, shape (n_test,)
        First bar whose return was seen by the fit behind each position; -1 for none.
    fit_last : ndarray of int64, shape (n_test,)
        Last such bar.
    notes : tuple of str
        What is odd about the prices (`price_notes`).
    """

    position: pd.Series
    p_chaos: pd.Series | None
    backtest: BacktestResult
    audit: pd.DataFrame
    fit_first: NDArray[np.int64]
    fit_last: NDArray[np.int64]
    notes: tuple[str, ...]


def walk_forward(
    prices: ArrayLike | pd.Series,
    strategy: Any,
    *,
    splitter: WalkForward = YEARLY,
    rule: Rule | None = None,
    progress: Callable[[int, int], None] | None = None,
    **trading: Unpack[Trading],
) -> WalkForwardResult:
    """From prices and a strategy to positions, returns and an audit of what each position could have known.

    For each window a clone of the strategy is fitted on the log returns of the training bars alone, then reads the
    closes up to the window's end, of which the window's answers are kept: a filter enters the window with its memory of
    the past, not cold. What is decided on a bar is traded as `run_backtest` says.

    Parameters
    ----------
    prices : Series or array_like of shape (n_bars,)
        Closes. Those of a Series with dates pass `companion.datasets.check_prices`.
    strategy : estimator or callable
        Either a detector: ``fit(log_returns)`` and a causal ``predict_proba(log_returns)`` of shape (n_bars, 2), column
        1 P(chaos). Or a causal function of the closes so far, as a Series, to the weight decided at each of them; one
        that has ``fit(log_returns)`` besides is fitted in each window. A detector that has been fitted elsewhere comes
        as ``Frozen(detector)``; it is not fitted again, so there is a single window. The object itself stays unfitted.
    splitter : WalkForward
        Windows, in bars of `prices`; by default five years to begin with, and a fit a year.
    rule : callable, optional
        From P(chaos) of all test bars to their weights, for detectors only; by default ``ZeroOne()``. Its memory runs
        through the windows.
    progress : callable, optional
        Called as ``progress(done, total)`` after each window.
    **trading
        As in `run_backtest`. A cash rate per bar is one of `prices`, or of the test bars.

    Returns
    -------
    WalkForwardResult

    Raises
    ------
    ValueError
        Prices out of order, missing or not positive; too few for one window; a fit or an answer that fails (the message
        names the window, its dates and the reason); a strategy whose earlier answers change when later bars are added
        (`assert_causal` looks harder), or that needs no rule and is given one.
    """
    close, kind = checked_closes(prices), kind_of(strategy)
    if rule is not None and not kind.gives_chaos:
        raise ValueError(f"rule must be left out with {kind.name}, which decides the weights itself, got {rule!r}")
    if kind.fitted == "before":
        splitter = replace(splitter, refit_every=max(len(close) - splitter.first_test, splitter.refit_every))
    folds = splitter.folds(len(close))
    said = pd.Series(_walk(close, kind, folds, progress), close.index[splitter.first_test :])
    position = said.rename("position")
    if kind.gives_chaos:
        weigh = ZeroOne() if rule is None else rule
        position = pd.Series(weigh(np.asarray(said, dtype=np.float64)), said.index, name="position")
    audit = _audit(kind, folds, splitter, close.index)
    lengths = [fold.test.stop - fold.test.start for fold in folds]
    return WalkForwardResult(
        position=position,
        p_chaos=said.rename("p_chaos") if kind.gives_chaos else None,
        backtest=run_backtest(close.iloc[splitter.first_test :], position, **of_test(trading, len(close), len(said))),
        audit=audit,
        fit_first=np.repeat(audit["fit_first"].to_numpy(), lengths),
        fit_last=np.repeat(audit["fit_last"].to_numpy(), lengths),
        notes=tuple(price_notes(close)),
    )


def checked_closes(prices: ArrayLike | pd.Series) -> pd.Series:
    """Closes as a Series of floats, or an error that names the first bad one."""
    if isinstance(prices, pd.Series) and isinstance(prices.index, pd.DatetimeIndex):
        return datasets.check_prices(prices, source="prices").astype(np.float64)
    values = check_series(prices, name="prices")
    if values.ndim != 1:
        raise ValueError(f"prices must have shape (n_bars,), got {values.shape}: give one path")
    bad = ~(np.isfinite(values) & (values > 0.0))
    if bad.any():
        bar = int(np.argmax(bad))
        raise ValueError(f"prices must be finite and positive, got {values[bar]} at bar {bar}: mend or remove it")
    return pd.Series(values)


def _walk(
    close: pd.Series, kind: Kind, folds: list[Fold], progress: Callable[[int, int], None] | None
) -> NDArray[np.float64]:
    """What the strategy says at each test bar, fitted and asked window by window."""
    blocks: list[NDArray[np.float64]] = []
    returns, before = returns_of(close), np.empty(0)
    for number, (train, test) in enumerate(folds, start=1):
        seen = close.iloc[: test.stop]
        try:
            read = kind.reader(returns[train[train > 0] - 1])
            said = _ask(read, seen, test)
            if number == 1:
                before = read(seen.iloc[: (len(seen) + 1) // 2])
        except ValueError as error:
            raise ValueError(
                f"strategy must answer in every window, got {kind.name} in window {number} of {len(folds)}, "
                f"{_fit_span(kind, train, close.index)}asked about {_span(close.index, test.start, test.stop - 1)}: "
                f"{error}"
            ) from error
        if number == 1 or kind.fitted == "never":
            check_past(kind.name, before, said, close.index)
        before = said
        blocks.append(said[test])
        if progress is not None:
            progress(number, len(folds))
    return np.concatenate(blocks)


def _ask(read: Reader, close: pd.Series, test: slice) -> NDArray[np.float64]:
    """What is said at every close, a number at each test bar."""
    said = read(close)
    bad = ~np.isfinite(said[test])
    if bad.any():
        bar = test.start + int(np.argmax(bad))
        raise ValueError(f"it says {said[bar]} at {at(close.index, bar)}: say 0 where there is no decision")
    return said


def _fit_span(kind: Kind, train: NDArray[np.intp], index: pd.Index) -> str:
    return f"fitted on {_span(index, train[0], train[-1])}, " if kind.fitted == "window" else ""


def _span(index: pd.Index, first: int, last: int) -> str:
    return f"{at(index, first)} to {at(index, last)}"


def _audit(kind: Kind, folds: list[Fold], splitter: WalkForward, index: pd.Index) -> pd.DataFrame:
    """A row a window; the return of bar 0 is not there to be seen."""
    rows = []
    for train, test in folds:
        fit = train[train > 0] if kind.fitted == "window" else train[:0]
        rows.append(
            {
                "fitted": kind.fitted,
                "fit_first": fit[0] if len(fit) else -1,
                "fit_last": fit[-1] if len(fit) else -1,
                "n_fit": len(fit),
                "test_first": test.start,
                "test_last": test.stop - 1,
                "purge": splitter.purge,
                "embargo": splitter.embargo,
            }
        )
    audit = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="window"))
    if isinstance(index, pd.DatetimeIndex):
        for name in ("fit_first", "fit_last", "test_first", "test_last"):
            audit[f"{name}_date"] = index[audit[name]].where(audit[name] >= 0)
    return audit


def of_test(trading: Trading, n_bars: int, n_test: int) -> Trading:
    """The trading of the test bars: a cash rate per bar of all prices is cut to them."""
    rates: Any = trading.get("cash_rate", 0.0)
    if np.shape(rates) != (n_bars,):
        return trading
    first = n_bars - n_test
    return {**trading, "cash_rate": rates.iloc[first:] if isinstance(rates, pd.Series) else np.asarray(rates)[first:]}
