"""Pushes our own events to the relays that the operator names, until each has taken them.

One connection per relay, each with its own queue in a durable outbox, its own pace and its own
back-off: one that is dead, slow or hostile does not hold up the others. An event leaves the queue
when the relay says OK, when it has it already, or when it refuses it for good (then that is
logged). With no relay configured there is nothing to do.

Not covered: authentication (NIP-42; such relays keep their events in the queue), proof of work
(NIP-13), reading from relays.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NoReturn
from urllib.parse import urlsplit

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from mesh.core import limits
from mesh.core.backoff import Backoff
from mesh.core.errors import InvalidMessage, Refused, StoreError
from mesh.core.messages import Acknowledged, Said, parse_from_relay
from mesh.core.nip01 import VerifiedEvent
from mesh.outbox import Entry, Outbox
from mesh.tasks import first_error
from mesh.worker import Worker

_log = structlog.get_logger(__name__)

_FINAL: Final = frozenset(
    ("invalid", "blocked", "restricted", "pow", "mute", "replaced", "deleted", "unsupported")
)
"""Refusals that the same event will meet again. `replaced` and `deleted` are strfry's words."""

_NOT_ITS_FAULT: Final = frozenset(("rate-limited", "auth-required"))
"""Refusals that say nothing about the event: it is kept however often they come."""

_OPEN_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 1.0
_FRAMES_QUEUED: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayStatus:
    """How a relay is doing, since the start of this process (`queued`: now)."""

    url: str
    connected: bool
    queued: int
    accepted: int
    refused: int
    last_error: str


_CONNECTION_ERRORS: Final = (OSError, WebSocketException, InvalidMessage, StoreError)
"""What ends a connection without being a bug: the network, the relay, our disk."""


class _TryLater(Exception):
    """The relay put an event off: leave it alone for a while."""


class Publisher:
    """Publishes to the relays at `urls` (ws:// or wss://). Raises Refused for any other URL.

    `jitter` gives numbers in [0, 1). Await `run` in a task of your own and cancel it to stop;
    then await `close`.
    """

    def __init__(
        self,
        urls: Sequence[str],
        outbox: Outbox,
        *,
        jitter: Callable[[], float],
        backoff: Backoff | None = None,
        ack_seconds: float = limits.PUBLISH_ACK_SECONDS_MAX,
    ) -> None:
        self._urls = tuple(dict.fromkeys(map(_checked, urls)))
        self._outbox = outbox
        self._worker = Worker("outbox")
        self._links = [
            _Link(
                url=url,
                outbox=outbox,
                worker=self._worker,
                backoff=backoff or Backoff(),
                jitter=jitter,
                ack_seconds=ack_seconds,
            )
            for url in self._urls
        ]

    async def publish(self, event: VerifiedEvent) -> None:
        """Queue an event for every relay; it is durable when this returns. Raises StoreError."""
        if not self._urls:
            return
        dropped = await self._worker.submit(partial(self._outbox.put, self._urls, event))
        if dropped:
            _log.warning("outbox full, oldest events dropped", events=dropped)
        for link in self._links:
            link.wake.set()

    async def run(self) -> None:
        """Keep the relays supplied until cancelled; return at once if there are none."""
        dropped = await self._worker.submit(partial(self._outbox.retain, self._urls))
        if dropped:
            _log.info("events for relays no longer configured dropped", events=dropped)
        async with asyncio.TaskGroup() as group:
            for link in self._links:
                group.create_task(link.run())

    async def status(self) -> list[RelayStatus]:
        """Return how each relay is doing, in the order of the configuration."""
        return [await link.status() for link in self._links]

    async def close(self) -> None:
        """Close the outbox."""
        await self._worker.close(self._outbox.close)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        good = parts.scheme in {"ws", "wss"} and bool(host) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise Refused(f"not the URL of a relay: {url!r}", hint="write wss://host or ws://host:port")
    return url


class _Link:
    """One relay: dials it, sends what its queue holds, hears what became of it."""

    def __init__(
        self,
        *,
        url: str,
        outbox: Outbox,
        worker: Worker,
        backoff: Backoff,
        jitter: Callable[[], float],
        ack_seconds: float,
    ) -> None:
        self.wake = asyncio.Event()
        self._url = url
        self._outbox = outbox
        self._worker = worker
        self._backoff = backoff
        self._jitter = jitter
        self._ack_seconds = ack_seconds
        self._in_flight: set[str] = set()
        self._progress_at = 0.0
        self._failures = 0
        self._put_off = 0
        self._connected = False
        self._accepted = 0
        self._refused = 0
        self._last_error = ""

    async def status(self) -> RelayStatus:
        return RelayStatus(
            url=self._url,
            connected=self._connected,
            queued=await self._worker.submit(partial(self._outbox.count, self._url)),
            accepted=self._accepted,
            refused=self._refused,
            last_error=self._last_error,
        )

    async def run(self) -> NoReturn:
        while True:
            try:
                error = await self._converse()
            except _CONNECTION_ERRORS as failed:
                error = failed
            if isinstance(error, _TryLater):
                self._put_off += 1
            else:
                self._failures += 1
            self._last_error = (str(error) or type(error).__name__)[: limits.NOTICE_CHARS_MAX]
            _log.info("relay connection ended", relay=self._url, error=self._last_error)
            failures = max(self._failures, self._put_off)
            await asyncio.sleep(self._backoff.delay_seconds(failures, self._jitter()))

    async def _converse(self) -> Exception:
        """Talk to the relay until something ends it; that is returned."""
        self._in_flight.clear()
        async with connect(
            self._url,
            compression=None,
            max_size=limits.FRAME_BYTES_MAX,
            max_queue=_FRAMES_QUEUED,
            open_timeout=_OPEN_SECONDS,
            close_timeout=_CLOSE_SECONDS,
            proxy=None,
            user_agent_header="timmy-node",
        ) as socket:
            self._connected = True
            try:
                return await first_error(
                    (*_CONNECTION_ERRORS, _TryLater),
                    partial(self._send, socket),
                    partial(self._receive, socket),
                )
            finally:
                self._connected = False

    async def _send(self, socket: ClientConnection) -> NoReturn:
        """Send what is due, never more than the window ahead of the relay's answers."""
        loop = asyncio.get_running_loop()
        while True:
            self.wake.clear()
            for entry in await self._due():
                if not self._in_flight:
                    self._progress_at = loop.time()
                self._in_flight.add(entry.event_id)
                await socket.send(f'["EVENT",{entry.event_json}]')
            if not self._in_flight:
                self._failures = self._put_off = 0  # connected, and nothing left to say
            deadline = self._progress_at + self._ack_seconds if self._in_flight else None
            try:
                async with asyncio.timeout_at(deadline):
                    await self.wake.wait()
            except TimeoutError as error:
                silence = f"no answer within {self._ack_seconds:g} s"
                raise TimeoutError(silence) from error

    async def _due(self) -> list[Entry]:
        room = limits.PUBLISH_WINDOW_EVENTS - len(self._in_flight)
        if room <= 0:
            return []
        limit = room + len(self._in_flight)
        due = await self._worker.submit(partial(self._outbox.due, self._url, limit=limit))
        return [entry for entry in due if entry.event_id not in self._in_flight][:room]

    async def _receive(self, socket: ClientConnection) -> NoReturn:
        async for frame in socket:
            match parse_from_relay(frame):
                case Acknowledged() as answer if answer.id in self._in_flight:
                    await self._answered(answer)
                    self._in_flight.discard(answer.id)
                    self._progress_at = asyncio.get_running_loop().time()
                    self.wake.set()
                case Said(text):
                    self._last_error = text
                case _:
                    pass
        raise ConnectionResetError("the relay closed the connection")

    async def _answered(self, answer: Acknowledged) -> None:
        if answer.accepted or answer.prefix == "duplicate":
            self._accepted += 1
            self._failures = 0
            await self._settle(answer.id)
        elif answer.prefix in _FINAL:
            await self._drop(answer, "event refused")
        else:
            later = partial(self._outbox.postpone, self._url, answer.id)
            attempts = await self._worker.submit(later)
            if attempts >= limits.OUTBOX_ATTEMPTS_MAX and answer.prefix not in _NOT_ITS_FAULT:
                await self._drop(answer, "event given up")
            else:
                raise _TryLater(answer.message or "refused without a reason")

    async def _drop(self, answer: Acknowledged, what: str) -> None:
        self._refused += 1
        self._last_error = answer.message
        _log.warning(what, relay=self._url, event_id=answer.id, message=answer.message)
        await self._settle(answer.id)

    async def _settle(self, event_id: str) -> None:
        await self._worker.submit(partial(self._outbox.settle, self._url, event_id))
