"""The child's side: taking the parent's orders, telling it what needs somebody, reports.

    obey      an order that is the next one: what it asks is done, then parent.ordered keeps it.
              Done first, for each deed may be done twice: after a crash between, it is sent again.
              One that fails TRIES_MAX times, a reset once, is kept as failed: else it would bar
              every later order, for they are taken in their order
    tell      parent.told: a report or an alarm, numbered; it waits here until the parent has it
    check     every half hour: "I am alive", what waits, and the orders that this child lacks
    follow    alarms of the heartbeat are told as they are raised, and when they end

What a gate opens or closes takes effect with the event that keeps the order: the rules are read
anew (`node.agent.tools`). A reset pauses every job that is not the node's own and begins the agent
anew; it erases nothing.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import structlog

from genesis.core.children.errors import ChildError, OutOfTurn
from genesis.core.children.letters import (
    ORDERS,
    Kind,
    Letter,
    Opened,
    check_fresh,
    write_letter,
)
from genesis.core.children.profile import WORDS
from genesis.core.errors import PatchError
from genesis.core.proposal import parse_proposal
from ledger.core import types
from ledger.core.errors import NotFound, Refused
from ledger.core.event import Draft, Event
from ledger.core.keys import Signer
from ledger.core.limits import IDEMPOTENCY_KEY_BYTES
from ledger.core.statement import NONCE_BYTES
from ledger.release import Release
from node.agent.hosts import Hosts
from node.agent.patching import Patching
from node.children.kin import Kin
from node.children.ledgers import write_ledger
from node.children.post import Post, Relays, Unreachable
from node.children.records import Ward, check_known
from node.home import Home
from node.open import now_ms
from runtime.core.jobs import DONE, Job, Run
from runtime.core.jobspec import BUILT_IN, Words
from runtime.core.report import make_report
from runtime.core.tally import alarms, reported, tallies
from runtime.gateway import Gateway
from runtime.jobs import JobBook
from runtime.journal import Journal
from runtime.scheduler import Result
from runtime.zones import wall_clock

PARENT: Final = "parent"
"""Author, gateway and conversation of what the parent says to the agent."""
SEALED_AT_ONCE: Final = 16
"""Tellings that are left at relays together: what waited for a week."""
RETRY_S: Final = 60.0
"""How soon an alarm that did not reach the parent is tried again."""
TRIES_MAX: Final = 3
"""Of a deed that fails: a full disk may be gone at the next check, half an hour later."""
_WHY_CHARS: Final = 500
FAILED_SHOWN: Final = 8
"""Newest orders of which it is told whether they failed."""
FAILED: Final = "failed"
_NOON: Final = 12

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Growing:
    """One node as a child. `url` is how others reach it, `parent_url` of node.toml or empty."""

    home: Home
    journal: Journal
    release: Release
    nostr: Signer
    ward: Ward
    kin: Kin
    post: Post
    gateway: Gateway
    host: Hosts
    book: JobBook
    patching: Patching
    machine: Callable[[], Mapping[str, int]]
    name: str
    url: str
    parent_url: str
    relays: Relays | None = None
    clock: Callable[[], int] = now_ms
    _heard_ms: int = 0
    _taken: int | None = None
    """How many tellings the parent has; None until it said so, and signed it."""
    _failing: tuple[int, int] = (0, 0)
    """The number of the order whose deed failed last, and how often."""
    _deciding: asyncio.Lock = field(default_factory=asyncio.Lock)
    _sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_child(self) -> bool:
        """Whether this agent has a parent."""
        return self.ward.now().certificate is not None

    def parent(self) -> str:
        """Where the parent is reached; empty if nobody knows."""
        return self.parent_url or self.kin.parent_url()

    # ---- orders --------------------------------------------------------------------------------

    async def obey(self, letter: Letter) -> int:
        """Take an order; return the number of the last one taken. The same again changes nothing.

        Raises NotFound for an agent without a parent, InvalidLetter, OutOfTurn.
        """
        if not self.is_child:
            raise NotFound("this agent has no parent")
        opened = self.ward.open(letter)
        if opened.kind not in ORDERS:
            raise Refused(f"{opened.kind.value} is no order", hint="docs/spec/child.md")
        async with self._deciding:
            standing = self.ward.now().standing
            if opened.number > standing.chain.number:
                standing.take(opened)
                failed = await self._try(opened)
                await self.journal.append(_kept(types.PARENT_ORDERED.name, opened, failed=failed))
                _log.info("an order of the parent", kind=opened.kind.value, number=opened.number)
            else:
                check_known(self.ward.orders, opened)
            return self.ward.now().standing.chain.number

    async def _try(self, opened: Opened) -> str:
        """Do what an order asks; return why it failed if that is final. Raises what it raises else.

        A reset is final at once: the gates that it closes do not wait for a job that cannot pause.
        """
        try:
            await self._do(opened)
        except Exception as error:  # whatever it is, no later order shall wait for it
            number, tries = self._failing
            tries = 1 + (tries if number == opened.number else 0)
            self._failing = opened.number, tries
            if tries < TRIES_MAX and opened.kind is not Kind.RESET:
                raise
            _log.exception("an order of the parent failed", number=opened.number)
            return f"{type(error).__name__}: {error}"[:_WHY_CHARS]
        return ""

    async def _do(self, opened: Opened) -> None:
        deeds: dict[Kind, Callable[[Opened], Awaitable[None]]] = {
            Kind.GUIDE: self._hear,
            Kind.PATCH: self._propose,
            Kind.RESET: self._begin_anew,
        }
        deed = deeds.get(opened.kind)
        erased = opened.letter.text is None
        if deed is not None and not erased:
            await deed(opened)

    async def _hear(self, opened: Opened) -> None:
        await self.gateway.receive(
            opened.text,
            conversation=PARENT,
            author=PARENT,
            gateway=PARENT,
            idempotency_key=opened.digest[:IDEMPOTENCY_KEY_BYTES],
            here=True,
        )

    async def _propose(self, opened: Opened) -> None:
        """Propose, and no more: this child's own judge and operator decide about it."""
        document = opened.text.encode()
        try:
            known = self.patching.proposals.with_document(parse_proposal(document).digest)
            if known is None:
                await self.patching.propose(document, author=PARENT)
        except PatchError as error:  # refused, and on record as that
            _log.warning("a patch of the parent was refused", why=str(error))

    async def _begin_anew(self, _opened: Opened) -> None:
        try:
            for job in list(self.book.jobs):
                if job.spec.kind not in BUILT_IN and not job.paused:
                    await self.book.pause(job.spec.name, by=PARENT)
        finally:
            self.host.begin_anew()

    # ---- telling -------------------------------------------------------------------------------

    async def tell(self, kind: Kind, facts: Mapping[str, Any], text: str) -> Event:
        """Record what the parent is to know; it is sent by whoever looks next."""
        certificate = self.ward.now().certificate
        assert certificate is not None
        async with self._deciding:
            opened = write_letter(
                kind,
                facts,
                text,
                chain=self.ward.now().told.chain,
                ledger_id=certificate.parent,
                at_ms=self.clock(),
                nonce=os.urandom(NONCE_BYTES),
                signer=self.nostr,
            )
            [event] = await self.journal.append(_kept(types.PARENT_TOLD.name, opened))
        self._waiting.set()
        return event

    async def send(self) -> None:
        """Bring the parent what it lacks, and fetch its orders. Raises Unreachable, ChildError.

        By HTTP, which answers; else by relays, where the answer comes as letters.
        """
        try:
            await self._send()
        except Unreachable:
            if self.relays is None:
                raise
            await self._seal(self.relays)

    async def _seal(self, relays: Relays) -> None:
        certificate = self.ward.now().certificate
        assert certificate is not None
        key = certificate.parent_keys["nostr"]
        waiting = self.ward.told.above(self._taken or 0)[:SEALED_AT_ONCE]
        for letter in (await self._alive(), *(opened.letter for _, opened in waiting)):
            await relays.send(key, letter)

    async def hear(self, letter: Letter) -> None:
        """Take a letter of the parent that came by relays: an order, or what it has heard."""
        opened = self.ward.open(letter)
        if opened.kind is not Kind.HEARD:
            await self.obey(letter)
            return
        self._take(opened)

    def _take(self, opened: Opened) -> None:
        """Take what the parent has heard. Raises OutOfTurn for a letter of before the last one.

        One of the same millisecond is none: answers may follow each other that fast.
        """
        check_fresh(opened, now_ms=self.clock(), taken_ms=self._heard_ms - 1)
        self._heard_ms, self._taken = opened.at_ms, opened.facts["told"]

    async def _send(self) -> None:
        url = self.parent()
        if not url:
            raise Unreachable(
                "nobody knows where the parent is",
                hint="set lineage.parent in node.toml, or carry letters: timmy lineage carry",
            )
        async with self._sending:
            orders = await self._exchange(url, await self._alive())
            for _, opened in self.ward.now().told.above(self._taken or 0):
                await self._exchange(url, opened.letter)
        for letter in orders:
            await self.obey(letter)

    async def _exchange(self, url: str, letter: Letter) -> list[Letter]:
        """Send a letter; take what the parent signs that it has, return its other letters.

        The number beside them is not looked at: whoever stands between the two can write it, and
        an alarm would wait for ever.
        """
        others = []
        for one in (await self.post.send(url, letter)).letters:
            opened = self.ward.open(one)
            if opened.kind is not Kind.HEARD:
                others.append(one)
                continue
            try:
                self._take(opened)
            except OutOfTurn as error:  # then it stays as it was, and is sent again
                _log.info("what the parent heard is not of now", why=str(error))
        return others

    async def _alive(self) -> Letter:
        certificate = self.ward.now().certificate
        assert certificate is not None
        head = await asyncio.to_thread(self.release.head)
        facts = {
            "url": self.url,
            "gate": self.ward.standing.gate,
            "orders": self.ward.standing.chain.number,
            "told": self.ward.told.chain.number,
            "alarms": len(alarms(self.journal.state.entries)),
            "size": head.size,
            "root": head.root,
        }
        return write_letter(
            Kind.ALIVE,
            facts,
            "",
            chain=None,
            ledger_id=certificate.parent,
            at_ms=self.clock(),
            nonce=os.urandom(NONCE_BYTES),
            signer=self.nostr,
        ).letter

    @property
    def lacking(self) -> int:
        """How many tellings the parent may not have yet."""
        return len(self.ward.now().told.above(self._taken or 0))

    # ---- what runs by itself -------------------------------------------------------------------

    async def check(self, run: Run, job: Job, words: Words) -> Result:
        """Say that this child lives, as a job."""
        del run, job, words
        try:
            await self.send()
        except ChildError as error:
            return Result(outcome=FAILED, facts={"reason": "the parent"}, output=f"{error}\n")
        return Result(outcome=DONE, output=f"orders: {self.ward.standing.chain.number}\n")

    async def report(self, run: Run, job: Job, words: Words) -> Result:
        """Tell the parent how this child is, as a job: in the morning, and in the evening."""
        del run, words
        event = await self.tell_report(job.spec.zone)
        return Result(outcome=DONE, facts={"told": event.position})

    async def tell_report(self, zone: str) -> Event:
        """Write a report from counts, without a model, and send it."""
        entries, now_s = self.journal.state.entries, self.clock() // 1000
        when = wall_clock(now_s, zone)
        hour = int(when.partition(" ")[2][:2] or _NOON)
        kind = "morning" if hour < _NOON else "evening"
        before = reported(entries)
        standing = self.ward.now().standing
        text = make_report(
            title=f"{self.name}, {kind} of {when}",
            before={} if before is None else before.tallies,
            now=tallies(entries),
            alarms=alarms(entries),
            failing=[
                f"job {one.name}: {one.fails} in a row, {one.why}"
                for one in self.book.jobs
                if one.fails
            ]
            + [f"order {number}: {why}" for number, why in self._failed()],
            machine=self.machine(),
        )
        asks = f"Before {standing.next}: what is lacking?" if standing.next else "All gates passed."
        text += f"\n## For the parent\n\n- {WORDS[standing.level]}\n- {asks}\n"
        head = await asyncio.to_thread(self.release.head)
        facts = {"kind": kind, "gate": standing.gate, "size": head.size, "root": head.root}
        return await self.tell(Kind.REPORT, facts, text)

    async def run(self) -> None:
        """Tell of alarms as they come, and send what waits; for ever, if there is a parent."""
        if not self.is_child:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            while True:
                await self._waiting.wait()
                self._waiting.clear()
                try:
                    await self.send()
                except ChildError as error:
                    _log.info("the parent does not hear", why=str(error))
                    await asyncio.sleep(RETRY_S)
                    self._waiting.set()

    async def _follow(self) -> None:
        size = self.journal.log.size
        await self._catch_up()
        async for event in self.journal.log.follow(size):
            if event.type in _ALARMS:
                await self._tell_of(event)

    async def _catch_up(self) -> None:
        """Tell what was raised or ended while nobody could."""
        self._waiting.set()
        standing = {(one.trigger, one.subject): one for one in alarms(self.journal.state.entries)}
        told = self._told()
        for name, alarm in standing.items():
            if told.get(name, (Kind.RELIEF, 0))[0] is not Kind.ALARM:
                await self._tell_of(self.journal.log.read(alarm.position))
        for name, (kind, event) in told.items():
            if kind is Kind.ALARM and name not in standing:
                facts = {"event": event, "trigger": name[0], "subject": name[1]}
                await self.tell(Kind.RELIEF, facts, "")

    def _told(self) -> dict[tuple[str, str], tuple[Kind, int]]:
        """What the parent was told last of each alarm."""
        return {
            (opened.facts["trigger"], opened.facts["subject"]): (
                opened.kind,
                opened.facts["event"],
            )
            for _, opened in self.ward.now().told.letters
            if opened.kind in (Kind.ALARM, Kind.RELIEF)
        }

    async def _tell_of(self, event: Event) -> None:
        payload = event.payload
        facts = {
            "event": event.position,
            "trigger": str(payload.get("trigger")),
            "subject": str(payload.get("subject")),
        }
        await self.tell(_ALARMS[event.type], facts, str(payload.get("why") or ""))

    # ---- being looked at -----------------------------------------------------------------------

    @asynccontextmanager
    async def shown(self, letter: Letter) -> AsyncIterator[Path]:
        """Write this ledger for the parent who asks; the file is gone behind the block.

        Raises NotFound, InvalidLetter, OutOfTurn.
        """
        if not self.is_child:
            raise NotFound("this agent has no parent")
        opened = self.ward.open(letter)
        if opened.kind is not Kind.LOOK:
            raise Refused(f"{opened.kind.value} is no request to look", hint="docs/spec/child.md")
        check_fresh(opened, now_ms=self.clock(), taken_ms=self.kin.looked_ms())
        self.kin.set_looked(opened.at_ms)
        with TemporaryDirectory(dir=self.home.path, prefix=".look-") as folder:
            path = Path(folder) / "ledger.bundle"
            head = await asyncio.to_thread(self.release.head)
            await asyncio.to_thread(write_ledger, self.home, head, path)
            yield path

    # ---- for people ----------------------------------------------------------------------------

    def _failed(self) -> list[tuple[int, str]]:
        """Orders among the newest whose deeds failed, and why."""
        newest = self.ward.now().orders[-FAILED_SHOWN:]
        contents = ((one.number, self.journal.log.read(at).content or {}) for at, one in newest)
        return [(number, content[FAILED]) for number, content in contents if FAILED in content]

    def value(self) -> dict[str, Any] | None:
        """How this child stands with its parent; None for an agent without one."""
        certificate = self.ward.now().certificate
        if certificate is None:
            return None
        standing = self.ward.standing
        return {
            "parent": certificate.parent,
            "npub": certificate.parent_keys["nostr"],
            "url": self.parent() or None,
            "ancestors": list(certificate.ancestors),
            "gate": standing.gate,
            "level": standing.level,
            "next": standing.next,
            "may": WORDS[standing.level],
            "orders": standing.chain.number,
            "resets": standing.resets,
            "told": self.ward.told.chain.number,
            "lacking": self.lacking,
            "failed": [{"number": number, "why": why} for number, why in self._failed()],
            "skills": dict(certificate.skills),
            "gates": dict(certificate.gates),
        }


_ALARMS: Final = {types.NODE_ESCALATED.name: Kind.ALARM, types.NODE_RELIEVED.name: Kind.RELIEF}


def _kept(kind: str, opened: Opened, *, failed: str = "") -> Draft:
    """The event that keeps a letter to or from the parent. `failed`: why its deed was not done."""
    words = {"text": opened.text, FAILED: failed}
    return Draft(
        type=kind,
        stream=types.PARENT_STREAM,
        payload=opened.letter.to_payload(),
        content={name: text for name, text in words.items() if text} or None,
    )
