"""After a redaction no gift wrap is left in the home that its keys open to the erased words.

A real node with its own relay, and a person with rust-nostr's client who reads there and at a relay
that never answers: what she wrote, what she was answered and the node's own copy lie in `relay.db`,
and the answer waits in `outbox.db`. What is left is really opened, with both keys.
"""

import asyncio
import json
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace

import apsw
import pytest

from genesis.keys.keystore import unlock_agent
from mesh.core import nip59
from mesh.core.errors import InvalidData
from mesh.core.nip01 import Event, NostrSigner, verify
from mesh.pool.sqlite_outbox import SqliteOutbox
from mesh.relay.sqlite import SqliteEventStore
from mesh.sealed.sqlite_carried import SqliteCarried
from tests.gateways.nostr_world import SECONDS, Person
from tests.node.world import COMMAND_SECONDS, PASSPHRASE, SETTINGS, Home, until
from tests.ports import free_port

ADA = bytes([21]) * 32
STAYS = "grimbolux tavernasch ploddert wexingholm"
SECRET = "what do you know about grimbolux tavernasch ploddert?"
"""Its answer is another than that of the first: two alike within a second are one message."""
STORES = {"relay.db": "event", "outbox.db": "outbox"}


def kept(home):
    """Every event in the stores of a home, as JSON."""
    found = []
    for name, table in STORES.items():
        with closing(apsw.Connection(str(home.path / name))) as db:
            found += [(name, json) for (json,) in db.execute(f"SELECT json FROM {table}")]
    return found


def opened(home):
    """What the keys of the node and of its reader open: (store, receiver, words)."""
    agent = NostrSigner(unlock_agent(home.path, PASSPHRASE).nostr.secret)
    found = set()
    for name, text in kept(home):
        event = verify(Event.from_json(text))
        for who, reader in (("agent", agent), ("ada", NostrSigner(ADA))):
            try:
                found.add((name, who, nip59.open_wrap(event, reader).rumor.content))
            except InvalidData:
                continue
    return found


def stretches(home, words):
    """The wraps that open to these words, and pieces of what is encrypted in each."""
    agent = NostrSigner(unlock_agent(home.path, PASSPHRASE).nostr.secret)
    needles = {}
    for _, text in kept(home):
        event = verify(Event.from_json(text))
        for reader in (agent, NostrSigner(ADA)):
            try:
                said = nip59.open_wrap(event, reader).rumor.content
            except InvalidData:
                continue
            if said in words:
                at = range(0, len(event.content) - 24, 24)
                needles[event.id] = [event.content[start : start + 24].encode() for start in at]
    return needles


def pieces_left(home, needles):
    """Names of files in the home with a piece of one of these wraps."""
    data = {path.name: path.read_bytes() for path in home.path.rglob("*") if path.is_file()}
    pieces = [piece for one in needles.values() for piece in one]
    return {name for name, whole in data.items() if any(piece in whole for piece in pieces)}


@dataclass(frozen=True)
class Written:
    """A home that was written to twice and answered: what is to be erased, and its relay's URL."""

    home: Home
    positions: list[str]
    words: set[str]
    url: str

    def parts(self):
        return self.home, self.positions, self.words, self.url


async def live(home):
    """Write to a node, be answered, and stop it."""
    port, dead = free_port(), free_port()
    url = f"ws://127.0.0.1:{port}/"
    ada = Person(ADA, url)
    home.configure(
        f"{SETTINGS.replace('port = 0', f'port = {port}')}\n[gateways.nostr]\nenabled = true\n"
        f'operator = "{ada.npub}"\nrelays = ["{url}"]\n[relay]\nwriters = ["{ada.npub}"]\n'
    )
    node = await asyncio.to_thread(home.start)
    async with ada:
        npub = node.status()["npub"]
        await ada.publish(10050, "", ["relay", url], ["relay", f"ws://127.0.0.1:{dead}/"])
        await ada.write(npub, STAYS)
        await ada.until_read(npub, 1)
        await ada.write(npub, SECRET)
        await ada.until_read(npub, 2)
        async with asyncio.timeout(SECONDS):
            while sum(name == "outbox.db" for name, _ in kept(home)) < 2:
                await asyncio.sleep(0.1)
    received = {row["content"]["text"]: row["position"] for row in node.log("message.received")}
    sent = {row["payload"]["message"]: row for row in node.log("message.sent")}
    answer = sent[received[SECRET]]
    await asyncio.to_thread(node.stop)
    positions = [str(received[SECRET]), str(answer["position"])]
    return Written(home, positions, {SECRET, answer["content"]["text"]}, url)


@pytest.fixture(scope="session")
def lived(newborn, tmp_path_factory):
    """One such life, in a loop of its own: each test has a copy."""
    home = newborn.copy(tmp_path_factory.mktemp("sealed") / "machine")
    with ThreadPoolExecutor(1) as thread:
        yield thread.submit(asyncio.run, live(home)).result()
    home.end()


@pytest.fixture
def written(lived, tmp_path):
    """A copy of it. No two of them run at once: the port is the same."""
    home = lived.home.copy(tmp_path / "machine")
    yield replace(lived, home=home)
    home.end()


def check_gone(home, words, needles, before):
    """Nothing opens to the words, no piece of those wraps is in a file, all others are there."""
    assert opened(home) == {one for one in before if one[2] not in words}
    assert pieces_left(home, needles) == set()


@pytest.mark.parametrize("while_running", [True, False], ids=["running", "stopped"])
async def test_nothing_that_is_left_opens_to_erased_words(written, while_running):
    born, positions, words, url = written.parts()
    before = opened(born)
    assert {(name, who) for name, who, said in before if said in words} == {
        ("relay.db", "agent"), ("relay.db", "ada"), ("outbox.db", "ada"),
    }  # fmt: skip
    needles = stretches(born, words)
    assert pieces_left(born, needles) >= {"relay.db", "outbox.db"}
    node = await asyncio.to_thread(born.start) if while_running else None
    redact = ("--json", "redact", *positions, "--yes")
    done = (await asyncio.to_thread(born.run, *redact)).good().json
    assert done["finished"]
    assert pieces_left(born, needles) == set()
    if node is None:
        node = await asyncio.to_thread(born.start)
    async with Person(ADA, url) as ada:
        npub = node.status()["npub"]
        assert words.isdisjoint(await ada.read(npub))
        await ada.write(npub, "and now?")
        await ada.until_read(npub, 2)
    assert node.status()["redaction_pending"] is False
    await asyncio.to_thread(node.stop)
    left = opened(born)
    assert left >= {one for one in before if one[2] not in words}
    assert not [one for one in left if one[2] in words]
    assert pieces_left(born, needles) == set()
    assert "erasure" not in born.run("verify").good().out
    with closing(SqliteEventStore(born.path / "relay.db")) as relay:
        assert relay.count() > 0


KILLED_IN = {
    "before anything is withdrawn": "node.nostr.withdrawing.withdraw_here",
    "before the first file is touched": "mesh.relay.sqlite.erase",
    "with rows gone and pages left": "mesh.database.truncate_wal",
    "between the two files": "mesh.pool.sqlite_outbox.erase",
    "before it is forgotten": "mesh.sealed.sqlite_carried.SqliteCarried.forget",
}


@pytest.mark.parametrize("step", KILLED_IN.values(), ids=KILLED_IN)
async def test_a_withdrawal_that_was_killed_is_finished_by_the_next_start(written, step):
    born, positions, words, _ = written.parts()
    before, needles = opened(born), stretches(born, words)
    place, _, name = step.rpartition(".")
    owner, _, attribute = place.rpartition(".") if "Sqlite" in place else (place, "", "")
    code = (
        "import importlib, os, signal, sys, node.cli as m\n"
        f"owner = importlib.import_module({owner!r})\n"
        f"owner = getattr(owner, {attribute!r}, owner)\n"
        f"setattr(owner, {name!r}, lambda *_: os.kill(os.getpid(), signal.SIGKILL))\n"
        f"sys.argv = ['timmy', 'redact', {', '.join(map(repr, positions))}, '--yes']\n"
        "m.main()\n"
    )
    done = await asyncio.to_thread(born.python, code)
    assert done.code == -signal.SIGKILL, done
    report = born.run("--json", "verify").good().json
    [told] = [line["text"] for line in report["lines"] if line["name"] == "erasure"]
    assert "sealed messages that are kept for relays" in told
    node = await asyncio.to_thread(born.start)
    await asyncio.to_thread(
        until, lambda: not node.status()["redaction_pending"], COMMAND_SECONDS, "it is finished"
    )
    await asyncio.to_thread(node.stop)
    check_gone(born, words, needles, before)
    with closing(SqliteCarried(born.path / "carried.db")) as carried:
        assert len(carried.events()) == 2, "of the message that stays, and of its answer"


async def test_a_reader_in_the_way_is_waited_for(written):
    born, positions, words, _ = written.parts()
    before, needles = opened(born), stretches(born, words)
    node = await asyncio.to_thread(born.start)
    reader = apsw.Connection(str(born.path / "relay.db"))
    reader.execute("BEGIN; SELECT count(*) FROM event").fetchall()
    body = {"positions": [int(one) for one in positions]}
    answer = await asyncio.to_thread(node.request, "POST", "/v1/redact", body)
    assert (answer.status, answer.json["finished"]) == (200, False)
    assert node.status()["redaction_pending"] is True
    reader.execute("ROLLBACK")
    reader.close()
    await asyncio.to_thread(
        until, lambda: not node.status()["redaction_pending"], COMMAND_SECONDS, "it is finished"
    )
    await asyncio.to_thread(node.stop)
    check_gone(born, words, needles, before)


async def test_without_the_note_of_what_came_all_is_opened_once_more(written):
    """As after the version that wrote no notes: what relays still have is known again."""
    born, positions, _, _ = written.parts()
    (born.path / "carried.db").unlink()
    node = await asyncio.to_thread(born.start)
    await asyncio.to_thread(
        until, lambda: node.status()["nostr"]["opened"] >= 2, SECONDS, "letters were opened"
    )
    (await asyncio.to_thread(born.run, "redact", *positions, "--yes")).good()
    await asyncio.to_thread(node.stop)
    assert ("relay.db", "agent", SECRET) not in opened(born)
    assert ("relay.db", "agent", STAYS) in opened(born)
    with closing(SqliteOutbox(born.path / "outbox.db")) as outbox:
        assert outbox.relays(), "what it sent before is not known again"


def test_a_home_that_never_had_sealed_messages_gets_no_file_of_them(born):
    with born.running() as node:
        at = node.say(SECRET)["message"]["position"]
    (born.path / "carried.db").unlink()
    (born.path / "relay.db").unlink()
    done = json.loads(born.run("--json", "redact", str(at), "--yes").good().out)
    assert done["finished"]
    assert not (born.path / "carried.db").exists()
    assert not (born.path / "relay.db").exists()
