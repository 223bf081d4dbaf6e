"""What the state of every ledger holds, entry by entry, and what of it is still to be saved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core import state as core
from ledger.core.audit import Audit
from ledger.core.codec import encode
from ledger.core.errors import InvalidCbor, InvalidEvent
from ledger.core.event import (
    CONTENT_KEY,
    Draft,
    Envelope,
    Event,
    Record,
    content_commitment,
    payload_commitment,
    seal,
)
from ledger.core.state import _TOGETHER, BASIC_REDUCERS, State
from ledger.core.tiles import Tree
from tests.ledger.test_codec import values

STREAMS = (b"a" * 16, b"b" * 16)


def events(*steps):
    """(type, stream, payload) each; sequences as a log would give them."""
    sequences = dict.fromkeys(STREAMS, 0)
    for position, (kind, stream, payload) in enumerate(steps):
        yield seal(
            Draft(type=kind, stream=stream, payload=payload),
            position=position,
            stream_sequence=sequences[stream],
            ts_ms=position,
            salts=bytes(64),
        )
        sequences[stream] += 1


def test_types_and_streams_are_counted_and_the_first_redaction_stands():
    a, b = STREAMS
    steps = [
        ("test.fact", a, {"n": 0}), ("test.fact", b, {"n": 1}), ("test.other", a, {"n": 2}),
        ("ledger.redacted", a, {"targets": [0, 1, 0]}), ("ledger.redacted", a, {"targets": [1, 2]}),
        ("test.fact", a, {"targets": [3]}),
    ]  # fmt: skip
    made, state = list(events(*steps)), State(BASIC_REDUCERS)
    for event in made:
        state.apply(event)
    assert state.entries == {
        "type/test.fact": 3,
        "type/test.other": 1,
        "type/ledger.redacted": 2,
        f"stream/{a.hex()}": [5, made[5].envelope.payload_commitment],
        f"stream/{b.hex()}": [1, made[1].envelope.payload_commitment],
        "redacted/0": 3,
        "redacted/1": 3,
        "redacted/2": 4,
    }


def test_what_changed_is_to_be_saved_until_it_is_taken_and_again_if_that_failed():
    def remember(entries, event):
        yield "last", event.position
        yield f"n/{event.position}", event.position
        yield f"n/{event.position - 2}", None

    state = State((remember,))
    for event in events(*[("test.fact", STREAMS[0], {})] * 3):
        state.apply(event)
    assert state.take_unsaved() == {}, "as of the last digest, and there was none"
    state.digest()
    taken = state.take_unsaved()
    assert taken == {"last": 2, "n/-2": None, "n/-1": None, "n/0": None, "n/1": 1, "n/2": 2}
    assert state.take_unsaved() == {}
    state.put_back(["last", "n/0"])
    assert state.take_unsaved() == {"last": 2, "n/0": None}
    assert State.restore((), {"a": 1}, 1).take_unsaved() == {}


def test_a_copy_is_the_same_state_and_goes_on_alone():
    def remember(_entries, event):
        yield f"n/{event.position}", event.position

    first, second = events(*[("test.fact", STREAMS[0], {})] * 2)
    state = State((remember,))
    state.apply(first)
    before = state.digest()
    copy = state.copy()
    assert (copy.digest(), copy.size, copy.reducers) == (before, 1, state.reducers)
    assert copy.take_unsaved() == state.take_unsaved() == {"n/0": 0}
    copy.apply(second)
    undecided = copy.copy()
    assert undecided.digest() == copy.digest() != before
    assert (state.digest(), state.size) == (before, 1)


@pytest.mark.parametrize("bound", [1, 2, 3, 7, 8])
def test_a_sum_is_the_same_however_often_lanes_are_brought_back(monkeypatch, bound):
    entries = [encode([f"key/{number}", number]) for number in range(7)]
    twin = 0
    for entry in entries:
        twin = core._add(twin, core._lanes(entry))
    assert core._sum_of([]) == 0
    monkeypatch.setattr(core, "_UNFOLDED_MAX", bound)
    assert core._sum_of(entries) == twin


def test_no_lane_runs_over_into_the_next_in_a_large_state(monkeypatch):
    """Every lane at its largest, more often than 32 bits hold."""
    count, largest = (1 << 16) + 4000, (1 << 16) - 1
    lanes = (1 << 16 * core.LANES) - 1
    monkeypatch.setattr(core, "_lanes", lambda *_: lanes)
    total = core._sum_of(b"an entry" for _ in range(count))
    expected = (count * largest % (1 << 16)).to_bytes(2, "little")
    assert total.to_bytes(2 * core.LANES, "little") == expected * core.LANES


# ---- audits -----------------------------------------------------------------------------------------


def said(position, content):
    """An event with content of these bytes, whatever they are; None: erased since."""
    salt, words = bytes(32), b"\xa0" if content is None else content
    payload = encode({CONTENT_KEY: content_commitment(salt, words)})
    envelope = Envelope.of(
        kind="test.said", schema=1, stream=STREAMS[0], stream_sequence=position, ts_ms=position,
        causes=(), idempotency_key=None, payload_commitment=payload_commitment(salt, payload),
        payload_length=len(payload),
    )  # fmt: skip
    beside = (None, None) if content is None else (salt, content)
    return Record(position, envelope.encoded, salt, payload, *beside)


def test_an_audit_counts_contents_and_names_those_that_are_gone():
    audit = Audit(Tree(lambda *_: b""))
    for position, content in enumerate([b"\xa0", None, b"\xa0", b"\xa0", None]):
        audit.add(said(position, content))
    assert (audit.contents, audit.missing, audit.unerased, audit.carried) == (3, [1, 4], [], [])
    draft = Draft(type="ledger.redacted", stream=STREAMS[0], payload={"targets": [0, 1, 99]})
    audit.add(seal(draft, position=5, stream_sequence=5, ts_ms=5, salts=bytes(64)).record)
    assert (audit.missing, audit.redacted) == ([4], {1: 5})
    assert audit.carried == [0], "here, and not to be stored"


@pytest.mark.parametrize("content", [b"\x01", b"\xff", b"", b"\xa0\xa0", b"\x81\xa0"])
def test_an_audit_believes_no_content_because_it_is_committed_to(content):
    assert Event.open(said(0, content)), "every commitment holds"
    audit = Audit(Tree(lambda *_: b""))
    with pytest.raises(InvalidEvent, match="event 0: content"):
        audit.add(said(0, content))
    assert audit.tree.size == 0, "what is refused leaves nothing behind"


@given(
    st.dictionaries(st.text(max_size=20), values.filter(lambda value: value is not None)),
    st.integers(0, 2**40),
)
def test_a_state_of_encoded_entries_is_the_state_of_the_entries(entries, size):
    encoded = {key: encode(value) for key, value in entries.items()}
    state = State.restore_encoded((), encoded.items(), size, bytes_max=1 << 20)
    assert state.entries == entries
    twin = State.restore((), entries, size)
    assert (state.digest(), state.parts()) == (twin.digest(), twin.parts())
    assert state.take_unsaved() == {}


def test_a_state_of_encoded_entries_goes_on_with_its_reducers():
    first, second = events(*(("test.fact", STREAMS[0], {"n": n}) for n in range(2)))
    whole = State(BASIC_REDUCERS)
    whole.apply(first)
    encoded = {key: encode(value) for key, value in whole.entries.items()}
    state = State.restore_encoded(BASIC_REDUCERS, encoded.items(), 1, bytes_max=1 << 20)
    for one in (whole, state):
        one.apply(second)
    assert (state.entries, state.digest()) == (whole.entries, whole.digest())


def test_entries_are_decoded_while_they_are_read():
    """Or a long life's would be in memory twice."""
    read = []

    def encoded():
        for number in range(3 * _TOGETHER):
            read.append(number)
            yield f"part/{number}", b"\xff"

    with pytest.raises(InvalidCbor):
        State.restore_encoded((), encoded(), 1, bytes_max=1)
    assert len(read) == _TOGETHER


def test_a_part_of_many_entries_is_summed_over_all_that_were_decoded_together():
    entries = {f"part/{number}": number for number in range(2 * _TOGETHER + 1)}
    encoded = {key: encode(value) for key, value in entries.items()}
    state = State.restore_encoded((), encoded.items(), 1, bytes_max=1 << 20)
    assert state.digest() == State.restore((), entries, 1).digest()


@pytest.mark.parametrize(
    "doctored",
    [
        {"a": b"\x18\x01"},  # 1, but not in its one encoding
        {"a": b"\x01\x02", "b": b""},  # together as many values as keys
    ],
    ids=["longer", "shifted"],
)
def test_what_is_not_the_encoding_of_an_entry_has_no_digest_that_was_attested(doctored):
    state = State.restore_encoded((), doctored.items(), 1, bytes_max=100)
    assert state.digest() != State.restore((), dict(state.entries), 1).digest()
    with pytest.raises(InvalidCbor):
        State.restore_encoded((), [("a", b"\x01\x02")], 1, bytes_max=1)
    with pytest.raises(InvalidCbor):
        State.restore_encoded((), [("a", b"\x5f")], 1, bytes_max=100)
