"""One bar through a two-layer model that keeps its state, against mambapy's and transformers' steps.

`python benchmarks/streaming.py`. The peers' steps are timed as their libraries have them: layers only, without the
embedding and the last norm that the stepper of `MarketMamba` includes.
"""

from collections.abc import Callable

import torch
from _models import LAYERS, WIDTH, TransformersStack, make_features, mambapy_model
from _timing import Row, main, race

from companion.mamba import MarketMamba


def companion_step() -> Callable[[], object]:
    """The compiled step of `MarketMamba`, with its embedding and last norm, and a new state each time."""
    stepper, features = MarketMamba().stepper(), make_features(1, 1)[:, 0].numpy()
    state = stepper.start()
    return lambda: stepper.step(features, state)


def mambapy_step() -> Callable[[], object]:
    """The step of mambapy's stack; a list because it puts the new state into what it is given."""
    stack = mambapy_model()[1].eval()
    x = torch.randn(1, WIDTH)
    state = [(torch.zeros(1, 2 * WIDTH, 16), torch.zeros(1, 2 * WIDTH, 3))] * LAYERS
    return lambda: stack.step(x, [*state])


def transformers_step() -> Callable[[], object]:
    """A call of transformers' stack with a cache from a first bar."""
    stack, x = TransformersStack().eval(), torch.randn(1, 1, WIDTH)
    _, cache = stack.step(x, None)
    return lambda: stack.step(x, cache)


@torch.no_grad()
def measure(tiny: bool) -> list[Row]:
    """Race at batch 1."""
    contenders = {"companion": companion_step(), "mambapy": mambapy_step(), "transformers": transformers_step()}
    rows = race("2 layers, d = 64, batch 1", contenders, rounds=1 if tiny else 201)
    return [row._replace(value=1e3 * row.value, unit="µs") for row in rows]


if __name__ == "__main__":
    main("streaming", measure, "Streaming step: one bar, batch 1")
