"""The fit of the jump model against every sequence of states, and against the library of its authors."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jumpmodels.jump import JumpModel

from companion.regimes import JumpModelFilter
from companion.regimes._features import Ewma
from companion.regimes._jumps import cheapest_states


def _cost(evidence: np.ndarray, chaos: np.ndarray, penalty: float) -> float:
    """Of a sequence, less what it costs to stay in chaos."""
    return evidence[~chaos].sum() + penalty * np.count_nonzero(np.diff(chaos))


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(-3.0, 3.0), min_size=1, max_size=9), st.floats(0.0, 4.0))
def test_no_sequence_of_states_costs_less(evidence, penalty):
    evidence = np.array(evidence)
    found = cheapest_states(evidence, penalty)
    every = (np.array(chaos) for chaos in itertools.product((False, True), repeat=len(evidence)))
    least = min(_cost(evidence, chaos, penalty) for chaos in every)
    assert _cost(evidence, found, penalty) == pytest.approx(least, abs=1e-12)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 10.0])
def test_the_centers_are_those_of_the_library(market, penalty):
    returns, regime = (array[:2] for array in market)
    ours = JumpModelFilter(penalty=penalty).fit(returns, regime)
    average = Ewma(ours.half_life).fit(returns, warm_up=60, seed=0).transform(returns)[:, 60:, 0]
    standardized = ((average - ours.level_) / ours.scale_).reshape(-1, 1)
    library = JumpModel(n_components=2, jump_penalty=penalty, n_init=3, random_state=0).fit(standardized)
    np.testing.assert_allclose(ours.centers_, np.sort(library.centers_[:, 0]), rtol=1e-12)
