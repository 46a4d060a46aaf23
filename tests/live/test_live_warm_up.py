"""Cold start: what a warmed desk knows, when it is not ready and why, and that it then is flat."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from candles import EQUITY, MARKET, MINUTE_NS, RECIPE, Exchange, Shelf, market
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.desk import Quote
from companion.live import CandleStore, check_feed, desk_bar, stated_error, warm_up, warm_up_error

CANDLES = market(1000, 1)
NOW_NS = CANDLES[-1].open_time_ns + MINUTE_NS + 5_000_000_000
NEEDED = 721
DESK = RECIPE.make()


def started(store, desk=DESK, **changed):
    return warm_up(desk, store, **MARKET | {"now_ns": NOW_NS, "equity": EQUITY} | changed)


def following(n, seed=1):
    """The candles after `CANDLES`."""
    return market(1000 + n, seed)[1000:]


# --- what it then knows ----------------------------------------------------------------------------------------------


def test_a_candle_is_a_bar_at_the_time_when_it_closed():
    bar = desk_bar(CANDLES[0], "1m")
    assert (bar.time, bar[1:]) == (datetime(2024, 1, 1, 0, 1, tzinfo=UTC), CANDLES[0][1:5])
    assert desk_bar(CANDLES[0], "100ms").time == datetime(2024, 1, 1, microsecond=100_000, tzinfo=UTC)


def test_it_knows_what_a_desk_knows_that_has_seen_the_same_candles(tmp_path):
    with CandleStore(f"sqlite:///{tmp_path}/candles.db") as store:
        store.upsert(*MARKET.values(), CANDLES)
        warm = started(store)
    other = RECIPE.make()
    decisions = other.run([desk_bar(candle, "1m") for candle in CANDLES], equity=EQUITY)
    assert DESK.state() == other.state()
    assert (warm.ready, warm.reasons, warm.n_replayed, warm.n_fetched) == (True, (), 1000, 0)
    assert (warm.last, warm.decision, warm.resumed) == (CANDLES[-1], decisions[-1], False)
    assert warm.decision.quantity > 0


def test_it_forgets_what_the_desk_knew_before():
    started(Shelf(CANDLES))
    state = DESK.state()
    DESK.run([desk_bar(candle, "1m") for candle in following(30)], equity=EQUITY / 2)
    started(Shelf(CANDLES))
    assert DESK.state() == state


def test_the_next_candle_after_the_least_may_be_traded():
    assert DESK.warm_up_bars == NEEDED
    warm = started(Shelf(CANDLES[-NEEDED:]))
    assert (warm.ready, warm.n_replayed, warm.decision.quantity) == (True, NEEDED, 0)
    assert "warming up" in warm.decision.reasons[0]
    held = [DESK.on_bar(desk_bar(candle, "1m"), equity=EQUITY).leverage for candle in following(60)]
    assert max(held) > 0.0


def test_the_warmed_desk_is_within_the_stated_error_of_the_one_that_never_stopped():
    ns = (721, 2000, 4000)
    bars = [desk_bar(candle, "1m") for candle in market(8001, 3)]
    table = warm_up_error(lambda: DESK, bars, ns, every=3000)
    assert list(table.groupby("n_bars").size()) == [2] * 3
    assert (table["sigma_bar"] < 1e-12).all()
    assert (table["p_chaos"] <= table["n_bars"].map(stated_error)).all()
    error = table.groupby("n_bars")["p_chaos"].mean()
    assert error[4000] < error[721]
    assert [stated_error(n) for n in (1, 720)] == [1.0, 1.0]
    assert list(map(stated_error, ns)) == sorted(map(stated_error, ns), reverse=True)


def test_a_warm_up_as_long_as_the_path_makes_no_error():
    bars = [desk_bar(candle, "1m") for candle in CANDLES]
    table = warm_up_error(lambda: DESK, bars, [len(bars) - 1])
    assert table.drop(columns=["n_bars", "bar"]).to_numpy().max() == 0.0
    with pytest.raises(ValueError, match="bars must be more than the longest warm-up, 1000, got 1000"):
        warm_up_error(lambda: DESK, bars, [1000])


def test_given_the_scale_the_network_itself_forgets_its_start_sooner():
    """A good part of what a short warm-up lacks is the slow scale, half of which is older than 2,000 candles."""
    n, ends, errors = 100, (5000, 6000, 7000, 8000), {True: [], False: []}
    bars = [desk_bar(candle, "1m") for candle in market(8001, 3)]
    desk, knows, truth = RECIPE.make(), {}, {}
    for i, bar in enumerate(bars[: ends[-1]], start=1):
        truth[i] = desk.on_bar(bar, equity=EQUITY).p_stable
        if i + n in ends:
            knows[i + n] = desk.state()["stepper"]["feature"][-1]
    for end in ends:
        for known in errors:
            desk.reset()
            desk.run(bars[end - n - 2 : end - n], equity=EQUITY)
            state = desk.state()
            if known:
                state["stepper"]["feature"][-1] = knows[end]  # the scale, after convolution and scan
            desk.restore(state)
            errors[known].append(abs(desk.run(bars[end - n : end], equity=EQUITY)[-1].p_stable - truth[end]))
    assert sum(errors[True]) < 0.7 * sum(errors[False])


def test_no_equity_trips_a_limit_while_warming():
    for equity in (Decimal("0.01"), Decimal(10) ** 9):
        warm = started(Shelf(CANDLES), equity=equity)
        assert warm.decision.safe
    assert DESK.on_bar(desk_bar(following(1)[0], "1m"), equity=equity * Decimal("0.98")).safe
    assert not DESK.on_bar(desk_bar(following(2)[1], "1m"), equity=equity * Decimal("0.96")).safe


# --- when it is not ready --------------------------------------------------------------------------------------------


def without(*gone):
    return [candle for i, candle in enumerate(CANDLES) if i not in gone]


def changed(i, **values):
    return [*CANDLES[:i], CANDLES[i]._replace(**values), *CANDLES[i + 1 :]]


def times_100(candles):
    return [
        candle._replace(**{name: 100 * getattr(candle, name) for name in ("open", "high", "low", "close")})
        for candle in candles
    ]


def breaks(start_ns, end_ns):
    raise ConnectionError("no route to the exchange")


HALF = CANDLES[:600]
AT = CANDLES[500].open_time_ns
CASES = {
    "short": (CANDLES[-700:], {}, 700, "700 of the 721 candles that it needs. None is known from before"),
    "empty": ([], {}, 0, "There are no candles"),
    "gap": (without(400), {}, 599, "The candle of 2024-01-01 06:40:00 is missing"),
    "overlap": (
        [*CANDLES[:501], CANDLES[500]._replace(open_time_ns=AT + 30_000_000_000), *CANDLES[501:]],
        {},
        499,
        "1 candles that are none",
    ),
    "not a number": (changed(500, close=math.nan), {}, 499, "candles that are none"),
    "glitch": ([*CANDLES[:500], *times_100(CANDLES[500:501]), *CANDLES[501:]], {}, 499, "which is no market"),
    "stale": (CANDLES[:-2], {}, 0, "2 are missing after it"),
    "late clock": (CANDLES, {"now_ns": NOW_NS + 10 * MINUTE_NS}, 0, "10 are missing after it"),
    "another price": (CANDLES, {"quote_mid": 1.06 * CANDLES[-1].close}, 0, "The live price is"),
    "a price that is none": (CANDLES, {"quote_mid": math.nan}, 0, "The live price is nan"),
    "exchange is down": (HALF, {"fetch": breaks}, 0, "no route to the exchange"),
    "exchange knows no more": (HALF, {"fetch": Exchange(HALF)}, 0, "400 are missing after it"),
    "exchange is silent": (HALF, {"fetch": lambda *asked: None}, 0, "can not be had"),
    "exchange sends nonsense": (
        HALF,
        {"fetch": lambda *asked: ["x", 3, CANDLES[700]._replace(low=9e9)]},
        0,
        "The exchange sent 3 candles that are none",
    ),
    "exchange of another market": (HALF, {"fetch": Exchange(market(1000, 2))}, 0, "One of the two is of another"),
    "exchange at 100 times the price": (
        CANDLES[:599],
        {"fetch": Exchange(HALF[:599] + tuple(times_100(CANDLES[599:])))},
        401,
        "which is no market",
    ),
    "interval of another desk": (CANDLES, {"desk": None}, 0, "The desk refuses the candle of 2024-01-01 00:01:00"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_not_ready_says_why_and_the_desk_is_flat(case):
    candles, changes, n_replayed, words = CASES[case]
    desk = replace(RECIPE, bar="1h").make() if "desk" in changes else DESK
    desk.reset()
    anew = desk.state()
    warm = started(Shelf(candles), **changes | {"desk": desk})
    assert not warm.ready
    assert warm.n_replayed == n_replayed
    assert words in " ".join(warm.reasons)
    assert all(reason[0].isupper() and reason.endswith(".") for reason in warm.reasons)
    assert (warm.last is None) == (desk.state() == anew) == (n_replayed == 0)
    decisions = desk.run([desk_bar(candle, "1m") for candle in following(5)], equity=EQUITY)
    assert all(decision.quantity == 0 for decision in decisions)
    if desk is DESK and warm.last in (None, CANDLES[-1]):
        assert decisions[-1].n_bars == n_replayed + 4


def test_what_the_store_lacks_comes_from_the_exchange_and_is_kept():
    exchange, shelf = Exchange(market(1100, 1)), Shelf(without(*range(300, 320), 998, 999))
    warm = started(shelf, fetch=exchange, n_bars=900)
    assert (warm.ready, warm.reasons, warm.n_replayed, warm.n_fetched) == (True, (), 900, 22)
    assert exchange.asked == [(CANDLES[299].open_time_ns, NOW_NS // MINUTE_NS * MINUTE_NS)]
    assert shelf.between(*MARKET.values(), 0, 2**63) == list(CANDLES)
    assert started(shelf, fetch=breaks, n_bars=900) == started(shelf, n_bars=900)


def test_an_exchange_that_fails_is_told_even_where_the_store_suffices():
    warm = started(Shelf(CANDLES), fetch=breaks)
    assert warm.ready
    assert "no route to the exchange" in warm.reasons[0]


def test_the_newest_candle_may_be_on_its_way():
    warm = started(Shelf(CANDLES[:-1]))
    assert (warm.ready, warm.last) == (True, CANDLES[-2])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"equity": Decimal(0)}, "equity must be a positive Decimal"),
        ({"equity": Decimal("NaN")}, "equity must be a positive Decimal"),
        ({"equity": None}, "equity must be a positive Decimal"),
        ({"n_bars": 720}, "n_bars must be at least 721, which the desk needs, got 720"),
        ({"interval": "1 minute"}, "interval must be"),
    ],
)
def test_arguments_out_of_range_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        started(Shelf(CANDLES), **changes)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_whatever_is_missing_it_is_ready_or_flat_and_looks_at_nothing_that_is_yet_to_close(data):
    gone = data.draw(st.sets(st.integers(0, 999), max_size=3))
    now_ns = NOW_NS - data.draw(st.integers(0, 150 * 60)) * 1_000_000_000
    held = without(*gone)
    closed = [candle for candle in held if candle.open_time_ns + MINUTE_NS <= now_ns]
    fetch = data.draw(st.sampled_from([None, breaks, Exchange(CANDLES), Exchange(held[::-1])]))
    warm = started(Shelf(held), now_ns=now_ns, fetch=fetch)
    state = DESK.state()
    assert started(Shelf(closed), now_ns=now_ns, fetch=fetch) == warm
    assert DESK.state() == state
    if warm.last is not None:
        newest = CANDLES.index(warm.last)
        assert 0 <= (now_ns - warm.last.open_time_ns) // MINUTE_NS - 1 <= 1
        run = CANDLES[newest + 1 - warm.n_replayed : newest + 1]
        assert warm.decision == replayed(run)
    assert warm.ready == (warm.n_replayed >= NEEDED)
    assert warm.ready or warm.reasons
    after = market(1001, 1)[0 if warm.last is None else newest + 1]
    found = DESK.on_bar(desk_bar(after, "1m"), quote=Quote(Decimal(1), Decimal(2)), equity=EQUITY)
    assert warm.ready or found.quantity == 0


def replayed(candles):
    OTHER.reset()
    return OTHER.run([desk_bar(candle, "1m") for candle in candles], equity=EQUITY)[-1]


OTHER = RECIPE.make()


# --- the live feed ---------------------------------------------------------------------------------------------------


def test_the_live_feed_goes_on_where_the_warm_up_ended():
    warm, (first, second) = started(Shelf(CANDLES)), following(2)
    assert check_feed(warm, first, interval="1m") == ()
    assert check_feed(warm, first.open, interval="1m") == ()
    for wrong in (second, CANDLES[-1], first._replace(open_time_ns=first.open_time_ns + 1)):
        assert "The first live candle opens at" in check_feed(warm, wrong, interval="1m")[0]
    for price in (100 * first.open, first.open / 1.06, 0.0, -1.0, math.nan, math.inf):
        (reason,) = check_feed(warm, price, interval="1m")
        assert reason == check_feed(warm, first._replace(open=price), interval="1m")[0]
        assert "The live price is" in reason
    assert check_feed(started(Shelf()), second, interval="1m") == ()
