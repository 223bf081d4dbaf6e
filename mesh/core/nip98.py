"""Consensus-critical: HTTP requests signed with a Nostr key (NIP-98).

`Authorization: Nostr <base64 of an event>`: kind 27235, tags `u` (the URL) and `method`, and, of
ours, `p`: the public key of the node that is asked. Without it whoever is asked could show the same
event to another node within the minute that it is good for, and read there in the asker's name.
And, from a member of a fleet, `manifest`: the digest of the newest manifest that it knows.

Of the URL path and query are compared, not the host: a node behind a proxy does not know its own
name, and `p` says what the host would say. A request can be repeated for a minute by whoever reads
the connection; those that are signed here only read.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mesh.core import limits
from mesh.core.errors import InvalidEvent, InvalidSignedRequest
from mesh.core.nip01 import Event, NostrSigner, UnsignedEvent, verify
from mesh.core.relay.kinds import first_value

KIND: Final = 27235
_SCHEME: Final = "Nostr "
_HEADER_CHARS_MAX: Final = 4096
"""An event of four short tags is 700 characters in base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """Who asks: a public key in hex; `manifest`: a digest in hex, None outside of a fleet."""

    pubkey: str
    manifest: str | None


def sign_request(
    signer: NostrSigner, url: str, method: str, *, node: str, now: int, manifest: str | None = None
) -> str:
    """The value of the Authorization header. `node` is a public key in hex, `now` Unix seconds."""
    known = () if manifest is None else (("manifest", manifest),)
    tags = (("u", url), ("method", method), ("p", node), *known)
    event = signer.sign(
        UnsignedEvent(pubkey=signer.pubkey, created_at=now, kind=KIND, tags=tags, content="")
    )
    return _SCHEME + base64.b64encode(event.to_json().encode()).decode()


def check_request(header: str, path: str, method: str, *, node: str, now: int) -> SignedRequest:
    """Return who signed a request for `path` (with its query), and under which manifest.

    Raises InvalidSignedRequest.
    """
    if not header.startswith(_SCHEME) or len(header) > _HEADER_CHARS_MAX:
        raise InvalidSignedRequest("no request signed as in NIP-98")
    try:
        text = base64.b64decode(header.removeprefix(_SCHEME), validate=True)
        event = Event.from_json(text)
    except (binascii.Error, ValueError, InvalidEvent) as error:
        raise InvalidSignedRequest(f"the signed request is no event: {error}") from error
    if event.kind != KIND:
        raise InvalidSignedRequest(f"the signed request is of kind {event.kind}, expected {KIND}")
    if abs(event.created_at - now) > limits.SIGNED_REQUEST_SECONDS_MAX:
        bound = limits.SIGNED_REQUEST_SECONDS_MAX
        raise InvalidSignedRequest(
            f"the request is dated {event.created_at - now} s from now, at most {bound}",
            hint="set the clock of both machines",
        )
    _require_same(event, path, method, node)
    try:
        pubkey = verify(event).pubkey
    except InvalidEvent as error:
        raise InvalidSignedRequest(str(error)) from error
    return SignedRequest(pubkey=pubkey, manifest=first_value(event, "manifest"))


def _require_same(event: Event, path: str, method: str, node: str) -> None:
    try:
        url = urlsplit(first_value(event, "u") or "")
    except ValueError as error:
        raise InvalidSignedRequest("the signed request names no URL") from error
    signed = f"{url.path}?{url.query}" if url.query else url.path
    if signed != path:
        raise InvalidSignedRequest("the request is signed for another path")
    if first_value(event, "method") != method:
        raise InvalidSignedRequest("the request is signed for another method")
    if first_value(event, "p") != node:
        raise InvalidSignedRequest(
            "the request is signed for another node",
            hint="name this node's npub with its address: mesh.peers",
        )
