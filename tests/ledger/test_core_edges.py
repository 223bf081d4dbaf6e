"""Rules at the edge of the ledger's core, each one that a mutant of the code broke unnoticed.

docs/MUTATION.md tells which mutants there are and which of them change nothing.
"""

import hashlib
import io
import random
import re
import sys
from contextlib import suppress
from dataclasses import replace

import cbor2
import pytest
from blake3 import blake3

from ledger.core import limits
from ledger.core.audit import Audit
from ledger.core.bundle import Attachment, Header, Reader, Writer
from ledger.core.codec import decode, encode
from ledger.core.errors import (
    InvalidBundle,
    InvalidCbor,
    InvalidEvent,
    InvalidNote,
    InvalidProof,
    Refused,
    StoreDamaged,
)
from ledger.core.event import Draft, Event, seal
from ledger.core.hashing import digest, xof
from ledger.core.keys import verify
from ledger.core.merkle import leaf_hash, node_hash, root_from_inclusion, roots_from_consistency
from ledger.core.note import parse_note
from ledger.core.redaction import require_erasable
from ledger.core.state import BASIC_REDUCERS, State
from ledger.core.tiles import TILE_WIDTH, Tree
from ledger.core.types import may_hold_content
from tests.ledger import dumb_merkle
from tests.ledger.makers import SIGNER
from tests.spec.agent import bundle

HEADER = Header(purpose="export", ledger_id=b"l" * 32, epoch=0)


def sealed(position, payload, kind="test.fact", sequence=None):
    return seal(
        Draft(type=kind, stream=bytes(16), payload=payload),
        position=position,
        stream_sequence=position if sequence is None else sequence,
        ts_ms=position,
        salts=bytes(64),
    )


def leaf(number):
    return hashlib.sha256(b"%d" % number).digest()


# ---- redactions -----------------------------------------------------------------------------------


def audited(*events):
    audit = Audit(Tree(lambda *_: b""))
    for event in events:
        audit.add(event.record)
    return audit


def test_only_a_redaction_redacts():
    whole = seal(
        Draft(type="test.said", stream=bytes(16), payload={}, content={"text": "words"}),
        position=0,
        stream_sequence=0,
        ts_ms=0,
        salts=bytes(64),
    ).record
    erased = Event.open(whole._replace(content=None, content_salt=None))
    assert audited(erased, sealed(1, {"targets": [0]})).missing == [0]
    assert audited(erased, sealed(1, {"targets": [0]}, "ledger.redacted")).redacted == {0: 1}


def test_a_redaction_that_names_nothing_is_one_of_nothing():
    event = sealed(0, {}, "ledger.redacted")
    assert audited(event).redacted == {}
    state = State(BASIC_REDUCERS)
    state.apply(event)
    assert not any(key.startswith("redacted/") for key in state.entries)


def typed(kind, *, content):
    """An event of any type, with content or without: a log of another make may hold each."""
    words = {"text": "words"} if content else None
    draft = Draft(type="test.said", stream=bytes(16), payload={}, content=words)
    record = seal(draft, position=0, stream_sequence=0, ts_ms=0, salts=bytes(64)).record
    array = cbor2.loads(record.envelope)
    array[1] = kind
    return Event.open(record._replace(envelope=encode(array)))


ERASABLE = {
    "words of the operator": ("message.received", True, None),
    "a message without words": ("message.received", False, "has no content to redact"),
    "a control type, with content": ("genesis.born", True, "has no content to redact"),
    "a control type": ("genesis.born", False, "has no content to redact"),
    "a type of a newer version": ("test.said", True, "unknown to this version"),
    "one without content": ("test.said", False, "has no content to redact"),
}


@pytest.mark.parametrize(("kind", "content", "refusal"), ERASABLE.values(), ids=ERASABLE)
def test_only_words_of_a_known_type_are_erased(kind, content, refusal):
    event = typed(kind, content=content)
    assert (event.type, event.has_content) == (kind, content)
    if refusal is None:
        require_erasable(event)
        return
    with pytest.raises(Refused, match=refusal) as caught:
        require_erasable(event)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("message.received", True), ("genesis.born", False), ("a.later_version", True)],
)
def test_a_known_type_says_whether_it_has_words_and_an_unknown_one_may(kind, expected):
    assert may_hold_content(kind) is expected


# ---- state ------------------------------------------------------------------------------------------


def test_an_entry_that_goes_leaves_no_trace_in_the_digest():
    def keep_the_even(entries, event):
        yield from ((key, None) for key in list(entries))
        yield "never there", None
        if event.payload["n"] % 2 == 0:
            yield f"n/{event.payload['n']}", event.payload["n"]

    state = State((keep_the_even,))
    for number in range(4):
        state.apply(sealed(number, {"n": number}))
    assert state.entries == {}
    assert state.digest() == State((), {}, 4).digest()
    state.apply(sealed(4, {"n": 4}))
    assert state.entries == {"n/4": 4}
    assert state.digest() == State.restore((), {"n/4": 4}, 5).digest()


# ---- bundles ----------------------------------------------------------------------------------------


def attachment_of(length):
    """An attachment whose record has `length` bytes."""
    spare = length - len(encode(["attachment", "x", [bytes(2**16)]]))
    return Attachment(name="x", value=[bytes(2**16 + spare)])


def test_a_record_may_be_as_large_as_the_bound_and_no_larger():
    largest = attachment_of(limits.BUNDLE_RECORD_BYTES_MAX)
    file = io.BytesIO()
    writer = Writer(file, HEADER)
    writer.add(largest)
    with pytest.raises(InvalidBundle, match="at most"):
        writer.add(attachment_of(limits.BUNDLE_RECORD_BYTES_MAX + 1))
    writer.end()
    file.seek(0)
    assert list(Reader(file)) == [largest]


class Trickle(io.BytesIO):
    """A pipe: gives three bytes at a time; notes the most that was asked for."""

    most = 0

    def read(self, size=-1, /):
        assert size is not None
        assert size >= 0, "everything there is was asked for"
        self.most = max(self.most, size)
        return super().read(min(size, 3))


def test_a_bundle_is_read_from_a_pipe_and_never_further_than_a_record():
    file = io.BytesIO()
    writer = Writer(file, HEADER)
    items = [Attachment(name="x", value=[bytes(length)]) for length in (500, 10, 300)]
    for item in items:
        writer.add(item)
    writer.end()
    data = file.getvalue()
    pipe = Trickle(data)
    reader = Reader(pipe)
    assert reader.digest is None
    found = iter(reader)
    assert next(found) == items[0]
    assert reader.digest is None, "there is none before the closing record"
    assert [*found] == items[1:]
    closing = 4 + len(encode(["end", 4, bytes(32)]))
    assert reader.digest == hashlib.sha256(data[:-closing]).digest()
    assert pipe.most == len(encode(["attachment", "x", [bytes(500)]]))
    with pytest.raises(InvalidBundle, match="bytes follow"):
        list(Reader(Trickle(data + bytes(9))))


# ---- the tree ---------------------------------------------------------------------------------------


def test_tiles_that_nobody_took_yet_are_read_from_the_tree_itself():
    def nothing_is_stored(level, index):
        raise StoreDamaged(f"tile {index} of level {level}")

    tree, leaves = Tree(nothing_is_stored), [leaf(n) for n in range(2 * TILE_WIDTH + 90)]
    for one in leaves:
        tree.append(one)
    for index in (0, 1, 255, 256, 300, 511, 512, 601):
        assert tree.inclusion(index, tree.size) == dumb_merkle.path(index, leaves)


def test_the_unfinished_tile_is_never_read_stale():
    tree, leaves = Tree(lambda *_: b""), []
    for number in range(40):
        leaves.append(leaf(number))
        tree.append(leaves[-1])
        for size in range(1, len(leaves) + 1):
            assert tree.root(size) == dumb_merkle.root(leaves[:size])


def test_a_stored_tile_is_read_once_as_long_as_there_is_room():
    tiles, reads = {}, []

    def read_tile(level, index):
        reads.append((level, index))
        return tiles[level, index]

    tree = Tree(read_tile)
    for number in range(4 * TILE_WIDTH):
        tree.append(leaf(number))
        tiles |= {(tile.level, tile.index): tile.hashes for tile in tree.take_tiles()}
    indexes = random.Random(1).choices(range(tree.size), k=200)
    for index in indexes:
        tree.inclusion(index, tree.size)
    assert sorted(set(reads)) == sorted(reads)
    assert {index for level, index in reads if level == 0} == set(range(4))


@pytest.mark.parametrize(("level", "index"), [(16, 0), (8, 1), (0, 300), (9, 0), (64, 0)])
def test_a_node_above_or_beyond_the_tree_is_no_node(level, index):
    tree = Tree(lambda *_: b"")
    for number in range(TILE_WIDTH):
        tree.append(leaf(number))
    tree.take_tiles()
    with pytest.raises(InvalidProof):
        tree.node(level, index)


def test_the_audit_builds_the_tree_of_the_envelopes():
    events = [sealed(number, {"n": number}) for number in range(5)]
    leaves = [leaf_hash(event.record.envelope) for event in events]
    assert audited(*events).tree.root() == dumb_merkle.root(leaves)


# ---- proofs -----------------------------------------------------------------------------------------


def test_the_largest_tree_that_may_be_claimed():
    whole, half, top, other = limits.TREE_SIZE_MAX, limits.TREE_SIZE_MAX // 2, leaf(1), leaf(2)
    assert roots_from_consistency(half, whole, [other], top) == (top, node_hash(top, other))
    path = [leaf(n) for n in range(48)]
    root = top
    for one in path:
        root = node_hash(root, one)
    assert root_from_inclusion(top, 0, whole, path) == root
    with pytest.raises(InvalidProof, match="no consistency"):
        roots_from_consistency(half, whole + 1, [other], top)
    with pytest.raises(InvalidProof, match="not in a tree"):
        root_from_inclusion(top, 0, whole + 1, path)


@pytest.mark.parametrize(("size1", "size2", "hashes"), [(3, 3, 2), (4, 3, 2), (-1, 3, 2)])
def test_two_sizes_must_grow_whatever_the_path(size1, size2, hashes):
    with pytest.raises(InvalidProof, match="no consistency"):
        roots_from_consistency(size1, size2, [leaf(n) for n in range(hashes)], leaf(0))


def test_from_nothing_nothing_is_computed():
    with pytest.raises(InvalidProof, match="no consistency"):
        roots_from_consistency(0, 3, [leaf(1), leaf(2)], leaf(0))


# ---- notes ------------------------------------------------------------------------------------------

LINE = "— a AAAAAAA="
"""A key id of four zero bytes and a signature of one."""


def note_of(*lines, text="text\n"):
    return (text + "\n" + "".join(f"{line}\n" for line in lines)).encode()


@pytest.mark.parametrize(
    "data",
    [
        note_of(LINE.removeprefix("— ")),
        note_of("x " + LINE.removeprefix("— ")),
        note_of("— aAAAAAAA="),
        note_of("— a AAAAAA=="),  # a key id and no signature
        note_of("— a AAAAAAB="),  # bits behind the end
        note_of("— a AAAA AAA="),
        note_of("— a AA!AAAAA="),
        note_of("— a b AAAAAAA="),
        note_of(LINE)[:-1],
        note_of(LINE)[:-1] + b"x",
        note_of(),
        note_of(LINE, text="text\x07\n"),
        note_of(LINE, text="text\x1f\n"),
        note_of(LINE, text="text\x7f\n"),
        note_of(LINE, text="\n"),
        note_of(LINE, text=""),
        note_of("— é AAAAAAA="),
        note_of("—  AAAAAAA="),
        note_of("— a+ AAAAAAA="),
        note_of("— \x7f AAAAAAA="),
    ],
)
def test_a_note_that_is_written_in_another_way_is_refused(data):
    with pytest.raises(InvalidNote):
        parse_note(data)


@pytest.mark.parametrize("name", ["a", "!", "~", "a/b", "timmy.example"])
def test_a_note_is_written_as_it_was_read(name):
    data = note_of(LINE, f"— {name} AAAAAAAB", text="text \n\nmore\n")
    note = parse_note(data)
    assert note.text == "text \n\nmore\n"
    assert [s.name for s in note.signatures] == ["a", name]
    assert note.encode() == data


def test_a_note_has_a_size_and_a_number_of_signatures():
    spare = limits.NOTE_BYTES_MAX - len(note_of(LINE, text="\n"))
    largest = note_of(LINE, text="x" * spare + "\n")
    assert len(largest) == limits.NOTE_BYTES_MAX
    assert parse_note(largest).encode() == largest
    with pytest.raises(InvalidNote, match="at most"):
        parse_note(b"x" + largest)
    most = note_of(*[LINE] * limits.NOTE_SIGNATURES_MAX)
    assert len(parse_note(most).signatures) == limits.NOTE_SIGNATURES_MAX
    with pytest.raises(InvalidNote, match="signatures"):
        parse_note(note_of(*[LINE] * (limits.NOTE_SIGNATURES_MAX + 1)))


# ---- errors -----------------------------------------------------------------------------------------


def test_damage_says_what_where_and_what_to_do():
    error = StoreDamaged("event 3 is torn", position=3, hint="run: timmy doctor")
    assert (str(error), error.position, error.hint) == ("event 3 is torn", 3, "run: timmy doctor")
    plain = StoreDamaged("torn")
    assert (str(plain), plain.position) == ("torn", None)
    assert "timmy doctor --salvage" in plain.hint


# ---- tags -------------------------------------------------------------------------------------------

TAGGED = {
    0: "2013-03-21T20:04:00Z", 1: 1, 2: b"\x01" * 9, 4: [5, 7], 30: [1, 3], 35: "(a|b)*c",
    36: "MIME-Version: 1.0\n\nx", 37: b"\x01" * 16, 52: b"\x01\x02\x03\x04", 258: [1, 2],
}  # fmt: skip

CARRIES_OUT = re.compile(r"/(re|email)/|/(uuid|fractions|ipaddress|numbers|_?strptime|decimal)\.py")
"""Modules of Python's own that cbor2 hands such values to."""


@pytest.mark.parametrize("tag", TAGGED)
def test_no_tag_is_carried_out_before_it_is_refused(tag):
    """A pattern would be compiled, a message parsed: whoever sends it decides what that costs."""
    called = set()

    def profile(frame, event, _argument):
        if event == "call":
            called.add(frame.f_code.co_filename)

    data = cbor2.dumps(cbor2.CBORTag(tag, TAGGED[tag]))
    sys.setprofile(profile)
    try:
        with suppress(InvalidCbor):
            decode(data, bytes_max=100)
            called.add("accepted")
    finally:
        sys.setprofile(None)
    assert "accepted" not in called
    assert not [name for name in called if CARRIES_OUT.search(name)]


# ---- records of a bundle ------------------------------------------------------------------------------

WHOLE = ["event", 0, b"", b"", b"", None, None]
MALFORMED = [
    [], {}, [1], ["unknown", 1], ["subject"], ["subject", -1], ["subject", True], ["subject", 1, 1],
    ["inclusion", 1, 2, [1]], ["inclusion", 1, 2, [b"x", "x"]], ["inclusion", 1, 2, [b"x"] * 64],
    ["consistency", 1, 2, b""], ["checkpoint", "text"], ["attachment", "x", 1],
    ["attachment", b"x", {}], ["header", "export", b"", 0], WHOLE[:-1], [*WHOLE, None],
    *([*WHOLE[:at], "x", *WHOLE[at + 1 :]] for at in range(1, 7)),
]  # fmt: skip


@pytest.mark.parametrize("value", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_record_is_refused_in_a_bundle_that_is_whole(value):
    """Cut bundles are refused anyway: only a closed one shows that the record was looked at."""
    with pytest.raises(InvalidBundle):
        list(Reader(io.BytesIO(bundle([["header", "export", b"", 0], value]))))


def test_a_whole_bundle_with_good_records_is_read():
    good = [WHOLE, ["inclusion", 1, 2, [b"x"] * 63], ["attachment", "x", []], ["subject", 0]]
    reader = Reader(io.BytesIO(bundle([["header", "", b"", 0], *good])))
    assert len(list(reader)) == len(good)
    assert reader.digest is not None


# ---- values and sizes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [True, False, None, b"x", "y", limits.INT_MIN, limits.INT_MAX])
def test_every_kind_of_value_is_encoded(value):
    assert decode(encode([value, {"k": value}]), bytes_max=99) == [value, {"k": value}]


@pytest.mark.parametrize(
    "wrap", [lambda value: [value], lambda value: {"k": value}], ids=["lists", "maps"]
)
def test_lists_and_maps_are_nested_as_deep_as_the_bound(wrap):
    value = 0
    for _ in range(limits.CBOR_DEPTH_MAX):
        value = wrap(value)
    assert decode(encode(value), bytes_max=999) == value
    with pytest.raises(InvalidCbor):
        encode(wrap(value))


def test_payload_and_content_may_be_as_large_as_their_bounds():
    spare = limits.PAYLOAD_BYTES_MAX - len(encode({"n": bytes(2**15)}))
    event = sealed(0, {"n": bytes(2**15 + spare)})
    assert len(event.record.payload) == limits.PAYLOAD_BYTES_MAX
    assert Event.open(event.record).payload == event.payload
    with pytest.raises(InvalidEvent):
        sealed(0, {"n": bytes(2**15 + spare + 1)})
    words = {"text": "x" * (limits.CONTENT_BYTES_MAX - len(encode({"text": "x" * 2**16})) + 2**16)}
    draft = Draft(type="test.said", stream=bytes(16), payload={}, content=words)
    facts = {"position": 0, "stream_sequence": 0, "ts_ms": 0, "salts": bytes(64)}
    record = seal(draft, **facts).record
    assert len(record.content) == limits.CONTENT_BYTES_MAX
    assert Event.open(record).content == words
    with pytest.raises(InvalidEvent):
        seal(replace(draft, content={"text": words["text"] + "x"}), **facts)


def test_a_tree_of_nothing_is_restored_and_grows():
    tree = Tree.restore(lambda *_: b"", lambda *_: [], lambda _: [], 0)
    assert tree.root() == dumb_merkle.root([])
    tree.append(leaf(0))
    assert (tree.size, tree.root()) == (1, leaf(0))


# ---- signatures -----------------------------------------------------------------------------------------


def test_a_key_or_signature_of_another_length_is_refused():
    """The curve library reads 32 bytes of a longer key and would find the signature good."""
    signature = SIGNER.sign("test", b"message")
    assert verify(SIGNER.public, "test", b"message", signature)
    for public in (SIGNER.public + b"x", SIGNER.public[:-1], b""):
        assert not verify(public, "test", b"message", signature)
    for cut in (signature + b"x", signature[:-1], b""):
        assert not verify(SIGNER.public, "test", b"message", cut)


@pytest.mark.parametrize("parts", [(), (b"",), (b"a",), (b"a", b"b"), (b"", b"ab", b"c")])
def test_parts_are_digested_as_one(parts):
    """With blake3's own derive_key mode beside it."""
    whole = blake3(b"".join(parts), derive_key_context="a context")
    assert digest("a context", *parts) == whole.digest()
    assert xof("a context", 100, *parts) == whole.digest(length=100)
