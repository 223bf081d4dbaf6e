"""A redaction cut short anywhere is finished by the next start; a reader in the way only delays it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger.core.errors import StoreError
from ledger.sql import connect
from ledger.sqlite import SqliteStore
from ledger.views import Views
from node.home import Home as Places
from node.keeping.redacting import pending
from tests.ledger.makers import genesis, message, open_log
from tests.node.world import COMMAND_SECONDS, until
from tests.redaction.residue import residue

ROOT = Path(__file__).parents[2]
SHORT = "Wolframbeere sandelhorn"
LONG = "quaxelaborn sandelbrund " * 400
"""On overflow pages, and few words to search by: each is steps of its own."""


@pytest.fixture
def seed(tmp_path):
    """Three messages, indexed; the second and third are to be erased. Closed in order."""
    folder = tmp_path / "seed"
    folder.mkdir()
    with open_log(SqliteStore.create(folder / "ledger.db")) as log:
        log.append_now(genesis())
        log.append_now(message("stays"), message(SHORT), message(LONG))
        views = Views(folder / "views.db", log)
        views.catch_up()
        views.close()
    return folder


def left_in(folder, salts):
    """Like `residue`, in fewer looks: some of the words, and the salts."""
    some = [word.encode() for word in [*SHORT.lower().split(), *LONG.split()[:2]]]
    some += [salt[at : at + 8] for salt in salts for at in (0, 12, 24)]
    data = {path.name: path.read_bytes().lower() for path in folder.iterdir()}
    return {name: left for name in data if (left := [x for x in some if x.lower() in data[name]])}


def test_every_step_of_a_redaction_may_be_the_last(seed, tmp_path):
    store = SqliteStore.open_read_only(seed / "ledger.db")
    salts = [record.content_salt for record in store.records(2, 4)]
    store.close()
    assert set(left_in(seed, salts)) == {"ledger.db", "views.db"}
    tries = tmp_path / "tries"
    child = [sys.executable, "-m", "tests.redaction.dying", str(seed), str(tries)]
    steps = int(subprocess.run(child, check=True, cwd=ROOT, capture_output=True).stdout)
    assert steps > 50, "each statement is a step"
    seen = set()
    for number in range(1, steps + 1):
        folder = tries / f"{number:04d}"
        seen.add(look_and_finish(folder, salts))
    assert seen == {"not begun", "pending", "done"}


def look_and_finish(folder, salts):
    """What a try was found as; whatever it was, the next start finishes it."""
    home = Places(path=folder, state=folder)
    with open_log(SqliteStore.open_read_only(folder / "ledger.db")) as log:
        begun, told = log.size == 5, pending(home, log)
    before = left_in(folder, salts)
    assert not (begun and before) or told, (folder.name, before)
    with open_log(SqliteStore.open(folder / "ledger.db")) as log:
        assert log.read(2).redacted == log.read(3).redacted == begun
        views = Views(folder / "views.db", log)
        views.catch_up()
        assert views.purge()
        assert [hit.position for hit in views.search("wolframbeere")] == [2] * (not begun)
        assert [hit.position for hit in views.search("stays")] == [1]
        views.close()
        assert pending(home, log) == []
    assert bool(left_in(folder, salts)) != begun, folder.name
    if not begun:
        return "not begun"
    return "pending" if told else "done"


def test_a_killed_command_says_pending_and_the_next_start_finishes_it(born, tmp_path):
    with born.running() as node:
        at = node.say(SHORT)["message"]["position"]
    code = (
        "import os, signal, sys, ledger.log, node.cli as m\n"
        "ledger.log.Log._scrub = lambda self: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"sys.argv = ['timmy', 'redact', '{at}', '--derived', '--yes']\n"
        "m.main()\n"
    )
    done = born.python(code)
    assert done.code == -signal.SIGKILL, done
    assert set(residue([SHORT], [], tmp_path)), "the log file still has it"
    report = born.run("--json", "verify").good().json
    [told] = [line["text"] for line in report["lines"] if line["name"] == "erasure"]
    assert "redaction pending in the ledger's write-ahead log and the search index" in told
    findings = {one["name"]: one for one in born.run("--json", "doctor").json}
    assert findings["redactions"]["ok"] is False
    assert "redaction pending" in findings["redactions"]["text"]
    with born.running() as node:
        until(lambda: not node.status()["redaction_pending"], COMMAND_SECONDS, "it is finished")
        assert residue([SHORT], [], tmp_path, pids=(node.process.pid,)) == {}
    assert "erasure" not in born.run("verify").good().out
    findings = {one["name"]: one for one in born.run("--json", "doctor").json}
    assert findings["redactions"]["ok"] is True


def test_a_reader_that_holds_a_snapshot_delays_the_end_and_nothing_else(born, tmp_path):
    with born.running() as node:
        at = node.say(SHORT)["message"]["position"]
        readers = [connect(born.path / name, read_only=True) for name in ("ledger.db", "views.db")]
        for reader, table in zip(readers, ("event", "cursor"), strict=True):
            reader.execute(f"begin; select count(*) from {table}")
        answer = node.request("POST", "/v1/redact", {"positions": [at]})
        assert (answer.status, answer.json["finished"]) == (200, False)
        assert node.status()["redaction_pending"] is True
        assert "redaction pending" in born.run("verify").good().out
        findings = {one["name"]: one for one in born.run("--json", "doctor").good().json}
        assert findings["redactions"]["ok"] is None, "the node is at it: nothing is wrong"
        began = time.monotonic()
        assert node.say("are you still there?")["answer"]
        assert time.monotonic() - began < 20, "nobody waits for the reader"
        for reader in readers:
            reader.execute("rollback")
        until(
            lambda: not node.status()["redaction_pending"],
            COMMAND_SECONDS,
            "it is finished by itself",
        )
        at_rest = node.request("POST", "/v1/redact", {"positions": [at]}).json
        assert at_rest["finished"] is True
        for reader in readers:
            reader.close()
        assert residue([SHORT], [], tmp_path, pids=(node.process.pid,)) == {}


def test_requests_that_were_committed_are_not_told_of_a_scrub_that_failed(seed, monkeypatch):
    class Stubborn(SqliteStore):
        """A disk that takes commits, and then not the emptying of the log."""

        broken = True

        def scrub(self):
            if self.broken:
                raise StoreError("no space for a checkpoint")
            return super().scrub()

    Stubborn.broken = False
    store = Stubborn.open(seed / "ledger.db")
    with open_log(store) as log:
        store.broken = True
        erased, said = log.append_now(
            log.redaction([2], reason="asked", actor="operator"), message("in the same commit")
        )
        assert (erased.position, said.position) == (4, 5)
        assert log.read(2).redacted
        assert log.erasing
        assert log.finish_erasing() is False
        store.broken = False
        assert log.finish_erasing() is True
        assert not log.erasing


async def test_the_writer_goes_on_trying_while_nothing_is_said(seed):
    reader = connect(seed / "ledger.db", read_only=True)
    with open_log(SqliteStore.open(seed / "ledger.db")) as log:
        reader.execute("begin; select count(*) from event")
        await log.append(log.redaction([2, 3], reason="asked", actor="operator"))
        assert log.erasing
        reader.execute("rollback")
        until(lambda: not log.erasing, COMMAND_SECONDS, "the log is empty")
        assert not (seed / "ledger.erasing").exists()
    reader.close()


def test_reading_through_the_log_never_holds_a_snapshot(seed):
    """A client that takes a page and goes away, or reads slowly, keeps no transaction open."""
    with open_log(SqliteStore.open(seed / "ledger.db")) as log:
        half = log.events()
        assert next(half).position == 0
        views = Views(seed / "views.db", log)
        views.search("stays")
        log.append_now(log.redaction([2, 3], reason="asked", actor="operator"))
        assert not log.erasing
        views.catch_up()
        assert views.purge()
        views.close()
