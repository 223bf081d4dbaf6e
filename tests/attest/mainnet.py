"""Mainnet's headers 0 to 10,236, kept without what can be made again.

A header names the hash of the one before it, and hashes do not compress: left out, and the other
fields put column by column, the 819 kB of the original become 391 kB (xz).
"""

import functools
import lzma
from pathlib import Path

from attest.core.transaction import double_sha256

PATH = Path(__file__).parents[1] / "vectors/bitcoin/mainnet-headers/headers-0-10236.columns.xz"
COUNT = 10_237
SHA256 = "1bf509a2bd465d4dd736f335200e08c34ea865d7b9929dfcd6475f6ca19485c9"
"""Of the original: all headers joined."""
COLUMNS = ((0, 4), (36, 68), (68, 72), (72, 76), (76, 80))


def pack(raw: bytes) -> bytes:
    """How the file was made of the original."""
    rows = range(0, len(raw), 80)
    return lzma.compress(b"".join(raw[r + a : r + b] for a, b in COLUMNS for r in rows), preset=9)


@functools.cache
def headers() -> bytes:
    """All of them, joined, 80 bytes each."""
    data, start = lzma.decompress(PATH.read_bytes()), 0
    columns = []
    for begin, end in COLUMNS:
        size = end - begin
        columns.append([data[start + size * n : start + size * (n + 1)] for n in range(COUNT)])
        start += size * COUNT
    rows, previous = [], bytes(32)
    for version, root, time, bits, nonce in zip(*columns, strict=True):
        rows.append(version + previous + root + time + bits + nonce)
        previous = double_sha256(rows[-1])
    return b"".join(rows)
