"""Rebuild the hidden coordinates of Lorenz from x: a learned memory against the best delay vector, clean and noisy."""

import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from companion.chaos import Lorenz, delay_embedding
from companion.evaluation import bootstrap_over_paths, paired_difference
from companion.mamba import SequenceRegressor
from studies._study import Report, Row, Study
from studies._study import main as run_as_program

Floats = NDArray[np.float64]
Setting = Mapping[str, float]

WARM_UP = 100
"""Points at the start of a path that no score counts: a delay vector may reach as far back, and a memory fills."""
MAMBA = "Mamba"
NEIGHBORS, POLYNOMIAL, PERCEPTRON = "nearest neighbors", "polynomial", "perceptron"


@dataclass(frozen=True)
class HiddenConfig:
    """Paths (how many, how long), noise, the seeds of what learns by chance, and the settings to choose from.

    The settings of a method are chosen by its error on the development paths, for each noise anew: every delay vector
    (dimension, delay in points) with every number of neighbors or degree, and for the Mamba the window with the largest
    learning rate.
    """

    snr_db: tuple[float, ...] = (float("inf"), 30.0, 20.0, 10.0, 0.0)
    train: tuple[int, int] = (8, 2000)
    development: tuple[int, int] = (8, 1000)
    test: tuple[int, int] = (24, 1000)
    seeds: tuple[int, ...] = (0, 1, 2)
    near: tuple[tuple[int, int], ...] = ((3, 6), (5, 2), (10, 1), (15, 1), (15, 2), (25, 1), (40, 1), (60, 1))
    neighbors: tuple[int, ...] = (4, 32)
    polynomials: tuple[tuple[int, int], ...] = ((5, 2), (5, 6), (8, 2), (8, 4), (8, 6))
    degrees: tuple[int, ...] = (2, 3)
    perceptrons: tuple[tuple[int, int], ...] = ((10, 2), (20, 2), (40, 1), (60, 1))
    epochs: int = 30
    mambas: tuple[tuple[int, float], ...] = ((192, 3e-3), (192, 1e-2))
    steps: int = 300
    batch: int = 8

    def settings(self) -> dict[str, list[Setting]]:
        """What each method is tried at."""
        return {
            NEIGHBORS: [{"dimension": m, "delay": d, "k": k} for (m, d), k in product(self.near, self.neighbors)],
            POLYNOMIAL: [
                {"dimension": m, "delay": d, "degree": k} for (m, d), k in product(self.polynomials, self.degrees)
            ],
            PERCEPTRON: [{"dimension": m, "delay": d} for m, d in self.perceptrons],
            MAMBA: [{"window": window, "rate": rate} for window, rate in self.mambas],
        }

    def record(self) -> dict[str, Any]:
        """Everything the result depends on but the code, as JSON types."""
        return json.loads(json.dumps(asdict(self)))


TINY = HiddenConfig(
    snr_db=(20.0,),
    train=(2, 200),
    development=(2, 150),
    test=(2, 150),
    seeds=(0,),
    neighbors=(1, 4),
    near=((3, 4),),
    degrees=(1, 2),
    polynomials=((3, 4),),
    perceptrons=((3, 4),),
    epochs=2,
    mambas=((64, 1e-2),),
    steps=2,
    batch=2,
)
"""Sizes that only show that it runs."""


def hidden_coordinates(tiny: bool = False) -> Study:
    """Return the study: a run each signal-to-noise ratio."""
    config = TINY if tiny else HiddenConfig()
    return Study(
        name="hidden_coordinates",
        title="Hidden coordinates of Lorenz, told from x alone",
        question="Does a learned memory (a small Mamba) tell y and z better than the best delay vector of x?",
        how="Lorenz paths, dt = .02, x with independent Gaussian noise on it in training, development and test alike; "
        "the hidden coordinates of the training paths are known without noise. All methods get the same 8 paths of "
        "2,000 points and choose their settings on 8 other paths; the error is that on 24 more, after 100 points. "
        "Intervals are 95 % bootstraps over test paths; a difference is paired.",
        cost="about five minutes on one core",
        columns={
            "snr_db": "signal-to-noise ratio of x in dB, infinite for none",
            "method": "how y and z are told",
            "seed": "of the first weights and batches; the first one where there is no chance",
            "setting": "what was chosen on development paths",
            "error_y": "root mean squared error of y, in its standard deviations",
            "error_z": "the same, of z",
            "error": "root mean squared error of both",
            "low": "lower end of its interval",
            "high": "upper end",
            "more": "error less that of the method and delay vector that were best on development paths",
            "more_low": "lower end of its interval",
            "more_high": "upper end",
        },
        config=config.record(),
        runs={f"{snr_db:g} dB": partial(_run, snr_db, config) for snr_db in config.snr_db},
    )


@dataclass(frozen=True)
class Sample:
    """Paths of x with noise (n_paths, n_points), and their y and z in standard deviations (n_paths, n_points, 2)."""

    x: Floats
    hidden: Floats

    @classmethod
    def draw(cls, size: tuple[int, int], snr_db: float, seed: int) -> "Sample":
        generator = np.random.default_rng(seed)
        states = np.stack([Lorenz().simulate(size[1], seed=generator) for _ in range(size[0])])
        noise = states[..., 0].std() * 10 ** (-snr_db / 20) * generator.standard_normal(size)
        hidden = states[..., 1:]
        return cls(states[..., 0] + noise, (hidden - hidden.mean((0, 1))) / hidden.std((0, 1)))

    @property
    def truth(self) -> Floats:
        """What a score counts."""
        return self.hidden[:, WARM_UP:]

    def vectors(self, dimension: int, delay: int) -> Floats:
        """Delay vectors (n_paths, n_counted, dimension)."""
        n_counted = self.x.shape[1] - WARM_UP
        return np.stack([delay_embedding(x, delay=delay, dimension=dimension)[-n_counted:] for x in self.x])


class Teller:
    """A method at one setting, fitted to the training paths."""

    def __init__(self, method: str, setting: Setting, seed: int, train: Sample, config: HiddenConfig) -> None:
        self.method, self.setting, self.seed = method, setting, seed
        if method == MAMBA:
            window, rate = int(setting["window"]), setting["rate"]
            self.memory = SequenceRegressor(
                steps=config.steps, batch=config.batch, length=window, learning_rate=rate, seed=seed
            ).fit(train.x[..., None], train.hidden)
            return
        vectors = self._vectors(train)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a perceptron's number of epochs is given
            regressor = _regressor(method, setting, seed, config.epochs)
            self.regressor = regressor.fit(vectors.reshape(-1, vectors.shape[-1]), train.truth.reshape(-1, 2))

    def tell(self, sample: Sample) -> Floats:
        """The hidden coordinates (n_paths, n_counted, 2) as it tells them from x."""
        if self.method == MAMBA:
            return self.memory.predict(sample.x[..., None])[:, WARM_UP:]
        vectors = self._vectors(sample)
        return self.regressor.predict(vectors.reshape(-1, vectors.shape[-1])).reshape(sample.truth.shape)

    def _vectors(self, sample: Sample) -> Floats:
        return sample.vectors(int(self.setting["dimension"]), int(self.setting["delay"]))


def _regressor(method: str, setting: Setting, seed: int, epochs: int) -> Any:
    if method == NEIGHBORS:
        return KNeighborsRegressor(int(setting["k"]), algorithm="brute")
    if method == POLYNOMIAL:
        terms = PolynomialFeatures(int(setting["degree"]))
        return make_pipeline(StandardScaler(), terms, StandardScaler(), Ridge(1.0))
    layers = MLPRegressor(hidden_layer_sizes=(64, 64), learning_rate_init=3e-3, max_iter=epochs, random_state=seed)
    return make_pipeline(StandardScaler(), layers)


def root_mean_square(truth: Floats, told: Floats) -> float:
    """Error in standard deviations of what is told."""
    return float(np.sqrt(np.mean((told - truth) ** 2)))


def _run(snr_db: float, config: HiddenConfig, work: Path, report: Report) -> list[Row]:
    sizes = config.train, config.development, config.test
    train, development, test = (Sample.draw(size, snr_db, seed) for seed, size in enumerate(sizes, start=18_001))

    def error(teller: Teller) -> float:
        return root_mean_square(development.truth, teller.tell(development))

    best: dict[str, Teller] = {}
    for number, (method, settings) in enumerate(config.settings().items()):
        report(f"{method}, {snr_db:g} dB", number, 4)
        fitted = (Teller(method, setting, config.seeds[0], train, config) for setting in settings)
        best[method] = min(fitted, key=error)
    rival = min((teller for method, teller in best.items() if method != MAMBA), key=error).tell(test)
    tellers = list(best.values())
    for seed in config.seeds[1:]:
        tellers += [Teller(method, best[method].setting, seed, train, config) for method in (PERCEPTRON, MAMBA)]
    return [_row(snr_db, teller, teller.tell(test), rival, test.truth) for teller in tellers]


def _row(snr_db: float, teller: Teller, told: Floats, rival: Floats, truth: Floats) -> Row:
    error = bootstrap_over_paths(root_mean_square, truth, told, seed=18)
    more = paired_difference(root_mean_square, told, rival, truth, seed=18)
    errors = [root_mean_square(truth[..., i], told[..., i]) for i in range(2)]
    return {
        "snr_db": snr_db,
        "method": teller.method,
        "seed": teller.seed,
        "setting": ", ".join(f"{name} {value:g}" for name, value in teller.setting.items()),
        "error_y": errors[0],
        "error_z": errors[1],
        "error": error.estimate,
        "low": error.low,
        "high": error.high,
        "more": more.estimate,
        "more_low": more.low,
        "more_high": more.high,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study as a program."""
    return run_as_program(hidden_coordinates, argv)


if __name__ == "__main__":
    sys.exit(main())
