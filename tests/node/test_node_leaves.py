"""A node that is not of the fleet follows a log by heads and leaf hashes: real processes."""

import re

from ledger.log import Log
from ledger.sqlite import SqliteStore
from tests.e2e.fleet import PAGE
from tests.node.test_node_gossip import agents, diverged, files
from tests.node.test_node_mirroring import catches_up, fault, row
from tests.node.world import Home, until

__all__ = ["agents"]
WAIT = 180.0


def folder(agent, of):
    return agent.home.path / "mirrors" / f"{of.ledger}-leaves"


def size(node):
    return node.request("GET", "/v1/head").json["size"]


def records(agent):
    with Log(SqliteStore.open_read_only(agent.home.ledger), clock=lambda: 0, entropy=bytes) as log:
        return list(log.records())


def no_words(agent, of):
    """The copy holds no part of an event but of event 0, which says whose it is; no file any words.

    Payloads alone may stand elsewhere in the home: of events of its own, which are alike.
    """
    copy, files = folder(agent, of), {}
    for path in agent.home.root.rglob("*"):
        if path.is_file():
            files[path] = path.read_bytes()
    assert files[copy / "leaves"]
    said = [record for record in records(of)[1:] if record.content is not None]
    assert said
    for path, data in files.items():
        assert b"the roof leaks" not in data, path
        assert not any(record.content in data for record in said), path
        assert not any(record.envelope in data for record in records(of)[1:]), path
        if path.is_relative_to(copy):
            assert not any(record.payload in data for record in records(of)[1:]), path


def damaged(node, agent, of):
    """Stop the node and flip a bit of what it keeps."""
    node.stop()
    path = folder(agent, of) / "leaves"
    data = bytearray(path.read_bytes())
    data[33] ^= 1
    path.write_bytes(data)


def test_a_watcher_follows_stops_goes_on_and_gives_on(agents):
    ada, bob, cid, eve = (agents(name) for name in ("Ada", "Bob", "Cid", "Eve"))
    ada.knows(watchers=[bob])
    bob.knows(leaves=[ada], peers=[ada], watchers=[cid])
    cid.knows(leaves=[ada], peers=[bob])
    eve.knows(leaves=[ada], peers=[ada])
    with ada.home.running() as a:
        for number in range(5):
            a.say(f"the roof leaks, she said {number} times")
        b = bob.home.start()
        catches_up(b, ada, size(a))
        a.say("one more, while the watcher is being killed")
        b.kill9()
        a.say("and one without it")
        b = bob.home.start()
        catches_up(b, ada, size(a))
        damaged(b, bob, ada)
        b = bob.home.start()
        catches_up(b, ada, size(a))
        shown = bob.home.run("mesh", "mirrors").good().out
        assert f"{ada.ledger}  leaves only: " in shown
        assert str(folder(bob, ada)) in shown
        assert "was damaged, and is fetched again" in shown
        doctor = {one["name"]: one for one in bob.home.run("--json", "doctor").json}
        assert "is fetched again" in doctor["mirrors"]["text"]
        with eve.home.running() as e:
            until(lambda: fault(e, ada, ada).startswith("refused: 403"), WAIT, "she is refused")
            assert row(e, ada)["events"] == 0
        whole = size(a)
    with cid.home.running() as c:  # the log's own node is gone; its watcher gives what it has
        catches_up(c, ada, whole)
        until(lambda: row(c, ada)["size"] == row(b, ada)["size"], WAIT, "both have all")
        whole = row(b, ada)["size"]
    b.stop()
    assert (folder(cid, ada) / "leaves").read_bytes() == (folder(bob, ada) / "leaves").read_bytes()
    assert (folder(bob, ada) / "leaves").stat().st_size == 32 * whole
    for watcher in (bob, cid):
        no_words(watcher, ada)
    copy = Home(bob.home.root / "copy")
    copy.root.mkdir()
    copy.path.symlink_to(folder(bob, ada))
    for command in (["verify"], ["log"], ["export", "-o", str(copy.root / "ada.bundle")]):
        copy.run(*command).refused("leaf hashes", "timmy mesh mirrors")


def test_a_rewritten_history_is_found_by_who_holds_no_word_of_it(agents, tmp_path):
    """Bob watches; Ada's keys sign another history, longer than the first, at the same address.

    What stands in his node.toml is what docs/OPERATIONS.md says.
    """
    ada, bob = agents("Ada"), agents("Bob")
    ada.knows(watchers=[bob])
    [text] = re.findall(r"^## Be watched .*?```toml\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    for said, meant in (
        ("LEDGER", ada.ledger), ("http://10.0.0.1:8787", ada.url), ("npub1...", ada.npub),
    ):  # fmt: skip
        assert said in text
        text = text.replace(said, meant)
    bob.mesh = text
    bob.home.configure(bob.settings())
    other = ada.home.copy(tmp_path / "other")
    with bob.home.running() as b:
        with ada.home.running() as a:
            a.say("I promised Bob the house")
            catches_up(b, ada, size(a))
        with other.running() as a:
            for number in range(4):
                a.say(f"I promised nothing, {number} times")
            until(lambda: row(b, ada)["ended"], WAIT, "the other history is found")
        until(lambda: diverged(b) == [ada.ledger], WAIT, "it is proven")
        until(lambda: files(b), WAIT, "and written down")
        shown = bob.home.run("mesh", "mirrors")
        assert shown.code == 1
        assert "leaves only: ended at" in shown.out
        assert "two histories" in shown.out
        [proof] = files(b)
        checked = bob.home.run("verify", proof)
        assert (checked.code, "DIVERGED" in checked.out) == (1, True), checked
        assert ada.home.run("verify", proof).code == 1, "to anybody"
    other.end()
