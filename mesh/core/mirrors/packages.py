"""Consensus-critical: what travels of a log that is copied, and how each part is checked.

A log of `size` events is cut into *packages* of 256, aligned, so that each is one subtree of its
tree: the last may be shorter. Of a package travel

    [[envelope, ...], [hash, ...]]                      the facts that are leaves, and a path
    [[salt, payload, content salt, content], ...]       what they commit to, in parts

both in deterministic CBOR. The root over the package is a leaf of the tree of packages, which is
the log's own tree from level 8 up (RFC 9162 splits at powers of two: no split of a larger tree
falls inside a package). So its path is an inclusion proof, and no package needs another.

Leaf hashes do not travel beside them: they are computed from the envelopes. Who may have hashes
only (`leaves`) gets those of a *run*, which is four packages, in the same way:

    [the hashes, one behind the other, [hash, ...]]     the leaves, and a path
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ledger.core import merkle
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor, InvalidEvent, InvalidProof
from ledger.core.event import (
    CONTENT_KEY,
    Envelope,
    Event,
    Record,
    content_commitment,
    payload_commitment,
)
from ledger.core.limits import ENVELOPE_BYTES_MAX
from ledger.core.tiles import Tree
from mesh.core import limits
from mesh.core.errors import InvalidPackage, Withheld

WIDTH: Final = limits.PACKAGE_EVENTS
_BODY_FIELDS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Events [start, stop) of one package, in the tree of `size` events with `root`.

    `width`: how many events a package has; a power of two.
    """

    start: int
    stop: int
    size: int
    root: bytes
    width: int = WIDTH

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop <= self.end:
            raise ValueError(f"no package of {self.size} holds events {self.start} to {self.stop}")

    @property
    def index(self) -> int:
        """Which package."""
        return self.start // self.width

    @property
    def base(self) -> int:
        """Its first event."""
        return self.index * self.width

    @property
    def end(self) -> int:
        """The event behind its last one, in the tree of `size`."""
        return min(self.base + self.width, self.size)

    def require(self, leaves: Sequence[bytes], path: Sequence[bytes]) -> None:
        """Raise InvalidPackage unless these are all leaves of the package, and lead to the root."""
        if len(leaves) != self.end - self.base:
            raise InvalidPackage(f"{len(leaves)} leaves, expected {self.end - self.base}")
        count = (self.size + self.width - 1) // self.width
        try:
            merkle.verify_inclusion(package_root(leaves), self.index, count, path, self.root)
        except InvalidProof as error:
            raise InvalidPackage(f"package {self.index}: {error}") from error


def places(start: int, stop: int, root: bytes, width: int = WIDTH) -> Iterator[Place]:
    """Cut [start, stop) at the borders of packages, in the tree of `stop` events."""
    while start < stop:
        end = min((start // width + 1) * width, stop)
        yield Place(start=start, stop=end, size=stop, root=root, width=width)
        start = end


def package_path(tree: Tree, index: int, size: int, width: int = WIDTH) -> list[bytes]:
    """The path from the root over package `index` to that of `size`. Raises InvalidProof."""
    base = index * width
    here = min(width, size - base)
    return tree.inclusion(base, size)[(here - 1).bit_length() :] if here > 0 else []


def package_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes (RFC 9162 section 2.1.1)."""
    peaks: list[bytes] = []
    for index, leaf in enumerate(leaves):
        merkle.push(peaks, index, leaf)
    return merkle.fold_peaks(peaks)


def encode_package(envelopes: Sequence[bytes], path: Sequence[bytes]) -> bytes:
    """What answers a request for a package."""
    return encode([list(envelopes), list(path)])


def open_package(data: bytes, place: Place, before: Sequence[bytes]) -> list[bytes]:
    """Return the envelopes of `place`, proven to be where they belong. Raises InvalidPackage.

    `data` holds the package's envelopes that come after the leaf hashes `before`, which may be
    more than those of `place`.
    """
    envelopes, path = _lists(data)
    if len(before) + len(envelopes) != place.end - place.base:
        raise InvalidPackage(
            f"{len(envelopes)} envelopes, expected {place.end - place.base - len(before)}"
        )
    if any(type(item) is not bytes for item in (*envelopes, *path)):
        raise InvalidPackage("an envelope or a hash is no byte string")
    place.require([*before, *map(merkle.leaf_hash, envelopes)], path)
    first = place.base + len(before)
    return envelopes[place.start - first : place.stop - first]


def encode_leaves(leaves: Sequence[bytes], path: Sequence[bytes]) -> bytes:
    """What answers a request for leaf hashes."""
    return encode([b"".join(leaves), list(path)])


def open_leaves(data: bytes, place: Place, before: Sequence[bytes]) -> list[bytes]:
    """Return the leaf hashes of `place`, proven to be where they belong. Raises InvalidPackage.

    `data` holds those of the package that come after `before`, which may be more than those of
    `place`.
    """
    value = _decode(data, limits.LEAVES_BYTES_MAX)
    if type(value) is not list or [type(item) for item in value] != [bytes, list]:
        raise InvalidPackage("leaves are not hashes and a path")
    row, path = value
    if len(row) % merkle.HASH_BYTES or any(type(item) is not bytes for item in path):
        raise InvalidPackage("a hash is no byte string of 32 bytes")
    leaves = [row[at : at + merkle.HASH_BYTES] for at in range(0, len(row), merkle.HASH_BYTES)]
    place.require([*before, *leaves], path)
    first = place.base + len(before)
    return leaves[place.start - first : place.stop - first]


def _lists(data: bytes) -> tuple[list[Any], list[Any]]:
    value = _decode(data, limits.PACKAGE_BYTES_MAX)
    if type(value) is not list or [type(item) for item in value] != [list, list]:
        raise InvalidPackage("a package is not envelopes and a path")
    if any(len(item) > ENVELOPE_BYTES_MAX for item in value[0] if type(item) is bytes):
        raise InvalidPackage(f"an envelope is longer than {ENVELOPE_BYTES_MAX} bytes")
    return value[0], value[1]


def _decode(data: bytes, bytes_max: int) -> Any:
    try:
        return decode(data, bytes_max=bytes_max)
    except InvalidCbor as error:
        raise InvalidPackage(str(error)) from error


def encode_bodies(records: Iterator[Record]) -> bytes:
    """What answers a request for payloads and contents: as many as fit, at least one."""
    bodies: list[list[bytes | None]] = []
    length = 0
    for record in records:
        body = [record.salt, record.payload, record.content_salt, record.content]
        length += sum(len(part) for part in body if part is not None)
        if bodies and length > limits.BODIES_BYTES:
            break
        bodies.append(body)
    return encode(bodies)


def open_bodies(
    data: bytes, start: int, envelopes: Sequence[bytes], redacted: "Redacted"
) -> list[Event]:
    """Return the first events of `envelopes`, which begin at `start`: as many as `data` has.

    Every commitment is checked; content that the log redacts is left out, whoever sends it, and
    content that is left out is redacted. Raises InvalidPackage, InvalidEvent of the ledger for an
    event that nobody can open (`data` is then what was committed to), Withheld.
    """
    bodies = _decode(data, limits.BODIES_BYTES_MAX)
    if type(bodies) is not list or not 0 < len(bodies) <= len(envelopes):
        raise InvalidPackage(f"not payloads of 1 to {len(envelopes)} events")
    return [
        _open(start + at, envelope, body, redacted)
        for at, (envelope, body) in enumerate(zip(envelopes, bodies, strict=False))
    ]


class Redacted:
    """Positions whose content the log redacts, as far as it was read."""

    def __init__(self) -> None:
        self._positions: set[int] = set()

    def __contains__(self, position: object) -> bool:
        return position in self._positions

    def add(self, positions: Sequence[int]) -> None:
        """Take in the targets of one more redaction."""
        self._positions.update(positions)


def _open(position: int, envelope: bytes, body: Any, redacted: Redacted) -> Event:
    if type(body) is not list or len(body) != _BODY_FIELDS:
        raise InvalidPackage(f"event {position}: not salt, payload, content salt and content")
    if any(type(part) is not bytes for part in body[:2]) or any(
        part is not None and type(part) is not bytes for part in body[2:]
    ):
        raise InvalidPackage(f"event {position}: a part is no byte string")
    salt, payload, content_salt, content = body
    if position in redacted:
        content_salt = content = None
    record = Record(position, envelope, salt, payload, content_salt, content)
    try:
        event = Event.open(record)
    except InvalidEvent as error:
        with suppress(InvalidEvent):
            _require_committed(record)
        raise InvalidEvent(f"event {position}: {error}") from error
    if event.redacted and position not in redacted:
        raise Withheld(f"event {position}: its content is left out, and no redaction names it")
    return event


def _require_committed(record: Record) -> None:
    """Raise InvalidPackage if the sender made it up. If not, the log itself holds what is wrong."""
    envelope = Envelope.parse(record.envelope)
    if payload_commitment(record.salt, record.payload) != envelope.payload_commitment:
        raise InvalidPackage(f"event {record.position}: the payload is not the one committed to")
    event = Event.open(record._replace(content=None, content_salt=None))
    salt, content = record.content_salt, record.content
    if salt is not content and (
        salt is None
        or content is None
        or content_commitment(salt, content) != event.payload.get(CONTENT_KEY)
    ):
        raise InvalidPackage(f"event {record.position}: the content is not the one committed to")
