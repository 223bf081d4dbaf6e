"""Verdict envelopes: what is signed is what is read, and nothing else verifies."""

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.core import verdict as verdicts
from genesis.core.draws import Draws, case_key
from genesis.core.errors import InvalidVerdict
from genesis.core.strict_json import canonical_json
from genesis.core.verdict import (
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    Decision,
    Findings,
    Gate,
    Inputs,
    Outcome,
    Tooth,
    Verdict,
    pre_authentication_encoding,
    sign_envelope,
    verify_envelope,
)  # fmt: skip
from ledger.core.keys import Signer

JUDGE, OTHER = Signer(b"\x01" * 32), Signer(b"\x02" * 32)
INPUTS = Inputs(
    patch_sha256=b"\x10" * 32, parent_root=b"\x17" * 32, parent_tree=b"\x11" * 32,
    result_root=b"\x18" * 32, result_tree=b"\x12" * 32, head_size=7,
    head_root=b"\x13" * 32, evaluator=b"\x14" * 32, seed=b"\x15" * 32,
)  # fmt: skip
GATE = Gate(name="answer", parent=Outcome.PASS, candidate=Outcome.PASS, transcript=b"\x16" * 32)
TOOTH = Tooth(mutant="constant", gate="answer", outcome=Outcome.FAIL)
FINDINGS = Findings(inputs=INPUTS, gates=(GATE,), teeth=(TOOTH,))
ACCEPT = Verdict(
    decision=Decision.ACCEPT, findings=FINDINGS, measured={"engine": "bubblewrap", "took_ms": 5}
)
ENVELOPE = sign_envelope(ACCEPT, [JUDGE])


def test_round_trip():
    read = verify_envelope(ENVELOPE, trusted=[JUDGE.public])
    assert read.verdict == ACCEPT
    assert read.signers == (JUDGE.public,)


def test_the_shape_is_in_toto_in_dsse():
    envelope = json.loads(ENVELOPE)
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert envelope["payloadType"] == PAYLOAD_TYPE == "application/vnd.in-toto+json"
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == PREDICATE_TYPE
    assert statement["subject"][0] == {"name": "patch", "digest": {"sha256": "10" * 32}}
    assert statement["predicate"]["digest"] == ACCEPT.digest.hex()


def test_pae_of_the_dsse_specification():
    """protocol.md of DSSE, test vector: type http://example.com/HelloWorld, body hello world."""
    encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_measures_stand_outside_the_digest():
    slow = replace(ACCEPT, measured={"engine": "other", "took_ms": 999})
    assert slow.digest == ACCEPT.digest
    assert sign_envelope(slow, [JUDGE]) != ENVELOPE


CHANGES = {
    "patch": {"patch_sha256": bytes(32)},
    "parent": {"parent_tree": bytes(32)},
    "result": {"result_tree": bytes(32)},
    "parent root": {"parent_root": bytes(32)},
    "result root": {"result_root": bytes(32)},
    "measure": {"measure": "prompt-bytes"},
    "tries": {"tries": 2},
    "size": {"head_size": 8},
    "root": {"head_root": bytes(32)},
    "evaluator": {"evaluator": bytes(32)},
    "seed": {"seed": bytes(32)},
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_input_is_in_the_digest(name):
    assert (
        Findings(inputs=replace(INPUTS, **CHANGES[name]), gates=(GATE,), teeth=(TOOTH,)).digest
        != FINDINGS.digest
    )


def test_every_outcome_is_in_the_digest():
    others = [
        Findings(inputs=INPUTS, gates=(GATE,)),
        Findings(inputs=INPUTS, gates=(), teeth=(TOOTH,)),
        Findings(inputs=INPUTS, gates=(replace(GATE, transcript=None),), teeth=(TOOTH,)),
        Findings(inputs=INPUTS, gates=(replace(GATE, candidate=Outcome.FAIL),), teeth=(TOOTH,)),
        Findings(inputs=INPUTS, gates=(replace(GATE, parent=Outcome.FAIL),), teeth=(TOOTH,)),
        Findings(inputs=INPUTS, gates=(GATE,), teeth=(replace(TOOTH, outcome=Outcome.PASS),)),
        replace(FINDINGS, counts=((7, 8),)),
        replace(FINDINGS, counts=((8, 7),)),
    ]
    assert len({FINDINGS.digest, *(other.digest for other in others)}) == len(others) + 1


PASS, FAIL, NOT = Outcome.PASS, Outcome.FAIL, Outcome.NOT_RUN
DECISIONS = [
    # parent, candidate, tooth of gate a; the same of gate b; decision
    ((PASS, PASS, FAIL), (PASS, PASS, FAIL), Decision.ACCEPT),
    ((PASS, FAIL, FAIL), (PASS, PASS, FAIL), Decision.REJECT),
    ((PASS, FAIL, FAIL), (NOT, NOT, NOT), Decision.REJECT),
    ((PASS, FAIL, FAIL), (FAIL, PASS, FAIL), Decision.REJECT),
    ((FAIL, FAIL, FAIL), (PASS, PASS, FAIL), Decision.INCONCLUSIVE),
    ((FAIL, PASS, FAIL), (PASS, PASS, FAIL), Decision.INCONCLUSIVE),
    ((PASS, PASS, PASS), (PASS, PASS, FAIL), Decision.INCONCLUSIVE),
    ((PASS, FAIL, PASS), (PASS, PASS, FAIL), Decision.INCONCLUSIVE),
    ((PASS, NOT, FAIL), (PASS, PASS, FAIL), Decision.INCONCLUSIVE),
    ((PASS, PASS, NOT), (PASS, PASS, FAIL), Decision.INCONCLUSIVE),
    ((PASS, PASS, None), (PASS, PASS, FAIL), Decision.INCONCLUSIVE),
]


@pytest.mark.parametrize(("first", "second", "decision"), DECISIONS)
def test_the_decision_follows_from_the_findings(first, second, decision):
    pairs = {"a": first, "b": second}
    findings = Findings(
        inputs=INPUTS,
        gates=tuple(Gate(name=n, parent=p[0], candidate=p[1]) for n, p in pairs.items()),
        teeth=tuple(Tooth(mutant="m", gate=n, outcome=p[2]) for n, p in pairs.items() if p[2]),
    )
    assert findings.decision is decision
    for claimed in Decision:
        if claimed in (decision, Decision.INCONCLUSIVE):
            Verdict(decision=claimed, findings=findings)
        else:
            with pytest.raises(InvalidVerdict, match="does not follow"):
                Verdict(decision=claimed, findings=findings)


def test_no_tree_is_invalid_and_no_gates_are_inconclusive():
    assert (
        Findings(inputs=replace(INPUTS, result_root=None, result_tree=None)).decision
        is Decision.INVALID
    )
    assert Findings(inputs=INPUTS).decision is Decision.INCONCLUSIVE


def test_strangers_do_not_count():
    with pytest.raises(InvalidVerdict, match="no signature of a trusted key"):
        verify_envelope(ENVELOPE, trusted=[OTHER.public])
    both = sign_envelope(ACCEPT, [OTHER, JUDGE])
    assert verify_envelope(both, trusted=[JUDGE.public]).signers == (JUDGE.public,)
    assert verify_envelope(both, trusted=[JUDGE.public, OTHER.public]).signers == (
        OTHER.public,
        JUDGE.public,
    )


def test_a_signature_for_another_purpose_does_not_count(monkeypatch):
    monkeypatch.setattr(verdicts, "SIGNATURE_TAG", "timmy/note/v1")
    envelope = sign_envelope(ACCEPT, [JUDGE])
    monkeypatch.undo()
    with pytest.raises(InvalidVerdict, match="fails"):
        verify_envelope(envelope, trusted=[JUDGE.public])


def forged(edit, *, signer=JUDGE):
    """An envelope that is well signed but whose statement was edited."""
    statement = json.loads(base64.b64decode(json.loads(ENVELOPE)["payload"]))
    edit(statement)
    payload = canonical_json(statement)
    signature = signer.sign(
        verdicts.SIGNATURE_TAG, pre_authentication_encoding(PAYLOAD_TYPE, payload)
    )
    entry = {"keyid": signer.public.hex(), "sig": base64.b64encode(signature).decode()}
    return canonical_json(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [entry],
        }
    )


FORGERIES = {
    "decision": lambda s: s["predicate"].update(decision="reject"),
    "unknown decision": lambda s: s["predicate"].update(decision="maybe"),
    "digest": lambda s: s["predicate"].update(digest="00" * 32),
    "subject": lambda s: s["subject"][0]["digest"].update(sha256="00" * 32),
    "subject missing": lambda s: s["subject"].pop(),
    "other type": lambda s: s.update(predicateType="https://timmy.example/other/v1"),
    "other statement": lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
    "extra field": lambda s: s["predicate"].update(note="trust me"),
    "missing field": lambda s: s["predicate"].pop("measured"),
    "outcome": lambda s: s["predicate"]["found"]["gates"][0].update(candidate="fail"),
    "odd outcome": lambda s: s["predicate"]["found"]["gates"][0].update(candidate="passed"),
    "teeth gone": lambda s: s["predicate"]["found"]["teeth"].clear(),
    "seed unlike its commitment": lambda s: s["predicate"]["found"]["seed"].update(
        revealed="00" * 32
    ),
    "upper case": lambda s: s["predicate"]["found"].update(evaluator="AB" * 32),
    "short": lambda s: s["predicate"]["found"].update(evaluator="14" * 31),
    "size": lambda s: s["predicate"]["found"]["parent"]["head"].update(size=-1),
    "size as text": lambda s: s["predicate"]["found"]["parent"]["head"].update(size="7"),
    "gates no list": lambda s: s["predicate"]["found"].update(gates={}),
    "found no map": lambda s: s["predicate"].update(found=[]),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_signed_contradiction_is_refused(name):
    assert verify_envelope(forged(lambda _: None), trusted=[JUDGE.public]).verdict == ACCEPT
    with pytest.raises(InvalidVerdict):
        verify_envelope(forged(FORGERIES[name]), trusted=[JUDGE.public])


@given(st.integers(0, len(ENVELOPE) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_no_changed_byte_goes_unseen(at, change):
    data = bytearray(ENVELOPE)
    data[at] ^= change
    with pytest.raises(InvalidVerdict):
        verify_envelope(bytes(data), trusted=[JUDGE.public])


NOT_CANONICAL = {
    "spaces": ENVELOPE.replace(b",", b", "),
    "newline": ENVELOPE + b"\n",
    "duplicate key": ENVELOPE[:-1] + b',"payloadType":"x"}',
    "float": b'{"payload":1.0}',
    "nan": b"NaN",
    "huge integer": b"[%d]" % 2**64,
    "deep": b"[" * 5000 + b"]" * 5000,
    "not json": b"\xff",
    "empty": b"",
    "list": b"[]",
    "too large": b'"' + b"x" * (256 * 1024) + b'"',
    "escaped": b'{"payload":"\\u0041"}',
    "surrogate": b'"\\ud800"',
}


@pytest.mark.parametrize("name", NOT_CANONICAL)
def test_only_canonical_json_is_read(name):
    with pytest.raises(InvalidVerdict):
        verify_envelope(NOT_CANONICAL[name], trusted=[JUDGE.public])


@pytest.mark.parametrize("value", [1.5, {"x": float("nan")}, {1: 2}, {"ä": 1}, b"x", 2**70, ("a",)])
def test_only_plain_values_are_written(value):
    with pytest.raises(InvalidVerdict):
        canonical_json(value)


def test_draws_are_the_same_everywhere():
    """Golden values: judges on any Python version must draw these."""
    draws = Draws(case_key(bytes(32), bytes(32)), "golden")
    assert [draws.word() for _ in range(3)] == GOLDEN_WORDS
    assert [draws.below(1000) for _ in range(3)] == GOLDEN_NUMBERS


GOLDEN_WORDS = ["lagosemo", "sufopefu", "nukabavi"]
GOLDEN_NUMBERS = [12, 984, 666]


def test_draws_differ_by_key_and_name():
    def first(key, name):
        return Draws(key, name).octets(32)

    assert len({first(bytes(32), "a"), first(bytes(32), "b"), first(b"\x01" * 32, "a")}) == 3
    assert case_key(bytes(32), b"\x01" * 32) != case_key(b"\x01" * 32, bytes(32))


def test_words_are_all_within_reach():
    draws = Draws(bytes(32), "reach")
    words = draws.words(2000).split()
    assert len(set(words)) == 2000
    assert {letter for word in words for letter in word} == set("bdfgklmnprstvzaeiou")
    assert {len(word) for word in words} == {8}
