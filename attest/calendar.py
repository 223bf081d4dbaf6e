"""A client of OpenTimestamps calendars, the servers that stamp for everybody, for free.

    POST <calendar>/digest            32 bytes; answers the bare timestamp of them, still pending
    GET  <calendar>/timestamp/<hex>   answers what has become of a message, or 404: not yet

A calendar learns a digest that a nonce has blinded, and when; nothing of what is stamped. What it
answers is bounded, and read by the strict codec; it never carries trust: only a block does.

Not covered: proxies (none is taken from the environment), and retries: `attest.stamper` has them.
"""

from collections.abc import Collection
from http import HTTPStatus
from types import TracebackType
from typing import Final, Protocol, Self

import aiohttp

from attest.core import limits
from attest.core.calendars import may_ask
from attest.core.errors import (
    CalendarRefused,
    CalendarUnreachable,
    InvalidCalendarAnswer,
    InvalidTimestamp,
)
from attest.core.ots import Timestamp
from attest.core.ots_file import parse_timestamp

_HEADERS: Final = {"Accept": "application/vnd.opentimestamps.v1", "User-Agent": "timmy-node"}
_READABLE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789#-.,; ")
_WORDS_MAX: Final = 160
"""Of a refusal's words so much is shown, as the public client does."""


class CalendarClient(Protocol):
    """The way to calendars. Both methods raise CalendarError."""

    async def submit(self, url: str, digest: bytes) -> Timestamp:
        """Have the calendar take a 32-byte digest; returns its timestamp, as far as it goes."""

    async def look_up(self, uri: str, message: bytes) -> Timestamp | None:
        """What the calendar has for a message that it owes; None as long as that is nothing."""


class Calendars:
    """The client on HTTP. Use as an async context manager; safe for concurrent calls."""

    def __init__(self, *, configured: Collection[str], followed: Collection[str]) -> None:
        """Only these are ever asked: see `attest.core.calendars`."""
        self._configured = frozenset(configured)
        self._followed = tuple(followed)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), headers=_HEADERS, auto_decompress=False
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def submit(self, url: str, digest: bytes) -> Timestamp:
        """POST the digest. Raises CalendarError."""
        asked = may_ask(url, self._configured, ())
        status, body = await self._exchange(
            "POST", f"{asked}/digest", limits.CALENDAR_SUBMIT_S, digest
        )
        if status != HTTPStatus.OK:
            raise _refusal(asked, status, body)
        return _timestamp(asked, body, digest)

    async def look_up(self, uri: str, message: bytes) -> Timestamp | None:
        """GET the message's timestamp. Raises CalendarError."""
        asked = may_ask(uri, self._configured, self._followed)
        address = f"{asked}/timestamp/{message.hex()}"
        status, body = await self._exchange("GET", address, limits.CALENDAR_LOOK_UP_S, None)
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK:
            raise _refusal(asked, status, body)
        return _timestamp(asked, body, message)

    async def _exchange(
        self, method: str, address: str, timeout_s: float, data: bytes | None
    ) -> tuple[int, bytes]:
        if self._session is None:
            raise RuntimeError("Calendars is used outside its context")
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with self._session.request(
                method, address, data=data, timeout=timeout, allow_redirects=False
            ) as response:
                return response.status, await _read(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise CalendarUnreachable(f"no answer: {type(error).__name__}") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limits.CALENDAR_ANSWER_BYTES_MAX:
            raise InvalidCalendarAnswer(f"an answer over {limits.CALENDAR_ANSWER_BYTES_MAX} bytes")
    return bytes(body)


def _timestamp(url: str, body: bytes, message: bytes) -> Timestamp:
    try:
        return parse_timestamp(body, len(message))
    except InvalidTimestamp as error:
        raise InvalidCalendarAnswer(f"{url} sent no timestamp: {error}") from error


def _refusal(url: str, status: int, body: bytes) -> CalendarRefused:
    words = "".join(c if c in _READABLE else "_" for c in body[:_WORDS_MAX].decode("latin-1"))
    return CalendarRefused(f"{url} answers {status}: {words}".rstrip(": "), status)
