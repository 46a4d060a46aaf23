"""Detectors side by side on one market, each against the truth, against the others and against the best observer."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from companion._checks import Floats
from companion.evaluation import _scores as scores
from companion.evaluation import _switches as switches
from companion.evaluation._intervals import Interval, bootstrap_over_paths, paired_difference, share_of_ceiling
from companion.regimes._ceiling import BayesCeiling
from companion.regimes._filter import RegimeFilter
from companion.regimes._hysteresis import hysteresis

if TYPE_CHECKING:
    import pandas as pd

    from companion.heston import RegimeSwitchingHeston

#: Seeds of the paths that the book's figures come from, by market. Nothing is chosen by a score on them: for that there
#: is `DEVELOPMENT_SEED`.
TEST_SEEDS = {"equity_index": 50_311, "fast_reverting": 50_321, "slow_reverting": 50_331}
DEVELOPMENT_SEED = 40_127
#: The paths that detectors are fitted on.
TRAIN_SEED, TRAIN_PATHS, TRAIN_BARS = 30_103, 24, 2000

CEILING = "ceiling"

#: Each score, and which of the three faces of a forecast it looks at.
SCORES: dict[str, tuple[Callable[..., float], str]] = {
    "auc": (scores.auc, "p_chaos"),
    "balanced_accuracy": (scores.balanced_accuracy, "called"),
    "brier": (scores.brier_score, "p_chaos"),
    "calibration_error": (scores.expected_calibration_error, "p_chaos"),
    "held_accuracy": (scores.balanced_accuracy, "held"),
    "false_switches": (switches.false_switches, "held"),
    "delay_into_chaos": (switches.delay_into_chaos, "held"),
    "delay_into_stable": (switches.delay_into_stable, "held"),
    "missed_spells": (switches.missed_spells, "held"),
}


class Forecast(NamedTuple):
    """What a detector says of every bar, each array of shape (n_paths, n_bars).

    Attributes
    ----------
    p_chaos : float64 array
        Filtered P(chaos).
    called : int8 array
        Chaos where the probability exceeds the share of chaos in the market, which serves balanced accuracy best.
    held : int8 array
        Regime after hysteresis.
    """

    p_chaos: Floats
    called: NDArray[np.int8]
    held: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Forecasts of several detectors for the same paths; what `compare_detectors` returns.

    Attributes
    ----------
    truth : int8 array of shape (n_paths, n_bars)
        True regimes, without the warm-up.
    forecasts : mapping of str to Forecast
        By detector; ``"ceiling"`` is the best possible observer.
    seed : int
        Of the resamples, the same ones for all intervals.
    """

    truth: NDArray[np.int8]
    forecasts: Mapping[str, Forecast]
    seed: int

    def _face(self, name: str, score: str) -> tuple[Callable[..., float], NDArray[Any]]:
        if name not in self.forecasts:
            raise ValueError(f"name must be one of {', '.join(self.forecasts)}, got {name!r}")
        if score not in SCORES:
            raise ValueError(f"score must be one of {', '.join(SCORES)}, got {score!r}")
        function, face = SCORES[score]
        return function, getattr(self.forecasts[name], face)

    def scores(self) -> "pd.DataFrame":
        """Every score of every detector, all paths pooled: a row a detector, a column a name of `SCORES`."""
        import pandas as pd

        rows = {name: self._score_paths(name, slice(None)) for name in self.forecasts}
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(SCORES))

    def by_path(self) -> "pd.DataFrame":
        """`scores` path by path, a row a detector and path; NaN for a path that has one regime only."""
        import pandas as pd

        both = [path for path, truth in enumerate(self.truth) if np.ptp(truth) > 0]
        rows = pd.MultiIndex.from_product([list(self.forecasts), range(len(self.truth))], names=["detector", "path"])
        table = pd.DataFrame(np.nan, index=rows, columns=list(SCORES))
        for name in self.forecasts:
            for path in both:
                table.loc[name, path] = self._score_paths(name, slice(path, path + 1))
        return table

    def _score_paths(self, name: str, paths: slice) -> list[float]:
        found = [self._face(name, score) for score in SCORES]
        return [function(self.truth[paths], face[paths]) for function, face in found]

    def interval(self, name: str, score: str) -> Interval:
        """One score of one detector, with its bootstrap interval over paths."""
        function, face = self._face(name, score)
        return bootstrap_over_paths(function, self.truth, face, seed=self.seed)

    def share(self, name: str, score: str = "auc") -> Interval:
        """``(score - .5) / (score of the ceiling - .5)``; for "auc", "balanced_accuracy" and "held_accuracy"."""
        halves = ("auc", "balanced_accuracy", "held_accuracy")
        if score not in halves:
            raise ValueError(f"score must be one of {', '.join(halves)}, of which a coin has one half, got {score!r}")
        (function, face), (_, best) = self._face(name, score), self._face(CEILING, score)
        return share_of_ceiling(function, face, best, self.truth, seed=self.seed)

    def difference(self, name: str, other: str, score: str = "auc") -> Interval:
        """Score of `name` minus score of `other`, on the same resamples."""
        (function, face), (_, against) = self._face(name, score), self._face(other, score)
        return paired_difference(function, face, against, self.truth, seed=self.seed)


def compare_detectors(
    market: "RegimeSwitchingHeston",
    detectors: Mapping[str, RegimeFilter],
    *,
    n_paths: int = 40,
    n_bars: int = 2500,
    seed: int,
    train_seed: int = TRAIN_SEED,
    ceiling: ArrayLike | None = None,
    n_particles: int = BayesCeiling.n_particles,
) -> Comparison:
    """Let every detector read the same paths of a market, and keep what it says.

    Parameters
    ----------
    market : RegimeSwitchingHeston
        Of two regimes.
    detectors : mapping of str to RegimeFilter
        A fitted one reads the paths as it is. One that is not fitted stays so: a clone of it is fitted on paths of
        this market, and calibrated on their true regimes.
    n_paths, n_bars : int
        What is read: ``market.simulate(n_paths=n_paths, n_steps=n_bars, seed=seed)``.
    seed : int
        One of `TEST_SEEDS` for a figure to report, else `DEVELOPMENT_SEED`.
    train_seed : int
        Of the paths to fit on.
    ceiling : array_like of shape (n_paths, n_bars, 2), optional
        Posterior of the best possible observer of these paths, as ``BayesCeiling(market).predict_proba`` gives it.
        Without it, it is computed.
    n_particles : int
        Particles a path of the observer, where it is computed.

    Returns
    -------
    Comparison
        Without the bars of the longest warm-up among the detectors.

    Raises
    ------
    ValueError
        When a detector is no `RegimeFilter` or its name is "ceiling", both seeds are the same, or `ceiling` has another
        shape.
    """
    if CEILING in detectors:
        raise ValueError(f"detectors must have other names than that of the best possible observer, got {CEILING!r}")
    if others := [name for name, detector in detectors.items() if not isinstance(detector, RegimeFilter)]:
        raise ValueError(f"detectors must be RegimeFilters, got another under {', '.join(map(repr, others))}")
    if seed == train_seed:
        raise ValueError(f"seed must differ from train_seed, got {seed}: no detector may see the paths it is scored on")
    paths = market.simulate(n_paths=n_paths, n_steps=n_bars, seed=seed)
    best = BayesCeiling(market, n_particles=n_particles).fit(paths.log_returns)
    if ceiling is not None and np.shape(ceiling) != (n_paths, n_bars, 2):
        raise ValueError(f"ceiling must have shape {(n_paths, n_bars, 2)}, got {np.shape(ceiling)}")
    with ThreadPoolExecutor(max_workers=1) as beside:  # the particle filter leaves the other detectors a core
        watch = beside.submit(best.predict_proba, paths.log_returns) if ceiling is None else None
        ready = _fitted(market, detectors, train_seed)
        p_chaos = {name: reader.predict_proba(paths.log_returns)[..., 1] for name, reader in ready.items()}
        posterior = np.asarray(ceiling, dtype=np.float64) if watch is None else watch.result()
    warm_up = max([best.warm_up, *(detector.warm_up for detector in ready.values())])
    base_rate = float(market.stationary[1])

    def forecast(reader: RegimeFilter | BayesCeiling, chaos: Floats) -> Forecast:
        held = hysteresis(chaos, enter_chaos=reader.enter_chaos, leave_chaos=reader.leave_chaos)
        warm = chaos[:, warm_up:]
        return Forecast(warm, (warm > base_rate).astype(np.int8), held[:, warm_up:])

    said = {name: forecast(reader, p_chaos[name]) for name, reader in ready.items()}
    said[CEILING] = forecast(best, posterior[..., 1])
    return Comparison(paths.regime[:, 1 + warm_up :], said, seed)


def _fitted(
    market: "RegimeSwitchingHeston", detectors: Mapping[str, RegimeFilter], train_seed: int
) -> dict[str, RegimeFilter]:
    """The detectors, those that are not fitted replaced by clones that are."""
    ready = dict(detectors)
    if raw := [name for name, detector in detectors.items() if not hasattr(detector, "calibration_")]:
        train = market.simulate(n_paths=TRAIN_PATHS, n_steps=TRAIN_BARS, seed=train_seed)
        ready |= {name: clone(detectors[name]).fit(train.log_returns, train.regime[:, 1:]) for name in raw}
    return ready
