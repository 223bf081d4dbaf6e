"""Jobs as facts: no payload breaks the reducers, and what they hold leads to one plan."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core import types
from ledger.core.codec import encode
from ledger.core.event import Cause
from ledger.core.state import State
from runtime.core.cron import Cron
from runtime.core.due import Skip, Step, decide, next_due
from runtime.core.errors import JobRefused
from runtime.core.jobs import Jobs, claim_key, reduce_jobs, run_id
from runtime.core.jobspec import Backfill, JobSpec, Kind, Overlap, Words
from runtime.core.limits import BACKFILL_RUNS_MAX, ON_TIME_S_MAX
from runtime.core.schedule import Every, On, Once, Watch
from runtime.core.tally import alarms, reduce_tally, reported, streaks, tallies

HOUR = 3600
T0 = 1_790_000_000 // HOUR * HOUR
JOB = bytes(range(16))
SPEC = JobSpec(name="tidy", kind=Kind.SCRIPT, schedule=Every(seconds=HOUR, anchor_s=T0))


def utc(_moment):
    return 0


class Told:
    """A state that is told events one by one."""

    def __init__(self, *events):
        self.state = State((reduce_jobs, reduce_tally))
        for kind, payload in events:
            self.tell(kind, **payload)

    def tell(self, kind, **payload):
        position = self.state.size
        cause = Cause(position=position, id=bytes(32))
        self.state.apply(
            SimpleNamespace(
                position=position,
                type=kind,
                payload=payload,
                stream=JOB,
                cause=cause,
                ts_ms=T0 * 1000,
            )
        )
        self.state.digest()  # encodes every entry that changed
        return self

    @property
    def job(self):
        return Jobs(self.state.entries).get(JOB)

    def added(self, spec=SPEC, at_s=T0):
        return self.tell("job.added", job=JOB, spec=spec.to_value(), at_s=at_s, depth=0)

    def started(self, planned_s, at_s=None, **more):
        facts = {"attempt": 1, "trigger": "schedule", "at_s": at_s or planned_s} | more
        run = run_id(JOB, planned_s)
        return self.tell("job.started", job=JOB, run=run, planned_s=planned_s, **facts)

    def finished(self, planned_s, at_s, outcome="done"):
        run = run_id(JOB, planned_s)
        return self.tell("job.finished", job=JOB, run=run, outcome=outcome, at_s=at_s)


def test_a_life_of_a_job():
    told = Told().added()
    assert (told.job.spec, told.job.cursor_s, told.job.words) == (SPEC, T0, 0)
    told.started(T0 + HOUR)
    assert [run.planned_s for run in Jobs(told.state.entries).open_runs()] == [T0 + HOUR]
    assert told.job.open == (run_id(JOB, T0 + HOUR),)
    told.finished(T0 + HOUR, T0 + HOUR + 5, "failed")
    assert (told.job.fails, told.job.why, told.job.open) == (1, "failed", ())
    assert told.job.last.ended_s == T0 + HOUR + 5
    told.started(T0 + 2 * HOUR).finished(T0 + 2 * HOUR, T0 + 2 * HOUR + 1, "timeout")
    assert (told.job.fails, told.job.why) == (2, "timeout")
    told.tell("job.paused", job=JOB)
    assert next_due(told.job, utc, T0 + 9 * HOUR) is None
    assert decide(told.job, utc, T0 + 9 * HOUR) == Step()
    told.tell("job.resumed", job=JOB, at_s=T0 + 9 * HOUR)
    assert next_due(told.job, utc, T0 + 9 * HOUR) == T0 + 10 * HOUR
    told.tell("job.removed", job=JOB)
    assert told.job is None
    assert "jobs" not in told.state.entries


def test_a_run_that_outlives_its_job_still_ends():
    told = Told().added().started(T0 + HOUR).tell("job.removed", job=JOB)
    assert len(Jobs(told.state.entries).open_runs()) == 1
    told.finished(T0 + HOUR, T0 + HOUR + 1)
    assert Jobs(told.state.entries).open_runs() == []


def test_run_names_are_pinned():
    """Another node must come to the same: these bytes may never change."""
    assert run_id(JOB, T0).hex() == "a171f76ca7a21b21b0051a99f26a302d"
    assert claim_key(run_id(JOB, T0), 1).hex() == "4cb93d1ae394cb9a29e7a05263b8c8fb"
    names = {run_id(job, at) for job in (JOB, bytes(16)) for at in range(T0, T0 + 600, 60)}
    assert len(names) == 20


def due_at(spec, hours_later, *, last=None, open_run=False):
    told = Told().added(spec)
    if last is not None:
        told.started(T0 + last * HOUR)
        if not open_run:
            told.finished(T0 + last * HOUR, T0 + last * HOUR + 1)
    return decide(told.job, utc, int(T0 + hours_later * HOUR))


def test_missed_runs_are_skipped_by_default_and_said_to_be():
    step = due_at(SPEC, 5.5)
    assert step == Step(
        skip=Skip(first_s=T0 + HOUR, last_s=T0 + 5 * HOUR, count=5, more=False, reason="missed")
    )


def test_a_run_that_is_a_little_late_is_on_time():
    late = ON_TIME_S_MAX / HOUR
    assert due_at(SPEC, 1 + late).run_s == T0 + HOUR
    assert due_at(SPEC, 1 + late + 1 / HOUR).run_s is None
    step = due_at(SPEC, 3)
    assert (step.skip.count, step.run_s) == (2, T0 + 3 * HOUR)


def test_the_latest_missed_run_is_made_up_for():
    step = due_at(replace(SPEC, backfill=Backfill.LATEST), 5.5)
    assert (step.run_s, step.skip.last_s, step.skip.count) == (T0 + 5 * HOUR, T0 + 4 * HOUR, 4)
    assert due_at(replace(SPEC, backfill=Backfill.LATEST), 1.9) == Step(run_s=T0 + HOUR)


def test_all_missed_runs_are_made_up_for_in_order_and_bounded():
    spec = replace(SPEC, backfill=Backfill.ALL, overlap=Overlap.WAIT)
    assert due_at(spec, 5.5) == Step(run_s=T0 + HOUR)
    assert due_at(spec, 5.5, last=1) == Step(run_s=T0 + 2 * HOUR)
    step = due_at(spec, 1000)
    assert step.run_s == T0 + (1001 - BACKFILL_RUNS_MAX) * HOUR
    assert (step.skip.last_s, step.skip.more) == (step.run_s - HOUR, True)


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        (Overlap.SKIP, Step(skip=Skip(first_s=T0 + 2 * HOUR, last_s=T0 + 2 * HOUR, count=1, more=False, reason="overlap"))),
        (Overlap.WAIT, Step()),
        (Overlap.PARALLEL, Step(run_s=T0 + 2 * HOUR)),
    ],
)  # fmt: skip
def test_what_becomes_of_a_time_that_comes_during_a_run(overlap, expected):
    assert due_at(replace(SPEC, overlap=overlap), 2, last=1, open_run=True) == expected


def test_a_time_that_waited_for_a_long_run_is_on_time_at_its_end():
    told = Told().added(replace(SPEC, overlap=Overlap.WAIT)).started(T0 + HOUR)
    ended = T0 + 2 * HOUR + 1800
    told.finished(T0 + HOUR, ended)
    assert decide(told.job, utc, ended + 1).run_s == T0 + 2 * HOUR
    told = Told().added(replace(SPEC, overlap=Overlap.WAIT)).started(T0 + HOUR)
    told.finished(T0 + HOUR, ended, "interrupted")
    assert decide(told.job, utc, ended + 1).skip.reason == "missed"


def test_a_clock_that_went_back_a_little_decides_nothing_twice():
    told = Told().added().started(T0 + HOUR).finished(T0 + HOUR, T0 + HOUR + 1)
    assert decide(told.job, utc, T0 + HOUR - 60) == Step()
    assert next_due(told.job, utc, T0 + HOUR - 60) == T0 + 2 * HOUR


def test_a_clock_that_went_back_far_does_not_silence_a_job():
    """It was set to a year ahead by mistake, a run was made there, and it was set right."""
    ahead = T0 + 365 * 24 * HOUR
    told = Told().added().started(ahead).finished(ahead, ahead + 1)
    now = T0 + 10 * HOUR + 60
    assert next_due(told.job, utc, now) == T0 + 11 * HOUR
    step = decide(told.job, utc, now)
    assert (step.run_s, step.skip.count, step.skip.reason) == (None, 0, "the clock went back")
    told.tell("job.skipped", job=JOB, last_s=step.skip.last_s)
    assert decide(told.job, utc, now) == Step()
    assert decide(told.job, utc, T0 + 11 * HOUR).run_s == T0 + 11 * HOUR


def test_a_moment_comes_once():
    spec = replace(SPEC, schedule=Once(at_s=T0 + 90))
    told = Told().added(spec)
    assert decide(told.job, utc, T0 + 89) == Step()
    assert decide(told.job, utc, T0 + 95).run_s == T0 + 90
    told.started(T0 + 90)
    assert next_due(told.job, utc, T0 + 95) is None
    assert decide(Told().added(spec).job, utc, T0 + 90 + ON_TIME_S_MAX + 1).skip.count == 1


def test_bounds_of_a_job_are_refused_with_hints():
    for changes in (
        {"name": "With Blanks"}, {"name": ""}, {"name": "x" * 49}, {"name": "../up"},
        {"limit_s": 0}, {"limit_s": 10**6}, {"name": "heartbeat"}, {"kind": Kind.REPORT}, {"backfill": Backfill.ALL},
    ):  # fmt: skip
        with pytest.raises(JobRefused) as refused:
            replace(SPEC, **changes)
        assert refused.value.hint


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Kind.SCRIPT, Words()),
        (Kind.SCRIPT, Words(argv=("x",), prompt="and words")),
        (Kind.SCRIPT, Words(argv=("a\0b",))),
        (Kind.SCRIPT, Words(argv=("x",) * 65)),
        (Kind.SCRIPT, Words(argv=("x" * 20_000,))),
        (Kind.AGENT, Words(argv=("true",))),
        (Kind.AGENT, Words(prompt=" \n")),
        (Kind.AGENT, Words(prompt="x" * 20_000)),
    ],
)
def test_words_that_do_not_fit_the_kind_are_refused(kind, words):
    with pytest.raises(JobRefused) as refused:
        words.check(kind)
    assert refused.value.hint or "bytes" in str(refused.value)


specs = st.builds(
    JobSpec,
    name=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,47}", fullmatch=True),
    kind=st.sampled_from([Kind.SCRIPT, Kind.AGENT]),
    schedule=st.one_of(
        st.builds(Every, seconds=st.integers(60, 10**6), anchor_s=st.integers(0, 10**9)),
        st.builds(Once, at_s=st.integers(0, 10**9)),
        st.builds(On, type=st.sampled_from(["message.sent", "patch.judged"])),
        st.builds(Cron, text=st.sampled_from(["0 6 * * *", "*/5 1-3 * * mon"])),
    ),
    overlap=st.sampled_from([Overlap.WAIT, Overlap.PARALLEL]),
    backfill=st.sampled_from(Backfill),
    repeatable=st.booleans(),
    confined=st.booleans(),
    limit_s=st.integers(1, 3600),
)


@given(specs)
def test_a_job_reads_as_it_was_written(spec):
    value = spec.to_value()
    encode(value)
    assert JobSpec.from_value(value) == spec


junk = (
    st.none()
    | st.integers(-1, 5)
    | st.text(max_size=3)
    | st.binary(max_size=2)
    | st.lists(st.none())
)
FIELDS = {
    "job": st.sampled_from([JOB, bytes(16)]),
    "run": st.sampled_from([bytes([n]) * 16 for n in range(3)]),
    "spec": st.just(SPEC.to_value())
    | st.just(replace(SPEC, schedule=On(type="message.sent")).to_value())
    | st.just(replace(SPEC, schedule=Watch(what="file", path="/x")).to_value())
    | st.dictionaries(st.sampled_from(["name", "kind"]), junk),
    "at_s": st.integers(T0, T0 + 9),
    "planned_s": st.integers(T0, T0 + 9),
    "last_s": st.integers(T0, T0 + 9),
    "attempt": st.integers(1, 3),
    "trigger": st.sampled_from(["schedule", "manual", "disk"]),
    "subject": st.sampled_from(["a", "b"]),
    "outcome": st.sampled_from(["done", "failed", "answered", "error"]),
    "reason": st.sampled_from(["limit", "crashed"]),
    "model": st.sampled_from(["m", "n"]),
    "name": st.sampled_from(["look", "put"]),
    "tried": st.just([{"name": "m", "reason": "timeout"}]) | st.lists(junk),
    "tallies": st.just({"tally/turn/done": 3}) | st.dictionaries(st.text(max_size=2), junk),
    "refused": st.just("no"),
    "seen": st.sampled_from([bytes(32), b"x" * 32]),
    "changed": st.booleans(),
    "number": st.integers(0, 3),
    "conversation": st.sampled_from(["main", "job/x"]),
}
KINDS = sorted(
    name
    for name in types.KNOWN
    if name.split(".")[0] in {"job", "node", "turn", "model", "message", "tool"}
)
payloads = st.dictionaries(st.sampled_from(list(FIELDS)), junk) | st.fixed_dictionaries(FIELDS)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), payloads), max_size=25))
def test_no_payload_breaks_the_reducers_or_their_readers(rows):
    told = Told()
    for kind, payload in rows:
        told.tell(kind, **payload)
    entries = told.state.entries
    for job in Jobs(entries):
        decide(job, utc, T0 + 1000)
        next_due(job, utc, T0 + 1000)
    Jobs(entries).open_runs()
    assert sorted(name for name, *_ in streaks(entries)) == sorted(
        key.removeprefix("streak/") for key in entries if key.startswith("streak/")
    )
    tallies(entries), alarms(entries), reported(entries)
    again = State.restore((reduce_jobs, reduce_tally), dict(entries), told.state.size)
    assert again.digest() == told.state.digest()


def test_failures_in_a_row_are_a_streak_whatever_their_reasons():
    told = Told()
    for reason in ("crashed", "replayed otherwise", "limit"):
        told.tell("turn.finished", outcome="failed", reason=reason)
    told.tell(
        "model.replied", model="responder", tried=[{"name": "tiny", "reason": "no reply in 60 s"}]
    )
    told.tell("model.replied", model="responder", tried=[{"name": "tiny", "reason": "timeout"}])
    assert list(streaks(told.state.entries)) == [
        ("turn", "failed: limit", 3),
        ("model/tiny", "timeout", 2),
    ]
    told.tell("turn.finished", outcome="answered", reason=None)
    told.tell("model.replied", model="tiny-1", tried=[])
    assert list(streaks(told.state.entries)) == []
    assert tallies(told.state.entries)["tally/model/responder"] == 2


@pytest.mark.parametrize(
    "why",
    [
        "not for chat", "resting for 14 s after failures", "public, and these words are trusted",
        "its safety test failed", "it was not tested for safety", "the day's 0.50 dollars are spent",
        "context overflow (status 400)", "it is being loaded",
    ],
)  # fmt: skip
def test_earlier_versions_said_only_in_words_that_a_link_was_passed_over(why):
    told = Told()

    def reply(reason: str, **more: bool) -> None:
        tried = [{"name": "tiny", "reason": reason, **more}]
        told.tell("model.replied", model="responder", tried=tried)

    for _ in range(3):
        reply(why)
    assert list(streaks(told.state.entries)) == []
    for reason in ("no reply in 60 s", why, "no reply in 60 s"):
        reply(reason)
    assert list(streaks(told.state.entries)) == [("model/tiny", "no reply in 60 s", 2)]
    reply("down", failed=False)
    reply(why, failed=True)
    assert list(streaks(told.state.entries)) == [("model/tiny", why, 3)], "its own word comes first"


def test_a_tool_that_was_taken_out_has_failed_no_more():
    told = Told()
    for outcome in ("error", "interrupted", "interrupted", "denied", "refused"):
        told.tell("tool.returned", name="weather", outcome=outcome)
    assert list(streaks(told.state.entries)) == [("tool/weather", "interrupted", 3)]
    told.tell("tool.removed", name="weather")
    assert list(streaks(told.state.entries)) == []
