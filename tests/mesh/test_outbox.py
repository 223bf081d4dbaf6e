"""One suite for every Outbox."""

import pytest

from mesh.core.backoff import Backoff
from mesh.outbox import MemoryOutbox
from mesh.sqlite_outbox import SqliteOutbox
from tests.mesh.peers import make

A, B = "ws://a", "ws://b"
EVENTS = [make(content=str(number)) for number in range(5)]


@pytest.fixture(params=["memory", "sqlite"])
def outbox(request, tmp_path):
    path = tmp_path / "outbox.db"
    made = (
        SqliteOutbox(path, events_max=3)
        if request.param == "sqlite"
        else MemoryOutbox(events_max=3)
    )
    yield made
    made.close()


def due(outbox, relay, limit=9):
    return [entry.event_id for entry in outbox.due(relay, limit=limit)]


def test_each_relay_has_its_own_queue(outbox):
    assert outbox.put([A, B], EVENTS[0]) == 0
    assert outbox.put([A], EVENTS[1]) == 0
    outbox.settle(A, EVENTS[0].id)
    assert due(outbox, A) == [EVENTS[1].id]
    assert due(outbox, B) == [EVENTS[0].id]
    assert [outbox.count(relay) for relay in (A, B, "ws://c")] == [1, 1, 0]
    assert outbox.due(A, limit=1)[0].event_json == EVENTS[1].to_json()


def test_an_event_is_queued_once(outbox):
    outbox.put([A], EVENTS[0])
    assert outbox.put([A], EVENTS[0]) == 0
    assert outbox.count(A) == 1


def test_the_oldest_make_room(outbox):
    dropped = [outbox.put([A, B], event) for event in EVENTS]
    assert dropped == [0, 0, 0, 2, 2]
    assert due(outbox, A) == [event.id for event in EVENTS[2:]]
    assert due(outbox, A, limit=2) == [event.id for event in EVENTS[2:4]]


def test_what_is_put_off_goes_behind_what_was_tried_less(outbox):
    for event in EVENTS[:3]:
        outbox.put([A], event)
    assert outbox.postpone(A, EVENTS[0].id) == 1
    assert outbox.postpone(A, EVENTS[0].id) == 2
    assert outbox.postpone(A, EVENTS[1].id) == 1
    assert due(outbox, A) == [EVENTS[2].id, EVENTS[1].id, EVENTS[0].id]
    assert [entry.attempts for entry in outbox.due(A, limit=9)] == [0, 1, 2]


def test_what_is_not_queued_is_no_error(outbox):
    outbox.settle(A, EVENTS[0].id)
    assert outbox.postpone(A, EVENTS[0].id) == 0


def test_queues_of_relays_no_longer_named_are_dropped(outbox):
    outbox.put([A, B], EVENTS[0])
    outbox.put([B], EVENTS[1])
    assert outbox.retain([A]) == 2
    assert [outbox.count(relay) for relay in (A, B)] == [1, 0]
    assert outbox.retain([]) == 1


def test_the_queue_is_there_after_a_restart(tmp_path):
    first = SqliteOutbox(tmp_path / "outbox.db")
    first.put([A], EVENTS[0])
    first.postpone(A, EVENTS[0].id)
    first.close()
    second = SqliteOutbox(tmp_path / "outbox.db")
    assert [(entry.event_id, entry.attempts) for entry in second.due(A, limit=9)] == [
        (EVENTS[0].id, 1)
    ]
    second.close()


def test_backoff_doubles_up_to_its_cap_with_half_of_it_jitter():
    backoff = Backoff(first_seconds=1, cap_seconds=10)
    assert [backoff.delay_seconds(n, 0.0) for n in (0, 1, 2, 3, 4, 5, 99)] == [
        *(0.5, 0.5, 1, 2, 4, 5, 5)
    ]
    assert backoff.delay_seconds(2, 0.999) == pytest.approx(2, abs=0.01)
