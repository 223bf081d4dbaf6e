"""Who does a planned run, over the bus: the shell of mesh/core/fleet/duty.py.

Each member runs one `Duties`. It answers as a voter, out of a durable book (mesh/fleet/grants.py);
it hears what others began; and for each planned run that this node is asked to see to, `decide`
asks, waits and says whether to begin it here. Whoever begins records it, calls `began`, then does
it.

    duty.ask.<voter>   request: an ask; answer: a grant or a refusal
    duty.turn.<member> request: an ask by who comes after it; answer: a refusal. Its `why` is LACKS
                       if it has not got the job: nobody waits for its turn then
    duty.begun         live: begun, told again each TELL_SECONDS until the run's window is over, so
                       that a member that was off, or cut off, hears it within its grace

Every message is signed by its author (mesh/core/fleet/duty_wire.py); the bus, and whoever else is
on it, can delay and drop, and no more. What is not signed by a member of the fleet is passed over;
what nobody signed is logged, once a day for each subject.
Who is a member, and who votes, the newest manifest says; ids are Nostr keys.

Not covered: a member that says it began a run and does not do it; it has signed that. After a
restart the caller says `began` again of runs whose window is not over: here nothing of it is kept.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import structlog

from ledger.core.errors import StoreError
from ledger.core.keys import Signer
from mesh.complaints import Complaints
from mesh.core.errors import BusError, InvalidDuty
from mesh.core.fleet.duty import (
    ANSWER_RUN_BYTES,
    LACKS,
    Action,
    Ask,
    Begin,
    Candidate,
    Grant,
    Plan,
    Questions,
    Refusal,
    Skip,
    Turns,
    Wake,
)
from mesh.core.fleet.duty_wire import Begun, Signed, author, read, sign
from mesh.core.fleet.manifest import Fleet, Manifest
from mesh.fleet.bus import Live, Message
from mesh.fleet.grants import GrantBook
from mesh.tasks import Timer, wait
from mesh.worker import Worker

ASK_SECONDS: Final = 10.0
"""A voter writes to a disk before it answers; a question without an answer is asked again."""
TELL_SECONDS: Final = 15.0
LOOK_SECONDS_MAX: Final = 15.0
"""asyncio's clock stands still while a machine sleeps, and does not see one that is set."""
HEARD_MAX: Final = 10_000
"""Runs that others began, kept in mind for those that are planned here a moment later."""
TOLD_MAX: Final = 1000
"""Runs that this member began and tells of; beyond it the oldest is told of no more."""
_BEGUN: Final = "duty.begun"
_HAS: Final = "the turn is mine"
_DOES_JOBS: Final = "jobs"
"""The role of members that may do a run."""
_ANSWERS: Final = ("gateway", "home")
"""The roles of members that may answer a message: a gateway answers what is its own."""


def ask_subject(voter: bytes) -> str:
    """Where a voter is asked."""
    return f"duty.ask.{voter.hex()}"


def turn_subject(member: bytes) -> str:
    """Where a member is asked whether it has a job."""
    return f"duty.turn.{member.hex()}"


def doers(manifest: Manifest) -> tuple[bytes, ...]:
    """Ids of the members that may do a run."""
    return tuple(one.nostr for one in manifest.members if _DOES_JOBS in one.roles)


def askers(manifest: Manifest, run: bytes) -> tuple[bytes, ...]:
    """Ids of the members to which a run may be granted: a job's, or the answer to a message."""
    if len(run) != ANSWER_RUN_BYTES:
        return doers(manifest)
    return tuple(one.nostr for one in manifest.members if not set(_ANSWERS).isdisjoint(one.roles))


def voters(fleet: Fleet, planned_s: int) -> tuple[tuple[bytes, ...], int]:
    """Ids of the members that grant runs planned then, and how many who do are no members now."""
    deciding = fleet.voters_at(planned_s)
    members = {one.nostr for one in fleet.manifest.members}
    left = tuple(one for one in deciding if one in members)
    return left, len(deciding) - len(left)


@dataclass(slots=True)
class _Case:
    """One run that is being decided."""

    candidate: Candidate
    end: Begin | Skip | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    asking: set[str] = field(default_factory=set)
    """Subjects on which a question is under way."""

    def take(self, actions: list[Action]) -> list[Action]:
        """Keep the end, if there is one, and wake who waits for it."""
        for action in actions:
            if isinstance(action, Begin | Skip):
                self.end = action
                self.changed.set()
        return actions


_Asks: TypeAlias = Callable[[_Case, str, bytes, Ask], Coroutine[Any, Any, None]]


class Duties:
    """Run `run()` in a task group of the node; cancel it to stop."""

    def __init__(
        self,
        bus: Live,
        signer: Signer,
        book: GrantBook | None,
        *,
        manifest: Callable[[], Manifest],
        clock: Callable[[], int],
        timer: Timer = wait,
        has: Callable[[bytes, int], bool | None] = lambda _run, _planned_s: None,
        held: Callable[[], bool] = lambda: False,
    ) -> None:
        """`signer` has the Nostr key; `book`: if this member votes; `clock`: Unix seconds; `has`:
        whether this member has the job of a run planned then, None as long as it cannot tell;
        `held`: whether this node may be an old copy of itself. It is asked from another thread.
        """
        self._bus = bus
        self._signer = signer
        self._me = signer.public
        self._book = book
        self._manifest = manifest
        self._clock = clock
        self._timer = timer
        self._has = has
        self._held = held
        self.listening = asyncio.Event()
        """Set while `run` hears what there is to hear."""
        self._since_s: int | None = None
        self._cases: dict[bytes, _Case] = {}
        self._heard: OrderedDict[bytes, bytes] = OrderedDict()
        self._mine: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()
        self._logger: Any = structlog.get_logger("mesh.fleet.duties")
        self._complaints = Complaints(log=self._logger, what="a word about runs is refused")

    async def run(self) -> None:
        """Answer, listen and tell, until cancelled."""
        worker = Worker("timmy-grants")
        try:
            async with (
                self._bus.subscribe(ask_subject(self._me)) as asked,
                self._bus.subscribe(turn_subject(self._me)) as turns,
                self._bus.subscribe(_BEGUN) as begun,
                asyncio.TaskGroup() as group,
            ):
                self._since_s = self._clock()
                self.listening.set()
                if self._book is not None:
                    group.create_task(self._answer(self._book, asked, worker))
                group.create_task(self._say_what_is_here(turns))
                group.create_task(self._hear(begun))
                group.create_task(self._tell())
        finally:
            self.listening.clear()
            await worker.close(lambda: None)

    # ---- a member ----------------------------------------------------------------------------

    async def decide(self, plan: Plan) -> Begin | Skip:
        """Say whether to begin a run here: now, at its turn, or never. `run` must be running.

        Cancel it to forget the question; asked anew it goes on where the voters' books are.
        """
        case = _Case(Candidate(plan, self._me, self._since_s))
        begun_by = self._heard.get(plan.run)
        if begun_by is not None and begun_by in plan.members:
            case.take(case.candidate.heard_begun(begun_by))
        self._cases[plan.run] = case
        try:
            async with asyncio.TaskGroup() as group:
                tasks: list[asyncio.Task[None]] = []
                while case.end is None:
                    case.changed.clear()
                    seconds = self._step(case, group, tasks)
                    if case.end is None:
                        await self._timer(case.changed, min(seconds, LOOK_SECONDS_MAX))
                for task in tasks:
                    task.cancel()
        finally:
            if self._cases.get(plan.run) is case:
                del self._cases[plan.run]
        assert case.end is not None
        return case.end

    def _step(
        self, case: _Case, group: asyncio.TaskGroup, tasks: list["asyncio.Task[None]"]
    ) -> float:
        """Do what is due; return in how many seconds more will be."""
        now_s, seconds = self._clock(), 1.0
        for action in case.take(case.candidate.tick(now_s)):
            if isinstance(action, Wake):
                seconds = max(0.0, float(action.at_s - now_s))
            elif isinstance(action, Questions | Turns):
                tasks[:] = [task for task in tasks if not task.done()]
                for subject, member, asks in self._questions(action):
                    if subject not in case.asking:
                        case.asking.add(subject)
                        tasks.append(group.create_task(asks(case, subject, member, action.ask)))
        return seconds

    def _questions(self, action: Questions | Turns) -> list[tuple[str, bytes, _Asks]]:
        """Each question: on which subject, to whom, and what asks it."""
        if isinstance(action, Questions):
            return [(ask_subject(one), one, self._ask) for one in action.voters]
        return [(turn_subject(one), one, self._ask_turn) for one in action.members]

    async def _ask(self, case: _Case, subject: str, voter: bytes, ask: Ask) -> None:
        word = await self._answer_to(case, subject, voter, ask)
        if word is not None:
            case.take(case.candidate.answered(word, self._clock()))

    async def _ask_turn(self, case: _Case, subject: str, member: bytes, ask: Ask) -> None:
        word = await self._answer_to(case, subject, member, ask)
        if isinstance(word, Refusal) and word.ask == ask:
            case.candidate.told_of(member, has=word.why != LACKS)
            case.changed.set()

    async def _answer_to(
        self, case: _Case, subject: str, member: bytes, ask: Ask
    ) -> Grant | Refusal | None:
        """What a member answers; None if it is to be asked again."""
        message = sign(ask, self._signer)
        try:
            reply = await self._bus.request(subject, message, seconds=ASK_SECONDS)
            word = read(reply).word
        except (BusError, InvalidDuty):
            return None
        finally:
            case.asking.discard(subject)
        return word if isinstance(word, Grant | Refusal) and word.voter == member else None

    async def began(self, plan: Plan, begin: Begin) -> None:
        """Tell of a run whose beginning is recorded, now and until its window is over."""
        begun = Begun(
            run=plan.run,
            planned_s=plan.planned_s,
            member=self._me,
            manifest=plan.manifest,
            fence=begin.fence,
        )
        message = sign(begun, self._signer)
        self._mine[plan.run] = (message, plan.until_s)
        while len(self._mine) > TOLD_MAX:
            self._mine.popitem(last=False)
        with suppress(BusError):
            await self._bus.publish(_BEGUN, message)

    async def _tell(self) -> None:
        while True:
            await self._timer(asyncio.Event(), TELL_SECONDS)
            now_s = self._clock()
            for run in [run for run, (_, until_s) in self._mine.items() if until_s < now_s]:
                del self._mine[run]
            for message, _ in list(self._mine.values()):
                with suppress(BusError):
                    await self._bus.publish(_BEGUN, message)

    # ---- what others say ---------------------------------------------------------------------

    def _read(self, message: Message) -> Signed | None:
        """Read a message; None for what is none. Who sent that nobody can tell, only where to."""
        try:
            return read(message.data)
        except InvalidDuty as error:
            self._complaints.of("", str(error), kind=message.subject, subject=message.subject)
            return None

    async def _hear(self, inbox: AsyncIterator[Message]) -> None:
        async for message in inbox:
            signed = self._read(message)
            if signed is None or author(signed.word) not in doers(self._manifest()):
                continue
            if isinstance(signed.word, Begun):
                self._heard_begun(signed.word)

    def _heard_begun(self, word: Begun) -> None:
        if word.member == self._me:
            return
        self._heard[word.run] = word.member
        while len(self._heard) > HEARD_MAX:
            self._heard.popitem(last=False)
        case = self._cases.get(word.run)
        if case is not None and word.member in case.candidate.plan.members:
            case.take(case.candidate.heard_begun(word.member))

    async def _say_what_is_here(self, asked: AsyncIterator[Message]) -> None:
        """Tell members whose turn is after ours whether we have the job of a run."""
        async for message in asked:
            signed = self._read(message)
            if signed is None or not isinstance(ask := signed.word, Ask):
                continue
            has = self._has(ask.run, ask.planned_s)
            if has is not None and ask.member in doers(self._manifest()):
                word = Refusal(ask=ask, voter=self._me, why=_HAS if has else LACKS)
                with suppress(BusError):
                    await message.reply(sign(word, self._signer))

    # ---- a voter -----------------------------------------------------------------------------

    async def _answer(self, book: GrantBook, asked: AsyncIterator[Message], worker: Worker) -> None:
        """Answer one question after the other; none while the book cannot be written."""
        failing = False
        async for message in asked:
            signed = self._read(message)
            if signed is None or not isinstance(signed.word, Ask):
                continue
            ask, manifest, now_s = signed.word, self._manifest(), self._clock()
            members = askers(manifest, ask.run)
            if ask.member not in members:
                continue  # strangers cost no answer

            def answer(
                ask: Ask = ask,
                known: Manifest = manifest,
                members: tuple[bytes, ...] = members,
                now_s: int = now_s,
            ) -> bytes:
                word = book.asked(
                    ask, now_s, manifest=known.digest, members=members, number=known.number,
                    held=self._held(),
                )  # fmt: skip
                return sign(word, self._signer)

            try:
                reply = await worker.submit(answer)
            except StoreError as error:
                if not failing:
                    self._logger.warning("a voter cannot write its grants", error=str(error))
                failing = True
                continue
            failing = False
            with suppress(BusError):
                await message.reply(reply)
