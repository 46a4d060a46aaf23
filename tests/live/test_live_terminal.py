"""The terminal view: everything in words at any size, two keys that ask first, and no failure that leaves it."""

import asyncio
import html
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.execution import TradingMode
from companion.live import LiveStatus, LiveTerminal, watch
from companion.live._status import MISSING, sparkline
from companion.live._terminal import BY_HAND, Confirm

START_NS = 1_704_067_200_000_000_000
TRIP = SimpleNamespace(source="ood", reason="latent 9.3 above 4.1", time_ns=START_NS)
STATUS = LiveStatus(
    time_ns=START_NS,
    symbol="BTCUSDT",
    interval="1m",
    bars=1234,
    regime=1,
    p_chaos=0.87,
    p_chaos_bars=(0.0, 0.5, 1.0),
    leverage=0.25,
    mid=Decimal("50123.45"),
    target=Decimal("0.812"),
    position=Decimal("-0.100"),
    equity=Decimal("100123.456"),
    mode=TradingMode.REDUCING,
    mode_reason="wide: 3.0 above 1.2",
    feed=SimpleNamespace(state="stale", reason="no quote for 2.1 s"),
    latency_ms=0.72,
    refusals=("first [b]refusal[/b]", "second refusal"),
    counts={"malformed": 3, "gaps": 0},
)
UNKNOWN = LiveStatus(time_ns=START_NS, symbol="BTCUSDT", interval="1m")


def shown(app: LiveTerminal) -> str:
    """What a person can read on the screen, all blanks as one."""
    texts = re.findall(r"<text[^>]*>(.*?)</text>", app.export_screenshot())
    return re.sub(r"\s+", " ", html.unescape(" ".join(texts)).replace("\xa0", " "))


def run(scene: Callable, *, read=lambda: STATUS, trip=lambda reason: None, size=(80, 24)):
    """Play a scene in a terminal without a screen; what the view returned in the end."""

    async def play():
        app = LiveTerminal(read, trip)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()  # the footer comes a message later
            await scene(app, pilot)
        return app.return_value

    return asyncio.run(play())


@pytest.mark.parametrize("size", [(80, 24), (60, 24), (200, 60)])
def test_everything_is_on_the_screen_in_words(size):
    async def scene(app, pilot):
        text = shown(app)
        for expected in (
            "BTCUSDT 1m, on paper, 2024-01-01 00:00:00 UTC",
            "chaos",
            "0.87",
            "0.25",
            "50,123.45",
            "+0.812",
            "-0.100",
            "100,123.46",
            "REDUCING, may only shrink",
            "armed",
            "stale: no quote",
            "0.7 ms",
            "1,234",
            "malformed 3",
            "first [b]refusal[/b]",
            "▁▅█",
            "Trip the breaker",
        ):
            assert expected in text, (expected, text)
        assert "TRIPPED" not in text
        assert text.index("second refusal") < text.index("first [b]")

    run(scene, size=size)


@pytest.mark.parametrize("size", [(20, 6), (40, 12)])
def test_a_tiny_terminal_shows_at_least_that_the_breaker_is_tripped(size):
    async def scene(app, pilot):
        assert "TRIPPED by" in shown(app)

    run(scene, read=lambda: replace(STATUS, breaker=TRIP), size=size)


def test_what_is_unknown_is_a_dash_and_nothing_is_allowed():
    async def scene(app, pilot):
        text = shown(app)
        assert "HALTED, sends nothing" in text
        assert text.count(MISSING) >= len(UNKNOWN.desk) + 3  # feed, latency, counts
        assert not re.search(r"\b(nan|inf|None)\b", text)

    run(scene, read=lambda: replace(UNKNOWN, p_chaos=float("nan"), leverage=float("inf"), equity=Decimal("NaN")))


@pytest.mark.parametrize(
    ("keys", "trips", "stopped"),
    [
        (["t", "n"], 0, None),
        (["t", "escape"], 0, None),
        (["t"], 0, None),
        (["t", "y"], 1, None),
        (["t", "t", "y", "y"], 1, None),
        (["t", "q", "n"], 0, None),
        (["y"], 0, None),
        (["q", "n"], 0, None),
        (["q", "y"], 0, True),
        (["ctrl+q", "n"], 0, None),
        (["ctrl+q", "y"], 0, True),
        (["t", "y", "q", "y"], 1, True),
    ],
)
def test_a_key_acts_only_after_yes(keys, trips, stopped):
    reasons = []

    async def scene(app, pilot):
        await pilot.press(*keys)
        await pilot.pause()
        assert isinstance(app.screen, Confirm) == (keys == ["t"])

    assert run(scene, trip=reasons.append) is stopped
    assert reasons == [BY_HAND] * trips


def test_a_trip_is_shown_at_once():
    state = {"status": STATUS}

    async def scene(app, pilot):
        await pilot.press("t", "y")
        await pilot.pause()
        assert "TRIPPED by ood, 2024-01-01 00:00:00: latent 9.3 above 4.1" in shown(app)

    run(scene, read=lambda: state["status"], trip=lambda reason: state.update(status=replace(STATUS, breaker=TRIP)))


def test_a_status_that_can_not_be_read_is_said_and_the_next_one_is_shown():
    state = {"broken": True}

    def read():
        if state["broken"]:
            raise RuntimeError("no\x1b[2J account")
        return STATUS

    async def scene(app, pilot):
        assert "can not be read" in shown(app)
        state["broken"] = False
        app.look()
        await pilot.pause()
        assert "can not be read" not in shown(app)
        assert "REDUCING" in shown(app)

    run(scene, read=read)


def test_a_trip_that_fails_is_said_and_can_be_tried_again():
    tried = []

    def trip(reason):
        tried.append(reason)
        raise OSError("disk full")

    async def scene(app, pilot):
        await pilot.press("t", "y")
        await pilot.pause()
        assert "could not be tripped" in shown(app)
        assert "disk full" in shown(app)
        await pilot.press("t", "y")

    run(scene, trip=trip)
    assert len(tried) == 2


def test_it_looks_by_itself_again_and_again():
    async def play():
        enough, n_looks = asyncio.Event(), 0

        def read():
            nonlocal n_looks
            n_looks += 1
            if n_looks == 3:
                enough.set()
            return STATUS

        async with LiveTerminal(read, lambda reason: None, refresh_s=0.01).run_test():
            await asyncio.wait_for(enough.wait(), 60)

    asyncio.run(play())


def test_refresh_must_be_positive():
    with pytest.raises(ValueError, match="refresh_s must be a positive finite number, got 0"):
        LiveTerminal(lambda: STATUS, lambda reason: None, refresh_s=0)


# --- beside the service ----------------------------------------------------------------------------------------------


def beside(scene):
    """Run a scene in a loop in which a service ticks; how often it ticked after the scene must grow."""

    async def play():
        ticks = 0

        async def service():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        task = asyncio.create_task(service())
        factory = asyncio.get_running_loop().get_task_factory()
        answer = await scene()
        assert asyncio.get_running_loop().get_task_factory() is factory
        before = ticks
        for _ in range(1000):
            if ticks > before:
                break
            await asyncio.sleep(0.01)
        assert ticks > before
        assert not task.done()
        task.cancel()
        return answer

    return asyncio.run(play())


def test_watch_says_that_a_person_asked_to_stop(monkeypatch):
    monkeypatch.setattr("textual.constants.PRESS", "q,y")
    assert beside(lambda: watch(lambda: STATUS, lambda reason: None, headless=True)) is None


def test_a_view_that_fails_ends_alone(monkeypatch, capsys):
    def broken(self):
        raise RuntimeError("planted")

    monkeypatch.setattr(LiveTerminal, "look", broken)
    reason = beside(lambda: watch(lambda: STATUS, lambda reason: None, headless=True))
    assert reason is not None
    assert "planted" in reason


def test_a_view_that_can_not_begin_ends_alone(monkeypatch):
    async def broken(self, **options):
        raise OSError("no terminal")

    monkeypatch.setattr(LiveTerminal, "run_async", broken)
    assert "no terminal" in beside(lambda: watch(lambda: STATUS, lambda reason: None, headless=True))


def test_a_service_that_ends_takes_the_view_with_it():
    async def scene():
        looked, loop = asyncio.Event(), asyncio.get_running_loop()
        factory = loop.get_task_factory()

        def read():
            assert loop.get_task_factory() is factory  # while it shows, too
            looked.set()
            return STATUS

        view = asyncio.create_task(watch(read, lambda reason: None, headless=True))
        await asyncio.wait_for(looked.wait(), 60)
        view.cancel()
        with pytest.raises(asyncio.CancelledError):
            await view

    beside(scene)


# --- texts -----------------------------------------------------------------------------------------------------------

NUMBERS = st.none() | st.floats() | st.decimals()
REASONS = st.text(max_size=20)


@settings(max_examples=200, deadline=None)
@given(
    numbers=st.fixed_dictionaries(dict.fromkeys(("p_chaos", "leverage", "mid", "target", "equity"), NUMBERS)),
    latency=st.none() | st.floats(),
    regime=st.none() | st.integers(-1, 3),
    mode=st.sampled_from(TradingMode),
    reasons=st.tuples(REASONS, REASONS, REASONS),
)
def test_any_status_is_one_plain_line(numbers, latency, regime, mode, reasons):
    status = replace(
        STATUS,
        **numbers,
        latency_ms=latency,
        regime=regime,
        mode=mode,
        mode_reason=reasons[0],
        breaker=SimpleNamespace(source="person", reason=reasons[1], time_ns=START_NS),
        feed=SimpleNamespace(state="dead", reason=reasons[2]),
    )
    line = status.plain_line()
    assert line.isprintable()
    assert mode.upper() in line
    without = line
    for reason in reasons:
        without = without.replace(" ".join(reason.split()), "")
    assert not re.search(r"\b(nan|inf|None|Infinity)\b", without, re.IGNORECASE)


@given(st.lists(st.floats(), max_size=50))
def test_a_sparkline_has_a_sign_for_each_bar(shares):
    assert len(sparkline(shares)) == len(shares)


def test_a_sparkline_has_a_fixed_scale():
    assert sparkline([0.0, 0.01, 0.02]) == "▁▁▁"
    assert sparkline([1.0, float("nan"), 0.0]) == f"█{MISSING}▁"
