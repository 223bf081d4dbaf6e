"""Packages of a log: against the definition of the tree, at every size where a border lies."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core import merkle
from ledger.core.codec import encode
from ledger.core.errors import InvalidEvent
from ledger.core.event import Event
from ledger.core.tiles import Tree
from mesh.core import limits
from mesh.core.errors import InvalidPackage, Withheld
from mesh.core.mirrors.packages import (
    Place,
    Redacted,
    encode_bodies,
    encode_package,
    open_bodies,
    open_package,
    package_path,
    package_root,
    places,
)
from tests.ledger.dumb_merkle import root as dumb_root
from tests.spec import agent

from .lives import Life

SIZES = (1, 2, 3, 255, 256, 257, 300, 511, 512, 513, 767, 769, 1024, 1025, 1300)
ENTRIES = [b"%d" % at for at in range(max(SIZES))]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]


@pytest.fixture(scope="module")
def tree():
    found = Tree(lambda *_: b"")
    found.extend(LEAVES)
    return found


@pytest.mark.parametrize("size", SIZES)
def test_each_package_of_a_tree_is_proven_by_its_path(tree, size):
    root = dumb_root(LEAVES[:size])
    for place in places(0, size, root):
        data = encode_package(
            ENTRIES[place.base : place.end], package_path(tree, place.index, size)
        )
        assert open_package(data, place, []) == ENTRIES[place.start : place.stop]
        half = (place.start + place.stop) // 2
        rest = encode_package(ENTRIES[half : place.end], package_path(tree, place.index, size))
        known = LEAVES[place.base : half]
        if half < place.stop:
            part = Place(start=half, stop=place.stop, size=size, root=root)
            assert open_package(rest, part, known) == ENTRIES[half : place.stop]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 100, 255, 256])
def test_a_package_root_is_that_of_the_tree_over_it(count):
    assert package_root(LEAVES[:count]) == dumb_root(LEAVES[:count])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_nothing_else_is_taken_for_a_package(tree, data):
    size = data.draw(st.sampled_from(SIZES))
    place = data.draw(st.sampled_from(list(places(0, size, tree.root(size)))))
    envelopes = ENTRIES[place.base : place.end]
    path = package_path(tree, place.index, size)
    kind = data.draw(st.sampled_from(["entry", "order", "fewer", "more", "path", "longer", "cut"]))
    at = data.draw(st.integers(0, len(envelopes) - 1))
    match kind:
        case "entry":
            envelopes[at] += b"!"
        case "order" if len(envelopes) > 1:
            envelopes[at - 1], envelopes[at] = envelopes[at], envelopes[at - 1]
        case "fewer":
            del envelopes[at]
        case "path" if path:
            path[data.draw(st.integers(0, len(path) - 1))] = bytes(32)
        case "cut" if path:
            path.pop()
        case "longer":
            path.append(bytes(32))
        case _:
            envelopes.append(b"more")
    with pytest.raises(InvalidPackage):
        open_package(encode_package(envelopes, path), place, [])


@pytest.mark.parametrize(
    "value", [None, 5, [], [[]], [[], [], []], [{}, []], [[5], []], [[b"0"], [5]], [[bytes(20_000)], []]]
)  # fmt: skip
def test_other_values_are_refused(value):
    place = Place(start=0, stop=1, size=1, root=LEAVES[0])
    with pytest.raises(InvalidPackage):
        open_package(encode(value), place, [])
    with pytest.raises((InvalidPackage, InvalidEvent)):
        open_bodies(encode(value), 0, [ENTRIES[0]], Redacted())


def test_places_cut_a_range_at_the_borders():
    found = [(one.start, one.stop, one.index) for one in places(250, 800, bytes(32))]
    assert found == [(250, 256, 0), (256, 512, 1), (512, 768, 2), (768, 800, 3)]
    with pytest.raises(ValueError, match="no package"):
        Place(start=250, stop=257, size=800, root=bytes(32))


# ---- payloads and contents ------------------------------------------------------------------

LIFE = Life().say(6)
RECORDS = LIFE.ledger.records
ENVELOPES = [record.envelope for record in RECORDS]


def bodies(records=RECORDS):
    return [[r.salt, r.payload, r.content_salt, r.content] for r in records]


def opened(values, redacted=()):
    gone = Redacted()
    gone.add(list(redacted))
    return open_bodies(encode(values), 0, ENVELOPES, gone)


def test_events_open_and_redacted_words_are_left_out():
    assert [event.record for event in opened(bodies())] == RECORDS
    found = opened(bodies(), redacted=[3])
    assert [event.position for event in found if event.redacted] == [3]
    assert [event.record for event in opened(bodies(RECORDS[:2]))] == RECORDS[:2]


@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_each_part_must_be_the_one_that_was_committed_to(part):
    values = bodies()
    values[2][part] = values[3][part]
    if part in (0, 2, 3) or values[2][part] != RECORDS[2].payload:
        with pytest.raises(InvalidPackage, match="event 2"):
            opened(values)
    values[2][part] = 7
    with pytest.raises(InvalidPackage, match="event 2"):
        opened(values)


def test_words_that_are_left_out_without_a_redaction_are_withheld():
    values = bodies()
    values[2][2:] = [None, None]
    with pytest.raises(Withheld, match="event 2"):
        opened(values)
    values[2][2:] = [RECORDS[2].content_salt, None]
    with pytest.raises(InvalidPackage, match="event 2"):
        opened(values)


def test_an_event_that_its_own_log_wrote_wrongly_is_told_from_a_lie():
    """Committed to, and no map: whoever sends it is not at fault."""
    ledger = agent.Ledger()
    ledger.add(agent.genesis_draft())
    envelope = Event.open(ledger.records[0]).envelope
    body = encode([1])
    salt = bytes(32)
    from ledger.core.event import Envelope, payload_commitment

    wrong = Envelope.of(
        kind="test.fact", schema=1, stream=bytes(16), stream_sequence=0, ts_ms=envelope.ts_ms,
        causes=(), idempotency_key=None, payload_commitment=payload_commitment(salt, body),
        payload_length=len(body),
    )  # fmt: skip
    with pytest.raises(InvalidEvent, match="event 0"):
        open_bodies(encode([[salt, body, None, None]]), 0, [wrong.encoded], Redacted())


def test_an_answer_holds_what_fits_and_at_least_one(monkeypatch):
    monkeypatch.setattr(limits, "BODIES_BYTES", 1)
    assert len(open_bodies(encode_bodies(iter(RECORDS)), 0, ENVELOPES, Redacted())) == 1
    monkeypatch.setattr(limits, "BODIES_BYTES", 2 * len(RECORDS[1].payload) + 1300)
    some = open_bodies(encode_bodies(iter(RECORDS)), 0, ENVELOPES, Redacted())
    assert 1 < len(some) < len(RECORDS)
