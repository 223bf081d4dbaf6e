"""Backup while the node lives, and restore: real homes, real processes, files that were spoilt."""

import hashlib
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace as changed
from http.client import HTTPException
from pathlib import Path

import pytest

from genesis.soul import default_soul
from ledger.core.bundle import Attachment, Header, Reader, SignedHead, Writer
from ledger.core.event import Record
from ledger.sql import connect

from .world import Home, until


def back_up(home, name="life.backup", *more):
    path = home.root / name
    home.run("backup", "-o", str(path), *more).good()
    return path


def items(path):
    """The header and every record of a backup."""
    with path.open("rb") as file:
        reader = Reader(file)
        return [reader.header, *reader]


def records(path):
    return [item for item in items(path) if isinstance(item, Record)]


def written(path, header, rest):
    """Write a bundle that is whole, whatever it says."""
    with path.open("wb") as file:
        writer = Writer(file, header)
        for item in rest:
            writer.add(item)
        writer.end()
    return path


def elsewhere(home, name="restored", *, state=True):
    """Another home of the same user; with `state` of the same machine."""
    root = home.root.parent / name
    other = Home(root)
    root.mkdir()
    if state:
        (root / "state").symlink_to(home.state)
    return other


@pytest.fixture(scope="module")
def kept(seeds, born_seed):
    """A home that lived, was backed up, lived on and was redacted; and its backups."""
    home = born_seed.copy(seeds / "kept")
    with home.running() as node:
        node.say("the first winter was mild")
        back_up(home, "early.backup")
        node.say("the heron came back in march")
    back_up(home, "late.backup")
    return home


@pytest.fixture
def home(kept, tmp_path):
    home = kept.copy(tmp_path / "machine")
    yield home
    home.end()


# ---- what is in it ------------------------------------------------------------------------------


def test_a_backup_holds_the_life_and_what_it_needs_and_says_what_it_does_not(home):
    done = home.run("--json", "backup", "-o", str(home.root)).good().json
    path = Path(done["file"])
    assert path.name == f"timmy-{done['ledger'][:8]}-{done['events']}.backup"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert done["bytes"] == path.stat().st_size
    assert done["unreleased"] == 0
    assert {"SOUL.md", "node.toml", "keys/agent.keystore", "trees/current"} <= set(done["files"])
    assert [row["what"] for row in done["left_out"]][:3] == ["guard", "operator key", "passphrase"]
    assert len(records(path)) == done["events"]
    assert list(home.root.glob(".*")) == [], "nothing is left beside it"
    data = path.read_bytes()
    for secret in home.state.glob("operator/*"):
        assert secret.read_bytes() not in data, secret
    assert home.passphrase.encode() not in data
    assert (home.path / "token").read_bytes().strip() not in data
    report = home.run("--json", "verify", str(path), "--soul", str(home.path / "SOUL.md")).good()
    assert (report.json["verdict"], report.json["purpose"]) == ("UNBROKEN-PENDING", "backup")
    told = home.run("backup", "-o", str(path), "--force").good().out
    assert "not in it: guard" in told
    assert "restore" in told


def test_places_where_a_backup_does_not_go(home):
    path = home.root / "late.backup"
    before = path.read_bytes()
    home.run("backup", "-o", str(path)).refused("already there", "--force")
    home.run("backup", "-o", str(home.path / "x.backup")).refused("lies in the home", "lost with")
    home.run("backup", "-o", str(home.root / "no" / "x")).refused("cannot be written", "-o FILE")
    assert path.read_bytes() == before
    fresh = elsewhere(home, "nobody")
    fresh.run("backup", "-o", str(home.root / "y")).refused("there is no ledger", "timmy init")
    assert not (home.root / "y").exists()


def test_a_home_that_may_not_release_is_not_backed_up(home):
    home.guard.unlink()
    home.run("backup", "-o", str(home.root / "x")).refused("guard", "is missing", "recover")
    assert not (home.root / "x").exists()


@pytest.mark.parametrize("what", ["SOUL.md", "keys/agent.keystore", "trees"])
def test_a_home_with_a_damaged_part_is_not_backed_up(home, what):
    path = home.path / what
    if path.is_dir():
        path = next(path.glob("*/loop.py"))
    path.chmod(0o600)
    path.write_bytes(b"x" + path.read_bytes())
    done = home.run("backup", "-o", str(home.root / "x"))
    assert done.code == 2
    assert "timmy: error" in done.err
    assert list(home.root.glob("*x*")) == []


def test_what_was_redacted_is_in_no_backup_made_afterwards(home):
    rows = home.run("--json", "log", "--from", "0", "--type", "message").good().json
    targets = [str(row["position"]) for row in rows if "heron" in str(row["content"])]
    assert b"heron" in (home.root / "late.backup").read_bytes()
    with home.running():
        home.run("redact", *targets, "--yes", "--derived").good()
        path = back_up(home, "after.backup")
    assert b"heron" not in path.read_bytes()
    other = elsewhere(home)
    other.run("restore", str(back_up(home, "stopped.backup"))).good()
    assert other.run("--json", "show", targets[0]).good().json["redacted"] is True
    assert other.run("verify").good()


class Talker(threading.Thread):
    def __init__(self, node, name):
        super().__init__()
        self.node, self.conversation, self.stopped = node, name, threading.Event()

    def run(self):
        number = 0
        while not self.stopped.is_set():
            number += 1
            body = {"text": f"{self.conversation} {number}", "conversation": self.conversation}
            try:
                self.node.request("POST", "/v1/say", body)
            except (OSError, HTTPException):
                return


def test_backups_under_load_are_prefixes_of_the_log_and_verify(home):
    made = []
    with home.running() as node:
        talkers = [Talker(node, f"talker {n}") for n in range(3)]
        for talker in talkers:
            talker.start()
        for number in range(4):
            made.append(back_up(home, f"{number}.backup"))
            position = node.say(f"to be erased {number}", wait_s=0)["message"]["position"]
            body = {"positions": [position], "reason": "asked"}
            assert node.request("POST", "/v1/redact", body).status == 200
        for talker in talkers:
            talker.stopped.set()
        for talker in talkers:
            talker.join(60)
    whole = {r.position: r for r in records(back_up(home, "whole.backup"))}
    sizes = []
    for path in made:
        found = records(path)
        sizes.append(len(found))
        for at, record in enumerate(found):
            final = whole[at]
            assert record.position == at
            assert (record.envelope, record.salt, record.payload) == (
                final.envelope, final.salt, final.payload,
            )  # fmt: skip
        assert home.run("verify", str(path)).good()
    assert sizes == sorted(set(sizes)), "the load was a load"
    assert sizes[0] < sizes[-1] < len(whole)


def test_events_that_no_head_covers_are_named(home):
    from .test_node_opaque import FACT, write_from_the_future

    write_from_the_future(home, FACT)
    done = home.run("--json", "backup", "-o", str(home.root / "x.backup")).good()
    assert done.json["unreleased"] == 1
    assert "the newest 1 events are not in it" in done.err


def test_a_backup_that_is_killed_leaves_no_file_under_the_name(home):
    path = home.root / "x.backup"
    process = home.popen("backup", "-o", str(path))
    half = home.root / ".x.backup.new"
    until(lambda: half.exists() or process.poll() is not None, 120, "it has begun")
    process.send_signal(signal.SIGKILL)
    process.wait()
    if path.exists():  # it was quicker than the signal
        assert home.run("verify", str(path)).good()
    assert home.run("backup", "-o", str(path), "--force").good()
    assert home.run("verify", str(path)).good()
    assert not half.exists()


# ---- restoring ----------------------------------------------------------------------------------


def test_the_newest_backup_restored_on_the_same_machine_lives_on(home):
    script, key = home.path / "scripts" / "daily" / "hello.sh", home.path / "model-keys" / "far"
    for file, words in ((script, "#!/bin/sh\necho hello\n"), (key, "sk-secret-of-a-provider\n")):
        file.parent.mkdir(parents=True)
        file.write_text(words)
        file.chmod(0o700 if file == script else 0o600)
    path = back_up(home, "newest.backup")
    assert b"sk-secret" not in path.read_bytes()
    other = elsewhere(home)
    done = other.run("--json", "restore", str(path)).good().json
    assert done["guard"]["state"] == "agrees"
    again = other.path / script.relative_to(home.path)
    assert subprocess.run([again], capture_output=True, check=True).stdout == b"hello\n"
    assert {stat.S_IMODE(at.stat().st_mode) for at in (again, again.parent)} == {0o700}
    assert not (other.path / "model-keys").exists()
    for name in ("SOUL.md", "node.toml", "keys/agent.keystore", "trees/current"):
        assert (other.path / name).read_bytes() == (home.path / name).read_bytes()
    assert stat.S_IMODE(other.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(other.ledger.stat().st_mode) == 0o600
    mine = home.run("--json", "log", "--from", "0").good().json
    assert other.run("--json", "log", "--from", "0").good().json == mine
    assert other.run("verify").good()
    with other.running() as node:
        assert node.answer("are you the same?")
    assert other.run("search", "heron").good()
    assert other.run("verify").good()
    other.run("restore", str(path)).refused("not empty", "empty home only")


def test_an_older_backup_does_not_sign_a_second_history(home):
    other = elsewhere(home)
    done = other.run("restore", str(home.root / "early.backup")).good()
    assert "guard ahead" in done.out
    assert "will not start until you choose" in done.out
    assert "newer backup" in done.out
    assert "timmy recover" in done.out
    before = home.guard.read_bytes()
    other.run("run").refused("were released to the world", "recover", "newest ledger")
    assert home.guard.read_bytes() == before
    assert other.run("search", "winter").good(), "it reads and searches meanwhile"
    newer = elsewhere(home, "newer")
    newer.run("restore", str(home.root / "late.backup")).good()
    with newer.running() as node:
        assert node.answer("and the tail is back")


def test_on_a_new_machine_the_kit_begins_a_new_epoch(fresh):
    """Everything is lost but a backup and the kit: a machine without state, without guard."""
    fresh.configure()
    kit = fresh.root / "kit"
    fresh.run("init", "--kit", str(kit)).good()
    with fresh.running() as node:
        node.say("the lighthouse keeper retired")
    path = back_up(fresh)
    machine = Home(fresh.root.parent / "machine")
    done = machine.run("--json", "restore", str(path)).good().json
    assert done["guard"]["state"] == "missing"
    assert any("recover" in choice for choice in done["guard"]["choices"])
    machine.run("run").refused("guard", "is missing", "recover")
    machine.run("recover", "--kit", str(kit), "--yes").good()
    with machine.running() as node:
        assert node.status()["head"]["epoch"] == 1
        assert "lighthouse" in node.answer("what about the lighthouse?")
    bundle = machine.root / "x.bundle"
    machine.run("export", "-o", str(bundle)).good()
    assert machine.run("--json", "verify", str(bundle)).good().json["verdict"] == "RECOVERED"
    again = back_up(machine, "recovered.backup")
    assert machine.run("--json", "verify", str(again)).good().json["verdict"] == "RECOVERED"


def test_a_home_is_made_in_an_empty_place_only(home):
    path = str(home.root / "late.backup")
    other = elsewhere(home)
    other.path.mkdir()
    other.run("restore", path).good()
    third = elsewhere(home, "third")
    third.path.mkdir()
    (third.path / "mine").write_text("x")
    third.run("restore", path).refused("not empty", "--home FOLDER")
    assert [p.name for p in third.path.iterdir()] == ["mine"]


# ---- spoilt backups -----------------------------------------------------------------------------


SOUL = default_soul().data


SPOILT = {
    "half of it": (lambda data: data[: len(data) // 2], "truncated in record"),
    "without its last byte": (lambda data: data[:-1], "truncated in record"),
    "nothing": (lambda _: b"", "truncated in record 0"),
    "of another program": (lambda _: b"PK\x03\x04" * 99, "not a timmy bundle"),
    "a byte more": (lambda data: data + b"x", "bytes follow the closing record"),
    "a bit of the soul": (
        lambda data: data.replace(SOUL[:40], SOUL[:39] + b"~", 1), "file SOUL.md: its bytes do not match",
    ),
    "a bit of the keystore": (
        lambda data: data.replace(b"ncryptsec1", b"ncryptsed1", 1), "file keys/agent.keystore",
    ),
    "a bit of an event": (lambda data: data.replace(b"winter", b"wintes", 1), "event"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "why"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_backup_makes_nothing_and_names_the_part(kept, tmp_path, spoil, why):
    path = tmp_path / "spoilt.backup"
    data = (kept.root / "late.backup").read_bytes()
    path.write_bytes(spoil(data))
    assert path.read_bytes() != data
    home = Home(tmp_path / "new")
    home.run("restore", str(path)).refused(why)
    assert not home.path.exists()
    assert list(tmp_path.rglob("*restoring*")) == []


def rebuilt(kept, path, change):
    """A backup whose container is whole, with other items in it."""
    header, *rest = items(kept.root / "late.backup")
    return written(path, header, change(rest))


def swap(path, data):
    """Replace a file's bytes, with the right digest of the wrong bytes; None takes it out."""

    def change(rest):
        for item in rest:
            if not isinstance(item, Attachment) or item.value["path"] != path:
                yield item
            elif data is not None:
                found = data(item.value["data"])
                value = {"data": found, "sha256": hashlib.sha256(found).digest()}
                yield changed(item, value=item.value | value)

    return change


def adding(path):
    def change(rest):
        value = {
            "path": path,
            "part": 0,
            "parts": 1,
            "data": b"",
            "sha256": hashlib.sha256().digest(),
        }
        return [*rest, Attachment(name="file", value=value)]

    return change


WRONG = {
    "another soul": (swap("SOUL.md", lambda data: data + b"x"), "SOUL.md is"),
    "no soul": (swap("SOUL.md", None), "file SOUL.md is missing"),
    "another agent's keys": (
        swap("keys/agent.keystore", lambda data: data.replace(b'"public": "', b'"public": "00', 1)),
        "keystore public",
    ),
    "no keys": (swap("keys/agent.keystore", None), "file keys/agent.keystore is missing"),
    "another tree adopted": (swap("trees/current", lambda _: b"00" * 32), "the tree it names is not"),
    "a way out of the home": (adding("../../.ssh/authorized_keys"), "does not know such a part"),
    "an absolute path": (adding("/etc/passwd"), "does not know such a part"),
    "a way out of a tree": (adding(f"trees/{'0' * 64}/../../x.py"), "is not plain"),
    "a way out of the scripts": (adding("scripts/a/../../token"), "does not know such a part"),
    "a file of a later version": (adding("wallet/coins.cbor"), "does not know such a part"),
    "a file twice": (adding("SOUL.md"), "file SOUL.md: part 0 of 1 is out of place"),
    "an attachment of another kind": (
        lambda rest: [*rest, Attachment(name="seal", value={})], "is not a part of a file",
    ),
    "without a head": (
        lambda rest: [i for i in rest if not isinstance(i, SignedHead)], "INCOMPLETE: no signed",
    ),
    "an event less": (
        lambda rest: [i for i in rest if not isinstance(i, Record) or i.position != 3],
        "event 4 where event 3 belongs",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "why"), WRONG.values(), ids=WRONG)
def test_a_whole_file_with_wrong_things_in_it_makes_nothing(kept, tmp_path, change, why):
    path = rebuilt(kept, tmp_path / "wrong.backup", change)
    home = Home(tmp_path / "new")
    home.run("restore", str(path)).refused(why)
    assert not home.path.exists()


def test_exports_and_proofs_and_backups_are_told_apart(home):
    bundle, proof = home.root / "x.bundle", home.root / "x.proof"
    home.run("export", "-o", str(bundle)).good()
    home.run("prove", "1", "-o", str(proof)).good()
    other = elsewhere(home)
    other.run("restore", str(bundle)).refused("purpose export, not a backup", "timmy import")
    other.run("restore", str(proof)).refused("purpose proof, not a backup")
    other.run("import", str(home.root / "late.backup")).refused("timmy restore")
    other.run("restore", str(home.root / "absent")).refused("cannot be read")
    assert not other.path.exists()
    header, *rest = items(home.root / "late.backup")
    path = written(
        home.root / "y.bundle", Header(purpose="export", ledger_id=header.ledger_id, epoch=0), rest
    )
    done = home.run("--json", "verify", str(path))
    assert (done.code, done.json["verdict"]) == (1, "BROKEN")


def test_a_restore_that_is_killed_leaves_no_half_home(home):
    """At whatever moment: there is no home, or a whole one; and the next try clears up."""
    path = str(home.root / "late.backup")
    for number, wait in enumerate([0.0, 0.02, 0.05, 0.1, 0.15]):
        other = elsewhere(home, f"killed{number}")
        process = other.popen("restore", path)

        def begun(folder=other.root, process=process):
            return list(folder.glob(".home.restoring-*")) or process.poll() is not None

        until(begun, 120, "it has begun")
        time.sleep(wait)
        process.kill()
        process.wait()
        if other.path.exists():
            assert other.run("verify").good()
        else:
            other.run("restore", path).good()
        assert other.run("verify").good()
        assert list(other.root.glob(".home.restoring-*")) == []


def test_a_disk_that_takes_no_more_leaves_what_was_there(home):
    """A bound on the size of files stands for the disk: the write fails half-way."""
    path = home.root / "late.backup"
    before = path.read_bytes()
    with home.config.open("a") as file:
        file.write("# a long remark\n" * 20_000)
    script = 'ulimit -f 200; exec "$0" -m node backup --force -o "$1"'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, str(path)],
        env=home.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done
    assert "cannot be written: File too large" in done.stderr
    assert path.read_bytes() == before
    assert list(home.root.glob(".late*")) == []


def test_a_ledger_of_a_later_version_is_refused_by_every_command_and_untouched(home):
    with closing(connect(home.ledger)) as database:
        database.execute("pragma user_version=2; pragma wal_checkpoint(TRUNCATE)")
    before = home.ledger.read_bytes()
    out = str(home.root / "x")
    for argv in (["run"], ["log"], ["verify"], ["replay"], ["backup", "-o", out], ["search", "a"]):
        home.run(*argv).refused("has schema 2, this version reads 1", "upgrade timmy")
    assert home.ledger.read_bytes() == before
