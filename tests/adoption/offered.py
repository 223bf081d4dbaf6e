"""Two members of a fleet without processes: real logs, keys and manifests.

A mirror here is a log and how much of it is proven.
"""

import os
from dataclasses import dataclass, replace
from types import SimpleNamespace

from genesis.core.approval import Word
from genesis.core.architecture import ROUTINE
from genesis.core.granting import Rules
from genesis.core.proposal import parse_proposal
from genesis.core.verdict import Verdict, sign_envelope
from ledger.core import types
from ledger.core.event import Draft
from ledger.core.keys import Signer
from ledger.log import Log
from ledger.memory import MemoryStore
from mesh.core.fleet.manifest import Fleet, Manifest, Member, sign_manifest
from node.agent.approval import PatchApproval, proposed_of
from node.fleet.offers import Offers
from runtime.journal import Journal
from tests.genesis_approval.world import EVALUATOR, INPUTS, PROPOSED, answer, findings
from tests.genesis_patches.world import DIFF, document, fenced
from tests.runtime.world import new_log
from tests.spec import agent

NOW = 50 * 86_400_000
OPERATOR, THIEF, OURS = (Signer(bytes([n]) * 32) for n in (0x71, 0x72, 0x73))
LOG_KEY = agent.KEYS.signer("log")
DOCUMENT = document(fenced(DIFF))
BASE, ROOT = PROPOSED.base, PROPOSED.root
STREAM = b"\x51" * 16
RULES = Rules(
    judges=frozenset({OURS.public}), evaluator=EVALUATOR, operators=frozenset({OPERATOR.public, LOG_KEY.public}),
    own=frozenset({OURS.public}), people=frozenset({THIEF.public}),
    approvers=frozenset({THIEF.public}),
)  # fmt: skip


@dataclass
class Deciding:
    """Who decides, said and not read from a home."""

    found: Rules

    def rules(self):
        return self.found


class Ledger:
    """A member's ledger with one proposal in it; what else it says is up to the test."""

    def __init__(self, log, *, causes=(), clock=None, **more):
        self.log, self.clock = log, clock
        payload = {
            "author": "api", "touches": [min(ROUTINE).value], "sha256": PROPOSED.patch_sha256,
            "base": BASE, "root": ROOT, "seed_commitment": PROPOSED.commitment,
            "document": parse_proposal(DOCUMENT).digest,
        }  # fmt: skip
        content = {"title": "x", "document": DOCUMENT.decode()}
        self.at = self.put(types.PATCH_PROPOSED.name, content, causes, **payload | more)

    def pass_by(self, ms):
        """Time passes in this ledger."""
        self.clock.now += ms

    def put(self, kind, content=None, causes=(), stream=STREAM, **payload):
        draft = Draft(type=kind, stream=stream, payload=payload, content=content, causes=causes)
        [event] = self.log.append_now(draft)
        return event.position

    @property
    def proposed(self):
        return proposed_of(self.log.ledger_id, self.log.read(self.at))

    def judged(self, found=None, key=LOG_KEY, *, words=True, **inputs):
        found = found or findings(inputs=replace(INPUTS, **inputs))
        made = sign_envelope(Verdict(decision=found.decision, findings=found), [key])
        self.put(types.PATCH_JUDGED.name, patch=self.at, envelope=made, words=words)
        return found.digest

    def said(self, verdict, key=OPERATOR, word=Word.APPROVE, at_ms=NOW, **changes):
        question = replace(self.proposed.question(verdict), **changes)
        made = replace(answer("log").answer, question=question, word=word, at_ms=at_ms).sign(key)
        kinds = {Word.APPROVE: types.PATCH_APPROVED, Word.DISAPPROVE: types.PATCH_DISAPPROVED}
        self.put(kinds[word].name, **made.to_payload(self.at), author="api")

    def step(self, kind, **payload):
        return self.put(kind.name, stream=types.ADOPTION_STREAM, **payload)

    def staged(self, **otherwise):
        facts = {"patch": self.at, "root": ROOT, "before": {"root": BASE}}
        return self.step(types.PATCH_STAGED, **facts | otherwise)


class World:
    """Our node and one other member, whose ledger is copied whole."""

    def __init__(self, rules=RULES, operator=OPERATOR, **more):
        clock = SimpleNamespace(now=NOW)
        log = Log(MemoryStore(), clock=lambda: clock.now, entropy=os.urandom)
        log.append_now(agent.genesis_draft())
        self.theirs = Ledger(log, clock=clock, **more)
        self.own = new_log(clock=lambda: NOW)
        self.size = None
        both = (
            Member(ledger=self.own.ledger_id, nostr=OURS.public, name="bea", roles=("home",)),
            Member(
                ledger=log.ledger_id,
                nostr=agent.KEYS.signer("nostr").public,
                name="ann",
                roles=("home",),
            ),
        )
        first = Manifest(
            number=0, previous=b"", operator=operator.public,
            members=tuple(sorted(both, key=lambda one: one.ledger)),
        )  # fmt: skip
        self.approval = PatchApproval(
            log=self.own, book=Journal(self.own), deciders=Deciding(rules), clock=lambda: NOW
        )
        self.fleet = Fleet.begin(sign_manifest(first, operator))
        self.offers = Offers(
            log=self.own, approval=self.approval, fleet=lambda: self.fleet, mirrors=self.mirrors,
            clock=lambda: NOW,
        )  # fmt: skip

    def mirrors(self):
        log = self.theirs.log
        complete = SimpleNamespace(size=log.size if self.size is None else self.size)
        return {log.ledger_id: SimpleNamespace(log=log, complete=complete)}

    def offer(self):
        return self.offers.offer(self.theirs.log.ledger_id, self.theirs.at)

    def approved(self):
        self.theirs.said(self.theirs.judged())
        return self
