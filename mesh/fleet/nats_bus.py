"""The fleet bus over a NATS server: for fleets that outgrow gossip.

Live traffic is core NATS, on `<fleet>.live.<subject>`. Kept data is one JetStream stream, a
work queue on `<fleet>.kept.>`, with one durable pull consumer a subject. Both are made at the first
`put` or `take`, not before: a fleet that sends live messages only needs no JetStream.

`run` keeps one connection up: a new one after each that ends, with back-off, and on it every
subscription anew. While there is none, `publish` and `request` raise BusDown, `put` waits up to its
deadline and tries again under the same key, `take` waits. Nothing is queued here: what is in memory
is what callers wait with, at most WAITING_MAX of them. What is wrong is logged once an outage.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    Header,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError

from ledger.core import hashing
from mesh.core.errors import BusDown, BusError, InvalidSubject, NobodyThere, Refused, Unanswered
from mesh.core.fleet.subjects import check_subject, check_token
from mesh.core.pool.backoff import Backoff
from mesh.fleet.bus import (
    TAKEN_MAX,
    BusStatus,
    Delivery,
    Kept,
    Message,
    Subscription,
    Turnstile,
    check_data,
    check_seconds,
    check_subscription,
)
from mesh.fleet.nats_link import SEND_SECONDS, Link, Server, uncancelled

PUT_KEY: Final = "timmy-node 2026-11 bus key v1"
CONSUMER: Final = "timmy-node 2026-11 bus consumer v1"
FETCH_SECONDS: Final = 30.0
"""A taker asks again after so long without work."""
ACK_SECONDS: Final = 10.0
PUT_AGAIN_SECONDS: Final = 5.0
"""A put that got no answer in this time is put again, under the same key."""
FAULTS_MAX: Final = 16
"""Different faults of one outage that are logged; more are noise."""
BACKOFF: Final = Backoff(first_seconds=0.5, cap_seconds=60.0)


@dataclass(eq=False, slots=True)
class _Listening:
    """A subscription, and the connection on which the server knows of it."""

    pattern: str
    group: str
    inbox: Subscription
    link: Link | None = None
    made: NatsSubscription | None = None


class NatsDelivery:
    """A kept message in the hands of one taker. Of `ack` and `nak` the first counts."""

    def __init__(self, link: Link, message: Msg) -> None:
        self._link = link
        self._message = message
        self.data = bytes(message.data)
        self.attempt = message.metadata.num_delivered

    async def ack(self) -> None:
        """It is done; returns when the server has written that down."""
        if not self._message.is_acked:
            with self._link.streams("an acknowledgement"):
                await uncancelled(self._message.ack_sync(timeout=ACK_SECONDS))

    async def nak(self, seconds: float = 0.0) -> None:
        """Give it again after so many seconds."""
        if not self._message.is_acked:
            with self._link.streams("a refusal"):
                async with asyncio.timeout(SEND_SECONDS):
                    await uncancelled(self._message.nak(seconds))


class NatsBus:
    """Bus (mesh/fleet/bus.py) over one NATS server, or the one address of a cluster of them."""

    def __init__(
        self,
        server: Server,
        *,
        fleet: str,
        jitter: Callable[[], float],
        kept: Kept | None = None,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self._server = server
        self._fleet = check_token(fleet)
        self._stream = f"timmy_{fleet}"
        self._kept = kept or Kept()
        self._backoff = backoff
        self._jitter = jitter
        self._link: Link | None = None
        self._up = asyncio.Event()
        self._made_on: Link | None = None
        self._making = asyncio.Lock()
        self._listening: list[_Listening] = []
        self._turnstile = Turnstile()
        self._told: set[str] = set()
        self._fault = "not connected yet"
        self._connections = 0
        self._missed = 0
        self._logger: Any = structlog.get_logger("mesh.fleet.nats_bus")

    @property
    def status(self) -> BusStatus:
        """How it is now."""
        return BusStatus(
            engine="nats",
            state="up" if self._link else "down",
            address=self._server.url,
            fault=self._fault,
            connections=self._connections,
            missed=self._missed,
        )

    # ---- the connection ----------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection up until cancelled."""
        failures = 0
        while True:
            link = Link(self._server, self._complain)
            try:
                await link.open()
                await self._resume(link)
                failures = 0
                await link.ended.wait()
                self._went(link.fault)
            except BusError as error:
                self._went(str(error))
            finally:
                self._link = None
                self._up.clear()
                await link.close()
            failures += 1
            await asyncio.sleep(self._backoff.delay_seconds(failures, self._jitter()))

    async def _resume(self, link: Link) -> None:
        """Tell the server of every subscription, then let others use the connection."""
        while new := [one for one in self._listening if one.link is not link]:
            for one in new:
                await self._listen(link, one)
        if link.ended.is_set():
            raise BusDown(link.fault)
        if self._told:
            self._logger.info("the bus is up again", address=self._server.url)
        self._told.clear()
        self._fault = ""
        self._connections += 1
        self._link = link
        self._up.set()

    def _went(self, fault: str) -> None:
        self._fault = fault or "the connection was closed"
        self._complain(self._fault)

    def _complain(self, fault: str) -> None:
        """Log a fault once an outage; say it in the status while it lasts."""
        self._fault = fault
        if fault not in self._told and len(self._told) < FAULTS_MAX:
            self._told.add(fault)
            self._logger.warning("the bus has a fault", address=self._server.url, fault=fault)

    def _connected(self) -> Link:
        if self._link is None or self._link.ended.is_set():
            raise BusDown(f"the bus is down: {self._fault or 'the connection was closed'}")
        return self._link

    # ---- live --------------------------------------------------------------------------------

    async def publish(self, subject: str, data: bytes) -> None:
        """Send a live message."""
        check_subject(subject)
        check_data(data)
        await self._connected().publish(self._live(subject), data)

    @asynccontextmanager
    async def subscribe(self, pattern: str, *, group: str = "") -> AsyncIterator[Subscription]:
        """Hear live messages while the block lasts, on every connection."""
        check_subscription(pattern, group, beside=len(self._listening))
        listening = _Listening(pattern, group, Subscription())
        self._listening.append(listening)
        try:
            if (link := self._link) is not None:
                try:
                    await self._listen(link, listening)
                except BusError:
                    link.ended.set()  # `run` makes another, and tells its server of this
            yield listening.inbox
        finally:
            self._listening.remove(listening)
            if listening.made is not None and listening.link is self._link is not None:
                with suppress(BusError):
                    await self._link.forget(listening.made)

    async def _listen(self, link: Link, one: _Listening) -> None:
        prefix = len(self._live(""))

        def heard(
            subject: str, data: bytes, answer: Callable[[bytes], Awaitable[None]] | None
        ) -> None:
            """Take what any client of the server sent."""
            try:
                check_subject(subject[prefix:])
                check_data(data)
            except (InvalidSubject, Refused):
                return
            message = Message(subject=subject[prefix:], data=data, answer=answer)
            if not one.inbox.offer(message):
                self._missed += 1

        one.link = link
        one.made = await link.listen(self._live(one.pattern), one.group, heard)

    async def request(self, subject: str, data: bytes, *, seconds: float) -> bytes:
        """Send a live message and return its first answer."""
        check_subject(subject)
        check_data(data)
        check_seconds(seconds)
        with self._turnstile:
            return await self._connected().request(self._live(subject), data, seconds)

    def _live(self, subject: str) -> str:
        return f"{self._fleet}.live.{subject}"

    # ---- kept --------------------------------------------------------------------------------

    async def put(self, subject: str, data: bytes, *, key: str, seconds: float) -> bool:
        """Have the server keep data; False if that key was put before."""
        check_subject(subject)
        check_data(data)
        check_seconds(seconds)
        name = hashing.digest(PUT_KEY, subject.encode(), b"\0", key.encode()).hex()[:32]
        last: BusError = BusDown(f"the bus is down: {self._fault}")
        with self._turnstile:
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        await self._up.wait()
                        try:
                            return await self._put(self._connected(), subject, data, name)
                        except (BusDown, NobodyThere, Unanswered) as error:
                            self._made_on = None  # somebody may have deleted the stream
                            last = error if not isinstance(last, Unanswered) else last
                        await asyncio.sleep(self._backoff.first_seconds)
            except TimeoutError:
                raise last from None

    async def _put(self, link: Link, subject: str, data: bytes, name: str) -> bool:
        await self._make_stream(link)
        with link.streams(subject) as streams:
            kept = await uncancelled(
                streams.publish(
                    f"{self._fleet}.kept.{subject}",
                    data,
                    timeout=PUT_AGAIN_SECONDS,
                    stream=self._stream,
                    headers={Header.MSG_ID.value: name},
                )
            )
        return not kept.duplicate

    @asynccontextmanager
    async def take(self, subject: str) -> AsyncIterator[AsyncIterator[Delivery]]:
        """Be one of the takers of a subject while the block lasts."""
        check_subject(subject)
        async with aclosing(self._deliveries(subject)) as deliveries:
            yield deliveries

    async def _deliveries(self, subject: str) -> AsyncGenerator[Delivery]:
        failures = 0
        while True:
            await self._up.wait()
            try:
                link = self._connected()
                consumer = await self._make_consumer(link, subject)
                async with link.pulling(self._stream, consumer) as fetch:
                    failures = 0
                    while True:
                        message = await fetch(FETCH_SECONDS)
                        if message is not None:
                            with link.streams(subject):
                                delivery = NatsDelivery(link, message)
                            yield delivery
            except BusError as error:
                self._made_on = None
                if self._link is not None:
                    self._complain(str(error))
            failures += 1
            await asyncio.sleep(self._backoff.delay_seconds(failures, self._jitter()))

    async def _make_stream(self, link: Link) -> None:
        """Have the server keep our stream, once a connection."""
        async with self._making:
            if self._made_on is link:
                return
            config = StreamConfig(
                name=self._stream,
                subjects=[f"{self._fleet}.kept.>"],
                retention=RetentionPolicy.WORK_QUEUE,
                storage=StorageType.FILE,
                discard=DiscardPolicy.NEW,
                max_msgs=self._kept.messages_max,
                max_bytes=self._kept.bytes_max,
                max_age=self._kept.age_seconds,
                duplicate_window=self._kept.duplicate_seconds,
            )
            with link.streams(self._stream) as streams:
                try:
                    await uncancelled(streams.add_stream(config))
                except BadRequestError:  # it has other bounds, of an earlier configuration
                    await uncancelled(streams.update_stream(config))
            self._made_on = link

    async def _make_consumer(self, link: Link, subject: str) -> str:
        """Have the server keep the one consumer of a subject; return its name."""
        await self._make_stream(link)
        name = hashing.digest(CONSUMER, subject.encode()).hex()[:32]
        config = ConsumerConfig(
            durable_name=name,
            filter_subject=f"{self._fleet}.kept.{subject}",
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=self._kept.ack_seconds,
            max_ack_pending=TAKEN_MAX,
            max_deliver=-1,
        )
        with link.streams(subject) as streams:
            await uncancelled(streams.add_consumer(self._stream, config))
        return name
