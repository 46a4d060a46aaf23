"""How called regimes follow the true ones: switches answered, missed and false, and the delay of the answers."""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from companion.regimes._bootstrap import Floats, counted


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
        raise ValueError(f"regime has shape {np.shape(regime)}, but predicted has {np.shape(predicted)}")
    if not (np.isin(truth, (0, 1)).all() and np.isin(called, (0, 1)).all()):
        raise ValueError("regime and predicted must hold 0 and 1 only")
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


def _once(regime: ArrayLike) -> Floats:
    return np.ones((1, len(np.atleast_2d(np.asarray(regime)))))


def _false_switches(regime: ArrayLike, predicted: ArrayLike, counts: Floats) -> Floats:
    spells = _spells(regime, predicted)
    return 1000.0 * (counts @ spells.n_false) / (counts.sum(axis=1) * spells.n_bars)


@counted(_false_switches)
def false_switches(regime: ArrayLike, predicted: ArrayLike) -> float:
    """Called switches that answer no true one, per 1,000 bars.

    Within the spell that a true switch opens, the first called switch to its regime is the answer; every other called
    switch is false: a false alarm and its end are two, and so is a drop-out within a spell.

    Parameters
    ----------
    regime, predicted : array_like of int, shape (n_bars,) or (n_paths, n_bars)
        True and called regimes, 0 or 1.
    """
    return float(_false_switches(regime, predicted, _once(regime))[0])


def _median_delay(spells: _Spells, counts: Floats, into: tuple[int, ...]) -> Floats:
    """Median over the spells of the regimes `into`, each spell as often as its path: (n_resamples,); NaN of none."""
    wanted = np.isin(spells.regime, into)
    delay, path = spells.delay[wanted], spells.path[wanted]
    order = np.argsort(delay)
    up_to = np.cumsum(counts[:, path[order]], axis=1)
    if not delay.size or not up_to[:, -1].all():
        return np.full(len(counts), np.nan)
    middle = [(up_to <= below[:, None]).sum(axis=1) for below in ((up_to[:, -1] - 1) // 2, up_to[:, -1] // 2)]
    return 0.5 * (delay[order][middle[0]] + delay[order][middle[1]])


def _delay(regime: ArrayLike, predicted: ArrayLike, counts: Floats) -> Floats:
    return _median_delay(_spells(regime, predicted), counts, (0, 1))


@counted(_delay)
def switch_delay(regime: ArrayLike, predicted: ArrayLike) -> float:
    """Median bars from a true switch, in either direction, to the first bar at which the call agrees with it.

    0 where the call agrees at once; infinite for a spell that ends (or whose path ends) before it was called, so that a
    detector can not gain by missing the hard ones. The spell in which a path begins has no switch and no delay. NaN
    when there is no switch. The arguments are those of `false_switches`.
    """
    return float(_delay(regime, predicted, _once(regime))[0])


def _delay_into_chaos(regime: ArrayLike, predicted: ArrayLike, counts: Floats) -> Floats:
    return _median_delay(_spells(regime, predicted), counts, (1,))


@counted(_delay_into_chaos)
def delay_into_chaos(regime: ArrayLike, predicted: ArrayLike) -> float:
    """`switch_delay` of the switches from stable to chaos alone."""
    return float(_delay_into_chaos(regime, predicted, _once(regime))[0])


def _delay_into_stable(regime: ArrayLike, predicted: ArrayLike, counts: Floats) -> Floats:
    return _median_delay(_spells(regime, predicted), counts, (0,))


@counted(_delay_into_stable)
def delay_into_stable(regime: ArrayLike, predicted: ArrayLike) -> float:
    """`switch_delay` of the switches from chaos to stable alone."""
    return float(_delay_into_stable(regime, predicted, _once(regime))[0])


def _missed_spells(regime: ArrayLike, predicted: ArrayLike, counts: Floats) -> Floats:
    spells = _spells(regime, predicted)
    weight = counts[:, spells.path]
    with np.errstate(invalid="ignore"):  # of no spell the share is not a number
        return weight @ np.isinf(spells.delay) / weight.sum(axis=1)


@counted(_missed_spells)
def missed_spells(regime: ArrayLike, predicted: ArrayLike) -> float:
    """Share of the true switches whose spell ended before it was ever called; NaN when there is no switch.

    The arguments are those of `false_switches`.
    """
    return float(_missed_spells(regime, predicted, _once(regime))[0])


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
    return SwitchStatistics(
        false_per_1000=false_switches(regime, predicted),
        delay=switch_delay(regime, predicted),
        delay_into_chaos=delay_into_chaos(regime, predicted),
        delay_into_stable=delay_into_stable(regime, predicted),
        missed=missed_spells(regime, predicted),
        n_switches=len(_spells(regime, predicted).path),
    )
