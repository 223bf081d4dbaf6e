"""A voter is restored whole from an old backup: it has forgotten what it granted since.

Three real nodes as processes. The test asks cleo for grants as ada and bea would, over the wire and
with their keys, so that it sees each answer.
"""

import asyncio
import shutil

import aiohttp
import pytest

from genesis.keys.keystore import agent_path, unlock_root
from mesh.core import nip19
from mesh.core.fleet.duty import FORGOTTEN, HELD, SKEW_S_MAX, Ask, Grant
from mesh.core.fleet.duty_wire import read, sign
from mesh.core.fleet.manifest import open_manifest
from mesh.fleet.direct_bus import DirectBus
from mesh.fleet.duties import ask_subject
from tests.node.test_node_shared_jobs import Trio
from tests.node.world import PASSPHRASE, SETTINGS, until

WAIT = 90.0
REPLY_SECONDS = 60.0


class Voting:
    """The fleet, and who asks cleo."""

    def __init__(self, folder):
        self.trio = Trio(folder, SETTINGS + "[witness]\ninterval_s = 1\n")
        self.trio.found()
        self.cleo = self.trio.homes["cleo"]
        newest = max((self.trio.homes["ada"].path / "fleet").glob("*.manifest"))
        self.manifest = open_manifest(newest.read_bytes()).manifest
        [self.ledger] = [one.ledger.hex() for one in self.manifest.members if one.name == "cleo"]
        self.keys = {
            name: unlock_root(agent_path(home.path), PASSPHRASE).nostr
            for name, home in self.trio.homes.items()
        }

    def mirrored(self):
        """From now on ada copies cleo's ledger."""
        ada = self.trio.homes["ada"]
        self.trio.nodes["ada"].stop()
        npub = nip19.npub(self.keys["cleo"].public.hex())
        mirror = f'[mesh]\nmirror = ["{self.ledger}"]\n[[mesh.peers]]\n'
        peer = f'url = "{self.url("cleo")}"\nnpub = "{npub}"\n'
        ada.configure(ada.config.read_text() + mirror + peer)
        self.trio.start("ada")

    def url(self, name):
        [found] = [one.urls[0] for one in self.manifest.members if one.name == name]
        return found

    def ask(self, by, run, planned_s):
        """What cleo answers to a member that asks for a run: "granted", or why not."""
        question = Ask(
            run=run, planned_s=planned_s, until_s=planned_s + 900, member=self.keys[by].public,
            manifest=self.manifest.digest,
        )  # fmt: skip

        async def answer():
            async with aiohttp.ClientSession() as session:
                bus = DirectBus(
                    self.keys[by], session, manifest=lambda: self.manifest,
                    clock=lambda: int(self.trio.now_s),
                )  # fmt: skip
                subject = ask_subject(self.keys["cleo"].public)
                data = sign(question, self.keys[by])
                return read(await bus.request(subject, data, seconds=REPLY_SECONDS)).word

        word = asyncio.run(answer())
        return "granted" if isinstance(word, Grant) else word.why

    def soon(self, by, run, planned_s, what):
        """Ask until that is the answer."""
        until(lambda: self.ask(by, run, planned_s) == what, WAIT, f"{by} hears: {what}")

    def restore(self, backup):
        """Cleo's machine comes back as it was: home, state directory, guard, grants."""
        shutil.rmtree(self.cleo.root)
        shutil.copytree(backup.root, self.cleo.root)

    def witnessed(self, size):
        logs = self.trio.nodes["bea"].request("GET", "/v1/witness").json["witness"]["logs"]
        return any(one["ledger"] == self.ledger and one["size"] >= size for one in logs)

    def copied(self, size):
        rows = self.trio.nodes["ada"].request("GET", "/v1/mirrors").json
        return any(one["ledger"] == self.ledger and one["size"] >= size for one in rows)


@pytest.fixture
def voting(tmp_path):
    made = Voting(tmp_path)
    try:
        yield made
    finally:
        made.trio.end()


def test_a_voter_restored_from_an_old_backup_grants_nothing_twice(voting, tmp_path):
    trio, planned = voting.trio, int(voting.trio.now_s)
    voting.mirrored()
    trio.nodes["cleo"].stop()
    backup = voting.cleo.copy(tmp_path / "backup")
    trio.start("cleo")
    voting.soon("ada", b"r" * 16, planned, "granted")
    assert voting.ask("bea", b"r" * 16, planned) == "granted to another member"
    said = trio.nodes["cleo"].say("I vote")
    size = said["answer"]["position"] + 1
    until(lambda: voting.copied(size), WAIT, "ada has a copy")
    until(lambda: voting.witnessed(size), WAIT, "bea cosigned")
    trio.nodes["cleo"].kill9()

    # nobody who has a copy can be asked when she wakes: she starts, and a witness saw more of her
    trio.nodes["ada"].stop()
    voting.restore(backup)
    trio.start("cleo")
    held = trio.nodes["cleo"]
    for run in (b"r" * 16, b"s" * 16):
        assert voting.ask("bea", run, planned) in (HELD, FORGOTTEN)
    voting.soon("bea", b"r" * 16, planned, FORGOTTEN)
    assert held.status()["held"]
    far = int(trio.now_s) + SKEW_S_MAX
    assert voting.ask("bea", b"f" * 16, far - 1) != "granted"
    held.kill9()

    # from the same backup once more, with a mirror in reach: her tail is fetched back
    trio.start("ada")
    voting.restore(backup)
    refused = voting.cleo.run("run")
    assert f"recover --from-mirror {voting.url('ada')}" in refused.err
    voting.cleo.run("recover", "--from-mirror", voting.url("ada")).good()
    woke = int(trio.now_s)
    trio.start("cleo")
    until(lambda: not trio.nodes["cleo"].status()["held"], WAIT, "witnesses know her again")
    voting.soon("bea", b"r" * 16, planned, FORGOTTEN)
    assert voting.ask("bea", b"t" * 16, woke) == FORGOTTEN, "what is new, too, for an hour"
    trio.move(SKEW_S_MAX + 600)
    voting.soon("bea", b"u" * 16, int(trio.now_s), "granted")


def test_an_old_file_of_grants_beside_a_new_ledger_grants_nothing_for_an_hour(voting, tmp_path):
    trio, planned = voting.trio, int(voting.trio.now_s)
    trio.nodes["cleo"].stop()
    [file] = voting.cleo.state.glob("*/grants.db")
    old = tmp_path / "grants.db"
    shutil.copy(file, old)
    trio.start("cleo")
    voting.soon("ada", b"r" * 16, planned, "granted")
    trio.nodes["cleo"].stop()
    shutil.copy(old, file)
    trio.start("cleo")
    voting.soon("bea", b"r" * 16, planned, FORGOTTEN)
    trio.nodes["cleo"].stop()
    trio.start("cleo")
    voting.soon("bea", b"r" * 16, planned, FORGOTTEN)
    trio.move(SKEW_S_MAX + 600)
    voting.soon("bea", b"u" * 16, int(trio.now_s), "granted")
