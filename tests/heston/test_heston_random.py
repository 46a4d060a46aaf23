"""Random numbers and the elementary functions under them."""

import math

import numpy as np
import pytest
from numba import njit
from scipy import stats

from companion.heston.kernels._elementary import cos_sin_turns, exp, expm1, log
from companion.heston.kernels._random import box_muller, fill_normals, key_from_seed, philox, uniform_pair

N = 100_000


@njit
def _draw(key, path, stream, n):
    z = np.empty((n, 2))
    for i in range(n):
        u, w = uniform_pair(key, path, stream, i)
        z[i, 0], z[i, 1] = box_muller(u, w)
    return z


@njit
def _elementary(x, u):
    y = np.empty((5, len(x)))
    for i in range(len(x)):
        y[0, i] = log(abs(x[i]))
        y[1, i] = exp(x[i])
        y[2, i], y[3, i] = cos_sin_turns(u[i])
        y[4, i] = expm1(x[i])
    return y


def test_paths_filled_together_get_their_own_numbers() -> None:
    first, second = np.empty(7), np.empty(7)
    fill_normals(np.uint64(1), 40, 3, 5, first, second)
    alone = [box_muller(*uniform_pair(np.uint64(1), path, 3, 5)) for path in range(40, 47)]
    np.testing.assert_array_equal(np.column_stack([first, second]), alone)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_gives_the_published_vectors(counter: tuple, key: tuple, expected: tuple) -> None:
    """The known answers of Random123 (``kat_vectors``, philox4x32 10)."""
    assert tuple(int(word) for word in philox(*map(np.uint64, counter + key))) == expected


def test_elementary_functions_to_the_last_bits() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.normal(size=20_000) * 10.0 ** rng.integers(-12, 2, 20_000), [1.0, -1.0, 0.5, 650.0, -650.0]]
    )
    u = rng.random(len(x))
    ours = _elementary(x, u)
    np.testing.assert_allclose(ours[0], np.log(np.abs(x)), rtol=5e-16, atol=0)
    np.testing.assert_allclose(ours[1], np.exp(x), rtol=5e-16)
    np.testing.assert_allclose(ours[2], np.cos(2 * math.pi * u), atol=2e-15)
    np.testing.assert_allclose(ours[3], np.sin(2 * math.pi * u), atol=2e-15)
    np.testing.assert_allclose(ours[4], np.expm1(x), rtol=2e-15)


def test_exp_clips_instead_of_overflowing() -> None:
    assert exp(1e9) == exp(700.0) < math.inf
    assert exp(-1e9) == exp(-700.0) > 0


def test_normals_are_normal_and_independent() -> None:
    z = _draw(np.uint64(1), 0, 0, N)
    assert stats.kstest(z.ravel(), "norm").pvalue > 0.01
    assert np.abs(z).max() < 8
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=4 / math.sqrt(N))
    np.testing.assert_allclose(stats.kurtosis(z), 0, atol=4 * math.sqrt(24 / N))
    others = [
        _draw(np.uint64(1), 1, 0, N),
        _draw(np.uint64(1), 0, 1, N),
        _draw(np.uint64(2), 0, 0, N),
        np.roll(z, 1, 0),
    ]
    series = np.column_stack([z, *others])
    correlation = np.corrcoef(series.T) - np.eye(series.shape[1])
    correlation[:, -2:], correlation[-2:] = 0, 0  # the rolled pair against itself is no news
    assert np.abs(correlation).max() < 4.5 / math.sqrt(N)
    assert abs(np.corrcoef(z[:, 0], np.roll(z[:, 1], 1))[0, 1]) < 4.5 / math.sqrt(N)


def test_uniforms_stay_inside_the_open_interval() -> None:
    u = np.array([uniform_pair(np.uint64(3), path, 2, 0) for path in range(5000)])
    assert u.min() > 0
    assert u.max() < 1
    assert stats.kstest(u.ravel(), "uniform").pvalue > 0.01


def test_key_from_seed() -> None:
    assert key_from_seed(7) == key_from_seed(np.int64(7)) != key_from_seed(8)
    one, two = np.random.default_rng(5), np.random.default_rng(5)
    first, second = key_from_seed(one), key_from_seed(one)
    assert first != second  # a generator moves on
    assert (first, second) == (key_from_seed(two), key_from_seed(two))


@pytest.mark.parametrize("seed", [-1, 1.5, None, True, "7"])
def test_bad_seed_is_named(seed: object) -> None:
    with pytest.raises(ValueError, match=r"^seed must"):
        key_from_seed(seed)  # type: ignore[arg-type]


def test_expm1_of_very_negative_numbers_is_minus_one():
    x = np.array([-40.0, -699.0, -701.0, -1e4, -1e300])
    np.testing.assert_array_equal(_elementary(x, np.zeros(5))[4], -1.0)
