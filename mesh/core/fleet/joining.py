"""Coming into a fleet: the token that an operator gives, and what a newcomer says with it.

The token names the fleet, the key of its operator, where to ask, and a secret that is good once.
Who holds it can ask to be a member, and no more: the operator signs the manifest with him in it.
The request is signed by the newcomer's Nostr key, so that nobody joins under another's.

Where to ask is one address, or relays and the Nostr key of who answers there, or both. By relays
(`Asking`) the same request goes in a live call (mesh/core/calls.py), and manifests come back in
slices: what a relay hands on is small.

A token is a secret in transit: send it as one. What it leads to is checked by fleet id and
operator's key, so the address in it may be anybody's without harm; so may the relays.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final

from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor
from ledger.core.keys import Signer, verify
from mesh.core.errors import InvalidManifest, InvalidToken, Refused
from mesh.core.fleet.manifest import NUMBER_MAX, Member
from mesh.core.limits import LIVE_CALL_BYTES_MAX
from mesh.core.pool.routes import relay_url

PREFIX: Final = "timmy-join-"
SECRET_BYTES: Final = 16
JOIN_TAG: Final = "timmy/join/v1"
REQUEST_BYTES_MAX: Final = 8192
"""A member with eight long addresses is 2.5 kB."""
RELAYS_MAX: Final = 4
"""In a token: as many as of a person's list for sealed messages."""
CHAIN_MAX: Final = 64
"""Manifests in one answer; more come with the next."""
CHAIN_BYTES: Final = 512 * 1024
"""It ends with the manifest that brings it to so many bytes: with one of the largest in that place,
in hex, an answer is 3 MiB, and 4 are read."""
SLICE_BYTES: Final = 800
"""Of manifests, in one answer by relays: sealed twice its content is under 4,096 characters, which
is what one common relay takes."""
SLICES_BYTES_MAX: Final = 4 * 1024 * 1024
"""All slices of one chain together: as much as an answer over HTTP has."""
WORDS_CHARS_MAX: Final = 200
"""Of a refusal, and of its hint."""
_TOKEN_CHARS_MAX: Final = 2048
_CHECK_BYTES: Final = 4
_BY_ADDRESS: Final = [bytes, bytes, str, bytes]
_AGAIN: Final = "copy it whole, or have another one made: timmy mesh invite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What an operator hands to somebody who sets up a node. The repr does not show the secret.

    `url` is "" if only relays are named; `inviter`, who answers at `relays`, is b"" without any.
    """

    fleet_id: bytes
    operator: bytes
    url: str
    secret: bytes = field(repr=False)
    inviter: bytes = b""
    relays: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sizes = (len(self.fleet_id), len(self.operator), len(self.secret), len(self.inviter))
        asked_at = self.url.startswith(("http://", "https://")) or (self.relays and not self.url)
        if sizes != (32, 32, SECRET_BYTES, 32 if self.relays else 0) or not asked_at:
            raise InvalidToken("the token does not name a fleet, an operator, an address, a secret")
        try:
            good = self.relays == tuple(dict.fromkeys(map(relay_url, self.relays)))
        except Refused as error:
            raise InvalidToken(str(error)) from error
        if not good or len(self.relays) > RELAYS_MAX:
            raise InvalidToken(f"a token names each relay once, {RELAYS_MAX} at most")

    def encode(self) -> str:
        """One word without spaces."""
        value = [self.fleet_id, self.operator, self.url, self.secret]
        data = encode([*value, self.inviter, list(self.relays)] if self.relays else value)
        check = hashlib.sha256(data).digest()[:_CHECK_BYTES]
        return PREFIX + base64.urlsafe_b64encode(data + check).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> "Token":
        """Read what `encode` gives. Raises InvalidToken."""
        if not text.startswith(PREFIX) or len(text) > _TOKEN_CHARS_MAX:
            raise InvalidToken(f"a token begins with {PREFIX}", hint=_AGAIN)
        packed = text.removeprefix(PREFIX)
        try:
            whole = base64.b64decode(packed + "=" * (-len(packed) % 4), b"-_", validate=True)
            data, check = whole[:-_CHECK_BYTES], whole[-_CHECK_BYTES:]
            if hashlib.sha256(data).digest()[:_CHECK_BYTES] != check:
                raise InvalidToken("the token is cut short or mistyped", hint=_AGAIN)
            value = decode(data, bytes_max=_TOKEN_CHARS_MAX)
        except (binascii.Error, ValueError, InvalidCbor) as error:
            raise InvalidToken("the token is cut short or mistyped", hint=_AGAIN) from error
        kinds = [type(item) for item in value] if isinstance(value, list) else []
        if kinds == _BY_ADDRESS:
            value += [b"", []]
        elif kinds != [*_BY_ADDRESS, bytes, list] or not all(isinstance(r, str) for r in value[5]):
            raise InvalidToken("the token is of another kind", hint=_AGAIN)
        found = cls(
            fleet_id=value[0],
            operator=value[1],
            url=value[2],
            secret=value[3],
            inviter=value[4],
            relays=tuple(value[5]),
        )
        if found.encode() != text:
            raise InvalidToken("the token is not written in its one way")
        return found


def make_request(secret: bytes, member: Member, signer: Signer) -> bytes:
    """The request of a newcomer, signed by the Nostr key that `member` names."""
    body = encode([secret, member.to_value()])
    return encode([body, signer.sign(JOIN_TAG, body)])


def open_request(data: bytes) -> tuple[bytes, Member]:
    """Return the secret and the member of a request. Raises InvalidManifest."""
    body, signature = _values(data, [bytes, bytes])
    secret, value = _values(body, [bytes, dict])
    member = Member.from_value(value)
    if not verify(member.nostr, JOIN_TAG, body, signature):
        raise InvalidManifest(f"the request is not signed by {member.nostr.hex()}")
    return secret, member


# ---- by relays -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A request in a live call: for the manifests from number `after` on, from byte `offset` on."""

    request: bytes
    after: int
    offset: int

    def encode(self) -> bytes:
        """The body of the call."""
        return encode([self.request, self.after, self.offset])

    @classmethod
    def parse(cls, data: bytes) -> "Asking":
        """Read what `encode` gives. Raises InvalidManifest."""
        request, after, offset = _values(data, [bytes, int, int], LIVE_CALL_BYTES_MAX)
        if not (0 <= after <= NUMBER_MAX + 1 and 0 <= offset <= SLICES_BYTES_MAX):
            raise InvalidManifest(f"the request asks from {after}, {offset} on")
        return cls(request=request, after=after, offset=offset)


def slice_of(chain: Iterable[bytes], offset: int) -> bytes:
    """The answer: how many bytes there are in all, and those from `offset` on, SLICE_BYTES of them.

    The bytes are the manifests, each behind its length in four bytes, big-endian; those that come
    later are added behind, so that slices of one chain fit together.
    """
    whole = b"".join(len(one).to_bytes(4, "big") + one for one in chain)
    return encode([len(whole), whole[offset : offset + SLICE_BYTES]])


def refusal_of(text: str, hint: str) -> bytes:
    """The answer to who is refused, and what to do."""
    return encode([text[:WORDS_CHARS_MAX], hint[:WORDS_CHARS_MAX]])


def open_slice(data: bytes) -> tuple[int, bytes]:
    """Return how many bytes there are in all, and some. Raises InvalidManifest, or Refused with
    the words of who answered.
    """
    value = _decoded(data)
    if [type(item) for item in value] == [str, str]:
        raise Refused(_plain(value[0]), hint=_plain(value[1]))
    total, some = _values(data, [int, bytes])
    if not 0 <= total <= SLICES_BYTES_MAX or len(some) > total:
        raise InvalidManifest(f"{len(some)} bytes of {total}, at most {SLICES_BYTES_MAX} allowed")
    return total, some


def part_of(chain: Sequence[bytes]) -> list[bytes]:
    """Return the first manifests of a chain, as many as one answer has."""
    first = chain[:CHAIN_MAX]
    sizes = accumulate(map(len, first), initial=0)
    return [one for one, before in zip(first, sizes, strict=False) if before < CHAIN_BYTES]


def is_full(parts: Sequence[bytes]) -> bool:
    """Whether an answer is as long as one gets: what is behind it has to be asked for."""
    return len(parts) >= CHAIN_MAX or sum(map(len, parts)) >= CHAIN_BYTES


def parts_of(whole: bytes) -> list[bytes]:
    """Return the manifests of all slices, CHAIN_MAX at most. Raises InvalidManifest."""
    found: list[bytes] = []
    at = 0
    while at < len(whole):
        begin = at + 4
        at = begin + int.from_bytes(whole[at:begin], "big")
        if at > len(whole) or len(found) == CHAIN_MAX:
            raise InvalidManifest(f"a manifest is cut short, or there are more than {CHAIN_MAX}")
        found.append(whole[begin:at])
    return found


def _plain(word: str) -> str:
    return "".join(char if char.isprintable() else " " for char in word[:WORDS_CHARS_MAX])


# ---- what both share -----------------------------------------------------------------------------


def _values(data: bytes, kinds: list[type], bytes_max: int = REQUEST_BYTES_MAX) -> list[Any]:
    value = _decoded(data, bytes_max)
    if [type(item) for item in value] != kinds:
        raise InvalidManifest("the request is of another form")
    return value


def _decoded(data: bytes, bytes_max: int = REQUEST_BYTES_MAX) -> list[Any]:
    try:
        value = decode(data, bytes_max=bytes_max)
    except InvalidCbor as error:
        raise InvalidManifest(str(error)) from error
    if not isinstance(value, list):
        raise InvalidManifest("the request is of another form")
    return value
