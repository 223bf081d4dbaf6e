"""Failures in a row as real turns leave them on record: of links that were asked, and no others."""

from dataclasses import replace

from ledger.core import types
from runtime.chain import Chain
from runtime.core.alarms import ALIKE_MAX
from runtime.core.breaker import FAILURES_MAX
from runtime.core.chat import Reach
from runtime.core.tally import alarms, streaks
from runtime.gate import NOT_TESTED
from runtime.tools import reading
from tests.jobs.test_standing import Home
from tests.runtime.test_turn_services import ask, begin
from tests.runtime.test_turn_tools import Tools, use
from tests.runtime.world import World


def standing(world: World) -> dict[str, tuple[str, int]]:
    return {what: (reason, count) for what, reason, count in streaks(world.journal.state.entries)}


async def replied(world: World):
    """Ask once, in a turn of its own; return what is on record of the reply."""
    turn = await begin(world)
    await turn.call(0, "model", ask({"role": "user", "text": "hi"}))
    return world.of(types.MODEL_REPLIED.name)[-1].payload


async def test_a_link_that_nobody_asks_has_not_failed(world: World):
    """A model for code, one that learns from what it hears, one without its safety test."""
    coder = replace(world.tiny, name="coder", tasks=frozenset({"code"}))
    free = replace(world.tiny, name="free", reach=Reach.PUBLIC)
    fresh = replace(world.tiny, name="fresh")
    links = [coder, free, fresh, world.tiny]
    world.ask(Chain(links, refuses=lambda link: NOT_TESTED if link is fresh else None))
    for _ in range(4):
        payload = await replied(world)
    assert [(one["name"], one["failed"]) for one in payload["tried"]] == [
        ("coder", False), ("free", False), ("fresh", False),
    ]  # fmt: skip
    assert payload["link"] == "tiny"
    assert standing(world) == {}


async def test_a_link_that_rests_after_its_failures_goes_on_having_failed(world: World):
    now = [0.0]
    dead = replace(world.tiny, name="dead", base_url="http://127.0.0.1:1/v1")
    world.ask(Chain([dead, world.tiny], clock=lambda: now[0]))
    for _ in range(FAILURES_MAX):
        payload = await replied(world)
    failed = {"model/dead": (payload["tried"][0]["reason"], FAILURES_MAX)}
    assert standing(world) == failed
    payload = await replied(world)
    assert payload["tried"][0]["reason"].startswith("resting for")
    assert standing(world) == failed, "it was not asked, so it is neither better nor worse"
    now[0] += 60
    await replied(world)
    assert standing(world)["model/dead"][1] == FAILURES_MAX + 1
    now[0] += 600
    world.ask(Chain([replace(world.tiny, name="dead"), world.tiny], clock=lambda: now[0]))
    await replied(world)
    assert standing(world) == {}


async def test_a_tool_that_fails_all_night_is_told_and_one_that_was_not_called_is_not(
    world: World, tmp_path
):
    tools = Tools(world, str(tmp_path))
    tools.box.register(reading.SPEC, reading.ReadFile())

    async def call(*requests: dict) -> list[str]:
        turn = await begin(world)
        return [(await turn.call(n, "tool", one))["outcome"] for n, one in enumerate(requests)]

    for _ in range(ALIKE_MAX):
        assert await call(use("read_file", "gone.txt")) == ["error"]
        ends = await call(use("put", "my.key"), use("fly"), use("look"))
        assert ends == ["denied", "refused", "done"]
    assert standing(world) == {"tool/read_file": ("error", ALIKE_MAX)}
    async with Home(world.log).running() as home:
        await home.at(0.25)
        told = [e.payload for e in home.of(types.NODE_ESCALATED.name)]
        subject = {"trigger": "failures", "subject": "tool/read_file"}
        assert subject.items() <= told[-1].items()
        assert told[-1]["why"] == f"{ALIKE_MAX} in a row, the newest: error"
        (tmp_path / "gone.txt").write_text("here it is\n")
        assert await call(use("read_file", "gone.txt")) == ["done"]
        await home.at(0.5)
        assert subject.items() <= home.of(types.NODE_RELIEVED.name)[-1].payload.items()
        assert "failures" not in {one.trigger for one in alarms(home.journal.state.entries)}
