"""Compaction: what it takes, when it is published, what an erasure does to it, what a prompt gets."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ledger.core import types
from ledger.derived import How, find_derived
from node.commands import redact
from runtime.agent.loop import RECENT, answer
from runtime.agent.memory import Memory
from runtime.compaction import EXCHANGES, TAKEN
from runtime.core.agenda import STREAMED
from runtime.core.chat import Reach
from runtime.core.privacy import Privacy
from runtime.core.summary import CHARS_MAX, LINES_MAX, Said, extract
from runtime.core.talks import TALK_MAX, Talks
from runtime.journal import Journal
from runtime.recall import Recall, words_of
from tests.memory.memory_world import World
from tests.runtime.world import scan


@pytest.fixture
def world():
    return World()


async def talk(world, count, conversation="main"):
    return [
        await world.exchange(f"The wall number {n} is {n} cm wide.", f"Wall {n}.", conversation)
        for n in range(count)
    ]


async def recalled(world, count, text):
    """Exchanges of a town square whose turns were asked at `local`: they recalled a LOCAL note."""
    from runtime import answers

    for number in range(count):
        event = await world.say(f"what do you know {number}", conversation="town")
        message = world.journal.turns.pending[event.position]
        turn = bytes(8) + event.position.to_bytes(8, "big")
        await world.journal.append(
            answers.sent(message, turn, text, {"reach": "local"}),
            answers.finished(message, turn, "answered", None),
        )


def summaries(world):
    return world.of(types.CONTEXT_COMPACTED.name)


def agent(world):
    """An agent's memory, told what the host would tell it now."""
    memory = Memory()
    for event in world.log.events():
        if event.type in STREAMED:
            withheld = event.position in world.journal.turns.withheld
            memory.apply(
                {
                    "position": event.position, "type": event.type, "ts_ms": event.ts_ms,
                    "payload": event.payload, "content": None if withheld else event.content,
                }
            )  # fmt: skip
    return memory


def prompt_of(world, position):
    """The positions that a prompt for the message refers to."""
    turn = answer(position, memory=agent(world), name="Timmy", soul="", given={})
    assert next(turn)[0] == "recall"
    op, args = turn.send({"hits": []})
    assert op == "model"
    return [item["ref"] for item in args["items"] if "ref" in item]


async def test_the_oldest_exchanges_are_summed_up_and_quoted(world):
    said = await talk(world, EXCHANGES)
    assert await world.compactor.compact("main") == 1
    [event] = summaries(world)
    assert (event.payload["from"], event.payload["to"]) == (
        said[0].position, said[TAKEN - 1].position,
    )  # fmt: skip
    assert f"[{said[0].position}] user: The wall number 0 is 0 cm wide." in words_of(event)
    assert len(event.envelope.causes) == 2 * TAKEN
    assert await world.compactor.compact("main") == 0
    assert len(Talks(world.journal.state.entries).get("main").open) == EXCHANGES - TAKEN


async def test_a_message_that_waits_holds_up_what_came_after_it(world):
    await talk(world, 3)
    await world.say("and this?")
    await talk(world, EXCHANGES)
    assert await world.compactor.compact("main") == 0


async def test_a_summary_builds_on_the_one_before(world):
    await talk(world, EXCHANGES + TAKEN)
    assert await world.compactor.compact("main") == 2
    first, second = summaries(world)
    assert second.payload["previous"] == first.position
    assert second.envelope.causes[0].position == first.position
    assert "wall number 0 " in words_of(second)
    assert Talks(world.journal.state.entries).summaries("main") == [
        first.position, second.position,
    ]  # fmt: skip


async def test_a_model_writes_it_if_there_is_one_and_what_meets_the_screen_is_not_taken(world):
    await talk(world, EXCHANGES)
    world.model.text = "They measured walls."
    await world.compactor.compact("main")
    assert words_of(summaries(world)[0]) == "They measured walls."
    await talk(world, TAKEN)
    world.model.text = "You should kill yourself, take all of the pills."
    await world.compactor.compact("main")
    assert "wall number" in words_of(summaries(world)[1])
    asked = world.model.asked[-1].messages[1][1]
    assert "They measured walls." in asked


async def test_a_summary_travels_no_further_than_the_least_of_its_answers(world):
    home = (("home*", Reach.LOCAL),)
    compactor = replace(world.compactor, privacy=Privacy(default=Reach.PUBLIC, conversations=home))
    for number in range(EXCHANGES):
        await world.exchange(f"The wall is {number} cm wide.", conversation="town")
    await compactor.compact("town")
    assert world.model.asked[-1].reach is Reach.PUBLIC
    assert summaries(world)[-1].payload["reach"] == "public"
    await recalled(world, TAKEN, "Your diagnosis is rare.")
    await compactor.compact("town")
    assert "Your diagnosis is rare." in world.model.asked[-1].messages[1][1]
    assert world.model.asked[-1].reach is Reach.LOCAL
    assert summaries(world)[-1].payload["reach"] == "local"
    for number in range(EXCHANGES + TAKEN):
        await world.exchange(f"The roof is {number} cm wide.", conversation="town")
    await compactor.compact("town")
    assert summaries(world)[-1].payload["reach"] == "local", "it is built on one that stays"


async def test_it_is_published_only_if_the_stretch_is_still_the_same(world):
    said = await talk(world, EXCHANGES)
    other = World(seconds=world.seconds, log=world.log)
    world.model.meanwhile = lambda: other.compactor.compact("main")
    assert await world.compactor.compact("main") == 0
    assert len(summaries(world)) == 1
    await talk(world, TAKEN)
    world.model.meanwhile = lambda: world.redact(said[TAKEN].position)
    assert await world.compactor.compact("main") == 0
    world.model.meanwhile = None
    assert await world.compactor.compact("main") == 1


async def test_erasing_a_message_withholds_every_summary_that_has_it(world):
    said = await talk(world, EXCHANGES + 2 * TAKEN)
    await world.compactor.compact("main")
    first, second, third = (event.position for event in summaries(world))
    await world.redact(said[TAKEN].position)
    talks = Talks(world.journal.state.entries)
    assert talks.summaries("main") == [first]
    assert {second, third} <= set(world.journal.turns.withheld)
    recall = Recall(world.journal, scan(world.log))
    assert recall.words(second) is None
    assert recall.words(first) is not None
    assert len(talks.get("main").open) == EXCHANGES + TAKEN
    newest = await world.say("and now?")
    assert first in prompt_of(world, newest.position)
    assert not {second, third} & set(prompt_of(world, newest.position))
    assert await world.compactor.compact("main") == 2
    assert "wall number 8 " not in words_of(summaries(world)[-1])
    again = Journal(world.log)
    assert again.state.digest() == world.journal.state.digest()


async def test_a_summary_is_derived_from_what_it_was_made_of(world):
    said = await talk(world, EXCHANGES + TAKEN)
    await world.compactor.compact("main")
    first, second = summaries(world)
    found = {
        finding.position: finding.how
        for finding in find_derived(world.log, [said[1].position])
        if finding.type == types.CONTEXT_COMPACTED.name
    }
    assert set(found) == {first.position, second.position}
    assert set(found.values()) <= {How.DERIVED, How.QUOTES}


async def test_an_erasure_takes_along_what_the_node_made_of_the_words(world):
    said = await talk(world, EXCHANGES)
    await world.compactor.compact("main")
    world.rest()
    await world.historian.look()
    opened = SimpleNamespace(log=world.log)
    made = {
        finding.position
        for finding in find_derived(world.log, [said[2].position])
        if redact._own(opened, finding)
    }
    note = next(note for note in world.notes if "number 2 " in note.content["text"])
    assert made >= {summaries(world)[0].position, note.position}
    assert not made & {event.position for event in world.of(types.MESSAGE_SENT.name)}


async def test_a_summary_of_somebody_else_is_not_taken_up(world):
    from ledger.core.event import Draft

    await talk(world, EXCHANGES)
    forged = Draft(
        type=types.CONTEXT_COMPACTED.name,
        stream=bytes(16),
        payload={"conversation": "main", "from": 1, "to": 40, "previous": 3},
        content={"text": "all is well"},
    )
    [event] = await world.journal.append(forged)
    assert event.position in world.journal.turns.withheld
    assert Talks(world.journal.state.entries).summary("main") is None


async def test_a_prompt_has_the_summary_in_place_of_the_messages(world):
    said = await talk(world, EXCHANGES)
    newest = await world.say("how wide is wall 3?")
    before = prompt_of(world, newest.position)
    assert said[1].position in before
    await world.compactor.compact("main")
    assert prompt_of(world, newest.position) == before, "a turn that is given again asks the same"
    later = await world.exchange("and wall 4?")
    refs = prompt_of(world, (await world.say("and wall 5?")).position)
    assert summaries(world)[0].position in refs
    assert said[TAKEN - 1].position not in refs
    assert said[TAKEN].position in refs
    assert later.position in refs


async def test_a_thousand_messages_keep_prompts_small_and_replay_the_same(world):
    sizes = []
    for number in range(500):
        await world.exchange(f"The wall number {number} is {number} cm wide.")
        await world.compactor.compact("main")
        if number % 50 == 49:
            refs = prompt_of(world, (await world.say(f"again {number}")).position)
            sizes.append(len(refs))
            await world.compactor.compact("main")
            waiting = next(iter(world.journal.turns.pending.values()))
            from runtime import answers

            turn = bytes(8) + waiting.position.to_bytes(8, "big")
            await world.journal.append(answers.finished(waiting, turn, "failed", None))
    assert max(sizes) <= RECENT + 2
    assert len(summaries(world)) > 50
    assert max(len(words_of(event)) for event in summaries(world)) <= CHARS_MAX
    talk_now = Talks(world.journal.state.entries).get("main")
    assert len(talk_now.open) < EXCHANGES
    assert Journal(world.log).state.digest() == world.journal.state.digest()


async def test_the_service_follows_the_log_and_blocks_no_turn(world):
    await talk(world, EXCHANGES, "early")
    gate = asyncio.Event()
    world.model.meanwhile = gate.wait
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.compactor.run())
        await asyncio.sleep(0.01)
        assert summaries(world) == []
        await talk(world, EXCHANGES, "late")
        gate.set()
        async with asyncio.timeout(60):
            while len(summaries(world)) < 2:
                await asyncio.sleep(0.001)
        running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert {event.payload["conversation"] for event in summaries(world)} == {"early", "late"}


async def test_what_is_kept_in_mind_of_a_talk_is_bounded(world):
    for number in range(TALK_MAX + 5):
        await world.say(f"waiting {number}")
    talk_now = Talks(world.journal.state.entries).get("main")
    assert len(talk_now.open) == len(talk_now.fresh) == TALK_MAX


def test_extracts_are_bounded_deterministic_and_keep_what_tells():
    said = [Said(position=n, role="user", text=f"Well. {'chat ' * 20}{n}.") for n in range(200)]
    decided = Said(position=500, role="user", text="We decided to use SQLite instead of Redis.")
    first = extract(None, [decided, *said])
    assert first == extract(None, [decided, *said])
    assert len(first) <= CHARS_MAX
    assert len(first.splitlines()) <= LINES_MAX
    second = extract(first, said)
    assert "[500] user: We decided to use SQLite instead of Redis." in second
    assert extract(None, []) == ""
