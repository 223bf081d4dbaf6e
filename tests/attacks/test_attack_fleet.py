"""Against a node of a fleet: members gone bad, who answers in their place, thieves of a token."""

import asyncio
import io
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from ledger.core.bundle import Header, Writer
from ledger.core.errors import TimmyError
from mesh.core.errors import InvalidManifest, InvalidRequest, MissingQuorum, Refused
from mesh.core.fleet.joining import make_request
from mesh.core.fleet.manifest import VOTER, WITNESS, sign_manifest
from mesh.core.fleet.presence import Presence
from mesh.core.nip19 import npub
from node.commands.mesh import _find
from node.fleet.files import FleetFiles
from node.fleet.members import FleetNode, signed_first
from node.fleet.members_shown import members_value
from node.fleet.proposals import next_manifest
from node.fleet.telling import Telling
from node.fleet.witnessing import Witnessing
from tests.ledger.makers import open_log
from tests.mesh.test_manifest import OPERATOR, member, signer
from tests.spec import agent

URL = "http://founder.example:1"


@asynccontextmanager
async def founding(folder):
    """A node that founded a fleet, and its files."""
    async with aiohttp.ClientSession() as session:
        with open_log() as log:
            log.append_now(agent.genesis_draft())
            node = FleetNode(
                files=FleetFiles(folder), own=member("founder", WITNESS),
                signer=signer("founder"), log=log, session=session,
            )  # fmt: skip
            await node.take(signed_first(node.draft(URL), OPERATOR).encode(), approve=True)
            yield node


async def take_in(node, *members):
    made = next_manifest(node.fleet.manifest, add=list(members), remove=set())
    await node.take(sign_manifest(made, OPERATOR).encode(), approve=True)


@asynccontextmanager
async def answering(body):
    """A server that says `body` to everything, and how often it was asked."""
    asked = []

    async def handler(request):
        asked.append(request.path)
        return web.Response(body=body)

    app = web.Application()
    app.router.add_route("*", "/{what:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


ANSWERS = {
    "endless": b'{"number": Infinity}',
    "overflow": b'{"number": 1e999}',
    "digits": b'{"number": "%s"}' % (b"9" * 5000),
    "minus": b'{"number": -1}',
    "huge": b'{"number": 99999999999999999999}',
    "deep": b"[" * 1_000_000,
    "deep in a field": b'{"number": 0, "more": ' + b"[" * 1_000_000,
    "deep in the chain": b'{"manifests": [' + b"[" * 1_000_000,
    "list": b"[]",
    "no text": b"\xff\xfe",
    "no hex": b'{"manifests": ["zz"], "number": 0.5}',
    "numbers": b'{"manifests": [1], "number": null}',
    "no hex, and a number": b'{"manifests": ["zz"], "number": 0}',
    "no manifest": b'{"manifests": ["80", "00"], "number": 0}',
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_no_answer_of_a_member_ends_the_node(tmp_path, answer):
    """`run` is a task of the node: what it raises ends all of it."""
    async with founding(tmp_path / "fleet") as node, answering(answer) as (url, asked):
        await take_in(node, replace(member("bad"), urls=(url,)))
        node.files.put_token(node.invite(url, ("jobs",), hours=1))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(Telling(node=node).run())
            while {"/fleet/presence", "/fleet/join"} - set(asked):
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert not running.done()
            running.cancel()


def ask(node, token, one, by):
    return node.asked(make_request(token.secret, one, signer(by)))


async def test_a_token_that_somebody_else_saw_is_bound_to_the_first_key(tmp_path):
    """It crosses the line in the clear, and a ledger id is no secret: who repeats both gets none."""
    async with founding(tmp_path / "fleet") as node:
        token = node.invite(URL, ("jobs",), hours=1)
        ask(node, token, member("one", WITNESS), "one")
        stolen = replace(member("one", WITNESS), nostr=signer("thief").public)
        with pytest.raises(Refused, match="somebody else asked"):
            ask(node, token, stolen, "thief")
        assert [one.nostr for one in node.waiting()] == [signer("one").public]
        moved = replace(member("one", WITNESS), urls=("http://elsewhere.example",))
        ask(node, token, moved, "one")  # his own newer words
        assert node.waiting()[0].urls == moved.urls


async def test_a_newcomer_who_cannot_be_a_witness_is_refused_not_listed(tmp_path):
    """Kept, it was no member, and nobody could be looked at or taken in any more."""
    async with founding(tmp_path / "fleet") as node:
        token = node.invite(URL, ("jobs", WITNESS), hours=1)
        with pytest.raises(InvalidManifest, match="a witness key of 32 bytes"):
            ask(node, token, member("one"), "one")
        assert members_value(node)["waiting"] == []
        ask(node, token, member("one", WITNESS), "one")
        assert [one.roles for one in node.waiting()] == [("jobs", WITNESS)]


async def test_a_newcomer_names_no_ledger_or_address_of_another(tmp_path):
    """Taken in, it would stand in another's place, or be asked where another is meant."""
    async with founding(tmp_path / "fleet") as node:
        for name in ("one", "two"):
            ask(node, node.invite(URL, ("jobs",), hours=1), member(name), name)
        await take_in(node, *[one for one in node.waiting() if one.name == "one"])
        thief = member("thief")
        token = node.invite(URL, ("jobs",), hours=1)
        for other in (node.membership, member("one"), member("two")):
            for stolen in (replace(thief, ledger=other.ledger), replace(thief, urls=other.urls)):
                with pytest.raises(Refused, match="under another key"):
                    ask(node, token, stolen, "thief")
        assert [one.name for one in node.waiting()] == ["two"]
        ask(node, token, thief, "thief")
        assert [one.name for one in node.waiting()] == ["two", "thief"]
        # one who asked first under a name of somebody else's stands in the way for as long as his
        # invitation holds, and no longer
        squatter = replace(member("squatter"), ledger=member("three").ledger)
        ask(node, node.invite(URL, ("jobs",), hours=1), squatter, "squatter")
        with pytest.raises(Refused, match="squatter has that ledger"):
            ask(node, token := node.invite(URL, ("jobs",), hours=9), member("three"), "three")
        invites = node.files.invites()
        for one in invites.values():
            one["until"] -= 2 * 3600
        node.files.put_invites(invites)
        ask(node, token, member("three"), "three")


def test_a_name_is_not_taken_for_the_beginning_of_an_id():
    one, thief = bytes([0xAB] * 32).hex(), bytes(32).hex()
    rows = [{"ledger": one, "name": "one"}, {"ledger": thief, "name": one[:8]}]
    assert _find(rows, "one", "admit") == _find(rows, one, "admit") == one
    with pytest.raises(TimmyError, match="2 of those to admit"):
        _find(rows, one[:8], "admit")
    with pytest.raises(TimmyError, match="0 of those"):
        _find(rows, one[:7], "admit")


def witness(**parts):
    names = ("log", "file", "cosigner", "signer", "relay", "pool", "fleet", "home")
    nothing = dict.fromkeys(names)
    return Witnessing(**nothing | {"on": lambda: True} | parts)


class Slow:
    """What verifies introductions, slowly; how many it did at once."""

    inside = most = 0

    def introduce(self, _ledger, _data):
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.02)
        self.inside -= 1


async def test_files_of_strangers_are_verified_one_at_a_time():
    """The threads that do it are those in which heads are signed and files written."""
    slow = Slow()
    witnessing = witness(admits=lambda _: True, file=slow)
    async with asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(witnessing.introduction(bytes(32), b""))
    assert slow.most == 1


async def test_a_proof_about_a_log_of_nobody_here_costs_no_verifying():
    """Its first record says which log it is about; what is behind that may be a megabyte."""
    file = io.BytesIO()
    Writer(file, Header(purpose="equivocation", ledger_id=bytes(32), epoch=0))
    own = SimpleNamespace(ledger_id=bytes([1] * 32))
    witnessing = witness(admits=lambda _: False, log=own)
    with pytest.raises(Refused, match="not witnessed here"):
        await witnessing.hear(file.getvalue() + b"\xff" * 1_000_000)
    for data in (b"", file.getvalue()[:30]):
        with pytest.raises(InvalidRequest):
            await witnessing.hear(data)


async def test_a_member_that_claims_to_know_more_makes_nobody_speak(tmp_path):
    """One word of his, and every node told every other one that it is there: 255 for one."""
    async with founding(tmp_path / "fleet") as node, answering(b"{}") as (url, asked):
        await take_in(node, replace(member("honest"), urls=(url,)), member("bad"))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(Telling(node=node).run())
            while not asked:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
            before = len(asked)
            for at in range(10):
                said = Presence(
                    ledger=member("bad").ledger, manifest=bytes(32), number=2**31 - at,
                    time_s=int(time.time()) + at, events=0, load=0,
                )  # fmt: skip
                assert node.present(said.sign(signer("bad"))) == 1
                await asyncio.sleep(0.05)
            assert len(asked) == before
            running.cancel()


async def voting_with_two(node):
    """Take a second voter in, so that the founder alone decides nothing."""
    await take_in(node, replace(member("two", VOTER, WITNESS), urls=()))
    assert node.fleet.manifest.quorum == 2
    return node.fleet.manifest


async def propose(node, made):
    with pytest.raises(MissingQuorum):
        await node.take(sign_manifest(made, OPERATOR).encode())
    return members_value(node)["proposal"]


async def test_a_proposal_shows_whose_keys_stand_behind_its_names(tmp_path):
    """Who has the operator's key writes the names, and who approves reads them."""
    async with founding(tmp_path / "fleet") as node:
        now = await voting_with_two(node)
        own, two = (next(m for m in now.members if m.name == name) for name in ("founder", "two"))
        stolen = replace(two, nostr=signer("thief").public)
        told = await propose(node, now.following(members=(own, stolen)))
        assert sorted(told["voters"]) == ["founder", f"two (new: {npub(stolen.nostr.hex())})"]
        other = replace(two, witness=bytes(32))
        told = await propose(node, now.following(members=(own, other)))
        assert "two (another witness key)" in told["witnesses"]
        fewer = replace(two, roles=(WITNESS,))
        told = await propose(node, now.following(members=(own, fewer), quorum=1, needed=1))
        assert told["then"] == {"quorum": 1, "needed": 1}
        assert sorted(told["witnesses"]) == ["founder", "two"]


async def test_two_proposals_do_not_chase_each_other(tmp_path):
    """Each is told once, and nobody who does not answer keeps the next manifest waiting."""
    async with founding(tmp_path / "fleet") as node, answering(b"{}") as (url, asked):
        await take_in(node, replace(member("one"), urls=(url,)))
        now = await voting_with_two(node)
        for _ in range(5):
            for needed in (1, 2):
                await propose(node, now.following(needed=needed))
        assert asked.count("/fleet/manifest") == 2
        await take_in(node, *[one for one in now.members if one.name == "one"])
        assert node.proposal is None
