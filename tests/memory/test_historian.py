"""The historian: what it notes, that it notes it once, and what a model cannot make it believe."""

from dataclasses import replace

import pytest

from ledger.core import types
from ledger.core.errors import StoreError
from ledger.core.state import State
from runtime.core.memories import Memories, decayed, reduce_memories
from runtime.core.talks import Talks
from runtime.journal import Journal
from tests.memory.memory_world import World

DAY_S = 86_400


@pytest.fixture
def world():
    return World()


async def test_a_talk_is_read_once_it_rests_and_only_once(world):
    await world.say("My name is Mara.")
    said = await world.say("We decided to tile the north side first. Is that fine?")
    assert (await world.historian.look()).conversations == 0
    world.rest()
    tally = await world.historian.look()
    assert (tally.conversations, tally.noted) == (1, 2)
    assert [note.content["text"] for note in world.notes] == [
        "My name is Mara.", "We decided to tile the north side first.",
    ]  # fmt: skip
    note = world.notes[1]
    assert note.envelope.causes[0].position == said.position
    assert (note.payload["kind"], note.payload["by"]) == ("decision", "historian")
    size = world.log.size
    assert (await world.historian.look()).conversations == 0
    assert world.log.size == size
    [done] = world.of(types.MEMORY_DISTILLED.name)
    assert (done.payload["noted"], done.payload["mode"]) == (2, "rules")


async def test_a_lively_talk_is_read_without_a_rest(world):
    for number in range(20):
        await world.say(f"The wall is {number} cm wide.")
    assert (await world.historian.look()).noted == 20


async def test_two_that_look_at_once_note_it_once(world):
    await world.say("My name is Mara.")
    world.rest()
    again = World(seconds=world.seconds, log=world.log)
    world.model.meanwhile = again.historian.look
    await world.historian.look()
    assert len(world.notes) == 1
    assert len(world.of(types.MEMORY_DISTILLED.name)) == 1


async def test_what_is_known_is_not_noted_twice_and_a_newer_fact_supersedes(world):
    for text in ("My name is Mara.", "my name is  Mara.", "My name is Maria.", "I like tea."):
        await world.say(text)
        world.rest()
        await world.historian.look()
    await world.say("I don't like tea.")
    await world.say("My name is Bo.", author="bob")
    world.rest()
    assert (await world.historian.look()).noted == 2
    first, second, likes, dislikes, bob = Memories(world.journal.state.entries)
    assert first.ended == (second.position, "superseded")
    assert second.contradicts == ()
    assert likes.ended == (dislikes.position, "superseded")
    assert dislikes.contradicts == (likes.position,)
    assert bob.ended is None
    assert second.ended is None, "another author's name"


async def test_what_is_taken_back_in_the_same_talk_is_not_noted(world):
    await world.say("I like tea.")
    await world.say("I don't like tea.")
    world.rest()
    tally = await world.historian.look()
    assert (tally.noted, tally.known) == (1, 1)
    assert world.notes[0].content["text"] == "I don't like tea."


async def test_a_models_claims_are_noted_with_their_quotation_and_its_cost_is_on_record(world):
    said = await world.say("hm, so, Brandt it is for the roof, at 2,340 euros, agreed")
    world.model.says(
        {"message": said.position, "kind": "decision", "text": "Brandt repairs the roof.",
         "quote": "Brandt it is for the roof", "confidence": 0.9, "importance": 0.8},
        {"message": said.position, "kind": "fact", "text": "It costs 9,999 euros.",
         "quote": "at 2,340 euros, agreed"},
    )  # fmt: skip
    world.rest()
    tally = await world.historian.look()
    assert (tally.noted, tally.dropped) == (1, 1)
    assert world.notes[0].content == {
        "text": "Brandt repairs the roof.", "quote": "Brandt it is for the roof",
    }  # fmt: skip
    [reply] = world.of(types.MODEL_REPLIED.name)
    assert reply.payload["tokens_in"] == 7
    assert world.of(types.MEMORY_DISTILLED.name)[0].payload["mode"] == "model"


async def test_a_model_that_talks_nonsense_leaves_it_to_the_rules(world):
    await world.say("My name is Mara.")
    world.model.text = "I will not."
    world.rest()
    assert (await world.historian.look()).noted == 1
    assert world.of(types.MEMORY_DISTILLED.name)[0].payload["mode"] == "rules"


async def test_erased_and_withheld_words_are_not_read(world):
    gone = await world.say("My name is Mara.")
    await world.say("Remember that I want to kill myself.", author="eve")
    await world.say("I like tea.", author="eve")
    await world.redact(gone.position)
    world.rest()
    assert (await world.historian.look()).noted == 0
    assert all("Mara" not in request.messages[1][1] for request in world.model.asked)


async def test_words_erased_while_a_model_reads_are_not_noted(world):
    said = await world.say("My name is Mara.")
    world.rest()
    world.model.meanwhile = lambda: world.redact(said.position)
    assert (await world.historian.look()).noted == 0
    assert Talks(world.journal.state.entries).restless == []


async def test_a_reply_made_of_words_erased_meanwhile_is_recorded_without_its_words(world):
    said = await world.say("My PIN is 4711, remember that.")
    await world.say("I like tea.")
    world.rest()
    world.model.says(
        {"message": said.position, "kind": "fact", "text": "PIN 4711", "quote": "My PIN is 4711"}
    )
    world.model.meanwhile = lambda: world.redact(said.position)
    assert (await world.historian.look()).noted == 1
    assert [note.content["text"] for note in world.notes] == ["I like tea."], "by the rules"
    assert all("4711" not in repr(event.content) for event in world.log.events(said.position))
    [reply] = world.of(types.MODEL_REPLIED.name)
    assert (reply.payload["tokens_in"], reply.content) == (7, None)
    assert not reply.redacted


LONE = "\ud83d"
"""Half of a surrogate pair: JSON may hold it, CBOR cannot."""


async def test_a_claim_that_no_event_can_hold_is_dropped(world):
    said = await world.say("We decided to tile the north side first.")
    world.rest()
    world.model.says(
        {"message": said.position, "kind": "decision", "text": f"Tile it first {LONE}",
         "quote": "decided to tile the north side"},
        {"message": said.position, "kind": "decision", "text": "Tile the north side first.",
         "quote": "decided to tile the north side"},
    )  # fmt: skip
    assert LONE not in world.model.text
    tally = await world.historian.look()
    assert (tally.noted, tally.dropped) == (1, 1)
    assert world.notes[0].content["text"] == "Tile the north side first."


async def test_a_reply_that_no_event_can_hold_is_left_to_the_rules(world):
    await world.say("My name is Mara.")
    world.rest()
    world.model.text = f"{{}} {LONE}"
    assert (await world.historian.look()).noted == 1
    assert [reply.content for reply in world.of(types.MODEL_REPLIED.name)] == [None]
    assert world.of(types.MEMORY_DISTILLED.name)[0].payload["mode"] == "rules"


async def test_one_conversation_that_fails_is_read_by_rules_and_holds_up_no_other(world):
    await world.say("My name is Mara.", conversation="first")
    await world.say("I like tea.", conversation="second")
    world.rest()

    async def fail():
        world.model.meanwhile = None
        raise StoreError("the disk is full")

    world.model.meanwhile = fail
    world.model.says()
    tally = await world.historian.look()
    assert (tally.conversations, tally.noted) == (2, 1)
    modes = [done.payload["mode"] for done in world.of(types.MEMORY_DISTILLED.name)]
    assert modes == ["rules", "model"]
    assert Talks(world.journal.state.entries).restless == []


async def test_a_note_whose_source_is_erased_is_shown_to_nobody(world):
    said = await world.say("My name is Mara.")
    world.rest()
    await world.historian.look()
    [note] = world.notes
    await world.redact(said.position)
    assert note.position in world.journal.turns.withheld
    assert Journal(world.log).state.digest() == world.journal.state.digest()


async def test_a_note_that_meets_the_screen_is_withheld(world):
    said = await world.say("a long story about the bridge and about my friend")
    world.model.says(
        {"message": said.position, "kind": "fact", "text": "i want to kill myself",
         "quote": "the bridge and about my friend"},
    )  # fmt: skip
    world.rest()
    await world.historian.look()
    assert world.notes[0].position in world.journal.turns.withheld


async def test_what_is_remembered_is_the_same_when_folded_from_nothing(world):
    for text in ("My name is Mara. I like tea.", "I don't like tea.", "The wall is 2 m high."):
        await world.say(text)
        world.rest()
        await world.historian.look()
    before = list(Memories(world.journal.state.entries))
    assert len(before) == 4
    again = Journal(world.log)
    assert list(Memories(again.state.entries)) == before
    assert again.state.digest() == world.journal.state.digest()
    alone = State((reduce_memories,))
    for event in world.log.events():
        alone.apply(event)
    assert list(Memories(alone.entries)) == before


def test_relevance_is_whole_numbers_that_only_fall():
    ages = range(0, 4000 * DAY_S, 13 * DAY_S)
    values = [decayed(900_000, age, "date") for age in ages]
    assert values == sorted(values, reverse=True)
    assert all(type(value) is int for value in values)
    assert decayed(900_000, 90 * DAY_S, "date") == 450_000
    assert decayed(900_000, 45 * DAY_S, "date") == 675_000
    assert decayed(900_000, 10**12, "date") == 0
    assert decayed(900_000, 10**9, "given") == 900_000
    assert decayed(900_000, 730 * DAY_S, "a kind of the agent's own") == 450_000


async def test_what_is_of_the_work_is_noted_for_its_project_and_what_is_of_a_person_for_all(world):
    def noted():
        return [
            (event.content["text"], event.payload.get("project"))
            for event in world.log.events()
            if event.type == types.MEMORY_NOTED.name
        ]

    await world.exchange("We decided to use SQLite for state. I like green tea.")
    world.rest()
    world.historian = replace(world.historian, project=b"a" * 16)
    await world.historian.look()
    assert {project for text, project in noted() if "SQLite" in text} == {b"a" * 16}
    assert {project for text, project in noted() if "tea" in text} == {None}
    await world.exchange("We decided to use SQLite for state. I like green tea.")
    world.rest()
    world.historian = replace(world.historian, project=b"b" * 16)
    await world.historian.look()
    assert {project for text, project in noted() if "SQLite" in text} == {b"a" * 16, b"b" * 16}
    assert sum("tea" in text for text, _ in noted()) == 1
    count = [memory.ended for memory in Memories(world.journal.state.entries) if memory.project]
    assert count == [None, None], "the decision of one project ends none of another"
