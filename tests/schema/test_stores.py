"""Every released form of the stores, opened by today's code: whole, and the root unchanged."""

import json
import shutil
from itertools import pairwise

import pytest

from ledger.core.audit import Audit
from ledger.core.merkle import leaf_hash, verify_consistency, verify_inclusion
from ledger.core.state import BASIC_REDUCERS
from ledger.core.tiles import Tree
from ledger.replay import replay
from ledger.schema import HISTORY, SCHEMA_VERSION
from ledger.sqlite import SqliteStore
from mesh.pool.sqlite_outbox import SqliteOutbox
from mesh.relay.sqlite import SqliteEventStore
from tests.ledger.makers import open_log
from tests.node.world import Home

from .make_stores import FOLDER

FIXTURES = sorted(FOLDER.glob("v*"))


@pytest.fixture(params=FIXTURES, ids=lambda path: path.name)
def fixture(request, tmp_path):
    """A copy of one released home and state directory, and what it must hold."""
    shutil.copytree(request.param, tmp_path / "copy")
    return tmp_path / "copy", json.loads((request.param / "facts.json").read_text())


def test_there_is_a_fixture_of_every_version_and_a_step_between_each_two():
    assert [path.name for path in FIXTURES] == [f"v{n + 1}" for n in range(SCHEMA_VERSION)]
    assert set(HISTORY.steps) == set(range(1, SCHEMA_VERSION))
    assert set(HISTORY.kept) == set(range(1, SCHEMA_VERSION + 1))


def test_every_event_and_every_proof_is_what_it_was(fixture):
    folder, facts = fixture
    with open_log(SqliteStore.open(folder / "home" / "ledger.db")) as log:
        assert (log.size, log.ledger_id.hex()) == (facts["size"], facts["ledger"])
        assert log.tree.root().hex() == facts["root"]
        for size, root in facts["roots"].items():
            assert log.tree.root(int(size)).hex() == root
        leaves = [leaf_hash(record.envelope) for record in log.records()]
        root = bytes.fromhex(facts["root"])
        for position, leaf in enumerate(leaves):
            path = log.tree.inclusion(position, log.size)
            verify_inclusion(leaf, position, log.size, path, root)
        sizes = [*map(int, facts["roots"]), log.size]
        for older, newer in pairwise(sizes):
            path = log.tree.consistency(older, newer)
            roots = log.tree.root(older), log.tree.root(newer)
            verify_consistency(older, newer, path, *roots)
        tiles = {}
        audit = Audit(Tree(lambda level, index: tiles[level, index]))
        for record in log.records():
            audit.add(record)
            tiles |= {(tile.level, tile.index): tile.hashes for tile in audit.tree.take_tiles()}
        assert sorted(audit.redacted) == facts["erased"]
        assert audit.missing == audit.unerased == []
        found = log.find(bytes.fromhex(facts["key"]["hex"]))
        assert found.position == facts["key"]["position"]


def test_the_state_digest_changes_only_with_the_reducers(fixture):
    folder, facts = fixture
    with open_log(SqliteStore.open(folder / "home" / "ledger.db")) as log:
        done = replay(log.events(), BASIC_REDUCERS)
    assert done.agreed + done.foreign == 1
    same = done.reducers.hex() == facts["reducers"]
    assert done.agreed == same
    assert (done.state.digest().hex() == facts["digest"]) or not same


def test_what_was_erased_before_is_not_brought_along(fixture):
    folder, _ = fixture
    assert b"erased later" not in (folder / "home" / "ledger.db").read_bytes()


def test_the_home_verifies_with_its_guard_and_is_read_by_every_command(fixture):
    folder, facts = fixture
    home = Home(folder)
    SqliteStore.open(home.ledger).close()
    report = home.run("--json", "verify").good().json
    assert (report["verdict"], report["size"]) == ("UNBROKEN-PENDING", facts["size"])
    assert home.run("search", "fox").good()
    assert "unknown to this version" in home.run("show", "5").good().out
    bundle = home.root / "life.bundle"
    home.run("export", "-o", str(bundle)).good()
    assert home.run("--json", "verify", str(bundle)).good().json["size"] == facts["size"]


def test_the_relays_stores_are_read(fixture):
    folder, facts = fixture
    relay = SqliteEventStore(folder / "home" / "relay.db")
    assert relay.count() == len(facts["events"])
    relay.close()
    outbox = SqliteOutbox(folder / "home" / "outbox.db")
    assert [e.event_id for e in outbox.due(facts["relay"], limit=9)] == [facts["queued"]]
    outbox.close()
