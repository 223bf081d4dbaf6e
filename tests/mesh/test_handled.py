"""What was dealt with is known: one suite for memory and SQLite."""

import pytest

from mesh.sealed.handled import MemoryHandled
from mesh.sealed.sqlite_handled import SqliteHandled

IDS = [bytes([n]).hex() * 32 for n in range(9)]


@pytest.fixture(params=["memory", "sqlite"])
def make(request, tmp_path):
    made = []

    def build(**bounds):
        one = (
            MemoryHandled(**bounds)
            if request.param == "memory"
            else SqliteHandled(tmp_path / "s.db", **bounds)
        )
        made.append(one)
        return one

    yield build
    for one in made:
        one.close()


def test_events_are_known_once_in_the_order_of_arrival(make):
    seen = make()
    assert seen.known() == []
    for created_at, event_id in ((5, IDS[1]), (3, IDS[0]), (5, IDS[1])):
        seen.add(created_at, event_id)
    assert seen.known() == [(5, IDS[1]), (3, IDS[0])]


def test_the_oldest_make_room(make):
    seen = make(events_max=3)
    for number, event_id in enumerate(IDS):
        seen.add(number, event_id)
        assert len(seen.known()) <= 3
    assert [event_id for _, event_id in seen.known()] == IDS[-3:]


def test_a_file_outlives_its_process(tmp_path):
    for number in range(3):
        seen = SqliteHandled(tmp_path / "s.db")
        seen.add(number, IDS[number])
        seen.close()
    again = SqliteHandled(tmp_path / "s.db")
    assert again.known() == [(0, IDS[0]), (1, IDS[1]), (2, IDS[2])]
    again.close()
