"""`companion breaker` and `companion live-replay`: light, one line a complaint, and a status that a script can read."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from companion.cli import main
from companion.desk import Bar
from companion.live import AuditLog, CircuitBreaker, DeskRecipe

TIME = r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "breaker.json"


def said(capsys, *argv):
    status = main([str(word) for word in argv])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


# --- breaker ----------------------------------------------------------------------------------------------------------


def test_a_breaker_from_armed_to_tripped_and_back(file, capsys):
    CircuitBreaker(file)
    assert said(capsys, "breaker", "status", "--file", file) == (0, f"{file}: not tripped\n", "")

    status, out, err = said(capsys, "breaker", "trip", "the market looks odd", "--file", file)
    assert (status, err) == (0, "")
    assert re.fullmatch(rf"{file}: tripped since {TIME} \(person\): the market looks odd\n", out)
    assert CircuitBreaker(file).tripped.reason == "the market looks odd"

    status, out, err = said(capsys, "breaker", "status", "--file", file)
    assert (status, err) == (1, "")
    assert out.startswith(f"{file}: tripped (person): the market looks odd\n")

    status, out, err = said(capsys, "breaker", "reset", "--reason", "it was a holiday", "--file", file)
    assert (status, err) == (0, "")
    assert CircuitBreaker(file).tripped is None
    status, out, _ = said(capsys, "breaker", "status", "--file", file)
    assert status == 0
    assert re.search(rf"  {TIME} trip \(person\): the market looks odd\n  {TIME} reset: it was a holiday\n$", out)


def test_in_a_hurry_no_reason_is_needed_to_trip_and_the_first_stays(file, capsys):
    CircuitBreaker(file)
    assert said(capsys, "breaker", "trip", "--file", file)[0] == 0
    status, out, _ = said(capsys, "breaker", "trip", "another", "--file", file)
    assert status == 0
    assert "(person): by hand" in out


def test_a_trip_of_a_file_that_is_not_there_makes_it_and_warns(file, capsys):
    status, out, _ = said(capsys, "breaker", "trip", "--file", file)
    assert status == 0
    assert "a new file, so check that the service was started with it" in out
    assert CircuitBreaker(file).tripped is not None


def test_without_a_file_name_it_is_that_of_the_service(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert said(capsys, "breaker", "trip")[0] == 0
    assert CircuitBreaker(tmp_path / "build" / "live" / "breaker.json").tripped is not None


def test_a_folder_stands_for_the_breaker_in_it(file, capsys):
    CircuitBreaker(file)
    status, out, _ = said(capsys, "breaker", "trip", "--file", file.parent)
    assert status == 0
    assert "new file" not in out
    assert CircuitBreaker(file).tripped is not None
    assert said(capsys, "breaker", "status", "--file", file.parent)[0] == 1


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["status"], "no such breaker; give --file"),
        (["reset", "why"], "no such breaker; give --file"),
        (["reset"], "--reason"),
        (["sttus"], "sttus"),
        (["trip", "a", "b"], "b"),
    ],
)
def test_a_mistake_is_one_line_and_makes_no_file(file, capsys, argv, says):
    status, out, err = said(capsys, "breaker", *argv, *(["--file", file] if argv[0] != "sttus" else []))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err
    assert not file.exists()


def test_a_reset_is_refused_without_a_reason_or_a_trip(file, capsys):
    CircuitBreaker(file)
    status, _, err = said(capsys, "breaker", "reset", "why", "--file", file)
    assert (status, err.count("\n")) == (2, 1)
    assert "is not tripped; there is nothing to reset" in err
    CircuitBreaker(file).trip("ood", "far out", now_ns=1)
    status, _, err = said(capsys, "breaker", "reset", " ", "--file", file)
    assert (status, err.count("\n")) == (2, 1)
    assert CircuitBreaker(file).tripped is not None


def test_a_damaged_file_is_tripped_and_a_reset_repairs_it(file, capsys):
    file.write_text("half a fi")
    status, out, _ = said(capsys, "breaker", "status", "--file", file)
    assert status == 1
    assert out.startswith("tripped, for it can not be trusted: ")
    assert said(capsys, "breaker", "trip", "--file", file)[0] == 0
    assert file.read_text() == "half a fi"
    assert said(capsys, "breaker", "reset", "the disk was full", "--file", file)[0] == 0
    assert said(capsys, "breaker", "status", "--file", file)[0] == 0
    [kept] = file.parent.glob("*.damaged-*")
    assert kept.read_text() == "half a fi"


def test_a_trip_that_is_not_on_the_disk_is_no_success(tmp_path, capsys):
    (tmp_path / "file").touch()
    status, out, err = said(capsys, "breaker", "trip", "--file", tmp_path / "file" / "breaker.json")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "can not be" in err


PROGRAM = """
import sys
from companion.cli import main
status = main(sys.argv[1:])
print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)
sys.exit(status)
"""


@pytest.mark.parametrize("argv", [["status"], ["trip"], ["reset", "a test"], ["--help"]])
def test_the_breaker_opens_nothing_heavy(file, argv):
    CircuitBreaker(file).trip("ood", "far out", now_ns=1)
    words = ["breaker", *argv, *([] if argv == ["--help"] else ["--file", str(file)])]
    environment = os.environ | {"COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, env=environment, timeout=600
    )
    assert done.returncode == (1 if argv == ["status"] else 0), done.stderr
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "companion" in loaded
    assert not loaded & {
        "torch",
        "nautilus_trader",
        "pandas",
        "numba",
        "scipy",
        "sklearn",
        "aiohttp",
        "textual",
        "alembic",
    }


# --- live-replay ------------------------------------------------------------------------------------------------------

RECIPE = DeskRecipe(size_precision=3, size_increment=Decimal("0.001"), bar="1m")


@pytest.fixture(scope="module")
def contents():
    """Session and decisions of a log, as kinds and contents."""
    desk, told = RECIPE.make(), []
    told.append(("session", {"format": 1, "desk": RECIPE.to_json(), "state": desk.state()}))
    for i in range(30):
        price = 100.0 + (i % 3)
        bar = Bar(datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=i), price, price, price, price)
        told.append(("decision", {"decision": json.loads(desk.on_bar(bar, equity=Decimal(1000)).to_json())}))
    return told


def write(path, contents):
    with AuditLog(path) as log:
        for kind, content in contents:
            log.append(kind, now_ns=1, **content)
    return path


def test_a_replay_says_that_all_is_as_logged(tmp_path, capsys, contents):
    audit = write(tmp_path / "audit.jsonl", contents)
    told = f"{audit}: 30 decisions of 1 sessions made again: all as logged\n"
    assert said(capsys, "live-replay", audit) == (0, told, "")


def test_a_replay_says_where_it_differs(tmp_path, capsys, contents):
    planted = json.loads(json.dumps(contents))
    planted[12][1]["decision"]["p_stable"] += 1e-6
    audit = write(tmp_path / "audit.jsonl", planted)
    status, out, err = said(capsys, "live-replay", audit)
    assert (status, err) == (1, "")
    where, total = out.splitlines()
    assert where.startswith("line 13, 1970-01-01T00:00:00+00:00: p_stable was 0.")
    assert total.endswith("30 decisions of 1 sessions made again: 1 differ from the log")


def test_a_replay_lists_the_first_twenty(tmp_path, capsys, contents):
    planted = json.loads(json.dumps(contents))
    for _, content in planted[1:]:
        content["decision"]["regime"] = 5
    status, out, _ = said(capsys, "live-replay", write(tmp_path / "audit.jsonl", planted))
    assert status == 1
    assert len(out.splitlines()) == 22
    assert out.splitlines()[20] == "…"


def test_a_replay_refuses_what_is_no_whole_log(tmp_path, capsys, contents):
    audit = write(tmp_path / "audit.jsonl", contents)
    audit.write_bytes(audit.read_bytes().replace(b'"equity":"1000"', b'"equity":"1001"', 1))
    for path, says in (
        (audit, "line 2 does not follow"),
        (tmp_path / "none", "can not be read"),
        (tmp_path, "can not be"),
    ):
        status, out, err = said(capsys, "live-replay", path)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert says in err
    assert said(capsys, "live-replay")[0] == 2
