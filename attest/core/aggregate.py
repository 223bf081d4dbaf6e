"""Consensus-critical: a sparse Merkle tree of ledgers, so that one transaction anchors them all.

Each ledger has one place, which its id (32 bytes, most significant bit first) leads to from the
root; what stands there is the anchor digest of one of its heads. For a set of ledgers at a depth:

    none     32 zero bytes
    one      tagged("timmy/slot/v1", id || digest), at whatever depth it is alone
    more     tagged("timmy/branch/v1", left || right): those whose next bit is 0, and 1

A lone ledger ends the path, so that a proof among n ledgers has about log2(n) siblings. Its id is
in the hash of its slot, so that what ends a path says whose it is.

Why a ledger cannot have two slots under one root, whoever built the tree: a proof folds from the
bottom along the bits of *the asked id*. Going down from the root along those bits, each hash is of
one kind (the two tags and zero are apart) and has one preimage, so exactly one thing ends the path:
nothing, or one slot. If that slot is another's, the asked ledger is absent. A second slot beside
the path is where no proof can lead. So for one root and one id at most one proof holds, be the tree
well made or not.

Not covered: what a digest stands for, which transaction commits to the root
(attest.core.delegation), and that any ledger was given the slot it asked for: absence is shown, its
reason never is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from attest.core import limits
from attest.core.errors import InvalidSlot
from attest.core.proof import take
from ledger.core.hashing import tagged

HASH_BYTES: Final = 32
EMPTY: Final = bytes(HASH_BYTES)
SLOT_TAG: Final = "timmy/slot/v1"
BRANCH_TAG: Final = "timmy/branch/v1"


def slot_hash(ledger: bytes, digest: bytes) -> bytes:
    """The hash of one ledger's slot: 32 bytes of id, 32 bytes of anchor digest."""
    return tagged(SLOT_TAG, ledger + digest)


def branch_hash(left: bytes, right: bytes) -> bytes:
    """The hash over two subtrees, at least two ledgers among them."""
    return tagged(BRANCH_TAG, left + right)


def bit(ledger: bytes, depth: int) -> int:
    """Which way the path of an id goes on at `depth` (0 to 255): 0 left, 1 right."""
    return ledger[depth >> 3] >> (7 - (depth & 7)) & 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What stands in one place: a ledger's id and the anchor digest of its head."""

    ledger: bytes
    digest: bytes

    def __post_init__(self) -> None:
        for name, value in (("ledger id", self.ledger), ("digest", self.digest)):
            if len(value) != HASH_BYTES:
                raise InvalidSlot(f"{name} of {len(value)} bytes, expected {HASH_BYTES}")

    @property
    def hash(self) -> bytes:
        """Its hash in the tree."""
        return slot_hash(self.ledger, self.digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotProof:
    """What ends a ledger's path, and the hashes beside the path from there up to the root.

    With the ledger's own slot at the end it is present, with nothing or another's it is absent.
    """

    end: Slot | None
    siblings: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if len(self.siblings) > limits.SLOT_DEPTH_MAX:
            raise InvalidSlot(
                f"{len(self.siblings)} siblings, at most {limits.SLOT_DEPTH_MAX} are possible"
            )
        for sibling in self.siblings:
            if len(sibling) != HASH_BYTES:
                raise InvalidSlot(f"sibling of {len(sibling)} bytes, expected {HASH_BYTES}")
        if self.siblings and self.siblings[0] == EMPTY:
            raise InvalidSlot("the lowest sibling is empty: the path should end above it")
        if self.end is None and len(self.siblings) == limits.SLOT_DEPTH_MAX:
            raise InvalidSlot(f"nothing ends a path of {limits.SLOT_DEPTH_MAX} levels")

    def digest_of(self, ledger: bytes) -> bytes | None:
        """The digest in the slot of `ledger`, None if this proof says that it has none."""
        return self.end.digest if self.end is not None and self.end.ledger == ledger else None

    def root(self, ledger: bytes) -> bytes:
        """Return the root that this proof leads to, followed along the id `ledger`.

        Raises InvalidSlot if what ends the path cannot be on it.
        """
        if len(ledger) != HASH_BYTES:
            raise InvalidSlot(f"ledger id of {len(ledger)} bytes, expected {HASH_BYTES}")
        depth = len(self.siblings)
        node = EMPTY
        if self.end is not None:
            common = _common_bits(self.end.ledger, ledger)
            if common < depth:
                raise InvalidSlot(
                    f"the slot at the end shares {common} bits with the ledger, "
                    f"{depth} lead to its place"
                )
            node = self.end.hash
        for level, sibling in enumerate(self.siblings, start=1):
            right = bit(ledger, depth - level)
            node = branch_hash(sibling, node) if right else branch_hash(node, sibling)
        return node

    def to_value(self) -> dict[str, Any]:
        """A map of end and siblings."""
        end = None if self.end is None else [self.end.ledger, self.end.digest]
        return {"end": end, "siblings": list(self.siblings)}

    @classmethod
    def from_value(cls, value: Any) -> "SlotProof":
        """Read the map back. Raises InvalidSlot or InvalidRecord."""
        fields = take(value, end=(list, type(None)), siblings=list)
        if any(type(sibling) is not bytes for sibling in fields["siblings"]):
            raise InvalidSlot("a sibling is not bytes")
        match fields["end"]:
            case None:
                end = None
            case [bytes(ledger), bytes(digest)]:
                end = Slot(ledger=ledger, digest=digest)
            case _:
                raise InvalidSlot("a slot is a ledger id and a digest")
        return cls(end=end, siblings=tuple(fields["siblings"]))


def _common_bits(one: bytes, other: bytes) -> int:
    """How many leading bits two ids share."""
    apart = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    return 8 * HASH_BYTES - apart.bit_length()


@dataclass(frozen=True, slots=True)
class _Branch:
    """A subtree of two ledgers or more."""

    hash: bytes
    children: "tuple[_Node, _Node]"


_Node = _Branch | Slot | None


class AggregateTree:
    """The tree over a set of slots, and the proofs it gives. About 250 bytes a ledger."""

    def __init__(self, digests: Mapping[bytes, bytes]) -> None:
        """`digests` maps ledger ids to anchor digests. Raises InvalidSlot, or for too many."""
        if len(digests) > limits.LEDGERS_MAX:
            raise InvalidSlot(f"{len(digests)} ledgers, at most {limits.LEDGERS_MAX} in one tree")
        slots = [Slot(ledger=ledger, digest=digest) for ledger, digest in sorted(digests.items())]
        self._top = _build(slots, 0)

    @property
    def root(self) -> bytes:
        """32 bytes, which the transaction commits to."""
        return _hash_of(self._top)

    def prove(self, ledger: bytes) -> SlotProof:
        """What stands at the place of `ledger`: its slot, or its absence. Raises InvalidSlot."""
        if len(ledger) != HASH_BYTES:
            raise InvalidSlot(f"ledger id of {len(ledger)} bytes, expected {HASH_BYTES}")
        siblings: list[bytes] = []
        node = self._top
        while isinstance(node, _Branch):
            way = bit(ledger, len(siblings))
            siblings.append(_hash_of(node.children[1 - way]))
            node = node.children[way]
        return SlotProof(end=node, siblings=tuple(reversed(siblings)))


def _hash_of(node: _Node) -> bytes:
    return EMPTY if node is None else node.hash


def _build(slots: Sequence[Slot], depth: int) -> _Node:
    """The subtree over slots in the order of their ids, which share their first `depth` bits."""
    if len(slots) <= 1:
        return slots[0] if slots else None
    middle = _first_right(slots, depth)
    left, right = _build(slots[:middle], depth + 1), _build(slots[middle:], depth + 1)
    return _Branch(branch_hash(_hash_of(left), _hash_of(right)), (left, right))


def _first_right(slots: Sequence[Slot], depth: int) -> int:
    """The index of the first slot that goes right at `depth`."""
    low, high = 0, len(slots)
    while low < high:
        middle = (low + high) // 2
        if bit(slots[middle].ledger, depth):
            high = middle
        else:
            low = middle + 1
    return low
