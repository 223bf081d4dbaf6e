"""A reply on its way through the proxy: counted, digested, decoded and read while it is passed on.

Nothing here changes a byte. What is kept of a reply is bounded; the digest is of all that passed.
Not covered: content codings other than gzip and deflate, which are not offered to an upstream; one
that comes all the same is recorded as the bytes that passed.
"""

import hashlib
import zlib
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ledger.core.event import Event
from runtime.core.limits import (
    PROXY_BODY_BYTES_MAX,
    PROXY_MASK_BEYOND_BYTES,
    PROXY_RECORDED_BYTES_MAX,
    PROXY_STREAM_BYTES_MAX,
)
from runtime.core.proxied import Outcome, Reply, record_body
from runtime.core.proxy_routes import Secrets, Target
from runtime.core.proxy_words import Asked, Kind, Replied, ReplyStream, read_reply

_CHUNK_BYTES: Final = 64 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS
_WRONG: Final = "not what its content coding says"
_TYPE_CHARS_MAX: Final = 128
_EVENT_STREAM: Final = "text/event-stream"


class Plain:
    """Decodes a body of a content coding as it comes (RFC 9110, section 8.4.1)."""

    def __init__(self, coding: str, *, bytes_max: int = PROXY_STREAM_BYTES_MAX) -> None:
        coding = coding.strip().lower()
        self._bytes_max = bytes_max
        self._left = bytes_max
        self._members = coding in {"gzip", "x-gzip"}
        self.trouble: str | None = None
        self._decoder: Any = None
        self._fresh = False
        if self._members:
            self._decoder = zlib.decompressobj(_GZIP)
        elif coding == "deflate":
            self._decoder, self._fresh = zlib.decompressobj(), True
        elif coding not in {"", "identity"}:
            self.trouble = f"of a content coding that is not read: {coding[:20]}"

    def feed(self, data: bytes) -> bytes:
        """Return what more is known of the plain body; of one that is not read, the bytes."""
        if self._decoder is None:
            return data
        if self.trouble is not None:
            return b""
        try:
            return self._inflate(data)
        except zlib.error:
            self.trouble = _WRONG
            return b""

    @property
    def ended(self) -> bool:
        """Whether what came so far can be all of it."""
        return self._decoder is None or self._decoder.eof

    def _inflate(self, data: bytes) -> bytes:
        if self._fresh:
            self._fresh = False
            try:
                return self._all(data)
            except zlib.error:  # without a zlib header, as some servers mean it
                self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._all(data)

    def _all(self, data: bytes) -> bytes:
        found = bytearray()
        while data:
            if self._decoder.eof:
                if not self._members:
                    break
                data = data.lstrip(b"\0")  # padding, as gzip itself reads it
                if not data:
                    break
                self._decoder = zlib.decompressobj(_GZIP)  # one more member (RFC 1952, 2.2)
            try:
                more = self._decoder.decompress(data, self._left + 1)
            except zlib.error:
                if not found:
                    raise
                self.trouble = _WRONG
                break
            if len(more) > self._left:
                self.trouble = f"of more than {self._bytes_max} bytes"
                found += more[: self._left]
                break
            found += more
            self._left -= len(more)
            data = self._decoder.unused_data
        return bytes(found)


def unpack(body: bytes, coding: str) -> tuple[bytes, str | None]:
    """Return a whole request without its content coding, and what is wrong with that."""
    plain = Plain(coding, bytes_max=PROXY_BODY_BYTES_MAX)
    found = plain.feed(body)
    if plain.trouble is None and body and not plain.ended:
        return found, _WRONG
    return found, plain.trouble


class Passage:
    """One reply as it passes. `started_s` is the loop's clock when it was asked for."""

    def __init__(self, kind: Kind, started_s: float) -> None:
        self._kind = kind
        self._started_s = started_s
        self._digest = hashlib.sha256()
        self._plain = Plain("")
        self._kept = bytearray()
        self._plain_bytes = 0
        self._stream: ReplyStream | None = None
        self._first_s: float | None = None
        self._facts: dict[str, Any] = {}
        self.size = 0
        self.streams = False

    def begin(self, status: int, kind: str, coding: str, request_id: str | None) -> None:
        """Take note of status and headers."""
        self._facts = {"status": status, "type": _short(kind)}
        if request_id:
            self._facts["request_id"] = _short(request_id)
        self._plain = Plain(coding)
        self.streams = kind.partition(";")[0].strip().lower() == _EVENT_STREAM
        if self.streams:
            self._stream = ReplyStream(self._kind)

    def take(self, chunk: bytes, now_s: float) -> None:
        """Take note of more of the body."""
        if self._first_s is None:
            self._first_s = now_s
        self._digest.update(chunk)
        self.size += len(chunk)
        for start in range(0, len(chunk), _CHUNK_BYTES):
            plain = self._plain.feed(chunk[start : start + _CHUNK_BYTES])
            self._plain_bytes += len(plain)
            room = PROXY_RECORDED_BYTES_MAX + PROXY_MASK_BEYOND_BYTES - len(self._kept)
            self._kept += plain[: max(0, room)]
            if self._stream is not None:
                self._stream.feed(plain)

    @property
    def ended(self) -> bool:
        """Whether a stream has said that nothing more comes."""
        return self._stream is not None and self._stream.ended

    def reply(
        self, outcome: Outcome, secrets: Secrets, now_s: float, reason: str | None = None
    ) -> Reply:
        """Return what is recorded of it."""
        facts = {**self._facts, "ms": _ms(now_s - self._started_s)}
        if self._first_s is not None:
            facts["ms_first"] = _ms(self._first_s - self._started_s)
        if reason is not None:
            facts["reason"] = reason
        if "status" not in facts:
            return Reply(outcome=outcome, facts=facts, read=Replied(), body=None)
        data, note = bytes(self._kept), self._plain.trouble
        total: int | None = self._plain_bytes
        assembled = False
        if self._stream is not None and self._kind != "opaque":
            document = self._stream.document()
            note = self._stream.trouble or note
            if document is not None:
                data, total, assembled = document, None, True
        body = record_body(
            data, secrets, size=self.size, sha256=self._digest.digest(), total=total, note=note
        )
        read = read_reply(self._kind, body.data.encode() if isinstance(body.data, str) else b"")
        read = read.masked(secrets.masked)
        if read.trouble is not None:
            body = replace(body, note="; ".join(filter(None, (body.note, read.trouble))))
        if assembled:
            facts["assembled"] = True
        return Reply(outcome=outcome, facts=facts, read=read, body=body)


@dataclass(slots=True, kw_only=True)
class Call:
    """One exchange while it lasts."""

    target: Target
    asked: Asked
    kind: Kind
    secrets: Secrets = field(repr=False)
    body: bytes = field(repr=False)
    requested: Event
    passage: Passage
    ended: bool = False
    """Whether its end is on record, or could not be put there."""
    opened: bool = False
    """Whether the client was given the head of an answer."""


def _ms(seconds: float) -> int:
    return max(0, int(1000 * seconds))


def _short(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:_TYPE_CHARS_MAX])
