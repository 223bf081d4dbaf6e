"""Real agent processes over real socket pairs: whatever they do, nothing is lost or doubled."""

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from ledger.core import types
from ledger.core.event import Draft
from runtime.connection import ConnectionLimits
from runtime.core.bounds import TurnBounds
from runtime.core.crisis import ANSWER
from runtime.core.errors import NoAnswer
from runtime.core.session import SessionLimits
from runtime.sandbox import Child, SandboxError, SandboxLimits, detect, spawn
from runtime.service import APOLOGIES
from tests.runtime.world import LIMITS, World, a_world, bare, running, tree_of, until


async def test_a_message_is_answered_and_written_down_once(world: World, tmp_path: Path):
    asked = await world.say("what do you know about owls")
    async with running(world.host(tree_of(tmp_path))) as host:
        answer = await host.answer_to(asked.position)
    assert world.text_of(answer) == "a reply"
    assert [event.type for event in world.log.events(asked.position)] == [
        "message.received",
        "turn.started",
        "memory.recalled",
        "model.requested",
        "model.replied",
        "message.sent",
        "turn.finished",
    ]
    assert len(world.provider.requests) == 1
    assert world.provider.requests[0]["messages"][-1] == {
        "role": "user",
        "content": "what do you know about owls",
    }
    assert {event.stream for event in world.log.events(asked.position)} == {asked.stream}
    assert host.lives == 1


async def test_what_was_said_before_is_referred_to_not_copied(world: World, tmp_path: Path):
    async with running(world.host(tree_of(tmp_path))) as host:
        first = await world.say("my cat is called Minka")
        reply = await host.answer_to(first.position)
        second = await world.say("what is her name")
        await host.answer_to(second.position)
    requested = world.of(types.MODEL_REQUESTED.name)[-1]
    refs = [item["ref"] for item in requested.payload["items"] if "ref" in item]
    assert refs == [first.position, reply.position, second.position]
    assert b"Minka" not in requested.record.payload
    said = [message["content"] for message in world.provider.requests[-1]["messages"]]
    assert said[-3:] == ["my cat is called Minka", "a reply", "what is her name"]


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("how", ["crash_before", "crash_after"])
async def test_a_crash_at_any_step_repeats_nothing(
    world: World, tmp_path: Path, how: str, step: int
):
    asked = await world.say("hello owl")
    async with running(world.host(tree_of(tmp_path, "once", f"{how} {step} 1"))) as host:
        answer = await host.answer_to(asked.position)
        await until(lambda: host.lives >= 2)
    assert world.text_of(answer) == "a reply"
    assert len(world.provider.requests) == 1
    assert len(world.of(types.MODEL_REQUESTED.name)) == 1
    world.check_nothing_doubled()
    attempts = [event.payload["attempt"] for event in world.of(types.TURN_STARTED.name)]
    assert attempts == ([1] if (how, step) == ("crash_after", 2) else [1, 2])


@pytest.mark.parametrize(
    "how",
    [
        "hang",
        "garbage",
        "huge",
        "unknown_type",
        "flood",
        "call_number",
        "other_turn",
        "other_step",
        "two_at_once",
    ],
)
async def test_an_agent_that_lies_hangs_or_floods_is_replaced(
    world: World, tmp_path: Path, how: str
):
    asked = await world.say("hello owl")
    async with running(world.host(tree_of(tmp_path, "once", f"{how} 2 1"))) as host:
        answer = await host.answer_to(asked.position)
        await until(lambda: host.lives >= 2)
    assert world.text_of(answer) == "a reply"
    assert len(world.provider.requests) == 1
    world.check_nothing_doubled()


async def test_a_model_call_under_way_at_a_crash_is_finished_and_used(world: World, tmp_path: Path):
    world.provider.gate.clear()
    asked = await world.say("hello owl")
    async with running(world.host(tree_of(tmp_path, "once", "crash_after 1 1"))) as host:
        await until(lambda: world.provider.requests)
        await asyncio.sleep(0.2)  # the process is long dead
        world.provider.gate.set()
        assert world.text_of(await host.answer_to(asked.position)) == "a reply"
    assert len(world.provider.requests) == 1


async def test_a_turn_that_always_kills_is_given_up_and_the_user_told(world: World, tmp_path: Path):
    asked = await world.say("poison")
    async with running(world.host(tree_of(tmp_path, "once", "crash_before 1 3"))) as host:
        answer = await host.answer_to(asked.position)
        assert world.text_of(answer) == APOLOGIES["failed"]
        after = await world.say("and now", conversation="elsewhere")
        assert world.text_of(await host.answer_to(after.position)) == "a reply"
    [finished, _] = world.of(types.TURN_FINISHED.name)
    assert (finished.payload["outcome"], finished.payload["reason"]) == ("failed", "crashed")
    assert [e.payload["attempt"] for e in world.of(types.TURN_STARTED.name)] == [1, 2, 3, 1]
    world.check_nothing_doubled()


async def test_a_poisoned_turn_does_not_take_the_others_with_it(world: World, tmp_path: Path):
    words = ["poison", "hello", "good day", "good night"]
    messages = [await world.say(text, conversation=text) for text in words]
    async with running(world.host(tree_of(tmp_path, "poison"))) as host:
        answers = [await host.answer_to(message.position) for message in messages]
    texts = [world.text_of(answer) for answer in answers]
    assert texts == [APOLOGIES["failed"], "a reply", "a reply", "a reply"]
    world.check_nothing_doubled()
    assert host.lives == 4


async def test_one_conversation_is_answered_in_order(world: World, tmp_path: Path):
    messages = [await world.say(f"number {n}") for n in range(5)]
    async with running(world.host(tree_of(tmp_path))) as host:
        answers = [await host.answer_to(message.position) for message in messages]
    assert [answer.payload["message"] for answer in world.of(types.MESSAGE_SENT.name)] == [
        message.position for message in messages
    ]
    assert sorted(answer.position for answer in answers) == [a.position for a in answers]
    last = world.provider.requests[-1]["messages"]
    talk = [message["content"] for message in last if message["role"] in ("user", "assistant")]
    assert talk == [word for n in range(5) for word in (f"number {n}", "a reply")][:-1]


async def test_conversations_do_not_wait_for_each_other(world: World, tmp_path: Path):
    world.provider.gate.clear()
    async with running(world.host(tree_of(tmp_path))) as host:
        await world.say("slow", conversation="a")
        await world.say("slow too", conversation="b")
        await until(lambda: len(world.provider.requests) >= 2)
        world.provider.gate.set()
        for message in world.of(types.MESSAGE_RECEIVED.name):
            await host.answer_to(message.position)


async def test_a_new_host_on_the_same_log_goes_on_where_the_old_one_was(tmp_path: Path):
    async with a_world() as first:
        asked = await first.say("hello owl")
        tree = tree_of(tmp_path, "once", "hang 2 1")
        async with running(first.host(tree)):
            await until(lambda: first.of(types.MODEL_REPLIED.name))
        assert first.of(types.MESSAGE_SENT.name) == []
        async with a_world(first.log) as second:
            async with running(second.host(tree)) as host:
                answer = await host.answer_to(asked.position)
            assert second.text_of(answer) == "a reply"
            assert (len(first.provider.requests), len(second.provider.requests)) == (1, 0)
            second.check_nothing_doubled()


async def test_a_model_call_cut_off_by_a_stop_is_asked_again(world: World, tmp_path: Path):
    world.provider.gate.clear()
    asked = await world.say("hello owl")
    tree = tree_of(tmp_path)
    async with running(world.host(tree)):
        await until(lambda: world.provider.requests)
    world.provider.gate.set()
    async with running(world.host(tree)) as host:
        assert world.text_of(await host.answer_to(asked.position)) == "a reply"
    assert len(world.of(types.MODEL_REQUESTED.name)) == 1
    assert [event.payload["attempt"] for event in world.of(types.TURN_STARTED.name)] == [1]
    world.check_nothing_doubled()


async def test_other_arguments_for_a_step_on_record_end_the_turn(world: World, tmp_path: Path):
    asked = await world.say("hello")
    async with running(world.host(tree_of(tmp_path, "fickle"))) as host:
        answer = await host.answer_to(asked.position)
    assert world.text_of(answer) == APOLOGIES["diverged"]
    [finished] = world.of(types.TURN_FINISHED.name)
    assert finished.payload["outcome"] == "diverged"


async def test_a_turn_ends_at_its_step_limit(world: World, tmp_path: Path):
    asked = await world.say("hello")
    world.service.bounds = lambda: TurnBounds(steps=7)
    async with running(world.host(tree_of(tmp_path, "endless"))) as host:
        answer = await host.answer_to(asked.position)
    assert world.text_of(answer) == APOLOGIES["failed"]
    assert len(world.of(types.RECALLED.name)) == 7
    assert host.lives == 1


@pytest.mark.parametrize("op", ["answer", "fail"])
async def test_a_refused_last_step_ends_the_turn_at_once(world: World, tmp_path: Path, op: str):
    asked = await world.say("refuse this")
    async with running(world.host(tree_of(tmp_path, "stubborn", op))) as host:
        answer = await host.answer_to(asked.position)
        assert world.text_of(answer) == APOLOGIES["failed"]
        after = await world.say("and now")
        assert world.text_of(await host.answer_to(after.position)) == "heard: and now"
    [finished, _] = world.of(types.TURN_FINISHED.name)
    assert (finished.payload["outcome"], finished.payload["reason"]) == ("failed", "refused")
    assert host.lives == 1
    world.check_nothing_doubled()


async def test_a_refused_step_that_nobody_looks_at_fails_its_turn_and_no_other(
    world: World, tmp_path: Path
):
    """It was dropped: the turn's user waited until its time was over."""
    asked = await world.say("refuse this")
    async with running(world.host(tree_of(tmp_path, "careless"))) as host:
        told = world.text_of(await host.answer_to(asked.position))
        assert told == APOLOGIES["failed"]
        after = await world.say("and now")
        assert world.text_of(await host.answer_to(after.position)) == "heard: and now"
    [finished, _] = world.of(types.TURN_FINISHED.name)
    assert (finished.payload["outcome"], finished.payload["reason"]) == ("failed", "refused")
    assert host.lives == 1
    world.check_nothing_doubled()


async def test_an_agent_that_does_not_read_is_replaced(world: World, tmp_path: Path):
    note = {"kind": "fact", "turn": bytes(16), "step": 0, "op": "remember", "args": bytes(32)}
    for number in range(20):
        noted = Draft(
            type=types.MEMORY_NOTED.name,
            stream=bytes(16),
            payload={**note, "step": number},
            content={"text": "plover " + "x" * 1_990},
        )
        await world.journal.append(noted)
    asked = await world.say("hello owl")
    world.service.bounds = lambda: TurnBounds(seconds=60.0)
    session = replace(LIMITS.connection.session, pong_s=60.0)
    connection = replace(LIMITS.connection, session=session, unread_bytes=1)
    limits = replace(LIMITS, connection=connection)
    with structlog.testing.capture_logs() as logs:
        async with running(world.host(tree_of(tmp_path, "unread"), limits)) as host:
            answer = await host.answer_to(asked.position)
    assert world.text_of(answer) == APOLOGIES["diverged"]  # the next life asks for other things
    reasons = [log["reason"] for log in logs if log["event"] == "agent ended"]
    assert "bytes unread, at most 1;" in reasons[0]


@pytest.mark.parametrize("error", [OSError("no more processes"), SandboxError("no bubblewrap")])
async def test_a_process_that_cannot_be_started_is_tried_again(
    world: World, tmp_path: Path, error: Exception
):
    asked = await world.say("hello owl")
    errors = [error, error]

    async def flaky(tree: Path, channel: socket.socket) -> Child:
        if errors:
            raise errors.pop()
        return await bare(tree, channel)

    async with running(world.host(tree_of(tmp_path), spawn=flaky)) as host:
        assert world.text_of(await host.answer_to(asked.position)) == "a reply"
    assert host.lives == 3


async def test_a_cancelled_host_ends_whatever_its_agent_does(world: World, tmp_path: Path):
    """Also in the moment in which the agent dies, and while it starts."""
    await world.say("poison")
    tree = tree_of(tmp_path, "poison")
    limits = replace(LIMITS, attempts=1_000, backoff_first_s=0.001, backoff_max_s=0.001)
    for number in range(20):
        host = world.host(tree, limits)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02 * number):
                await host.run()


async def test_an_agent_that_never_gets_ready_leaves_nobody_waiting(world: World, tmp_path: Path):
    asked = await world.say("hello")
    connection = ConnectionLimits(session=SessionLimits(handshake_s=0.2), tick_s=0.02)
    limits = replace(LIMITS, connection=connection, failed_starts=2)
    async with running(world.host(tree_of(tmp_path, "deaf", "never_ready"), limits)) as host:
        answer = await host.answer_to(asked.position)
    assert world.text_of(answer) == APOLOGIES["failed"]


async def test_an_agent_that_will_not_stop_is_stopped(world: World, tmp_path: Path):
    limits = replace(LIMITS, connection=replace(LIMITS.connection, stop_s=0.2))
    async with running(world.host(tree_of(tmp_path, "deaf", "never_stops"), limits)) as host:
        asked = await world.say("hello")
        await host.answer_to(asked.position)
    assert host.lives == 1


async def test_erased_words_leave_the_process(world: World, tmp_path: Path):
    secret = await world.say("my secret is plover")
    async with running(world.host(tree_of(tmp_path, "confesses"))) as host:
        before = await host.answer_to(secret.position)
        assert "plover" in world.text_of(before)
        targets = [secret.position, before.position]
        await world.log.append(world.log.redaction(targets, reason="asked", actor="ann"))
        await until(lambda: host.lives >= 2)
        after = await world.say("what do you know")
        assert "plover" not in world.text_of(await host.answer_to(after.position))


async def test_an_erased_message_ends_without_an_answer(world: World, tmp_path: Path):
    asked = await world.say("my secret is plover")
    await world.log.append(world.log.redaction([asked.position], reason="asked", actor="ann"))
    async with running(world.host(tree_of(tmp_path))) as host:
        with pytest.raises(NoAnswer, match="no_words"):
            await host.answer_to(asked.position)
    assert world.provider.requests == []


async def test_words_of_a_held_author_never_reach_the_agent(world: World, tmp_path: Path):
    async with running(world.host(tree_of(tmp_path, "confesses"))) as host:
        crisis = await world.say("i want to kill myself")
        assert world.text_of(await host.answer_to(crisis.position)) == ANSWER
        later = await world.say("plover, never mind")
        assert world.text_of(await host.answer_to(later.position)) == ANSWER
        other = await world.say("what was said here", author="bob")
        heard = world.text_of(await host.answer_to(other.position))
        assert "kill" not in heard
        assert "plover" not in heard
        await world.gateway.release(author="ann", by="operator")
        back = await world.say("i am back")
        assert "i am back" in world.text_of(await host.answer_to(back.position))
    held_turns = {event.payload["message"] for event in world.of(types.TURN_STARTED.name)}
    assert held_turns == {other.position, back.position}


async def test_a_turn_under_way_ends_when_its_author_is_held(world: World, tmp_path: Path):
    world.provider.gate.clear()
    async with running(world.host(tree_of(tmp_path))) as host:
        first = await world.say("hello owl")
        await until(lambda: world.provider.requests)
        await world.say("i am going to end my life")
        assert world.text_of(await host.answer_to(first.position)) == ANSWER
        world.provider.gate.set()
        other = await world.say("hello", conversation="b", author="bob")
        assert world.text_of(await host.answer_to(other.position)) == "a reply"
        assert host.lives == 1
    world.check_nothing_doubled()


async def test_a_turn_under_way_in_another_conversation_ends_too(world: World, tmp_path: Path):
    world.provider.gate.clear()
    async with running(world.host(tree_of(tmp_path))) as host:
        first = await world.say("hello owl", conversation="a")
        await until(lambda: world.provider.requests)
        waiting = await world.say("hello badger", conversation="a")
        await world.say("i am going to end my life", conversation="b")
        for message in (first, waiting):
            assert world.text_of(await host.answer_to(message.position)) == ANSWER
        world.provider.gate.set()
        other = await world.say("hello", conversation="a", author="bob")
        assert world.text_of(await host.answer_to(other.position)) == "a reply"
        assert host.lives == 1
    ended = {event.payload["message"]: event for event in world.of(types.TURN_FINISHED.name)}
    assert ended[first.position].payload["outcome"] == "held"
    world.check_nothing_doubled()


async def test_the_engine_this_machine_has_runs_the_agent(world: World, tmp_path: Path):
    engine = await detect()

    async def sandboxed(tree: Path, channel: socket.socket) -> Child:
        return await spawn(tree, channel, limits=SandboxLimits(), engine=engine)

    async with running(world.host(tree_of(tmp_path), spawn=sandboxed)) as host:
        asked = await world.say("hello owl")
        assert world.text_of(await host.answer_to(asked.position)) == "a reply"
    assert host.lives == 1


async def test_the_next_turn_waits_until_the_agent_heard_of_the_last(world: World, tmp_path: Path):
    first, second = await world.say("one"), await world.say("two")
    pending = world.journal.turns.pending[first.position]
    await world.service.give_up(pending, "failed", "crashed")
    connection = world.host(tmp_path)._connection()
    given = []
    for connection._streamed_to in range(world.log.size + 1):
        message = connection._next_message()
        given.append(None if message is None else message.position)
    assert given == [None] * world.log.size + [second.position]


@pytest.mark.parametrize("flying", [0, 1])
async def test_a_suspect_turn_and_a_fresh_one_are_never_given_together(
    world: World, tmp_path: Path, flying: int
):
    positions = [(await world.say("hello", conversation=room)).position for room in "ab"]
    messages = [world.journal.turns.pending[position] for position in positions]
    host = world.host(tmp_path)
    turns = [world.service.turn_of(message) for message in messages]
    host._crashes = {turns[0]: 1}
    connection = host._connection()
    connection._streamed_to = world.log.size
    assert connection._next_message() == messages[0]
    connection._session.give(turns[flying], positions[flying], TurnBounds(), 0.0)
    assert connection._next_message() is None
    connection._session.end(turns[flying])
    assert connection._next_message() == messages[0]


async def test_an_agent_that_begins_anew_is_given_its_turn_again(world: World, tmp_path: Path):
    """What it waited for is given up, and it is no bad end: the attempt is the same."""
    world.provider.gate.clear()
    async with running(world.host(tree_of(tmp_path))) as host:
        asked = await world.say("hello")
        await until(lambda: world.provider.requests)
        host.begin_anew()
        await until(lambda: host.lives == 2)
        world.provider.gate.set()
        assert world.text_of(await host.answer_to(asked.position)) == "a reply"
    assert [event.payload["attempt"] for event in world.of(types.TURN_STARTED.name)] == [1]
    world.check_nothing_doubled()
