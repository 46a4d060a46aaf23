"""The hidden coordinates of Lorenz: what is told from what, and that the stored table is what the code finds."""

import numpy as np
import pytest

from companion.datasets import load_study
from studies import hidden_coordinates as module
from studies.hidden_coordinates import (
    MAMBA,
    PERCEPTRON,
    POLYNOMIAL,
    TINY,
    WARM_UP,
    HiddenConfig,
    Sample,
    Teller,
    root_mean_square,
)


@pytest.fixture(scope="module")
def table():
    return load_study("hidden_coordinates")


@pytest.fixture(scope="module")
def sample():
    return Sample.draw((3, 150), 10.0, seed=1)


def test_the_noise_is_that_of_the_ratio():
    clean, noisy = Sample.draw((4, 2000), float("inf"), seed=1), Sample.draw((4, 2000), 10.0, seed=1)
    np.testing.assert_array_equal(clean.hidden, noisy.hidden)
    ratio = clean.x.var() / (noisy.x - clean.x).var()
    assert 10 * np.log10(ratio) == pytest.approx(10.0, abs=0.3)
    np.testing.assert_allclose(clean.hidden.std((0, 1)), 1.0)


def test_a_vector_holds_its_own_time_and_what_was_before(sample):
    vectors = sample.vectors(3, 4)
    assert vectors.shape == (3, 150 - WARM_UP, 3)
    for column, back in enumerate((0, 4, 8)):
        np.testing.assert_array_equal(vectors[..., column], sample.x[:, WARM_UP - back : 150 - back])
    assert sample.truth.shape == (3, 150 - WARM_UP, 2)


@pytest.mark.parametrize("method", TINY.settings())
def test_no_method_sees_the_future(method, sample):
    teller = Teller(method, TINY.settings()[method][0], 0, sample, TINY)
    before = teller.tell(sample)
    changed = Sample(sample.x.copy(), sample.hidden)
    changed.x[:, 120:] += 5.0
    after = teller.tell(changed)
    np.testing.assert_allclose(after[:, : 120 - WARM_UP], before[:, : 120 - WARM_UP], atol=1e-5)
    assert (np.abs(after - before)[:, 120 - WARM_UP :] > 1e-5).any(axis=2).mean() > 0.9


def test_every_delay_vector_lies_in_the_warm_up():
    for settings in HiddenConfig().settings().values():
        for setting in settings:
            assert (setting.get("dimension", 1) - 1) * setting.get("delay", 0) <= WARM_UP


def test_the_command_runs_every_method(tmp_path, capsys):
    assert module.main(["--tiny", "--work", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert all(method in printed for method in TINY.settings())


def test_the_stored_table_has_every_method_at_every_ratio(table):
    config = HiddenConfig()
    for _, rows in table.groupby("snr_db"):
        seeds = rows.groupby("method")["seed"].apply(tuple).to_dict()
        chance = dict.fromkeys((PERCEPTRON, MAMBA), config.seeds)
        assert seeds == dict.fromkeys(config.settings(), (config.seeds[0],)) | chance
        rival = rows[rows["more"] == 0]
        assert len(rival) == 1
        assert rival["method"].item() != MAMBA
    assert set(table["snr_db"]) == set(config.snr_db)
    assert table["error"].between(table["low"], table["high"]).all()
    assert table["more"].between(table["more_low"], table["more_high"]).all()
    np.testing.assert_allclose(table["error"] ** 2, (table["error_y"] ** 2 + table["error_z"] ** 2) / 2, rtol=1e-4)


def test_noise_makes_every_method_worse(table):
    means = table.groupby(["method", "snr_db"])["error"].mean().unstack()
    assert (np.diff(means.to_numpy(), axis=1) < 0).all()
    assert (means[0.0] < 0.8).all()  # what knows nothing is at 1


def test_a_stored_row_is_what_the_study_finds_today(table):
    """Nothing is chosen anew; on another processor the Lorenz paths are others of the same law."""
    stored = table[(table["snr_db"] == 10.0) & (table["method"] == POLYNOMIAL)].iloc[0]
    setting = {name: float(value) for name, value in (part.split() for part in stored["setting"].split(", "))}
    config = HiddenConfig()
    train, test = (Sample.draw(size, 10.0, seed) for size, seed in ((config.train, 18_001), (config.test, 18_003)))
    told = Teller(POLYNOMIAL, setting, 0, train, config).tell(test)
    assert root_mean_square(test.truth, told) == pytest.approx(stored["error"], rel=0.15)
