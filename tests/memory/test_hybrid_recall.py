"""Hybrid recall over a real ledger and its views: what is found, as of when, and what never is."""

import datetime as dt
import itertools
import string
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import recalling
from ledger.core import types
from ledger.core.event import Draft
from ledger.core.redaction import targets
from ledger.evidence import open_evidence
from ledger.log import Log
from ledger.memory import MemoryStore
from ledger.views import Views
from runtime.core.question import read_question
from runtime.core.ranking import distance, fuse, ordered, telling
from runtime.hybrid import Clock, ask, hybrid

DAY_MS = 86_400_000
NOON_MS = int(dt.datetime(2026, 3, 10, 12, tzinfo=dt.UTC).timestamp()) * 1000


@pytest.fixture
def place(tmp_path):
    now = [NOON_MS]
    log = Log(MemoryStore(), clock=lambda: now[0], entropy=bytes)
    log.append_now(Draft(type=types.GENESIS.name, stream=bytes(16), payload={"network": "regtest"}))
    views = Views(tmp_path / "views.db", log)

    def say(text, kind=types.MESSAGE_RECEIVED.name, days=1):
        now[0] += days * DAY_MS
        [event] = log.append_now(
            Draft(type=kind, stream=bytes(15) + b"\x09", payload={}, content={"text": text})
        )
        return event.position

    def find(query, before=None, limit=5):
        views.catch_up()
        clock = Clock(times=lambda at: log.read(at).ts_ms, size=log.size)
        asked = ask(query, before=log.size if before is None else before, clock=clock)
        return hybrid(tmp_path / "views.db", asked, limit=limit)

    yield SimpleNamespace(log=log, views=views, say=say, find=find, path=tmp_path / "views.db")
    views.close()


def test_what_a_stemmer_a_form_a_slip_and_a_likeness_find(place):
    leak = place.say("The roof was leaking for weeks")
    bought = place.say("We bought a ladder from Castellan")
    cellar = place.say("The cellar smells of apples")
    wood = place.say("A hedgehog lives under the woodpile")
    for query, at in (
        ("leaks", leak), ("who buys ladders", bought), ("Castelan", bought), ("ladedr", bought),
        ("smell in the basement", cellar), ("wood pile", wood), ("hedgehogs", wood),
    ):  # fmt: skip
        assert place.find(query)[:1] == [at], query


def test_nothing_is_found_that_shares_no_word(place):
    place.say("The roof was leaking for weeks")
    for query in ("submarine periscope", "", "  ", "?!", '"*', "a the of", "NEAR(x y)", "x" * 5000):
        assert place.find(query) == []


def test_the_agents_own_answers_are_not_recalled(place):
    place.say("The roof leaks", kind=types.MESSAGE_SENT.name)
    noted = place.say("The roof leaks in the north", kind=types.MEMORY_NOTED.name)
    assert place.find("roof leaks") == [noted]


def test_what_was_said_later_changes_nothing_that_was_found_before(place):
    for text in ("the roof leaks", "the roof is new", "a new ladder", "leaks of gas"):
        place.say(text)
    before = place.log.size
    first = place.find("new roof leaks", before)
    for number in range(50):
        place.say(f"new roof leaks {number} ladder roofs leaking")
    assert place.find("new roof leaks", before) == first
    assert len(first) == 4
    assert all(at < before for at in first)


def test_words_that_came_later_take_no_room_from_the_slips_of_before(place):
    landed = place.say("the zeppelin landed near Potsdam")
    before = place.log.size
    first = place.find("where is the zepelin", before)
    assert first == [landed]
    letters = string.ascii_lowercase
    words = ("za" + "".join(more) for more in itertools.product(letters, repeat=3))
    place.say(" ".join(itertools.islice(words, 4_200)))
    place.say("zepelyn zepelun zepeli")
    assert place.find("where is the zepelin", before) == first


def test_a_day_is_read_against_the_moment_of_the_question(place):
    days = [place.say(f"remark {word}") for word in ("one", "two", "three", "four")]
    assert place.find("what was said on 12 March?")[:1] == [days[1]]
    assert place.find("what did I say yesterday?")[:1] == [days[2]]
    assert place.find("2026-03-11 remark")[:1] == [days[0]]
    assert place.find("remark", before=days[2]) == [days[1], days[0]]
    assert place.find("what was said on 31 February?") == []


def test_erased_words_leave_no_byte_in_the_index(place):
    at = place.say("the zeppelin lands at noon")
    place.say("another thing")
    assert place.find("zeppelins") == [at]
    [event] = place.log.append_now(place.log.redaction([at], reason="asked for", actor="test"))
    assert targets(event) == [at]
    place.views.catch_up()
    assert place.find("zeppelins") == []
    assert place.views.purge()
    assert b"zeppelin" not in place.path.read_bytes()
    with open_evidence(place.path) as evidence:
        assert evidence.count(before=place.log.size) == 2
        assert evidence.frequency("thing", before=place.log.size) == 1
        assert evidence.frequency("zeppelin", before=place.log.size) == 0
        assert evidence.alike("z", 1, 20) == []


def test_a_question_is_read():
    question = read_question("What did Dr. Amsel say about the 2 braces on 5 May 2026?", NOON_MS)
    assert question.terms == ("dr", "amsel", "2", "braces")
    assert question.names == {"dr", "amsel", "2"}
    assert len(question.days) == 1
    assert question.pairs == (("dr", "amsel"), ("2", "braces"))
    assert read_question("may I go?", NOON_MS).days == ()
    assert read_question("who is it", NOON_MS).terms == ("who", "is", "it")


def test_words_are_told_apart_by_edits():
    for one, two, edits in (
        ("letuce", "lettuce", 1), ("custrad", "custard", 1), ("kitten", "sitting", 3),
        ("same", "same", 0), ("ab", "ba", 1), ("", "abc", 3),
    ):  # fmt: skip
        assert distance(one, two, 3) == edits
        assert distance(two, one, 3) == edits
    assert distance("roof", "cellar", 2) == 3


@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_distance_is_symmetric_and_bounded(one, two):
    found = distance(one, two, 6)
    assert found == distance(two, one, 6)
    assert abs(len(one) - len(two)) <= found <= max(len(one), len(two))
    assert (found == 0) == (one == two)


@given(st.dictionaries(st.integers(0, 50), st.integers(0, 5)), st.integers(1, 9))
def test_fusing_one_list_keeps_its_order(scores, weight):
    assert ordered(fuse([(weight, scores)])) == ordered(scores)


def test_rarer_words_tell_more():
    told = [telling(count, 1000) for count in range(1001)]
    assert told == sorted(told, reverse=True)
    assert min(told) == 50


def test_hybrid_recall_is_better_than_plain_bm25_on_what_was_held_out(tmp_path):
    world = recalling.world(tmp_path)
    asked = [query for query in recalling.queries() if query.held_out and query.keys]
    plain = recalling.scored(recalling.plain(world), asked, world.at)
    ours = recalling.scored(recalling.joined(world), asked, world.at)
    world.views.close()
    assert ours.recall > plain.recall + 0.1
    assert ours.mrr > plain.mrr + 0.1


@given(st.dates(dt.date(1971, 1, 1), dt.date(2099, 12, 31)))
def test_days_are_those_of_the_calendar(day):
    asked_ms = int(dt.datetime(2099, 12, 31, 12, tzinfo=dt.UTC).timestamp()) * 1000
    first_ms = int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp()) * 1000
    written = (
        day.isoformat(),
        f"on {day.day} {day:%B} {day.year}",
        f"{day:%B} {day.day}, {day.year}",
    )
    for text in written:
        assert read_question(text, asked_ms).days == ((first_ms, first_ms + DAY_MS),), text
    [(now_ms, end_ms)] = read_question("what was said today", first_ms + 5).days
    assert (now_ms, end_ms) == (first_ms, first_ms + DAY_MS)
    [(month_ms, _)] = read_question(f"in {day:%B}", first_ms).days
    expected = dt.datetime(day.year, day.month, 1, tzinfo=dt.UTC)
    assert month_ms == int(expected.timestamp()) * 1000 or f"{day:%B}" == "May"
