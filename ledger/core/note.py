"""Consensus-critical: C2SP signed notes (c2sp.org/signed-note), with BIP-340 signatures.

    <text, ending in a newline>
    <blank line>
    — <key name> <base64 of 4-byte key id and signature>

The signature type is 0xff ("no assigned byte"), followed by `SCHEME`: BIP-340 over the tagged hash
of the text. Signatures of unknown keys are kept and ignored; a failing one of a known key refuses
the whole note.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from ledger.core import limits
from ledger.core.errors import InvalidNote
from ledger.core.keys import PUBLIC_KEY_BYTES, Signer, verify

SCHEME: Final = b"timmy-node/bip340/v1"
TAG: Final = "timmy/note/v1"
_DASH: Final = "— "
_KEY_ID_BYTES: Final = 4


def key_id(name: str, public: bytes) -> bytes:
    """First 4 bytes of SHA-256(name || 0x0a || 0xff || SCHEME || public key)."""
    data = name.encode() + b"\x0a\xff" + SCHEME + public
    return hashlib.sha256(data).digest()[:_KEY_ID_BYTES]


def check_name(name: str) -> None:
    """Refuse what is no key name. Raises InvalidNote."""
    # C2SP allows more; which characters are spaces or controls depends on the Unicode tables of
    # the Python that runs this, and two nodes must agree.
    if not name or any(not "!" <= c <= "~" or c == "+" for c in name):
        raise InvalidNote(f"key name {name!r} is not of printable ASCII without space and plus")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteKey:
    """Who may sign: a key name and an x-only public key."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        if len(self.public) != PUBLIC_KEY_BYTES:
            raise InvalidNote(f"public key of {len(self.public)} bytes, expected 32")

    @property
    def id(self) -> bytes:
        """The 4-byte key id."""
        return key_id(self.name, self.public)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteSignature:
    """One signature line: key name, 4-byte key id, signature bytes."""

    name: str
    key_id: bytes
    signature: bytes

    def line(self) -> str:
        """The line as it stands in a note, with its newline."""
        packed = base64.b64encode(self.key_id + self.signature).decode()
        return f"{_DASH}{self.name} {packed}\n"

    @classmethod
    def parse(cls, line: str) -> "NoteSignature":
        """Parse one line without its newline."""
        name, space, packed = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or not space:
            raise InvalidNote(f"malformed signature line {line[:40]!r}")
        check_name(name)
        try:
            data = base64.b64decode(packed, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidNote(f"signature of {name} is not base64") from error
        if len(data) <= _KEY_ID_BYTES or base64.b64encode(data).decode() != packed:
            raise InvalidNote(f"signature of {name} is empty or not canonical base64")
        return cls(name=name, key_id=data[:_KEY_ID_BYTES], signature=data[_KEY_ID_BYTES:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Text and signatures, as parsed: nothing is verified yet."""

    text: str
    signatures: tuple[NoteSignature, ...]

    def encode(self) -> bytes:
        """The note's bytes."""
        return (self.text + "\n" + "".join(s.line() for s in self.signatures)).encode()

    def signed_by(self, key: NoteKey) -> NoteSignature:
        """Return the signature of `key`. Raises InvalidNote if it is missing or fails."""
        found = [s for s in self.signatures if (s.name, s.key_id) == (key.name, key.id)]
        if not found:
            raise InvalidNote(f"no signature of {key.name}+{key.id.hex()}")
        for signature in found:
            if not verify(key.public, TAG, self.text.encode(), signature.signature):
                raise InvalidNote(f"the signature of {key.name} fails")
        return found[0]


def sign_note(text: str, name: str, signer: Signer) -> Note:
    """Return a note over `text`, which ends in a newline, signed under `name`."""
    _check_text(text)
    key = NoteKey(name=name, public=signer.public)
    signature = signer.sign(TAG, text.encode())
    return Note(
        text=text,
        signatures=(NoteSignature(name=name, key_id=key.id, signature=signature),),
    )


def _check_text(text: str) -> None:
    if not text.endswith("\n") or text == "\n":
        raise InvalidNote("note text is empty or does not end in a newline")
    if any(ord(c) < 0x20 and c != "\n" for c in text) or "\x7f" in text:
        raise InvalidNote("note text has control characters")


def parse_note(data: bytes) -> Note:
    """Split a note into text and signature lines. Raises InvalidNote."""
    if len(data) > limits.NOTE_BYTES_MAX:
        raise InvalidNote(f"note of {len(data)} bytes, at most {limits.NOTE_BYTES_MAX}")
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidNote("note is not UTF-8") from error
    text, blank, tail = whole.rpartition("\n\n")
    if not blank or not tail.endswith("\n"):
        raise InvalidNote("note has no signature block or no final newline")
    _check_text(text + "\n")
    lines = tail[:-1].split("\n")
    if len(lines) > limits.NOTE_SIGNATURES_MAX:
        raise InvalidNote(f"{len(lines)} signatures, at most {limits.NOTE_SIGNATURES_MAX}")
    return Note(text=text + "\n", signatures=tuple(NoteSignature.parse(line) for line in lines))
