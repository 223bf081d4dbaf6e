"""A start over a long ledger: the node answers before search is whole, and says how far it is."""

import gc
import io
import os
import re
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from ledger.attested import name_of
from ledger.log import Log
from ledger.replay import attestation, reducers_hash
from ledger.sql import connect
from ledger.sqlite import SqliteStore
from ledger.views import NEAR, Views
from node import console
from node.assembly import open_ledger, take_up
from node.commands.run import Stopped, uncollected
from node.keeping import folding
from node.keeping.folding import OWNERS, REDUCERS, fold
from tests.ledger.makers import ticking
from tests.node.test_node_damage import tampered
from tests.node.world import Home, until
from tests.scorecard.rows import Scene, noted
from tests.spec import agent

MANY = NEAR + 500


@pytest.fixture
def long_home(tmp_path):
    """A born home with thousands of memories that search does not know."""
    home = Home(tmp_path / "machine").configure()
    home.run("init").good()
    store = SqliteStore.open(home.ledger)
    with Log(store, clock=ticking(1_800_000_000_000), entropy=os.urandom) as log:
        log.append_now(*(noted(f"kettle {n}") for n in range(MANY)))
        (home.path / "views.db").unlink(missing_ok=True)
        Views(home.path / "views.db", log).close()
    yield home
    home.end()


def test_the_node_answers_while_search_is_behind_and_says_so(long_home):
    """Another program holds the index, so that it stays behind for as long as the test looks."""
    held = connect(long_home.path / "views.db")
    held.execute("begin immediate")
    running = long_home.start()
    found = running.status()["search"]
    assert found["taken"] == 0
    assert found["of"] > MANY
    told = long_home.run("status").good().out
    assert re.search(r"^search +caught up to 0 of 25\d\d events$", told, re.MULTILINE)
    searched = long_home.run("search", "kettle")
    assert searched.code == 1
    assert "search has caught up to 0 of" in searched.err
    assert running.request("GET", "/v1/search?q=kettle").json == []
    held.execute("rollback")
    held.close()
    until(lambda: running.status()["search"]["taken"] >= MANY, 60, "search has caught up")
    searched = long_home.run("--json", "search", "kettle").good()
    assert len(searched.json) == 20
    assert searched.err == ""
    assert "up to date" in long_home.run("status").good().out
    running.stop()


def test_without_a_node_the_command_does_the_work(long_home):
    assert len(long_home.run("--json", "search", "kettle").good().json) == 20


def test_a_node_that_is_stopped_while_it_fills_goes_on_at_its_next_start(long_home):
    long_home.start().stop()
    running = long_home.start()
    until(lambda: running.status()["search"]["taken"] >= MANY, 60, "search has caught up")
    running.stop()


def test_a_long_fold_is_told_and_can_be_ended(tmp_path):
    """It runs in a thread, so that the loop hears of a signal; what is told may raise."""
    scene, told = Scene.born(tmp_path / "machine"), []

    def stop(*_how):
        raise Stopped("enough")

    log, genesis = open_ledger(scene.home)
    with log:
        with pytest.raises(Stopped):
            take_up(scene.home, log, genesis, agent.LOG, progress=stop)
        taken = take_up(scene.home, log, genesis, agent.LOG, progress=lambda *how: told.append(how))
        assert told == [(0, log.size)]
        assert taken.state.size == log.size


def test_what_a_snapshot_covers_and_no_head_does_is_checked_as_well(tmp_path):
    """An attestation may come before the head over it is released."""
    scene = Scene.born(tmp_path / "machine")
    log, genesis = open_ledger(scene.home)
    with log:
        taken = take_up(scene.home, log, genesis, agent.LOG)
        mine = reducers_hash(REDUCERS)
        [one, _] = log.append_now(noted("one"), noted("two"))
        for event in log.events(taken.state.size):
            taken.state.apply(event)
        log.append_now(attestation(taken.state, mine))
        taken.snapshots.save(taken.state.size, mine, dict(taken.state.entries))
        taken.snapshots.close()
    assert scene.start() == ""
    hide = f"update event set stream = 99, sequence = 0 where position = {one.position}"
    tampered(scene.home, f"insert into stream values (99, x'{'99' * 16}')", hide)
    assert scene.start() == "StoreDamaged"


def test_a_start_says_which_reducer_folds_otherwise_than_the_one_that_attested(
    tmp_path, monkeypatch
):
    """An upgrade: it is no error, and no secret."""

    def reduce_todos(_entries, event):
        return (("todo/main", event.position),)

    scene = Scene.born(tmp_path / "machine")
    log, genesis = open_ledger(scene.home)
    with log:
        taken = take_up(scene.home, log, genesis, agent.LOG)
        log.append_now(attestation(taken.state, reducers_hash(REDUCERS)))
        taken.snapshots.close()
        one = OWNERS["todo"][0]
        others = tuple(reduce_todos if reducer is one else reducer for reducer in REDUCERS)
        monkeypatch.setattr(folding, "REDUCERS", others)
        monkeypatch.setattr(folding, "OWNERS", {**OWNERS, "todo": (reduce_todos,)})
        head = taken.release.newest.checkpoint
        with capture_logs() as said:
            state = fold(log, head, None)
        assert state.entries["todo/main"] == log.size - 1
        [warning] = [entry for entry in said if entry["log_level"] == "warning"]
        assert f"in part todo, of {name_of(reduce_todos)}" in warning["what"]
        with capture_logs() as said:
            monkeypatch.undo()
            fold(log, head, None)
        assert said == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_one_line_on_a_terminal_and_nothing_elsewhere(monkeypatch):
    for stream, expected in ((Terminal(), 2), (io.StringIO(), 0)):
        monkeypatch.setattr(sys, "stderr", stream)
        progress = console.Progress("taking up the ledger")
        progress(10_000, 25_000)
        progress(20_000, 25_000)
        assert stream.getvalue().count("of 25000 events") == expected
        assert "\n" not in stream.getvalue()
        progress.end()
        progress.end()
        assert stream.getvalue().endswith("\r\x1b[K") == bool(expected)


def test_modules_are_loaded_without_a_look_for_garbage_and_what_comes_later_is_looked_at():
    code = (
        "import gc, weakref\n"
        "from node.commands.run import uncollected\n"
        "before = sum(one['collections'] for one in gc.get_stats())\n"
        "with uncollected():\n"
        "    import node.supervisor\n"
        "assert sum(one['collections'] for one in gc.get_stats()) == before\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 100_000, gc.get_freeze_count()\n"
        "class Ring: pass\n"
        "ring = Ring(); ring.self = ring; seen = weakref.ref(ring); del ring\n"
        "gc.collect()\n"
        "assert seen() is None\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_module_that_cannot_be_loaded_leaves_collection_on():
    with pytest.raises(ImportError), uncollected():
        raise ImportError("absent")
    assert gc.isenabled()
