"""A redaction in the middle of an export or a backup: what is erased is not in the file."""

import io
import os

import pytest

from attest.verify.bundle import verify_bundle
from ledger import sqlite
from ledger.core.errors import Refused, StoreError
from ledger.log import Log
from ledger.proof import export
from ledger.release import Release
from ledger.sqlite import SqliteStore
from node.keeping.outgoing import write_whole
from node.open import open_log
from tests.ledger.makers import ticking
from tests.scorecard.rows import Scene, noted
from tests.spec import agent

EARLY, LATE = "Wolframbeere sandelhorn", "quaxelaborn sandelbrund"
FACTS = 300


class Meddled:
    """The file that an export writes to; after so many bytes something happens, `times` times."""

    def __init__(self, file, after, happens, times=1):
        self._file, self._after, self._happens, self._left = file, after, happens, times

    def write(self, data):
        if self._left and self._file.tell() > self._after:
            self._left -= 1
            self._happens()
        return self._file.write(data)


@pytest.fixture
def scene(tmp_path, monkeypatch):
    """Early words on the first page of the store's reads, late ones on the last, all released."""
    monkeypatch.setattr(sqlite, "_CHUNK", 50)
    scene = Scene.at(tmp_path)
    scene.home.make()
    scene.home.soul.write_bytes(agent.SOUL)
    store = SqliteStore.create(scene.home.ledger)
    with Log(store, clock=ticking(agent.BORN_MS), entropy=os.urandom) as log:
        log.append_now(agent.genesis_draft(), noted(EARLY))
        log.append_now(*(agent.fact(n) for n in range(FACTS)), noted(LATE))
        Release.begin(log, scene.home.state, agent.LOG)
    return scene


@pytest.fixture
def writer(scene):
    """The node: the one writer, and the one who releases heads."""
    store = SqliteStore.open(scene.home.ledger)
    with Log(store, clock=ticking(agent.BORN_MS + 10**6), entropy=os.urandom) as log:
        yield log, Release.open(log, scene.home.state, agent.LOG)


def redacting(writer, *, release=True):
    log, released = writer

    def happens():
        log.append_now(log.redaction([1, FACTS + 2], reason="asked", actor="operator"))
        if release:
            released.head()

    return happens


def checked(path):
    assert verify_bundle(io.BytesIO(path.read_bytes()), agent.SOUL).good


def test_one_reading_alone_would_hold_early_words_and_lack_late_ones(scene, writer):
    """What `write_whole` is for: each of the two is a fault of its own."""
    file = io.BytesIO()
    with open_log(scene.home) as log:
        export(log, writer[1].newest, Meddled(file, 20_000, redacting(writer)))
    assert EARLY.encode() in file.getvalue()
    assert LATE.encode() not in file.getvalue()
    report = verify_bundle(io.BytesIO(file.getvalue()), agent.SOUL)
    assert (report.verdict, report.lines[-1][1]) == (
        "INCOMPLETE",
        f"content of events {FACTS + 2} is MISSING",
    )


def test_an_export_is_begun_again_without_the_words(scene, writer, tmp_path):
    target, said = tmp_path / "life.bundle", []
    happens = redacting(writer)
    runs = []

    def fill(log, head, file):
        runs.append(head.size)
        return export(log, head, Meddled(file, 20_000, happens, times=len(runs) == 1))

    made = write_whole(scene.home, target, fill, checked, say=said.append)
    assert runs == [FACTS + 3, FACTS + 4]
    assert made.what == made.head.size == FACTS + 4
    assert any("redacted meanwhile" in text for text in said)
    assert EARLY.encode() not in target.read_bytes()
    assert LATE.encode() not in target.read_bytes()
    assert [path.name for path in tmp_path.glob("*bundle*")] == ["life.bundle"]
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_redaction_that_no_head_covers_is_said_so_and_nothing_is_written(scene, writer, tmp_path):
    target = tmp_path / "life.bundle"
    redacting(writer, release=False)()
    with pytest.raises(Refused, match=f"event {FACTS + 3} is a redaction that no released head"):
        write_whole(scene.home, target, export, checked, say=lambda _: None)
    writer[1].head()
    assert write_whole(scene.home, target, export, checked, say=lambda _: None).unreleased == 0


def test_a_log_that_is_redacted_every_time_is_given_up(scene, writer, tmp_path):
    target = tmp_path / "life.bundle"
    target.write_bytes(b"what was there")

    def fill(log, head, file):
        return export(log, head, Meddled(file, 20_000, redacting(writer)))

    with pytest.raises(StoreError, match="redacted 5 times"):
        write_whole(scene.home, target, fill, checked, say=lambda _: None)
    assert target.read_bytes() == b"what was there"
    assert [path.name for path in tmp_path.glob("*bundle*")] == ["life.bundle"]
