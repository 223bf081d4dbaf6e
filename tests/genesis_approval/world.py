"""A proposal, verdicts and answers, as values: keys by name, times in hours."""

from dataclasses import replace

from genesis.core.approval import Answer, SignedAnswer, Word
from genesis.core.granting import HOUR_MS, Case, Proposed, Rules
from genesis.core.patch import PatchClass
from genesis.core.verdict import (
    Decision,
    Findings,
    Gate,
    Inputs,
    Outcome,
    Tooth,
    Verdict,
    seed_commitment,
    sign_envelope,
)
from ledger.core.keys import Signer

NAMES = ("log", "nostr", "operator", "npub", "alice", "bob", "a1", "a2", "a3", "stranger")
KEY = {name: Signer(bytes([at + 1]) * 32) for at, name in enumerate(NAMES)}
EVALUATOR, SEED, HEAD = b"\x21" * 32, b"\x22" * 32, b"\x23" * 32
PROPOSED = Proposed(
    ledger=b"\x31" * 32, patch=b"\x32" * 32, patch_class=PatchClass.ROUTINE,
    patch_sha256=b"\x33" * 32, base=b"\x34" * 32, root=b"\x35" * 32,
    commitment=seed_commitment(SEED),
)  # fmt: skip
INPUTS = Inputs(
    patch_sha256=PROPOSED.patch_sha256, parent_root=PROPOSED.base, parent_tree=b"\x36" * 32,
    result_root=PROPOSED.root, result_tree=b"\x37" * 32, head_size=7, head_root=HEAD,
    evaluator=EVALUATOR, seed=SEED,
)  # fmt: skip
RULES = Rules(
    judges=frozenset({KEY["log"].public}),
    evaluator=EVALUATOR,
    operators=frozenset({KEY["operator"].public, KEY["npub"].public}),
    own=frozenset({KEY["log"].public, KEY["nostr"].public}),
)
PEOPLE = replace(RULES, people=frozenset({KEY["alice"].public, KEY["bob"].public}))
BOTH = replace(PEOPLE, people_needed=2)
APPROVERS = replace(
    RULES, approvers=frozenset(KEY[name].public for name in ("nostr", "a1", "a2", "a3"))
)


def public(*names):
    return frozenset(KEY[name].public for name in names)


def findings(*, passed=True, gate="answer", inputs=INPUTS):
    """What accepts, or rejects; another `gate` gives another digest."""
    outcome = Outcome.PASS if passed else Outcome.FAIL
    return Findings(
        inputs=inputs,
        gates=(Gate(name=gate, parent=Outcome.PASS, candidate=outcome),),
        teeth=(Tooth(mutant="constant", gate=gate, outcome=Outcome.FAIL),),
    )


ACCEPT, REJECT, OTHER = findings(), findings(passed=False), findings(gate="crisis")
DIGEST = ACCEPT.digest
ASKED = replace(
    ACCEPT,
    gates=(
        *ACCEPT.gates,
        Gate(
            name="people", parent=Outcome.NOT_RUN, candidate=Outcome.NOT_RUN,
            transcript=b"\x41" * 32,
        ),
    ),
)  # fmt: skip
"""What leaves a change to people."""
CONSTITUTIONAL = replace(PROPOSED, patch_class=PatchClass.CONSTITUTIONAL)


def envelope(found=ACCEPT, *by, decision=None):
    verdict = Verdict(decision=decision or found.decision, findings=found)
    return sign_envelope(verdict, [KEY[name] for name in by or ("log",)])


ENVELOPE = envelope()
UNSURE = envelope(ACCEPT, decision=Decision.INCONCLUSIVE)
LEFT = envelope(ASKED)


def digest_for(proposed):
    """Of the verdict that a proposal of this class needs."""
    return (ASKED if proposed.patch_class is PatchClass.CONSTITUTIONAL else ACCEPT).digest


def answer(name, *, word=Word.APPROVE, verdict=None, at_h=1, proposed=PROPOSED) -> SignedAnswer:
    question = proposed.question(digest_for(proposed) if verdict is None else verdict)
    return Answer(question=question, word=word, at_ms=round(at_h * HOUR_MS)).sign(KEY[name])


def no(name, **more):
    return answer(name, word=Word.DISAPPROVE, **more)


def case(
    *answers, envelopes=None, wordless=(), reported=(), constitutional=False, is_open=True
) -> Case:
    given = ((LEFT if constitutional else ENVELOPE, 0),) if envelopes is None else envelopes
    return Case(
        proposed=CONSTITUTIONAL if constitutional else PROPOSED,
        is_open=is_open,
        envelopes=tuple(given),
        wordless=tuple(wordless),
        reported=tuple(reported),
        answers=answers,
    )
