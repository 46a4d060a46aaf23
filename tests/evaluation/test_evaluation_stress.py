"""Damage does what it says, to the number; what is scored against it stays what it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.evaluation import (
    add_noise,
    carry_forward,
    drop_unseen,
    hold_last,
    random_gaps,
    rescale_to_unit,
)

RETURNS = 0.01 * np.random.default_rng(0).standard_normal((5, 400))


def test_noise_has_the_stated_variance_and_scales_one_draw():
    one, two = add_noise(RETURNS, 1.0, seed=1) - RETURNS, add_noise(RETURNS, 2.0, seed=1) - RETURNS
    np.testing.assert_allclose(two, 2 * one, rtol=1e-9)
    assert one.var() == pytest.approx(np.mean(RETURNS**2), rel=0.05)
    np.testing.assert_array_equal(add_noise(RETURNS[0], 0.0, seed=1), RETURNS[0])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(1, 30), st.floats(0, 0.6), st.integers(0, 99))
def test_gaps_lose_the_same_share_of_every_path_and_never_the_first_bar(length, share, seed):
    seen = random_gaps(3, 300, share, length=length, seed=seed)
    assert seen[:, 0].all()
    lost = (~seen).sum(axis=1)
    assert (lost == lost[0]).all()
    assert abs(lost[0] - share * 300) <= length / 2 + 1e-9


def test_frozen_gaps_come_in_runs():
    seen = random_gaps(1, 400, 0.2, length=20, seed=3)[0]
    edges = np.flatnonzero(np.diff(np.r_[True, seen, True].astype(int)))
    assert (np.diff(edges)[::2] % 20 == 0).all()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(st.floats(0, 0.7), st.integers(1, 12), st.integers(0, 99))
def test_the_price_arrives_at_every_seen_bar(share, length, seed):
    """Carried or skipped, the log price at a seen bar is the true one; carried, it stands still in between."""
    seen = random_gaps(5, 400, share, length=length, seed=seed)
    price = np.cumsum(RETURNS, axis=1)
    carried = carry_forward(RETURNS, seen)
    np.testing.assert_allclose(np.cumsum(carried, axis=1)[seen], price[seen], atol=1e-12)
    assert (carried[~seen] == 0.0).all()
    skipped = np.cumsum(drop_unseen(RETURNS, seen), axis=1)
    np.testing.assert_allclose(skipped.ravel(), price[seen], atol=1e-12)
    np.testing.assert_allclose(hold_last(skipped, seen), np.cumsum(carried, axis=1), atol=1e-12)


def test_a_price_not_seen_from_the_start_stands_still():
    np.testing.assert_allclose(carry_forward([[0.1, 0.2, 0.3]], np.array([[False, False, True]])), [[0.0, 0.0, 0.6]])


@pytest.mark.parametrize("half_life", [20.0, np.inf])
def test_rescaling_forgets_the_unit_and_never_looks_ahead(half_life):
    scaled = rescale_to_unit(RETURNS, half_life=half_life, daily_volatility=0.02)
    np.testing.assert_allclose(
        rescale_to_unit(37 * RETURNS, half_life=half_life, daily_volatility=0.02), scaled, rtol=1e-12
    )
    assert np.sqrt(np.mean(scaled[:, 50:] ** 2)) == pytest.approx(0.02, rel=0.1)
    changed = RETURNS.copy()
    changed[:, 200:] = 0.3
    np.testing.assert_array_equal(
        rescale_to_unit(changed, half_life=half_life, daily_volatility=0.02)[:, :200], scaled[:, :200]
    )


def test_rescaling_is_the_formula():
    r, decay = RETURNS[0], 0.5 ** (1 / 30)
    weights = decay ** np.arange(100)[::-1]
    expected = 0.01 * r[99] / np.sqrt(weights @ r[:100] ** 2 / weights.sum())
    assert rescale_to_unit(r, half_life=30, daily_volatility=0.01)[99] == pytest.approx(expected)
    assert not rescale_to_unit(np.zeros(4), half_life=30, daily_volatility=0.01).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: add_noise(RETURNS, -1.0, seed=0), "size must be a finite number, not negative, got -1.0"),
        (lambda: add_noise([0.0, np.nan], 1.0, seed=0), r"log_returns\[1\] must be a log return, .* got nan"),
        (lambda: random_gaps(2, 10, 1.0, seed=0), r"share must lie in \[0, 1\), got 1.0"),
        (lambda: random_gaps(2, 10, 0.5, length=11, seed=0), "length must lie between 1 and n_bars, 10, got 11"),
        (
            lambda: random_gaps(2, 10, 0.9, length=5, seed=0),
            "share must leave a slot besides the first, got 0.9: 2 of 2 slots of 5",
        ),
        (lambda: carry_forward(RETURNS, np.ones(3, dtype=bool)), "seen must hold booleans"),
        (
            lambda: drop_unseen(RETURNS[:2, :2], np.array([[True, True], [True, False]])),
            r"seen must hold the same number of bars .* got \[1, 2\]",
        ),
        (lambda: hold_last([[1.0]], [[False, True]]), "seen must hold 1 bars a path"),
        (
            lambda: rescale_to_unit(RETURNS, half_life=0.0, daily_volatility=0.01),
            "half_life must be a positive finite number, got 0.0",
        ),
    ],
)
def test_arguments_are_checked(call, message):
    with pytest.raises(ValueError, match=message):
        call()
