"""Gift wraps: a message that shows relays its receiver and a rough date, and nothing else (NIP-59).

    rumor       the message: an event that nobody signed, so that it proves nothing to others
    NIP-59 seal kind 13, signed by the author: the rumor, encrypted to the receiver; no tags
    wrap        kind 1059, signed by a key that is used once: the NIP-59 seal, encrypted likewise

("Seal" alone means something else in this project: docs/GLOSSARY.md.) A wrap of kind 21059 is the
same for a live call: relays hand it on and do not keep it.

Opening, in this order: the wrap's signature (its type says so), the NIP-59 seal's signature, and
that rumor and NIP-59 seal have one author, without which anybody could speak as anybody. A rumor
with a signature is refused: it could be published.

Everything that is chance is an argument, `Chance`. Derived from a secret and a name it makes the
same wrap again, byte for byte: who dies between sending and writing down that he sent sends again,
and relays know the event already. The key is derived from the wrap's nonce, which stands in the
open: so who has the secret finds the key of his wrap again (`key_of`), and can date it anew for a
relay that refuses its date, though he remembers nothing else of it.

Not covered: whoever watches relays sees that a wrap came for a key, its size in steps, and who
asks for it; and there is no forward secrecy (mesh.core.nip44).
"""

import hmac
from dataclasses import dataclass, field
from typing import Final, Self

import msgspec

from mesh.core import limits, nip44
from mesh.core.errors import InvalidData, InvalidEvent, InvalidWrap, TooLong
from mesh.core.nip01 import (
    Body,
    Event,
    NostrSigner,
    Tag,
    UnsignedEvent,
    VerifiedEvent,
    check_safe,
    verify,
)
from mesh.core.relay.kinds import first_value

SEAL_KIND: Final = 13
WRAP_KIND: Final = 1059
LIVE_WRAP_KIND: Final = 21059
"""Ephemeral (since May 2026): relays refuse one that is a minute old, so it is dated now."""

_CHANCE_DOMAIN: Final = b"timmy/nip59/chance/1"


class _RumorWire(msgspec.Struct, omit_defaults=True):
    """A rumor as JSON. Members that we do not know are passed over: no signature covers them."""

    id: str
    pubkey: str
    created_at: int
    kind: int
    tags: tuple[Tag, ...]
    content: str
    sig: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rumor(Body):
    """An event that is not to be signed: no signer takes this type."""

    @property
    def id(self) -> str:
        """Its NIP-01 id."""
        return self.digest().hex()

    def to_json(self) -> str:
        """Return it as JSON. Raises UnsafeToMint, TooLong over RUMOR_BYTES_MAX."""
        check_safe(self)
        wire = _RumorWire(
            id=self.id,
            pubkey=self.pubkey,
            created_at=self.created_at,
            kind=self.kind,
            tags=self.tags,
            content=self.content,
        )
        text = msgspec.json.encode(wire)
        if len(text) > limits.RUMOR_BYTES_MAX:
            raise TooLong(
                f"message of {len(text)} bytes as JSON, at most {limits.RUMOR_BYTES_MAX} allowed",
                hint="send it in parts: mesh.core.nip17.split makes them",
            )
        return text.decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse one. Raises InvalidWrap for a wrong id, or a signature."""
        try:
            wire = msgspec.json.decode(text, type=_RumorWire)
            rumor = cls(
                pubkey=wire.pubkey,
                created_at=wire.created_at,
                kind=wire.kind,
                tags=wire.tags,
                content=wire.content,
            )
            right = rumor.id
        except (msgspec.MsgspecError, ValueError, RecursionError, InvalidEvent) as error:
            raise InvalidWrap(f"the wrap holds no message: {error}") from error
        if wire.sig:
            raise InvalidWrap("a message in a wrap must not be signed")
        if wire.id != right:
            raise InvalidWrap("the message's id is not that of its contents")
        return rumor


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """What is random in one wrap: a key, nonces, BIP-340's aux, ages. The repr hides it."""

    key: NostrSigner
    seal_nonce: bytes = field(repr=False)
    wrap_nonce: bytes = field(repr=False)
    aux: bytes = field(repr=False)
    seal_age_s: int
    wrap_age_s: int

    def __post_init__(self) -> None:
        for age in (self.seal_age_s, self.wrap_age_s):
            if not 0 <= age <= limits.WRAP_AGE_SECONDS_MAX:
                raise InvalidWrap(f"age of {age} s, 0 to {limits.WRAP_AGE_SECONDS_MAX} allowed")

    @classmethod
    def derived(cls, seed: bytes, name: bytes) -> Self:
        """Make all of it of 32 secret bytes and a name: the same wrap for the same name.

        A name must never stand for two messages, or two receivers.
        """
        if len(seed) != 32:
            raise InvalidWrap(f"seed of {len(seed)} bytes, expected 32")

        def part(label: bytes) -> bytes:
            return hmac.digest(seed, _CHANCE_DOMAIN + label + name, "sha256")

        def age(label: bytes) -> int:
            return int.from_bytes(part(label)[:8], "big") % (limits.WRAP_AGE_SECONDS_MAX + 1)

        wrap_nonce = part(b"w")
        return cls(
            key=_once(seed, wrap_nonce),
            seal_nonce=part(b"s"),
            wrap_nonce=wrap_nonce,
            aux=part(b"x"),
            seal_age_s=age(b"a"),
            wrap_age_s=age(b"b"),
        )


def _once(seed: bytes, wrap_nonce: bytes) -> NostrSigner:
    """Derive the key of a wrap. Fails for one nonce in 2^128, as any random key would."""
    return NostrSigner(hmac.digest(seed, _CHANCE_DOMAIN + b"once" + wrap_nonce, "sha256"))


def key_of(seed: bytes, event: Event) -> NostrSigner | None:
    """Return the key of a wrap whose `Chance` was derived from this seed; None of any other event.

    A live wrap is never dated anew: it is None of those, too.
    """
    if event.kind != WRAP_KIND:
        return None
    try:
        found = _once(seed, nip44.nonce_of(event.content))
    except InvalidData:
        return None
    return found if found.pubkey == event.pubkey else None


def wrap(
    rumor: Rumor,
    author: NostrSigner,
    receiver: str,
    chance: Chance,
    *,
    now: int,
    live: bool = False,
    expires: int | None = None,
) -> VerifiedEvent:
    """Wrap a message for one receiver (a public key in hex); `now` and `expires` in Unix seconds.

    Raises InvalidWrap for a message of another author, TooLong, InvalidPayload for what is no key.
    """
    if rumor.pubkey != author.pubkey:
        raise InvalidWrap(f"message of {rumor.pubkey}, this key is {author.pubkey}")
    shared = nip44.conversation_key(author.secret, receiver)
    sealed = author.sign(
        UnsignedEvent(
            pubkey=author.pubkey,
            created_at=max(0, now - chance.seal_age_s),
            kind=SEAL_KIND,
            content=nip44.encrypt(shared, rumor.to_json(), chance.seal_nonce),
        ),
        aux=chance.aux,
    )
    once = nip44.conversation_key(chance.key.secret, receiver)
    tags: tuple[Tag, ...] = (("p", receiver),)
    if expires is not None:
        tags += (("expiration", str(expires)),)
    return chance.key.sign(
        UnsignedEvent(
            pubkey=chance.key.pubkey,
            created_at=now if live else max(0, now - chance.wrap_age_s),
            kind=LIVE_WRAP_KIND if live else WRAP_KIND,
            tags=tags,
            content=nip44.encrypt(once, sealed.to_json(), chance.wrap_nonce),
        ),
        aux=chance.aux,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a wrap held; its author is known, since the NIP-59 seal around it is his: `sealed`."""

    rumor: Rumor
    wrap_id: str
    live: bool
    sealed: VerifiedEvent | None = None


def open_wrap(event: VerifiedEvent, reader: NostrSigner) -> Opened:
    """Open a wrap that is addressed to `reader`. Raises InvalidWrap, InvalidPayload, InvalidEvent.

    Times of wrap and NIP-59 seal say nothing, by design, and are not looked at.
    """
    if event.kind not in {WRAP_KIND, LIVE_WRAP_KIND}:
        raise InvalidWrap(f"kind {event.kind} is no gift wrap")
    receiver = first_value(event, "p")
    if receiver != reader.pubkey:
        raise InvalidWrap(f"a wrap for {receiver}, this key is {reader.pubkey}")
    outer = nip44.conversation_key(reader.secret, event.pubkey)
    sealed = verify(Event.from_json(nip44.decrypt(outer, event.content)))
    if sealed.kind != SEAL_KIND:
        raise InvalidWrap(f"the wrap holds a kind {sealed.kind} event, expected {SEAL_KIND}")
    inner = nip44.conversation_key(reader.secret, sealed.pubkey)
    rumor = Rumor.from_json(nip44.decrypt(inner, sealed.content))
    if rumor.pubkey != sealed.pubkey:
        raise InvalidWrap(f"a message of {rumor.pubkey}, sealed by {sealed.pubkey}")
    return Opened(rumor=rumor, sealed=sealed, wrap_id=event.id, live=event.kind == LIVE_WRAP_KIND)


def shown_keys(sealed: VerifiedEvent, reader: NostrSigner) -> bytes:
    """Return the 76 bytes that open this one NIP-59 seal for anybody, and no other message.

    Whoever shows them with it shows what its author sealed. Raises InvalidPayload.
    """
    shared = nip44.conversation_key(reader.secret, sealed.pubkey)
    keys = nip44.message_keys(shared, nip44.nonce_of(sealed.content))
    return keys.cipher + keys.cipher_nonce + keys.mac
