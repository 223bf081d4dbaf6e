"""Walking through relays that cut, mean `until` otherwise, tie, lie; against a plain filter."""

import hypothesis.strategies as st
from hypothesis import given

from mesh.core.pool.paging import Walk
from mesh.core.relay.filter import Filter


def ident(number):
    return f"{number:064x}"


class Shelf:
    """A relay's events, and how it answers a REQ: the newest first, ties by id, cut at `cap`."""

    def __init__(self, seconds, *, cap, exclusive=False):
        self.events = [(second, ident(number)) for number, second in enumerate(seconds)]
        self.cap = cap
        self.exclusive = exclusive
        self.asked = []

    def answer(self, wanted):
        self.asked.append(wanted)
        above = wanted.until is None
        found = [
            (second, one)
            for second, one in self.events
            if (above or second < wanted.until + (not self.exclusive))
            and second >= (wanted.since or 0)
        ]
        return sorted(found, key=lambda event: (-event[0], event[1]))[: min(wanted.limit, self.cap)]


def walk(shelf, wanted=None, *, page=500, events_max=10_000, pages_max=10_000, answer=None):
    walking = Walk(wanted or Filter(), page_events=page, events_max=events_max, pages_max=pages_max)
    found = set()
    while not walking.done:
        events = (answer or shelf.answer)(walking.next())
        found.update(events)
        walking.take(events)
    return walking, found


@given(
    st.lists(st.integers(0, 40), max_size=60),
    st.integers(1, 12),
    st.integers(1, 12),
    st.booleans(),
)
def test_what_is_missing_lies_in_a_reported_second(seconds, cap, page, exclusive):
    """The dumb twin is the shelf itself. Seconds with more ties than a page are gaps, told."""
    shelf = Shelf(seconds, cap=cap, exclusive=exclusive)
    walking, found = walk(shelf, page=page)
    lost = set(shelf.events) - found
    small = min(cap, page)
    crowded = {second for second in seconds if seconds.count(second) >= small}
    assert {second for second, _ in lost} <= crowded
    if cap >= page:  # a relay that cuts below what is asked for is only sometimes found out
        assert {second for second, _ in lost} <= walking.gaps
    assert not walking.cut


@given(st.lists(st.integers(0, 10_000), unique=True, max_size=60), st.integers(2, 9), st.booleans())
def test_nothing_is_lost_without_ties(seconds, cap, exclusive):
    shelf = Shelf(seconds, cap=cap, exclusive=exclusive)
    _, found = walk(shelf, page=500)
    assert found == set(shelf.events)


def test_until_is_one_second_after_the_oldest():
    shelf = Shelf(range(100, 110), cap=4)
    walk(shelf)
    assert [wanted.until for wanted in shelf.asked][:3] == [None, 107, 105]
    assert shelf.asked[-1].until == 99


def test_a_relay_that_gives_less_than_asked_for_teaches_its_bound():
    walking, found = walk(Shelf(range(50), cap=7))
    assert walking.cap == 7
    assert len(found) == 50


def test_the_first_empty_answer_is_not_believed():
    shelf = Shelf(range(5), cap=500)
    answers = iter([[], shelf.events, [], []])
    walking, found = walk(shelf, answer=lambda wanted: next(answers, []))
    assert found == set(shelf.events)
    assert walking.done


def test_a_limit_is_what_is_wanted_not_a_page():
    shelf = Shelf(range(100), cap=4)
    walking, found = walk(shelf, Filter(limit=10))
    assert {second for second, _ in found} >= set(range(90, 100))
    assert (walking.cut, len(found) < 16) == ("", True)
    assert all(wanted.limit == 10 for wanted in shelf.asked)
    assert not walk(shelf, Filter(limit=0))[1]


def test_since_and_until_of_the_filter_hold():
    shelf = Shelf(range(100), cap=7)
    _, found = walk(shelf, Filter(since=20, until=40))
    assert {second for second, _ in found} == set(range(20, 41))
    assert all(20 <= wanted.until <= 40 for wanted in shelf.asked)


def test_a_relay_that_makes_up_events_for_ever_is_cut():
    made = iter(range(10**6))

    def flood(wanted):
        return [(5, ident(next(made))) for _ in range(100)]

    walking, found = walk(None, answer=flood, events_max=1000)
    assert (walking.cut, len(found)) == ("more than 1000 events", 1000)
    walking, found = walk(None, answer=flood, pages_max=3)
    assert (walking.cut, len(found)) == ("more pages than are asked for", 300)


def test_a_relay_that_repeats_itself_ends_the_walk():
    shelf = Shelf(range(9), cap=500)
    _, found = walk(shelf, answer=lambda wanted: [*shelf.events, *shelf.events])
    assert found == set(shelf.events)
    assert len(shelf.events) == 9


def test_no_filter_asks_for_less_than_nothing():
    shelf = Shelf([0, 0, 1], cap=500)
    walk(shelf)
    assert all(wanted.until is None or wanted.until >= 0 for wanted in shelf.asked)
