"""The .ots codec: public vectors, the reference implementation, every malformation by its name."""

import hashlib
import warnings
from pathlib import Path as FilePath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentimestamps.core.serialize import (
    BytesDeserializationContext,
    BytesSerializationContext,
    DeserializationError,
)
from opentimestamps.core.timestamp import DetachedTimestampFile
from opentimestamps.core.timestamp import Timestamp as TheirTimestamp

from attest.core import limits
from attest.core.errors import (
    InvalidAttestation,
    InvalidTimestamp,
    NotATimestamp,
    TimestampNotCanonical,
    TimestampTooLarge,
    TimestampTruncated,
    UnknownOperation,
    UnsupportedOperation,
)
from attest.core.header import HEIGHT_MAX
from attest.core.ots import (
    SHA256,
    BitcoinBlock,
    Op,
    Path,
    Pending,
    Step,
    Timestamp,
    Unknown,
    append,
    prepend,
)
from attest.core.ots_file import MAGIC, OtsFile, encode_timestamp, parse_file, parse_timestamp

FOLDER = FilePath(__file__).parents[1] / "vectors/bitcoin/ots"
GOOD = sorted([*FOLDER.glob("*.ots"), *FOLDER.glob("sha1/*.ots")])
HEAD = MAGIC + b"\x01\x08" + bytes(32)
BLOCK = BitcoinBlock(358391)
UNKNOWN_ATTESTATION = b"\x00" + b"unknown!" + b"\x00"


def theirs(data):
    """Read and write with the reference implementation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # their OpReverse
        context = BytesDeserializationContext(data)
        found = DetachedTimestampFile.deserialize(context)
    out = BytesSerializationContext()
    found.serialize(out)
    return found, out.getbytes()


def their_leaves(found):
    return sorted((m, type(a).__name__, repr(a)) for m, a in found.timestamp.all_attestations())


def our_leaves(found):
    names = {"BitcoinBlock": "BitcoinBlockHeaderAttestation", "Pending": "PendingAttestation"}
    rows = []
    for leaf in found.timestamp.leaves(found.digest):
        match leaf.attestation:
            case BitcoinBlock(height):
                text = f"BitcoinBlockHeaderAttestation({height!r})"
            case Pending(uri):
                text = f"PendingAttestation({uri!r})"
            case Unknown(tag, payload):
                text = f"UnknownAttestation({tag!r}, {payload!r})"
        name = names.get(type(leaf.attestation).__name__, "UnknownAttestation")
        rows.append((leaf.message, name, text))
    return sorted(rows)


# ---- public vectors -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_public_proofs_are_read_and_written_byte_for_byte(path):
    data = path.read_bytes()
    found = parse_file(data)
    assert found.encode() == data
    assert found.timestamp.merged(found.timestamp) == found.timestamp
    beside = path.with_suffix("")
    if beside.exists():
        assert hashlib.sha256(beside.read_bytes()).digest() == found.digest


def test_one_sha1_proof_is_of_both_colliding_files():
    found = parse_file((FOLDER / "sha1/a-or-b.ots").read_bytes())
    files = [(FOLDER / "sha1" / name).read_bytes() for name in "ab"]
    assert found.hash_op is Op.SHA1
    assert {hashlib.sha1(data).digest() for data in files} == {found.digest}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_every_path_leads_where_the_reference_says(path):
    if path.stem == "different-blockchains.txt":
        return  # two foreign chains: what is kept opaque here has a name there
    found = parse_file(path.read_bytes())
    assert our_leaves(found) == their_leaves(theirs(path.read_bytes())[0])


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("bad-major-version", NotATimestamp),
        ("exceeds-max-msg-length", TimestampTooLarge),
        ("invalid-file-digest-type", NotATimestamp),
    ],
)
def test_public_invalid_proofs_are_refused_by_name(name, error):
    data = (FOLDER / f"invalid/{name}.ots").read_bytes()
    with pytest.raises(error):
        parse_file(data)
    with pytest.raises(DeserializationError):
        theirs(data)


def test_keccak_is_kept_and_only_its_branch_is_not_computed():
    found = parse_file((FOLDER / "different-blockchains.txt.ots").read_bytes())
    messages = [leaf.message for leaf in found.timestamp.leaves(found.digest)]
    assert messages.count(None) == 1
    with pytest.raises(UnsupportedOperation):
        Step(Op.KECCAK256).apply(b"x")


# ---- the reference implementation ------------------------------------------------------------------

ops = st.one_of(
    st.sampled_from([Op.SHA1, Op.SHA256, Op.REVERSE, Op.HEXLIFY]).map(Step),
    st.builds(Step, st.sampled_from([Op.APPEND, Op.PREPEND]), st.binary(min_size=1, max_size=40)),
)
uris = st.text("abcXYZ019-._/:", max_size=40)
attestations = st.one_of(
    st.builds(BitcoinBlock, st.integers(0, HEIGHT_MAX)),
    st.builds(Pending, uris),
    st.builds(Unknown, st.binary(min_size=8, max_size=8).map(lambda t: b"?" + t[1:]),
              st.binary(max_size=40)),
)  # fmt: skip
trees = st.lists(
    st.builds(Path, st.lists(ops, max_size=5).map(tuple), attestations), min_size=1, max_size=6
).map(Timestamp.of)


@given(trees, st.binary(min_size=32, max_size=32))
def test_trees_survive_the_reference_implementation(tree, digest):
    """Same bytes, same order, same messages."""
    data = OtsFile(digest=digest, timestamp=tree).encode()
    assert parse_file(data).timestamp == tree
    found, again = theirs(data)
    assert again == data
    assert their_leaves(found) == our_leaves(parse_file(data))


@given(trees, trees, st.binary(min_size=32, max_size=32))
def test_merging_is_the_reference_implementations(one, other, digest):
    def read(tree):
        context = BytesDeserializationContext(encode_timestamp(tree))
        return TheirTimestamp.deserialize(context, digest)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        expected = read(one)
        expected.merge(read(other))
    out = BytesSerializationContext()
    expected.serialize(out)
    assert encode_timestamp(one.merged(other)) == out.getbytes()


@given(st.data())
def test_what_we_accept_the_reference_accepts(data):
    """Of damaged proofs; the other way round we are stricter, on purpose."""
    good = data.draw(st.sampled_from([path.read_bytes() for path in GOOD]))
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + data.draw(st.binary(max_size=3)) + good[at + data.draw(st.integers(0, 3)) :]
    try:
        found = parse_file(bad)
    except InvalidTimestamp:
        return
    assert found.encode() == bad
    if b"\x67" in bad or b"\x06\x86\x96" in bad or b"\x30\xfe\x80\x87" in bad:
        return  # keccak and the foreign chains: kept opaque here, read there
    _, again = theirs(bad)
    assert len(again) == len(bad)  # another order is taken, and would be written in theirs


# ---- malformations ---------------------------------------------------------------------------------

MALFORMED = {
    "nothing": (b"", NotATimestamp),
    "another magic": (b"\x01" + HEAD[1:] + UNKNOWN_ATTESTATION, NotATimestamp),
    "version 2": (MAGIC + b"\x02\x08" + bytes(32) + UNKNOWN_ATTESTATION, NotATimestamp),
    "digest by append": (MAGIC + b"\x01\xf0" + bytes(32) + UNKNOWN_ATTESTATION, NotATimestamp),
    "digest cut": (HEAD[:-1], TimestampTruncated),
    "no timestamp": (HEAD, TimestampTruncated),
    "fork and end": (HEAD + b"\xff" + UNKNOWN_ATTESTATION, TimestampTruncated),
    "fork of forks": (HEAD + b"\xff\xff" + 3 * UNKNOWN_ATTESTATION, UnknownOperation),
    "operation 01": (HEAD + b"\x01" + UNKNOWN_ATTESTATION, UnknownOperation),
    "operation without attestation": (HEAD + b"\x08", TimestampTruncated),
    "empty argument": (HEAD + b"\xf0\x00" + UNKNOWN_ATTESTATION, InvalidTimestamp),
    "argument cut": (HEAD + b"\xf0\x05abcd", TimestampTruncated),
    "long argument": (HEAD + b"\xf0\x81\x20" + bytes(4097), TimestampTooLarge),
    "long message": (HEAD + b"\xf0\xe1\x1f" + bytes(4065) + UNKNOWN_ATTESTATION, TimestampTooLarge),
    "hexlify too often": (HEAD + b"\xf3" * 8 + UNKNOWN_ATTESTATION, TimestampTooLarge),
    "long payload": (HEAD + b"\x00unknown!\x81\x40" + bytes(8193), TimestampTooLarge),
    "long address": (
        HEAD + b"\x00" + bytes.fromhex("83dfe30d2ef90c8e") + b"\xeb\x07\xe9\x07" + b"a" * 1001,
        TimestampTooLarge,
    ),
    "address with a query": (
        HEAD + b"\x00" + bytes.fromhex("83dfe30d2ef90c8e") + b"\x05\x04a?bc", InvalidAttestation,
    ),
    "address not ASCII": (
        HEAD + b"\x00" + bytes.fromhex("83dfe30d2ef90c8e") + b"\x03\x02\xc3\xa4",
        InvalidAttestation,
    ),
    "more than an address": (
        HEAD + b"\x00" + bytes.fromhex("83dfe30d2ef90c8e") + b"\x03\x01ab", InvalidAttestation,
    ),
    "more than a height": (
        HEAD + b"\x00" + bytes.fromhex("0588960d73d71901") + b"\x02\x01\x01", InvalidAttestation,
    ),
    "height without end": (
        HEAD + b"\x00" + bytes.fromhex("0588960d73d71901") + b"\x0a" + b"\xff" * 10,
        TimestampTooLarge,
    ),
    "height beyond all": (
        HEAD + b"\x00" + bytes.fromhex("0588960d73d71901") + b"\x05\x80\x80\x80\x80\x08",
        InvalidAttestation,
    ),
    "long number": (HEAD + b"\xf0\x81\x00a" + UNKNOWN_ATTESTATION, TimestampNotCanonical),
    "attestation twice": (HEAD + b"\xff" + 2 * UNKNOWN_ATTESTATION, TimestampNotCanonical),
    "operation twice": (
        HEAD + b"\xff\x08" + UNKNOWN_ATTESTATION + b"\x08\x00another!\x00", TimestampNotCanonical,
    ),
    "operation twice, apart": (
        HEAD + b"\xff\x08" + UNKNOWN_ATTESTATION + b"\xff\xf2" + UNKNOWN_ATTESTATION
        + b"\x08\x00another!\x00",
        TimestampNotCanonical,
    ),
    "a byte more": (HEAD + UNKNOWN_ATTESTATION + b"\x00", TimestampNotCanonical),
    "256 operations": (HEAD + b"\x08" * 256 + UNKNOWN_ATTESTATION, TimestampTooLarge),
    "a file of 64 KiB and one": (HEAD + bytes(65537 - len(HEAD)), TimestampTooLarge),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_every_malformation_has_a_name(name):
    data, error = MALFORMED[name]
    with pytest.raises(error) as found:
        parse_file(data)
    assert found.type is error


@pytest.mark.parametrize("name", sorted(set(MALFORMED) - {
    "long number", "attestation twice", "operation twice", "operation twice, apart",
    "height without end", "height beyond all", "a file of 64 KiB and one",
}))  # fmt: skip
def test_the_reference_refuses_it_too(name):
    """All but those in which we are stricter, which the module's docstring names."""
    with pytest.raises((DeserializationError, ValueError)):
        theirs(MALFORMED[name][0])


def test_the_bounds_themselves_are_accepted():
    deepest = HEAD + b"\x08" * limits.OTS_STEPS_MAX + UNKNOWN_ATTESTATION
    longest = HEAD + b"\xf0\xe0\x1f" + bytes(4064) + b"\x08" + UNKNOWN_ATTESTATION
    payload = HEAD + b"\x00unknown!\x80\x40" + bytes(limits.OTS_PAYLOAD_BYTES_MAX)
    address = OtsFile(
        digest=bytes(32),
        timestamp=Timestamp((Path((), Pending("a" * limits.OTS_URI_BYTES_MAX)),)),
    ).encode()
    for data in (deepest, longest, payload, address):
        assert parse_file(data).encode() == data
        assert theirs(data)[1] == data


def test_no_known_tag_hides_in_an_unknown_attestation():
    for tag in ("0588960d73d71901", "83dfe30d2ef90c8e"):
        with pytest.raises(InvalidAttestation):
            Unknown(bytes.fromhex(tag), b"")
    with pytest.raises(TimestampTooLarge):
        Unknown(b"unknown!", bytes(8193))


def test_an_operation_has_an_argument_when_it_needs_one():
    for bad in ((Op.APPEND, b""), (Op.SHA256, b"x")):
        with pytest.raises(InvalidTimestamp):
            Step(*bad)
    with pytest.raises(TimestampTooLarge):
        append(bytes(4097))


def test_a_tree_is_not_empty_and_enters_no_branch_twice():
    one, two = Path((SHA256,), BLOCK), Path((append(b"x"),), BLOCK)
    with pytest.raises(InvalidTimestamp):
        Timestamp(())
    with pytest.raises(TimestampNotCanonical):
        Timestamp((one, two, Path((SHA256,), Pending("x"))))
    with pytest.raises(TimestampNotCanonical):
        Timestamp((one, one))
    assert Timestamp.of([two, one, two]).paths == (one, two)


def test_every_operation_computes():
    message = b"abc"
    assert prepend(b"x").apply(message) == b"xabc"
    assert append(b"x").apply(message) == b"abcx"
    assert Step(Op.REVERSE).apply(message) == b"cba"
    assert Step(Op.HEXLIFY).apply(message) == b"616263"
    assert SHA256.apply(message) == hashlib.sha256(message).digest()
    assert Step(Op.SHA1).apply(message) == hashlib.sha1(message).digest()
    try:
        assert len(Step(Op.RIPEMD160).apply(message)) == 20
    except UnsupportedOperation:
        with pytest.raises(ValueError, match="unsupported"):
            hashlib.new("ripemd160", message)


def test_a_bare_timestamp_is_read_for_a_message_of_its_length():
    data = b"\xf3" * 7 + UNKNOWN_ATTESTATION
    assert encode_timestamp(parse_timestamp(data, 32)) == data
    with pytest.raises(TimestampTooLarge):
        parse_timestamp(data, 33)
