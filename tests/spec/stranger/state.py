"""The digest of a state (state.md)."""

from tests.spec.stranger.codec import derive, encode

LANES = 1024
ENTRY = "timmy-node 2026-11 state entry v1"
PART = "timmy-node 2026-11 state part v1"


def expand(key: str, value: object) -> bytes:
    return derive(ENTRY, encode([key, value]), 2 * LANES)


def total(entries: dict) -> bytes:
    lanes = [0] * LANES
    for key, value in entries.items():
        bits = expand(key, value)
        for i in range(LANES):
            lanes[i] = (lanes[i] + int.from_bytes(bits[2 * i : 2 * i + 2], "little")) % 2**16
    return b"".join(lane.to_bytes(2, "little") for lane in lanes)


def state_digest(entries: dict, size: int) -> bytes:
    return derive(ENTRY, encode([size, total(entries)]))


def part_digests(entries: dict) -> dict[str, bytes]:
    parts: dict[str, dict] = {}
    for key, value in entries.items():
        parts.setdefault(key.split("/")[0], {})[key] = value
    return {name: derive(PART, total(found), 16) for name, found in parts.items()}
