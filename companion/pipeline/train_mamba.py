"""Step 2: train Mamba on the simulated market; the default settings are the recipe of the shipped model."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from companion._checks import check_count
from companion._files import provenance
from companion.errors import InputError
from companion.mamba import MarketMambaConfig, TrainConfig, train
from companion.pipeline._step import Report, Step, main
from companion.pipeline.generate_heston import read_paths


@dataclass(frozen=True)
class TrainMambaConfig:
    """The shape of the model, the recipe of its training, and the seed of weights, batches and noise.

    Attributes
    ----------
    d_model : int
        Width of the latent, in channels, at least 1.
    n_layers : int
        Mamba blocks, at least 1.
    d_state : int
        State of the scan, in numbers a channel, at least 1.
    horizons : tuple of int
        Horizons of the forecast, in bars, each at least 1 and longer than the one before.
    steps : int
        Steps of training, at least 1.
    batch : int
        Windows in a step, at least 1.
    length : int
        Length of a window, in bars, at least 1.
    learning_rate : float
        Largest step size of the optimizer, without unit, above 0.
    latent_noise : float
        Standard deviation of the noise added to the latent in training, without unit, at least 0.
    dtype : str
        Arithmetic of training: float32 or float64.
    seed : int
        Seed of weights, batches and noise, at least 0.
    """

    d_model: int = MarketMambaConfig.d_model
    n_layers: int = MarketMambaConfig.n_layers
    d_state: int = MarketMambaConfig.d_state
    horizons: tuple[int, ...] = MarketMambaConfig.horizons
    steps: int = TrainConfig.steps
    batch: int = TrainConfig.batch
    length: int = TrainConfig.length
    learning_rate: float = TrainConfig.learning_rate
    latent_noise: float = TrainConfig.latent_noise
    dtype: str = TrainConfig.dtype
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("seed", self.seed, least=0)
        self.recipe()

    def recipe(self) -> TrainConfig:
        """Return the same settings as `companion.mamba` takes them."""
        values = asdict(self)
        del values["seed"]
        shape = {name: values.pop(name) for name in ("d_model", "n_layers", "d_state", "horizons")}
        return TrainConfig(MarketMambaConfig(**shape), **values)


def run(config: TrainMambaConfig, inputs: Mapping[str, Path], output: Path, report: Report) -> str:
    """Train a MarketMamba on simulated paths; an interrupted run goes on from where it was when started again."""
    returns, _ = read_paths(inputs["market"])
    need = config.recipe().fewest_bars
    if returns.shape[1] < need:
        raise InputError(
            f"{inputs['market']}: {returns.shape[1]} bars a path, but length + the longest horizon need {need}; "
            "generate longer paths with --bars"
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        model, losses = train(
            returns,
            config.recipe(),
            seed=config.seed,
            progress=lambda step, steps, loss: report(step, steps),
            checkpoint=output.with_suffix(".unfinished"),
        )
    except FloatingPointError as error:
        raise InputError(f"training diverged at {error}") from error
    model.save(output, provenance=provenance(seed=config.seed, config=asdict(config), inputs=inputs))
    tail = losses[-50:]
    return f"{config.steps} steps, mean loss of the last {len(tail)}: {tail.mean():.3f}"


STEP = Step("train-mamba", TrainMambaConfig, inputs={"market": "heston.parquet"}, output="model.safetensors", run=run)
APP = STEP.app()

if __name__ == "__main__":
    sys.exit(main(STEP))
