r"""Consensus-critical: Nostr events, their ids and their signatures (NIP-01).

Three types, each a promise stronger than the one before:

- `UnsignedEvent`: fields within their ranges; what a signer takes.
- `Event`: the same with an id and a signature that nobody has looked at yet.
- `VerifiedEvent`: the id is that of the contents and the signature is the author's. Its
  constructor checks, so there is no way to hold one that was not checked.

The id is SHA-256 of `[0,pubkey,created_at,kind,tags,content]` as JSON without whitespace. NIP-01
says which seven characters are escaped and "all others verbatim"; every relay follows
JSON.stringify instead (lower-case \u00xx for the other control characters), and so do we. Relays
differ on 0x7F and on those control characters, which is why the signer refuses to mint them.

A JSON object with a member twice is read as most readers do, the last one counts; what is stored
and sent is written anew from the parsed fields, so the ambiguity ends here. Not covered: delegation
(NIP-26), proof of work (NIP-13), encryption.
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Final, Self

import msgspec
from coincurve import PrivateKey, PublicKeyXOnly

from mesh.core import limits
from mesh.core.errors import InvalidEvent, InvalidSignature, UnsafeToMint

Tag = tuple[str, ...]

_JSON_OVERHEAD_BYTES: Final = (
    len('{"id":"","pubkey":,"created_at":,"kind":,"tags":,"content":,"sig":""}')
    + (64 + 128)  # id and sig
    - len("[0,,,,,]")
)
"""What `to_json` writes beyond `serialize`."""

_HEX32: Final = re.compile("[0-9a-f]{64}")
_HEX64: Final = re.compile("[0-9a-f]{128}")
_UNSAFE: Final = re.compile("[\x00-\x07\x0b\x0e-\x1f\x7f]")
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def is_hex32(value: object) -> bool:
    """Tell whether `value` is 64 characters of lower-case hex: a key or an id of NIP-01."""
    return isinstance(value, str) and _HEX32.fullmatch(value) is not None


def is_indexed(name: str) -> bool:
    """Tell whether NIP-01 indexes tags of this name: one letter, a-z or A-Z."""
    return len(name) == 1 and name.isascii() and name.isalpha()


def check_safe(event: "Body") -> None:
    """Raise UnsafeToMint for characters that relays and clients hash differently."""
    for text in (event.content, *(value for tag in event.tags for value in tag)):
        if found := _UNSAFE.search(text):
            raise UnsafeToMint(
                f"control character 0x{ord(found[0]):02x} in an event",
                hint="relays disagree on its escaping: encode the text, for example in base64",
            )


def made_safe(text: str) -> str:
    """Return words as an event may carry them: no lone surrogate, no character of `check_safe`."""
    return _UNSAFE.sub(_REPLACEMENT, text.encode(errors="replace").decode())


class _Wire(msgspec.Struct, forbid_unknown_fields=True):
    """The JSON object of an event: exactly these members, of exactly these types."""

    id: str
    pubkey: str
    created_at: int
    kind: int
    tags: tuple[Tag, ...]
    content: str
    sig: str


def _check_tags(tags: object) -> None:
    if not isinstance(tags, tuple) or len(tags) > limits.TAGS_MAX:
        raise InvalidEvent(f"tags must be a tuple of at most {limits.TAGS_MAX}")
    for tag in tags:
        if not isinstance(tag, tuple) or not tag or not all(isinstance(v, str) for v in tag):
            raise InvalidEvent("a tag must be one or more strings")
        if len(tag) > 1 and is_indexed(tag[0]):
            size = len(tag[1].encode(errors="surrogatepass"))
            if size > limits.INDEXED_VALUE_BYTES_MAX:
                bound = limits.INDEXED_VALUE_BYTES_MAX
                raise InvalidEvent(f"indexed tag value of {size} bytes, at most {bound} allowed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The five fields that an id covers. Times are Unix seconds, keys are lower-case hex."""

    pubkey: str
    created_at: int
    kind: int
    tags: tuple[Tag, ...] = ()
    content: str = ""

    def __post_init__(self) -> None:
        _check_body(self)

    def serialize(self) -> bytes:
        """Return the bytes whose SHA-256 is the id (NIP-01)."""
        body = [0, self.pubkey, self.created_at, self.kind, self.tags, self.content]
        try:
            return msgspec.json.encode(body)
        except UnicodeEncodeError as error:
            raise InvalidEvent("text holds a lone surrogate") from error

    def digest(self) -> bytes:
        """Return the 32 bytes that the author signs; in hex, the event's id."""
        return hashlib.sha256(self.serialize()).digest()


def _check_body(body: Body) -> None:
    if not is_hex32(body.pubkey):
        raise InvalidEvent("pubkey is not 64 characters of lower-case hex")
    if type(body.created_at) is not int or not (
        0 <= body.created_at <= limits.CREATED_AT_MAX_SECONDS
    ):
        raise InvalidEvent(f"created_at must be 0 to {limits.CREATED_AT_MAX_SECONDS}")
    if type(body.kind) is not int or not 0 <= body.kind <= limits.KIND_MAX:
        raise InvalidEvent(f"kind must be 0 to {limits.KIND_MAX}")
    if not isinstance(body.content, str) or len(body.content) > limits.EVENT_BYTES_MAX:
        raise InvalidEvent(f"content must be at most {limits.EVENT_BYTES_MAX} characters")
    _check_tags(body.tags)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsignedEvent(Body):
    """What a signer takes: fields in range, no id, no signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Body):
    """An event as it was received: well-formed, its id and signature not yet checked."""

    id: str
    sig: str

    def __post_init__(self) -> None:
        _check_body(self)
        if not is_hex32(self.id):
            raise InvalidEvent("id is not 64 characters of lower-case hex")
        if not isinstance(self.sig, str) or _HEX64.fullmatch(self.sig) is None:
            raise InvalidEvent("sig is not 128 characters of lower-case hex")

    @classmethod
    def from_json(cls, text: bytes | str | msgspec.Raw) -> Self:
        """Parse one event. Raises InvalidEvent for anything but NIP-01's seven members."""
        size = len(text.encode(errors="surrogatepass") if isinstance(text, str) else bytes(text))
        if size > limits.EVENT_BYTES_MAX:
            raise InvalidEvent(f"event of {size} bytes, at most {limits.EVENT_BYTES_MAX} allowed")
        try:
            wire = msgspec.json.decode(text, type=_Wire)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise InvalidEvent(f"not a JSON event: {error}") from error
        return cls._from_wire(wire)

    @classmethod
    def from_object(cls, value: Any) -> Self:
        """Take an event that was decoded from JSON already. Raises InvalidEvent."""
        try:
            return cls.from_json(msgspec.json.encode(value))
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidEvent(f"not a JSON event: {error}") from error

    @classmethod
    def _from_wire(cls, wire: _Wire) -> Self:
        return cls(
            id=wire.id,
            pubkey=wire.pubkey,
            created_at=wire.created_at,
            kind=wire.kind,
            tags=wire.tags,
            content=wire.content,
            sig=wire.sig,
        )

    def to_json(self) -> str:
        """Return the event as one line of JSON, members in the order of NIP-01."""
        wire = _Wire(
            id=self.id,
            pubkey=self.pubkey,
            created_at=self.created_at,
            kind=self.kind,
            tags=self.tags,
            content=self.content,
            sig=self.sig,
        )
        return msgspec.json.encode(wire).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedEvent(Event):
    """An event whose id and BIP-340 signature were checked by this constructor.

    Raises InvalidSignature when either is wrong, InvalidEvent when the event is too large.
    """

    def __post_init__(self) -> None:
        Event.__post_init__(self)
        serialized = self.serialize()
        size = len(serialized) + _JSON_OVERHEAD_BYTES
        if size > limits.EVENT_BYTES_MAX:
            raise InvalidEvent(f"event of {size} bytes, at most {limits.EVENT_BYTES_MAX} allowed")
        digest = hashlib.sha256(serialized).digest()
        if digest.hex() != self.id:
            raise InvalidSignature("the id is not that of the event's contents")
        if not _signature_holds(self.pubkey, self.sig, digest):
            raise InvalidSignature("the signature is not the author's")


def _signature_holds(pubkey: str, sig: str, digest: bytes) -> bool:
    try:
        return PublicKeyXOnly(bytes.fromhex(pubkey)).verify(bytes.fromhex(sig), digest)
    except ValueError:  # not a point of the curve
        return False


def verify(event: Event) -> VerifiedEvent:
    """Return the same event as a verified one. Raises InvalidSignature (BIP-340, NIP-01)."""
    return VerifiedEvent(
        id=event.id,
        pubkey=event.pubkey,
        created_at=event.created_at,
        kind=event.kind,
        tags=event.tags,
        content=event.content,
        sig=event.sig,
    )


@dataclass(frozen=True, slots=True)
class NostrSigner:
    """A Nostr secret key. It signs events, never digests; its repr hides the secret."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        try:
            PrivateKey(self.secret)
        except (ValueError, TypeError):
            # `from None`: the cause's traceback would show the secret.
            raise InvalidEvent("a Nostr secret is 32 bytes, a number of the curve") from None

    @property
    def public(self) -> bytes:
        """The 32-byte x-only public key."""
        return PublicKeyXOnly.from_secret(self.secret).format()

    @property
    def pubkey(self) -> str:
        """The public key in hex, as events carry it."""
        return self.public.hex()

    def sign(self, event: UnsignedEvent, *, aux: bytes | None = None) -> VerifiedEvent:
        """Sign `event`, then check the signature as a stranger would (BIP-340 advises it).

        `aux` is BIP-340's auxiliary randomness, 32 bytes; without it the machine's is used.
        Raises InvalidEvent if it names another author, UnsafeToMint for characters that relays
        hash differently.
        """
        if event.pubkey != self.pubkey:
            raise InvalidEvent(f"event of {event.pubkey}, this key is {self.pubkey}")
        check_safe(event)
        digest = event.digest()
        return VerifiedEvent(
            id=digest.hex(),
            pubkey=event.pubkey,
            created_at=event.created_at,
            kind=event.kind,
            tags=event.tags,
            content=event.content,
            sig=PrivateKey(self.secret).sign_schnorr(digest, aux or b"").hex(),
        )
