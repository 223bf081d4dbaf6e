"""Keeping a mirror of one log: `mesh.core.mirrors` with a clock, a folder, sources.

Requests go out side by side; answers are taken in one at a time, each with everything that follows
from it on disk before the next. A full disk stops it for a while, an end (two histories, a broken
log) for good: then it says why, keeps what it has for people, and offers nothing of it.

That a log signed two histories is also found elsewhere: `frozen` is asked before anything else is,
and what it knows ends the copying as if it had been met here.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Generic, Protocol

import structlog

from ledger.core.checkpoint import SignedCheckpoint, open_checkpoint
from ledger.core.errors import InvalidData, StoreDamaged, StoreError, TimmyError
from ledger.core.event import Event
from ledger.core.parting import Agreed
from mesh.core import limits
from mesh.core.errors import InvalidPackage
from mesh.core.mirrors.copying import (
    Action,
    Ask,
    Broken,
    Complete,
    Conflict,
    Doubt,
    Fault,
    Faulted,
    GivenUp,
    Head,
    Pursue,
    Store,
    StoreLeaves,
)
from mesh.core.told import Told
from mesh.core.witnesses.introduction import open_introduction
from mesh.mirrors.comparing import Proven, Unresponsive, View, put_beside
from mesh.mirrors.folder import Folder, L, Machine
from mesh.mirrors.offer import LeafOffer, NotOffered
from mesh.mirrors.source import SourceFailed

_STORE_AGAIN_SECONDS: Final = 10.0
"""How soon a disk that took nothing is tried again."""


_WHY_CHARS_MAX: Final = 200
"""Of what a source says, in the log."""
_SOUL_PLACES_MAX: Final = 16
"""Of those who answer, and may not have it; it is asked for again at the next complete head."""


class Answers(Protocol):
    """Where a log is copied from. All raise SourceFailed."""

    async def answer(self, ledger_id: bytes, ask: Ask) -> bytes:
        """Return the bytes of the answer to `ask`, bounded; nobody has looked at them."""

    async def soul(self, ledger_id: bytes) -> bytes:
        """Return the SOUL.md that it has of this log, unchecked."""

    async def tile(self, ledger_id: bytes, level: int, index: int, width: int) -> bytes:
        """Return the first `width` hashes of a tile of its tree, unchecked."""


Witness = Callable[[Conflict | Doubt], Awaitable[None]]
"""Told of two notes of one log that exclude each other, or may."""

_log = structlog.get_logger(__name__)


async def _nobody(_: Conflict | Doubt) -> None:
    """Without a witness it is in the folder and in the log."""


@dataclass(slots=True)
class _SourceState:
    fault: str = ""
    doubt: str = ""
    """Why a head of it that does not continue this copy is no proof of anything."""
    answered: float | None = None
    failed: float | None = None
    """When it did last; None once it has answered for CLEAN_SECONDS since."""


@dataclass(slots=True, kw_only=True)
class Mirror(Generic[L]):
    """The mirror of one ledger. `run` keeps it; the rest may be asked at any time."""

    folder: Folder[L]
    sources: Callable[[], Mapping[str, Answers]]
    """Who is asked, by name, the nearest first. Others, later: copying goes on with those."""
    jitter: Iterator[float]
    near: Callable[[], int] = lambda: limits.MIRROR_SOURCES_MAX
    """How many of them are asked at each poll; the others are, one after the other."""
    witness: Witness = _nobody
    frozen: Callable[[int], Conflict | None] = lambda _: None
    """What proves that this log signed two histories in an epoch, or in a later one."""
    now: Callable[[], float] = time.monotonic
    told: Told = field(default_factory=Told)
    """What was logged of its sources; shared with the other mirrors of a node."""
    log: L | None = None
    complete: SignedCheckpoint | None = None
    trouble: str | None = None
    """Why nothing can be stored now: the disk."""
    damage: str | None = None
    """What of the copy could not be read; hashes are fetched again then."""
    _misread: StoreError | None = None
    """Why, until it is opened anew."""
    _soul_wanted: bool = False
    _doubt: Doubt | None = None
    """To be put beside what is here: a head that came without a proof that it continues this."""
    _doubted: bytes = b""
    """The note of the last that was."""
    _replica: Machine | None = None
    _states: dict[str, _SourceState] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ledger_id(self) -> bytes:
        """Whose copy it is."""
        return self.folder.ledger_id

    # ---- asked by others --------------------------------------------------------------------

    def offer(self) -> LeafOffer | None:
        """What of this copy may be given to others: the events under its complete head."""
        log, replica = self.log, self._replica
        over = replica is not None and replica.ended is not None
        if log is None or self.complete is None or over:
            return None

        def head() -> SignedCheckpoint:
            if self.complete is None:
                raise NotOffered("this copy begins anew")
            return self.complete

        return self.folder.offer(log, head)

    def status(self) -> dict[str, object]:
        """How it is, for people: sizes in events, ages in seconds; None where nothing is known."""
        ended = self.folder.ended
        pursued = self._replica.head if self._replica else None
        complete = self.complete
        stored = self.log.size if self.log else 0
        if ended and (left := self.folder.complete) is not None:
            stored = Head.of_note(left).size
        return {
            "ledger": self.ledger_id,
            "depth": self.folder.depth,
            "folder": self.folder.path.name,
            "events": stored,
            "size": complete.size if complete else 0,
            "behind": max(0, pursued.size - stored) if pursued else None,
            "head_age_s": self._age(),
            "ended": ended["why"] if ended else None,
            "trouble": self.trouble,
            "damage": self.damage,
            "sources": [
                {
                    "url": name,
                    "answered_s": self._since(state.answered),
                    "fault": "; ".join(filter(None, (state.doubt, state.fault))) or None,
                }
                for name, state in list(self._states.items())[: limits.MIRROR_SOURCES_MAX]
            ],
            "more_sources": max(0, len(self._states) - limits.MIRROR_SOURCES_MAX),
        }

    def _age(self) -> int | None:
        """How long ago a source last said that there is nothing newer than what is pursued."""
        times = [one.answered for one in self._states.values() if one.answered is not None]
        return self._since(max(times)) if times else None

    def _since(self, then: float | None) -> int | None:
        return None if then is None else int(self.now() - then)

    def view(self, head: SignedCheckpoint) -> View | None:
        """The tree under a head, if it lies here, and all of it could be read until now."""
        log = self.log
        if log is None or self._misread is not None or head.size > log.size:
            return None
        try:
            here = log.root(head.size) == head.root
        except TimmyError as error:
            self.misread(error)
            return None
        return View(head=head, log=log, misread=partial(self.misread, log=log)) if here else None

    def misread(self, error: TimmyError, *, log: L | None = None) -> None:
        """Take in that somebody could not read this copy: told once; hashes are fetched again.

        `log`: as he had it open, if that was a while ago.
        """
        if self.log is None or (log is not None and log is not self.log):
            return  # it was closed meanwhile, and is opened anew
        self.damage = str(error)
        if isinstance(error, StoreError):
            self._misread = error
        if self.told.first(self._named(), self.damage, self.now()):
            _log.error("a mirror cannot be read", ledger=self.ledger_id.hex(), why=self.damage)
        self._wake.set()

    # ---- kept -------------------------------------------------------------------------------

    def hurry(self) -> None:
        """Ask for newer heads now: somebody waits for what was just said."""
        if self._replica is not None:
            self._replica.hurry()
            self._wake.set()

    async def run(self) -> None:
        """Copy, and go on copying what is new, until cancelled or at an end."""
        try:
            while self.folder.ended is None:
                try:
                    await self._copy()
                except* (StoreError, OSError) as group:
                    self.trouble = str(group.exceptions[0])
                    if self.told.first(self._named(), self.trouble, self.now()):
                        _log.warning("a mirror waits for the disk", error=self.trouble)
                    self._close()
                    await asyncio.sleep(_STORE_AGAIN_SECONDS)
        finally:
            self._close()

    def open(self) -> L:
        """Open the copy and what is known of it. Raises StoreError."""
        try:
            log = self.folder.open()
        except StoreDamaged as error:
            if not self.folder.discards:
                raise
            self.damage = str(error)
            _log.error("a mirror is damaged", ledger=self.ledger_id.hex(), why=self.damage)
            self.folder.discard()
            log = self.folder.open()
        self.log = log
        note, lineage = self.folder.complete, log.lineage()
        if note is not None and lineage is not None:
            named = Head.of_note(note)
            if named.size > log.size:
                return log
            with suppress(InvalidData):  # it is made anew at the next complete head
                key = lineage.tenure_at(named.epoch, named.size).keys["log"]
                self.complete = open_checkpoint(note, key)
        return log

    def _close(self) -> None:
        self._replica = self.complete = self._misread = None
        log, self.log = self.log, None
        if log is not None:
            log.close()

    async def _copy(self) -> None:
        """Copy until the end, or until another copy must be begun."""
        log, sources = await asyncio.to_thread(self.open), self.sources()
        self.trouble = None
        self._states = {name: self._states.get(name, _SourceState()) for name in sources}
        self._replica = replica = self.folder.machine(log, sources, self.jitter, self.near())
        await self._act(replica, replica.settled())
        async with asyncio.TaskGroup() as group:
            while replica.ended is None and (now := self.sources()).keys() == sources.keys():
                self._wake.clear()
                if self._misread is not None and self.folder.discards:
                    raise self._misread  # opening it again finds what is damaged
                if await self._freeze(replica):
                    break
                if self._soul_wanted:  # beside the rest: who is asked may be slow to be dead
                    self._soul_wanted = False
                    group.create_task(self._fetch_soul(replica))
                if self._doubt is not None:
                    doubt, self._doubt = self._doubt, None
                    group.create_task(self._resolve(replica, doubt))
                for ask in replica.requests(self.now()):
                    group.create_task(self._ask(replica, now[ask.source], ask))
                await self._sleep(replica.wake_at())
        self._close()
        if isinstance(replica.ended, GivenUp):
            self.folder.set_aside(replica.ended.epoch)

    async def _freeze(self, replica: Machine) -> bool:
        """End if two histories of the epoch that is copied are known, or of a later one."""
        newest = replica.head or (self.complete.checkpoint if self.complete else None)
        proof = None if newest is None else self.frozen(newest.epoch)
        if proof is None:
            return False
        async with self._turn:
            await self._act(replica, replica.proven(proof))
        return True

    async def _sleep(self, until: float | None) -> None:
        """Until an answer was taken in, or a time: soon enough to hear of other sources."""
        pause = limits.MIRROR_POLL_SECONDS
        if until is not None:
            pause = min(pause, max(0.0, until - self.now()))
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._wake.wait()

    async def _ask(self, replica: Machine, source: Answers, ask: Ask) -> None:
        state = self._states[ask.source]
        data, fault, why = b"", Fault.UNREACHABLE, ""
        try:
            data = await source.answer(self.ledger_id, ask)
        except SourceFailed as error:
            fault = Fault.REFUSED if error.refused else Fault.UNREACHABLE
            why = str(error) or "no answer"
        async with self._turn:
            if why:
                actions = replica.failed(ask, fault, why, self.now())
            else:
                self._answered(ask.source, state)
                actions = replica.answered(ask, data, self.now())
            await self._act(replica, actions)
            await self._act(replica, replica.settled())
        self._wake.set()

    async def _act(self, replica: Machine, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Pursue(note=note, shown=shown):
                    await asyncio.to_thread(self._pursue, note, shown)
                case Store() | StoreLeaves():
                    await asyncio.to_thread(self._store, action)
                case Complete(note=note):
                    await self._completed(replica, note)
                case Faulted(source=name, fault=fault, text=text):
                    self._failed(name, fault, text)
                case Doubt(shown=shown):
                    await self.witness(action)
                    if shown != self._doubted:  # each head is put beside this copy once
                        self._doubt, self._doubted = action, shown
                case Conflict(known=known, shown=shown):
                    self.folder.end("this log signed two histories", known, shown)
                    _log.error("a log signed two histories", ledger=self.ledger_id.hex())
                    await self.witness(await self._shown(action))
                    self.complete = None  # nothing is given on while the last answers come in
                case Broken(text=text):
                    self.folder.end(text)
                    _log.error("a mirror ends", ledger=self.ledger_id.hex(), why=text)
                case GivenUp(epoch=epoch):
                    _log.warning("a log was recovered: copying it again", epoch=epoch)

    def _named(self, source: str = "") -> str:
        """Whose fault it is, where it is not the same for every log."""
        return f"{source} {self.ledger_id.hex()}"

    def _answered(self, name: str, state: _SourceState) -> None:
        state.answered, state.fault = self.now(), ""
        if state.failed is not None and self.now() - state.failed >= limits.CLEAN_SECONDS:
            state.failed = None
            self.told.forget(name)
            self.told.forget(self._named(name))

    def _failed(self, name: str, fault: Fault, text: str) -> None:
        """Say a fault when it is another one; who is silent, is so for every log."""
        state = self._states[name]
        state.fault, state.failed = f"{fault}: {text}", self.now()
        who = name if fault is Fault.UNREACHABLE else self._named(name)
        if self.told.first(who, state.fault, self.now()):
            ledger, why = self.ledger_id.hex(), text[:_WHY_CHARS_MAX]
            _log.warning(
                "a source of a mirror fails", source=name, ledger=ledger, fault=str(fault), why=why
            )

    async def _resolve(self, replica: Machine, doubt: Doubt) -> None:
        """Look whether the doubted head excludes what is here; copying ends if it is proven."""
        conflict = Conflict(
            known=doubt.known, shown=doubt.shown, same_size=False, source=doubt.source,
            introduction=doubt.introduction,
        )  # fmt: skip
        found = await self._shown(conflict)
        if found.branches is None and not found.same_size:
            return
        async with self._turn:
            await self._act(replica, replica.proven(found))
        self._wake.set()

    async def _shown(self, conflict: Conflict) -> Conflict:
        """Add what shows a conflict to anybody, if this copy and its source have it."""
        source = self.sources().get(conflict.source)
        if conflict.same_size or conflict.branches is not None or source is None:
            return conflict
        found = await self.beside(
            conflict.introduction, conflict.shown, partial(source.tile, self.ledger_id)
        )
        match found:
            case Proven(notes=(known, shown), branches=branches):
                return replace(
                    conflict, known=known, shown=shown, branches=branches,
                    same_size=branches is None,
                )  # fmt: skip
            case Unresponsive(reason=reason):
                state = self._states.setdefault(conflict.source, _SourceState())
                state.doubt = f"unresponsive: {reason}"
                if self.told.first(self._named(conflict.source), state.doubt, self.now()):
                    _log.warning(
                        "a head is not shown to continue its log",
                        source=conflict.source,
                        why=reason,
                    )
        return conflict

    async def beside(
        self, introduction: bytes, shown: bytes, tiles: Callable[[int, int, int], Awaitable[bytes]]
    ) -> Proven | Agreed | Unresponsive:
        """Put a head of this log beside the complete head of this copy. Raises nothing."""
        log, complete = self.log, self.complete
        if log is None or complete is None:
            return Unresponsive(reason="nothing of this log is complete here")
        try:
            lineage = open_introduction(introduction, self.ledger_id).lineage
            named = Head.of_note(shown)
            key = lineage.tenure_at(named.epoch, named.size).keys["log"]
            head = open_checkpoint(shown, key)
        except (InvalidData, InvalidPackage) as error:
            return Unresponsive(reason=str(error))
        if head.checkpoint.origin != complete.checkpoint.origin:
            return Unresponsive(reason=f"it is of {head.checkpoint.origin}")
        here = View(head=complete, log=log, misread=partial(self.misread, log=log))
        return await put_beside(here, View(head=head, tiles=tiles))

    def _pursue(self, note: bytes, shown: tuple[Event, ...]) -> None:
        assert self.log is not None
        self.folder.keep_shown(self.log, shown)
        self.folder.pursue(note)

    def _store(self, action: Store | StoreLeaves) -> None:
        assert self.log is not None
        self.folder.store(self.log, action)

    async def _completed(self, replica: Machine, note: bytes) -> None:
        assert replica.lineage is not None
        await asyncio.to_thread(self.folder.completed, note)
        named = Head.of_note(note)
        key = replica.lineage.tenure_at(named.epoch, named.size).keys["log"]
        self.complete = open_checkpoint(note, key)
        for state in self._states.values():
            state.doubt = ""
        self._soul_wanted = self.folder.lacks_soul

    async def _fetch_soul(self, replica: Machine) -> None:
        """Ask those who answer, in turn; without it the copy lacks nothing that a head proves."""
        assert replica.lineage is not None
        sources = self.sources()
        here = [name for name, one in self._states.items() if one.answered is not None]
        for source in [sources[name] for name in here if name in sources][:_SOUL_PLACES_MAX]:
            with suppress(SourceFailed, InvalidData):
                soul = await source.soul(self.ledger_id)
                self.folder.keep_soul(soul, replica.lineage.genesis)
                return


def misread(mirrors: Mapping[bytes, Mirror[L]], ledger_id: bytes, error: TimmyError) -> None:
    """Tell the copy of a log that it could not be read, if there is one: our own log is none."""
    mirror = mirrors.get(ledger_id)
    if mirror is not None:
        mirror.misread(error)
