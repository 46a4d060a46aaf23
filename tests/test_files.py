"""A file is the old version or the new one, whatever happens in between."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from companion._files import atomic_path, atomic_write_text, provenance, read_json, sha256_file
from companion.errors import InputError


def test_the_new_version_replaces_the_old(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    atomic_write_text(target, "old")
    atomic_write_text(target, "new")
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_in_between_leaves_the_old_version_and_nothing_else(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")

    def write_half():
        with atomic_path(target) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_file_that_a_link_leads_to_is_written_and_the_link_stays(tmp_path):
    (tmp_path / "disk").mkdir()
    for name in ("there", "new"):
        link, target = tmp_path / f"{name}.txt", tmp_path / "disk" / name
        link.symlink_to(target)
        atomic_write_text(link, name)
        assert link.is_symlink()
        assert target.read_text() == name
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    with pytest.raises(InputError, match=r"circle: a symbolic link that leads to itself"):
        atomic_write_text(circle, "")
    assert sorted(path.name for path in tmp_path.rglob("*.part")) == []


def test_only_its_own_errors_are_about_the_place(tmp_path):
    def write(error):
        with atomic_path(tmp_path / "file.txt") as part:
            raise error(part)

    absent = FileNotFoundError(errno.ENOENT, "No such file", str(tmp_path / "another"))
    for other in (absent, ConnectionResetError(errno.ECONNRESET, "reset"), ValueError("x")):
        with pytest.raises(type(other)) as caught:
            write(lambda part, other=other: other)
        assert caught.value is other
    for own in (
        lambda part: OSError(errno.ENOSPC, "No space left on device"),
        lambda part: PermissionError(errno.EACCES, "Permission denied", str(part)),
    ):
        with pytest.raises(InputError, match=r"file.txt: can not be written"):
            write(own)
    (tmp_path / "plain").touch()
    with pytest.raises(InputError, match=r"can not be written \((Not a directory|File exists)"):
        atomic_write_text(tmp_path / "plain" / "x", "")
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_a_kill_in_between_leaves_the_old_version(tmp_path, signal_number):
    target = tmp_path / "file.txt"
    target.write_text("old")
    program = (
        "import signal, sys, time; from companion._files import atomic_path\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job's children ignore it
        "with atomic_path(sys.argv[1]) as part:\n"
        "    part.write_text('half'); print('ready', flush=True); time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(target)], stdout=-1, stderr=-1, text=True)
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal_number)
    process.communicate(timeout=300)
    assert process.returncode != 0
    assert target.read_text() == "old"


def test_provenance_changes_with_an_input_and_with_nothing_else(tmp_path):
    file = tmp_path / "input"
    file.write_text("a")
    first, again = (provenance(seed=1, config={"n": 2}, inputs={"data": file}) for _ in range(2))
    file.write_text("b")
    assert first == again
    assert first["inputs"]["data"]["sha256"] != sha256_file(file)
    assert str(tmp_path) not in str(first)


def test_provenance_of_a_folder_changes_with_a_name_or_a_byte(tmp_path):
    def digest():
        return provenance(seed=1, config={}, inputs={"data": tmp_path})["inputs"]["data"]["sha256"]

    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    first = digest()
    assert digest() == first
    (tmp_path / "b").rename(tmp_path / "c")
    second = digest()
    (tmp_path / "c").write_text("y")
    assert len({first, second, digest()}) == 3


def test_json_that_a_windows_program_saved_is_read(tmp_path):
    (tmp_path / "x.json").write_bytes('{"a": "é"}'.encode("utf-8-sig"))
    assert read_json(tmp_path / "x.json", remedy="") == {"a": "é"}
