"""Damage and time travel: bits that flipped, files cut short, old copies, hostile bundles."""

import os
import re
import shutil
from contextlib import closing

import pytest

from ledger.sql import connect
from ledger.sqlite import SqliteStore
from ledger.wal import read_wal
from mesh.fleet.grants import GrantBook
from node.open import now_ms

from .world import Home, until

LATE = b"marmalade"
"""Said last, far from event 0: see lived_seed."""


def position_of(home: Home, words: str) -> int:
    """The first message with these words."""
    rows = home.run("--json", "log", "--from", "0", "--type", "message.received").good().json
    return next(row["position"] for row in rows if words in row["content"]["text"])


def flip(home: Home, where: bytes) -> None:
    """Flip one bit inside these bytes of the ledger, wherever they lie."""
    data = bytearray(home.ledger.read_bytes())
    at = data.index(where)
    data[at + len(where) // 2] ^= 0x04
    home.ledger.write_bytes(data)


def verdict(home: Home) -> tuple[str, str]:
    """The verdict of a negative `timmy verify`, and its last line."""
    done = home.run("--json", "verify")
    assert done.code == 1, done
    assert done.json["good"] is False
    return done.json["verdict"], done.json["lines"][-1]["text"]


def bad_findings(home: Home) -> dict[str, dict]:
    done = home.run("--json", "doctor")
    assert done.code == 1, done
    return {row["name"]: row for row in done.json if row["ok"] is False}


def test_a_healthy_home_is_found_healthy(lived_seed, tmp_path):
    home = lived_seed.copy(tmp_path / "copy")
    assert home.run("--json", "verify").good().json["verdict"] == "UNBROKEN-PENDING"
    assert home.run("doctor").good()


def test_a_flipped_bit_is_found_with_its_event_and_the_rest_stays_readable(lived):
    late = position_of(lived, "marmalade")
    flip(lived, LATE)
    told, why = verdict(lived)
    assert told == "BROKEN"
    assert "does not match its checksum" in why
    first = int(why.split()[-1])
    assert 0 < first <= late
    named = f"event {first} cannot be read"
    lived.run("run").refused(named, "doctor")
    lived.run("replay").refused(named)
    listed = lived.run("--json", "log", "--from", "0")
    assert listed.code == 1, listed
    assert [row["position"] for row in listed.json][:first] == list(range(first))
    assert f"the first one met: {named}" in listed.err
    assert "timmy doctor --salvage" in listed.err
    found = bad_findings(lived)
    assert f"the first event that cannot be read is {first}" in found["ledger"]["text"]
    assert "backup" in found["ledger"]["hint"]

    assert lived.run("--json", "show", "0").good().json["type"] == "genesis.born"
    search = lived.run("--json", "search", "kettle").good()
    assert any("kettle" in str(row["content"]) for row in search.json)
    broken = lived.run("--json", "search", "marmalade")
    assert late not in [row["position"] for row in broken.json]
    assert f"warning: event {late} cannot be read" in broken.err


def test_search_survives_a_damaged_ledger_when_it_has_to_be_rebuilt(lived):
    for left in lived.path.glob("views.db*"):
        left.unlink()
    flip(lived, LATE)
    done = lived.run("--json", "search", "roof").good()
    assert any(row["content"]["text"].startswith("the roof") for row in done.json)
    assert "search ends where the ledger is damaged: event" in done.err


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1, 0.0])
def test_a_truncated_ledger_is_broken_and_says_up_to_where_it_reads(lived, share):
    whole = lived.ledger.stat().st_size
    os.truncate(lived.ledger, int(whole * share) // 8192 * 8192)
    told, why = verdict(lived)
    assert told == "BROKEN"
    if share:
        assert "malformed" in why
        assert "the first event that cannot be read is" in why
        lived.run("run").refused(str(lived.ledger), "damaged", "doctor")
        lived.run("search", "roof").refused(str(lived.ledger), "damaged")
    else:
        lived.run("run").refused("no genesis event", "if a ledger was lost, restore it")
        lived.run("search", "roof").refused(f"{lived.ledger} is empty", "backup")


@pytest.mark.parametrize("cut", [1000, 3000, 5000, 8000])
@pytest.mark.parametrize("command", ["log", "replay", "search", "head", "export", "verify", "run"])
def test_a_ledger_cut_inside_its_last_page_is_told_by_every_command(lived, tmp_path, command, cut):
    size = lived.ledger.stat().st_size
    held = lived.run("--json", "log", "--last", "1").good().json[0]["position"] + 1
    os.truncate(lived.ledger, size - cut)
    before = lived.fingerprint()
    argv = {"search": ["search", "kettle"], "export": ["export", "-o", str(tmp_path / "x")]}
    done = lived.run(*argv.get(command, [command]))
    assert done.code == 0 if command == "search" else done.code in (1, 2), done
    assert "is cut short" in done.out + done.err, done
    assert f"it held at least {held} events" in done.out + done.err, done
    assert "Traceback" not in done.err
    if command == "run":
        done.refused("is cut short", "backup", "timmy doctor --salvage")
    assert not (tmp_path / "x").exists()
    assert lived.fingerprint() == before


def page_of(home: Home, name: str) -> int:
    """Number of the root page of a table or index."""
    with closing(connect(home.ledger, read_only=True)) as database:
        query = "select rootpage from sqlite_schema where name = ?"
        return database.execute(query, (name,)).get


def zero(home: Home, page: int) -> None:
    with home.ledger.open("r+b") as file:
        file.seek((page - 1) * 8192)
        file.write(bytes(8192))


@pytest.mark.parametrize(
    "name",
    ["stream", "sqlite_autoindex_stream_1", "event", "event_by_stream", "idempotency", "tile",
     "tile_by_number"],
)  # fmt: skip
def test_no_node_starts_over_a_tree_whose_root_is_zeros(lived, name):
    zero(lived, page_of(lived, name))
    lived.run("run").refused(str(lived.ledger), "damaged", "timmy doctor --salvage")


def tampered(home: Home, *statements: str) -> None:
    """Change the database as somebody does who knows SQLite and not what holds it together."""
    with closing(connect(home.ledger)) as database:
        names = [
            row[0]
            for row in database.execute("select name from sqlite_schema where type = 'trigger'")
        ]
        for name in names:
            database.execute(f"drop trigger {name}")
        database.execute("pragma foreign_keys=OFF")
        for statement in statements:
            database.execute(statement)


def test_an_edited_message_is_found_and_named(lived):
    kettle = position_of(lived, "blue kettle")
    tampered(lived, f"update event set content = (select content from event where position = {position_of(lived, 'roof')}) where position = {kettle}")  # fmt: skip
    told, why = verdict(lived)
    assert told == "BROKEN"
    assert why.startswith(f"event {kettle}: ")
    lived.run("run").refused(f"event {kettle}: ")
    lived.run("show", str(kettle)).refused(f"event {kettle}: ")


def test_a_removed_event_is_found_and_named(lived):
    kettle = position_of(lived, "blue kettle")
    tampered(lived, f"delete from event where position = {kettle}")
    told, why = verdict(lived)
    assert told == "BROKEN"
    assert f"event {kettle} is missing" in why
    for argv in (["run"], ["replay"], ["show", str(kettle)]):
        lived.run(*argv).refused(f"event {kettle} is missing", "doctor")


def test_two_exchanged_events_are_found(lived):
    one, other = position_of(lived, "roof"), position_of(lived, "blue kettle")
    tampered(
        lived,
        f"update event set position = -1 where position = {one}",
        f"update event set position = {one} where position = {other}",
        f"update event set position = {other} where position = -1",
    )
    assert verdict(lived)[0] == "BROKEN"
    assert "Traceback" not in lived.run("run").err


def test_dropped_events_at_the_end_are_a_rollback(lived):
    size = lived.run("--json", "verify").good().json["size"]
    tampered(lived, f"delete from event where position >= {size - 3}")
    told, why = verdict(lived)
    assert told == "BROKEN"
    assert f"{size} events were released to the world, this ledger holds {size - 3}" in why
    lived.run("run").refused("were released to the world", "recover")


def test_a_node_does_not_sign_over_what_no_verifier_would_take(lived):
    """Rows appended while it was stopped: their stream sequence is not the one that follows."""
    size = lived.run("--json", "verify").good().json["size"]
    kettle = position_of(lived, "blue kettle")
    tampered(lived, f"insert into event select {size}, stream, 7000, envelope, salt, payload, content_salt, content from event where position = {kettle}")  # fmt: skip
    before = lived.fingerprint()
    lived.run("run").refused(f"event {size}: ", "doctor")
    assert verdict(lived)[0] == "BROKEN"
    assert lived.fingerprint() == before


def test_a_flipped_bit_in_the_log_of_a_killed_node_is_refused_and_nothing_is_changed(lived):
    """SQLite takes it for the end of the log: what was acknowledged behind it would be gone."""
    node = lived.start()
    for number in range(3):
        node.say(f"acknowledged message {number}", wait_s=0)
    node.kill9()
    log = lived.ledger.with_name("ledger.db-wal")
    whole = log.read_bytes()
    frames = read_wal(lived.ledger).frames  # behind them is room
    assert frames > 3
    data = bytearray(whole)
    data[32 + frames // 2 * (24 + 8192) + 1000] ^= 0x10
    log.write_bytes(data)
    told, why = verdict(lived)
    assert told == "BROKEN"
    assert f"is damaged at frame {frames // 2 + 1}" in why
    lived.run("run").refused("is damaged at frame", "doctor")
    assert "is damaged at frame" in bad_findings(lived)["ledger"]["text"]
    assert log.read_bytes() == data
    log.write_bytes(whole)
    with lived.running() as again:
        assert again.answer("are you there?")
    assert lived.run("verify").good()


def test_a_flipped_bit_in_a_keystore_is_found_without_a_passphrase(lived):
    keystore = lived.path / "keys" / "agent.keystore"
    data = bytearray(keystore.read_bytes())
    data[data.index(b"ncryptsec1") + 60] ^= 0x01
    keystore.write_bytes(data)
    told, why = verdict(lived)
    assert told == "BROKEN"
    assert "agent.keystore" in why
    assert "agent.keystore" in bad_findings(lived)["keys"]["text"]


# ---- the guard -----------------------------------------------------------------------------------


def test_a_restored_old_ledger_is_refused_and_still_readable(lived, tmp_path):
    old = lived.copy(tmp_path / "backup")
    with lived.running() as node:
        node.say("said after the backup")
    for path in lived.path.glob("ledger.db*"):
        path.unlink()
    shutil.copy(old.ledger, lived.ledger)
    before = lived.fingerprint()
    lived.run("run").refused("events were released to the world, this ledger holds", "recover")
    lived.run("head").refused("events were released to the world")
    erased = lived.run("redact", str(position_of(lived, "roof")), "--derived", "--yes")
    erased.refused("events were released to the world", "recover")
    lived.run("export", "-o", str(tmp_path / "x")).refused("events were released to the world")
    assert list(tmp_path.glob("*x*")) == []
    assert verdict(lived)[0] == "BROKEN"
    assert lived.run("search", "roof").good()
    assert lived.fingerprint() == before


def test_a_missing_guard_is_refused_with_the_way_out(lived, tmp_path):
    shutil.rmtree(lived.guard.parent)
    before = lived.fingerprint()
    lived.run("run").refused(
        "guard", "is missing: this may be a copied or restored home", "recover"
    )
    lived.run("prove", "1", "-o", str(tmp_path / "x")).refused("is missing")
    erased = lived.run("redact", str(position_of(lived, "roof")), "--derived", "--yes")
    erased.refused("is missing", "recover")
    assert "timmy recover" in bad_findings(lived)["ledger"]["hint"]
    assert verdict(lived)[0] == "BROKEN"
    assert lived.run("log").good()
    assert lived.fingerprint() == before


@pytest.mark.parametrize("data", [b"", b"timmy/0/0\n1\nAAAA\n"], ids=["empty", "cut"])
def test_a_damaged_guard_is_refused(lived, data):
    lived.guard.write_bytes(data)
    lived.run("run").refused("guard", "is damaged", "recover")


def test_a_copied_home_without_its_state_directory_is_refused(lived, tmp_path):
    copy = Home(tmp_path / "elsewhere")
    shutil.copytree(lived.path, copy.path)
    copy.run("run").refused("this may be a copied or restored home", "recover")


def settled(node) -> bool:
    status = node.status()
    published = node.log(last=1)[0]["type"] == "checkpoint.published"
    return published and status["events"] == status["head"]["size"]


def test_a_copy_that_runs_beside_the_original_stops_before_it_forks_the_log(lived, place):
    """Two nodes on two copies of a home and one state directory: one of them must end."""
    twin_home = place("elsewhere")
    node = lived.start()
    until(lambda: settled(node), 120, "the first node has released all it has")
    shutil.copytree(lived.path, twin_home.path)
    twin_home.state.symlink_to(lived.state)
    twin = twin_home.start()  # starting alone releases a head, over which the other may not sign
    node.request("POST", "/v1/say", {"text": "said by the first", "wait_s": 0})
    until(lambda: not node.alive, 120, "the first node has ended")
    assert node.process.returncode == 2
    assert "was changed by another node" in node.stderr
    assert "stop the copy of this home" in node.stderr
    assert "Traceback" not in node.stderr
    assert twin.answer("are you there?")
    assert twin_home.run("verify").good()
    twin.stop()
    lived.run("run").refused("released", "recover")


def test_the_recovery_kit_is_the_way_out_of_a_lost_guard_and_nothing_else_is(lived, fresh):
    fresh.run("init").good()
    [kit] = lived.state.glob("recovery-kit-*")
    [other] = fresh.state.glob("recovery-kit-*")
    lived.run("recover", "--yes", "--kit", str(kit)).refused("there is nothing to recover from")
    grants = lived.guard.with_name("grants.db")
    shutil.rmtree(grants.parent)
    grants.parent.mkdir(mode=0o700)
    GrantBook(grants, me=bytes(32), now_s=0, fresh=True).close()
    before = lived.fingerprint()
    lived.run("recover", "--kit", str(kit)).refused("gives up", "--yes")
    for name, named in ((kit.with_name("none"), "none cannot be read"), (other, "kit")):
        done = lived.run("recover", "--yes", "--kit", str(name))
        assert done.code == 2
        assert named in done.err
        assert "Traceback" not in done.err
    wrong = lived.run("recover", "--yes", "--kit", str(kit), env={"TIMMY_PASSPHRASE": "wrong"})
    wrong.refused("wrong passphrase")
    assert lived.fingerprint() == before
    done = lived.run("--json", "recover", "--yes", "--kit", str(kit)).good().json
    assert done["epoch"] == 1
    book = GrantBook(grants, me=bytes(32), now_s=0)
    assert book.begins_s > 0, "a voter without its guard may have forgotten what it granted"
    book.close()
    with lived.running() as node:
        assert node.answer("are you there?")
        assert node.status()["head"]["epoch"] == 1
    report = lived.run("--json", "verify").good().json
    assert report["good"] is True


def test_a_replaced_keystore_is_refused(lived, fresh):
    fresh.run("init").good()
    shutil.copy(fresh.path / "keys" / "agent.keystore", lived.path / "keys" / "agent.keystore")
    lived.run("run").refused("key")


# ---- the clock -----------------------------------------------------------------------------------


def test_a_clock_that_jumped_back_is_told_and_recorded(lived):
    """The newest event is an hour ahead of us, as after a clock was set back."""
    from ledger.core.event import Draft
    from ledger.log import Log

    ahead_ms = now_ms() + 3_600_000
    with Log(SqliteStore.open(lived.ledger), clock=lambda: ahead_ms, entropy=os.urandom) as log:
        log.append_now(Draft(type="test.ahead", stream=bytes(16), payload={}))
    with lived.running() as node:
        said = node.say("what time is it?")
        assert said["answer"] is not None
        assert said["message"]["ts_ms"] == ahead_ms
        assert 3_500_000 < node.status()["clock_behind_ms"] <= 3_600_000
        found = bad_findings(lived)
        assert "behind the newest event" in found["node"]["text"]
        assert "set the clock" in found["node"]["hint"]
    stepped = lived.run("--json", "log", "--type", "clock.").good().json
    assert [3_500_000 < row["payload"]["behind_ms"] <= 3_600_000 for row in stepped] == [True]
    times = [row["ts_ms"] for row in lived.run("--json", "log", "--from", "0").good().json]
    assert times == sorted(times)
    assert lived.run("verify").good()


# ---- bundles -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle(lived_seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    home = lived_seed.copy(folder / "home")
    file, proof = folder / "whole.bundle", folder / "one.proof"
    home.run("export", "-o", str(file)).good()
    home.run("prove", "4", "-o", str(proof)).good()
    return file.read_bytes(), proof.read_bytes()


def framed(body: bytes) -> bytes:
    return b"timmy-bundle v1\n" + len(body).to_bytes(4, "big") + body


def bitten(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


HOSTILE = {
    "empty": (lambda whole: b"", "truncated"),
    "cut in half": (lambda whole: whole[: len(whole) // 2], "truncated"),
    "cut before the end": (lambda whole: whole[:-1], "truncated"),
    "another format": (lambda whole: b"\x89PNG\r\n\x1a\n" * 20, "not a timmy bundle"),
    "a flipped bit": (lambda whole: bitten(whole, 700), "event 0"),
    "a flipped bit at the end": (lambda whole: bitten(whole, len(whole) - 2), ""),
    "more behind the end": (lambda whole: whole + b"x", "bytes follow"),
    "the end twice": (lambda whole: whole + whole, "bytes follow"),
    "four gigabytes claimed": (lambda whole: whole[:16] + b"\xff" * 4 + whole[20:], "claims 4294967295"),
    "five thousand deep": (lambda whole: framed(b"\x81" * 5000), "record 0"),
    "a bomb of arrays": (lambda whole: framed(b"\x9b" + b"\x7f" + b"\xff" * 7), "record 0"),
    "an endless string": (lambda whole: framed(b"\x5f" + b"\x41a" * 100), "record 0"),
    "a float": (lambda whole: framed(b"\x82\x66header\xf9\x7e\x00"), "record 0"),
    "a tag": (lambda whole: framed(b"\xd8\x1c\x82\x66header\x00"), "record 0"),
    "nothing but null": (lambda whole: framed(b"\xf6"), "record"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "named"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_bundle_is_broken_and_never_becomes_a_home(bundle, tmp_path, make, named):
    file = tmp_path / "hostile.bundle"
    file.write_bytes(make(bundle[0]))
    home = Home(tmp_path / "target")
    done = home.run("--json", "verify", str(file))
    assert (done.code, done.json["good"]) == (1, False), done
    assert done.json["verdict"] in {"BROKEN", "INCOMPLETE"}
    assert named in done.json["lines"][-1]["text"]
    home.run("import", str(file)).refused("not a whole, valid export", "timmy verify")
    assert not home.path.exists()
    assert not home.state.exists()


@pytest.mark.parametrize("harm", ["cut", "flipped"])
def test_a_damaged_export_says_which_events_are_still_whole(bundle, tmp_path, harm):
    whole, at = bundle[0], len(bundle[0]) * 2 // 3
    file = tmp_path / "damaged.bundle"
    file.write_bytes(whole[:at] if harm == "cut" else bitten(whole, at))
    done = Home(tmp_path / "target").run("--json", "verify", str(file))
    told = {line["name"]: line["text"] for line in done.json["lines"]}
    last = int(re.match(r"events 0 to (\d+) match", told["readable"])[1])
    assert last > 0
    lost = f"event {last + 1}:" if harm == "flipped" else f"truncated in record {last + 2}:"
    assert told["failing link"].startswith(lost)


def test_a_proof_is_not_imported(bundle, tmp_path):
    file = tmp_path / "one.proof"
    file.write_bytes(bundle[1])
    home = Home(tmp_path / "target")
    assert home.run("verify", str(file)).good()
    home.run("import", str(file)).refused("is a proof, not an export", "timmy export")
    assert not home.path.exists()


def test_an_import_never_replaces_a_ledger(bundle, lived, tmp_path):
    file = tmp_path / "whole.bundle"
    file.write_bytes(bundle[0])
    before = lived.fingerprint()
    lived.run("import", str(file)).refused(f"{lived.ledger} is already there", "--home")
    assert lived.fingerprint() == before


def test_an_imported_ledger_reads_as_the_original_and_does_not_run_without_keys(
    bundle, tmp_path, lived
):
    file = tmp_path / "whole.bundle"
    file.write_bytes(bundle[0])
    reader = Home(tmp_path / "reader")
    reader.run("import", str(file)).good()
    argv = ("--json", "log", "--from", "0")
    assert reader.run(*argv).good().json == lived.run(*argv).good().json
    assert reader.run("search", "roof").good()
    assert reader.run("replay").good()
    reader.run("run").refused("agent.keystore does not exist", "backup")


@pytest.mark.parametrize("command", ["verify", "import"])
@pytest.mark.parametrize("name", ["nowhere.bundle", "."], ids=["missing", "a folder"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, command, name):
    home = Home(tmp_path / "target")
    home.run(command, str(tmp_path / name)).refused("cannot be read")
    assert not home.path.exists()


def test_another_soul_is_not_the_one_of_the_proof(bundle, tmp_path):
    file, soul = tmp_path / "one.proof", tmp_path / "SOUL.md"
    file.write_bytes(bundle[1])
    soul.write_text("I am somebody else.\n")
    done = Home(tmp_path / "target").run("--json", "verify", str(file), "--soul", str(soul))
    assert (done.code, done.json["verdict"]) == (1, "BROKEN")
    assert "born with" in done.json["lines"][-1]["text"]
