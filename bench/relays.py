"""Relays side by side: `python -m bench.relays NAME WORK FOLDER COUNT TEXTS`, one measurement.

Each relay is a process of its own on loopback, driven by the same client (relay_client.py) over
websockets without compression, with events of the same texts, signed with BIP-340 outside the clock
by a hundred keys. What is said of memory and processor time is of the relay's processes, not of the
client's. A store of many events is filled once a run and copied for every measurement; the relay
that has none on disk is filled each time, outside the clock.
"""

import asyncio
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from bench import relay_client as client
from bench import texts
from bench.living import descendants, memory_mib
from bench.relay_client import Wire
from mesh.core.nip01 import NostrSigner, UnsignedEvent
from tests.nostr import relays as others
from tests.nostr.relays import Running

Found = dict[str, float]
SDK: Final = "nostr-sdk"
_KEYS: Final = 100
_TOPICS: Final = 50
_EVENTS_A_SECOND: Final = 4
"""What they are dated; no relay here gives fewer than a page of them for one second."""
_CONNECTIONS: Final = 8
_WINDOW: Final = 50
_LOOKUPS: Final = 300
_LOOKUP_EVENTS: Final = 10
_MANY: Final = 100
_FEW: Final = 20
_MANY_SECONDS: Final = 0.05
_FEW_SECONDS: Final = 0.02
_DIFFERENCE: Final = 200
"""One in so many events is on one side only, and another one on the other: 1 % in all."""


def absence(name: str) -> str:
    """Why a relay cannot take part; empty if it can."""
    if name == SDK:
        found = any((others.VENV / "lib").glob("*/site-packages/nostr_sdk"))
        return "" if found else "not installed: make bench"
    return others.absence(name) if name in {others.PYPI, others.NPM} else ""


def events(folder: Path, lines: list[str]) -> list[Wire]:
    """Signed events of the texts, newest last; the rounds and relays that follow find them."""
    path = folder / f"events-{len(lines)}"
    if not path.exists():
        made = _made(lines)
        path.write_text("".join(f"{event.event_json}\n" for event in made))
        return made
    return [_wire(line) for line in path.read_text().splitlines()]


def _wire(event_json: str) -> Wire:
    event = json.loads(event_json)
    return Wire(event["created_at"], event["id"], event_json)


def _made(lines: list[str]) -> list[Wire]:
    signers = [NostrSigner(bytes([1, number]) * 16) for number in range(_KEYS)]
    begin = int(time.time()) - len(lines) // _EVENTS_A_SECOND - 1
    found = []
    for number, text in enumerate(lines):
        signer = signers[number % _KEYS]
        tags = (("t", f"topic{number % _TOPICS}"),)
        at = begin + number // _EVENTS_A_SECOND
        unsigned = UnsignedEvent(
            pubkey=signer.pubkey, created_at=at, kind=1, tags=tags, content=text
        )
        event = signer.sign(unsigned)
        found.append(Wire(at, event.id, event.to_json()))
    return found


def relay(name: str, folder: Path) -> AbstractContextManager[Running]:
    """Run the relay of that name, its files in `folder`."""
    if name == SDK:
        peer = Path(__file__).parent / "peers" / "nostr_sdk_peer.py"
        return others.announced([str(others.VENV / "bin" / "python"), str(peer)], folder)
    if name in {others.PYPI, others.NPM}:
        return others.relay(name, folder)
    return others.announced([sys.executable, "-m", "bench.relay_process", str(folder)], folder)


@contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True)
    yield folder


@asynccontextmanager
async def _holding(name: str, folder: Path, held: list[Wire], label: str) -> AsyncIterator[Running]:
    """A relay that has these events; `label` tells one set of them from another."""
    here = folder / label
    if name == SDK:
        with _emptied(here), relay(name, here) as running:
            await client.publish_by(running.url, held, _CONNECTIONS, _WINDOW)
            yield running
        return
    kept = folder.parent / f"filled-{name.replace('@', 'npm-')}-{len(held)}-{label}"
    if not kept.exists():
        filling = folder / f"{label}-filling"
        with _emptied(filling), relay(name, filling) as running:
            await client.publish_by(running.url, held, _CONNECTIONS, _WINDOW)
        filling.rename(kept)
    shutil.copytree(kept, here)
    with relay(name, here) as running:
        yield running


def _cpu_seconds(pid: int) -> float:
    """Processor time of a relay's processes so far."""
    ticks = 0
    for each in descendants(pid):
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime, stime: proc_pid_stat(5)
    return ticks / os.sysconf("SC_CLK_TCK")


async def _timed(running: Running, count: int, work: Awaitable[object]) -> Found:
    begin, busy = time.perf_counter(), _cpu_seconds(running.pid)
    await work
    seconds = time.perf_counter() - begin
    return {"count": count, "seconds": seconds, "cpu": _cpu_seconds(running.pid) - busy}


# ---- the rows --------------------------------------------------------------------------------


async def _ingest(
    name: str, folder: Path, made: list[Wire], connections: int, window: int
) -> Found:
    with relay(name, folder) as running:
        work = client.publish_by(running.url, made, connections, window)
        found = await _timed(running, len(made), work)
        found["memory"] = sum(memory_mib(pid, "VmHWM") for pid in descendants(running.pid))
    return found


async def _memory(name: str, folder: Path, made: list[Wire]) -> Found:
    return {"value": (await _ingest(name, folder, made, _CONNECTIONS, _WINDOW))["memory"]}


async def _read(name: str, folder: Path, made: list[Wire]) -> Found:
    async with _holding(name, folder, made, "all") as running, client.line(running.url) as of:
        read: dict[str, Wire] = {}

        async def work() -> None:
            read.update(await client.read_all(of, made[-1].created_at + 1))

        found = await _timed(running, len(made), work())
    if len(read) != len(made):
        raise SystemExit(f"{len(read)} of {len(made)} events were read")
    return found


def _questions(made: list[Wire]) -> Iterator[dict[str, object]]:
    """By id, by author, by tag in turn; no two of them the same."""
    newest = made[-1].created_at
    for number in range(min(_LOOKUPS, len(made))):
        event = json.loads(made[number * 7919 % len(made)].event_json)
        some: dict[str, object] = {"limit": _LOOKUP_EVENTS}
        match number % 3:
            case 0:
                yield {"ids": [event["id"]]}
            case 1:
                yield some | {"authors": [event["pubkey"]], "kinds": [1], "until": newest + number}
            case _:
                yield some | {"#t": [event["tags"][0][1]], "until": newest + number}


async def _lookup(name: str, folder: Path, made: list[Wire]) -> Found:
    async with _holding(name, folder, made, "all") as running, client.line(running.url) as of:
        busy = _cpu_seconds(running.pid)
        taken = await client.look_up(of, _questions(made))
        cpu = _cpu_seconds(running.pid) - busy
    return {"value": 1000 * statistics.median(taken), "count": len(taken), "cpu": cpu}


async def _fan_out(name: str, folder: Path, made: list[Wire]) -> Found:
    with relay(name, folder) as running:
        busy = _cpu_seconds(running.pid)
        got = await client.fan_out(running.url, made, _MANY, every_seconds=None)
        cpu = _cpu_seconds(running.pid) - busy
    return {"count": len(got.waits), "seconds": got.seconds, "cpu": cpu}


async def _fan_out_wait(
    name: str, folder: Path, made: list[Wire], subscribers: int, every_seconds: float, part: float
) -> Found:
    with relay(name, folder) as running:
        got = await client.fan_out(running.url, made, subscribers, every_seconds=every_seconds)
    waits = sorted(got.waits)
    return {"value": 1000 * waits[min(len(waits) - 1, int(part * len(waits)))]}


def _without(made: list[Wire], side: int, *, stretch: bool) -> list[Wire]:
    """What is left to one of two sides: it lacks one in _DIFFERENCE, or as many in a stretch."""
    if stretch:
        begin, lost = (2 * side + 1) * len(made) // 4, max(1, len(made) // _DIFFERENCE)
        return made[:begin] + made[begin + lost :]
    return [event for n, event in enumerate(made) if n % _DIFFERENCE != side * _DIFFERENCE // 2]


async def _repair(
    name: str, folder: Path, made: list[Wire], *, naive: bool = False, stretch: bool = False
) -> Found:
    """Two relays, each lacking what the other has.

    The client stands beside the second one: what crosses the line to the first is counted.
    """
    first, second = (_without(made, side, stretch=stretch) for side in (0, 1))
    how = "stretch" if stretch else "spread"
    async with (
        _holding(name, folder, first, f"first-{how}") as there,
        _holding(name, folder, second, f"second-{how}") as here,
        client.line(there.url) as far,
        client.line(here.url) as near,
    ):
        begin, busy = time.perf_counter(), _cpu_seconds(there.pid) + _cpu_seconds(here.pid)
        talk = rounds = 0
        if naive:
            last = made[-1].created_at + 1
            theirs, ours = await client.read_all(far, last), await client.read_all(near, last)
            news = [event for event_id, event in theirs.items() if event_id not in ours]
            owed = [event for event_id, event in ours.items() if event_id not in theirs]
        else:
            told = await client.reconcile(far, second)
            talk, rounds = told.talk, told.rounds
            news = await client.by_ids(far, told.theirs)
            owed = await client.by_ids(near, told.ours)
        await client.publish(near, news)
        await client.publish(far, owed)
        seconds = time.perf_counter() - begin
        cpu = _cpu_seconds(there.pid) + _cpu_seconds(here.pid) - busy
        crossed = far.both
        await _check_repaired(near, far, made, naive=naive)
    found = {"count": 1, "seconds": seconds, "cpu": cpu}
    return found | {"bytes": crossed, "talk": talk, "rounds": rounds}


async def _check_repaired(
    near: client.Line, far: client.Line, made: list[Wire], *, naive: bool
) -> None:
    for side in (near, far):
        if naive:
            lost = len(made) - len(await client.read_all(side, made[-1].created_at + 1))
        else:
            told = await client.reconcile(side, made)
            lost = len(told.ours) + len(told.theirs)
        if lost:
            raise SystemExit(f"{lost} events still differ")


_Work = Callable[[str, Path, list[Wire]], Coroutine[Any, Any, Found]]

WORK: Final[dict[str, _Work]] = {
    "relay-ingest-single": lambda *given: _ingest(*given, 1, 1),
    "relay-ingest": lambda *given: _ingest(*given, 1, _WINDOW),
    "relay-ingest-8": lambda *given: _ingest(*given, _CONNECTIONS, _WINDOW),
    "relay-memory": _memory,
    "relay-read": _read,
    "relay-lookup": _lookup,
    "relay-fanout": _fan_out,
    "relay-fanout-p99": lambda *given: _fan_out_wait(*given, _MANY, _MANY_SECONDS, 0.99),
    "relay-fanout-20": lambda *given: _fan_out_wait(*given, _FEW, _FEW_SECONDS, 0.5),
    "relay-repair": _repair,
    "relay-repair-naive": lambda *given: _repair(*given, naive=True),
    "relay-repair-stretch": lambda *given: _repair(*given, stretch=True),
}


def main(name: str, work: str, folder: str, count: str, source: str) -> None:
    """Carry out one measurement and print it."""
    where = Path(folder)
    made = events(where.parent, texts.read(Path(source), int(count)))
    print(json.dumps(asyncio.run(WORK[work](name.partition(",")[0], where, made))))


if __name__ == "__main__":
    main(*sys.argv[1:])
