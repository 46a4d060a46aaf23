"""The circuit breaker: on the disk before anybody acts, latched over restarts, and tripped wherever there is doubt."""

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from companion._files import durable_write_text
from companion.errors import InputError
from companion.live import CircuitBreaker, Trip, _breaker_file
from companion.live._masked import masked, one_line

SOURCES = ("ood", "daily_loss", "feed", "reconciliation", "person", "fault")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "breaker.json"


def run(program, *argv, timeout=300):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- the latch --------------------------------------------------------------------------------------------------------


def test_a_new_breaker_is_armed_and_its_file_is_there(path):
    assert CircuitBreaker(path).tripped is None
    assert path.is_file()
    assert CircuitBreaker(path).tripped is None


@pytest.mark.parametrize("source", SOURCES)
def test_a_trip_outlives_restarts_and_keeps_its_first_reason(path, source):
    breaker, heard = CircuitBreaker(path), []
    breaker.listen(heard.append)
    first = breaker.trip(source, "too far", now_ns=7)
    assert first == Trip(source, "too far", 7) == breaker.tripped
    assert breaker.trip("person", "another", now_ns=9) == first
    assert heard == [first]
    for _ in range(3):
        again = CircuitBreaker(path)
        assert again.tripped == first == again.refresh()
        assert again.trip("feed", "a third", now_ns=11) == first
    assert breaker.fault is None


def test_a_trip_is_on_the_disk_before_anybody_is_called(path):
    seen = []

    def look(trip):
        seen.append(run("import sys; print(open(sys.argv[1]).read())", path))
        seen.append(CircuitBreaker(path).tripped)

    breaker = CircuitBreaker(path)
    breaker.listen(look)
    trip = breaker.trip("feed", "silent for 30 s", now_ns=5)
    assert json.loads(seen[0])["history"][-1] == {
        "event": "trip",
        "time_ns": 5,
        "source": "feed",
        "reason": "silent for 30 s",
    }
    assert seen[1] == trip


def test_the_file_and_its_name_are_synced_before_anybody_is_called(path, monkeypatch):
    breaker, steps = CircuitBreaker(path), []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(handle):
        steps.append("folder" if os.path.samestat(os.fstat(handle), path.parent.stat()) else "file")
        fsync(handle)

    def noted_replace(self, target):
        steps.append("replace")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    breaker.listen(lambda trip: steps.append("listener"))
    breaker.trip("ood", "far out", now_ns=1)
    assert steps == ["file", "replace", "folder", "listener"]


def test_every_listener_is_called_whatever_the_others_do(path):
    breaker, heard = CircuitBreaker(path), []

    def fail(trip):
        raise ZeroDivisionError

    for listener in (fail, heard.append, fail, heard.append):
        breaker.listen(listener)
    with pytest.raises(ExceptionGroup) as failed:
        breaker.trip("ood", "far out", now_ns=1)
    assert [type(error) for error in failed.value.exceptions] == [ZeroDivisionError] * 2
    assert heard == [breaker.tripped] * 2
    assert CircuitBreaker(path).tripped == breaker.tripped


def test_many_threads_trip_once(path):
    breaker, heard, start = CircuitBreaker(path), [], threading.Barrier(8)
    breaker.listen(heard.append)
    answers = []

    def trip(i):
        start.wait(60)
        answers.append(breaker.trip("feed", str(i), now_ns=i))

    threads = [threading.Thread(target=trip, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(set(answers)) == len(heard) == 1
    assert len(answers) == 8
    assert CircuitBreaker(path).tripped == answers[0]


# --- kills ------------------------------------------------------------------------------------------------------------

KILLED = """
import os, pathlib, shutil, sys
sys.path.insert(0, os.getcwd())
from killing import kill_at_each_step
from companion.live import CircuitBreaker

folder = pathlib.Path(sys.argv[1])
template = folder / "armed.json"
CircuitBreaker(template)
files = [folder / f"{k}.json" for k in range(5001)]
outcomes = set()

def work(k, pipe):
    breaker.listen(lambda trip: os.write(pipe, b"listener "))
    breaker.trip("person", "stop", now_ns=1)
    os.write(pipe, b"returned")

def after(k, heard):
    global breaker
    tripped = CircuitBreaker(breaker.path).tripped
    assert tripped is None or tripped == ("person", "stop", 1), tripped  # whole before and after, never damaged
    assert tripped is not None or not heard, (k, heard)
    outcomes.add((heard, tripped is not None))
    breaker.path.unlink()
    shutil.copyfile(template, files[k + 1])
    breaker = CircuitBreaker(files[k + 1])

shutil.copyfile(template, files[1])
breaker = CircuitBreaker(files[1])
kills = kill_at_each_step(work, after)
assert {(b"", False), (b"", True), (b"listener ", True), (b"listener returned", True)} == outcomes, outcomes
print(kills)
"""


def test_a_kill_at_any_step_of_a_trip_leaves_it_tripped_if_anybody_has_heard_of_it(tmp_path):
    assert int(run(KILLED, tmp_path)) > 100


# --- doubt ------------------------------------------------------------------------------------------------------------


def damaged(path, content):
    path.write_bytes(content)
    breaker = CircuitBreaker(path)
    assert breaker.tripped is not None
    assert breaker.tripped.source == "fault"
    assert path.read_bytes() == content  # it is evidence
    return breaker


def test_any_cut_of_the_file_is_tripped(tmp_path):
    armed, tripped = tmp_path / "armed", tmp_path / "tripped"
    CircuitBreaker(armed)
    CircuitBreaker(tripped).trip("ood", "far out", now_ns=1)
    for whole in (armed.read_bytes(), tripped.read_bytes()):
        for n in range(len(whole) - 1):  # without the last newline it still says all
            breaker = damaged(tmp_path / "cut", whole[:n])
        assert "is damaged or no circuit breaker of ours" in breaker.tripped.reason


@pytest.fixture(scope="module")
def reset_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("breaker") / "breaker.json"
    breaker = CircuitBreaker(path)
    breaker.trip("ood", "far out", now_ns=1)
    breaker.reset(reason="a test", now_ns=2)
    return path, path.read_bytes()


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_any_change_of_what_an_armed_file_says_is_tripped(reset_file, data):
    path, whole = reset_file
    raw = bytearray(whole)
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.sampled_from(b'0123456789 "{}[],:abcdefx\n\0\xff') | st.integers(0, 255))
    path.write_bytes(raw)
    assert CircuitBreaker(path).tripped is not None or json.loads(raw) == json.loads(whole)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 300,
        b"{}",
        b"[]",
        b"null",
        b"not tripped",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": 1}',
        b'{"what": "circuit breaker of companion.live", "format": 1, "history": [], "sha256": "0"}',
        b'{"what": "another", "format": 1, "history": [], "sha256": "0"}',
        b"9" * 5000,
    ],
)
def test_a_foreign_file_is_tripped(path, content):
    assert str(path) in damaged(path, content).tripped.reason


def test_a_file_of_a_newer_version_is_tripped_and_says_so(path):
    CircuitBreaker(path)
    stored = json.loads(path.read_bytes())
    assert (
        "is of format 2, this version reads 1" in damaged(path, json.dumps(stored | {"format": 2}).encode()).tripped[1]
    )


def test_what_is_no_file_is_tripped(path):
    path.mkdir()
    assert "is no file of ours" in CircuitBreaker(path).tripped.reason
    os.rmdir(path)
    os.mkfifo(path)  # which would hold up who reads it
    assert "is no file of ours" in CircuitBreaker(path).tripped.reason


def test_a_file_that_can_not_be_read_is_tripped_until_a_restart_reads_it(path, monkeypatch):
    breaker = CircuitBreaker(path)

    def no_more_handles(self, *arguments, **settings):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", no_more_handles)
        assert "can not be read (Too many open files)" in breaker.refresh().reason
        assert breaker.fault is not None  # the file still says armed: as soon as it can be written, it does not
    breaker.refresh()
    assert breaker.fault is None
    assert CircuitBreaker(path).tripped == breaker.tripped


def test_a_file_that_is_deleted_while_we_run_trips_and_comes_back_tripped(path):
    breaker, heard = CircuitBreaker(path), []
    breaker.listen(heard.append)
    path.unlink()
    assert "has been deleted" in breaker.refresh().reason
    assert heard == [breaker.tripped]
    assert CircuitBreaker(path).tripped == breaker.tripped


def test_a_file_that_is_damaged_while_we_run_trips(path):
    breaker, heard = CircuitBreaker(path), []
    breaker.listen(heard.append)
    assert breaker.refresh() is None
    path.write_bytes(path.read_bytes()[:20])
    assert "is damaged" in breaker.refresh().reason
    assert heard == [breaker.tripped]
    assert breaker.trip("person", "stop", now_ns=1) == breaker.tripped


# --- reset ------------------------------------------------------------------------------------------------------------


def test_a_reset_needs_a_reason_and_a_trip(path):
    breaker = CircuitBreaker(path)
    with pytest.raises(ValueError, match="breaker must be tripped to be reset"):
        breaker.reset(reason="why not", now_ns=1)
    trip = breaker.trip("ood", "far out", now_ns=2)
    for reason in ("", "  \n", None, 3):
        with pytest.raises(ValueError, match="reason must say why"):
            breaker.reset(reason=reason, now_ns=3)
        assert breaker.tripped == trip == CircuitBreaker(path).tripped


def test_the_history_of_trips_and_resets_stays_in_the_file(path):
    for i in range(3):
        breaker = CircuitBreaker(path)
        breaker.trip("ood", f"far out {i}", now_ns=10 * i)
        breaker.reset(reason=f"looked at it {i}", now_ns=10 * i + 1)
        assert breaker.tripped is None
        assert CircuitBreaker(path).tripped is None
    told = [(event["event"], event["time_ns"]) for event in _breaker_file.read_breaker(path)]
    assert told == [(event, 10 * i + late) for i in range(3) for late, event in enumerate(("trip", "reset"))]


def test_a_reset_repairs_a_damaged_file_and_keeps_it_aside(path):
    breaker = damaged(path, b'{"half": ')
    breaker.reset(reason="the disk was full", now_ns=99)
    assert CircuitBreaker(path).tripped is None
    event, reset = _breaker_file.read_breaker(path)[0], _breaker_file.read_breaker(path)[-1]
    assert (event["event"], reset["event"], reset["reason"]) == ("damaged", "reset", "the disk was full")
    assert path.with_name(event["kept"]).read_bytes() == b'{"half": '


def test_a_running_process_stays_tripped_when_another_resets_the_file(path):
    running, person = CircuitBreaker(path), CircuitBreaker(path)
    trip = running.trip("ood", "far out", now_ns=1)
    person.refresh()
    person.reset(reason="looked at it", now_ns=2)
    assert running.refresh() == trip
    assert CircuitBreaker(path).tripped is None
    again = CircuitBreaker(path)
    again.trip("feed", "silent", now_ns=3)
    assert CircuitBreaker(path).tripped.source == "feed"


# --- a disk that fails ------------------------------------------------------------------------------------------------


def test_a_folder_that_is_gone_does_not_prevent_the_stop(tmp_path, caplog):
    folder = tmp_path / "folder"
    breaker, heard = CircuitBreaker(folder / "breaker.json"), []
    breaker.listen(heard.append)
    shutil.rmtree(folder)
    folder.write_text("a file in the folder's place")
    trip = breaker.trip("daily_loss", "3 %", now_ns=1)
    assert heard == [trip] == [breaker.tripped]
    assert "breaker.json: can not be read (Not a directory)" in breaker.fault
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    assert breaker.refresh() == trip  # it tries again, and does not repeat itself
    assert len(caplog.records) == 1
    folder.unlink()
    assert breaker.refresh() == trip
    assert breaker.fault is None
    assert CircuitBreaker(folder / "breaker.json").tripped == trip


FULL = """
import resource, sys
from companion.live import CircuitBreaker
breaker, heard = CircuitBreaker(sys.argv[1]), []
breaker.listen(heard.append)
resource.setrlimit(resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))  # no file may grow beyond 20 bytes
trip = breaker.trip("feed", "silent", now_ns=1)
assert heard == [trip] == [breaker.tripped]
assert "can not be written (File too large)" in breaker.fault, breaker.fault
assert CircuitBreaker(sys.argv[1]).tripped is None  # what was there is whole
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert breaker.trip("person", "again", now_ns=2) == trip and breaker.fault is None
assert CircuitBreaker(sys.argv[1]).tripped == trip and heard == [trip]
"""


def test_a_full_disk_does_not_prevent_the_stop(path):
    run(FULL, path)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), TypeError("no JSON"), MemoryError()])
def test_no_failure_of_writing_prevents_the_stop(path, monkeypatch, error):
    breaker, heard = CircuitBreaker(path), []
    breaker.listen(heard.append)

    def fail(*arguments, **settings):
        raise error

    monkeypatch.setattr(_breaker_file, "durable_write_text", fail)
    trip = breaker.trip("feed", "silent", now_ns=1)
    assert heard == [trip] == [breaker.tripped]
    assert breaker.fault is not None


def test_a_process_that_hangs_with_the_lock_does_not_prevent_the_stop(path, monkeypatch):
    breaker, heard = CircuitBreaker(path), []
    breaker.listen(heard.append)
    monkeypatch.setattr("companion.live._breaker.PATIENCE_S", 0.05)
    with _breaker_file.alone(path):  # another open file: to the lock, another process
        trip = breaker.trip("feed", "silent", now_ns=1)
        assert heard == [trip]
        assert "another process keeps it locked" in breaker.fault
        assert breaker.refresh() == trip
        assert breaker.fault
    breaker.refresh()
    assert breaker.fault is None
    assert CircuitBreaker(path).tripped == trip


def test_a_breaker_that_can_not_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"breaker.json: can not be written"):
        CircuitBreaker(tmp_path / "file" / "breaker.json")


# --- several processes ------------------------------------------------------------------------------------------------

SERVICE = """
import sys
from companion.live import CircuitBreaker
breaker = CircuitBreaker(sys.argv[1])
print("armed", flush=True)
while breaker.refresh() is None:
    pass
print(*breaker.tripped, flush=True)
sys.stdin.readline()  # until it has been reset
for _ in range(100):
    assert breaker.refresh() is not None
"""


def test_a_service_sees_the_trip_of_a_person_and_stays_tripped_over_a_reset(path):
    service = subprocess.Popen([sys.executable, "-c", SERVICE, str(path)], stdin=-1, stdout=-1, stderr=-1, text=True)
    try:
        assert service.stdout.readline() == "armed\n"
        person = CircuitBreaker(path)
        person.trip("person", "stop", now_ns=4)
        assert service.stdout.readline() == "person stop 4\n"
        person.reset(reason="done", now_ns=5)
        _, errors = service.communicate("\n", timeout=300)
        assert (service.returncode, errors) == (0, "")
    finally:
        service.kill()
        service.wait()


def test_a_trip_of_another_process_that_comes_first_at_the_last_moment_stays(path, monkeypatch):
    breaker, alone = CircuitBreaker(path), _breaker_file.alone

    @contextmanager
    def late(path, **settings):
        with alone(path, **settings):
            _breaker_file.store(path, [_breaker_file.event("trip", 1, source="ood", reason="far out")])
            yield

    monkeypatch.setattr(_breaker_file, "alone", late)
    assert breaker.trip("feed", "silent", now_ns=2) == ("ood", "far out", 1) == breaker.tripped
    assert len(_breaker_file.read_breaker(path)) == 1


CONTENDER = """
import random, sys
from companion.live import CircuitBreaker
random.seed(int(sys.argv[2]))
for i in range(25):
    breaker = CircuitBreaker(sys.argv[1])
    assert breaker.tripped is None or breaker.tripped.source in ("ood", "person"), breaker.tripped
    if random.random() < 0.5:
        breaker.trip(random.choice(("ood", "person")), sys.argv[2], now_ns=i)
        assert breaker.fault is None, breaker.fault
    elif breaker.tripped:
        breaker.reset(reason=sys.argv[2], now_ns=i)
"""


def test_processes_that_trip_and_reset_at_once_leave_a_whole_history(path):
    rivals = [subprocess.Popen([sys.executable, "-c", CONTENDER, str(path), str(i)], stderr=-1) for i in range(3)]
    for rival in rivals:
        _, errors = rival.communicate(timeout=300)
        assert (rival.returncode, errors) == (0, b"")
    events = [event["event"] for event in _breaker_file.read_breaker(path)]
    assert set(events) == {"trip", "reset"}
    assert [event for event in path.parent.iterdir() if event.name.endswith(".part")] == []


# --- text -------------------------------------------------------------------------------------------------------------


@given(st.text(max_size=80) | st.text(alphabet=st.characters(), min_size=1500, max_size=2500) | st.binary(max_size=9))
@example("\ud800\x00\n")
@settings(deadline=None)
def test_any_reason_is_one_printable_line(reason):
    line = one_line(reason)
    assert line.isprintable()
    assert len(line) <= 10_010
    line.encode("utf-8")


def test_no_reason_can_prevent_a_trip(path):
    class Silent:
        def __str__(self):
            raise RuntimeError

    breaker = CircuitBreaker(path)
    assert breaker.trip("fault", Silent(), now_ns=1).reason == "a text that can not be read (RuntimeError)"
    assert CircuitBreaker(path).tripped == breaker.tripped


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("postgresql://desk:hunter2@db/candles refused", "postgresql://desk:***@db/candles refused"),
        ("at postgresql+psycopg://desk:hun/ter2@db:5432/x", "at postgresql+psycopg://desk:***@db:5432/x"),
        ("https://desk:hunt@er2@host", "https://desk:***@host"),
        ("redis://:hunter2@host", "redis://:***@host"),
        ("ws://127.0.0.1:8080/stream?streams=btcusdt@bookTicker", None),
        ("ws://127.0.0.1/stream?streams=btcusdt@kline_1m", None),
        ("postgresql://db/x?user=desk&password=hunter2", "postgresql://db/x?user=desk&password=***"),
        ("https://host/order?signature=hunter2&symbol=BTC", "https://host/order?signature=***&symbol=BTC"),
        ("host=db password=hunter2 port=1", "host=db password=*** port=1"),
        ("p=0.3; held 1@50", None),
    ],
)
def test_a_password_is_masked_and_nothing_else(path, text, hidden):
    assert masked(text) == (hidden or text)
    CircuitBreaker(path).trip("fault", text, now_ns=1)
    assert "hunter2" not in path.read_text()


def test_a_durable_write_says_when_its_folder_can_not_be_synced(tmp_path, monkeypatch):
    fsync = os.fsync

    def fail(handle):
        if os.path.samestat(os.fstat(handle), tmp_path.stat()):
            raise OSError(5, "Input/output error")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match=r"x: can not be written \(Input/output error\)"):
        durable_write_text(tmp_path / "x", "text")
