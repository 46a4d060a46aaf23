"""An exchange on this machine: Binance's streams and history of a simulated or recorded market, with planned faults."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import numpy as np

from companion._checks import check_count, check_positive
from companion.live._candles import Candle, interval_ns
from companion.live._faults import Fault, check_faults
from companion.live._tape import MINUTE_NS, Tape
from companion.live._tape_records import Encoder, TapeEvent

if TYPE_CHECKING:
    from companion.execution import MinuteBars, PerpetualMarket, Quotes


class ExchangeSimulator:
    """An exchange whose market is known, minute for minute, and whose faults are planned.

    A minute of the market is shown as one bar of `interval`; quotes keep their places in their bars. A client sees
    the market from where it is now: of what there was before, the history holds candles that have closed. Candles are
    sent four times, three times unfinished. When the market is over, connections are closed and refused.

    Parameters
    ----------
    market : PerpetualMarket, or MinuteBars with Quotes
        Without a missing minute.
    symbol : str, default "BTCUSDT"
    interval : str, default "1m"
        In Binance's notation; "100ms" is the same market six hundred times faster.
    n_history : int, default 800
        Bars before the first live one.
    faults : sequence of Fault
        Of the stream alone. Each changes what those before it left.
    seed : int, default 0
        Of what a broken message looks like.
    quotes_per_second : float, optional
        Send the last quote at this rate instead of each once, to measure load.

    Raises
    ------
    ValueError
        Names the argument that is out of range.

    Examples
    --------
    >>> import asyncio
    >>> from companion.execution import simulate_perpetual
    >>> exchange = ExchangeSimulator(simulate_perpetual(n_minutes=900, seed=1), interval="100ms")
    >>> async def main():
    ...     async with exchange.serve() as url:
    ...         print(url.rpartition(":")[0])
    >>> asyncio.run(main())
    http://127.0.0.1
    """

    def __init__(
        self,
        market: "PerpetualMarket | tuple[MinuteBars, Quotes]",
        *,
        symbol: str = "BTCUSDT",
        interval: str = "1m",
        n_history: int = 800,
        faults: Sequence[Fault] = (),
        seed: int = 0,
        quotes_per_second: float | None = None,
    ) -> None:
        self._bars, self._quotes = market if isinstance(market, tuple) else (market.bars, market.quotes)
        if not isinstance(symbol, str) or not symbol.isalnum() or not symbol.isupper():
            raise ValueError(f"symbol must be capital letters and digits, such as 'BTCUSDT', got {symbol!r}")
        missing = np.diff(self._bars.time_ns) != MINUTE_NS
        if missing.any():
            raise ValueError(f"market must have every minute, got none after bar {int(missing.argmax())}: give a part")
        if check_count("n_history", n_history) >= len(self._bars):
            raise ValueError(f"n_history must be less than the {len(self._bars)} bars of the market, got {n_history}")
        if quotes_per_second is not None:
            check_positive("quotes_per_second", quotes_per_second)
        self.symbol, self.interval, self.bar_ns = symbol, interval, interval_ns(interval)
        self.n_history, self.faults, self.seed = n_history, check_faults(faults), check_count("seed", seed, least=0)
        self._rate = quotes_per_second
        self._encode = Encoder(symbol, interval, self.bar_ns)
        self.streams = frozenset({self._encode.book_stream, self._encode.candle_stream})
        self._tape: Tape | None = None
        self._start_ns = self._zero_ns = 0

    def start_at(self, now_ns: int) -> None:
        """Lay the market on the time line: live bar 0 opens at the first multiple of the interval from `now_ns` on.

        The last bar of the history then is the one that is open at `now_ns`; the stream begins with what is left of it.
        """
        self._start_ns = check_count("now_ns", now_ns)
        self._zero_ns = -(-self._start_ns // self.bar_ns) * self.bar_ns
        self._tape = Tape(
            self._bars,
            self._quotes,
            bar_ns=self.bar_ns,
            first_open_ns=self._zero_ns - self.n_history * self.bar_ns,
            encode=self._encode,
            quotes_per_second=self._rate,
        )

    @property
    def started(self) -> bool:
        """Whether `start_at` has been called."""
        return self._tape is not None

    @property
    def zero_ns(self) -> int:
        """When live bar 0 opens, nanoseconds since 1970; an error before `start_at`."""
        self._laid()
        return self._zero_ns

    def events(self, from_ns: int | None = None) -> Iterator[TapeEvent]:
        """Everything that a client sees on the streams, faults included, in order of time; the same at each call.

        Parameters
        ----------
        from_ns : int, optional
            Begin later than at the start: what is sent after `from_ns`, nanoseconds since 1970.

        Returns
        -------
        iterator of Message, Connection or Stall
            The first is the connection at the beginning.

        Raises
        ------
        ValueError
            Before `start_at`.
        """
        begin_ns = max(self._start_ns, from_ns or 0)
        return self._laid().events(begin_ns, self.faults, self._zero_ns, self.seed)

    def history(self, start_ns: int, end_ns: int, *, now_ns: int) -> list[Candle]:
        """True candles that open from `start_ns` on and before `end_ns`, and have closed by `now_ns`, ascending.

        Raises
        ------
        ValueError
            Before `start_at`.
        """
        candles = self._laid().candles
        first_ns, end_ns = candles[0].open_time_ns, min(end_ns, now_ns - self.bar_ns + 1)
        first, end = (max(-((first_ns - bound_ns) // self.bar_ns), 0) for bound_ns in (start_ns, end_ns))
        return candles[first:end]

    def _laid(self) -> Tape:
        if self._tape is None:
            raise ValueError("the exchange has no time yet: call start_at(now_ns) first")
        return self._tape

    def serve(self, *, port: int = 0) -> AbstractAsyncContextManager[str]:
        """Serve REST and websocket on one port of 127.0.0.1 in real time, from now unless `start_at` was called.

        Parameters
        ----------
        port : int
            0 takes a free one.

        Returns
        -------
        asynchronous context manager of str
            The address, "http://127.0.0.1:PORT". Leaving it closes every connection.

        Raises
        ------
        InputError
            If the port can not be had.
        """
        from companion.live._server import serve

        return serve(self, port=port)
