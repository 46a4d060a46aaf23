"""A resumable folder: whatever stops a run, the next one ends with the same files, and nothing of anybody is lost."""

import json
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from companion._runs import _folder
from companion._runs._blocks import Blocks
from companion._runs._folder import ResumableFolder
from companion._tables import DamagedFileError
from companion.errors import InputError

EIGHT = {"packages": {"numpy": "2.0"}, "config": {"blocks": 8, "sizes": (1, 2)}}
OTHER = {"packages": {"numpy": "2.0"}, "config": {"blocks": 3, "sizes": (1, 2)}}
NEWER = {"packages": {"numpy": "2.1"}, "config": {"blocks": 8, "sizes": (1, 2)}}


class Squares(Blocks[int]):
    """A file a number: its square, and where that came from."""

    noun, suffix, maker = "table", ".json", "squares"

    def identify(self, file, command):
        try:
            return json.loads(file.read_text())["identity"]
        except (OSError, ValueError) as error:
            raise DamagedFileError(f"{file}: damaged; make it with `{command}`") from error

    def read(self, file, number, identity):
        value = json.loads(file.read_text())["value"]
        if value != number**2:
            raise InputError(f"{file}: holds {value}; make it with `{self.command(identity, file.parent)}`")
        return value

    def count(self, identity):
        return identity["config"]["blocks"]

    def command(self, identity, folder):
        return f"squares --blocks {self.count(identity)} --out {folder}"


SQUARES = Squares()


class StoppedError(Exception):
    """Ends a run on the way."""


def square(identity, number):
    identity = json.loads(json.dumps(identity))
    return json.dumps({"identity": identity, "value": number**2}).encode(), identity


def write(path, identity=EIGHT, stop_after=None):
    def report(done, total):
        if done == stop_after:
            raise StoppedError

    with ResumableFolder(path, SQUARES, identity) as folder:
        folder.fill(square, identity, report=report)
        folder.finish()
        return [folder.read(number) for number in range(folder.total)]


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def bytes_of(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def whole(tmp_path):
    write(tmp_path / "whole")
    return bytes_of(tmp_path / "whole")


def test_blocks_are_there_only_together(tmp_path):
    folder = tmp_path / "a" / "b"
    with pytest.raises(StoppedError):
        write(folder, stop_after=3)
    assert names(tmp_path / "a") == ["b.partial"]
    with pytest.raises(InputError, match=r"b: not finished, lacks 5 of 8 blocks .* with `squares --blocks 8 --out"):
        SQUARES.open(folder)
    assert write(folder) == [number**2 for number in range(8)]
    assert names(tmp_path / "a") == ["b"]
    assert SQUARES.open(folder) == json.loads(json.dumps(EIGHT))


def test_a_folder_can_not_be_finished_without_a_block(tmp_path):
    with ResumableFolder(tmp_path / "f", SQUARES, EIGHT) as folder:
        folder.put(2, square(EIGHT, 2)[0])
        assert folder.missing() == [0, 1, 3, 4, 5, 6, 7]
        with pytest.raises(RuntimeError, match=r"finished without the blocks \[0, 1, 3"):
            folder.finish()
    assert not (tmp_path / "f").exists()


def test_one_run_at_a_time(tmp_path):
    with ResumableFolder(tmp_path / "f", SQUARES, EIGHT):
        (tmp_path / "link").symlink_to("f")
        for name in ("f", "link"):  # two names of one folder
            with pytest.raises(InputError, match="f: another run is writing it"):
                write(tmp_path / name)
    write(tmp_path / "f")


def test_a_run_of_another_identity_is_not_gone_on_with(tmp_path):
    folder = tmp_path / "f"
    with pytest.raises(StoppedError):
        write(folder, stop_after=2)
    before = bytes_of(tmp_path / "f.partial")
    with pytest.raises(InputError, match=r"\(blocks 8, not 3\); delete it, or finish it with `squares --blocks 8"):
        write(folder, OTHER)
    with pytest.raises(InputError, match=r"\(packages numpy 2\.0, not 2\.1\); delete it to start anew$"):
        write(folder, NEWER)  # the same command would only say so again
    assert bytes_of(tmp_path / "f.partial") == before


def test_what_another_version_wrote_is_said_to_be_that(tmp_path):
    strange = {"packages": {}, "config": {"rows": 3}}
    (tmp_path / "f.partial").mkdir()
    (tmp_path / "f.partial" / "part-00000.json").write_bytes(square(strange, 0)[0])
    for call in (write, SQUARES.open):
        with pytest.raises(InputError, match=r"f\.partial: was not written by this version; run `squares` anew"):
            call(tmp_path / "f")


@pytest.mark.parametrize("stop", [None, 2])
def test_a_symbolic_link_is_followed(tmp_path, stop, whole):
    """The kind of field report 10: the link stays, the folder it leads to is replaced, beside where that lies."""
    disk, link, second = tmp_path / "disk" / "big", tmp_path / "link", tmp_path / "second"
    write(disk, OTHER)
    link.symlink_to(disk)
    second.symlink_to(link)
    if stop is not None:
        with pytest.raises(StoppedError):
            write(second, stop_after=stop)
        assert names(disk.parent) == ["big", "big.partial"]
        assert SQUARES.open(second) == json.loads(json.dumps(OTHER))
    write(second)
    write(link)  # and again
    assert bytes_of(disk) == bytes_of(link) == whole
    assert link.is_symlink()
    assert names(disk.parent) == ["big"]


def test_a_link_to_nothing_makes_what_it_leads_to(tmp_path, whole):
    (tmp_path / "link").symlink_to(tmp_path / "not" / "yet")
    with pytest.raises(InputError, match="yet: no such table"):
        SQUARES.open(tmp_path / "link")
    write(tmp_path / "link")
    assert bytes_of(tmp_path / "not" / "yet") == whole


def test_links_in_a_circle_are_refused_before_the_work(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for call in (write, SQUARES.open):
        with pytest.raises(InputError, match="a: a symbolic link that leads to itself; delete it"):
            call(tmp_path / "a")


def test_a_link_that_was_set_aside_is_let_go_and_what_it_leads_to_stays(tmp_path, whole):
    write(tmp_path / "disk", OTHER)
    (tmp_path / "f.replaced").symlink_to(tmp_path / "disk")
    write(tmp_path / "f")
    write(tmp_path / "f")
    assert bytes_of(tmp_path / "f") == whole
    assert names(tmp_path / "disk") == ["part-00000.json", "part-00001.json", "part-00002.json"]
    assert not (tmp_path / "f.replaced").is_symlink()


def test_what_is_not_ours_is_not_deleted(tmp_path):
    write(tmp_path / "f", OTHER)
    (tmp_path / "f.replaced").mkdir()
    (tmp_path / "f.replaced" / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match=r"f\.replaced: holds 'letter\.txt', which no table has"):
        write(tmp_path / "f")
    assert (tmp_path / "f.replaced" / "letter.txt").read_text() == "mine"


@settings(max_examples=25, deadline=None)
@given(
    before=st.sampled_from([None, OTHER]),
    stops=st.lists(st.tuples(st.sampled_from(["block", "rename", "delete"]), st.integers(0, 7)), max_size=4),
    link=st.booleans(),
)
def test_a_run_that_is_stopped_anywhere_loses_nothing(tmp_path_factory, before, stops, link):
    """Stop it after blocks, before or between the two renames, or while it deletes what was replaced; then go on."""
    place = tmp_path_factory.mktemp("stopped")
    folder = place / "f"
    if link:
        (place / "disk").mkdir()
        folder.symlink_to(place / "disk" / "f")
    if before is not None:
        write(folder, before)
    seen = [readable(folder)]
    for what, at in stops:
        with pytest.MonkeyPatch.context() as patch:
            if what == "rename":
                fail_at(patch, type(folder), "rename", at % 2)
            elif what == "delete":
                patch.setattr(_folder.shutil, "rmtree", stop_deleting)
            with suppress(StoppedError):
                write(folder, stop_after=at if what == "block" else None)
        seen.append(readable(folder))
    write(folder)
    assert readable(folder) == 8
    end = folder.resolve().parent
    assert names(end) == ["f"]
    sizes = [size for size in seen if size is not None]
    assert all(one <= other for one, other in pairwise([3 if size == 3 else 8 for size in sizes]))  # never back


def readable(folder):
    """How many blocks a reader finds; None where there is no finished folder."""
    try:
        identity = SQUARES.open(folder)
    except InputError:
        return None
    return len([SQUARES.block(folder, number, identity) for number in range(SQUARES.count(identity))])


def fail_at(patch, kind, name, count):
    plain, calls = getattr(kind, name), []

    def fail(path, target):
        calls.append(path)
        if len(calls) > count:
            raise StoppedError
        return plain(path, target)

    patch.setattr(kind, name, fail)


def stop_deleting(folder):
    for file in [*folder.iterdir()][:1]:
        file.unlink()
    raise StoppedError


def test_a_worker_of_other_versions_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_folder, "results", lambda *a, **k: (made for made in [(0, square(NEWER, 0))]))
    with (
        ResumableFolder(tmp_path / "f", SQUARES, EIGHT) as folder,
        pytest.raises(InputError, match=r"--scheduler there: a worker has packages numpy 2\.1, not 2\.0"),
    ):
        folder.fill(square, EIGHT, scheduler="there")
    assert not (tmp_path / "f.partial").exists()


def test_a_place_that_can_not_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"f: can not be written \(.*\); make room or choose another place$"):
        write(tmp_path / "file" / "f")
    with pytest.raises(InputError, match=r"file: a file, not a folder of blocks; delete it and run `squares`"):
        write(tmp_path / "file")
