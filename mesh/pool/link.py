"""One relay: dials it, keeps the connection while it is wanted, carries out what `Client` decides.

Reading, publishing and the checks of what was published go on side by side on one connection
(NIP-01 asks for one). What a relay can make us hold: RELAY_FRAMES_QUEUED frames, one page per
request that is open, and names of its faults, which are logged once each.

A relay that is not one of our own is dialled when something is wanted of it, and hung up on when
nothing is. When a connection ends otherwise, the next is made after a pause that doubles; one that
broke rules is not forgiven for having been there.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, NoReturn

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from mesh.core import limits
from mesh.core.errors import MeshError, StoreError
from mesh.core.nip01 import NostrSigner
from mesh.core.pool import client as core
from mesh.core.pool.backoff import Backoff
from mesh.core.pool.client import Client, FaultKind
from mesh.core.pool.relay_limits import RelayLimits
from mesh.core.relay.filter import Filter
from mesh.pool.delivery import Delivery, TryLater
from mesh.pool.inbox import Inbox
from mesh.tasks import first_error

_log = structlog.get_logger(__name__)

_OPEN_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 1.0
_NO_NIP_77: Final = ("neg-", "unknown", "unrecogni", "unsupported", "not an event", "bad msg")
"""Words of notices with which relays answer a message that they do not know."""

_BREATH_FRAMES: Final = 64
"""Frames taken before other tasks of the loop get a turn."""


_FIRST_CHECK_SECONDS: Final = 60.0
"""A relay that was just connected is asked early: what it took before may be of another life."""


class _Ended(Exception):
    """The connection is over, by our decision."""


class _Idle(Exception):
    """Nobody wants anything of the relay."""


_CONNECTION_ERRORS: Final = (OSError, WebSocketException, StoreError, _Ended)
"""What ends a connection without being a bug: the network, the relay, our disk."""


class _Dial(connect):
    """Opens a connection to one address, and to no other that a relay there names.

    A redirect leads where `mesh.core.pool.routes` lets no stranger send us.
    """

    def process_redirect(self, exc: Exception) -> Exception:
        """Follow none."""
        return exc


class Gone(MeshError):
    """A relay cannot be asked now: it is not connected, or the connection was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all links of a pool have in common. `jitter` gives numbers in [0, 1)."""

    jitter: Callable[[], float]
    clock: Callable[[], int]
    backoff: Backoff
    signer: NostrSigner | None
    ack_seconds: float
    check_seconds: float
    changed: Callable[[str, RelayLimits], None]
    """Told what was learnt of a relay."""
    document: Callable[[str], Awaitable[bytes]]
    """Gets a relay's NIP-11 document, b"" for none; never raises for what the relay does."""
    check: Callable[["Link"], Awaitable[None]]
    """Asks a connected relay whether it has what it took."""


class Link:
    """One relay, by its URL; `own`: always connected."""

    def __init__(self, shared: Shared, delivery: Delivery, *, own: bool) -> None:
        self.url = delivery.url
        self.own = own
        self.delivery = delivery
        self.wake = asyncio.Event()
        self.up = asyncio.Event()
        self.faults: Counter[FaultKind] = Counter()
        self.last_error = ""
        self.latency_ms: int | None = None
        self._shared = shared
        self._client = Client(can_authenticate=False)
        self._socket: ClientConnection | None = None
        self._requests: dict[str, Inbox] = {}
        self._names = 0
        self._wanted = 0
        self._progress_at = 0.0
        self._sent_at: dict[str, float] = {}
        self._failures = 0
        self._put_off = 0
        self._pause_until = 0.0
        self._strikes = 0
        self._misbehaved = 0
        self._document_read = False

    @property
    def connected(self) -> bool:
        """Whether the relay can be asked now."""
        return self.up.is_set()

    @property
    def authenticated(self) -> bool:
        """Whether the relay let us in (NIP-42)."""
        return self.connected and self._client.authenticated

    @property
    def wanted(self) -> bool:
        """Whether somebody has a question for the relay."""
        return self._wanted > 0

    @property
    def limits(self) -> RelayLimits:
        """What is known of the relay."""
        return self.delivery.limits

    def learn(self, known: RelayLimits) -> None:
        """Note something of the relay, for good."""
        if known != self.delivery.limits:
            self.delivery.limits = known
            self._shared.changed(self.url, known)

    def fault(self, kind: FaultKind, reason: str) -> None:
        """Count a fault; the first of its kind is logged."""
        self.faults[kind] += 1
        if self.faults[kind] == 1:
            _log.warning("relay fault", relay=self.url, fault=kind.value, reason=reason)

    # ---- questions ----------------------------------------------------------------------------

    @asynccontextmanager
    async def wanting(self) -> AsyncIterator[None]:
        """Have the relay connected, if it can be, while the block lasts."""
        self._wanted += 1
        self.wake.set()
        try:
            yield
        finally:
            self._wanted -= 1

    @asynccontextmanager
    async def asking(
        self, filters: Sequence[Filter], *, skip: Callable[[str], bool] = lambda _: False
    ) -> AsyncIterator[Inbox]:
        """Hold a subscription open while the block lasts. Raises Gone without a connection.

        Events that `skip` knows come as `Again`, unchecked.
        """
        begin = partial(self._client.request, filters=filters, skip=skip)
        async with self._open(begin, reconciles=False) as inbox:
            yield inbox

    async def ask_on(
        self, inbox: Inbox, one: Filter, *, wanted: Filter, skip: Callable[[str], bool]
    ) -> None:
        """Ask for a further page of `wanted`. What was late for the page before is still taken."""
        await self._carry_out(self._client.request(inbox.name, [one], skip=skip, matching=[wanted]))

    @asynccontextmanager
    async def reconciling(self, one: Filter, message: bytes) -> AsyncIterator[Inbox]:
        """Hold a reconciliation open while the block lasts. Raises Gone without a connection."""
        begin = partial(self._client.reconcile, one=one, message=message)
        async with self._open(begin, reconciles=True) as inbox:
            yield inbox

    async def go_on(self, request: Inbox, message: bytes) -> None:
        """Send the next message of a reconciliation. Raises Gone."""
        await self._carry_out(self._client.go_on(request.name, message))

    @asynccontextmanager
    async def _open(
        self, begin: Callable[[str], list[core.Action]], *, reconciles: bool
    ) -> AsyncIterator[Inbox]:
        if not self.connected:
            raise Gone(self.last_error or "not connected")
        if self._client.requests >= self.limits.subscriptions:
            raise Gone(f"{self._client.requests} subscriptions open, it allows no more")
        client = self._client
        self._names += 1
        request = Inbox(f"q{self._names}", reconciles=reconciles)
        self._requests[request.name] = request
        try:
            await self._carry_out(begin(request.name))
            yield request
        finally:
            self._requests.pop(request.name, None)
            if client is self._client and self.connected:
                await self._carry_out(client.close(request.name), quietly=True)

    async def _carry_out(self, actions: list[core.Action], *, quietly: bool = False) -> None:
        try:
            for action in actions:
                await self._act(action)
        except (OSError, WebSocketException, _Ended) as error:
            if not quietly:
                raise Gone(_text(error)) from error

    # ---- the connection -----------------------------------------------------------------------

    async def run(self) -> NoReturn:
        """Dial the relay while it is wanted, until cancelled."""
        while True:
            await self._until_wanted()
            began = time.monotonic()
            strikes = self._strikes
            try:
                error = await self._converse()
            except _CONNECTION_ERRORS as failed:
                error = failed
            idle = self._ended(error)
            if self._strikes > strikes:
                self._misbehaved += 1
            elif time.monotonic() - began >= limits.CLEAN_SECONDS:
                self._misbehaved = 0
            if not idle:
                failures = max(self._failures, self._misbehaved)
                pause = self._shared.backoff.delay_seconds(failures, self._shared.jitter())
                await asyncio.sleep(pause)

    async def _until_wanted(self) -> None:
        while True:
            self.wake.clear()  # before the look: who wants it meanwhile must not be missed
            if self.own or self.wanted or await self.delivery.count():
                return
            await self.wake.wait()

    def _ended(self, error: Exception) -> bool:
        """Note why a connection ended; tell whether it was only that nobody wanted it."""
        if isinstance(error, _Idle):
            return True
        self._failures += 1
        self.last_error = _text(error)
        _log.info("relay connection ended", relay=self.url, error=self.last_error)
        return False

    async def _converse(self) -> Exception:
        """Talk to the relay until something ends it; that is returned."""
        await self.delivery.began()
        self._client = Client(can_authenticate=self._shared.signer is not None)
        self._sent_at.clear()
        async with self._dialled() as socket:
            self._socket = socket
            self.up.set()
            try:
                return await first_error(
                    (*_CONNECTION_ERRORS, _Idle),
                    partial(self._send, socket),
                    partial(self._receive, socket),
                    self._check,
                    self._watch_idle,
                )
            finally:
                self.up.clear()
                self._socket = None
                self._drop_requests()

    @asynccontextmanager
    async def _dialled(self) -> AsyncIterator[ClientConnection]:
        dialling = _Dial(
            self.url,
            compression=None,
            max_size=limits.RELAY_FRAME_BYTES_MAX,
            max_queue=limits.RELAY_FRAMES_QUEUED,
            open_timeout=_OPEN_SECONDS,
            close_timeout=_CLOSE_SECONDS,
            proxy=None,
            user_agent_header="timmy-node",
        )
        socket = await dialling
        try:
            yield socket
            await socket.close()
        finally:  # also when we are cancelled while a relay that reads nothing is told goodbye
            socket.transport.abort()

    def _drop_requests(self) -> None:
        for request in list(self._requests.values()):
            request.put(core.Ended(name=request.name, message="error: the connection was lost"))

    async def _send(self, socket: ClientConnection) -> NoReturn:
        """Send what is due, never more than the window ahead of the relay's answers."""
        loop = asyncio.get_running_loop()
        while True:
            self.wake.clear()
            paused = loop.time() < self._pause_until
            if not paused:
                await self._offer(socket, loop)
            in_flight = self._client.in_flight
            if not in_flight and not paused:
                self._failures = 0  # connected, and nothing left to say
            silent_at = self._progress_at + self._shared.ack_seconds if in_flight else None
            try:
                async with asyncio.timeout_at(self._pause_until if paused else silent_at):
                    await self.wake.wait()
            except TimeoutError as error:
                if not paused:
                    silence = f"no answer within {self._shared.ack_seconds:g} s"
                    self.fault(FaultKind.SILENT, silence)
                    raise TimeoutError(silence) from error

    async def _offer(self, socket: ClientConnection, loop: asyncio.AbstractEventLoop) -> None:
        for event in await self.delivery.due(self._client.in_flight):
            if not self._client.in_flight:
                self._progress_at = loop.time()
            self._sent_at[event.id] = loop.time()
            for action in self._client.offer(event.id, event.to_json()):
                if isinstance(action, core.Send):
                    await socket.send(action.text)

    async def _receive(self, socket: ClientConnection) -> NoReturn:
        """Take frames, no faster than RELAY_FRAMES_PER_SECOND_MAX: a flood waits in its socket."""
        frames, since = 0, time.monotonic()
        async for frame in socket:
            for action in self._client.receive(frame):
                await self._act(action)
            frames += 1
            if frames % _BREATH_FRAMES == 0:
                due = since + _BREATH_FRAMES / limits.RELAY_FRAMES_PER_SECOND_MAX
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                since = time.monotonic()
        raise ConnectionResetError("the relay closed the connection")

    async def _act(self, action: core.Action) -> None:
        match action:
            case core.Send(text):
                if self._socket is None:
                    raise _Ended("the connection was lost")
                await self._socket.send(text)
            case core.Sign(challenge):
                await self._sign(challenge)
            case core.Answered():
                await self._answered(action)
            case core.Fault(kind=kind, reason=reason):
                self._strikes += 1
                self.fault(kind, reason)
            case core.Noticed(text):
                self.last_error = text
                self._noticed(text)
            case core.Hangup(reason):
                raise _Ended(reason)
            case _:
                if request := self._requests.get(action.name):
                    request.put(action)

    def _noticed(self, text: str) -> None:
        """A relay that does not know NIP-77 says so to a person, if at all."""
        if any(word in text.lower() for word in _NO_NIP_77):
            for request in self._requests.values():
                if request.reconciles:
                    request.put(core.Ended(name=request.name, message=f"unsupported: {text}"))

    async def _sign(self, challenge: str) -> None:
        signer = self._shared.signer
        if signer is None:
            return
        now = self._shared.clock()
        try:
            unsigned = core.auth_event(
                pubkey=signer.pubkey, url=self.url, challenge=challenge, now=now
            )
            signed = signer.sign(unsigned)
        except MeshError as error:
            actions = self._client.give_up_auth(str(error))
        else:
            actions = self._client.authenticate(signed)
        for action in actions:
            await self._act(action)

    async def _answered(self, answer: core.Answered) -> None:
        now = asyncio.get_running_loop().time()
        self._progress_at = now
        self.latency_ms = round(1000 * (now - self._sent_at.pop(answer.event_id, now)))
        known = self.limits
        try:
            await self.delivery.answered(answer)
        except TryLater as error:
            self._put_off += 1
            self.last_error = _text(error)
            delay = self._shared.backoff.delay_seconds(self._put_off, self._shared.jitter())
            self._pause_until = now + delay
        if answer.accepted:
            self._failures = self._put_off = 0
        elif self.delivery.last_refusal:
            self.last_error = self.delivery.last_refusal
        if self.limits != known:
            self._shared.changed(self.url, self.limits)
        self.wake.set()

    async def _check(self) -> NoReturn:
        """Learn what the relay says of itself; ask now and then whether it has what it took."""
        if not self._document_read:
            self._document_read = True
            self.learn(self.limits.told(await self._shared.document(self.url)))
        every = self._shared.check_seconds
        await asyncio.sleep(min(every, _FIRST_CHECK_SECONDS))
        while True:
            await self._shared.check(self)
            await asyncio.sleep(every)

    async def _watch_idle(self) -> NoReturn:
        while True:
            await asyncio.sleep(limits.IDLE_SECONDS)
            if not (self.own or self.wanted or await self.delivery.count()):
                raise _Idle


def _text(error: Exception) -> str:
    return (str(error) or type(error).__name__)[: limits.NOTICE_CHARS_MAX]
