"""The simulated perpetual keeps its stated model: bars of its own quotes, moments in closed form, no hindsight."""

import dataclasses
from decimal import Decimal

import numpy as np
import pytest

from companion.datasets._market_arrays import MINUTE_NS
from companion.execution import (
    FundingModel,
    MinuteBars,
    PerpetualMarket,
    QuoteModel,
    Quotes,
    SpreadShock,
    bitcoin_minutes,
    funding_payment,
    simulate_perpetual,
)

TICK = 0.1
HOUR_NS = 60 * MINUTE_NS


@pytest.fixture(scope="module")
def market() -> PerpetualMarket:
    return simulate_perpetual(n_minutes=1500, seed=7)


def arrays_of(market: PerpetualMarket) -> dict[str, np.ndarray]:
    """Every array in the market, by a dotted name."""
    found: dict[str, np.ndarray] = {}
    for field in dataclasses.fields(market):
        value = getattr(market, field.name)
        inner = dataclasses.fields(value) if dataclasses.is_dataclass(value) else ()
        found |= {f"{field.name}.{part.name}": getattr(value, part.name) for part in inner}
        found |= {} if inner else {field.name: value}
    return found


def test_a_bar_is_the_minute_of_quotes_before_its_close(market):
    bars, quotes = market.bars, market.quotes
    assert (len(bars), len(quotes)) == (1500, 90_000)
    assert not np.isin(quotes.time_ns, bars.time_ns).any()
    mid = quotes.mid.reshape(1500, 60)
    half_a_tick = 0.5 * TICK + 1e-9
    assert np.abs(quotes.mid - market.mid).max() <= half_a_tick
    assert np.abs(bars.close - market.mid.reshape(1500, 60)[:, -1]).max() <= half_a_tick
    assert np.abs(bars.open - market.mid.reshape(1500, 60)[:, 0]).max() <= half_a_tick
    assert np.abs(bars.high - mid.max(axis=1)).max() <= 2 * half_a_tick
    assert np.abs(bars.low - mid.min(axis=1)).max() <= 2 * half_a_tick
    last = [quotes.time_ns[quotes.time_ns < close][-1] for close in bars.time_ns[:5]]
    assert (quotes.time_ns.reshape(1500, 60)[:5, -1] == last).all()
    of_quotes = np.log(mid[1:, -1] / mid[:-1, -1])  # the sum of the quotes' returns within a bar
    assert np.abs(np.diff(np.log(bars.close)) - of_quotes).max() < 2 * TICK / bars.low.min()


def test_prices_are_on_the_tick_and_sizes_on_the_step(market):
    for name in ("open", "high", "low", "close"):
        prices = getattr(market.bars, name)
        assert (prices == np.array([float(f"{price:.1f}") for price in prices])).all()
    for prices, sizes in ((market.quotes.bid, market.quotes.bid_size), (market.quotes.ask, market.quotes.ask_size)):
        assert (prices == np.round(prices, 1)).all()
        assert (sizes == np.round(sizes, 3)).all()
        assert sizes.min() >= 0.001
    assert (market.quotes.ask - market.quotes.bid).min() > 0.5 * TICK


def test_spread_and_sizes_have_the_moments_of_the_model(market):
    model, variance, quotes = QuoteModel(), market.variance, market.quotes
    ticks = np.rint((quotes.ask - quotes.bid) / TICK)
    mean = model.mean_spread_ticks(variance)
    score = (ticks - mean).sum() / np.sqrt((mean - 1.0).sum())
    assert abs(score) < 4
    assert ((ticks - mean) ** 2).sum() == pytest.approx((mean - 1.0).sum(), rel=0.03)
    for sizes in (quotes.bid_size, quotes.ask_size):
        z = np.log(sizes / model.median_sizes(variance)) / model.size_spread
        assert abs(z.mean()) < 4 / np.sqrt(len(z))
        assert z.std() == pytest.approx(1.0, abs=0.01)
        assert sizes.sum() == pytest.approx((model.median_sizes(variance) * np.exp(0.5 * 0.8**2)).sum(), rel=0.02)
    assert abs(np.corrcoef(np.log(quotes.bid_size / quotes.ask_size), ticks)[0, 1]) < 4 / np.sqrt(len(ticks))


def test_volume_follows_the_variance_of_its_bar(market):
    luck = market.bars.volume / (20.0 * market.variance.reshape(1500, 60).mean(axis=1) / 0.36)
    assert luck.mean() == pytest.approx(1.0, abs=4 * luck.std() / np.sqrt(1500))
    assert np.log(luck).std() == pytest.approx(0.6, abs=0.05)


def test_a_market_that_jumps_does_so_at_its_rate_a_minute():
    jumpy = dataclasses.replace(bitcoin_minutes(), jump_rate=0.01, jump_size=0.05)
    market = simulate_perpetual(n_minutes=4000, quotes_per_minute=10, seed=1, market=jumpy)
    n_jumps = np.count_nonzero(np.abs(np.diff(np.log(market.mid))) > 0.005)  # 92 % of a normal law of .05
    assert n_jumps == pytest.approx(0.92 * 40, abs=4 * 40**0.5)


def test_chaos_is_wider_and_thinner(market):
    regime = np.repeat(market.regime, 60)
    spread, depth = market.quotes.ask - market.quotes.bid, market.quotes.bid_size
    assert spread[regime == 1].mean() > 1.1 * spread[regime == 0].mean()
    assert depth[regime == 1].mean() < 0.7 * depth[regime == 0].mean()


def test_a_shock_stands_in_full_and_then_halves_by_the_minute():
    shock = SpreadShock(start_minute=10, minutes=5, spread_factor=64, depth_factor=1 / 16)
    model = QuoteModel(recovery_half_life_s=60)
    spread, depth = model.shock_factors(np.array([9.99, 10, 12.5, 15, 16, 17, 18]), [shock])
    assert spread == pytest.approx([1, 64, 64, 64, 8, 8**0.5, 8**0.25])
    assert depth == pytest.approx([1, 1 / 16, 1 / 16, 1 / 16, 1 / 4, 1 / 2, 0.5**0.5])
    quiet, shocked = (simulate_perpetual(n_minutes=30, seed=3, model=model, shocks=s) for s in ((), [shock]))
    width = [(m.quotes.ask - m.quotes.bid).reshape(30, 60).mean(axis=1) for m in (quiet, shocked)]
    assert (width[0] == width[1])[:10].all()
    assert width[1][10:15].mean() == pytest.approx(64 * width[0].mean(), rel=0.15)
    assert (shocked.mid == quiet.mid).all()


def test_the_same_seed_gives_the_same_bytes_and_another_one_another_market():
    one, two, other = (arrays_of(simulate_perpetual(n_minutes=20, seed=seed)) for seed in (5, 5, 6))
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)
    assert one["mid"].tobytes() != other["mid"].tobytes()
    generator = simulate_perpetual(n_minutes=20, seed=np.random.default_rng(5))
    assert arrays_of(generator)["mid"].tobytes() == one["mid"].tobytes()


def test_no_quote_bar_or_regime_knows_what_comes_later():
    """A longer market, and one with a shock after the cut, are the same up to it, byte by byte."""
    late = [SpreadShock(start_minute=40, minutes=5, spread_factor=20)]
    short = arrays_of(simulate_perpetual(n_minutes=40, seed=11))
    for longer in (simulate_perpetual(n_minutes=90, seed=11), simulate_perpetual(n_minutes=90, seed=11, shocks=late)):
        for name, values in arrays_of(longer).items():
            assert values[: len(short[name])].tobytes() == short[name].tobytes(), name


def test_the_regime_is_that_of_the_heston_chain():
    """Volatility within a regime is the root of its theta, and the share of chaos its stationary law."""
    law = bitcoin_minutes()
    market = simulate_perpetual(n_minutes=60_000, quotes_per_minute=1, seed=1)
    returns = np.diff(np.log(market.mid))
    settled = np.ones(len(returns), np.bool_)
    for lag in range(60):
        settled[lag:] &= market.regime[1 : len(returns) + 1 - lag] == market.regime[1:][lag:]
    for k, volatility in enumerate((0.42, 0.95)):
        found = returns[settled & (market.regime[1:] == k)].std() * np.sqrt(525_600)
        assert found == pytest.approx(volatility, rel=0.05)
    assert returns.std() * np.sqrt(525_600) == pytest.approx(0.6, rel=0.08)
    assert law.mean_durations == pytest.approx([360, 120])
    n_spells = 1 + np.count_nonzero(np.diff(market.regime))
    assert len(market.regime) / n_spells == pytest.approx(240, rel=0.3)
    assert all(params.feller for params in law.regimes)


def test_funding_falls_on_the_eight_hours_and_follows_the_rule_of_the_exchange():
    market = simulate_perpetual(n_minutes=3 * 1440, quotes_per_minute=1, seed=2)
    assert (market.funding_times_ns % (8 * HOUR_NS) == 0).all()
    assert len(market.funding_times_ns) == len(market.funding_rates) == 9
    assert market.funding_times_ns[0] == market.bars.time_ns[0] - MINUTE_NS + 8 * HOUR_NS
    assert market.funding_times_ns[-1] == market.bars.time_ns[-1]
    model = FundingModel()
    rates = model.rates(20_000, np.random.default_rng(0))
    at_interest = np.isclose(rates, model.interest)
    # P + clip(I - P, ±c) is I exactly while |I - P| < c; the normal law gives the share, here .774
    assert at_interest.mean() == pytest.approx(0.774, abs=0.02)
    premium = np.where(rates > model.interest, rates + model.clamp, rates - model.clamp)[~at_interest]
    assert (np.abs(premium - model.interest) > model.clamp).all()


def test_longs_pay_shorts_and_nothing_is_lost():
    long = funding_payment(Decimal("0.5"), Decimal("50000.1"), 0.0001)
    assert long == Decimal("-2.500005")
    assert funding_payment(Decimal("-0.5"), Decimal("50000.1"), 0.0001) == -long


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_minutes": 0}, "n_minutes must be a positive integer, got 0"),
        ({"quotes_per_minute": 1.5}, "quotes_per_minute must be a positive integer, got 1.5"),
        ({"seed": -1}, "seed must be a non-negative integer"),
        ({"start_ns": 1}, "start_ns must be a full minute, got 1"),
        ({"start_price": 0.2}, "start_price must be many ticks of 0.1, the bid fell to"),
        ({"start_price": -1.0}, "start_price must be a positive finite number"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        simulate_perpetual(**{"n_minutes": 3, "seed": 1, **arguments})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SpreadShock(1, 1, spread_factor=0.5), "spread_factor must be at least 1, got 0.5"),
        (lambda: SpreadShock(-1, 1), "start_minute must be at least 0, got -1"),
        (lambda: SpreadShock(1, 1, depth_factor=2.0), r"depth_factor must lie in \(0, 1\], got 2.0"),
        (lambda: QuoteModel(median_size=0.0), "median_size must be a positive finite number, got 0.0"),
        (lambda: QuoteModel(widening=-1.0), "widening must not be negative, got -1.0"),
        (lambda: QuoteModel(thinning=float("nan")), "thinning must be a finite number, got nan"),
        (lambda: FundingModel(persistence=1.0), r"persistence must lie in \[0, 1\), got 1.0"),
        (lambda: FundingModel(interest=2.0), "interest must lie within ±1, got 2.0"),
    ],
)
def test_bad_models_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


GOOD = {"open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5, "volume": 1.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"open": np.nan}, r"open must be a positive number, got nan at \[1\]: correct or drop it"),
        ({"close": -1.0}, "close must be a positive number, got -1.0"),
        ({"volume": np.inf}, "volume must be a number from 0 on, got inf"),
        ({"high": 10.2}, "high must be at least open and close, got 10.2"),
        ({"low": 10.2}, "low must be at most open and close, got 10.2"),
        ({"time_ns": MINUTE_NS + 1}, "time_ns must be a full minute after 1970, got 60000000001"),
        ({"time_ns": MINUTE_NS}, "time_ns must ascend, each minute once, got 60000000000"),
    ],
)
def test_impossible_bars_are_refused(change, message):
    columns = {"time_ns": np.array([1, 2]) * MINUTE_NS, **{name: np.array([v, v]) for name, v in GOOD.items()}}
    MinuteBars(**columns)
    for name, value in change.items():
        columns[name][1] = value
    with pytest.raises(ValueError, match=message):
        MinuteBars(**columns)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bid": 10.3}, r"bid must be at most ask, the quote is crossed, got 10.3 at \[1\]: correct or drop it"),
        ({"ask": np.nan}, "ask must be a positive number, got nan"),
        ({"bid_size": -1.0}, "bid_size must be a number from 0 on, got -1.0"),
        ({"ask_size": np.nan}, "ask_size must be a number from 0 on, got nan"),
        ({"time_ns": 4}, "time_ns must not descend, got 4"),
    ],
)
def test_impossible_quotes_are_refused(change, message):
    columns = {"time_ns": np.array([5, 5]), "bid": np.array([10.0, 10.0]), "ask": np.array([10.2, 10.2])}
    columns |= {"bid_size": np.ones(2), "ask_size": np.zeros(2)}
    Quotes(**columns)
    for name, value in change.items():
        columns[name][1] = value
    with pytest.raises(ValueError, match=message):
        Quotes(**columns)


def test_arrays_of_another_shape_or_kind_are_refused():
    with pytest.raises(ValueError, match=r"ask must have shape \(2,\), got \(1,\)"):
        Quotes(np.array([1, 2]), np.ones(2), np.ones(1), np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="time_ns must be an array of int64, got one of float64"):
        Quotes(np.array([1.0]), np.ones(1), np.ones(1), np.ones(1), np.ones(1))
    with pytest.raises(ValueError, match=r"time_ns must have shape \(2,\), got \(1, 2\)"):
        Quotes(np.array([[1, 2]]), np.ones(2), np.ones(2), np.ones(2), np.ones(2))
