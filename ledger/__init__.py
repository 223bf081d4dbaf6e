"""Events, canonical CBOR, hashing, signatures, the Merkle tree, proofs, the store and replay.

Imports nothing of ours. `ledger.core` is consensus-critical: bytes and values in, values out.
"""
