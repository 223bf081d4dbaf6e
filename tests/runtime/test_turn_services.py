"""Host services without a process: every step on record once, words never where they stay for ever."""

from contextlib import suppress
from dataclasses import replace

import pytest

from ledger.core import types
from runtime.chain import Chain
from runtime.core import calls
from runtime.core.agenda import STEPPED
from runtime.core.chat import Reach
from runtime.core.crisis import ANSWER
from runtime.core.errors import Diverged, StepRefused
from runtime.core.privacy import Privacy
from runtime.core.protocol import Call
from runtime.core.turns import Message
from runtime.journal import Journal
from runtime.responder import Responder
from runtime.service import APOLOGIES, Service
from tests.runtime.world import DIGEST_KEY, World


class Turn:
    """Makes calls as an agent would, on a world whose host it stands in for."""

    def __init__(self, world: World, message: Message) -> None:
        self.world, self.message = world, message
        self.turn = world.service.turn_of(message)

    async def call(self, step: int, op: str, args: dict | None = None):
        call = Call(call=step + 1, turn=self.turn, step=step, op=op, args=args or {})
        service = self.world.service
        return (await service.call(self.message, call, service.bounds())).value


async def begin(world: World, text: str = "hello owl") -> Turn:
    event = await world.say(text)
    turn = Turn(world, world.journal.turns.pending[event.position])
    await world.service.start(turn.message, 1)
    return turn


def ask(*items: dict) -> dict:
    return {"items": list(items), "max_tokens": 5}


OPS = [
    ("status", {}),
    ("recall", {"query": "owl", "limit": 3}),
    ("remember", {"text": "owls sleep", "kind": "fact"}),
    ("model", ask({"role": "user", "text": "hi"})),
    ("recall", {"query": "owl", "limit": 0}),
    ("model", ask({"role": "user", "ref": 9999})),
]


@pytest.mark.parametrize(("op", "args"), OPS)
async def test_a_step_given_again_gets_the_recorded_result(world: World, op: str, args: dict):
    await world.say("an old owl", conversation="other")
    turn = await begin(world)

    async def outcome():
        try:
            return await turn.call(0, op, args)
        except StepRefused as error:
            return str(error)

    first, size = await outcome(), world.log.size
    world.provider.text = "something else"
    assert await outcome() == first
    assert world.log.size == size
    assert len(world.provider.requests) <= 1
    fresh = Journal(world.log).turns
    assert fresh.open == world.journal.turns.open


@pytest.mark.parametrize(("op", "args"), OPS)
async def test_a_step_given_again_with_other_arguments_diverges(world: World, op: str, args: dict):
    turn = await begin(world)
    with suppress(StepRefused):
        await turn.call(0, op, args)
    with pytest.raises(Diverged):
        await turn.call(0, "recall", {"query": "else", "limit": 1})
    with pytest.raises(Diverged):
        await turn.call(0, op, {**args, "more": 1})


async def test_a_reply_that_was_asked_for_and_not_recorded_is_asked_for_again(world: World):
    turn = await begin(world)
    args = ask({"role": "user", "ref": turn.message.position})
    digest = calls.args_digest(DIGEST_KEY, turn.turn, 0, "model", args)

    class Dies:
        name, identity, reach = "dies", None, Reach.LOCAL
        tasks, price = frozenset(), None

        async def reply(self, request, draft=None):
            raise RuntimeError("power is gone")

    dying = Service(
        world.journal,
        chain=Chain([Dies()]),
        recall=world.recall,
        status=dict,
        digest_key=DIGEST_KEY,
    )
    call = Call(call=1, turn=turn.turn, step=0, op="model", args=args)
    with pytest.raises(RuntimeError):
        await dying.call(turn.message, call, dying.bounds())
    step = world.journal.turns.step(turn.turn, 0)
    assert (step.args, step.result) == (digest, None)
    assert (await turn.call(0, "model", args))["text"] == "a reply"
    assert len(world.of(types.MODEL_REQUESTED.name)) == 1


async def test_a_chain_that_fails_entirely_refuses_the_step(world: World):
    turn = await begin(world)
    world.ask(Chain([world.tiny]))
    world.provider.behave = "500"
    with pytest.raises(StepRefused, match="no model replied: tiny: failed"):
        await turn.call(0, "model", ask({"role": "user", "text": "hi"}))


async def test_prompts_refer_and_never_copy(world: World):
    old = await world.say("the plover sings", conversation="other")
    turn = await begin(world, "which bird sings")
    template = "You are a birdwatcher."
    await turn.call(
        0,
        "model",
        ask(
            {"role": "system", "text": template},
            {"role": "user", "ref": old.position},
            {"role": "user", "ref": turn.message.position},
        ),
    )
    sent = [message["content"] for message in world.provider.requests[0]["messages"]]
    assert sent == [template, "the plover sings", "which bird sings"]
    [requested] = world.of(types.MODEL_REQUESTED.name)
    assert requested.payload["items"] == [
        {"role": "system", "template": calls.template_digest(template)},
        {"role": "user", "ref": old.position},
        {"role": "user", "ref": turn.message.position},
    ]
    causes = {cause.position for cause in requested.envelope.causes}
    assert causes == {old.position, turn.message.position}
    assert not requested.has_content
    [replied] = world.of(types.MODEL_REPLIED.name)
    assert replied.content == {"text": "a reply"}
    assert replied.payload["tried"] == []
    for event in world.log.events():
        assert b"plover" not in event.record.payload
        assert b"birdwatcher" not in event.record.payload


async def test_digests_of_arguments_need_the_nodes_key(world: World):
    turn = await begin(world)
    args = {"query": "plover", "limit": 1}
    await turn.call(0, "recall", args)
    [recalled] = world.of(types.RECALLED.name)
    assert recalled.payload["args"] == calls.args_digest(DIGEST_KEY, turn.turn, 0, "recall", args)
    assert recalled.payload["args"] != calls.args_digest(bytes(32), turn.turn, 0, "recall", args)
    with pytest.raises(ValueError, match="31"):
        calls.args_digest(bytes(31), turn.turn, 0, "recall", args)


async def test_what_is_withheld_erased_or_absent_is_not_shown(world: World):
    crisis = await world.say("owl, i want to kill myself", author="eve")
    erased = await world.say("owl secret", author="dan", conversation="x")
    await world.log.append(world.log.redaction([erased.position], reason="asked", actor="dan"))
    turn = await begin(world)
    hits = (await turn.call(0, "recall", {"query": "owl", "limit": 20}))["hits"]
    assert hits == []
    for step, position in enumerate((crisis.position, erased.position, 0, 10_000), start=1):
        with pytest.raises(StepRefused):
            await turn.call(step, "model", ask({"role": "user", "ref": position}))
    assert world.provider.requests == []


async def test_recall_gives_older_words_only(world: World):
    old = await world.say("an owl of old", conversation="other")
    turn = await begin(world, "owl?")
    await world.say("a newer owl", conversation="other")
    hits = (await turn.call(0, "recall", {"query": "owl", "limit": 5}))["hits"]
    assert [(hit["position"], hit["text"]) for hit in hits] == [(old.position, "an owl of old")]


async def test_a_note_is_kept_with_its_words_as_content(world: World):
    turn = await begin(world)
    value = await turn.call(0, "remember", {"text": "likes owls", "kind": "fact"})
    event = world.log.read(value["position"])
    assert (event.type, event.content) == ("memory.noted", {"text": "likes owls"})
    assert b"owls" not in event.record.payload


async def test_answer_and_end_of_turn_are_one_commit(world: World):
    turn = await begin(world)
    value = await turn.call(0, "answer", {"text": "hello"})
    sent, finished = list(world.log.events(value["position"]))
    assert (sent.content, sent.payload["message"]) == ({"text": "hello"}, turn.message.position)
    assert (finished.type, finished.payload["outcome"]) == ("turn.finished", "answered")
    assert world.journal.turns.pending == {}
    with pytest.raises(Diverged, match="over"):
        await turn.call(1, "answer", {"text": "and more"})


@pytest.mark.parametrize(
    "text", ["Honestly, you should kill yourself.", "A lethal dose of aspirin is about 40 g."]
)
async def test_an_answer_that_harms_is_replaced_and_its_reader_held(world: World, text: str):
    turn = await begin(world)
    value = await turn.call(0, "answer", {"text": text})
    assert world.log.read(value["position"]).content == {"text": ANSWER}
    [decided] = world.of(types.POLICY_DECIDED.name)
    assert (decided.payload["action"], decided.payload["screen"]) == ("hold", "output")
    assert world.of(types.TURN_FINISHED.name)[0].payload["outcome"] == "replaced"
    assert world.journal.turns.held("ann")
    assert all(event.content != {"text": text} for event in world.log.events())


async def test_what_a_held_reader_still_waits_for_is_answered_at_once(world: World):
    turn = await begin(world)
    waiting = await world.say("and another thing")
    elsewhere = await world.say("and a third", conversation="elsewhere")
    await turn.call(0, "answer", {"text": "Honestly, you should kill yourself."})
    assert world.journal.turns.pending == {}
    last = world.of(types.MESSAGE_SENT.name)[-2:]
    assert [event.payload["message"] for event in last] == [waiting.position, elsewhere.position]
    assert all(event.content == {"text": ANSWER} for event in last)
    world.check_nothing_doubled()


async def test_a_failed_turn_has_a_word_for_a_reason_and_never_a_persons(world: World):
    turn = await begin(world)
    await turn.call(0, "fail", {"reason": "Ann said: my secret is plover"})
    [finished] = world.of(types.TURN_FINISHED.name)
    assert (finished.payload["outcome"], finished.payload["reason"]) == ("failed", "unspecified")
    assert world.of(types.MESSAGE_SENT.name) == []


async def test_giving_up_tells_the_user_once_and_only_if_nobody_did(world: World):
    turn = await begin(world)
    await world.service.give_up(turn.message, "failed", "crashed")
    await world.service.give_up(turn.message, "diverged", "diverged")
    [sent] = world.of(types.MESSAGE_SENT.name)
    assert sent.content == {"text": APOLOGIES["failed"]}
    answered = await begin(world)
    await answered.call(0, "answer", {"text": "hello"})
    await world.service.give_up(answered.message, "failed", "crashed")
    assert len(world.of(types.MESSAGE_SENT.name)) == 2


async def test_a_note_of_the_agent_that_meets_the_screen_reaches_no_prompt(world: World):
    turn = await begin(world)
    value = await turn.call(0, "remember", {"text": "i want to kill myself", "kind": "fact"})
    with pytest.raises(StepRefused, match="no words to show"):
        await turn.call(1, "model", ask({"role": "system", "ref": value["position"]}))
    assert world.provider.requests == []


async def test_a_status_is_a_recorded_step(world: World):
    turn = await begin(world)
    value = await turn.call(0, "status")
    [stepped] = world.of(STEPPED)
    assert stepped.payload["value"] == value
    assert value["name"] == "Timmy"


async def test_what_an_answer_was_made_of_says_how_far_it_travels(world: World):
    home = Privacy(default=Reach.PUBLIC, conversations=(("away", Reach.LOCAL),))
    world.change(privacy=home)
    note = await world.say("my diagnosis is rare", conversation="away")
    turn = await begin(world, "what is my diagnosis?")
    reply = await turn.call(0, "model", ask({"role": "user", "ref": note.position}))
    await turn.call(1, "remember", {"text": "it is rare", "kind": "fact"})
    await turn.call(2, "answer", {"text": "It is rare."})
    [sent] = world.of(types.MESSAGE_SENT.name)
    assert sent.payload["reach"] == "local"
    [noted] = world.of(types.MEMORY_NOTED.name)
    later = await begin(world, "and now?")
    public = replace(world.tiny, reach=Reach.PUBLIC)
    world.ask(Chain([public]))
    for step, at in enumerate((sent.position, noted.position, reply["position"])):
        with pytest.raises(StepRefused, match="these words are local"):
            await later.call(step, "model", ask({"role": "assistant", "ref": at}))
    await later.call(5, "model", ask({"role": "user", "ref": later.message.position}))
    assert world.of(types.MODEL_REQUESTED.name)[-1].payload["reach"] == "public"


async def test_what_a_search_gave_a_turn_bounds_all_that_follows_in_it(world: World):
    """Its words may be copied into a prompt as text, and need not be referred to."""
    world.change(privacy=Privacy(default=Reach.PUBLIC, conversations=(("away", Reach.LOCAL),)))
    await world.say("my diagnosis is rare", conversation="away")
    turn = await begin(world, "what is my diagnosis?")
    [hit] = (await turn.call(0, "recall", {"query": "diagnosis", "limit": 1}))["hits"]
    public = replace(world.tiny, reach=Reach.PUBLIC)
    world.ask(Chain([public]))
    with pytest.raises(StepRefused, match="these words are local"):
        await turn.call(1, "model", ask({"role": "system", "text": hit["text"]}))
    await turn.call(2, "answer", {"text": hit["text"]})
    assert world.of(types.MODEL_REQUESTED.name)[-1].payload["reach"] == "local"
    assert world.of(types.MESSAGE_SENT.name)[-1].payload["reach"] == "local"
    later = await begin(world, "and the weather?")
    await later.call(0, "recall", {"query": "weather", "limit": 1})
    await later.call(1, "model", ask({"role": "user", "ref": later.message.position}))
    assert world.of(types.MODEL_REQUESTED.name)[-1].payload["reach"] == "public"


async def test_an_answer_of_no_model_is_bound_by_nothing_but_its_conversation(world: World):
    turn = await begin(world)
    await turn.call(0, "answer", {"text": "Hello."})
    [sent] = world.of(types.MESSAGE_SENT.name)
    assert "reach" not in sent.payload


async def test_what_the_responder_quotes_says_how_far_its_answer_travels(world: World):
    world.change(privacy=Privacy(default=Reach.PUBLIC, conversations=(("away", Reach.LOCAL),)))
    world.ask(Chain([Responder(world.recall, world.service.status)]))
    await world.say("the owl sleeps at home", conversation="away")
    turn = await begin(world, "where is the owl?")
    await turn.call(0, "model", ask({"role": "user", "ref": turn.message.position}))
    await turn.call(1, "answer", {"text": "The owl sleeps at home."})
    assert world.of(types.MODEL_REQUESTED.name)[-1].payload["reach"] == "public"
    assert world.of(types.MESSAGE_SENT.name)[-1].payload["reach"] == "local"


async def test_a_note_says_of_which_project_it_is_where_tools_work_on_one(world: World):
    turn = await begin(world)
    await turn.call(0, "remember", {"text": "likes owls", "kind": "fact"})
    world.service = Service(
        world.journal, chain=world.service.asking.chain, recall=world.recall,
        status=dict, digest_key=DIGEST_KEY, project=b"p" * 16,
    )  # fmt: skip
    event = await world.say("again")
    given = await world.service.start(world.journal.turns.pending[event.position], 1)
    assert given == {"project": b"p" * 16}
    again = Turn(world, world.journal.turns.pending[event.position])
    await again.call(0, "remember", {"text": "the gate is green", "kind": "fact"})
    noted = [one.payload.get("project") for one in world.of("memory.noted")]
    assert noted == [None, b"p" * 16]
