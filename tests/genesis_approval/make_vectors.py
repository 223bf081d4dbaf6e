"""Writes tests/vectors/verdict: python -m tests.genesis_approval.make_vectors

envelopes.json   `envelope` (base64), `trusted` (hex), and `digest`, `decision`, `signers`, `found`; or
                 the `class` of why it is refused
answers.json     `payload`, `word`, and what it is about; and `question` and `message`, or `class`
granting.json    a case and the rules by names of `keys`; `yes` with its keys, or the `class`

Signatures are made without chance, so that the files are the same whenever they are made.
"""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from coincurve import PrivateKey

from genesis.core.approval import Answer, Word, read_answer
from genesis.core.errors import InvalidApproval, InvalidVerdict
from genesis.core.granting import HOUR_MS, VALID_MS, WAIT_MS, Yes, decide
from genesis.core.verdict import Decision, Verdict, sign_envelope, verify_envelope
from ledger.core.hashing import tagged
from ledger.core.keys import Signer
from tests.genesis_approval import world
from tests.genesis_approval.world import (
    ACCEPT,
    APPROVERS,
    ASKED,
    BOTH,
    CONSTITUTIONAL,
    INPUTS,
    KEY,
    OTHER,
    PEOPLE,
    PROPOSED,
    REJECT,
    RULES,
    findings,
)

FOLDER = Path(__file__).parent.parent / "vectors/verdict"


class Fixed(Signer):
    """Signs without chance."""

    __slots__ = ()

    def sign(self, tag: str, message: bytes) -> bytes:
        return PrivateKey(self.secret).sign_schnorr(tagged(tag, message), bytes(32))


FIXED = {name: Fixed(key.secret) for name, key in KEY.items()}


def envelope(found, *by, decision=None, measured=None):
    verdict = Verdict(
        decision=decision or found.decision, findings=found, measured=measured or {"took_ms": 5}
    )
    return sign_envelope(verdict, [FIXED[name] for name in by or ("log",)])


def canonical(value) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def inside(data, change, *, sign=True):
    """The envelope with its statement changed, and signed anew by the same key."""
    value = json.loads(data)
    statement = json.loads(base64.b64decode(value["payload"]))
    change(statement)
    payload = canonical(statement)
    value["payload"] = base64.b64encode(payload).decode()
    if sign:
        kind = value["payloadType"].encode()
        message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        made = FIXED["log"].sign("timmy/verdict/v1", message)
        value["signatures"] = [
            {"keyid": KEY["log"].public.hex(), "sig": base64.b64encode(made).decode()}
        ]
    return canonical(value)


def outside(data, **changes):
    return canonical({**json.loads(data), **changes})


GOOD = envelope(ACCEPT)
LEFT = envelope(ASKED)
SECOND = findings(inputs=replace(INPUTS, tries=2))
NOTHING = findings(inputs=replace(INPUTS, result_root=None, result_tree=None))


def deep(key, value):
    """A change of one entry of the statement, named by its path."""

    def change(statement):
        *path, last = key.split(".")
        for name in path:
            statement = statement[name]
        statement[last] = value

    return change


def _signature(data, **changes):
    [one] = json.loads(data)["signatures"]
    return [{**one, **changes}]


ENVELOPES: dict[str, tuple[bytes, tuple[str, ...], str | None]] = {
    "accept": (GOOD, ("log",), None),
    "reject": (envelope(REJECT), ("log",), None),
    "inconclusive, whatever follows": (
        envelope(ACCEPT, decision=Decision.INCONCLUSIVE), ("log",), None,
    ),
    "invalid, of a patch that makes nothing": (
        envelope(replace(NOTHING, gates=(), teeth=())), ("log",), None,
    ),
    "other numbers of another machine": (envelope(ACCEPT, measured={"took_ms": 6}), ("log",), None),
    "two signatures": (envelope(ACCEPT, "log", "a1"), ("log", "a1"), None),
    "a stranger's signature beside": (envelope(ACCEPT, "log", "stranger"), ("log",), None),
    "a stranger's signature that fails": (
        outside(GOOD, signatures=[
            *json.loads(GOOD)["signatures"],
            {"keyid": KEY["stranger"].public.hex(), "sig": base64.b64encode(bytes(64)).decode()},
        ]), ("log",), None,
    ),
    "of nobody who is trusted": (GOOD, ("a1",), "signature"),
    "no signature": (outside(GOOD, signatures=[]), ("log",), "signature"),
    "the same signature twice": (
        outside(GOOD, signatures=2 * json.loads(GOOD)["signatures"]), ("log",), "signature",
    ),
    "another key's signature": (
        outside(GOOD, signatures=_signature(GOOD, keyid=KEY["a1"].public.hex())), ("a1",),
        "signature",
    ),
    "altered measures": (
        inside(GOOD, deep("predicate.measured.took_ms", 4), sign=False), ("log",), "signature",
    ),
    "an altered outcome": (
        inside(envelope(REJECT), deep("predicate.decision", "accept"), sign=False), ("log",),
        "signature",
    ),
    "a decision that does not follow": (
        inside(envelope(REJECT), deep("predicate.decision", "accept")), ("log",), "statement",
    ),
    "a digest that does not follow": (
        inside(GOOD, deep("predicate.digest", "00" * 32)), ("log",), "statement",
    ),
    "a subject that does not follow": (
        inside(GOOD, deep("subject", [])), ("log",), "statement",
    ),
    "a commitment to another seed": (
        inside(GOOD, deep("predicate.found.seed.commitment", "00" * 32)), ("log",), "statement",
    ),
    "one result of two": (
        inside(GOOD, deep("predicate.found.result.tree", None)), ("log",), "shape",
    ),
    "a field more": (inside(GOOD, deep("predicate.found.more", 1)), ("log",), "shape"),
    "tries from nothing": (inside(GOOD, deep("predicate.found.task.tries", 0)), ("log",), "shape"),
    "tries that are true": (
        inside(GOOD, deep("predicate.found.task.tries", True)), ("log",), "shape",
    ),
    "an outcome that is none": (
        inside(GOOD, lambda s: s["predicate"]["found"]["gates"][0].update(parent="perhaps")),
        ("log",), "shape",
    ),
    "hex in capitals": (
        inside(GOOD, deep("predicate.found.patch", "AB" * 32)), ("log",), "shape",
    ),
    "another predicate": (inside(GOOD, deep("predicateType", "x")), ("log",), "statement"),
    "for people": (LEFT, ("log",), None),
    "for people, and said to be accepted": (
        inside(LEFT, deep("predicate.decision", "accept")), ("log",), "statement",
    ),
    "another payload type": (outside(GOOD, payloadType="application/json"), ("log",), "shape"),
    "a field of the envelope more": (outside(GOOD, more=1), ("log",), "shape"),
    "a fraction": (inside(GOOD, deep("predicate.measured.took_ms", 0.5)), ("log",), "json"),
    "a blank": (GOOD.replace(b'","', b'", "', 1), ("log",), "json"),
    "cut short": (GOOD[:-1], ("log",), "json"),
    "no JSON": (b"\xff", ("log",), "json"),
}  # fmt: skip


def _envelope(name: str) -> dict[str, Any]:
    data, trusted, kind = ENVELOPES[name]
    shown: dict[str, Any] = {
        "name": name,
        "class": kind,
        "envelope": base64.b64encode(data).decode(),
        "trusted": [KEY[one].public.hex() for one in trusted],
    }
    try:
        found = verify_envelope(data, trusted=[KEY[one].public for one in trusted])
    except InvalidVerdict:
        assert kind is not None, name
        return shown
    assert kind is None, name
    verdict = found.verdict
    return shown | {
        "digest": verdict.digest.hex(),
        "decision": verdict.decision.value,
        "signers": [key.hex() for key in found.signers],
    }


def answer(name, *, word=Word.APPROVE, verdict=None, at_h=1, proposed=PROPOSED):
    question = proposed.question(world.digest_for(proposed) if verdict is None else verdict)
    return Answer(question=question, word=word, at_ms=round(at_h * HOUR_MS)).sign(FIXED[name])


YES = answer("operator").to_payload(412)
ANSWERS: dict[str, tuple[dict[str, Any], Word, Any, str | None]] = {
    "yes": (YES, Word.APPROVE, PROPOSED, None),
    "no": (answer("a1", word=Word.DISAPPROVE).to_payload(412), Word.DISAPPROVE, PROPOSED, None),
    "constitutional": (
        answer("alice", proposed=CONSTITUTIONAL).to_payload(1),
        Word.APPROVE,
        CONSTITUTIONAL,
        None,
    ),
    "the other word": (YES, Word.DISAPPROVE, PROPOSED, "answer"),
    "another proposal": (YES, Word.APPROVE, replace(PROPOSED, patch=bytes(32)), "answer"),
    "another ledger": (YES, Word.APPROVE, replace(PROPOSED, ledger=bytes(32)), "answer"),
    "another class": (YES, Word.APPROVE, CONSTITUTIONAL, "answer"),
    "another root": ({**YES, "root": bytes(32)}, Word.APPROVE, PROPOSED, "answer"),
    "another verdict": ({**YES, "verdict": bytes(32)}, Word.APPROVE, PROPOSED, "answer"),
    "another time": ({**YES, "at_ms": 0}, Word.APPROVE, PROPOSED, "answer"),
    "another key": ({**YES, "key": KEY["a1"].public}, Word.APPROVE, PROPOSED, "answer"),
    "no signature": ({**YES, "signature": bytes(64)}, Word.APPROVE, PROPOSED, "answer"),
    "a short key": ({**YES, "key": bytes(31)}, Word.APPROVE, PROPOSED, "answer"),
    "a time of another kind": ({**YES, "at_ms": "1"}, Word.APPROVE, PROPOSED, "answer"),
    "a time before all times": ({**YES, "at_ms": -1}, Word.APPROVE, PROPOSED, "answer"),
}


def _hex(payload):
    return {key: one.hex() if isinstance(one, bytes) else one for key, one in payload.items()}


def _about(proposed):
    return {
        "ledger": proposed.ledger.hex(),
        "patch": proposed.patch.hex(),
        "patch_class": proposed.patch_class.value,
    }


def _answer(name: str) -> dict[str, Any]:
    payload, word, proposed, kind = ANSWERS[name]
    about = {
        "ledger": proposed.ledger,
        "patch": proposed.patch,
        "patch_class": proposed.patch_class,
    }
    shown = {
        "name": name,
        "class": kind,
        "word": word.value,
        "payload": _hex(payload),
        **_about(proposed),
    }
    try:
        found = read_answer(payload, word, **about)
    except InvalidApproval:
        assert kind is not None, name
        return shown
    assert kind is None, name
    message, question = found.answer.encode(), found.answer.question.digest
    return shown | {"message": message.hex(), "question": question.hex()}


def _case(*said, envelopes=None, constitutional=False, **more):
    given = ((LEFT if constitutional else GOOD, 0),) if envelopes is None else envelopes
    return world.case(*said, envelopes=given, constitutional=constitutional, **more)


_TWO = tuple(answer(name) for name in ("a1", "a2"))
_THREE = (*_TWO, answer("a3"))
_THEIRS = (envelope(ACCEPT, "a1"), 1)
_ALL = (_THEIRS, (envelope(ACCEPT, "a3"), 1))
_NO = Word.DISAPPROVE
_ALICE, _BOB = (answer(name, proposed=CONSTITUTIONAL) for name in ("alice", "bob"))
H = HOUR_MS
GRANTING: dict[str, tuple[Any, Any, int, str | None]] = {
    "the operator": (_case(answer("operator")), RULES, 2 * H, None),
    "nobody": (_case(), RULES, 2 * H, "unapproved"),
    "a stranger": (_case(answer("stranger")), RULES, 2 * H, "unapproved"),
    "the node's own key": (_case(answer("nostr")), RULES, 2 * H, "unapproved"),
    "not judged": (_case(answer("operator"), envelopes=()), RULES, 2 * H, "unjudged"),
    "judged by another": (
        _case(answer("operator"), envelopes=(), reported=(_THEIRS,)), RULES, 2 * H, "unjudged",
    ),
    "judged elsewhere with an own key": (
        _case(answer("operator"), envelopes=(), reported=((GOOD, 0),)), RULES, 2 * H, "unjudged",
    ),
    "rejected elsewhere with an own key": (
        _case(answer("operator"), reported=((envelope(REJECT), 1),)), RULES, 2 * H, None,
    ),
    "judged by another evaluator": (
        _case(answer("operator")), replace(RULES, evaluator=bytes(32)), 2 * H, "unjudged",
    ),
    "judged as an earlier try": (
        replace(_case(answer("operator")), proposed=replace(PROPOSED, tries=2)), RULES, 2 * H,
        "unjudged",
    ),
    "judged as the try that it is": (
        replace(
            _case(answer("operator", verdict=SECOND.digest), envelopes=((envelope(SECOND), 0),)),
            proposed=replace(PROPOSED, tries=2),
        ),
        RULES, 2 * H, None,
    ),
    "rejected once": (
        _case(answer("operator"), envelopes=((envelope(REJECT), 0), (GOOD, 1))), RULES, 2 * H,
        "rejected",
    ),
    "judged without words": (
        _case(answer("operator"), envelopes=(), wordless=((GOOD, 0),)), RULES, 2 * H, "unjudged",
    ),
    "judged without words, and then with them": (
        _case(answer("operator"), envelopes=((GOOD, 1),), wordless=((GOOD, 0),)), RULES, 2 * H, None,
    ),
    "the yes is to the one without words": (
        _case(answer("operator", verdict=OTHER.digest), wordless=((envelope(OTHER), 1),)), RULES,
        2 * H, "unapproved",
    ),
    "rejected without words": (
        _case(answer("operator"), wordless=((envelope(REJECT), 1),)), RULES, 2 * H, "rejected",
    ),
    "for people, without words": (
        _case(_ALICE, constitutional=True, envelopes=(), wordless=((LEFT, 0),)), PEOPLE, WAIT_MS,
        "unjudged",
    ),
    "withdrawn": (_case(answer("operator"), is_open=False), RULES, 2 * H, "closed"),
    "a later no": (
        _case(answer("operator"), answer("operator", word=_NO, at_h=1.5)), RULES, 2 * H,
        "disapproved",
    ),
    "an earlier no, shown later": (
        _case(answer("operator"), answer("operator", word=_NO, at_h=0.5)), RULES, 2 * H, None,
    ),
    "another digest": (
        _case(answer("operator", verdict=OTHER.digest)), RULES, 2 * H, "unapproved",
    ),
    "a month and an hour ago": (_case(answer("operator")), RULES, VALID_MS + H + 1, "expired"),
    "dated ahead": (_case(answer("operator", at_h=9)), RULES, 2 * H, "unapproved"),
    "people, in time": (_case(_ALICE, constitutional=True), PEOPLE, WAIT_MS, None),
    "people, too early": (_case(_ALICE, constitutional=True), PEOPLE, WAIT_MS - 1, "early"),
    "people, by a waiting time of their own": (
        _case(_ALICE, constitutional=True), replace(PEOPLE, wait_ms=H), H, None,
    ),
    "people, and a machine's yes": (
        _case(_ALICE, constitutional=True, envelopes=((GOOD, 0),)), PEOPLE, WAIT_MS, "unjudged",
    ),
    "for people, and routine": (
        _case(answer("operator"), envelopes=((LEFT, 0),)), RULES, 2 * H, "unjudged",
    ),
    "two of two people": (
        _case(_ALICE, _BOB, constitutional=True), BOTH, WAIT_MS, None,
    ),
    "one of two people": (_case(_ALICE, constitutional=True), BOTH, WAIT_MS, "quorum"),
    "one of the people twice": (
        _case(_ALICE, answer("alice", proposed=CONSTITUTIONAL, at_h=1.5), constitutional=True),
        BOTH, WAIT_MS, "quorum",
    ),
    "one of the people says no": (
        _case(_ALICE, answer("bob", word=_NO, proposed=CONSTITUTIONAL), constitutional=True),
        PEOPLE, WAIT_MS, "disapproved",
    ),
    "the operator says no to what people want": (
        _case(_ALICE, answer("operator", word=_NO, proposed=CONSTITUTIONAL), constitutional=True),
        PEOPLE, WAIT_MS, "disapproved",
    ),
    "the operator of what is constitutional": (
        _case(answer("operator", proposed=CONSTITUTIONAL), constitutional=True), PEOPLE, WAIT_MS,
        "unapproved",
    ),
    "three of four": (_case(*_THREE, reported=_ALL), APPROVERS, 2 * H, None),
    "two of four": (_case(*_TWO, reported=_ALL), APPROVERS, 2 * H, "quorum"),
    "one key twice": (
        _case(*_TWO, answer("a1", at_h=1.5), reported=_ALL), APPROVERS, 2 * H,
        "quorum",
    ),
    "the node as one of them": (
        _case(*_TWO, answer("nostr"), reported=_ALL), APPROVERS, 2 * H, "quorum",
    ),
    "one of them judged, two are needed": (
        _case(*_THREE, reported=(_THEIRS,)), APPROVERS, 2 * H, "quorum",
    ),
    "one of them judged, twice": (
        _case(*_THREE, reported=(_THEIRS, (envelope(ACCEPT, "a1", "log"), 2))), APPROVERS, 2 * H,
        "quorum",
    ),
    "one verdict that two of them signed": (
        _case(*_THREE, reported=((envelope(ACCEPT, "a1", "a2"), 2),)), APPROVERS, 2 * H, None,
    ),
    "none of them judged": (_case(*_THREE), APPROVERS, 2 * H, "quorum"),
    "one of them found otherwise": (
        _case(*_THREE, reported=(*_ALL, (envelope(OTHER, "a2"), 2))), APPROVERS,
        2 * H, "disagreed",
    ),
    "one of them judged without words, as was done here": (
        _case(
            *_THREE, wordless=((envelope(OTHER), 1),), reported=(*_ALL, (envelope(OTHER, "a2"), 2))
        ),
        APPROVERS, 2 * H, None,
    ),
    "none of them judged with words": (
        _case(*_THREE, wordless=((envelope(OTHER), 1),), reported=((envelope(OTHER, "a2"), 2),)),
        APPROVERS, 2 * H, "quorum",
    ),
    "where the manifest names nobody": (
        _case(*_THREE, reported=_ALL), RULES, 2 * H, "unapproved",
    ),
}  # fmt: skip


def _keys(keys):
    return sorted(key.hex() for key in keys)


def _rows(envelopes):
    return [{"envelope": base64.b64encode(data).decode(), "at_ms": at} for data, at in envelopes]


def _granting(name: str) -> dict[str, Any]:
    case, rules, now_ms, kind = GRANTING[name]
    found = decide(case, rules, now_ms=now_ms)
    assert (None if isinstance(found, Yes) else found.why.value) == kind, (name, found)
    proposed = case.proposed
    shown = {
        "name": name, "class": kind, "now_ms": now_ms, "open": case.is_open,
        "proposed": {
            **_about(proposed), "sha256": proposed.patch_sha256.hex(),
            "base": proposed.base.hex(), "root": proposed.root.hex(),
            "commitment": proposed.commitment.hex(), "tries": proposed.tries,
        },
        "envelopes": _rows(case.envelopes),
        "wordless": _rows(case.wordless),
        "reported": _rows(case.reported),
        "answers": [
            {"word": one.answer.word.value, **_hex(one.to_payload(412))} for one in case.answers
        ],
        "rules": {
            "judges": _keys(rules.judges), "evaluator": rules.evaluator.hex(),
            "operators": _keys(rules.operators), "people": _keys(rules.people),
            "own": _keys(rules.own), "approvers": _keys(rules.approvers),
            "people_needed": rules.people_needed, "wait_ms": rules.wait_ms,
        },
    }  # fmt: skip
    if isinstance(found, Yes):
        return shown | {"verdict": found.verdict.hex(), "keys": _keys(found.keys)}
    return shown


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, cases in (
        ("envelopes", [_envelope(one) for one in ENVELOPES]),
        ("answers", [_answer(one) for one in ANSWERS]),
        ("granting", [_granting(one) for one in GRANTING]),
    ):
        text = json.dumps({"cases": cases}, indent=1) + "\n"
        (FOLDER / f"{name}.json").write_text(text)


if __name__ == "__main__":
    main()
