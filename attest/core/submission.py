"""Consensus-critical: a head that a ledger hands to an aggregator, and what it must show.

A map of the ledger's CBOR profile:

    note         the signed note of the head
    genesis      event 0 (envelope, salt, payload) and its path under that head, or null
    lineage      with it, the log's handoffs and epoch records, in order, each with its path
    since        the size of the head that this one continues, 0 for none
    consistency  the path from there

The first submission of a ledger brings event 0, which names the key that signs its notes, and what
put later keys in charge; from then on the aggregator knows it, until the key changes, and every
head must continue the one before. What these records must hold is the caller's to say (`LogKeyOf`):
here it is seen to that they stand in the log.

Not covered: that the ledger's owner sent it (nobody else can sign the note, and a signed head may
be shown to anybody), and that there is no later record: the aggregator compares with what it knows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from attest.core import limits
from attest.core.errors import HeadDoesNotContinue, HeadNotNewer, InvalidSubmission
from attest.core.proof import take
from ledger.core.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidData, InvalidProof, TimmyError
from ledger.core.event import Event, Record
from ledger.core.merkle import leaf_hash, verify_consistency, verify_inclusion
from ledger.core.note import parse_note

LogKeyOf: TypeAlias = Callable[[Sequence[Event], int, int], bytes]
"""Event 0 and the records of a lineage, epoch and size of a head to the log key that signs it.

Raises InvalidData or another TimmyError.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An event of a ledger and its path to the root of some head."""

    position: int
    envelope: bytes
    salt: bytes
    payload: bytes
    path: tuple[bytes, ...]

    @property
    def event(self) -> Event:
        """The event, opened. Raises InvalidSubmission."""
        record = Record(
            position=self.position,
            envelope=self.envelope,
            salt=self.salt,
            payload=self.payload,
            content_salt=None,
            content=None,
        )
        try:
            return Event.open(record)
        except InvalidData as error:
            raise InvalidSubmission(f"event {self.position}: {error}") from error

    def to_value(self) -> dict[str, Any]:
        """A map of envelope, salt, payload and path."""
        return {
            "envelope": self.envelope,
            "salt": self.salt,
            "payload": self.payload,
            "path": list(self.path),
        }

    @classmethod
    def from_value(cls, position: int, value: Any) -> "Shown":
        """Read the map back. Raises InvalidSubmission or InvalidRecord."""
        fields = take(value, envelope=bytes, salt=bytes, payload=bytes, path=list)
        return cls(
            position=position,
            envelope=fields["envelope"],
            salt=fields["salt"],
            payload=fields["payload"],
            path=_hashes(fields["path"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A head to be aggregated. Nothing is verified yet."""

    note: bytes
    birth: Shown | None
    since: int
    consistency: tuple[bytes, ...]
    lineage: tuple[Shown, ...] = ()

    def __post_init__(self) -> None:
        if self.lineage and self.birth is None:
            raise InvalidSubmission("records of a lineage without event 0")

    @property
    def records(self) -> tuple[Shown, ...]:
        """Event 0 and what put later keys in charge, or nothing."""
        return () if self.birth is None else (self.birth, *self.lineage)

    @property
    def named(self) -> Checkpoint:
        """Of which head it says it is. Raises InvalidSubmission."""
        try:
            return Checkpoint.parse(parse_note(self.note).text)
        except InvalidData as error:
            raise InvalidSubmission(f"the note: {error}") from error

    def opened(self, log_key: bytes) -> SignedCheckpoint:
        """The head, signed by `log_key`. Raises InvalidSubmission."""
        try:
            return open_checkpoint(self.note, log_key)
        except InvalidData as error:
            raise InvalidSubmission(f"the note: {error}") from error

    def log_key(self, log_key_of: LogKeyOf) -> bytes | None:
        """The key that signs this head by the records here; None if there are none.

        Whether they stand under the head, `check_records` says. Raises InvalidSubmission.
        """
        if not self.records:
            return None
        events = [record.event for record in self.records]
        named = self.named
        if events[0].id != named.ledger_id:
            raise InvalidSubmission(f"event 0 is of {events[0].id.hex()}, not of the note's ledger")
        try:
            return log_key_of(events, named.epoch, named.size)
        except TimmyError as error:
            raise InvalidSubmission(f"whose key signs it: {error}") from error

    def check_records(self, head: SignedCheckpoint) -> None:
        """Raise InvalidSubmission unless event 0 and the lineage's records stand under `head`."""
        for record in self.records:
            leaf = leaf_hash(record.envelope)
            try:
                verify_inclusion(leaf, record.position, head.size, record.path, head.root)
            except InvalidProof as error:
                raise InvalidSubmission(
                    f"event {record.position} is not under this head: {error}"
                ) from error

    def check_continues(self, head: SignedCheckpoint, before: Checkpoint) -> None:
        """Raise HeadNotNewer or HeadDoesNotContinue unless `head` follows `before`, or is it."""
        if (head.size, head.checkpoint.epoch) == (before.size, before.epoch):
            if head.root != before.root:
                raise HeadNotNewer(
                    f"two signed roots at size {head.size}: this log has two histories",
                    hint="keep both notes: together they prove it",
                )
            return
        if head.size < before.size or head.checkpoint.epoch < before.epoch:
            raise HeadNotNewer(
                f"size {head.size} in epoch {head.checkpoint.epoch}, the head here has "
                f"{before.size} in epoch {before.epoch}"
            )
        hint = f"submit with a proof from there: timmy aggregate submit --since {before.size}"
        if self.since != before.size:
            raise HeadDoesNotContinue(
                f"a proof from size {self.since}, the head here has {before.size}", hint=hint
            )
        try:
            verify_consistency(before.size, head.size, self.consistency, before.root, head.root)
        except InvalidProof as error:
            raise HeadDoesNotContinue(
                f"the head of size {head.size} does not continue that of {before.size}: {error}",
                hint=hint,
            ) from error

    def encode(self) -> bytes:
        """The bytes to hand over."""
        return encode(
            {
                "note": self.note,
                "genesis": None if self.birth is None else self.birth.to_value(),
                "lineage": [[record.position, record.to_value()] for record in self.lineage],
                "since": self.since,
                "consistency": list(self.consistency),
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> "Submission":
        """Read the bytes back. Raises InvalidSubmission or InvalidRecord."""
        if len(data) > limits.SUBMISSION_BYTES_MAX:
            raise InvalidSubmission(
                f"{len(data)} bytes, at most {limits.SUBMISSION_BYTES_MAX} are a submission"
            )
        try:
            value = decode(data, bytes_max=limits.SUBMISSION_BYTES_MAX)
        except InvalidData as error:
            raise InvalidSubmission(f"not a submission: {error}") from error
        fields = take(
            value,
            note=bytes,
            genesis=(dict, type(None)),
            lineage=list,
            since=int,
            consistency=list,
        )
        if fields["since"] < 0:
            raise InvalidSubmission(f"since is {fields['since']}, a size is at least 0")
        return cls(
            note=fields["note"],
            birth=None if fields["genesis"] is None else Shown.from_value(0, fields["genesis"]),
            lineage=tuple(_record(entry) for entry in fields["lineage"]),
            since=fields["since"],
            consistency=_hashes(fields["consistency"]),
        )


def _record(entry: Any) -> Shown:
    if not isinstance(entry, list) or len(entry) != 2 or type(entry[0]) is not int:
        raise InvalidSubmission("a record of a lineage is its position and a map")
    if entry[0] < 1:
        raise InvalidSubmission(f"a record of a lineage at position {entry[0]}")
    return Shown.from_value(entry[0], entry[1])


def _hashes(value: list[Any]) -> tuple[bytes, ...]:
    if any(type(item) is not bytes for item in value):
        raise InvalidSubmission("a path is not of byte strings")
    return tuple(value)
