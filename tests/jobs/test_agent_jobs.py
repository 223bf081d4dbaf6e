"""Agent jobs with a real agent process and a provider on loopback, and without one."""

import asyncio
import time
from dataclasses import replace

from ledger.core import types
from runtime.agent_jobs import AgentJobs
from runtime.core.jobspec import Kind, Words
from runtime.core.schedule import Every
from runtime.jobs import JobBook
from runtime.sandbox import Engine
from runtime.scheduler import Scheduler
from runtime.scripts import Scripts
from tests.runtime.world import a_world, running, tree_of, until

from .world import SPEC, door

ASK = Words(prompt="how many tiles are on the roof")
AGENT = replace(SPEC, name="roof", kind=Kind.AGENT, confined=False, limit_s=60)


def clock():
    return time.time_ns() // 1_000_000


def wired(world, host, tmp_path):
    scripts = Scripts(
        home=tmp_path, engine=Engine.NONE, clock=clock, door=door(), allowed=lambda _: None
    )
    agent = AgentJobs(
        journal=world.journal,
        gateway=world.gateway,
        service=world.service,
        answer_to=host.answer_to,
        scripts=scripts,
        clock=clock,
    )
    book = JobBook(world.journal, clock=clock, confines=False, door=door())
    return book, Scheduler(world.journal, book, runners={Kind.AGENT: agent}, instants={})


async def one_run(world, tmp_path, words, **changes):
    """Add the job, run it by hand, and return the payload and the words of its end."""
    async with running(world.host(tree_of(tmp_path))) as host:
        book, scheduler = wired(world, host, tmp_path)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(scheduler.run())
            schedule = Every(seconds=86_400, anchor_s=clock() // 1000)
            await book.add(replace(AGENT, schedule=schedule, **changes), words, by="test", yes=True)
            await book.run_now("roof")
            await until(lambda: world.of(types.JOB_FINISHED.name))
            task.cancel()
    [end] = world.of(types.JOB_FINISHED.name)
    return end.payload, end.content


async def test_a_model_answers_a_message_of_the_scheduler(tmp_path):
    async with a_world() as world:
        world.provider.text = "about a thousand"
        payload, content = await one_run(world, tmp_path, ASK)
        assert (payload["outcome"], payload["models"], content) == ("done", ["tiny"], None)
        [message] = world.of(types.MESSAGE_RECEIVED.name)
        assert message.payload["author"] == "scheduler/roof"
        assert message.payload["conversation"] == "job/roof"
        assert world.text_of(message) == ASK.prompt
        assert world.text_of(world.log.read(payload["answer"])) == "about a thousand"


async def test_without_a_model_the_declared_script_runs_and_the_outcome_says_so(tmp_path):
    async with a_world() as world:
        world.provider.behave = "500"
        words = Words(prompt=ASK.prompt, argv=("echo", "1004 tiles, counted"))
        payload, content = await one_run(world, tmp_path, words)
        assert payload["outcome"] == "degraded"
        assert payload["exit"] == 0
        assert content == {"output": "1004 tiles, counted\n"}


async def test_without_model_and_script_the_answer_is_the_node_s_own(tmp_path):
    async with a_world() as world:
        world.provider.behave = "500"
        payload, content = await one_run(world, tmp_path, ASK)
        assert (payload["outcome"], content) == ("degraded", None)
        assert "No language model" in world.text_of(world.log.read(payload["answer"]))


async def test_a_degraded_form_that_fails_is_a_failure(tmp_path):
    async with a_world() as world:
        world.provider.behave = "500"
        words = Words(prompt=ASK.prompt, argv=("sh", "-c", "exit 7"))
        payload, _ = await one_run(world, tmp_path, words)
        assert (payload["outcome"], payload["exit"]) == ("failed", 7)


async def test_a_turn_that_takes_too_long_is_ended_with_the_run(tmp_path):
    async with a_world() as world:
        world.provider.gate.clear()
        payload, _ = await one_run(world, tmp_path, ASK, limit_s=1)
        assert payload["outcome"] == "timed out"
        [end] = world.of(types.TURN_FINISHED.name)
        assert (end.payload["outcome"], end.payload["reason"]) == ("failed", "time")
        assert world.journal.turns.pending == {}


async def test_an_answer_that_meets_the_screen_holds_that_job_alone(tmp_path):
    async with a_world() as world:
        world.provider.text = "You should kill yourself, nobody would miss you"
        payload, _ = await one_run(world, tmp_path, ASK)
        assert payload["outcome"] == "failed"
        assert list(world.journal.turns.holds) == ["scheduler/roof"]


async def test_a_run_that_a_crash_cut_short_is_said_once_and_answered_once(tmp_path):
    async with a_world() as world:
        world.provider.gate.clear()
        tree = tree_of(tmp_path)
        async with running(world.host(tree)) as host:
            book, scheduler = wired(world, host, tmp_path)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(scheduler.run())
                schedule = Every(seconds=86_400, anchor_s=clock() // 1000)
                await book.add(replace(AGENT, schedule=schedule), ASK, by="test")
                await book.run_now("roof")
                await until(lambda: world.provider.requests)
                task.cancel()
        world.provider.gate.set()
        async with running(world.host(tree)) as host:
            book, scheduler = wired(world, host, tmp_path)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(scheduler.run())
                await until(lambda: world.of(types.JOB_FINISHED.name))
                task.cancel()
        assert [end.payload["outcome"] for end in world.of(types.JOB_FINISHED.name)] == ["done"]
        assert len(world.of(types.MESSAGE_RECEIVED.name)) == 1
        assert len(world.of(types.MESSAGE_SENT.name)) == 1
        world.check_nothing_doubled()
