"""Runs that a fleet shares, at one member: awaited on record, then claimed with a fence, or left.

What the fleet says is the test's to choose here; tests/node/test_node_shared_jobs.py has real ones.
"""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core import types
from ledger.core.event import Draft
from runtime.core.cases import Cases, Held
from runtime.core.errors import JobRefused
from runtime.core.jobs import claim_key, run_id, shared_id
from runtime.core.jobspec import Backfill, JobSpec, Kind, Mode, Overlap, Shared, Words
from runtime.core.limits import JOB_CASES_MAX, JOB_CASES_PER_JOB_MAX, JOB_SHARED_S_MAX
from runtime.core.report import make_report
from runtime.core.schedule import Every, On
from runtime.core.tally import tallies
from runtime.sharing import Left, Mine
from tests.runtime.world import until

from .world import HOUR, SPEC, T0, TRUE, World

FLEET, KEY, OTHER = b"f" * 32, b"k" * 32, b"o" * 32
QUORUM = Shared(fleet=FLEET, mode=Mode.QUORUM)
SHARED = replace(SPEC, schedule=Every(seconds=HOUR, anchor_s=0), shared=QUORUM)
MINE = Mine(fence=b"e" * 16, manifest=b"m" * 32)
BY_OTHER = Left(why="done by other", holder=OTHER)


class Says:
    """A fleet that says what the test has it say, when the test has it say it."""

    def __init__(self, *ends) -> None:
        self.ends = list(ends)
        self.asked, self.told = [], []
        self.gate = asyncio.Event()
        self.gate.set()

    def turn(self, run, shared):
        return {"first": OTHER, "name": "other", "manifest": b"m" * 32}

    async def decide(self, case, shared):
        self.asked.append((case.planned_s - T0) // 60)
        await self.gate.wait()
        return self.ends.pop(0) if self.ends else BY_OTHER

    def serve(self, has):
        self.has = has

    async def began(self, case, mine):
        self.told.append(((case.planned_s - T0) // 60, mine.fence))


def world(*ends, again=None):
    duty = Says(*ends)
    return World(duty=duty) if again is None else World(again.log, again.clock, duty)


async def add(made, **changes):
    spec = replace(SHARED, **changes)
    event = await made.book.add(spec, TRUE, by="test")
    await made.settle()
    return event.payload["job"]


async def decided(made, count):
    """Return once so many runs are decided, and what is begun has ended."""
    async with asyncio.timeout(60):
        while len(made.of("job.awaited")) - len(made.book.cases) < count:
            await asyncio.sleep(0.001)
    await made.settle()


# ---- what a shared job is ------------------------------------------------------------------------


def test_one_job_has_one_id_at_every_member_however_each_holds_it():
    same = [
        SHARED,
        replace(SHARED, limit_s=9, confined=False, repeatable=True),
        replace(SHARED, backfill=Backfill.ALL, overlap=Overlap.WAIT),
    ]
    assert len({shared_id(spec, TRUE) for spec in same}) == 1
    others = [
        (replace(SHARED, name="other"), TRUE),
        (replace(SHARED, schedule=Every(seconds=2 * HOUR, anchor_s=0)), TRUE),
        (replace(SHARED, zone="Europe/Berlin"), TRUE),
        (replace(SHARED, shared=replace(QUORUM, fleet=b"g" * 32)), TRUE),
        (replace(SHARED, shared=replace(QUORUM, mode=Mode.OWNER)), TRUE),
        (replace(SHARED, shared=Shared(fleet=FLEET, mode=Mode.PINNED, member=KEY)), TRUE),
        (replace(SHARED, shared=Shared(fleet=FLEET, mode=Mode.PINNED, member=OTHER)), TRUE),
        (SHARED, Words(argv=("true", ""))),
        (replace(SHARED, kind=Kind.AGENT), Words(argv=("true",), prompt="x")),
    ]
    ids = {shared_id(spec, words) for spec, words in [(SHARED, TRUE), *others]}
    assert len(ids) == len(others) + 1
    assert shared_id(SHARED, TRUE).hex() == "4ee197a280768d78145795465a7ceb52"


@given(
    st.builds(
        Shared,
        fleet=st.binary(min_size=32, max_size=32),
        mode=st.sampled_from([Mode.OWNER, Mode.QUORUM]),
    )
)
def test_how_it_is_shared_reads_back(shared):
    spec = replace(SHARED, shared=shared)
    assert JobSpec.from_value(spec.to_value()) == spec
    assert "shared" not in SPEC.to_value(), "jobs of one node stand in the ledger as before"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Shared(fleet=b"short", mode=Mode.OWNER),
        lambda: Shared(fleet=FLEET, mode=Mode.PINNED),
        lambda: Shared(fleet=FLEET, mode=Mode.OWNER, member=KEY),
        lambda: replace(SHARED, schedule=Every(seconds=HOUR, anchor_s=T0)),
        lambda: replace(SHARED, schedule=On(type="patch.judged")),
        lambda: replace(SHARED, name="heartbeat", kind=Kind.HEARTBEAT),
        lambda: JobSpec.from_value(SHARED.to_value() | {"shared": {"mode": "quorum"}}),
        lambda: JobSpec.from_value(
            SHARED.to_value() | {"shared": QUORUM.to_value() | {"mode": "boss"}}
        ),
    ],
    ids=["fleet", "to nobody", "owner's", "anchor", "follows", "own", "half", "mode"],
)
def test_what_could_not_be_the_same_at_every_member_is_refused(wrong):
    with pytest.raises(JobRefused):
        wrong()


async def test_a_shared_job_is_changed_in_how_it_is_held_and_not_in_what_it_is():
    async with world().running() as made:
        known = await add(made)
        job = made.book.jobs.get(known)
        await made.book.change(job, replace(SHARED, limit_s=9), TRUE, by="test")
        assert made.book.jobs.get(known).spec.limit_s == 9
        for spec, words in (
            (replace(SHARED, zone="Europe/Berlin"), TRUE),
            (SHARED, Words(argv=("x",))),
        ):
            with pytest.raises(JobRefused, match="other members"):
                await made.book.change(job, spec, words, by="test")


# ---- who does a run ------------------------------------------------------------------------------


async def test_a_run_that_is_ours_is_claimed_with_its_fence_told_and_done():
    async with world(MINE).running() as made:
        job = await add(made)
        await made.at(1)
        await decided(made, 1)
        [awaited], [started] = made.of("job.awaited"), made.of("job.started")
        run = run_id(job, T0 + HOUR)
        assert (awaited.payload["run"], awaited.payload["first"]) == (run, OTHER)
        assert awaited.payload["until_s"] == T0 + HOUR + JOB_SHARED_S_MAX
        assert started.payload["fence"] == MINE.fence
        assert started.envelope.idempotency_key == claim_key(run, 1)
        assert made.duty.told == [(60, MINE.fence)]
        assert made.work.begun == [("tidy", 60, 1)]
        assert made.of("job.finished")[0].payload["outcome"] == "done"
        assert made.book.jobs.get(job).held == Held(
            planned_s=T0 + HOUR, member=b"", fence=MINE.fence
        )


async def test_a_run_of_another_is_skipped_and_says_whose_it_was():
    async with world(BY_OTHER).running() as made:
        job = await add(made)
        await made.at(1)
        await decided(made, 1)
        [skipped] = made.of("job.skipped")
        assert skipped.payload["reason"] == "done by other"
        assert (skipped.payload["run"], skipped.payload["holder"]) == (
            run_id(job, T0 + HOUR),
            OTHER,
        )
        assert made.work.begun == []
        assert made.book.jobs.get(job).held.member == OTHER
        await made.at(1)
        assert len(made.of("job.awaited")) == 1, "nothing is due up to it"


async def test_the_next_run_does_not_wait_for_the_decision_about_one():
    """The second is decided first: the first is still begun, and neither comes again."""
    async with world(MINE, MINE).running() as made:
        made.duty.gate.clear()
        job = await add(made)
        await made.at(1)
        await made.at(2)
        assert made.duty.asked == [60, 120]
        assert made.book.jobs.get(job).waiting == 2
        made.duty.gate.set()
        await decided(made, 2)
        assert sorted(minute for _, minute, _ in made.work.begun) == [60, 120]
        await made.at(2.5)
        assert len(made.of("job.awaited")) == 2


@pytest.mark.parametrize(
    ("backfill", "overlap", "asked"),
    [
        (Backfill.SKIP, Overlap.SKIP, []),
        (Backfill.LATEST, Overlap.SKIP, [300]),
        (Backfill.ALL, Overlap.WAIT, [60, 120, 180, 240, 300]),
    ],
)
async def test_what_the_whole_fleet_missed_follows_the_rule_of_the_job(backfill, overlap, asked):
    async with world().running() as made:
        await add(made, backfill=backfill, overlap=overlap)
    made.clock.seconds = T0 + round(5.5 * HOUR)
    async with world(*[MINE] * 5, again=made).running() as second:
        await decided(second, len(asked))
        assert second.duty.asked == asked
        assert [minute for _, minute, _ in second.work.begun] == asked
        reasons = {event.payload["reason"] for event in second.of("job.skipped")}
        assert reasons <= {"missed"}
        assert sum(event.payload["count"] for event in second.of("job.skipped")) == 5 - len(asked)


async def test_what_is_made_up_for_comes_one_after_the_other():
    async with world().running() as made:
        await add(made, backfill=Backfill.ALL, overlap=Overlap.WAIT)
    made.clock.seconds = T0 + round(3.5 * HOUR)
    second = world(again=made)
    second.duty.gate.clear()
    async with second.running():
        assert len(second.book.cases) == 1
        second.book.changed.set()
        await second.settle()
        assert len(second.book.cases) == 1


async def test_no_more_is_awaited_than_there_is_room_for():
    async with world().running() as made:
        made.duty.gate.clear()
        await add(made)
        for hours in range(1, JOB_CASES_PER_JOB_MAX + 4):
            await made.at(hours)
        assert len(made.book.cases) == JOB_CASES_PER_JOB_MAX
        assert JOB_CASES_PER_JOB_MAX < JOB_CASES_MAX


# ---- restarts ------------------------------------------------------------------------------------


async def test_what_was_awaited_at_a_crash_is_asked_about_again():
    async with world().running() as made:
        made.duty.gate.clear()
        await add(made)
        await made.at(1)
    async with world(MINE, again=made).running() as second:
        await decided(second, 1)
        assert second.work.begun == [("tidy", 60, 1)]
        assert len(second.of("job.awaited")) == 1


async def test_after_a_start_the_others_are_told_again_while_they_may_ask():
    async with world(MINE, MINE).running() as made:
        await add(made)
        for hours, count in ((1, 1), (2, 2)):
            await made.at(hours)
            await decided(made, count)
    made.clock.seconds = T0 + 2 * HOUR + JOB_SHARED_S_MAX
    async with world(again=made).running() as second:
        await until(lambda: second.duty.told)
        assert second.duty.told == [(120, MINE.fence)]
    made.clock.seconds += 1
    async with world(again=made).running() as third:
        await third.settle()
        assert third.duty.told == []


async def test_a_run_that_a_crash_cut_short_is_not_begun_again_unless_it_may():
    for repeatable, attempts in ((False, [1]), (True, [1, 2])):
        async with world(MINE).running() as made:
            await add(made, repeatable=repeatable)
            made.work.gate.clear()
            await made.at(1)
            await until(lambda made=made: made.work.begun)
        async with world(again=made).running() as second:
            await second.settle()
            claims = second.of("job.started")
            assert [event.payload["attempt"] for event in claims] == attempts
            assert {event.payload["fence"] for event in claims} == {MINE.fence}
            assert second.duty.asked == []


# ---- what happens meanwhile ----------------------------------------------------------------------


async def test_a_job_that_is_removed_or_paused_meanwhile_is_not_run():
    async with world(MINE).running() as made:
        made.duty.gate.clear()
        await add(made)
        await made.at(1)
        await made.book.remove("tidy", by="test")
        assert len(made.book.cases) == 0
        made.duty.gate.set()
        await made.settle()
    async with world(MINE).running() as made:
        made.duty.gate.clear()
        await add(made)
        await made.at(1)
        await made.book.pause("tidy", by="test")
        made.duty.gate.set()
        await decided(made, 1)
        assert [event.payload["reason"] for event in made.of("job.skipped")] == ["paused"]
        assert made.duty.told == []


async def test_a_clock_that_goes_back_repeats_nothing_and_a_job_that_comes_back_neither():
    async with world().running() as made:
        await add(made)
        for hours in (1, 2, 3, 4):
            await made.at(hours)
            await decided(made, hours)
        await made.at(1.5)
        await made.at(2)
        await made.at(2.1)
        assert made.duty.asked == [60, 120, 180, 240]
        await made.book.remove("tidy", by="test")
        made.clock.seconds = T0 + HOUR - 10
        await add(made)
        await made.at(1)
        assert made.duty.asked == [60, 120, 180, 240]


async def test_the_report_tells_what_others_did_from_what_nobody_did():
    ends = [MINE, BY_OTHER, BY_OTHER, Left(why="1 of 3 voters, 2 needed")]
    async with world(*ends).running() as made:
        await add(made)
        before = tallies(made.journal.state.entries)
        for hours in (1, 2, 3, 4):
            await made.at(hours)
            await decided(made, hours)
        now = tallies(made.journal.state.entries)
        made_of = {"title": "x", "alarms": (), "failing": (), "machine": {}}
        report = make_report(before=before, now=now, **made_of)
        assert "- 2 runs of shared jobs done by other members" in report
        assert "- 1 runs of shared jobs left: 1 of 3 voters, 2 needed" in report
        assert "skipped" not in report


async def test_events_of_another_shape_are_passed_over():
    async with world().running() as made:
        job = await add(made)
        for kind in (types.JOB_AWAITED, types.JOB_SKIPPED, types.JOB_STARTED, types.JOB_REMOVED):
            for payload in ({}, {"job": 1}, {"job": b"x", "run": 1}, {"job": job[:4], "run": b"r"}):
                await made.log.append(Draft(type=kind.name, stream=bytes(16), payload=payload))
        half = {"job": job, "run": b"r" * 16, "planned_s": "soon"}
        await made.log.append(Draft(type="job.awaited", stream=job, payload=half))
        assert made.book.cases.open() == []
        assert Cases({}).open() == []


async def test_who_has_not_got_the_job_of_a_run_can_say_so():
    async with world().running() as made:
        job = await add(made)
        has = made.duty.has
        assert has(run_id(job, T0 + HOUR), T0 + HOUR)
        assert not has(run_id(job, T0 + HOUR), T0), "a run of another time"
        assert not has(run_id(b"j" * 16, T0 + HOUR), T0 + HOUR)
        own = await made.book.add(replace(SPEC, name="own"), TRUE, by="test")
        alone = own.payload["job"]
        assert not has(run_id(alone, T0 + HOUR), T0 + HOUR), "no member's turn but its own"
