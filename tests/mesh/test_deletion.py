"""NIP-09 and NIP-62: what a request reaches, in both stores and over the wire."""

import pytest

from mesh.core import limits
from mesh.core.relay.deletion import deletes, named_addresses, vanishes
from mesh.core.relay.filter import parse_filter
from mesh.core.relay.policy import WritePolicy
from mesh.relay.sqlite import SqliteEventStore
from mesh.relay.store import MemoryEventStore, Outcome
from tests.mesh.peers import ALICE, BOB, CAROL, NOW, as_object, make, serving
from tests.mesh.wire import client

KEPT = frozenset({78, 30079})
OPEN = WritePolicy(authors=None)
EVERYWHERE = (("relay", "ALL_RELAYS"),)


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    found = (
        MemoryEventStore(events_max=20, kept_kinds=KEPT)
        if request.param == "memory"
        else SqliteEventStore(tmp_path / "relay.db", events_max=20, kept_kinds=KEPT)
    )
    yield found
    found.close()


def held(store):
    every_key = frozenset(signer.pubkey for signer in (ALICE, BOB, CAROL))
    found = store.query([parse_filter({})], now=NOW, keys=every_key)
    return {event_id for event_id, _ in found.rows}


def deletion(signer=ALICE, *, ids=(), addresses=(), kinds=(), at=NOW):
    tags = [("e", event.id) for event in ids]
    tags += [("a", address) for address in addresses]
    tags += [("k", str(kind)) for kind in kinds]
    return make(signer, kind=5, tags=tuple(tags), at=at)


def test_an_author_deletes_events_of_his_own_only(store):
    mine, other, theirs = make(content="a"), make(content="b"), make(BOB)
    request = deletion(ids=(mine, theirs))
    assert store.add([mine, other, theirs, request], now=NOW) == [Outcome.STORED] * 4
    assert held(store) == {other.id, theirs.id, request.id}
    assert store.add([mine, mine], now=NOW) == [Outcome.DELETED] * 2
    assert store.count() == 3


def test_a_deletion_that_comes_first_keeps_the_event_out(store):
    mine, theirs = make(), make(BOB)
    request = deletion(ids=(mine, theirs))
    assert store.add([request, mine, theirs], now=NOW) == [
        Outcome.STORED,
        Outcome.DELETED,
        Outcome.STORED,
    ]


@pytest.mark.parametrize(
    ("kind", "d", "written"),
    [(30078, "x", "30078:{}:x"), (30078, "a:b", "30078:{}:a:b"), (0, "", "0:{}:"), (0, "", "0:{}")],
)
def test_versions_at_an_address_go_up_to_the_time_of_the_request(store, kind, d, written):
    old, same, new = (make(kind=kind, tags=(("d", d),), at=NOW + at) for at in (-1, 0, 1))
    request = deletion(addresses=(written.format(ALICE.pubkey),))
    assert store.add([old, request], now=NOW) == [Outcome.STORED] * 2
    assert held(store) == {request.id}
    assert store.add([old, same, new], now=NOW) == [
        Outcome.DELETED,
        Outcome.DELETED,
        Outcome.STORED,
    ]
    assert store.add([deletion(addresses=(written.format(ALICE.pubkey),), at=NOW - 1)], now=NOW)
    assert new.id in held(store)


def test_addresses_of_others_and_of_other_kinds_are_none():
    request = deletion(
        addresses=(
            f"30078:{BOB.pubkey}:x",
            f"1:{ALICE.pubkey}:",
            f"20001:{ALICE.pubkey}:",
            f"{ALICE.pubkey}",
            "",
            f"x:{ALICE.pubkey}:",
            f"٣:{ALICE.pubkey}:",
            f"99999999:{ALICE.pubkey}:",
        )
    )
    assert named_addresses(request) == frozenset()


def test_deletions_are_not_deleted_by_deletions(store):
    first = deletion(ids=(make(),))
    vanish = make(kind=62, tags=EVERYWHERE, at=NOW - 9)
    second = deletion(ids=(first, vanish))
    assert store.add([first, vanish, second], now=NOW) == [Outcome.STORED] * 3
    assert held(store) == {first.id, vanish.id, second.id}


def test_a_receiver_deletes_his_gift_wraps_and_nobody_elses(store):
    to_alice = make(CAROL, kind=1059, tags=(("p", ALICE.pubkey),))
    to_bob = make(CAROL, kind=1059, tags=(("p", BOB.pubkey),))
    note = make(CAROL, tags=(("p", ALICE.pubkey),))
    store.add([to_alice, to_bob, note, deletion(ids=(to_alice,))], now=NOW)
    assert to_alice.id in held(store)  # without its kind it is not meant
    request = deletion(ids=(to_alice, to_bob, note), kinds=(1059,))
    store.add([request], now=NOW)
    assert {to_bob.id, note.id} < held(store)
    assert to_alice.id not in held(store)
    assert store.add([to_alice], now=NOW) == [Outcome.DELETED]


def test_kept_kinds_stay_against_deletions_and_not_against_vanishing(store):
    """Two heads that contradict each other: who signed them cannot have one back."""
    forks = [make(kind=78, content=text) for text in "ab"]
    pointer = make(kind=30079, tags=(("d", "x"),))
    request = deletion(ids=(*forks, pointer), addresses=(f"30079:{ALICE.pubkey}:x",))
    assert store.add([forks[0], pointer, request, forks[1]], now=NOW) == [Outcome.STORED] * 4
    assert store.add([make(kind=62, tags=EVERYWHERE)], now=NOW) == [Outcome.STORED]
    assert store.add(forks, now=NOW) == [Outcome.DELETED] * 2


def test_vanishing_takes_everything_and_keeps_it_out(store):
    events = [
        make(content="x"),
        make(kind=0, at=NOW - 5),
        deletion(ids=(make(content="y"),)),
        make(BOB, kind=1059, tags=(("p", ALICE.pubkey),), at=NOW - 7),
        make(kind=62, tags=EVERYWHERE, at=NOW - 3),
    ]
    others = [
        make(BOB, tags=(("p", ALICE.pubkey),)),
        make(at=NOW + 1),
        make(BOB, kind=1059, tags=(("p", ALICE.pubkey),), at=NOW + 1),
    ]
    assert set(store.add([events[4], *events[:4], *others], now=NOW)) == {
        Outcome.STORED,
        Outcome.DELETED,
    }
    request = make(kind=62, tags=EVERYWHERE)
    assert store.add([request], now=NOW) == [Outcome.STORED]
    assert held(store) == {request.id, *(event.id for event in others)}
    assert store.add(events, now=NOW) == [Outcome.DELETED] * 5
    assert store.add([make(kind=62, tags=EVERYWHERE, content="again")], now=NOW) == [
        Outcome.DELETED
    ]


def test_a_full_store_takes_requests_that_make_room(store):
    events = [make(content=str(number)) for number in range(20)]
    assert store.add(events, now=NOW) == [Outcome.STORED] * 20
    assert store.add([deletion(BOB)], now=NOW) == [Outcome.FULL]
    assert store.add([deletion(ids=events[:3])], now=NOW) == [Outcome.STORED]
    assert store.count() == 18
    assert store.add([make(kind=62, tags=EVERYWHERE)], now=NOW) == [Outcome.STORED]
    assert store.count() == 1


def test_what_is_reached_does_not_depend_on_the_order(tmp_path):
    """Requests and events in every order: what is left is the same."""
    note, head = make(content="n"), make(kind=30078, tags=(("d", "x"),))
    by_id = deletion(ids=(note,))
    by_address = deletion(addresses=(f"30078:{ALICE.pubkey}:x",))
    events = [note, head, by_id, by_address]
    for turn in range(4):
        for order in (events[turn:] + events[:turn], (events[turn:] + events[:turn])[::-1]):
            store = MemoryEventStore()
            store.add(order, now=NOW)
            assert held(store) == {by_id.id, by_address.id}


def test_a_request_reaches_neither_itself_nor_what_came_later():
    request = make(kind=62, tags=EVERYWHERE)
    assert not vanishes(request, request)
    assert not vanishes(request, make(at=NOW + 1))
    assert not deletes(deletion(ids=(request,)), request)


def test_requests_of_the_form_before_are_taken_up(tmp_path):
    """Version 1 kept them as plain events."""
    path = tmp_path / "relay.db"
    gone, kept, bobs = make(content="gone"), make(content="kept"), make(BOB)
    vanish_here = make(CAROL, kind=62, tags=(("relay", "wss://other.example"),))
    requests = [deletion(ids=(gone,)), make(BOB, kind=62, tags=EVERYWHERE), deletion(BOB)]
    store = SqliteEventStore(path)
    for event in (gone, kept, bobs, *requests, vanish_here):
        store._insert(event, bytes.fromhex(event.id), None)
    store._db.execute("DELETE FROM tag WHERE length(name) > 1")
    store._db.execute("DROP TABLE withdrawn")
    store._db.pragma("user_version", 1)
    store.close()
    store = SqliteEventStore(path)
    assert held(store) == {kept.id, requests[0].id, requests[1].id}
    assert store.count() == 3
    assert store.add([gone, bobs], now=NOW) == [Outcome.DELETED] * 2
    orphans = "SELECT count(*) FROM tag WHERE seq NOT IN (SELECT seq FROM event)"
    assert store._db.execute(orphans).get == 0
    store.close()


async def test_deletion_over_the_wire(store):
    async with serving(store, policy=OPEN) as (_, url), client(url) as wire, client(url) as reader:
        event = make()
        await wire.send("EVENT", as_object(event))
        assert (await wire.receive())[2] is True
        await reader.send("REQ", "s", {"kinds": [5]})
        await reader.until("EOSE")
        request = deletion(ids=(event,))
        await wire.send("EVENT", as_object(request))
        assert await wire.receive() == ["OK", request.id, True, ""]
        assert await reader.receive() == ["EVENT", "s", as_object(request)]
        await wire.send("EVENT", as_object(event))
        _, _, accepted, message = await wire.receive()
        assert (accepted, message[:8]) == (False, "deleted:")
        await wire.send("REQ", "s", {"ids": [event.id]})
        assert (await wire.until("EOSE"))[0][0] == "EOSE"


async def test_a_stranger_may_vanish_and_may_not_fill_the_store(store):
    """A relay with restrictions follows a request whoever sends it (NIP-62)."""
    mail = make(CAROL, kind=1059, tags=(("p", BOB.pubkey),))
    store.add([make(BOB), mail], now=NOW)
    async with serving(store) as (_, url), client(url) as wire:
        for signer, message in ((CAROL, ""), (BOB, "")):
            event = make(signer, kind=62, tags=(("relay", url),))
            await wire.send("EVENT", as_object(event))
            assert await wire.receive() == ["OK", event.id, True, message]
        assert store.count() == 2
        nobody = make(ALICE.__class__(bytes([9]) * 32), kind=62, tags=EVERYWHERE)
        await wire.send("EVENT", as_object(nobody))
        assert await wire.receive() == ["OK", nobody.id, True, "nothing of this key is here"]
        assert store.count() == 2


async def test_guests_cannot_shut_the_fleet_out(store, monkeypatch):
    """Half of the store is for others; then only a request to vanish makes room for them."""
    monkeypatch.setattr(limits, "GUEST_EVENTS_MAX", 3)
    policy = WritePolicy(authors=frozenset({ALICE.pubkey}), strangers_work_bits=0)
    full = "error: the store of this relay is full"
    async with serving(store, policy=policy) as (_, url), client(url) as wire:
        for event, message in (
            *((make(BOB, content=str(number)), "") for number in range(3)),
            (make(BOB, content="3"), full),
            (make(CAROL), full),
            (deletion(CAROL), full),
            (make(CAROL, kind=62, tags=EVERYWHERE), "nothing of this key is here"),
            (make(ALICE), ""),
            (make(BOB, kind=62, tags=EVERYWHERE), ""),
            (make(CAROL), ""),
        ):
            await wire.send("EVENT", as_object(event))
            _, event_id, accepted, told = await wire.receive()
            assert (event_id, accepted, told) == (event.id, message != full, message)
    assert store.count() == 3


@pytest.mark.parametrize("tags", [(), (("relay", "wss://other.example"),), (("relay",),)])
async def test_a_request_to_another_relay_is_not_ours(store, tags):
    async with serving(store) as (_, url), client(url) as wire:
        note = make()
        await wire.send("EVENT", as_object(note))
        await wire.receive()
        await wire.send("EVENT", as_object(make(kind=62, tags=tags)))
        _, _, accepted, message = await wire.receive()
        assert (accepted, message[:8]) == (False, "invalid:")
        assert held(store) == {note.id}
