import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import proof
from ledger.core.audit import Audit
from ledger.core.bundle import (
    MAGIC,
    Attachment,
    Consistency,
    Header,
    Inclusion,
    Reader,
    SignedHead,
    Subject,
    Writer,
)
from ledger.core.checkpoint import open_checkpoint
from ledger.core.codec import encode
from ledger.core.errors import InvalidBundle, InvalidEvent, Refused
from ledger.core.event import Record
from ledger.core.merkle import leaf_hash, verify_consistency, verify_inclusion
from ledger.core.tiles import Tree
from ledger.release import Release
from tests.ledger.makers import SIGNER, genesis, message, open_log

HEADER = Header(purpose="export", ledger_id=b"l" * 32, epoch=0)
ITEMS = [
    Record(position=3, envelope=b"e", salt=b"s", payload=b"p", content_salt=b"c", content=b"t"),
    Record(position=4, envelope=b"e", salt=b"s", payload=b"p"),
    Inclusion(position=3, size=9, path=(b"h" * 32,)),
    Consistency(size1=3, size2=9, path=()),
    SignedHead(note=b"note"),
    Attachment(name="x", value={"a": [1]}),
    Subject(position=3),
]


def written(items=ITEMS):
    file = io.BytesIO()
    writer = Writer(file, HEADER)
    for item in items:
        writer.add(item)
    writer.end()
    return file.getvalue()


def read(data):
    reader = Reader(io.BytesIO(data))
    return reader.header, list(reader)


def test_a_bundle_comes_back_as_it_was_written():
    assert read(written()) == (HEADER, ITEMS)


def test_every_truncation_and_every_flipped_bit_is_found():
    data = written()
    for length in range(len(data)):
        with pytest.raises(InvalidBundle):
            read(data[:length])
    for at in range(len(data)):
        for bit in range(8):
            bad = bytearray(data)
            bad[at] ^= 1 << bit
            with pytest.raises(InvalidBundle):
                read(bytes(bad))
    with pytest.raises(InvalidBundle, match="bytes follow"):
        read(data + b"x")


def frame(value):
    data = encode(value)
    return len(data).to_bytes(4, "big") + data


@pytest.mark.parametrize(
    "tail",
    [
        frame(["header", "export", b"l", 0]),
        frame(["unknown", 1]),
        frame(["subject"]),
        frame(["subject", -1]),
        frame(["subject", True]),
        frame(["inclusion", 1, 2, [1]]),
        frame(["inclusion", 1, 2, [b"x"] * 64]),
        frame([]),
        frame({}),
        frame([1]),
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x01\xff",
    ],
)
def test_malformed_records_are_refused(tail):
    start = MAGIC + frame(["header", "export", b"l" * 32, 0])
    with pytest.raises(InvalidBundle):
        read(start + tail)


def test_it_starts_with_magic_and_header():
    with pytest.raises(InvalidBundle, match="not a timmy bundle"):
        read(b"something else entirely")
    with pytest.raises(InvalidBundle, match="first record"):
        read(MAGIC + frame(["subject", 1]))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_bundle_or_refused(data):
    with pytest.raises(InvalidBundle):
        read(MAGIC + data)


# ---- what the node writes ------------------------------------------------------------------------


@pytest.fixture
def log():
    with open_log() as log:
        log.append_now(genesis(), *[message(f"words {n}") for n in range(300)])
        yield log


def test_an_export_audits_to_its_checkpoint(log, tmp_path):
    head = Release.begin(log, tmp_path, SIGNER).head()
    log.append_now(message("after the head"))
    file = io.BytesIO()
    assert proof.export(log, head, file) == 301
    header, items = read(file.getvalue())
    audit = Audit(Tree(lambda *_: b""))
    for item in items[:-1]:
        audit.add(item)
    signed = open_checkpoint(items[-1].note, SIGNER.public)
    assert header.purpose == "export"
    assert (audit.tree.size, audit.tree.root()) == (signed.size, signed.root)
    assert audit.contents == 300
    assert audit.missing == audit.unerased == []


def test_a_proof_holds_what_a_stranger_needs(log, tmp_path):
    release = Release.begin(log, tmp_path, SIGNER)
    first = release.head()
    log.append_now(message("later"))
    second = release.head()
    file = io.BytesIO()
    proof.prove(log, [second, first], 7, file, also=[2])
    header, items = read(file.getvalue())
    assert header.purpose == "proof"
    assert items[0] == Subject(position=7)
    records = {item.position: item for item in items if isinstance(item, Record)}
    assert sorted(records) == [0, 2, 7]
    for item in items:
        if isinstance(item, Inclusion):
            leaf = leaf_hash(records[item.position].envelope)
            verify_inclusion(leaf, item.position, item.size, item.path, first.root)
        if isinstance(item, Consistency):
            verify_consistency(item.size1, item.size2, item.path, first.root, second.root)
    with pytest.raises(Refused, match="no released checkpoint covers"):
        proof.prove(log, [first], 301, io.BytesIO())


def rewritten(items, at, **changes):
    return [*items[:at], items[at]._replace(**changes), *items[at + 1 :]]


def audit_of(records):
    audit = Audit(Tree(lambda *_: b""))
    for record in records:
        audit.add(record)
    return audit


def test_the_audit_names_each_attack(log):
    records = list(log.records())
    with pytest.raises(InvalidEvent, match="event 5: payload does not match"):
        audit_of(rewritten(records, 5, payload=records[6].payload))
    with pytest.raises(InvalidEvent, match="event 6 where event 5 belongs"):
        audit_of([*records[:5], *records[6:]])
    with pytest.raises(InvalidEvent, match="event 5 where event 6 belongs"):
        audit_of([*records[:6], *records[5:]])
    moved = [r._replace(position=n) for n, r in enumerate([*records[:5], *records[6:]])]
    with pytest.raises(InvalidEvent, match="event 5: stream sequence 5, expected 4"):
        audit_of(moved)
    dropped = audit_of(rewritten(records, 5, content=None, content_salt=None))
    assert dropped.missing == [5]
    changed = audit_of(records)
    assert changed.tree.root() == log.tree.root()
    assert audit_of(records[:-1]).tree.root() != log.tree.root()


def test_the_audit_checks_causes_and_time():
    clock = iter([5, 5, 5, 5])
    with open_log(clock=lambda: next(clock)) as log:
        first, *_ = log.append_now(genesis(), message("a"))
        log.append_now(message("b", causes=(first.cause,)))
        other = open_log(clock=lambda: 1)
        other.append_now(genesis(), message("x"), message("y"), message("z"))
        foreign = list(other.records())
    with pytest.raises(InvalidEvent, match=r"event 2: cause 0 is not an earlier event"):
        audit_of([foreign[0], foreign[1], list(log.records())[2]])
    with pytest.raises(InvalidEvent, match=r"event 1: time 1 is before"):
        audit_of([next(iter(log.records())), foreign[1]])


def test_erased_content_that_came_back_is_named(log):
    records = list(log.records())
    log.append_now(log.redaction([5], reason="r", actor="a"))
    audit = audit_of([*records, *log.records(301)])
    assert audit.unerased == [5]
    assert audit_of(log.records()).redacted == {5: 301}
