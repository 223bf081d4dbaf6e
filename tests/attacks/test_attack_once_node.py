"""Attacks that succeeded once, and what keeps them from it."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ledger.core.checkpoint import open_checkpoint
from ledger.core.event import Draft
from ledger.core.keys import Signer
from ledger.release import Release
from runtime.core import calls
from tests.ledger.makers import SIGNER, fact, genesis, open_log
from tests.node.world import Home
from tests.spec import agent
from tests.spec.agent import Ledger, bundle, export, words

ROOT = Path(__file__).parents[2]


class Slow(Signer):
    """Takes its time between signing and the guard, in one thread."""

    signed = threading.Event()
    go_on = threading.Event()

    def sign(self, tag, message):
        found = super().sign(tag, message)
        if threading.current_thread().name == "slow":
            self.signed.set()
            self.go_on.wait(0.5)
        return found


def test_the_guard_never_goes_back_when_two_threads_release(tmp_path):
    log = open_log()
    log.append_now(genesis())
    release = Release.begin(log, tmp_path, Slow(SIGNER.secret))
    log.append_now(fact(1))
    slow = threading.Thread(target=release.head, name="slow")
    slow.start()
    assert Slow.signed.wait(120)
    log.append_now(fact(2))
    given = []
    other = threading.Thread(target=lambda: given.append(release.head()))
    other.start()
    other.join(0.2)
    Slow.go_on.set()
    slow.join()
    other.join()
    assert given[0].size == 3
    assert open_checkpoint(release.guard.read(), SIGNER.public).size == 3
    assert release.newest.size == 3


CUT_OFF = """
import os, sys
from pathlib import Path
from ledger import views
from ledger.sqlite import SqliteStore
from ledger.views import Views
from tests.ledger.makers import genesis, message, open_log

folder = Path(sys.argv[1])
log = open_log(SqliteStore.create(folder / "ledger.db"))
log.append_now(genesis())
log.append_now(message("the word is " + sys.argv[2]))
index = Views(folder / "views.db", log)
index.catch_up()
log.append_now(log.redaction([1], reason="asked", actor="operator"))
index.catch_up()
views.truncate_wal = lambda connection: os._exit(9)
index.purge()
"""


def test_words_erased_from_search_are_gone_after_a_kill_at_the_worst_moment(tmp_path):
    from ledger.sqlite import SqliteStore
    from ledger.views import Views

    secret = "zanzibarkittiwake"
    child = [sys.executable, "-c", CUT_OFF, str(tmp_path), secret]
    assert subprocess.run(child, check=False, cwd=ROOT).returncode == 9
    log = open_log(SqliteStore.open(tmp_path / "ledger.db"))
    views = Views(tmp_path / "views.db", log)
    assert views.erasing
    views.catch_up()
    assert views.purge()
    left = {path.name: path.read_bytes().count(secret.encode()) for path in tmp_path.iterdir()}
    views.close()
    log.close()
    assert sum(left.values()) == 0, left


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "one").configure()
    home.run("init").good()
    yield home
    home.end()


def test_nobody_takes_the_idempotency_key_of_a_step_to_come(home):
    """One request kills the node, and again at every start: its own step is a conflict."""
    node = home.start()
    ledger = bytes.fromhex(node.status()["ledger"])
    for number in range(12):
        body = {"text": f"question {number}", "conversation": "c", "wait_s": 0}
        last = node.request("POST", "/v1/say", body).json["message"]
    turn = calls.turn_id(ledger, bytes.fromhex(last["id"]))
    key = calls.step_key(turn, 1, "started").hex()
    body = {"text": "squat", "conversation": "d", "wait_s": 0, "key": key}
    assert node.request("POST", "/v1/say", body).status == 200
    deadline = time.monotonic() + 120
    while node.alive and node.status()["pending"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert node.alive, node.stderr
    node.stop()


def test_a_message_with_the_same_key_is_still_one_message(home):
    with home.running() as node:
        body = {"text": "hello", "wait_s": 0, "key": "ab" * 16}
        first, second = (node.request("POST", "/v1/say", body).json["message"] for _ in "12")
        assert first["position"] == second["position"]
        assert node.request("POST", "/v1/say", body | {"text": "x"}).status == 409
        assert node.request("POST", "/v1/say", body | {"key": "ab"}).status in {400, 422}


def test_a_redaction_without_targets_does_not_make_an_imported_home_unreadable(tmp_path):
    ledger = Ledger()
    ledger.add(agent.genesis_draft())
    ledger.add(Draft(type="ledger.redacted", stream=bytes(16), payload={"reason": "none"}))
    content = {"t\nverdict: UNBROKEN-FINAL": "x"}
    ledger.add(Draft(type="message.sent", stream=agent.STREAM, payload={}, content=content))
    ledger.add(words("hello"))
    file = tmp_path / "x.bundle"
    file.write_bytes(bundle(export(ledger)))
    home = Home(tmp_path / "reader")
    home.run("import", str(file)).good()
    home.run("log").good()
    shown = home.run("show", "2").good()
    assert not [line for line in shown.out.splitlines() if line.startswith("verdict")]


BODY = b'{"diff":"\\ud800","title":"a","rationale":"\\udfff","evaluation":"b","expected":"c"}'


def test_half_a_surrogate_in_a_patch_is_the_callers_fault(home):
    with home.running() as node:
        answer = node.request("POST", "/v1/patch/propose", BODY)
        assert answer.status in {400, 422}
