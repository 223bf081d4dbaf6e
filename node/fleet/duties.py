"""Runs of shared jobs, as this node's fleet decides them: `mesh.fleet.duties` behind `Duty`.

As long as this node is of no fleet nothing runs, and a shared job is refused when it is added. A
voter's grants are in the state directory beside the guard, in no backup: a home that is brought
back from one must not bring an older memory along. A new file grants nothing for an hour
(mesh/fleet/grants.py), unless this very run of the node saw itself come into the fleet: as who
begins it, or as a newcomer whom no manifest so far calls a voter. Such a one has granted nothing
that could be forgotten. So the file is made as soon as the node is of a fleet, also if it does not
vote. Not covered: a voter whose disk is lost, and who is taken in anew within the hour by a member
that has not heard yet that he was one.

A machine that is rolled back whole brings an old file along. While this node is in `doubt` whether
it is an old copy of itself (its release is held, or no member has compared heads with it yet), it
grants nothing, signs no new voters, and begins no run that was planned before it woke: it may have
done both already. If somebody shows that it is one (`forget`), its file begins an hour ahead.

A plan holds under one manifest. If voters refuse it because they know another, or have signed the
next one, it is asked again under the newest one, until the window is over: manifests reach
everybody within a minute. Before this node signs other voters, its file has to hold the promise
that goes with that (`mesh.core.fleet.duty`).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from ledger.core import types
from ledger.core.errors import StoreError
from ledger.core.keys import Signer
from ledger.log import Log
from mesh.core.errors import BusError, Refused
from mesh.core.fleet.duty import (
    AGAIN,
    BEGUN_BY_ANOTHER,
    FORGOTTEN,
    SKEW_S_MAX,
    Begin,
    Plan,
    Skip,
    order,
)
from mesh.core.fleet.duty import Mode as MeshMode
from mesh.core.fleet.manifest import Fleet, Manifest, Member
from mesh.fleet.bus import Live
from mesh.fleet.direct_bus import DirectBus
from mesh.fleet.duties import Duties, doers, voters
from mesh.fleet.grants import GrantBook
from node.fleet.bus import known
from node.fleet.members import FleetNode
from node.home import Home
from node.open import now_ms
from runtime.core.cases import Case
from runtime.core.errors import JobRefused
from runtime.core.jobspec import Mode, Shared, choice
from runtime.sharing import Left, Mine

AGAIN_SECONDS: Final = 5.0
"""A voter that knows another manifest is asked again so soon: manifests travel meanwhile."""
_OPEN_SECONDS: Final = 60.0
"""How soon a voter's file that cannot be read is tried again: somebody has to remove it."""
_BOOK_SECONDS: Final = 10.0
"""For the voter's file, which a node that has just begun opens."""
LEAD_S: Final = SKEW_S_MAX + 3600
"""How soon new voters decide where several have to say yes. They have an hour for it, whatever is
granted meanwhile: nothing is that is planned more than SKEW_S_MAX ahead."""
_LEAD_ALONE_S: Final = 60
"""The same where this node's yes is enough, and it has granted runs: it may do so once more."""
_DOUBT_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 45.0
"""Ten seconds for relays, thirty for members that may all be switched off, and some."""
_STARTS_MAX: Final = 64
"""Of the node's own events, so many times two are looked at first for its starts."""
_ROLE: Final = "jobs"
_HINT: Final = "timmy mesh members shows the fleet and its roles"

_log = structlog.get_logger("node.fleet.duties")


@dataclass(slots=True, kw_only=True)
class FleetDuty:
    """runtime.sharing.Duty. Run `run()` in a task group of the node."""

    home: Home
    live: Live
    signer: Signer
    fleet: FleetNode
    _duties: Duties | None = None
    _has: Callable[[bytes, int], bool] | None = None
    _book: GrantBook | None = None
    doubt: Callable[[], str] = lambda: ""
    """Why this node may be an old copy of itself; "" if it is none. Asked from any thread."""
    _woke_s: int = 0
    _forgets: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the file does not know yet that grants are forgotten."""
    _opened: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.fleet.vote = self

    async def run(self) -> None:
        """Answer other members, listen and tell, once this node is of a fleet."""
        while self.fleet.fleet is None:
            await self.fleet.settled.wait()
        path = self.home.grants(self.fleet.log.ledger_id)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        me, self._woke_s = self.signer.public, _now_s()
        book = await self._open(path, me, fresh=self.fleet.newcomer)
        self._book = book
        self._opened.set()
        duties = Duties(
            self.live, self.signer, book, manifest=self._manifest, clock=_now_s,
            has=self._has_job, held=lambda: bool(self._doubted()),
        )  # fmt: skip
        try:
            async with asyncio.TaskGroup() as group:
                if isinstance(self.live, DirectBus):
                    group.create_task(self.live.run())
                group.create_task(duties.run())
                group.create_task(self._write_down(book))
                await duties.listening.wait()
                self._duties = duties
                self._ready.set()
        finally:
            self._ready.clear()
            self._opened.clear()
            book.close()

    async def _open(self, path: Path, me: bytes, *, fresh: bool = False) -> GrantBook:
        """Open the voter's file; while it cannot be read this node votes for nothing."""
        while True:
            try:
                return await asyncio.to_thread(self._taken_up, path, me, fresh=fresh)
            except StoreError as error:
                fresh = False  # something lay there
                hint = "remove it: a new one grants nothing for an hour"
                _log.warning("no part in shared jobs", reason=str(error)[:200], hint=hint)
            await asyncio.sleep(_OPEN_SECONDS)

    def _taken_up(self, path: Path, me: bytes, *, fresh: bool) -> GrantBook:
        book = GrantBook(path, me=me, now_s=_now_s(), fresh=fresh)
        try:
            if not book.wake(*_starts(self.fleet.log), _now_s()):
                _log.warning("the file of grants is an old one: it grants nothing for an hour")
        except BaseException:
            book.close()
            raise
        return book

    def _manifest(self) -> Manifest:
        return known(self.fleet)

    # ---- an old copy of ourselves ----------------------------------------------------------------

    def forget(self) -> None:
        """Take it that this node granted and began what it does not know of any more."""
        self._forgets.set()

    async def _write_down(self, book: GrantBook) -> None:
        """Have it in the file; until it is there nothing is granted."""
        while True:
            await self._forgets.wait()
            try:
                await asyncio.to_thread(book.lost, _now_s())
            except StoreError as error:
                _log.warning("a voter cannot write its grants", error=str(error))
                await asyncio.sleep(_OPEN_SECONDS)
                continue
            self._forgets.clear()
            _log.error("THIS VOTER IS AN OLD COPY: it grants nothing for an hour")

    def _doubted(self) -> str:
        return self.doubt() or ("an old copy of itself" if self._forgets.is_set() else "")

    async def _forgotten(self, plan: Plan) -> bool:
        """Whether this node may have begun a run before, in a past that it does not know; waits
        until it knows, or the run's window is over.
        """
        while plan.planned_s < self._woke_s and self._doubted():
            if _now_s() > plan.until_s:
                return True
            await asyncio.sleep(_DOUBT_SECONDS)
        return self._book is not None and plan.planned_s < self._book.begins_s

    # ---- a change of voters ----------------------------------------------------------------------

    async def since(self, lead_s: int | None, *, alone: bool) -> int:
        """From when on voters of a manifest that is drafted now may decide. `alone`: this node's
        yes is enough for it. Raises Refused.
        """
        await self.look_first()
        book = await self._voting()
        if lead_s is None:
            lead_s = LEAD_S if not alone else _LEAD_ALONE_S if book.granted else 0
        return max(_now_s() + 1 + lead_s, book.promises_s)

    async def look_first(self) -> None:
        """Wait until others had the chance to say that this node is an old copy of itself: relays
        and members are asked at a start, and who admits somebody at once need not be told of it.
        """
        for _ in range(round(_LOOK_SECONDS / _DOUBT_SECONDS)):
            if not self._doubted():
                return
            await asyncio.sleep(_DOUBT_SECONDS)

    async def promise(self, number: int, since_s: int) -> None:
        """Grant nothing planned at `since_s` or later under manifest `number`, from now on.

        Raises Refused if such a run may have been granted here, StoreError.
        """
        book = await self._voting()
        if why := self._doubted():
            raise Refused(
                f"this voter may have forgotten what it granted: {why}",
                hint="see who has to answer: timmy mesh witness",
            )
        if not await asyncio.to_thread(book.promise, number, since_s):
            raise Refused(
                f"its voters are to decide from {since_s} on, and this voter has granted, or may "
                f"have granted, what is planned later; from {book.promises_s} on they could",
                hint="have it proposed anew, and say yes sooner (timmy mesh admit --lead MINUTES)",
            )

    async def _voting(self) -> GrantBook:
        with suppress(TimeoutError):
            async with asyncio.timeout(_BOOK_SECONDS):
                await self._opened.wait()
        if self._book is None or not self._opened.is_set():
            raise Refused("this voter's file of grants is not open", hint="timmy status; try again")
        return self._book

    # ---- what the operator asks ------------------------------------------------------------------

    def shared(self, text: str) -> Shared:
        """Read `owner`, `quorum` or `pinned:MEMBER`, as this node's fleet has it.

        Raises JobRefused.
        """
        word, _, name = text.partition(":")
        mode, fleet = choice(Mode, word), self.fleet.fleet
        if fleet is None:
            raise JobRefused(
                f"this node is of no fleet: nobody is there to be the {word} of a run",
                hint="timmy mesh found begins a fleet; without --mode the job is this node's alone",
            )
        own = self.fleet.membership
        if own is None or _ROLE not in own.roles:
            raise JobRefused(f"this node does not have the role {_ROLE} in its fleet", hint=_HINT)
        if mode is Mode.QUORUM and not fleet.manifest.voters:
            raise JobRefused("this fleet has no voters, and a quorum is theirs", hint=_HINT)
        if (mode is Mode.PINNED) != bool(name):
            raise JobRefused(f"{text[:60]!r} is no mode", hint="owner, quorum or pinned:MEMBER")
        member = self._member(name).nostr if name else b""
        return Shared(fleet=fleet.fleet_id, mode=mode, member=member)

    def _member(self, name: str) -> Member:
        named = [one for one in self._manifest().members if name in (one.name, one.ledger.hex())]
        if len(named) != 1 or _ROLE not in named[0].roles:
            raise JobRefused(
                f"{len(named)} members are called {name[:60]!r}, or it has not the role {_ROLE}",
                hint=_HINT,
            )
        return named[0]

    def name(self, member: bytes) -> str:
        """What people call the member with this Nostr key; this node, if the key is empty."""
        key = member or self.signer.public
        found = next((one for one in self._manifest().members if one.nostr == key), None)
        return key.hex()[:16] if found is None else found.name

    # ---- what the scheduler asks -----------------------------------------------------------------

    def turn(self, run: bytes, shared: Shared) -> dict[str, Any]:
        """Facts for the record: whose turn a run is first, under which manifest."""
        plan = self._plan(Case(run=run, job=b"", planned_s=0, until_s=0), shared)
        ranked = plan.members[:1] if shared.mode is Mode.PINNED else order(run, plan.members)
        if not ranked:
            return {}
        return {"first": ranked[0], "name": self.name(ranked[0]), "manifest": plan.manifest}

    async def decide(self, case: Case, shared: Shared) -> Mine | Left:
        """Say whether this member begins the run; waits while this node is of no fleet."""
        while True:
            duties = await self._listening()
            fleet = self.fleet.fleet
            if fleet is None or fleet.fleet_id != shared.fleet:
                return Left(why="the job is of another fleet than this node")
            if self.fleet.membership is None:
                return Left(why="this node is no member of the job's fleet any more")
            plan = self._plan(case, shared)
            end = await self._decide(duties, plan)
            if isinstance(end, Begin):
                return Mine(fence=end.fence, manifest=plan.manifest)
            if not _passes(end) or _now_s() > case.until_s:
                return self._left(end)
            await asyncio.sleep(AGAIN_SECONDS)

    async def ask(self, make: Callable[[Fleet], Plan]) -> Begin | Skip:
        """Decide a run of this node's own making, under whatever manifest is the newest."""
        while True:
            duties = await self._listening()
            assert self.fleet.fleet is not None
            plan = make(self.fleet.fleet)
            end = await self._decide(duties, plan)
            if isinstance(end, Begin) or not _passes(end) or _now_s() > plan.until_s:
                return end
            await asyncio.sleep(AGAIN_SECONDS)

    async def _decide(self, duties: Duties, plan: Plan) -> Begin | Skip:
        if plan.mode is MeshMode.QUORUM and await self._forgotten(plan):
            return Skip(run=plan.run, why=FORGOTTEN)
        return await duties.decide(plan)

    def _has_job(self, run: bytes, planned_s: int) -> bool | None:
        return None if self._has is None else self._has(run, planned_s)

    def serve(self, has: Callable[[bytes, int], bool]) -> None:
        """From now on, tell members that ask whether this node has the job of a run."""
        self._has = has

    async def began(self, case: Case, mine: Mine) -> None:
        """Tell the others of a run whose beginning is recorded."""
        duties = await self._listening()
        plan = Plan(
            run=case.run, planned_s=case.planned_s, mode=MeshMode.OWNER, members=(),
            manifest=mine.manifest, window_s=case.until_s - case.planned_s,
        )  # fmt: skip
        with suppress(BusError):
            await duties.began(plan, Begin(run=case.run, fence=mine.fence))

    async def _listening(self) -> Duties:
        await self._ready.wait()
        assert self._duties is not None
        return self._duties

    def _plan(self, case: Case, shared: Shared) -> Plan:
        manifest, fleet = self._manifest(), self.fleet.fleet
        those, gone = ((), 0) if fleet is None else voters(fleet, case.planned_s)
        pinned = shared.mode is Mode.PINNED
        return Plan(
            run=case.run,
            planned_s=case.planned_s,
            mode=MeshMode(shared.mode.value),
            members=(shared.member,) if pinned else doers(manifest),
            voters=those,
            gone=gone,
            manifest=manifest.digest,
            window_s=case.until_s - case.planned_s,
        )

    def _left(self, end: Skip) -> Left:
        if end.holder is None:
            return Left(why=end.why)
        name = self.name(end.holder)
        if end.why == BEGUN_BY_ANOTHER:
            return Left(why=f"done by {name}", holder=end.holder)
        return Left(why=f"{end.why}: {name}")  # granted or pinned, which is not done


def _passes(end: Skip) -> bool:
    """Whether voters said no because of their manifests, which meet soon."""
    return any(why in end.why for why in AGAIN)


def make_duty(home: Home, live: Live, signer: Signer, fleet: FleetNode) -> FleetDuty:
    """Make this node's part in the runs of its fleet."""
    return FleetDuty(home=home, live=live, signer=signer, fleet=fleet)


def _starts(log: Log) -> tuple[bytes, bytes]:
    """Ids of the events of the newest two starts of this node; b"" for one that is not there."""
    last = _STARTS_MAX
    while True:
        events = log.stream(types.NODE_STREAM, last=last)
        found = [one.id for one in events if one.type == types.NODE_STARTED.name][-2:]
        if len(found) == 2 or len(events) < last:
            return (found or [b""])[-1], found[0] if len(found) == 2 else b""
        last *= 4


def _now_s() -> int:
    return now_ms() // 1000
