"""What a slot costs: a tree of many ledgers built, its proofs made, checked, and weighed.

The transaction and its headers are left out: they are the same for every ledger of a round, and
what a link costs a verifier is the seal chain's. Ids and digests are SHA-256 of numbers, as random
as real ones are.
"""

import hashlib
import statistics
import time

from attest.core.aggregate import AggregateTree, SlotProof
from ledger.core.codec import decode, encode

LEDGERS = 10_000
SAMPLE = 1000


def measure(ledgers: int, sample: int) -> dict[str, float]:
    """Milliseconds for the tree, microseconds and bytes for one proof."""
    digests = {_sha(b"ledger", number): _sha(b"head", number) for number in range(ledgers)}
    begin = time.perf_counter()
    tree = AggregateTree(digests)
    built = time.perf_counter() - begin
    asked = list(digests)[:: max(1, ledgers // sample)]
    begin = time.perf_counter()
    proofs = [encode(tree.prove(ledger).to_value()) for ledger in asked]
    proven = time.perf_counter() - begin
    begin = time.perf_counter()
    for ledger, data in zip(asked, proofs, strict=True):
        proof = SlotProof.from_value(decode(data, bytes_max=len(data)))
        assert proof.root(ledger) == tree.root
        assert proof.digest_of(ledger) == digests[ledger]
    verified = time.perf_counter() - begin
    return {
        "aggregate-tree": 1e3 * built,
        "aggregate-prove": 1e6 * proven / len(asked),
        "aggregate-verify": 1e6 * verified / len(asked),
        "aggregate-bytes": statistics.fmean(map(len, proofs)),
    }


def _sha(what: bytes, number: int) -> bytes:
    return hashlib.sha256(b"%s %d" % (what, number)).digest()
