"""One client of our relay: carries out what its sans-I/O session decides.

Reading, answering, sending and watching go on side by side. Reading stops when too many events wait
for the store or when a reply cannot be sent: the client's own socket fills up. Live events never
wait; a client that does not keep up with them is closed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, NoReturn

import structlog
from aiohttp import WebSocketError, WSCloseCode, WSMsgType, web

from mesh.core import limits
from mesh.core.errors import StoreError, TooMuchToRead
from mesh.core.nip01 import Event
from mesh.core.relay import messages
from mesh.core.relay.filter import TagValues
from mesh.core.relay.policy import WritePolicy
from mesh.core.relay.session import (
    Action,
    Continue,
    Count,
    Fault,
    Hangup,
    Offer,
    Query,
    Reconcile,
    Send,
    Session,
    is_fault,
)
from mesh.relay.committer import Verdict
from mesh.relay.reconciler import Reconciler
from mesh.relay.sendqueue import SendBudget, SendQueue
from mesh.relay.store import Found
from mesh.relay.tap import UNMASKED
from mesh.tasks import first_error

_log = structlog.get_logger(__name__)

CLOSE_SECONDS = 1.0
"""For the closing handshake; then the transport is cut."""


_HARMLESS: Final = frozenset({WSCloseCode.OK, WSCloseCode.GOING_AWAY})
"""Ends of a connection that are nobody's fault."""


class _Ended(Exception):
    """The connection is over: ends its task group."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def _complaint(error: StoreError | TooMuchToRead) -> str:
    if isinstance(error, TooMuchToRead):
        return f"error: {error}, narrow it"
    _log.error("relay store failed", error=str(error))
    return "error: could not read the store"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a connection asks of its relay."""

    offer: Callable[[Offer], "asyncio.Future[Verdict]"]
    query: Callable[[Query], Awaitable[Found]]
    count: Callable[[Count], Awaitable[int]]
    room: Callable[[], Awaitable[None]]
    reconciler: Reconciler
    budget: SendBudget
    clock: Callable[[], int]


class Connection:
    """Drives `session` over a prepared websocket until one side ends it."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.BaseTransport | None,
        session: Session,
        *,
        unmasked: asyncio.Event,
        complain: Callable[[Fault], None],
        ports: Ports,
        send_queue_bytes_max: int,
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._session = session
        self._unmasked = unmasked
        self._complain = complain
        self._ports = ports
        self._queue = SendQueue(ports.budget, bytes_max=send_queue_bytes_max)
        self._blocked = False
        self._offers: asyncio.Queue[tuple[str, asyncio.Future[Verdict]]] = asyncio.Queue(
            limits.OFFERS_MAX
        )

    def adopt(self, policy: WritePolicy) -> None:
        """Judge what comes from now on by another policy."""
        self._session.policy = policy

    def deliver(self, event: Event, event_json: str, tags: TagValues) -> None:
        """Queue a new event for the subscriptions that it matches; never waits."""
        self._queue.push(self._session.deliver(event, event_json, tags))

    async def run(self, closing: asyncio.Event) -> None:
        """Serve the client until it leaves, misbehaves, or `closing` is set."""
        end: Exception = _Ended(WSCloseCode.GOING_AWAY, "the relay is stopping")
        try:
            if self._unmasked.is_set():  # it came with the handshake, and waits to be read
                end = _Ended(WSCloseCode.PROTOCOL_ERROR, UNMASKED)
                return
            end = await first_error(
                (_Ended, ConnectionError),
                self._watch_masks,
                self._read,
                self._answer,
                self._send,
                self._watch_overrun,
                partial(self._watch_closing, closing),
            )
        finally:
            self._ports.reconciler.forget(self)
            await self._hang_up(end)
            self._queue.close()

    async def _read(self) -> NoReturn:
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.TEXT:
                actions = self._session.receive(message.data, now=self._ports.clock())
            elif message.type is WSMsgType.BINARY:
                actions = self._session.strike("invalid: a binary frame, expected text")
            elif isinstance(message.data, WebSocketError):  # too large, or no frame of RFC 6455
                raise _Ended(message.data.code, str(message.data))
            else:
                raise _Ended(WSCloseCode.OK, "")
            for action in actions:
                await self._act(action)

    async def _act(self, action: Action) -> None:
        match action:
            case Send(text):
                self._queue.push([text])
            case Offer(event):
                await self._ports.room()
                await self._offers.put((event.id, self._ports.offer(action)))
            case Query():
                await self._reply(action)
            case Count():
                await self._tell(self._counted(action))
            case Reconcile():
                await self._tell(self._reconciled(action))
            case Continue():
                await self._tell(self._ports.reconciler.go_on(self, action))
            case Fault():
                self._complain(action)
            case Hangup(reason):
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_SECONDS):
                        await self._queue.drained()
                raise _Ended(WSCloseCode.POLICY_VIOLATION, reason)

    async def _reply(self, query: Query) -> None:
        await self._tell(self._stored(query))

    async def _tell(self, answer: Coroutine[None, None, list[str]]) -> None:
        """Send an answer once those before it are sent: one at a time is in memory."""
        try:
            await self._room()
            self._queue.push(await answer)
        finally:
            answer.close()  # it may not have begun when the connection ended

    async def _room(self) -> None:
        try:
            async with asyncio.timeout(limits.SEND_STALL_SECONDS_MAX):
                await self._queue.drained()
        except TimeoutError as error:
            raise _Ended(WSCloseCode.POLICY_VIOLATION, "too slow to read replies") from error

    async def _stored(self, query: Query) -> list[str]:
        try:
            found = await self._ports.query(query)
        except (StoreError, TooMuchToRead) as error:
            return self._session.failed(query, _complaint(error))
        return self._session.stored(query, found.rows, more=found.more)

    async def _counted(self, asked: Count) -> list[str]:
        try:
            number = await self._ports.count(asked)
        except (StoreError, TooMuchToRead) as error:
            return [messages.closed(asked.subscription, _complaint(error))]
        return [messages.count(asked.subscription, number)]

    async def _reconciled(self, asked: Reconcile) -> list[str]:
        return [await self._ports.reconciler.open(self, asked)]

    async def _answer(self) -> NoReturn:
        while True:
            event_id, waiting = await self._offers.get()
            verdict = await waiting
            if not verdict.accepted and is_fault(verdict.message):
                self._complain(Fault(verdict.message, verdict.message))
            text = messages.ok(event_id, accepted=verdict.accepted, message=verdict.message)
            self._queue.push([text])

    async def _send(self) -> NoReturn:
        while True:
            for text in await self._queue.take():
                self._blocked = True
                await self._socket.send_str(text)
                self._blocked = False
                self._queue.sent(text)

    async def _watch_masks(self) -> NoReturn:
        await self._unmasked.wait()
        raise _Ended(WSCloseCode.PROTOCOL_ERROR, UNMASKED)

    async def _watch_overrun(self) -> NoReturn:
        await self._queue.overrun.wait()
        raise _Ended(WSCloseCode.POLICY_VIOLATION, "too slow to read events")

    async def _watch_closing(self, closing: asyncio.Event) -> NoReturn:
        await closing.wait()
        raise _Ended(WSCloseCode.GOING_AWAY, "the relay is stopping")

    async def _hang_up(self, end: Exception) -> None:
        code = end.code if isinstance(end, _Ended) else WSCloseCode.GOING_AWAY
        if code not in _HARMLESS:
            self._complain(Fault(str(end), f"hung up: {end}"))
        if self._blocked:  # it reads nothing, so it would not read why either
            self._abort()
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close(code=code, message=str(end).encode())
        except (ConnectionError, TimeoutError):
            self._abort()

    def _abort(self) -> None:
        """Cut the connection and drop what the kernel has not taken."""
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()
