"""The desk in a terminal: what it thinks, what it may do, what was refused; a key trips, another one stops."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Static

from companion._checks import check_positive
from companion.live._status import LiveStatus, one_line, sparkline

REFRESH_S = 0.5
"""Seconds between two looks: ten a second would cost a third of a core and tell a person nothing more."""
BY_HAND = "by hand, at the terminal"
"""The reason of a trip by key."""
TRIP = "Trip the breaker? All orders are canceled, the position is sold, trading stops until a person resets it."
STOP = "Stop the service? Working orders are canceled, the breaker stays as it is."


class Confirm(ModalScreen[bool]):
    """A question that only "y" answers with yes."""

    BINDINGS: ClassVar[list[BindingType]] = [("y", "answer(True)", "Yes"), ("n,escape", "answer(False)", "No")]
    CSS = """
    Confirm { align: center middle; }
    #question { width: 56; max-width: 95%; height: auto; padding: 1 2; border: heavy $error; background: $surface; }
    """

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """The question, and what to press."""
        yield Static(f"{self._question}\n\ny  yes      n  no", id="question", markup=False)

    def action_answer(self, answer: bool) -> None:
        """Close, with the answer."""
        self.dismiss(answer)


class LiveTerminal(App[bool]):
    """The status twice a second, and two keys: "t" trips the breaker, "q" stops the service; both ask first.

    It returns True when a person has asked to stop. It only looks: what fails in it is shown, and touches nothing else.

    Parameters
    ----------
    read : callable
        Gives the status of the moment. If it fails, the view says so and asks again.
    trip : callable
        Called with the reason when a person trips the breaker.
    refresh_s : float
        Time between two looks, in seconds.

    Raises
    ------
    ValueError
        If `refresh_s` is not positive.
    """

    AUTO_FOCUS = None
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (76, "-wide")]  # noqa: RUF012 - no class variable in textual's own types
    BINDINGS: ClassVar[list[BindingType]] = [("t", "trip", "Trip the breaker"), ("q", "quit", "Stop")]
    CSS = """
    Static { height: auto; padding: 0 1; }
    #title, #alarm { text-style: bold; }
    #alarm { background: $error; color: $text; display: none; }
    #panels { height: auto; }
    .-wide #panels { layout: horizontal; }
    .-wide #desk { width: 28; }
    .-wide #safety { width: 1fr; }
    VerticalScroll { height: 1fr; min-height: 2; border-top: solid $primary; }
    """

    def __init__(
        self, read: Callable[[], LiveStatus], trip: Callable[[str], None], *, refresh_s: float = REFRESH_S
    ) -> None:
        super().__init__()
        self._read_status, self._trip_breaker, self._failure = read, trip, ""
        self._refresh_s = check_positive("refresh_s", refresh_s)
        self._parts = {
            name: Static(id=name, markup=False) for name in ("title", "alarm", "chaos", "desk", "safety", "refused")
        }

    def compose(self) -> ComposeResult:
        """From the top: what and when, an alarm, P(chaos) of the last bars, desk and safety, what was refused."""
        parts = self._parts
        yield from (parts["title"], parts["alarm"], parts["chaos"])
        yield Container(parts["desk"], parts["safety"], id="panels")
        yield VerticalScroll(parts["refused"])
        yield Footer()

    def on_mount(self) -> None:
        """Look at once, and from then on regularly."""
        self.look()
        self.set_interval(self._refresh_s, self.look)

    def look(self) -> None:
        """Show the status of the moment, or why there is none."""
        try:
            status = self._read_status()
            content: dict[str, Any] = {
                "title": status.title,
                "chaos": f"P(chaos)  {sparkline(status.p_chaos_bars[-max(self.size.width - 12, 1) :])}",
                "desk": _table(status.desk),
                "safety": _table(status.safety),
                "refused": "\n".join(map(one_line, reversed(status.refusals))) or "nothing was refused",
            }
            alarm = "" if status.breaker is None else status.safety["breaker"]
        except Exception as error:
            content, alarm = {}, f"The status can not be read, what is below is old: {error!r}"
        for name, text in content.items():
            self._parts[name].update(text)
        alarms = one_line(" ".join(filter(None, (self._failure, alarm))))
        self._parts["alarm"].update(alarms)
        self._parts["alarm"].display = bool(alarms)

    def action_trip(self) -> None:
        """Ask, then trip the breaker by hand."""
        self._ask(TRIP, self._trip)

    async def action_quit(self) -> None:
        """Ask, then end the view; whoever runs it stops the service."""
        self._ask(STOP, lambda: self.exit(True))

    def _ask(self, question: str, act: Callable[[], None]) -> None:
        if not isinstance(self.screen, Confirm):
            self.push_screen(Confirm(question), lambda yes: act() if yes else None)

    def _trip(self) -> None:
        try:
            self._trip_breaker(BY_HAND)
            self._failure = ""
        except Exception as error:
            self._failure = f"The breaker could not be tripped: {error!r}"
        self.look()


async def watch(read: Callable[[], LiveStatus], trip: Callable[[str], None], *, headless: bool = False) -> str | None:
    """Run a `LiveTerminal` in the loop that runs already, beside what else runs there.

    Parameters
    ----------
    read, trip : callable
        As in `LiveTerminal`.
    headless : bool
        Draw nothing, for tests.

    Returns
    -------
    str or None
        None when a person asked to stop. Else why the view ended: the service then goes on without it.
    """
    loop = asyncio.get_running_loop()
    terminal = _Beside(read, trip, loop.get_task_factory())
    try:
        asked = await terminal.run_async(headless=headless)
    except Exception as error:
        return f"the view has failed: {error!r}"
    finally:
        loop.set_task_factory(terminal.task_factory)
    if (task := asyncio.current_task()) is not None and task.cancelling():
        raise asyncio.CancelledError  # textual keeps it to itself
    return None if asked else f"the view has ended: {terminal._exception!r}"


class _Beside(LiveTerminal):
    """Leaves the loop's tasks as they were: textual makes them start eagerly, and the engine has its own order."""

    def __init__(self, read: Callable[[], LiveStatus], trip: Callable[[str], None], task_factory: Any) -> None:
        super().__init__(read, trip)
        self.task_factory = task_factory

    def on_mount(self) -> None:
        """As the loop was before."""
        asyncio.get_running_loop().set_task_factory(self.task_factory)


def _table(facts: dict[str, str]) -> Table:
    """Names and texts below one another; a long text goes on beside its name."""
    table = Table.grid(padding=(0, 1))
    for name, text in facts.items():
        table.add_row(Text(name, style="dim"), Text(text))
    return table
