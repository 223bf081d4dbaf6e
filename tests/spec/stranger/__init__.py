"""A verifier written by someone who had read nothing but `docs/spec/`.

It shares no code with this software, nor with any other module of the tests: only cbor2, blake3,
hashlib and coincurve. Where a page left a choice open, the page was mended, and the docstring of the
module that reads it names the page it follows.

| module | page |
|---|---|
| `codec` | README, event ("Deterministic CBOR") |
| `event`, `genesis` | event |
| `tree` | tree |
| `note` | checkpoint |
| `lineage` | lineage |
| `statement`, `state` | statement, state |
| `container`, `reading`, `bundle`, `salvage`, `held` | bundle |
| `bitcoin`, `chain` | anchor |

It is not fast, holds whole files in memory, and is no verifier for users: `timmy verify` is.
"""
