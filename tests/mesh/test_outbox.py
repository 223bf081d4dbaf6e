"""One suite for every Outbox."""

import apsw
import hypothesis.strategies as st
import pytest
from hypothesis import given

from mesh.core.pool.backoff import Backoff
from mesh.pool.outbox import MemoryOutbox, Put
from mesh.pool.sqlite_outbox import SqliteOutbox
from tests.mesh.peers import NOW, make

A, B = "ws://a", "ws://b"
FEW = {"events_max": 3, "kept_max": 2, "undelivered_max": 3}
EVENTS = [make(content=str(number)) for number in range(5)]


@pytest.fixture(params=["memory", "sqlite"])
def outbox(request, tmp_path):
    path = tmp_path / "outbox.db"
    made = SqliteOutbox(path, **FEW) if request.param == "sqlite" else MemoryOutbox(**FEW)
    yield made
    made.close()


def put(outbox, relays, event, **options):
    return outbox.put(relays, event, now=NOW, **options)


def due(outbox, relay, limit=9):
    return [entry.event_id for entry in outbox.due(relay, limit=limit)]


def kept(outbox, relay):
    return [entry.event_id for entry in outbox.kept(relay)]


def test_each_relay_has_its_own_queue(outbox):
    assert put(outbox, [A, B], EVENTS[0]) == Put()
    assert put(outbox, [A], EVENTS[1]) == Put()
    outbox.took(A, EVENTS[0].id, keep=False)
    assert due(outbox, A) == [EVENTS[1].id]
    assert due(outbox, B) == [EVENTS[0].id]
    assert [outbox.count(relay) for relay in (A, B, "ws://c")] == [1, 1, 0]
    assert outbox.due(A, limit=1)[0].event_json == EVENTS[1].to_json()
    assert outbox.relays() == [A, B]


def test_what_is_withdrawn_is_in_no_queue_whatever_form_it_was_minted_in(outbox):
    for event in EVENTS[:3]:
        put(outbox, [A, B], event)
    outbox.took(A, EVENTS[0].id, keep=True)
    outbox.remint(B, EVENTS[1].id, EVENTS[4])
    assert outbox.withdraw([EVENTS[0].id, EVENTS[1].id, EVENTS[3].id])
    for relay in (A, B):
        assert due(outbox, relay) == [EVENTS[2].id]
        assert kept(outbox, relay) == []
    assert outbox.withdraw([EVENTS[0].id]), "it is done already"


def test_an_event_is_queued_once(outbox):
    put(outbox, [A], EVENTS[0])
    assert put(outbox, [A], EVENTS[0]) == Put()
    assert outbox.count(A) == 1
    outbox.took(A, EVENTS[0].id, keep=True)
    put(outbox, [A], EVENTS[0])
    assert (outbox.count(A), kept(outbox, A)) == (0, [EVENTS[0].id])


def test_an_item_has_one_event_the_later_one(outbox):
    put(outbox, [A], EVENTS[0], item="x")
    put(outbox, [A], EVENTS[1])
    outbox.postpone(A, EVENTS[0].id)
    put(outbox, [A], EVENTS[2], item="x")
    assert due(outbox, A) == [EVENTS[2].id, EVENTS[1].id]
    outbox.took(A, EVENTS[2].id, keep=True)
    put(outbox, [A], EVENTS[3], item="x")
    assert (due(outbox, A, 1), kept(outbox, A)) in [
        ([EVENTS[3].id], []),
        ([EVENTS[1].id], []),
    ]
    assert outbox.count(A) == 2


def test_droppable_ones_make_room_the_oldest_first(outbox):
    found = [put(outbox, [A, B], event, droppable=True) for event in EVENTS]
    assert [one.dropped for one in found] == [0, 0, 0, 2, 2]
    assert due(outbox, A) == [event.id for event in EVENTS[2:]]
    assert due(outbox, A, limit=2) == [event.id for event in EVENTS[2:4]]


def test_a_queue_without_any_says_that_it_is_full(outbox):
    for event in EVENTS[:3]:
        put(outbox, [A], event)
    assert put(outbox, [A, B], EVENTS[3]) == Put(full=(A,))
    assert due(outbox, A) == [event.id for event in EVENTS[:3]]
    assert due(outbox, B) == [EVENTS[3].id]
    assert put(outbox, [A], EVENTS[4], droppable=True) == Put(dropped=1)
    assert EVENTS[4].id not in due(outbox, A)


def test_what_cannot_be_lost_takes_the_place_of_what_can(outbox):
    for event in EVENTS[:3]:
        put(outbox, [A], event, droppable=event is EVENTS[1])
    assert put(outbox, [A], EVENTS[3]) == Put(dropped=1)
    assert due(outbox, A) == [EVENTS[0].id, EVENTS[2].id, EVENTS[3].id]


def test_what_is_put_off_goes_behind_what_was_tried_less(outbox):
    for event in EVENTS[:3]:
        put(outbox, [A], event)
    assert outbox.postpone(A, EVENTS[0].id) == 1
    assert outbox.postpone(A, EVENTS[0].id) == 2
    assert outbox.postpone(A, EVENTS[1].id) == 1
    assert due(outbox, A) == [EVENTS[2].id, EVENTS[1].id, EVENTS[0].id]
    assert [entry.attempts for entry in outbox.due(A, limit=9)] == [0, 1, 2]


def test_what_was_taken_is_kept_until_it_was_found(outbox):
    for event in EVENTS[:3]:
        put(outbox, [A], event)
        outbox.took(A, event.id, keep=True)
    assert (outbox.count(A), kept(outbox, A)) == (0, [EVENTS[1].id, EVENTS[2].id])
    outbox.took(A, EVENTS[1].id, keep=False)
    outbox.lost(A, EVENTS[2].id)
    assert kept(outbox, A) == []
    [entry] = outbox.due(A, limit=9)
    assert (entry.event_id, entry.lost) == (EVENTS[2].id, 1)


def test_another_event_takes_the_place_of_one_that_was_refused(outbox):
    put(outbox, [A], EVENTS[0], item="x")
    put(outbox, [A], EVENTS[1])
    outbox.remint(A, EVENTS[0].id, EVENTS[2])
    entries = outbox.due(A, limit=9)
    assert [(one.event_id, one.item, one.minted) for one in entries] == [
        (EVENTS[2].id, "x", 1),
        (EVENTS[1].id, EVENTS[1].id, 0),
    ]
    assert entries[0].event_json == EVENTS[2].to_json()


def test_what_is_not_queued_is_no_error(outbox):
    outbox.took(A, EVENTS[0].id, keep=True)
    outbox.lost(A, EVENTS[0].id)
    outbox.remint(A, EVENTS[0].id, EVENTS[1])
    assert outbox.postpone(A, EVENTS[0].id) == 0
    assert outbox.kept(A) == outbox.due(A, limit=9) == []


def test_only_what_can_be_made_again_is_dropped_with_its_relay(outbox):
    put(outbox, [A, B], EVENTS[0], droppable=True)
    put(outbox, [B], EVENTS[1])
    assert outbox.retain([A]) == 1
    assert [outbox.count(relay) for relay in (A, B)] == [1, 1]
    assert outbox.retain([]) == 1


def test_what_waited_too_long_goes(outbox):
    put(outbox, [A], EVENTS[0])
    outbox.put([A], EVENTS[1], now=NOW + 10)
    assert outbox.expire(before=NOW + 5) == 1
    assert due(outbox, A) == [EVENTS[1].id]
    assert outbox.expire(before=NOW + 5) == 0


def test_the_queue_is_there_after_a_restart(tmp_path):
    first = SqliteOutbox(tmp_path / "outbox.db")
    put(first, [A], EVENTS[0], item="x", droppable=True)
    put(first, [A], EVENTS[1])
    first.postpone(A, EVENTS[0].id)
    first.took(A, EVENTS[1].id, keep=True)
    first.close()
    second = SqliteOutbox(tmp_path / "outbox.db")
    [entry] = second.due(A, limit=9)
    assert (entry.event_id, entry.attempts, entry.item, entry.droppable) == (
        *(EVENTS[0].id, 1),
        *("x", True),
    )
    assert kept(second, A) == [EVENTS[1].id]
    second.close()


def test_for_whom_something_was_given_up_is_kept_a_bounded_number_of_them(outbox):
    put(outbox, [A, B], EVENTS[0])
    give_up(outbox, A, "ada", "blocked: once", 1)
    assert (due(outbox, A), due(outbox, B)) == ([], [EVENTS[0].id])
    give_up(outbox, A, "bob", "too large", 2)
    give_up(outbox, B, "ada", "no", 3)
    give_up(outbox, A, "ada", "blocked: again", 4)
    assert outbox.undelivered() == {
        A: {"bob": "too large", "ada": "blocked: again"}, B: {"ada": "no"},
    }  # fmt: skip
    give_up(outbox, A, "cid", "no", 5)
    assert outbox.undelivered() == {A: {"ada": "blocked: again", "cid": "no"}, B: {"ada": "no"}}
    assert outbox.expire(before=5) == 0
    assert outbox.undelivered() == {A: {"cid": "no"}}


def give_up(outbox, relay, receiver, why, now):
    outbox.give_up(relay, EVENTS[0].id, receiver=receiver, why=why, now=now)


def test_an_outbox_of_version_2_is_brought_forward(tmp_path):
    path = tmp_path / "outbox.db"
    outbox = SqliteOutbox(path)
    put(outbox, [A], EVENTS[0])
    outbox.close()
    old = apsw.Connection(str(path))
    old.execute("DROP TABLE undelivered; PRAGMA user_version = 2")
    old.close()
    outbox = SqliteOutbox(path)
    assert (due(outbox, A), outbox.undelivered()) == ([EVENTS[0].id], {})
    give_up(outbox, A, "ada", "blocked: once", NOW)
    outbox.close()
    again = SqliteOutbox(path)
    assert (due(again, A), again.undelivered()) == ([], {A: {"ada": "blocked: once"}})
    again.close()


def test_an_outbox_of_version_1_is_brought_forward(tmp_path):
    path = tmp_path / "outbox.db"
    old = apsw.Connection(str(path))
    old.execute(
        "CREATE TABLE outbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, relay TEXT NOT NULL,"
        " id TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, json TEXT NOT NULL,"
        " UNIQUE (relay, id)) STRICT; CREATE INDEX outbox_due ON outbox (relay, attempts, seq);"
        " PRAGMA application_id = 0x54696D79; PRAGMA user_version = 1"
    )
    for relay, event in (("wss://A.example/", EVENTS[0]), ("wss://a.example", EVENTS[1])):
        old.execute(
            "INSERT INTO outbox (relay, id, attempts, json) VALUES (?, ?, 3, ?)",
            (relay, event.id, event.to_json()),
        )
    old.close()
    outbox = SqliteOutbox(path)
    assert due(outbox, "wss://a.example") == [EVENTS[0].id, EVENTS[1].id]
    assert [one.attempts for one in outbox.due("wss://a.example", limit=9)] == [3, 3]
    assert outbox.undelivered() == {}
    assert outbox.retain([]) == 2
    outbox.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["put", "took", "keep", "lost", "postpone", "remint", "retain", "expire", "give_up"]
        ),
        st.sampled_from([A, B]),
        st.integers(0, 4),
        st.sampled_from(["", "x"]),
        st.booleans(),
    ),
    max_size=30,
)


def step(outbox, what, relay, number, item, flag):
    event = EVENTS[number]
    match what:
        case "put":
            return outbox.put([relay], event, now=number, item=item, droppable=flag)
        case "took" | "keep":
            return outbox.took(relay, event.id, keep=what == "keep")
        case "give_up":
            return outbox.give_up(relay, event.id, receiver=item, why=f"{flag}", now=number)
        case "remint":
            return outbox.remint(relay, event.id, EVENTS[(number + 1) % 5])
        case "retain":
            return outbox.retain([relay])
        case "expire":
            return outbox.expire(before=number)
        case _:
            return getattr(outbox, what)(relay, event.id)


@given(STEPS)
def test_both_do_the_same(tmp_path_factory, steps):
    pair = (
        SqliteOutbox(tmp_path_factory.mktemp("twin") / "o.db", **FEW),
        MemoryOutbox(**FEW),
    )
    for one in steps:
        said = [step(outbox, *one) for outbox in pair]
        assert said[0] == said[1]
        for relay in (A, B):
            states = [
                (sorted(map(str, o.due(relay, limit=9))), sorted(map(str, o.kept(relay))))
                for o in pair
            ]
            assert states[0] == states[1]
        kept_why = [[[*one.items()] for one in o.undelivered().values()] for o in pair]
        assert kept_why[0] == kept_why[1]
    for outbox in pair:
        outbox.close()


def test_backoff_doubles_up_to_its_cap_with_half_of_it_jitter():
    backoff = Backoff(first_seconds=1, cap_seconds=10)
    assert [backoff.delay_seconds(n, 0.0) for n in (0, 1, 2, 3, 4, 5, 99)] == [
        *(0.5, 0.5, 1, 2, 4, 5, 5)
    ]
    assert backoff.delay_seconds(2, 0.999) == pytest.approx(2, abs=0.01)
