"""Adoptions that another member settled, taken up here when this member's turn has come.

    offered    it settled there, upon the very architecture that is in force here, and the operator
               approved it there (`node.fleet.offers`)
    turn       whose it is, the members' own ledgers say (`genesis.core.adopting.stages`)
    taken up   proposed here, from the same document; the verdict and the yes of there are put
               beside it; judged here; staged, tried and settled here, like any other

Off unless node.toml says otherwise. Whatever others report, nothing is adopted but what the
operator approved and this node's judge accepts, and every trial is this node's own. `force` lets
one member begin before its turn, or after a halt; the word is kept in memory, and gone with a
restart.

Not covered: a rollback elsewhere while a trial lasts here: that trial's own measures decide.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from genesis.core.adopting.stages import Next, Report, Standing, stages_of, stand
from genesis.core.verdict import Decision, signing_keys
from ledger.core import types
from ledger.core.errors import NotFound, Refused, StoreFull, TimmyError
from ledger.core.event import Draft, Event
from ledger.log import Log
from node.agent.adopting import Adopting
from node.agent.approval import PatchApproval
from node.agent.on_record import events_about
from node.agent.patching import Patching
from node.config import Config
from node.fleet.leases import HOME
from node.fleet.offers import FleetApproval, Offer, Offers, Trial, approval_of
from node.open import now_ms
from node.sections.adoption import OFF, AdoptionSection
from node.sections.mesh import FLEET
from runtime.core.limits import PROPOSALS_OPEN_MAX
from runtime.core.proposals import Standing as State

_LOOK_SECONDS: Final = 2.0
"""How often the copies are looked at: they are some seconds behind by themselves."""
_ANEW_MS: Final = 30_000
"""How often approval is weighed anew though no member took a step: somebody may have said no."""
_AGAIN_MS: Final = 30_000
_AGAIN_MS_MAX: Final = 3_600_000
"""When what failed is tried again, twice as long each time: a busy judge, a crowded list."""
_SHOWN_MAX: Final = 5
_NAMED_CHARS_MIN: Final = 8

_log = structlog.get_logger("node.fleet.stages")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One adoption over the fleet, as this member sees it.

    `origin` is the ledger that it is taken from, `position` that of the proposal there (None if it
    is not told). `offer` is what may be taken up here, and `why` what is in the way.
    """

    id: bytes
    base: bytes
    root: bytes
    origin: bytes
    position: int | None
    reports: dict[bytes, Report]
    standing: Standing
    offer: Offer | None
    why: str

    @property
    def newest_ms(self) -> int:
        """When a member last took a step in it."""
        return max(one.since_ms for one in self.reports.values())

    @property
    def holds(self) -> bool:
        """Whether it is this member's to take up, or was: what others only say concerns nobody."""
        return self.offer is not None or self.standing.next is Next.BEGUN


@dataclass(slots=True)
class _Trouble:
    """What came of taking one up: when it is tried again, and how long after that."""

    text: str
    next_ms: int
    pause_ms: int


@dataclass(slots=True, kw_only=True)
class Stages:
    """This member's part in the adoptions of its fleet."""

    section: AdoptionSection
    patching: Patching
    adopting: Adopting
    offers: Offers
    clock: Callable[[], int] = now_ms
    _forced: set[bytes] = field(default_factory=set)
    _troubles: dict[bytes, _Trouble] = field(default_factory=dict)
    _looked: tuple[tuple[int, ...], int] = ((), 0)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def log(self) -> Log:
        """This member's ledger."""
        return self.offers.log

    @property
    def approval(self) -> PatchApproval | FleetApproval:
        """Who says what may be adopted here."""
        return approval_of(self.offers, self.section.follow)

    async def run(self) -> None:
        """Take up what is due, until cancelled; nothing where node.toml says off."""
        while self.section.follow != OFF:
            self._woken.clear()
            try:
                await self._step()
            except StoreFull:
                raise
            except (TimmyError, OSError) as error:
                _log.warning("the fleet is not followed", why=str(error)[:300])
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._woken.wait()

    async def _step(self) -> None:
        if self.adopting.now.under_way is not None or not self._news():
            return
        now = self.clock()
        for one in self.rollouts():
            trouble = self._troubles.get(one.id)
            due = trouble is None or trouble.next_ms <= now
            if one.standing.next is Next.BEGIN and one.offer is not None and due:
                self._looked = (), 0
                await self._try(one.id, one.offer)
                return

    def _news(self) -> bool:
        steps, now = self.offers.steps(), self.clock()
        due = any(one.next_ms <= now for one in self._troubles.values())
        if self._looked[0] == steps and now - self._looked[1] < _ANEW_MS and not due:
            return False
        self._looked = steps, now
        return True

    async def _try(self, rollout: bytes, offer: Offer) -> None:
        try:
            await self._take_up(rollout, offer)
            self._troubles.pop(rollout, None)
        except StoreFull:
            raise
        except TimmyError as error:
            before = self._troubles.get(rollout)
            pause = _AGAIN_MS if before is None else min(2 * before.pause_ms, _AGAIN_MS_MAX)
            self._troubles[rollout] = _Trouble(str(error), self.clock() + pause, pause)
            _log.warning("what the fleet adopted is not taken up", why=str(error)[:300])

    async def _take_up(self, rollout: bytes, offer: Offer) -> None:
        position = await self._proposed(rollout, offer)
        await self._recorded(self.log.read(position), offer)
        await self._judged(position)
        again = self._find(rollout)  # judging took a while
        if again is not None and again.standing.next is Next.BEGIN and again.offer is not None:
            await self.adopting.apply(position, self.section.plan, by=_name(offer))
            self._forced.discard(rollout)
            _log.info("taken up from the fleet", member=offer.member.name, proposal=position)

    async def _proposed(self, rollout: bytes, offer: Offer) -> int:
        known, document = self.patching.proposals, offer.proposal.payload["document"]
        position = known.with_document(document)
        if position is not None:
            return position
        gone = [one for one in known if one.document == document]
        if gone and gone[-1].state is State.WITHDRAWN and rollout not in self._forced:
            raise Refused("it was withdrawn at this member", hint="timmy patch follow ROLLOUT")
        if len(known.open) >= PROPOSALS_OPEN_MAX:
            raise Refused(f"{len(known.open)} proposals are open", hint="timmy patch withdraw")
        event = await self.patching.propose(
            offer.document, author=_name(offer), causes=(offer.cause,), taken_up=True
        )
        return event.position

    async def _recorded(self, proposal: Event, offer: Offer) -> None:
        """Put what was found and said there beside it, once: whoever reads this ledger sees why.

        Both are about another ledger's question, so here they count for nothing by themselves.
        """
        kinds = {types.PATCH_APPROVED.name}
        said = events_about(self.log, proposal, kinds)
        if any(one.payload.get("author") == _name(offer) for one in said):
            return
        stream, causes = proposal.stream, (proposal.cause, offer.cause)
        verdict = {
            "patch": proposal.position,
            "decision": Decision.ACCEPT.value,
            "digest": offer.yes.verdict,
            "keys": list(signing_keys(offer.envelope)),
            "envelope": offer.envelope,
        }
        answer = {**offer.answer.to_payload(proposal.position), "author": _name(offer)}
        told = {types.PATCH_REPORTED.name: verdict, types.PATCH_APPROVED.name: answer}
        await self.patching.book.append(
            *(
                Draft(type=kind, stream=stream, payload=payload, causes=causes)
                for kind, payload in told.items()
            )
        )

    async def _judged(self, position: int) -> None:
        """Have this node's judge accept it. Raises Refused."""
        if text := self.offers.approval.objection(position):
            raise Refused(text, hint="timmy patch status")
        with suppress(Refused):
            self.offers.approval.question(position)
            return
        found = await self.patching.judge(position)
        if found["decision"] != Decision.ACCEPT.value:
            raise Refused(
                f"this node's judge says {found['decision']}: {found['reason'] or 'see the gates'}",
                hint=f"timmy patch show {position}",
            )

    # ---- what there is ---------------------------------------------------------------------------

    def rollouts(self) -> list[Rollout]:
        """Return those upon the architecture that is in force here, or of it, the oldest first.

        What others tried upon another one is none of this member's.
        """
        trials = self.offers.trials()
        known = {one: trial for told in trials.values() for one, trial in told.items()}
        if not known:
            return []
        present = self.patching.present.read().root
        found = [
            self._rollout(one, trials)
            for one, trial in known.items()
            if present in (trial.base, trial.root)
        ]
        return sorted(found, key=lambda one: (one.newest_ms, one.id))

    def _find(self, rollout: bytes) -> Rollout | None:
        return next((one for one in self.rollouts() if one.id == rollout), None)

    def _rollout(self, rollout: bytes, trials: dict[bytes, dict[bytes, Trial]]) -> Rollout:
        told = {ledger: found[rollout] for ledger, found in trials.items() if rollout in found}
        origin, offer, why = self._origin(told)
        homes = [one.ledger for one in self.offers.members if HOME in one.roles]
        pace = self.section.pace
        reports = {ledger: trial.report for ledger, trial in told.items()}
        others = stages_of(rollout, (one for one in homes if one != origin), pace)
        standing = stand(
            self.log.ledger_id,
            ((origin,), *others),
            reports,
            pace=pace,
            now_ms=self.clock(),
            forced=rollout in self._forced,
        )
        one = next(iter(told.values()))
        position = told[origin].proposal if origin in told else None
        return Rollout(
            id=rollout, base=one.base, root=one.root, origin=origin, position=position,
            reports=reports, standing=standing, offer=offer, why=why,
        )  # fmt: skip

    def _origin(self, told: dict[bytes, Trial]) -> tuple[bytes, Offer | None, str]:
        """Whose it was first: of those who say they made it, the first whose approval holds here.

        Who only says so stays in its stage. What was begun here needs no approval any more.
        """
        own = told.get(self.log.ledger_id)
        if own is not None:
            return own.origin or self.log.ledger_id, None, ""
        made = sorted(ledger for ledger, trial in told.items() if trial.origin is None)
        why = "nobody who has it made it"
        for ledger in made:
            try:
                return ledger, self.offers.offer(ledger, told[ledger].proposal), ""
            except TimmyError as error:
                why = str(error)
        return (made or sorted(told))[0], None, why

    # ---- asked by people -------------------------------------------------------------------------

    def force(self, named: str) -> None:
        """Let this member take one up now, whatever the others report. Raises Refused, NotFound."""
        if self.section.follow == OFF:
            raise Refused(
                "this node does not follow its fleet", hint='[adoption] follow = "stages"'
            )
        found = [one for one in self.rollouts() if one.id.hex().startswith(named.lower())]
        if len(named) < _NAMED_CHARS_MIN or len(found) != 1:
            raise NotFound(
                f"{named[:80]!r} names no adoption of the fleet", hint="timmy patch status"
            )
        [one] = found
        if one.standing.next is Next.BEGUN:
            raise Refused("this member has begun it", hint="timmy patch status")
        if one.offer is None:
            raise Refused(one.why, hint="only what the operator approved is taken up")
        self._forced.add(one.id)
        self._troubles.pop(one.id, None)
        self._looked = (), 0
        self._woken.set()

    def value(self) -> dict[str, Any]:
        """Return how far the fleet is, as the rows that scripts rely on."""
        told: dict[str, Any] = {"follow": self.section.follow, "rollouts": [], "fault": ""}
        if self.section.follow == OFF:
            return told
        try:
            found = sorted(self.rollouts(), key=lambda one: one.holds)
        except (TimmyError, OSError, ValueError) as error:  # an architecture that cannot be read
            return told | {"fault": str(error)}
        return told | {"rollouts": [self._row(one) for one in found[-_SHOWN_MAX:]]}

    def summary(self) -> list[str]:
        """What somebody should look at, in words: a halt, a stage that waits too long, a fault."""
        told = self.value()
        look = [
            f"{row['rollout'].hex()[:16]}: {row['look']}" for row in told["rollouts"] if row["look"]
        ]
        return [*look, *filter(None, [told["fault"]])]

    def _row(self, one: Rollout) -> dict[str, Any]:
        names = {member.ledger: member.name for member in self.offers.members}
        origin = {"ledger": one.origin, "name": names.get(one.origin, "")}
        standing, trouble = one.standing, self._troubles.get(one.id)
        waits, halted = (
            [names.get(ledger, ledger.hex()) for ledger in named]
            for named in (standing.waits_for, standing.halted_by)
        )
        fault = "" if trouble is None or standing.next is Next.BEGUN else trouble.text
        return {
            "rollout": one.id, "base": one.base, "root": one.root,
            "origin": origin | {"position": one.position},
            "offered": one.offer is not None, "why": one.why,
            "next": standing.next.value, "stage": standing.open_, "own_stage": standing.own,
            "stages": [
                [
                    {
                        "ledger": ledger, "name": names.get(ledger, ""),
                        "fate": one.reports.get(ledger, Report()).fate.value,
                        "since_ms": one.reports.get(ledger, Report()).since_ms or None,
                    }
                    for ledger in stage
                ]
                for stage in standing.stages
            ],
            "waits_for": waits, "halted_by": halted, "late": standing.late, "trouble": fault,
            "look": _look(halted, waits, fault, late=standing.late) if one.holds else "",
        }  # fmt: skip


def check_stages(config: Config) -> None:
    """Refuse to follow a fleet of whose ledgers no copies are kept. Raises TimmyError."""
    if config.adoption.follow != OFF and FLEET not in config.mesh.mirror:
        raise TimmyError(
            "adoption.follow: no copies of the other members' ledgers are kept",
            hint='[mesh] mirror = ["fleet"]: what they report stands there',
        )


def _look(halted: list[str], waits: list[str], fault: str, *, late: bool) -> str:
    if halted:
        return f"halted: {', '.join(halted)} rolled it back"
    if late:
        return f"waits too long for {', '.join(waits)}"
    return fault


def _name(offer: Offer) -> str:
    """Who is said to have brought it: the member, by its ledger."""
    return f"fleet/{offer.member.ledger.hex()}"
