"""The detectors that learn from the returns alone: two means on a variance, a hidden Markov chain, a jump model."""

from dataclasses import dataclass

import numpy as np

from companion.regimes._features import Ewma, Feature, Garch, Gjr, Har
from companion.regimes._filter import RegimeFilter
from companion.regimes._hidden_markov import HiddenMarkov
from companion.regimes._jumps import JumpCost
from companion.regimes._rules import Linear, Rule, TwoMeans


@dataclass(eq=False, repr=False)
class EwmaKMeans(RegimeFilter):
    """K-Means on the log of an exponentially weighted variance: the baseline that costs three lines.

    Parameters
    ----------
    half_life : float, default=10.0
        Bars after which a squared return has half its weight.
    enter_chaos, leave_chaos, warm_up, seed
        See `RegimeFilter`.
    """

    half_life: float = 10.0

    def _parts(self) -> tuple[Feature, Rule]:
        return Ewma(self.half_life), TwoMeans()


@dataclass(eq=False, repr=False)
class GarchKMeans(RegimeFilter):
    """K-Means on the log of a GARCH(1, 1) forecast of the next bar's variance (Bollerslev 1986).

    Parameters
    ----------
    enter_chaos, leave_chaos, warm_up, seed
        See `RegimeFilter`.
    """

    def _parts(self) -> tuple[Feature, Rule]:
        return Garch(), TwoMeans()


@dataclass(eq=False, repr=False)
class GjrKMeans(RegimeFilter):
    """K-Means on the log of a GJR-GARCH(1, 1) forecast, in which falls count extra (Glosten et al. 1993).

    Parameters
    ----------
    enter_chaos, leave_chaos, warm_up, seed
        See `RegimeFilter`.
    """

    def _parts(self) -> tuple[Feature, Rule]:
        return Gjr(), TwoMeans()


@dataclass(eq=False, repr=False)
class HarKMeans(RegimeFilter):
    """K-Means on a forecast of log realized variance by the regression of Corsi (2009), in logs.

    Parameters
    ----------
    horizon : int, default=20
        Bars ahead that are forecast.
    enter_chaos, leave_chaos, warm_up, seed
        See `RegimeFilter`.
    """

    horizon: int = 20

    def _parts(self) -> tuple[Feature, Rule]:
        return Har(self.horizon), TwoMeans()


@dataclass(eq=False, repr=False)
class GaussianHmmFilter(RegimeFilter):
    """Two-state Gaussian hidden Markov model (Hamilton 1989), filtered: it never looks ahead.

    Parameters
    ----------
    n_restarts : int, default=5
        Random starts of the fit.
    enter_chaos, leave_chaos, warm_up, seed
        See `RegimeFilter`.
    """

    n_restarts: int = 5

    def _parts(self) -> tuple[Feature, Rule]:
        return HiddenMarkov(self.n_restarts), Linear(np.array([-1.0, 1.0]))


@dataclass(eq=False, repr=False)
class JumpModelFilter(RegimeFilter):
    """Two-state statistical jump model (Nystrup, Lindström & Madsen 2020), read online.

    Parameters
    ----------
    half_life : float, default=5.0
        Of the average whose log the model clusters, in bars.
    penalty : float, default=1.0
        Cost of a switch; at 0 the model is K-Means.
    enter_chaos, leave_chaos, warm_up, seed
        See `RegimeFilter`.
    """

    half_life: float = 5.0
    penalty: float = 1.0

    def _parts(self) -> tuple[Feature, Rule]:
        return JumpCost(self.half_life, self.penalty), Linear(np.array([1.0]))
