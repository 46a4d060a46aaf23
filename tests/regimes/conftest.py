from functools import cache

import numpy as np
import pytest

from companion.heston import RegimeSwitchingHeston
from companion.mamba import MarketMambaConfig
from companion.mamba._train import initial_model
from companion.regimes import (
    EwmaKMeans,
    GarchKMeans,
    GaussianHmmFilter,
    GjrKMeans,
    HarKMeans,
    JumpModelFilter,
    NeuralRegimeFilter,
    RegimeDetector,
)

SMALL_OF_ANY_SCALE = MarketMambaConfig(d_model=8, n_layers=1, d_state=4, horizons=(1,), scale_half_life=200.0)


def of_any_scale(**options):
    """A small network that carries a scale of its own, and has yet to learn."""
    return NeuralRegimeFilter(**{"model": initial_model(SMALL_OF_ANY_SCALE, seed=0), "steps": 40} | options)


MAKERS = {
    "ewma": EwmaKMeans,
    "garch": GarchKMeans,
    "gjr": GjrKMeans,
    "har": HarKMeans,
    "jump": JumpModelFilter,
    "hmm": lambda **options: GaussianHmmFilter(n_restarts=2, **options),
    "mamba": lambda **options: RegimeDetector(**options),
    "neural": lambda **options: NeuralRegimeFilter(steps=2, **options),
}
ANY_SCALE = "any scale"
SHIPPED = {
    "detector": RegimeDetector.load_pretrained,
    "equity_index": lambda **options: NeuralRegimeFilter.load_pretrained("equity_index", **options),
    "universal": lambda **options: NeuralRegimeFilter.load_pretrained("universal", **options),
    "scale_free": lambda **options: NeuralRegimeFilter.load_pretrained("scale_free", **options),
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
    return SHIPPED[name]() if name in SHIPPED else (MAKERS | {ANY_SCALE: of_any_scale})[name]().fit(*_market())


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


@pytest.fixture(params=[*MAKERS, ANY_SCALE, *SHIPPED])
def ready(request):
    """Each detector that is fitted on `market`, one of any scale too, and those that ship."""
    return _ready(request.param).reset()


@pytest.fixture(params=SHIPPED)
def load_shipped(request):
    """Loader of each detector that ships."""
    return SHIPPED[request.param]
