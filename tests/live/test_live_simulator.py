"""The simulated exchange: a tape that tells the market, faults that do what they say and nothing else, and a server."""

import asyncio
import json
import math
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.errors import InputError
from companion.execution import MinuteBars, simulate_perpetual
from companion.live import Connection, ExchangeSimulator, Fault, FaultKind, Message, Stall, simulator_process
from companion.live._faults import CLOCK_SKEW_S, parse_fault
from companion.live._server import serve
from companion.live._tape import number_text

MARKET = simulate_perpetual(n_minutes=60, quotes_per_minute=12, seed=1)
N_HISTORY = 20
BAR_NS = 100_000_000
START_NS = 1_700_000_000_000_000_000
QUOTES, CANDLES = "btcusdt@bookTicker", "btcusdt@kline_100ms"
BOTH = f"{QUOTES}/{CANDLES}"
WAIT_S = 60  # only how long a defect hangs


def exchange(faults=(), *, start_ns=START_NS, **settings) -> ExchangeSimulator:
    settings = {"interval": "100ms", "n_history": N_HISTORY, **settings}
    made = ExchangeSimulator(MARKET, faults=faults, **settings)
    made.start_at(start_ns)
    return made


def messages(simulator: ExchangeSimulator) -> list[Message]:
    return [event for event in simulator.events() if isinstance(event, Message)]


def data_of(message: Message) -> dict:
    return json.loads(message.raw)["data"]


def closed_candles(tape: list[Message]) -> list[dict]:
    return [data_of(m)["k"] for m in tape if m.stream == CANDLES and data_of(m)["k"]["x"]]


def quotes_of(tape: list[Message]) -> list[dict]:
    return [data_of(m) for m in tape if m.stream == QUOTES]


# The tape


def test_the_stream_tells_the_market_quote_for_quote():
    quotes = quotes_of(messages(exchange()))
    first = N_HISTORY * 12
    told = np.array([[float(q[key]) for key in ("b", "a", "B", "A")] for q in quotes])
    market = MARKET.quotes
    true = np.column_stack([market.bid, market.ask, market.bid_size, market.ask_size])[first:]
    assert np.array_equal(told, true)
    assert [q["u"] for q in quotes] == list(range(first + 1, len(market) + 1))
    places = (market.time_ns[first:] - market.time_ns[0] + 2_500_000_000) / 60e9  # in bars, from the first
    stamps = [START_NS / 1e6 + 100 * (place - N_HISTORY) for place in places]
    assert [q["T"] for q in quotes] == [q["E"] for q in quotes] == [math.floor(stamp + 1e-3) for stamp in stamps]


@pytest.mark.parametrize("interval", ["100ms", "1s", "1m", "5m"])
def test_stream_and_history_tell_the_same_candles_at_their_close(interval):
    simulator = ExchangeSimulator(MARKET, interval=interval, n_history=N_HISTORY)
    simulator.start_at(START_NS + 12_345_678_901)
    bar_ns, end_ns = simulator.bar_ns, 2 * START_NS
    closes = [(m.time_ns, data_of(m)) for m in messages(simulator) if b'"x":true' in m.raw]
    history = simulator.history(0, end_ns, now_ns=end_ns)
    assert len(history) == len(MARKET.bars) == len(closes) + N_HISTORY - 1  # the last of the history is open at first
    for (time_ns, data), candle in zip(closes, history[N_HISTORY - 1 :], strict=True):
        k = data["k"]
        assert (k["t"] * 1_000_000, *(float(k[key]) for key in "ohlcv")) == candle
        assert time_ns == data["E"] * 1_000_000 == candle.open_time_ns + bar_ns == (k["T"] + 1) * 1_000_000
        assert candle.open_time_ns % bar_ns == 0
    bars = MARKET.bars
    true = np.column_stack([bars.open, bars.high, bars.low, bars.close, bars.volume])
    assert np.array_equal([candle[1:] for candle in history], true)


def test_unfinished_candles_grow_into_the_closed_one():
    tape = [data_of(m)["k"] for m in messages(exchange()) if m.stream == CANDLES]
    assert len(tape) == 4 * (60 - N_HISTORY)
    for bar in range(0, len(tape), 4):
        growing = tape[bar : bar + 4]
        assert [k["x"] for k in growing] == [False, False, False, True]
        assert len({(k["t"], k["o"]) for k in growing}) == 1
        for one, next_one in pairwise(growing):
            assert float(next_one["l"]) <= float(one["l"]) <= float(one["c"]) <= float(one["h"]) <= float(next_one["h"])
            assert float(one["v"]) < float(next_one["v"])


@given(late_ns=st.integers(0, BAR_NS - 1))
@settings(max_examples=20, deadline=None)
def test_the_stream_begins_where_the_clock_is(late_ns):
    start_ns = START_NS + late_ns
    simulator = exchange(start_ns=start_ns)
    assert simulator.zero_ns == START_NS + (BAR_NS if late_ns else 0)
    events = list(simulator.events())
    assert events[0] == Connection(start_ns, True)
    times = [event.time_ns for event in events]
    assert times == sorted(times)
    assert start_ns < times[1] <= start_ns + BAR_NS // 12
    first_close_ns = closed_candles(messages(simulator))[0]["t"] * 1_000_000 + BAR_NS
    assert first_close_ns == START_NS + BAR_NS  # of what was open, or of live bar 0


times_around_bars = st.builds(lambda bar, more: bar * BAR_NS + more, st.integers(-30, 70), st.integers(-1, 1))
times = times_around_bars | st.integers(-30 * BAR_NS, 70 * BAR_NS)


@given(start=times, length=times, now=times)
@settings(max_examples=200, deadline=None)
def test_history_is_what_has_closed(start, length, now):
    simulator = exchange()
    start_ns, now_ns = START_NS + start, START_NS + now
    whole = simulator.history(0, 2 * START_NS, now_ns=2 * START_NS)
    told = simulator.history(start_ns, start_ns + length, now_ns=now_ns)
    inside = [c for c in whole if start_ns <= c.open_time_ns < start_ns + length]
    assert told == [c for c in inside if c.open_time_ns + BAR_NS <= now_ns]


def test_the_same_arguments_make_the_same_bytes():
    broken = [Fault(FaultKind.MALFORMED, 3, 5), Fault(FaultKind.NAN, 20, 5)]
    one, two, other = (list(exchange(broken, seed=seed).events()) for seed in (4, 4, 5))
    assert one == two != other
    again = exchange(broken, seed=4)
    assert list(again.events()) == list(again.events()) == one


@pytest.mark.parametrize("rate", [7.5, 1234.0])
def test_a_steady_rate_repeats_the_last_quote(rate):
    usual, steady = exchange(), exchange(quotes_per_second=rate)
    tape = [m for m in messages(steady) if m.stream == QUOTES]
    seconds = (60 - N_HISTORY) * BAR_NS / 1e9
    assert abs(len(tape) - rate * seconds) <= 1
    assert all(next_q["u"] == q["u"] + 1 for q, next_q in pairwise(quotes_of(tape)))
    gaps_ns = np.diff([m.time_ns for m in tape])
    assert np.abs(gaps_ns - 1e9 / rate).max() <= 2
    known = [m for m in messages(usual) if m.stream == QUOTES]
    last = np.searchsorted([m.time_ns for m in known], [m.time_ns for m in tape], side="right") - 1
    assert all(
        book_of(data_of(message)) == book_of(data_of(known[n])) for message, n in zip(tape, last, strict=True) if n >= 0
    )
    assert closed_candles(messages(steady)) == closed_candles(messages(usual))


@given(st.floats(min_value=0, max_value=1e15, allow_nan=False))
def test_numbers_are_written_so_that_they_read_the_same(number):
    text = number_text(number)
    assert float(text) == number
    assert set(text) <= set("0123456789.")


# Faults

SPAN = (7.25, 8.5)  # bars from the start, and how many: 8 closed candles


def with_fault(kind: FaultKind) -> tuple[list, list, list, list]:
    """The faulty tape outside and inside of the fault's time, and the same of the clean one."""
    begin_ns, end_ns = START_NS + int(SPAN[0] * BAR_NS), START_NS + int(sum(SPAN) * BAR_NS)
    parts = []
    for simulator in (exchange([Fault(kind, *SPAN)]), exchange()):
        tape = messages(simulator)
        parts += [[m for m in tape if (begin_ns <= m.time_ns < end_ns) == inside] for inside in (False, True)]
    return tuple(parts)


@pytest.mark.parametrize("kind", FaultKind)
def test_without_its_time_a_faulty_tape_is_the_clean_one(kind):
    outside, inside, clean_outside, clean_inside = with_fault(kind)
    assert outside == clean_outside
    assert inside != clean_inside
    assert len(clean_inside) > 100


@pytest.mark.parametrize("kind", FaultKind)
def test_only_faults_of_the_line_change_it(kind):
    events = [e for e in exchange([Fault(kind, *SPAN)]).events() if not isinstance(e, Message)]
    begin_ns, end_ns = START_NS + int(SPAN[0] * BAR_NS), START_NS + int(sum(SPAN) * BAR_NS)
    expected = {
        FaultKind.DISCONNECT: [Connection(begin_ns, False), Connection(end_ns, True)],
        FaultKind.HALF_OPEN: [Stall(begin_ns, kind, True), Stall(end_ns, kind, False)],
        FaultKind.SLOW_DRIP: [Stall(begin_ns, kind, True), Stall(end_ns, kind, False)],
    }
    assert events == [Connection(START_NS, True), *expected.get(kind, [])]


@pytest.mark.parametrize("kind", FaultKind)
def test_history_is_true_whatever_the_stream_says(kind):
    end_ns = 2 * START_NS
    faulty, clean = exchange([Fault(kind, *SPAN)]), exchange()
    assert faulty.history(0, end_ns, now_ns=end_ns) == clean.history(0, end_ns, now_ns=end_ns)


@pytest.mark.parametrize("kind", [FaultKind.DISCONNECT, FaultKind.SILENCE, FaultKind.HALF_OPEN])
def test_a_silent_exchange_sends_nothing(kind):
    assert with_fault(kind)[1] == []


def test_a_drip_is_one_old_message_at_the_end():
    _, inside, _, clean = with_fault(FaultKind.SLOW_DRIP)
    assert [m.raw for m in inside] == [clean[0].raw]
    assert inside[0].time_ns == START_NS + int(sum(SPAN) * BAR_NS) - 1


def test_duplicates_come_twice():
    _, inside, _, clean = with_fault(FaultKind.DUPLICATES)
    assert inside == [message for message in clean for _ in range(2)]


def test_reordering_keeps_every_message_and_swaps_quotes_and_candles():
    _, inside, _, clean = with_fault(FaultKind.REORDERING)
    assert [m.time_ns for m in inside] == [m.time_ns for m in clean]
    assert sorted(m.raw for m in inside) == sorted(m.raw for m in clean)
    ids = [q["u"] for q in quotes_of(inside)]
    opens = [k["t"] for k in closed_candles(inside)]
    assert ids[:8] == [ids[3] + n for n in (3, 2, 1, 0, 7, 6, 5, 4)]
    assert [t - min(opens) for t in opens[:4]] == [100, 0, 300, 200]


def test_gaps_are_of_candles_alone():
    _, inside, _, clean = with_fault(FaultKind.GAPS)
    assert inside == [m for m in clean if m.stream == QUOTES]
    assert len(closed_candles(clean)) == 8


def reads_as_sound(raw: bytes) -> bool:
    """Whether a message is JSON of the right symbol with every field, and prices that are positive numbers."""
    try:
        data = json.loads(raw)["data"]
        fields = data.get("k", data)
        prices = [fields[key] for key in ("ohlc" if "k" in data else "ba")]
        stamp, kind = (fields["t"], fields["x"]) if "k" in data else (fields["T"], True)
        sound = all(isinstance(price, str) and 0 < float(price) < math.inf for price in prices)
        return sound and fields["s"] == data["s"] == "BTCUSDT" and isinstance(stamp, int) and isinstance(kind, bool)
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


@pytest.mark.parametrize("kind", [FaultKind.MALFORMED, FaultKind.NAN])
def test_no_broken_message_reads_as_a_sound_one(kind):
    _, inside, _, clean = with_fault(kind)
    assert [(m.time_ns, m.stream) for m in inside] == [(m.time_ns, m.stream) for m in clean]
    assert all(reads_as_sound(m.raw) for m in clean)
    assert not any(reads_as_sound(m.raw) for m in inside)
    assert all(m.raw.decode() is not None for m in inside)  # UTF-8, or a websocket would close
    assert len({m.raw for m in inside}) > 10


def book_of(quote: dict) -> tuple[float, ...]:
    return tuple(float(quote[key]) for key in ("b", "a", "B", "A"))


def test_a_glitch_is_a_hundredfold():
    _, inside, _, clean = with_fault(FaultKind.GLITCH)
    for glitch, true in zip(inside, clean, strict=True):
        one, other = data_of(glitch), data_of(true)
        one, other = (one["k"], other["k"]) if "k" in one else (one, other)
        prices = set("ohlc" if "o" in one else "ba")
        assert all(float(one[key]) == pytest.approx(100 * float(other[key]), rel=1e-12) for key in prices)
        assert {key: one[key] for key in one.keys() - prices} == {key: other[key] for key in other.keys() - prices}


def test_a_frozen_market_repeats_its_first_quote_with_new_stamps():
    _, inside, _, clean = with_fault(FaultKind.FROZEN)
    assert closed_candles(inside) == closed_candles(clean)
    assert {book_of(q) for q in quotes_of(inside)} == {book_of(quotes_of(clean)[0])}
    assert [(q["u"], q["T"], q["E"]) for q in quotes_of(inside)] == [(q["u"], q["T"], q["E"]) for q in quotes_of(clean)]


def test_books_are_crossed_or_empty():
    _, inside, _, clean = with_fault(FaultKind.CROSSED_BOOK)
    for crossed, true in zip(quotes_of(inside), quotes_of(clean), strict=True):
        assert crossed == true | {"b": true["a"], "a": true["b"]}
        assert float(crossed["b"]) > float(crossed["a"])
    _, inside, _, clean = with_fault(FaultKind.EMPTY_BOOK)
    for empty, true in zip(quotes_of(inside), quotes_of(clean), strict=True):
        assert empty | {"B": "", "A": ""} == true | {"B": "", "A": ""}
        assert float(empty["B"]) == float(empty["A"]) == 0


def test_skewed_stamps_are_ahead_and_nothing_else():
    _, inside, _, clean = with_fault(FaultKind.CLOCK_SKEW)
    ahead_ms = 1000 * CLOCK_SKEW_S
    for skewed, true in zip(map(data_of, inside), map(data_of, clean), strict=True):
        moved = {key: true[key] + ahead_ms for key in ("T", "E") if key in true}
        assert skewed == true | moved
    assert [m.time_ns for m in inside] == [m.time_ns for m in clean]


@given(
    kinds=st.lists(st.sampled_from(FaultKind), min_size=1, max_size=4, unique=True),
    places=st.lists(st.tuples(st.floats(0, 30), st.floats(0.01, 5)), min_size=4, max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_faults_at_once_leave_the_rest_alone(kinds, places):
    faults = [Fault(kind, *place) for kind, place in zip(kinds, places, strict=False)]
    spans = [fault.span_ns(START_NS, BAR_NS) for fault in faults]
    events = list(exchange(faults).events())
    times = [event.time_ns for event in events]
    assert times == sorted(times)
    calm = [
        [m for m in tape if not any(begin <= m.time_ns < end for begin, end in spans)]
        for tape in ([e for e in events if isinstance(e, Message)], messages(exchange()))
    ]
    assert calm[0] == calm[1]


@given(
    kinds=st.lists(st.sampled_from(FaultKind), min_size=1, max_size=4, unique=True),
    places=st.lists(st.tuples(st.floats(0, 30), st.floats(0.01, 15)), min_size=4, max_size=4),
    later_ns=st.integers(0, 41 * BAR_NS),
)
@settings(max_examples=60, deadline=None)
def test_a_client_that_comes_later_sees_the_rest(kinds, places, later_ns):
    simulator = exchange([Fault(kind, *place) for kind, place in zip(kinds, places, strict=False)])
    from_ns = START_NS + later_ns
    whole, rest = list(simulator.events()), list(simulator.events(from_ns))
    assert [e for e in rest if e.time_ns > from_ns] == [e for e in whole if e.time_ns > from_ns]
    assert [e.time_ns for e in rest] == sorted(e.time_ns for e in rest)

    def is_up(events):
        return [e.up for e in events if isinstance(e, Connection) and e.time_ns <= from_ns][-1]

    assert is_up(rest) == is_up(whole)


# Arguments


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: Fault("silence", 1, 1), "kind must be a FaultKind"),
        (lambda: Fault(FaultKind.SILENCE, -1, 1), "at_bar must not be negative"),
        (lambda: Fault(FaultKind.SILENCE, math.nan, 1), "at_bar must be a finite number"),
        (lambda: Fault(FaultKind.SILENCE, 1, 0), "bars must be a positive finite number"),
        (lambda: exchange(["silence"]), "faults must hold Fault objects"),
        (lambda: exchange([Fault(FaultKind.NAN, 1, 3), Fault(FaultKind.NAN, 3, 1)]), "must not overlap, got nan at 1"),
        (lambda: exchange(symbol="btcusdt"), "symbol must be capital letters"),
        (lambda: exchange(interval="fast"), "interval must be a number and a unit"),
        (lambda: exchange(n_history=60), "n_history must be less than the 60 bars of the market, got 60"),
        (lambda: exchange(n_history=0), "n_history must be a positive integer"),
        (lambda: exchange(seed=-1), "seed must be a non-negative integer"),
        (lambda: exchange(quotes_per_second=0), "quotes_per_second must be a positive finite number"),
        (lambda: exchange(start_ns=1.5), "now_ns must be a positive integer"),
        (lambda: ExchangeSimulator(MARKET, n_history=5).events(), r"call start_at\(now_ns\) first"),
        (lambda: ExchangeSimulator(MARKET, n_history=5).history(0, 1, now_ns=1), r"call start_at\(now_ns\) first"),
    ],
)
def test_bad_arguments_are_refused(make, complaint):
    with pytest.raises(ValueError, match=complaint):
        make()


def test_a_market_with_a_hole_is_refused():
    kept = np.r_[0:30, 31:60]
    bars = MinuteBars(
        *(getattr(MARKET.bars, name)[kept] for name in ("time_ns", "open", "high", "low", "close", "volume"))
    )
    with pytest.raises(ValueError, match="every minute, got none after bar 29"):
        ExchangeSimulator((bars, MARKET.quotes), n_history=5)


@pytest.mark.parametrize("text", ["silence", "silence:1", "noise:1:2", "silence:a:2", "silence:1:0", "silence:1:2:3"])
def test_a_fault_that_can_not_be_read_is_refused(text):
    with pytest.raises(InputError, match=f"--fault {text}: .*give KIND:AT:BARS"):
        parse_fault(text)


def test_a_fault_is_read_as_it_is_written():
    assert parse_fault("half-open:20:3.5") == Fault(FaultKind.HALF_OPEN, 20, 3.5)


# The server


class Served:
    """An exchange that serves with a clock that only the test moves, and a session to ask it with."""

    def __init__(self, simulator: ExchangeSimulator) -> None:
        self.simulator, self.now_ns, self.sockets = simulator, START_NS, []

    def at_bar(self, bar: float) -> None:
        self.now_ns = START_NS + round(bar * BAR_NS)

    async def connect(self, streams=BOTH, **settings):
        patience = aiohttp.ClientWSTimeout(ws_close=0.2)
        where = f"{self.url}/stream?streams={streams}"
        self.sockets.append(await self.session.ws_connect(where, compress=0, timeout=patience, **settings))
        return self.sockets[-1]

    async def next_after(self, socket, time_ns: int) -> list[str]:
        """What comes up to the first closed candle that is sent at `time_ns` or later."""
        texts = []
        while True:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.TEXT, message
            texts.append(message.data)
            if '"x":true' in message.data and json.loads(message.data)["data"]["E"] * 1_000_000 >= time_ns:
                return texts

    async def get(self, path: str, **query):
        async with self.session.get(f"{self.url}{path}", params=query) as answer:
            return answer.status, await answer.json()


def with_served(use, faults=(), **settings) -> None:
    """Run `use(served)`, a coroutine, while an exchange with faults serves."""

    async def run() -> None:
        served = Served(exchange(faults, **settings))
        async with (
            asyncio.timeout(WAIT_S),
            serve(served.simulator, port=0, now_ns=lambda: served.now_ns) as served.url,
            aiohttp.ClientSession() as served.session,
        ):
            await use(served)
            for one in served.sockets:
                await one.close()

    asyncio.run(run())


def test_every_client_sees_the_tape_from_where_it_is():
    async def use(served):
        tape = messages(served.simulator)
        one, quotes = await served.connect(), await served.connect(QUOTES)
        served.at_bar(2)
        seen = await served.next_after(one, START_NS + 2 * BAR_NS)
        late = await served.connect()
        served.at_bar(4)
        seen += await served.next_after(one, START_NS + 4 * BAR_NS)
        assert seen == [m.raw.decode() for m in tape if m.time_ns <= served.now_ns]
        assert await served.next_after(late, served.now_ns) == [
            m.raw.decode() for m in tape if START_NS + 2 * BAR_NS < m.time_ns <= served.now_ns
        ]
        n_quotes = 4 * 12
        told = [(await quotes.receive()).data for _ in range(n_quotes)]
        assert told == [m.raw.decode() for m in tape if m.stream == QUOTES][:n_quotes]

    with_served(use)


def test_the_end_of_the_market_closes_and_refuses():
    async def use(served):
        socket = await served.connect()
        served.at_bar(41)
        await served.next_after(socket, START_NS + 40 * BAR_NS)
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await served.connect()

    with_served(use)


def test_history_over_http_honours_its_arguments():
    async def use(served):
        served.at_bar(30.5)
        path, asked = "/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "100ms"}
        status, rows = await served.get(path, **asked)
        history = served.simulator.history(0, served.now_ns, now_ns=served.now_ns)
        assert status == 200
        assert [(row[0] * 1_000_000, *map(float, row[1:6])) for row in rows] == history
        assert len(rows) == N_HISTORY + 30
        assert [row[6] - row[0] for row in rows] == [99] * len(rows)
        assert {len(row) for row in rows} == {12}
        opens = [row[0] for row in rows]
        for query, expected in [
            ({"limit": 5}, opens[-5:]),
            ({"startTime": opens[7]}, opens[7:]),
            ({"startTime": opens[7] + 1, "limit": 3}, opens[8:11]),
            ({"startTime": opens[7], "endTime": opens[9]}, opens[7:10]),
            ({"startTime": opens[7], "endTime": opens[9] - 1}, opens[7:9]),
            ({"endTime": opens[9], "limit": 2}, opens[8:10]),
            ({"startTime": opens[-1] + 1}, []),
            ({"startTime": opens[9], "endTime": opens[7]}, []),
        ]:
            assert [row[0] for row in (await served.get(path, **asked, **query))[1]] == expected, query
        for query in ({"limit": 1501}, {"limit": 0}, {"startTime": "noon"}, {"symbol": "ETHUSDT"}, {"interval": "1m"}):
            status, answer = await served.get(path, **asked | query)
            assert (status, set(answer)) == (400, {"code", "msg"}), query
        assert (await served.get("/fapi/v1/time"))[1] == {"serverTime": served.now_ns // 1_000_000}
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            await served.connect("ethusdt@bookTicker")

    with_served(use)


def test_history_has_no_candle_before_it_has_closed():
    async def use(served):
        asked = {"symbol": "BTCUSDT", "interval": "100ms", "startTime": START_NS // 1_000_000}
        for bars in (0, 0.999, 1, 1.5, 7.99, 8):
            served.at_bar(bars)
            assert len((await served.get("/fapi/v1/klines", **asked))[1]) == int(bars)

    with_served(use)


def test_a_disconnected_client_is_cut_off_and_let_in_again_after():
    async def use(served):
        socket = await served.connect()
        served.at_bar(6)
        await served.next_after(socket, START_NS + 5 * BAR_NS)
        last = await socket.receive()
        while last.type is aiohttp.WSMsgType.TEXT:
            last = await socket.receive()
        assert last.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await served.connect()
        assert (await served.get("/fapi/v1/time"))[0] == 200  # history never fails
        served.at_bar(8)
        await asyncio.sleep(0.1)
        socket = await served.connect()
        served.at_bar(9)
        await served.next_after(socket, START_NS + 9 * BAR_NS)

    with_served(use, [Fault(FaultKind.DISCONNECT, 5.5, 2)])


async def pong_comes(socket, *, within_s: float) -> bool:
    """Whether a ping is answered; the websocket must have been opened with autoping=False."""
    await socket.ping(b"there?")
    try:
        async with asyncio.timeout(within_s):
            while (message := await socket.receive()).type is not aiohttp.WSMsgType.PONG:
                assert message.type is aiohttp.WSMsgType.TEXT
            return message.data == b"there?"
    except TimeoutError:
        return False


def test_a_silent_exchange_answers_pings_and_comes_back():
    async def use(served):
        socket = await served.connect(autoping=False)
        served.at_bar(6)
        await served.next_after(socket, START_NS + 5 * BAR_NS)
        assert await pong_comes(socket, within_s=WAIT_S)
        served.at_bar(9)
        texts = await served.next_after(socket, START_NS + 9 * BAR_NS)
        clean = [m.raw.decode() for m in messages(exchange()) if m.time_ns <= served.now_ns]
        assert texts == clean[-len(texts) :]

    with_served(use, [Fault(FaultKind.SILENCE, 5.5, 2)])


def test_a_half_open_connection_is_dead_for_good_and_a_new_one_lives():
    async def use(served):
        old = await served.connect(autoping=False)
        served.at_bar(6)
        await served.next_after(old, START_NS + 5 * BAR_NS)
        await asyncio.sleep(0.1)  # the player takes a look at the clock every 50 ms at the latest
        between = await served.connect(autoping=False)
        assert not await pong_comes(old, within_s=0.2)
        served.at_bar(8)
        await asyncio.sleep(0.1)
        new = await served.connect(autoping=False)
        served.at_bar(9)
        await served.next_after(new, START_NS + 9 * BAR_NS)
        assert await pong_comes(new, within_s=WAIT_S)
        assert not await pong_comes(between, within_s=0.2)
        with pytest.raises(TimeoutError):
            await old.receive(timeout=0.1)
        await old.close()
        assert old.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE  # nobody answered

    with_served(use, [Fault(FaultKind.HALF_OPEN, 5.5, 2)])


async def next_frame(reader: asyncio.StreamReader) -> tuple[bool, int, bytes]:
    """Whether it is final, its opcode and its payload."""
    first, length = await reader.readexactly(2)
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    return bool(first >> 7), first & 15, await reader.readexactly(length)


def test_a_drip_is_fragments_of_one_message_that_ends_with_the_fault():
    async def use(served):
        where = urlsplit(served.url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(
            f"GET /stream?streams={BOTH} HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: bm90aGluZ29mYW55dXNlIQ==\r\n\r\n".encode()
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        begin_ns, end_ns = START_NS + 5 * BAR_NS, START_NS + 7 * BAR_NS
        clean = messages(exchange())
        served.at_bar(5.5)
        for expected in (m for m in clean if m.time_ns < begin_ns):
            assert await next_frame(reader) == (True, 1, expected.raw)
        dripped = next(m for m in clean if m.time_ns >= begin_ns).raw
        fragments = [await next_frame(reader)]
        served.at_bar(6.25)
        fragments.append(await next_frame(reader))
        assert [(final, opcode) for final, opcode, _ in fragments] == [(False, 1), (False, 0)]
        assert b"".join(payload for *_, payload in fragments) == dripped[: int(len(dripped) * 1.25 / 2)]
        served.at_bar(8)
        final, opcode, rest = await next_frame(reader)
        assert (final, opcode) == (True, 0)
        assert b"".join(payload for *_, payload in [*fragments, (0, 0, rest)]) == dripped
        after = next(m for m in clean if m.time_ns >= end_ns)
        assert await next_frame(reader) == (True, 1, after.raw)
        writer.close()

    with_served(use, [Fault(FaultKind.SLOW_DRIP, 5, 2)])


def test_a_client_in_a_library_sees_the_drip_as_the_tape_has_it():
    async def use(served):
        socket = await served.connect()
        seen = []
        for bars in (5.5, 6, 6.5, 8):
            served.at_bar(bars)
            await asyncio.sleep(0.1)
        seen = await served.next_after(socket, START_NS + 8 * BAR_NS)
        assert seen == [m.raw.decode() for m in messages(served.simulator) if m.time_ns <= served.now_ns]

    with_served(use, [Fault(FaultKind.SLOW_DRIP, 5, 2)])


def test_only_127_0_0_1_is_listened_on():
    async def use(served):
        port = urlsplit(served.url).port
        assert served.url == f"http://127.0.0.1:{port}"
        with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.2", port), timeout=WAIT_S):
            pass

    with_served(use)


def test_a_port_that_is_taken_is_refused():
    async def use(served):
        port = urlsplit(served.url).port
        with pytest.raises(InputError, match=f"port {port}: can not be had"):
            async with exchange().serve(port=port):
                pass

    with_served(use)


def test_an_error_in_the_player_is_not_lost(monkeypatch):
    async def run():
        simulator = exchange()
        monkeypatch.setattr(simulator, "events", lambda from_ns: iter(["no event"]))
        async with asyncio.timeout(WAIT_S), simulator.serve():
            await asyncio.sleep(0.05)

    with pytest.raises(AttributeError, match="time_ns"):
        asyncio.run(run())


# The process


def test_the_process_serves_in_real_time_and_ends_with_its_context():
    began = ["--start-ns", str(time.time_ns() - 10_000_000_000)]  # 100 bars ago
    with simulator_process(["--interval", "100ms", "--minutes", "1000", "--history", "30", *began]) as url:

        async def look():
            async with asyncio.timeout(WAIT_S), aiohttp.ClientSession() as session:
                async with session.ws_connect(f"{url}/stream?streams={BOTH}") as stream:
                    while '"x":true' not in (told := (await stream.receive()).data):
                        pass
                asked = {"symbol": "BTCUSDT", "interval": "100ms"}
                async with session.get(f"{url}/fapi/v1/klines", params=asked) as answer:
                    return json.loads(told)["data"]["k"], await answer.json()

        k, rows = asyncio.run(look())
        assert [k["t"], *(k[key] for key in "ohlcv")] in [row[:6] for row in rows]
        assert len(rows) >= 130
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", urlsplit(url).port), timeout=WAIT_S)


def test_the_process_ends_when_its_parent_is_killed():
    parent = (
        "import signal\nfrom companion.live import simulator_process\n"
        "with simulator_process(['--minutes', '5', '--history', '5']) as url:\n"
        "    print(url, flush=True)\n    signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        port = urlsplit(url).port
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as line:
            process.send_signal(signal.SIGKILL)
            line.settimeout(WAIT_S)
            assert line.recv(1) == b""  # closed by a server that has ended


def test_a_signal_ends_the_process_cleanly():
    command = [sys.executable, "-m", "companion.pipeline.exchange_simulator", "--minutes", "5", "--history", "5"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline().startswith("listening on http://127.0.0.1:")
        process.terminate()
        assert process.stderr.read() == ""
        assert process.wait(WAIT_S) == 0


@pytest.mark.parametrize(
    "arguments",
    [["--fault", "noise:1:2"], ["--interval", "fast"], ["--minutes", "0"], ["--port", "99999"], ["--speed", "3"]],
)
def test_the_program_refuses_what_makes_no_sense_in_one_line(arguments, capsys):
    from companion.pipeline.exchange_simulator import main

    assert main(["--history", "2", "--minutes", "2", *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert arguments[0].strip("-") in said


def test_a_process_that_does_not_start_says_so(capfd):
    with pytest.raises(InputError, match="does not start with"), simulator_process(["--minutes", "0"]):
        pass
    assert "minutes must be a positive integer" in capfd.readouterr().err
