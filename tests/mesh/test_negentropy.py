"""NIP-77 against the reference's own messages, against set difference, and against the hostile."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.core import limits, negentropy
from mesh.core.errors import InvalidReconciliation, UnsupportedReconciliation
from mesh.core.negentropy import FRAME_BYTES_MIN, IdSet, Initiator, respond

FILE = Path(__file__).parents[1] / "vectors" / "nostr" / "negentropy-v1.generated.json"
VECTORS = {vector["name"]: vector for vector in json.loads(FILE.read_text())["vectors"]}
UNLIMITED = 2**40
EMPTY = bytes.fromhex("7f9c9e31ac8256ca2f258583df262dbc")


def items_of(vector):
    """Build both sets by the rule that the vector states."""
    second = {
        "seq": lambda i: 1_700_000_000 + 7 * i,
        "clumped": lambda i: 1_700_000_000 + 60 * (i // 50),
        "same": lambda _: int(vector["rule"].split("ts=")[1].split(";")[0]),
    }[vector["ts_rule"]]
    ours, theirs = [], []
    for i in range(vector["n"]):
        event_id = hashlib.sha256(f"{vector['name']}:{i}".encode()).digest()
        if i % vector["mod"] != vector["server_only"]:
            ours.append((second(i), event_id))
        if i % vector["mod"] != vector["client_only"]:
            theirs.append((second(i), event_id))
    return ours, theirs


@pytest.mark.parametrize("name", VECTORS)
def test_every_message_is_the_references_byte_for_byte(name):
    vector = VECTORS[name]
    ours, theirs = (IdSet(items) for items in items_of(vector))
    assert (len(ours), len(theirs)) == (vector["client_size"], vector["server_size"])
    assert ours.fingerprint(0, len(ours)).hex() == vector["client_fingerprint_hex"]
    assert theirs.fingerprint(0, len(theirs)).hex() == vector["server_fingerprint_hex"]
    frame = vector["frame_size_limit"] or UNLIMITED
    asking = Initiator(ours, frame_bytes_max=frame)
    message = asking.open()
    said = []
    while message is not None:
        answer = respond(theirs, message, frame_bytes_max=frame)
        said += [("client", message.hex()), ("server", answer.hex())]
        message = asking.receive(answer)
    assert said == [(one["from"], one["hex"]) for one in vector["messages"]]
    assert {one.hex() for one in asking.have} == set(vector["have"])
    assert {one.hex() for one in asking.need} == set(vector["need"])


def reconcile(ours, theirs, frame):
    """Run both sides; return what was learnt, and the sizes of all messages."""
    asking, answering = Initiator(IdSet(ours), frame_bytes_max=frame), IdSet(theirs)
    message, sizes = asking.open(), []
    while message is not None:
        answer = respond(answering, message, frame_bytes_max=frame)
        sizes += [len(message), len(answer)]
        message = asking.receive(answer)
    return asking.have, asking.need, sizes


def ids(items):
    return {event_id for _, event_id in items}


def digest_of(number):
    return hashlib.sha256(b"%d" % number).digest()


@st.composite
def two_sets(draw):
    """Sets with long common stretches, clumps within one second, and ids that share prefixes."""
    size = draw(st.integers(0, 700))
    second = draw(st.sampled_from([lambda _: 0, lambda i: i, lambda i: i // 40 * 1000]))
    shared = draw(st.integers(0, 28))  # leading zero bytes
    pool = [(second(i), bytes(shared) + digest_of(i)[shared:]) for i in range(size)]
    apart = [draw(st.sets(st.integers(0, size), max_size=40)) for _ in range(2)]
    holes = [set(range(*sorted(draw(st.tuples(*[st.integers(0, size)] * 2))))) for _ in range(2)]
    if draw(st.booleans()):
        holes = [set(), holes[1]]
    return tuple(
        [item for i, item in enumerate(pool) if i not in apart[side] | holes[side]]
        for side in range(2)
    )


@given(two_sets(), st.sampled_from([FRAME_BYTES_MIN, 5000, 20_000, UNLIMITED]))
@settings(max_examples=150, deadline=None)
def test_it_finds_the_difference_of_the_sets(sets, frame):
    ours, theirs = sets
    have, need, sizes = reconcile(ours, theirs, frame)
    assert have == ids(ours) - ids(theirs)
    assert need == ids(theirs) - ids(ours)
    assert max(sizes) <= frame


def test_a_range_whose_answer_does_not_fit_is_not_lost_where_the_asker_has_nothing():
    """Four ranges that are empty here and full there; the list of the fourth overflows the frame.

    The reference then gives the fingerprint of what comes after the fourth. An asker that is equal
    there would take all of it for settled, so ours includes the fourth.
    """
    full = [
        (100 * number + i, hashlib.sha256(b"%d.%d" % (number, i)).digest())
        for number in range(4)
        for i in range(31)
    ]
    common = [(9000 + i, hashlib.sha256(b"c%d" % i).digest()) for i in range(9)]
    ours, theirs = IdSet(common), IdSet(full + common)
    message = b"\x61" + (negentropy._varint(101) + b"\0\1" + EMPTY) * 4
    message += b"\0\0\1" + ours.fingerprint(0, len(ours))
    asking = Initiator(ours, frame_bytes_max=FRAME_BYTES_MIN)
    while message is not None:
        message = asking.receive(respond(theirs, message, frame_bytes_max=FRAME_BYTES_MIN))
    assert (asking.have, asking.need) == (set(), ids(full))


def test_little_is_said_about_large_sets_with_a_small_difference():
    pool = [(i // 3, digest_of(i)) for i in range(20_000)]
    have, need, sizes = reconcile(pool[7:], pool[:-5], 60_000)
    assert (have, need) == (ids(pool[-5:]), ids(pool[:7]))
    assert sum(sizes) < 8000
    assert len(sizes) <= 8


def test_the_set_of_the_design_costs_what_the_design_says():
    """20,000 events of ten minutes, every 200th missing: 3 rounds, and with a filter of 100 authors
    (7.4 kB) under 22 kB of hexadecimal digits."""
    ours = [(1_790_000_000 - i % 600, digest_of(i)) for i in range(20_000)]
    theirs = [item for i, item in enumerate(ours) if i % 200]
    have, need, sizes = reconcile(theirs, ours, 60_000)
    assert (have, len(need)) == (set(), 100)
    assert 2 * sum(sizes) + 7_400 < 22_000
    assert len(sizes) == 6


def test_fingerprints_do_not_depend_on_where_the_sums_are_kept():
    pool = [(i, digest_of(i)) for i in range(300)]
    whole = IdSet(pool)
    for lower, upper in [(0, 300), (0, 15), (15, 17), (16, 32), (3, 21), (1, 299), (200, 200)]:
        assert whole.fingerprint(lower, upper) == IdSet(pool[lower:upper]).fingerprint(
            0, upper - lower
        )


def test_items_are_a_set_and_checked():
    assert len(IdSet([(1, bytes(32))] * 3)) == 1
    for bad in [(1, b"short"), (-1, bytes(32)), (2**53, bytes(32))]:
        with pytest.raises(ValueError, match="item with an id of"):
            IdSet([bad])


HOSTILE = {
    "nothing": ("", "message of 0 bytes"),
    "other protocol": ("51", "version 0x51"),
    "bound cut short": ("61 05", "1 bytes early"),
    "prefix cut short": ("61 05 20 00", "31 bytes early"),
    "prefix too long": ("61 05 21" + "00" * 40, "33 bytes of an id"),
    "mode cut short": ("61 00 00", "1 bytes early"),
    "unknown mode": ("61 00 00 03", "mode 3"),
    "fingerprint cut short": ("61 00 00 01" + "00" * 15, "1 bytes early"),
    "more ids than bytes": ("61 00 00 02 8f ff ff ff 7f" + "00" * 32, "ids announced"),
    "endless number": ("61" + "ff" * 400_000, "more than 10 bytes"),
    "second beyond all": ("61 81 ff ff ff ff ff ff ff ff 7f 00 00", "bound at"),
    "bounds that fall": ("61 05 01 09 00 01 01 08 00", "do not rise"),
    "ranges after the last": ("61 00 00 00 01 00 00", "do not rise"),
    "too long": ("61" + "01 00 00" * 180_000, "at most|to 512000"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_malformed_message_is_refused_by_both_sides(name):
    text, words = HOSTILE[name]
    items = IdSet([(i, digest_of(i)) for i in range(100)])
    with pytest.raises(InvalidReconciliation, match=words):
        respond(items, bytes.fromhex(text))
    with pytest.raises(InvalidReconciliation, match=words):
        Initiator(items).receive(bytes.fromhex(text))


def test_another_version_is_answered_with_ours_and_not_gone_along_with():
    assert respond(IdSet([]), b"\x62\x01\x02") == b"\x61"
    with pytest.raises(UnsupportedReconciliation, match="version 0x60"):
        Initiator(IdSet([])).receive(b"\x60")


@given(st.binary(max_size=300), st.integers(0, 80))
@settings(max_examples=300)
def test_any_bytes_are_answered_within_the_frame_or_refused(data, size):
    items = IdSet([(i // 9, digest_of(i)) for i in range(size)])
    with suppress(InvalidReconciliation):
        assert len(respond(items, b"\x61" + data, frame_bytes_max=4096)) <= 4096
    asking = Initiator(items, frame_bytes_max=4096, need_max=9)
    try:
        assert len(asking.receive(b"\x61" + data) or b"") <= 4096
    except InvalidReconciliation:
        return
    assert len(asking.need) <= 9


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from([0, 1, 2]), st.integers(0, 3)), max_size=300
    )
)
@settings(max_examples=100, deadline=None)
def test_well_formed_nonsense_is_answered_within_the_frame(ranges):
    """Ranges that a peer made up: every answer fits, and no item is listed twice in one."""
    items = IdSet([(i // 2, digest_of(i)) for i in range(2000)])
    message = b"\x61"
    for step, mode, count in ranges:
        payload = {0: b"", 1: bytes(16), 2: bytes([count]) + bytes(32 * count)}[mode]
        message += negentropy._varint(step + 1) + b"\0" + bytes([mode]) + payload
    answer = respond(items, message, frame_bytes_max=FRAME_BYTES_MIN)
    assert len(answer) <= FRAME_BYTES_MIN
    assert Initiator(items).receive(answer) is None or answer != b"\x61"


def test_a_responder_that_never_agrees_is_left():
    items = IdSet([(i, digest_of(i)) for i in range(1000)])
    asking = Initiator(items, rounds_max=50)
    asking.open()
    rounds = 0
    with pytest.raises(InvalidReconciliation, match="no end within"):
        while asking.receive(b"\x61\x00\x00\x01" + bytes(16)):
            rounds += 1
    assert rounds == 50


def test_a_responder_cannot_make_us_learn_without_bound():
    asking = Initiator(IdSet([]), need_max=99)
    listed = b"".join(digest_of(i) for i in range(100))
    with pytest.raises(InvalidReconciliation, match="100 ids, at most 99"):
        asking.receive(b"\x61\x00\x00\x02\x64" + listed)


def test_our_frames_fit_into_a_websocket_message():
    overhead = len('["NEG-OPEN","",,""]') + limits.SUBSCRIPTION_ID_CHARS_MAX * 6
    assert 2 * limits.RECONCILIATION_FRAME_BYTES + overhead < limits.FRAME_BYTES_MAX


def test_frames_too_small_for_any_progress_are_our_own_mistake():
    with pytest.raises(ValueError, match="at least 4096"):
        respond(IdSet([]), b"\x61", frame_bytes_max=4095)
