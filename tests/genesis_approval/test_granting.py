"""When a proposal is approved: every rule by a case of its own, and all of them beside a twin."""

import base64
import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.core.approval import Word, read_answer
from genesis.core.errors import InvalidApproval
from genesis.core.granting import (
    HOUR_MS,
    SKEW_MS,
    VALID_MS,
    WAIT_MS,
    NotYet,
    Why,
    Yes,
    decide,
    said_no,
)
from genesis.core.patch import PatchClass
from genesis.core.verdict import Decision

from .world import (
    ACCEPT,
    APPROVERS,
    ASKED,
    BOTH,
    CONSTITUTIONAL,
    DIGEST,
    ENVELOPE,
    INPUTS,
    KEY,
    LEFT,
    OTHER,
    PEOPLE,
    PROPOSED,
    REJECT,
    RULES,
    UNSURE,
    answer,
    case,
    envelope,
    findings,
    no,
    public,
)

NOW = 2 * HOUR_MS


def why(found):
    assert isinstance(found, NotYet), found
    return found.why


def test_the_operator_alone_approves_what_is_routine():
    found = decide(case(answer("operator")), RULES, now_ms=NOW)
    assert found == Yes(verdict=DIGEST, keys=(KEY["operator"].public,), at_ms=HOUR_MS)
    assert isinstance(decide(case(answer("npub")), RULES, now_ms=NOW), Yes)


def test_nobody_s_yes_is_none():
    assert why(decide(case(), RULES, now_ms=NOW)) is Why.UNAPPROVED
    assert why(decide(case(answer("stranger")), RULES, now_ms=NOW)) is Why.UNAPPROVED


@pytest.mark.parametrize("own", ["log", "nostr"])
def test_a_key_of_the_node_does_not_count_whatever_names_it(own):
    named = replace(
        RULES, operators=RULES.operators | public(own), people=public(own), approvers=public(own)
    )
    for constitutional in (False, True):
        said = answer(own, proposed=CONSTITUTIONAL if constitutional else PROPOSED)
        found = decide(case(said, constitutional=constitutional), named, now_ms=NOW + WAIT_MS)
        assert why(found) in {Why.UNAPPROVED, Why.QUORUM}


def test_without_an_own_verdict_that_accepts_there_is_nothing_to_approve():
    yes = answer("operator")
    for envelopes, expected in (
        ((), Why.UNJUDGED),
        (((UNSURE, 0),), Why.UNJUDGED),
        (((envelope(ACCEPT, "stranger"), 0),), Why.UNJUDGED),
        (((envelope(REJECT), 0),), Why.REJECTED),
        (((ENVELOPE, 0), (envelope(REJECT), 1)), Why.REJECTED),
        (((envelope(REJECT), 0), (ENVELOPE, 1)), Why.REJECTED),
        (((b"{}", 0),), Why.UNJUDGED),
    ):
        assert why(decide(case(yes, envelopes=envelopes), RULES, now_ms=NOW)) is expected
    sure = ((UNSURE, 0), (ENVELOPE, 1))
    assert isinstance(decide(case(yes, envelopes=sure), RULES, now_ms=NOW), Yes)


def test_what_was_found_without_words_rejects_and_speaks_for_nothing():
    yes, bare = answer("operator"), ((ENVELOPE, 0),)
    found = decide(case(yes, envelopes=(), wordless=bare), RULES, now_ms=NOW)
    assert why(found) is Why.UNJUDGED
    assert "judged without words" in found.text
    assert isinstance(decide(case(yes, wordless=bare), RULES, now_ms=NOW), Yes)
    rejected = case(yes, wordless=((envelope(REJECT), 1),))
    assert why(decide(rejected, RULES, now_ms=NOW)) is Why.REJECTED
    people = case(
        answer("alice", proposed=CONSTITUTIONAL), envelopes=(), wordless=((LEFT, 0),),
        constitutional=True,
    )  # fmt: skip
    assert why(decide(people, PEOPLE, now_ms=WAIT_MS)) is Why.UNJUDGED


def test_who_judged_without_words_neither_agrees_nor_disagrees():
    """Its digest is another one by nature, and that of the own judge that was shown none."""
    three = (answer("a1"), answer("a2"), answer("a3"))
    bare, theirs = ((envelope(OTHER), 1),), (envelope(OTHER, "a2"), 2)

    def quorum_of(*reported):
        made = case(*three, envelopes=(OWN,), wordless=bare, reported=reported)
        return decide(made, APPROVERS, now_ms=NOW)

    assert isinstance(quorum_of(REPORTED, SECOND, theirs), Yes)
    assert why(quorum_of(theirs)) is Why.QUORUM
    assert why(quorum_of(REPORTED, SECOND, (envelope(REJECT, "a2"), 2))) is Why.DISAGREED


@pytest.mark.parametrize(
    "changed",
    [
        {"patch_sha256": bytes(32)},
        {"parent_root": bytes(32)},
        {"result_root": bytes(32)},
        {"evaluator": bytes(32)},
        {"seed": bytes(32)},
        {"result_root": None, "result_tree": None},
    ],
)
def test_an_own_verdict_of_something_else_is_none(changed):
    other = findings(inputs=replace(INPUTS, **changed))
    decision = None if "result_tree" not in changed else Decision.INVALID
    made = envelope(other, decision=decision)
    said = answer("operator", verdict=other.digest)
    assert why(decide(case(said, envelopes=((made, 0),)), RULES, now_ms=NOW)) is Why.UNJUDGED


def test_own_is_what_was_judged_here_and_not_what_has_our_key():
    """Another ledger's proposal can have the same files, diff and seed, and be judged by us."""
    yes, ours = answer("operator"), ((envelope(REJECT), 1),)
    assert isinstance(decide(case(yes, reported=ours), RULES, now_ms=NOW), Yes)
    alone = case(yes, envelopes=(), reported=((ENVELOPE, 0),))
    assert why(decide(alone, RULES, now_ms=NOW)) is Why.UNJUDGED
    three = [answer(name) for name in ("a1", "a2", "a3")]
    here = case(*three, envelopes=(OWN, REPORTED, SECOND))
    assert why(decide(here, APPROVERS, now_ms=NOW)) is Why.QUORUM


def altered(data, change):
    """The envelope with its statement changed, its digest made to fit, its signature as it was."""
    value = json.loads(data)
    statement = json.loads(base64.b64decode(value["payload"]))
    change(statement["predicate"])
    text = json.dumps(statement, sort_keys=True, separators=(",", ":"))
    value["payload"] = base64.b64encode(text.encode()).decode()
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def test_an_envelope_with_altered_numbers_is_none():
    def better(predicate):
        predicate["found"] = ACCEPT.to_value()
        predicate["decision"] = "accept"
        predicate["digest"] = DIGEST.hex()

    forged = altered(envelope(REJECT), better)
    found = decide(case(answer("operator"), envelopes=((forged, 0),)), RULES, now_ms=NOW)
    assert why(found) is Why.UNJUDGED


def test_a_yes_to_another_verdict_does_not_count():
    assert (
        why(decide(case(answer("operator", verdict=OTHER.digest)), RULES, now_ms=NOW))
        is Why.UNAPPROVED
    )
    two = ((ENVELOPE, 0), (envelope(OTHER), 1))
    found = decide(case(answer("operator", verdict=OTHER.digest), envelopes=two), RULES, now_ms=NOW)
    assert found.verdict == OTHER.digest


@pytest.mark.parametrize(
    "changed",
    [
        {"ledger": bytes(32)},
        {"patch": bytes(32)},
        {"root": bytes(32)},
        {"patch_class": PatchClass.CONSTITUTIONAL},
    ],
)
def test_an_answer_serves_for_nothing_else(changed):
    elsewhere = answer("operator", proposed=replace(PROPOSED, **changed))
    assert why(decide(case(elsewhere), RULES, now_ms=NOW)) is Why.UNAPPROVED
    payload = elsewhere.to_payload(412)
    if "root" in changed:
        assert payload["root"] == bytes(32)
        payload["root"] = PROPOSED.root
    with pytest.raises(InvalidApproval, match="signature"):
        read_answer(
            payload, Word.APPROVE, ledger=PROPOSED.ledger, patch=PROPOSED.patch,
            patch_class=PROPOSED.patch_class,
        )  # fmt: skip


def test_a_no_is_no_yes_and_a_time_cannot_be_moved():
    signed = no("operator")
    payload = signed.to_payload(412)
    about = {
        "ledger": PROPOSED.ledger,
        "patch": PROPOSED.patch,
        "patch_class": PROPOSED.patch_class,
    }
    assert read_answer(payload, Word.DISAPPROVE, **about) == signed
    with pytest.raises(InvalidApproval, match="signature"):
        read_answer(payload, Word.APPROVE, **about)
    with pytest.raises(InvalidApproval, match="signature"):
        read_answer({**payload, "at_ms": payload["at_ms"] + 1}, Word.DISAPPROVE, **about)
    with pytest.raises(InvalidApproval, match="signature"):
        read_answer({**payload, "key": KEY["alice"].public}, Word.DISAPPROVE, **about)
    for name in ("verdict", "root", "key", "signature", "at_ms"):
        for wrong in ("x", b"", None, -1, 1.5):
            with pytest.raises(InvalidApproval):
                read_answer({**payload, name: wrong}, Word.DISAPPROVE, **about)


def test_the_latest_answer_stands_in_whatever_order_they_are_shown():
    said = [answer("operator", at_h=1), no("operator", at_h=2), answer("operator", at_h=3)]
    for order in itertools.permutations(said):
        assert isinstance(decide(case(*order), RULES, now_ms=4 * HOUR_MS), Yes)
    for order in itertools.permutations(said[:2]):
        # the yes of before the no, shown again behind it, is a replay
        assert why(decide(case(*order, said[0]), RULES, now_ms=4 * HOUR_MS)) is Why.DISAPPROVED
    at_once = (answer("operator", at_h=1), no("operator", at_h=1))
    assert why(decide(case(*at_once), RULES, now_ms=NOW)) is Why.DISAPPROVED


def test_one_operator_s_no_stands_against_another_s_yes():
    assert why(decide(case(answer("operator"), no("npub")), RULES, now_ms=NOW)) is Why.DISAPPROVED
    assert why(decide(case(answer("operator"), no("alice")), PEOPLE, now_ms=NOW)) is (
        Why.DISAPPROVED
    )
    assert isinstance(decide(case(answer("operator"), no("stranger")), PEOPLE, now_ms=NOW), Yes)


def test_a_yes_ends_and_one_from_the_future_has_not_begun():
    made = case(answer("operator"))
    assert isinstance(decide(made, RULES, now_ms=HOUR_MS + VALID_MS), Yes)
    assert why(decide(made, RULES, now_ms=HOUR_MS + VALID_MS + 1)) is Why.EXPIRED
    assert isinstance(decide(made, RULES, now_ms=HOUR_MS - SKEW_MS), Yes)
    later = case(answer("operator", at_h=5))
    assert why(decide(later, RULES, now_ms=5 * HOUR_MS - SKEW_MS - 1)) is Why.UNAPPROVED


def test_what_is_closed_is_not_adopted():
    assert why(decide(case(answer("operator"), is_open=False), RULES, now_ms=NOW)) is Why.CLOSED


def test_constitutional_takes_people_and_time():
    yes = answer("alice", proposed=CONSTITUTIONAL)
    made = case(yes, envelopes=((LEFT, HOUR_MS),), constitutional=True)
    early = decide(made, PEOPLE, now_ms=HOUR_MS + WAIT_MS - 1)
    assert why(early) is Why.EARLY
    assert "waits 72 hours, 1 more" in early.text
    assert isinstance(decide(made, PEOPLE, now_ms=HOUR_MS + WAIT_MS), Yes)
    # the operator's key is not enough, nor are approvers, nor a person whom nobody named
    for name, rules in (("operator", PEOPLE), ("alice", RULES), ("a1", APPROVERS)):
        said = case(answer(name, proposed=CONSTITUTIONAL), constitutional=True)
        assert why(decide(said, rules, now_ms=NOW + WAIT_MS)) is Why.UNAPPROVED
    # judging it again does not make it wait anew, nor does it make it wait less
    twice = case(yes, envelopes=((LEFT, 0), (LEFT, WAIT_MS)), constitutional=True)
    assert isinstance(decide(twice, PEOPLE, now_ms=WAIT_MS), Yes)
    said_no = case(yes, no("bob", proposed=CONSTITUTIONAL, at_h=9), constitutional=True)
    assert why(decide(said_no, PEOPLE, now_ms=2 * WAIT_MS)) is Why.DISAPPROVED


def test_constitutional_takes_as_many_people_as_are_asked_for():
    alice, bob = (answer(name, proposed=CONSTITUTIONAL) for name in ("alice", "bob"))
    again = answer("alice", proposed=CONSTITUTIONAL, at_h=1.5)
    for said in ((alice,), (alice, again)):  # one key twice is one voice
        found = decide(case(*said, constitutional=True), BOTH, now_ms=WAIT_MS)
        assert why(found) is Why.QUORUM
        assert "1 of the people say yes to one verdict, 2 are needed" in found.text
    both = case(alice, bob, constitutional=True)
    assert why(decide(both, BOTH, now_ms=WAIT_MS - 1)) is Why.EARLY
    assert decide(both, BOTH, now_ms=WAIT_MS).keys == tuple(sorted(public("alice", "bob")))
    # two who said yes to two verdicts said yes to nothing together
    other = replace(ASKED, inputs=replace(INPUTS, head_size=9))
    apart = case(
        alice, answer("bob", proposed=CONSTITUTIONAL, verdict=other.digest), constitutional=True,
        envelopes=((LEFT, 0), (envelope(other), 0)),
    )  # fmt: skip
    assert why(decide(apart, BOTH, now_ms=WAIT_MS)) is Why.QUORUM
    hour = replace(PEOPLE, wait_ms=HOUR_MS)
    assert isinstance(decide(case(alice, constitutional=True), hour, now_ms=HOUR_MS), Yes)
    for wrong in ({"people_needed": 0}, {"wait_ms": -1}):
        with pytest.raises(ValueError, match="people"):
            replace(PEOPLE, **wrong)


def test_a_machine_s_yes_is_none_to_what_is_for_people_and_the_other_way_round():
    yes = answer("alice", proposed=CONSTITUTIONAL, verdict=DIGEST)
    made = case(yes, envelopes=((ENVELOPE, 0),), constitutional=True)
    assert why(decide(made, PEOPLE, now_ms=WAIT_MS)) is Why.UNJUDGED
    left = case(answer("operator", verdict=ASKED.digest), envelopes=((LEFT, 0),))
    assert why(decide(left, RULES, now_ms=NOW)) is Why.UNJUDGED
    for changed in (
        {"gates": ASKED.gates[1:]},
        {"gates": ASKED.gates[::-1]},
        {"gates": (*ASKED.gates[:1], replace(ASKED.gates[1], transcript=None))},
        {"gates": (*ASKED.gates[:1], replace(ASKED.gates[1], name="peers"))},
        {"teeth": ()},
    ):
        assert ASKED.for_people
        assert not replace(ASKED, **changed).for_people


def test_a_no_stands_though_no_verdict_counts_any_more():
    """A judge that was changed finds none of the old verdicts its own; a no is to none of them."""
    said = case(answer("alice", proposed=CONSTITUTIONAL), no("bob", proposed=CONSTITUTIONAL),
                constitutional=True)  # fmt: skip
    changed = replace(PEOPLE, evaluator=bytes(32))
    assert why(decide(said, changed, now_ms=WAIT_MS)) is Why.UNJUDGED
    assert why(said_no(said, changed, now_ms=WAIT_MS)) is Why.DISAPPROVED
    yes = case(answer("alice", proposed=CONSTITUTIONAL), constitutional=True)
    assert said_no(yes, changed, now_ms=WAIT_MS) is None


def test_a_routine_yes_is_none_for_a_constitutional_change():
    made = case(answer("alice"), constitutional=True)
    assert why(decide(made, PEOPLE, now_ms=2 * WAIT_MS)) is Why.UNAPPROVED


# ---- k of n ----------------------------------------------------------------------------------------

REPORTED = (envelope(ACCEPT, "stranger", "a1"), 1)
SECOND = (envelope(ACCEPT, "a3"), 1)
OWN = (ENVELOPE, 0)


def quorum(*answers, more=(REPORTED, SECOND), rules=APPROVERS):
    return decide(case(*answers, envelopes=(OWN,), reported=more), rules, now_ms=NOW)


def test_a_majority_of_four_is_three_others():
    assert APPROVERS.quorum == 3
    found = quorum(answer("a1"), answer("a2"), answer("a3"))
    assert found.keys == tuple(sorted(public("a1", "a2", "a3")))
    too_few = quorum(answer("a1"), answer("a2"))
    assert why(too_few) is Why.QUORUM
    assert "2 of 4 approvers say yes, 3 are needed" in too_few.text


def test_one_key_twice_is_one_voice():
    said = (answer("a1"), answer("a1", at_h=1.5), answer("a1", at_h=1.7), answer("a2"))
    assert why(quorum(*said)) is Why.QUORUM


def test_the_node_itself_is_not_one_of_them():
    assert why(quorum(answer("nostr"), answer("a1"), answer("a2"))) is Why.QUORUM


def test_a_yes_taken_back_and_one_of_another_verdict_do_not_count():
    three = [answer("a1"), answer("a2"), answer("a3")]
    assert why(quorum(*three, no("a3", at_h=1.5))) is Why.QUORUM
    mixed = quorum(*three[:2], answer("a3", verdict=OTHER.digest), more=(REPORTED, SECOND))
    assert why(mixed) is Why.QUORUM


def test_there_are_as_many_judgments_as_voices():
    """The node's own and those of two approvers' homes, where three are needed."""
    three = (answer("a1"), answer("a2"), answer("a3"))
    for found, more in (
        (0, ()),
        (0, ((envelope(ACCEPT, "stranger"), 1),)),
        (0, ((envelope(ACCEPT, "nostr"), 1),)),
        (1, (REPORTED,)),
        (1, (REPORTED, (envelope(ACCEPT, "a1"), 2), (envelope(ACCEPT, "nostr"), 3))),
        (1, (REPORTED, (envelope(ACCEPT, "a3", decision=Decision.INCONCLUSIVE), 2))),
    ):
        made = quorum(*three, more=more)
        assert why(made) is Why.QUORUM
        assert f"{found} of them came to that verdict, 2 are needed beside" in made.text
    assert isinstance(quorum(*three, more=(REPORTED, SECOND)), Yes)
    assert isinstance(quorum(*three, more=((envelope(ACCEPT, "a1", "a2"), 1),)), Yes)
    two = replace(APPROVERS, approvers=public("nostr", "a1", "a2"))
    assert isinstance(quorum(*three[:2], more=(REPORTED,), rules=two), Yes)


def test_judges_that_disagree_stop_a_quorum_and_not_the_operator():
    three = (answer("a1"), answer("a2"), answer("a3"))
    for other in (REJECT, OTHER):
        more = (REPORTED, SECOND, (envelope(other, "a2"), 2))
        assert why(quorum(*three, more=more)) is Why.DISAGREED
        assert isinstance(quorum(answer("operator"), more=more), Yes)
    unsure = (envelope(ACCEPT, "a2", decision=Decision.INCONCLUSIVE), 2)
    assert isinstance(quorum(*three, more=(REPORTED, SECOND, unsure)), Yes)
    # judged at another head it has another digest, and is no disagreement
    elsewhere = findings(inputs=replace(INPUTS, head_size=9))
    assert isinstance(quorum(*three, more=(REPORTED, SECOND, (envelope(elsewhere, "a2"), 2))), Yes)


def test_without_approvers_in_the_manifest_nobody_else_decides():
    three = (answer("a1"), answer("a2"), answer("a3"))
    assert why(quorum(*three, rules=RULES)) is Why.UNAPPROVED
    alone = replace(RULES, approvers=public("a1"))
    assert alone.quorum == 2
    assert why(quorum(answer("a1"), rules=alone)) is Why.QUORUM


# ---- beside a twin ---------------------------------------------------------------------------------


def twin(answers, *, constitutional, accepted_h, now_h):
    """The rules of routine and constitutional once more, as a person would check them."""
    wanted = CONSTITUTIONAL if constitutional else PROPOSED
    latest = {}
    for one in answers:
        if one.answer.question != wanted.question(one.answer.question.verdict):
            continue
        if one.key in PEOPLE.own or one.answer.at_ms > (now_h + 1) * HOUR_MS:
            continue
        latest.setdefault(one.key, []).append(one)
    yes = []
    for key, said in latest.items():
        newest = max(one.answer.at_ms for one in said)
        words = {one.answer.word for one in said if one.answer.at_ms == newest}
        right = ASKED.digest if constitutional else DIGEST
        if Word.DISAPPROVE in words:
            if key in PEOPLE.operators | PEOPLE.people:
                return False
        elif any(
            one.answer.at_ms == newest and one.answer.question.verdict == right for one in said
        ) and not any(
            one.answer.at_ms == newest and one.answer.question.verdict > right for one in said
        ):
            yes.append((key, newest))
    if accepted_h is None:
        return False
    entitled = PEOPLE.people if constitutional else PEOPLE.operators
    fresh = [key for key, at in yes if key in entitled and at + 720 * HOUR_MS >= now_h * HOUR_MS]
    return bool(fresh) and (not constitutional or now_h >= accepted_h + 72)


@st.composite
def said(draw):
    name = draw(st.sampled_from(["operator", "npub", "alice", "bob", "log", "stranger"]))
    return answer(
        name,
        word=draw(st.sampled_from(list(Word))),
        verdict=draw(st.sampled_from([DIGEST, ASKED.digest, OTHER.digest])),
        at_h=draw(st.sampled_from([0, 1, 70, 75, 800])),
        proposed=draw(st.sampled_from([PROPOSED, CONSTITUTIONAL])),
    )


@settings(max_examples=150, deadline=None)
@given(
    answers=st.lists(said(), max_size=6),
    constitutional=st.booleans(),
    accepted_h=st.sampled_from([None, 0, 3]),
    now_h=st.sampled_from([1, 71, 72, 75, 790, 900]),
)
def test_the_rules_beside_a_twin(answers, constitutional, accepted_h, now_h):
    right = LEFT if constitutional else ENVELOPE
    envelopes = () if accepted_h is None else ((right, accepted_h * HOUR_MS),)
    made = case(*answers, envelopes=envelopes, constitutional=constitutional)
    found = decide(made, PEOPLE, now_ms=now_h * HOUR_MS)
    expected = twin(answers, constitutional=constitutional, accepted_h=accepted_h, now_h=now_h)
    assert isinstance(found, Yes) == expected, found
    backwards = replace(made, answers=made.answers[::-1])
    assert decide(backwards, PEOPLE, now_ms=now_h * HOUR_MS) == found
