"""The one client that every relay is measured with: NIP-01 and 77 over websockets, nothing clever.

It shares the machine with the relay, so it parses no more than it has to. What a relay refuses, or
a connection that breaks, ends the measurement; live events that do not come within LATE_SECONDS
count as that late.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from mesh.core.negentropy import IdSet, Initiator

PAGE_EVENTS: Final = 500
"""What every relay here gives at once when it is asked for it."""
IDS_PER_REQUEST: Final = 250
LATE_SECONDS: Final = 10.0
_WINDOW: Final = 50
_SETTLE_SECONDS: Final = 0.3
"""@nostr-relay says EOSE before it has subscribed."""
_ID: Final = re.compile(r'"id": ?"([0-9a-f]{64})"')


class Wire(NamedTuple):
    """An event: when it says it was made, its id, its JSON."""

    created_at: int
    event_id: str
    event_json: str


@dataclass(slots=True)
class Line:
    """A connection, and how many characters went over it."""

    socket: ClientConnection
    sent: int = 0
    received: int = 0

    @property
    def both(self) -> int:
        """Characters in both directions; all of it is ASCII here, so bytes."""
        return self.sent + self.received

    async def send(self, *message: Any) -> None:
        await self.send_text(json.dumps(message, separators=(",", ":")))

    async def send_text(self, text: str) -> None:
        self.sent += len(text)
        await self.socket.send(text)

    async def receive(self) -> str:
        text = str(await self.socket.recv())
        self.received += len(text)
        return text


@asynccontextmanager
async def line(url: str) -> AsyncIterator[Line]:
    """Connect, without compression: nobody is measured at inflating."""
    async with connect(
        url, compression=None, max_size=None, max_queue=None, proxy=None, ping_interval=None
    ) as socket:
        yield Line(socket)


async def _accepted(to: Line) -> None:
    answer = await to.receive()
    while not answer.startswith('["OK"'):
        answer = await to.receive()
    if not msgspec.json.decode(answer)[2]:
        raise SystemExit(f"an event was refused: {answer[:300]}")


async def publish(to: Line, events: Sequence[Wire], window: int = _WINDOW) -> None:
    """Send every event, at most `window` of them unanswered; all must be accepted."""
    texts = [f'["EVENT",{event.event_json}]' for event in events]
    for text in texts[:window]:
        await to.send_text(text)
    for number in range(len(texts)):
        await _accepted(to)
        if number + window < len(texts):
            await to.send_text(texts[number + window])


async def publish_by(url: str, events: Sequence[Wire], connections: int, window: int) -> None:
    """The same by several connections at once, dealt out in turn."""
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        lines = [await stack.enter_async_context(line(url)) for _ in range(connections)]
        for number, one in enumerate(lines):
            group.create_task(publish(one, events[number::connections], window))


async def _asked(of: Line, name: str, wanted: dict[str, Any]) -> list[Wire]:
    """One REQ, to its EOSE."""
    await of.send("REQ", name, wanted)
    found = []
    while not (text := await of.receive()).startswith('["EOSE"'):
        if text.startswith('["EVENT"'):
            event = msgspec.json.decode(text)[2]
            found.append(Wire(event["created_at"], event["id"], text[text.index("{") : -1]))
        elif msgspec.json.decode(text)[0] != "CLOSED" or msgspec.json.decode(text)[1] == name:
            raise SystemExit(f"not an answer to a REQ: {text[:300]}")
        # else rust-nostr's, which ends a REQ that can bring no more, after its EOSE
    await of.send("CLOSE", name)
    return found


async def read_all(of: Line, before: int) -> dict[str, Wire]:
    """Page through everything, by the rule that loses nothing where `until` is exclusive."""
    found: dict[str, Wire] = {}
    until, number = before, 0
    while True:
        wanted = {"kinds": [1], "until": until, "limit": PAGE_EVENTS}
        page = await _asked(of, f"p{number}", wanted)
        news = [event for event in page if event.event_id not in found]
        if not news:
            return found
        found.update((event.event_id, event) for event in news)
        until, number = min(news).created_at + 1, number + 1


async def look_up(of: Line, filters: Iterable[dict[str, Any]]) -> list[float]:
    """One small question at a time; seconds to the EOSE of each."""
    taken = []
    for number, wanted in enumerate(filters):
        begin = time.perf_counter()
        found = await _asked(of, f"l{number}", wanted)
        taken.append(time.perf_counter() - begin)
        if not found:
            raise SystemExit(f"nothing found for {wanted}")
    return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What subscribers got: seconds from first send to last delivery; seconds each one took."""

    seconds: float
    waits: list[float]


async def fan_out(
    url: str, events: Sequence[Wire], subscribers: int, *, every_seconds: float | None
) -> Delivered:
    """Publish to so many subscribers, all at once or one event every so many seconds."""
    sent: dict[str, float] = {}
    waits: list[float] = []
    last = 0.0

    async def listen(to: Line) -> None:
        nonlocal last
        left = len(events)
        while left:
            text = await to.receive()
            if text.startswith('["EVENT"') and (found := _ID.search(text)):
                last = time.perf_counter()
                waits.append(last - sent[found[1]])
                left -= 1

    async with AsyncExitStack() as stack:
        lines = [await stack.enter_async_context(line(url)) for _ in range(subscribers + 1)]
        for one in lines[1:]:
            await one.send("REQ", "live", {"kinds": [1]})
            while not (await one.receive()).startswith('["EOSE"'):
                pass
        await asyncio.sleep(_SETTLE_SECONDS)
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(listen(one)) for one in lines[1:]]
            await _send(lines[0], events, every_seconds, sent.__setitem__)
            _, late = await asyncio.wait(tasks, timeout=LATE_SECONDS)
            for task in late:
                task.cancel()
    missing = subscribers * len(events) - len(waits)
    return Delivered(seconds=last - begin, waits=waits + [LATE_SECONDS] * missing)


async def _send(
    to: Line,
    events: Sequence[Wire],
    every_seconds: float | None,
    note: Callable[[str, float], None],
) -> None:
    if every_seconds is None:
        now = time.perf_counter()
        for event in events:
            note(event.event_id, now)
        await publish(to, events)
        return
    begin = time.perf_counter()
    for number, event in enumerate(events):
        await asyncio.sleep(max(0.0, begin + number * every_seconds - time.perf_counter()))
        note(event.event_id, time.perf_counter())
        await publish(to, [event])


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a reconciliation said: ids, in hex; bytes and messages that it took."""

    theirs: list[str]
    ours: list[str]
    talk: int
    rounds: int


async def reconcile(of: Line, held: Iterable[Wire]) -> Difference:
    """Compare by NIP-77 what a relay has with what is `held`."""
    items = IdSet((event.created_at, bytes.fromhex(event.event_id)) for event in held)
    initiator, before, rounds = Initiator(items), of.both, 1
    await of.send("NEG-OPEN", "n", {"kinds": [1]}, initiator.open().hex())
    while True:
        verb, *answer = msgspec.json.decode(await of.receive())
        if verb != "NEG-MSG":
            raise SystemExit(f"not an answer to NEG-OPEN: {verb} {answer}")
        message = initiator.receive(bytes.fromhex(answer[1]))
        if message is None:
            break
        rounds += 1
        await of.send("NEG-MSG", "n", message.hex())
    await of.send("NEG-CLOSE", "n")
    return Difference(
        theirs=sorted(one.hex() for one in initiator.need),
        ours=sorted(one.hex() for one in initiator.have),
        talk=of.both - before,
        rounds=rounds,
    )


async def by_ids(of: Line, ids: Sequence[str]) -> list[Wire]:
    """Ask for events by their ids."""
    found = []
    for start in range(0, len(ids), IDS_PER_REQUEST):
        some = ids[start : start + IDS_PER_REQUEST]
        found += await _asked(of, f"i{start}", {"ids": some, "limit": len(some)})
    return found
