"""What a turn costs apart from a model: our side of the rows `turn-10` to `turn-100000`.

A message comes, the agent process recalls and asks, the deterministic responder answers, everything
is durable: the median of so many turns in one conversation that has so many messages. The peers
keep sessions and no record of steps; they do what their documentation shows: a graph of one node
that answers at once, with a SQLite checkpointer (LangGraph), and a SQLite session whose items are
read before and added after each answer (openai-agents).
"""

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import runtime.agent
from ledger.core import types
from ledger.core.event import Draft
from ledger.log import Log
from ledger.sqlite import SqliteStore
from ledger.views import Views
from runtime.chain import Chain
from runtime.compaction import Compactor
from runtime.connection import Identity
from runtime.core.privacy import Privacy
from runtime.gateway import Gateway
from runtime.host import AgentHost
from runtime.hybrid import Clock, ask, hybrid
from runtime.journal import Journal
from runtime.recall import Recall
from runtime.responder import Responder
from runtime.sandbox import Child, Engine, SandboxLimits, spawn
from runtime.screening import warm_up
from runtime.service import Service

_STREAM: Final = bytes(15) + b"\x09"
_BATCH: Final = 1_000
_WARM_MAX: Final = 5
"""Turns that are not measured: the process starts, caches fill. One, where few are measured."""
_FEW: Final = 20
_TICKS: Final = os.sysconf("SC_CLK_TCK")

Found = dict[str, float]


def said(number: int) -> str:
    return f"Remark {number}: shelf {number % 977} holds {number % 31} jars of plum jam."


def _exchanges(count: int) -> Iterator[tuple[Draft, ...]]:
    """`count` messages and answers as turns leave them; positions begin at 1."""
    names = {"conversation": "main", "author": "ann"}
    for number in range(count // 2):
        position = 1 + 3 * number
        turn = position.to_bytes(16, "big")
        told: dict[str, Any] = {"message": position, "turn": turn}
        yield (
            Draft(
                type=types.MESSAGE_RECEIVED.name,
                stream=_STREAM,
                payload=names | {"gateway": "bench", "screen": "pass"},
                content={"text": said(number)},
            ),
            Draft(
                type=types.MESSAGE_SENT.name,
                stream=_STREAM,
                payload=names | told,
                content={"text": "Noted."},
            ),
            Draft(
                type=types.TURN_FINISHED.name,
                stream=_STREAM,
                payload=told | {"outcome": "answered", "reason": None},
            ),
        )


def _log(folder: Path, messages: int) -> Log:
    log = Log(
        SqliteStore.create(folder / "ledger.db"),
        clock=lambda: time.time_ns() // 1_000_000,
        entropy=os.urandom,
    )
    log.append_now(Draft(type=types.GENESIS.name, stream=bytes(16), payload={"network": "regtest"}))
    waiting: list[Draft] = []
    for exchange in _exchanges(messages):
        waiting += exchange
        if len(waiting) >= _BATCH:
            log.append_now(*waiting)
            waiting = []
    if waiting:
        log.append_now(*waiting)
    return log


async def _child(tree: Path, channel: Any) -> Child:
    return await spawn(tree, channel, limits=SandboxLimits(), engine=Engine.NONE)


def measure(folder: Path, messages: int, turns: int) -> Found:
    """Median milliseconds a turn (`value`, and `p99`), and processor time of host and agent."""
    warm_up()
    return asyncio.run(ours(folder, messages, turns))


async def ours(folder: Path, messages: int, turns: int) -> Found:
    """Turns of the real agent process, on a durable ledger with its search index."""
    log = _log(folder, messages)
    views = Views(folder / "views.db", log)
    views.catch_up()
    journal = Journal(log)

    async def search(query: str, limit: int, before: int) -> list[int]:
        views.catch_up()
        clock = Clock(times=lambda position: log.read(position).ts_ms, size=log.size)
        asked = ask(query, before=before, clock=clock)
        return await asyncio.to_thread(hybrid, folder / "views.db", asked, limit=limit)

    recall = Recall(journal, search)

    def status() -> dict[str, Any]:
        return {"name": "Timmy", "events": log.size, "models": [], "uptime_s": 1}

    chain = Chain([Responder(recall, status)])
    service = Service(journal, chain=chain, recall=recall, status=status, digest_key=bytes(32))
    compactor = Compactor(journal=journal, chain=chain, privacy=Privacy())
    await compactor.compact("main")
    host = AgentHost(
        journal=journal,
        gateway=Gateway(journal),
        service=service,
        spawn=_child,
        tree=Path(next(iter(runtime.agent.__path__))),
        identity=Identity(name="Timmy", soul="Be honest."),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(host.run())
        compacting = group.create_task(compactor.run())
        warm = _WARM_MAX if turns > _FEW else 1
        for n in range(warm):
            await _turn(journal, host, messages + n)
        busy = _cpu_s()
        times = [await _turn(journal, host, messages + warm + n) for n in range(turns)]
        busy = _cpu_s() - busy
        compacting.cancel()
        host.stop()
    views.close()
    log.close()
    return summed(times) | {"count": turns, "cpu": busy}


def _cpu_s() -> float:
    """Processor time of this process, all its threads, and of its children so far."""
    children = 0
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            children += int(fields[11]) + int(fields[12])  # utime, stime: proc(5)
    return time.process_time() + children / _TICKS


async def _turn(journal: Journal, host: AgentHost, number: int) -> float:
    begin = time.perf_counter()
    message = await Gateway(journal).receive(
        said(number), conversation="main", author="ann", gateway="bench"
    )
    await host.answer_to(message.position)
    return time.perf_counter() - begin


def summed(times: list[float]) -> Found:
    """Median and 99th percentile, in milliseconds."""
    ordered = sorted(times)
    last = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return {"value": statistics.median(times) * 1000, "p99": last * 1000}
