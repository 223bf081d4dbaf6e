"""A voter's book: it answers as the voter in memory does, and forgets nothing that it said."""

import random
import signal
import subprocess
import sys

import apsw
import pytest

from ledger.core.errors import StoreDamaged, StoreError
from mesh.core.fleet.duty import (
    FORGOTTEN,
    HELD,
    KEPT_S,
    NEXT_VOTERS,
    SKEW_S_MAX,
    WINDOW_S_MAX,
    Ask,
    Grant,
    Refusal,
    Voter,
)
from mesh.fleet.grants import GrantBook, forget

NOW = 1_000_000_000
ME = b"v" * 32
MEMBERS = tuple(bytes([number]) * 32 for number in range(1, 4))
MANIFEST = b"m" * 32


def ask(number: int, member: int, planned_s=NOW) -> Ask:
    return Ask(
        run=number.to_bytes(16, "big"),
        planned_s=planned_s,
        until_s=planned_s + 900,
        member=MEMBERS[member],
        manifest=MANIFEST,
    )


def book_at(path, now_s=NOW - SKEW_S_MAX - 1) -> GrantBook:
    """By default one that has been there long enough to grant what is planned now."""
    return GrantBook(path, me=ME, now_s=now_s)


def asked(book, question, now_s=NOW):
    return book.asked(question, now_s, manifest=MANIFEST, members=MEMBERS)


@pytest.mark.parametrize("seed", range(20))
def test_it_answers_as_a_voter_in_memory_over_restarts(tmp_path, seed):
    draw = random.Random(seed)
    twin = Voter(ME, floor_s=NOW)
    book, now_s = book_at(tmp_path / "grants.db"), NOW
    for _ in range(60):
        if draw.random() < 0.2:
            book.close()
            book = book_at(tmp_path / "grants.db", now_s)
        now_s += draw.choice([0, 10, 1000, KEPT_S // 3])
        question = ask(draw.randrange(20), draw.randrange(3), now_s + draw.randint(-4000, 4000))
        assert asked(book, question, now_s) == twin.asked(
            question, now_s, manifest=MANIFEST, members=MEMBERS
        )
    assert book.granted == twin.granted
    book.close()


def test_a_new_book_grants_nothing_that_a_lost_one_may_have_granted(tmp_path):
    lost = book_at(tmp_path / "lost.db")
    newest = ask(1, 0, NOW + SKEW_S_MAX)
    assert isinstance(asked(lost, newest), Grant)
    later = ask(2, 0, NOW + SKEW_S_MAX + 1)
    assert asked(lost, later).why == "not its time"
    lost.close()
    new = book_at(tmp_path / "new.db", NOW)
    for now_s in (NOW, NOW + 1, NOW + SKEW_S_MAX):
        answer = asked(new, ask(1, 1, NOW + SKEW_S_MAX), now_s)
        assert answer.why == "of before what this voter remembers"
    assert isinstance(asked(new, later, NOW + 1), Grant)
    new.close()


def test_a_fresh_voter_grants_at_once_and_its_file_is_made_once(tmp_path):
    """Who never had a file has forgotten nothing; who has one is asked for it, fresh or not."""
    fresh = GrantBook(tmp_path / "fresh.db", me=ME, now_s=NOW, fresh=True)
    assert isinstance(asked(fresh, ask(1, 0)), Grant)
    fresh.close()
    again = GrantBook(tmp_path / "fresh.db", me=ME, now_s=NOW, fresh=True)
    assert asked(again, ask(1, 1)).holder == MEMBERS[0]
    again.close()


def test_a_promise_is_on_disk_and_holds_after_a_restart(tmp_path):
    book = book_at(tmp_path / "grants.db")
    assert isinstance(asked(book, ask(1, 0)), Grant)
    assert not book.promise(0, NOW)
    assert book.promises_s == NOW + 1
    assert book.promise(0, NOW + 1)
    book.close()
    again = book_at(tmp_path / "grants.db")
    later = ask(2, 0, NOW + 1)
    assert asked(again, later, NOW + 1).why == NEXT_VOTERS
    assert isinstance(asked(again, ask(1, 0)), Grant)
    again._db.execute("pragma query_only=ON")
    with pytest.raises(StoreError):
        again.promise(1, NOW + 100)
    assert again._voter.promised == (0, NOW + 1), "what is not on disk is not promised"
    again.close()


def test_a_file_of_before_promises_is_brought_forward(tmp_path):
    path = tmp_path / "grants.db"
    book = book_at(path)
    asked(book, ask(1, 0))
    book._db.execute("DROP TABLE promise; DROP TABLE woke")
    book._db.pragma("user_version", 1)
    book.close()
    again = book_at(path)
    assert asked(again, ask(1, 1)).holder == MEMBERS[0]
    assert again.promise(0, NOW + 1)
    again.close()


def woken(path, start, before):
    """Open the file under a start of the node, ask it for a run, and say what it answers."""
    book = book_at(path, NOW)
    known = book.wake(start, before, NOW)
    answer = asked(book, ask(1, 0))
    book.close()
    return known, getattr(answer, "why", "granted")


def test_an_old_copy_of_the_file_is_known_by_the_starts_that_it_does_not_name(tmp_path):
    path, old = tmp_path / "grants.db", tmp_path / "old.db"
    book_at(path).close()
    assert woken(path, b"first", b"") == (True, "granted")
    old.write_bytes(path.read_bytes())
    assert woken(path, b"second", b"first") == (True, "granted")
    assert woken(path, b"second", b"first") == (True, "granted"), "opened twice in one run"
    assert woken(path, b"third", b"second") == (True, "granted")
    path.write_bytes(old.read_bytes())
    assert woken(path, b"fourth", b"third") == (False, FORGOTTEN)
    assert woken(path, b"fifth", b"fourth") == (True, FORGOTTEN), "for an hour, as it is on disk"


def test_what_is_lost_stays_lost_over_restarts(tmp_path):
    path = tmp_path / "grants.db"
    forget(path, NOW)
    assert not path.exists(), "a new file has its floor"
    book = book_at(path)
    assert isinstance(asked(book, ask(1, 0)), Grant)
    held = book.asked(ask(2, 0), NOW, manifest=MANIFEST, members=MEMBERS, held=True)
    assert held.why == HELD
    book.close()
    forget(path, NOW)
    again = book_at(path)
    floor_s = NOW + SKEW_S_MAX + 1
    assert asked(again, ask(1, 0)).why == FORGOTTEN
    assert again.begins_s == again.promises_s == floor_s
    assert isinstance(asked(again, ask(3, 0, floor_s), floor_s), Grant)
    again._db.execute("pragma query_only=ON")
    with pytest.raises(StoreError):
        again.lost(NOW + 1000)
    assert again.begins_s == floor_s, "what is not on disk is asked for again"
    again.close()


def test_what_cannot_be_written_is_not_granted(tmp_path):
    book = book_at(tmp_path / "grants.db")
    book._db.execute("pragma query_only=ON")
    with pytest.raises(StoreError):
        asked(book, ask(1, 0))
    assert book.granted == {}
    book._db.execute("pragma query_only=OFF")
    assert isinstance(asked(book, ask(1, 1)), Grant)
    assert isinstance(asked(book, ask(1, 0)), Refusal)
    book.close()


def test_two_processes_on_one_file_do_not_grant_a_run_twice(tmp_path):
    one, two = book_at(tmp_path / "grants.db"), book_at(tmp_path / "grants.db")
    assert isinstance(asked(one, ask(1, 0)), Grant)
    with pytest.raises(StoreError):
        asked(two, ask(1, 1))
    assert asked(two, ask(1, 1)).holder == MEMBERS[0]
    one.close()
    two.close()


def test_a_flipped_bit_is_no_grant(tmp_path):
    path = tmp_path / "grants.db"
    book = book_at(path)
    asked(book, ask(1, 0))
    book.close()
    data = bytearray(path.read_bytes())
    place = data.index(MEMBERS[0])
    data[place] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StoreDamaged):
        book_at(path)


def test_a_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "grants.db"
    with apsw.Connection(str(path)) as other:
        other.execute("create table t (x)")
    other.close()
    with pytest.raises(StoreError):
        book_at(path)


CHILD = """
import sys
from pathlib import Path
from tests.mesh.test_grants import ask, asked, book_at
book = book_at(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), 1_000_000):
    answer = asked(book, ask(number, number % 3))
    print(number, type(answer).__name__, flush=True)
"""


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_between_any_two_moments_takes_back_no_grant_that_was_told(tmp_path, seed):
    draw, path, told = random.Random(seed), tmp_path / "grants.db", []
    for _ in range(3):
        begin = len(told)
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(begin)], stdout=subprocess.PIPE, text=True
        )
        told += [child.stdout.readline().split() for _ in range(draw.randint(1, 60))]
        child.send_signal(signal.SIGKILL)
        told += [line.split() for line in child.stdout if line.endswith("\n")]
        child.wait()
        child.stdout.close()
    book = book_at(path)
    assert len(told) > 3
    for number, answer in told:
        assert answer == "Grant"
        rival = asked(book, ask(int(number), (int(number) + 1) % 3))
        assert rival.holder == MEMBERS[int(number) % 3]
    book.close()


def test_no_window_of_a_grant_outlives_what_is_remembered():
    assert KEPT_S > WINDOW_S_MAX + 2 * SKEW_S_MAX
