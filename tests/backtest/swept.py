"""Strategies for the tests of the sweep, in a module of their own: a worker has to import them."""

import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from companion._files import atomic_write_text


@dataclass(frozen=True)
class Band:
    """Invested while the close is above its mean over a window by a share."""

    window: int
    band: float = 0.0

    def __call__(self, close):
        return self.positions(close, [{"window": self.window, "band": self.band}])[0]

    @staticmethod
    def positions(close, parameter_sets):
        values = close.to_numpy()
        sums = np.concatenate([[0.0], np.cumsum(values)])
        weights = np.zeros((len(parameter_sets), len(values)))
        for row, given in zip(weights, parameter_sets, strict=True):
            window, band = given["window"], given.get("band", 0.0)
            mean = (sums[window:] - sums[:-window]) / window
            row[window - 1 :] = values[window - 1 :] > (1.0 + band) * mean
        return weights


class OneByOne:
    """The same, without a way to do many at once."""

    def __init__(self, window, band=0.0):
        self.band = Band(window, band)

    def __call__(self, close):
        return self.band(close)


class Liar(Band):
    """Says of many what it does not say of one."""

    @staticmethod
    def positions(close, parameter_sets):
        return Band.positions(close, parameter_sets) / min(len(parameter_sets), 2)


@dataclass(frozen=True)
class Picky(Band):
    """Does not like some windows, and says so at once or when it is called."""

    def __post_init__(self):
        if self.window == 7:
            raise ValueError("window of seven\nis unlucky")

    @staticmethod
    def positions(close, parameter_sets):
        if any(given["window"] == 9 for given in parameter_sets):
            raise ZeroDivisionError("nine")
        return Band.positions(close, parameter_sets)


@dataclass(frozen=True)
class Coin:
    """Tosses a coin for each bar: no edge, and another one for each seed."""

    seed: int

    def __call__(self, close):
        return np.random.default_rng(self.seed).integers(0, 2, len(close)).astype(float)


def share(close, weight=1.0):
    """The same weight at each close, as a function."""
    return pd.Series(weight, close.index)


def anything(close, a=0, b=0, c=0):
    """Takes parameters, and does nothing with them."""
    return pd.Series(1.0, close.index)


@dataclass(frozen=True)
class Marked:
    """Leaves a file for each time it reads all bars; with a latch, it then waits to be killed, the first time."""

    number: int
    folder: str
    bars: int

    def __call__(self, close):
        if len(close) == self.bars:
            self._mark(Path(self.folder))
        return np.full(len(close), 1.0 / (1 + self.number))

    def _mark(self, folder):
        first = not any(folder.glob(f"{self.number}.*"))
        (folder / f"{self.number}.{uuid.uuid4().hex}").touch()
        if first and (folder / f"latch.{self.number}").exists():
            atomic_write_text(folder / "waiting", str(os.getpid()))
            time.sleep(600)
