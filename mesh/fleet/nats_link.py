"""The one door to nats-py: one connection to one NATS server, from its opening to its end.

nats-py would reconnect by itself. It is not let: it would keep what is sent meanwhile without a
bound worth the name, try servers that a server told it of, and give up for good after some kinds of
refusal. A connection that ended is over; mesh/fleet/nats_bus.py makes a new one.

Three things it does not do are done here. A server is spoken to in TLS if *we* say so (`tls://`):
nats-py asks the server, so that whoever sits between could have it all in the clear, the signed
nonce included. A key that we have is used: a server that asks nobody who he is gets no word of
ours. A cancellation stays one: nats-py drops it in the middle of a flush.

Not covered: a server that lies about the size of what comes makes nats-py wait for it in memory.
The server is the operator's own, and TLS with his own CA shows that it is.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError

from mesh.core.errors import BusDown, BusError, BusFull, NobodyThere, Unanswered
from mesh.core.fleet.nkeys import UserKey
from mesh.core.limits import NOTICE_CHARS_MAX

OPEN_SECONDS: Final = 10.0
"""For TCP, TLS and the greeting: a handshake on a bad line takes three."""
SEND_SECONDS: Final = 10.0
"""A socket that takes nothing for so long is broken."""
PING_SECONDS: Final = 20
PINGS_MAX: Final = 2
"""A server that is silent is taken for dead after a minute."""
PENDING_BYTES_MAX: Final = 2 * 1024 * 1024
"""What waits to be sent; then a publisher waits too."""
STALLED_BYTES_MAX: Final = 8 * 1024 * 1024
"""What waits all the same, of many publishers at once; then no more is taken in."""
_STORE_FAILED: Final = 10077
_ACCOUNT_FULL: Final = 10002
"""JetStream's error codes (nats-server, server/errors.json)."""
_NONSENSE: Final = (ValueError, LookupError, TypeError, AttributeError, AssertionError)
"""How nats-py meets a server's nonsense, and a connection that is closed under it."""
T = TypeVar("T")
Listener = Callable[[str, bytes, Callable[[bytes], Awaitable[None]] | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the server is and how we show who we are. `tls` is there if and only if url is tls://"""

    url: str
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    key: UserKey | None = None

    def __post_init__(self) -> None:
        wanted = {"nats": False, "tls": True}.get(urlsplit(self.url).scheme)
        if wanted is not (self.tls is not None):
            raise BusDown(f"{self.url} is no nats:// without TLS, and no tls:// with it")


class _NotSafe(nats.errors.Error):
    """What the server offers is less than what we asked for."""


class _Client(Client):
    """nats-py's client, told who we are, and stopped before it says a word too much."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server
        self._public_nkey = None if server.key is None else server.key.public

    def _connect_command(self) -> bytes:
        """Make the first line that we send, which holds the signed nonce. Called after TLS."""
        if self._server.tls is not None and not self._server_info.get("tls_required"):
            raise _NotSafe("the server speaks no TLS, and tls:// was asked for")
        if self._server.key is not None and not self._server_info.get("nonce"):
            raise _NotSafe("the server asks for no NKey: anybody could connect")
        return super()._connect_command()

    async def settled(self) -> None:
        """Return when the server has read everything that was handed over before.

        `flush` alone is no barrier: its PING overtakes what waits to be written.
        """
        await self._flush_pending(force_flush=True)
        await self.flush()


class Link:
    """One connection. `ended` is set when it is over, `fault` says why."""

    def __init__(self, server: Server, complain: Callable[[str], None]) -> None:
        self._server = server
        self._complain = complain
        self._client = _Client(server)
        self._streams: JetStreamContext | None = None
        self.ended = asyncio.Event()
        self.fault = ""

    async def open(self) -> None:
        """Connect and be let in. Raises BusDown."""
        key = self._server.key
        with _translated("connecting"):
            try:
                async with asyncio.timeout(OPEN_SECONDS):
                    await uncancelled(
                        self._client.connect(
                            self._server.url,
                            allow_reconnect=False,
                            max_reconnect_attempts=1,
                            reconnect_time_wait=0,
                            connect_timeout=int(OPEN_SECONDS),
                            ping_interval=PING_SECONDS,
                            max_outstanding_pings=PINGS_MAX,
                            pending_size=PENDING_BYTES_MAX,
                            tls=self._server.tls,
                            signature_cb=key.sign_nonce if key else None,
                            error_cb=self._on_error,
                            closed_cb=self._on_closed,
                            name="timmy",
                        )
                    )
            except nats.errors.NoServersError:
                raise BusDown(self.fault or "no server answers") from None
            except TimeoutError:
                raise BusDown(f"no greeting in {OPEN_SECONDS:g} s") from None
        self._streams = self._client.jetstream()
        self.fault = ""

    async def close(self) -> None:
        """Give everything back. Safe at any time."""
        self.ended.set()
        with suppress(nats.errors.Error, OSError, TimeoutError, *_NONSENSE):
            async with asyncio.timeout(SEND_SECONDS):
                await uncancelled(self._client.close())

    async def _on_error(self, error: Exception) -> None:
        self.fault = plain(error)
        if self._client.is_connected:
            self._complain(self.fault)

    async def _on_closed(self) -> None:
        self.fault = self.fault or plain(self._client.last_error or "the connection was closed")
        self.ended.set()

    # ---- live --------------------------------------------------------------------------------

    async def publish(self, subject: str, data: bytes) -> None:
        """Hand a message to the socket. Raises BusDown, Unanswered if the server reads nothing."""
        self._check_reading()
        with _translated(subject):
            async with asyncio.timeout(SEND_SECONDS):
                await uncancelled(self._client.publish(subject, data))

    async def request(self, subject: str, data: bytes, seconds: float) -> bytes:
        """Return the first answer. Raises NobodyThere, Unanswered, BusDown."""
        self._check_reading()
        with _translated(subject):
            async with asyncio.timeout(seconds):
                reply = await uncancelled(self._client.request(subject, data, timeout=seconds))
        return bytes(reply.data)

    def _check_reading(self) -> None:
        """nats-py takes a message in before it waits for room; so nothing more is given to it."""
        waiting = self._client.pending_data_size
        if waiting > STALLED_BYTES_MAX:
            raise BusDown(f"{waiting} bytes wait to be sent, at most {STALLED_BYTES_MAX}")

    async def listen(self, pattern: str, group: str, heard: Listener) -> NatsSubscription:
        """Have `heard` called for each message; on return the server knows of it."""

        async def take(message: Msg) -> None:
            async def answer(data: bytes) -> None:
                await self.publish(message.reply, data)

            heard(message.subject, bytes(message.data), answer if message.reply else None)

        with _translated(pattern):
            async with asyncio.timeout(SEND_SECONDS):
                made = await uncancelled(self._client.subscribe(pattern, queue=group, cb=take))
                await uncancelled(self._client.settled())
        return made

    async def forget(self, listening: NatsSubscription) -> None:
        """End a subscription."""
        with _translated("unsubscribing"):
            async with asyncio.timeout(SEND_SECONDS):
                await uncancelled(listening.unsubscribe())

    # ---- kept --------------------------------------------------------------------------------

    @contextmanager
    def streams(self, what: str) -> Iterator[JetStreamContext]:
        """JetStream of this connection; its errors as ours."""
        if self._streams is None:
            raise BusDown("the connection is not open")
        self._check_reading()
        with _translated(what):
            yield self._streams

    @asynccontextmanager
    async def pulling(self, stream: str, consumer: str) -> AsyncIterator[Callable[..., Any]]:
        """Yield `fetch(seconds)`, which returns one message of a durable consumer, or None."""
        with self.streams(consumer) as streams:
            pulled = await uncancelled(streams.pull_subscribe_bind(consumer, stream=stream))

        async def fetch(seconds: float) -> Msg | None:
            with _translated(consumer):
                try:
                    found = await uncancelled(pulled.fetch(1, timeout=seconds))
                except TimeoutError:
                    return None
            return found[0] if found else None

        try:
            yield fetch
        finally:
            with suppress(nats.errors.Error, OSError, TimeoutError, *_NONSENSE):
                async with asyncio.timeout(SEND_SECONDS):
                    await uncancelled(pulled.unsubscribe())


async def uncancelled(asked: Awaitable[T]) -> T:
    """Await nats-py; if we were cancelled meanwhile, be cancelled, whatever it made of that."""
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    try:
        return await asked
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError  # above any other error: nobody waits for that one now


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Raise our errors for nats-py's."""
    try:
        yield
    except (nats.errors.NoRespondersError, NoStreamResponseError):
        raise NobodyThere(f"nobody listens to {what}") from None
    except APIError as error:
        raise _refused(error) from error
    except TimeoutError as error:
        raise Unanswered(f"no answer about {what}") from error
    except (nats.errors.Error, OSError, *_NONSENSE) as error:
        raise BusDown(plain(error)) from error


def _refused(error: APIError) -> BusError:
    why = plain(error.description or type(error).__name__)
    full = error.err_code == _STORE_FAILED and "maximum" in why
    if full or error.err_code == _ACCOUNT_FULL:
        return BusFull(f"the server keeps no more: {why}")
    if isinstance(error, ServiceUnavailableError):
        return BusDown(f"the server keeps nothing now: {why}", hint=_JETSTREAM)
    return BusDown(f"the server refuses: {why}")


_JETSTREAM: Final = "is JetStream on? nats-server -js, or jetstream {} in its configuration"


def plain(error: Exception | str) -> str:
    """One line about a fault, for logs and status: the same for the same fault."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate does not hold: {error.verify_message}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, nats.errors.SlowConsumerError):
        return "a reader here is too slow"
    text = " ".join(str(error).split()).removeprefix("nats: ").strip("'")
    name = "" if isinstance(error, str) else type(error).__name__
    printable = "".join(letter if letter.isprintable() else "?" for letter in text or name)
    return printable[:1].lower() + printable[1:NOTICE_CHARS_MAX]
