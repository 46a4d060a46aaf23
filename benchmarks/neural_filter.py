"""P(chaos | past): the network that learned Bayes' rule against the particle filter that carries it out.

`python benchmarks/neural_filter.py`. Bar by bar, the network is timed with the checks of `update` and without them; the
particle filter knows the market and takes the bars as one path, which costs it what bar by bar would.
"""

from collections.abc import Callable

import numpy as np
from _timing import Row, main, race

from companion.heston import RegimeSwitchingHeston, bayes_filter
from companion.mamba import market_features
from companion.regimes import NeuralRegimeFilter

PARTICLES = 3000


def network_step(detector: NeuralRegimeFilter, log_return: float) -> Callable[[], object]:
    """One step of the network, without what `update` does around it."""
    stepper, features = detector.model_.stepper(), market_features([log_return])
    state, latent = stepper.start(), np.empty((1, stepper.d_model), stepper.dtype)
    return lambda: stepper.step_in_place(features, state, latent)


def measure(tiny: bool) -> list[Row]:
    """Race bar by bar on one path, and over several whole paths."""
    market, detector = RegimeSwitchingHeston.equity_index(), NeuralRegimeFilter.load_pretrained()
    bars, rounds = (20, 1) if tiny else (1000, 11)
    returns = market.simulate(n_paths=8, n_steps=bars, seed=1).log_returns
    step = network_step(detector, returns[0, 0])
    label = f"bayes_filter, {PARTICLES:,} particles"
    stream: dict[str, Callable[[], object]] = {
        "companion": lambda: [detector.update(value) for value in returns[0]],
        "companion, network alone": lambda: [step() for _ in range(bars)],
        label: lambda: bayes_filter(returns[0], market, n_particles=PARTICLES, seed=1),
    }
    batch: dict[str, Callable[[], object]] = {
        "companion": lambda: detector.predict_proba(returns),
        label: lambda: bayes_filter(returns, market, n_particles=PARTICLES, seed=1),
    }
    rows = [row._replace(value=row.value / bars) for row in race("bar by bar", stream, rounds=rounds)]
    rows += [row._replace(value=row.value / returns.size) for row in race("8 paths", batch, rounds=rounds)]
    return [row._replace(value=1e3 * row.value, unit="µs a bar") for row in rows]


if __name__ == "__main__":
    main("neural_filter", measure, "The amortized Bayes filter against the particle filter")
