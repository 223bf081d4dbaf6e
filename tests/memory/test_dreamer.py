"""The dreamer: what it drafts, that a draft stays one, and lessons that pass."""

from dataclasses import replace

import pytest

from genesis.core.judging.skills import form_fault, trigger_fault
from ledger.core import types
from ledger.core.errors import NotFound
from ledger.core.event import Draft
from ledger.views import RECALLABLE
from node.agent.remembering import Remembered
from runtime.core.agenda import STREAMED
from runtime.core.chat import Reach
from runtime.core.dreaming import CALLS_MIN, SECTIONS, SOURCES_MAX, checked
from runtime.core.errors import MessageRefused
from runtime.core.memories import Memories
from runtime.core.privacy import Privacy
from runtime.core.skills import ADOPTED, DEEDS_MAX, REJECTED, TOOL_RETURNED, Skills
from runtime.dreamer import LESSON_DAYS, Dreamer, judge
from runtime.journal import Journal
from runtime.recall import Recall
from tests.memory.memory_world import World
from tests.runtime.world import scan

DAY_S = 86_400


@pytest.fixture
def world():
    made = World()
    made.dreamer = Dreamer(
        journal=made.journal, chain=made.model, privacy=Privacy(), clock=made.clock
    )
    return made


async def deed(world, text, *calls):
    """A turn that used tools: (name, outcome) each."""
    from runtime import answers

    event = await world.say(text)
    message = world.journal.turns.pending[event.position]
    turn = bytes(8) + event.position.to_bytes(8, "big")
    started = {"turn": turn, "message": event.position, "attempt": 1}
    drafts = [Draft(type=types.TURN_STARTED.name, stream=event.stream, payload=started)]
    for name, outcome in calls:
        told = {"turn": turn, "name": name, "outcome": outcome}
        drafts.append(Draft(type=TOOL_RETURNED, stream=event.stream, payload=told))
    drafts.append(answers.sent(message, turn, "Done.", {}))
    drafts.append(answers.finished(message, turn, "answered", None))
    await world.journal.append(*drafts)
    return event


def done(*names):
    return [(name, "done") for name in names]


def drafts(world):
    return world.of(types.SKILL_DRAFTED.name)


async def test_a_long_piece_of_work_is_drafted_once(world):
    calls = [*done("file_search", "file_read"), ("edit", "error"), *done("edit", "shell", "git")]
    event = await deed(world, "rename the sensor", *calls)
    assert await world.dreamer.dream() == 1
    assert await world.dreamer.dream() == 0
    [draft] = drafts(world)
    assert draft.payload["name"] == "file-search-file-read-edit-shell-git"
    assert draft.envelope.causes[0].position == event.position
    text = draft.content["text"]
    for section in SECTIONS:
        assert f"\n## {section}\n" in text
    assert "for example: rename the sensor" in text
    assert "`edit` ended as error." in text
    assert checked(text, draft.payload["name"]) == text


async def test_two_drafts_of_the_same_tools_are_told_apart_by_what_was_asked(world):
    await deed(world, "measure the humidity of the greenhouse", *done("shell", "edit", *"abc"))
    await deed(world, "rename pictures of the holiday album", *done("edit", "shell", *"abc"))
    assert await world.dreamer.dream() == 2
    texts = {draft.payload["name"]: draft.content["text"] for draft in drafts(world)}
    for name, text in texts.items():
        assert form_fault(name, text) is None
        assert trigger_fault(name, {n: t for n, t in texts.items() if n != name}, texts) is None


async def test_a_short_one_is_drafted_when_it_came_three_times(world):
    for number in range(3):
        assert await world.dreamer.dream() == 0
        await deed(world, f"look up {number}", *done("recall", "web_fetch"))
    assert await world.dreamer.dream() == 1
    await deed(world, "hello", *done("recall"))
    await deed(world, "a failure", *done("a", "b", "c", "d"), ("e", "error"))
    assert await world.dreamer.dream() == 0


async def test_notes_that_say_the_same_become_one_draft(world):
    for text in (
        "Pattern: reset the sensor after the bus hangs.",
        "Whenever the bus hangs, the sensor wants nine pulses.",
        "Lesson: the sensor bus hangs after a brown-out.",
        "We decided to paint the hallway.",
    ):
        await world.say(text)
    world.rest()
    await world.historian.look()
    assert await world.dreamer.dream() == 1
    [draft] = drafts(world)
    assert len(draft.envelope.causes) == 3
    assert "hallway" not in draft.content["text"]


async def test_a_models_draft_is_taken_if_it_is_a_skill_of_that_name(world):
    await deed(world, "rename", *done("a", "b", "c", "d", "e"))
    await deed(world, "other", *done("v", "w", "x", "y", "z"))
    body = "\n".join(f"## {section}\ntext" for section in SECTIONS)
    world.model.text = (
        f"```\n---\nname: a-b-c-d-e\ndescription: to rename\nallowed-tools: none\n---\n{body}\n```"
    )
    assert await world.dreamer.dream() == 2
    first, second = (draft.content["text"] for draft in drafts(world))
    assert "description: to rename" in first
    assert "to rename" not in second


async def test_a_draft_is_in_no_prompt_and_no_recall(world):
    await deed(world, "rename the zeppelin", *done("a", "b", "c", "d", "e"))
    await world.dreamer.dream()
    [draft] = drafts(world)
    assert types.SKILL_DRAFTED.name not in STREAMED
    assert types.SKILL_DRAFTED.name not in RECALLABLE
    recall = Recall(world.journal, scan(world.log))
    assert recall.words(draft.position) is None, "not even if an agent names it in a prompt"
    found = await recall.find("rename the zeppelin", 20, before=world.log.size)
    assert [hit.type for hit in found] == [types.MESSAGE_RECEIVED.name]


async def test_the_operator_judges_a_draft_once(world):
    await deed(world, "rename", *done("a", "b", "c", "d", "e"))
    await deed(world, "other", *done("v", "w", "x", "y", "z"))
    await world.dreamer.dream()
    first, second = (draft.position for draft in drafts(world))
    assert (await judge(world.journal, first, ADOPTED, by="operator")).startswith("---\nname: a-b")
    await judge(world.journal, second, REJECTED, by="operator")
    assert [s.verdict for s in Skills(world.journal.state.entries)] == [ADOPTED, REJECTED]
    with pytest.raises(MessageRefused, match="was adopted before"):
        await judge(world.journal, first, REJECTED, by="operator")
    with pytest.raises(NotFound, match="no draft"):
        await judge(world.journal, 1, ADOPTED, by="operator")
    assert await world.dreamer.dream() == 0, "a rejected pattern is not drafted again"


async def test_erased_words_leave_no_draft_behind(world):
    event = await deed(world, "rename", *done("a", "b", "c", "d", "e"))
    await world.redact(event.position)
    assert await world.dreamer.dream() == 0
    other = await deed(world, "other", *done("v", "w", "x", "y", "z"))
    world.model.meanwhile = lambda: world.redact(other.position)
    assert await world.dreamer.dream() == 0
    assert drafts(world) == []


async def test_an_erased_draft_cannot_be_adopted(world):
    await deed(world, "rename", *done("a", "b", "c", "d", "e"))
    await world.dreamer.dream()
    [draft] = drafts(world)
    await world.redact(draft.position)
    with pytest.raises(MessageRefused, match="words were erased"):
        await judge(world.journal, draft.position, ADOPTED, by="operator")
    await judge(world.journal, draft.position, REJECTED, by="operator")


async def noted(world, text, conversation="main"):
    """A message, and what the historian noted of it."""
    event = await world.say(text, conversation)
    facts = {"kind": "pattern", "by": "historian", "author": "ann", "conversation": conversation}
    note = Draft(
        type=types.MEMORY_NOTED.name, stream=event.stream, payload={**facts, "screen": "pass"},
        content={"text": text}, causes=(event.cause,),
    )  # fmt: skip
    [made] = await world.journal.append(note)
    return event, made


async def test_a_draft_whose_source_was_erased_is_withheld_and_cannot_be_adopted(world):
    event = await deed(world, "my PIN is 4711", *done("a", "b", "c", "d", "e"))
    said = [(await noted(world, f"Pattern: reset the sensor bus {n}"))[0] for n in range(3)]
    await world.dreamer.dream()
    view = Remembered(log=world.log, entries=world.journal.state.entries, now_s=0)
    assert [row["status"] for row in view.skills()] == ["draft", "draft"]
    for number, erased in enumerate((event, said[0])):
        await world.redact(erased.position)
        view = Remembered(log=world.log, entries=world.journal.state.entries, now_s=0)
        row = view.skills()[number]
        assert (row["status"], row["text"]) == ("erased", None)
        with pytest.raises(MessageRefused, match="what it was made of was erased"):
            await judge(world.journal, row["position"], ADOPTED, by="operator")
        assert await judge(world.journal, row["position"], REJECTED, by="operator") == ""
    assert Journal(world.log).state.digest() == world.journal.state.digest()


async def test_all_that_a_draft_is_made_of_bounds_where_it_is_told_and_is_its_cause(world):
    home = Privacy(default=Reach.PUBLIC, conversations=(("home", Reach.LOCAL),))
    dreamer = replace(world.dreamer, privacy=home)
    for number in range(SOURCES_MAX + 6):
        where = "town" if number < SOURCES_MAX + 2 else "home"
        await noted(world, f"Pattern: reset the sensor bus {number} of the {where}", where)
    await dreamer.dream()
    [draft], [request] = drafts(world), world.model.asked
    assert len(draft.envelope.causes) == SOURCES_MAX
    told = "of the home" in request.messages[1][1] or "of the home" in draft.content["text"]
    assert told == (request.reach is Reach.LOCAL)
    sources = {world.log.read(cause.position).content["text"] for cause in draft.envelope.causes}
    steps = [line.split(". ", 1)[1] for line in draft.content["text"].splitlines()
             if line[:1].isdigit()]  # fmt: skip
    assert set(steps) == sources


async def test_a_note_erased_while_another_pattern_is_drafted_is_in_no_draft(world):
    for topic in ("reset the sensor bus", "paint the hallway ceiling"):
        made = [await noted(world, f"Pattern: {topic} {number}") for number in range(4)]
    event, note = made[-1]

    async def erase():
        world.model.meanwhile = None
        await world.redact(event.position, note.position)

    world.model.meanwhile = erase
    assert await world.dreamer.dream() == 2
    assert "ceiling 2" in drafts(world)[1].content["text"]
    assert all("ceiling 3" not in draft.content["text"] for draft in drafts(world))


async def test_that_a_tool_does_not_work_is_remembered_for_a_while_and_then_not(world):
    await deed(world, "one", ("web_fetch", "error"), ("web_fetch", "timeout"))
    assert await world.dreamer.learn() == 0
    await deed(world, "two", ("web_fetch", "error"))
    assert await world.dreamer.learn() == 1
    assert await world.dreamer.learn() == 0
    [lesson] = Memories(world.journal.state.entries)
    assert "web_fetch failed the last 3 times" in world.notes[0].content["text"]
    now_s = world.clock() // 1000
    assert lesson.relevance_ppm(now_s) > 0
    assert lesson.relevance_ppm(now_s + LESSON_DAYS * DAY_S) == 0
    await deed(world, "three", ("web_fetch", "done"))
    assert await world.dreamer.learn() == 0
    assert next(iter(Memories(world.journal.state.entries))).ended[1] == "forgotten"


async def test_deeds_are_bounded_and_fold_to_the_same(world):
    for number in range(DEEDS_MAX + 3):
        await deed(world, f"work {number}", *done("a"))
    assert len(Skills(world.journal.state.entries).deeds) == DEEDS_MAX
    assert Journal(world.log).state.digest() == world.journal.state.digest()


@pytest.mark.parametrize("text", ["", "no skill", "---\nname: x\n---\n", "---\nname: y\n---\n# y"])
def test_what_is_no_skill_is_not_taken(text):
    assert checked(text, "x") is None
    assert CALLS_MIN == 5
