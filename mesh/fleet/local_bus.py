"""The fleet bus of one process: the default, without a server, a network or a dependency.

It does what mesh/fleet/bus.py says and forgets everything when the process ends. One event loop;
every method decides without waiting, so there is nothing to lock. `run` has nothing to do.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from mesh.core.errors import BusFull, NobodyThere, Unanswered
from mesh.core.fleet.subjects import check_subject, matches
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

KEYS_MAX: Final = 100_000
"""Keys of `put` that are remembered; then the oldest go, and could be put twice."""


@dataclass(eq=False, slots=True)
class _Listener:
    pattern: str
    group: str
    inbox: Subscription


@dataclass(eq=False, slots=True)
class _Item:
    """One kept message."""

    data: bytes
    until: float
    given: int = 0
    out: bool = False
    settled: bool = False
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True, kw_only=True)
class _Lane:
    """What is kept of one subject, and how many take it."""

    subject: str
    waiting: deque[_Item] = field(default_factory=deque)
    out: int = 0
    takers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class LocalDelivery:
    """A kept message in the hands of one taker. Of `ack` and `nak` the first counts."""

    def __init__(self, bus: "LocalBus", lane: _Lane, item: _Item) -> None:
        self._bus = bus
        self._lane = lane
        self._item = item
        self._said = False
        self.data = item.data
        self.attempt = item.given

    async def ack(self) -> None:
        """It is done, also if it was given to another meanwhile."""
        if not self._said:
            self._said = True
            self._bus.settle(self._lane, self._item)

    async def nak(self, seconds: float = 0.0) -> None:
        """Give it again after so many seconds."""
        if not self._said and self._item.given == self.attempt:
            self._said = True
            self._bus.again_in(self._lane, self._item, seconds)


class LocalBus:
    """Bus (mesh/fleet/bus.py) inside one process."""

    def __init__(self, *, kept: Kept | None = None) -> None:
        self._kept = kept or Kept()
        self._listeners: list[_Listener] = []
        self._turns: dict[tuple[str, str], int] = {}
        self._lanes: dict[str, _Lane] = {}
        self._messages = 0
        self._bytes = 0
        self._keys: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._turnstile = Turnstile()
        self._missed = 0

    @property
    def status(self) -> BusStatus:
        """How it is now: always up."""
        return BusStatus(engine="local", state="up", connections=1, missed=self._missed)

    async def run(self) -> None:
        """Wait to be cancelled."""
        await asyncio.Event().wait()

    # ---- live --------------------------------------------------------------------------------

    async def publish(self, subject: str, data: bytes) -> None:
        """Send a live message to who listens now."""
        check_subject(subject)
        check_data(data)
        self._spread(Message(subject=subject, data=data))
        await asyncio.sleep(0)  # a publisher in a loop lets readers read

    @asynccontextmanager
    async def subscribe(self, pattern: str, *, group: str = "") -> AsyncIterator[Subscription]:
        """Hear live messages while the block lasts."""
        check_subscription(pattern, group, beside=len(self._listeners))
        listener = _Listener(pattern, group, Subscription())
        self._listeners.append(listener)
        try:
            yield listener.inbox
        finally:
            self._listeners.remove(listener)

    async def request(self, subject: str, data: bytes, *, seconds: float) -> bytes:
        """Send a live message and return its first answer."""
        check_subject(subject)
        check_data(data)
        check_seconds(seconds)
        with self._turnstile:
            answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

            async def answer(reply: bytes) -> None:
                if not answered.done():
                    answered.set_result(reply)

            if not self._spread(Message(subject=subject, data=data, answer=answer)):
                raise NobodyThere(f"nobody listens to {subject}")
            try:
                async with asyncio.timeout(seconds):
                    return await answered
            except TimeoutError:
                raise Unanswered(f"no answer on {subject} in {seconds} s") from None

    def _spread(self, message: Message) -> int:
        """Offer a message to every listener alone, and to one of each group; count them."""
        groups: dict[tuple[str, str], list[_Listener]] = {}
        count = 0
        for listener in self._listeners:
            if not matches(listener.pattern, message.subject):
                continue
            if listener.group:
                groups.setdefault((listener.pattern, listener.group), []).append(listener)
            else:
                count += 1
                self._offer(listener, message)
        for group, members in groups.items():
            turn = self._turns.get(group, 0) % len(members)
            self._turns[group] = turn + 1
            self._offer(members[turn], message)
        self._turns = {group: turn for group, turn in self._turns.items() if self._known(group)}
        return count + len(groups)

    def _known(self, group: tuple[str, str]) -> bool:
        return any((one.pattern, one.group) == group for one in self._listeners)

    def _offer(self, listener: _Listener, message: Message) -> None:
        if not listener.inbox.offer(message):
            self._missed += 1

    # ---- kept --------------------------------------------------------------------------------

    async def put(self, subject: str, data: bytes, *, key: str, seconds: float) -> bool:
        """Have data kept in memory; False if that key was put before."""
        check_subject(subject)
        check_data(data)
        check_seconds(seconds)
        now = self._now
        self._forget_keys(now)
        for lane in list(self._lanes.values()):
            self._forget(lane, now)
        if (subject, key) in self._keys:
            return False
        full = self._messages >= self._kept.messages_max
        if full or self._bytes + len(data) > self._kept.bytes_max:
            raise BusFull(
                f"{self._messages} messages of {self._bytes} bytes are kept, at most"
                f" {self._kept.messages_max} of {self._kept.bytes_max}"
            )
        self._keys[subject, key] = now + self._kept.duplicate_seconds
        lane = self._lane(subject)
        lane.waiting.append(_Item(data, now + self._kept.age_seconds))
        lane.changed.set()
        self._messages += 1
        self._bytes += len(data)
        return True

    @asynccontextmanager
    async def take(self, subject: str) -> AsyncIterator[AsyncIterator[Delivery]]:
        """Be one of the takers of a subject while the block lasts."""
        check_subject(subject)
        lane = self._lane(subject)
        lane.takers += 1
        try:
            async with aclosing(self._deliveries(lane)) as deliveries:
                yield deliveries
        finally:
            lane.takers -= 1
            self._leave(lane)

    async def _deliveries(self, lane: _Lane) -> AsyncGenerator[Delivery]:
        while True:
            self._forget(lane, self._now)
            if not lane.waiting or lane.out >= TAKEN_MAX:
                lane.changed.clear()
                await lane.changed.wait()
                continue
            item = lane.waiting.popleft()
            item.given += 1
            item.out = True
            lane.out += 1
            self.again_in(lane, item, self._kept.ack_seconds)
            yield LocalDelivery(self, lane, item)

    def settle(self, lane: _Lane, item: _Item) -> None:
        """Keep an item no longer, wherever it is."""
        if item.settled:
            return
        item.settled = True
        if item.timer is not None:
            item.timer.cancel()
        if item.out:
            lane.out -= 1
        else:
            lane.waiting.remove(item)
        self._messages -= 1
        self._bytes -= len(item.data)
        lane.changed.set()
        self._leave(lane)

    def again_in(self, lane: _Lane, item: _Item, seconds: float) -> None:
        """Offer an item that is out again, unless somebody settles it before."""
        if item.timer is not None:
            item.timer.cancel()
        if not item.settled and item.out:
            loop = asyncio.get_running_loop()
            item.timer = loop.call_later(seconds, self._back, lane, item)

    def _back(self, lane: _Lane, item: _Item) -> None:
        item.out = False
        lane.out -= 1
        lane.waiting.append(item)
        lane.changed.set()

    def _forget(self, lane: _Lane, now: float) -> None:
        """Drop what became too old before somebody took it."""
        while lane.waiting and lane.waiting[0].until <= now:
            self.settle(lane, lane.waiting[0])

    def _forget_keys(self, now: float) -> None:
        while self._keys and (len(self._keys) > KEYS_MAX or next(iter(self._keys.values())) <= now):
            self._keys.popitem(last=False)

    def _lane(self, subject: str) -> _Lane:
        return self._lanes.setdefault(subject, _Lane(subject=subject))

    def _leave(self, lane: _Lane) -> None:
        if not (lane.waiting or lane.out or lane.takers):
            self._lanes.pop(lane.subject, None)

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()
