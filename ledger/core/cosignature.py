"""Consensus-critical: cosignatures, a witness's word on a head (c2sp.org/tlog-cosignature).

    cosignature/v1
    time <Unix seconds>
    <the checkpoint's text>

signed with Ed25519: "this is the largest head of this log that I have seen, at this time, and it
continues every one that I have seen before". It is one more signature line under a checkpoint, of
type 0x04, after 8 bytes of time. A witness is known by its verifier key, `name+id+base64`.

The other type of cosignature that C2SP knows, ML-DSA-44, is not here: its lines are kept and
ignored, like those of any unknown key. Whether a witness is honest, and whether two of them are one
machine, no signature says: that is for whoever chooses the witnesses.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ledger.core import ed25519
from ledger.core.errors import InvalidNote
from ledger.core.note import Note, NoteSignature, check_name

_TYPE: Final = b"\x04"
_LOG_TYPE: Final = b"\x01"
_TIME_BYTES: Final = 8
_TIME_MAX: Final = 2**63 - 1
_ID_CHARS: Final = 8

Ed25519Sign = Callable[[bytes], bytes]
"""A message in, its 64-byte Ed25519 signature out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """Who may cosign: a key name and an Ed25519 public key."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.public) != ed25519.PUBLIC_KEY_BYTES:
            raise InvalidNote(f"public key of {len(self.public)} bytes, expected 32")

    @property
    def id(self) -> bytes:
        """First 4 bytes of SHA-256(name || 0x0a || 0x04 || public key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + _TYPE + self.public).digest()[:4]

    def encode(self) -> str:
        """The verifier key (c2sp.org/signed-note, "Verifier keys")."""
        key = base64.b64encode(_TYPE + self.public).decode()
        return f"{self.name}+{self.id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> "Witness":
        """Read what `encode` gives. Raises InvalidNote."""
        name, plus, rest = text.partition("+")
        key_id, second, packed = rest.partition("+")
        if not plus or not second or len(key_id) != _ID_CHARS:
            raise InvalidNote(f"{text[:80]!r} is no verifier key: name+id+base64")
        try:
            data = base64.b64decode(packed, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidNote(f"the key of {name[:80]!r} is not base64") from error
        if not data.startswith(_TYPE):
            kind = data[:1].hex() or "nothing"
            raise InvalidNote(f"the key of {name[:80]!r} is of type {kind}, expected 04")
        found = cls(name=name, public=data[1:])
        if found.encode() != text:
            raise InvalidNote(f"verifier key of {name[:80]!r}: its id is {found.id.hex()}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosignature:
    """A verified cosignature: who, and at which Unix second. Only `cosignatures` makes one."""

    witness: Witness
    time_s: int


def message(text: str, time_s: int) -> bytes:
    """What a witness signs: two lines, then the checkpoint's text with all its newlines."""
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()


def cosign(text: str, witness: Witness, time_s: int, sign: Ed25519Sign) -> NoteSignature:
    """Return the signature line of `witness` under a checkpoint's text."""
    if not 0 < time_s <= _TIME_MAX:
        raise InvalidNote(f"time {time_s} is not in 1..2^63-1")
    signature = time_s.to_bytes(_TIME_BYTES, "big") + sign(message(text, time_s))
    return NoteSignature(name=witness.name, key_id=witness.id, signature=signature)


def cosignatures(note: Note, witnesses: Iterable[Witness]) -> list[Cosignature]:
    """Return the cosignature of each of `witnesses` under a note, one at most. Raises InvalidNote.

    A failing line of a witness that is known refuses the note; lines of others are ignored. Two
    names with one key are one witness: a key says nothing twice.
    """
    found, keys = [], set()
    for witness in witnesses:
        lines = [s for s in note.signatures if (s.name, s.key_id) == (witness.name, witness.id)]
        times = [_open(note.text, witness, line) for line in lines]
        if times and witness.public not in keys:
            keys.add(witness.public)
            found.append(Cosignature(witness=witness, time_s=max(times)))
    return found


def _open(text: str, witness: Witness, line: NoteSignature) -> int:
    """Return the time of one line. Raises InvalidNote."""
    expected = _TIME_BYTES + ed25519.SIGNATURE_BYTES
    if len(line.signature) != expected:
        raise InvalidNote(
            f"cosignature of {witness.name} has {len(line.signature)} bytes, expected {expected}"
        )
    time_s = int.from_bytes(line.signature[:_TIME_BYTES], "big")
    if not 0 < time_s <= _TIME_MAX:
        raise InvalidNote(f"cosignature of {witness.name}: time {time_s} is not in 1..2^63-1")
    if not ed25519.verify(witness.public, message(text, time_s), line.signature[_TIME_BYTES:]):
        raise InvalidNote(f"the cosignature of {witness.name} fails")
    return time_s


def log_line(text: str, name: str, public: bytes, sign: Ed25519Sign) -> NoteSignature:
    """A log's own Ed25519 signature (type 0x01), for witnesses that know no BIP-340."""
    packed = name.encode() + b"\n" + _LOG_TYPE + public
    key_id = hashlib.sha256(packed).digest()[:4]
    return NoteSignature(name=name, key_id=key_id, signature=sign(text.encode()))


def log_key(name: str, public: bytes) -> str:
    """The verifier key of such a line, for a witness' configuration."""
    key_id = hashlib.sha256(name.encode() + b"\n" + _LOG_TYPE + public).hexdigest()[:_ID_CHARS]
    return f"{name}+{key_id}+{base64.b64encode(_LOG_TYPE + public).decode()}"


def parse_lines(text: str) -> list[NoteSignature]:
    """Read a witness's answer: signature lines, each ending in a newline. Raises InvalidNote."""
    if not text.endswith("\n"):
        raise InvalidNote("the answer holds no signature lines")
    return [NoteSignature.parse(line) for line in text[:-1].split("\n")]
