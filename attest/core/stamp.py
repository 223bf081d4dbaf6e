"""Consensus-critical: OpenTimestamps paths out of what this node has of its own.

- From an anchor: the digest stands in the first output of a transaction, the transaction in a
  block. `anchor_timestamp` makes the path that leads there, as the public `ots verify` follows it.
- From an event: its RFC 9162 leaf to the root of the tree. `inclusion_steps` makes that part; what
  follows is the timestamp of the root. An .ots begins at the digest of a *file*, so the file must
  be the leaf's input, 00 || envelope (`leaf_file`): its SHA-256 is the leaf hash.
- From digests to the one that calendars are sent: `tip_of` blinds each with a nonce, so that
  neither a calendar nor a proof of one of them tells anything about the other.

An anchor's digest is the SHA-256 of a note, in which the root stands in base64. No operation of
OpenTimestamps makes base64, so the timestamp of an anchor is not one of its events:
docs/adr/0014-timestamps-of-single-events.md.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from attest.core.commitment import commitment_of
from attest.core.errors import BadPath, WrongDigest
from attest.core.header import parse_header
from attest.core.ots import SHA256, BitcoinBlock, Path, Pending, Step, Timestamp, append, prepend
from attest.core.proof import AnchorProof
from attest.core.transaction import HASH_BYTES, display, parse_transaction
from ledger.core.errors import InvalidProof as InvalidInclusion

NONCE_BYTES: Final = 16
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def anchor_timestamp(proof: AnchorProof, digest: bytes) -> Timestamp:
    """The timestamp of the 32-byte digest that a mined anchor commits to.

    Raises InvalidProof if the transaction commits to another digest or is not in that block, and
    TimestampTooLarge for one beyond 4,096 bytes (ours have 200 to 2,400).
    """
    transaction = parse_transaction(proof.transaction)
    commitment = commitment_of(transaction)
    if commitment.digest != digest:
        raise WrongDigest(f"commits to {commitment.digest.hex()}, expected {digest.hex()}")
    stripped = transaction.stripped
    at = stripped.index(digest)
    steps = [prepend(stripped[:at]), append(stripped[at + HASH_BYTES :]), SHA256, SHA256]
    for level, sibling in enumerate(proof.path.siblings):
        right = proof.path.index >> level & 1
        steps += [prepend(sibling) if right else append(sibling), SHA256, SHA256]
    timestamp = Timestamp((Path(tuple(steps), BitcoinBlock(proof.height)),))
    [leaf] = timestamp.leaves(digest)
    expected = parse_header(proof.headers[0]).merkle_root
    if leaf.message != expected:
        raise BadPath(f"the path does not lead to {display(expected)} of block {proof.height}")
    return timestamp


def leaf_file(envelope: bytes) -> bytes:
    """The bytes whose SHA-256 is the leaf of an event: 00 || envelope (RFC 9162, 2.1.1)."""
    return _LEAF + envelope


def inclusion_steps(index: int, size: int, path: Sequence[bytes]) -> tuple[Step, ...]:
    """From a leaf hash to the root over `size` leaves, RFC 9162 section 2.1.3.2.

    Where the steps lead is for the caller to compare with the root. Raises the ledger's
    InvalidProof if the path's length does not fit.
    """
    steps: list[Step] = []
    fn, sn = index, size - 1
    for sibling in path:
        if sn <= 0:
            raise InvalidInclusion(f"{len(path)} hashes are too many for index {index} of {size}")
        if fn & 1 or fn == sn:
            steps += [prepend(_NODE + sibling), SHA256]
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            steps += [append(sibling), prepend(_NODE), SHA256]
        fn, sn = fn >> 1, sn >> 1
    if sn != 0 or not 0 <= index < size:
        raise InvalidInclusion(f"{len(path)} hashes do not fit index {index} of {size}")
    return tuple(steps)


def tip_of(
    first: bytes, second: bytes, nonces: Sequence[bytes]
) -> tuple[bytes, tuple[Step, ...], tuple[Step, ...]]:
    """One digest that commits to two, and the steps that lead to it from each of them.

    As the public client stamps two files: SHA-256 of each with its 16-byte nonce, then of both.
    """
    blinded = [
        hashlib.sha256(digest + nonce).digest()
        for digest, nonce in zip((first, second), nonces, strict=True)
    ]
    tip = hashlib.sha256(blinded[0] + blinded[1]).digest()
    of_first = (append(nonces[0]), SHA256, append(blinded[1]), SHA256)
    of_second = (append(nonces[1]), SHA256, prepend(blinded[0]), SHA256)
    return tip, of_first, of_second


def pending_of(timestamp: Timestamp, message: bytes) -> list[tuple[Path, Pending, bytes]]:
    """What calendars still owe: each path, its address, and the message to ask for."""
    return [
        (path, path.attestation, leaf.message)
        for path, leaf in zip(timestamp.paths, timestamp.leaves(message), strict=True)
        if isinstance(path.attestation, Pending) and leaf.message is not None
    ]


def upgraded(timestamp: Timestamp, pending: Path, answer: Timestamp) -> Timestamp:
    """Replace a pending path by what the calendar now says of the message it leads to."""
    rest = [path for path in timestamp.paths if path != pending]
    return Timestamp.of([*rest, *answer.after(*pending.steps).paths])
