"""The port of the fleet bus: how the members of one fleet reach each other.

Two kinds of traffic, kept apart by the method, never mixed by a subject:

live   `publish`, `subscribe`, `request`. At most once. Who listens in that moment and keeps up gets
       it; nobody else ever does. Messages of one publisher on one subject come in their order, with
       gaps where a reader was slow (its own newest are dropped, and counted in `missed`), where a
       connection was lost, or where a server restarted. Of subscriptions of one group each message
       goes to one, of the engine's choice.
kept   `put`, `take`. At least once. When `put` returns, the engine keeps the data until a taker has
       acknowledged it or until its age is over; it is given to one taker at a time, again after a
       `nak` and after `ack_seconds` without a word. First come in the order in which they were put;
       what is given again comes when it comes. A `put` with a key that was used for the subject
       within `duplicate_seconds` keeps nothing: so one that was not answered is put again safely.
       What is full refuses new data; nothing that is kept makes way.

What a restart keeps: of live traffic nothing. Of kept data, mesh/fleet/local_bus.py nothing (it is
for one process, whose ledger says what is to be done), mesh/fleet/nats_bus.py everything.

Not the bus's: authenticity and secrecy between members. Whoever may connect can publish on every
subject that the server allows him, under any name. So what matters is signed above the bus
(mesh/core/fleet/duty_wire.py), and what is taken from it is parsed as a stranger's. Not covered:
order between subjects, and exactly once, which no bus gives: make the effect idempotent.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

from mesh.core.errors import BusError, Refused
from mesh.core.fleet.subjects import check_pattern, check_token

DATA_BYTES_MAX: Final = 256 * 1024
"""One message: a quarter of what NATS servers take by default. Larger things are files."""
INBOX_MESSAGES_MAX: Final = 1024
INBOX_BYTES_MAX: Final = 8 * 1024 * 1024
"""Live messages that wait for one reader; beyond either bound the newest are dropped."""
SUBSCRIPTIONS_MAX: Final = 256
"""Of one bus. A node has a handful; each is matched with every message."""
WAITING_MAX: Final = 256
"""Requests and puts under way at once: the memory that an engine which is away can hold."""
SECONDS_MAX: Final = 3600.0
"""The longest deadline: who waits longer has forgotten what for."""
TAKEN_MAX: Final = 64
"""Kept messages of one subject that may be out, unacknowledged, at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Bounds of what is kept, all subjects together."""

    messages_max: int = 10_000
    bytes_max: int = 64 * 1024 * 1024
    age_seconds: float = 24 * 3600.0
    """A day: work that is older is somebody's morning report."""
    ack_seconds: float = 60.0
    """Without a word for so long a taker is taken for dead."""
    duplicate_seconds: float = 3600.0

    def __post_init__(self) -> None:
        if not 0 < self.duplicate_seconds <= self.age_seconds:
            raise Refused(f"keys known for {self.duplicate_seconds} s, kept {self.age_seconds} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One live message. `answer` is there if it was a request."""

    subject: str
    data: bytes
    answer: Callable[[bytes], Awaitable[None]] | None = field(default=None, repr=False)

    async def reply(self, data: bytes) -> None:
        """Answer a request, at most once; of a message that is none, nothing. Raises BusDown."""
        check_data(data)
        if self.answer is not None:
            await self.answer(data)


class Delivery(Protocol):
    """One kept message in the hands of one taker."""

    @property
    def data(self) -> bytes:
        """What was put."""
        ...

    @property
    def attempt(self) -> int:
        """From 1: how often it was given to somebody. A taker drops (`ack`) what never works."""
        ...

    async def ack(self) -> None:
        """It is done: on return it is given to nobody any more.

        Raises Unanswered or BusDown: then it may be given again.
        """
        ...

    async def nak(self, seconds: float = 0.0) -> None:
        """It was not done: give it again, to anybody, after so many seconds. At most once itself:
        a word that is lost costs `ack_seconds`.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BusStatus:
    """How a bus is, for `timmy status`."""

    engine: str
    state: str
    """up, or down."""
    address: str = ""
    fault: str = ""
    """Why it is down, or what is wrong all the same; "" if nothing is."""
    connections: int = 0
    """Times that it came up."""
    missed: int = 0
    """Live messages that readers here were too slow for."""


class Subscription:
    """Live messages for one reader: iterate over it. Beyond its bounds the newest are dropped."""

    def __init__(
        self,
        *,
        messages_max: int = INBOX_MESSAGES_MAX,
        bytes_max: int = INBOX_BYTES_MAX,
    ) -> None:
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._filled = asyncio.Event()
        self.missed = 0

    def offer(self, message: Message) -> bool:
        """Take a message in, or drop and count it; never waits."""
        size = self._bytes + len(message.data)
        if len(self._waiting) >= self._messages_max or size > self._bytes_max:
            self.missed += 1
            return False
        self._waiting.append(message)
        self._bytes = size
        self._filled.set()
        return True

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        message = self._waiting.popleft()
        self._bytes -= len(message.data)
        return message


class Live(Protocol):
    """The part of the port that needs no server: what `Bus` says of it holds, to the letter.

    mesh/fleet/direct_bus.py has no more; there a request goes to the member that the last word of
    its subject names.
    """

    async def publish(self, subject: str, data: bytes) -> None:
        """Send a live message. Raises BusDown."""
        ...

    def subscribe(self, pattern: str) -> AbstractAsyncContextManager[Subscription]:
        """Hear live messages."""
        ...

    async def request(self, subject: str, data: bytes, *, seconds: float) -> bytes:
        """Send a live message and return its first answer.

        Raises NobodyThere, Unanswered, BusDown.
        """
        ...


class Bus(Protocol):
    """The port. Subjects: mesh/core/fleet/subjects.py; data is at most DATA_BYTES_MAX bytes."""

    @property
    def status(self) -> BusStatus:
        """How it is now."""
        ...

    async def run(self) -> None:
        """Keep it up until cancelled. Everything else may be called before, and waits or fails."""
        ...

    async def publish(self, subject: str, data: bytes) -> None:
        """Send a live message. Raises BusDown if there is no connection to send it on."""
        ...

    def subscribe(
        self, pattern: str, *, group: str = ""
    ) -> AbstractAsyncContextManager[Subscription]:
        """Hear live messages; on entry, if the bus is up, the engine knows of it."""
        ...

    async def request(self, subject: str, data: bytes, *, seconds: float) -> bytes:
        """Send a live message and return its first answer.

        Raises NobodyThere at once if nobody listens, Unanswered at the deadline, BusDown.
        """
        ...

    async def put(self, subject: str, data: bytes, *, key: str, seconds: float) -> bool:
        """Have data kept; True once it is, False if that key was put before.

        Raises BusDown if there was no connection up to the deadline, BusFull, Unanswered.
        """
        ...

    def take(self, subject: str) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Be one of the takers of a subject, as long as the block lasts; waits while it is down."""
        ...


def check_data(data: bytes) -> None:
    """Refuse what is too large for a message. Raises Refused."""
    if len(data) > DATA_BYTES_MAX:
        raise Refused(f"message of {len(data)} bytes, at most {DATA_BYTES_MAX}")


def check_subscription(pattern: str, group: str, *, beside: int) -> None:
    """Refuse a pattern or a group that is none, and one subscription too many.

    Raises InvalidSubject and Refused.
    """
    check_pattern(pattern)
    if group:
        check_token(group)
    if beside >= SUBSCRIPTIONS_MAX:
        raise Refused(f"{beside} subscriptions, at most {SUBSCRIPTIONS_MAX}")


def check_seconds(seconds: float) -> None:
    """Refuse a deadline that is none. Raises Refused."""
    if not 0 < seconds <= SECONDS_MAX:
        raise Refused(f"deadline of {seconds} s, expected more than 0 and at most {SECONDS_MAX}")


class Turnstile:
    """Counts what is under way. `with turnstile:` raises BusError when too much is."""

    def __init__(self, most: int = WAITING_MAX) -> None:
        self._most = most
        self._inside = 0

    def __enter__(self) -> None:
        if self._inside >= self._most:
            raise BusError(f"{self._inside} requests are under way, at most {self._most}")
        self._inside += 1

    def __exit__(self, *_: object) -> None:
        self._inside -= 1
