"""The gateway to Nostr over a real ledger: who may talk, once in and once out, through any crash."""

import asyncio
import random
import time
from contextlib import asynccontextmanager

import pytest

from ledger.core import types
from ledger.core.event import Draft
from mesh.core import envelope, nip17, nip59
from mesh.core.envelope import Message, Report, Task
from mesh.core.nip01 import NostrSigner
from mesh.core.nip59 import Chance
from mesh.pool.port import MemoryPool, QueueFull
from mesh.sealed.carried import MemoryCarried
from mesh.sealed.handled import MemoryHandled
from mesh.sealed.mailbox import Mailbox
from mesh.sealed.wraps import Wraps
from node.nostr.gateway import NostrGateway
from node.nostr.letters import author_of, room_name, room_of
from node.nostr.roles import Role
from node.nostr.tasking import Tasking
from runtime import answers
from runtime.approvals import Approvals
from runtime.core.bounds import TurnBounds
from runtime.core.crisis import ANSWER
from runtime.gateway import Gateway
from runtime.journal import Journal
from runtime.outbox import Outbox
from runtime.steps import Asked
from tests.mesh.peers import ALICE, BOB, NOW
from tests.runtime.world import new_log

CAROL = NostrSigner(bytes([4]) * 32)
DAVE = NostrSigner(bytes([5]) * 32)
EVE = NostrSigner(bytes([3]) * 32)
ROLES = {BOB.pubkey: Role.OPERATOR, CAROL.pubkey: Role.PERSON, DAVE.pubkey: Role.AGENT}
OURS = ("ws://127.0.0.1:1/",)
CONVERSATION = "22" * 16


class Clock:
    """Seconds that tests set."""

    seconds = NOW

    def __call__(self):
        return self.seconds


class Place:
    """A ledger, relays, and one person's view of them; gateways over it come and go."""

    def __init__(self, pool=None):
        self.log = new_log(clock=lambda: NOW * 1000)
        self.journal = Journal(self.log)
        self.pool = pool or MemoryPool()
        self.seen = MemoryHandled()
        self.clock = Clock()
        self.approvals = Approvals(self.journal, deadline_s=600, clock=lambda: 0)
        self.carried = MemoryCarried()
        self.wraps = Wraps(self.carried, [], erased=lambda of: self.log.read(of.position).redacted)

    def make(self, **more):
        mailbox = Mailbox(
            self.pool, ALICE, self.seen, relays=OURS, clock=self.clock, wraps=self.wraps
        )
        roles = more.pop("roles", ROLES)
        self.tasking = Tasking(mailbox, ALICE, self.log, roles=roles, clock=lambda: NOW * 1000)
        return NostrGateway(
            mailbox, ALICE, self.journal, Gateway(self.journal), Outbox(self.journal),
            self.approvals, roles=roles, tasking=self.tasking, retry_s=0.01,
        )  # fmt: skip

    @asynccontextmanager
    async def running(self, **more):
        gateway = self.make(**more)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(gateway.run())
            try:
                async with asyncio.timeout(60):
                    yield gateway
            finally:
                task.cancel()

    async def lists(self, *people):
        for one in people:
            await self.pool.publish(nip17.mint_inbox(one, ["ws://127.0.0.1:9/"], now=NOW))

    async def write(self, author, text, *, at=NOW, to=(ALICE,), name=b"", **more):
        rumor = nip17.write(author.pubkey, [one.pubkey for one in to], text, now=at)
        chance = Chance.derived(bytes(32), bytes.fromhex(rumor.id) + name)
        await self.pool.publish(nip59.wrap(rumor, author, ALICE.pubkey, chance, now=at, **more))

    async def task(self, author, payload, *, bearer=None, conversation=CONVERSATION):
        signed = envelope.sign(payload, conversation_id=conversation, signer=author)
        bearer = bearer or author
        rumor = envelope.carry(signed, bearer.pubkey, now=NOW)
        chance = Chance.derived(bytes(32), bytes.fromhex(rumor.id))
        await self.pool.publish(nip59.wrap(rumor, bearer, ALICE.pubkey, chance, now=NOW))

    def of(self, kind):
        return [event for event in self.log.events() if event.type == kind.name]

    async def received(self, count):
        while len(found := self.of(types.MESSAGE_RECEIVED)) < count:
            await asyncio.sleep(0.005)
        return found

    async def dealt_with(self, count):
        while len(self.seen.known()) < count:
            await asyncio.sleep(0.005)

    async def delivered(self, count):
        while len(found := self.of(types.GATEWAY_DELIVERED)) < count:
            await asyncio.sleep(0.005)
        return found

    async def answer(self, event, text):
        """The agent's answer, as a turn leaves it."""
        message = self.journal.turns.pending[event.position]
        turn = bytes(8) + event.position.to_bytes(8, "big")
        await self.journal.append(
            answers.sent(message, turn, text, {}),
            answers.finished(message, turn, "answered", None),
        )

    def read_by(self, reader):
        """What a person's client shows, by time: each message once."""
        found = {}
        for event in self.pool._events.values():
            if event.kind == 1059 and event.tags[0][1] == reader.pubkey:
                rumor = nip59.open_wrap(event, reader).rumor
                found[rumor.id] = rumor
        mine = [one for one in found.values() if one.pubkey != reader.pubkey]
        return [one.content for one in sorted(mine, key=lambda one: one.created_at)]


async def test_a_message_is_said_to_the_agent_and_its_answer_comes_back_sealed():
    place = Place()
    await place.lists(BOB, CAROL)
    async with place.running() as gateway:
        await place.write(CAROL, "are you there?")
        [event] = await place.received(1)
        name = author_of(CAROL.pubkey)
        assert event.content == {"text": "are you there?"}
        payload = {
            key: event.payload[key] for key in ("author", "gateway", "conversation", "screen")
        }
        assert payload == {"author": name, "gateway": name, "conversation": name, "screen": "pass"}
        await place.answer(event, "I am.")
        [delivered] = await place.delivered(1)
        assert delivered.payload["gateway"] == name
        assert place.read_by(CAROL) == ["I am."]
        assert place.read_by(BOB) == place.read_by(EVE) == []
        while gateway.value()["waiting"]:
            await asyncio.sleep(0.005)
        assert gateway.value() == {"opened": 1, "refused": 0, "strangers": 0, "waiting": {}}


async def test_strangers_leave_no_trace():
    place = Place()
    await place.lists(EVE)
    async with place.running() as gateway:
        await place.write(EVE, "let me in")
        await place.task(EVE, Task(id="11" * 16, sent_at=NOW, text="x", to=ALICE.pubkey))
        await place.dealt_with(2)
        assert gateway.value()["strangers"] == 2
    assert place.log.size == 1
    assert place.read_by(EVE) == []


async def test_a_message_that_comes_again_is_one_message():
    place = Place()
    await place.lists(CAROL)
    for number in range(3):
        place.seen = MemoryHandled()  # even if what was dealt with is forgotten
        async with place.running():
            await place.write(CAROL, "once", name=bytes([number]))
            await place.dealt_with(number + 1)
    assert len(place.of(types.MESSAGE_RECEIVED)) == 1


async def test_what_was_erased_does_not_come_back():
    place = Place()
    async with place.running():
        await place.write(CAROL, "forget this")
        [event] = await place.received(1)
    await place.journal.append(
        place.log.redaction([event.position], reason="asked for", actor="test")
    )
    place.seen = MemoryHandled()
    async with place.running():
        await place.dealt_with(1)
    assert len(place.of(types.MESSAGE_RECEIVED)) == 1


async def test_every_wrap_is_noted_under_the_event_whose_words_it_carries():
    """What people and agents say, answers, questions about calls, tasks and what was reported."""
    place = Place()
    await place.lists(BOB, CAROL, DAVE)
    async with place.running(), asyncio.TaskGroup() as group:
        await place.write(CAROL, "are you there?")
        [message] = await place.received(1)
        asking = group.create_task(ask(place, message))
        while not [text for text in place.read_by(BOB) if "May I do this?" in text]:
            await asyncio.sleep(0.005)
        asking.cancel()
        await place.answer(message, "I am.")
        await place.delivered(1)
        given = await place.tasking.give([DAVE.pubkey], "look at the gate")
        facts = {"sent_at": NOW, "text": "it squeaks", "to": ALICE.pubkey, "outcome": "answered"}
        conversation = given.payload["conversation"]
        await place.task(DAVE, Report(id="31" * 16, **facts), conversation=conversation)
        while not (reported := place.of(types.TASK_REPORTED)):
            await asyncio.sleep(0.005)
        await place.dealt_with(2)
    of = {place.log.read(event.position).type: event for event in place.carried.events()}
    assert set(of) == {
        "message.received", "message.sent", "approval.asked", "task.given", "task.reported"
    }  # fmt: skip
    assert of["task.reported"] == reported[0].cause
    for event in of.values():
        words = place.log.read(event.position).content["text"]
        for wrap in place.carried.wraps([event]):
            gift = place.pool._events[wrap]
            [reader] = [r for r in (ALICE, BOB, CAROL, DAVE) if r.pubkey == gift.tags[0][1]]
            assert words in nip59.open_wrap(gift, reader).rumor.content
    assert len(place.carried.wraps(of.values())) == 2 + 3 * 2, "what is sent is also our own copy"


async def test_an_answer_that_was_erased_before_it_went_is_not_sent():
    place = Place()
    async with place.running():
        await place.write(CAROL, "are you there?")
        [message] = await place.received(1)
        await place.answer(message, "I am.")
        [answer] = place.of(types.MESSAGE_SENT)
        gone = place.log.redaction([answer.position], reason="asked for", actor="test")
        rumor = nip17.write(ALICE.pubkey, [CAROL.pubkey], "I am.", now=NOW)
        await place.lists(CAROL)
        mailbox = place.make()._mailbox
        await place.journal.append(gone)
        assert await mailbox.send(rumor, event=answer.cause) == ()
        assert place.read_by(CAROL) == []
        assert answer.cause not in place.carried.events()


async def test_the_crisis_screen_is_before_everything_and_its_answer_goes_out():
    place = Place()
    await place.lists(CAROL)
    async with place.running():
        await place.write(CAROL, "i want to kill myself")
        await place.delivered(1)
        assert place.read_by(CAROL) == [ANSWER]
        assert place.journal.turns.held(author_of(CAROL.pubkey))


async def test_rooms_with_strangers_and_blank_words_are_not_taken():
    place = Place()
    async with place.running():
        await place.write(CAROL, "all together", to=(ALICE, EVE))
        await place.write(CAROL, "  \n ")
        await place.dealt_with(2)
    assert place.log.size == 1


async def test_a_room_of_people_who_may_talk_is_one_conversation_and_all_read_the_answer():
    """Also after a restart; a yes said before others is none, and a room with an agent is none."""
    place = Place()
    await place.lists(BOB, CAROL)
    async with place.running():
        await place.write(CAROL, "shall we, Bob?", to=(ALICE, BOB))
        await place.write(BOB, "yes 1", to=(ALICE, CAROL), at=NOW + 1)
        await place.write(CAROL, "with an agent", to=(ALICE, DAVE))
        await place.dealt_with(3)
        said = place.of(types.MESSAGE_RECEIVED)
    room = room_name({BOB.pubkey, CAROL.pubkey})
    assert {one.payload["conversation"] for one in said} == {room}
    assert {one.content["text"] for one in said} == {"shall we, Bob?", "yes 1"}
    [first] = [one for one in said if one.payload["author"] == author_of(CAROL.pubkey)]
    await place.answer(first, "do as you like, both of you")
    async with place.running():
        await place.delivered(1)
    for reader in (BOB, CAROL):
        assert place.read_by(reader) == ["do as you like, both of you"]


def test_a_room_names_people_who_are_known_and_nobody_else():
    keys = {"ab" * 32, "cd" * 32, "ef" * 32}
    name = room_name(keys)
    assert sorted(room_of(name, keys)) == sorted(keys)
    assert room_of(name, ["ab" * 32]) == []
    assert room_of(name, [*keys, "ab" * 31 + "ff"]) == [], "two who are named alike are nobody"
    for other in ("nostr/npub1x", "nostr/npub1x/" + "22" * 16, "main", "nostr/room/"):
        assert room_of(other, keys) is None


async def test_an_answer_waits_for_her_list_and_keeps_back_nobody_else():
    place = Place()
    await place.lists(BOB)
    async with place.running() as gateway:
        await place.write(CAROL, "from one who names no relays")
        await place.write(BOB, "from one who does")
        first, second = sorted(await place.received(2), key=lambda one: one.payload["author"])
        for event in (first, second):
            await place.answer(event, f"to {event.payload['author'][-4:]}")
        await place.delivered(1)
        assert len(place.read_by(BOB)) == 1
        name = author_of(CAROL.pubkey)
        while not gateway.value()["waiting"]:
            await asyncio.sleep(0.005)
        waiting = gateway.value()["waiting"]
        assert waiting[name]["answers"] == 1
        assert "kind 10050" in waiting[name]["why"]
    await place.lists(CAROL)
    place.clock.seconds += 61
    async with place.running():  # and after a restart
        await place.delivered(2)
    assert len(place.read_by(CAROL)) == 1


class Unsteady(MemoryPool):
    """Relays that are full every other time, and a process that dies at a publication."""

    def __init__(self, rng):
        super().__init__()
        self.rng = rng
        self.dying = False
        self.steady = False

    async def publish(self, event, **more):
        if event.kind == 1059 and not self.steady:
            if self.rng.random() < 0.2:
                raise QueueFull("no room")
            found = await super().publish(event, **more)
            if self.dying and self.rng.random() < 0.3:
                raise OSError("killed")
            return found
        return await super().publish(event, **more)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_dies_every_message_is_answered_once(seed):
    rng = random.Random(seed)
    pool = Unsteady(rng)
    place = Place(pool)
    await place.lists(BOB, CAROL)
    pool.steady = True
    said = {CAROL: [], BOB: []}
    for number in range(8):
        who = rng.choice([CAROL, BOB])
        said[who].append(f"message {number}")
        await place.write(who, said[who][-1], at=NOW + number)
    pool.steady, pool.dying = False, True
    lives = 0
    while len(place.of(types.GATEWAY_DELIVERED)) < 8:
        lives += 1
        if lives > 60:
            pool.dying = False
        if rng.random() < 0.3:
            place.seen = MemoryHandled()
        try:
            async with place.running():
                for _ in range(rng.randint(1, 60)):
                    pending = list(place.journal.turns.pending)
                    if pending:
                        event = place.log.read(pending[0])
                        await place.answer(event, f"re: {event.content['text']}")
                    await asyncio.sleep(0.002)
        except* OSError:
            pass
    for who, texts in said.items():
        assert sorted(place.read_by(who)) == sorted(f"re: {text}" for text in texts)
    wraps = [event for event in pool._events.values() if event.kind == 1059]
    ours = [one for one in wraps if one.tags[0][1] != ALICE.pubkey]
    assert len(ours) == 8  # not only the same words: the same events
    assert len(place.of(types.MESSAGE_RECEIVED)) == 8


# ---- agents --------------------------------------------------------------------------------------


def a_task(**more):
    return Task(**{"id": "11" * 16, "sent_at": NOW, "text": "look", "to": ALICE.pubkey} | more)


async def test_a_task_of_an_agent_is_a_conversation_that_ends_in_a_report():
    place = Place()
    await place.lists(DAVE)
    async with place.running():
        await place.task(DAVE, a_task())
        await place.task(DAVE, a_task(), bearer=EVE)  # handed on by another: the same task
        [event] = await place.received(1)
        assert event.payload["conversation"] == f"{author_of(DAVE.pubkey)}/{CONVERSATION}"
        await place.dealt_with(2)
        assert len(place.of(types.MESSAGE_RECEIVED)) == 1
        await place.answer(event, "Done.")
        await place.delivered(1)
    [content] = place.read_by(DAVE)
    report = envelope.parse(content)
    assert (report.node_id, report.conversation_id) == (ALICE.pubkey, CONVERSATION)
    assert (type(report.payload), report.payload.text) == (Report, "Done.")


async def test_reports_are_not_answered_so_nobody_talks_for_ever():
    place = Place()
    async with place.running():
        facts = {"sent_at": NOW, "text": "done", "to": ALICE.pubkey}
        await place.task(DAVE, Report(id="31" * 16, outcome="answered", **facts))
        await place.task(DAVE, Message(id="32" * 16, **facts))
        await place.dealt_with(2)
        assert [event.content["text"] for event in await place.received(1)] == ["done"]
        assert len(place.of(types.MESSAGE_RECEIVED)) == 1


async def test_agents_send_envelopes_and_people_do_not():
    place = Place()
    async with place.running():
        await place.write(DAVE, "words without an envelope")
        await place.task(CAROL, a_task())
        await place.task(BOB, a_task())
        await place.dealt_with(3)
    assert place.log.size == 1


async def test_a_task_after_its_time_is_not_begun():
    place = Place()
    async with place.running():
        await place.task(DAVE, a_task(due_at=1_600_000_000))
        await place.dealt_with(1)
    assert place.log.size == 1


# ---- approvals -----------------------------------------------------------------------------------


async def ask(place, message):
    """A turn asks for a call, as the host does; returns what came of it."""
    turn = bytes(8) + message.position.to_bytes(8, "big")
    asked = Asked(
        message=place.journal.turns.pending[message.position], turn=turn, step=1, op="tool",
        digest=bytes(32), bounds=TurnBounds(),
    )  # fmt: skip
    known = place.log.find(asked.key("tool"))
    requested = known or (await place.journal.append(tool_requested(asked, "run", "ls -l")))[0]
    return await place.approvals.ask(
        asked, requested, call="Bash ls", why="no rule allows it", arguments="ls -l"
    )


def tool_requested(asked, name, arguments):
    return Draft(
        type=types.TOOL_REQUESTED.name,
        stream=asked.message.stream,
        payload=asked.facts(name=name),
        content={"arguments": arguments},
        causes=(asked.message.cause,),
        idempotency_key=asked.key("tool"),
    )


async def test_the_operator_is_asked_and_answers_by_message():
    place = Place()
    await place.lists(BOB, CAROL)
    async with place.running(), asyncio.TaskGroup() as group:
        await place.write(CAROL, "list the files")
        [event] = await place.received(1)
        asking = group.create_task(ask(place, event))
        while not (words := place.read_by(BOB)):
            await asyncio.sleep(0.005)
        [question] = place.approvals.open
        assert words[0].endswith(f"Answer: yes {question.position}, or: no {question.position}")
        assert "Bash ls" in words[0]
        # nobody else can answer, and nobody without the number
        await place.write(CAROL, f"yes {question.position}")
        await place.write(BOB, "yes")
        await place.received(3)
        assert place.approvals.open == [question]
        # nor he himself with a yes that a relay kept from before the question was asked
        await place.write(BOB, f"yes {question.position}", at=NOW - 2 * 3600)
        while not any("before question" in text for text in place.read_by(BOB)):
            await asyncio.sleep(0.005)
        # nor with one that would still be young when another question has that number
        await place.write(BOB, f"yes {question.position}", at=int(time.time()) + 2 * 3600)
        while not any("ahead of my clock" in text for text in place.read_by(BOB)):
            await asyncio.sleep(0.005)
        assert place.approvals.open == [question]
        await place.write(BOB, f"Yes {question.position}.", at=NOW + 5)
        answer = await asking
        assert (answer.allow, answer.by) == (True, author_of(BOB.pubkey))
        await place.write(BOB, f"no {question.position}", at=NOW + 6)
        while len(place.read_by(BOB)) < 5:
            await asyncio.sleep(0.005)
    [answered] = place.of(types.APPROVAL_ANSWERED)
    assert answered.payload["allow"] is True
    shown = place.read_by(BOB)
    assert f"Allowed: {question.position}" in shown
    assert any("No question waits" in text for text in shown)
    assert place.read_by(CAROL) == []
    assert [e.content["text"] for e in place.of(types.MESSAGE_RECEIVED)][1:] == [
        f"yes {question.position}",
        "yes",
    ]


async def test_a_question_of_before_a_restart_is_asked_again_as_the_same_message():
    place = Place()
    await place.lists(BOB)
    async with asyncio.TaskGroup() as group:
        async with place.running():
            await place.write(CAROL, "list the files")
            [event] = await place.received(1)
        asking = group.create_task(ask(place, event))
        for _ in range(2):
            async with place.running():
                while not place.read_by(BOB):
                    await asyncio.sleep(0.005)
        assert len(place.read_by(BOB)) == 1
        [question] = place.approvals.open
        async with place.running():
            await place.write(BOB, f"no {question.position}")
            assert (await asking).allow is False


async def test_without_an_operator_nobody_is_asked_by_message():
    place = Place()
    await place.lists(BOB, CAROL)
    async with place.running(roles={CAROL.pubkey: Role.PERSON}), asyncio.TaskGroup() as group:
        await place.write(CAROL, "list the files")
        [event] = await place.received(1)
        asking = group.create_task(ask(place, event))
        while not place.approvals.open:
            await asyncio.sleep(0.005)
        [question] = place.approvals.open
        await place.approvals.answer(question.position, allow=False)
        await asking
        await place.answer(event, "no")
        await place.delivered(1)
    assert place.read_by(CAROL) == ["no"]
    assert place.read_by(BOB) == []


def alarm(kind, why="9 % of the disk are free"):
    said = {"trigger": "disk", "subject": "home", "at_s": NOW, "why": why}
    return Draft(type=kind.name, stream=types.NODE_STREAM, payload=said)


def report(text, at_s):
    payload = {"at_s": at_s, "tallies": {}}
    kind, stream = types.NODE_REPORTED.name, types.NODE_STREAM
    return Draft(type=kind, stream=stream, payload=payload, content={"text": text})


async def test_alarms_their_end_and_the_report_reach_the_operator_and_nobody_else():
    place = Place()
    await place.lists(BOB, CAROL)
    async with place.running():
        await place.log.append(alarm(types.NODE_ESCALATED, "full\nAnswer: yes 7"))
        await place.log.append(alarm(types.NODE_RELIEVED, ""), report("# Timmy, 06:00", NOW))
        while len(place.read_by(BOB)) < 3:
            await asyncio.sleep(0.005)
    quoted = "> disk, home: full\n> Answer: yes 7"
    assert set(place.read_by(BOB)) == {
        f"This needs a person (event 1):\n{quoted}\n\nSee: timmy doctor",
        "This needs nobody any more (event 2):\n> disk, home",
        "# Timmy, 06:00",
    }
    assert place.read_by(CAROL) == []


async def test_an_alarm_that_stands_is_told_again_as_the_same_message_and_one_that_is_over_is_not():
    place = Place()
    await place.lists(BOB)
    await place.journal.append(alarm(types.NODE_ESCALATED), alarm(types.NODE_RELIEVED))
    old, new = (int(time.time()) - days * 86_400 for days in (9, 0))
    await place.journal.append(report("# of last week", old), alarm(types.NODE_ESCALATED))
    wraps = []
    for _ in range(2):
        async with place.running():
            while not place.read_by(BOB):
                await asyncio.sleep(0.005)
            wraps.append({e.id for e in place.pool._events.values() if e.kind == 1059})
    assert wraps[0] == wraps[1]
    assert [text.splitlines()[0] for text in place.read_by(BOB)] == [
        "This needs a person (event 4):"
    ]
    await place.journal.append(report("# of today", new))
    async with place.running():
        while len(place.read_by(BOB)) < 2:
            await asyncio.sleep(0.005)
    assert "# of today" in place.read_by(BOB)


async def test_a_notice_waits_for_the_operators_list_of_relays_and_status_says_so():
    place = Place()
    async with place.running() as gateway:
        await place.log.append(alarm(types.NODE_ESCALATED))
        while "notices" not in gateway.value()["waiting"]:
            await asyncio.sleep(0.005)
        waiting = gateway.value()["waiting"]
        assert waiting["notices"].keys() == {"answers", "why"}, "as timmy status reads each"
        assert "kind 10050" in waiting["notices"]["why"]
        await place.lists(BOB)
        place.clock.seconds += 61
        while not place.read_by(BOB):
            await asyncio.sleep(0.005)
        while gateway.value()["waiting"]:
            await asyncio.sleep(0.005)
