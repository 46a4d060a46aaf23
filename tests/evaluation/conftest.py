import numpy as np
import pytest

from companion.heston import RegimeSwitchingHeston


@pytest.fixture(scope="session")
def market():
    """Log returns and true regimes of six paths × 1,200 bars of the base market."""
    paths = RegimeSwitchingHeston.equity_index().simulate(n_paths=6, n_steps=1200, seed=2024)
    returns, regime = paths.log_returns, paths.regime[:, 1:]
    for array in (returns, regime):
        array.flags.writeable = False
    assert np.unique(regime).tolist() == [0, 1]
    return returns, regime
