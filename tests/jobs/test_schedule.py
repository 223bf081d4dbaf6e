"""When a job is due: gaps, folds, jumps, and the plans that never come."""

import calendar
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime.core.cron import Cron
from runtime.core.errors import JobRefused
from runtime.core.limits import CRON_CHARS_MAX, JOB_EVERY_S_MAX, PLAN_S_MAX
from runtime.core.schedule import (
    Every,
    On,
    Once,
    Watch,
    due_between,
    from_value,
    instants,
    next_after,
    to_value,
)
from runtime.core.whens import parse_when
from runtime.zones import wall_clock, zone

BERLIN = zone("Europe/Berlin")


def at(text, name="UTC"):
    """An instant from what a clock shows; the first of two."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(name)).timestamp())


def utc(seconds):
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M")


def following(schedule, offset, start, count):
    found = []
    while len(found) < count:
        start = next_after(schedule, offset, start)
        found.append(utc(start))
    return found


def test_a_time_that_is_skipped_is_due_once_at_the_end_of_the_gap():
    """Berlin, 29 March 2026: 02:00 is followed by 03:00, at 01:00 UTC."""
    daily = Cron.parse("30 2 * * *")
    assert following(daily, BERLIN, at("2026-03-28 00:00"), 3) == [
        "2026-03-28 01:30",
        "2026-03-29 01:00",
        "2026-03-30 00:30",
    ]
    often = Cron.parse("*/20 2,3 * * *")
    assert following(often, BERLIN, at("2026-03-29 00:00"), 4) == [
        "2026-03-29 01:00",  # 02:00, 02:20, 02:40 and 03:00 are one instant, and one run
        "2026-03-29 01:20",
        "2026-03-29 01:40",
        "2026-03-30 00:00",
    ]


def test_a_time_of_day_that_is_repeated_is_due_the_first_time():
    """Berlin, 25 October 2026: 02:59 is followed by 02:00, at 01:00 UTC."""
    daily = Cron.parse("30 2 * * *")
    assert following(daily, BERLIN, at("2026-10-24 12:00"), 2) == [
        "2026-10-25 00:30",
        "2026-10-26 01:30",
    ]


def test_a_pace_goes_on_through_a_repeated_hour():
    pace = Cron.parse("*/30 * * * *")
    assert following(pace, BERLIN, at("2026-10-24 23:40"), 6) == [
        "2026-10-25 00:00",
        "2026-10-25 00:30",
        "2026-10-25 01:00",
        "2026-10-25 01:30",
        "2026-10-25 02:00",
        "2026-10-25 02:30",
    ]


def test_an_interval_knows_no_wall_clock():
    hourly = Every(seconds=3600, anchor_s=at("2026-10-24 23:10"))
    assert following(hourly, BERLIN, at("2026-10-24 23:10"), 3) == [
        "2026-10-25 00:10",
        "2026-10-25 01:10",
        "2026-10-25 02:10",
    ]
    assert next_after(hourly, BERLIN, 0) == at("2026-10-25 00:10")


def test_a_day_that_a_zone_left_out_has_its_jobs_at_its_end():
    """Apia went to the other side of the date line: there was no 30 December 2011."""
    apia = zone("Pacific/Apia")
    noon = Cron.parse("0 12 * * *")
    assert following(noon, apia, at("2011-12-29 00:00"), 3) == [
        "2011-12-29 22:00",
        "2011-12-30 10:00",
        "2011-12-30 22:00",
    ]


@pytest.mark.parametrize("begin", ["2026-03-05 00:00", "2026-10-01 00:00"])
@pytest.mark.parametrize(
    "name", ["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu"]
)
def test_instants_of_a_wall_clock_are_those_that_show_it(name, begin):
    """The dumb twin: ask every quarter hour of the months with changes which clock it shows."""
    offset, shown, start = zone(name), {}, at(begin)
    for seconds in range(start, start + 38 * 86_400, 900):
        shown.setdefault(seconds + offset(seconds), []).append(seconds)
    for wall in range(start + 86_400, start + 37 * 86_400, 900):
        found = instants(wall, offset)
        if wall in shown:
            assert list(found) == shown[wall]
        else:
            [end] = found
            assert end + offset(end) > wall > end - 1 + offset(end - 1)


def dumb_due(cron, offset, after_s, until_s):
    """Every minute in turn, asked whether the cron matches what its clock shows."""
    minutes, hours, every_hour = cron
    due = set()
    for wall in range(after_s // 60 * 60 - 86_400, until_s + 86_400, 60):
        if wall // 60 % 60 in minutes and wall // 3600 % 24 in hours:
            found = instants(wall, offset)
            due.update(found if every_hour else found[:1])
    return sorted(moment for moment in due if after_s < moment <= until_s)


@given(
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=3),
    hours=st.one_of(st.none(), st.sets(st.integers(0, 5), min_size=1, max_size=3)),
    start=st.sampled_from(["2026-03-28 20:00", "2026-10-24 20:00", "2026-04-04 10:00"]),
    shift=st.integers(0, 12 * 3600),
    name=st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe"]),
)
@example(minutes={0, 30}, hours=None, start="2026-10-24 20:00", shift=16_200, name="Europe/Berlin")
@settings(max_examples=60, deadline=None)
def test_cron_agrees_with_a_dumb_twin(minutes, hours, start, shift, name):
    offset, begin = zone(name), at(start) + shift
    end = begin + 10 * 3600
    text = f"{','.join(map(str, minutes))} {'*' if hours is None else ','.join(map(str, hours))}"
    cron = Cron.parse(f"{text} * * *")
    due = dumb_due((minutes, hours or set(range(24)), hours is None), offset, begin, end)
    assert due_between(cron, offset, after_s=begin, until_s=end, most=10_000) == due
    assert due_between(cron, offset, after_s=begin, until_s=end, most=3) == due[-3:]
    forward, seen = [], begin
    while (seen := next_after(cron, offset, seen)) is not None and seen <= end:
        forward.append(seen)
    assert forward == due


@given(
    st.integers(60, 100_000),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 10**6),
    st.integers(1, 50),
)
def test_intervals_agree_with_counting(seconds, anchor, after, length, most):
    every = Every(seconds=seconds, anchor_s=anchor)
    found = due_between(every, BERLIN, after_s=after, until_s=after + length, most=most)
    start = max(after, anchor)
    counted = [
        t
        for t in range(anchor + (start - anchor) // seconds * seconds, after + length + 1, seconds)
        if t > after and t > anchor
    ]
    assert found == counted[-most:]
    assert next_after(every, BERLIN, after) == (
        counted[0] if counted else next_after(every, BERLIN, after + length)
    )


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 feb *"])
def test_a_cron_that_never_comes_is_refused_with_a_way_out(text):
    with pytest.raises(JobRefused, match="never comes") as refused:
        Cron.parse(text)
    assert "L" in refused.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "", "* * * *", "* * * * * *", "61 * * * *", "0 24 * * *", "0 0 0 1 *", "0 0 * * 8",
        "*/0 * * * *", "a b c d e", "R * * * *", "H H * * *", "h(0-5) * * * *", "@reboot", "٣ * * * *",
        "0 0 * * *; rm", "0 0 * * * 2026", "x" * 200, "0," * 60 + "0 * * * *",
    ],
)  # fmt: skip
def test_what_is_not_cron_is_refused_with_a_hint(text):
    with pytest.raises(JobRefused) as refused:
        Cron.parse(text)
    assert refused.value.hint
    assert len(str(refused.value)) < 2 * CRON_CHARS_MAX


def test_leap_days_last_days_and_aliases():
    leap = Cron.parse("0 6 29 2 *")
    assert following(leap, zone("UTC"), at("2026-01-01 00:00"), 1) == ["2028-02-29 06:00"]
    last = Cron.parse("0 6  l  * *")
    assert following(last, zone("UTC"), at("2026-02-01 00:00"), 2) == [
        "2026-02-28 06:00",
        "2026-03-31 06:00",
    ]
    assert Cron.parse("@Daily") == Cron.parse("0 0 * * *")


def test_nothing_is_planned_beyond_2100():
    for schedule in (Cron.parse("0 0 * * *"), Every(seconds=86_400, anchor_s=0)):
        assert next_after(schedule, BERLIN, PLAN_S_MAX) is None
        assert next_after(schedule, BERLIN, PLAN_S_MAX + 10**9) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("every 15m", Every(seconds=900, anchor_s=1_790_000_000)),
        ("Every 2 h", Every(seconds=7200, anchor_s=1_790_000_000)),
        ("in 90s", Once(at_s=1_790_000_090)),
        ("30m", Once(at_s=1_790_001_800)),
        ("2026-12-24T18:00", Once(at_s=at("2026-12-24 17:00"))),
        ("at 2026-12-24 18:00:30Z", Once(at_s=at("2026-12-24 18:00") + 30)),
        ("2026-12-24T18:00-05:30", Once(at_s=at("2026-12-24 23:30"))),
        ("2026-10-25 02:30", Once(at_s=at("2026-10-25 00:30"))),
        (" 30  2 * * * ", Cron(text="30 2 * * *")),
        ("on patch.judged", On(type="patch.judged")),
        ("on file /home/me/my inbox", Watch(what="file", path="/home/me/my inbox")),
        ("ON commit  /srv/project", Watch(what="commit", path="/srv/project")),
        ("on commit /srv/a b v1/next", Watch(what="commit", path="/srv/a b", branch="v1/next")),
    ],
)
def test_what_people_write_for_a_time(text, expected):
    found = parse_when(text, now_s=1_790_000_000, offset=BERLIN)
    assert found == expected
    assert from_value(to_value(found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "", "soon", "every 59s", f"every {JOB_EVERY_S_MAX + 1}s", "in 0s", "2020-01-01T00:00",
        "2026-02-30T10:00", "2026-13-01T10:00", "2026-12-24T24:00", "2027-03-28T02:30",
        "2101-01-01T00:00", "2026-12-24T18:00+15:00", "every fortnight", "every -5m",
        "on file inbox", "on file", "on commit", "on commit here main", "on file /a\0b",
        "on commit /srv -x", "on commit /srv a..b@{1}", f"on file /{'x' * 1024}",
        "on turn.finished", "on job.finished", "on ", "on everything",
    ],
)  # fmt: skip
def test_what_is_no_time_to_come_is_refused_with_a_hint(text):
    with pytest.raises(JobRefused) as refused:
        parse_when(text, now_s=1_790_000_000, offset=BERLIN)
    assert refused.value.hint


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "", "../../etc/passwd", "/etc/localtime", "Europe", "x" * 999, "a\0b"]
)
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(JobRefused, match="time zone") as refused:
        zone(name)
    assert refused.value.hint


def test_a_wall_clock_is_shown_with_its_offset():
    assert wall_clock(at("2026-07-01 04:00"), "Europe/Berlin") == "2026-07-01 06:00+02:00"
    assert wall_clock(at("2026-07-01 04:00"), "America/St_Johns") == "2026-07-01 01:30-02:30"


def test_a_year_of_minutes_is_not_walked_through():
    """A node that was off for a year asks for the newest hundred, in a hundred steps."""
    walked = []

    def counted(moment):
        walked.append(moment)
        return BERLIN(moment)

    found = due_between(
        Cron.parse("* * * * *"),
        counted,
        after_s=0,
        until_s=calendar.timegm((2026, 7, 1, 0, 0, 0)),
        most=100,
    )
    assert len(found) == 100
    assert len(walked) < 2000
