"""Writing .ots files that the public `ots` program verifies: of a checkpoint, or of one event.

    FILE.note    the signed note of a checkpoint   FILE.ots: SHA-256(note) up to a block's header
    FILE.event   00 || envelope of one event       FILE.ots: its leaf up to the root, and from there

The first comes from an anchor of this node, from calendars, or from both. The second comes from
calendars only, which were given the root itself: an anchor holds the SHA-256 of the note, where the
root stands in base64, and OpenTimestamps has no operation for that (docs/adr/0014).

Proofs of different networks are never joined: what calendars say is put beside an anchor's own
proof only if our Bitcoin node knew the block. Nothing here asks anybody, and no node need run.
"""

from dataclasses import dataclass
from typing import Final

from attest.core import limits
from attest.core.errors import StateDamaged
from attest.core.ots import Timestamp
from attest.core.ots_file import OtsFile
from attest.core.stamp import anchor_timestamp, inclusion_steps, leaf_file
from attest.stamps import StampRecord
from ledger.core import types
from ledger.core.checkpoint import Checkpoint
from ledger.core.codec import decode
from ledger.core.errors import InvalidCbor, Refused
from ledger.core.merkle import leaf_hash
from ledger.core.note import parse_note
from node.anchors.evidence import anchored
from node.home import Home
from node.open import Reading

_STAMP_FILES: Final = "stamp-*.cbor"
_SIZES_SHOWN: Final = 10
"""A line of them, in a hint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A file's bytes and the proof beside it. `size` is of the checkpoint that carries it."""

    data: bytes
    ots: OtsFile
    size: int
    network: str

    @property
    def heights(self) -> tuple[int, ...]:
        """The blocks it names; none while it is pending."""
        return self.ots.timestamp.heights


def read_stamps(home: Home) -> list[StampRecord]:
    """All stamps of a home, smallest checkpoint first. Raises StateDamaged."""
    found = []
    for path in sorted(home.anchors.glob(_STAMP_FILES)):
        try:
            value = decode(path.read_bytes(), bytes_max=limits.RECORD_BYTES_MAX)
        except (OSError, InvalidCbor) as error:
            raise StateDamaged(f"{path} cannot be read: {error}") from error
        found.append(StampRecord.from_value(value))
    return sorted(found, key=lambda record: record.checkpoint.size)


def export_checkpoint(home: Reading, size: int | None = None) -> Exported:
    """The newest checkpoint that a block has, or else the newest that calendars took.

    With `size` only the checkpoint of so many events is meant. Raises Refused if there is none.
    """
    stamps = {record.digest: record for record in read_stamps(home.home)}
    own = _anchors(home)
    found = []
    for digest in {*stamps, *own}:
        record = stamps.get(digest)
        timestamp = _joined(own.get(digest), record)
        if timestamp is None:
            continue
        note = record.note if record is not None else _notes(home)[digest]
        head = _of_this_log(home, note)
        network = home.genesis.network if digest in own else _network(home, record)
        file = OtsFile(digest=digest, timestamp=timestamp)
        found.append(Exported(data=note, ots=file, size=head.size, network=network))
    if not found:
        raise Refused(
            "no checkpoint is in a block or with a calendar yet",
            hint="timmy anchor now, or timmy anchor stamp; then timmy anchor status",
        )
    meant = [one for one in found if size in (None, one.size)]
    if not meant:
        sizes = sorted({one.size for one in found})
        shown = ", ".join(map(str, sizes[-_SIZES_SHOWN:]))
        raise Refused(
            f"no checkpoint of {size} events is in a block or with a calendar",
            hint=f"the newest that are: {shown}",
        )
    return max(meant, key=lambda one: (bool(one.heights), one.size))


def export_event(home: Reading, position: int) -> Exported:
    """One event, by the first stamped checkpoint over it that a block has, or else that is pending.

    Raises Refused if calendars have stamped none.
    """
    usable = [
        (record, timestamp)
        for record in read_stamps(home.home)
        if record.checkpoint.size > position and (timestamp := record.root_timestamp()) is not None
    ]
    if not usable:
        raise Refused(
            f"no calendar has stamped a checkpoint over event {position}",
            hint="set attest.calendars and run timmy anchor stamp; or: timmy prove --anchored",
        )
    record, timestamp = min(usable, key=lambda pair: (not pair[1].heights, pair[0].checkpoint.size))
    head = _of_this_log(home, record.note)
    envelope = home.log.read(position).envelope.encoded
    path = home.log.tree.inclusion(position, head.size)
    steps = inclusion_steps(position, head.size, path)
    leaf = leaf_hash(envelope)
    reached = leaf
    for step in steps:
        reached = step.apply(reached)
    if reached != head.root:
        raise Refused(
            f"event {position} does not lead to the root of the stamped checkpoint",
            hint="timmy verify says what is wrong with the ledger",
        )
    return Exported(
        data=leaf_file(envelope),
        ots=OtsFile(digest=leaf, timestamp=timestamp.after(*steps)),
        size=head.size,
        network=_network(home, record),
    )


def _of_this_log(home: Reading, note: bytes) -> Checkpoint:
    """What a note says, if this log leads to its root. Raises Refused.

    Who signed it is not asked: it is our own record, and the log key may have changed since.
    """
    head = Checkpoint.parse(parse_note(note).text)
    if head.size > home.log.size or home.log.tree.root(head.size) != head.root:
        raise Refused(
            f"this ledger does not lead to the stamped checkpoint of {head.size} events",
            hint="timmy verify says what is wrong with the ledger",
        )
    return head


def _anchors(home: Reading) -> dict[bytes, Timestamp]:
    return {kept.digest: anchor_timestamp(kept.proof, kept.digest) for kept in anchored(home.home)}


def _notes(home: Reading) -> dict[bytes, bytes]:
    events = home.log.stream(types.SEAL_STREAM, last=home.log.size)
    wanted = (event.payload for event in events if event.type == types.ANCHOR_REQUESTED.name)
    return {payload["digest"]: payload["note"] for payload in wanted}


def _joined(own: Timestamp | None, record: StampRecord | None) -> Timestamp | None:
    """An anchor's proof and what calendars said of the same note, on one network."""
    stamped = None if record is None else record.note_timestamp()
    if own is None:
        return stamped
    if record is None or stamped is None or not all(part.checked for part in record.attested):
        return own
    return own.merged(stamped) if stamped.heights else own


def _network(home: Reading, record: StampRecord | None) -> str:
    """Where a stamp's blocks are: our network if our node knew them, else the public calendars'."""
    near = record is not None and all(
        part.checked or part.url.startswith("http://") for part in record.taken
    )
    return home.genesis.network if near else "mainnet"
