"""Consensus-critical: HTTP requests signed with a Nostr key (NIP-98).

`Authorization: Nostr <base64 of an event>`: kind 27235, tags `u` (the URL) and `method`, and, of
ours, `p`: the public key of the node that is asked. Without it whoever is asked could show the same
event to another node within the minute that it is good for, and read there in the asker's name.
And, from a member of a fleet, `manifest`: the digest of the newest manifest that it knows.

Of the URL path and query are compared, not the host: a node behind a proxy does not know its own
name, and `p` says what the host would say.

A stranger's clock may be a minute off ours, that of somebody known an hour. What whoever reads
the connection repeats is refused once a request came that the same peer dated a minute later
(`Recent`); of a peer that fell silent, once it is an hour old. What is signed here reads, or tells
of heads that prove themselves: repeated, it does nothing that the first one did not.
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Recent:
    """The newest request of each known peer: when it says it was made, and when it came."""

    _newest: OrderedDict[str, tuple[int, int]] = field(default_factory=OrderedDict)

    def require(self, peer: str, dated: int, now: int) -> None:
        """Take one that verified. Raises InvalidSignedRequest if it is much older than another.

        A clock that was ahead and is set back is believed once nothing newer came for a minute.
        """
        most = limits.SIGNED_REQUEST_SECONDS_MAX
        newest, came = self._newest.get(peer, (dated, now))
        silent = abs(now - came) > most
        if dated < newest - most and not silent:
            raise InvalidSignedRequest(
                f"the same peer made a request {newest - dated} s after this one",
                hint="a clock that was set back is believed after a minute",
            )
        if dated > newest or silent or peer not in self._newest:
            self._newest[peer] = dated, now
            self._newest.move_to_end(peer)
        while len(self._newest) > limits.RECENT_PEERS_MAX:
            self._newest.popitem(last=False)


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


def check_request(
    header: str,
    path: str,
    method: str,
    *,
    node: str,
    now: int,
    known: AbstractSet[str] = frozenset(),
    recent: Recent | None = None,
) -> SignedRequest:
    """Return who signed a request for `path` (with its query), and under which manifest.

    `known`: public keys of those whose clock may be an hour off; `recent` remembers their newest.
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
    _require_same(event, path, method, node)
    try:
        pubkey = verify(event).pubkey
    except InvalidEvent as error:
        raise InvalidSignedRequest(str(error)) from error
    # the clock last: which bound holds would tell who is known, without any signature
    bound = limits.SIGNED_REQUEST_SECONDS_MAX
    if pubkey in known:
        bound = limits.KNOWN_REQUEST_SECONDS_MAX
    if abs(event.created_at - now) > bound:
        raise InvalidSignedRequest(
            f"the request is dated {event.created_at - now} s from now, at most {bound}",
            hint="set the clock of both machines",
        )
    if recent is not None and pubkey in known:
        recent.require(pubkey, event.created_at, now)
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
