"""Proposals and verdicts between homes: a bundle goes out, what others found comes in.

    export     the proposal as one file, by which another home judges it alone
    take       another home's signed verdict, put on record with who signed it
    verdicts   all that is on record about one, each beside this node's own

Who may send a verdict is not asked: it says what its signer found, and counts for nobody's approval
but where the fleet's manifest names the signer (`genesis.core.granting`). So those of each approver
are bounded, and those of all others together; and each
must be about this very proposal, at a head of this very log, and by no key of this node.

Not covered: how files travel.
"""

import asyncio
import io
from dataclasses import dataclass, field
from typing import Any, Final

from genesis.core.agreement import Comparison, held_against
from genesis.core.errors import InvalidVerdict
from genesis.core.limits import SIGNATURES_MAX
from genesis.core.verdict import Decision, SignedVerdict, signing_keys, verify_envelope
from ledger.core import types
from ledger.core.errors import Refused
from ledger.core.event import Draft, Event
from ledger.core.types import LINEAGE_STREAM
from ledger.log import Log
from node.agent.approval import PatchApproval, proposed_of
from node.agent.on_record import events_about
from node.agent.patch_bundle import ENVELOPES_MAX, Carried, write_patch_bundle
from node.agent.patching import Patching
from runtime.core.turns import Turns

REPORTS_MAX: Final = SIGNATURES_MAX
"""Of homes that approve nothing here, about one proposal: anybody can make them."""
REPORTS_OF_APPROVER_MAX: Final = 8
"""Of one approver about one proposal, apart from others', so that nobody takes its room. The last
is kept for a rejection: verdicts that say yes, or nothing, do not keep out the one that says no."""
_OWN: Final = types.PATCH_JUDGED.name
_KINDS: Final = frozenset({_OWN, types.PATCH_REPORTED.name})


@dataclass(frozen=True, slots=True, kw_only=True)
class Travelling:
    """What of one node's proposals goes out, and what comes in."""

    patching: Patching
    approval: PatchApproval
    _taking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def export(self, position: int, *, words: bool = True) -> bytes:
        """Return a bundle of a proposal, with this node's newest verdict and those it was sent.

        `words` as the verdict was found: see `node.agent.snapshot`. Raises NotFound, Refused.
        """
        log = self.patching.log
        event = self.patching.proposal(position)
        proposed = proposed_of(log.ledger_id, event)
        base = self.patching.present.read()
        if base.root != proposed.base:
            raise Refused(
                f"proposal {position} was made against {proposed.base.hex()[:16]}, this node is "
                f"{base.root.hex()[:16]} now",
                hint="propose it anew, on what there is: timmy patch new",
            )
        judged = self._judged(event, words=words)
        carried = Carried(files=base.files, reducers=base.reducers, words=words)
        if judged is not None:
            inputs = self._own(judged.payload["envelope"]).verdict.findings.inputs
            others = [one.payload["envelope"] for one in self._events(event) if one.type != _OWN]
            carried = Carried(
                files=base.files,
                reducers=base.reducers,
                envelopes=[judged.payload["envelope"], *others[-ENVELOPES_MAX + 1 :]],
                first=judged.payload["first"],
                size=inputs.head_size,
                root=inputs.head_root,
                words=words,
            )
        held = Turns(self.patching.book.state).withheld
        part = range(carried.first, carried.size)
        file = io.BytesIO()
        write_patch_bundle(
            log,
            self.patching.release.head(),
            position,
            carried,
            file,
            lineage=log.positions(LINEAGE_STREAM, 0),
            withheld=[at for at in part if not words or at in held],
        )
        return file.getvalue()

    def _judged(self, proposal: Event, *, words: bool) -> Event | None:
        """The own verdict to send: the newest that found something out, else the newest."""
        own = [
            one
            for one in self._events(proposal)
            if one.type == _OWN and one.payload.get("words") is words
        ]
        found = [one for one in own if self._found_out(one)] or own
        return found[-1] if found else None

    def _found_out(self, judged: Event) -> bool:
        """Whether a verdict says something: of what is left to people, too, the word is none."""
        if judged.payload.get("decision") != Decision.INCONCLUSIVE.value:
            return True
        return self._own(judged.payload["envelope"]).verdict.findings.for_people

    def _events(self, proposal: Event) -> list[Event]:
        return _on_record(self.patching.log, proposal)

    def _own(self, envelope: bytes) -> SignedVerdict:
        return verify_envelope(envelope, trusted=self.approval.deciders.rules().judges)

    async def take(self, position: int, envelope: bytes) -> Event:
        """Put another home's verdict on record. Raises NotFound, Refused, InvalidVerdict."""
        proposal = self.patching.proposal(position)
        proposed = proposed_of(self.patching.log.ledger_id, proposal)
        found = opened(envelope)
        if why := proposed.unlike(found.verdict.findings.inputs):
            raise Refused(
                f"this verdict is not about proposal {position}: {why}",
                hint="timmy patch verify FILE says what it is about",
            )
        self._check_foreign(found)
        async with self._taking:
            self._check_room(proposal, found)
            [event] = await self.patching.book.append(
                Draft(
                    type=types.PATCH_REPORTED.name,
                    stream=proposal.stream,
                    payload={
                        "patch": position,
                        "decision": found.verdict.decision.value,
                        "digest": found.verdict.digest,
                        "keys": list(found.signers),
                        "envelope": envelope,
                    },
                    causes=(proposal.cause,),
                )
            )
        return event

    def _check_room(self, proposal: Event, found: SignedVerdict) -> None:
        """Raise Refused for a verdict that is on record, or one more than there is room for.

        It is the same with a stranger's signature more or less: whose it is makes another.
        """
        rules = self.approval.deciders.rules()
        approvers = rules.approvers - rules.own
        known = [
            opened(one.payload["envelope"]) for one in self._events(proposal) if one.type != _OWN
        ]
        by = approvers & set(found.signers)
        whose = by or set(found.signers)
        if any(one.verdict == found.verdict and whose <= set(one.signers) for one in known):
            raise Refused(
                "this very verdict is on record",
                hint=f"timmy patch verdicts {proposal.position}",
            )
        if by:
            taken = min(sum(key in one.signers for one in known) for key in by)
            rejects = found.verdict.decision is Decision.REJECT
            room, of = REPORTS_OF_APPROVER_MAX - (not rejects), "this approver"
        else:
            taken = sum(approvers.isdisjoint(one.signers) for one in known)
            room, of = REPORTS_MAX, "homes that approve nothing here"
        if taken >= room:
            raise Refused(
                f"{taken} verdicts of {of} are on record, at most {room}",
                hint="who is to approve it reads those",
            )

    def _check_foreign(self, found: SignedVerdict) -> None:
        """Raise Refused unless it is by others alone, and judged at a head of this very log.

        Another ledger can have the same files, diff and seed: its judge found nothing out here.
        """
        if own := set(found.signers) & self.approval.deciders.rules().own:
            raise Refused(
                f"{min(own).hex()}, which signed this verdict, is a key of this node",
                hint="what it found here is on record where it was found: timmy patch verdicts",
            )
        log, inputs = self.patching.log, found.verdict.findings.inputs
        size = inputs.head_size
        if size > log.size or log.tree.root(size) != inputs.head_root:
            raise Refused(
                f"this verdict is about a ledger with the root {inputs.head_root.hex()} at size "
                f"{size}, which this one of size {log.size} has not",
                hint="a verdict on a bundle of this ledger: timmy patch export EVENT FILE",
            )

    def verdicts(self, position: int) -> list[dict[str, Any]]:
        """Return each verdict on record as a row: `verdict_rows`."""
        judges = self.approval.deciders.rules().judges
        return verdict_rows(self.patching.log, self.patching.proposal(position), judges)


def _on_record(log: Log, proposal: Event) -> list[Event]:
    """The verdicts about a proposal, but those of a form that this version does not read."""
    return [one for one in events_about(log, proposal, _KINDS) if _opens(one)]


def _opens(judged: Event) -> bool:
    envelope = judged.payload.get("envelope")
    try:
        return isinstance(envelope, bytes) and bool(opened(envelope))
    except InvalidVerdict:
        return False


def verdict_rows(log: Log, proposal: Event, judges: frozenset[bytes]) -> list[dict[str, Any]]:
    """Return each verdict on record about a proposal as a row, others beside an own one.

    That is the newest that it can be compared with, else the newest; `against` is its event.
    `words` is false for an own one of a judge that was shown nobody's, None for others'. `judges`:
    the node's own log keys. Raises Refused for more events than are read.
    """
    events = _on_record(log, proposal)
    own = [
        (one.position, verify_envelope(one.payload["envelope"], trusted=judges).verdict)
        for one in reversed(events)
        if one.type == _OWN
    ]
    rows = []
    for one in events:
        found = opened(one.payload["envelope"])
        row = {
            "position": one.position, "id": one.id.hex(), "type": one.type, "ts_ms": one.ts_ms,
            "own": one.type == _OWN, "words": one.payload.get("words"),
        }  # fmt: skip
        row |= verdict_row(found) | {"against": None, "beside": None}
        if own and one.type != _OWN:
            index, compared = held_against([verdict for _, verdict in own], found.verdict)
            row |= {"against": own[index][0], "beside": comparison_row(compared)}
        rows.append(row)
    return rows


def opened(envelope: bytes) -> SignedVerdict:
    """Open an envelope by the keys it names itself: whose they are is for its reader to know.

    Raises InvalidVerdict, also for one with a signature that fails.
    """
    return verify_envelope(envelope, trusted=signing_keys(envelope))


def verdict_row(found: SignedVerdict) -> dict[str, Any]:
    """Return a verdict as JSON values."""
    verdict = found.verdict
    return {
        "decision": verdict.decision.value,
        "digest": verdict.digest.hex(),
        "keys": [key.hex() for key in found.signers],
        "reason": verdict.measured.get("reason", ""),
        "replayed": verdict.measured.get("replayed"),
    }


def comparison_row(found: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON values."""
    return {
        "comparable": found.comparable,
        "agree": found.agree,
        "differences": [
            {"what": one.what, "own": one.one, "other": one.other} for one in found.differences
        ],
    }


def as_envelope(data: bytes) -> SignedVerdict | None:
    """Open a file that may be an envelope; None for another kind of file.

    Raises InvalidVerdict for one that begins as an envelope does and does not hold.
    """
    if not data.startswith(b"{"):
        return None
    try:
        return opened(data)
    except InvalidVerdict as error:
        raise InvalidVerdict(str(error), hint="a verdict is one line of canonical JSON") from error
