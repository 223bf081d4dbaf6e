"""A ledger that a later version wrote into: every command of this one, with nothing lost."""

import os

import pytest

from ledger.core.event import Draft
from ledger.log import Log
from ledger.sqlite import SqliteStore
from node.open import now_ms

DREAM = Draft(
    type="dream.dreamt",
    stream=b"d" * 16,
    payload={"mood": "violet", "depth": 3},
    content={"text": "a heron over the frozen canal"},
    schema=4,
)
FACT = Draft(type="dream.counted", stream=b"d" * 16, payload={"dreams": 1})
NEWER_NOTE = Draft(
    type="memory.noted",
    stream=b"d" * 16,
    payload={"shelf": 2},
    content={"text": "the lantern hangs in the cellar"},
    schema=9,
)
NEWER_RULE = Draft(
    type="policy.decided", stream=b"d" * 16, payload={"hold": ["main", "operator"]}, schema=2
)


def write_from_the_future(home, *drafts):
    """Append to the home's ledger as a later version would; return the positions."""
    store = SqliteStore.open(home.ledger)
    with Log(store, clock=now_ms, entropy=os.urandom) as log:
        return [event.position for event in log.append_now(*drafts)]


@pytest.fixture
def visited(lived):
    """A home that a later version ran for a while, and that this one ran since."""
    positions = write_from_the_future(lived, DREAM, FACT)
    with lived.running() as node:
        assert node.answer("are you still there?")
    return lived, *positions


def findings(home, name):
    rows = home.run("--json", "doctor").good().json
    return next(row for row in rows if row["name"] == name)


def test_it_is_shown_for_what_it_is(visited):
    home, dream, fact = visited
    shown = home.run("show", str(dream)).good().out
    assert "unknown to this version" in shown
    assert "dream.dreamt" in shown
    assert "a heron over the frozen canal" in shown, "kept, and there to be read"
    row = home.run("--json", "show", str(dream)).good().json
    assert (row["read_as"], row["schema"]) == ("unknown", 4)
    assert row["payload"]["mood"] == "violet"
    assert row["content"] == DREAM.content
    assert "read as" not in home.run("show", "0").good().out
    listed = home.run("log", "--from", str(dream)).good().out
    assert listed.count("of a type unknown to this version") == 2
    assert "dream.counted" in home.run("why", str(fact)).good().out
    told = findings(home, "types")
    assert told["ok"] is None
    assert told["text"].startswith("2 events are kept and proven, not interpreted")
    assert "1 of the unknown type dream.dreamt" in told["text"]
    assert "upgrade" in told["hint"]


def test_it_verifies_and_replays(visited):
    home, *_ = visited
    assert home.run("--json", "verify").good().json["verdict"] == "UNBROKEN-PENDING"
    done = home.run("--json", "replay").good().json
    assert done["attested_agreed"] >= 2


def test_its_words_are_not_searched_and_not_recalled(visited):
    home, *_ = visited
    assert home.run("search", "heron").code == 1
    assert home.run("search", "kettle").good()
    with home.running() as node:
        assert "heron" not in node.answer("what do you know about the heron?").replace(
            "what do you know about the heron?", ""
        )


def test_a_search_index_of_another_version_is_computed_again(visited):
    """What filled it may have read fewer types, or more: here one that took the dream in."""
    from dataclasses import replace

    from ledger.core.types import KNOWN, EventType
    from ledger.core.upcast import UPCASTERS
    from ledger.views import Views
    from node.home import Home
    from node.open import open_log

    home, dream, _ = visited
    later = EventType(name="dream.dreamt", about="x", schema=4, content=True)
    steps = dict.fromkeys([(later.name, schema) for schema in (1, 2, 3)], dict)
    upcasters = replace(UPCASTERS, types=KNOWN | {later.name: later}, steps=steps)
    with open_log(Home(path=home.path, state=home.state)) as log:
        views = Views(home.path / "views.db", log, upcasters=upcasters)
        views.catch_up()
        assert [hit.position for hit in views.search("heron")] == [dream]
        views.close()
    assert home.run("search", "heron").code == 1
    assert home.run("search", "kettle").good()


def test_it_is_proven_exported_and_imported_without_loss(visited, place):
    home, dream, _ = visited
    proof, bundle = home.root / "dream.proof", home.root / "life.bundle"
    home.run("prove", str(dream), "-o", str(proof)).good()
    report = home.run("--json", "verify", str(proof), "--soul", str(home.path / "SOUL.md")).good()
    assert report.json["position"] == dream
    home.run("export", "-o", str(bundle)).good()
    home.run("verify", str(bundle)).good()
    other = place("other")
    other.run("import", str(bundle)).good()
    mine = home.run("--json", "log", "--from", "0").good().json
    theirs = other.run("--json", "log", "--from", "0").good().json
    assert theirs == mine[: len(theirs)]
    assert len(theirs) > dream + 2
    assert theirs[dream]["content"] == DREAM.content
    told = other.run("--json", "replay").good().json
    assert told["digest"] == home.run("--json", "replay").good().json["digest"]


def test_its_words_are_not_erased_by_a_version_that_does_not_know_what_they_are(visited):
    home, dream, fact = visited
    refused = "dream.dreamt, unknown to this version"
    home.run("redact", str(dream), "--yes").refused(refused, "upgrade timmy")
    home.run("redact", str(fact), "--yes").refused("has no content to redact")
    with home.running() as node:
        home.run("redact", str(dream), "--yes").refused(refused)
        body = {"positions": [dream], "reason": "asked"}
        node.request("POST", "/v1/redact", body).refused(400, refused)
    assert home.run("--json", "show", str(dream)).good().json["content"] == DREAM.content


def test_a_newer_schema_of_a_known_type_is_not_guessed_at(lived):
    [note] = write_from_the_future(lived, NEWER_NOTE)
    assert "newer than this version" in lived.run("show", str(note)).good().out
    assert "(newer than this version)" in lived.run("log", "--from", str(note)).good().out
    assert lived.run("--json", "show", str(note)).good().json["read_as"] == "newer"
    assert lived.run("search", "lantern").code == 1
    assert "1 of a newer schema of memory.noted" in findings(lived, "types")["text"]
    assert lived.run("verify").good()
    assert lived.run("replay").good()


def test_no_turn_is_given_over_a_rule_that_only_a_later_version_understands(lived):
    [rule] = write_from_the_future(lived, NEWER_RULE)
    before = lived.fingerprint()
    lived.run("run").refused(f"event {rule} (policy.decided) has schema 2", "upgrade timmy")
    assert lived.fingerprint() == before, "refused before anything was appended"
    assert lived.run("verify").good()
    assert lived.run("search", "kettle").good()
