"""Heartbeat, alarms and morning report: facts on record, made without a model."""

import pytest

from ledger.core import types
from ledger.core.event import Draft
from node.machine import read_machine
from runtime.core.alarms import Readings, raised
from runtime.core.cron import Cron
from runtime.core.errors import JobRefused
from runtime.core.jobs import built_in_id
from runtime.core.jobspec import JobSpec, Kind
from runtime.core.schedule import Every
from runtime.core.tally import alarms
from runtime.scheduler import Scheduler
from runtime.standing import BACKFILL, Standing

from .world import HOUR, T0, World

HEALTHY = {
    "disk_bytes": 1000 << 20,
    "disk_free_bytes": 500 << 20,
    "swap_bytes": 100 << 20,
    "swap_free_bytes": 90 << 20,
    "load_milli": 1234,
    "cores": 2,
}
PLANS = {
    Kind.HEARTBEAT: Every(seconds=900, anchor_s=0),
    Kind.REPORT: Cron.parse("0 6 * * *"),
}


class Home(World):
    """A world whose node has jobs of its own."""

    def __init__(self, log=None, clock=None, plans=PLANS, machine=None):
        super().__init__(log, clock)
        self.machine = dict(HEALTHY) if machine is None else machine
        made = Standing(journal=self.journal, machine=lambda: dict(self.machine), name="Timmy")
        ledger = self.log.ledger_id
        standing = {
            built_in_id(ledger, kind.value): JobSpec(
                name=kind.value, kind=kind, schedule=plan, backfill=BACKFILL[kind]
            )
            for kind, plan in plans.items()
        }
        self.scheduler = Scheduler(
            self.journal,
            self.book,
            runners={Kind.SCRIPT: self.work},
            instants={Kind.HEARTBEAT: made.beat, Kind.REPORT: made.report},
            standing=standing,
            timer=self._timer,
        )


async def test_a_heartbeat_every_quarter_of_an_hour_is_one_event_each():
    async with Home().running() as home:
        assert home.log.size == 1, "nothing is recorded before there is something to record"
        assert home.scheduler.awaited["heartbeat"] == T0 + 900
        for quarter in range(1, 9):
            await home.at(quarter / 4)
        beats = home.of(types.NODE_BEAT.name)
        assert [beat.payload["planned_s"] for beat in beats] == [
            T0 + 900 * quarter for quarter in range(1, 9)
        ]
        assert home.log.size == 1 + 1 + 8
        assert beats[0].payload["machine"] == HEALTHY
        assert types.NODE_BEAT.name in types.HOUSEKEEPING
        assert home.book.find("heartbeat").runs == 8


async def test_a_restart_beats_no_time_twice_and_a_night_off_is_said_once():
    async with Home().running() as home:
        await home.at(0.25)
    async with Home(home.log, home.clock).running() as second:
        await second.at(0.25)
        assert len(second.of(types.NODE_BEAT.name)) == 1
    second.clock.seconds = T0 + round(8.1 * HOUR)
    async with Home(home.log, home.clock).running() as third:
        [skipped] = third.of(types.JOB_SKIPPED.name)
        assert skipped.payload["count"] == 31
        assert len(third.of(types.NODE_BEAT.name)) == 1
        await third.at(8.25)
        assert len(third.of(types.NODE_BEAT.name)) == 2


async def test_an_alarm_is_raised_once_and_ended_when_its_cause_is_gone():
    async with Home().running() as home:
        await home.at(0.25)
        home.machine["disk_free_bytes"] = 99 << 20
        await home.at(0.5)
        await home.at(0.75)
        [raised_event] = home.of(types.NODE_ESCALATED.name)
        assert raised_event.payload["trigger"] == "disk"
        assert raised_event.payload["why"] == "9 % of the disk are free"
        [alarm] = alarms(home.journal.state.entries)
        assert (alarm.trigger, alarm.position) == ("disk", raised_event.position)
        home.machine["disk_free_bytes"] = 101 << 20
        await home.at(1)
        [ended] = home.of(types.NODE_RELIEVED.name)
        assert (ended.payload["trigger"], ended.payload["subject"]) == ("disk", "home")
        assert alarms(home.journal.state.entries) == []


async def test_a_message_without_an_answer_for_half_an_hour_is_told():
    async with Home().running() as home:
        payload = {"conversation": "main", "author": "ann", "gateway": "t", "screen": "pass"}
        draft = Draft(
            type="message.received", stream=bytes(16), payload=payload, content={"text": "well?"}
        )
        [message] = await home.log.append(draft)
        await home.at(0.5)
        assert home.of(types.NODE_ESCALATED.name) == []
        await home.at(0.75)
        [told] = home.of(types.NODE_ESCALATED.name)
        assert told.payload["subject"] == f"message {message.position}"
        assert home.of(types.NODE_BEAT.name)[-1].payload["waiting_s"] == 2700


async def test_a_run_that_hangs_is_told_while_its_limit_is_far_away_and_a_long_job_is_known():
    async with Home().running() as home:
        await home.add(name="sync", schedule=Every(seconds=6 * HOUR, anchor_s=T0), limit_s=86_400)
        home.work.gate.clear()
        await home.at(6)
        await home.at(6.5)
        assert home.of(types.NODE_ESCALATED.name) == []
        await home.at(6.75)
        [told] = home.of(types.NODE_ESCALATED.name)
        assert (told.payload["trigger"], told.payload["subject"]) == ("stuck", "job/sync")
        assert told.payload["why"] == "a run is under way for 45 minutes"
        home.work.gate.set()
        await home.settle()
        await home.at(7)
        assert alarms(home.journal.state.entries) == []
        home.work.gate.clear()
        await home.at(12)
        await home.at(13.5)
        assert len(home.of(types.NODE_ESCALATED.name)) == 1, "it took 45 minutes the last time"
        await home.at(13.75)
        assert len(home.of(types.NODE_ESCALATED.name)) == 2
        home.work.gate.set()


async def test_three_runs_that_fail_alike_are_told_and_refused_steps_too():
    async with Home().running() as home:
        home.work.outcome = "failed"
        await home.add(name="backup", schedule=Every(seconds=60, anchor_s=T0))
        for minute in (1, 2, 3):
            await home.at(minute / 60)
        step = {"refused": "no such file", "turn": bytes(16)}
        draft = Draft(type="turn.stepped", stream=bytes(16), payload=step)
        await home.log.append(draft, draft, draft)
        await home.at(0.25)
        told = {event.payload["subject"] for event in home.of(types.NODE_ESCALATED.name)}
        assert told == {"job/backup", "steps"}
        home.work.outcome = "done"
        await home.at(16 / 60)
        await home.at(0.5)
        assert alarms(home.journal.state.entries) == []


@pytest.mark.parametrize(
    ("readings", "triggers"),
    [
        (Readings(machine=HEALTHY), set()),
        (Readings(machine={}), set()),
        (Readings(machine={"disk_bytes": 1000, "disk_free_bytes": 100}), set()),
        (Readings(machine={"disk_bytes": 1000, "disk_free_bytes": 99}), {"disk"}),
        (Readings(machine={"swap_bytes": 100, "swap_free_bytes": 20}), set()),
        (Readings(machine={"swap_bytes": 100, "swap_free_bytes": 19}), {"swap"}),
        (Readings(machine={}, waiting=((7, 1800),)), set()),
        (Readings(machine={}, waiting=((7, 1801), (8, 5))), {"stuck"}),
        (Readings(machine={}, runs=(("sync", 1800, 0),)), set()),
        (Readings(machine={}, runs=(("sync", 1801, 300),)), {"stuck"}),
        (Readings(machine={}, runs=(("sync", 7200, 3600),)), set()),
        (Readings(machine={}, runs=(("sync", 7201, 3600),)), {"stuck"}),
        (Readings(machine={}, streaks=(("turn", "failed: limit", 2),)), set()),
        (Readings(machine={}, streaks=(("turn", "failed: limit", 3),)), {"failures"}),
        (Readings(machine={}, tool_errors=2), set()),
        (Readings(machine={}, tool_errors=3), {"tools"}),
    ],
)
def test_the_bounds_of_alarms(readings, triggers):
    assert {trigger for trigger, _ in raised(readings)} == triggers


async def test_the_morning_report_says_what_happened_since_the_last_one():
    home = Home()
    morning = (T0 // 86_400 + 1) * 86_400 + 6 * HOUR
    async with home.running():
        home.clock.seconds = morning - 30
        await home.add(name="backup", schedule=Every(seconds=60, anchor_s=morning - 70))
        home.work.outcome = "failed"
        home.clock.seconds = morning
        home.book.changed.set()
        await home.settle()
        [first] = home.of(types.NODE_REPORTED.name)
        assert "1 runs of jobs ended" not in first.content["text"]
        home.clock.seconds = morning + 86_400
        home.book.changed.set()
        await home.settle()
        second = home.of(types.NODE_REPORTED.name)[-1]
        text = second.content["text"]
        assert text.startswith("# Timmy, 20")
        assert "06:00+00:00" in text
        assert "- job backup: " in text
        assert "- disk: 500 of 1000 MiB free" in text
        assert "- load: 1.23 on 2 cores" in text
        assert "runs of jobs ended failed" in text
        assert second.payload["tallies"]["tally/job/failed"] >= 1


async def test_a_report_that_was_missed_is_made_when_the_node_is_back():
    home = Home()
    morning = (T0 // 86_400 + 1) * 86_400 + 6 * HOUR
    async with home.running():
        home.clock.seconds = morning
        home.book.changed.set()
        await home.settle()
    home.clock.seconds = morning + 30 * HOUR
    async with Home(home.log, home.clock).running() as second:
        reports = second.of(types.NODE_REPORTED.name)
        assert [event.payload["planned_s"] for event in reports] == [morning, morning + 24 * HOUR]


async def test_a_plan_that_changes_in_the_configuration_changes_in_the_ledger():
    async with Home().running() as home:
        await home.at(0.25)
    hourly = {Kind.HEARTBEAT: Every(seconds=HOUR, anchor_s=0)}
    async with Home(home.log, home.clock, plans=hourly).running() as second:
        assert [event.type for event in second.of(types.JOB_CHANGED.name)] == ["job.changed"]
        await second.at(0.5)
        assert len(second.of(types.NODE_BEAT.name)) == 1
        await second.at(1)
        assert len(second.of(types.NODE_BEAT.name)) == 2
    async with Home(home.log, home.clock, plans={}).running() as third:
        assert list(third.book.jobs) == []
        assert third.seconds is None


async def test_the_node_s_own_jobs_are_not_removed_or_run_by_hand_but_may_pause():
    async with Home().running() as home:
        await home.at(0.25)
        for refused in (home.book.remove("heartbeat", by="test"), home.book.run_now("heartbeat")):
            with pytest.raises(JobRefused) as error:
                await refused
            assert error.value.hint
        await home.book.pause("heartbeat", by="test")
        await home.at(2)
        assert len(home.of(types.NODE_BEAT.name)) == 1


def test_a_machine_tells_whole_numbers(tmp_path):
    found = read_machine(tmp_path)
    assert found["disk_bytes"] >= found["disk_free_bytes"] > 0
    assert found["cores"] >= 1
    assert all(type(value) is int for value in found.values())
    assert "disk_bytes" not in read_machine(tmp_path / "none")
