"""A clean stream of quotes and candles in Binance's format, and what may happen to one of its messages."""

import json
from typing import NamedTuple

from companion.live import Candle

S = 1_000_000_000
MS = 1_000_000
START = 1_700_000_000 * S
SYMBOL, INTERVAL = "BTCUSDT", "1s"


class Message(NamedTuple):
    """A message, when it is sent, and what a reader should make of it."""

    time_ns: int
    data: dict
    update_id: int | None
    candle: Candle | None


def enveloped(data):
    """As the combined stream sends it."""
    stream = f"btcusdt@{'bookTicker' if data.get('e') == 'bookTicker' else 'kline_' + INTERVAL}"
    return json.dumps({"stream": stream, "data": data}).encode()


def book(update_id, time_ns, bid=100.0, ask=100.1, bid_size=5.0, ask_size=4.0, symbol=SYMBOL):
    """Data of a bookTicker; prices and sizes are text, as the exchange sends them."""
    ms = time_ns // MS
    data = {"e": "bookTicker", "u": update_id, "s": symbol, "b": f"{bid:.4f}", "B": f"{bid_size:.3f}"}
    return data | {"a": f"{ask:.4f}", "A": f"{ask_size:.3f}", "T": ms, "E": ms}


def kline(candle, time_ns, *, closed=True, symbol=SYMBOL, interval=INTERVAL):
    """Data of a kline."""
    open_ns, first, high, low, last, volume = candle
    ms = time_ns // MS
    bar = {"t": open_ns // MS, "T": open_ns // MS + 999, "s": symbol, "i": interval, "f": 1, "L": 2}
    bar |= {"o": f"{first:.4f}", "c": f"{last:.4f}", "h": f"{high:.4f}", "l": f"{low:.4f}", "v": f"{volume:.3f}"}
    bar |= {"n": 2, "x": closed, "q": "123.4", "V": "1.0", "Q": "61.7", "B": "0"}
    return {"e": "kline", "E": ms, "s": symbol, "k": bar}


def candle_at(i, price=100.0):
    """The `i`-th candle since the start."""
    return Candle(START + i * S, price, price + 1.0, price - 1.0, price + 0.5, 2.0)


def price_at(rng, price):
    """A step of two thousandths, kept within 90 and 110."""
    return min(max(round(price * (1 + rng.uniform(-0.002, 0.002)), 4), 90.0), 110.0)


def clean_tape(rng, n_bars, n_quotes=2):
    """`n_bars` bars of `n_quotes` quotes, an open candle and the closed one each; candle 0 opens at START."""
    price, update_id, tape = 100.0, 1_000, []
    for i in range(n_bars):
        prices, open_ns = [], START + i * S
        for j in range(n_quotes):
            price, update_id = price_at(rng, price), update_id + rng.randint(1, 3)
            prices.append(price)
            time_ns = open_ns + (j + 1) * S // (n_quotes + 2) // MS * MS
            tape.append(Message(time_ns, book(update_id, time_ns, price, price + 0.1), update_id, None))
        candle = Candle(open_ns, prices[0], max(prices), min(prices), prices[-1], rng.randint(0, 9_999) / 1000)
        tape.append(Message(time_ns, kline(candle, time_ns, closed=False), None, None))
        tape.append(Message(open_ns + S, kline(candle, open_ns + S), None, candle))
    return tape


BEFORE = candle_at(-1)
"""The candle before a clean tape."""

# Values that stand for no price, size, time or name, as they are in JSON; some are not even that.
JUNK = (
    *("NaN", "Infinity", "-Infinity", '"NaN"', '"nan"', '"inf"', '"-inf"', '"Infinity"', "1e400", '"1e400"', '"1e308"'),
    *(
        "1e308",
        "0",
        '"0"',
        '"0.00"',
        "-1",
        '"-100.0"',
        '"-0"',
        "5e-324",
        '"5e-324"',
        "1" * 400,
        f'"{"1" * 3000}"',
        "-0.0",
    ),
    *("null", "true", "false", '""', '" "', '"1_00"', '"0x64"', '"100,0"', '"١٠٠"', '"100\\u0000"', '"\\ud800"', "[]"),
    *("{}", '["100"]', '{"a":1}', "[" * 2000, "[" * 900 + "]" * 900, '{"a":' * 700 + "1" + "}" * 700, '"ETHUSDT"'),
    *(
        "1700000000000",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        '"1700000000"',
        "1.5",
        "💥",
    ),
)


def _flip(rng, raw):
    raw = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return bytes(raw)


def _digit(rng, raw):
    raw = bytearray(raw)
    places = [i for i, byte in enumerate(raw) if 48 <= byte <= 57]
    raw[rng.choice(places)] = rng.randint(48, 57)
    return bytes(raw)


def _truncate(rng, raw):
    return raw[: rng.randrange(len(raw))]


def _splice(rng, raw):
    a, b, c = (rng.randrange(len(raw)) for _ in range(3))
    return raw[:a] + raw[min(b, c) : max(b, c)] + raw[rng.randrange(a, len(raw)) :]


def _noise(rng, raw):
    return rng.randbytes(rng.randrange(200))


def _text(rng, raw):
    return "".join(chr(rng.randrange(0x11_0000)) for _ in range(rng.randrange(40)))


def _pad(rng, raw):
    return rng.choice((raw + b" " * 5_000, b" " * 300 + raw, raw + raw, raw + b"\x00", b"\xef\xbb\xbf" + raw))


_BYTES = (_flip, _digit, _truncate, _splice, _noise, _text, _pad)


def mutated(rng, data):
    """The message of `data` as something has made it: half by its bytes, half by its fields."""
    if rng.random() < 0.5:
        return rng.choice(_BYTES)(rng, enveloped(data))
    data = json.loads(json.dumps(data))
    inner = data.get("k", data)
    name, other, how = rng.choice(list(inner)), rng.choice(list(inner)), rng.randrange(6)
    if how == 0:
        inner[name], inner[other] = inner[other], inner[name]
    elif how == 1:
        del inner[name]
    elif how == 2:
        data["s"] = inner["s"] = rng.choice(("ETHUSDT", "btcusdt", "BTCUSDT ", "", "BTCUSD\u0422"))
    elif how == 3:
        factor = rng.choice((100, 0.01, 1.3, 0.7, 1000, -1))
        for name in ("b", "a", "o", "h", "l", "c")[:: rng.choice((1, 2, 3))]:
            if isinstance(inner.get(name), str):
                inner[name] = f"{float(inner[name]) * factor:.4f}"
    elif how == 4:
        inner[name] = "@"
        return enveloped(data).replace(b'"@"', rng.choice(JUNK).encode())
    else:
        old = f'"{name}": {json.dumps(inner[name])}'
        return enveloped(data).replace(old.encode(), f'{old}, "{name}": {rng.choice(JUNK)}'.encode())
    return enveloped(data)
