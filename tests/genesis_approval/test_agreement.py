"""Two verdicts beside each other: what they differ in is named, nothing is averaged."""

from dataclasses import replace

import pytest

from genesis.core.agreement import SHOWN_MAX, compare, held_against
from genesis.core.verdict import Decision, Findings, Gate, Outcome, Tooth, Verdict

from .world import ACCEPT, INPUTS, REJECT


def verdict(found, decision=None):
    return Verdict(decision=decision or found.decision, findings=found)


def whats(one, other):
    found = compare(verdict(one), verdict(other))
    assert not found.agree
    return found.comparable, [difference.what for difference in found.differences]


def test_equal_digests_agree_whatever_was_measured():
    slow = replace(verdict(ACCEPT), measured={"took_ms": 9})
    found = compare(verdict(ACCEPT), slow)
    assert (found.comparable, found.agree, found.differences) == (True, True, ())


def test_which_gate_and_which_transcript():
    assert whats(ACCEPT, REJECT) == (True, ["gate answer candidate"])
    other = replace(ACCEPT, gates=(replace(ACCEPT.gates[0], transcript=bytes(32)),))
    assert whats(ACCEPT, other) == (True, ["gate answer transcript"])
    [difference] = compare(verdict(ACCEPT), verdict(other)).differences
    assert (difference.one, difference.other) == ("none", "00" * 32)
    more = replace(ACCEPT, gates=(*ACCEPT.gates, replace(ACCEPT.gates[0], name="crisis")))
    assert whats(ACCEPT, more) == (False, ["gate crisis"])  # its mutants were not tried
    crisis = Tooth(mutant="mute", gate="crisis", outcome=Outcome.FAIL)
    tried = replace(more, teeth=(*ACCEPT.teeth, crisis))
    assert whats(ACCEPT, tried) == (True, ["gate crisis", "mutant mute at crisis"])
    blunt = Tooth(mutant="constant", gate="answer", outcome=Outcome.NOT_RUN)
    assert whats(ACCEPT, replace(ACCEPT, teeth=(blunt,))) == (False, ["mutant constant at answer"])
    twice = Tooth(mutant="echo", gate="answer", outcome=Outcome.FAIL)
    both = replace(ACCEPT, teeth=(*ACCEPT.teeth, twice))
    assert whats(both, ACCEPT) == (True, ["mutant echo at answer"])


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"head_size": 8}, "parent head size"),
        ({"evaluator": bytes(32)}, "evaluator"),
        ({"patch_sha256": bytes(32)}, "patch"),
        ({"tries": 2}, "task tries"),
        ({"result_root": bytes(32)}, "result root"),
    ],
)
def test_two_questions_have_no_common_answer(changed, what):
    other = replace(REJECT, inputs=replace(INPUTS, **changed))
    assert whats(ACCEPT, other) == (False, [what])


def test_another_seed_is_another_question():
    other = replace(ACCEPT, inputs=replace(INPUTS, seed=bytes(32)))
    assert whats(ACCEPT, other) == (False, ["seed commitment", "seed revealed"])


def test_who_found_nothing_out_agrees_with_nobody():
    unsure = verdict(ACCEPT, Decision.INCONCLUSIVE)
    for one in (verdict(ACCEPT), verdict(REJECT), unsure):
        found = compare(one, unsure)
        assert not found.agree
        assert not found.comparable


def test_one_is_held_against_the_first_that_it_can_be_compared_with():
    unsure = verdict(ACCEPT, Decision.INCONCLUSIVE)
    accept, reject = verdict(ACCEPT), verdict(REJECT)
    elsewhere = verdict(replace(ACCEPT, inputs=replace(INPUTS, head_size=8)))
    for others, at in (([unsure, accept], 1), ([elsewhere, unsure, accept], 2), ([accept] * 2, 0)):
        index, found = held_against(others, reject)
        assert (index, found) == (at, compare(accept, reject))
        assert found.comparable
    assert held_against([elsewhere, unsure], reject) == (0, compare(elsewhere, reject))


def test_what_is_named_is_bounded():
    gate = Gate(name="g", parent=Outcome.PASS, candidate=Outcome.PASS)
    many = Findings(inputs=INPUTS, gates=tuple(replace(gate, name=f"g{n}") for n in range(200)))
    assert len(compare(verdict(ACCEPT), verdict(many)).differences) == SHOWN_MAX
