"""Changes of the agent, for the trust graph: who proposed, judged, approved and adopted them.

An answer is an edge only if its signature verifies for this proposal, and it was not dated ahead;
another home's verdict only by the keys whose signatures hold. Whether they decide is not asked
here: `timmy patch status` and docs/spec/verdict.md say whose word counts.
"""

from typing import Final

from genesis.core.approval import Answer, Word
from genesis.core.errors import InvalidVerdict
from genesis.core.trust import Builder, Kind
from genesis.core.verdict import signing_keys, verify_envelope
from ledger.core import types
from ledger.core.errors import NotFound, Refused
from ledger.core.event import Event
from node.agent.approval import proposed_of
from node.agent.on_record import WORDS, answers_of
from node.open import Reading

_SAID: Final = {Word.APPROVE: "approved", Word.DISAPPROVE: "said no to"}
_STEPS: Final = {
    types.PATCH_ADOPTED.name: "adopted",
    types.PATCH_SETTLED.name: "kept",
    types.PATCH_ROLLED_BACK.name: "took back",
}
EVENTS: Final = frozenset(
    {kind.name for kind in (types.PATCH_PROPOSED, types.PATCH_JUDGED, types.PATCH_REPORTED)}
    | {*WORDS, *_STEPS}
)


class Changes:
    """Adds them, in the order of the ledger."""

    def __init__(self, built: Builder, opened: Reading) -> None:
        self._built = built
        self._ledger = opened.log.ledger_id
        self._operator = opened.lineage.genesis.keys["operator"]
        self._proposals: dict[int, Event] = {}
        self._seen: set[tuple[Answer, bytes]] = set()

    def add_event(self, event: Event, instance: str) -> None:
        """Add one event of `EVENTS`, written by the tenure `instance`."""
        if event.type == types.PATCH_PROPOSED.name:
            self._proposals[event.position] = event
            label = f"patch {event.position} by {event.payload['author']}"
            patch = self._built.node(Kind.PATCH, str(event.position), label)
            self._built.edge(instance, patch, "was offered", event.position)
            return
        proposal = self._proposals.get(event.payload.get("patch", -1))
        if proposal is None:
            return
        patch = self._built.node(Kind.PATCH, str(proposal.position), "patch")
        if event.type == types.PATCH_JUDGED.name:
            self._verdict(event, patch)
        elif event.type == types.PATCH_REPORTED.name:
            self._report(event, patch)
        elif event.type in WORDS:
            self._answer(event, proposal, patch)
        else:
            self._built.edge(instance, patch, _STEPS[event.type], event.position)

    def _verdict(self, event: Event, patch: str) -> str:
        label = f"{event.payload['decision']} of {event.payload['patch']}"
        verdict = self._built.node(Kind.VERDICT, str(event.position), label)
        self._built.edge(patch, verdict, "was judged", event.position)
        return verdict

    def _report(self, event: Event, patch: str) -> None:
        """Another home's verdict, by whoever's signatures on it hold."""
        envelope = event.payload["envelope"]
        try:
            found = verify_envelope(envelope, trusted=signing_keys(envelope))
        except InvalidVerdict:
            return
        verdict = self._verdict(event, patch)
        for key in found.signers:
            judge = self._built.node(Kind.KEY, key.hex(), f"judge {key.hex()[:16]}")
            self._built.edge(judge, verdict, "signed", event.position)

    def _answer(self, event: Event, proposal: Event, patch: str) -> None:
        try:
            found = answers_of([event], proposed_of(self._ledger, proposal))
        except (NotFound, Refused):
            return
        if not found or found[0].same in self._seen:
            return  # whether it counts, the event says that kept it first
        self._seen.add(found[0].same)
        if not found[0].in_time:
            return
        answer, how = found[0].answer, _SAID[WORDS[event.type]]
        operator = answer.key == self._operator
        kind, label = (
            (Kind.OPERATOR, "operator") if operator else (Kind.KEY, f"key {answer.key.hex()[:16]}")
        )
        person = self._built.node(kind, answer.key.hex(), label)
        self._built.edge(person, patch, how, event.position)
