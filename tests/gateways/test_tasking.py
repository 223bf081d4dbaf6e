"""Tasks for other agents: recorded, sealed for each of them, and their reports taken once."""

import asyncio

import pytest
from msgspec.structs import replace

from ledger.core import types
from mesh.core import envelope, nip19, nip59
from mesh.core.envelope import Report, Task
from mesh.core.errors import InvalidEnvelope, InvalidSubject, Refused
from mesh.sealed.mailbox import NoInbox
from node.nostr.letters import author_of
from node.nostr.roles import Role
from node.nostr.tasking import KEPT_MAX, REPORTS_MAX
from tests.gateways.nostr_world import SECONDS, relay
from tests.gateways.test_nostr_gateway import ALICE, BOB, CAROL, DAVE, EVE, NOW, ROLES, Place
from tests.node.world import SETTINGS, Home, until

AGENTS = {**ROLES, EVE.pubkey: Role.AGENT}


def tasks_for(place, reader):
    """The envelopes of tasks that one agent can open, by id of the rumor."""
    found = {}
    for event in place.pool._events.values():
        if event.kind == 1059 and event.tags[0][1] == reader.pubkey:
            rumor = nip59.open_wrap(event, reader).rumor
            found[rumor.id] = envelope.parse(rumor.content)
    return list(found.values())


async def all_dealt_with(place):
    """Wait for every wrap to this node, its own copies of what it sent among them."""
    wraps = {
        event.id
        for event in place.pool._events.values()
        if event.kind == 1059 and event.tags[0][1] == ALICE.pubkey
    }
    while not wraps <= {id_ for _, id_ in place.seen.known()}:
        await asyncio.sleep(0.005)


def report(text, to=ALICE, **more):
    return Report(id="33" * 16, sent_at=NOW, text=text, to=to.pubkey, **more)


async def test_a_task_for_two_is_one_conversation_and_each_report_is_taken_once():
    place = Place()
    await place.lists(DAVE, EVE)
    async with place.running(roles=AGENTS):
        given = await place.tasking.give([DAVE.pubkey, EVE.pubkey, DAVE.pubkey], "count the tiles")
        assert given.payload["to"] == [DAVE.pubkey, EVE.pubkey]
        conversation = given.payload["conversation"]
        for one in (DAVE, EVE):
            [found] = tasks_for(place, one)
            assert isinstance(found.payload, Task)
            assert (found.payload.to, found.payload.text) == (one.pubkey, "count the tiles")
            assert (found.conversation_id, found.node_id) == (conversation, ALICE.pubkey)
        said = report("1004", outcome="answered")
        await place.task(DAVE, said, conversation=conversation)
        await place.task(DAVE, said, conversation=conversation, bearer=EVE)
        await place.task(EVE, report("no", outcome="refused"), conversation=conversation)
        await place.task(EVE, report("of what?", outcome="answered"), conversation="44" * 16)
        await place.task(BOB, report("mine", outcome="answered"), conversation=conversation)
        await place.dealt_with(5)
        told = {(one.payload["author"], one.payload["outcome"], one.content["text"])
                for one in place.of(types.TASK_REPORTED)}  # fmt: skip
        assert told == {
            (author_of(DAVE.pubkey), "answered", "1004"), (author_of(EVE.pubkey), "refused", "no"),
        }  # fmt: skip
        assert len(place.of(types.TASK_REPORTED)) == 2, "a report that comes twice is one"
        assert place.of(types.MESSAGE_RECEIVED) == [], "nobody answers a report"
        assert {one.payload["task"] for one in place.of(types.TASK_REPORTED)} == {given.position}


async def test_a_task_that_waits_is_handed_to_one_and_to_no_other():
    place = Place()
    await place.lists(DAVE, EVE)
    async with place.running(roles=AGENTS):
        waits = await place.tasking.keep("any", "count the tiles")
        assert (waits.payload["to"], waits.payload["able"]) == ([], "any")
        assert place.tasking.kept() == [waits]
        assert tasks_for(place, DAVE) == []
        id_ = waits.payload["id"]
        with pytest.raises(Refused, match="is no agent of this node"):
            await place.tasking.hand(id_, BOB.pubkey)
        async with asyncio.TaskGroup() as group:
            for one in (DAVE, EVE):
                group.create_task(place.tasking.hand(id_, one.pubkey))
        await place.tasking.hand(id_, EVE.pubkey)
        [_, handed] = place.of(types.TASK_GIVEN)
        facts = ("able", "conversation", "id", "due_at")
        assert [handed.payload[name] for name in facts] == [waits.payload[name] for name in facts]
        assert handed.content == {"text": "count the tiles"}
        assert handed.envelope.causes[0].position == waits.position
        [taker] = [one for one in (DAVE, EVE) if tasks_for(place, one)]
        assert handed.payload["to"] == [taker.pubkey]
        assert place.tasking.kept() == []
        said = report("1004", outcome="answered")
        await place.task(taker, said, conversation=handed.payload["conversation"])
        await all_dealt_with(place)
        [told] = place.of(types.TASK_REPORTED)
        assert told.payload["task"] == handed.position


async def test_no_more_wait_than_somebody_may_have_time_for():
    place = Place()
    async with place.running(roles=AGENTS):
        for wrong, error in (("g p u", InvalidSubject), ("any.gpu", InvalidSubject)):
            with pytest.raises(error):
                await place.tasking.keep(wrong, "count")
        with pytest.raises(Refused, match="of no use already"):
            await place.tasking.keep("any", "count", due_at=1)
        with pytest.raises(InvalidEnvelope):
            await place.tasking.keep("any", " ")
        for _ in range(KEPT_MAX):
            await place.tasking.keep("any", "count")
        with pytest.raises(Refused, match="tasks wait already"):
            await place.tasking.keep("any", "count")
        assert len(place.of(types.TASK_GIVEN)) == KEPT_MAX


async def test_who_reports_without_end_fills_no_ledger_and_silences_nobody():
    place = Place()
    await place.lists(DAVE, EVE)
    async with place.running(roles=AGENTS):
        one, other = [await place.tasking.give([DAVE.pubkey, EVE.pubkey], "count") for _ in "ab"]
        for number in range(REPORTS_MAX + 3):
            said = replace(report(f"{number}", outcome="answered"), id=f"{number:032x}")
            await place.task(DAVE, said, conversation=one.payload["conversation"])
        await all_dealt_with(place)
        assert len(place.of(types.TASK_REPORTED)) == REPORTS_MAX
        await place.task(
            EVE, report("7", outcome="answered"), conversation=one.payload["conversation"]
        )
        await place.task(
            DAVE, report("9", outcome="answered"), conversation=other.payload["conversation"]
        )
        await all_dealt_with(place)
        found = [
            (event.payload["author"], event.payload["task"])
            for event in place.of(types.TASK_REPORTED)[REPORTS_MAX:]
        ]
        assert sorted(found) == sorted(
            [(author_of(EVE.pubkey), one.position), (author_of(DAVE.pubkey), other.position)]
        )


async def test_a_report_that_says_something_else_under_its_id_is_passed_over():
    """It ended the gateway, and the node: who is asked could have stopped it from afar."""
    place = Place()
    await place.lists(DAVE)
    async with place.running(roles=AGENTS):
        given = await place.tasking.give([DAVE.pubkey], "count")
        for words in ("seven", "eight"):
            said = replace(report(words, outcome="answered"), id="0" * 32)
            await place.task(DAVE, said, conversation=given.payload["conversation"])
        await all_dealt_with(place)
        assert [one.content["text"] for one in place.of(types.TASK_REPORTED)] == ["seven"]


async def test_a_node_that_died_before_it_sent_sends_at_its_next_start():
    place = Place()
    await place.lists(DAVE)
    async with place.running(roles=AGENTS):
        given = await place.tasking.give([DAVE.pubkey], "look at the gate")
        before = dict(place.pool._events)
    for id_, event in before.items():
        if event.kind == 1059:
            del place.pool._events[id_]
    async with place.running(roles=AGENTS):
        while not tasks_for(place, DAVE):
            await asyncio.sleep(0.005)
        assert place.pool._events.keys() == before.keys(), "the same wraps, not others"
        assert len(place.of(types.TASK_GIVEN)) == 1
        conversation = given.payload["conversation"]
        await place.task(DAVE, report("done", outcome="answered"), conversation=conversation)
        await all_dealt_with(place)
    wraps = {id_ for id_, event in place.pool._events.items() if event.kind == 1059}
    for id_ in wraps:
        del place.pool._events[id_]
    gateway = place.make(roles=AGENTS)
    await place.tasking.resend()
    assert tasks_for(place, DAVE) == [], "what was reported is not sent again"
    await gateway.close()


async def test_who_cannot_be_asked_and_what_cannot_be_said():
    place = Place()
    await place.lists(DAVE, CAROL)
    gateway, tasking = place.make(roles=AGENTS), place.tasking
    for to, error, why in (
        ([CAROL.pubkey], Refused, "is no agent of this node"),
        ([], Refused, "0 agents are named"),
        ([EVE.pubkey], NoInbox, "kind 10050"),
    ):
        with pytest.raises(error, match=why):
            await tasking.give(to, "look")
    with pytest.raises(Refused, match="of no use already"):
        await tasking.give([DAVE.pubkey], "look", due_at=1)
    for text in ("  ", "x" * 20_000):
        with pytest.raises(InvalidEnvelope):
            await tasking.give([DAVE.pubkey], text)
    assert place.of(types.TASK_GIVEN) == []
    await gateway.close()


def settings(url, *agents):
    named = ", ".join(f'"{one}"' for one in agents)
    return f"""{SETTINGS}
[gateways.nostr]
enabled = true
agents = [{named}]
relays = ["{url}"]
[publish]
relays = ["{url}"]
"""


def test_one_node_gives_another_a_task_and_has_its_report(tmp_path):
    """Two nodes as processes and a relay between them."""
    with relay() as url:
        homes = [Home(tmp_path / name) for name in ("ann", "bea")]
        keys = []
        for home in homes:
            home.configure()
            home.run("init", "--name", home.root.name).good()
            node = home.start()
            keys.append(node.status()["npub"])
            node.stop()
        for home, other in zip(homes, reversed(keys), strict=True):
            home.configure(settings(url, other))
        ann = homes[0]
        try:
            nodes = [home.start() for home in homes]
            stranger = nip19.npub("ab" * 32)
            ann.run("mesh", "task", stranger, "look").refused("is no agent of this node")
            ann.run("mesh", "task", "look at the gate").refused("whom, and what?")
            late = {"to": [stranger], "text": "look", "due_s": 0}
            nodes[0].request("POST", "/v1/tasks", late).refused(400, "due_s is 0")

            def given():
                return (
                    ann.run("mesh", "task", keys[1], "look at the gate", "--due", "3600").code == 0
                )

            until(given, SECONDS, "the other one says where it takes messages")
            until(lambda: nodes[0].log("task.reported"), SECONDS, "it reports")
            [told] = nodes[0].log("task.reported")
            [sent] = nodes[1].log("message.sent")
            assert told["content"]["text"] == sent["content"]["text"]
            assert told["payload"]["author"] == f"nostr/{keys[1]}"
            shown = ann.run("mesh", "tasks").good().out
            assert "given to 1 agents: look at the gate" in shown
            assert "answered" in shown
            for node in nodes:
                node.stop()
        finally:
            for home in homes:
                home.end()
