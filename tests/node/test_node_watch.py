"""The node reads its whole ledger now and then, beside its work, and is loud about damage."""

import asyncio
import os
import re
import stat
import sys
import time

import pytest

from attest.verify.bundle import verify_bundle
from ledger import sqlite
from ledger.core.errors import InvalidBundle, Refused, StoreDamaged, StoreFull
from ledger.core.event import Draft
from ledger.log import Log
from ledger.release import Release
from ledger.sqlite import SqliteStore
from node.assembly import open_ledger, take_up
from node.config import load
from node.home import Home as Places
from node.keeping import selfcheck
from node.keeping.filling import fill
from node.keeping.selfcheck import check_home
from node.keeping.watch import Watch
from tests.ledger.makers import genesis, open_log, ticking
from tests.node.test_node_damage import tampered
from tests.node.world import PASSPHRASE, SETTINGS, Home, until
from tests.scorecard.rows import Scene
from tests.spec import agent

AT_ONCE = SETTINGS.replace("[node]\n", "[node]\nselfcheck_after_s = 0\n")


@pytest.fixture
def born(tmp_path):
    home = Home(tmp_path / "machine").configure(AT_ONCE)
    home.run("init").good()
    yield home
    home.end()


def looked(node):
    until(lambda: node.status()["self_check"]["last"], 120, "the ledger was read")
    return node.status()["self_check"]["last"]


def test_a_whole_ledger_is_read_and_nothing_is_said_in_it(born):
    node = born.start()
    found = looked(node)
    assert (found["verdict"], found["good"], found["text"]) == ("UNBROKEN-PENDING", True, "")
    assert found["size"] >= 3
    told = born.run("status").good().out
    assert re.search(r"^self check +UNBROKEN-PENDING at \d+ events, 2", told, re.MULTILINE)
    assert node.log("node.checked") == []
    assert "timmy_self_check_failed 0.0" in node.request("GET", "/metrics").body.decode()
    node.stop()


def test_damage_that_a_start_does_not_meet_is_found_and_told_everywhere(born):
    tampered(born, f"insert into idempotency values (x'{'ab' * 16}', 0)")
    node = born.start()
    found = looked(node)
    assert (found["verdict"], found["question"]) == ("BROKEN", "integrity")
    assert "idempotency key" in found["text"]
    until(lambda: node.log("node.checked"), 60, "it is in the ledger")
    [event] = node.log("node.checked")
    assert set(event["payload"]) == {"verdict", "question", "size"}
    assert "THE SELF CHECK FAILED" in born.logged
    assert "run: timmy doctor" in born.run("status").good().out
    doctor = born.run("doctor")
    assert doctor.code == 1
    assert "its self check found BROKEN" in doctor.out
    assert "timmy_self_check_failed 1.0" in node.request("GET", "/metrics").body.decode()
    assert node.say("are you still there?")["answer"], "the node goes on"
    node.stop()


def test_it_is_turned_off_and_never_keeps_a_node_from_stopping(born):
    born.start().stop()
    born.configure(SETTINGS.replace("[node]\n", "[node]\nselfcheck_hours = 0\n"))
    node = born.start()
    assert node.status()["self_check"] == {"running": None, "last": None}
    assert "none yet" in born.run("status").good().out
    node.stop()


# ---- what the checker says ----------------------------------------------------------------------


def watch(tmp_path, monkeypatch, *lines, append=None):
    """A watch whose checker says `lines`, one each time, and then nothing."""
    for number, line in enumerate(lines):
        (tmp_path / f"{number}.said").write_text(line)
    program = tmp_path / "checker"
    program.write_text(
        f'#!/bin/sh\ncd {tmp_path}\nfor f in *.said; do cat "$f" && rm "$f" && break; done\n'
        f'env > {tmp_path}/environment\n'
    )  # fmt: skip
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    home = Places(path=tmp_path, state=tmp_path)
    appended = []

    async def keep(draft):
        appended.append(draft)

    section = load(None).node
    return Watch(home, section, append or keep, lambda: 7), appended


GOOD = '{"verdict": "UNBROKEN-PENDING", "question": "x", "size": 3, "text": ""}\n'
BAD = '{"verdict": "BROKEN", "question": "integrity", "size": 3, "text": "tile 0"}\n'


def test_a_failure_is_believed_when_a_second_reading_says_the_same(tmp_path, monkeypatch):
    once, appended = watch(tmp_path, monkeypatch, BAD, '{"done": 1, "of": 6}\n' + GOOD)
    asyncio.run(once.look())
    assert once.last.good
    assert appended == []
    twice, appended = watch(tmp_path, monkeypatch, BAD, BAD)
    asyncio.run(twice.look())
    assert not twice.last.good
    [draft] = appended
    assert draft.payload == {"verdict": "BROKEN", "question": "integrity", "size": 3}
    assert twice.value()["running"] is None


def test_a_ledger_that_takes_no_event_does_not_silence_the_rest(tmp_path, monkeypatch):
    async def full(_draft):
        raise StoreFull("the disk is full")

    found, _ = watch(tmp_path, monkeypatch, BAD, BAD, append=full)
    asyncio.run(found.look())
    assert found.value()["last"]["text"] == "tile 0"


@pytest.mark.parametrize("said", ["", "nonsense\n", '{"done": 1}\n', "[]\n", "x" * 100_000])
def test_a_checker_that_comes_to_no_end_says_nothing_about_the_ledger(tmp_path, monkeypatch, said):
    found, appended = watch(tmp_path, monkeypatch, said)
    asyncio.run(found.look())
    assert (found.last, appended) == (None, [])


def test_a_node_stops_while_its_checker_has_more_to_say_than_anybody_reads(tmp_path, monkeypatch):
    """asyncio notices no end of a child whose pipe is full: the node never stopped."""
    python = sys.executable
    found, _ = watch(tmp_path, monkeypatch)
    monkeypatch.setattr("node.keeping.watch._LINE_BYTES_MAX", 1024)  # so that little is much
    program = tmp_path / "endless"
    program.write_text(f'#!{python}\nwhile True: print(\'{{"done": 1, "of": 2}}\')\n')
    program.chmod(stat.S_IRWXU)
    monkeypatch.setattr(sys, "executable", str(program))

    async def stop_in_the_middle():
        looking = asyncio.ensure_future(found.look())
        while found.value()["running"] is None and not looking.done():
            await asyncio.sleep(0.01)
        time.sleep(0.5)  # noqa: ASYNC251 - the loop is busy: pipe and buffer fill up
        looking.cancel()
        async with asyncio.timeout(20):
            with pytest.raises(asyncio.CancelledError):
                await looking

    asyncio.run(stop_in_the_middle())


def test_a_checker_that_cannot_be_started_is_no_verdict(tmp_path, monkeypatch):
    found, _ = watch(tmp_path, monkeypatch)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    asyncio.run(found.look())
    assert found.last is None


def test_no_secret_of_the_environment_reaches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TIMMY_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    found, _ = watch(tmp_path, monkeypatch, GOOD)
    asyncio.run(found.look())
    told = (tmp_path / "environment").read_text()
    assert "PYTHONPATH" in told
    assert "PASSPHRASE" not in told
    assert "sk-secret" not in told


# ---- reading beside a node ------------------------------------------------------------------------


def test_what_is_redacted_while_it_is_read_is_not_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "_CHUNK", 50)
    monkeypatch.setattr(selfcheck, "_PROGRESS_EVENTS", 50)
    scene = Scene.born(tmp_path / "machine")
    at = scene.log_size - 1
    store = SqliteStore.open(scene.home.ledger)
    with Log(store, clock=ticking(agent.BORN_MS + 10**6), entropy=os.urandom) as log:
        release = Release.open(log, scene.home.state, agent.LOG)
        told = []

        def meanwhile(done, of):
            told.append((done, of))
            if len(told) == 1:
                log.append_now(log.redaction([at], reason="asked", actor="operator"))
                release.head()

        assert check_home(scene.home, meanwhile).verdict == "UNBROKEN-PENDING"
    assert told[0] == (0, 2 * (at + 1))
    assert told[-1][0] > at
    assert check_home(scene.home).verdict == "UNBROKEN-PENDING"
    tampered(
        scene.home,
        f"update event set content = null, content_salt = null where position = {at - 3}",
    )
    assert check_home(scene.home).verdict == "INCOMPLETE"


# ---- epoch records outside their stream ----------------------------------------------------------


def astray(ledger):
    return agent.epoch_record(ledger)  # in the node's own stream, where no start looks


def test_the_writer_refuses_one(tmp_path):
    draft = Draft(type="ledger.epoch", stream=bytes(16), payload={})
    with open_log() as log:
        log.append_now(genesis())
        with pytest.raises(Refused, match="outside its stream"):
            log.append_now(draft)
        assert log.size == 1


def test_an_import_refuses_one(tmp_path):
    ledger = agent.Ledger()
    ledger.add(agent.genesis_draft())
    ledger.add(astray(ledger))
    path = tmp_path / "astray.bundle"
    path.write_bytes(agent.bundle(agent.export(ledger, [ledger.head(epoch=1)], epoch=1)))
    with path.open("rb") as file:
        report = verify_bundle(file, None)
    assert report.verdict == "RECOVERED", "the rules of a log do not ask where it stands"
    with pytest.raises(InvalidBundle, match="event 1 begins an epoch outside"):
        fill(path, tmp_path / "ledger.db", report)


def test_a_fold_from_the_beginning_meets_one(tmp_path):
    scene = Scene.born(tmp_path / "machine")
    ledger = agent.Ledger()
    for record in scene.records():
        ledger.keep(record)
        stream = agent.Event.open(record).stream
        ledger.lengths[stream] = ledger.lengths.get(stream, 0) + 1
    ledger.add(astray(ledger), ts_ms=agent.BORN_MS + 10**7)
    scene.rewrite(ledger.records)
    log, found = open_ledger(scene.home)
    with log, pytest.raises(StoreDamaged, match="begins an epoch outside"):
        take_up(scene.home, log, found, agent.LOG)


def test_the_checker_runs_at_the_lowest_priority_and_writes_nothing(tmp_path):
    scene = Scene.born(tmp_path / "machine")
    before = {path: path.stat().st_mtime_ns for path in scene.home.path.iterdir()}
    home = Home(tmp_path)
    code = (
        "import os, node.keeping.checker as c;"
        f"c.main([{str(scene.home.path)!r}, {str(scene.home.state)!r}]);"
        "print(os.nice(0))"
    )
    done = home.python(code).good().out.splitlines()
    assert done[-1] == "19"
    assert '"verdict": "UNBROKEN-PENDING"' in done[-2]
    kept = {p: t for p, t in before.items() if not p.name.endswith(("-shm", "-wal"))}
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert stat.S_IMODE(scene.home.ledger.stat().st_mode) == 0o600
