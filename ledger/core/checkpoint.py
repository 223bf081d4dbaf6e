"""Consensus-critical: checkpoints, the signed heads of a log (c2sp.org/tlog-checkpoint).

    timmy/<ledger id, 64 hex>/<epoch>
    <size>
    <root, base64>

The origin is also the key name. The epoch is part of it, so that a log recovered by the recovery
key can be told from one that equivocates. No extension lines: monitors cannot audit them.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ledger.core import limits
from ledger.core.errors import InvalidNote
from ledger.core.keys import Signer
from ledger.core.note import Note, NoteKey, NoteSignature, parse_note, sign_note

_ORIGIN: Final = re.compile(r"timmy/([0-9a-f]{64})/(0|[1-9][0-9]{0,9})")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,14}")
"""15 digits hold TREE_SIZE_MAX; Python refuses to read a number of thousands of them."""
_LINES: Final = 4


def origin(ledger_id: bytes, epoch: int) -> str:
    """Name a log and epoch: `timmy/<hex>/<epoch>`."""
    return f"timmy/{ledger_id.hex()}/{epoch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A log's size and root at one moment. Unsigned; see `SignedCheckpoint`."""

    ledger_id: bytes
    epoch: int
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if len(self.ledger_id) != 32 or len(self.root) != 32:
            raise InvalidNote("ledger id and root are 32 bytes each")
        if not 0 <= self.size <= limits.TREE_SIZE_MAX or self.epoch < 0:
            raise InvalidNote(f"size {self.size} or epoch {self.epoch} is out of range")

    @property
    def origin(self) -> str:
        """First line of the note and name of its key."""
        return origin(self.ledger_id, self.epoch)

    def text(self) -> str:
        """The three lines that are signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Parse the signed text. Raises InvalidNote naming the line."""
        lines = text.split("\n")
        if len(lines) != _LINES:
            raise InvalidNote(f"checkpoint has {len(lines) - 1} lines, expected 3")
        match = _ORIGIN.fullmatch(lines[0])
        if match is None:
            raise InvalidNote(f"checkpoint origin {lines[0][:90]!r} is not timmy/<hex>/<epoch>")
        if _SIZE.fullmatch(lines[1]) is None:
            raise InvalidNote(f"checkpoint size {lines[1][:24]!r} is not a canonical number")
        try:
            root = base64.b64decode(lines[2], validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidNote("checkpoint root is not base64") from error
        if base64.b64encode(root).decode() != lines[2]:
            raise InvalidNote("checkpoint root is not canonical base64")
        return cls(
            ledger_id=bytes.fromhex(match[1]), epoch=int(match[2]), size=int(lines[1]), root=root
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint whose log signature was verified or just made. Only this module makes one."""

    checkpoint: Checkpoint
    note: Note

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        """Root over them."""
        return self.checkpoint.root

    def encode(self) -> bytes:
        """The note's bytes, cosignatures included."""
        return self.note.encode()

    def with_lines(self, lines: Iterable[NoteSignature]) -> "SignedCheckpoint":
        """The same head with further signature lines under it, none of them twice."""
        added = [line for line in dict.fromkeys(lines) if line not in self.note.signatures]
        note = Note(text=self.note.text, signatures=(*self.note.signatures, *added))
        return SignedCheckpoint(checkpoint=self.checkpoint, note=note)

    def anchor_preimage(self) -> bytes:
        """The note with the log's one signature line and nothing else: what anchors commit to.

        Cosignatures come later and must not change what was anchored.
        """
        return Note(text=self.note.text, signatures=self.note.signatures[:1]).encode()

    def anchor_digest(self) -> bytes:
        """SHA-256 of the preimage: the 32 bytes that go into a transaction."""
        return hashlib.sha256(self.anchor_preimage()).digest()


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> SignedCheckpoint:
    """Sign with the log key. Whether the log may be released there is the caller's to know."""
    note = sign_note(checkpoint.text(), checkpoint.origin, signer)
    return SignedCheckpoint(checkpoint=checkpoint, note=note)


def open_checkpoint(data: bytes, log_key: bytes) -> SignedCheckpoint:
    """Parse and verify a signed checkpoint. Raises InvalidNote."""
    note = parse_note(data)
    checkpoint = Checkpoint.parse(note.text)
    mine = note.signed_by(NoteKey(name=checkpoint.origin, public=log_key))
    others = tuple(s for s in note.signatures if s is not mine)
    return SignedCheckpoint(
        checkpoint=checkpoint, note=Note(text=note.text, signatures=(mine, *others))
    )
