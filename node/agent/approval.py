"""Approvals of proposals: what is on record about one, whether it is enough, and new answers.

    case        the proposal's stream, read whole and opened anew: verdicts, answers
    rules       who decides here (`node.agent.deciders`)
    granted     what adoption asks: who approved which verdict, or the reason why not yet
    answer      a signed yes or no, checked and put on record

Who holds the API token can ask, and hand in what a
person signed elsewhere; he cannot answer.

Not covered: a person's key on another machine that a thief has.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from genesis.core.approval import Question, SignedAnswer, Word, read_answer, sealed_answer
from genesis.core.architecture import ROUTINE
from genesis.core.errors import InvalidApproval, InvalidVerdict
from genesis.core.granting import (
    HOUR_MS,
    SKEW_MS,
    Case,
    NotYet,
    Proposed,
    Rules,
    Why,
    Yes,
    decide,
    said_no,
    speaks_for,
    standing_against,
)
from genesis.core.patch import PatchClass
from genesis.core.sealed_word import SealedWord
from genesis.core.verdict import Verdict, verify_envelope
from ledger.core import types
from ledger.core.errors import NotFound, Refused
from ledger.core.event import Draft, Event
from ledger.log import Log
from mesh.core.fleet.manifest import Fleet
from node.agent.deciders import Deciders, make_deciders
from node.agent.on_record import WORDS, Kept, answers_in_time, answers_of, events_about
from node.open import now_ms
from node.opened import Opened
from runtime.core.proposals import Proposals, Standing
from runtime.core.tool import Book
from runtime.journal import Journal

ANSWERS_OF_KEY_MAX: Final = 8
"""On record of one key about one proposal, so that nobody takes another's room. Who may change his
mind so often keeps the last for a no: what is wanted no more can always be said."""
_TYPES: Final = {word: name for name, word in WORDS.items()}
_ROUTINE: Final = frozenset(kind.value for kind in ROUTINE)
_OWN: Final = types.PATCH_JUDGED.name
_REPORTED: Final = types.PATCH_REPORTED.name
_ON_RECORD: Final = frozenset({_OWN, _REPORTED, *WORDS})
_SIGN_ANEW: Final = "set the clock of the machine that signs, and sign it anew"
_OBJECTIONS: Final = frozenset({Why.CLOSED, Why.DISAPPROVED, Why.REJECTED})
_HINTS: Final[Mapping[Why, str]] = {
    Why.CLOSED: "propose it anew: timmy patch new",
    Why.UNJUDGED: "timmy patch judge {at}",
    Why.REJECTED: "mend it, and propose it anew: timmy patch new",
    Why.DISAPPROVED: "whoever said no may say yes later: timmy patch approve {at}",
    Why.UNAPPROVED: "timmy patch approve {at}",
    Why.EXPIRED: "timmy patch approve {at}",
    Why.QUORUM: "others are asked: timmy patch show {at}; approvers judge it: timmy patch export",
    Why.DISAGREED: "timmy patch verdicts {at} shows where; the operator may decide alone",
    Why.EARLY: "wait; whoever objects says so: timmy patch disapprove {at}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What may be adopted: the proposal's position and id, by whose word, about which verdict.

    `root` is the architecture's after it, `approvers` are x-only keys, `at_ms` is the time of the
    newest answer that counted, as it was signed.
    """

    patch: int
    patch_id: bytes
    verdict: bytes
    root: bytes
    approvers: tuple[bytes, ...]
    patch_class: PatchClass
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchApproval:
    """What people said about the proposals of one node. `book` keeps answers, and the state."""

    log: Log
    book: Book
    deciders: Deciders
    clock: Callable[[], int] = now_ms
    """Unix milliseconds: a ledger in which nothing happens has no other time of now."""
    _answering: asyncio.Lock = field(default_factory=asyncio.Lock)

    def granted(self, position: int) -> Granted:
        """Return by whom a proposal is approved. Raises NotFound, Refused with the reason."""
        case = self.case(position)
        found = decide(case, self.deciders.rules(), now_ms=self._now_ms())
        if isinstance(found, NotYet):
            raise Refused(
                f"proposal {position} is not approved: {found.text}",
                hint=_HINTS[found.why].format(at=position),
            )
        return _granted(position, case.proposed, found)

    def objection(self, position: int) -> str:
        """Return what speaks against a proposal that was approved: a no, a withdrawal; or "".

        A yes that grew old, or of keys that changed, is none: it counted when it was asked for.
        Raises NotFound, Refused for what is no proposal.
        """
        case, rules, now_ms = self.case(position), self.deciders.rules(), self._now_ms()
        found = decide(case, rules, now_ms=now_ms)
        if isinstance(found, NotYet) and found.why in _OBJECTIONS:
            return found.text
        no = said_no(case, rules, now_ms=now_ms)  # of another judge its verdict counts no more
        return "" if no is None else no.text

    def standing(self, position: int) -> dict[str, Any]:
        """Return, for people, how far it is: granted or why not, and each answer on record."""
        case, rules = self.case(position), self.deciders.rules()
        found = decide(case, rules, now_ms=self._now_ms())
        try:
            question: Question | None = self.question(position, case=case)
        except Refused:
            question = None
        return {
            "patch": position,
            "granted": isinstance(found, Yes),
            "why": None if isinstance(found, Yes) else found.why.value,
            "text": "approved" if isinstance(found, Yes) else found.text,
            "verdict": found.verdict if isinstance(found, Yes) else None,
            "approvers": list(found.keys) if isinstance(found, Yes) else [],
            "question": None if question is None else question_row(question),
            "answers": [answer_row(one, rules) for one in case.answers],
            "needs": {
                "quorum": rules.quorum,
                "approvers": sorted(rules.approvers),
                "people": sorted(rules.people),
                "people_needed": rules.people_needed,
                "wait_hours": rules.wait_ms // HOUR_MS,
            },
        }

    def question(self, position: int, *, case: Case | None = None) -> Question:
        """Return what is asked of people now. Raises NotFound, Refused if there is nothing."""
        case = case or self.case(position)
        return case.proposed.question(self.spoken(position, case=case).digest)

    def spoken(self, position: int, *, case: Case | None = None) -> Verdict:
        """Return what people are asked about: the newest own verdict that speaks for it.

        Raises NotFound, Refused if there is none.
        """
        case = case or self.case(position)
        found = asked_about(case.proposed, case.envelopes, self.deciders.rules())
        if found is None:
            raise nothing_to_approve(position, wordless=bool(case.wordless))
        return found

    async def answer(
        self, position: int, word: Word, payload: Mapping[str, Any], *, author: str
    ) -> Event:
        """Put a signed answer on record. `payload` as in the event, without `patch`.

        Raises NotFound; Refused for one that shows nothing, of a key that may not speak here, or
        that is on record already. One that is dated ahead is refused, too, after it was put on
        record: so nobody can hand it in when its time has come, over what its signer said since.
        """
        async with self._answering:
            case, rules = self.case(position), self.deciders.rules()
            proposed = case.proposed
            try:
                made = read_answer(
                    payload, word, ledger=proposed.ledger, patch=proposed.patch,
                    patch_class=proposed.patch_class,
                )  # fmt: skip
            except InvalidApproval as error:
                raise Refused(
                    f"this is no answer to proposal {position}: {error}",
                    hint=f"what is to be signed: timmy patch approve {position} --print",
                ) from error
            return await self._record(position, case, rules, made, author=author)

    async def by_message(
        self, position: int, question: Question, sealed: SealedWord, *, author: str
    ) -> tuple[Event, SignedAnswer]:
        """Put on record what a sealed message answers to a question. Raises NotFound, Refused."""
        async with self._answering:
            case, rules = self.case(position), self.deciders.rules()
            try:
                made = sealed_answer(sealed, question)
            except InvalidApproval as error:
                raise Refused(
                    str(error), hint=f"approve {question.digest.hex()}, or disapprove and the same"
                ) from error
            return await self._record(position, case, rules, made, author=author), made

    @property
    def open(self) -> tuple[int, ...]:
        """Positions of the open proposals, oldest first."""
        return tuple(one.position for one in self._proposals.open)

    def asked(self, digest: bytes, word: Word) -> tuple[int, Question] | None:
        """Return the question of this digest, with the open proposal that it is about.

        A yes is to what is asked now; a no to whatever verdict was ever found here.
        """
        for position in reversed(self.open):
            try:
                case = self.case(position)
                for question in self._questions(case, word):
                    if question.digest == digest:
                        return position, question
            except (NotFound, Refused):
                continue
        return None

    def _questions(self, case: Case, word: Word) -> Iterator[Question]:
        rules = self.deciders.rules()
        if (now := asked_about(case.proposed, case.envelopes, rules)) is not None:
            yield case.proposed.question(now.digest)
        if word is Word.DISAPPROVE:
            for one in own_verdicts(case.proposed, case.envelopes, rules):
                yield case.proposed.question(one.digest)

    async def _record(
        self, position: int, case: Case, rules: Rules, made: SignedAnswer, *, author: str
    ) -> Event:
        _check_speaker(position, case, rules, made)
        proposal, now = self.log.read(position), max(self.clock(), self._now_ms())
        known = answers_of(events_about(self.log, proposal, WORDS), case.proposed)
        ahead = made.answer.at_ms > now + SKEW_MS
        self._check_room(known, made, ahead=ahead, position=position)
        if (stands := standing_against(made, case, rules, now_ms=now)) is not None:
            raise Refused(
                f"the answer is of {made.answer.at_ms}, and the {stands.answer.word.value} of the "
                f"same key that stands is of {stands.answer.at_ms}: it would change nothing",
                hint="sign it anew, or withdraw the proposal: timmy patch withdraw EVENT",
            )
        [event] = await self.book.append(
            Draft(
                type=_TYPES[made.answer.word],
                stream=proposal.stream,
                payload={**made.to_payload(position), "author": author},
                causes=(proposal.cause,),
            )
        )
        if not Kept(made, event.ts_ms).in_time:
            raise Refused(
                f"the answer is dated {made.answer.at_ms - event.ts_ms} ms ahead, at most "
                f"{SKEW_MS} allowed: event {event.position} keeps it, and it never counts",
                hint=_SIGN_ANEW,
            )
        return event

    def _check_room(
        self, known: Sequence[Kept], made: SignedAnswer, *, ahead: bool, position: int
    ) -> None:
        """Raise Refused for an answer that is on record, and for one more than there is room for.

        The last place of each key is for a no that counts: not for a yes, nor what is dated ahead.
        """
        for one in known:
            if one.same == (made.answer, made.key):
                if one.in_time:
                    raise Refused(
                        "this very answer is on record", hint=f"timmy patch show {position}"
                    )
                raise Refused(
                    "this very answer was dated ahead when it was put on record: it never counts",
                    hint=_SIGN_ANEW,
                )
        said = sum(one.answer.key == made.key for one in known)
        room = ANSWERS_OF_KEY_MAX - (ahead or made.answer.word is Word.APPROVE)
        if said >= room:
            raise Refused(
                f"{said} answers of {made.key.hex()} are on record, at most {room} if the next is "
                f"{made.answer.word.value}",
                hint="withdraw it, and propose it anew: timmy patch new",
            )

    def case(self, position: int) -> Case:
        """Return all that is on record about a proposal, opened anew.

        Raises NotFound; Refused, also where there is more than is read.
        """
        proposal = self.log.read(position)
        proposed = proposed_of(self.log.ledger_id, proposal)
        known = self._proposals.get(position)
        events = events_about(self.log, proposal, _ON_RECORD)
        return Case(
            proposed=proposed,
            is_open=known is not None and known.state is Standing.OPEN,
            envelopes=_envelopes(events, _OWN, words=True),
            wordless=_envelopes(events, _OWN, words=False),
            reported=_envelopes(events, _REPORTED),
            answers=answers_in_time(events, proposed),
        )

    @property
    def _proposals(self) -> Proposals:
        return Proposals(self.book.state.entries)

    def _now_ms(self) -> int:
        """The ledger's time: that of its newest event."""
        return self.log.read(self.log.size - 1).ts_ms


def make_approval(
    opened: Opened, journal: Journal, fleet: Callable[[], Fleet | None]
) -> PatchApproval:
    """Return that of a node that is open."""
    return PatchApproval(log=opened.log, book=journal, deciders=make_deciders(opened, fleet))


def _check_speaker(position: int, case: Case, rules: Rules, made: SignedAnswer) -> None:
    """Raise Refused for an answer about another result, or of a key that may not give it."""
    asked = made.answer.question
    if asked.root != case.proposed.root:
        raise Refused(
            f"the answer is about the architecture {asked.root.hex()}, proposal {position} "
            f"makes {case.proposed.root.hex()}",
            hint=f"timmy patch approve {position} --print",
        )
    if made.key in rules.own:
        raise Refused(
            f"{made.key.hex()} is a key of this node: nobody approves himself",
            hint="sign with the operator's key",
        )
    constitutional = case.proposed.patch_class is PatchClass.CONSTITUTIONAL
    if constitutional and made.answer.word is Word.APPROVE and made.key not in rules.people:
        raise Refused(
            f"{made.key.hex()} may not approve what is constitutional: that is for people, "
            "with keys that this node never had",
            hint="approval.people in node.toml names them; the operator may say no",
        )
    if made.key not in rules.operators | rules.people | rules.approvers:
        raise Refused(
            f"{made.key.hex()} is nobody who decides here",
            hint="the operator's key of genesis, gateways.nostr.operator, approval.people, or "
            "an approver of the fleet's manifest",
        )


def proposed_of(ledger: bytes, event: Event) -> Proposed:
    """Return what verdicts and answers must be about. Raises NotFound, Refused.

    The class follows from what the proposal touches, as the paths were read when it was made, and
    which try it is from what was counted then.
    """
    if event.type != types.PATCH_PROPOSED.name:
        raise NotFound(
            f"event {event.position} is {event.type}, no proposed patch", hint="timmy patch list"
        )
    payload = event.payload
    wanted = {"sha256", "base", "root", "seed_commitment"}
    if any(type(payload.get(name)) is not bytes for name in wanted):
        raise Refused(
            f"proposal {event.position} is a diff without a document, from before there were any",
            hint="propose it anew: timmy patch new",
        )
    touches = payload.get("touches")
    routine = isinstance(touches, list) and bool(touches) and set(map(str, touches)) <= _ROUTINE
    return Proposed(
        ledger=ledger,
        patch=event.id,
        patch_class=PatchClass.ROUTINE if routine else PatchClass.CONSTITUTIONAL,
        patch_sha256=payload["sha256"],
        base=payload["base"],
        root=payload["root"],
        commitment=payload["seed_commitment"],
        tries=max([1, *(n for n in map(payload.get, ("attempt", "on_base")) if type(n) is int)]),
    )


def _granted(position: int, proposed: Proposed, found: Yes) -> Granted:
    return Granted(
        patch=position,
        patch_id=proposed.patch,
        verdict=found.verdict,
        root=proposed.root,
        approvers=found.keys,
        patch_class=proposed.patch_class,
        at_ms=found.at_ms,
    )


def envelopes_of(log: Log, proposal: Event, *, words: bool = True) -> tuple[tuple[bytes, int], ...]:
    """Return every verdict that was found here about a proposal, with the time of its event.

    Those that may speak for it; without `words` those of a judge that was shown nobody's, which may
    only reject. Raises Refused for more than are read.
    """
    return _envelopes(events_about(log, proposal, {_OWN}), _OWN, words=words)


def _envelopes(
    events: Sequence[Event], kind: str, *, words: bool | None = None
) -> tuple[tuple[bytes, int], ...]:
    return tuple(
        (event.payload["envelope"], event.ts_ms)
        for event in events
        if event.type == kind and isinstance(event.payload.get("envelope"), bytes)
        if words in (None, event.payload.get("words") is True)
    )


def asked_about(
    proposed: Proposed, envelopes: Sequence[tuple[bytes, int]], rules: Rules
) -> Verdict | None:
    """Return what people are asked about: the newest own verdict that speaks for it."""
    for found in own_verdicts(proposed, envelopes, rules):
        ours = found.findings.inputs.evaluator == rules.evaluator
        if ours and speaks_for(found, proposed.patch_class):
            return found
    return None


def own_verdicts(
    proposed: Proposed, envelopes: Sequence[tuple[bytes, int]], rules: Rules
) -> Iterator[Verdict]:
    """Yield each own verdict on it, of whatever judge and decision, the newest first."""
    for envelope, _ in reversed(envelopes):
        try:
            found = verify_envelope(envelope, trusted=rules.judges).verdict
        except InvalidVerdict:
            continue
        if proposed.is_of(found.findings.inputs):
            yield found


def nothing_to_approve(position: int, *, wordless: bool) -> Refused:
    """Return why nobody is asked. `wordless`: it was judged, by a judge shown nobody's words."""
    more = "but one found without words, which speaks for nothing, " if wordless else ""
    return Refused(
        f"no verdict of this node {more}accepts proposal {position}: there is nothing to approve",
        hint=f"timmy patch judge {position}",
    )


def question_row(question: Question) -> dict[str, Any]:
    """Return a question as JSON values: what a person signs elsewhere."""
    return {
        "ledger": question.ledger.hex(),
        "patch": question.patch.hex(),
        "root": question.root.hex(),
        "verdict": question.verdict.hex(),
        "class": question.patch_class.value,
        "digest": question.digest.hex(),
    }


def answer_row(one: SignedAnswer, rules: Rules) -> dict[str, Any]:
    """Return an answer on record, and as what its key speaks here now."""
    whose = {"operator": rules.operators, "people": rules.people, "approver": rules.approvers}
    roles = [name for name, keys in whose.items() if one.key in keys - rules.own]
    return {
        "word": one.answer.word.value,
        "key": one.key.hex(),
        "verdict": one.answer.question.verdict.hex(),
        "at_ms": one.answer.at_ms,
        "by": roles,
        "sealed": one.sealed is not None,
    }
