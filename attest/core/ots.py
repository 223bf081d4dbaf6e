"""Consensus-critical: what an OpenTimestamps proof says, as a value.

A timestamp is a tree. Its root is a message (a file's digest), its edges are operations that make
one message of another, its leaves are attestations: that a message is the Merkle root of the block
at a height, or that a calendar has it and will know more later.

The tree is held as its paths from the root to each attestation, in the order of a walk: paths that
begin with the same operations lie together. So the value is flat, two equal trees compare without
recursion, and merging is a union. Messages are not held: they are computed while walking, at most
one branch of them at a time, which keeps a hostile proof from costing more than its own size.

Bounds, tags and order are those of the reference implementation (opentimestamps 0.4.5, core/op.py,
notary.py, timestamp.py). Litecoin's and Ethereum's attestations are kept like unknown ones.

Not covered: whether a block has that Merkle root (ask a node, or the headers of a seal chain), and
keccak256, which needs a library for a chain that nobody here asks: it is kept, never computed.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, unique
from types import MappingProxyType
from typing import Final, TypeAlias

from attest.core import limits
from attest.core.errors import (
    InvalidAttestation,
    InvalidTimestamp,
    TimestampNotCanonical,
    TimestampTooLarge,
    UnsupportedOperation,
)
from attest.core.header import HEIGHT_MAX

ATTESTATION_TAG_BYTES: Final = 8
BITCOIN_TAG: Final = bytes.fromhex("0588960d73d71901")
PENDING_TAG: Final = bytes.fromhex("83dfe30d2ef90c8e")
_URI_ALPHABET: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/:"
)
"""No query, fragment, login, percent sign or IPv6 brackets: an address that hides nothing."""


@unique
class Op(IntEnum):
    """Operations by their tag. Only APPEND and PREPEND take an argument."""

    SHA1 = 0x02
    RIPEMD160 = 0x03
    SHA256 = 0x08
    KECCAK256 = 0x67
    APPEND = 0xF0
    PREPEND = 0xF1
    REVERSE = 0xF2
    HEXLIFY = 0xF3


DIGEST_BYTES: Final = MappingProxyType(
    {Op.SHA1: 20, Op.RIPEMD160: 20, Op.SHA256: 32, Op.KECCAK256: 32}
)
"""Length of what a hash operation makes. SHA-1 is no weakness here: both files were there."""


def _within(what: str, length: int) -> None:
    if length > limits.OTS_MESSAGE_BYTES_MAX:
        raise TimestampTooLarge(
            f"{what} of {length} bytes, at most {limits.OTS_MESSAGE_BYTES_MAX} are allowed"
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One operation with its argument, which is empty unless it appends or prepends."""

    op: Op
    argument: bytes = b""

    def __post_init__(self) -> None:
        if bool(self.argument) != (self.op in (Op.APPEND, Op.PREPEND)):
            raise InvalidTimestamp(
                f"{self.op.name.lower()} with an argument of {len(self.argument)} bytes"
            )
        _within("an argument", len(self.argument))

    def length_after(self, length: int) -> int:
        """Length of the message this makes of one of `length` bytes. Raises TimestampTooLarge."""
        _within("a message", length)
        if self.op is Op.HEXLIFY:
            after = 2 * length
        else:
            after = DIGEST_BYTES.get(self.op, length + len(self.argument))
        _within("a message", after)
        return after

    def apply(self, message: bytes) -> bytes:
        """The message this makes. Raises TimestampTooLarge or UnsupportedOperation."""
        self.length_after(len(message))
        match self.op:
            case Op.APPEND:
                return message + self.argument
            case Op.PREPEND:
                return self.argument + message
            case Op.REVERSE:
                return message[::-1]
            case Op.HEXLIFY:
                return message.hex().encode()
            case Op.KECCAK256:
                raise UnsupportedOperation("keccak256 is not computed here")
        try:
            return hashlib.new(self.op.name.lower(), message, usedforsecurity=False).digest()
        except ValueError as error:
            raise UnsupportedOperation(f"this OpenSSL has no {self.op.name.lower()}") from error


SHA256: Final = Step(Op.SHA256)


def append(suffix: bytes) -> Step:
    """`message || suffix`."""
    return Step(Op.APPEND, suffix)


def prepend(prefix: bytes) -> Step:
    """`prefix || message`."""
    return Step(Op.PREPEND, prefix)


@dataclass(frozen=True, slots=True)
class BitcoinBlock:
    """The message is the Merkle root, in internal byte order, of the block at this height."""

    height: int

    def __post_init__(self) -> None:
        if not 0 <= self.height <= HEIGHT_MAX:
            raise InvalidAttestation(f"height {self.height}, 0 to {HEIGHT_MAX} are possible")


@dataclass(frozen=True, slots=True)
class Pending:
    """The calendar at this address has the message and promises to know more of it."""

    uri: str

    def __post_init__(self) -> None:
        if len(self.uri) > limits.OTS_URI_BYTES_MAX:
            raise TimestampTooLarge(
                f"an address of {len(self.uri)} bytes, at most {limits.OTS_URI_BYTES_MAX}"
            )
        if not _URI_ALPHABET.issuperset(self.uri.encode()):
            raise InvalidAttestation("a calendar's address has a character it must not have")


@dataclass(frozen=True, slots=True)
class Unknown:
    """An attestation this version does not read: kept as it is."""

    tag: bytes
    payload: bytes

    def __post_init__(self) -> None:
        if len(self.tag) != ATTESTATION_TAG_BYTES or self.tag in (BITCOIN_TAG, PENDING_TAG):
            raise InvalidAttestation(f"{self.tag.hex()} is no unknown attestation's tag")
        if len(self.payload) > limits.OTS_PAYLOAD_BYTES_MAX:
            raise TimestampTooLarge(
                f"a payload of {len(self.payload)} bytes, at most {limits.OTS_PAYLOAD_BYTES_MAX}"
            )


Attestation: TypeAlias = BitcoinBlock | Pending | Unknown


@dataclass(frozen=True, slots=True)
class Path:
    """The operations from the root to one attestation."""

    steps: tuple[Step, ...]
    attestation: Attestation

    def __post_init__(self) -> None:
        if len(self.steps) > limits.OTS_STEPS_MAX:
            raise TimestampTooLarge(
                f"{len(self.steps)} operations, at most {limits.OTS_STEPS_MAX} are read"
            )

    @property
    def items(self) -> tuple[Step | Attestation, ...]:
        """The steps and, last, the attestation: one item for each message on the way."""
        return (*self.steps, self.attestation)


@dataclass(frozen=True, slots=True)
class Leaf:
    """An attestation and the message it is about; None beyond an unsupported operation."""

    message: bytes | None
    attestation: Attestation


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A tree of one message, as its paths in the order of a walk. `of` sorts and merges."""

    paths: tuple[Path, ...]

    def __post_init__(self) -> None:
        if not self.paths:
            raise InvalidTimestamp("a timestamp without an attestation says nothing")
        seen: list[set[Step | Attestation]] = []  # at each node of the path: its items so far
        before: tuple[Step | Attestation, ...] = ()
        for path in self.paths:
            items = path.items
            depth = shared(before, items)
            if depth == len(items) or (depth < len(before) and items[depth] in seen[depth]):
                raise TimestampNotCanonical("one branch or attestation stands twice")
            del seen[depth + 1 :]
            if before:
                seen[depth].add(items[depth])
            seen.extend({item} for item in items[len(seen) :])
            before = items

    @classmethod
    def of(cls, paths: Iterable[Path]) -> "Timestamp":
        """The tree of these paths in the reference implementation's order, none twice."""
        return cls(tuple(sorted(set(paths), key=_order)))

    def merged(self, *others: "Timestamp") -> "Timestamp":
        """All paths of timestamps of the same message."""
        return Timestamp.of(path for part in (self, *others) for path in part.paths)

    def after(self, *steps: Step) -> "Timestamp":
        """The timestamp of a message of which `steps` make this one's."""
        return Timestamp(
            tuple(
                Path(steps=(*steps, *path.steps), attestation=path.attestation)
                for path in self.paths
            )
        )

    def leaves(self, message: bytes) -> Iterator[Leaf]:
        """Every attestation with its message, where the root is `message`; one for each path.

        Raises TimestampTooLarge.
        """
        messages: list[bytes | None] = [message]
        before: tuple[Step, ...] = ()
        for path in self.paths:
            done = shared(before, path.steps)
            del messages[done + 1 :]
            for step in path.steps[done:]:
                messages.append(_applied(step, messages[-1]))
            yield Leaf(messages[-1], path.attestation)
            before = path.steps

    @property
    def heights(self) -> tuple[int, ...]:
        """Heights of the blocks it claims, lowest first."""
        claims = (path.attestation for path in self.paths)
        return tuple(sorted({claim.height for claim in claims if isinstance(claim, BitcoinBlock)}))


def shared(one: Sequence[object], other: Sequence[object]) -> int:
    """How many of their first items are the same."""
    depth = 0
    for left, right in zip(one, other, strict=False):
        if left is not right and left != right:
            break
        depth += 1
    return depth


def _applied(step: Step, message: bytes | None) -> bytes | None:
    if message is None:
        return None
    try:
        return step.apply(message)
    except UnsupportedOperation:
        return None


def _order(path: Path) -> list[tuple[int, bytes, int | bytes | str]]:
    """Attestations before operations; each by tag, then by what it holds."""
    key: list[tuple[int, bytes, int | bytes | str]] = [
        (1, bytes([step.op]), step.argument) for step in path.steps
    ]
    match path.attestation:
        case BitcoinBlock(height):
            return [*key, (0, BITCOIN_TAG, height)]
        case Pending(uri):
            return [*key, (0, PENDING_TAG, uri)]
        case Unknown(tag, payload):
            return [*key, (0, tag, payload)]
