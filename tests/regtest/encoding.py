"""Bytes that both the miner and the calls need: compact sizes, hashes, trees, addresses."""

import hashlib
import struct

from embit import bech32

HRP = "bcrt"


def double_sha256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def compact_size(number: int) -> bytes:
    if number < 0xFD:
        return bytes([number])
    if number <= 0xFFFF:
        return b"\xfd" + struct.pack("<H", number)
    return b"\xfe" + struct.pack("<I", number)


def merkle_root(leaves: list[bytes]) -> bytes:
    level = list(leaves)
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [double_sha256(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def display(digest: bytes) -> str:
    """Internal byte order to what people read, and back."""
    return digest[::-1].hex()


def internal(text: str) -> bytes:
    return bytes.fromhex(text)[::-1]


def script_of(destination: str) -> bytes:
    """The scriptPubKey of `raw(HEX)`, `addr(ADDRESS)` or a bare segwit address.

    Raises ValueError for anything else. A descriptor's checksum is ignored.
    """
    text = destination.split("#", maxsplit=1)[0]
    if text.startswith("raw(") and text.endswith(")"):
        return bytes.fromhex(text[4:-1])
    if text.startswith("addr(") and text.endswith(")"):
        text = text[5:-1]
    version, program = bech32.decode(HRP, text)
    if version is None or program is None:
        raise ValueError(f"not an address: {text}")
    opcode = 0x50 + version if version else 0
    return bytes([opcode, len(program)]) + bytes(program)
