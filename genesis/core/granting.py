"""Consensus-critical: whether the answers on record are enough for a proposal to be adopted.

    what        an own verdict of this proposal accepts it, found by the evaluator that judges now
                which was shown what people said, and none of its own rejects it. Own is what was
                judged here, not what has our key: a verdict that came from elsewhere may have been
                found at another ledger. Of what is constitutional no verdict accepts: the one that
                leaves it to people is wanted
    whose       routine: the operator's yes. Or, where the fleet manifest that he signed names
                approvers, the yes of a majority of them, two at least; and so many judgments of one
                digest, this node's own and those that approvers signed; and no judge of them comes
                to another.
                constitutional: the yes of as many as node.toml asks for, of the people whose keys
                it names and this machine has not; and its waiting time has passed since the verdict
    how long    a yes holds for VALID_MS
    but         a no of the operator, or of one of those people, stands until his later yes

Nobody answers for himself: no key of this node counts at this node, whatever names it. Each key is
one voice, by its latest answer; one that is dated ahead of the ledger is passed over until then.

Nothing here believes the ledger: every envelope and every answer is checked anew, since the host
that wrote them is what a stolen token speaks to. Times are the ledger's (`at_ms` of its events),
which is why nothing is granted between two events. Not covered: that the keys are where they should
be; a host that lies about all of this to itself, since it could as well adopt without asking.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from genesis.core.approval import Question, SignedAnswer, Word
from genesis.core.errors import InvalidVerdict
from genesis.core.patch import PatchClass
from genesis.core.verdict import (
    Decision,
    Findings,
    Inputs,
    SignedVerdict,
    Verdict,
    seed_commitment,
    verify_envelope,
)

HOUR_MS: Final = 3_600_000
WAIT_MS: Final = 72 * HOUR_MS
"""A constitutional change waits for whoever is away over a weekend, and would say no."""
VALID_MS: Final = 30 * 24 * HOUR_MS
"""A yes of more than a month ago was said of another world: it is asked for again."""
SKEW_MS: Final = HOUR_MS
"""A phone's clock is wrong by less."""
QUORUM_MIN: Final = 2
"""One of one is nobody's agreement with anybody."""


class Why(StrEnum):
    """What is in the way."""

    CLOSED = "closed"
    """The proposal is open no more."""
    UNJUDGED = "unjudged"
    """No verdict of this node by this evaluator accepts it."""
    REJECTED = "rejected"
    """A verdict of this node rejects it: it is to be proposed anew."""
    DISAPPROVED = "disapproved"
    """Somebody who may says no."""
    UNAPPROVED = "unapproved"
    """Nobody who may has said yes to this very verdict."""
    EXPIRED = "expired"
    """There was a yes, too long ago."""
    QUORUM = "quorum"
    """Some approvers, or people, said yes, too few."""
    DISAGREED = "disagreed"
    """Approvers' judges found different things."""
    EARLY = "early"
    """The waiting time is not over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """What answers and verdicts must be about: ids and digests of 32 bytes.

    `patch` is the id of the proposal's event, `base` and `root` are those of the architectures
    before and after, `commitment` is that to the judge's seed. `tries` counts from 1, along its
    lineage or on its base, whichever is the higher: of a later one more is asked.
    """

    ledger: bytes
    patch: bytes
    patch_class: PatchClass
    patch_sha256: bytes
    base: bytes
    root: bytes
    commitment: bytes
    tries: int = 1

    def question(self, verdict: bytes) -> Question:
        """Return what is asked of people once there is a verdict of this digest."""
        return Question(
            ledger=self.ledger,
            patch=self.patch,
            root=self.root,
            verdict=verdict,
            patch_class=self.patch_class,
        )

    def is_of(self, inputs: Inputs) -> bool:
        """Whether these inputs are of this proposal."""
        return self.unlike(inputs) is None

    def unlike(self, inputs: Inputs) -> str | None:
        """Say why these inputs are not of this proposal, or None."""
        same = (
            inputs.patch_sha256 == self.patch_sha256
            and (inputs.parent_root, inputs.result_root) == (self.base, self.root)
            and seed_commitment(inputs.seed) == self.commitment
        )
        if not same:
            return "patch, base, result or seed are other ones"
        if inputs.tries < self.tries:
            return f"it was judged as try {inputs.tries}, and is try {self.tries}: too little asked"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A proposal as it is on record, with all that was said of it, in the order of the ledger.

    `envelopes` are those of verdicts that were found here (`patch.judged`), `reported` of those
    that came from elsewhere, each with the time of its event in milliseconds. `wordless` were found
    here by a judge that was shown nobody's words: they reject as any other, and speak for nothing.
    """

    proposed: Proposed
    is_open: bool
    envelopes: tuple[tuple[bytes, int], ...] = ()
    wordless: tuple[tuple[bytes, int], ...] = ()
    reported: tuple[tuple[bytes, int], ...] = ()
    answers: tuple[SignedAnswer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Who decides at this node. Keys are x-only, 32 bytes.

    `judges` are this node's own log keys, of every tenure; `evaluator` is the digest of the judge
    that runs now. `own` are all keys that this machine has. `approvers` are those of the fleet
    manifest, none if no operator of this node signed it. Of the `people` `people_needed` decide
    about what is constitutional, `wait_ms` after its verdict.
    """

    judges: frozenset[bytes]
    evaluator: bytes
    operators: frozenset[bytes]
    people: frozenset[bytes] = frozenset()
    own: frozenset[bytes] = frozenset()
    approvers: frozenset[bytes] = frozenset()
    people_needed: int = 1
    wait_ms: int = WAIT_MS

    def __post_init__(self) -> None:
        if self.people_needed < 1 or self.wait_ms < 0:
            raise ValueError("fewer than one of the people, or a waiting time that is none")

    @property
    def quorum(self) -> int:
        """How many approvers are needed; 0 where they cannot decide."""
        return max(QUORUM_MIN, len(self.approvers) // 2 + 1) if self.approvers else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Yes:
    """It may be adopted: by whose answers to which verdict, the last of them when."""

    verdict: bytes
    keys: tuple[bytes, ...]
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    """It may not, and why."""

    why: Why
    text: str


def decide(case: Case, rules: Rules, *, now_ms: int) -> Yes | NotYet:
    """Say whether `case` is approved at the ledger's time `now_ms`. See the module."""
    if not case.is_open:
        return NotYet(why=Why.CLOSED, text="the proposal is open no more")
    own = _own(case, rules)
    if isinstance(own, NotYet):
        return own
    if no := said_no(case, rules, now_ms=now_ms):
        return no
    latest = _latest(case, rules, now_ms)
    said = [one for one in latest if one.answer.word is Word.APPROVE]
    yes = [one for one in said if one.answer.question.verdict in own]
    fresh = [one for one in yes if one.answer.at_ms + VALID_MS >= now_ms]
    constitutional = case.proposed.patch_class is PatchClass.CONSTITUTIONAL
    entitled = rules.people if constitutional else rules.operators
    if by := [one for one in fresh if one.key in entitled]:
        return _by_people(by, rules, own, now_ms) if constitutional else _granted(by)
    if any(one.key in entitled for one in yes):
        days = VALID_MS // HOUR_MS // 24
        return NotYet(why=Why.EXPIRED, text=f"the yes is more than {days} days old")
    if not constitutional and rules.approvers:
        return _by_quorum(case, rules, own, fresh)
    return NotYet(why=Why.UNAPPROVED, text=_unapproved(case, rules, said))


def said_no(case: Case, rules: Rules, *, now_ms: int) -> NotYet | None:
    """Return the no of an operator, or of one of the people, that stands: to whatever verdict."""
    for one in _latest(case, rules, now_ms):
        may = one.key in rules.operators | rules.people
        if may and one.answer.word is Word.DISAPPROVE:
            return NotYet(why=Why.DISAPPROVED, text=f"{one.key.hex()} says no")
    return None


def _unapproved(case: Case, rules: Rules, said: list[SignedAnswer]) -> str:
    if case.proposed.patch_class is PatchClass.CONSTITUTIONAL and not rules.people:
        return "no key of people is named that could approve a constitutional change"
    if not said:
        return "nobody has approved it"
    key = said[0].key.hex()
    return f"the yes of {key} does not count: of another verdict, or a key that may not"


def speaks_for(verdict: Verdict, patch_class: PatchClass) -> bool:
    """Whether people are asked about a proposal of this class after such a verdict."""
    if patch_class is PatchClass.CONSTITUTIONAL:
        return verdict.findings.for_people
    return verdict.decision is Decision.ACCEPT


@dataclass(frozen=True, slots=True)
class _Accepted:
    """An own verdict that speaks for it: since when, and at which head it was judged."""

    at_ms: int
    basis: tuple[int, bytes]


def _verdicts(
    envelopes: Iterable[tuple[bytes, int]], proposed: Proposed, keys: frozenset[bytes], rules: Rules
) -> Iterator[tuple[SignedVerdict, int]]:
    """Yield those signed by `keys` that are of this proposal and this evaluator; pass over others.

    An envelope whose numbers were altered fails at its signature, and is none.
    """
    for envelope, at_ms in envelopes:
        try:
            found = verify_envelope(envelope, trusted=keys)
        except InvalidVerdict:
            continue
        inputs = found.verdict.findings.inputs
        if proposed.is_of(inputs) and inputs.evaluator == rules.evaluator:
            yield found, at_ms


def _own(case: Case, rules: Rules) -> dict[bytes, _Accepted] | NotYet:
    """Return the own verdicts that speak for it, by digest, each from the first event of it."""
    found: dict[bytes, _Accepted] = {}
    bare = [one for one, _ in _verdicts(case.wordless, case.proposed, rules.judges, rules)]
    full = list(_verdicts(case.envelopes, case.proposed, rules.judges, rules))
    if any(one.verdict.decision is Decision.REJECT for one in [*bare, *(one for one, _ in full)]):
        text = "a verdict of this node rejects it; what is mended is another proposal"
        return NotYet(why=Why.REJECTED, text=text)
    for one, at_ms in full:
        if speaks_for(one.verdict, case.proposed.patch_class):
            basis = _basis(one.verdict.findings)
            found.setdefault(one.verdict.digest, _Accepted(at_ms, basis))
    if not found:
        if any(speaks_for(one.verdict, case.proposed.patch_class) for one in bare):
            return NotYet(why=Why.UNJUDGED, text="it was judged without words, which is too little")
        text = "no verdict of this node, by the judge that it has now, accepts it"
        if case.proposed.patch_class is PatchClass.CONSTITUTIONAL:
            text = "no verdict of this node, by the judge that it has now, leaves it to people"
        return NotYet(why=Why.UNJUDGED, text=text)
    return found


def _latest(case: Case, rules: Rules, now_ms: int) -> list[SignedAnswer]:
    """Return the latest answer of each key that may speak; of two at one time the no."""
    found: dict[bytes, SignedAnswer] = {}
    for one in case.answers:
        asked = one.answer.question
        if asked != case.proposed.question(asked.verdict):
            continue  # of another proposal, or of what this one does not make
        if one.key in rules.own or one.answer.at_ms > now_ms + SKEW_MS:
            continue
        before = found.get(one.key)
        if before is None or _age(one) > _age(before):
            found[one.key] = one
    return [found[key] for key in sorted(found)]


def standing_against(
    made: SignedAnswer, case: Case, rules: Rules, *, now_ms: int
) -> SignedAnswer | None:
    """Return the answer of the same key that stands whatever `made` says, since it is not older."""
    for one in _latest(case, rules, now_ms):
        if one.key == made.key and _age(one) >= _age(made):
            return one
    return None


def _age(one: SignedAnswer) -> tuple[int, bool, bytes]:
    answer = one.answer
    return answer.at_ms, answer.word is Word.DISAPPROVE, answer.question.verdict


def _granted(by: list[SignedAnswer]) -> Yes:
    """Of several verdicts that were approved, the one that was approved last."""
    last = max(by, key=_age).answer
    of_it = [one for one in by if one.answer.question.verdict == last.question.verdict]
    return Yes(
        verdict=last.question.verdict,
        keys=tuple(sorted(one.key for one in of_it)),
        at_ms=last.at_ms,
    )


def _by_people(
    by: list[SignedAnswer], rules: Rules, own: dict[bytes, _Accepted], now_ms: int
) -> Yes | NotYet:
    """Decide by the verdict that most of them said yes to; of two such the one that waits less."""
    said: dict[bytes, list[SignedAnswer]] = {}
    for one in by:
        said.setdefault(one.answer.question.verdict, []).append(one)
    enough = [digest for digest in said if len(said[digest]) >= rules.people_needed]
    if not enough:
        most, needed = max(map(len, said.values())), rules.people_needed
        text = f"{most} of the people say yes to one verdict, {needed} are needed"
        return NotYet(why=Why.QUORUM, text=text)
    ends = {digest: own[digest].at_ms + rules.wait_ms for digest in enough}
    if ripe := [one for digest in enough if ends[digest] <= now_ms for one in said[digest]]:
        return _granted(ripe)
    hours = -(-(min(ends.values()) - now_ms) // HOUR_MS)
    text = f"a constitutional change waits {rules.wait_ms // HOUR_MS} hours, {hours} more"
    return NotYet(why=Why.EARLY, text=text)


def _by_quorum(
    case: Case, rules: Rules, own: dict[bytes, _Accepted], fresh: list[SignedAnswer]
) -> Yes | NotYet:
    others = rules.approvers - rules.own
    reported = list(_verdicts(case.reported, case.proposed, others, rules))
    judged = [one.verdict for one, _ in reported]
    bare = _verdicts(case.wordless, case.proposed, rules.judges, rules)
    if text := _disagreement(judged, own, {one.verdict.digest for one, _ in bare}):
        return NotYet(why=Why.DISAGREED, text=text)
    most = judges = 0
    for digest in sorted(own):
        by = [one for one in fresh if one.key in others and one.answer.question.verdict == digest]
        most = max(most, len(by))
        if len(by) < rules.quorum:
            continue
        accepted = [
            one
            for one, _ in reported
            if one.verdict.digest == digest and one.verdict.decision is Decision.ACCEPT
        ]
        found = len({key for one in accepted for key in one.signers})
        judges = max(judges, found)
        if found >= rules.quorum - 1:  # with this node's own as many judgments as voices
            return _granted(by)
    text = f"{most} of {len(rules.approvers)} approvers say yes, {rules.quorum} are needed"
    if most >= rules.quorum:
        text = (
            f"enough approvers say yes, and {judges} of them came to that verdict, "
            f"{rules.quorum - 1} are needed beside this node"
        )
    return NotYet(why=Why.QUORUM, text=text)


def _disagreement(judged: Iterable[Verdict], own: dict[bytes, _Accepted], bare: set[bytes]) -> str:
    """Say who found something else: a rejection, or another digest at the same head.

    Who found without words what was found so here (`bare`) agrees with it, and that is all.
    """
    bases = {one.basis for one in own.values()}
    for verdict in judged:
        if verdict.decision is Decision.REJECT:
            return "an approver's judge rejects it"
        other = verdict.decision is Decision.ACCEPT and verdict.digest not in own.keys() | bare
        if other and _basis(verdict.findings) in bases:
            return f"an approver's judge came to another digest, {verdict.digest.hex()}"
    return ""


def _basis(findings: Findings) -> tuple[int, bytes]:
    """The head it was judged at: findings at two heads differ, and nobody disagrees."""
    return findings.inputs.head_size, findings.inputs.head_root
