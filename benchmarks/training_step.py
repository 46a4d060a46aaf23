"""One training step of a two-layer model, against mambapy's and transformers' on the processor.

`python benchmarks/training_step.py`
"""

from collections.abc import Callable

import torch
from _models import make_features, mambapy_model, transformers_model
from _timing import Row, main, race
from torch import nn

from companion.mamba import MarketMamba


def training_step(model: nn.Module, batch: int, length: int) -> Callable[[], object]:
    """Return a call that runs forward, backward and AdamW once."""
    features, optimizer = make_features(batch, length), torch.optim.AdamW(model.parameters(), lr=1e-4)

    def call() -> object:
        optimizer.zero_grad()
        loss = model(features).square().mean()
        loss.backward()
        return optimizer.step()

    return call


def measure(tiny: bool) -> list[Row]:
    """Race at batch 16, length 256."""
    batch, length = (2, 8) if tiny else (16, 256)
    case = f"2 layers, d = 64, {batch} x {length}"
    ours = training_step(MarketMamba(), batch, length)
    contenders = {"companion": ours, "mambapy": training_step(mambapy_model(), batch, length)}
    rows = race(case, contenders, rounds=1 if tiny else 15)
    contenders = {"companion": ours, "transformers": training_step(transformers_model(), batch, length)}
    return rows + race(case, contenders, rounds=1 if tiny else 3)[1:]


if __name__ == "__main__":
    main("training_step", measure, "Training step: forward, backward, AdamW")
