"""The liquidity gate: it fires where the printed one can not, no shock hides the next, and it does not flap."""

import json
import math
import random
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from companion.execution import (
    GateConfig,
    LiquidityGate,
    RollingSpreadStats,
    TradingMode,
    posture_in,
    spread_from_quote,
    strictest_mode,
)
from companion.execution._baseline import RollingMedian
from companion.risk import Posture

PROPERTY = settings(derandomize=True, deadline=None, max_examples=40)
NAN, INF = math.nan, math.inf
S = 1_000_000_000
START = 1_700_000_000 * S
# A sample at every quote of one second, and no waiting: what a test does not speak of is switched off.
QUICK = GateConfig(
    window=20, sample_s=1.0, warm_up=10, k_enter=6.0, k_leave=3.0, calm_s=0.0, max_age_s=5.0, max_frozen_s=1e6
)


class Feed:
    """Quotes of one a second into a gate; the sizes alternate, so that no quote is that of before."""

    def __init__(self, config, time_ns=START):
        self.gate, self.time_ns = LiquidityGate(config), time_ns

    def quote(self, spread=1.0, size=5.0, after_s=1.0):
        """One more quote, and the mode that follows."""
        self.time_ns += round(after_s * S)
        self.gate.on_quote(100.0, 100.0 + spread, size, size + self.time_ns // S % 7, self.time_ns)
        return self.mode

    def quotes(self, spreads):
        return [self.quote(spread) for spread in spreads]

    def check(self, after_s=0.0):
        return self.gate.check(self.time_ns + round(after_s * S))

    @property
    def mode(self):
        return self.check().mode

    @property
    def words(self):
        """The word that each reason begins with."""
        return [reason.partition(":")[0] for reason in self.check().reasons]


def warm(config=QUICK, spread=1.0):
    """A feed whose window is full of one spread."""
    feed = Feed(config)
    feed.quotes([spread] * (config.window + 2))
    assert feed.mode is TradingMode.ACTIVE
    return feed


# --- modes ------------------------------------------------------------------------------------------------------------


def test_the_strictest_mode_wins():
    active, reducing, halted = TradingMode
    assert strictest_mode() is strictest_mode(active) is active
    assert strictest_mode(active, reducing, active) is reducing
    assert strictest_mode(halted, reducing) is halted


def test_the_policy_for_reducing_is_explicit():
    for posture in (Posture.FREEZE, Posture.SHRINK_ONLY, Posture.FLATTEN):
        assert posture_in(TradingMode.ACTIVE, reducing=posture) is Posture.NORMAL
        assert posture_in(TradingMode.REDUCING, reducing=posture) is posture
        assert posture_in(TradingMode.HALTED, reducing=posture) is Posture.FREEZE
    with pytest.raises(ValueError, match="reducing must be a posture that acts"):
        posture_in(TradingMode.ACTIVE, reducing=Posture.NORMAL)


# --- the baseline -----------------------------------------------------------------------------------------------------


@PROPERTY
@given(st.integers(1, 12), st.lists(st.floats(0, 1e9) | st.integers(0, 3).map(float), max_size=60))
def test_the_rolling_median_is_that_of_the_window(window, values):
    rolling = RollingMedian(window)
    assert all(math.isnan(number) for number in rolling.median_mad())
    for n, value in enumerate(values, start=1):
        rolling.update(value)
        held = sorted(values[max(0, n - window) : n])
        median = held[len(held) // 2]
        assert rolling.median_mad() == (median, sorted(abs(x - median) for x in held)[len(held) // 2])
        assert len(rolling) == len(rolling.values()) == len(held)


@PROPERTY
@given(st.integers(3, 30), st.floats(0, 1e300), st.randoms(use_true_random=False))
def test_less_than_half_of_wild_values_moves_nothing_out_of_range(window, shock, rng):
    rolling, n_wild = RollingMedian(window), (window - 1) // 2
    values = [rng.uniform(1, 5) for _ in range(window - n_wild)]
    for value in rng.sample(values + [shock] * n_wild, window):
        rolling.update(value)
    median, mad = rolling.median_mad()
    assert min(values) <= median <= max(values) or shock < min(values)
    assert mad <= max(values) - min(*values, shock)


def test_a_window_of_ten_and_three_sigma_fires_where_the_printed_gate_never_can():
    """The largest z of one value among n, itself included, is sqrt(n - 1): exactly 3 of 10, whatever the spread."""
    for spread in (2.0, 90.0, 1e6):
        printed = RollingSpreadStats(10)
        for x in [1.0] * 9 + [spread]:
            printed.update(x)
        mean, std = printed.mean_std()
        assert (spread - mean) / std == pytest.approx(3.0) == math.sqrt(10 - 1)
    feed = warm(replace(QUICK, window=10, k_enter=3.0, k_leave=2.0))
    assert feed.check().threshold == 2.5
    assert feed.quote(2.6) is TradingMode.REDUCING
    assert feed.words == ["wide"]


def test_the_quote_that_is_judged_is_not_in_the_baseline():
    readings = []
    for spread in (3.0, 30.0):
        feed = warm()
        feed.quote(spread)
        readings.append(feed.check())
    calm, wide = readings
    assert (calm.threshold, wide.threshold) == (4.0, 2.5)  # of the same baseline: to enter, and to leave
    assert (calm.spread, wide.spread) == (3.0, 30.0)


@pytest.mark.parametrize(
    ("floor", "widest"), [(0.5, 4), (0.1, 1), (0.99, 7)], ids=["default", "two ticks are wide", "lenient"]
)
def test_on_a_market_of_one_tick_the_floor_says_what_is_wide(floor, widest):
    """The deviation of a constant is zero: six of them are nothing. Rounding of prices is not a deviation either."""
    tick, base = 0.1, 50_000.0
    config = replace(QUICK, k_enter=GateConfig.k_enter, floor=floor)
    for ticks in [1, 2, 3, 4, 5, 7, 9]:
        gate = LiquidityGate(config)
        for n in range(30):
            bid = base + tick * n
            gate.on_quote(bid, bid + tick, 1.0 + n, 1.0, START + n * S)
            if n > 10:
                assert gate.check(START + n * S).mode is TradingMode.ACTIVE
        gate.on_quote(base, base + tick * ticks, 1.0, 1.0, START + 30 * S)
        assert (gate.check(START + 30 * S).mode is TradingMode.ACTIVE) == (ticks <= widest)


def test_one_sample_is_taken_of_each_interval_and_it_is_the_last():
    feed = Feed(replace(QUICK, sample_s=5.0), START)
    for n in range(20):  # 1.7 s apart: three or two quotes in five seconds
        feed.quote(1.0 + n, after_s=1.7)
    times = [1.7 * (n + 1) for n in range(20)]
    last = [1.0 + n for n in range(19) if times[n] // 5 != times[n + 1] // 5]
    assert feed.gate.state()["baseline"] == last


# --- shocks and lasting changes ---------------------------------------------------------------------------------------


def test_one_shock_does_not_hide_the_next():
    """A shock of nine samples in twenty leaves the threshold where it was; the mean and deviation are its slaves."""
    feed, printed = warm(), RollingSpreadStats(20)
    before = feed.gate.check(feed.time_ns).threshold
    assert set(feed.quotes([500.0 / 9] * 9)) == {TradingMode.REDUCING}
    for x in [1.0] * 11 + [500.0 / 9] * 9:
        printed.update(x)
    mean, std = printed.mean_std()
    assert feed.quote(1.0) is TradingMode.ACTIVE
    assert feed.check().threshold == before == 4.0
    assert feed.quote(10.0) is TradingMode.REDUCING
    assert mean > 10.0  # under the mean itself, to say nothing of three deviations
    assert mean + 3 * std > 90


def test_a_shock_during_warm_up_does_not_raise_the_threshold():
    feed = Feed(QUICK)
    feed.quotes([1.0] * 6 + [60.0] * 4 + [1.0] * 2)
    assert feed.mode is TradingMode.ACTIVE
    assert feed.check().threshold == 4.0


@pytest.mark.parametrize("window", [20, 21])
def test_a_lasting_change_is_learned_in_half_a_window_and_the_calm_time(window):
    config = replace(QUICK, window=window, calm_s=7.0)
    feed = warm(config)
    modes = feed.quotes([40.0] * (window + 10))
    half = math.ceil(window / 2)
    opened = modes.index(TradingMode.ACTIVE)
    # the new level is usual with the quote after its half-window sample, and then calm for seven seconds
    assert opened == half + 7 - 1
    assert set(modes[opened:]) == {TradingMode.ACTIVE}
    assert feed.check().threshold == 160.0
    # and the old level is usual again after as long, though it was never wide
    assert set(feed.quotes([1.0] * (window // 2 + 2))) == {TradingMode.ACTIVE}
    assert feed.check().threshold == 4.0


def test_the_defaults_learn_in_the_time_that_the_docstring_states():
    feed = warm(GateConfig(max_frozen_s=1e6, warm_up=1))
    feed.quotes([1.0] * 3600)
    assert feed.check().threshold == 4.5
    modes = feed.quotes([40.0] * 2000)
    assert 1800 <= modes.index(TradingMode.ACTIVE) <= 30.5 * 60 + 5


# --- hysteresis -------------------------------------------------------------------------------------------------------


def wandering(seed):
    """Spreads whose logarithm comes back to two ticks and is shocked once in a hundred quotes."""
    rng, spreads, log_excess = random.Random(seed), [], 0.0
    for _ in range(300):
        log_excess = 0.9 * log_excess + rng.gauss(0, 0.25) + (1.5 if rng.random() < 0.01 else 0.0)
        spreads.append(max(1.0, 2.0 * math.exp(log_excess)))
    return spreads


def test_hysteresis_keeps_the_gate_from_flapping():
    """Twenty streams about the threshold of four ticks, six thousand quotes in all.

    The mode changes 536 times without any hysteresis, 284 with that in level, 150 with that in time, 94 with both.
    """
    none = replace(QUICK, window=700, k_leave=QUICK.k_enter)
    kinds = {
        "none": none,
        "level": replace(none, k_leave=3.0),
        "time": replace(none, calm_s=20.0),
        "both": replace(none, k_leave=3.0, calm_s=20.0),
    }
    n_switches = dict.fromkeys(kinds, 0)
    for kind, config in kinds.items():
        state = warm(config).gate.state()
        for seed in range(20):
            feed = Feed(config, state["time_ns"])
            feed.gate.restore(state)
            spreads = wandering(seed)
            modes = feed.quotes(spreads)
            n_switches[kind] += sum(one is not other for one, other in pairwise(modes))
            assert all(mode is TradingMode.REDUCING for mode, x in zip(modes, spreads, strict=True) if x > 4.0)
    assert min(n_switches["level"], n_switches["time"]) > n_switches["both"] > 0
    assert n_switches["none"] > 5 * n_switches["both"]


def test_it_leaves_lower_than_it_enters_and_after_a_calm_time():
    feed = warm(replace(QUICK, window=400, calm_s=3.0))
    assert feed.quote(4.0) is TradingMode.ACTIVE
    assert feed.quote(4.1) is TradingMode.REDUCING
    assert set(feed.quotes([3.0] * 10)) == {TradingMode.REDUCING}  # no longer wide enough to enter, too wide to leave
    assert feed.words == ["wide"]
    assert feed.quotes([2.5] * 3) == [TradingMode.REDUCING, TradingMode.REDUCING, TradingMode.ACTIVE]
    feed.quotes([5.0, 1.0, 1.0])
    assert feed.words == ["settling"]
    feed.quotes([2.6, 1.0, 1.0])  # one relapse, and the calm begins anew
    assert feed.words == ["settling"]
    assert feed.quote() is TradingMode.ACTIVE


def test_a_thin_book_reduces_with_hysteresis_too():
    feed = warm(replace(QUICK, size_enter=2.0, size_leave=3.0))
    assert feed.quote(size=2.0) is TradingMode.ACTIVE
    assert feed.quote(size=1.9) is TradingMode.REDUCING
    assert feed.words == ["thin"]
    assert feed.quote(size=2.9) is TradingMode.REDUCING
    assert feed.quote(size=3.0) is TradingMode.ACTIVE
    feed.quote(9.0, size=1.0)
    assert feed.words == ["wide", "thin"]


# --- quotes that are none ---------------------------------------------------------------------------------------------

BAD_QUOTES = {
    "NaN bid": (NAN, 101.0, 1.0, 1.0, "invalid"),
    "NaN ask": (100.0, NAN, 1.0, 1.0, "invalid"),
    "infinite ask": (100.0, INF, 1.0, 1.0, "invalid"),
    "zero bid": (0.0, 101.0, 1.0, 1.0, "invalid"),
    "negative": (-2.0, -1.0, 1.0, 1.0, "invalid"),
    "no bid size": (100.0, 101.0, 0.0, 1.0, "invalid"),
    "NaN bid size": (100.0, 101.0, NAN, 1.0, "invalid"),
    "NaN ask size": (100.0, 101.0, 1.0, NAN, "invalid"),
    "infinite size": (100.0, 101.0, 1.0, INF, "invalid"),
    "None": (None, 101.0, 1.0, 1.0, "invalid"),
    "text": ("100", "101", 1.0, 1.0, "invalid"),
    "signaling NaN": (Decimal("sNaN"), 101.0, 1.0, 1.0, "invalid"),
    "beyond every float": (10**400, 10**400, 1.0, 1.0, "invalid"),
    "crossed": (101.0, 100.0, 1.0, 1.0, "crossed"),
    "stub": (0.01, 100.0, 1.0, 1.0, "stub"),
}


@pytest.mark.parametrize("bad", BAD_QUOTES.values(), ids=BAD_QUOTES)
def test_a_bad_quote_halts_until_the_next_that_is_sound(bad):
    *numbers, word = bad
    feed = warm(replace(QUICK, calm_s=2.0))
    baseline = feed.gate.state()["baseline"]
    feed.time_ns += S
    feed.gate.on_quote(*numbers, feed.time_ns)
    reading = feed.check()
    assert reading.mode is TradingMode.HALTED
    assert feed.words == [word]
    assert math.isnan(reading.spread)
    assert feed.gate.n_refused == 1
    assert feed.gate.state()["baseline"] == baseline
    assert feed.quotes([1.0] * 3) == [TradingMode.REDUCING, TradingMode.REDUCING, TradingMode.ACTIVE]


@pytest.mark.parametrize("time", [None, NAN, 1.5, "now", -1, 2**63, 10**400], ids=repr)
def test_a_quote_without_a_time_halts(time):
    feed = warm()
    feed.gate.on_quote(100.0, 101.0, 1.0, 1.0, time)
    assert feed.mode is TradingMode.HALTED
    assert feed.words == ["clock" if isinstance(time, int) else "invalid"]
    assert feed.quotes([1.0, 1.0]) == [TradingMode.REDUCING, TradingMode.ACTIVE]


def test_before_the_first_quote_there_is_no_quote():
    feed = Feed(QUICK)
    reading = feed.check()
    assert reading.mode is TradingMode.HALTED
    assert feed.words == ["missing"]
    assert all(math.isnan(number) for number in (reading.spread, reading.threshold, reading.age_s))


def test_it_warms_up():
    feed = Feed(QUICK)
    assert set(feed.quotes([1.0] * 10)) == {TradingMode.REDUCING}
    assert feed.words == ["warm-up"]
    assert math.isnan(feed.check().threshold)
    assert feed.quote() is TradingMode.ACTIVE


def test_a_stale_quote_halts_and_after_a_gap_the_market_must_settle():
    feed = warm(replace(QUICK, calm_s=2.0))
    assert feed.check(5.0).mode is TradingMode.ACTIVE
    reading = feed.check(5.1)
    assert (reading.mode, reading.age_s) == (TradingMode.HALTED, 5.1)
    assert reading.reasons[0].startswith("stale")
    assert feed.quote(after_s=5.1) is TradingMode.REDUCING
    assert feed.quotes([1.0] * 2) == [TradingMode.REDUCING, TradingMode.ACTIVE]


def test_a_frozen_feed_halts():
    """The clock of the quotes goes on, and nothing else does."""
    gate, time_ns = LiquidityGate(replace(QUICK, max_frozen_s=30.0)), START
    modes = []
    for _ in range(40):
        time_ns += S
        gate.on_quote(100.0, 101.0, 1.0, 2.0, time_ns)
        modes.append(gate.check(time_ns).mode)
    assert modes[11:31] == [TradingMode.ACTIVE] * 20
    assert modes[31:] == [TradingMode.HALTED] * 9
    assert gate.check(time_ns).reasons[0].startswith("frozen")
    for size, mode in ((2.5, TradingMode.REDUCING), (2.6, TradingMode.ACTIVE)):
        time_ns += S
        gate.on_quote(100.0, 101.0, 1.0, size, time_ns)
        assert gate.check(time_ns).mode is mode


def test_quotes_of_one_time_are_taken_one_after_the_other():
    feed = warm()
    assert feed.quote(9.0, after_s=0.0) is TradingMode.REDUCING
    assert feed.quote(1.0, after_s=0.0) is TradingMode.ACTIVE


def test_a_clock_that_goes_back_halts_once_and_goes_on_from_there():
    feed = warm()
    assert feed.quote(after_s=-3600.0) is TradingMode.HALTED
    assert feed.words == ["clock"]
    assert feed.quotes([1.0, 1.0]) == [TradingMode.REDUCING, TradingMode.ACTIVE]
    assert feed.quote(9.0) is TradingMode.REDUCING  # the thresholds are still there,
    feed.quote()
    assert feed.gate.state()["baseline"][-1] == 9.0  # samples are taken on,
    frozen = LiquidityGate(replace(QUICK, max_frozen_s=30.0))
    for second in [3600, *range(40)]:  # and a feed that is frozen from then on is found in the same time
        frozen.on_quote(100.0, 101.0, 1.0, 1.0, START + second * S)
        assert (frozen.check(START + second * S).mode is TradingMode.HALTED) == (second == 0 or 30 < second < 3600)


def test_a_question_of_before_the_last_quote_is_not_answered_with_it():
    feed = warm()
    assert feed.check(-1.0).mode is TradingMode.HALTED
    assert feed.check(-1.0).reasons[0].startswith("clock")
    for now in (None, -1, 1.5):
        with pytest.raises(ValueError, match="now_ns must be a non-negative integer"):
            feed.gate.check(now)


# --- any stream at all ------------------------------------------------------------------------------------------------

GARBAGE = st.sampled_from([NAN, INF, -INF, 0.0, -1.0, None, "1", 10**400, Decimal("sNaN"), Decimal(100), True, 1e308])
PRICE = st.integers(1000, 1010).map(lambda ticks: ticks / 10)
SIZE = st.sampled_from([0.5, 1.0, 3.0])
STEP_S = st.sampled_from([0.0, 0.3, 1.0, 1.0, 1.0, 7.0, -2.0])
STATEFUL = GateConfig(
    window=6,
    sample_s=1.0,
    warm_up=2,
    k_enter=6.0,
    calm_s=1.0,
    max_age_s=5.0,
    max_frozen_s=8.0,
    size_enter=0.6,
    size_leave=0.9,
)


class GateMachine(RuleBasedStateMachine):
    """Whatever comes, the gate raises nothing, and is ACTIVE only where a slow reading of the rules allows it."""

    def __init__(self):
        super().__init__()
        self.gate, self.time_ns, self.last, self.earlier = LiquidityGate(STATEFUL), START, None, 0

    def take(self, bid, ask, bid_size, ask_size, time):
        self.last = (bid, ask, bid_size, ask_size, time)
        in_order = isinstance(time, int) and self.earlier <= time < 2**63
        if isinstance(time, int) and 0 <= time < 2**63:
            self.earlier = time
        self.gate.on_quote(*self.last)
        try:
            self.sound = in_order and all(0 < float(x) < INF for x in self.last[:4]) and bid <= ask <= 2 * bid
            self.sound = self.sound and not any(isinstance(x, str) for x in self.last)
        except (TypeError, ValueError, ArithmeticError):
            self.sound = False

    @rule(bid=PRICE, ticks=st.integers(0, 3), bid_size=SIZE, ask_size=SIZE, step_s=STEP_S)
    def quote(self, bid, ticks, bid_size, ask_size, step_s):
        self.time_ns += round(step_s * S)
        self.take(bid, bid + ticks / 10, bid_size, ask_size, self.time_ns)

    @rule(bid=PRICE, step_s=STEP_S)
    def wide(self, bid, step_s):
        self.time_ns += round(step_s * S)
        self.take(bid, bid + 5.0, 1.0, 1.0, self.time_ns)

    @rule(quote=st.tuples(*[GARBAGE | PRICE] * 4), time=GARBAGE | st.integers(0, 2**64) | st.none())
    def garbage(self, quote, time):
        self.take(*quote, self.time_ns if time is None else time)

    @rule()
    def restart(self):
        state = json.loads(json.dumps(self.gate.state(), allow_nan=False))
        other = LiquidityGate(STATEFUL)
        other.restore(state)
        assert repr(other.check(self.time_ns)) == repr(self.gate.check(self.time_ns))
        assert other.state() == self.gate.state()
        self.gate = other

    @invariant()
    def active_only_with_reason(self):
        for wait_s in (0, 6):
            now = self.time_ns + wait_s * S
            reading = self.gate.check(now)
            assert repr(reading) == repr(self.gate.check(now))
            assert (reading.mode is TradingMode.ACTIVE) == (not reading.reasons)
            if self.last is None or not self.sound:
                assert reading.mode is TradingMode.HALTED
            if reading.mode is TradingMode.ACTIVE:
                bid, ask, bid_size, ask_size, time = self.last
                samples = sorted(self.gate.state()["baseline"])
                median = samples[len(samples) // 2]
                mad = sorted(abs(x - median) for x in samples)[len(samples) // 2]
                assert len(samples) >= 2
                assert spread_from_quote(bid, ask) <= median + 6.0 * max(1.4826 * mad, 0.5 * median)
                assert min(bid_size, ask_size) >= 0.6
                assert 0 <= now - time <= 5 * S


TestGateMachine = GateMachine.TestCase
TestGateMachine.settings = settings(
    derandomize=True, deadline=None, max_examples=40, stateful_step_count=30, phases=[Phase.generate]
)

STREAM = st.lists(st.tuples(st.sampled_from([0.0, 1.0, 1.1, 2.0, 9.0, -5.0, NAN]), SIZE, STEP_S), max_size=60)


@PROPERTY
@given(STREAM, STREAM, st.integers(0, 60))
def test_no_reading_depends_on_what_comes_later_or_on_questions(past, future, at):
    def readings(stream, *, ask_twice):
        feed, out = Feed(STATEFUL), []
        for quote in stream:
            feed.quote(*quote)
            if ask_twice:
                feed.check(3.0)
            out.append(repr(feed.check()))
        return out

    cut = min(at, len(past))
    assert readings(past[:cut] + future, ask_twice=False)[:cut] == readings(past, ask_twice=True)[:cut]


# --- settings and states ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"window": 1}, "window must be at least 2, got 1"),
        ({"window": 2.5}, "window must be a positive integer"),
        ({"warm_up": 721}, "warm_up must be at most the window of 720, got 721"),
        ({"floor": 0.0}, "floor must be a positive finite number"),
        ({"k_enter": NAN}, "k_enter must be a positive finite number"),
        ({"k_leave": 7.5}, "k_leave must be at most the k_enter of 7.0, got 7.5"),
        ({"size_enter": -1.0, "size_leave": 1.0}, "size_enter must not be negative, got -1.0"),
        ({"size_enter": 2.0, "size_leave": 1.0}, "size_leave must be at least the size_enter of 2.0, got 1.0"),
        ({"calm_s": -1.0}, "calm_s must not be negative, got -1.0"),
        ({"max_age_s": 0.0}, "max_age_s must be a positive finite number"),
    ],
)
def test_settings_out_of_range_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        GateConfig(**setting)


def test_the_state_of_another_gate_is_refused_and_changes_nothing():
    feed = warm()
    before, good = feed.gate.state(), feed.gate.state()
    with pytest.raises(ValueError, match="state must be of a gate with"):
        feed.gate.restore(LiquidityGate(GateConfig()).state())
    for broken in ({"quote": ["x"]}, {"time_ns": None}, {"baseline": 3}, {"trouble_ns": 1.5}, {"quote": [1.0, NAN]}):
        with pytest.raises(ValueError, match="state must be what LiquidityGate"):
            feed.gate.restore(good | broken)
    with pytest.raises(ValueError, match="state must be what LiquidityGate"):
        feed.gate.restore({"config": good["config"]})
    assert feed.gate.state() == before
