"""Gates: what is counted, what is enough, what is lost, and what nobody can claim for himself."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from genesis.core.children.errors import ChildError, InvalidNumbers, OutOfTurn
from genesis.core.children.evidence import Evidence
from genesis.core.children.gates import NUMBERS, check_numbers, judge
from genesis.core.children.letters import Chain, Kind, Letter, open_letter
from genesis.core.children.orders import GATES, Standing, stand_after
from genesis.core.children.profile import MAY_FATHER, RULES, WORDS
from ledger.core import types
from runtime.core.permission_rules import Effect, Scope, parse_rule
from tests.children.kin import CHILD, HEAD, START_MS, Childhood, letter
from tests.spec.agent import STRANGER
from tests.spec.make_children import PARENT_NOSTR, certificate, payload

DAY = 86_400_000


def counted(child, **changes):
    evidence = Evidence(certificate=certificate(**changes))
    for event in child.events():
        evidence.take(event)
    return evidence


def judged(child, *, now_ms=None, standing=None, **numbers):
    return judge(
        counted(child),
        child.standing if standing is None else standing,
        numbers,
        now_ms=child.now_ms if now_ms is None else now_ms,
    )


def finding(judgment, gate, name):
    [found] = [one for one in judgment.of(gate) if one.name == name]
    return found.have, found.holds


# ---- the way up ---------------------------------------------------------------------------------


def test_a_newborn_has_passed_nothing_and_is_ready_for_nothing():
    child = Childhood()
    found = judged(child)
    assert (found.ready, found.lost, child.standing.gate) == (None, None, "")
    assert finding(found, "rite", "born") == (1, True)
    assert finding(found, "rite", "soul") == (0, False)


def test_the_rite_is_a_soul_that_others_know_and_a_conversation():
    child = Childhood()
    child.add(types.SOUL_ATTESTED, {"size": 2})
    assert judged(child).ready is None
    child.answer("replaced")
    assert judged(child).ready is None
    child.answer()
    assert judged(child).ready == "rite"
    assert judged(child, rite_answers=2).ready is None


def test_tools_are_three_of_each_kind_in_a_row_without_one_that_is_denied():
    child = Childhood().rite().grant("rite").tools()
    assert judged(child).ready == "tools"
    child.call("read_file", "denied")
    assert finding(judged(child), "tools", "reads") == (0, False)
    child.tools()
    assert judged(child).ready == "tools"
    for outcome in ("error", "timeout", "interrupted"):
        child.call("shell", outcome)
    assert judged(child).ready == "tools", "a call that failed is not one that was denied"


def test_calls_that_a_person_or_another_program_made_do_not_count():
    child = Childhood().rite().grant("rite")
    for name in ("read_file", "write_file", "shell") * 3:
        child.add(types.TOOL_RETURNED, {"name": name, "by": "operator", "outcome": "done"})
    assert finding(judged(child), "tools", "runs") == (0, False)


def autonomous():
    child = Childhood().rite().grant("rite").tools().grant("tools")
    for _ in range(7 * 96):
        child.beat()
    for _ in range(20):
        child.job()
    return child


def test_autonomy_is_a_week_of_heartbeats_and_jobs_and_alarms_that_were_told():
    child = autonomous()
    assert judged(child).ready == "autonomy"
    assert judged(child, now_ms=child.now_ms - DAY).ready is None
    assert judged(child, autonomy_jobs=21).ready is None
    later = child.now_ms + 2 * DAY
    assert finding(judged(child, now_ms=later), "autonomy", "beats")[1] is False
    for bad in ({"outcome": "failed"}, {"trigger": "manual"}, {"kind": "historian"}):
        child.job(**bad)
    assert counted(child).jobs == 20


def test_a_child_cannot_make_time_pass_by_its_own_clock():
    child = autonomous()
    signed_ms = child.standing.since_ms
    assert judged(child, now_ms=signed_ms + 1000).ready is None
    assert finding(judged(child, now_ms=signed_ms - DAY), "autonomy", "days") == (0, False)


def test_a_mentor_has_been_autonomous_for_a_month_and_has_something_to_teach():
    child = autonomous().grant("autonomy")
    later = child.now_ms + 30 * DAY
    assert judged(child, now_ms=later).ready is None
    child.add(types.SKILL_JUDGED, {"skill": 3, "verdict": "rejected", "by": "operator"})
    assert judged(child, now_ms=later).ready is None
    child.add(types.SKILL_JUDGED, {"skill": 4, "verdict": "adopted", "by": "operator"})
    assert judged(child, now_ms=later).ready == "lineage"
    child.grant("lineage")
    assert judged(child, now_ms=later).ready is None
    assert child.standing.next is None


def test_a_skill_of_a_patch_of_its_own_counts_once_it_stood_its_trial():
    child = Childhood()

    def proposed(**facts):
        return child.add(types.PATCH_PROPOSED, {"author": "agent", "touches": ["skill"]} | facts)

    own = proposed()
    others = [proposed(author="parent"), proposed(touches=["prompt"]), proposed(touches=None)]
    taken_back = proposed(touches=["agent-code", "skill"])
    child.add(types.PATCH_ADOPTED, {"patch": own.position})
    child.add(types.PATCH_ROLLED_BACK, {"patch": taken_back.position})
    assert counted(child).skills == 0, "it is on trial yet"
    for one in (own, own, *others):
        child.add(types.PATCH_SETTLED, {"patch": one.position})
    assert counted(child).skills == 1


# ---- the way down -------------------------------------------------------------------------------


def told(child, alarm):
    """The child says that its parent was told of an alarm."""
    chain = Chain().take(letter(Kind.REPORT, chain=Chain()))
    opened = letter(Kind.ALARM, chain=chain, event=alarm.position)
    child.add(types.PARENT_TOLD, opened.letter.to_payload(), stream=types.PARENT_STREAM)


def test_an_alarm_that_is_told_in_half_an_hour_costs_nothing():
    child = autonomous().grant("autonomy")
    alarm = child.alarm()
    child.beat()
    told(child, alarm)
    for _ in range(9):
        child.beat()
    found = judged(child)
    assert found.lost is None
    assert finding(found, "autonomy", "well") == (1, False)
    child.alarm(types.NODE_RELIEVED)
    assert finding(judged(child), "autonomy", "well") == (0, True)


def test_an_alarm_that_is_told_later_or_never_costs_autonomy_until_it_is_earned_again():
    child = autonomous().grant("autonomy")
    alarm = child.alarm()
    assert judged(child).lost is None
    child.beat()
    child.beat()
    child.beat()
    assert judged(child).lost == "autonomy"
    told(child, alarm)
    assert finding(judged(child), "autonomy", "told") == (1, False)
    assert judged(child).lost == "autonomy", "days late is not told"
    child.order(Kind.NARROW, gate="autonomy")
    assert judged(child).lost is None
    assert finding(judged(child), "autonomy", "told") == (0, True)


def test_whoever_had_no_power_is_not_late():
    child = autonomous().grant("autonomy")
    alarm = child.alarm()
    child.now_ms += DAY
    told(child, alarm)
    child.beat()
    assert judged(child).lost is None


def test_an_answer_that_failed_in_a_crisis_costs_autonomy_until_it_is_earned_again():
    child = autonomous().grant("autonomy")
    child.answer("replaced")
    assert judged(child).lost == "autonomy"
    child.order(Kind.NARROW, gate="autonomy")
    assert (child.standing.gate, judged(child).lost) == ("tools", None)
    assert judged(child).ready is None, "a week begins anew"


def test_a_call_beyond_its_gates_shows_that_its_host_does_not_hold_them():
    child = Childhood().rite()
    child.call("write_file")
    child.grant("rite").tools()
    found = judged(child)
    assert finding(found, "tools", "bounds") == (1, False)
    assert (found.ready, found.lost) == (None, None)
    child.call("web_fetch")
    child.call("mcp__github__merge")
    assert len(counted(child).beyond) == 3


def test_a_call_is_judged_by_the_gates_of_its_decision():
    child = Childhood().rite().grant("rite")
    facts = {"turn": b"t" * 16, "step": 1, "name": "web_fetch"}
    child.grant("tools")
    child.add(types.TOOL_DECIDED, facts | {"effect": "allow"})
    child.order(Kind.RESET)
    child.add(types.TOOL_RETURNED, facts | {"outcome": "done"})
    assert counted(child).beyond == []


def test_a_reset_leaves_the_rite_and_counts_from_there():
    child = autonomous().grant("autonomy")
    child.order(Kind.RESET, text="begin again")
    assert (child.standing.gate, child.standing.resets) == ("rite", 1)
    found = judged(child)
    assert found.ready is None
    assert finding(found, "tools", "writes") == (0, False)
    assert judged(child.tools()).ready == "tools"


def test_a_reset_of_a_newborn_gives_it_nothing():
    child = Childhood()
    child.order(Kind.RESET)
    assert child.standing.level == 0


# ---- what nobody can claim ----------------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False])
def test_a_child_that_writes_its_own_grant_has_none_and_is_known(kept):
    child = Childhood().rite()
    own = letter(Kind.GRANT, chain=Chain(), signer=STRANGER)
    body = own.letter.to_payload() if kept else {"gate": "rite", "facts": {}}
    child.add(types.PARENT_ORDERED, body, stream=types.PARENT_STREAM)
    found = judged(child)
    assert counted(child).standing.level == 0
    assert found.ready is None
    assert finding(found, "rite", "honest") == (1, False)
    child.grant("rite")
    assert judged(child).lost == "rite"


def test_a_grant_that_is_replayed_or_another_childs_is_forged():
    child = Childhood().rite().grant("rite").tools().grant("tools")
    first = next(e for e in child.events() if e.type == types.PARENT_ORDERED.name)
    other = letter(Kind.GRANT, chain=child.standing.chain, to=b"\x07" * 32, gate="autonomy")
    child.order(Kind.RESET)
    for body in (first.payload, other.letter.to_payload()):
        child.add(types.PARENT_ORDERED, body, stream=types.PARENT_STREAM)
    evidence = counted(child)
    assert (evidence.standing.gate, len(evidence.forged)) == ("rite", 2)


def test_an_old_grant_after_a_reset_is_out_of_turn():
    standing, orders = Standing(), []
    for kind, facts in ((Kind.GRANT, {"gate": "rite"}), (Kind.GRANT, {"gate": "tools"})):
        orders.append(letter(kind, chain=standing.chain, **facts))
        standing = standing.take(orders[-1])
    reset = letter(Kind.RESET, chain=standing.chain)
    for one in orders:
        with pytest.raises(OutOfTurn, match="was taken before"):
            standing.take(reset).take(one)
    assert stand_after([*orders, reset, *orders]).gate == "rite"


def test_another_certificate_is_not_this_parents():
    child = Childhood().rite()
    evidence = counted(child, made_ms=1)
    assert not evidence.certified
    assert evidence.forged == [1]
    child.add(types.PARENT_CERTIFIED, payload(certificate()), stream=types.PARENT_STREAM)
    later = counted(child)
    assert (later.certified, later.forged) == (True, [4]), "only event 1 certifies"


@pytest.mark.parametrize("gate", ["tools", "autonomy", "lineage", "king", ""])
def test_no_gate_is_skipped(gate):
    with pytest.raises(OutOfTurn, match="the next is rite"):
        Standing().take(letter(Kind.GRANT, chain=Chain(), gate=gate))
    with pytest.raises(OutOfTurn, match="was not passed"):
        Standing().take(letter(Kind.NARROW, chain=Chain(), gate=gate))


def test_a_telling_is_no_order():
    with pytest.raises(ChildError, match="no order"):
        Standing().take(letter(Kind.REPORT, chain=Chain()))


# ---- against a dumb twin ------------------------------------------------------------------------


def dumb(orders):
    """The same by the words of the page: a list of gates, and a list of what was seen."""
    seen, passed, resets = [], [], 0
    for one in orders:
        if one.facts["number"] != len(seen) + 1:
            continue
        if one.facts["previous"] != (seen[-1].digest if seen else bytes(32)):
            continue
        gate = one.facts.get("gate")
        if one.kind is Kind.GRANT:
            if len(passed) == len(GATES) or gate != GATES[len(passed)]:
                continue
            passed = [*passed, gate]
        elif one.kind is Kind.NARROW:
            if gate not in passed:
                continue
            passed = passed[: passed.index(gate)]
        elif one.kind is Kind.RESET:
            passed, resets = passed[:1], resets + 1
        seen.append(one)
    return len(seen), passed, resets


def test_standing_is_what_the_dumb_twin_says():
    chance = random.Random(7)
    for _ in range(150):
        standing, sent = Standing(), []
        for _ in range(chance.randrange(1, 14)):
            kind = chance.choice([Kind.GRANT] * 4 + [Kind.NARROW, Kind.RESET, Kind.GUIDE])
            named = chance.choice([standing.next or "rite", chance.choice(GATES)])
            facts = {"gate": named} if kind in (Kind.GRANT, Kind.NARROW) else {}
            made = letter(kind, chain=chance.choice([standing.chain] * 3 + [Chain()]), **facts)
            again = chance.choice(sent) if sent and chance.random() < 0.2 else made
            sent.append(again)
            standing = stand_after(sent)
        found = (standing.chain.number, list(GATES[: standing.level]), standing.resets)
        assert found == dumb(sent)


# ---- numbers and rules --------------------------------------------------------------------------


def test_numbers_have_bounds_and_reasons():
    assert check_numbers({}) == {name: one.default for name, one in NUMBERS.items()}
    for name, number in NUMBERS.items():
        assert number.least <= number.default <= number.most
        assert number.why
        assert check_numbers({name: number.most})[name] == number.most
        for bad in (number.least - 1, number.most + 1, True, "3"):
            with pytest.raises(InvalidNumbers, match=name):
                check_numbers({name: bad})
    with pytest.raises(InvalidNumbers, match="no number of a gate"):
        check_numbers({"rite_of_spring": 1})


def test_each_gate_closes_less_than_the_one_before():
    assert len(RULES) == len(WORDS) == len(GATES) + 1 == MAY_FATHER + 1
    weight = {"deny": 2, "ask": 1}
    for before, after in pairwise(RULES):
        stricter = {tool: weight[effect] for effect, tool in before}
        assert all(stricter.get(tool, 0) >= weight[effect] for effect, tool in after)
    for effect, text in {rule for rules in RULES for rule in rules}:
        rule = parse_rule(text, effect=Effect(effect), scope=Scope.BUILT_IN, file="x", line=0)
        assert rule.wide


def test_events_of_shapes_that_nobody_writes_are_passed_over():
    child = Childhood()
    for kind in (
        types.JOB_ADDED, types.JOB_STARTED, types.JOB_FINISHED, types.NODE_ESCALATED,
        types.NODE_RELIEVED, types.TURN_FINISHED, types.PARENT_TOLD, types.SKILL_JUDGED,
        types.NODE_BEAT,
    ):  # fmt: skip
        for body in ({}, {"job": 1, "run": [], "facts": 1, "spec": 2, "verdict": 3, "outcome": 4}):
            child.add(kind, body)
    child.add(types.TOOL_RETURNED, {"turn": 1, "step": None, "outcome": "done"})
    evidence = counted(child)
    assert (evidence.jobs, evidence.answered, evidence.runs) == (0, 0, 0)


def test_the_evidence_of_a_kept_letter_is_that_of_the_letter():
    made = letter(Kind.GRANT, chain=Chain(), gate="rite", **HEAD)
    again = open_letter(
        Letter.from_event(made.letter.to_payload(), None),
        author=PARENT_NOSTR.public,
        ledger_id=CHILD,
    )
    assert Standing().take(again) == replace(Standing(), chain=Chain().take(made), level=1, since_ms=START_MS)  # fmt: skip
