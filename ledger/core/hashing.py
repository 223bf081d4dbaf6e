"""Consensus-critical: the domains of every BLAKE3 hash and tagged SHA-256 in this project.

BLAKE3 in derive_key mode is the content address of everything except the tree, which is
RFC 9162 SHA-256 so that the world's tools can check it (docs/adr/0003-one-tree.md).
Reproduce any of these by hand: `b3sum --derive-key "<context>" FILE`.
"""

import hashlib
from functools import cache

from blake3 import blake3

EVENT_ID = "timmy-node 2026-11 event id v1"
PAYLOAD = "timmy-node 2026-11 payload commitment v1"
CONTENT = "timmy-node 2026-11 content commitment v1"
STATEMENT_BODY = "timmy-node 2026-11 statement body v1"
STATE_ENTRY = "timmy-node 2026-11 state entry v1"
STATE_PART = "timmy-node 2026-11 state part v1"
ANCHOR_KEY = "timmy-node 2026-11 anchor idempotency key v1"
JUDGE_SEED = "timmy-node 2026-11 judge seed v1"
STEP_KEY = "timmy-node 2026-11 step digest key v1"
REDUCERS = "timmy-node 2026-11 reducers v1"
READING = "timmy-node 2026-11 schemas and reducers v1"
TREE_FILES = "timmy-node 2026-11 architecture tree v1"
ARCHITECTURE = "timmy-node 2026-11 architecture manifest v1"
PROPOSAL = "timmy-node 2026-11 patch proposal v1"


@cache
def keyed(context: str) -> blake3:
    """Return the hasher of a derive_key context, shared: `copy` it, then `update`."""
    return blake3(derive_key_context=context)


def digest(context: str, *parts: bytes) -> bytes:
    """32-byte BLAKE3 of the concatenated parts under a derive_key context."""
    return keyed(context).copy().update(b"".join(parts)).digest()


def xof(context: str, length: int, *parts: bytes) -> bytes:
    """`length` bytes of BLAKE3 output of the concatenated parts under a derive_key context."""
    return keyed(context).copy().update(b"".join(parts)).digest(length=length)


def tagged(tag: str, message: bytes) -> bytes:
    """BIP-340 tagged hash: SHA-256(SHA-256(tag) || SHA-256(tag) || message)."""
    prefix = hashlib.sha256(tag.encode()).digest()
    return hashlib.sha256(prefix + prefix + message).digest()
