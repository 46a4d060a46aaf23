"""Where phase-space reconstruction ends: Lorenz x against noise, length and sampling, by the tools of chapter 2."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from companion.chaos import (
    Lorenz,
    delay_embedding,
    false_nearest_neighbors,
    lyapunov_rosenstein,
    prediction_error,
    reconstruction_quality,
    surrogate_test,
)
from studies._study import Report, Row, Study
from studies._study import main as run_as_program

Floats = NDArray[np.float64]

EXPONENT = 0.9056
"""Largest Lyapunov exponent of Lorenz, per unit of time (Sprott 2003)."""
DELAY, WINDOW, FORECAST, FOLLOWED = 0.16, 0.8, 0.2, 3.0
"""In units of time: delay, Theiler window, forecast horizon, and how long neighbors are followed."""
DIMENSION = 3
"""Of the delay vectors, except where the dimension is what is asked for."""


class Answer(NamedTuple):
    """What a method said of one series: a number or none, and whether it is right."""

    number: float | None
    right: bool


@dataclass(frozen=True)
class LimitsConfig:
    """The cells: signal-to-noise ratio x length x sampling interval, and the series in each.

    −20 dB stands for hardly any signal: what a method finds there it finds in noise. `surrogates_up_to` is the longest
    series whose surrogates are forecast: the time of a forecast grows with the square of the length.
    """

    snr_db: tuple[float, ...] = (-20.0, -5.0, 0.0, 5.0, 10.0, 20.0, 40.0)
    n_points: tuple[int, ...] = (250, 1000, 4000, 16000)
    dt: tuple[float, ...] = (0.02, 0.1, 0.4)
    n_series: int = 20
    n_surrogates: int = 19
    surrogates_up_to: int = 4000

    def record(self) -> dict[str, Any]:
        """Everything the result depends on but the code, as JSON types."""
        return json.loads(json.dumps(asdict(self)))


TINY = LimitsConfig(snr_db=(-20.0, 30.0), n_points=(300,), dt=(0.1,), n_series=2)
"""Sizes that only show that it runs."""


def reconstruction_limits(tiny: bool = False) -> Study:
    """Return the study: a run for each method, length and sampling interval."""
    config = TINY if tiny else LimitsConfig()
    return Study(
        name="reconstruction_limits",
        title="How noise, length and sampling break the reconstruction of Lorenz from x",
        question="At which signal-to-noise ratio, length and sampling interval do the tools of chapter 2 still find "
        "the dimension, the hidden coordinates, the exponent and the determinism of Lorenz?",
        how="Each series is x of a new Lorenz path with independent Gaussian noise on it; the same paths and the same "
        "noise, scaled, serve every ratio. Delay .16, Theiler window .8 units of time and dimension 3 are given: what "
        "fails fails by noise, length or sampling, not by the choice of the delay. "
        "dimension: false nearest neighbors name 3 or 4. hidden: y and z from neighbors in the delay space with a mean "
        "R² above .9. exponent: Rosenstein's estimate within 20 % of .9056. surrogates: the forecast error .2 units of "
        "time ahead is below that of all 19 IAAFT surrogates (one-sided, level 5 %). forecast: that error leaves less "
        "than half of the variance. Intervals are exact binomial ones of 95 %.",
        cost="about ten minutes on one core",
        columns={
            "measure": "dimension, hidden, forecast, surrogates or exponent, as above",
            "dt": "sampling interval in units of time; the path goes once around a wing in about .75",
            "n_points": "length of the series",
            "snr_db": "signal-to-noise ratio in dB",
            "n_series": "series in the cell",
            "n_answers": "of which the method gave a number",
            "n_right": "and the right one",
            "share": "right answers among all series",
            "low": "lower end of its interval",
            "high": "upper end",
            "median": "of the numbers given (dimension, R², exponent, p, R²); 0 where there is none",
        },
        config=config.record(),
        runs={
            f"{measure}, {n_points} points, dt {dt:g}": partial(_run, measure, n_points, dt, config)
            for measure in METHODS
            for n_points in config.n_points
            for dt in config.dt
            if measure != "surrogates" or n_points <= config.surrogates_up_to
        },
    )


class Series(NamedTuple):
    """One noisy series (n_points,), its true states (n_points, 3), and the methods' times in points."""

    x: Floats
    states: Floats
    dt: float

    def points(self, time: float) -> int:
        """A time as a number of points, at least one."""
        return max(1, round(time / self.dt))

    @property
    def ways(self) -> dict[str, int]:
        """Delay, dimension and Theiler window of the methods; no vector shares a point with what another forecasts."""
        delay = self.points(DELAY)
        theiler = max(self.points(WINDOW), (DIMENSION - 1) * delay + self.points(FORECAST))
        return {"delay": delay, "dimension": DIMENSION, "theiler": theiler}


def ask_dimension(series: Series, config: LimitsConfig, seed: int) -> Answer:
    """Does the share of false nearest neighbors fall below a percent at 3 or 4?"""
    ways = series.ways
    found = false_nearest_neighbors(series.x, delay=ways["delay"], theiler=ways["theiler"], max_dimension=5).dimension
    return Answer(found, found in (3, 4))


def ask_hidden(series: Series, config: LimitsConfig, seed: int) -> Answer:
    """Are y and z told by the neighbors in the delay space?"""
    ways = series.ways
    vectors = delay_embedding(series.x, delay=ways["delay"], dimension=DIMENSION)
    quality = reconstruction_quality(vectors, series.states[-len(vectors) :], theiler=ways["theiler"])
    share = float(np.mean(quality.r_squared[1:]))
    return Answer(share, share > 0.9)


def ask_forecast(series: Series, config: LimitsConfig, seed: int) -> Answer:
    """How much of the variance do the nearest neighbors forecast?"""
    share = 1 - _forecast_error(series, series.x) ** 2
    return Answer(share, share > 0.5)


def ask_surrogates(series: Series, config: LimitsConfig, seed: int) -> Answer:
    """Is the series forecast better than all others of its spectrum and values?"""
    statistics = {"forecast": partial(_forecast_error, series)}
    found = surrogate_test(
        series.x, statistics, null="iaaft", n_surrogates=config.n_surrogates, alternative="less", seed=seed
    )
    p = float(found.table["p"].iloc[0])
    return Answer(p, p <= 0.05)


def ask_exponent(series: Series, config: LimitsConfig, seed: int) -> Answer:
    """Is the largest Lyapunov exponent found?"""
    horizon = min(series.points(FOLLOWED), len(series.x) // 4)
    found = lyapunov_rosenstein(series.x, horizon=horizon, dt=series.dt, **series.ways).exponent
    return Answer(found, found is not None and abs(found / EXPONENT - 1) <= 0.2)


def _forecast_error(series: Series, x: Floats) -> float:
    return prediction_error(x, horizon=series.points(FORECAST), n_neighbors=8, **series.ways)


METHODS: dict[str, Callable[[Series, LimitsConfig, int], Answer]] = {
    "dimension": ask_dimension,
    "hidden": ask_hidden,
    "forecast": ask_forecast,
    "surrogates": ask_surrogates,
    "exponent": ask_exponent,
}


def _run(measure: str, n_points: int, dt: float, config: LimitsConfig, work: Path, report: Report) -> list[Row]:
    answers: dict[float, list[Answer]] = {snr_db: [] for snr_db in config.snr_db}
    for number in range(config.n_series):
        report(f"{measure}, {n_points} points, dt {dt:g}", number, config.n_series)
        generator = np.random.default_rng([18, n_points, round(1000 * dt), number])
        states = Lorenz(dt=dt).simulate(n_points, seed=generator)
        noise = states[:, 0].std() * generator.standard_normal(n_points)
        for snr_db, said in answers.items():
            series = Series(states[:, 0] + 10 ** (-snr_db / 20) * noise, states, dt)
            said.append(METHODS[measure](series, config, number))
    return [_row(measure, dt, n_points, snr_db, said) for snr_db, said in answers.items()]


def _row(measure: str, dt: float, n_points: int, snr_db: float, answers: Sequence[Answer]) -> Row:
    numbers = [answer.number for answer in answers if answer.number is not None]
    n_right = sum(answer.right for answer in answers)
    interval = binomtest(n_right, len(answers)).proportion_ci()
    return {
        "measure": measure,
        "dt": dt,
        "n_points": n_points,
        "snr_db": snr_db,
        "n_series": len(answers),
        "n_answers": len(numbers),
        "n_right": n_right,
        "share": n_right / len(answers),
        "low": float(interval.low),
        "high": float(interval.high),
        "median": float(np.median(numbers)) if numbers else 0.0,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study as a program."""
    return run_as_program(reconstruction_limits, argv)


if __name__ == "__main__":
    sys.exit(main())
