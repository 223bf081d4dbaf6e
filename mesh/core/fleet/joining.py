"""Coming into a fleet: the token that an operator gives, and what a newcomer says with it.

The token names the fleet, the key of its operator, one address, and a secret that is good once. Who
holds it can ask to be a member, and no more: the operator signs the manifest with him in it. The
request is signed by the newcomer's Nostr key, so that nobody joins under another's.

A token is a secret in transit: send it as one. What it leads to is checked by fleet id and
operator's key, so the address in it may be anybody's without harm.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor
from ledger.core.keys import Signer, verify
from mesh.core.errors import InvalidManifest, InvalidToken
from mesh.core.fleet.manifest import Member

PREFIX: Final = "timmy-join-"
SECRET_BYTES: Final = 16
JOIN_TAG: Final = "timmy/join/v1"
REQUEST_BYTES_MAX: Final = 8192
"""A member with eight long addresses is 2.5 kB."""
_TOKEN_CHARS_MAX: Final = 1024
_CHECK_BYTES: Final = 4
_AGAIN: Final = "copy it whole, or have another one made: timmy mesh invite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What an operator hands to somebody who sets up a node. The repr does not show the secret."""

    fleet_id: bytes
    operator: bytes
    url: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        sizes = (len(self.fleet_id), len(self.operator), len(self.secret))
        if sizes != (32, 32, SECRET_BYTES) or not self.url.startswith(("http://", "https://")):
            raise InvalidToken("the token does not name a fleet, an operator, an address, a secret")

    def encode(self) -> str:
        """One word without spaces."""
        data = encode([self.fleet_id, self.operator, self.url, self.secret])
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
        if kinds != [bytes, bytes, str, bytes]:
            raise InvalidToken("the token is of another kind", hint=_AGAIN)
        found = cls(fleet_id=value[0], operator=value[1], url=value[2], secret=value[3])
        if found.encode() != text:
            raise InvalidToken("the token is not written in its one way")
        return found


def make_request(secret: bytes, member: Member, signer: Signer) -> bytes:
    """The request of a newcomer, signed by the Nostr key that `member` names."""
    body = encode([secret, member.to_value()])
    return encode([body, signer.sign(JOIN_TAG, body)])


def open_request(data: bytes) -> tuple[bytes, Member]:
    """Return the secret and the member of a request. Raises InvalidManifest."""
    body, signature = _pair(data, [bytes, bytes])
    secret, value = _pair(body, [bytes, dict])
    member = Member.from_value(value)
    if not verify(member.nostr, JOIN_TAG, body, signature):
        raise InvalidManifest(f"the request is not signed by {member.nostr.hex()}")
    return secret, member


def _pair(data: bytes, kinds: list[type]) -> list[Any]:
    try:
        value = decode(data, bytes_max=REQUEST_BYTES_MAX)
    except InvalidCbor as error:
        raise InvalidManifest(str(error)) from error
    if not isinstance(value, list) or [type(item) for item in value] != kinds:
        raise InvalidManifest("the request is of another form")
    return value
