"""A perpetual future from the Heston laboratory: minute bars and quotes of a market whose regime is known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from companion._checks import check_count, check_positive, check_seed
from companion.datasets import MinuteBars as MinuteBars
from companion.datasets import Quotes as Quotes
from companion.datasets._market_arrays import MINUTE_NS
from companion.execution._funding import FundingModel, funding_times
from companion.execution._quote_model import QuoteModel, SpreadShock
from companion.heston import HestonParams, RegimeSwitchingHeston

MINUTES_PER_YEAR = 525_600
START_NS = 1_704_067_200 * 1_000_000_000  # 2024-01-01 00:00 UTC
PRICE_TICK = 0.1
SIZE_STEP = 0.001
WARM_UP_MINUTES = 120  # simulated and dropped: nine half-lives of the variance
MINUTE_VOLUME = 20.0  # mean quantity traded in a minute at the typical variance
VOLUME_SPREAD = 0.6  # standard deviation of its logarithm

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PerpetualMarket:
    """A simulated perpetual future.

    Attributes
    ----------
    bars : MinuteBars
        Of the mid, rounded to the tick. A bar that closes at t holds the quotes in [t − 1 minute, t).
    quotes : Quotes
        In the middle of their intervals, so that none has the time of a bar.
    mid : float64 array of shape (n_quotes,)
        The Heston price that the quote is laid around; the quote's own mid is within half a tick.
    regime : int8 array of shape (n_bars,)
        Regime at the last quote of the bar, 0 the calmest.
    funding_times_ns : int64 array of shape (n_payments,)
        Of the payments at 00:00, 08:00 and 16:00 UTC, after the start and up to the end.
    funding_rates : float64 array of shape (n_payments,)
        Share of the notional that longs pay to shorts.
    variance : float64 array of shape (n_quotes,)
        Annual variance at the quote, on which its spread and sizes depend.
    """

    bars: MinuteBars
    quotes: Quotes
    mid: Floats
    regime: NDArray[np.int8]
    funding_times_ns: NDArray[np.int64]
    funding_rates: Floats
    variance: Floats


def bitcoin_minutes() -> RegimeSwitchingHeston:
    """A market whose bar is a minute, in annual units of 365 days: about 60 % volatility, as a BTC perpetual has.

    Calm spells last six hours on average at 42 % volatility, chaos two hours at 95 %: a quarter of the time. The
    variance reverts with a half-life of 14 minutes (`kappa` .05 a minute, 26,280 a year) and meets Feller's condition.
    In bars and in multiples of its level it lies within the prior of `RegimeSwitchingHeston.random`.
    """
    kappa = 0.05 * MINUTES_PER_YEAR

    def regime(volatility: float, rho: float) -> HestonParams:
        theta = volatility**2
        return HestonParams(mu=0.0, kappa=kappa, theta=theta, xi=0.7 * (2 * kappa * theta) ** 0.5, rho=rho, v0=theta)

    stay = np.array([[1 - 1 / 360, 1 / 360], [1 / 120, 1 - 1 / 120]])
    return RegimeSwitchingHeston((regime(0.42, -0.4), regime(0.95, -0.5)), stay)


def simulate_perpetual(
    *,
    n_minutes: int,
    quotes_per_minute: int = 60,
    seed: int | np.random.Generator,
    model: QuoteModel | None = None,
    shocks: Sequence[SpreadShock] = (),
    market: RegimeSwitchingHeston | None = None,
    funding: FundingModel | None = None,
    start_ns: int = START_NS,
    start_price: float = 50_000.0,
) -> PerpetualMarket:
    """Minute bars, quotes, funding and regime of a perpetual future with a tick of .1 and a step of .001.

    The price is a path of the market with a step from quote to quote; the regime may change at any of them, at the
    rates of the market. The volume of a bar has a mean of 20 at the typical variance, in proportion to the bar's own,
    and is lognormal around it with a standard deviation of .6. A market of more minutes, or with a shock later on, is
    the same up to there.

    Parameters
    ----------
    n_minutes : int
        Bars.
    quotes_per_minute : int, default 60
    seed : int or numpy.random.Generator
    model : QuoteModel, optional
        Spread and sizes.
    shocks : sequence of SpreadShock
        They change the book, not the price.
    market : RegimeSwitchingHeston, optional
        Its bar is a minute, its year 525,600 of them; by default `bitcoin_minutes`.
    funding : FundingModel, optional
    start_ns : int
        Open of the first bar, a full minute, in nanoseconds since 1970.
    start_price : float

    Raises
    ------
    ValueError
        Names the argument that is out of range, or the price that has fallen to a few ticks.
    """
    n_minutes = check_count("n_minutes", n_minutes)
    per_minute = check_count("quotes_per_minute", quotes_per_minute)
    if check_count("start_ns", start_ns) % MINUTE_NS:
        raise ValueError(f"start_ns must be a full minute, got {start_ns!r}")
    check_seed(seed)
    model = model or QuoteModel()
    of_path, of_spread, of_bid, of_ask, of_volume, of_funding = np.random.default_rng(seed).spawn(6)
    mid, variance, regime = _path(market or bitcoin_minutes(), n_minutes, per_minute, start_price, of_path)
    steps = np.arange(n_minutes * per_minute, dtype=np.int64)
    time_ns = start_ns + (2 * steps + 1) * MINUTE_NS // (2 * per_minute)
    factors = model.shock_factors((time_ns - start_ns) / MINUTE_NS, shocks)
    quotes = _quotes(time_ns, mid, variance, model, factors, (of_spread, of_bid, of_ask))
    bars = _bars(start_ns, mid, variance / model.typical_variance, per_minute, of_volume)
    pays = funding_times(start_ns, start_ns + n_minutes * MINUTE_NS)
    rates = (funding or FundingModel()).rates(len(pays), of_funding)
    return PerpetualMarket(bars, quotes, mid, regime[per_minute - 1 :: per_minute].copy(), pays, rates, variance)


def _path(
    market: RegimeSwitchingHeston, n_minutes: int, per_minute: int, start_price: float, rng: np.random.Generator
) -> tuple[Floats, Floats, NDArray[np.int8]]:
    """Price, variance and regime at each quote, shape (n_quotes,)."""
    check_positive("start_price", start_price)
    by_quote = replace(market.scaled(duration=per_minute), jump_rate=market.jump_rate / per_minute)
    warm_up = WARM_UP_MINUTES * per_minute
    paths = by_quote.simulate(
        n_paths=1,
        n_steps=warm_up + n_minutes * per_minute,
        dt=1 / (MINUTES_PER_YEAR * per_minute),
        substeps=1,
        seed=int(rng.integers(2**63)),
    )
    kept = np.s_[0, warm_up + 1 :]
    return paths.price[kept] * (start_price / paths.price[0, warm_up]), paths.variance[kept], paths.regime[kept]


def _quotes(
    time_ns: NDArray[np.int64],
    mid: Floats,
    variance: Floats,
    model: QuoteModel,
    factors: tuple[Floats, Floats],
    rngs: tuple[np.random.Generator, np.random.Generator, np.random.Generator],
) -> Quotes:
    of_spread, *of_sizes = rngs
    ticks = 1 + of_spread.poisson(model.mean_spread_ticks(variance, factors[0]) - 1.0)
    bid = np.rint(mid / PRICE_TICK - 0.5 * ticks)
    if bid.min() < 1:
        raise ValueError(f"start_price must be many ticks of {PRICE_TICK}, the bid fell to {bid.min() * PRICE_TICK:g}")
    median = model.median_sizes(variance, factors[1])
    sizes = [median * np.exp(model.size_spread * rng.standard_normal(len(mid))) for rng in of_sizes]
    return Quotes(time_ns, _on_grid(bid, PRICE_TICK), _on_grid(bid + ticks, PRICE_TICK), *map(_on_step, sizes))


def _bars(
    start_ns: int, mid: Floats, relative_variance: Floats, per_minute: int, rng: np.random.Generator
) -> MinuteBars:
    price = _on_grid(np.rint(mid / PRICE_TICK), PRICE_TICK).reshape(-1, per_minute)
    busy = relative_variance.reshape(-1, per_minute).mean(axis=1)
    luck = np.exp(VOLUME_SPREAD * rng.standard_normal(len(price)) - 0.5 * VOLUME_SPREAD**2)
    return MinuteBars(
        start_ns + MINUTE_NS * np.arange(1, len(price) + 1, dtype=np.int64),
        price[:, 0].copy(),
        price.max(axis=1),
        price.min(axis=1),
        price[:, -1].copy(),
        _on_step(MINUTE_VOLUME * busy * luck),
    )


def _on_grid(counts: Floats, unit: float) -> Floats:
    """Multiples of a decimal unit as the floats that their decimal text reads as: 3 × .1 is .3."""
    return counts / round(1 / unit)


def _on_step(sizes: Floats) -> Floats:
    return _on_grid(np.maximum(np.rint(sizes / SIZE_STEP), 1.0), SIZE_STEP)
