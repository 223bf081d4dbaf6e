"""Who is asked, who may ask and what is copied: node.toml and the fleet's manifest together."""

import asyncio
import io
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from attest.verify.bundle import verify_bundle
from mesh.core import nip19
from mesh.core.errors import InvalidRequest
from mesh.core.fleet.manifest import Fleet, sign_manifest
from mesh.core.mirrors.copying import Conflict, Doubt
from mesh.core.nip01 import NostrSigner
from mesh.mirrors.offering import Audience
from node.config import load
from node.fleet import mirroring as module
from node.fleet.mirror_rows import standing
from node.fleet.mirroring import make_mirroring
from node.home import Home
from node.keeping.doctor import _mirrors
from node.sections.base import ConfigError
from tests.mesh.lives import Life
from tests.mesh.test_manifest import FIRST, FLEET, OPERATOR, A, B, C, D, manifest, member, signed
from tests.mesh.test_mirror import NODE, Server, until, whole
from tests.spec import agent

OWN = NostrSigner(bytes([9] * 32))
PEER = "ab" * 32
LEDGER = "cd" * 32


def config(tmp_path, text):
    (tmp_path / "node.toml").write_text(text)
    return load(tmp_path / "node.toml")


def mirroring(tmp_path, text, fleet=None):
    opened = SimpleNamespace(
        config=config(tmp_path, text), log=SimpleNamespace(ledger_id=A.ledger), session=None,
        home=Home(path=tmp_path, state=tmp_path / "state"),
    )  # fmt: skip
    return make_mirroring(opened, None, OWN, None, lambda: fleet)


PEERS = f"""
[mesh]
members = ["{PEER}"]
watchers = ["{nip19.npub(PEER)}"]
mirror = ["{LEDGER}"]
[[mesh.peers]]
url = "http://10.0.0.5:8787"
npub = "{nip19.npub(PEER)}"
"""


def test_without_a_fleet_node_toml_says_it_all(tmp_path):
    found = mirroring(tmp_path, PEERS)
    assert found.wanted() == [bytes.fromhex(LEDGER)]
    assert {url: one.node for url, one in found.sources().items()} == {"http://10.0.0.5:8787": PEER}
    audience = found.audience()
    assert (audience.members, audience.watchers) == ({PEER}, {PEER})
    assert audience.everyone is False
    nothing = mirroring(tmp_path, "")
    assert (nothing.wanted(), nothing.sources()) == ([], {})
    assert not nothing.audience().members


def test_members_of_the_fleet_are_copied_asked_and_let_in_at_once(tmp_path):
    text = PEERS.replace(f'["{LEDGER}"]', '["fleet"]')
    found = mirroring(tmp_path, text)
    assert found.wanted() == []
    found.fleet = lambda: FLEET
    assert set(found.wanted()) == {one.ledger for one in (B, C)}
    assert set(found.sources()) == {"http://10.0.0.5:8787", *(u for m in (A, B, C) for u in m.urls)}
    assert found.audience().members == {PEER, *(one.nostr.hex() for one in (A, B, C))}
    assert found.audience().fleet == {one.nostr.hex(): one.ledger for one in (A, B, C)}
    smaller = FIRST.following(members=tuple(one for one in FIRST.members if one != C))
    later = FLEET.advance(signed(smaller, "a", "b"))
    found.fleet = lambda: later
    assert C.nostr.hex() not in found.audience().members
    assert not set(C.urls) & set(found.sources())


def test_leaves_are_kept_of_what_is_named_unless_the_fleet_has_it_whole(tmp_path):
    text = PEERS.replace('mirror = ["', f'mirror_leaves = ["{B.ledger.hex()}", "')
    found = mirroring(tmp_path, text)
    assert set(found.wanted()) == {B.ledger, bytes.fromhex(LEDGER)}
    kept = found.kept()
    assert {one.folder.depth for one in kept.values()} == {"leaves"}
    assert {one.folder.path.name for one in kept.values()} == {f"{of.hex()}-leaves" for of in kept}
    assert found.copies() == {}
    whole = mirroring(tmp_path, text.replace("[mesh]", '[mesh]\nmirror = ["fleet"]'), FLEET)
    depths = {of: one.folder.depth for of, one in whole.kept().items()}
    assert depths == {B.ledger: "words", C.ledger: "words", bytes.fromhex(LEDGER): "leaves"}
    assert set(whole.copies()) == {B.ledger, C.ledger}


def test_a_mirror_is_there_as_soon_as_somebody_asks_for_it(tmp_path):
    """A member who just came in: whoever needs the copy finds one to wait for."""
    found = mirroring(tmp_path, PEERS.replace(f'["{LEDGER}"]', '["fleet"]'))
    assert found.copies() == {}
    found.fleet = lambda: FLEET
    assert set(found.copies()) == {B.ledger, C.ledger}
    assert found.copies()[B.ledger] is found.copies()[B.ledger]


@pytest.mark.parametrize(
    ("mesh", "why"),
    [
        (f'mirror_leaves = ["{LEDGER}"]', "no peer"),
        (f'mirror = ["fleet", "{LEDGER}"]\nmirror_leaves = ["{LEDGER}"]', "is in mirror, too"),
        ('mirror_leaves = ["fleet"]', "mirror_leaves"),
    ],
)
def test_leaves_that_cannot_be_meant_are_refused(tmp_path, mesh, why):
    with pytest.raises(ConfigError, match=why):
        config(tmp_path, f"[mesh]\n{mesh}\n")


def test_the_addresses_of_one_member_leave_out_no_other(tmp_path):
    """Two members with eight each must not be all of those who are asked at each poll."""
    many = [
        replace(one, urls=tuple(f"http://{one.name}{at}.example" for at in range(8)))
        for one in (A, B)
    ]
    fleet = Fleet.begin(sign_manifest(manifest(*many, C, D, quorum=2), OPERATOR))
    found = mirroring(tmp_path, "", fleet)
    for ledger in (C.ledger, bytes(32)):
        first = list(found.sources_of(ledger).values())[:4]
        assert {one.node for one in first} == {m.nostr.hex() for m in (A, B, C, D)}
    own = list(found.sources_of(A.ledger).values())
    assert [one.node for one in own[:8]] == [A.nostr.hex()] * 8
    assert {one.node for one in own[8:11]} == {m.nostr.hex() for m in (B, C, D)}


def twenty(*, ledger=None):
    """A fleet of twenty; `ledger` is of the last one. Nobody answers at any address."""
    named = [
        replace(member(f"m{at}", "home"), ledger=bytes([at]) * 32, urls=(f"http://127.0.0.{at}:9",))
        for at in range(1, 21)
    ]
    named[-1] = replace(named[-1], ledger=ledger or named[-1].ledger)
    return named


def test_every_one_of_twenty_is_asked_for_its_own_log_first(tmp_path):
    members = twenty()
    fleet = Fleet.begin(sign_manifest(manifest(*members), OPERATOR))
    found = mirroring(tmp_path, '[mesh]\nmirror = ["fleet"]', fleet)
    assert {one.node for one in found.sources().values()} == {m.nostr.hex() for m in members}
    orders = [list(found.sources_of(one.ledger)) for one in members]
    for one, order in zip(members, orders, strict=True):
        assert order[0] == one.urls[0]
        assert set(order) == set(found.sources())
    assert len({order[1] for order in orders}) > 5, "each log has other next ones"
    assert found.sources_of(members[0].ledger) is found.sources_of(members[0].ledger)


async def test_the_last_of_twenty_members_is_mirrored(tmp_path):
    """Over real HTTP: its address is known from the manifest alone."""
    server = Server(Life().say(30))
    server.audience = Audience(members=frozenset({OWN.pubkey}))
    server.offering.clock = lambda: int(time.time())
    async with server.running():
        members = twenty(ledger=server.life.id)
        members[-1] = replace(members[-1], urls=(server.url,), nostr=bytes.fromhex(NODE.pubkey))
        fleet = Fleet.begin(sign_manifest(manifest(*members), OPERATOR))
        found = mirroring(tmp_path, '[mesh]\nmirror = ["fleet"]', fleet)
        found.opened.session = server.session
        async with asyncio.TaskGroup() as group:
            task = group.create_task(found.run())
            last = found.kept()[server.life.id]
            await until(lambda: whole(last, server.life.size))
            assert last.status()["more_sources"] == 20 - 16
            task.cancel()


def test_no_node_asks_itself(tmp_path):
    me = replace(A, nostr=OWN.public)
    members = tuple(me if one == A else one for one in FIRST.members)
    fleet = Fleet.begin(sign_manifest(replace(FIRST, members=members), OPERATOR))
    found = mirroring(tmp_path, '[mesh]\nmirror = ["fleet"]', fleet)
    assert not set(A.urls) & set(found.sources())
    assert OWN.pubkey in found.audience().members


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('members = ["npub1x"]', "mesh.members: 'npub1x' is not a public key"),
        ('watchers = ["x"]', "mesh.watchers"),
        (f'mirror = ["{LEDGER}"]', "mesh.mirror: there is no peer"),
        ('mirror = ["all"]', "mesh.mirror"),
        ("route = true", "mesh.route: no copies of the other members"),
        ("lease_seconds = 2", "mesh.lease_seconds"),
        ('peers = [{ url = "http://a:1", npub = "x" }]', "mesh.peers: npub"),
        (f'peers = [{{ url = "http://a:1/", npub = "{PEER}" }}]', "mesh.peers"),
        (f'peers = [{{ url = "http://a", npub = "{PEER}" }}, {{ url = "http://a", npub = "{PEER}" }}]', "two have one address"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_by_its_key(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        config(tmp_path, f"[mesh]\n{text}\n")


ROW = {
    "events": 9,
    "size": 9,
    "behind": 0,
    "head_age_s": 3,
    "ended": None,
    "trouble": None,
    "damage": None,
    "more_sources": 0,
    "depth": "words",
    "ledger": LEDGER,
}


@pytest.mark.parametrize(
    ("changes", "told", "ok"),
    [
        ({}, "9 events, all there were 3 s ago", True),
        ({"behind": 4}, "9 events, 4 behind", None),
        ({"behind": None, "head_age_s": None}, "9 events, no head of it was seen", None),
        ({"head_age_s": None}, "9 events, no source answers", None),
        ({"head_age_s": 500}, "9 events, all there were 500 s ago", None),
        ({"ended": "this log signed two histories"}, "ended at 9 events: this log", False),
        ({"trouble": "the disk is full"}, "waits, 9 events: the disk", False),
        ({"depth": "leaves"}, "leaves only: 9 events, all there were 3 s ago", True),
        ({"depth": "leaves", "damage": "tile 3"}, "leaves only: 9 events, all", None),
        ({"damage": "tile 3"}, "9 events, all there were 3 s ago", False),
    ],
)
def test_how_a_mirror_is_said_in_a_line_and_by_the_doctor(tmp_path, monkeypatch, changes, told, ok):
    row = ROW | changes
    assert standing(row).startswith(told)
    config(tmp_path, PEERS)
    client = SimpleNamespace(call=lambda *_, **__: [row])
    monkeypatch.setattr("node.keeping.doctor.Client", SimpleNamespace(find=lambda _: client))
    found = _mirrors(SimpleNamespace(config=tmp_path / "node.toml"), "mirrors")
    assert found.ok is ok


async def test_a_bug_in_one_mirror_ends_neither_the_others_nor_the_node(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.0)
    ran = []

    class Buggy(SimpleNamespace):
        async def run(self):
            ran.append(self.trouble)
            if len(ran) < 3:
                raise ZeroDivisionError

    mirror = Buggy(ledger_id=bytes(32), trouble=None)
    await module._keep(mirror)
    assert ran[0] is None
    assert "node.log" in ran[2]


async def test_two_notes_of_one_size_become_a_proof_for_the_witness_and_nothing_else_does():
    life, other = Life().say(3), Life().say(2)
    other.ledger.add(agent.words("another history"))
    heard = []

    async def hear(data):
        heard.append(data)
        if len(heard) > 1:
            raise InvalidRequest("no proof")

    witnessing = SimpleNamespace(hear=hear)
    conflict = Conflict(
        known=life.head().encode(), shown=other.head().encode(), same_size=True,
        introduction=other.offer().introduction(0),
    )  # fmt: skip
    await module._tell(life.id, None, conflict)
    await module._tell(life.id, witnessing, replace(conflict, same_size=False))
    await module._tell(life.id, witnessing, Doubt(known=b"", shown=b""))
    assert heard == []
    await module._tell(life.id, witnessing, conflict)
    report = verify_bundle(io.BytesIO(heard[0]), None)
    assert (report.purpose, report.verdict) == ("equivocation", "DIVERGED")
    await module._tell(life.id, witnessing, conflict)  # refused: told in the log, and no more
