"""The parsers: what is sound comes through to the last digit, and everything else is one kind of error."""

import contextlib
import json
import math
import random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from companion.live import Candle, MalformedMessage, StreamCandle, StreamQuote, parse_klines, parse_stream
from tests.live.feed_tape import JUNK, MS, START, book, candle_at, clean_tape, enveloped, kline, mutated

PROPERTY = settings(derandomize=True, deadline=None, max_examples=50)
#: Many messages to an example; to shrink it would only give another seed.
STORM = settings(derandomize=True, deadline=None, max_examples=20, phases=[Phase.generate])
N_STORM = 3_000
SEEDS = st.integers(0, 2**32 - 1)

# The examples of Binance's own pages, in the envelope of a combined stream.
TICKER = """{"stream":"bnbusdt@bookTicker","data":{"e":"bookTicker","u":400900217,"E":1568014460893,"T":1568014460891,
"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}}"""
KLINE = """{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1638747660000,"s":"BTCUSDT","k":{"t":1638747660000,
"T":1638747719999,"s":"BTCUSDT","i":"1m","f":100,"L":200,"o":"0.0010","c":"0.0020","h":"0.0025","l":"0.0005",
"v":"1000","n":100,"x":false,"q":"1.0000","V":"500","Q":"0.500","B":"123456"}}}"""
ROWS = """[[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,
"2434.19055334",308,"1756.87402397","28.46694368","17928899.62484339"]]"""


def stream(raw):
    return parse_stream(raw, symbol="BTCUSDT", interval="1s")


def rows(candles):
    """An answer with history."""
    text = [[c.open_time_ns // MS, *(str(x) for x in c[1:]), 0, "0", 1, "0", "0", "0"] for c in candles]
    return json.dumps(text).encode()


def test_the_exchange_s_own_examples():
    quote = StreamQuote(400900217, 25.3519, 31.21, 25.3652, 40.66, 1568014460891 * MS)
    candle = Candle(1638747660000 * MS, 0.001, 0.0025, 0.0005, 0.002, 1000.0)
    for code in (str, str.encode):
        assert parse_stream(code(TICKER), symbol="BNBUSDT", interval="1m") == quote
        assert parse_stream(code(KLINE), symbol="BTCUSDT", interval="1m") == (candle, False, 1638747660000 * MS)
        assert parse_klines(code(ROWS), interval="1d") == [
            Candle(1499040000000 * MS, 0.0163479, 0.8, 0.015758, 0.015771, 148976.11427815)
        ]
    closed = parse_stream(KLINE.replace("false", "true"), symbol="BTCUSDT", interval="1m")
    assert isinstance(closed, StreamCandle)
    assert closed.closed


PRICES = st.floats(1e-9, 1e14)
SIZES = st.floats(0, 1e14)


@given(u=st.integers(0, 2**63 - 1), bid=PRICES, ask=PRICES, sizes=st.tuples(SIZES, SIZES), ms=st.integers(0, 2**42))
@PROPERTY
def test_a_sound_quote_comes_through_to_the_last_digit(u, bid, ask, sizes, ms):
    """Crossed and empty books among them: the liquidity gate judges these."""
    data = book(u, ms * MS) | {"b": repr(bid), "a": repr(ask), "B": repr(sizes[0]), "A": repr(sizes[1])}
    assert stream(enveloped(data)) == StreamQuote(u, bid, sizes[0], ask, sizes[1], ms * MS)


@given(prices=st.lists(PRICES, min_size=4, max_size=4), volume=SIZES, i=st.integers(0, 10**6), closed=st.booleans())
@PROPERTY
def test_a_sound_candle_comes_through_to_the_last_digit(prices, volume, i, closed):
    low, first, last, high = sorted(prices)
    data = kline(candle_at(i), START, closed=closed)
    data["k"] |= {"o": repr(first), "h": repr(high), "l": repr(low), "c": repr(last), "v": repr(volume)}
    candle = Candle(candle_at(i).open_time_ns, first, high, low, last, volume)
    assert stream(enveloped(data)) == StreamCandle(candle, closed, START)
    assert parse_klines(rows([candle]), interval="1s") == [candle]


@pytest.mark.parametrize(
    "raw",
    [
        b'{"result":null,"id":1}',
        b'{"error":{"code":2,"msg":"Invalid request"},"id":1}',
        b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","p":"100"}}',
        b'{"stream":"!ticker","data":{"p":1,"e":"24hrTicker"}}',
        b"{}",
    ],
)
def test_a_message_of_another_kind_is_none_of_ours(raw):
    assert stream(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b" ", b"null", b"[]", b"1", b'"text"', b"{", b"{}{}", b'{"data":null}', b'{"data":{}}', b'{"data":[]}'),
        *(b'{"data":{"e":7}}', b'{"data":{"e":"kline"}}', b'{"data":{"e":"bookTicker"}}', b'{"id":NaN}', b"\xff\xfe"),
        *(b"[" * 4_000, b'{"x":' * 800, b'{"data":{"e":"x","x":' + b"[" * 4_000, "\ud800", '{"id":"\ud800"}'),
        *(b'{"id":"' + b"x" * 5_000 + b'"}', None, 7, object(), ["{}"], math.nan),
    ],
)
def test_what_is_no_message_is_malformed(raw):
    with pytest.raises(MalformedMessage, match=r"^[^\n]+$"):
        stream(raw)


@pytest.mark.parametrize("field", ["u", "s", "b", "B", "a", "A", "T", "t", "i", "o", "h", "l", "c", "v", "x", "E"])
def test_every_field_that_is_read_is_checked(field):
    """Junk in it is malformed; or where it reads as a number, such as `0` for a size, it is in its range."""
    data = book(1, START) if field in "usbBaAT" else kline(candle_at(0), START + 10**9)
    inner = data if field in data else data["k"]
    n_refused = 0
    for junk in JUNK:
        raw = enveloped(data).replace(f'"{field}": {json.dumps(inner[field])}'.encode(), f'"{field}": {junk}'.encode())
        assert junk.encode() in raw
        try:
            _assert_sound(stream(raw))
        except MalformedMessage:
            n_refused += 1
    assert n_refused > len(JUNK) * 2 // 3
    del inner[field]
    with pytest.raises(MalformedMessage):
        stream(enveloped(data))


@pytest.mark.parametrize(
    "change",
    [
        *({"s": "ETHUSDT"}, {"i": "1m"}, {"t": START // MS + 1}, {"h": "99.0"}, {"l": "100.2"}, {"c": "101.1"}),
        *({"o": "98.9"}, {"l": "0"}, {"v": "-1"}, {"h": "1e15"}, {"v": "1e15"}, {"c": "nan"}, {"o": "inf"}),
    ],
)
def test_a_candle_that_is_none_is_malformed(change):
    data = kline(candle_at(0), START + 10**9)
    stream(enveloped(data))
    data["k"] |= change
    with pytest.raises(MalformedMessage):
        stream(enveloped(data))


@pytest.mark.parametrize(
    "data",
    [
        book(1, START, symbol="ETHUSDT"),
        kline(candle_at(0), START, symbol="ETHUSDT"),
        kline(candle_at(0), START) | {"s": "X"},
    ],
)
def test_another_symbol_is_malformed(data):
    with pytest.raises(MalformedMessage, match="BTCUSDT"):
        stream(enveloped(data))


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{}", b"null", b'{"code":-1121,"msg":"Invalid symbol."}', b"[[]]", b"[1]", b"[[1,2,3,4,5]]", None, 7),
        *(b"[" * 100_000, b"[[NaN,1,1,1,1,1]]", b'[[0,"NaN","1","1","1","1"]]', b'[[0,"1","1","1","1","-1"]]'),
        *(b'[[1,"1","1","1","1","1"]]', b'[[-1000,"1","1","1","1","1"]]', b'[[0,"1","1","2","1","1"]]'),
        *(rows([candle_at(1), candle_at(0)]), rows([candle_at(1), candle_at(1)]), rows([candle_at(0)])[:-1]),
        b"[" + b" " * 4_000_000 + b"]",
    ],
)
def test_an_answer_that_is_no_history_is_malformed(raw):
    with pytest.raises(MalformedMessage):
        parse_klines(raw, interval="1s")


def test_history_may_be_empty_or_gapped():
    assert parse_klines(b"[]", interval="1s") == []
    assert parse_klines(rows([candle_at(0), candle_at(5)]), interval="1s") == [candle_at(0), candle_at(5)]


@given(seed=SEEDS)
@STORM
def test_the_parsers_in_a_storm_answer_soundly_or_say_malformed(seed):
    rng = random.Random(seed)
    tape = clean_tape(rng, 10)
    answers = rows([message.candle for message in tape if message.candle])
    kinds = dict.fromkeys(("sound", "malformed"), 0)
    for i in range(N_STORM):
        try:
            if i % 4:
                _assert_sound(stream(mutated(rng, rng.choice(tape).data)))
            else:
                for candle in parse_klines(_mutated_answer(rng, answers), interval="1s"):
                    _assert_sound(candle)
            kinds["sound"] += 1
        except MalformedMessage:
            kinds["malformed"] += 1
    assert min(kinds.values()) > N_STORM // 10


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*"esuktbaBATE", "data"]), inner),
    max_leaves=8,
)


@given(raw=st.binary() | st.text() | JSON_VALUES.map(json.dumps))
@PROPERTY
def test_whatever_comes_is_answered_or_malformed(raw):
    for parse in (stream, lambda raw: parse_klines(raw, interval="1s")):
        with contextlib.suppress(MalformedMessage):
            parse(raw)


def _mutated_answer(rng, raw):
    """History with junk within it, or without a piece of it."""
    start = rng.randrange(len(raw))
    junk = rng.choice(JUNK).encode() if rng.random() < 0.5 else b""
    return raw[:start] + junk + raw[start + rng.choice((0, 1, 10, 100)) :]


def _assert_sound(message):
    """Whatever a parser lets through has finite, positive prices and no negative size."""
    if isinstance(message, StreamQuote):
        assert 0 <= message.update_id < 2**63
        prices, sizes, time_ns = (message.bid, message.ask), (message.bid_size, message.ask_size), message.time_ns
    elif message is not None:
        candle = message.candle if isinstance(message, StreamCandle) else message
        time_ns, *prices, volume = candle
        sizes = (volume,)
        assert time_ns % 10**9 == 0
        assert max(prices) == candle.high
        assert min(prices) == candle.low
    else:
        return
    assert 0 <= time_ns < 2**63
    assert all(0 < price < math.inf for price in prices)
    assert all(0 <= size < math.inf for size in sizes)
