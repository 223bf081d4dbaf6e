"""What members of the fleet adopted, read from copies of their ledgers; and what of it holds here.

A member's report is its own ledger: the steps of its adoptions stand there, under a head that its
key signed. Nothing is sent for it, and nothing else is believed. Whether what it adopted may be
taken up here is weighed anew from what is on record there, by this node's rules: its verdict, found
by the judge that runs here, and the yes of an operator of *this* node to that very verdict. A yes
of approvers was given to one member; what is constitutional needs more than a yes.

Not covered: what a member's copy lacks (`node.fleet.mirroring`); whose turn it is
(`genesis.core.adopting.stages`).
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from genesis.core.adopting.stages import Fate, Report, rollout_of
from genesis.core.approval import SignedAnswer
from genesis.core.errors import InvalidVerdict
from genesis.core.granting import Case, NotYet, Proposed, Rules, Why, Yes, decide
from genesis.core.patch import PatchClass
from genesis.core.proposal import parse_proposal
from genesis.core.verdict import verify_envelope
from ledger.core import types
from ledger.core.errors import NotFound, Refused, TimmyError
from ledger.core.event import Cause, Event
from ledger.core.lineage import Lineage
from ledger.log import Log
from ledger.mirror import MirrorLog
from mesh.core.fleet.manifest import Fleet, Member
from mesh.mirrors.mirror import Mirror, misread
from node.agent.approval import Granted, PatchApproval, envelopes_of, proposed_of
from node.agent.on_record import WORDS, answers_in_time, events_about
from node.open import now_ms
from node.sections.adoption import OFF

STEPS_MAX: Final = 400
"""Newest steps that are read of one ledger: what was tried before is nobody's next."""
_DIGEST_BYTES: Final = 32
_FATES: Final = {
    types.PATCH_CANARY.name: Fate.TRYING,
    types.PATCH_ADOPTED.name: Fate.TRYING,
    types.PATCH_SETTLED.name: Fate.SETTLED,
    types.PATCH_ROLLED_BACK.name: Fate.BACK,
}
_OBJECTIONS: Final = frozenset({Why.DISAPPROVED, Why.REJECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An adoption as one ledger tells of it. `proposal`: its position there.

    `origin`: the ledger that it says it was taken up from; None of one that was made there.
    """

    rollout: bytes
    base: bytes
    root: bytes
    proposal: int
    origin: bytes | None
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An adoption of another member that this node's rules approve, with what shows it."""

    member: Member
    proposal: Event
    proposed: Proposed
    document: bytes
    yes: Yes
    answer: SignedAnswer
    envelope: bytes

    @property
    def cause(self) -> Cause:
        """The proposal's event, in the ledger of its member."""
        return Cause(
            position=self.proposal.position, id=self.proposal.id, ledger=self.member.ledger
        )


def trials_of(log: Log, size: int) -> dict[bytes, Trial]:
    """Return the newest adoption of each rollout that the first `size` events tell of.

    Never raises for what a member wrote.
    """
    found: dict[bytes, Trial] = {}
    staged: dict[int, bytes] = {}
    for event in log.stream(types.ADOPTION_STREAM, last=STEPS_MAX):
        if event.position >= size:
            break
        if event.type == types.PATCH_STAGED.name:
            if (trial := _staged(log, event)) is not None:
                found[trial.rollout], staged[event.position] = trial, trial.rollout
        elif (fate := _FATES.get(event.type)) is not None:
            adoption = event.payload.get("adoption")
            rollout = staged.get(adoption) if type(adoption) is int else None
            if rollout is not None:
                report = Report(fate=fate, since_ms=event.ts_ms)
                found[rollout] = replace(found[rollout], report=report)
    return found


def _staged(log: Log, event: Event) -> Trial | None:
    match event.payload:
        case {"patch": int(at), "root": bytes(root), "before": {"root": bytes(base)}}:
            if not 0 <= at < event.position:
                return None
            proposal = log.read(at)
            document = proposal.payload.get("document")
            if proposal.type != types.PATCH_PROPOSED.name or type(document) is not bytes:
                return None
            if {len(base), len(root), len(document)} != {_DIGEST_BYTES}:
                return None
            cause = origin_of(proposal)
            return Trial(
                rollout=rollout_of(base, root, document),
                base=base,
                root=root,
                proposal=at,
                origin=None if cause is None else cause.ledger,
                report=Report(fate=Fate.TRYING, since_ms=event.ts_ms),
            )
    return None


def origin_of(proposal: Event) -> Cause | None:
    """Return the other ledger's event that a proposal was taken up from, if it says so."""
    return next((one for one in proposal.envelope.causes if one.ledger is not None), None)


@dataclass(slots=True, kw_only=True)
class Offers:
    """What the fleet adopted, as one node knows it."""

    log: Log
    approval: PatchApproval
    fleet: Callable[[], Fleet | None]
    mirrors: Callable[[], Mapping[bytes, Mirror[MirrorLog]]]
    clock: Callable[[], int] = now_ms
    _read: dict[bytes, tuple[int, dict[bytes, Trial]]] = field(default_factory=dict)

    @property
    def members(self) -> tuple[Member, ...]:
        """Those of the newest manifest."""
        fleet = self.fleet()
        return () if fleet is None else fleet.manifest.members

    def steps(self) -> tuple[int, ...]:
        """Return how many steps each member's ledger tells of: what is new shows there."""
        return tuple(self._steps(one.ledger)[2] for one in self.members)

    def trials(self) -> dict[bytes, dict[bytes, Trial]]:
        """Return what each member's ledger tells, by ledger and rollout; nothing of one that is
        not here.
        """
        found = {}
        for member in self.members:
            log, size, steps = self._steps(member.ledger)
            known = self._read.get(member.ledger)
            if log is not None and (known is None or known[0] != steps):
                try:
                    known = self._read[member.ledger] = steps, trials_of(log, size)
                except TimmyError as error:  # or it is made anew at this moment
                    misread(self.mirrors(), member.ledger, error)
                    known = None
            found[member.ledger] = {} if known is None else known[1]
        return found

    def _steps(self, ledger: bytes) -> tuple[Log | None, int, int]:
        """A ledger, how much of it is proven, and how many steps of adoptions that holds."""
        log, size = self._copy(ledger)
        try:
            at = [] if log is None else log.positions(types.ADOPTION_STREAM, 0)
        except TimmyError as error:
            misread(self.mirrors(), ledger, error)
            return None, 0, 0
        return log, size, bisect_left(at, size)

    def _copy(self, ledger: bytes) -> tuple[Log | None, int]:
        """A member's ledger as far as it is proven, our own as it is."""
        if ledger == self.log.ledger_id:
            return self.log, self.log.size
        mirror = self.mirrors().get(ledger)
        if mirror is None or mirror.log is None or mirror.complete is None:
            return None, 0
        return mirror.log, mirror.complete.size

    def offer(self, ledger: bytes, position: int) -> Offer:
        """Return what the proposal at `position` of a member is here.

        Raises Refused, NotFound with what is in the way; InvalidPatch.
        """
        member, _, _ = self._member(ledger)
        proposal, case, rules = self._case(ledger, position)
        found = decide(case, rules, now_ms=self.clock())
        if isinstance(found, NotYet):
            raise Refused(
                f"proposal {position} of {member.name} is not approved here: {found.text}",
                hint="the operator's yes, at that member: timmy patch approve EVENT",
            )
        [*answers] = (
            one
            for one in case.answers
            if one.key in found.keys and one.answer.question.verdict == found.verdict
        )
        document = str((proposal.content or {}).get("document", "")).encode()
        if parse_proposal(document).digest != proposal.payload.get("document"):
            raise Refused(
                f"proposal {position} of {member.name} is of another document",
                hint="look at that member: timmy doctor",
            )
        return Offer(
            member=member,
            proposal=proposal,
            proposed=case.proposed,
            document=document,
            yes=found,
            answer=answers[-1],
            envelope=_envelope(case, rules, found.verdict),
        )

    def objection(self, ledger: bytes, position: int) -> str:
        """Return who says no to a member's proposal there, or "": also where nothing is known."""
        try:
            _, case, rules = self._case(ledger, position)
        except TimmyError:
            return ""
        found = decide(case, rules, now_ms=self.clock())
        return found.text if isinstance(found, NotYet) and found.why in _OBJECTIONS else ""

    def _member(self, ledger: bytes) -> tuple[Member, Log, int]:
        fleet, (log, size) = self.fleet(), self._copy(ledger)
        member = None if fleet is None else fleet.manifest.member(ledger)
        if fleet is None or member is None:
            raise Refused(f"{ledger.hex()} is no member of the fleet", hint="timmy mesh members")
        if fleet.manifest.operator not in self.approval.deciders.rules().operators:
            raise Refused(
                "who signs the fleet's manifest is nobody who decides at this node",
                hint="[gateways.nostr] operator, in node.toml: the npub of your fleet's operator",
            )
        if log is None:
            raise Refused(f"there is no copy of {member.name} yet", hint="timmy mesh mirrors")
        return member, log, size

    def _case(self, ledger: bytes, position: int) -> tuple[Event, Case, Rules]:
        """What is on record there, and this node's rules for it: the operator's yes, no other."""
        member, log, size = self._member(ledger)
        if not 0 <= position < size:
            raise NotFound(f"{member.name} has no event {position}", hint="timmy mesh mirrors")
        proposal = log.read(position)
        proposed = proposed_of(ledger, proposal)
        if proposed.patch_class is not PatchClass.ROUTINE:
            raise Refused(
                "a constitutional change is no fleet's to follow",
                hint="each member by itself: timmy patch approve EVENT",
            )
        lineage = Lineage.of(log.read(0))
        for record in log.stream(types.LINEAGE_STREAM, last=size):
            if record.type in types.LINEAGE and record.position < size:
                lineage = lineage.add(record)
        said = [one for one in events_about(log, proposal, WORDS) if one.position < size]
        case = Case(
            proposed=proposed,
            is_open=True,  # it is adopted there
            envelopes=envelopes_of(log, proposal),
            wordless=envelopes_of(log, proposal, words=False),
            answers=answers_in_time(said, proposed),
        )
        tenures = {key for one in lineage.tenures for key in one.keys.values()}
        born = {key for role, key in lineage.genesis.keys.items() if role != "operator"}
        rules = self.approval.deciders.rules()
        judges = frozenset(one.keys["log"] for one in lineage.tenures)
        none: frozenset[bytes] = frozenset()
        own = rules.own | tenures | born | {member.nostr}
        return proposal, case, replace(rules, judges=judges, own=own, people=none, approvers=none)


def _envelope(case: Case, rules: Rules, digest: bytes) -> bytes:
    for envelope, _ in case.envelopes:
        try:
            if verify_envelope(envelope, trusted=rules.judges).verdict.digest == digest:
                return envelope
        except InvalidVerdict:
            continue
    raise NotFound(f"no verdict {digest.hex()} is on record there", hint="timmy mesh mirrors")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetApproval:
    """Approval at a node that follows its fleet: its own, or the operator's at another member.

    What is taken up needs this node's own accepting verdict all the same, and nobody's no.
    """

    own: PatchApproval
    offers: Offers

    def granted(self, position: int) -> Granted:
        """See `PatchApproval`. Raises NotFound, Refused."""
        try:
            return self.own.granted(position)
        except NotFound:
            raise
        except Refused:
            origin = origin_of(self.own.log.read(position))
            if origin is None or self.own.objection(position):
                raise
        return self._followed(position, origin)

    def _followed(self, position: int, origin: Cause) -> Granted:
        assert origin.ledger is not None
        offer = self.offers.offer(origin.ledger, origin.position)
        case = self.own.case(position)
        ours, theirs = case.proposed, offer.proposed
        same = (ours.base, ours.root, ours.patch_sha256) == (
            theirs.base, theirs.root, theirs.patch_sha256,
        )  # fmt: skip
        if not same or ours.patch_class is not PatchClass.ROUTINE:
            raise Refused(
                f"proposal {position} is not what the operator approved at {offer.member.name}",
                hint=f"timmy patch approve {position}",
            )
        return Granted(
            patch=position,
            patch_id=ours.patch,
            verdict=self.own.question(position, case=case).verdict,
            root=ours.root,
            approvers=offer.yes.keys,
            patch_class=ours.patch_class,
            at_ms=offer.yes.at_ms,
        )

    def standing(self, position: int) -> dict[str, Any]:
        """See `PatchApproval`; granted, too, where that is by the operator's yes at another."""
        row = self.own.standing(position)
        try:
            found = None if row["granted"] else self.granted(position)
        except (NotFound, Refused):
            return row
        if found is None:
            return row
        return row | {
            "granted": True,
            "why": None,
            "text": "approved at another member",
            "verdict": found.verdict,
            "approvers": list(found.approvers),
        }

    def objection(self, position: int) -> str:
        """See `PatchApproval`; and what the operator says at the member it was taken up from."""
        text = self.own.objection(position)
        origin = origin_of(self.own.log.read(position))
        if text or origin is None or origin.ledger is None:
            return text
        return self.offers.objection(origin.ledger, origin.position)


def approval_of(offers: Offers, follow: str) -> PatchApproval | FleetApproval:
    """Return who says at this node what may be adopted. `follow`: see `[adoption]`."""
    return offers.approval if follow == OFF else FleetApproval(own=offers.approval, offers=offers)
