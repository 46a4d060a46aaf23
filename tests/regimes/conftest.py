from functools import cache

import numpy as np
import pytest

from companion.heston import RegimeSwitchingHeston
from companion.regimes import (
    EwmaKMeans,
    GarchKMeans,
    GaussianHmmFilter,
    HarKMeans,
    JumpModelFilter,
    NeuralRegimeFilter,
    RegimeDetector,
)

MAKERS = {
    "ewma": EwmaKMeans,
    "garch": GarchKMeans,
    "har": HarKMeans,
    "jump": JumpModelFilter,
    "hmm": lambda **options: GaussianHmmFilter(n_restarts=2, **options),
    "mamba": lambda **options: RegimeDetector(**options),
    "neural": lambda **options: NeuralRegimeFilter(steps=2, **options),
}
SHIPPED = {
    "detector": RegimeDetector.load_pretrained,
    "equity_index": lambda **options: NeuralRegimeFilter.load_pretrained("equity_index", **options),
    "universal": lambda **options: NeuralRegimeFilter.load_pretrained("universal", **options),
}


@cache
def _market():
    paths = RegimeSwitchingHeston.equity_index().simulate(n_paths=6, n_steps=1200, seed=2024)
    returns, regime = paths.log_returns, paths.regime[:, 1:]
    for array in (returns, regime):
        array.flags.writeable = False
    assert np.unique(regime).tolist() == [0, 1]
    return returns, regime


@cache
def _ready(name):
    return SHIPPED[name]() if name in SHIPPED else MAKERS[name]().fit(*_market())


@pytest.fixture(scope="session")
def market():
    """Log returns and true regimes of six paths × 1,200 bars of the base market."""
    return _market()


@pytest.fixture(params=MAKERS)
def maker(request):
    """Constructor of each detector, by keyword."""
    return MAKERS[request.param]


@pytest.fixture(params=MAKERS)
def fitted(request):
    """Each detector, fitted on `market` with its labels, before the first bar of a stream."""
    return _ready(request.param).reset()


@pytest.fixture(params=[*MAKERS, *SHIPPED])
def ready(request):
    """Each detector that is fitted on `market`, and the three that ship."""
    return _ready(request.param).reset()


@pytest.fixture(params=SHIPPED)
def load_shipped(request):
    """Loader of each detector that ships."""
    return SHIPPED[request.param]
