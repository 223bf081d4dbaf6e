"""A turn is stopped while a model is being asked, with real agent processes and a real provider."""

import asyncio

from ledger.core import types
from runtime.chain import Chain
from runtime.core.chat import Reach
from runtime.core.openai_wire import OpenAi
from runtime.core.privacy import Privacy
from runtime.endpoint import Endpoint
from runtime.service import APOLOGIES
from tests.runtime.providers import streamer
from tests.runtime.world import World, running, tree_of, until


async def test_a_cancelled_turn_lets_the_provider_go_and_the_agent_goes_on(world: World, tmp_path):
    async with streamer() as slow, running(world.host(tree_of(tmp_path))) as host:
        world.ask(Chain([remote(world, slow), world.tiny]))
        slow.pause.clear()
        asked = await world.say("tell me a long story")
        with world.service.drafts.watch(asked.position):
            await until(lambda: slow.requests)
            who = {"conversation": "home", "author": "ann"}
            assert await world.service.stop(**who, outcome="cancelled") == [asked.position]
            async with asyncio.timeout(20):
                await slow.gone.wait()
        answer = await host.answer_to(asked.position)
        assert world.text_of(answer) == APOLOGIES["cancelled"]
        world.ask(Chain([world.tiny]))
        again = await world.say("a short one then")
        assert world.text_of(await host.answer_to(again.position)) == "a reply"
        assert host.lives == 1
        assert await world.service.stop(**who, outcome="cancelled") == []
    ends = [event.payload["outcome"] for event in world.of(types.TURN_FINISHED.name)]
    assert ends == ["cancelled", "answered"]
    assert len(world.of(types.MODEL_REQUESTED.name)) == 2
    assert len(world.of(types.MODEL_REPLIED.name)) == 1
    world.check_nothing_doubled()


async def test_only_what_the_author_waits_for_there_is_stopped(world: World):
    mine = await world.say("one")
    await world.say("two", conversation="garden")
    await world.say("three", author="bob")
    who = {"conversation": "home", "author": "ann"}
    assert await world.service.stop(**who, outcome="interrupted") == [mine.position]
    assert len(world.journal.turns.pending) == 2


async def test_a_watched_answer_streams_and_the_ledger_gets_it_whole(world: World, tmp_path):
    async with streamer() as server, running(world.host(tree_of(tmp_path))) as host:
        world.ask(Chain([remote(world, server)]))
        asked = await world.say("how many owls")
        with world.service.drafts.watch(asked.position) as watcher:
            assert (await anext(watcher.pieces())).text.startswith("One owl sat. ")
            answer = await host.answer_to(asked.position)
    assert world.text_of(answer) == "".join(server.words)
    [replied] = world.of(types.MODEL_REPLIED.name)
    assert (replied.payload["link"], replied.payload["model"]) == ("remote", "o-1")
    assert len([event for event in world.log.events() if event.type == "message.sent"]) == 1


async def test_a_recalled_private_note_keeps_a_public_prompt_at_home(world: World, tmp_path):
    rooms = (("health", Reach.LOCAL),)
    world.change(privacy=Privacy(default=Reach.PUBLIC, conversations=rooms))
    async with streamer() as server, running(world.host(tree_of(tmp_path))) as host:
        world.ask(Chain([remote(world, server, Reach.PUBLIC), world.tiny]))
        private = await world.say("my knee hurts", conversation="health")
        await host.answer_to(private.position)
        harmless = await world.say("what is an owl", conversation="blog")
        await host.answer_to(harmless.position)
        recalling = await world.say("what about my knee", conversation="blog")
        await host.answer_to(recalling.position)
    links = [event.payload["link"] for event in world.of(types.MODEL_REPLIED.name)]
    assert links == ["tiny", "remote", "tiny"]
    assert "knee" not in str(server.requests)
    last = world.of(types.MODEL_REPLIED.name)[-1]
    assert last.payload["tried"] == [
        {"name": "remote", "reason": "public, and these words are local", "failed": False}
    ]


def remote(world: World, server, reach: Reach = Reach.TRUSTED):
    return Endpoint(
        name="remote", codec=OpenAi(), base_url=server.url, model="m", timeout_s=30,
        reach=reach, session=world.tiny.session,
    )  # fmt: skip
