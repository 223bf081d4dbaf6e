"""One node's part in a fleet, without a network: invitations, requests, presences, what is on disk."""

import asyncio
import json
import os
import time
from dataclasses import replace

import aiohttp
import pytest
from structlog.testing import capture_logs

from ledger.core.errors import TimmyError
from mesh.core.errors import (
    ForgedManifest,
    InvalidManifest,
    InvalidPresence,
    ManifestFork,
    MissingQuorum,
    NotMember,
    RemovedMember,
    ReplayedManifest,
)
from mesh.core.fleet import joining
from mesh.core.fleet.joining import make_request
from mesh.core.fleet.manifest import URLS_MAX, VOTER, WITNESS, open_manifest, sign_manifest
from mesh.core.fleet.presence import Presence
from node.api.http import json_answer
from node.fleet import files, leases, members
from node.fleet.files import FleetFiles
from node.fleet.members import FleetNode, signed_first
from node.fleet.members_shown import members_value
from node.fleet.parting import parting
from node.fleet.proposals import next_manifest
from node.fleet.telling import Telling
from tests.ledger.makers import open_log
from tests.mesh.test_manifest import OPERATOR, THIEF, member, signer
from tests.spec import agent

URL = "http://founder.example:1"


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as found:
        yield found


@pytest.fixture
async def founder(tmp_path, session):
    with open_log() as log:
        log.append_now(agent.genesis_draft())
        node = FleetNode(
            files=FleetFiles(tmp_path / "fleet"), own=member("founder", WITNESS),
            signer=signer("founder"), log=log, session=session,
        )  # fmt: skip
        await node.take(signed_first(node.draft(URL), OPERATOR).encode(), approve=True)
        yield node


def asks(node, token, name, *, own=None):
    one = member(name, WITNESS) if own is None else own
    return node.asked(make_request(token.secret, one, signer(name)))


def ledgers(node):
    return {one.name for one in node.fleet.manifest.members}


async def admit(node, *names, operator=OPERATOR, approve=True):
    add = [one for one in node.waiting() if one.name in names]
    signed = sign_manifest(next_manifest(node.fleet.manifest, add=add, remove=set()), operator)
    await node.take(signed.encode(), approve=approve)


async def test_a_fleet_begins_with_one_node_that_decides(founder):
    own = founder.membership
    assert own.roles == ("gateway", "home", "jobs", VOTER, WITNESS)
    assert (founder.fleet.manifest.quorum, founder.fleet.manifest.needed) == (1, 0)
    assert founder.fleet.manifest.operator == OPERATOR.public
    assert founder.files.load() == founder.fleet
    assert founder.witnesses() == []


async def test_a_newcomer_has_the_roles_that_were_offered(founder):
    token = founder.invite(URL, ("jobs",), hours=1)
    [chain] = [asks(founder, token, "one")]
    assert chain == founder.files.chain()
    [waiting] = founder.waiting()
    assert (waiting.name, waiting.roles, waiting.witness) == ("one", ("jobs",), b"")
    await admit(founder, "one")
    assert ledgers(founder) == {"founder", "one"}
    [agreed] = [event for event in founder.log.events() if event.type == "fleet.agreed"]
    assert agreed.payload["digest"] == founder.fleet.manifest.digest
    assert (agreed.payload["approvals"], agreed.payload["quorum"]) == (1, 1)
    assert founder.waiting() == []
    assert founder.files.invites() == {}


async def test_a_witness_is_asked_and_known_from_the_manifest(founder):
    asks(founder, founder.invite(URL, (WITNESS,), hours=1), "one")
    await admit(founder, "one")
    [asked] = founder.witnesses()
    assert asked.url == "http://one.example:8787/witness"
    assert asked.witness.name == f"timmy/{member('one').ledger.hex()}/witness"
    assert founder.is_member(member("one").ledger)
    assert not founder.is_member(bytes(32))


async def test_an_invitation_is_for_one(founder):
    token = founder.invite(URL, ("jobs",), hours=1)
    asks(founder, token, "one")
    asks(founder, token, "one")  # again, because the answer was lost
    with pytest.raises(TimmyError, match="somebody else asked"):
        asks(founder, token, "two")
    await admit(founder, "one")
    with pytest.raises(TimmyError, match="unknown, used or over"):
        asks(founder, token, "two")
    assert asks(founder, token, "one") == founder.files.chain()  # a member needs none


async def test_an_invitation_ends(founder):
    token = founder.invite(URL, ("jobs",), hours=1)
    invites = founder.files.invites()
    [one] = invites.values()
    one["until"] = int(time.time()) - 1
    founder.files.put_invites(invites)
    with pytest.raises(TimmyError, match="over"):
        asks(founder, token, "one")


async def test_invitations_are_bounded(founder):
    for _ in range(64):
        founder.invite(URL, ("jobs",), hours=1)
    with pytest.raises(TimmyError, match="64 invitations are open"):
        founder.invite(URL, ("jobs",), hours=1)


async def test_nobody_joins_under_another_s_key(founder):
    token = founder.invite(URL, ("jobs",), hours=1)
    with pytest.raises(InvalidManifest, match="not signed by"):
        founder.asked(make_request(token.secret, member("one", WITNESS), signer("thief")))
    assert founder.waiting() == []


async def test_a_secret_is_on_disk_as_its_digest_only(founder, tmp_path):
    token = founder.invite(URL, ("jobs",), hours=1)
    text = (tmp_path / "fleet" / "invites.json").read_text()
    assert token.secret.hex() not in text
    assert json.loads(text)


async def test_a_presence_is_its_members(founder):
    asks(founder, founder.invite(URL, ("jobs",), hours=1), "one")
    await admit(founder, "one")
    said = Presence(
        ledger=member("one").ledger, manifest=bytes(32), number=0, time_s=int(time.time()),
        events=5, load=10,
    )  # fmt: skip
    assert founder.present(said.sign(signer("one"))) == 1
    [row] = [one for one in members_value(founder)["members"] if one["name"] == "one"]
    assert (row["there"], row["events"], row["number"]) == (True, 5, 0)
    with pytest.raises(InvalidPresence):
        founder.present(said.sign(signer("thief")))
    gone = next_manifest(founder.fleet.manifest, add=[], remove={said.ledger})
    await founder.take(sign_manifest(gone, OPERATOR).encode(), approve=True)
    with pytest.raises(RemovedMember):
        founder.present(said.sign(signer("one")))
    assert founder.seen == {}


async def test_a_long_chain_is_shown_to_who_was_taken_out_in_answers_that_he_reads(founder):
    """A large fleet's: sixty-four of its manifests are more than a node reads of a member."""
    urls = tuple(f"http://{number}.example/{'x' * 230}" for number in range(URLS_MAX))
    crowd = [replace(member(f"m{number}", "home"), urls=urls) for number in range(100)]
    last = [member("one", "home")]
    for add in (crowd + last, *[[]] * 12):
        made = next_manifest(founder.fleet.manifest, add=add, remove=set())
        await founder.take(sign_manifest(made, OPERATOR).encode())
    made = next_manifest(founder.fleet.manifest, add=[], remove={member("one").ledger})
    await founder.take(sign_manifest(made, OPERATOR).encode())
    known, why, answers = 1, RemovedMember("it was removed"), 0
    while known < made.number:
        said = Presence(
            ledger=member("one").ledger, manifest=bytes(32), number=known,
            time_s=int(time.time()), events=5, load=10,
        )  # fmt: skip
        shown = parting(founder, said.sign(signer("one")), why)
        body = json_answer({"number": 0, "manifests": shown}).body
        assert len(body) <= members._ANSWER_BYTES_MAX
        numbers = [open_manifest(one).manifest.number for one in shown]
        assert numbers == list(range(known + 1, numbers[-1] + 1))
        known, answers = numbers[-1], answers + 1
    assert answers > 1


async def test_who_was_taken_out_is_shown_the_manifest_that_says_so_and_nothing_behind(founder):
    """Its own old key has to ask: what is in a manifest is for members."""
    asks(founder, founder.invite(URL, ("jobs",), hours=1), "one")
    await admit(founder, "one")
    await founder.take(sign_manifest(founder.fleet.manifest.following(), OPERATOR).encode())
    gone = next_manifest(founder.fleet.manifest, add=[], remove={member("one").ledger})
    await founder.take(sign_manifest(gone, OPERATOR).encode())
    asks(founder, founder.invite(URL, ("jobs",), hours=1), "two")
    await admit(founder, "two")
    said = Presence(
        ledger=member("one").ledger, manifest=bytes(32), number=1, time_s=int(time.time()),
        events=5, load=10,
    )  # fmt: skip
    why = RemovedMember("it was removed")
    shown = parting(founder, said.sign(signer("one")), why)
    assert [open_manifest(one).manifest.number for one in shown] == [2, 3]
    assert open_manifest(shown[-1]).manifest == gone
    with pytest.raises(InvalidPresence):
        parting(founder, said.sign(signer("thief")), why)
    old = replace(said, time_s=said.time_s - 2 * 3600)
    with pytest.raises(InvalidPresence):
        parting(founder, old.sign(signer("one")), why)
    with pytest.raises(RemovedMember):
        parting(founder, replace(said, number=gone.number).sign(signer("one")), why)


async def test_a_member_whose_clock_was_set_back_is_heard_again_after_a_lease(founder, monkeypatch):
    """Its presences are dated before the one of when it was ahead; an old one said again is no lease."""
    asks(founder, founder.invite(URL, ("jobs",), hours=1), "one")
    await admit(founder, "one")
    now = [1_000_000_000]
    for module in (members, leases):
        monkeypatch.setattr(module, "now_ms", lambda: 1000 * now[0])
    who = member("one").ledger

    def says(ahead_s):
        said = Presence(
            ledger=who, manifest=bytes(32), number=0, time_s=now[0] + ahead_s, events=5, load=10
        )
        founder.present(said.sign(signer("one")))
        return founder.heard_ms[who] == 1000 * now[0]

    assert says(3000)
    lease_s = founder.times.lease_s
    now[0] += lease_s
    assert not says(0)
    now[0] += 1
    assert says(0)
    founder.reached_ms[who] = 1000 * (now[0] - 2 * lease_s)
    assert leases.leases(founder)[who] < now[0], "heard of, and not reached"


async def test_who_decides_needs_the_voter_s_own_node(founder):
    """The operator's signature alone makes no other witness: his stolen key does not either."""
    asks(founder, founder.invite(URL, (WITNESS,), hours=1), "one")
    with pytest.raises(MissingQuorum):
        await admit(founder, "one", approve=False)
    assert ledgers(founder) == {"founder"}
    with pytest.raises(InvalidManifest):
        await admit(founder, "one", operator=THIEF)
    await admit(founder, "one")


async def test_two_manifests_of_one_number_are_kept_as_proof_against_the_operator(founder):
    """Pushed by anybody, at any time later; shown with the fleet. Forged ones prove nothing."""
    moved = founder.fleet.manifest.following()
    other = sign_manifest(founder.fleet.manifest.following(needed=0, quorum=1, members=(
        replace(founder.membership, urls=("http://thief.example:1",)),)), OPERATOR)  # fmt: skip
    await founder.take(sign_manifest(moved, OPERATOR).encode(), approve=True)
    forged = replace(other, signature=bytes(64)).encode()
    foreign = sign_manifest(replace(other.manifest, operator=THIEF.public), THIEF).encode()
    for wrong in (forged, foreign, *founder.files.chain()):
        with pytest.raises((ForgedManifest, ReplayedManifest)):
            await founder.take(wrong)
    assert members_value(founder)["forks"] == []
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(ManifestFork):
                await founder.take(other.encode())
    assert [one["event"] for one in logs] == ["THE OPERATOR SIGNED TWO MANIFESTS"]
    [path] = founder.files.forks()
    assert open_manifest(path.read_bytes()) == other
    later = sign_manifest(founder.fleet.manifest.following(), OPERATOR)
    await founder.take(later.encode(), approve=True)
    path.unlink()
    with pytest.raises(ReplayedManifest):
        await founder.take(other.encode())  # of a number that the chain has left behind
    assert [one.name for one in founder.files.forks()] == [path.name]
    for number in range(30):
        made = replace(other.manifest, members=(
            replace(founder.membership, urls=(f"http://{number}.example:1",)),))  # fmt: skip
        with pytest.raises(ReplayedManifest):
            await founder.take(sign_manifest(made, OPERATOR).encode())
    assert len(members_value(founder)["forks"]) == files.FORKS_MAX
    assert founder.files.load() == founder.fleet


async def test_nothing_that_is_refused_is_on_disk(founder):
    before = founder.files.chain()
    with pytest.raises(ReplayedManifest):
        await founder.take(before[0])
    with pytest.raises(InvalidManifest):
        await founder.take(before[0][:-1])
    assert founder.files.chain() == before


async def test_a_node_of_no_fleet_takes_no_manifest_unasked(founder, tmp_path, session):
    with open_log() as log:
        log.append_now(agent.genesis_draft())
        other = FleetNode(
            files=FleetFiles(tmp_path / "other"), own=member("other", WITNESS),
            signer=signer("other"), log=log, session=session,
        )  # fmt: skip
        first = founder.files.chain()[0]
        with pytest.raises(NotMember):
            await other.take(first)
        with pytest.raises(NotMember):
            other.asked(b"")
        with pytest.raises(NotMember):
            other.present(b"")
        with pytest.raises(TimmyError, match="of no fleet"):
            other.invite(URL, (), hours=1)
        other.files.put_token(founder.invite(URL, ("jobs",), hours=1))
        foreign = signed_first(other.draft(URL), THIEF)
        with pytest.raises(InvalidManifest, match="another fleet than the token"):
            await other.take(foreign.encode())
        await other.take(first)
        assert other.fleet.fleet_id == founder.fleet.fleet_id
        assert other.membership is None


async def test_a_spoilt_chain_or_token_is_named_and_ends_nothing(founder, tmp_path):
    path = tmp_path / "fleet" / "000000.manifest"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    with pytest.raises(InvalidManifest) as caught:
        founder.files.load()
    assert "join anew" in caught.value.hint
    path.write_bytes(good)
    (tmp_path / "fleet" / "token").write_text("nonsense")
    async with asyncio.TaskGroup() as group:
        with pytest.raises(TimmyError):
            await Telling(node=founder).step(group)
        running = group.create_task(Telling(node=founder).run())
        await asyncio.sleep(0.1)
        assert not running.done()
        running.cancel()
    assert not members_value(founder)["joining"]


async def test_a_quorum_on_two_machines(founder, tmp_path, session):
    """The operator proposes, each voter's node says yes by a person's word, and not before."""
    asks(founder, founder.invite(URL, (VOTER,), hours=1), "two", own=member("two", WITNESS))
    await admit(founder, "two")
    assert founder.fleet.manifest.quorum == 2
    with open_log() as log:
        log.append_now(agent.genesis_draft())
        two = FleetNode(
            files=FleetFiles(tmp_path / "two"), own=member("two", WITNESS), signer=signer("two"),
            log=log, session=session,
        )  # fmt: skip
        two.files.put_token(founder.invite(URL, ("jobs",), hours=1))
        for data in founder.files.chain():
            await two.take(data)
        wanted = next_manifest(founder.fleet.manifest, add=[member("three", WITNESS)], remove=set())
        with pytest.raises(MissingQuorum):
            await founder.take(sign_manifest(wanted, OPERATOR).encode(), approve=True)
        proposal = members_value(founder)["proposal"]
        assert (proposal["approved"], proposal["quorum"]) == (["founder"], 2)
        with pytest.raises(MissingQuorum):
            await two.take(founder.proposal.encode())
        assert members_value(two)["proposal"]["approved"] == ["founder"]
        with pytest.raises(TimmyError, match="another one is proposed"):
            await two.approve(bytes(32))
        fleet = await two.approve(wanted.digest)
        assert fleet.manifest == wanted
        assert members_value(two)["proposal"] is None
        await founder.take(two.files.chain()[-1])
        assert founder.fleet.newest == two.fleet.newest
        with pytest.raises(TimmyError, match="nothing is proposed"):
            await two.approve(wanted.digest)


async def test_a_proposal_of_a_thief_stays_one(founder):
    """He has the operator's key, and no voter's word: nothing is approved by itself."""
    theirs = next_manifest(
        founder.fleet.manifest, add=[member("thief", VOTER, WITNESS)], remove=set()
    )
    for _ in range(2):
        with pytest.raises(MissingQuorum):
            await founder.take(sign_manifest(theirs, OPERATOR).encode())
    assert members_value(founder)["proposal"]["approved"] == []
    assert ledgers(founder) == {"founder"}
    moved = founder.fleet.manifest.following()
    await founder.take(sign_manifest(moved, OPERATOR).encode())
    assert founder.proposal is None


async def test_who_came_while_this_run_watched_has_granted_nothing_before(
    founder, tmp_path, session
):
    """A newcomer whom a manifest calls a voter may have been one, before he lost his disk."""
    assert founder.newcomer, "it began the fleet itself"
    token = founder.invite(URL, (VOTER,), hours=1)
    with open_log() as log:
        log.append_now(agent.genesis_draft())
        for name, is_new in (("two", True), ("again", False)):
            node = FleetNode(
                files=FleetFiles(tmp_path / name), own=member("two", WITNESS),
                signer=signer("two"), log=log, session=session,
            )  # fmt: skip
            node.files.put_token(token)
            await Telling(node=node)._take_all(asks(founder, token, "two"))
            assert node.newcomer is is_new
            if is_new:
                await admit(founder, "two")


async def test_a_thief_of_a_token_is_taken_from_the_list_and_his_token_ends(founder):
    token = founder.invite(URL, ("jobs",), hours=1)
    asks(founder, token, "thief")
    assert [one.name for one in founder.waiting()] == ["thief"]
    with pytest.raises(TimmyError, match="nobody asks to join"):
        founder.refuse(member("one").nostr.hex())
    assert founder.refuse(member("thief").nostr.hex()) == 1
    assert founder.waiting() == []
    for name in ("thief", "one"):
        with pytest.raises(TimmyError, match="unknown, used or over"):
            asks(founder, token, name)


@pytest.mark.parametrize("bound", ["CHAIN_MAX", "CHAIN_BYTES"])
async def test_a_long_chain_is_asked_for_by_pages(founder, tmp_path, session, monkeypatch, bound):
    """A fleet with more manifests than an answer holds: a newcomer has all of them in the end."""
    size = len(founder.files.chain()[0])
    monkeypatch.setattr(joining, bound, {"CHAIN_MAX": 3, "CHAIN_BYTES": 3 * size}[bound])
    for _ in range(7):
        moved = founder.fleet.manifest.following()
        await founder.take(sign_manifest(moved, OPERATOR).encode(), approve=True)
    token = founder.invite(URL, ("jobs",), hours=1)
    with open_log() as log:
        log.append_now(agent.genesis_draft())
        node = FleetNode(
            files=FleetFiles(tmp_path / "new"), own=member("two", WITNESS), signer=signer("two"),
            log=log, session=session,
        )  # fmt: skip
        node.files.put_token(token)
        pages = []

        async def post(url, data, _seconds=0.0):
            after = int(url.partition("after=")[2])
            found = founder.asked(data, after=after)
            pages.append((after, len(found)))
            return json.dumps({"manifests": [one.hex() for one in found]}).encode()

        monkeypatch.setattr(FleetNode, "post", lambda _self, *given: post(*given))
        await Telling(node=node)._ask(token.secret, token.url)
        assert node.fleet.newest == founder.fleet.newest
        assert pages == [(0, 3), (3, 3), (6, 2)]
        assert not node.newcomer, "who did not see all at once may have been a voter"


async def test_who_answers_a_conversation_is_shown(founder):
    found = members_value(founder, "roof")
    assert [(one["name"], one["lease"]) for one in found["answers"]] == [("founder", True)]
    [row] = found["members"]
    assert row["lease_s"] == founder.times.lease_s + founder.times.slack_s
    assert members_value(founder)["answers"] == []


async def test_how_busy_a_member_is_and_what_it_can_do_is_said_and_shown(founder, monkeypatch):
    """Read anew each time; of itself a node shows it without having heard it from anybody."""
    founder.able = ("gpu", "model")
    for load in (0.25, 3.5):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 9.0, 9.0))
        said = Telling(node=founder)._presence(founder.fleet)
        assert (said.load, said.able) == (1000 * load, founder.able)
        [own] = members_value(founder)["members"]
        assert (own["load"], own["able"]) == (load, founder.able)


async def test_how_many_have_to_agree_is_what_the_operator_says(founder):
    """The quorum is a majority at least; more cannot be needed than there are."""
    for name in ("one", "two"):
        asks(founder, founder.invite(URL, (VOTER, WITNESS), hours=1), name)
    waiting = founder.waiting()
    now, nobody = founder.fleet.manifest, {"add": [], "remove": set()}
    made = next_manifest(now, add=waiting, remove=set(), quorum=3, needed=2)
    assert (made.quorum, made.needed, len(made.members)) == (3, 2, 3)
    assert next_manifest(now, add=waiting, remove=set()).quorum == 2
    more = next_manifest(made, **nobody, needed=3)
    assert (more.quorum, more.needed, more.members) == (3, 3, made.members)
    assert next_manifest(more, **nobody, quorum=2).quorum == 2
    gone = next_manifest(more, add=[], remove={waiting[0].ledger, waiting[1].ledger})
    assert (gone.quorum, gone.needed) == (1, 1), "as far as it goes with who is left"
    for wrong, hint in (
        ({"quorum": 1}, "--quorum 2 to 3"), ({"quorum": 4}, "--quorum 2 to 3"),
        ({"needed": 4}, "--needed 0 to 3"), ({"needed": -1}, "--needed 0 to 3"),
    ):  # fmt: skip
        with pytest.raises(TimmyError) as caught:
            next_manifest(made, **nobody, **wrong)
        assert caught.value.hint == hint
