"""Live messages straight from member to member over HTTP: a fleet without a server in its middle.

    POST <address>/fleet/bus   a signed frame (mesh/core/fleet/frame.py)
        200  a request: its answer; else nothing in it     404  nobody here listens to that
        422  not a frame for this node by a member         503  too much is under way

It is `Live` (mesh/fleet/bus.py): publish and subscribe, and requests to *one* member, whose Nostr
key in hex is the last word of the subject. A published message goes to every member, each by a
queue and a task of its own, at the first of its addresses that can be reached: a member that is
slow or gone holds up nobody, and loses what comes beyond its queue. A message is tried once.
Whoever must be heard says it again, as mesh/fleet/duties.py does.

Strangers are refused before a signature is looked at; no redirect is followed; every answer and
every wait has a bound. Not covered: secrecy between members, which is the addresses' (https);
members behind NAT that nobody can reach: they ask, and cannot be asked (engine nats can).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import aiohttp
import structlog
from aiohttp import web

from ledger.core.errors import TimmyError
from ledger.core.keys import Signer
from mesh.complaints import Complaints
from mesh.core.errors import BusDown, BusError, InvalidFrame, NobodyThere, Refused, Unanswered
from mesh.core.fleet.frame import DATA_BYTES_MAX, FRAME_BYTES_MAX, Frame, open_frame
from mesh.core.fleet.manifest import Manifest, Member
from mesh.core.fleet.subjects import check_subject
from mesh.fleet.bus import INBOX_BYTES_MAX, Message, Subscription, Turnstile, check_seconds
from mesh.fleet.local_bus import LocalBus
from mesh.places import place_at
from mesh.witnesses.asking import post

PLACE: Final = "/fleet/bus"
SEND_SECONDS_MAX: Final = 10.0
"""For one message to one address: two round trips of a very bad line."""
ANSWER_SECONDS_MAX: Final = 20.0
"""How long a request of another member may wait here; who asks has given up before."""
QUEUED_MAX: Final = 64
"""Messages that wait for one member: a minute's worth of the busiest fleet."""
HANDLED_MAX: Final = 64
"""Requests of other members that are under way here, with what they hold of memory."""
_OK: Final = 200
_NOBODY: Final = 404


class DirectBus:
    """`Live` between the members of a manifest. Run `run()` in a task group; cancel it to stop."""

    def __init__(
        self,
        signer: Signer,
        session: aiohttp.ClientSession,
        *,
        manifest: Callable[[], Manifest],
        clock: Callable[[], int],
    ) -> None:
        """`signer` has this member's Nostr key; `clock` gives Unix seconds."""
        self._signer = signer
        self._me = signer.public
        self._session = session
        self._manifest = manifest
        self._clock = clock
        self._here = LocalBus()
        self._queues: dict[bytes, tuple[Subscription, asyncio.Task[None]]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._handled = 0
        self._turnstile = Turnstile()
        self._logger: Any = structlog.get_logger("mesh.fleet.direct_bus")
        self._complaints = Complaints(log=self._logger, what="a word is refused")

    async def run(self) -> None:
        """Carry what is published, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                await asyncio.Event().wait()
        finally:
            self._group = None
            self._queues.clear()

    # ---- what this node says -----------------------------------------------------------------

    async def publish(self, subject: str, data: bytes) -> None:
        """Send a live message to who listens here, and to every other member. Raises BusDown."""
        check_subject(subject)
        _check_data(data)
        if self._group is None:
            raise BusDown("the bus does not run")
        members = {one.nostr: one for one in self._manifest().members if one.nostr != self._me}
        for gone in self._queues.keys() - members.keys():
            self._queues.pop(gone)[1].cancel()
        for key in members:
            queue, _ = self._queues.get(key) or self._queue(self._group, key)
            queue.offer(Message(subject=subject, data=data))
        await self._here.publish(subject, data)

    def _queue(
        self, group: asyncio.TaskGroup, key: bytes
    ) -> tuple[Subscription, "asyncio.Task[None]"]:
        queue = Subscription(messages_max=QUEUED_MAX, bytes_max=INBOX_BYTES_MAX)
        self._queues[key] = (queue, group.create_task(self._carry(key, queue)))
        return self._queues[key]

    async def _carry(self, key: bytes, queue: Subscription) -> None:
        """Bring one member what is for it, one message after the other."""
        async for message in queue:
            with suppress(BusError):  # it is said again, if it matters
                await self._send(key, message.subject, message.data, asks=False)

    async def request(self, subject: str, data: bytes, *, seconds: float) -> bytes:
        """Ask the member that the subject's last word names; anybody here, if it names none.

        Raises NobodyThere at once if nobody listens there or it cannot be reached, Unanswered;
        BusError if too much is under way.
        """
        check_subject(subject)
        _check_data(data)
        check_seconds(seconds)
        word = subject.rpartition(".")[2]
        keys = {one.nostr.hex(): one.nostr for one in self._manifest().members}
        with self._turnstile:
            if keys.get(word, self._me) == self._me:
                return await self._here.request(subject, data, seconds=seconds)
            try:
                async with asyncio.timeout(seconds):
                    return await self._send(keys[word], subject, data, asks=True)
            except TimeoutError:
                raise Unanswered(f"no answer on {subject} in {seconds} s") from None

    async def _send(self, key: bytes, subject: str, data: bytes, *, asks: bool) -> bytes:
        """Bring a frame to the first address of a member that takes it; return what it says."""
        frame = Frame(
            sender=self._me, receiver=key, time_s=self._clock(), asks=asks, subject=subject,
            data=data,
        ).sign(self._signer)  # fmt: skip
        for url in self._urls(key):
            try:
                async with asyncio.timeout(SEND_SECONDS_MAX):
                    answer = await post(self._session, url + PLACE, frame, bytes_max=DATA_BYTES_MAX)
            except (aiohttp.ClientError, OSError, ValueError) as error:  # a timeout is an OSError
                self._logger.debug("a member does not answer", url=url, reason=str(error)[:200])
                continue
            if answer.status == _OK:
                return answer.body
            kind = NobodyThere if answer.status == _NOBODY else Unanswered
            raise kind(f"{url} says {answer.status} to {subject}")
        raise NobodyThere(f"no address of {key.hex()} can be reached")

    def _urls(self, key: bytes) -> tuple[str, ...]:
        found: Member | None = next(
            (one for one in self._manifest().members if one.nostr == key), None
        )
        return () if found is None else found.urls

    # ---- what others say ---------------------------------------------------------------------

    @asynccontextmanager
    async def subscribe(self, pattern: str) -> AsyncIterator[Subscription]:
        """Hear live messages, of here and of other members, while the block lasts."""
        async with self._here.subscribe(pattern) as inbox:
            yield inbox

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request to PLACE."""
        try:
            async with asyncio.timeout(SEND_SECONDS_MAX):
                data = await _read(request)
            return web.Response(body=await self._heard(data))
        except (InvalidFrame, BusError, Refused, TimeoutError) as error:
            hint = error.hint if isinstance(error, TimmyError) else None
            why = str(error) or "too slow"
            if not isinstance(error, BusError):  # that nobody listens here is no fault of his
                self._complaints.of(place_at(request.transport), why)
            body = {"error": why, "hint": hint}
            return web.json_response(body, status=_status_of(error))

    async def _heard(self, data: bytes) -> bytes:
        """Take a frame that somebody brought; return the answer, empty if it wants none.

        Raises InvalidFrame; Refused if too much is under way; NobodyThere and Unanswered.
        """
        members = {one.nostr for one in self._manifest().members} - {self._me}
        frame = open_frame(data, me=self._me, members=members, now_s=self._clock())
        if not frame.asks:
            await self._here.publish(frame.subject, frame.data)
            return b""
        if self._handled >= HANDLED_MAX:
            raise Refused(f"{self._handled} requests are under way, at most {HANDLED_MAX}")
        self._handled += 1
        try:
            return await self._here.request(frame.subject, frame.data, seconds=ANSWER_SECONDS_MAX)
        finally:
            self._handled -= 1


async def _read(request: web.Request) -> bytes:
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
        if len(data) > FRAME_BYTES_MAX:
            raise InvalidFrame(f"a frame of more than {FRAME_BYTES_MAX} bytes")
    return bytes(data)


def _status_of(error: Exception) -> int:
    if isinstance(error, InvalidFrame):
        return 422
    return _NOBODY if isinstance(error, NobodyThere) else 503


def _check_data(data: bytes) -> None:
    if len(data) > DATA_BYTES_MAX:
        raise Refused(f"message of {len(data)} bytes, at most {DATA_BYTES_MAX}")
