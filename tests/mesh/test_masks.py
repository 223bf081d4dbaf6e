"""The mask bit of every frame is seen, however the bytes are cut; a websockets codec is the twin."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from mesh.core.relay.masks import MaskWatch

SIZES = st.sampled_from([0, 1, 125, 126, 127, 300, 65_535, 65_536])
frames = st.lists(st.tuples(SIZES, st.sampled_from(list(Opcode))), min_size=1, max_size=5)


def encoded(size: int, opcode: Opcode, *, mask: bool) -> bytes:
    data = bytes(min(size, 125) if opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG) else size)
    return Frame(opcode, data).serialize(mask=mask)


def fed(data: bytes, cuts: list[int]) -> list[bool]:
    watch, edges = MaskWatch(), [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [watch.feed(data[a:b]) for a, b in pairwise(edges)]


@given(frames, st.lists(st.integers(0, 200_000), max_size=8))
def test_masked_frames_pass_however_they_are_cut(made, cuts):
    data = b"".join(encoded(*frame, mask=True) for frame in made)
    assert all(fed(data, cuts))


@given(frames, st.integers(0, 4), st.lists(st.integers(0, 200_000), max_size=8))
def test_one_unmasked_frame_is_seen_at_its_header_and_never_forgotten(made, which, cuts):
    plain = which % len(made)
    parts = [encoded(*frame, mask=at != plain) for at, frame in enumerate(made)]
    before = sum(len(part) for part in parts[:plain])
    data = b"".join(parts)
    watch = MaskWatch()
    assert watch.feed(data[: before + 1])
    assert not watch.feed(data[before + 1 : before + 2])
    assert not watch.feed(b"".join(encoded(*frame, mask=True) for frame in made))
    assert not fed(data, cuts)[-1]


def test_bytes_one_at_a_time():
    watch = MaskWatch()
    masked = encoded(70_000, Opcode.TEXT, mask=True)
    assert all(watch.feed(masked[at : at + 1]) for at in range(len(masked)))
    assert [watch.feed(b"\x81"), watch.feed(b"\x05")] == [True, False]
