"""The thresholds of a monitor: the largest value of every rule on each held-out path, and one promise for all rules."""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from companion._checks import as_paths
from companion.risk._conformal import conformal_threshold, joint_thresholds, paths_for_units
from companion.risk._distance import CentroidDistance, checked_states
from companion.risk._floats import Floats, as_floats
from companion.risk._input_rules import INPUT_RULES, SHORTEST_RUN, InputRules

#: Smallest thresholds, whatever calibration says: an invalid return always fires, a run of three at the earliest, and a
#: past with a p-value above .05 never.
FLOORS = {"invalid": 0.5, "frozen": SHORTEST_RUN - 0.5, "repeated": SHORTEST_RUN - 0.5, "past": -math.log10(0.05)}
#: Logarithms of a number and of an array may differ in the last digit; p-values that differ do so by more than this.
MARGIN = 1e-9


def calibrate(
    distance: CentroidDistance,
    rules: InputRules,
    *,
    states: Iterable[ArrayLike],
    log_returns: ArrayLike | None,
    p_values: ArrayLike | None,
    false_kill: float,
) -> tuple[dict[str, float], int, int]:
    """Threshold of each rule that something was given for, the horizon in bars, and the paths that set them.

    Arguments and errors are those of `companion.risk.SafetyMonitor`.
    """
    distances, horizon = _of_states(states, distance)
    n_paths, maxima = len(distances), {"distance": distances}
    if p_values is not None:
        maxima["past"] = _of_p_values(p_values, n_paths, horizon)
    if log_returns is not None:
        maxima |= zip(INPUT_RULES, _of_returns(log_returns, rules, n_paths, horizon).T, strict=True)
    if len(maxima) == 1:
        return {"distance": conformal_threshold(distances, false_kill=false_kill)}, horizon, n_paths
    floors = [FLOORS.get(name, 0.0) for name in maxima]
    joint = joint_thresholds(np.column_stack([*maxima.values()]), false_kill=false_kill, floors=floors)
    return dict(zip(maxima, joint.tolist(), strict=True)), horizon, n_paths - paths_for_units(n_paths)


def _of_states(paths: Iterable[ArrayLike], distance: CentroidDistance) -> tuple[Floats, int]:
    """Largest distance on each path, and the common number of bars."""
    n_features, maxima, lengths = distance.shape[0], [], set()
    for path in paths:
        states = checked_states(path, "calibration_paths", n_features)
        if states.ndim != 2:
            raise ValueError(f"calibration_paths must be paths of shape (n_bars, {n_features}), got {states.shape}")
        maxima.append(distance.many(states).max())
        lengths.add(len(states))
    if len(lengths) != 1:
        raise ValueError(f"calibration_paths must be of one length, got {sorted(lengths)}")
    return np.asarray(maxima), lengths.pop()


def _of_p_values(p_values: ArrayLike, n_paths: int, horizon: int) -> Floats:
    """Largest value of the rule "past" on each path, shape (n_paths,)."""
    values = as_floats(p_values, "calibration_p_values")
    if values.ndim != 2 or len(values) != n_paths or values.shape[1] < horizon:
        raise ValueError(
            f"calibration_p_values must have shape ({n_paths}, horizon {horizon} or more), got {values.shape}"
        )
    if not np.all((values > 0.0) & (values <= 1.0)):
        raise ValueError("calibration_p_values must lie in (0, 1], got others")
    return np.asarray(MARGIN - np.log10(values[:, -horizon:].min(axis=1)))


def _of_returns(log_returns: ArrayLike, rules: InputRules, n_paths: int, horizon: int) -> Floats:
    """Largest value of each input rule on each path, shape (n_paths, n_rules)."""
    paths, _ = as_paths(log_returns, name="calibration_returns")
    if len(paths) != n_paths or paths.shape[1] < horizon + rules.warm_up:
        shape = f"({n_paths}, horizon {horizon} + rules.warm_up {rules.warm_up} or more)"
        raise ValueError(f"calibration_returns must have shape {shape}, got {paths.shape}: drop the first states")
    return np.asarray(rules.statistics(paths)[:, -horizon:].max(axis=1))
