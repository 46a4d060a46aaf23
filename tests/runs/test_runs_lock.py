"""The lock between two runs: never two owners, and nothing left behind."""

import pytest

from companion._runs import _lock
from companion._runs._lock import locked


def test_one_owner_at_a_time(tmp_path):
    path = tmp_path / ".lock"
    with locked(path) as ours:
        assert ours
        for _ in range(2):  # a refusal does not take the lock away
            with locked(path) as second:
                assert not second
    assert not path.exists()


def test_the_lock_is_free_again_after_an_error_and_after_a_kill(tmp_path):
    path = tmp_path / ".lock"
    with pytest.raises(KeyError), locked(path):
        raise KeyError
    assert not path.exists()
    path.write_text("left by a kill")
    with locked(path) as ours:
        assert ours


def test_a_file_that_its_last_owner_removed_is_no_lock(tmp_path, monkeypatch):
    """Two runs would hold one each: this one the file that is gone, the next one a new file at the same place."""
    path, plain, calls = tmp_path / ".lock", _lock._take, []

    def take(file):
        if not calls:
            path.unlink()
        calls.append(plain(file))
        return calls[-1]

    monkeypatch.setattr(_lock, "_take", take)
    with locked(path) as ours:
        assert ours
        assert calls == [True, True]
        with locked(path) as second:
            assert not second
