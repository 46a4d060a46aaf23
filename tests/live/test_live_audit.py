"""The audit log: only the end can grow, whatever is touched shows at its line, and a kill tears none but the last."""

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import threading
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion.errors import InputError
from companion.live import AuditHead, AuditLog, read_audit, verify_audit
from companion.live._audit_lines import START, encode

N = 6


def write(path, n=N, start=0):
    with AuditLog(path) as log:
        for i in range(start, start + n):
            log.append("feed", now_ns=10 * i, state="live", i=i)
        return log.head


@pytest.fixture
def path(tmp_path):
    return tmp_path / "audit.jsonl"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder to write in, the lines of a log, and its head."""
    path = tmp_path_factory.mktemp("audit") / "audit.jsonl"
    head = write(path)
    return path, path.read_bytes().splitlines(keepends=True), head


def run(program, *argv):
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, argv)],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- what is written --------------------------------------------------------------------------------------------------

TEXT = st.text(max_size=9) | st.sampled_from(["\n", "\r\n", "\0", "\x1b[31m", " ", '"}\n{"n":1', "\ud800"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(TEXT.filter(lambda name: name not in ("now_ns", "sync")), JSON, max_size=3), max_size=4)
)
@settings(deadline=None, max_examples=60)
def test_any_json_comes_back_from_one_line_each(tmp_path_factory, contents):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.unlink(missing_ok=True)
    with AuditLog(path) as log:
        for content in contents:
            log.append("feed", now_ns=1, **content)
    raw = path.read_bytes()
    assert raw.count(b"\n") == len(contents) == log.head.n_lines
    assert all(byte == 10 or 32 <= byte < 127 for byte in raw)
    assert [line.content for line in read_audit(path)] == contents


def test_the_hash_of_a_line_is_that_of_all_before_it(path):
    head = write(path)
    before = "0" * 64
    for n, raw in enumerate(path.read_text().splitlines(), start=1):
        line = json.loads(raw)
        assert list(line) == ["n", "time_ns", "kind", "content", "sha256"]
        assert line["n"] == n
        body = raw.removesuffix(f',"sha256":"{line["sha256"]}"}}')
        before = hashlib.sha256((before + body).encode()).hexdigest()
        assert line["sha256"] == before
    assert head == AuditHead(N, before)
    assert [(line.n, line.time_ns, line.kind) for line in read_audit(path)] == [
        (i + 1, 10 * i, "feed") for i in range(N)
    ]


def test_a_log_goes_on_where_it_ended(path):
    first = write(path, 3)
    raw = path.read_bytes()
    with AuditLog(path, expected_head=first) as log:
        assert log.head == first
        last = log.append("stop", now_ns=1, reason="done")
    assert path.read_bytes().startswith(raw)
    assert verify_audit(path, last)
    assert verify_audit(path, first)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, Decimal(1), b"x", {1: 2}, {"x": [{"y": math.nan}]}, {"set"}, object()]
)
def test_what_json_can_not_say_is_refused_and_nothing_is_written(path, value):
    with AuditLog(path) as log:
        before = log.append("feed", now_ns=1)
        with pytest.raises(ValueError, match=r"^content\['x'\].* must be of JSON types"):
            log.append("feed", now_ns=2, x=value)
        for kind in ("", "Two words", "a\nb", None, "é"):
            with pytest.raises(ValueError, match="kind must be a word"):
                log.append(kind, now_ns=2)
        with pytest.raises(ValueError, match="now_ns must be an integer"):
            log.append("feed", now_ns=1.5)
        assert log.head == before
    assert verify_audit(path, before).head == before


def test_no_password_gets_in(path):
    with AuditLog(path) as log:
        log.append(
            "session", now_ns=1, format=1, settings={"store": "postgresql://desk:hunter2@db/x"}, more=["p:pwd=hunter2"]
        )
    assert "hunter2" not in path.read_text()
    [line] = read_audit(path)
    assert line.content["settings"]["store"] == "postgresql://desk:***@db/x"


def test_a_synced_line_is_on_the_disk_with_its_name_before_append_returns(path, monkeypatch):
    synced, fsync = [], os.fsync

    def noted(handle):
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    with AuditLog(path) as log:
        assert path.parent.stat().st_ino in synced
        synced.clear()
        log.append("feed", now_ns=1)
        assert synced == []
        log.append("order", now_ns=2, sync=True)
        assert synced == [path.stat().st_ino]
        log.append("fill", now_ns=3)
        assert log.sync() == log.head  # what points at the line, a checkpoint, does not outlive it
        assert synced == 2 * [path.stat().st_ino]


def test_one_line_is_one_write(path, monkeypatch):
    with AuditLog(path) as log:
        sizes = [path.stat().st_size]
        for size in (1, 100, 1_000_000):
            log.append("feed", now_ns=1, text="x" * size)
            sizes.append(path.stat().st_size)
        assert path.read_bytes().count(b"\n") == 3
        assert sizes == sorted(set(sizes))  # nothing waits in a buffer


def test_threads_share_a_log(path):
    with AuditLog(path) as log:
        work = [threading.Thread(target=lambda: [log.append("feed", now_ns=1) for _ in range(50)]) for _ in range(4)]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join(60)
    assert verify_audit(path, log.head).head.n_lines == 200


# --- what was touched -------------------------------------------------------------------------------------------------


def first_touched(lines, original):
    """Number of the first line that is not the one that was written; None where only the end is missing."""
    for n, line in enumerate(lines):
        if n >= len(original) or line != original[n]:
            return n + 1
    return None


@given(st.data())
@settings(deadline=None, max_examples=400)
def test_whatever_is_removed_edited_moved_doubled_or_inserted_shows_at_its_line(whole, data):
    path, original, head = whole
    place = st.integers(0, N - 1)
    lines = list(original)
    match data.draw(st.sampled_from(["remove", "edit", "swap", "double", "insert", "forge"])):
        case "remove":
            del lines[data.draw(place)]
        case "edit":
            where = data.draw(place)
            raw = bytearray(lines[where])
            at = data.draw(st.integers(0, len(raw) - 2))  # without the newline: a last line that lacks it is torn
            raw[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != raw[at]))
            lines[where] = bytes(raw)
        case "swap":
            i, j = data.draw(place), data.draw(place)
            lines[i], lines[j] = lines[j], lines[i]
        case "double":
            lines.insert(data.draw(st.integers(0, N)), lines[data.draw(place)])
        case "insert":
            lines.insert(data.draw(st.integers(0, N)), data.draw(st.binary(max_size=20)) + b"\n")
        case "forge":  # a line that follows, in the place of one: what comes after it does not
            where = data.draw(st.integers(0, N - 2))
            before = START if where == 0 else AuditHead(where, json.loads(lines[where - 1])["sha256"])
            lines[where], _ = encode(before, "feed", 99, {})
            path.write_bytes(b"".join(lines))
            assert verify_audit(path).line == where + 2
            return
    path.write_bytes(b"".join(lines))
    report, touched = verify_audit(path, head), first_touched(lines, original)
    if touched is None:
        assert bool(report) == (lines == original)
        assert report.line == (None if lines == original else len(lines) + 1)
        return
    assert not report
    assert report.line == touched
    assert f"line {touched} " in report.problem
    assert report.head.n_lines == touched - 1
    with pytest.raises(InputError, match=f"line {touched} "):
        list(read_audit(path))
    before = path.read_bytes()
    with pytest.raises(InputError, match=f"line {touched} "):
        AuditLog(path)
    assert path.read_bytes() == before


def test_a_line_that_follows_and_calls_itself_another_shows(path):
    line, _ = encode(AuditHead(6, START.sha256), "feed", 1, {})
    path.write_bytes(line)
    assert "line 1 calls itself line 7" in verify_audit(path).problem


def test_a_cut_shows_against_a_head_and_only_so(whole):
    path, original, head = whole
    for n in range(N):
        path.write_bytes(b"".join(original[:n]))
        assert verify_audit(path)
        report = verify_audit(path, head)
        assert not report
        assert report.line == n + 1
        assert f"there were {N} lines" in report.problem
        with pytest.raises(InputError, match="the end has been cut off"):
            AuditLog(path, expected_head=head)


def test_another_log_shows_against_a_head(path, tmp_path):
    head = write(path, 3)
    other = tmp_path / "other.jsonl"
    write(other, 5, start=1)
    assert verify_audit(other)
    report = verify_audit(other, head)
    assert not report
    assert report.line == 3
    with pytest.raises(InputError, match="the log has been replaced"):
        AuditLog(other, expected_head=head)
    assert verify_audit(other, START)


@pytest.mark.parametrize(
    "content", [b"\x89PNG photo", b"{}", b'{"n":2,"time', b"{}\n", b"\n", b"time,close\n1,2\n", b"\0\n"]
)
def test_a_foreign_file_is_refused_and_stays_as_it_is(path, content):
    path.write_bytes(content)
    with pytest.raises(InputError, match="line 1 "):
        AuditLog(path)
    assert path.read_bytes() == content
    assert verify_audit(path).line == 1


@pytest.mark.parametrize("version", [2, None, "1", 1.5])
def test_a_session_of_another_format_is_refused(path, version):
    with AuditLog(path) as log:
        log.append("session", now_ns=1, format=version)
    for read in (AuditLog, verify_audit, lambda path: list(read_audit(path))):
        with pytest.raises(InputError, match=r"line 1: a session of format .*, this version reads 1"):
            read(path)


def test_what_can_not_be_read_is_one_line(tmp_path):
    for read in (AuditLog, verify_audit, lambda path: list(read_audit(path))):
        with pytest.raises(InputError, match="can not be"):
            read(tmp_path)
    with pytest.raises(InputError, match="can not be read"):
        verify_audit(tmp_path / "none")


# --- torn lines -------------------------------------------------------------------------------------------------------


def test_any_beginning_of_the_last_line_is_torn_moved_out_and_recorded(whole):
    path, original, head = whole
    before = b"".join(original[:-1])
    for n in range(1, len(original[-1])):
        path.write_bytes(before + original[-1][:n])
        report = verify_audit(path)
        assert report
        assert (report.n_torn, report.head.n_lines) == (n, N - 1)
        assert not verify_audit(path, head)
        if n % 5 and n < len(original[-1]) - 1:
            continue
        with AuditLog(path) as log:
            assert log.head.n_lines == N
            log.append("feed", now_ns=1)
        assert path.read_bytes().startswith(before)
        *_, torn, _ = read_audit(path)
        assert (torn.kind, torn.content) == ("torn", {"n_bytes": n, "text": original[-1][:n].decode()})


@pytest.mark.parametrize("n", [0, 3, 40])
def test_zeros_that_a_power_cut_leaves_are_torn(whole, n):
    path, original, _ = whole
    path.write_bytes(b"".join(original[:-1]) + original[-1][:n] + b"\0" * 9)
    with AuditLog(path):
        pass
    *_, torn = read_audit(path)
    assert torn.content["n_bytes"] == n + 9


def test_nothing_but_the_last_line_can_be_torn(whole):
    path, original, _ = whole
    for where in range(N - 1):
        lines = list(original)
        lines[where] = lines[where][:30]
        path.write_bytes(b"".join(lines))
        assert verify_audit(path).line == where + 1
        lines[where] += b"\n"
        path.write_bytes(b"".join(lines))
        assert verify_audit(path).line == where + 1


def test_a_torn_end_is_kept_where_lines_are_missing(whole):
    path, original, head = whole
    content = b"".join(original[:-2]) + original[-2][:50]
    path.write_bytes(content)
    with pytest.raises(InputError, match="the end has been cut off"):
        AuditLog(path, expected_head=head)
    assert path.read_bytes() == content


# --- kills ------------------------------------------------------------------------------------------------------------

KILLED = """
import os, pathlib, random, signal, sys, time
from companion.live import AuditLog, read_audit, verify_audit

path = pathlib.Path(sys.argv[1])
random.seed(1)
heard = 0
for kill in range(20):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        log = AuditLog(path)
        while True:
            text, sync = "x" * random.choice((1, 300, 9000)), log.head.n_lines % 50 == 0
            head = log.append("feed", now_ns=1, sync=sync, text=text)
            os.write(writer, head.n_lines.to_bytes(8, "big"))
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        file.read(8)
        time.sleep(random.uniform(0, 0.02))
        os.kill(child, signal.SIGKILL)
        told = file.read()
    os.waitpid(child, 0)
    heard = max(heard, int.from_bytes(told[-8:], "big"))
    report = verify_audit(path)
    assert report, report
    assert report.head.n_lines >= heard, (report, heard)
print(report.head.n_lines, sum(line.kind == "torn" for line in read_audit(path)))
"""


def test_a_kill_while_lines_are_added_leaves_the_chain_whole(path):
    n_lines, n_torn = map(int, run(KILLED, path).split())
    assert n_lines > 100
    assert n_torn <= 20


KILLED_AT_EACH_STEP = """
import os, pathlib, shutil, sys
sys.path.insert(0, os.getcwd())
from killing import kill_at_each_step
from companion.live import AuditLog, read_audit, verify_audit

path, template = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1] + ".template")
with AuditLog(template) as log:
    for i in range(3):
        log.append("feed", now_ns=i)
template.write_bytes(template.read_bytes()[:-20])
shutil.copyfile(template, path)
outcomes = set()

def work(k, pipe):
    with AuditLog(path) as log:  # moves the torn line out
        os.write(pipe, b"o")
        log.append("order", now_ns=1, sync=True)
        os.write(pipe, b"a")

def after(k, heard):
    report = verify_audit(path)
    assert report, report
    kinds = [line.kind for line in read_audit(path)]
    assert kinds == ["feed", "feed", "torn", "order"][: len(kinds)] and len(kinds) >= 2 + len(heard), (kinds, heard)
    assert (report.n_torn > 0) == (len(kinds) == 2)  # it is there, or the line about it is
    outcomes.add((heard, len(kinds)))
    shutil.copyfile(template, path)

kills = kill_at_each_step(work, after)
assert {(b"", 2), (b"", 3), (b"o", 3), (b"o", 4), (b"oa", 4)} == outcomes, outcomes
print(kills)
"""


def test_a_kill_at_any_step_of_the_recovery_loses_neither_the_torn_line_nor_its_record(path):
    assert int(run(KILLED_AT_EACH_STEP, path)) > 100


# --- a disk that fails ------------------------------------------------------------------------------------------------

FULL = """
import resource, sys
from companion.errors import InputError
from companion.live import AuditLog, verify_audit
log = AuditLog(sys.argv[1])
before = log.append("feed", now_ns=1)
size = log.path.stat().st_size
for room in (0, 1, 50):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, resource.RLIM_INFINITY))
    try:
        log.append("order", now_ns=2)
    except InputError as error:
        assert "can not be written (" in str(error), error
    else:
        raise AssertionError
    assert log.path.stat().st_size == size and log.head == before == verify_audit(log.path).head
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
after = log.append("order", now_ns=3)
assert verify_audit(log.path, after)
"""


def test_a_full_disk_refuses_a_line_and_leaves_no_part_of_it(path):
    run(FULL, path)


class HalfWriting:
    """A file that takes ten bytes a write, and can not be cut."""

    def __init__(self, file):
        self.file, self.closed = file, False

    def write(self, line):
        return self.file.write(line[:10])

    def truncate(self, size):
        raise OSError(5, "Input/output error")

    def fileno(self):
        return self.file.fileno()


def test_half_a_line_that_can_not_be_taken_back_ends_the_log_until_it_is_opened_again(path):
    log = AuditLog(path)
    before, file = log.append("feed", now_ns=1), log._file
    log._file = HalfWriting(file)
    with pytest.raises(InputError, match="can not be written"):
        log.append("feed", now_ns=2)
    log._file = file
    with pytest.raises(InputError, match=r"ends in half a line \(Input/output error\)"):
        log.append("feed", now_ns=3)
    log.close()
    assert verify_audit(path).n_torn == 10
    with AuditLog(path, expected_head=before) as log:
        assert log.head.n_lines == 2


def test_a_line_that_may_not_be_on_the_disk_is_an_error_and_stays_in_the_chain(path, monkeypatch):
    with AuditLog(path) as log:

        def fail(handle):
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fail)
            with pytest.raises(InputError, match=r"can not be written \(Input/output error\)"):
                log.append("order", now_ns=1, sync=True)
            with pytest.raises(InputError, match=r"can not be written \(Input/output error\)"):
                log.sync()
        log.append("order", now_ns=2, sync=True)
    assert verify_audit(path, log.head).head.n_lines == 2


# --- writers ----------------------------------------------------------------------------------------------------------


SECOND_WRITER = """
import sys
from companion.live import AuditLog
try:
    AuditLog(sys.argv[1])
except ValueError as error:
    print(error)
"""


def test_a_second_writer_is_refused_and_readers_are_not(path, tmp_path):
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    with AuditLog(path) as log:
        log.append("feed", now_ns=1)
        for name in (path, link):
            with pytest.raises(InputError, match="is being written already"):
                AuditLog(name)
        assert "is being written already" in run(SECOND_WRITER, path)
        log.append("feed", now_ns=2)
        assert len(list(read_audit(path))) == 2
    with AuditLog(path) as log:
        assert log.head.n_lines == 2
    with pytest.raises(ValueError, match="log must be open"):
        log.append("feed", now_ns=3)
    log.close()
    assert verify_audit(path).head.n_lines == 2


def test_a_place_that_can_not_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="can not be written"):
        AuditLog(tmp_path / "file" / "audit.jsonl")


def test_a_log_that_is_copied_while_it_grows_reads_as_far_as_it_goes(path, tmp_path):
    with AuditLog(path) as log:
        log.append("feed", now_ns=1)
        shutil.copyfile(path, tmp_path / "copy")
    assert [line.n for line in read_audit(tmp_path / "copy")] == [1]
