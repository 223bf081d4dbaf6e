"""`timmy doctor --salvage` on damaged homes, through the real command."""

import io
import os
import random
import shutil
import stat
from contextlib import closing

import pytest

from attest.verify.bundle import verify_bundle
from ledger.core.bundle import Attachment, Reader, Subject, Writer
from ledger.core.event import Record
from ledger.sql import connect
from tests.spec.stranger.bundle import verify

from .world import Home

PAGE = 8192


@pytest.fixture(scope="module")
def whole(lived_seed, tmp_path_factory):
    """Every record of the undamaged ledger, as its export has them."""
    folder = tmp_path_factory.mktemp("whole")
    home = lived_seed.copy(folder / "home")
    home.run("export", "-o", str(folder / "all")).good()
    return records(folder / "all")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "saved.bundle"


def records(path):
    with path.open("rb") as file:
        return {item.position: item for item in Reader(file) if isinstance(item, Record)}


def salvage(home: Home, out, code):
    """Salvage, and assert that nothing in the home or its state was touched."""
    before = {p: p.read_bytes() for p in home.root.rglob("*") if p.is_file()}
    done = home.run("--json", "doctor", "--salvage", "-o", str(out))
    assert done.code == code, done
    assert {p: p.read_bytes() for p in home.root.rglob("*") if p.is_file()} == before
    return done


def positions(ranges):
    return [at for first, last in ranges for at in range(first, last + 1)]


def events_page(home: Home) -> int:
    """The leaf with the newest events."""
    with closing(connect(home.ledger, read_only=True)) as database:
        query = "select pageno from dbstat where name = 'event' and pagetype = 'leaf' order by path"
        return [row[0] for row in database.execute(query)][-1]


def overwrite(home: Home, page: int, data: bytes) -> None:
    with home.ledger.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(data)


def test_a_whole_ledger_is_saved_whole_and_becomes_a_home_again(lived, whole, out, place):
    told = salvage(lived, out, 0).json
    assert positions(told["proven"]) == sorted(whole)
    assert (told["unproven"], told["lost"]) == ([], [])
    assert records(out) == whole
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    soul = lived.path / "SOUL.md"
    checked = lived.run("--json", "verify", str(out), "--soul", str(soul)).good().json
    assert verify(out.read_bytes(), soul.read_bytes()).verdict == "UNBROKEN-PENDING"
    assert checked["verdict"] == "UNBROKEN-PENDING"
    copy = place("copy")
    assert copy.run("--json", "import", str(out)).good().json["events"] == len(whole)
    assert copy.run("--json", "search", "kettle").good().json


def test_a_damaged_page_costs_its_events_and_says_which(lived, whole, out, place):
    overwrite(lived, events_page(lived), bytes(PAGE))
    told = salvage(lived, out, 1).json
    saved = records(out)
    assert all(saved[at] == whole[at] for at in saved)
    assert 0 < len(saved) < len(whole)
    assert positions(told["lost"]) == sorted(set(whole) - set(saved))
    assert told["events"] == len(whole)
    checked = lived.run("--json", "verify", str(out))
    assert checked.code == 1
    assert checked.json["verdict"] == "INCOMPLETE"
    lines = {line["name"]: line["text"] for line in checked.json["lines"]}
    assert lines["lost"].startswith(f"{len(whole) - len(saved)} events (")
    one = positions(told["unproven"] or told["proven"])[-1]
    shown = place("nobody").run("--json", "show", "--from", str(out), str(one)).good().json
    assert shown["position"] == one
    lived.run("show", "--from", str(out), str(told["lost"][0][0])).refused("there is no event")
    people = lived.run("doctor", "--salvage", "-o", str(out), "--force")
    assert people.code == 1
    assert f"lost       {len(whole) - len(saved)} events (" in people.out


def test_what_is_proven_from_the_first_event_on_can_be_imported(lived, whole, out, place):
    """An older head, which the relay kept, proves what lies before the damage."""
    overwrite(lived, events_page(lived), random.Random(1).randbytes(PAGE))
    told = salvage(lived, out, 1).json
    copy = place("copy")
    done = copy.run("--json", "import", str(out))
    if told["proven"]:
        count = told["proven"][0][1] + 1
        assert done.good().json["events"] == count
        rows = copy.run("--json", "log", "--from", "0").good().json
        assert [row["position"] for row in rows] == list(range(count))
        assert all(whole[row["position"]].position == row["position"] for row in rows)
    else:
        done.refused("proves no event from 0 on", "timmy show --from")
        assert not copy.ledger.exists()


def test_a_file_that_sqlite_refuses_is_salvaged(lived, whole, out):
    size = lived.ledger.stat().st_size
    os.truncate(lived.ledger, size - PAGE)
    overwrite(lived, 1, random.Random(2).randbytes(PAGE))
    for argv in (["log"], ["search", "roof"], ["show", "0"], ["export", "-o", str(out)]):
        lived.run(*argv).refused("damaged", "timmy doctor --salvage")
    salvage(lived, out, 1)
    saved = records(out)
    assert saved
    assert all(saved[at] == whole[at] for at in saved)


def test_a_lost_guard_is_replaced_by_heads_elsewhere_or_nothing_is_proven(lived, whole, out):
    shutil.rmtree(lived.guard.parent)
    told = salvage(lived, out, 1).json
    assert records(out) == whole
    assert told["lost"] == []
    assert positions(told["proven"]) + positions(told["unproven"]) == sorted(whole)
    for name in ("relay.db", "outbox.db"):
        for left in lived.path.glob(f"{name}*"):
            left.unlink()
    out.unlink()
    told = salvage(lived, out, 1).json
    assert positions(told["unproven"]) == sorted(whole)
    assert lived.run("--json", "verify", str(out)).json["verdict"] == "INCOMPLETE"


def test_a_redacted_word_is_not_brought_back(lived, out):
    rows = lived.run("--json", "log", "--from", "0", "--type", "message.received").good().json
    lived.run("redact", str(rows[0]["position"]), "--derived", "--yes").good()
    [told] = lived.run("--json", "log", "--type", "ledger.redacted").good().json
    overwrite(lived, 1, bytes(PAGE))
    salvage(lived, out, 1)
    saved = records(out)
    assert [saved[at].content for at in told["payload"]["targets"]] == [None] * len(
        told["payload"]["targets"]
    )


def test_a_home_without_a_ledger_says_so(lived, out):
    for path in lived.path.glob("ledger.db*"):
        path.unlink()
    done = lived.run("doctor", "--salvage", "-o", str(out))
    done.refused("neither", "is there: nothing can be salvaged", "timmy import")
    assert not out.exists()


def test_nothing_is_written_into_the_home_or_over_a_file(lived, out):
    for inside in (lived.path / "x", lived.state / "x"):
        lived.run("doctor", "--salvage", "-o", str(inside)).refused("is not written to")
        assert not inside.exists()
    out.write_text("mine")
    lived.run("doctor", "--salvage", "-o", str(out)).refused("is already there", "--force")
    assert out.read_text() == "mine"
    nowhere = out.parent / "no" / "such"
    lived.run("doctor", "--salvage", "-o", str(nowhere)).refused("cannot be written")


def test_a_running_node_is_not_salvaged(lived, out):
    with lived.running():
        lived.run("doctor", "--salvage", "-o", str(out)).refused("a node is running", "stop it")
    assert not out.exists()


def test_a_false_salvage_is_broken(lived, whole, out):
    salvage(lived, out, 0)
    data = out.read_bytes()
    at = data.index(b"the blue kettle")
    out.write_bytes(data[:at] + b"T" + data[at + 1 :])
    done = lived.run("--json", "verify", str(out))
    assert (done.code, done.json["verdict"]) == (1, "BROKEN")


def rewritten(data, change):
    """The same bundle with its records changed."""
    reader, file = Reader(io.BytesIO(data)), io.BytesIO()
    writer = Writer(file, reader.header)
    for item in change(list(reader)):
        writer.add(item)
    writer.end()
    return file.getvalue()


def test_no_record_can_be_dropped_doubled_or_moved_for_a_better_verdict(lived, out):
    """Ours and the verifier that was written from the page agree on every such file."""
    overwrite(lived, events_page(lived), bytes(PAGE))
    salvage(lived, out, 1)
    data = out.read_bytes()
    with out.open("rb") as file:
        count = len(list(Reader(file)))
    changes = [
        *(lambda items, at=at: items[:at] + items[at + 1 :] for at in range(count)),
        *(lambda items, at=at: [*items[: at + 1], *items[at:]] for at in range(count)),
        lambda items: items[::-1],
        lambda items: [*items, Subject(position=0)],
        lambda items: [fewer(item) for item in items],
    ]
    for change in changes:
        bad = rewritten(data, change)
        ours = verify_bundle(io.BytesIO(bad), None).verdict
        assert ours == verify(bad).verdict
        assert ours in {"BROKEN", "INCOMPLETE", "DIVERGED"}
    assert verify_bundle(io.BytesIO(data), None).verdict == verify(data).verdict


def fewer(item):
    """Claim that the log never had more than a few events."""
    if isinstance(item, Attachment) and "events" in item.value:
        return Attachment(name=item.name, value={"events": 3})
    return item
