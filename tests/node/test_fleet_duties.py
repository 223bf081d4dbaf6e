"""One node's part in shared jobs, without other nodes: what it is asked, and what it says no to."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from ledger.core import types
from ledger.core.event import Draft
from mesh.core.errors import Refused
from mesh.core.fleet.duty import (
    BEGUN_BY_ANOTHER,
    FORGOTTEN,
    NEXT_VOTERS,
    OTHER_MANIFEST,
    SKEW_S_MAX,
    Begin,
    Skip,
)
from mesh.core.fleet.manifest import VOTER, WITNESS, sign_manifest
from mesh.fleet.direct_bus import DirectBus
from mesh.fleet.grants import GrantBook
from node.fleet import duties
from node.fleet.bus import known
from node.fleet.duties import LEAD_S, FleetDuty
from node.fleet.members_shown import members_value
from node.fleet.proposals import next_manifest
from node.home import Home
from node.open import now_ms
from runtime.core.cases import Case
from runtime.core.errors import JobRefused
from runtime.core.jobspec import Mode, Shared
from runtime.sharing import Left, Mine
from tests.mesh.test_manifest import OPERATOR, member, signer
from tests.node.test_fleet_book import URL, admit, asks, founder, session

__all__ = ["founder", "session"]
RUN = b"r" * 16


@pytest.fixture
async def duty(founder, session, tmp_path):
    live = DirectBus(
        founder.signer, session, manifest=lambda: known(founder), clock=lambda: now_ms() // 1000
    )
    home = Home(path=tmp_path / "home", state=tmp_path / "state")
    made = FleetDuty(home=home, live=live, signer=founder.signer, fleet=founder)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(made.run())
        yield made
        task.cancel()


def case():
    now_s = now_ms() // 1000
    return Case(run=RUN, job=b"j" * 16, planned_s=now_s, until_s=now_s + 900)


async def test_a_fleet_of_one_is_its_own_owner_and_quorum_at_once(duty, founder):
    """It saw itself begin the fleet: there is nothing that it could have granted before."""
    owner, quorum = duty.shared("owner"), duty.shared("quorum")
    assert owner == Shared(fleet=founder.fleet.fleet_id, mode=Mode.OWNER)
    async with asyncio.timeout(60):
        await duty._ready.wait()  # who began to listen after its turn would wait for a grace
        mine = await duty.decide(case(), owner)
        granted = await duty.decide(case(), quorum)
    assert isinstance(mine, Mine)
    assert isinstance(granted, Mine)
    assert mine.manifest == founder.fleet.manifest.digest
    assert duty.turn(RUN, owner)["name"] == duty.name(b"") == "founder"
    assert (duty.home.state / founder.log.ledger_id.hex() / "grants.db").exists()


async def test_a_voter_whose_file_is_lost_grants_nothing_for_an_hour(founder, session, tmp_path):
    founder.newcomer = False  # as after any other start
    live = DirectBus(
        founder.signer, session, manifest=lambda: known(founder), clock=lambda: now_ms() // 1000
    )
    home = Home(path=tmp_path / "home", state=tmp_path / "state")
    made = FleetDuty(home=home, live=live, signer=founder.signer, fleet=founder)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        task = group.create_task(made.run())
        left = await made.decide(case(), made.shared("quorum"))
        task.cancel()
    assert left == Left(why="refused: of before what this voter remembers")


async def test_who_a_job_is_pinned_to_is_a_member_that_does_jobs(duty, founder):
    asks(founder, founder.invite(URL, ("jobs",), hours=1), "one")
    asks(founder, founder.invite(URL, (WITNESS,), hours=1), "two")
    await admit(founder, "one", "two")
    assert duty.shared("pinned:one").member == member("one").nostr
    assert duty.shared(f"pinned:{member('one').ledger.hex()}").member == member("one").nostr
    for name in ("two", "three", ""):
        with pytest.raises(JobRefused):
            duty.shared(f"pinned:{name}")
    async with asyncio.timeout(60):
        left = await duty.decide(case(), duty.shared("pinned:one"))
    assert left == Left(why="pinned to another: one")


async def test_a_node_without_the_role_shares_nothing(duty, founder):
    manifest = founder.fleet.manifest
    [own] = manifest.members
    less = replace(own, roles=tuple(role for role in own.roles if role != "jobs"))
    signed = replace(founder.fleet.newest, manifest=manifest.following(members=(less,)))
    founder.fleet = replace(founder.fleet, newest=signed)
    with pytest.raises(JobRefused, match="does not have the role jobs"):
        duty.shared("quorum")


async def test_who_was_taken_out_does_and_grants_nothing_any_more(duty, founder):
    owner, quorum = duty.shared("owner"), duty.shared("quorum")
    asks(founder, founder.invite(URL, ("jobs", VOTER), hours=1), "one")
    await admit(founder, "one")
    made = next_manifest(founder.fleet.manifest, add=[], remove={founder.own.ledger})
    signed = sign_manifest(made, OPERATOR).approved(signer("one"))
    await founder.take(signed.encode(), approve=True)
    assert founder.removed_by == made.number
    async with asyncio.timeout(60):
        for shared in (owner, quorum):
            left = await duty.decide(case(), shared)
            assert left == Left(why="this node is no member of the job's fleet any more")
    assert (founder.witnesses(), founder.needed, known(founder).members) == ([], 0, ())


async def voting(founder, name, since):
    """Take in another voter who decides from then on, as the founder's own machine does it."""
    asks(founder, founder.invite(URL, (VOTER,), hours=1), name)
    [add] = founder.waiting()
    made = next_manifest(founder.fleet.manifest, add=[add], remove=set(), since=since)
    await founder.take(sign_manifest(made, OPERATOR).encode(), approve=True)


async def test_new_voters_decide_from_their_time_on_and_the_old_ones_before(duty, founder):
    now_s = now_ms() // 1000
    at_once = await duty.since(None, alone=True)
    assert at_once <= now_ms() // 1000 + 1
    later = await duty.since(None, alone=False)
    assert later >= now_s + LEAD_S
    await voting(founder, "one", later)
    before, after = replace(case(), planned_s=later - 1), replace(case(), planned_s=later)
    quorum = duty.shared("quorum")
    assert duty._plan(before, quorum).voters == (founder.signer.public,)
    assert set(duty._plan(after, quorum).voters) == {founder.signer.public, member("one").nostr}
    async with asyncio.timeout(60):
        await duty._ready.wait()
        assert isinstance(await duty.decide(case(), quorum), Mine), "its time is before that"
    shown = members_value(founder)
    assert (shown["since"], shown["deciding"]) == (later, ["founder"])


async def test_who_has_granted_what_new_voters_are_to_decide_does_not_take_them_in(duty, founder):
    now = case()
    async with asyncio.timeout(60):
        await duty._ready.wait()
        await duty.decide(now, duty.shared("quorum"))
    with pytest.raises(Refused, match="has granted") as refused:
        await voting(founder, "one", now.planned_s)
    assert "--lead" in refused.value.hint
    assert founder.fleet.manifest.number == 0, "its own yes is missing, and so nothing is changed"
    assert founder.proposal is None
    since = await duty.since(None, alone=True)
    assert since > now.planned_s
    founder.files.put_invites({})
    await voting(founder, "one", since)
    again = GrantBook(duty.home.state / founder.log.ledger_id.hex() / "grants.db",
                      me=founder.signer.public, now_s=now_ms() // 1000)  # fmt: skip
    assert again._voter.promised == (0, since), "the promise was on disk before the signature"
    again.close()


async def test_without_its_file_of_grants_a_voter_signs_no_new_voters(
    founder, session, tmp_path, monkeypatch
):
    monkeypatch.setattr(duties, "_BOOK_SECONDS", 0.01)
    live = DirectBus(
        founder.signer, session, manifest=lambda: known(founder), clock=lambda: now_ms() // 1000
    )
    home = Home(path=tmp_path / "home", state=tmp_path / "state")
    FleetDuty(home=home, live=live, signer=founder.signer, fleet=founder)  # and it does not run
    with pytest.raises(Refused, match="is not open"):
        await voting(founder, "one", now_ms() // 1000 + 10)
    assert founder.fleet.manifest.number == 0


async def test_who_may_be_an_old_copy_of_itself_waits_and_signs_no_new_voters(duty, founder):
    """A run of before it woke it may have begun already; one of after that it cannot have."""
    quorum, now_s = duty.shared("quorum"), now_ms() // 1000
    over = replace(case(), planned_s=now_s - 10, until_s=now_s - 5)
    duty.doubt = lambda: "its release is held"
    async with asyncio.timeout(60):
        await duty._ready.wait()
        assert await duty.decide(over, quorum) == Left(why=FORGOTTEN)
        with pytest.raises(Refused, match="may have forgotten what it granted: its release"):
            await voting(founder, "one", now_s + LEAD_S)
        duty.doubt = lambda: ""
        assert await duty.decide(over, quorum) == Left(why="0 of 1 voters, 1 needed")


async def test_who_changes_the_voters_at_once_waits_until_others_were_asked(duty, monkeypatch):
    """Relays and members are asked for ten and thirty seconds at a start: then it is done."""
    monkeypatch.setattr(duties, "_DOUBT_SECONDS", 0.01)
    told = iter(["relays are asked"] * 3)
    duty.doubt = lambda: next(told, "")
    async with asyncio.timeout(60):
        await duty._ready.wait()
        assert await duty.since(None, alone=True) > 0
        assert next(told, None) is None, "it looked until nobody doubted"
        monkeypatch.setattr(duties, "_LOOK_SECONDS", 0.05)
        duty.doubt = lambda: "its release is held"
        await (
            duty.look_first()
        )  # not for ever: what it is asked for then is refused, with the reason


async def test_who_was_found_to_be_an_old_copy_begins_and_grants_nothing_for_an_hour(duty, founder):
    quorum, soon_s = duty.shared("quorum"), now_ms() // 1000
    async with asyncio.timeout(60):
        await duty._ready.wait()
        duty.forget()
        assert duty._doubted()
        while duty._doubted():
            await asyncio.sleep(0.01)
        assert await duty.decide(case(), quorum) == Left(why=FORGOTTEN)
        assert isinstance(await duty.decide(case(), duty.shared("owner")), Mine)
        assert await duty.since(None, alone=True) > soon_s + SKEW_S_MAX


async def test_the_file_of_grants_names_the_start_under_which_it_was_open(duty, founder):
    def started():
        draft = Draft(type=types.NODE_STARTED.name, stream=types.NODE_STREAM, payload={})
        return founder.log.append_now(draft)[0].id

    async with asyncio.timeout(60):
        await duty._ready.wait()
        assert duties._starts(founder.log) == (b"", b"")
        first = started()
        assert duties._starts(founder.log) == (first, b"")
        second = started()
        for _ in range(70):
            beat = Draft(type=types.NODE_STOPPED.name, stream=types.NODE_STREAM, payload={})
            founder.log.append_now(beat)
        assert duties._starts(founder.log) == (second, first)


async def test_a_job_of_another_fleet_is_left(duty):
    async with asyncio.timeout(60):
        left = await duty.decide(case(), Shared(fleet=b"f" * 32, mode=Mode.OWNER))
    assert left == Left(why="the job is of another fleet than this node")


async def test_voters_that_know_another_manifest_are_asked_again(duty, monkeypatch):
    """Until the window is over: manifests travel meanwhile."""
    monkeypatch.setattr(duties, "AGAIN_SECONDS", 0)
    other = Skip(run=RUN, why=f"refused: {OTHER_MANIFEST}")
    next_ = Skip(run=RUN, why=f"refused: {NEXT_VOTERS}")
    begun = Skip(run=RUN, why=BEGUN_BY_ANOTHER, holder=member("one").nostr)
    ends = [other, next_, Begin(run=RUN, fence=b"e" * 16), other, begun, other]

    async def decide(_plan):
        return ends.pop(0)

    owner = duty.shared("owner")
    async with asyncio.timeout(60):
        await duty._ready.wait()
        monkeypatch.setattr(duty._duties, "decide", decide)
        assert (await duty.decide(case(), owner)).fence == b"e" * 16
        done = await duty.decide(case(), owner)
        assert done == Left(
            why=f"done by {member('one').nostr.hex()[:16]}", holder=member("one").nostr
        )
        over = replace(case(), until_s=now_ms() // 1000 - 1)
        assert await duty.decide(over, owner) == Left(why=f"refused: {OTHER_MANIFEST}")


async def test_a_file_of_grants_that_cannot_be_read_costs_the_vote_until_it_is_removed(
    founder, session, tmp_path, monkeypatch
):
    monkeypatch.setattr(duties, "_OPEN_SECONDS", 0.01)
    home = Home(path=tmp_path / "home", state=tmp_path / "state")
    file = home.state / founder.log.ledger_id.hex() / "grants.db"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database, but of some length " * 200)
    live = DirectBus(
        founder.signer, session, manifest=lambda: known(founder), clock=lambda: now_ms() // 1000
    )
    made = FleetDuty(home=home, live=live, signer=founder.signer, fleet=founder)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        with capture_logs() as said:
            task = group.create_task(made.run())
            while not said:
                await asyncio.sleep(0.01)
            assert not made._ready.is_set()
            file.unlink()
            await made._ready.wait()
        task.cancel()
    assert said[0]["hint"].startswith("remove it")
