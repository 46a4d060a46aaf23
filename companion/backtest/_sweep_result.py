"""What came of a sweep: its runs, the best of them, and how much of that is the luck of having tried so many."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from companion._runs._blocks import Identity
from companion.backtest._overfitting import Overfitting, overfitting_of_blocks
from companion.backtest._sharpe import SharpeEvidence
from companion.backtest._sweep_runs import fold_sizes, sum_names

NOISE = 1e-12  # a standard deviation per bar that is nothing but rounding


@dataclass(frozen=True)
class SweepResult:
    """The runs of a sweep.

    Attributes
    ----------
    runs : DataFrame
        A row a run, in the order of the plan: ``strategy``, ``parameters`` (JSON), ``seed`` (-1 for none), ``failed``
        (why; empty where it did not), the fields of `Performance`, and ``skewness`` and ``kurtosis`` of the returns in
        excess of cash. What is undefined is NaN.
    sums : ndarray of shape (n_runs, n_folds)
        Sums over each fold of the returns in excess of cash.
    squares : ndarray of shape (n_runs, n_folds)
        Sums of their squares.
    provenance : mapping
        What made the runs: the whole plan, the hashes of prices and code, and the versions.
    """

    runs: pd.DataFrame
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    provenance: Identity

    @classmethod
    def of(cls, tables: Sequence[pa.Table], provenance: Identity) -> Self:
        """Put the files of a sweep together."""
        table, names = pa.concat_tables(tables), sum_names(provenance["config"]["n_folds"])
        sums, squares = np.hsplit(_frame(table.select(names)).to_numpy(), 2)
        return cls(_frame(table.drop_columns(["run", *names])).rename_axis("run"), sums, squares, provenance)

    @property
    def n_trials(self) -> int:
        """Runs that gave a Sharpe ratio: each could have been the best."""
        return int(self.runs["sharpe"].notna().sum())

    @property
    def best(self) -> pd.Series:
        """The run with the highest Sharpe ratio, the first of several; a row of `runs`.

        Raises
        ------
        ValueError
            When no run has a Sharpe ratio.
        """
        if not self.n_trials:
            reasons = sorted({*self.runs["failed"]} - {""})
            raise ValueError(f"no run has a Sharpe ratio: {reasons[0] if reasons else 'none was ever invested'}")
        return self.runs.iloc[int(np.nanargmax(self.runs["sharpe"]))]

    @property
    def evidence(self) -> SharpeEvidence:
        """Of the best run, as if it had been the only one."""
        best, year = self.best, self.provenance["config"]["prices"]["bars_per_year"]
        return SharpeEvidence(best["sharpe"], int(best["n_bars"]), best["skewness"], best["kurtosis"], year)

    @property
    def deflated_sharpe_ratio(self) -> float:
        """Probability that the true Sharpe ratio of the best run is above zero, after all that were tried.

        As the function `deflated_sharpe_ratio` with the `n_trials` Sharpe ratios of this sweep; with the law of the
        largest it is ``evidence.deflated(runs["sharpe"], error="largest")``.
        """
        return self.evidence.deflated(self.runs["sharpe"])

    @property
    def overfitting(self) -> Overfitting:
        """How the best run of one half of the folds did in the other, for every half: `probability_of_overfitting`.

        Only runs that are `compared` take part; what is chosen is the number of a run.

        Raises
        ------
        ValueError
            When there are fewer than two of them.
        """
        compared, year = self.runs.index[self.compared], self.provenance["config"]["prices"]["bars_per_year"]
        result = overfitting_of_blocks(self.sums[compared], self.squares[compared], self.sizes, bars_per_year=year)
        return replace(result, chosen=compared.to_numpy()[result.chosen])

    @property
    def compared(self) -> NDArray[np.bool_]:
        """Which runs, shape (n_runs,), earned something other than cash in every half of the folds.

        The others have no Sharpe ratio on some half, and could not be ranked there.
        """
        return np.asarray((self.squares > 0.0).sum(axis=1) > self.squares.shape[1] / 2)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of returns in each fold."""
        return fold_sizes(int(self.runs["n_bars"].max()), self.sums.shape[1])

    @property
    def parameters(self) -> pd.DataFrame:
        """A row a run, a column a parameter; NaN where the strategy has none of this name."""
        return pd.DataFrame(map(json.loads, self.runs["parameters"]), index=self.runs.index)

    @property
    def folds(self) -> pd.DataFrame:
        """A row a run and fold: number of returns, and of those in excess of cash the mean a bar and the Sharpe ratio.

        The ratio is per bar; times the root of the bars in a year it is that of a year.
        """
        n_runs, n_folds = self.sums.shape
        index = pd.MultiIndex.from_product([self.runs.index, range(n_folds)], names=["run", "fold"])
        sizes = self.sizes
        mean = self.sums / sizes
        variance = (self.squares - sizes * mean**2) / (sizes - 1)
        varied = variance > NOISE**2
        table = {
            "n_bars": np.tile(sizes, n_runs),
            "mean": mean.ravel(),
            "sharpe": np.where(varied, mean / np.sqrt(np.where(varied, variance, 1.0)), np.nan).ravel(),
        }
        return pd.DataFrame(table, index)


def _frame(table: pa.Table) -> pd.DataFrame:
    return table.to_pandas(use_threads=False)  # to wake them takes longer than the work
