"""Which bars a fit may see, and which it is then asked about: a scikit-learn splitter for time."""

from collections.abc import Iterator, Sized
from dataclasses import KW_ONLY, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from companion._checks import check_count


class Fold(NamedTuple):
    """Bars to fit on, ascending, and the bars that this fit predicts."""

    train: NDArray[np.intp]
    test: slice


@dataclass(frozen=True)
class WalkForward:
    """Fit on the past, predict what comes next, move on: a splitter for `walk_forward` and for scikit-learn.

    Test windows are disjoint, follow one another and together cover bars `first_test` to the last; only the last of
    them may be shorter than `refit_every`. Every training bar lies before the test window.

    In scikit-learn's own `cross_val_score` or `GridSearchCV` an estimator reads each test window by itself, so that a
    filter enters it cold; `walk_forward` lets it read the past first. Where the order of time is to be given up, for
    many paths from one history, `skfolio.model_selection.CombinatorialPurgedCV` purges and embargoes on both sides.

    Parameters
    ----------
    first_test : int
        First bar that is predicted, counted from 0.
    refit_every : int
        Bars of a test window.
    window : int, optional
        Bars of a rolling training window. Without it the window expands: it begins at the first bar.
    purge : int
        Bars left out between training and test: as many as a label looks ahead (López de Prado 2018, section 7.4.1).
        Features that look back, and detectors that are fitted without labels, need none.
    embargo : int
        Bars after the end of each test window that no later fit may use (ibid., section 7.4.2). They are the first of
        the next test window, and still carry the window before in every feature with a memory. Nothing that comes
        after a test window is ever fitted for it, so a forecast needs no embargo; it keeps a choice that was made by
        the result of one window from being confirmed by a fit on its echo. The bars that are left are joined.

    Raises
    ------
    ValueError
        Names the argument that is no such number of bars; `first_test` must leave room for the purge and for a whole
        rolling window before it, and the embargo must be shorter than a test window.
    """

    first_test: int
    refit_every: int
    _: KW_ONLY
    window: int | None = None
    purge: int = 0
    embargo: int = 0

    def __post_init__(self) -> None:
        check_count("first_test", self.first_test)
        check_count("refit_every", self.refit_every)
        check_count("purge", self.purge, least=0)
        check_count("embargo", self.embargo, least=0)
        needed = self.purge + (1 if self.window is None else check_count("window", self.window))
        if self.first_test < needed:
            raise ValueError(
                f"first_test must be at least {needed}, the purge and the training bars before it, got "
                f"{self.first_test}: raise it"
            )
        if self.embargo >= self.refit_every:
            raise ValueError(
                f"embargo must be below refit_every={self.refit_every}, or no later fit learns anything, got "
                f"{self.embargo}"
            )

    def folds(self, n_bars: int) -> list[Fold]:
        """Every fold of `n_bars` bars, in the order of time.

        Raises
        ------
        ValueError
            When there are too few bars for one, or an embargo leaves a rolling window without a bar.
        """
        if check_count("n_bars", n_bars) <= self.first_test:
            raise ValueError(
                f"first_test={self.first_test} leaves none of {n_bars} bars to predict: lower it, or give more bars"
            )
        starts = range(self.first_test, n_bars, self.refit_every)
        return [Fold(self._train(start), slice(start, min(start + self.refit_every, n_bars))) for start in starts]

    def _train(self, start: int) -> NDArray[np.intp]:
        stop = start - self.purge
        bars = np.arange(0 if self.window is None else stop - self.window, stop)
        # A test window ends where the next begins, so the embargoed bars are the first of every window but the first.
        into_window = (bars - self.first_test) % self.refit_every
        kept = bars[(bars < self.first_test + self.refit_every) | (into_window >= self.embargo)]
        if not len(kept):
            raise ValueError(f"embargo={self.embargo} leaves no bar of the window before bar {start}: lower it")
        return kept

    def split(self, X: Sized, y: Any = None, groups: Any = None) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Training and test bars of each fold, as scikit-learn asks for them; `y` and `groups` are not looked at."""
        n_bars = _count(X)
        for train, test in self.folds(n_bars):
            yield train, np.arange(n_bars)[test]

    def get_n_splits(self, X: Sized | None = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds of X, which scikit-learn lets a splitter ask for."""
        if X is None:
            raise ValueError("X must be given: the number of folds depends on the number of bars")
        return len(self.folds(_count(X)))


def _count(X: Sized) -> int:
    """Number of bars, the first axis."""
    return len(X)
