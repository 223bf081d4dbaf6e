"""Copies, restored backups and races against the one promise: no two histories are signed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ledger.core.errors import GuardError, GuardMissing, RolledBack
from ledger.core.keys import Signer
from ledger.log import Log
from ledger.release import Release
from ledger.sqlite import SqliteStore
from tests.ledger.makers import SIGNER, fact, genesis, ticking

ROOT = Path(__file__).parents[2]


def opened(path):
    return Log(SqliteStore.open(path / "ledger.db"), clock=ticking(), entropy=os.urandom)


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "home"
    path.mkdir()
    store = SqliteStore.create(path / "ledger.db")
    with Log(store, clock=ticking(), entropy=os.urandom) as log:
        log.append_now(genesis())
        Release.begin(log, tmp_path / "state", SIGNER)
    return path


def test_two_copies_of_a_home_with_one_state_directory_do_not_both_sign(home, tmp_path):
    shutil.copytree(home, tmp_path / "copy")
    state = tmp_path / "state"
    with opened(home) as one, opened(tmp_path / "copy") as two:
        first, second = Release.open(one, state, SIGNER), Release.open(two, state, SIGNER)
        one.append_now(fact(1))
        two.append_now(fact(2))
        first.head()
        with pytest.raises(RolledBack):
            second.head()
        assert second.newest.size == 1


def test_a_fork_of_the_same_size_is_not_released(home, tmp_path):
    shutil.copytree(home, tmp_path / "copy")
    state = tmp_path / "state"
    with opened(home) as log:
        log.append_now(fact(1))
        Release.open(log, state, SIGNER).head()
    with opened(tmp_path / "copy") as fork:
        fork.append_now(fact(2))
        with pytest.raises(RolledBack):
            Release.open(fork, state, SIGNER)


def test_a_home_without_its_state_directory_releases_nothing(home, tmp_path):
    with opened(home) as log, pytest.raises(GuardMissing):
        Release.open(log, tmp_path / "elsewhere", SIGNER)


@pytest.mark.parametrize("damage", [b"", b"\xff", b"timmy/x/0\n1\nAA==\n\n", bytes(100_000)])
def test_a_damaged_guard_is_not_taken_for_none(home, tmp_path, damage):
    state = tmp_path / "state"
    with opened(home) as log:
        (state / log.ledger_id.hex() / "head").write_bytes(damage)
        with pytest.raises(GuardError):
            Release.open(log, state, SIGNER)


def test_a_guard_signed_by_another_key_is_not_believed(home, tmp_path):
    state = tmp_path / "state"
    with opened(home) as log:
        Release.begin(log, state, Signer(b"\x22" * 32))
        with pytest.raises(GuardError):
            Release.open(log, state, SIGNER)


def test_a_guard_of_another_epoch_is_not_crossed(home, tmp_path):
    state = tmp_path / "state"
    with opened(home) as log:
        Release.begin(log, state, SIGNER, epoch=1)
        with pytest.raises(RolledBack):
            Release.open(log, state, SIGNER, epoch=0)


CUT_OFF = """
import os, sys
from pathlib import Path
from tests.attacks.test_attack_guard import opened
from tests.ledger.makers import message

log = opened(Path(sys.argv[1]))
log.append_now(message("the word is " + sys.argv[2]))
log._scrub = lambda: os._exit(9)
log.append_now(log.redaction([1], reason="asked", actor="operator"))
"""


def test_a_redaction_cut_off_before_the_log_was_emptied_is_finished_at_the_next_start(home):
    secret = "zanzibarkittiwake"
    child = [sys.executable, "-c", CUT_OFF, str(home), secret]
    assert subprocess.run(child, check=False, cwd=ROOT).returncode == 9
    with opened(home) as log:
        assert log.read(1).redacted
        left = {path.name: path.read_bytes().count(secret.encode()) for path in home.iterdir()}
        assert sum(left.values()) == 0, left
