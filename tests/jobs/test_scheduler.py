"""The loop: every planned time has one run or a reason why not, whatever happens meanwhile."""

from collections import Counter
from dataclasses import replace

import pytest

from ledger.core import types
from ledger.core.errors import NotFound
from ledger.core.event import Draft
from runtime.core.cron import Cron
from runtime.core.errors import JobRefused
from runtime.core.jobs import claim_key, run_id
from runtime.core.jobspec import Backfill, Kind, Overlap, Words
from runtime.core.limits import JOB_ATTEMPTS_MAX, JOB_RUNS_MAX, JOBS_MAX
from runtime.core.schedule import Every, On, Once
from runtime.scheduler import SLEEP_S_MAX
from tests.runtime.world import until

from .world import HOUR, SPEC, T0, TRUE, World


async def test_a_job_runs_once_at_each_planned_time():
    async with World().running() as world:
        await world.add()
        for hours in (0.5, 1, 1, 1.5, 2, 2.99, 3):
            await world.at(hours)
        assert world.work.begun == [("tidy", 60, 1), ("tidy", 120, 1), ("tidy", 180, 1)]
        assert [event.payload["outcome"] for event in world.of("job.finished")] == ["done"] * 3
        assert world.of("job.finished")[0].content == {"output": "some output"}
        assert world.of("job.skipped") == []


async def test_it_sleeps_until_the_next_time_and_a_minute_at_most():
    async with World().running() as world:
        assert world.seconds is None, "without jobs nothing but a change wakes it"
        await world.add()
        assert world.seconds == SLEEP_S_MAX
        await world.at(1 - 10 / HOUR)
        assert world.seconds == 10


async def test_a_restart_runs_nothing_twice():
    async with World().running() as world:
        job = await world.add()
        await world.at(1)
    async with world.again().running() as second:
        await second.at(1)
        assert second.work.begun == []
        assert len(second.of("job.started")) == 1
        await second.at(2)
        assert second.work.begun == [("tidy", 120, 1)]
    assert second.log.find(claim_key(run_id(job, T0 + HOUR), 1)).position > 0


async def test_a_node_on_a_copy_claims_under_the_same_names():
    """Whoever runs the other's ledger on finds every run of it claimed."""
    claims = []
    for _ in range(2):
        async with World().running() as world:
            await world.book.add(SPEC, TRUE, by="test", job=bytes(16))
            await world.at(1)
            claims.append([event.envelope.idempotency_key for event in world.of("job.started")])
    assert claims[0] == claims[1]
    assert len(claims[0]) == 1


@pytest.mark.parametrize(
    ("backfill", "overlap", "runs", "skipped"),
    [
        (Backfill.SKIP, Overlap.SKIP, [], 5),
        (Backfill.LATEST, Overlap.SKIP, [300], 4),
        (Backfill.ALL, Overlap.WAIT, [60, 120, 180, 240, 300], 0),
    ],
)
async def test_what_was_missed_while_the_node_was_off(backfill, overlap, runs, skipped):
    async with World().running() as world:
        await world.add(backfill=backfill, overlap=overlap)
    world.clock.seconds = T0 + round(5.5 * HOUR)
    async with world.again().running() as second:
        assert [minute for _, minute, _ in second.work.begun] == runs
        assert sum(event.payload["count"] for event in second.of("job.skipped")) == skipped
        assert all(event.payload["reason"] == "missed" for event in second.of("job.skipped"))
        await second.at(6)
        assert [minute for _, minute, _ in second.work.begun] == [*runs, 360]


@pytest.mark.parametrize(
    ("overlap", "begun", "skipped"),
    [(Overlap.SKIP, [60], 2), (Overlap.WAIT, [60], 0), (Overlap.PARALLEL, [60, 120, 180], 0)],
)
async def test_what_comes_while_a_run_is_under_way(overlap, begun, skipped):
    async with World().running() as world:
        await world.add(overlap=overlap)
        world.work.gate.clear()
        for hours in (1, 2, 3):
            await world.at(hours)
        assert [minute for _, minute, _ in world.work.begun] == begun
        assert len(world.of("job.skipped")) == skipped
        world.work.gate.set()
        await world.settle()
        last = [minute for _, minute, _ in world.work.begun][-1]
        assert last == (60 if overlap is Overlap.SKIP else 180)
        assert world.book.jobs.open_runs() == []


async def test_no_more_run_at_once_than_the_machine_can_give():
    async with World().running() as world:
        world.work.gate.clear()
        for number in range(JOB_RUNS_MAX + 2):
            await world.add(name=f"job-{number}")
        await world.at(1)
        assert len(world.work.begun) == JOB_RUNS_MAX
        world.work.gate.set()
        await world.settle()
        assert Counter(name for name, *_ in world.work.begun) == Counter(
            f"job-{number}" for number in range(JOB_RUNS_MAX + 2)
        )


async def test_a_script_that_a_crash_cut_short_is_ended_as_interrupted():
    async with World().running() as world:
        await world.add()
        world.work.gate.clear()
        await world.at(1)
    async with world.again().running() as second:
        [end] = second.of("job.finished")
        assert end.payload["outcome"] == "interrupted"
        assert end.envelope.causes[0].position == second.of("job.started")[0].position
        assert second.work.begun == []


async def test_a_repeatable_script_runs_again_and_not_for_ever():
    world = World()
    async with world.running():
        await world.add(repeatable=True)
        world.work.gate.clear()
        await world.at(1)
    for attempt in range(2, JOB_ATTEMPTS_MAX + 1):
        world = world.again()
        world.work.gate.clear()
        async with world.running():
            assert world.work.begun == [("tidy", 60, attempt)]
    async with world.again().running() as last:
        assert last.work.begun == []
        assert [event.payload["outcome"] for event in last.of("job.finished")] == ["interrupted"]
        assert len({event.payload["run"] for event in last.of("job.started")}) == 1


async def test_an_agent_job_goes_on_after_a_crash():
    async with World().running() as world:
        await world.add(Words(prompt="how is the roof"), kind=Kind.AGENT)
        world.work.gate.clear()
        await world.at(1)
    async with world.again().running() as second:
        assert second.work.begun == [("tidy", 60, 1)]
        assert len(second.of("job.started")) == 1
        assert [event.payload["outcome"] for event in second.of("job.finished")] == ["done"]


async def test_a_clock_that_jumps_back_and_forth_doubles_nothing():
    async with World().running() as world:
        await world.add()
        for hours in (1, 2, 1.01, 2, 1.5, 2.05, 3):
            await world.at(hours)
        assert [minute for _, minute, _ in world.work.begun] == [60, 120, 180]
        assert {event.payload["reason"] for event in world.of("job.skipped")} == {
            "already run",
            "the clock went back",
        }


async def test_a_clock_set_ahead_by_mistake_does_not_silence_a_job():
    async with World().running() as world:
        await world.add()
        await world.at(8760)
        assert world.work.begun == [("tidy", 8760 * 60, 1)]
        await world.at(1.5)
        await world.at(2)
        assert world.work.begun[1:] == [("tidy", 120, 1)]


async def test_the_night_without_half_past_two_and_the_night_with_two_of_them():
    march, october = 1774652400, 1792792800  # 28 March and 24 October 2026, midnight in Berlin
    for start, planned in (
        (march, ["01:30", "01:00", "00:30"]),
        (october, ["00:30", "00:30", "01:30"]),
    ):
        world = World()
        world.clock.seconds = start
        async with world.running():
            await world.add(schedule=Cron.parse("30 2 * * *"), zone="Europe/Berlin")
            for half_hour in range(1, 3 * 48):
                world.clock.seconds = start + 1800 * half_hour
                world.book.changed.set()
                await world.settle()
            times = [event.payload["planned_s"] % 86_400 for event in world.of("job.started")]
            assert [f"{at // 3600:02}:{at // 60 % 60:02}" for at in times] == planned


async def test_a_moment_comes_once_and_the_job_is_then_done():
    async with World().running() as world:
        await world.add(schedule=Once(at_s=T0 + 90))
        assert world.seconds == 60
        await world.at(1 / 30)
        await world.at(5)
        assert len(world.work.begun) == 1
        assert world.book.next_due(world.book.find("tidy")) is None
        assert world.seconds is None


async def test_pausing_resuming_and_removing():
    async with World().running() as world:
        job = await world.add()
        await world.book.pause("tidy", by="test")
        await world.at(3)
        assert world.work.begun == []
        with pytest.raises(JobRefused, match="is paused"):
            await world.book.pause("tidy", by="test")
        await world.book.resume("tidy", by="test")
        await world.settle()
        assert world.of("job.skipped") == [], "what a pause passed over is not missed"
        await world.at(4)
        assert [minute for _, minute, _ in world.work.begun] == [240]
        await world.book.remove(job.hex()[:8], by="test")
        await world.at(5)
        assert len(world.work.begun) == 1
        assert [event.type for event in world.book.history(job, last=99)] == [
            "job.added", "job.paused", "job.resumed", "job.started", "job.finished", "job.removed",
        ]  # fmt: skip
        with pytest.raises(NotFound):
            world.book.find("tidy")


async def test_a_run_by_hand_leaves_the_plan_as_it_is():
    async with World().running() as world:
        await world.add()
        await world.at(0.5)
        await world.book.run_now("tidy")
        await world.settle()
        await world.at(1)
        assert [event.payload["trigger"] for event in world.of("job.started")] == [
            "manual",
            "schedule",
        ]
        world.work.gate.clear()
        await world.book.run_now("tidy")
        with pytest.raises(JobRefused, match="under way"):
            await world.book.run_now("tidy")


async def test_a_failing_runner_ends_the_run_and_not_the_node():
    async with World().running() as world:

        async def broken(run, job, words):
            raise OSError(2, "No such file", "/scripts/of-ada")

        world.scheduler._runners = {Kind.SCRIPT: broken}
        await world.add()
        for hours in (1, 2, 3):
            await world.at(hours)
        ends = [event.payload for event in world.of("job.finished")]
        assert [end["outcome"] for end in ends] == ["failed"] * 3
        assert ends[0]["reason"] == "No such file"
        [first, *_] = world.of("job.finished")
        assert "of-ada" in first.content["output"], "words are content, and can be erased"
        assert "of-ada" not in str(first.payload)
        assert world.book.find("tidy").fails == 3


async def test_a_job_whose_words_were_erased_fails_and_says_why():
    async with World().running() as world:
        await world.add()
        [added] = world.of("job.added")
        draft = world.log.redaction([added.position], reason="private", actor="operator")
        await world.log.append(draft)
        await world.at(1)
        [end] = world.of("job.finished")
        assert end.payload["reason"] == "what it runs was erased"
        assert world.work.begun == []


async def test_what_cannot_be_a_job_is_refused_when_it_is_added():
    async with World().running() as world:
        await world.add()
        size = world.log.size
        refused = [
            (SPEC, TRUE, "there is a job"),
            (replace(SPEC, name="x", schedule=Once(at_s=T0 - 1)), TRUE, "no time to come"),
            (replace(SPEC, name="x", zone="Mars/Olympus"), TRUE, "unknown time zone"),
            (replace(SPEC, name="x"), Words(), "without a command"),
            (replace(SPEC, name="x", kind=Kind.AGENT), TRUE, "says something"),
            (
                replace(SPEC, name="x", kind=Kind.AGENT),
                Words(prompt="I want to kill myself tonight"),
                "crisis screen",
            ),
        ]
        for spec, words, why in refused:
            with pytest.raises(JobRefused, match=why) as error:
                await world.book.add(spec, words, by="test")
            assert error.value.hint
        world.book._confines = False
        with pytest.raises(JobRefused, match="cannot be confined"):
            await world.book.add(replace(SPEC, name="x"), TRUE, by="test")
        await world.book.add(replace(SPEC, name="x", confined=False), TRUE, by="test", yes=True)
        assert world.log.size == size + 1


async def test_jobs_are_bounded_in_number():
    world = World()
    added = {"spec": SPEC.to_value(), "at_s": T0, "depth": 0, "by": "test"}
    drafts = [
        Draft(
            type="job.added", stream=bytes(16), payload=added | {"job": number.to_bytes(16, "big")}
        )
        for number in range(JOBS_MAX)
    ]
    await world.log.append(*drafts)
    with pytest.raises(JobRefused, match=f"at most {JOBS_MAX}"):
        await world.book.add(replace(SPEC, name="one-more"), TRUE, by="test")


async def test_jobs_that_add_jobs_end_at_a_depth():
    async with World().running() as world:
        world.work.gate.clear()
        await world.add(overlap=Overlap.PARALLEL)
        parent = (await world.book.run_now("tidy")).payload["run"]
        await world.book.add(replace(SPEC, name="child"), TRUE, by="agent", parent=parent)
        assert world.book.find("child").depth == 1
        deeper = (await world.book.run_now("child")).payload["run"]
        with pytest.raises(JobRefused, match="depth 1"):
            await world.book.add(replace(SPEC, name="grandchild"), TRUE, by="agent", parent=deeper)
        with pytest.raises(JobRefused, match="not under way"):
            await world.book.add(replace(SPEC, name="orphan"), TRUE, by="agent", parent=bytes(16))


async def test_a_day_of_jobs_replays_to_the_same_state():
    async with World().running() as world:
        await world.add(overlap=Overlap.WAIT, backfill=Backfill.ALL)
        await world.add(name="often", schedule=Every(seconds=900, anchor_s=T0))
        for quarter in range(1, 97):
            await world.at(quarter / 4)
        assert len(world.of(types.JOB_STARTED.name)) == 24 + 96
        runs = Counter(event.payload["run"] for event in world.of(types.JOB_FINISHED.name))
        assert set(runs.values()) == {1}
        assert world.again().journal.state.digest() == world.journal.state.digest()


async def happens(world, kind="patch.judged", **payload):
    [event] = await world.log.append(Draft(type=kind, stream=bytes(16), payload=payload))
    await world.settle_after(event)
    return event


async def test_a_job_follows_events_and_those_of_one_minute_together():
    async with World().running() as world:
        await world.add(schedule=On(type="patch.judged"))
        assert world.seconds is None
        await happens(world, "patch.proposed")
        assert world.work.begun == []
        [first] = await world.log.append(Draft(type="patch.judged", stream=bytes(16), payload={}))
        await until(lambda: world.work.begun)  # nobody but the event wakes it
        await world.settle()
        assert len(world.work.begun) == 1
        [claim] = world.of("job.started")
        assert [cause.position for cause in claim.envelope.causes] == [first.position]
        await happens(world)
        await happens(world)
        assert len(world.work.begun) == 1, "within a minute of the run before"
        assert world.seconds == 60
        await world.at(61 / HOUR)
        assert len(world.work.begun) == 2
        await world.at(1)
        assert len(world.work.begun) == 2
        assert world.of("job.skipped") == []


async def test_events_that_come_during_a_run_have_one_run_after_it():
    async with World().running() as world:
        await world.add(schedule=On(type="patch.judged"))
        world.work.gate.clear()
        for _ in range(3):
            await happens(world)
        assert len(world.work.begun) == 1
        world.work.gate.set()
        await world.at(1)
        await world.at(2)
        assert len(world.work.begun) == 2
        assert [event.payload["number"] for event in world.of("job.started")] == [1, 3]


async def test_an_event_that_came_while_no_scheduler_ran_has_its_run_at_the_start():
    async with World().running() as world:
        await world.add(schedule=On(type="patch.judged"))
    await world.log.append(Draft(type="patch.judged", stream=bytes(16), payload={}))
    async with world.again().running() as second:
        assert len(second.work.begun) == 1
    async with second.again().running() as third:
        assert third.work.begun == []


async def test_what_jobs_say_wakes_no_job_and_neither_does_a_paused_one():
    async with World().running() as world:
        await world.add(schedule=On(type="message.sent"))
        await happens(world, "message.sent", conversation="job/news")
        assert world.work.begun == []
        await world.book.pause("tidy", by="test")
        await happens(world, "message.sent", conversation="main")
        await world.book.resume("tidy", by="test")
        await world.settle()
        assert world.work.begun == []
        await happens(world, "message.sent", conversation="main")
        assert len(world.work.begun) == 1
        await world.book.remove("tidy", by="test")
        assert "on" not in world.journal.state.entries
