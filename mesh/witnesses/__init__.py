"""Witnesses with a memory, and how heads and proofs of lies reach them."""
