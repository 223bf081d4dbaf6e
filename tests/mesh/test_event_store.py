"""One suite for every EventStore, and the SQLite one against the memory twin."""

import json
import tempfile
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core.errors import StoreError, StoreSchema, TooMuchToRead
from mesh.core.relay.filter import parse_filter
from mesh.relay.sqlite import SqliteEventStore
from mesh.relay.store import Found, MemoryEventStore, Outcome
from tests.mesh.peers import ALICE, BOB, CAROL, NOW, make


@pytest.fixture(params=["memory", "sqlite"])
def new_store(request, tmp_path):
    stores = []

    def create(**bounds):
        path = tmp_path / f"relay{len(stores)}.db"
        sqlite = request.param == "sqlite"
        stores.append(SqliteEventStore(path, **bounds) if sqlite else MemoryEventStore(**bounds))
        return stores[-1]

    yield create
    for store in stores:
        store.close()


@pytest.fixture
def store(new_store):
    return new_store()


def ids(store, *filters, now=NOW, **bounds):
    rows = store.query([parse_filter(one) for one in filters or ({},)], now=now, **bounds).rows
    for event_id, event_json in rows:
        assert json.loads(event_json)["id"] == event_id
    return [event_id for event_id, _ in rows]


def test_newest_first_and_at_a_tie_the_lowest_id(store):
    events = [make(at=NOW + at, content=text) for at in (2, 0, 1) for text in "abcd"]
    assert store.add(events, now=NOW) == [Outcome.STORED] * 12
    expected = [e.id for e in sorted(events, key=lambda e: (-e.created_at, e.id))]
    assert ids(store) == expected
    assert ids(store, {"limit": 5}) == expected[:5]
    assert ids(store, {"limit": 0}) == []


def test_what_is_withdrawn_stays_away_whoever_offers_it(store):
    gone, other, never = (make(content=text, kind=kind) for text, kind in
                          (("a", 1), ("b", 1), ("c", 30000)))  # fmt: skip
    store.add([gone, other], now=NOW)
    assert store.withdraw([gone.id, never.id])
    assert (ids(store), store.count()) == ([other.id], 1)
    assert store.add([gone, other, never], now=NOW) == [
        Outcome.DELETED,
        Outcome.DUPLICATE,
        Outcome.DELETED,
    ]
    assert store.withdraw([gone.id, never.id]), "it is done already"
    assert (ids(store), store.count()) == ([other.id], 1)


def test_what_is_served_is_what_was_stored(store):
    event = make(tags=(("t", "é\n"), ("x",)), content='"\\😀')
    store.add([event], now=NOW)
    found = store.query([parse_filter({})], now=NOW)
    assert found == Found(rows=[(event.id, event.to_json())], more=False)


def test_duplicates_also_within_one_batch(store):
    event = make()
    assert store.add([event, event], now=NOW) == [Outcome.STORED, Outcome.DUPLICATE]
    assert store.add([event], now=NOW) == [Outcome.DUPLICATE]
    assert store.count() == 1


@pytest.mark.parametrize(("kind", "tags"), [(0, ()), (10002, ()), (30078, (("d", "x"),))])
def test_one_event_per_address_whatever_the_order(new_store, kind, tags):
    tie = sorted((make(kind=kind, tags=tags, content=c) for c in "abc"), key=lambda e: e.id)
    old = make(kind=kind, tags=tags, at=NOW - 1)
    for order in ([*tie, old], [old, *tie], [*reversed(tie), old], [tie[1], old, tie[2], tie[0]]):
        store = new_store()
        for event in order:
            store.add([event], now=NOW)
        assert ids(store) == [tie[0].id]
        assert store.add([old], now=NOW) == [Outcome.SUPERSEDED]
        assert store.count() == 1


def test_addresses_are_by_kind_author_and_d(store):
    events = [
        make(signer, kind=kind, tags=(("d", d),))
        for signer in (ALICE, BOB)
        for kind in (30078, 30079)
        for d in ("", "x")
    ]
    assert store.add(events, now=NOW) == [Outcome.STORED] * 8


def test_a_missing_d_is_an_empty_one(store):
    old, new = make(kind=30078, tags=(("d", ""),)), make(kind=30078, at=NOW + 1)
    assert store.add([old, new], now=NOW) == [Outcome.STORED] * 2
    assert ids(store) == [new.id]


def test_replaced_events_leave_no_tags_behind(store):
    store.add([make(kind=30078, tags=(("t", "old"),))], now=NOW)
    store.add([make(kind=30078, at=NOW + 1, tags=(("t", "new"),))], now=NOW)
    assert ids(store, {"#t": ["old"]}) == []
    assert len(ids(store, {"#t": ["new"]})) == 1


def test_ephemeral_events_are_never_stored(store):
    assert store.add([make(kind=20001)], now=NOW) == [Outcome.EPHEMERAL]
    assert store.count() == 0


def test_expired_events_are_neither_stored_nor_served(store):
    event = make(tags=(("expiration", str(NOW + 1)),), kind=30078)
    assert store.add([event], now=NOW + 1) == [Outcome.EXPIRED]
    assert store.add([event], now=NOW) == [Outcome.STORED]
    assert ids(store, now=NOW) == [event.id]
    assert ids(store, now=NOW + 1) == []
    assert store.purge(now=NOW) == 0
    assert store.purge(now=NOW + 1) == 1
    assert store.count() == 0
    assert store.add([make(kind=30078, at=NOW - 1)], now=NOW + 1) == [Outcome.STORED]


def test_filters_are_a_union_each_with_its_own_limit(store):
    ones = [make(kind=1, at=NOW + at) for at in range(3)]
    twos = [make(kind=2, at=NOW + at) for at in range(3)]
    store.add([*ones, *twos], now=NOW)
    found = ids(store, {"kinds": [1], "limit": 2}, {"kinds": [2], "limit": 1}, {"limit": 1})
    assert set(found) == {ones[2].id, ones[1].id, twos[2].id}
    assert len(found) == 3


def test_replies_are_cut_to_bytes_from_the_old_end(store):
    events = [make(at=NOW + at, content="é" * 500) for at in range(4)]
    store.add(events, now=NOW)
    size = len(events[0].to_json().encode())
    assert ids(store, bytes_max=2 * size) == [events[3].id, events[2].id]
    assert ids(store, bytes_max=2 * size - 1) == [events[3].id]


def test_what_is_said_of_more_is_true(store):
    events = [make(at=NOW + at, kind=1 + at % 2) for at in range(6)]
    store.add(events, now=NOW)
    size = len(events[0].to_json().encode())

    def more(*filters, **bounds):
        return store.query([parse_filter(one) for one in filters], now=NOW, **bounds).more

    assert more({}) is False
    assert more({"limit": 6}) is False
    assert more({"limit": 5}) is True
    assert more({"limit": 0}) is True
    assert more({"kinds": [9], "limit": 0}) is False
    assert more({"kinds": [1]}, {"kinds": [2]}) is False
    assert more({"kinds": [1], "limit": 1}, {"kinds": [2]}) is True
    assert more({}, bytes_max=5 * size) is True
    assert more({}, bytes_max=6 * size) is False
    assert more({"limit": 3}, {}) in {False, None}  # what the first leaves out, the second brings


def test_counts_ignore_limits_and_repeats_and_stop_at_their_bound(store):
    store.add([make(at=NOW + at, kind=1 + at % 2) for at in range(6)], now=NOW)

    def count(*filters, **bounds):
        found = [parse_filter(one) for one in filters]
        return store.count_matching(found, now=NOW, **bounds)

    assert count({}) == count({"limit": 1}) == count({"kinds": [1]}, {}) == 6
    assert count({"kinds": [1]}, {"kinds": [2], "until": NOW + 1}) == 4
    assert count({}, {"kinds": [1]}, count_max=5) == 5


def test_items_are_what_a_filter_matches_newest_first(store):
    events = [make(at=NOW + at, content=text) for at in (1, 0) for text in "ab"]
    store.add(events, now=NOW)
    expected = [(e.created_at, bytes.fromhex(e.id)) for e in events]
    expected.sort(key=lambda item: (-item[0], item[1]))
    assert store.items(parse_filter({}), now=NOW, items_max=9) == expected
    assert store.items(parse_filter({"limit": 3}), now=NOW, items_max=9) == expected[:3]
    assert store.items(parse_filter({}), now=NOW, items_max=2) == expected[:2]


def test_a_query_that_looks_through_too_much_is_ended(tmp_path):
    store = SqliteEventStore(tmp_path / "relay.db", steps_max=20_000)
    store.add([make(at=NOW + at, tags=(("t", "x"),)) for at in range(3000)], now=NOW)
    wide = [parse_filter({"#t": ["x"], "#p": ["0" * 64], "kinds": [2, 1]})]
    for _ in range(2):
        with pytest.raises(TooMuchToRead):
            store.count_matching([parse_filter({})], now=NOW)
        with pytest.raises(TooMuchToRead):
            store.query(wide, now=NOW)
        with pytest.raises(TooMuchToRead):
            store.items(parse_filter({}), now=NOW, items_max=9999)
        assert len(store.query([parse_filter({"limit": 1})], now=NOW).rows) == 1
    assert store.add([make(kind=9)], now=NOW) == [Outcome.STORED]
    store.close()


def test_a_full_store_takes_replacements_only(new_store):
    store = new_store(events_max=2)
    head = make(kind=30078)
    newer = make(kind=30078, at=NOW + 1)
    added = store.add([head, make(), make(content="x"), newer, head], now=NOW)
    assert added[:2] == [Outcome.STORED] * 2
    assert added[2:] == [Outcome.FULL, Outcome.STORED, Outcome.SUPERSEDED]
    assert store.count() == 2


def test_values_that_look_like_sql_are_values(store):
    text = "') OR 1=1 --"
    event = make(tags=(("t", text),))
    store.add([event, make(content="other")], now=NOW)
    assert ids(store, {"#t": [text]}) == [event.id]
    assert ids(store, {"#t": ["'", "%", "\x00"]}) == []


def test_private_events_are_served_to_their_ends_only(store):
    wrap = make(BOB, kind=1059, tags=(("p", ALICE.pubkey), ("p", CAROL.pubkey)))
    direct = make(ALICE, kind=4, tags=(("p", BOB.pubkey),), at=NOW - 1)
    store.add([wrap, direct], now=NOW)
    for wanted in ({}, {"ids": [wrap.id, direct.id]}, {"kinds": [4, 1059]}):
        found = [
            ids(store, wanted, keys=frozenset(keys))
            for keys in ((), {ALICE.pubkey}, {BOB.pubkey}, {CAROL.pubkey}, {"f" * 64})
        ]
        assert found == [[], [wrap.id, direct.id], [wrap.id, direct.id], [wrap.id], []]


POOL = [
    *(
        make(signer, kind=kind, at=NOW + at, tags=(("p", other.pubkey), ("t", "a")))
        for signer, other in ((ALICE, BOB), (BOB, CAROL))
        for kind in (4, 1059)
        for at in (0, 1)
    ),
]
POOL += [
    make(signer, kind=5, at=NOW + at, tags=tags)
    for signer in (ALICE, BOB)
    for at in (0, 1)
    for tags in (
        tuple(("e", event.id) for event in POOL),
        (*(("e", event.id) for event in POOL), ("k", "1059")),
        tuple(
            ("a", f"{kind}:{author.pubkey}:{d}")
            for author in (ALICE, BOB)
            for kind, d in ((30078, "a"), (30078, ""), (10002, ""))
        ),
        (("a", f"10002:{signer.pubkey}"), ("a", "1:2:3"), ("e",), ("expiration", str(NOW + 3))),
    )
]
POOL += [
    make(signer, kind=62, at=NOW + at, tags=(("relay", "ALL_RELAYS"),))
    for signer in (ALICE, BOB)
    for at in (-1, 1)
]
POOL += [
    make(signer, kind=kind, at=NOW + at, tags=tags, content=content)
    for signer in (ALICE, BOB)
    for kind in (1, 10002, 20001, 30078)
    for at in (0, 1)
    for content in ("", "x")
    for tags in (
        (),
        (("d", "a"), ("t", "a")),
        (("d", "a"), ("t", "b"), ("t", "b"), ("e", "0" * 64)),
        (("expiration", str(NOW + 5)), ("t", "a", "b")),
    )
]
FILTER = st.fixed_dictionaries(
    {},
    optional={
        "ids": st.lists(st.sampled_from(POOL).map(lambda event: event.id), max_size=20),
        "authors": st.lists(st.sampled_from([ALICE.pubkey, BOB.pubkey]), max_size=2),
        "kinds": st.lists(st.sampled_from([1, 4, 5, 62, 1059, 10002, 20001, 30078]), max_size=3),
        "#p": st.lists(st.sampled_from([BOB.pubkey, CAROL.pubkey]), max_size=2),
        "#t": st.lists(st.sampled_from(["a", "b", "c"]), max_size=2),
        "#d": st.lists(st.sampled_from(["a", ""]), max_size=2),
        "#e": st.just(["0" * 64]),
        "since": st.integers(NOW - 1, NOW + 2),
        "until": st.integers(NOW - 1, NOW + 2),
        "limit": st.integers(0, 6),
    },
)
KEPT = frozenset({10002})
STEP = st.tuples(
    st.lists(st.sampled_from(POOL), max_size=12),
    st.lists(FILTER, min_size=1, max_size=3),
    st.integers(NOW, NOW + 6),
)


def agree(store, twin, filters, given_keys):
    found, expected = (one.query(filters, **given_keys) for one in (store, twin))
    assert found.rows == expected.rows
    assert found.more in {expected.more, None}
    assert found.more is not None or len(filters) > 1
    for bound in (3, 1000):
        counts = [
            one.count_matching(filters, **given_keys, count_max=bound) for one in (store, twin)
        ]
        assert counts[0] == counts[1]
        items = [one.items(filters[0], **given_keys, items_max=bound) for one in (store, twin)]
        assert items[0] == items[1]


@given(st.lists(STEP, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_sqlite_agrees_with_the_memory_twin(steps):
    with tempfile.TemporaryDirectory() as folder:
        twin, store = MemoryEventStore(events_max=20, kept_kinds=KEPT), None
        try:
            for events, filters, now in steps:
                if store is not None:
                    store.close()  # and what was stored is there after opening again
                store = SqliteEventStore(Path(folder) / "relay.db", events_max=20, kept_kinds=KEPT)
                assert store.add(events, now=now) == twin.add(events, now=now)
                parsed = [parse_filter(one) for one in filters]
                for keys in ((), (ALICE.pubkey,), (ALICE.pubkey, BOB.pubkey)):
                    given_keys = {"now": now, "keys": frozenset(keys)}
                    agree(store, twin, parsed, given_keys)
                assert store.count() == twin.count()
            assert store.purge(now=NOW + 5) == twin.purge(now=NOW + 5)
            assert store.count() == twin.count()
        finally:
            store.close()


def test_a_batch_is_stored_whole_or_not_at_all(tmp_path):
    store = SqliteEventStore(tmp_path / "relay.db")
    store._db.execute(
        "CREATE TEMP TRIGGER full BEFORE INSERT ON main.event WHEN new.kind = 7"
        " BEGIN SELECT raise(ABORT, 'disk trouble'); END"
    )
    with pytest.raises(StoreError, match="disk trouble"):
        store.add([make(), make(kind=7)], now=NOW)
    assert store.count() == 0
    assert ids(store) == []
    assert store.add([make()], now=NOW) == [Outcome.STORED]
    store.close()


def test_other_files_are_refused_untouched(tmp_path):
    path = tmp_path / "relay.db"
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE mine (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreSchema, match="expected 3 of") as caught:
        SqliteEventStore(path)
    assert "remove relay.db" in caught.value.hint
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "relay.db"
    path.write_bytes(b"not a database, " * 100)
    with pytest.raises(StoreError, match="damaged database"):
        SqliteEventStore(path)


def test_a_newer_form_is_refused(tmp_path):
    path = tmp_path / "relay.db"
    store = SqliteEventStore(path)
    store._db.pragma("user_version", 4)
    store.close()
    with pytest.raises(StoreSchema, match="form 4"):
        SqliteEventStore(path)
