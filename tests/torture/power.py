"""Trials on a disk that fails: what was acknowledged is there, nothing is there by half.

One trial lives through a ledger's hours: appends from several writers at once, contents of every
size, redactions, released heads with their guard, checkpoints of the write-ahead log, closing and
opening again. The disk fails at one call; the home is opened again by the product and judged by
code that shares nothing with it but the format (`tests.ledger.dumb_merkle`, `Audit`).

What is not exact: with several writers the number of calls between two acknowledgements depends on
threads, so a seed names the plan of a trial, not each of its bytes.
"""

import asyncio
import hashlib
import os
import random
import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ledger.core.audit import Audit
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import StoreError, TimmyError
from ledger.core.event import Draft, Event
from ledger.core.keys import Signer
from ledger.core.tiles import Tree
from ledger.log import Log
from ledger.release import Release
from ledger.sql import check_files
from ledger.sqlite import SqliteStore
from tests.ledger.dumb_merkle import root as dumb_root
from tests.torture.faulty_vfs import Disk, Fault, installed

SIGNER = Signer(bytes.fromhex("11" * 32))
STREAM = b"t" * 16
CALLS_MAX = 900
"""Power is lost at one of so many calls; a trial makes about so many."""
STEPS_MAX = 40
WRITERS = 4
START_MS = 1_790_000_000_000


class Lost(AssertionError):
    """The ledger broke its promise."""


@dataclass(slots=True)
class Life:
    """One ledger on one disk, and what it promised to its users."""

    disk: Disk
    folder: Path
    draw: random.Random
    autocheckpoint: int = 4000
    synchronous: str = "FULL"
    log: Log | None = None
    release: Release | None = None
    acked: dict[bytes, Event] = field(default_factory=dict)
    raised: set[bytes] = field(default_factory=set)
    erasing: set[int] = field(default_factory=set)
    erased: dict[int, bytes] = field(default_factory=dict)
    heads: list[SignedCheckpoint] = field(default_factory=list)
    appended: int = 0

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def _open_log(self, store: SqliteStore) -> None:
        store._writer.execute(f"pragma wal_autocheckpoint={self.autocheckpoint}")
        store._writer.execute(f"pragma synchronous={self.synchronous}")
        self.log = Log(store, clock=self.clock, entropy=os.urandom)

    def clock(self) -> int:
        """A second an event, and now and then years in either direction."""
        self.appended += 1
        leap = self.draw.choice((-10, 10)) * 31_536_000_000 if self.draw.random() < 0.02 else 0
        return START_MS + 1000 * self.appended + leap

    def begin(self, *, filler: int) -> None:
        """Create the ledger, with `filler` events in one commit so that a tile is soon full."""
        self._open_log(SqliteStore.create(self.ledger))
        born = Draft(type="genesis.born", stream=bytes(16), payload={"log": SIGNER.public})
        key = self.draw.randbytes(16)
        facts = [Draft(type="test.fact", stream=STREAM, payload={"n": n}) for n in range(filler)]
        head = Draft(type="test.fact", stream=STREAM, payload={"n": -1}, idempotency_key=key)
        self._tell([head], self.log.append_now(born, head, *facts)[1:2])
        self.release = Release.begin(self.log, self.state, SIGNER)
        self.heads.append(self.release.newest)

    def reopen(self) -> None:
        """Close in order, and open again."""
        self.log.close()
        self._open_log(SqliteStore.open(self.ledger))
        if self.heads:  # before the first one it is half born, and has no guard yet
            self.release = Release.open(self.log, self.state, SIGNER)

    def message(self, size: int | None = None) -> Draft:
        """A message of a few bytes or of several pages, with a key of its own."""
        length = size if size is not None else self.draw.choice((10, 300, 9000, 40_000))
        return Draft(
            type="message.received",
            stream=STREAM if self.draw.random() < 0.7 else self.draw.randbytes(16),
            payload={"author": "operator"},
            content={"text": self.draw.randbytes(length // 2).hex()},
            idempotency_key=self.draw.randbytes(16),
        )

    def _tell(self, drafts: list[Draft], events: list[Event]) -> None:
        for draft, event in zip(drafts, events, strict=True):
            self.acked[draft.idempotency_key] = event

    def append(self, *drafts: Draft) -> bool:
        """Append in one commit; remember what came of it."""
        try:
            self._tell(list(drafts), self.log.append_now(*drafts))
        except TimmyError:
            self.raised |= {draft.idempotency_key for draft in drafts}
            return False
        return True

    def burst(self) -> None:
        """Several writers at once: whatever waits goes into one transaction."""
        plans = [[self.message() for _ in range(3)] for _ in range(WRITERS)]

        async def write(drafts: list[Draft]) -> None:
            for draft in drafts:
                try:
                    self._tell([draft], await self.log.append(draft))
                except TimmyError:
                    self.raised.add(draft.idempotency_key)

        async def all_at_once() -> None:
            async with asyncio.TaskGroup() as group:
                for drafts in plans:
                    group.create_task(write(drafts))

        asyncio.run(all_at_once())

    def redact(self) -> None:
        """Erase one message for good."""
        left = [e for e in self.acked.values() if e.has_content and e.position not in self.erasing]
        if not left:
            return
        event = self.draw.choice(left)
        self.erasing.add(event.position)
        with suppress(StoreError):
            draft = self.log.redaction([event.position], reason="asked", actor="operator")
            self.log.append_now(draft)
            self.erased[event.position] = event.content["text"].encode()

    def publish(self) -> None:
        """Release a head: it is in the world from here on."""
        with suppress(StoreError):
            self.heads.append(self.release.head())

    def step(self) -> None:
        """Something that a node does."""
        what = self.draw.random()
        if what < 0.5:
            self.append(*(self.message() for _ in range(self.draw.choice((1, 1, 1, 5)))))
        elif what < 0.7:
            self.burst()
        elif what < 0.82:
            self.redact()
        elif what < 0.95:
            self.publish()
        else:
            self.reopen()

    def end(self) -> None:
        """The process is gone: nothing is flushed, every lock is free."""
        if self.log is not None:
            with suppress(TimmyError):
                self.log.close()
            self.log = None


def judge(life: Life, *, whole_disk: bool = False) -> dict[str, int]:
    """Open the home again and compare it with every promise. Raises Lost.

    `whole_disk`: no power was lost, so that nothing may be there that was refused.
    """
    reader = SqliteStore.open_read_only(life.ledger)
    try:
        reader.check()
    finally:
        reader.close()
    check_files(life.ledger)  # what a loss leaves is never taken for damage
    life._open_log(SqliteStore.open(life.ledger))
    log = life.log
    tiles: dict[tuple[int, int], bytes] = {}
    audit, keys = Audit(Tree(lambda level, index: tiles[level, index])), {}
    leaves = []
    for record in log.records():
        event = audit.add(record)
        tiles.update({(t.level, t.index): t.hashes for t in audit.tree.take_tiles()})
        leaves.append(hashlib.sha256(b"\0" + record.envelope).digest())
        key = event.envelope.idempotency_key
        if key is not None:
            if key in keys:
                raise Lost(f"key {key.hex()} is of events {keys[key]} and {event.position}")
            keys[key] = event.position
    if not dumb_root(leaves) == log.tree.root() == audit.tree.root():
        raise Lost(f"the tree of {log.size} events does not lead to their root")
    if audit.missing:
        raise Lost(f"content of {audit.missing} is missing")
    if audit.unerased:
        raise Lost(f"redacted content of {audit.unerased} is there")
    _judge_acked(life, log)
    life.log._store.check()
    _judge_released(life, log)
    _judge_erased(life)
    resurrected = [key for key in life.raised if key in keys]
    if whole_disk and resurrected:
        raise Lost(f"{len(resurrected)} events are there though their appends raised")
    before = log.size
    if not life.append(life.message()) or log.size != before + 1:
        raise Lost("the ledger does not take a new event")
    life.reopen()
    if life.log.size != before + 1:
        raise Lost(f"{life.log.size} events after {before + 1} were durable")
    return {"acked": len(life.acked), "raised": len(life.raised), "unasked": len(resurrected)}


def _judge_acked(life: Life, log: Log) -> None:
    for key, acked in life.acked.items():
        if acked.position >= log.size:
            raise Lost(f"acknowledged event {acked.position} is lost: {log.size} are there")
        event = log.read(acked.position)
        if event.id != acked.id:
            raise Lost(f"acknowledged event {acked.position} is another one")
        if event.content != acked.content and acked.position not in life.erasing:
            raise Lost(f"content of acknowledged event {acked.position} is not what it was")
        if acked.position in life.erased and not event.redacted:
            raise Lost(f"content of event {acked.position} is back after its redaction")
        found = log.find(key)
        if found is None or found.position != acked.position:
            raise Lost(f"the key of event {acked.position} does not lead to it")


def _judge_released(life: Life, log: Log) -> None:
    if not life.heads:
        return
    life.release = Release.open(log, life.state, SIGNER)
    for head in life.heads:
        if log.tree.root(head.size) != head.root:
            raise Lost(f"released head of size {head.size} is not a prefix of this log")
    if life.release.newest.size < life.heads[-1].size:
        raise Lost(f"the guard is behind the released head of size {life.heads[-1].size}")
    life.heads.append(life.release.head())


def _judge_erased(life: Life) -> None:
    words = [text[:64] for text in life.erased.values()]
    for path in life.folder.rglob("*"):
        if not path.is_file() or path.name.endswith("-shm"):
            continue  # SQLite recovers into memory it has not cleared: in this process, our words
        data = path.read_bytes()
        for word in words:
            at = data.find(word)
            if at >= 0:
                where = f"byte {at} of {len(data)}, {len(data) - data.count(0)} of them not zero"
                raise Lost(f"{path.name} holds words that were redacted, at {where}")


def lose_power(disk: Disk, seed: int, folder: Path, *, synchronous: str = "FULL") -> dict[str, int]:
    """One trial: power is lost at a seeded call. Raises Lost.

    `synchronous` is what the product sets; another value shows that a trial can tell.
    """
    draw = random.Random(seed)
    every = draw.choice((10, 40, 200, 4000))
    life = Life(disk, folder, draw, autocheckpoint=every, synchronous=synchronous)
    disk.reset()
    late = draw.random() < 0.9  # one in ten loses power in its first calls: while it is made
    if not late:
        disk.arm(Fault.POWER_LOSS, draw.randrange(1, 80))
    try:
        life.begin(filler=draw.choice((0, 230, 250, 500)))
        if late:
            disk.arm(Fault.POWER_LOSS, draw.randrange(1, CALLS_MAX))
        for _ in range(STEPS_MAX):
            if disk.dead:
                break
            life.step()
    except TimmyError:
        if not disk.dead:
            raise
    life.end()
    disk.lose_power(random.Random(seed + 1))
    Path(f"{life.ledger}-shm").unlink(missing_ok=True)
    try:
        try:
            return judge(life)
        except StoreError:
            if life.acked or life.heads:
                raise
            return {"unmade": 1}  # its making was cut short: nobody was promised anything
    finally:
        life.end()
        shutil.rmtree(folder)


SCRIPT_CALLS_MAX = 2000
"""The scripted life makes about 150 calls; past this it is not short any more."""


def script(life: Life) -> None:
    """A short life that does each thing once, whatever fails on the way."""
    life.begin(filler=253)
    life.append(life.message(10))
    life.append(life.message(40_000), life.message(300))
    life.publish()
    life.redact()
    life.append(life.message(10))
    life.reopen()
    life.append(life.message(9000))
    life.publish()


def fail_once(disk: Disk, fault: Fault, at: int, folder: Path) -> dict[str, int] | None:
    """The script with its `at`-th call failing; None when it has no such call. Raises Lost."""
    life = Life(disk, folder, random.Random(7), autocheckpoint=30)
    disk.reset()
    disk.arm(fault, at)
    try:
        try:
            script(life)
        except TimmyError:  # could not be made, opened or closed: fine, if it was the disk
            if not disk.failing:
                raise
        if not disk.failing:
            return None
        disk.heal()
        _go_on(life)
        life.end()
        try:
            return judge(life, whole_disk=True)
        except StoreError:
            if life.acked or life.heads:
                raise
            return {"unmade": 1}
    finally:
        life.end()
        shutil.rmtree(folder)


def _go_on(life: Life) -> None:
    """The fault is over: a log that is open takes events again without being opened again."""
    if life.log is None or not life.heads or life.log._store._writer is None:
        return
    if not life.append(life.message(300)):
        raise Lost("an open log refuses events after the disk was mended")
    life.publish()


def batch(root: str, first: int, count: int, synchronous: str = "FULL") -> dict:
    """Trials `first` to `first + count`, in a process that does nothing else."""
    total: Counter[str] = Counter()
    lost: list[str] = []
    with installed() as disk:
        for seed in range(first, first + count):
            folder = Path(root) / f"trial-{seed}"
            folder.mkdir()
            try:
                total.update(lose_power(disk, seed, folder, synchronous=synchronous))
            except Exception as error:
                lost.append(f"trial {seed}: {type(error).__name__}: {error}")
            total["trials"] += 1
    return {**total, "lost": lost}


def every_call(root: str, name: str, start: int, step: int) -> dict:
    """The script with each call number start, start + step, ... failing in turn."""
    total: Counter[str] = Counter()
    lost: list[str] = []
    calls: Counter[str] = Counter()
    fault = Fault[name]
    with installed() as disk:
        for at in range(start, SCRIPT_CALLS_MAX, step):
            folder = Path(root) / f"{name}-{at}"
            folder.mkdir()
            try:
                told = fail_once(disk, fault, at, folder)
            except Exception as error:
                lost.append(f"{fault.value} at call {at}: {type(error).__name__}: {error}")
                told = {}
            if told is None:
                break
            total.update(told)
            total["trials"] += 1
            calls[disk_call(disk)] += 1
    return {**total, "calls": dict(calls), "lost": lost}


def disk_call(disk: Disk) -> str:
    """What kind of call failed last."""
    return (disk.hit or "none").split()[0]
