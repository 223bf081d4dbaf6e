"""Every bound of the ledger, its unit last in its name, its reason beside it."""

ENVELOPE_BYTES_MAX = 16 * 1024
"""Fits a C2SP tile entry (64 KiB) four times over; 64 causes of 80 bytes are 5 KiB."""

PAYLOAD_BYTES_MAX = 64 * 1024
"""Control fields are small; anything larger belongs into content."""

CONTENT_BYTES_MAX = 1024 * 1024
"""One message. A 10 MB paste is refused with an error that names this number."""

CBOR_DEPTH_MAX = 32
"""cbor2's encoder recurses natively: 200 levels kill a thread with a 256 KiB stack."""

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
"""What SQLite, JSON readers in most languages and a CBOR head all hold without loss."""

TYPE_CHARS_MAX = 64
"""An event type is a dotted name that a person reads in a column."""

CAUSES_MAX = 64
"""A turn answers one message and a handful of tool results; 64 leaves room for a digest job."""

STREAM_BYTES = 16
"""Random: a stream id says nothing about whom it belongs to."""

IDEMPOTENCY_KEY_BYTES = 16
"""Client-made; 128 bits do not collide by accident."""

SALT_BYTES = 32
"""Hides short payloads from guessing even by someone with 2^128 work."""

TREE_SIZE_MAX = 2**48
"""A thousand events a second for 8,900 years; keeps every index in a signed 64-bit int."""

PROOF_HASHES_MAX = 63
"""C2SP tlog-witness: no tree that exists needs more."""

NOTE_BYTES_MAX = 64 * 1024
"""A checkpoint is 300 bytes; the rest is room for 16 cosignatures and their names."""

NOTE_SIGNATURES_MAX = 64
"""C2SP signed-note asks verifiers to take at least 16."""

BUNDLE_RECORD_BYTES_MAX = 4 * 1024 * 1024
"""One record of a bundle: the largest content plus payload and envelope, with room."""

BATCH_EVENTS_MAX = 1000
"""One commit: at 1 KiB an event a megabyte of WAL, milliseconds of latency for the first."""

CLOCK_BACK_MS_MAX = 5 * 60 * 1000
"""A clock may step back this far (NTP, leap smear) without an event that says so."""
