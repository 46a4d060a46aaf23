"""Is the past one that the network's prior makes? A conformal p-value of its latent, bar by bar.

A network answers with a probability whatever it reads, and of what it was never shown the answer means nothing. Its
latent tells: on the markets of its training it keeps to a cloud, and a past that is none of theirs drives it out. Two
moments of the returns stand beside the latent, since a network need not look at what never differed in its training:
their recent size and their recent drift. What is watched is the squared Mahalanobis distance of all this from the
middle of the cloud, averaged over some fifty bars, since one bar is often far out and fifty in a row are not. Its
largest value on each of n simulated paths turns it into a p-value (Bates, Candès, Lei, Romano & Sesia 2023,
doi:10.1214/22-AOS2244): on a path of these markets, of the same length, it falls to α or below at any bar with
probability α at most.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from companion._checks import Floats, decay
from companion._files import read_json, sha256_file
from companion._jit import compiled
from companion.errors import InputError

COLD = 60
"""First bars, which are not judged: the network's own state is still that of the start."""
KEPT = decay(50.0)
"""Of the distance, and of the mean return."""
SIZE_KEPT = decay(20.0)
FLOOR = 1e-3
"""Added to the mean square of the returns, in percent as the network reads them."""
FORMAT_VERSION = 2
REMEDY = "make it again with `python -m companion.pipeline.calibrate_ood`"


def with_moments(latents: Floats, percent: Floats) -> Floats:
    """Latents (..., n_bars, d) and the returns that led to them, in percent, as what is judged (..., n_bars, d + 2).

    The two are the logarithm of the mean square of the returns, and their mean over its root.
    """
    drift, square = (
        lfilter([1.0 - kept], [1.0, -kept], x, axis=-1) for kept, x in ((KEPT, percent), (SIZE_KEPT, percent**2))
    )
    square += FLOOR
    return np.concatenate([latents, np.stack([np.log(square), drift / np.sqrt(square)], axis=-1)], axis=-1)


class OutOfDistribution:
    """The cloud of what a network sees on the markets of its training, and how far normal paths leave it.

    A feature is one of the latent, or of the two moments of `with_moments`.

    Parameters
    ----------
    mean : ndarray of shape (n_features,)
        Of the features.
    root : ndarray of shape (n_features, n_features)
        Lower triangle whose product with its transpose is their inverse covariance.
    maxima : sequence of float
        Largest average distance of each calibration path.
    """

    def __init__(self, mean: Floats, root: Floats, maxima: Iterable[float]) -> None:
        self.mean, self.root, self.maxima = mean, np.ascontiguousarray(root), sorted(maxima)
        if root.shape != 2 * mean.shape or not (self.maxima and np.isfinite([*mean, *root.flat, *self.maxima]).all()):
            raise ValueError("mean, root and maxima must be finite and fit together")

    @classmethod
    def of_features(cls, cloud: Floats, paths: Iterable[Floats]) -> Self:
        """From features (n, n_features) of normal bars, and those (n_bars, n_features) of other paths, from bar 0."""
        from sklearn.covariance import LedoitWolf  # here, so that the room opens without scikit-learn

        mean, root = _rounded(cloud.mean(axis=0)), _rounded(np.linalg.cholesky(LedoitWolf().fit(cloud).precision_))
        made = cls(mean, root, [0.0])
        return cls(mean, root, _rounded(np.array([made.distances(path).max() for path in paths])).tolist())

    @classmethod
    def load(cls, file: Path, name: str, network: Path) -> Self:
        """That of the shipped network `name`, from a file that was made for it.

        Raises
        ------
        InputError
            The file is missing or damaged, or was made for another network.
        """
        stored = read_json(file, remedy=REMEDY)
        try:
            version, made_for = stored["format_version"], stored["provenance"]["inputs"][name]["sha256"]
            made = cls.from_parameters(stored["parameters"][name])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{file}: content is no calibration ({error!r}); {REMEDY}") from error
        if (version, made_for) != (FORMAT_VERSION, sha256_file(network)):
            raise InputError(f"{file}: of another format or network than this version's {name}; {REMEDY}")
        return made

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Self:
        """What `parameters` gave."""
        mean = np.array(parameters["mean"], dtype=np.float64)
        root = np.zeros((mean.size, mean.size))
        root[np.tril_indices(mean.size)] = parameters["root"]
        return cls(mean, root, [float(value) for value in parameters["maxima"]])

    def parameters(self) -> dict[str, list[float]]:
        """All that it is, as JSON types."""
        lower = self.root[np.tril_indices(self.mean.size)]
        return {"mean": self.mean.tolist(), "root": lower.tolist(), "maxima": self.maxima}

    def distances(self, features: Floats) -> Floats:
        """Average squared distance at each bar of whole paths (..., n_bars, n_features); 0 in the first `COLD` bars."""
        squared = np.sum(((features[..., COLD:, :] - self.mean) @ self.root) ** 2, axis=-1)
        average = np.zeros(features.shape[:-1])
        # It starts at what a normal bar has on average, the number of features.
        average[..., COLD:] = lfilter([1.0 - KEPT], [1.0, -KEPT], squared - self.mean.size, axis=-1) + self.mean.size
        return average

    def start(self) -> Floats:
        """What is kept of no bar: the average distance, the mean of the returns, and their mean square."""
        return np.array([self.mean.size, 0.0, 0.0])

    def after(self, latent: NDArray[np.floating], percent: float, kept: Floats, n_bars: int) -> float:
        """`distances` of one more bar, a latent (d,) and a return; `kept` moves on. `n_bars` came before it."""
        return float(_after(latent, percent, kept, n_bars, self.mean, self.root))

    def p_value(self, average: float) -> float:
        """Share of the calibration paths that were ever as far out, this one counted in; in (0, 1]."""
        n_paths = len(self.maxima)
        return (1 + n_paths - bisect_left(self.maxima, average)) / (1 + n_paths)

    def p_values(self, features: Floats) -> Floats:
        """`p_value` at each bar of whole paths, shape (..., n_bars) for (..., n_bars, n_features)."""
        n_paths = len(self.maxima)
        return np.asarray((1 + n_paths - np.searchsorted(self.maxima, self.distances(features))) / (1 + n_paths))


def _rounded(values: Floats) -> Floats:
    """To 9 digits, all that the file keeps."""
    return np.array([float(f"{value:.9g}") for value in values.flat]).reshape(values.shape)


@compiled(error_model="numpy")
def _after(
    latent: NDArray[np.floating], percent: float, kept: Floats, n_bars: int, mean: Floats, root: Floats
) -> float:
    """`OutOfDistribution.after`; the distance is ``|rootᵀ (features - mean)|²``, of the lower triangle alone."""
    kept[1] = KEPT * kept[1] + (1.0 - KEPT) * percent
    kept[2] = SIZE_KEPT * kept[2] + (1.0 - SIZE_KEPT) * percent * percent
    if n_bars < COLD:
        return 0.0
    square = kept[2] + FLOOR
    white = np.zeros(mean.size)
    for row in range(mean.size):
        if row < latent.size:
            feature = float(latent[row])
        elif row == latent.size:
            feature = math.log(square)
        else:
            feature = kept[1] / math.sqrt(square)
        gap = feature - mean[row]
        for column in range(row + 1):
            white[column] += gap * root[row, column]
    kept[0] = KEPT * kept[0] + (1.0 - KEPT) * np.sum(white * white)
    return kept[0]
