"""Consensus-critical: exchanges that passed the recording proxy, as events, and their reducer.

An exchange is two events of the stream of whoever spoke: `proxy.requested`, durable before anything
is forwarded, and `proxy.replied`, durable before the client is given the end. Facts are payload;
bodies, words and the plain SHA-256 of the bytes that passed are content, so that a redaction takes
them away together: a digest that stayed would let anyone test guesses of what was erased. The
digest in the payload is keyed with a secret of the node and tells only its owner anything.

Requests without a reply are *open*. Those that a starting node finds were cut off by its end.

Entries (a position is an int, an id or stream is bytes):

    proxied                     names of streams, in order of their first request
    proxied/<name>              [stream, exchanges, of which met the crisis screen, newest position]
    proxied.open                positions of requests without a reply, oldest first
    proxied.open/<position>     [id, name]
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from ledger.core import hashing, types
from ledger.core.event import Cause, Draft, Event
from ledger.core.limits import IDEMPOTENCY_KEY_BYTES
from ledger.core.state import Change
from runtime.core.limits import (
    PROXY_MASK_BEYOND_BYTES,
    PROXY_RECORDED_BYTES_MAX,
    PROXY_SAID_BYTES_MAX,
)
from runtime.core.proxy_routes import Secrets
from runtime.core.proxy_words import Replied

Entries: TypeAlias = Mapping[str, Any]
Outcome = Literal[
    "whole", "half", "client_gone", "unreachable", "timeout", "too_large", "blocked", "interrupted"
]
"""How an exchange ended: its reply passed whole; the upstream broke off; the client left; no
connection; silence; a reply beyond the bound; the crisis screen answered; the node ended."""

SCREEN_CRISIS: Final = "crisis"
DIGEST: Final = "timmy-node 2026-11 proxied body v1"
_REPLY_KEY: Final = "timmy-node 2026-11 proxied reply v1"
_OPEN: Final = "proxied.open"
_NAMES: Final = "proxied"


def stream_key(name: str) -> str:
    """Entry of a stream."""
    return f"{_NAMES}/{name}"


def open_key(position: int) -> str:
    """Entry of a request without a reply."""
    return f"{_OPEN}/{position}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of one stream. `stream`: 16 bytes."""

    name: str
    stream: bytes
    exchanges: int
    crises: int
    newest: int


def streams(entries: Entries) -> list[Standing]:
    """Return every stream, in order of its first request."""
    found = []
    for name in entries.get(_NAMES, ()):
        stream, exchanges, crises, newest = entries[stream_key(name)]
        found.append(
            Standing(name=name, stream=stream, exchanges=exchanges, crises=crises, newest=newest)
        )
    return found


def stream_of(entries: Entries, name: str) -> bytes | None:
    """Return the stream of a name, or None if it never spoke."""
    known = entries.get(stream_key(name))
    return None if known is None else known[0]


def open_requests(entries: Entries) -> list[int]:
    """Return the positions of requests without a reply, oldest first."""
    return list(entries.get(_OPEN, ()))


def reduce_proxied(entries: Entries, event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    if event.type == types.PROXY_REQUESTED.name:
        return _requested(entries, event)
    if event.type == types.PROXY_REPLIED.name:
        return _replied(entries, event)
    return ()


def _requested(entries: Entries, event: Event) -> Iterable[Change]:
    name = event.payload.get("stream")
    if type(name) is not str:
        return ()
    crisis = event.payload.get("screen") == SCREEN_CRISIS
    known = entries.get(stream_key(name))
    stream, exchanges, crises, _ = known or [event.stream, 0, 0, 0]
    changes: list[Change] = [
        (stream_key(name), [stream, exchanges + 1, crises + crisis, event.position]),
        (_OPEN, [*entries.get(_OPEN, ()), event.position]),
        (open_key(event.position), [event.id, name]),
    ]
    return changes if known else [(_NAMES, [*entries.get(_NAMES, ()), name]), *changes]


def _replied(entries: Entries, event: Event) -> Iterable[Change]:
    position = event.payload.get("request")
    if type(position) is not int or open_key(position) not in entries:
        return ()
    left = [at for at in entries.get(_OPEN, ()) if at != position]
    return [(_OPEN, left or None), (open_key(position), None)]


# ---- drafts -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A body as it is recorded: what fits of it, without credentials.

    `data`: UTF-8 text, or bytes where it is none. `size`: of all that passed, in bytes, as it was
    encoded on the wire; `sha256` likewise. `note`: what is not as it passed, or None.
    """

    data: str | bytes
    size: int
    sha256: bytes
    masked: int
    note: str | None


def record_body(
    plain: bytes,
    secrets: Secrets,
    *,
    size: int,
    sha256: bytes,
    total: int | None = None,
    note: str | None = None,
) -> Body:
    """Return the record of a body: `plain` is what was read of it, decoded from its coding.

    `total`: how many bytes it has decoded, where `plain` may be less.
    """
    masked, count = secrets.mask(plain)
    begun = total is not None and total > len(plain)
    if begun:  # what follows is not known: its last bytes may be half a credential
        masked = masked[: max(0, len(masked) - PROXY_MASK_BEYOND_BYTES)]
    whole = max(len(masked), total or 0)
    notes = [note] if note else []
    if count:
        notes.append(f"{count} credentials are masked")
    kept = masked[:PROXY_RECORDED_BYTES_MAX]
    cut = begun or len(masked) > PROXY_RECORDED_BYTES_MAX
    if cut:
        notes.append(f"the first {len(kept)} bytes of {whole}; the digest is of all")
    return Body(
        data=_text(kept, cut=cut),
        size=size,
        sha256=sha256,
        masked=count,
        note="; ".join(notes) or None,
    )


def _text(data: bytes, *, cut: bool) -> str | bytes:
    """The text, but for half a character at a cut; the bytes if it is none."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        if cut and error.start >= len(data) - 3:
            return data[: error.start].decode()
        return data


def sha256(data: bytes) -> bytes:
    """Return the digest that anyone can compare with bytes of his own."""
    return hashlib.sha256(data).digest()


def head_of(text: str, bytes_max: int = PROXY_SAID_BYTES_MAX) -> str:
    """Return the beginning of a text that has at most so many bytes of UTF-8."""
    return text.encode(errors="replace")[:bytes_max].decode(errors="ignore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, as it is recorded. `facts`: the rest of the payload, see docs/PROXY.md."""

    name: str
    facts: dict[str, Any]
    said: str
    query: tuple[str, ...]
    body: Body

    def draft(self, stream: bytes, digest_key: bytes) -> Draft:
        """What records it."""
        return Draft(
            type=types.PROXY_REQUESTED.name,
            stream=stream,
            payload={"stream": self.name, **self.facts, **_facts_of(self.body, digest_key)},
            content=_content("request", self.said, self.body, {"query": list(self.query)}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One reply, or why there is none. `facts`: the rest of the payload, see docs/PROXY.md."""

    outcome: Outcome
    facts: dict[str, Any]
    read: Replied
    body: Body | None

    def draft(self, requested: Cause, stream: bytes, digest_key: bytes) -> Draft:
        """What records it; the second draft for a request is none, whatever it says."""
        body, read = self.body, self.read
        told = {
            "model": read.model,
            "finish": read.finish,
            "tokens_in": read.tokens_in,
            "tokens_out": read.tokens_out,
        }
        return Draft(
            type=types.PROXY_REPLIED.name,
            stream=stream,
            payload={
                "request": requested.position,
                "outcome": self.outcome,
                **self.facts,
                **{key: value for key, value in told.items() if value is not None},
                **(_facts_of(body, digest_key) if body is not None else {}),
            },
            content=None if body is None else _content("reply", read.said, body, {}),
            causes=(requested,),
            idempotency_key=hashing.xof(_REPLY_KEY, IDEMPOTENCY_KEY_BYTES, requested.id),
        )


def _facts_of(body: Body, digest_key: bytes) -> dict[str, Any]:
    return {
        "bytes": body.size,
        "digest": hashing.digest(DIGEST, digest_key, body.sha256),
        **({"masked": body.masked} if body.masked else {}),
        **({"note": body.note} if body.note else {}),
    }


def _content(name: str, said: str, body: Body, more: dict[str, Any]) -> dict[str, Any]:
    """Words first: the map is ordered by the length of its keys, and a list of events shows it."""
    return {
        **({"said": head_of(said)} if said else {}),
        **{key: value for key, value in more.items() if value},
        name: body.data,
        "sha256": body.sha256,
    }
