"""The feed: whatever comes, what it hands on is plausible, in order, each once; and it knows when it is blind."""

import math
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from companion.live import Candle, Feed, FeedConfig, FeedCounts, FeedHealth, StreamQuote
from tests.live.feed_tape import (
    BEFORE,
    INTERVAL,
    MS,
    START,
    S,
    book,
    candle_at,
    clean_tape,
    enveloped,
    kline,
    mutated,
)

PROPERTY = settings(derandomize=True, deadline=None, max_examples=150)
#: Many messages to an example; to shrink it would only give another seed.
STORM = settings(derandomize=True, deadline=None, max_examples=20, phases=[Phase.generate])
N_STORM = 4_000
SEEDS = st.integers(0, 2**32 - 1)
CONFIG = FeedConfig(interval=INTERVAL)


def connected(config=CONFIG, last=BEFORE, now_ns=START):
    feed = Feed(config, last=last)
    feed.on_connect(now_ns)
    return feed


def quote(feed, update_id, now_ns=START, *, late_ns=0, **changes):
    """Send a quote, stamped `late_ns` before now."""
    return feed.on_message(enveloped(book(update_id, now_ns - late_ns, **changes)), now_ns)


def candle(feed, i, *, after_ns=0, **changes):
    """Send the `i`-th candle, closed, when it has closed or `after_ns` later."""
    closed_ns = START + (i + 1) * S
    return feed.on_message(enveloped(kline(candle_at(i)._replace(**changes), closed_ns)), closed_ns + after_ns)


def candles_at(*numbers):
    return tuple(candle_at(i) for i in numbers)


def assert_accounted_for(feed, handed_on):
    """Every message is in one count, and every candle and quote handed on is accounted for."""
    counts = feed.counts
    assert counts.messages == sum(
        getattr(counts, name)
        for name in ("quotes", "candles", "duplicates", "late", "implausible", "malformed", "other")
    )
    quotes = [thing for thing in handed_on if isinstance(thing, StreamQuote)]
    assert counts.quotes == len(quotes)
    n_candles = counts.candles + counts.filled - counts.forgotten - feed.n_held
    assert n_candles == len(handed_on) - len(quotes)
    assert min(counts.to_dict().values()) >= 0


# --- a storm of messages


@given(seed=SEEDS)
@STORM
def test_nothing_bad_leaves_the_feed_in_a_storm(seed):
    """Of 88,000 messages 55,000 are mutated: it never raises, and hands on nothing unsound, twice or ×100."""
    rng = random.Random(seed)
    feed = connected(replace(CONFIG, max_held=rng.choice((1, 10, 1000))))
    tape = clean_tape(rng, N_STORM // 20, 9)
    truth = {message.candle.open_time_ns: message.candle for message in tape if message.candle}
    handed_on = []
    for message in tape:
        raw = enveloped(message.data)
        for sent in rng.choice(((raw, None), (None, raw), (None,) * 3, (raw,))):
            got = feed.on_message(mutated(rng, message.data) if sent is None else sent, message.time_ns)
            handed_on += got
            for thing in got:
                assert isinstance(thing, StreamQuote | Candle)
                if isinstance(thing, Candle):
                    prices, sizes = thing[1:5], thing[5:]
                else:
                    prices, sizes = (thing.bid, thing.ask), (thing.bid_size, thing.ask_size)
                assert all(100 / 3 < price < 300 for price in prices)
                assert all(0 <= size < math.inf for size in sizes)
        if rng.random() < 0.02:
            handed_on += _answered(feed, truth, message.time_ns, rng)
        if rng.random() < 0.01:
            feed.on_disconnect(message.time_ns)
            feed.on_connect(message.time_ns)
        assert feed.n_held <= feed.config.max_held
        assert feed.health(message.time_ns).state in ("live", "stale", "dead")
    times = [thing.open_time_ns for thing in handed_on if isinstance(thing, Candle)]
    assert all(before < after for before, after in pairwise(times))
    assert_accounted_for(feed, handed_on)
    counts = feed.counts.to_dict()
    del counts["conflated"], counts["forgotten"], counts["gaps"]
    assert min(counts.values()) > 0
    assert counts["messages"] > N_STORM * 0.9
    assert counts["quotes"] > N_STORM // 10


def _answered(feed, truth, now_ns, rng):
    """What follows when history answers, or has nothing and is given up."""
    if (need := feed.need()) is None:
        return ()
    if rng.random() < 0.1:
        return feed.give_up(now_ns)
    return feed.on_history([c for time_ns, c in truth.items() if need[0] <= time_ns < need[1]], now_ns)


# --- what the network may do


@st.composite
def scripts(draw):
    """A clean tape, and what the network makes of it: (what, message or None) in the order in which it arrives."""
    rng = random.Random(draw(SEEDS))
    tape = clean_tape(rng, rng.randint(2, 30))
    p_drop, p_again, p_break, p_answer = (rng.choice((0, 0.05, 0.3)) for _ in range(4))
    reach = rng.choice((0, 2, 12))
    arrivals = []
    for i, message in enumerate(tape):
        # The last candle comes last, so that what is missing before it shows.
        if message is tape[-1] or rng.random() >= p_drop:
            arrivals.append((i + rng.uniform(0, reach), message))
            if rng.random() < p_again:
                arrivals.append((i + rng.uniform(0, 2 * reach + 1), message))
    arrivals.sort(key=lambda arrival: arrival[0])
    script = []
    for _, message in arrivals:
        if rng.random() < p_break:
            script.append(("reconnect", None))
        if rng.random() < p_answer:
            script.append(("history", None))
        script.append(("message", message))
    script.append(("message", tape[-1]))
    return tape, script, rng.choice((1, 3, 1000))


def play(script, tape, max_held):
    """What a feed hands on at each step, and the feed."""
    feed, now_ns, handed_on = connected(replace(CONFIG, max_held=max_held)), START, []
    for what, message in script:
        got = ()
        if what == "message":
            now_ns = max(now_ns, message.time_ns)
            got = feed.on_message(enveloped(message.data), now_ns)
        elif what == "reconnect":
            feed.on_disconnect(now_ns)
            feed.on_connect(now_ns)
        elif need := feed.need():
            got = feed.on_history(history(tape, *need), now_ns)
        handed_on.append(got)
    return handed_on, feed


def history(tape, start_ns, end_ns):
    return [m.candle for m in tape if m.candle and start_ns <= m.candle.open_time_ns < end_ns]


@given(scripts())
@PROPERTY
def test_once_history_has_answered_the_candles_are_those_of_the_clean_stream(drawn):
    """Whatever is doubled, reordered, lost, and however often the connection breaks."""
    tape, script, max_held = drawn
    handed_on, feed = play(script, tape, max_held)
    handed_on = [thing for got in handed_on for thing in got]
    end_ns = tape[-1].time_ns
    while need := feed.need():
        answer = feed.on_history(history(tape, *need), end_ns)
        assert answer
        handed_on += answer
    assert [thing for thing in handed_on if isinstance(thing, Candle)] == history(tape, 0, end_ns)
    assert_accounted_for(feed, handed_on)
    assert feed.counts.gaps == feed.counts.malformed == feed.counts.implausible == 0


@given(scripts())
@PROPERTY
def test_quotes_are_those_of_the_clean_stream_and_ascend_while_connected(drawn):
    tape, script, max_held = drawn
    sent = {m.update_id: (m.data["b"], m.data["a"]) for m in tape if m.update_id is not None}
    newest = -1
    for (what, _), got in zip(script, play(script, tape, max_held)[0], strict=True):
        newest = -1 if what == "reconnect" else newest
        for thing in got:
            if isinstance(thing, StreamQuote):
                assert thing.update_id > newest
                assert (f"{thing.bid:.4f}", f"{thing.ask:.4f}") == sent[thing.update_id]
                newest = thing.update_id


@given(scripts(), SEEDS)
@PROPERTY
def test_what_is_handed_on_does_not_depend_on_what_comes_later(drawn, seed):
    tape, script, max_held = drawn
    rng = random.Random(seed)
    cut = rng.randrange(len(script))
    other = script[cut:]
    rng.shuffle(other)
    whole, otherwise = (play(script[:cut] + rest, tape, max_held)[0] for rest in (script[cut:], other))
    assert whole[:cut] == otherwise[:cut]


def test_a_clean_stream_is_handed_on_as_it_is():
    tape = clean_tape(random.Random(1), 50)
    handed_on, feed = play([("message", message) for message in tape], tape, 1)
    for message, got in zip(tape, handed_on, strict=True):
        if message.update_id is not None:
            assert [thing.update_id for thing in got] == [message.update_id]
        else:
            assert got == ((message.candle,) if message.candle else ())
    assert feed.counts == FeedCounts(messages=200, quotes=100, candles=50, other=50)
    assert feed.last == tape[-1].candle


# --- quotes


def test_an_update_id_is_handed_on_once_and_ids_begin_anew_after_a_reconnect():
    feed = connected()
    assert [len(quote(feed, i)) for i in (5, 5, 4, 6)] == [1, 0, 0, 1]
    assert (feed.counts.duplicates, feed.counts.late, feed.counts.reconnects) == (1, 1, 0)
    feed.on_disconnect(START)
    feed.on_connect(START)
    assert [len(quote(feed, i)) for i in (1, 1, 2)] == [1, 0, 1]
    assert feed.counts.reconnects == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"bid": 100.2, "ask": 100.1},
        {"bid_size": 0.0, "ask_size": 0.0},
        {"late_ns": 3600 * S},
        {"bid": 90.0, "ask": 115.0},
    ],
)
def test_a_crossed_or_empty_book_an_old_stamp_and_a_stub_are_for_the_gate_to_judge(changes):
    feed = connected()
    [handed_on] = quote(feed, 1, **changes)
    assert handed_on.time_ns == START - changes.pop("late_ns", 0)
    assert {name: getattr(handed_on, name) for name in changes} == changes


def test_a_frozen_price_is_handed_on():
    feed = connected()
    assert all(quote(feed, i, START + i * MS) for i in range(100))


@pytest.mark.parametrize("sides", [("bid", "ask"), ("bid",), ("ask",)])
@pytest.mark.parametrize("factor", [100.0, 1.25, 0.8, 0.01])
def test_a_glitch_is_dropped_and_the_market_goes_on(sides, factor):
    feed = connected()
    assert quote(feed, 1)
    assert not quote(feed, 2, **dict.fromkeys(sides, 100.0 * factor))
    assert quote(feed, 3)
    assert feed.counts.implausible == 1
    assert feed.health(START).state == "live"


@given(jumps=st.lists(st.floats(-0.6, 0.6), max_size=30), max_jump=st.floats(0.01, 0.5))
@PROPERTY
def test_a_price_is_handed_on_if_and_only_if_it_does_not_jump_from_the_one_before(jumps, max_jump):
    """Steps of any size, up and down: however far it goes, it goes in plausible steps."""
    feed, accepted = connected(replace(CONFIG, max_jump=max_jump)), BEFORE.close
    for i, jump in enumerate(jumps):
        price = float(f"{accepted * math.exp(jump):.4f}")
        got = quote(feed, i, bid=price, ask=price)
        jump = abs(math.log(price / accepted))
        if abs(jump - max_jump) > 1e-9:
            assert bool(got) == (jump < max_jump)
        accepted = price if got else accepted


def test_a_jump_that_lasts_becomes_silence_and_then_death():
    """Of quotes and candles alike, for ever: a person decides."""
    feed, update_id = connected(), 0
    assert quote(feed, update_id)
    states = []
    for i in range(40):
        for _ in range(5):
            update_id += 1
            assert not quote(feed, update_id, START + i * S + S // 2, bid=150.0, ask=150.1)
        assert not candle(feed, i, open=150.0, high=151.0, low=149.0, close=150.0)
        assert feed.need() is None
        health = feed.health(START + (i + 1) * S)
        states.append(health.state)
        assert ("jump" in health.reason) == (health.state != "live")
    assert states == ["live"] + ["stale"] * 30 + ["dead"] * 9


# --- candles


def test_candles_behind_a_gap_wait_for_history():
    feed = connected()
    assert candle(feed, 0) == candles_at(0)
    assert candle(feed, 3) == ()
    assert candle(feed, 4) == ()
    assert feed.need() == (START + S, START + 3 * S)
    assert feed.on_history(candles_at(2), START + 5 * S) == ()
    assert feed.need() == (START + S, START + 2 * S)
    assert feed.on_history(candles_at(1), START + 5 * S) == candles_at(1, 2, 3, 4)
    assert feed.need() is None
    assert feed.last == candle_at(4)
    assert feed.counts == FeedCounts(messages=3, candles=3, filled=2)


def test_a_glitch_in_a_candle_makes_it_missing_and_history_has_it():
    feed = connected()
    assert candle(feed, 0, high=10_100.0) == ()
    assert candle(feed, 1) == ()
    assert feed.need() == (START, START + S)
    assert feed.on_history(candles_at(0), START + 2 * S) == candles_at(0, 1)
    assert feed.counts.implausible == 1


def test_candles_alone_may_go_far_in_plausible_steps():
    feed = connected()
    for i, price in enumerate((115.0, 130.0, 150.0, 125.0, 105.0)):
        assert candle(feed, i, open=price, high=price, low=price, close=price)


def test_a_candle_that_comes_too_late_is_no_price_to_compare_with():
    feed = connected()
    candle(feed, 1, open=115.0, high=115.0, low=115.0, close=115.0)
    assert len(candle(feed, 0, after_ns=S, low=97.0, close=97.0)) == 2
    assert quote(feed, 1, bid=119.9, ask=120.0)


def test_history_is_believed_over_what_was_held_back():
    feed = connected()
    candle(feed, 1, volume=7.0)
    assert feed.on_history(candles_at(0, 1), START + 9 * S) == candles_at(0, 1)


def test_what_history_has_not_is_given_up_one_gap_at_a_time():
    feed = connected()
    for i in (1, 2, 5):
        candle(feed, i)
    assert feed.give_up(START + 6 * S) == candles_at(1, 2)
    assert feed.need() == (START + 3 * S, START + 5 * S)
    assert feed.counts.gaps == 1
    assert feed.on_history(candles_at(3, 4), START + 6 * S) == candles_at(3, 4, 5)
    assert feed.give_up(START + 6 * S) == ()
    assert feed.counts.gaps == 1
    assert candle(feed, 0) == ()
    assert feed.counts.late == 1


def test_history_brings_what_the_stream_has_not_sent_but_nothing_that_may_not_have_closed():
    """Our clock may be a second ahead of the exchange's."""
    feed = connected()
    now_ns = START + 4 * S
    assert feed.on_history(candles_at(3, 2, 1, 0), now_ns) == candles_at(0, 1, 2)
    assert feed.on_history(candles_at(3, 2, 1, 0), now_ns + S - 1) == ()
    assert candle(feed, 2) == ()
    assert candle(feed, 3) == candles_at(3)
    assert feed.counts == FeedCounts(messages=2, candles=1, duplicates=1, filled=3)
    assert feed.last == candle_at(3)
    with pytest.raises(ValueError, match="sound"):
        feed.on_history([candle_at(4)._replace(close=math.nan)], now_ns)


def test_what_is_older_than_a_closed_candle_has_closed_whatever_the_clock_says():
    feed = connected()
    assert candle(feed, 1, after_ns=-S) == ()
    assert feed.on_history(candles_at(0), START + S) == candles_at(0, 1)


def test_a_candle_before_its_time_is_dropped_so_no_gap_reaches_into_the_future():
    feed = connected()
    for ahead_ns, got in ((3600 * S, ()), (S + 1, ()), (S, candles_at(0))):
        assert candle(feed, 0, after_ns=-ahead_ns) == got
    assert feed.counts.implausible == 2
    assert feed.need() is None


def test_without_a_last_candle_the_first_one_is_believed_unless_it_is_ancient():
    feed = connected(replace(CONFIG, max_held=10), last=None)
    assert candle(feed, 0, after_ns=10 * S) == ()
    assert candle(feed, 5) == candles_at(5)
    assert candle(feed, 4) == ()
    assert feed.counts.late == 2
    feed = connected(last=None)
    assert feed.on_history(candles_at(3, 4, 6), START + 9 * S) == candles_at(3, 4)
    assert quote(feed, 1, bid=10_000.0) == ()


def test_what_is_held_back_is_bounded_and_what_was_forgotten_comes_from_history():
    feed = connected(replace(CONFIG, max_held=20))
    n = 500
    for i in range(1, n):
        assert candle(feed, i) == ()
        assert feed.n_held == min(i, 20)
    assert feed.need() == (START, START + (n - 20) * S)
    assert feed.counts.forgotten == n - 1 - 20
    assert feed.on_history(candles_at(*range(n - 20)), START + n * S) == candles_at(*range(n))


# --- health


def states(feed, *after_s):
    return [feed.health(START + round(s * S)).state for s in after_s]


def test_silence_is_stale_after_two_seconds_and_dead_after_thirty_more():
    feed = connected()
    assert states(feed, 0, 29.999, 30) == ["stale", "stale", "dead"]
    feed = connected()
    quote(feed, 1)
    assert states(feed, 0, 1.999, 2, 31.999) == ["live", "live", "stale", "stale"]
    assert feed.health(START + 32 * S) == FeedHealth("dead", "no good quote for 30 s, now no quote for 2 s")
    quote(feed, 2, START + 1000 * S)
    assert feed.health(START + 1000 * S) == FeedHealth("live", "")


def test_before_the_first_connection_it_is_stale_from_when_it_is_first_asked():
    feed = Feed(CONFIG)
    assert feed.health(START) == FeedHealth("stale", "disconnected")
    assert states(feed, 29, 30) == ["stale", "dead"]


def test_a_disconnection_is_stale_at_once_and_only_a_quote_of_the_next_connection_ends_it():
    feed = connected()
    quote(feed, 1)
    feed.on_disconnect(START + S)
    assert feed.health(START + S) == FeedHealth("stale", "disconnected")
    assert quote(feed, 2, START + S)
    assert feed.health(START + S - 1) == FeedHealth("stale", "disconnected")
    assert states(feed, 1, 30.999, 31) == ["stale", "stale", "dead"]
    feed.on_connect(START + 40 * S)
    assert states(feed, 40) == ["dead"]
    quote(feed, 3, START + 41 * S)
    assert states(feed, 41) == ["live"]


def test_a_connection_that_comes_and_goes_without_a_quote_dies():
    feed = connected()
    quote(feed, 1)
    for i in range(1, 40):
        feed.on_disconnect(START + i * S)
        feed.on_connect(START + i * S + S // 2)
    assert states(feed, 39.5) == ["dead"]
    assert feed.counts.reconnects == 39


@pytest.mark.parametrize(("late_s", "word"), [(1.001, "late"), (-1.001, "ahead")])
def test_clocks_that_differ_are_stale_though_the_quotes_are_handed_on(late_s, word):
    feed, health = connected(), []
    quote(feed, 0)
    for i in range(1, 40):
        assert quote(feed, i, START + i * S, late_ns=round(late_s * S))
        health.append(feed.health(START + i * S))
    assert [h.state for h in health] == ["live"] + ["stale"] * 30 + ["dead"] * 8
    assert all(word in h.reason for h in health[1:])


@pytest.mark.parametrize("late_s", [1.0, 0.0, -1.0])
def test_clocks_within_the_tolerance_are_live_and_so_is_a_feed_with_some_late_quotes(late_s):
    feed = connected()
    for i in range(40):
        quote(feed, i, START + i * S, late_ns=round((9.0 if i % 2 else late_s) * S))
        assert states(feed, i + 0.5) == ["live"]


def test_a_clock_of_ours_that_goes_back_is_no_proof_of_life():
    """Silence begins when it goes back, not an hour later when it is again where it was."""
    feed = connected(now_ns=START + 3600 * S)
    quote(feed, 1, START + 3600 * S)
    assert states(feed, 3600, 3599) == ["live", "live"]
    health = feed.health(START)
    assert (health.state, "clock" in health.reason) == ("stale", True)
    assert states(feed, 29, 30) == ["stale", "dead"]
    quote(feed, 2, START + 31 * S)
    assert states(feed, 31) == ["live"]


EVENTS = st.lists(
    st.tuples(st.sampled_from(["quote", "quote", "late", "glitch", "garbage", "up", "down"]), st.integers(0, 80)),
    max_size=25,
)


@given(EVENTS)
@PROPERTY
def test_stale_and_dead_are_what_they_are_defined_as(events):
    """On a grid of tenths of a second: stale without a good quote in two seconds or a connection, dead after three."""
    feed = connected(replace(CONFIG, dead_after_s=3.0))
    tick, due, n_ticks, up, good, stale_for = 0, {}, 0, True, -math.inf, 0
    for what, ticks in events:
        n_ticks += ticks
        due.setdefault(n_ticks, []).append(what)
    for tick in range(n_ticks + 1):
        now_ns = START + tick * 100 * MS
        for i, what in enumerate(due.get(tick, ())):
            if what == "up":
                feed.on_connect(now_ns)
                up = True
            elif what == "down":
                feed.on_disconnect(now_ns)
                up = False
            elif what == "garbage":
                feed.on_message(b"garbage", now_ns)
            else:
                size = {"glitch": {"bid": 1.0}, "late": {"late_ns": 5 * S}}.get(what, {})
                quote(feed, tick * 1000 + i, now_ns, **size)
                good = tick if what == "quote" and up else good
            if what == "down":
                good = -math.inf
        stale = not up or tick - good >= 20
        stale_for = stale_for + 1 if stale else 0
        expected = "dead" if stale_for > 30 else "stale" if stale else "live"
        assert feed.health(now_ns).state == expected


def test_a_reason_stays_the_same_until_there_is_another():
    feed = connected()
    quote(feed, 1)
    feed.on_message(b"garbage", START + S)
    reasons = [feed.health(START + i * S).reason for i in range(2, 30)]
    assert set(reasons[:2]) == {"messages are malformed"}
    assert set(reasons[2:]) == {"no quote for 2 s"}


# --- settings


@pytest.mark.parametrize(
    "wrong",
    [
        *({"symbol": "btcusdt"}, {"symbol": ""}, {"symbol": None}, {"interval": "1x"}, {"interval": 60}),
        *({"max_jump": 0}, {"max_jump": 1.1}, {"max_jump": math.nan}, {"stale_after_s": 0}, {"stale_after_s": "2"}),
        *({"dead_after_s": -1}, {"dead_after_s": math.inf}, {"max_skew_s": -0.1}, {"max_held": 0}, {"max_held": 1.5}),
    ],
)
def test_a_wrong_setting_is_named(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must "):
        FeedConfig(**wrong)


@pytest.mark.parametrize("wrong", [{"close": math.nan}, {"open_time_ns": START + 1}, {"low": 0.0}])
def test_a_last_candle_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=r"^last must "):
        Feed(CONFIG, last=BEFORE._replace(**wrong))


def test_counts_are_plain_numbers_by_name():
    assert FeedCounts(quotes=2).to_dict()["quotes"] == 2
    assert list(FeedCounts().to_dict().values()) == [0] * 13
    with pytest.raises(AttributeError):
        FeedCounts().typo = 1
