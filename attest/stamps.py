"""What is remembered of each stamp: a note, its nonces, and what each calendar has said.

A stamp is of two digests at once: the SHA-256 of a checkpoint's note, and the root in it. So the
checkpoint gets a proof, and so does each event under the root (docs/adr/0014). Both are blinded by
a nonce of their own and joined; calendars see the result, the *tip*.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum, unique
from functools import cached_property
from typing import Any

from attest.core.calendars import calendar_url
from attest.core.errors import CalendarError, InvalidRecord, InvalidTimestamp, StateDamaged
from attest.core.ots import Step, Timestamp
from attest.core.ots_file import encode_timestamp, parse_timestamp
from attest.core.proof import take
from attest.core.stamp import NONCE_BYTES, tip_of
from ledger.core.checkpoint import Checkpoint
from ledger.core.errors import InvalidNote
from ledger.core.note import parse_note


@unique
class StampStanding(StrEnum):
    """How far a stamp has come: with too few calendars, with enough, in a block."""

    WANTED = "wanted"
    PENDING = "pending"
    ATTESTED = "attested"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarRecord:
    """One calendar's part. `timestamp` is of the tip; None until it took it.

    `tries` are the attempts in a row that brought nothing new, `next_s` is when the next is due
    (Unix seconds), `checked` says that the blocks it names were compared with our node's.
    """

    url: str
    timestamp: Timestamp | None = None
    tries: int = 0
    next_s: int = 0
    checked: bool = False
    trouble: str = ""

    @property
    def heights(self) -> tuple[int, ...]:
        """Heights of the blocks it names."""
        return () if self.timestamp is None else self.timestamp.heights

    def to_value(self) -> dict[str, Any]:
        """A map of the ledger's CBOR profile."""
        timestamp = self.timestamp
        return {
            "url": self.url,
            "timestamp": None if timestamp is None else encode_timestamp(timestamp),
            "tries": self.tries,
            "next": self.next_s,
            "checked": int(self.checked),
            "trouble": self.trouble,
        }

    @classmethod
    def from_value(cls, value: Any) -> "CalendarRecord":
        """Read the map back. Raises InvalidRecord, InvalidTimestamp or CalendarError."""
        fields = take(
            value,
            url=str,
            timestamp=(bytes, type(None)),
            tries=int,
            next=int,
            checked=int,
            trouble=str,
        )
        data = fields["timestamp"]
        if fields["checked"] not in (0, 1) or calendar_url(fields["url"]) != fields["url"]:
            raise InvalidRecord("a calendar's record that would be written otherwise")
        return cls(
            url=fields["url"],
            timestamp=None if data is None else parse_timestamp(data, hashlib.sha256().digest_size),
            tries=fields["tries"],
            next_s=fields["next"],
            checked=bool(fields["checked"]),
            trouble=fields["trouble"],
        )


@dataclass(frozen=True, kw_only=True)
class StampRecord:
    """One stamp: the note it is of, the nonces of the note's digest and of the root, calendars."""

    note: bytes
    nonces: tuple[bytes, bytes]
    asked_s: int
    calendars: tuple[CalendarRecord, ...]

    def __post_init__(self) -> None:
        if any(len(nonce) != NONCE_BYTES for nonce in self.nonces):
            raise InvalidRecord(f"a nonce has {NONCE_BYTES} bytes")

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """What the note says; its signature is not looked at. Raises InvalidNote."""
        return Checkpoint.parse(parse_note(self.note).text)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the note: the anchor digest."""
        return hashlib.sha256(self.note).digest()

    @cached_property
    def _ways(self) -> tuple[bytes, tuple[Step, ...], tuple[Step, ...]]:
        return tip_of(self.digest, self.checkpoint.root, self.nonces)

    @property
    def tip(self) -> bytes:
        """What calendars are sent."""
        return self._ways[0]

    @property
    def attested(self) -> tuple[CalendarRecord, ...]:
        """The calendars that name a block."""
        return tuple(record for record in self.calendars if record.heights)

    @property
    def taken(self) -> tuple[CalendarRecord, ...]:
        """The calendars that have the tip."""
        return tuple(record for record in self.calendars if record.timestamp is not None)

    def standing(self, needed: int) -> StampStanding:
        """How far it is, where `needed` calendars are wanted."""
        if self.attested:
            return StampStanding.ATTESTED
        enough = len(self.taken) >= min(needed, len(self.calendars)) and self.taken
        return StampStanding.PENDING if enough else StampStanding.WANTED

    @property
    def done(self) -> bool:
        """Nothing is left to ask: a block was checked, or every calendar has named one."""
        return any(record.checked for record in self.attested) or (
            bool(self.calendars) and len(self.attested) == len(self.calendars)
        )

    @property
    def tip_timestamp(self) -> Timestamp | None:
        """All that calendars said, best part only: what names blocks, else what is pending."""
        parts = [r.timestamp for r in self.attested or self.taken if r.timestamp is not None]
        if not parts:
            return None
        merged = parts[0].merged(*parts[1:])
        kept = [path for path in merged.paths if Timestamp((path,)).heights]
        return Timestamp.of(kept) if kept else merged

    def note_timestamp(self) -> Timestamp | None:
        """The timestamp of `digest`."""
        timestamp = self.tip_timestamp
        return None if timestamp is None else timestamp.after(*self._ways[1])

    def root_timestamp(self) -> Timestamp | None:
        """The timestamp of the root, for paths of events to continue in."""
        timestamp = self.tip_timestamp
        return None if timestamp is None else timestamp.after(*self._ways[2])

    def to_value(self) -> dict[str, Any]:
        """A map of the ledger's CBOR profile."""
        return {
            "note": self.note,
            "nonces": list(self.nonces),
            "asked": self.asked_s,
            "calendars": [record.to_value() for record in self.calendars],
        }

    @classmethod
    def from_value(cls, value: Any) -> "StampRecord":
        """Read the map back. Raises StateDamaged."""
        try:
            fields = take(value, note=bytes, nonces=list, asked=int, calendars=list)
            nonces = _nonces(fields["nonces"])
            Checkpoint.parse(parse_note(fields["note"]).text)
            return cls(
                note=fields["note"],
                nonces=nonces,
                asked_s=fields["asked"],
                calendars=tuple(map(CalendarRecord.from_value, fields["calendars"])),
            )
        except (InvalidRecord, InvalidTimestamp, CalendarError, InvalidNote) as error:
            raise StateDamaged(f"a stamp's record is damaged: {error}") from error


def _nonces(value: list[Any]) -> tuple[bytes, bytes]:
    match value:
        case [bytes(first), bytes(second)]:
            return first, second
    raise InvalidRecord("a stamp has two nonces")
