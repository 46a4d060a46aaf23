"""The probability of overfitting: against the paper's definition word by word, noise, an edge, and ties."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.backtest import probability_of_overfitting, sharpe_ratio

PROPERTY = settings(derandomize=True, deadline=None, max_examples=30)


def noise(seed, n_bars=400, n_strategies=20):
    return np.random.default_rng(seed).normal(0.0, 0.01, (n_bars, n_strategies))


def by_definition(returns, n_blocks):
    """Bailey, Borwein, López de Prado and Zhu (2017), section 3, steps 1 to 7."""
    blocks, logits, pairs = np.array_split(returns, n_blocks), [], []
    for past in combinations(range(n_blocks), n_blocks // 2):
        inside = np.concatenate([blocks[block] for block in past])
        outside = np.concatenate([blocks[block] for block in range(n_blocks) if block not in past])
        first, second = (np.array([sharpe_ratio(one) for one in half.T]) for half in (inside, outside))
        chosen = first.argmax()
        rank = np.sum(second < second[chosen]) + 1
        share = rank / (len(second) + 1)
        logits.append(np.log(share / (1 - share)))
        pairs.append((first[chosen], second[chosen]))
    return np.array(logits), np.array(pairs)


@pytest.mark.parametrize(("n_bars", "n_strategies", "n_blocks"), [(96, 7, 8), (101, 10, 8), (50, 2, 4), (23, 5, 2)])
def test_it_is_what_the_paper_defines(n_bars, n_strategies, n_blocks):
    returns = noise(1, n_bars, n_strategies) + np.linspace(0.0, 0.002, n_strategies)
    found = probability_of_overfitting(returns, n_blocks=n_blocks)
    logits, pairs = by_definition(returns, n_blocks)
    np.testing.assert_allclose(found.logits, logits, atol=1e-12)
    np.testing.assert_allclose(np.stack([found.in_sample, found.out_of_sample], axis=1), pairs, rtol=1e-9)
    assert found.probability == np.mean(logits <= 0.0)
    assert found.probability_of_loss == np.mean(pairs[:, 1] < 0.0)
    if len(logits) > 2:
        assert found.slope == pytest.approx(np.polyfit(pairs[:, 0], pairs[:, 1], 1)[0], rel=1e-9)


def test_of_noise_it_is_one_half():
    """200 tables of independent noise; each table's value scatters by about .2, their mean by a fourteenth of that."""
    found = [probability_of_overfitting(noise(seed), n_blocks=8).probability for seed in range(200)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


def test_sixteen_blocks_have_all_their_halves():
    found = probability_of_overfitting(noise(0))
    assert len(found.logits) == 12_870
    assert len({*found.chosen}) > 1


def test_one_true_strategy_is_found_again():
    returns = noise(0, 1600, 50)
    returns[:, 17] += 0.003  # a yearly Sharpe ratio of nearly 5
    found = probability_of_overfitting(returns)
    assert found.probability < 0.01
    assert found.probability_of_loss < 0.01
    assert np.mean(found.chosen == 17) > 0.99


def test_strategies_that_are_one_share_their_rank():
    """Each is at the median, which counts as overfitted: nothing was chosen well."""
    found = probability_of_overfitting(np.repeat(noise(0)[:, :1], 5, axis=1), n_blocks=4)
    np.testing.assert_array_equal(found.logits, 0.0)
    np.testing.assert_array_equal(found.chosen, 0)
    assert found.probability == 1.0


@given(seed=st.integers(0, 99), leverage=st.floats(0.1, 9.0), start=st.integers(0, 7))
@PROPERTY
def test_neither_leverage_nor_the_order_of_blocks_or_strategies_matters(seed, leverage, start):
    returns = noise(seed, 96, 5)
    found = np.sort(probability_of_overfitting(returns, n_blocks=8).logits)
    others = (returns * leverage, returns[:, ::-1], np.roll(returns, 12 * start, axis=0))
    for other in others:
        np.testing.assert_allclose(np.sort(probability_of_overfitting(other, n_blocks=8).logits), found, atol=1e-9)


def test_ratios_are_in_excess_of_cash():
    returns, rates = noise(5, 96, 4), np.linspace(0.0, 0.1, 96)
    cash = (1.0 + rates) ** (1 / 252) - 1.0
    with_cash = probability_of_overfitting(returns + cash[:, None], n_blocks=4, cash_rate=rates)
    np.testing.assert_allclose(with_cash.logits, probability_of_overfitting(returns, n_blocks=4).logits)


def still(column):
    returns = noise(0)
    returns[:, column] = 0.001
    return returns


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: probability_of_overfitting(noise(0).T), "20 rows of 400, fewer bars than strategies: .*transpose"),
        (lambda: probability_of_overfitting(noise(0)[:, 0]), r"shape \(n_bars, n_strategies\)"),
        (lambda: probability_of_overfitting(noise(0)[:, :1]), "at least 2 strategies"),
        (lambda: probability_of_overfitting(noise(0), n_blocks=7), "n_blocks must be an even number"),
        (lambda: probability_of_overfitting(noise(0), n_blocks=22), "n_blocks must be an even number"),
        (lambda: probability_of_overfitting(noise(0)[:30]), "n_blocks must be at most half"),
        (lambda: probability_of_overfitting(still(3)), "none of strategy 3 on blocks"),
        (lambda: probability_of_overfitting(np.where(noise(0) > 0.03, np.nan, 0.0)), "got nan at bar"),
        (lambda: probability_of_overfitting(noise(0), cash_rate=[0.0, 0.1]), "cash_rate must be a number or one for"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
