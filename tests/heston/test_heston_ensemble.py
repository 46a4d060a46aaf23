"""An ensemble on disk is the same bits however it was made, and whatever happened on the way."""

import os
import resource
import signal
import subprocess
import sys

import duckdb
import numpy as np
import pandas as pd
import pytest
from dask_processes import workers

from companion._runs import _folder, _workers
from companion.errors import InputError
from companion.heston import RegimeSwitchingHeston
from companion.heston import _ensemble as ensemble
from companion.heston._ensemble import Ensemble, open_ensemble, read_blocks, write_ensemble
from companion.heston.kernels import _blocks

SMALL = Ensemble(paths=50, bars=20, block=7, seed=3)
MANY = Ensemble(paths=3000, bars=250, block=100, seed=3)


def file_name(number):
    return f"part-{number:05d}.parquet"


def bytes_of(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def files_of(folder):
    """What changes when a file is written again."""
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in folder.iterdir()}


def one_after_the_other(folder):
    blocks = list(read_blocks(folder))
    return [np.concatenate([getattr(paths, name) for paths in blocks]) for name in ("price", "variance", "regime")]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return written(SMALL, tmp_path_factory.mktemp("small") / "e.parquet")


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return bytes_of(written(MANY, tmp_path_factory.mktemp("many") / "e.parquet"))


def written(job, folder, **how):
    write_ensemble(job, folder, **how)
    return folder


class StoppedError(Exception):
    """What a test raises to end a run on the way."""


def stop_after(n_blocks):
    def report(done, total):
        if done >= n_blocks:
            raise StoppedError

    return report


def begun(job, folder, n_blocks):
    with pytest.raises(StoppedError):
        write_ensemble(job, folder, report=stop_after(n_blocks))
    return folder.with_name(f"{folder.name}.partial")


@pytest.mark.parametrize("block", [1, 7, 1000])
def test_paths_do_not_depend_on_the_block(tmp_path, block):
    folder = written(Ensemble(paths=50, bars=20, block=block, seed=3), tmp_path / "e.parquet")
    assert len(list(folder.iterdir())) == -(-50 // block)
    at_once = RegimeSwitchingHeston.equity_index().simulate(n_paths=50, n_steps=20, seed=3)
    for name, column in zip(("price", "variance", "regime"), one_after_the_other(folder), strict=True):
        np.testing.assert_array_equal(column, getattr(at_once, name), strict=True)


def test_bytes_do_not_depend_on_the_threads(tmp_path, monkeypatch):
    job = Ensemble(paths=400, bars=20, block=200)
    both = []
    for n_threads in (1, 2):
        monkeypatch.setattr(_blocks, "n_threads", lambda n=n_threads: n)
        both.append(bytes_of(written(job, tmp_path / f"{n_threads}.parquet")))
    assert both[0] == both[1]


def with_pandas(folder):
    return pd.read_parquet(folder)


def with_duckdb(folder):
    with duckdb.connect() as connection:
        return connection.sql(f"SELECT * FROM '{folder}/*.parquet' ORDER BY path, bar").df()


@pytest.mark.parametrize("read", [with_pandas, with_duckdb])
def test_any_reader_of_parquet_opens_the_folder(small, read):
    table = read(small)
    assert list(table.columns) == ["path", "bar", "price", "variance", "regime"]
    np.testing.assert_array_equal(table["path"], np.repeat(np.arange(50), 21))
    np.testing.assert_array_equal(table["bar"], np.tile(np.arange(21), 50))
    for name, column in zip(("price", "variance", "regime"), one_after_the_other(small), strict=True):
        np.testing.assert_array_equal(table[name], column.ravel())


def test_two_runs_do_not_write_one_folder_at_once(small, tmp_path):
    folder, other = tmp_path / "e.parquet", tmp_path / "other.parquet"
    program = (
        "import sys, time; from pathlib import Path; from companion.heston import _ensemble as ensemble\n"
        "def report(done, total):\n"
        "    if done == 3: print('three', flush=True); sys.stdin.readline()\n"
        f"ensemble.write_ensemble(ensemble.{SMALL}, sys.argv[1], report=report)"
    )
    command = [sys.executable, "-c", program, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "three\n"
    with pytest.raises(InputError, match=r"e\.parquet: another run is writing it; wait until it ends"):
        write_ensemble(SMALL, folder)
    written(Ensemble(paths=3, bars=5), other)  # another folder beside it is free
    process.communicate("\n", timeout=600)
    assert process.returncode == 0
    assert bytes_of(folder) == bytes_of(small)
    assert sorted(tmp_path.iterdir()) == [folder, other]


def test_a_stopped_run_goes_on_with_the_blocks_that_are_missing(small, tmp_path):
    folder = tmp_path / "e.parquet"
    partial = begun(SMALL, folder, 3)
    before, seen = files_of(partial), []
    assert len(before) == 3
    with pytest.raises(InputError, match=r"lacks 5 of 8 blocks .* --seed 3 --out"):
        open_ensemble(folder)
    write_ensemble(SMALL, folder, report=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 8) for done in range(3, 9)]
    assert before.items() <= files_of(folder).items()
    assert bytes_of(folder) == bytes_of(small)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_kill_in_the_middle_of_a_file_leaves_no_broken_block(small, tmp_path):
    folder, partial = tmp_path / "e.parquet", tmp_path / "e.parquet.partial"
    program = (
        "import sys, time; from pathlib import Path; from companion.heston import _ensemble as ensemble\n"
        "plain, calls = Path.write_bytes, []\n"
        "def write(path, content):\n"
        "    calls.append(path)\n"
        "    if len(calls) < 4: return plain(path, content)\n"
        "    plain(path, content[:len(content) // 2]); print('half', flush=True); time.sleep(600)\n"
        "Path.write_bytes = write\n"
        f"ensemble.write_ensemble(ensemble.{SMALL}, sys.argv[1])"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=-1, text=True)
    assert process.stdout.readline() == "half\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=600)
    blocks = {file: file.read_bytes() for file in partial.glob("part-*")}
    assert len(blocks) == 3
    assert (tmp_path / ".e.parquet.lock").exists()  # which nobody holds any more
    assert len(list(partial.iterdir())) == 4  # and half of a block under a temporary name
    assert all(content == (small / file.name).read_bytes() for file, content in blocks.items())
    with pytest.raises(InputError, match="lacks 5 of 8 blocks"):
        next(read_blocks(folder))
    assert bytes_of(written(SMALL, folder)) == bytes_of(small)


def test_a_full_disk_leaves_no_broken_block(small, tmp_path):
    folder = tmp_path / "e.parquet"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(done, total):
        if done == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))

    try:
        with pytest.raises(InputError, match=r"part-0000.\.parquet: can not be written \(File too large\); make room"):
            write_ensemble(SMALL, folder, report=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = bytes_of(tmp_path / "e.parquet.partial")
    assert len(kept) == 3
    assert kept.items() <= bytes_of(small).items()
    assert bytes_of(written(SMALL, folder)) == bytes_of(small)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 4}, "seed 3, not 4"),
        ({"paths": 49}, "paths 50, not 49"),
        ({"block": 8}, "block 7, not 8"),
        ({"market": "slow_reverting"}, "market equity_index, not slow_reverting"),
    ],
)
def test_an_unfinished_ensemble_is_not_mixed_with_another(tmp_path, change, says):
    folder = tmp_path / "e.parquet"
    partial = begun(SMALL, folder, 2)
    before = files_of(partial)
    with pytest.raises(InputError) as caught:
        write_ensemble(Ensemble(**{"paths": 50, "bars": 20, "block": 7, "seed": 3} | change), folder)
    message = str(caught.value)
    assert says in message
    assert str(partial) in message
    assert f"`companion {SMALL.command(folder)}`" in message
    assert "\n" not in message
    assert files_of(partial) == before


def test_the_old_ensemble_stays_until_the_new_one_is_complete(tmp_path):
    folder = written(SMALL, tmp_path / "e.parquet")
    new = Ensemble(paths=20, bars=20, block=7, seed=4)
    begun(new, folder, 2)
    assert open_ensemble(folder)[0] == SMALL
    assert written(new, folder, report=lambda done, total: open_ensemble(folder)) == folder
    assert open_ensemble(folder)[0] == new
    assert list(tmp_path.iterdir()) == [folder]


def test_a_symbolic_link_to_a_folder_is_followed(small, tmp_path):
    """Field report 10: it was refused after the work, and for ever after."""
    disk, link = written(Ensemble(paths=2, bars=3), tmp_path / "disk.parquet"), tmp_path / "link.parquet"
    link.symlink_to(disk)
    begun(SMALL, link, 2)
    assert open_ensemble(link)[0].paths == 2
    written(SMALL, link)
    assert bytes_of(disk) == bytes_of(small)
    assert len(list(read_blocks(link))) == SMALL.n_blocks
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [disk, link]


@pytest.mark.parametrize("job", [SMALL, Ensemble(paths=9, bars=5)])
def test_a_kill_between_the_two_renames_loses_nothing(small, tmp_path, job):
    """The old ensemble is set aside and the new one is not in its place: go on with the new, or keep the old."""
    folder, old, partial = (tmp_path / f"e.parquet{end}" for end in ("", ".replaced", ".partial"))
    written(Ensemble(paths=3, bars=5), old)
    written(SMALL, partial)
    if job == SMALL:
        assert bytes_of(written(job, folder)) == bytes_of(small)
        assert list(tmp_path.iterdir()) == [folder]
    else:
        with pytest.raises(InputError, match="other settings"):
            write_ensemble(job, folder)
        assert open_ensemble(folder)[0].paths == 3
        assert bytes_of(partial) == bytes_of(small)


def flip_a_bit(file, other):
    content = bytearray(file.read_bytes())
    content[len(content) // 4] ^= 1
    file.write_bytes(content)


def cut(file, other):
    file.write_bytes(file.read_bytes()[:-40])


def remove(file, other):
    file.unlink()


def take_from_another_seed(file, other):
    file.write_bytes((written(Ensemble(paths=50, bars=20, block=7, seed=4), other) / file.name).read_bytes())


def take_another_block(file, other):
    file.write_bytes((file.parent / file_name(5)).read_bytes())


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (flip_a_bit, "damaged"),
        (cut, "not a whole Parquet file"),
        (remove, "lacks 1 of 8 blocks (2)"),
        (take_from_another_seed, "of another ensemble (seed 4, not 3)"),
        (take_another_block, "column 'path'"),
    ],
)
def test_a_spoiled_block_is_refused_and_mended_by_the_same_command(small, tmp_path, spoil, says):
    folder = written(SMALL, tmp_path / "e.parquet")
    before = files_of(folder)
    spoil(folder / file_name(2), tmp_path / "other.parquet")
    with pytest.raises(InputError) as caught:
        list(read_blocks(folder))
    assert says in str(caught.value)
    assert f"`companion {SMALL.command(folder)}`" in str(caught.value)
    write_ensemble(SMALL, folder)
    after = files_of(folder)
    assert {name for name in before if before[name] != after[name]} == {file_name(2)}
    assert bytes_of(folder) == bytes_of(small)


def test_a_block_too_many_is_refused(tmp_path):
    folder = written(SMALL, tmp_path / "e.parquet")
    (folder / file_name(8)).write_bytes((folder / file_name(7)).read_bytes())
    with pytest.raises(InputError, match=r"part-00008\.parquet: beyond the 8 blocks"):
        open_ensemble(folder)


@pytest.mark.parametrize("name", ["letter.txt", "part-00000.parquet"])
def test_a_folder_with_other_files_is_not_touched(tmp_path, name):
    folder = tmp_path / "mine.parquet"
    folder.mkdir()
    pd.DataFrame({"x": [1]}).to_parquet(folder / name)
    before = bytes_of(folder)
    with pytest.raises(InputError, match=name):
        write_ensemble(SMALL, folder)
    assert bytes_of(folder) == before
    with pytest.raises(InputError, match="a file, not a folder"):
        write_ensemble(SMALL, folder / name)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"market": "moon"}, "market must be one of equity_index"),
        ({"paths": 0}, "paths must be at least 1, got 0"),
        ({"paths": 2**31}, "paths must be at most"),
        ({"bars": 0}, "bars must be at least 1"),
        ({"block": -1}, "block must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"bars": 30_000}, "block times bars must be at most 10,000,000"),
        ({"paths": 1_000_000, "block": 9}, "block must be larger"),
    ],
)
def test_bad_argument_is_named(arguments, says):
    with pytest.raises(ValueError, match=says):
        Ensemble(**arguments)
    market = RegimeSwitchingHeston.equity_index()
    with pytest.raises(ValueError, match="first_path must be a non-negative integer, got -1"):
        market.simulate(n_paths=1, n_steps=1, first_path=-1, seed=0)


def test_memory_does_not_grow_with_the_number_of_blocks(tmp_path):
    """60 more blocks are 100 MB of files and more in memory; the peak may move by a few blocks."""
    program = (
        "import resource, sys; from companion.heston._ensemble import *\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "seen = {}\n"
        "def report(done, total): seen[done] = peak()\n"
        "write_ensemble(Ensemble(paths=40_000, bars=252, block=500), sys.argv[1], report=report)\n"
        "print(seen[20], seen[80])"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "e.parquet")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=True)
    unit = 1024 if sys.platform != "darwin" else 1024**2
    few, many = (int(number) / unit for number in run.stdout.split())
    assert many - few < 50, f"{few:.0f} MiB after 20 blocks, {many:.0f} after 80"


def test_a_cluster_that_loses_a_worker_gives_the_same_bytes(many, tmp_path, cluster):
    address, (_, first, _) = cluster(2)

    def lose(done, total):
        if done == 3:
            first.kill()

    folder = written(MANY, tmp_path / "e.parquet", scheduler=address, report=lose)
    assert bytes_of(folder) == many
    assert len(workers(address)) == 1


def test_a_lost_cluster_keeps_what_is_finished(many, tmp_path, cluster):
    address, (scheduler, _) = cluster(1)
    folder = tmp_path / "e.parquet"

    def lose(done, total):
        if done == 3:
            scheduler.kill()

    with pytest.raises(InputError, match="run the command again to go on where it was"):
        write_ensemble(MANY, folder, scheduler=address, report=lose)
    kept = files_of(tmp_path / "e.parquet.partial")
    assert len(kept) >= 3
    assert bytes_of(written(MANY, folder)) == many
    assert kept.items() <= files_of(folder).items()


def test_a_cluster_that_can_not_work_is_refused(tmp_path, monkeypatch, cluster):
    address, _ = cluster(0)
    monkeypatch.setattr(_workers, "TIMEOUT", 1)
    for where, says in [
        (address, "has no workers; start some with `dask worker"),
        ("nowhere://1:1", "no scheduler answers there"),
        ("tcp://127.0.0.1:1", "no scheduler answers there"),
    ]:
        with pytest.raises(InputError, match=f"--scheduler {where}: {says}"):
            write_ensemble(SMALL, tmp_path / "e.parquet", scheduler=where)
    assert not list(tmp_path.glob("e.parquet*"))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"needs Dask; .* 'modeling-financial-chaos\[cluster\]'"):
        write_ensemble(SMALL, tmp_path / "e.parquet", scheduler=address)


def test_a_worker_with_other_versions_is_refused(tmp_path, monkeypatch):
    content, there = ensemble.encode_block(SMALL, 0)
    old = there | {"packages": there["packages"] | {"numba": "0.1"}}
    monkeypatch.setattr(_folder, "results", lambda *a, **k: ((0, found) for found in [(content, old)]))
    with pytest.raises(InputError, match=r"--scheduler there: a worker has packages numba 0\.1, not"):
        write_ensemble(SMALL, tmp_path / "e.parquet", scheduler="there")
