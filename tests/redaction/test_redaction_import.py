"""Importing honours redactions: what the log erased is not stored, whatever the file still holds."""

import io

import pytest

from attest.verify.bundle import verify_bundle
from ledger.sqlite import SqliteStore
from tests.node.world import Home
from tests.redaction.residue import residue
from tests.spec import agent
from tests.spec.agent import Ledger, bundle, export, fact, redaction, words

SECRET = "grimbolux tavernasch ploddert wexingholm farrundel nastaquint " * 300


def older_and_newer(*, erased=False):
    """A log that redacts event 1, with the content that an older export of it still had."""
    ledger = Ledger()
    for draft in (agent.genesis_draft(), words(SECRET), words("stays"), fact(1), redaction(1)):
        ledger.add(draft)
    if erased:
        ledger.erase(1)
    return ledger


def verdict(data, **more):
    return verify_bundle(io.BytesIO(data), agent.SOUL, **more)


def test_content_that_the_log_redacts_is_dropped_before_it_is_stored(tmp_path):
    carrying, clean = older_and_newer(), older_and_newer(erased=True)
    salt = carrying.records[1].content_salt
    data = bundle(export(carrying))
    assert verdict(data).verdict == "BROKEN", "to a verifier it is content that should be gone"
    file = tmp_path / "elsewhere.bundle"
    file.write_bytes(data)
    home = Home(tmp_path / "reader")
    done = home.run("--json", "import", str(file)).good().json
    assert (done["events"], done["dropped"]) == (5, 1)
    assert residue([SECRET], [salt], home.root) == {}
    home.run("search", "tavernasch")
    assert home.run("--json", "show", "1").good().json["redacted"]
    assert residue([SECRET], [salt], home.root) == {}
    store = SqliteStore.open_read_only(home.ledger)
    assert list(store.records(0, 5)) == clean.records
    store.close()
    told = Home(tmp_path / "person").run("import", str(file)).good()
    assert "1 contents in the file are redacted by its log: not stored" in told.err


def test_a_clean_export_is_imported_as_ever(tmp_path):
    file = tmp_path / "clean.bundle"
    file.write_bytes(bundle(export(older_and_newer(erased=True))))
    assert verdict(file.read_bytes()).verdict == "UNBROKEN-PENDING"
    done = Home(tmp_path / "reader").run("--json", "import", str(file)).good().json
    assert (done["events"], done["dropped"]) == (5, 0)


@pytest.mark.parametrize("importing", [False, True])
@pytest.mark.parametrize("lie", ["content", "salt", "half", "target", "far", "missing"])
def test_nothing_else_is_forgiven_to_a_file_that_lies(tmp_path, lie, importing):
    ledger = older_and_newer()
    records = export(ledger)
    at = 1 + 1  # behind the header
    match lie:
        case "content":
            records[at][6] = records[at][6].replace(b"grimbolux", b"grimbilux")
        case "salt":
            records[at][5] = bytes(32)
        case "half":
            records[at][5] = None
        case "target":
            ledger.add(redaction(3))
            records = export(ledger)
        case "far":
            ledger.add(redaction(99))
            records = export(ledger)
        case "missing":
            records[at + 1][5] = records[at + 1][6] = None
    data = bundle(records)
    assert not verdict(data, importing=importing).good
    file = tmp_path / "lie.bundle"
    file.write_bytes(data)
    home = Home(tmp_path / "reader")
    home.run("import", str(file)).refused("not a whole, valid export")
    assert residue([SECRET], [], home.root) == {}


def test_an_old_export_never_comes_back_over_a_home_that_has_redacted_since(born, tmp_path):
    secret = SECRET[:60]
    with born.running() as node:
        at = node.say(secret)["message"]["position"]
        old = tmp_path / "old.bundle"
        born.run("export", "-o", str(old)).good()
        born.run("redact", str(at), "--derived", "--yes").good()
    before = born.fingerprint()
    born.run("import", str(old)).refused("already there")
    assert born.fingerprint() == before
    assert residue([secret], [], born.root) == {}
    new = tmp_path / "new.bundle"
    born.run("export", "-o", str(new)).good()
    assert residue([secret], [], born.root) == {}
    reader = Home(tmp_path / "reader")
    reader.run("import", str(new)).good()
    assert residue([secret], [], reader.root) == {}
