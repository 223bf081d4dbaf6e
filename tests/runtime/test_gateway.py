"""What comes in: bounds, idempotency, the crisis screen, holds; before any agent process runs."""

import asyncio

import pytest

from ledger.core import types
from ledger.core.errors import IdempotencyConflict
from ledger.core.event import Draft
from runtime.core.calls import gateway_key
from runtime.core.crisis import ANSWER
from runtime.core.errors import MessageRefused
from runtime.core.limits import TEXT_BYTES_MAX
from runtime.gateway import Gateway
from runtime.journal import Journal
from tests.runtime.world import World

KEY = bytes(16)


async def receive(world: World, text: str, **more):
    settings = {"conversation": "home", "author": "ann", "gateway": "test", **more}
    return await world.gateway.receive(text, **settings)


async def test_a_message_is_recorded_with_its_words_apart(world: World):
    event = await receive(world, "hello")
    assert event.content == {"text": "hello"}
    assert b"hello" not in event.record.payload
    assert world.journal.turns.pending[event.position].author == "ann"


async def test_a_conversation_is_one_stream_and_names_nobody(world: World):
    first, second = await receive(world, "a"), await receive(world, "b")
    other = await receive(world, "c", conversation="elsewhere")
    assert first.stream == second.stream != other.stream
    assert len({first.stream, other.stream, bytes(16)}) == 3


async def test_the_same_key_is_the_same_message(world: World):
    first = await receive(world, "hello", idempotency_key=KEY)
    again = await receive(world, "hello", idempotency_key=KEY)
    assert again.position == first.position
    with pytest.raises(IdempotencyConflict):
        await receive(world, "other words", idempotency_key=KEY)
    assert len(world.of(types.MESSAGE_RECEIVED.name)) == 1


async def test_the_same_key_sent_at_once_from_many_is_one_message(world: World):
    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(receive(world, "hello", idempotency_key=KEY))
    assert len(world.of(types.MESSAGE_RECEIVED.name)) == 1


@pytest.mark.parametrize("text", ["", " \n\t", "\ud800", "x" * (TEXT_BYTES_MAX + 1)])
async def test_words_out_of_bounds_are_refused(world: World, text: str):
    with pytest.raises(MessageRefused):
        await receive(world, text)
    assert world.log.size == 1


async def test_a_message_too_long_is_told_both_numbers(world: World):
    with pytest.raises(MessageRefused, match=r"message of 2000000 bytes, at most 1047552"):
        await receive(world, "x" * 2_000_000)


@pytest.mark.parametrize("name", ["conversation", "author", "gateway"])
@pytest.mark.parametrize("value", ["", "x" * 129, "a\nb", "\ud800"])
async def test_names_out_of_bounds_are_refused(world: World, name: str, value: str):
    with pytest.raises(MessageRefused, match=name):
        await receive(world, "hello", **{name: value})


async def test_a_crisis_is_answered_before_anything_else_happens(world: World):
    event = await receive(world, "i want to kill myself")
    decided, answer = list(world.log.events(event.position + 1))
    assert (decided.type, decided.payload["action"]) == ("policy.decided", "hold")
    assert not decided.has_content
    assert answer.content == {"text": ANSWER}
    assert answer.payload["message"] == event.position
    turns = world.journal.turns
    assert turns.held("ann")
    assert turns.pending == {}
    assert event.position in turns.withheld


async def test_a_held_author_gets_the_fixed_words_until_released(world: World):
    await receive(world, "i want to kill myself")
    later = await receive(world, "what is the time")
    assert world.of(types.MESSAGE_SENT.name)[-1].payload["message"] == later.position
    assert world.of(types.POLICY_DECIDED.name)[-1].payload["action"] == "held"
    other = await receive(world, "what is the time", author="bob")
    assert set(world.journal.turns.pending) == {other.position}
    await world.gateway.release(author="ann", by="operator")
    after = await receive(world, "thank you")
    assert after.position in world.journal.turns.pending
    assert later.position in world.journal.turns.withheld


async def test_a_hold_is_on_the_author_in_every_conversation(world: World):
    waiting = await receive(world, "what is the time", conversation="b")
    await receive(world, "i want to kill myself")
    later = await receive(world, "and now?", conversation="c")
    sent = {event.payload["message"]: event for event in world.of(types.MESSAGE_SENT.name)}
    for message in (waiting, later):
        assert sent[message.position].content == {"text": ANSWER}
        assert sent[message.position].payload["conversation"] == message.payload["conversation"]
    assert later.position in world.journal.turns.withheld
    assert waiting.position not in world.journal.turns.withheld
    await world.gateway.release(author="ann", by="operator")
    after = await receive(world, "thank you", conversation="c")
    assert after.position in world.journal.turns.pending


async def test_a_release_says_where_the_hold_began(world: World):
    crises = [
        await receive(world, "i want to kill myself", conversation=room) for room in ("b", "c", "b")
    ]
    began = {"b": crises[0].position, "c": crises[1].position}
    assert dict(world.journal.turns.holds) == {"ann": began}
    released = await world.gateway.release(author="ann", by="operator")
    assert released.stream == crises[0].stream
    assert dict(world.journal.turns.holds) == {}


async def test_a_release_by_an_earlier_version_lifts_what_began_in_its_conversation(world: World):
    for room in ("b", "c"):
        await receive(world, "i want to kill myself", conversation=room)
    for room, held in (("d", True), ("b", True), ("c", False)):
        payload = {"conversation": room, "author": "ann", "by": "operator"}
        draft = Draft(type=types.POLICY_RELEASED.name, stream=bytes(16), payload=payload)
        await world.log.append(draft)
        assert world.journal.turns.held("ann") is held


async def test_nobody_is_released_who_is_not_held(world: World):
    with pytest.raises(MessageRefused, match="not held"):
        await world.gateway.release(author="ann", by="operator")


async def test_a_message_resent_does_not_hold_again_after_release(world: World):
    await receive(world, "i want to kill myself", idempotency_key=KEY)
    await world.gateway.release(author="ann", by="operator")
    await receive(world, "i want to kill myself", idempotency_key=KEY)
    assert not world.journal.turns.held("ann")
    assert len(world.of(types.MESSAGE_SENT.name)) == 1


async def test_a_crash_between_message_and_answer_changes_nothing(world: World):
    """The message alone is durable: the hold stands, and the next start gives the answer."""
    [event] = await world.log.append(
        Draft(
            type=types.MESSAGE_RECEIVED.name,
            stream=bytes(16),
            payload={"conversation": "c", "author": "a", "gateway": "g", "screen": "crisis"},
            content={"text": "i want to kill myself"},
        )
    )
    journal = Journal(world.log)
    assert journal.turns.held("a")
    assert journal.turns.next_messages() == []
    await Gateway(journal).settle()
    await Gateway(journal).settle()
    [answer] = world.of(types.MESSAGE_SENT.name)
    assert answer.payload["message"] == event.position


async def test_a_message_without_a_verdict_is_not_given_to_the_agent(world: World):
    await world.log.append(
        Draft(
            type=types.MESSAGE_RECEIVED.name,
            stream=bytes(16),
            payload={"conversation": "c", "author": "a", "gateway": "g"},
            content={"text": "hello"},
        )
    )
    assert world.journal.turns.next_messages() == []


async def test_a_receiver_that_is_cancelled_leaves_no_half_decision(world: World):
    async def one(n: int) -> None:
        await receive(world, "i want to kill myself" if n % 2 else "hello", author=f"a{n % 3}")

    for delay in range(12):
        task = asyncio.ensure_future(one(delay))
        for _ in range(delay):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await world.gateway.settle()
    world.check_nothing_doubled()
    answered = {event.payload["message"] for event in world.of(types.MESSAGE_SENT.name)}
    crises = {
        event.position
        for event in world.of(types.MESSAGE_RECEIVED.name)
        if event.payload["screen"] == "crisis"
    }
    assert crises <= answered


async def test_a_message_resent_keeps_the_verdict_of_the_rules_of_then(world: World):
    [first] = await world.log.append(
        Draft(
            type=types.MESSAGE_RECEIVED.name,
            stream=bytes(16),
            payload={"conversation": "home", "author": "ann", "gateway": "test", "screen": "pass"},
            content={"text": "i want to kill myself"},
            idempotency_key=gateway_key(KEY),
        )
    )
    again = await receive(world, "i want to kill myself", idempotency_key=KEY)
    assert again.position == first.position


# ---- memories ------------------------------------------------------------------------------------


async def test_a_memory_is_recorded_with_the_screens_verdict(world: World):
    event = await world.gateway.note("Ada has a kettle", author="operator", gateway="test")
    assert (event.type, event.content) == ("memory.noted", {"text": "Ada has a kettle"})
    assert event.payload["screen"] == "pass"
    assert b"kettle" not in event.record.payload
    assert world.recall.words(event.position) == "Ada has a kettle"
    [hit] = await world.recall.find("kettle", 3, before=world.log.size)
    assert hit.position == event.position


async def test_a_memory_that_meets_the_screen_is_shown_to_nobody_and_holds_nobody(world: World):
    event = await world.gateway.note("i want to kill myself", author="ann", gateway="test")
    turns = world.journal.turns
    assert event.payload["screen"] == "crisis"
    assert event.position in turns.withheld
    assert world.recall.words(event.position) is None
    assert not turns.held("ann")
    assert world.of(types.MESSAGE_SENT.name) == []


async def test_what_a_held_author_gives_to_remember_is_withheld(world: World):
    await receive(world, "i want to kill myself")
    event = await world.gateway.note("plover", author="ann", gateway="test")
    other = await world.gateway.note("plover", author="bob", gateway="test")
    withheld = world.journal.turns.withheld
    assert (event.position in withheld, other.position in withheld) == (True, False)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "memory is blank"),
        (" \n\t", "memory is blank"),
        ("\ud800", "half a surrogate"),
        ("x" * 65_537, "memory of 65537 bytes, at most 65536"),
    ],
)
async def test_memories_out_of_bounds_are_refused(world: World, text: str, named: str):
    with pytest.raises(MessageRefused, match=named):
        await world.gateway.note(text, author="operator", gateway="test")
    assert world.log.size == 1


# ---- memories with a key -------------------------------------------------------------------------


async def note(world: World, text: str, **more):
    return await world.gateway.note(text, author="ann", gateway="test", **more)


async def test_a_memory_that_is_sent_again_is_one_memory(world: World):
    first = await note(world, "the roof leaks", idempotency_key=KEY)
    async with asyncio.TaskGroup() as group:
        again = [
            group.create_task(note(world, "the roof leaks", idempotency_key=KEY)) for _ in range(9)
        ]
    assert {task.result().position for task in again} == {first.position}
    with pytest.raises(IdempotencyConflict):
        await note(world, "other words", idempotency_key=KEY)
    with pytest.raises(MessageRefused, match="3 bytes"):
        await note(world, "the roof leaks", idempotency_key=b"key")
    assert len(world.of(types.MEMORY_NOTED.name)) == 1
    await note(world, "the roof leaks")
    await note(world, "the roof leaks")
    assert len(world.of(types.MEMORY_NOTED.name)) == 3


async def test_a_memory_that_earlier_rules_passed_is_the_same_memory_when_sent_again(world: World):
    """Its verdict is a fact of the event: newer rules do not make it another body."""
    words = "i want to kill myself"
    [first] = await world.journal.append(
        Draft(
            type=types.MEMORY_NOTED.name,
            stream=types.MEMORY_STREAM,
            payload={"kind": "given", "author": "ann", "gateway": "test", "screen": "pass"},
            content={"text": words},
            idempotency_key=gateway_key(KEY),
        )
    )
    again = await note(world, words, idempotency_key=KEY)
    assert again.position == first.position
