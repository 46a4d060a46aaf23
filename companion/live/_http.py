"""The exchange's addresses, and its history over REST: paged, checked, asked for again with bounded patience."""

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from companion._checks import check_count, check_positive
from companion.errors import InputError
from companion.live._candles import Candle, interval_ns
from companion.live._messages import MalformedMessage, parse_klines

T = TypeVar("T")

_MS_NS = 1_000_000
_PAGE = 1500  # candles an answer holds at most
_LARGEST_ANSWER = 4_000_000  # bytes; a full page has about 300,000
_PATIENCE = (408, 418, 425, 429)  # answers of 400 to 499 that ask for patience, not for another question


@dataclass(frozen=True)
class ExchangeAddress:
    """Where an exchange answers; it names no user and no password.

    Attributes
    ----------
    http : str
        Of its REST interface, such as "http://127.0.0.1:8080".
    websocket : str
        Of its streams, such as "ws://127.0.0.1:8080".

    Raises
    ------
    InputError
        If one is no such address, or holds a user, a query or a fragment.
    """

    http: str
    websocket: str

    def __post_init__(self) -> None:
        for field, schemes in {"http": ("http", "https"), "websocket": ("ws", "wss")}.items():
            object.__setattr__(self, field, _checked(getattr(self, field), schemes))

    @classmethod
    def of(cls, url: str) -> Self:
        """Both under one address that begins with "http", as the exchange simulator has them."""
        http = _checked(url, ("http", "https"))
        return cls(http, "ws" + http.removeprefix("http"))

    def stream(self, symbol: str, interval: str) -> str:
        """Address of the stream of quotes and candles of one symbol."""
        name = symbol.lower()
        return f"{self.websocket}/stream?streams={name}@bookTicker/{name}@kline_{interval}"


@dataclass(frozen=True)
class Patience:
    """How long history is asked for.

    Attributes
    ----------
    n_attempts : int
        Requests for the same, at most.
    timeout_s : float
        Longest wait for an answer.
    first_wait_s : float
        Between requests it waits a random time below a bound, which begins with this and doubles.
    longest_wait_s : float
        That bound at most.

    Raises
    ------
    ValueError
        Names the setting that is out of range.
    """

    n_attempts: int = 5
    timeout_s: float = 5.0
    first_wait_s: float = 0.2
    longest_wait_s: float = 5.0

    def __post_init__(self) -> None:
        check_count("n_attempts", self.n_attempts)
        for name in ("timeout_s", "first_wait_s", "longest_wait_s"):
            check_positive(name, getattr(self, name))


async def fetch_klines(
    url: str,
    symbol: str,
    interval: str,
    start_ns: int,
    end_ns: int,
    *,
    session: aiohttp.ClientSession | None = None,
    patience: Patience | None = None,
) -> list[Candle]:
    """Candles of an exchange that have closed by its own clock, ascending.

    A late, short or wrong answer is asked for again. One that stays short is taken as it is: whoever asked sees what is
    missing. The newest are asked for first, 1,500 at a time, and nothing is from before where history begins, or 1970.

    Parameters
    ----------
    url : str
        Address of the REST interface, which is Binance's for futures.
    symbol, interval : str
        Such as "BTCUSDT" and "1m".
    start_ns, end_ns : int
        Open times, from the first to before the second, in nanoseconds since 1970.
    session : aiohttp.ClientSession, optional
        One that is open; by default one for this call.
    patience : Patience, optional

    Raises
    ------
    InputError
        If the exchange refuses, or the last answer, too, is late or wrong; says what it was.
    """
    step_ns = interval_ns(interval)
    first_ns = -(-max(start_ns, 0) // step_ns) * step_ns
    async with nullcontext(session) if session else aiohttp.ClientSession() as opened:
        ask = _Questions(opened, _checked(url, ("http", "https")), symbol, interval, patience or Patience())
        stop_ns = min(-(-end_ns // step_ns), await ask.time_ns() // step_ns) * step_ns
        candles: list[Candle] = []
        for end_ns in range(stop_ns, first_ns, -_PAGE * step_ns):  # from the newest on, till history begins
            page_ns = max(end_ns - _PAGE * step_ns, first_ns)
            page = await ask.page(page_ns, end_ns, may_begin=bool(candles))
            candles = page + candles
            if not page or page[0].open_time_ns > page_ns:
                break
        return candles


class _WrongAnswer(Exception):  # noqa: N818 - not an error yet: it is asked for again
    """An answer that is not what was asked for, and why."""


class _ShortAnswer(_WrongAnswer):
    """Candles that are right, but not all."""

    def __init__(self, candles: list[Candle]) -> None:
        super().__init__()
        self.candles = candles


class _ServerTime(msgspec.Struct):
    ms: int = msgspec.field(name="serverTime")


class _Span(msgspec.Struct, array_like=True):
    """First seven columns of a candle: its last millisecond tells how long it is."""

    open_ms: int
    open: Any
    high: Any
    low: Any
    close: Any
    volume: Any
    last_ms: int


_decode_spans = msgspec.json.Decoder(list[_Span]).decode


@dataclass(frozen=True)
class _Questions:
    """Questions to one exchange about one symbol."""

    session: aiohttp.ClientSession
    url: str
    symbol: str
    interval: str
    patience: Patience

    async def time_ns(self) -> int:
        """The exchange's clock."""

        async def ask() -> int:
            raw = await self._get("/fapi/v1/time", {})
            try:
                return msgspec.json.decode(raw, type=_ServerTime).ms * _MS_NS
            except msgspec.MsgspecError as error:
                raise _WrongAnswer(f"no time but {_excerpt(raw)}") from error

        return await self._again(ask)

    async def page(self, start_ns: int, stop_ns: int, *, may_begin: bool) -> list[Candle]:
        """Candles of a span that one answer can hold, from where history begins; none only where it may begin later."""
        query = {
            "symbol": self.symbol,
            "interval": self.interval,
            "startTime": str(start_ns // _MS_NS),
            "endTime": str(stop_ns // _MS_NS - 1),
            "limit": str(_PAGE),
        }
        step_ns = interval_ns(self.interval)

        async def ask() -> list[Candle]:
            raw = await self._get("/fapi/v1/klines", query)
            try:
                candles = parse_klines(raw, interval=self.interval)
                lengths = {(row.last_ms + 1 - row.open_ms) * _MS_NS for row in _decode_spans(raw)}
            except (MalformedMessage, msgspec.MsgspecError) as error:
                raise _WrongAnswer(f"{error}, in {_excerpt(raw)}") from error
            due = range(start_ns, stop_ns, step_ns)
            if lengths - {step_ns} or any(candle.open_time_ns not in due for candle in candles):
                raise _WrongAnswer("candles of another interval or time than asked for")
            begins = [candle.open_time_ns for candle in candles] == list(due[len(due) - len(candles) :])
            if len(candles) < len(due) and not (begins and (candles or may_begin)):
                raise _ShortAnswer(candles)
            return candles

        return await self._again(ask)

    async def _again(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask till the answer is right, or patience ends."""

        def end(state: RetryCallState) -> list[Candle]:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, _ShortAnswer):
                return error.candles
            late = isinstance(error, TimeoutError)
            reason = f"no answer within {self.patience.timeout_s:g} s" if late else str(error) or repr(error)
            raise self._refused(f"{reason}; asked {state.attempt_number} times") from error

        patience = self.patience
        again = AsyncRetrying(
            retry=retry_if_exception_type((_WrongAnswer, aiohttp.ClientError, OSError, TimeoutError)),
            wait=wait_random_exponential(multiplier=patience.first_wait_s, max=patience.longest_wait_s),
            stop=stop_after_attempt(patience.n_attempts),
            retry_error_callback=end,
        )
        return await again(ask)

    async def _get(self, path: str, query: dict[str, str]) -> bytes:
        timeout, raw = aiohttp.ClientTimeout(total=self.patience.timeout_s), bytearray()
        async with self.session.get(
            self.url + path, params=query, timeout=timeout, allow_redirects=False
        ) as answer:  # elsewhere would be another exchange
            async for chunk in answer.content.iter_any():
                raw += chunk
                if len(raw) > _LARGEST_ANSWER:
                    raise _WrongAnswer(f"an answer of more than {_LARGEST_ANSWER:,} bytes")
            if answer.status == 200:
                return bytes(raw)
            reason = f"HTTP {answer.status} with {_excerpt(raw)}"
            if 400 <= answer.status < 500 and answer.status not in _PATIENCE:
                raise self._refused(reason)
            raise _WrongAnswer(reason)

    def _refused(self, reason: str) -> InputError:
        remedy = "check the address, the symbol and the connection"
        return InputError(f"{self.url}: no history of {self.symbol} {self.interval}: {reason}; {remedy}")


def _excerpt(raw: bytes | bytearray) -> str:
    """Beginning of an answer, in one line."""
    return ascii(raw[:60].decode("utf-8", "replace"))


def _checked(url: str, schemes: tuple[str, ...]) -> str:
    """An address without its last slash."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except (ValueError, AttributeError, TypeError):
        right = False
    if not right or parts.username is not None or parts.query or parts.fragment or not url.isprintable() or " " in url:
        example = f"{schemes[0]}://127.0.0.1:8080"
        raise InputError(f"address of the exchange: is not one; give one such as {example}, without user and query")
    return url.rstrip("/")
