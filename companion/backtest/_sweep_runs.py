"""The runs of a sweep: what is made of each strategy, one by one or many at once, and what is kept of it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import groupby, islice
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from companion._jit import compiled
from companion.backtest._costs import Terms, check_terms
from companion.backtest._engine import DEFAULTS
from companion.backtest._kernel import Floats, measure
from companion.backtest._performance import Performance
from companion.backtest._readers import at, kind_of
from companion.backtest._sweep_plan import Plan, Run, many_at_once
from companion.backtest._table import trade_each
from companion.backtest._walk_forward import WalkForwardResult, of_test, walk_forward

MOST_WEIGHTS = 4_000_000  # at a time, 32 MB
NO_SEED = -1
WHO = {"run": "int64", "strategy": "string", "parameters": "string", "seed": "int64", "failed": "string"}
HOW = {field.name: "int64" if field.type is int else "float64" for field in fields(Performance)}

Rows = tuple[tuple[list[Any], ...], Floats]
"""Some runs: the columns of `WHO`, and the values of all the others, shape (n_runs, n_others)."""


class DisagreementError(ValueError):
    """What a strategy says of many parameter sets at once is not what it says of one."""


def sum_names(n_folds: int) -> list[str]:
    """Columns with the sums over each fold of the returns in excess of cash, then those with the sums of squares."""
    return [f"{what}_{fold}" for what in ("sum", "square") for fold in range(n_folds)]


def columns(n_folds: int) -> dict[str, str]:
    """Columns of a sweep and their types."""
    return WHO | HOW | dict.fromkeys(["skewness", "kurtosis", *sum_names(n_folds)], "float64")


def fold_sizes(n_returns: int, n_folds: int) -> NDArray[np.int64]:
    """Returns in each fold: those of ``np.array_split``, the first longer by one where they can not be equal."""
    return n_returns // n_folds + (np.arange(n_folds) < n_returns % n_folds)


@dataclass(frozen=True)
class Job:
    """A plan, and the closes that it is carried out on: all that a worker needs to know.

    Raises
    ------
    ValueError
        When there are too few closes for the plan, or the terms of trading can not be.
    """

    close: pd.Series
    plan: Plan

    def __post_init__(self) -> None:
        first = self.plan.splitter.folds(len(self.close))[0].test.start
        if len(self.test) <= 2 * self.plan.n_folds:
            raise ValueError(
                f"n_folds={self.plan.n_folds} asks for two returns in each, got {len(self.test)} test bars: lower it, "
                f"or first_test={first}"
            )
        _ = self.terms

    @property
    def test(self) -> pd.Series:
        """Closes of the test bars."""
        return self.close.iloc[self.plan.splitter.first_test :]

    @cached_property
    def terms(self) -> Terms:
        """Terms of trading on the test bars."""
        trading = of_test(self.plan.trading, len(self.close), len(self.test))
        return check_terms(len(self.test), self.test.index, **DEFAULTS | trading)

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Returns in each fold of the test bars, the first of which has none."""
        return fold_sizes(len(self.test) - 1, self.plan.n_folds)


def make_rows(job: Job, numbers: Iterable[int]) -> Iterator[Rows]:
    """Make runs, one or more at a time: those of one strategy that can, in lots."""
    runs = ((number, job.plan.run(number)) for number in numbers)
    for maker, of_one in groupby(runs, lambda pair: pair[1].maker):
        size = max(1, MOST_WEIGHTS // len(job.close)) if many_at_once(maker) else 1
        while lot := list(islice(of_one, size)):
            yield from _rows(job, lot)


def _rows(job: Job, lot: Sequence[tuple[int, Run]]) -> Iterator[Rows]:
    """Rows of some runs of one strategy: together if it can; one by one if not, or if that fails."""
    runs = [run for _, run in lot]
    try:
        outcomes = _together(job, runs) if len(runs) > 1 else _alone(job, runs[0])
    except (MemoryError, DisagreementError):  # of the machine, and of the code: neither is a result
        raise
    except Exception as error:
        if len(runs) > 1:
            yield from (row for one in lot for row in _rows(job, [one]))
            return
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        kinds = list(columns(job.plan.n_folds).values())[len(WHO) :]
        outcomes = np.array([[0.0 if kind == "int64" else np.nan for kind in kinds]])
    else:
        reason = ""
    numbers, names = [number for number, _ in lot], [runs[0].maker.__qualname__] * len(lot)
    seeds = [NO_SEED if run.seed is None else run.seed for run in runs]
    yield (numbers, names, [json.dumps(run.parameters) for run in runs], seeds, [reason] * len(lot)), outcomes


def _alone(job: Job, run: Run) -> Floats:
    backtest = _walk(job, run).backtest
    return _outcomes(job, [(backtest.returns, backtest.position, backtest.turnover)], 1)


def _walk(job: Job, run: Run) -> WalkForwardResult:
    strategy, plan = run.make(), job.plan
    kind, splitter = kind_of(strategy), plan.splitter
    if kind.fitted == "never":  # one window does: what was said of a bar stays said
        splitter = replace(splitter, refit_every=len(job.close))
    rule = plan.rule if kind.gives_chaos else None
    return walk_forward(job.close, strategy, splitter=splitter, rule=rule, **plan.trading)


def _together(job: Job, runs: Sequence[Run]) -> Floats:
    names = (f"positions of {run.given}" for run in runs)
    named = zip(names, _positions(job, runs), strict=True)
    return _outcomes(job, trade_each(job.test.to_numpy(), job.test.index, job.terms, named), len(runs))


def _positions(job: Job, runs: Sequence[Run]) -> Floats:
    """Weights of many runs at the test bars; the first is held against the strategy alone, which sees no future."""
    name, positions = runs[0].maker.__qualname__, runs[0].maker.positions  # type: ignore[attr-defined]
    for run in runs:
        run.make()  # says what is wrong with the parameters
    weights = np.asarray(positions(job.close, [run.given for run in runs]), dtype=np.float64)
    if weights.shape != (len(runs), len(job.close)):
        raise DisagreementError(f"{name}.positions must have shape {(len(runs), len(job.close))}, got {weights.shape}")
    weights = weights[:, -len(job.test) :]
    alone = _walk(job, runs[0]).position.to_numpy()
    if not np.array_equal(alone, weights[0]):
        bar = int(np.argmax(alone != weights[0]))
        raise DisagreementError(
            f"{name}.positions must be what the strategy says by itself, got {weights[0, bar]} for {alone[bar]} at "
            f"{at(job.test.index, bar)} with {runs[0].given}"
        )
    return weights


def _outcomes(job: Job, traded: Iterable[tuple[Floats, Floats, Floats]], n_runs: int) -> Floats:
    """What is kept of backtests of the test bars, (returns, held, turnover) of each: the columns after those of `WHO`.

    Shape (n_runs, n_columns).
    """
    terms, n_folds, n_fields = job.terms, len(job.sizes), len(HOW)
    outcomes = np.empty((n_runs, n_fields + 2 + 2 * n_folds))
    for outcome, (returns, held, turnover) in zip(outcomes, traded, strict=True):
        earned, paid = returns[1:], turnover[1:]
        outcome[:n_fields] = measure(earned, terms.cash[1:], terms.bars_per_year, held[:-1], paid, terms.cost * paid)
        outcome[n_fields : n_fields + 2] = _moments(
            earned - terms.cash[1:], job.sizes, outcome[-2 * n_folds : -n_folds], outcome[-n_folds:]
        )
    return outcomes


@compiled(nogil=True, error_model="numpy")
def _moments(excess: Floats, sizes: NDArray[np.int64], sums: Floats, squares: Floats) -> tuple[float, float]:
    """Fill `sums` and `squares` with those of each fold; return skewness and kurtosis, NaN of what never varies."""
    sums[:], squares[:] = 0.0, 0.0
    first = 0
    for fold in range(sizes.size):
        for value in excess[first : first + sizes[fold]]:
            sums[fold] += value
            squares[fold] += value * value
        first += sizes[fold]
    mean, second, third, fourth = sums.sum() / excess.size, 0.0, 0.0, 0.0
    for value in excess:
        square = (value - mean) ** 2
        second += square
        third += square * (value - mean)
        fourth += square * square
    second /= excess.size
    return third / excess.size / second**1.5, fourth / excess.size / second**2
