"""Is the past one that the network's prior makes? A conformal p-value of its latent, bar by bar.

A network answers with a probability whatever it reads, and of what it was never shown the answer means nothing. Its
latent tells: on the markets of its training it keeps to a cloud, and a past that is none of theirs drives it out. What
is watched is the squared Mahalanobis distance from the middle of that cloud, averaged over some fifty bars, since one
bar is often far out and fifty in a row are not. Its largest value on each of n simulated paths turns it into a p-value
(Bates, Candès, Lei, Romano & Sesia 2023, doi:10.1214/22-AOS2244): on a path of these markets, of the same length, it
falls to α or below at any bar with probability α at most.
"""

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
FORMAT_VERSION = 1
REMEDY = "make it again with `python -m companion.pipeline.calibrate_ood`"


class OutOfDistribution:
    """The cloud of a network's latents on the markets of its training, and how far normal paths leave it.

    Parameters
    ----------
    mean : ndarray of shape (n_features,)
        Of the latents.
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
    def of_latents(cls, cloud: Floats, paths: Iterable[Floats]) -> Self:
        """From latents (n, n_features) of normal bars, and those (n_bars, n_features) of other paths, from bar 0."""
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

    def distances(self, latents: Floats) -> Floats:
        """Average squared distance at each bar of whole paths (..., n_bars, n_features); 0 in the first `COLD` bars."""
        squared = np.sum(((latents[..., COLD:, :] - self.mean) @ self.root) ** 2, axis=-1)
        average = np.zeros(latents.shape[:-1])
        # It starts at what a normal bar has on average, the number of features.
        average[..., COLD:] = lfilter([1.0 - KEPT], [1.0, -KEPT], squared - self.mean.size, axis=-1) + self.mean.size
        return average

    def after(self, latent: NDArray[np.floating], average: float, n_bars: int) -> float:
        """The average after one more latent (n_features,); `n_bars` is the number of those before it."""
        if n_bars < COLD:
            return 0.0
        before = average if n_bars > COLD else float(self.mean.size)
        return float(KEPT * before + (1.0 - KEPT) * _squared_distance(latent, self.mean, self.root))

    def p_value(self, average: float) -> float:
        """Share of the calibration paths that were ever as far out, this one counted in; in (0, 1]."""
        n_paths = len(self.maxima)
        return (1 + n_paths - bisect_left(self.maxima, average)) / (1 + n_paths)

    def p_values(self, latents: Floats) -> Floats:
        """`p_value` at each bar of whole paths, shape (..., n_bars) for (..., n_bars, n_features)."""
        n_paths = len(self.maxima)
        return np.asarray((1 + n_paths - np.searchsorted(self.maxima, self.distances(latents))) / (1 + n_paths))


def _rounded(values: Floats) -> Floats:
    """To 9 digits, all that the file keeps."""
    return np.array([float(f"{value:.9g}") for value in values.flat]).reshape(values.shape)


@compiled(error_model="numpy")
def _squared_distance(latent: NDArray[np.floating], mean: Floats, root: Floats) -> float:
    """``|rootᵀ (latent - mean)|²``, of the lower triangle alone."""
    white = np.zeros(mean.size)
    for row in range(mean.size):
        gap = latent[row] - mean[row]
        for column in range(row + 1):
            white[column] += gap * root[row, column]
    return np.sum(white * white)
