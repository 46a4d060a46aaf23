"""Whom the report compares: what anyone can do without a model, detectors refitted as time goes on, shipped ones."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from companion.backtest import (
    BacktestResult,
    Dimmer,
    Frozen,
    MovingAverage,
    VolatilityTarget,
    WalkForward,
    ZeroOne,
    buy_and_hold,
    run_backtest,
    walk_forward,
)
from companion.datasets import log_returns
from companion.desk import Desk
from companion.pipeline._backtest_settings import BacktestConfig
from companion.pipeline._prices import check_daily
from companion.pipeline._step import Report
from companion.regimes import EwmaKMeans, GarchKMeans, GaussianHmmFilter, NeuralRegimeFilter, RegimeDetector
from companion.regimes._stepper import CALMER
from companion.risk import InstrumentRules, SizingConfig

HOLD = "buy & hold"
AVERAGE = "200-day average"
TARGET = "volatility target"
MODEL = "Mamba K-Means"
UNIVERSAL = "universal filter"
DESK = f"{UNIVERSAL}, desk"
#: Trained on simulated markets, shipped, never fitted again.
SHIPPED: dict[str, Callable[[], Any]] = {
    MODEL: RegimeDetector.load_pretrained,
    "index filter": NeuralRegimeFilter.load_pretrained,
    UNIVERSAL: partial(NeuralRegimeFilter.load_pretrained, "universal"),
}
#: Fitted anew in every window, on the past; from a seed to a detector.
BASELINES: dict[str, Callable[[int], Any]] = {
    "EWMA K-Means": lambda seed: EwmaKMeans(seed=seed),
    "GARCH K-Means": lambda seed: GarchKMeans(seed=seed),
    "Gaussian HMM": lambda seed: GaussianHmmFilter(n_restarts=2, seed=seed),
}
#: A shipped detector that knows the scale of fewer bars is not applied; of more, it is flat on the others.
LEAST_KNOWN = 0.9


@dataclass(frozen=True)
class Tried:
    """What came of one strategy.

    Attributes
    ----------
    backtest : BacktestResult
        Over the tested bars.
    audit : list of dict
        For each window of bars, what its fit saw, as JSON types; none where nothing is fitted.
    """

    backtest: BacktestResult
    audit: list[dict[str, Any]]


@dataclass(frozen=True)
class Recorded:
    """A detector's answers from a file, in place of the detector: P(chaos) after each return, shape (n_bars - 1,)."""

    p_chaos: NDArray[np.float64]

    def predict_proba(self, log_returns: ArrayLike) -> NDArray[np.float64]:
        """P(stable) and P(chaos) after each of the first returns, (n, 2)."""
        p_chaos = self.p_chaos[: len(np.asarray(log_returns))]
        return np.stack([1.0 - p_chaos, p_chaos], axis=1)


class Contest:
    """Strategies on one price series, with the same windows, costs and delay; one that fails does not stop the others.

    Parameters
    ----------
    close : Series of shape (n_bars,)
    config : BacktestConfig
    rule : ZeroOne
        Levels at which every detector switches.

    Attributes
    ----------
    tried : dict of str to Tried
    failed : dict of str to str
        Why a strategy has no result.
    notes : list of str
        What a reader has to know of those that have one.
    """

    def __init__(self, close: pd.Series, config: BacktestConfig, rule: ZeroOne) -> None:
        self.close, self.config, self.rule = close, config, rule
        self.splitter = WalkForward(config.first_test, config.refit_every)
        self.tested = close.iloc[config.first_test :]
        self.year = config.year(self.tested)
        self.trading = config.trading(self.year)
        self.tried: dict[str, Tried] = {}
        self.failed: dict[str, str] = {}
        self.notes: list[str] = []

    def run(self, report: Report, *, model: Any = None) -> None:
        """Try everyone; `model` takes the place of the shipped Mamba K-Means."""
        past = self.close.iloc[: self.config.first_test]  # what is known when the first position is taken
        target = VolatilityTarget(self.config.target_volatility, bars_per_year=self.config.year(past))
        work: dict[str, Callable[[Report], None]] = {
            name: partial(self._callable, name, strategy)
            for name, strategy in ((HOLD, buy_and_hold), (TARGET, target), (AVERAGE, MovingAverage(200)))
        }
        work |= {name: partial(self._shipped, name, make) for name, make in SHIPPED.items()}
        if model is not None:
            work[MODEL] = partial(self._detector, MODEL, Frozen(model))
        work[DESK] = self._desk
        work |= {name: partial(self._detector, name, make(self.config.seed)) for name, make in BASELINES.items()}
        for number, (name, attempt) in enumerate(work.items()):

            def progress(done: int, total: int, before: int = number) -> None:
                report(round(100 * (before + done / total)), 100 * len(work))

            try:
                attempt(progress)
            except ValueError as error:  # these prices show this one no two regimes, say; the others go on
                self.failed[name] = str(error)
            progress(1, 1)

    def _callable(self, name: str, strategy: Any, progress: Report) -> None:
        result = walk_forward(self.close, strategy, splitter=self.splitter, progress=progress, **self.trading)
        self.tried[name] = Tried(result.backtest, _audit(result.audit))

    def _detector(self, name: str, detector: Any, progress: Report, *, known: NDArray[np.bool_] | bool = True) -> None:
        """Once through the prices, and two ways to act on what the detector says; flat where the scale is not known."""

        def switched(p_chaos: NDArray[np.float64]) -> NDArray[np.float64]:
            return self.rule(p_chaos) * known

        result = walk_forward(
            self.close, detector, splitter=self.splitter, rule=switched, progress=progress, **self.trading
        )
        audit = _audit(result.audit)
        self.tried[name] = Tried(result.backtest, audit)
        weights = Dimmer()(np.asarray(result.p_chaos)) * known
        self.tried[f"{name}, dimmer"] = Tried(run_backtest(self.tested, weights, **self.trading), audit)

    def _shipped(self, name: str, make: Callable[[], Any], progress: Report) -> None:
        detector = make()
        self._detector(name, Frozen(detector), progress, known=self._known(name, detector))

    def _known(self, name: str, detector: Any) -> NDArray[np.bool_]:
        """Tested bars of a scale that a shipped detector was made for; ValueError where it is made for other prices."""
        try:
            check_daily(self.close, longest_gap=self.config.longest_gap, name="prices")
        except ValueError as error:
            raise ValueError(f"not applicable, for it knows daily bars only: {error}") from error
        known = np.asarray(detector.known_scale(log_returns(self.close))[self.config.first_test - 1 :])
        if not known.all():
            low, high = detector.feature_.rms_range
            first = self.tested.index[int(np.argmin(known))]
            bars = f"on {np.count_nonzero(~known)} of {len(known)} bars, the first on {first:%Y-%m-%d}"
            scale = f"it knows returns of {CALMER * low:.1%} to {high:.1%} a bar, root mean square of a year or so"
            if known.mean() < LEAST_KNOWN:
                raise ValueError(f"not applicable {bars}: {scale}; what is fitted to these prices has no such range")
            self.notes.append(f"{name} is flat {bars}: {scale}.")
        return known

    def _desk(self, progress: Report) -> None:
        """The whole chain of chapter 11: the dimmer's leverage on a sized position, under a cap on its volatility."""
        detector, equity = SHIPPED[UNIVERSAL](), 1_000_000
        self._known(DESK, detector)  # the desk asks the same, bar by bar
        sizing = SizingConfig(
            kappa=0.001, gamma=2.0, f_max=1.0, sigma_target=self.config.target_volatility / float(np.sqrt(self.year))
        )
        fine = InstrumentRules(size_precision=9, size_increment=Decimal("1e-9"))  # weights, not lots, are compared
        desk = Desk(detector, sizing=sizing, instrument=fine, longest_gap=self.config.longest_gap)
        bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), self.close))
        quantity = np.array([float(decision.quantity) for decision in desk.run(bars, equity=equity)])
        weights = (quantity * self.close.to_numpy() / equity)[self.config.first_test :]
        self.tried[DESK] = Tried(run_backtest(self.tested, weights, **self.trading), [])


def _audit(audit: pd.DataFrame) -> list[dict[str, Any]]:
    """Windows as JSON types: dates as ISO days, None where nothing was fitted."""
    return [{str(name): _plain(value) for name, value in row.items()} for row in audit.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d}"
    return None if pd.isna(value) else value
