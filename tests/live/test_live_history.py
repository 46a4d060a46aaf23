"""History over REST: whole pages, closed candles alone, and bounded patience with answers that are late or wrong."""

import asyncio
import time
from itertools import pairwise

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.errors import InputError
from companion.live import ExchangeAddress, Patience, fetch_klines, interval_ns
from tests.live.small_exchange import SmallExchange, kline_row, past_candles

STEP_NS = interval_ns("100ms")
QUICK = Patience(n_attempts=3, timeout_s=20.0, first_wait_s=0.001, longest_wait_s=0.002)
HURRIED = Patience(n_attempts=3, timeout_s=0.2, first_wait_s=0.001, longest_wait_s=0.002)


async def late(rows):
    await asyncio.sleep(1.0)
    return web.json_response(rows)


async def hangs_up(rows):
    raise asyncio.CancelledError


def shifted(rows):
    return web.json_response([[row[0] + 1_000_000, *row[1:6], row[6] + 1_000_000, *row[7:]] for row in rows])


def longer(rows):
    return web.json_response([[*row[:6], row[0] + 499, *row[7:]] for row in rows[::5]])


WRONG = {
    "HTTP 500": (lambda rows: web.Response(status=500, text="Internal error"), "HTTP 500 with 'Internal error'"),
    "HTTP 429": (lambda rows: web.Response(status=429), "HTTP 429"),
    "HTML": (lambda rows: web.Response(text="<html>maintenance</html>"), "<html>maintenance"),
    "an error": (lambda rows: web.json_response({"code": -1003, "msg": "slow down"}), "slow down"),
    "cut off": (lambda rows: web.Response(text='[[1, "2"'), "message can not be read"),
    "another interval": (longer, "another interval"),
    "another time": (shifted, "another interval or time"),
    "backwards": (lambda rows: web.json_response(rows[::-1]), "must ascend"),
    "not a number": (lambda rows: web.json_response([[row[0], "NaN", *row[2:]] for row in rows]), "positive prices"),
    "elsewhere": (lambda rows: web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"}), "HTTP 302"),
    "endless": (lambda rows: web.Response(body=b" " * 4_000_001), "more than 4,000,000 bytes"),
    "closed": (hangs_up, "disconnected"),
}


def fetch(exchange, start_ns, end_ns, patience=QUICK):
    return fetch_klines(exchange.url, "BTCUSDT", exchange.interval, start_ns, end_ns, patience=patience)


def whole(exchange):
    return exchange.history[0].open_time_ns, exchange.history[-1].open_time_ns + STEP_NS


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_asked_for_again_and_one_that_stays_wrong_ends_with_its_reason(name):
    answer, reason = WRONG[name]

    async def script():
        async with SmallExchange(history=past_candles(20, "100ms")) as exchange:
            exchange.answers = [answer] * (QUICK.n_attempts - 1)
            assert await fetch(exchange, *whole(exchange)) == exchange.history
            assert len(exchange.asked) == QUICK.n_attempts
            exchange.asked.clear()
            exchange.answers = [answer] * 10
            with pytest.raises(InputError) as caught:
                await fetch(exchange, *whole(exchange))
            n_more = QUICK.n_attempts if name == "closed" else 0  # aiohttp itself asks once more on a fresh connection
            assert len(exchange.asked) == QUICK.n_attempts + n_more
            return exchange.url, str(caught.value)

    url, message = asyncio.run(script())
    assert message.startswith(f"{url}: no history of BTCUSDT 100ms: ")
    assert reason.lower() in message.lower()
    assert "asked 3 times; check the address" in message
    assert "\n" not in message


def test_a_late_answer_is_not_waited_for():
    async def script():
        async with SmallExchange(history=past_candles(5, "100ms")) as exchange:
            exchange.answers = [late] * 10
            with pytest.raises(InputError, match=r"no answer within 0\.2 s; asked 3 times"):
                await fetch(exchange, *whole(exchange), HURRIED)
            assert len(exchange.asked) == 3

    asyncio.run(script())


def test_what_is_refused_is_asked_once():
    async def script():
        async with SmallExchange(history=past_candles(5, "100ms")) as exchange:
            exchange.answers = [lambda rows: web.json_response({"msg": "Invalid symbol."}, status=400)] * 10
            with pytest.raises(InputError, match=r"HTTP 400 with .*Invalid symbol"):
                await fetch(exchange, *whole(exchange))
            assert len(exchange.asked) == 1

    asyncio.run(script())


def test_nobody_there():
    async def script():
        async with SmallExchange() as exchange:
            url = exchange.url
        with pytest.raises(InputError, match=r"Cannot connect to host 127\.0\.0\.1.*asked 3 times"):
            await fetch_klines(url, "BTCUSDT", "1m", 0, time.time_ns(), patience=QUICK)

    asyncio.run(script())


def test_a_short_answer_is_asked_for_again_and_taken_as_it_is_in_the_end():
    async def script():
        async with SmallExchange(history=past_candles(20, "100ms")) as exchange:
            exchange.answers = [lambda rows: web.json_response(rows[:-3])]
            assert await fetch(exchange, *whole(exchange)) == exchange.history
            assert len(exchange.asked) == 2
            span = whole(exchange)
            del exchange.history[7]
            assert await fetch(exchange, *span) == exchange.history
            assert len(exchange.asked) == 2 + QUICK.n_attempts

    asyncio.run(script())


def test_where_history_begins_nothing_older_is_asked_for():
    """A page that is whole to its end is believed; one with a hole in it is asked for again."""

    async def script():
        async with SmallExchange(history=past_candles(3200, "100ms")) as exchange:
            start_ns, end_ns = exchange.history[0].open_time_ns - 5000 * STEP_NS, whole(exchange)[1]
            assert await fetch(exchange, start_ns, end_ns) == exchange.history
            assert len(exchange.asked) == 3
            exchange.asked.clear()
            newest = exchange.history[-10].open_time_ns - 90 * STEP_NS, end_ns
            exchange.history = exchange.history[-10:]
            assert await fetch(exchange, *newest) == exchange.history
            assert len(exchange.asked) == 1
            exchange.history = past_candles(3200, "100ms")
            start_ns, end_ns = exchange.history[0].open_time_ns - 5000 * STEP_NS, whole(exchange)[1]
            exchange.asked.clear()
            del exchange.history[5]
            assert await fetch(exchange, start_ns, end_ns) == exchange.history
            assert len(exchange.asked) == 2 + QUICK.n_attempts

    asyncio.run(script())


def test_a_candle_that_has_not_closed_by_the_exchange_is_not_asked_for():
    """Its clock decides: ours is a minute ahead here, and all of these have closed by it."""

    async def script():
        async with SmallExchange(history=past_candles(20, "100ms")) as exchange:
            open_ns = exchange.history[15].open_time_ns
            exchange.time_ns = lambda: open_ns + STEP_NS - 1_000_000
            assert await fetch(exchange, *whole(exchange)) == exchange.history[:15]
            assert int(exchange.asked[0]["endTime"]) < open_ns // 1_000_000

    asyncio.run(script())


@settings(max_examples=25, deadline=None)
@given(spans=st.lists(st.tuples(st.integers(-50, 3300), st.integers(-50, 3300)), min_size=1, max_size=4))
def test_any_span_comes_whole_in_pages_that_touch(spans):
    """Starts that are off the grid, too: in units of 1/10 of a candle beyond it."""

    async def script():
        async with SmallExchange(history=candles) as exchange:
            first_ns = candles[0].open_time_ns
            for start, end in spans:
                exchange.asked.clear()
                start_ns, end_ns = first_ns + start * STEP_NS + 7, first_ns + end * STEP_NS + 7
                found = await fetch_klines(exchange.url, "BTCUSDT", "100ms", start_ns, end_ns, patience=ONE)
                assert found == [c for c in candles if start_ns <= c.open_time_ns < end_ns]
                for later, earlier in pairwise(exchange.asked):
                    assert int(earlier["endTime"]) + 1 == int(later["startTime"])
                assert all(int(q["endTime"]) - int(q["startTime"]) < 1500 * 100 for q in exchange.asked)

    ONE, candles = Patience(n_attempts=1), past_candles(3200, "100ms")
    asyncio.run(script())


def test_the_rows_of_this_test_are_the_exchanges():
    candle = past_candles(1, "1m")[0]
    row = kline_row(candle, "1m")
    assert len(row) == 12
    assert row[6] - row[0] == 59_999


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:80", "ftp://127.0.0.1", "http://", "http://me:secret@127.0.0.1", "http://a?key=secret",
     "http://a b", "http://127.0.0.1:99999", "http://127.0.0.1:0", "http://a#b", "http://a\n", None, 7, "ws://a"],
)  # fmt: skip
def test_an_address_that_is_none(url):
    with pytest.raises(InputError, match="address of the exchange: is not one; give one such as http://127") as caught:
        ExchangeAddress.of(url)
    assert "secret" not in str(caught.value)


def test_addresses():
    address = ExchangeAddress.of("https://127.0.0.1:8443/")
    assert address == ExchangeAddress("https://127.0.0.1:8443", "wss://127.0.0.1:8443")
    stream = "wss://127.0.0.1:8443/stream?streams=btcusdt@bookTicker/btcusdt@kline_1m"
    assert address.stream("BTCUSDT", "1m") == stream
    with pytest.raises(InputError, match="such as ws://"):
        ExchangeAddress("http://127.0.0.1", "http://127.0.0.1")


@pytest.mark.parametrize("settings", [{"n_attempts": 0}, {"timeout_s": 0.0}, {"longest_wait_s": -1.0}])
def test_patience_out_of_range(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be"):
        Patience(**settings)
