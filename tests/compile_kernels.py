"""Compile the kernels that take long, once, before two workers and their processes do it side by side.

`make test` runs this for each of `PARTS`, beside the checks. Numba keeps what it compiled next to the sources; a kernel
that is not called here is compiled by whoever needs it first.
"""

import sys

import numpy as np

from companion import backtest, chaos, heston, mamba, regimes


def networks() -> None:
    """Those of the Mamba, forward and backward."""
    returns = np.random.default_rng(0).normal(scale=0.01, size=(4, 400))
    for dtype in ("float32", "float64"):
        mamba.train(returns, mamba.TrainConfig(steps=1, batch=2, length=64, dtype=dtype), seed=0)
    regimes.NeuralRegimeFilter.load_pretrained().update(0.01)


def others() -> None:
    """All others."""
    market = heston.RegimeSwitchingHeston.equity_index()
    paths = market.simulate(n_paths=4, n_steps=400, seed=0)
    returns = paths.log_returns
    heston.simulate_heston(market.regimes[0], n_paths=2, n_steps=8, seed=0)
    heston.bayes_filter(returns[:, :20], market, n_particles=8, seed=0)
    heston.grid_filter(returns[:, :20], market)

    earned = np.expm1(returns[0])
    weights = np.arange(earned.size + 1) % 2.0
    backtest.run_backtest(paths.price[0], weights).performance()
    backtest.backtest_table(paths.price[0], weights[None])
    backtest.sharpe_difference_interval(earned, earned * weights[1:], n_resamples=10, seed=0)
    backtest.probability_of_overfitting(np.expm1(returns.T), n_blocks=4)

    chaos.lyapunov_spectrum(chaos.Lorenz(), duration=10, seed=0)
    chaos.correlation_sum_at(earned)
    chaos.prediction_error(earned)
    chaos.bds_test(earned)


PARTS = {"networks": networks, "others": others}

if __name__ == "__main__":
    PARTS[sys.argv[1]]()
