"""Secrets stay: what models beyond this machine, tools that reach beyond it and readers are told."""

import asyncio
import json
from dataclasses import replace

import pytest

from ledger.core import types
from runtime.chain import Chain
from runtime.core.chat import Reach
from runtime.core.leaks import Leaks
from runtime.core.privacy import Privacy
from runtime.core.tool import Effect
from runtime.drafts import Drafts
from runtime.guarded import Guarded, guard
from runtime.responder import Responder
from runtime.service import WITHHELD, Service
from tests.runtime.leak_texts import positives
from tests.runtime.test_turn_services import ask, begin
from tests.runtime.test_turn_tools import Tools, spec
from tests.runtime.world import DIGEST_KEY, World

TOKEN = "Vq0n_7mVwQx-9sTz3kYh2LrB5cD8eF1gAbCdEfGhIjK"
LEAKS = Leaks.of([("api-token", TOKEN)])
THEIRS = next(secret for rule, secret, _ in positives() if rule == "github-token")


def guarded(world: World, reach: Reach) -> None:
    link = guard(replace(world.tiny, reach=reach), LEAKS)
    world.ask(Chain([link, Responder(world.recall, dict)]))
    world.change(privacy=Privacy(default=Reach.PUBLIC))


@pytest.mark.parametrize("reach", [Reach.TRUSTED, Reach.PUBLIC])
async def test_a_model_beyond_this_machine_is_told_no_secret_and_the_talk_goes_on(world, reach):
    guarded(world, reach)
    turn = await begin(world, f"here: {THEIRS}, and yours is {TOKEN}")
    part = {"role": "user", "ref": turn.message.position}
    value = await turn.call(0, "model", ask(part, {"role": "user", "text": "and now?"}))
    assert value["model"] == "tiny-1"
    [request] = world.provider.requests
    said = json.dumps(request)
    assert THEIRS not in said
    assert TOKEN not in said
    assert "here: [github-token withheld], and yours is [api-token withheld]" in said
    assert "and now?" in said
    [replied] = world.of(types.MODEL_REPLIED.name)
    assert replied.payload["masked"] == ["api-token", "github-token"]
    assert world.of(types.MODEL_REQUESTED.name)[0].payload["reach"] == "public"


async def test_a_local_model_is_told_the_words_and_a_clean_prompt_is_not_touched(world):
    assert guard(world.tiny, LEAKS) is world.tiny
    turn = await begin(world, f"what is wrong with {THEIRS}?")
    await turn.call(0, "model", ask({"role": "user", "ref": turn.message.position}))
    assert THEIRS in json.dumps(world.provider.requests)
    guarded(world, Reach.PUBLIC)
    await turn.call(1, "model", ask({"role": "user", "text": "hello"}))
    for event in world.of(types.MODEL_REPLIED.name):
        assert "masked" not in event.payload


def test_a_guarded_link_is_the_link_in_everything_else(world):
    link = replace(world.tiny, reach=Reach.PUBLIC, tasks=frozenset({"chat"}))
    found = guard(link, LEAKS)
    assert isinstance(found, Guarded)
    for name in ("name", "identity", "reach", "tasks", "price"):
        assert getattr(found, name) == getattr(link, name)


async def test_an_answer_with_a_secret_of_the_node_is_not_said_and_nobody_is_held(world: World):
    world.service = Service(
        world.journal, chain=world.service.asking.chain, recall=world.recall,
        status=dict, digest_key=DIGEST_KEY, leaks=LEAKS,
    )  # fmt: skip
    turn = await begin(world)
    value = await turn.call(0, "answer", {"text": f"The token is {TOKEN}."})
    assert world.log.read(value["position"]).content == {"text": WITHHELD}
    [decided] = world.of(types.POLICY_DECIDED.name)
    named = {key: decided.payload[key] for key in ("action", "screen", "rule")}
    assert named == {"action": "withhold", "screen": "secrets", "rule": "api-token"}
    assert world.of(types.TURN_FINISHED.name)[0].payload["outcome"] == "replaced"
    assert not world.journal.turns.held("ann")
    for event in world.log.events():
        assert TOKEN.encode() not in event.record.payload
    again = await begin(world, "then a key of mine")
    value = await again.call(0, "answer", {"text": f"You gave me {THEIRS}."})
    assert THEIRS in world.log.read(value["position"]).content["text"]


async def test_a_watcher_is_not_shown_the_nodes_secret_either():
    drafts = Drafts(LEAKS)
    with drafts.watch(3) as watcher:
        sink, pieces = drafts.sink(3), watcher.pieces()
        sink.add("Well. ")
        assert (await anext(pieces)).text == "Well. "
        sink.add(f"It is {TOKEN}. ")
        reading = asyncio.ensure_future(anext(pieces))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not reading.done()
        sink.reset()
        assert (await reading).anew


@pytest.mark.parametrize(("secret", "rule"), [(TOKEN, "api-token"), (THEIRS, "github-token")])
async def test_a_tool_beyond_this_machine_is_not_given_a_secret(world, tmp_path, secret, rule):
    tools = Tools(world, str(tmp_path))
    tools.box.register(
        spec("far", Effect.READS, "FileRead", reach=Reach.TRUSTED), tools.desk.tool("far")
    )
    tools.install(leaks=LEAKS)
    turn = await begin(world)
    hidden = secret.replace("_", "%5F")
    for step, path in enumerate((f"a/{secret}.txt", f"https://x.example/?q={hidden}")):
        call = {"name": "far", "arguments": json.dumps({"path": path})}
        value = await turn.call(step, "tool", call)
        assert value["outcome"] == "refused"
        assert value["text"] == f"its arguments hold a secret ({rule}), which stays on this machine"
    near = await turn.call(2, "tool", {"name": "look", "arguments": json.dumps({"path": "a.txt"})})
    assert near["outcome"] == "done"
    local = json.dumps({"path": f"{secret}.txt"})
    assert (await turn.call(3, "tool", {"name": "look", "arguments": local}))["outcome"] == "done"
    assert tools.desk.done
    assert all("far" not in str(one) for one in tools.desk.done)
