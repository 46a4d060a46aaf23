"""One path, bar by bar: from a raw log return to a reading, by a fitted detector as it was when it was asked."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from companion._checks import LARGEST_LOG_RETURN, Floats, check_count, check_series, decay
from companion.mamba._features import SCALE, features_of_one
from companion.mamba._scale import rescale_in_place
from companion.regimes._confidence import PlattCalibration
from companion.regimes._features import Feature
from companion.regimes._latent import Latent
from companion.regimes._packing import fingerprint, pack, unpack
from companion.regimes._rules import Linear, Rule, TwoMeans

YEAR_KEPT = decay(250.0)
CALMER = 0.5  # of the smallest scale of training: a year of real calm, as 2017, is still read


@dataclass(frozen=True)
class RegimeReading:
    """What a detector says after one more bar.

    Attributes
    ----------
    p_chaos : float
        Calibrated, filtered probability that the regime is chaos.
    regime : int
        0 stable, 1 chaos, after hysteresis.
    confidence : float
        The uncalibrated confidence in the stable regime, in [0, 1].
    n_bars : int
        Bars seen so far, this one included.
    warm : bool
        Whether the detector has seen its warm-up; before that, the reading leans on where the filter started.
    features : ndarray of shape (n_features,)
        What the detector looked at: for the neural ones the latent, which `SafetyMonitor.check_safety` takes.
    known_scale : bool
        Whether the returns of the last year or so are of a size that the detector was made for. A network that was
        trained in one unit takes a bond for a calm that never ends, and a coin for a chaos that never does.
    ood_p_value : float or None
        Of the hypothesis that the past is one of the markets that a shipped network was trained on, in (0, 1]: on 2,500
        bars of such a market it falls to α or below at any bar with probability α at most. A small one says that
        `p_chaos` means nothing, and `SafetyMonitor.check_past` stops on it; a large one proves nothing. 1 in the first
        60 bars; None for a detector that has no such markets.
    """

    p_chaos: float
    regime: int
    confidence: float
    n_bars: int
    warm: bool
    features: Floats = field(compare=False, repr=False)
    known_scale: bool = True
    ood_p_value: float | None = None

    @property
    def p_stable(self) -> float:
        """Calibrated, filtered probability that the regime is stable: 1 - `p_chaos`."""
        return 1.0 - self.p_chaos


class RegimeStepper:
    """A fitted detector on one path; made by `RegimeFilter.stepper`, which says what its arguments are."""

    def __init__(
        self,
        feature: Feature,
        rule: Rule,
        calibration: PlattCalibration,
        *,
        enter_chaos: float,
        leave_chaos: float,
        warm_up: int,
    ) -> None:
        self._feature, self._rule = feature, rule
        self._slope, self._intercept = calibration.slope, calibration.intercept
        self._enter_chaos, self._leave_chaos, self._warm_up = enter_chaos, leave_chaos, warm_up
        self._state = feature.start(1)
        self._regime = self._n_bars = 0
        self._scale = np.zeros(2)  # weighted sums of squared returns and of their weights
        self._past = np.empty(0)  # what `OutOfDistribution` keeps

    @cached_property
    def _identity(self) -> str:
        return fingerprint(
            self._feature,
            self._rule,
            [self._slope, self._intercept, self._enter_chaos, self._leave_chaos, self._warm_up],
        )

    @property
    def n_bars(self) -> int:
        """Bars seen so far."""
        return self._n_bars

    def update(self, log_return: float) -> RegimeReading:
        """Take one more bar; a refused one (`ValueError`) leaves the stepper as it was."""
        value = _checked(log_return)
        features = self._advance(value)
        ood_p_value = self._ood_p_value()
        score, confidence = self._judge(features)
        p_chaos = _logistic(self._slope * score + self._intercept)
        if p_chaos >= self._enter_chaos:
            self._regime = 1
        elif p_chaos <= self._leave_chaos:
            self._regime = 0
        self._n_bars += 1
        warm = self._n_bars > self._warm_up
        known = self._knows_scale(value) or not warm
        return RegimeReading(p_chaos, self._regime, confidence, self._n_bars, warm, features, known, ood_p_value)

    def _knows_scale(self, log_return: float) -> bool:
        """Take the return into the slow scale, and ask whether the feature was made for such returns."""
        if self._feature.rms_range is None:
            return True
        low, high = self._feature.rms_range
        self._scale *= YEAR_KEPT
        self._scale += log_return * log_return, 1.0
        return CALMER * low <= math.sqrt(self._scale[0] / self._scale[1]) <= high

    def _advance(self, log_return: float) -> Floats:
        """Features (n_features,) after one more bar."""
        features, self._state = self._feature.advance(np.array([log_return]), self._state)
        return features[0]

    def _ood_p_value(self) -> float | None:
        """Of the bar that `_advance` has just taken."""
        return None

    def _judge(self, features: Floats) -> tuple[float, float]:
        """Score and confidence of features (n_features,)."""
        if isinstance(self._rule, Linear):
            score = float(features @ self._rule.weight) + self._rule.bias
            return score, _logistic(-score)
        if isinstance(self._rule, TwoMeans):
            apart = self._rule.centroids_ - features
            stable, chaos = np.einsum("ij,ij->i", apart, apart).tolist()
            return stable - chaos, _logistic(math.sqrt(chaos) - math.sqrt(stable))
        return float(self._rule.score(features)), float(self._rule.confidence(features))

    def state(self) -> dict[str, Any]:
        """All that it remembers, as JSON types; `restore` takes it back exactly."""
        return {
            "detector": self._identity,
            "n_bars": self._n_bars,
            "regime": self._regime,
            "feature": pack(self._state),
            "scale": pack(self._scale),
            "past": pack(self._past),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`; ValueError if it is no state, or that of another detector: all stays as it was."""
        try:
            detector, feature, scale = state["detector"], unpack(state["feature"]), unpack(state["scale"])
            n_bars, regime = check_count("n_bars", state["n_bars"], least=0), int(state["regime"])
            past = unpack(state["past"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"state must be what state() gave, got something else ({error!r})") from error
        if detector != self._identity:
            raise ValueError("state must be that of the same detector, fitted and set alike, got another's")
        fresh = self._feature.start(1)
        expected = self._feature.advance(np.zeros(1), fresh)[1] if n_bars else fresh
        same = _shape((feature, scale, past)) == _shape((expected, self._scale, self._past))
        if regime not in (0, 1) or not (same and np.isfinite(past).all()):
            raise ValueError("state must be what state() gave, got one that has been changed")
        self._n_bars, self._regime, self._state, self._scale = n_bars, regime, feature, scale
        self._past = past


class LatentStepper(RegimeStepper):
    """The same on the latent of a Mamba: its state is its own, so that the compiled step may overwrite it."""

    def __init__(self, feature: Latent, rule: Rule, calibration: PlattCalibration, **settings: Any) -> None:
        super().__init__(feature, rule, calibration, **settings)
        self._stepper, self._kept, self._ood = feature.stepper, feature.kept, feature.ood
        self._inputs = np.empty((1, self._stepper.n_features), np.float32)  # as the model was trained
        self._latent = np.empty((1, self._stepper.d_model), self._stepper.dtype)
        self._percent = 0.0  # the return as the model reads it
        if self._ood is not None:
            self._past = self._ood.start()

    def _advance(self, log_return: float) -> Floats:
        conv, hidden, scale = self._state
        if self._kept is not None:
            log_return = rescale_in_place(log_return, scale[0], self._kept)
        self._inputs[0] = features_of_one(log_return)
        self._percent = log_return / SCALE
        self._stepper.step_in_place(self._inputs.astype(self._stepper.dtype, copy=False), (conv, hidden), self._latent)
        return self._latent[0].astype(np.float64)

    def _ood_p_value(self) -> float | None:
        if self._ood is None:
            return None
        return self._ood.p_value(self._ood.after(self._latent[0], self._percent, self._past, self._n_bars))


def scale_is_known(paths: Floats, rms_range: tuple[float, float] | None) -> NDArray[np.bool_]:
    """`RegimeReading.known_scale` at every bar of log returns (n_paths, n_bars), but for the warm-up."""
    if rms_range is None:
        return np.ones(paths.shape, dtype=np.bool_)
    low, high = rms_range
    squares, weights = (lfilter([1.0], [1.0, -YEAR_KEPT], x, axis=-1) for x in (paths**2, np.ones_like(paths)))
    rms = np.sqrt(squares / weights)
    return np.asarray((rms >= CALMER * low) & (rms <= high))


def stepper_of(feature: Feature, rule: Rule, calibration: PlattCalibration, **settings: Any) -> RegimeStepper:
    """The stepper that suits the feature."""
    if isinstance(feature, Latent):
        return LatentStepper(feature, rule, calibration, **settings)
    return RegimeStepper(feature, rule, calibration, **settings)


def _checked(log_return: Any) -> float:
    if isinstance(log_return, float) and abs(log_return) <= LARGEST_LOG_RETURN:
        return float(log_return)
    if np.ndim(log_return) != 0:
        raise ValueError(f"log_return must be one number, got shape {np.shape(log_return)}")
    value = float(check_series([log_return], name="log_return")[0])
    if not abs(value) <= LARGEST_LOG_RETURN:
        raise ValueError(
            f"log_return must be a log return, a number between ±{LARGEST_LOG_RETURN:g}, got {value}: "
            "the logarithm of a price over the price before"
        )
    return value


def _logistic(x: float) -> float:
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    w = math.exp(x)
    return w / (1.0 + w)


def _shape(state: Any) -> Any:
    """Shapes and types of a state, whatever it is made of."""
    if isinstance(state, tuple):
        return tuple(_shape(part) for part in state)
    return None if state is None else (state.shape, state.dtype)
