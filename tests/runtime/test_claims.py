"""A turn whose answer has to be claimed: it waits, answers, or ends without words."""

import asyncio

import pytest

from ledger.core import types
from runtime.answers import ELSEWHERE
from runtime.core.errors import Diverged
from tests.runtime.test_turn_services import Turn, begin
from tests.runtime.world import World, until

ELSE = "ab" * 32


class Fleet:
    """runtime.claims.Claims, as a test decides."""

    def __init__(self, shared: bool = True) -> None:
        self.is_shared = shared
        self.asked: list[int] = []
        self.said = asyncio.Event()
        self.why: str | None = None

    def shared(self, _message) -> bool:
        return self.is_shared

    async def claim(self, message) -> str | None:
        self.asked.append(message.position)
        await self.said.wait()
        return self.why


def of(world: World, kind: types.EventType):
    return [event for event in world.log.events() if event.type == kind.name]


@pytest.fixture
async def turn(world: World) -> Turn:
    return await begin(world)


async def test_an_answer_waits_for_its_claim_and_its_time_stands_still(world: World, turn: Turn):
    world.service.claims = fleet = Fleet()
    async with asyncio.TaskGroup() as group:
        group.create_task(turn.call(0, "answer", {"text": "eleven owls"}))
        await until(lambda: fleet.asked)
        assert world.service.claiming == {turn.turn}
        assert of(world, types.MESSAGE_SENT) == []
        fleet.said.set()
    assert world.service.claiming == set()
    [sent] = of(world, types.MESSAGE_SENT)
    assert sent.content == {"text": "eleven owls"}


async def test_who_is_refused_ends_the_turn_without_words_and_names_who_answers(
    world: World, turn: Turn
):
    world.service.claims = fleet = Fleet()
    fleet.why = ELSE
    fleet.said.set()
    await turn.call(0, "answer", {"text": "eleven owls"})
    assert of(world, types.MESSAGE_SENT) == []
    [ended] = of(world, types.TURN_FINISHED)
    assert (ended.payload["outcome"], ended.payload["reason"]) == (ELSEWHERE, ELSE)
    assert world.journal.turns.pending == {}


async def test_a_turn_that_was_ended_while_it_waited_is_over(world: World, turn: Turn):
    """The gateway told meanwhile that another one's answer was delivered."""
    for why in (ELSE, None):
        world.service.claims = fleet = Fleet()
        fleet.why = why
        asking = await begin(world, f"and now? {why}")

        async def answers(asking: Turn = asking) -> None:
            with pytest.raises(Diverged):
                await asking.call(0, "answer", {"text": "twelve"})

        async with asyncio.TaskGroup() as group:
            group.create_task(answers())
            await until(lambda of=fleet: of.asked)
            await world.service.stop(conversation="home", author="ann", outcome="cancelled")
            fleet.said.set()


async def test_no_apology_stands_for_an_answer_that_others_could_give(world: World, turn: Turn):
    world.service.claims = Fleet()
    await world.service.give_up(turn.message, "failed", "crashed")
    assert of(world, types.MESSAGE_SENT) == []
    assert [one.payload["outcome"] for one in of(world, types.TURN_FINISHED)] == ["failed"]


async def test_a_message_that_is_nobody_elses_is_answered_unasked(world: World, turn: Turn):
    world.service.claims = fleet = Fleet(shared=False)
    await turn.call(0, "answer", {"text": "eleven owls"})
    assert fleet.asked == []
    assert len(of(world, types.MESSAGE_SENT)) == 1
