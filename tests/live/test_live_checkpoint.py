"""A restart: the checkpoint's file is whole or refused, and a desk that goes on from it is one that never stopped."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from candles import EQUITY, MARKET, MINUTE_NS, RECIPE, Shelf, market
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from companion.errors import InputError
from companion.live import Checkpoint, DeskRecipe, desk_bar, load_checkpoint, resume, save_checkpoint, warm_up
from companion.live._checkpoint import _sha256
from companion.risk import SizingConfig

CANDLES = market(1000, 1)
BARS = [desk_bar(candle, "1m") for candle in CANDLES]
NOW_NS = CANDLES[-1].open_time_ns + MINUTE_NS
DESK, OTHER = RECIPE.make(), RECIPE.make()


def checkpoint_after(k, *, equity=EQUITY, desk=OTHER, candles=CANDLES, **changed):
    """That of a desk that has seen the first k candles."""
    desk.reset()
    desk.run([desk_bar(candle, "1m") for candle in candles[:k]], equity=equity)
    fields = {"time_ns": NOW_NS, "last": candles[k - 1], "equity": equity, "desk": desk.state(), **MARKET}
    return Checkpoint(**fields | changed)


@pytest.fixture(scope="module")
def checkpoint():
    return checkpoint_after(900, gate={"n": [1, 2.5]}, strategy={"halted": None}, audit_head=(7, "ab" * 32))


# --- the file --------------------------------------------------------------------------------------------------------


def test_what_was_saved_is_loaded(checkpoint, tmp_path):
    path = tmp_path / "deep" / "checkpoint.json"
    for each in (checkpoint, replace(checkpoint, gate=None, audit_head=None, equity=Decimal("1.10"))):
        save_checkpoint(path, each)
        assert load_checkpoint(path) == each
    assert set(json.loads(path.read_text())) == {"format", "sha256", "payload"}
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.json"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused(checkpoint, tmp_path, data):
    path = tmp_path / "checkpoint.json"
    save_checkpoint(path, checkpoint)
    whole = path.read_bytes()
    where = data.draw(st.integers(0, len(whole) - 1))
    part = data.draw(st.binary(max_size=3))
    damaged = data.draw(
        st.sampled_from([whole[:where], whole[:where] + part + whole[where + 1 :], whole[where:], part + whole])
    )
    path.write_bytes(damaged)
    found = loaded_or_why(path)
    assert found == checkpoint or (  # a blank does not matter
        found.startswith(f"{path}: ")
        and "delete it, the desk then warms up from the store" in found
        and "\n" not in found
    )


def loaded_or_why(path):
    try:
        return load_checkpoint(path)
    except InputError as error:
        return str(error)


def edited(path, change):
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))


def hashed(**values):
    """An edit by somebody who makes the hash anew."""

    def change(stored):
        stored["payload"].update(values)
        stored["sha256"] = _sha256(stored["payload"])

    return change


FILES = {
    "edited": (lambda stored: stored["payload"].update(equity="100001"), "damaged or edited"),
    "not a number": (lambda stored: stored["payload"].update(equity=float("nan")), "damaged or edited"),
    "newer": (lambda stored: stored.update(format=2), "format is 2, this version reads 1"),
    "foreign": (lambda stored: stored.pop("sha256"), "is no checkpoint"),
    "no equity": (hashed(equity="0"), "content is not a checkpoint"),
    "no candle": (hashed(last=[1, 2.0]), "content is not a checkpoint"),
    "no interval": (hashed(interval="fast"), "content is not a checkpoint"),
    "no head": (hashed(audit_head=[1]), "content is not a checkpoint"),
    "another field": (hashed(more=1), "content is not a checkpoint"),
    "no desk": (hashed(desk=[]), "content is not a checkpoint"),
}


@pytest.mark.parametrize("case", FILES)
def test_an_edited_a_foreign_and_a_newer_file_are_refused(checkpoint, tmp_path, case):
    path = tmp_path / "checkpoint.json"
    save_checkpoint(path, checkpoint)
    change, words = FILES[case]
    edited(path, change)
    with pytest.raises(InputError, match=f"checkpoint.json: .*{words}.*; delete it"):
        load_checkpoint(path)


@pytest.mark.parametrize("text", ["[]", "null", '"x"', "", "{", "\x00"])
def test_what_is_no_checkpoint_is_refused(tmp_path, text):
    path = tmp_path / "checkpoint.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"checkpoint\.json: .*delete it"):
        load_checkpoint(path)
    with pytest.raises(InputError, match=r"none\.json: can not be read \(No such file"):
        load_checkpoint(tmp_path / "none.json")


def test_it_is_on_the_disk_in_this_order(checkpoint, tmp_path, monkeypatch):
    """The content, then the name, then the folder that holds the name."""
    done, fsync, rename = [], os.fsync, Path.replace
    kind = {0o100000: "file", 0o040000: "folder"}
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(kind[os.fstat(fd).st_mode & 0o170000]), fsync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda part, to: (done.append("name"), rename(part, to))[1])
    save_checkpoint(tmp_path / "checkpoint.json", checkpoint)
    assert done == ["file", "name", "folder"]


def test_a_save_that_fails_leaves_the_old_one(checkpoint, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.json"
    save_checkpoint(path, checkpoint)
    newer = replace(checkpoint, time_ns=checkpoint.time_ns + 1)
    for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "write_text")):
        with monkeypatch.context() as broken:
            broken.setattr(owner, name, full_disk)
            with pytest.raises(InputError, match=r"checkpoint\.json: .*make room"):
                save_checkpoint(path, newer)
        assert load_checkpoint(path) == checkpoint
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_checkpoint(path, replace(newer, gate={"x": float("nan")}))
    assert load_checkpoint(path) == checkpoint


def full_disk(*_, **__):
    raise OSError(28, "No space left on device")


SAVES_FOR_EVER = """
import itertools, sys
from dataclasses import replace
from companion.live import load_checkpoint, save_checkpoint
checkpoint = load_checkpoint(sys.argv[1])
for i in itertools.count(checkpoint.time_ns + 1):
    save_checkpoint(sys.argv[1], replace(checkpoint, time_ns=i))
    print(i, flush=True)
"""


def test_a_kill_at_any_moment_leaves_the_old_one_or_the_new(checkpoint, tmp_path):
    path = tmp_path / "checkpoint.json"
    save_checkpoint(path, checkpoint)
    for n_lines in (1, 4, 9):
        with subprocess.Popen([sys.executable, "-c", SAVES_FOR_EVER, path], stdout=subprocess.PIPE, text=True) as child:
            said = [int(child.stdout.readline()) for _ in range(n_lines)][-1]
            child.send_signal(signal.SIGKILL)
            said = max([said, *map(int, child.stdout.read().split())])
        found = load_checkpoint(path)
        assert found == replace(checkpoint, time_ns=found.time_ns)
        assert found.time_ns in (said, said + 1)


@pytest.mark.parametrize(
    "wrong",
    [{"equity": 1.0}, {"equity": Decimal("NaN")}, {"last": (1, 2)}, {"desk": None}, {"gate": []}, {"time_ns": 1.5},
     {"interval": "1 min"}, {"symbol": None}],
)  # fmt: skip
def test_a_checkpoint_of_wrong_types_is_refused(checkpoint, wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        replace(checkpoint, **wrong)


# --- a restart equals a replay ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uninterrupted():
    return RECIPE.make().run(BARS, equity=EQUITY)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(k=st.integers(1, 999))
def test_bars_in_one_go_are_bars_with_a_restart_in_between(uninterrupted, tmp_path, k):
    save_checkpoint(tmp_path / "checkpoint.json", checkpoint_after(k))
    DESK.restore(load_checkpoint(tmp_path / "checkpoint.json").desk)
    assert DESK.run(BARS[k:], equity=EQUITY) == uninterrupted[k:]


GOES_ON = """
import sys
import json
from candles import EQUITY, RECIPE
from companion.live import Candle, desk_bar, load_checkpoint
checkpoint, desk = load_checkpoint(sys.argv[1]), RECIPE.make()
desk.restore(checkpoint.desk)
for candle in json.load(open(sys.argv[2])):
    print(desk.on_bar(desk_bar(Candle(*candle), "1m"), equity=EQUITY).to_json())
print("nautilus_trader" in sys.modules, "aiohttp" in sys.modules)
"""


def test_another_process_goes_on_to_the_last_bit(uninterrupted, tmp_path):
    """And nothing that could send an order has been imported there."""
    save_checkpoint(tmp_path / "checkpoint.json", checkpoint_after(960))
    (tmp_path / "rest.json").write_text(json.dumps(CANDLES[960:]))
    command = [sys.executable, "-c", GOES_ON, tmp_path / "checkpoint.json", tmp_path / "rest.json"]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=300)
    *decisions, imported = done.stdout.splitlines()
    assert decisions == [decision.to_json() for decision in uninterrupted[960:]]
    assert imported == "False False"


# --- resume ----------------------------------------------------------------------------------------------------------


def resumed(checkpoint, candles=CANDLES, desk=DESK, **changed):
    return resume(desk, checkpoint, Shelf(candles), **MARKET | {"now_ns": NOW_NS, "equity": EQUITY} | changed)


@pytest.mark.parametrize("k", [400, 999, 1000])
def test_it_goes_on_from_a_checkpoint_that_a_warm_up_agrees_with(uninterrupted, k):
    """The exchange's history is shorter than what the desk has seen: the checkpoint knows more, and is believed."""
    started = resumed(checkpoint_after(k), CANDLES[-750:])
    assert (started.ready, started.reasons, started.resumed) == (True, (), True)
    assert (started.n_replayed, started.last) == (1000 - k, CANDLES[-1])
    assert started.decision == (uninterrupted[-1] if k < 1000 else None)
    checkpoint_after(1000)
    assert DESK.state() == OTHER.state()


def scaled(checkpoint, factor):
    """A checkpoint whose network has the scale of another market."""
    from companion.regimes._packing import pack, unpack

    state = json.loads(json.dumps(checkpoint.desk))
    scale = unpack(state["stepper"]["feature"][-1])
    scale[..., 0] *= factor
    state["stepper"]["feature"][-1] = pack(scale)
    return replace(checkpoint, desk=state)


def a_bar_behind(k):
    return replace(checkpoint_after(k - 1), last=CANDLES[k - 1])


OTHER_MARKET = market(1000, 2)
REFUSED = {
    "another symbol": (lambda: checkpoint_after(950, symbol="ETHUSDT"), "it is of ETHUSDT 1m"),
    "another interval": (lambda: checkpoint_after(950, interval="1h"), "it is of BTCUSDT 1h"),
    "another desk": (lambda: checkpoint_after(950, desk=replace(RECIPE, max_daily_loss=Decimal("0.02")).make()),
                     "same parts and settings"),
    "no state": (lambda: replace(checkpoint_after(950), desk={**DESK.state(), "stepper": {}}), "what state() gave"),
    "too old": (lambda: checkpoint_after(200), "has no candle of 2024-01-01 03:19:00"),
    "from the future": (lambda: checkpoint_after(1001, candles=market(1001, 1)), "has no candle of 2024-01-01 16:40"),
    "another market": (lambda: checkpoint_after(950, candles=OTHER_MARKET), "is another than the one"),
    "its state is another market's": (lambda: replace(checkpoint_after(950, candles=OTHER_MARKET), last=CANDLES[949]),
                                      "its sigma_bar is"),
    "a bar is missing": (lambda: a_bar_behind(950), "its sigma_bar is"),
    "its scale is another": (lambda: scaled(checkpoint_after(950), 1 / 400), "its p_stable is"),
    "it knows less": (lambda: checkpoint_after(500, candles=CANDLES[450:]), "it has seen 550 candles, fewer than"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_for_a_reason_and_the_warm_up_is_used(case):
    make, words = REFUSED[case]
    checkpoint, stored = make(), CANDLES[-750:]
    started = resumed(checkpoint, stored)
    assert not started.resumed
    assert started.ready
    (reason,) = started.reasons
    assert reason.startswith("The checkpoint is not used: ")
    assert words in reason
    expected = warm_up(OTHER, Shelf(stored), **MARKET, now_ns=NOW_NS, equity=EQUITY)
    assert replace(started, reasons=()) == expected
    assert DESK.state() == OTHER.state() | {"limits": DESK.state()["limits"]}


def test_without_a_full_warm_up_there_is_nothing_to_verify_it_with():
    started = resumed(checkpoint_after(950), CANDLES[-300:])
    assert (started.ready, started.resumed, started.n_replayed) == (False, False, 300)
    assert "no full warm-up to compare it with" in started.reasons[-1]
    assert resumed(checkpoint_after(950), CANDLES[:960]).last is None


def test_a_latched_limit_stays_latched_even_if_the_checkpoint_is_refused():
    checkpoint_after(949)
    OTHER.on_bar(BARS[949], equity=EQUITY * Decimal("0.9"))
    latched = Checkpoint(time_ns=NOW_NS, last=CANDLES[949], equity=EQUITY, desk=OTHER.state(), **MARKET)
    for checkpoint, good in ((latched, True), (replace(latched, last=CANDLES[948]), False)):
        for candles in (CANDLES, CANDLES[:500]):
            started = resumed(checkpoint, candles)
            assert started.resumed == (good and started.ready)
            decision = DESK.on_bar(desk_bar(market(1001, 1)[1000], "1m"), equity=EQUITY)
            assert any("daily loss of 10.00%" in reason for reason in decision.reasons)


def test_what_was_lost_in_the_meantime_counts_at_the_first_live_candle():
    started = resumed(checkpoint_after(950), equity=EQUITY * Decimal("0.9"))
    assert started.resumed
    assert started.decision.safe
    decision = DESK.on_bar(desk_bar(market(1001, 1)[1000], "1m"), equity=EQUITY * Decimal("0.9"))
    assert any("daily loss of 10.00%" in reason for reason in decision.reasons)


# --- the recipe ------------------------------------------------------------------------------------------------------


def test_a_recipe_makes_the_same_desk_again():
    sizing = SizingConfig(kappa=1e-6, gamma=3.0, f_max=0.5, max_quantity=Decimal("1.50"), max_price_move=None)
    recipes = [
        RECIPE,
        DeskRecipe.of(RECIPE.instrument, bar="100ms", max_daily_loss=Decimal("0.010"), sizing=sizing),
        DeskRecipe(size_precision=0, size_increment=1, max_daily_loss=0.02),
    ]
    identities = set()
    for recipe in recipes:
        stored = json.loads(json.dumps(recipe.to_json(), allow_nan=False))
        assert DeskRecipe.from_json(stored) == DeskRecipe.from_json(json.dumps(stored)) == recipe
        identities |= {recipe.make().state()["desk"], DeskRecipe.from_json(stored).make().state()["desk"]}
    assert len(identities) == len(recipes)
    assert recipes[1].make().instrument == RECIPE.instrument


def test_one_length_of_a_bar_is_one_desk():
    assert replace(RECIPE, bar="1m") == replace(RECIPE, bar="1min") == RECIPE
    assert replace(RECIPE, bar="15m").bar == "15min"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"bar": "soon"}, "bar must be a length of time"),
        ({"bar": None}, "bar must be a length of time"),
        ({"max_daily_loss": 3}, "max_daily_loss must"),
        ({"size_precision": -1}, "size_precision must"),
        ({"min_notional": "x"}, "min_notional must"),
    ],
)
def test_a_recipe_that_is_none_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        replace(RECIPE, **wrong)
    with pytest.raises(ValueError, match="stored must be a recipe as to_json gives it"):
        DeskRecipe.from_json(RECIPE.to_json() | wrong)


@pytest.mark.parametrize("stored", ["", "[]", "{}", None, 3, {"bar": "1m"}])
def test_what_is_no_recipe_is_refused(stored):
    with pytest.raises(ValueError, match="stored must be a recipe as to_json gives it"):
        DeskRecipe.from_json(stored)


def test_a_sizing_that_was_used_makes_the_same_desk():
    """What a settings object has derived for a desk is no setting."""
    fresh, used = replace(RECIPE), replace(RECIPE)
    desk = used.make()
    desk.run(BARS[:3], equity=EQUITY)
    assert used.sizing.exact_sigma_target > 0
    assert used.make().state()["desk"] == fresh.make().state()["desk"] == desk.state()["desk"]
