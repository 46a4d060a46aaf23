"""How called regimes follow the true ones: switches answered, missed and false, and the delay of the answers."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion.evaluation._intervals import Floats, counted


class _Spells(NamedTuple):
    """The spells that a true switch opened, and what was called besides.

    `path`, `regime` and `delay` (in bars; infinite for a missed one) have one entry a spell; `n_false` one a path.
    """

    path: NDArray[np.int64]
    regime: NDArray[np.int64]
    delay: Floats
    n_false: Floats
    n_bars: int


def _spells(regime: ArrayLike, predicted: ArrayLike) -> _Spells:
    truth, called = np.atleast_2d(np.asarray(regime)), np.atleast_2d(np.asarray(predicted))
    if truth.shape != called.shape or truth.ndim != 2:
        raise ValueError(f"predicted must have the shape of regime, {np.shape(regime)}, got {np.shape(predicted)}")
    if not (np.isin(truth, (0, 1)).all() and np.isin(called, (0, 1)).all()):
        raise ValueError("regime and predicted must hold 0 and 1 only, got another value")
    truth, called = truth.astype(np.int8), called.astype(np.int8)
    rows: list[tuple[int, int, float]] = []
    n_false = np.zeros(len(truth))
    for path, (true_path, called_path) in enumerate(zip(truth, called, strict=True)):
        switched = np.diff(called_path, prepend=called_path[0]) != 0
        n_false[path] = np.count_nonzero(switched)
        opened = np.flatnonzero(np.diff(true_path)) + 1
        for start, end in itertools.pairwise([*opened, len(true_path)]):
            right = called_path[start:end] == true_path[start]
            rows.append((path, true_path[start], float(right.argmax()) if right.any() else np.inf))
            n_false[path] -= (switched[start:end] & right).any()
    path_of, regime_of, delay = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return _Spells(path_of.astype(np.int64), regime_of.astype(np.int64), delay, n_false, truth.shape[1])


Measure = Callable[[_Spells, Floats], Floats]
"""A score (n_resamples,) of the spells where path i comes counts[:, i] times, with counts (n_resamples, n_paths)."""


def _false(spells: _Spells, counts: Floats) -> Floats:
    return 1000.0 * (counts @ spells.n_false) / (counts.sum(axis=1) * spells.n_bars)


def _delay(spells: _Spells, counts: Floats, into: tuple[int, ...] = (0, 1)) -> Floats:
    """Median over the spells of the regimes `into`; NaN of none."""
    wanted = np.isin(spells.regime, into)
    delay, path = spells.delay[wanted], spells.path[wanted]
    order = np.argsort(delay)
    up_to = np.cumsum(counts[:, path[order]], axis=1)
    if not delay.size or not up_to[:, -1].all():
        return np.full(len(counts), np.nan)
    middle = [(up_to <= below[:, None]).sum(axis=1) for below in ((up_to[:, -1] - 1) // 2, up_to[:, -1] // 2)]
    return 0.5 * (delay[order][middle[0]] + delay[order][middle[1]])


_into_stable, _into_chaos = partial(_delay, into=(0,)), partial(_delay, into=(1,))


def _missed(spells: _Spells, counts: Floats) -> Floats:
    weight = counts[:, spells.path]
    with np.errstate(invalid="ignore"):  # of no spell the share is not a number
        return weight @ np.isinf(spells.delay) / weight.sum(axis=1)


def _resampled(measure: Measure) -> Callable[[ArrayLike, ArrayLike, Floats], Floats]:
    return lambda regime, predicted, counts: measure(_spells(regime, predicted), counts)


def _value(measure: Measure, spells: _Spells) -> float:
    return float(measure(spells, np.ones((1, len(spells.n_false))))[0])


@counted(_resampled(_false))
def false_switches(regime: ArrayLike, predicted: ArrayLike) -> float:
    """Called switches that answer no true one, per 1,000 bars.

    Within the spell that a true switch opens, the first called switch to its regime is the answer; every other called
    switch is false: a false alarm and its end are two, and so is a drop-out within a spell.

    Parameters
    ----------
    regime, predicted : array_like of int, shape (n_bars,) or (n_paths, n_bars)
        True and called regimes, 0 or 1.
    """
    return _value(_false, _spells(regime, predicted))


@counted(_resampled(_delay))
def switch_delay(regime: ArrayLike, predicted: ArrayLike) -> float:
    """Median bars from a true switch, in either direction, to the first bar at which the call agrees with it.

    0 where the call agrees at once; infinite for a spell that ends (or whose path ends) before it was called, so that a
    detector can not gain by missing the hard ones. The spell in which a path begins has no switch and no delay. NaN
    when there is no switch. The arguments are those of `false_switches`.
    """
    return _value(_delay, _spells(regime, predicted))


@counted(_resampled(_into_chaos))
def delay_into_chaos(regime: ArrayLike, predicted: ArrayLike) -> float:
    """`switch_delay` of the switches from stable to chaos alone."""
    return _value(_into_chaos, _spells(regime, predicted))


@counted(_resampled(_into_stable))
def delay_into_stable(regime: ArrayLike, predicted: ArrayLike) -> float:
    """`switch_delay` of the switches from chaos to stable alone."""
    return _value(_into_stable, _spells(regime, predicted))


@counted(_resampled(_missed))
def missed_spells(regime: ArrayLike, predicted: ArrayLike) -> float:
    """Share of the true switches whose spell ended before it was ever called; NaN when there is no switch.

    The arguments are those of `false_switches`.
    """
    return _value(_missed, _spells(regime, predicted))


@dataclass(frozen=True)
class SwitchStatistics:
    """How a sequence of called regimes follows the true one.

    Attributes
    ----------
    false_per_1000 : float
        See `false_switches`.
    delay, delay_into_chaos, delay_into_stable : float
        Bars; see `switch_delay`.
    missed : float
        See `missed_spells`.
    n_switches : int
        True switches.
    """

    false_per_1000: float
    delay: float
    delay_into_chaos: float
    delay_into_stable: float
    missed: float
    n_switches: int


def switch_statistics(regime: ArrayLike, predicted: ArrayLike) -> SwitchStatistics:
    """Compare called switches with true ones, path by path; the arguments are those of `false_switches`."""
    spells = _spells(regime, predicted)
    return SwitchStatistics(
        false_per_1000=_value(_false, spells),
        delay=_value(_delay, spells),
        delay_into_chaos=_value(_into_chaos, spells),
        delay_into_stable=_value(_into_stable, spells),
        missed=_value(_missed, spells),
        n_switches=len(spells.path),
    )
