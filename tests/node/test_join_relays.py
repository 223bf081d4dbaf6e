"""Joining by relays in one process: real pools, our relay and some that lie, two parts in a fleet."""

import asyncio
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import aiohttp
import pytest

from ledger.core.errors import TimmyError
from mesh.core import limits
from mesh.core.fleet.joining import Asking, Token, make_request, open_slice
from mesh.core.fleet.manifest import VOTER, WITNESS, sign_manifest
from mesh.core.nip01 import NostrSigner
from mesh.core.relay.policy import WritePolicy
from mesh.pool.relays import RelayPool
from node.fleet import asking
from node.fleet.files import FleetFiles
from node.fleet.inviting import Inviting, make_inviting
from node.fleet.members import FleetNode, signed_first
from node.fleet.members_shown import members_value
from node.fleet.proposals import next_manifest
from node.fleet.telling import Telling
from tests.ledger.makers import open_log
from tests.mesh.liars import Liar
from tests.mesh.peers import serving
from tests.mesh.pools import listening, pooling
from tests.mesh.test_calls import Parrot
from tests.mesh.test_manifest import OPERATOR, member, signer
from tests.spec import agent

URL = "http://founder.example:1"


def clock():
    return int(time.time())


@dataclass
class Part:
    """One node's part: what it knows of a fleet, its pool, and its side of invitations."""

    node: FleetNode
    pool: RelayPool
    inviting: Inviting

    async def tried(self):
        """Ask once, by the token's relays."""
        token = self.node.files.token()
        carrier = asking.Relayed(
            calls=self.inviting.calls, status=self.inviting.status, token=token
        )
        telling = Telling(node=self.node, inviting=self.inviting)
        await telling._ask_at(carrier, token.secret, way="relays")


@asynccontextmanager
async def part(folder, name, relay=None):
    """`relay` is the one that this node embeds."""
    key = signer(name)
    nostr = NostrSigner(key.secret)
    async with aiohttp.ClientSession() as session, pooling(signer=nostr, clock=clock) as pool:
        with open_log() as log:
            log.append_now(agent.genesis_draft())
            node = FleetNode(
                files=FleetFiles(folder / name), own=member(name, WITNESS), signer=key, log=log,
                session=session,
            )  # fmt: skip
            inviting = make_inviting(node, pool, nostr, relay)
            inviting.calls = replace(inviting.calls, retry_s=0.1)
            yield Part(node, pool, inviting)


@asynccontextmanager
async def founded(folder, relay=None):
    """A fleet of one, which listens for newcomers."""
    async with part(folder, "founder", relay) as founder:
        node = founder.node
        await node.take(signed_first(node.draft(URL), OPERATOR).encode(), approve=True)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(founder.inviting.run())
            yield founder
            running.cancel()


@asynccontextmanager
async def world(folder):
    """A founder with a relay of its own, closed to strangers; yields it and the relay's address."""
    policy = WritePolicy(authors=frozenset({signer("founder").public.hex()}))
    async with (
        serving(policy=policy, clock=clock) as (relay, url),
        founded(folder, relay) as founder,
    ):
        yield founder, relay, url


async def invite(founder, *relays, roles=("jobs",), hours=1):
    return await founder.inviting.invite("", roles, hours=hours, relays=relays)


async def admit(founder, *names):
    add = [one for one in founder.node.waiting() if one.name in names]
    made = next_manifest(founder.node.fleet.manifest, add=add, remove=set())
    await founder.node.take(sign_manifest(made, OPERATOR).encode(), approve=True)


def names(node):
    return {one.name for one in node.fleet.manifest.members}


async def test_a_newcomer_is_taken_in_by_a_relay_alone(tmp_path):
    async with world(tmp_path) as (founder, relay, url), part(tmp_path, "one") as one:
        token = await invite(founder, url.rstrip("/"))
        assert token.url == ""
        one.node.files.put_token(token)
        await one.tried()
        assert one.node.fleet.newest == founder.node.fleet.newest
        assert one.node.newcomer, "it saw all at once"
        assert [m.name for m in founder.node.waiting()] == ["one"]
        await admit(founder, "one")
        await one.tried()
        assert names(one.node) == {"founder", "one"}
        assert one.node.files.token() is None
        assert one.node.unheard == {}
        assert founder.node.files.invites() == {}
        assert relay._store.count() == 0, "and the relay has kept nothing"


async def test_a_newcomer_asks_until_it_is_taken_in(tmp_path, monkeypatch):
    """The task of the node, which ends with it; the presence goes to who has an address."""
    monkeypatch.setattr("node.fleet.telling._JOIN_SECONDS", 0.02)
    monkeypatch.setattr("node.fleet.telling._JOIN_SECONDS_MAX", 0.05)
    async with world(tmp_path) as (founder, _, url), part(tmp_path, "one") as one:
        one.node.files.put_token(await invite(founder, url))
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            running = group.create_task(Telling(node=one.node, inviting=one.inviting).run())
            while not founder.node.waiting():
                await asyncio.sleep(0.01)
            await admit(founder, "one")
            await one.node.settled.wait()
            while one.node.membership is None:
                await asyncio.sleep(0.01)
            running.cancel()


async def test_a_large_fleet_comes_in_slices(tmp_path):
    """Thirty members, and three manifests; while it is asked for, a fourth one is signed."""
    async with world(tmp_path) as (founder, _, url), part(tmp_path, "one") as one:
        node = founder.node
        for number in range(3):
            add = [member(f"m{number}-{n}") for n in range(10)]
            made = next_manifest(node.fleet.manifest, add=add, remove=set())
            await node.take(sign_manifest(made, OPERATOR).encode(), approve=True)
        one.node.files.put_token(await invite(founder, url))
        asked = []

        def asks(data, *, after=0):
            asked.append(after)
            if len(asked) == 5:
                founder.node.files.put(founder.node.fleet.newest)  # again: nothing changes
            return FleetNode.asked(node, data, after=after)

        founder.inviting.node = Standing(node, asks)
        await one.tried()
        assert one.node.fleet.newest == node.fleet.newest
        size = sum(4 + len(data) for data in node.files.chain())
        assert len(asked) >= size // 800


class Standing:
    """A node whose `asked` is watched."""

    def __init__(self, node, asked):
        self._node = node
        self.asked = asked

    def __getattr__(self, name):
        return getattr(self._node, name)


@pytest.mark.parametrize("what", ["wrong", "over", "used", "of another", "refused"])
async def test_who_is_refused_is_told_why(tmp_path, what):
    async with world(tmp_path) as (founder, _, url), part(tmp_path, "two") as two:
        token = await invite(founder, url)
        files = founder.node.files
        if what == "wrong":
            token = replace(token, secret=secrets.token_bytes(16))
        elif what == "over":
            files.put_invites({k: v | {"until": clock() - 1} for k, v in files.invites().items()})
        else:
            founder.node.asked(make_request(token.secret, member("one", WITNESS), signer("one")))
        if what == "used":
            await admit(founder, "one")
        elif what == "refused":
            founder.node.refuse(member("one").nostr.hex())
        two.node.files.put_token(token)
        await two.tried()
        assert two.node.fleet is None
        [told] = members_value(two.node)["unheard"]
        words = "somebody else asked" if what == "of another" else "unknown, used or over"
        assert "the inviter refuses: " in told["why"]
        assert words in told["why"]
        assert told["hint"] == "ask for another"
        assert "two" not in [one.name for one in founder.node.waiting()]


async def test_a_removed_member_is_not_let_in_by_its_old_token(tmp_path):
    async with world(tmp_path) as (founder, _, url), part(tmp_path, "one") as one:
        token = await invite(founder, url)
        one.node.files.put_token(token)
        await one.tried()
        await admit(founder, "one")
        gone = {member("one").ledger}
        made = next_manifest(founder.node.fleet.manifest, add=[], remove=gone)
        await founder.node.take(sign_manifest(made, OPERATOR).encode(), approve=True)
        one.node.files.put_token(token)
        await one.tried()
        assert "unknown, used or over" in one.node.unheard["relays"][0]
        assert founder.node.waiting() == []


async def test_a_request_is_sealed_by_whom_it_names(tmp_path):
    """A thief who has the bytes of a request asks in vain; so does who asks something else."""
    async with world(tmp_path) as (founder, _, url), part(tmp_path, "thief") as thief:
        token = await invite(founder, url)
        request = make_request(token.secret, member("one", WITNESS), signer("one"))
        stolen = Asking(request=request, after=0, offset=0).encode()
        async with thief.inviting.calls.line(token.inviter.hex(), at=token.relays) as line:
            with pytest.raises(TimmyError, match="nobody answered"):
                await line.ask(stolen, seconds=0.5)
        async with thief.inviting.calls.line(token.inviter.hex(), at=token.relays) as line:
            with pytest.raises(TimmyError, match="nobody answered"):
                await line.ask(b"\x01", seconds=0.5)
        assert founder.node.waiting() == []
        own = make_request(token.secret, member("thief", WITNESS), signer("thief"))
        async with thief.inviting.calls.line(token.inviter.hex(), at=token.relays) as line:
            answer = await line.ask(Asking(request=own, after=0, offset=0).encode(), seconds=30)
        assert open_slice(answer)[0] > 300, "with its own request it is answered like anybody"


async def test_a_witness_without_a_key_is_refused_with_words(tmp_path):
    """Whose request cannot be kept is told so, as over HTTP."""
    async with world(tmp_path) as (founder, _, url), part(tmp_path, "one") as one:
        token = await invite(founder, url, roles=(WITNESS, VOTER))
        one.node.own = replace(one.node.own, roles=(), witness=b"")
        one.node.files.put_token(token)
        await one.tried()
        assert one.node.unheard["relays"][0].startswith("the inviter refuses: ")


# ---- relays --------------------------------------------------------------------------------------


async def test_the_door_is_open_while_a_token_is_good(tmp_path):
    async with world(tmp_path) as (founder, relay, url):
        assert relay.policy.callees == frozenset()
        token = await invite(founder, url)
        while not relay.policy.callees:
            await asyncio.sleep(0.01)
        assert relay.policy.callees == {token.inviter.hex()}
        [until] = founder.node.files.relays().values()
        assert until - clock() > 24 * 3600, "longer than the invitation"
        founder.node.files.put_relays(dict.fromkeys(token.relays, clock() - 1))
        founder.inviting._changed.set()
        while relay.policy.callees:
            await asyncio.sleep(0.01)


async def test_a_node_listens_again_after_a_restart(tmp_path):
    policy = WritePolicy(authors=frozenset({signer("founder").public.hex()}))
    async with serving(policy=policy, clock=clock) as (relay, url):
        async with founded(tmp_path, relay) as founder:
            token = await invite(founder, url)
        relay.adopt(policy)
        async with founded_again(tmp_path, relay), part(tmp_path, "one") as one:
            one.node.files.put_token(token)
            await one.tried()
            assert one.node.fleet is not None


@asynccontextmanager
async def founded_again(folder, relay):
    async with part(folder, "founder", relay) as founder:
        founder.node.fleet = founder.node.files.load()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(founder.inviting.run())
            yield founder
            running.cancel()


@pytest.mark.parametrize("text", ["", "[]", '{"http://x": 1}', '{"wss://x": "y"}', "[" * 99_999])
async def test_a_list_of_relays_that_was_spoilt_is_none(tmp_path, text):
    async with founded(tmp_path) as founder, serving(clock=clock) as (_, url):
        (tmp_path / "founder" / "relays.json").write_text(text)
        assert founder.node.files.relays() == {}
        await invite(founder, url)
        assert list(founder.node.files.relays()) == [url.rstrip("/")]


async def test_a_relay_that_does_not_answer_is_not_put_into_a_token(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "ANSWER_SECONDS_MAX", 0.2)
    async with founded(tmp_path) as founder, listening(Liar(silent=("REQ",))) as silent:
        for relays, words in (
            (["ws://127.0.0.1:1"], "ws://127.0.0.1:1 does not answer: "),
            ([silent], "does not answer: no answer within 0.2 s"),
            (["http://x.example"], "not the URL of a relay"),
            ([f"wss://r{n}.example" for n in range(5)], "5 relays"),
        ):
            with pytest.raises(TimmyError, match=words.replace(".", r"\.")) as caught:
                await invite(founder, *relays)
            assert caught.value.hint
        assert founder.node.files.invites() == {}
        assert founder.node.files.relays() == {}


async def test_relays_that_are_slow_together_are_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("node.fleet.inviting._REACH_SECONDS", 0.2)
    async with founded(tmp_path) as founder, listening(Liar(silent=("REQ",))) as silent:
        with pytest.raises(TimmyError, match=r"not done within 0\.2 s"):
            await invite(founder, silent)


async def test_how_many_relays_are_listened_to_is_bounded(tmp_path):
    async with founded(tmp_path) as founder, serving(clock=clock) as (_, url):
        founder.node.files.put_relays({f"wss://r{n}.example": clock() + 60 for n in range(8)})
        with pytest.raises(TimmyError, match="name 9 relays"):
            await invite(founder, url)


@pytest.mark.parametrize("kind", ["silent", "gone", "closed", "deaf"])
async def test_a_newcomer_says_how_its_relays_are(tmp_path, monkeypatch, kind):
    """In bounded time, and each time anew; the node goes on."""
    monkeypatch.setattr(asking, "_ANSWER_SECONDS", 0.5)
    silent = {"silent": ("REQ", "EVENT"), "deaf": ("REQ",)}.get(kind, ())
    closed = WritePolicy(authors=frozenset())
    async with (
        listening(Liar(silent=silent)) as liar,
        serving(policy=closed, clock=clock) as (_, shut),
        part(tmp_path, "one") as one,
    ):
        url = {"gone": "ws://127.0.0.1:1", "closed": shut.rstrip("/")}.get(kind, liar)
        one.node.files.put_token(
            Token(
                fleet_id=bytes(32), operator=OPERATOR.public, url="", secret=bytes(16),
                inviter=signer("founder").public, relays=(url,),
            )
        )  # fmt: skip
        for _ in range(2):
            await one.tried()
        [told] = members_value(one.node)["unheard"]
        words = {"gone": "is not reached: ", "closed": "and refuses: blocked"}
        assert told["why"].startswith(f"nobody answered within 0.5 s; {url} is ")
        assert words.get(kind, "is connected") in told["why"]
        assert "does the inviter's node run" in told["hint"]
        assert members_value(one.node)["joining"]


async def test_a_relay_that_says_everything_again_changes_nothing(tmp_path):
    """It keeps what is ephemeral and repeats it: to both, at each event, over restarts."""
    async with listening(Parrot()) as url, part(tmp_path, "one") as one:
        async with founded(tmp_path) as founder:
            token = await invite(founder, url)
            one.node.files.put_token(token)
            await one.tried()
            before = founder.node.files.invites()
            await one.tried()
            assert founder.node.files.invites() == before, "one request, once"
            founder.node.refuse(member("one").nostr.hex())
        async with founded_again(tmp_path, None) as founder:  # hears all of it anew
            await one.tried()
            assert "unknown, used or over" in one.node.unheard["relays"][0]
            assert founder.node.waiting() == []
            assert founder.node.files.invites() == {}
        assert one.node.fleet.manifest.number == 0


async def test_a_relay_that_gives_answers_of_yesterday_is_no_inviter(tmp_path, monkeypatch):
    """All wraps of a first try, as they were, to a second try without the inviter."""
    monkeypatch.setattr(asking, "_ANSWER_SECONDS", 0.5)
    async with listening(Parrot()) as url:
        async with founded(tmp_path) as founder:
            token = await invite(founder, url)
            async with part(tmp_path, "one") as one:
                one.node.files.put_token(token)
                await one.tried()
                assert one.node.fleet is not None
        (tmp_path / "again").mkdir()
        async with part(tmp_path / "again", "one") as one:
            one.node.files.put_token(token)
            one.node.own = replace(one.node.own, urls=("http://moved.example",))
            await one.tried()
            assert one.node.fleet is None
            assert "nobody answered" in one.node.unheard["relays"][0]
