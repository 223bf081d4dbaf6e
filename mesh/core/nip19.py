"""Identifiers that people copy and paste: npub, nsec, note, nprofile, nevent, naddr (NIP-19).

Bech32 (BIP-173), not bech32m, without BIP-173's 90 characters but never over 5,000. The last three
carry type-length-value records: unknown types are skipped, any order is accepted, a field that can
have one value only must come once. Such texts never go into events or on the wire: there, keys are
hex. Not covered: `nrelay` (deprecated) and `ncryptsec` (NIP-49).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from embit import bech32

from mesh.core import limits
from mesh.core.errors import InvalidIdentifier
from mesh.core.nip01 import is_hex32

_SPECIAL: Final = 0
_RELAY: Final = 1
_AUTHOR: Final = 2
_KIND: Final = 3


def _require_hex(name: str, value: str) -> None:
    if not is_hex32(value):
        raise InvalidIdentifier(f"{name} is not 64 characters of lower-case hex")


def _require_relays(relays: tuple[str, ...]) -> None:
    if len(relays) > limits.IDENTIFIER_RELAYS_MAX:
        bound = limits.IDENTIFIER_RELAYS_MAX
        raise InvalidIdentifier(f"{len(relays)} relays, at most {bound} allowed")
    if not all(relay.isascii() and len(relay) <= 255 for relay in relays):
        raise InvalidIdentifier("a relay must be at most 255 characters of ASCII")


def _require_kind(kind: int | None) -> None:
    if kind is not None and not 0 <= kind <= limits.KIND_MAX:
        raise InvalidIdentifier(f"kind {kind}, must be 0 to {limits.KIND_MAX}")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """`npub`: an author, 32 bytes in hex."""

    pubkey: str

    def __post_init__(self) -> None:
        _require_hex("public key", self.pubkey)


@dataclass(frozen=True, slots=True)
class SecretKey:
    """`nsec`: 32 secret bytes. The repr does not show them."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != 32:
            raise InvalidIdentifier(f"secret key of {len(self.secret)} bytes, expected 32")


@dataclass(frozen=True, slots=True)
class NoteId:
    """`note`: an event id, 32 bytes in hex."""

    id: str

    def __post_init__(self) -> None:
        _require_hex("event id", self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """`nprofile`: an author and relays where he may be found."""

    pubkey: str
    relays: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require_hex("public key", self.pubkey)
        _require_relays(self.relays)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPointer:
    """`nevent`: an event id with hints."""

    id: str
    relays: tuple[str, ...] = ()
    author: str | None = None
    kind: int | None = None

    def __post_init__(self) -> None:
        _require_hex("event id", self.id)
        _require_relays(self.relays)
        _require_kind(self.kind)
        if self.author is not None:
            _require_hex("author", self.author)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPointer:
    """`naddr`: the address of a replaceable or addressable event."""

    identifier: str
    pubkey: str
    kind: int
    relays: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require_hex("author", self.pubkey)
        _require_relays(self.relays)
        _require_kind(self.kind)
        if len(self.identifier.encode(errors="surrogatepass")) > 255:
            raise InvalidIdentifier("identifier is longer than 255 bytes")


Identifier: TypeAlias = PublicKey | SecretKey | NoteId | Profile | EventPointer | AddressPointer


def encode(identifier: Identifier) -> str:
    """Return the bech32 text of an identifier. Raises InvalidIdentifier over 5,000 characters."""
    match identifier:
        case PublicKey():
            return _bech32("npub", bytes.fromhex(identifier.pubkey))
        case SecretKey():
            return _bech32("nsec", identifier.secret)
        case NoteId():
            return _bech32("note", bytes.fromhex(identifier.id))
        case Profile():
            head = [(_SPECIAL, bytes.fromhex(identifier.pubkey))]
            return _bech32("nprofile", _records(head, identifier.relays))
        case EventPointer():
            head = [(_SPECIAL, bytes.fromhex(identifier.id))]
            tail = _author_and_kind(identifier.author, identifier.kind)
            return _bech32("nevent", _records(head, identifier.relays, tail))
        case AddressPointer():
            head = [(_SPECIAL, _utf8(identifier.identifier))]
            tail = _author_and_kind(identifier.pubkey, identifier.kind)
            return _bech32("naddr", _records(head, identifier.relays, tail))


def decode(text: str) -> Identifier:
    """Parse any NIP-19 text. Raises InvalidIdentifier."""
    prefix, data = _from_bech32(text)
    match prefix:
        case "npub":
            return PublicKey(_hex32(data))
        case "nsec":
            return SecretKey(data)
        case "note":
            return NoteId(_hex32(data))
        case "nprofile" | "nevent" | "naddr":
            return _pointer(prefix, data)
        case _:
            raise InvalidIdentifier(f"unknown prefix {prefix[:16]!r}")


def npub(pubkey: str) -> str:
    """Return the `npub` of a public key in hex."""
    return encode(PublicKey(pubkey))


def _pointer(prefix: str, data: bytes) -> Identifier:
    special, author, kind, relays = _read_records(data)
    if special is None:
        raise InvalidIdentifier(f"{prefix} names nothing")
    if prefix == "nprofile":
        return Profile(pubkey=_hex32(special), relays=relays)
    if prefix == "nevent":
        return EventPointer(id=_hex32(special), relays=relays, author=author, kind=kind)
    if author is None or kind is None:
        raise InvalidIdentifier("naddr without author or kind")
    try:
        identifier = special.decode()
    except UnicodeDecodeError as error:
        raise InvalidIdentifier("identifier is not UTF-8") from error
    return AddressPointer(identifier=identifier, pubkey=author, kind=kind, relays=relays)


def _read_records(data: bytes) -> tuple[bytes | None, str | None, int | None, tuple[str, ...]]:
    single: dict[int, bytes] = {}
    relays = []
    for kind, value in _split(data):
        if kind == _RELAY:
            relays.append(_ascii(value))
        elif kind in {_SPECIAL, _AUTHOR, _KIND}:
            if kind in single:
                raise InvalidIdentifier(f"record {kind} comes twice")
            single[kind] = value
    if _KIND in single and len(single[_KIND]) != 4:
        raise InvalidIdentifier(f"kind of {len(single[_KIND])} bytes, expected 4")
    return (
        single.get(_SPECIAL),
        _hex32(single[_AUTHOR]) if _AUTHOR in single else None,
        int.from_bytes(single[_KIND], "big") if _KIND in single else None,
        tuple(relays),
    )


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            raise InvalidIdentifier("record reaches beyond the end")
        yield data[at], data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]


def _records(
    head: list[tuple[int, bytes]],
    relays: tuple[str, ...],
    tail: Sequence[tuple[int, bytes]] = (),
) -> bytes:
    hints = [(_RELAY, relay.encode("ascii")) for relay in relays]
    records = [*head, *hints, *tail]
    return b"".join(bytes([kind, len(value)]) + value for kind, value in records)


def _author_and_kind(author: str | None, kind: int | None) -> list[tuple[int, bytes]]:
    records = []
    if author is not None:
        records.append((_AUTHOR, bytes.fromhex(author)))
    if kind is not None:
        records.append((_KIND, kind.to_bytes(4, "big")))
    return records


def _bech32(prefix: str, data: bytes) -> str:
    words = bech32.convertbits(data, 8, 5)
    text: str = bech32.bech32_encode(bech32.Encoding.BECH32, prefix, words)
    if len(text) > limits.IDENTIFIER_CHARS_MAX:
        bound = limits.IDENTIFIER_CHARS_MAX
        raise InvalidIdentifier(f"{len(text)} characters, at most {bound} allowed")
    return text


def _from_bech32(text: str) -> tuple[str, bytes]:
    """Split a bech32 text into prefix and bytes; embit's own decoder stops at 90 characters."""
    if len(text) > limits.IDENTIFIER_CHARS_MAX:
        bound = limits.IDENTIFIER_CHARS_MAX
        raise InvalidIdentifier(f"{len(text)} characters, at most {bound} allowed")
    if not text.isascii() or text not in {text.lower(), text.upper()}:
        raise InvalidIdentifier("not bech32: ASCII of one case only")
    prefix, separator, tail = text.lower().rpartition("1")
    words = [bech32.CHARSET.find(char) for char in tail]
    if not separator or not prefix or len(words) < 6 or -1 in words:
        raise InvalidIdentifier("not bech32: prefix, '1', and characters of its alphabet")
    if bech32.bech32_verify_checksum(prefix, words) != bech32.Encoding.BECH32:
        raise InvalidIdentifier("not bech32: wrong checksum")
    data = bech32.convertbits(words[:-6], 5, 8, False)  # noqa: FBT003 - embit's parameter order
    if data is None:
        raise InvalidIdentifier("not bech32: padding is not zero")
    return prefix, bytes(data)


def _hex32(data: bytes) -> str:
    if len(data) != 32:
        raise InvalidIdentifier(f"{len(data)} bytes, expected 32")
    return data.hex()


def _ascii(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise InvalidIdentifier("a relay is not ASCII") from error


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidIdentifier("identifier holds a lone surrogate") from error
