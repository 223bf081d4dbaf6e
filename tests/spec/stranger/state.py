"""The digest of a state (state.md)."""

from tests.spec.stranger.codec import derive, encode

LANES = 1024
ENTRY = "timmy-node 2026-11 state entry v1"


def expand(key: str, value: object) -> bytes:
    return derive(ENTRY, encode([key, value]), 2 * LANES)


def state_digest(entries: dict, size: int) -> bytes:
    lanes = [0] * LANES
    for key, value in entries.items():
        bits = expand(key, value)
        for i in range(LANES):
            lanes[i] = (lanes[i] + int.from_bytes(bits[2 * i : 2 * i + 2], "little")) % 2**16
    total = b"".join(lane.to_bytes(2, "little") for lane in lanes)
    return derive(ENTRY, encode([size, total]))
