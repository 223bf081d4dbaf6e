import shutil

import pytest

from ledger.core.errors import GuardMissing, RolledBack, StoreError
from ledger.release import GuardFile, Release
from ledger.sqlite import SqliteStore
from tests.ledger.makers import SIGNER, genesis, message, open_log


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with open_log(SqliteStore.create(home / "ledger.db")) as log:
        log.append_now(genesis(), message("one"))
        Release.begin(log, tmp_path / "state", SIGNER)
    return home


def reopened(home):
    return open_log(SqliteStore.open(home / "ledger.db"))


def release(log, home):
    return Release.open(log, home.parent / "state", SIGNER)


def test_a_head_is_guarded_before_it_is_given(home):
    with reopened(home) as log:
        opened = release(log, home)
        log.append_now(message("two"))
        guard = GuardFile(home.parent / "state", log.ledger_id)
        writes = []
        write = guard.write
        guard.write = lambda note: (writes.append(note), write(note))
        opened.guard = guard
        head = opened.head()
        assert head.size == 3
        assert writes == [head.encode()] == [guard.read()]
        assert opened.head() is head
        assert len(writes) == 1
        assert (guard.path.stat().st_mode & 0o777) == 0o600


def test_nothing_is_released_when_the_guard_cannot_be_written(home):
    with reopened(home) as log:
        opened = release(log, home)
        log.append_now(message("two"))
        shutil.rmtree(home.parent / "state")
        (home.parent / "state").write_text("a file where a folder belongs")
        with pytest.raises(StoreError, match="cannot be written"):
            opened.head()
        assert opened.newest.size == 2


def test_a_restored_backup_is_refused(home, tmp_path):
    backup = tmp_path / "backup"
    shutil.copytree(home, backup)
    with reopened(home) as log:
        opened = release(log, home)
        log.append_now(message("released"))
        opened.head()
    shutil.rmtree(home)
    shutil.copytree(backup, home)
    with reopened(home) as log:
        with pytest.raises(
            RolledBack, match="3 events were released to the world, this ledger holds 2"
        ):
            release(log, home)
        log.append_now(message("another history"), message("longer"))
        with pytest.raises(RolledBack, match="not those that were released"):
            release(log, home)


def test_a_copied_home_without_its_guard_is_refused(home):
    shutil.rmtree(home.parent / "state")
    with reopened(home) as log, pytest.raises(GuardMissing, match="is missing") as caught:
        release(log, home)
    assert "epoch" in caught.value.hint


def test_a_damaged_or_foreign_guard_is_refused(home):
    with reopened(home) as log:
        guard = GuardFile(home.parent / "state", log.ledger_id)
        good = guard.read()
        guard.write(good[:-5] + b"AAA=\n")
        with pytest.raises(GuardMissing, match="is damaged"):
            release(log, home)
        guard.write(good)
        with pytest.raises(RolledBack, match="the guard is of"):
            Release.open(log, home.parent / "state", SIGNER, epoch=1)
        release(log, home)


def test_the_unreleased_tail_may_be_lost_without_harm(home):
    """A crash after commit and before release: the guard is older than the log, which is fine."""
    with reopened(home) as log:
        release(log, home)
        log.append_now(message("never released"))
    with reopened(home) as log:
        assert release(log, home).head().size == 3
