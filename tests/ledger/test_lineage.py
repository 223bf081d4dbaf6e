"""Handoffs and recoveries of a log: who signs which head, and every rule broken one at a time."""

from dataclasses import replace

import pytest

from ledger.core import handoff as handoffs
from ledger.core.errors import InvalidEvent
from ledger.core.event import Event
from ledger.core.genesis import key_digest
from ledger.core.lineage import Cause
from ledger.core.successor import RENEWED_ROLES, Successor
from tests.ledger.heirs import Heir, born, handoff, heir, lineage_of, record_of, recovery
from tests.spec import agent

A_LOG = born("first words")
"""Two events, tenure 0. Never changed: each case adds to a copy."""


def copy(ledger):
    return agent.Ledger(list(ledger.records), ledger.tree.fork(), dict(ledger.lengths))


def with_draft(draft, ledger=A_LOG):
    mine = copy(ledger)
    mine.add(draft)
    return mine


def refused(draft, match, ledger=A_LOG):
    mine = with_draft(draft, ledger)
    with pytest.raises(InvalidEvent, match=match):
        lineage_of(mine)


def test_a_log_lives_through_handoffs_and_recoveries():
    ledger = born("first words")
    ledger.add(handoff(ledger, heir(1)))  # 2
    ledger.add(agent.words("of the new instance"))
    ledger.add(recovery(ledger, None))  # 4
    ledger.add(recovery(ledger, heir(2)))  # 5
    ledger.add(handoff(ledger, heir(3)))  # 6
    found = lineage_of(ledger)
    assert [tenure.cause for tenure in found.tenures] == [
        Cause.BIRTH,
        Cause.HANDOFF,
        Cause.EPOCH,
        Cause.RECOVERY,
        Cause.HANDOFF,
    ]
    assert [(t.number, t.epoch, t.start, t.position) for t in found.tenures] == [
        (0, 0, 0, 0),
        (1, 0, 4, 2),
        (1, 1, 5, 4),
        (2, 2, 6, 5),
        (3, 2, 8, 6),
    ]
    assert [found.origin(tenure).position for tenure in found.tenures] == [0, 2, 2, 5, 6]
    ids = [Event.open(record).id for record in ledger.records]
    assert [tenure.event for tenure in found.tenures] == [ids[t.position] for t in found.tenures]
    assert [tenure.record for tenure in found.tenures] == [ids[at] for at in (0, 2, 2, 5, 6)]
    assert found.newest.keys == heir(3).successor.keys
    assert found.newest.next_key_digest == key_digest(heir(3).next_key.public)
    assert found.epoch == 2
    assert found.keys == {
        **{role: heir(3).keys[role].public for role in RENEWED_ROLES},
        "nostr": agent.KEYS.nostr.public,
        "operator": agent.OPERATOR.public,
    }


def test_the_old_key_signs_up_to_the_head_that_covers_the_record_and_no_further():
    ledger = with_draft(handoff(A_LOG, heir(1)))
    found = lineage_of(ledger)
    position = found.newest.position
    old, new = heir(0).keys["log"].public, heir(1).keys["log"].public
    keys = [found.key_at(size) for size in range(position + 4)]
    assert keys == [*[old] * (position + 2), new, new]


def test_the_head_over_an_epoch_record_is_of_the_new_epoch_and_of_its_keys():
    ledger = with_draft(recovery(A_LOG, heir(1)))
    found = lineage_of(ledger)
    old, new = heir(0).keys["log"].public, heir(1).keys["log"].public
    assert found.tenure_at(0, 2).keys["log"] == old
    assert found.tenure_at(1, 3).keys["log"] == new
    assert found.key_at(3) == new
    with pytest.raises(InvalidEvent, match="no tenure of epoch 1 signs heads of size 2"):
        found.key_at(2)
    with pytest.raises(InvalidEvent, match="no tenure of epoch 2"):
        found.tenure_at(2, 9)
    assert found.tenure_before(2).number == 0


def test_records_that_no_longer_follow_are_passed_over_where_some_are_lost():
    ledger = with_draft(handoff(A_LOG, heir(1)))
    ledger.add(handoff(ledger, heir(2)))
    ledger.add(recovery(ledger, heir(3)))
    first, _, one, two, three = [Event.open(record) for record in ledger.records]
    begun = lineage_of(A_LOG)
    assert begun.with_all([one, two, three]) == lineage_of(ledger)
    assert [t.number for t in begun.with_all([two, three]).tenures] == [0, 1]
    assert [t.number for t in begun.with_all([one, three]).tenures] == [0, 1, 2]
    assert first.position == 0


# ---- a handoff, one rule broken at a time ---------------------------------------------------------

STRANGER = agent.signer("stranger")

BROKEN_HANDOFFS = {
    "n + 2": ({"number": 2}, "handoff 2 follows 0"),
    "another previous": ({"previous": b"p" * 32}, "continues another tenure"),
    "another soul": ({"soul": b"s" * 32}, "another SOUL than genesis"),
    "another next key": ({"next_key": STRANGER}, "not signed by the next key that was announced"),
    "the recovery key instead": ({"next_key": agent.RECOVERY}, "not signed by the next key"),
    "another old key": ({"old": STRANGER}, "signature of the old log key"),
    "the new key as the old one": ({"old": heir(1).keys["log"]}, "signature of the old log key"),
    "signed for another ledger": ({"ledger_id": b"l" * 32}, "signature of the old log key"),
}


@pytest.mark.parametrize(("changes", "match"), BROKEN_HANDOFFS.values(), ids=BROKEN_HANDOFFS)
def test_a_handoff_that_breaks_a_rule_is_refused_by_name(changes, match):
    assert lineage_of(with_draft(handoff(A_LOG, heir(1)))).newest.number == 1
    refused(handoff(A_LOG, heir(1), **changes), match)


def changed(draft, **changes):
    return replace(draft, payload=draft.payload | changes)


ROLES_AND_OTHERS = [(role, other) for role in RENEWED_ROLES for other in RENEWED_ROLES]


def test_each_of_the_five_signatures_is_needed():
    good = handoff(A_LOG, heir(1))
    for name, whose in (("old_signature", "old log key"), ("next_signature", "next key")):
        for bad in (b"", bytes(64), good.payload["proofs"]["log"]):
            refused(changed(good, **{name: bad}), f"signature of the {whose}")
    for role, other in ROLES_AND_OTHERS:
        proofs = good.payload["proofs"] | {role: good.payload["proofs"][other]}
        if role != other:
            refused(changed(good, proofs=proofs), f"signature of the new {role} key")
        refused(
            changed(good, proofs=good.payload["proofs"] | {role: None}), f"of the new {role} key"
        )
    refused(changed(good, proofs={}), "proofs are not exactly")


def test_swapped_keys_have_not_signed_in_their_new_role():
    new = heir(1)
    swapped = new.but(seal=new.keys["funding"], funding=new.keys["seal"])
    good = handoff(A_LOG, new)
    claimed = changed(good, successor=swapped.successor.to_value())
    refused(claimed, "signature of the old log key")
    honest = handoff(A_LOG, swapped)
    refused(changed(honest, proofs=good.payload["proofs"]), "signature of the new log key")


@pytest.mark.parametrize("name", ["version", "reason", "key", "proofs", "architecture"])
def test_a_handoff_has_exactly_its_fields(name):
    good = handoff(A_LOG, heir(1))
    less = {key: value for key, value in good.payload.items() if key != name}
    refused(replace(good, payload=less), "fields are not exactly")
    refused(changed(good, more=1), "fields are not exactly")
    refused(changed(good, **{name: None}), f"{name} is not of type")


def test_a_handoff_is_bounded():
    record = record_of(A_LOG, heir(1))
    refused(changed(handoff(A_LOG, heir(1)), version=2), "version 2, this software reads 1")
    refused(changed(handoff(A_LOG, heir(1)), number=True), "number is not of type int")
    for bad in (
        {"reason": "x" * (handoffs.REASON_CHARS_MAX + 1)},
        {"number": 0},
        {"kept_size": 0},
        {"soul": b"s" * 31},
        {"key": b""},
    ):
        with pytest.raises(InvalidEvent, match="handoff"):
            replace(record, **bad)
    assert replace(record, reason="x" * handoffs.REASON_CHARS_MAX)


def test_a_second_handoff_follows_the_first_and_cannot_replace_it():
    once = with_draft(handoff(A_LOG, heir(1)))
    # The first next key again, on a log that has handed over already.
    again = handoff(A_LOG, heir(2))
    refused(again, "not signed by the next key", once)
    forged = handoff(once, heir(2), next_key=heir(0).next_key)
    refused(forged, "not signed by the next key that was announced", once)
    by_old = handoff(once, heir(2), old=heir(0).keys["log"])
    refused(by_old, "signature of the old log key", once)
    assert lineage_of(with_draft(handoff(once, heir(2)), once)).newest.number == 2


# ---- no key twice ----------------------------------------------------------------------------------

USED_BEFORE = {
    "the log key before": heir(0).keys["log"],
    "the seal key before": heir(0).keys["seal"],
    "the funding key before": heir(0).keys["funding"],
    "the nostr key": agent.KEYS.nostr,
    "the operator's key": agent.OPERATOR,
    "the recovery seal's key": agent.RECOVERY_OUTPUT,
    "the recovery key": agent.RECOVERY,
    "the next key itself": heir(0).next_key,
}


@pytest.mark.parametrize("role", RENEWED_ROLES)
@pytest.mark.parametrize("used", USED_BEFORE.values(), ids=USED_BEFORE)
def test_a_key_that_had_a_role_before_takes_none_over(role, used):
    new = heir(1).but(**{role: used})
    refused(handoff(A_LOG, new), f"the new {role} key had a role before")
    refused(recovery(A_LOG, new), f"the new {role} key had a role before")


@pytest.mark.parametrize("used", USED_BEFORE.values(), ids=USED_BEFORE)
def test_a_next_key_that_had_a_role_before_is_not_announced(used):
    new = replace(heir(1), next_key=used)
    refused(handoff(A_LOG, new), "the announced next key had a role before")


def test_a_next_key_among_the_new_ones_is_not_announced():
    new = heir(1)
    for role in RENEWED_ROLES:
        bad = replace(new, next_key=new.keys[role])
        refused(handoff(A_LOG, bad), "the announced next key had a role before")
        refused(recovery(A_LOG, bad), "the announced next key had a role before")


def test_keys_of_every_earlier_tenure_are_remembered():
    ledger = with_draft(handoff(A_LOG, heir(1)))
    ledger.add(handoff(ledger, heir(2)))
    for number in (0, 1, 2):
        for key in heir(number).keys.values():
            refused(handoff(ledger, heir(3).but(log=key)), "had a role before", ledger)
            refused(recovery(ledger, heir(3).but(seal=key)), "had a role before", ledger)
        again = replace(heir(3), next_key=heir(number).next_key)
        refused(handoff(ledger, again), "had a role before", ledger)


def test_one_key_has_one_role():
    new = heir(1)
    with pytest.raises(InvalidEvent, match="two roles share one key"):
        _ = new.but(seal=new.keys["log"]).successor
    value = new.successor.to_value()
    for bad in (
        None,
        {},
        value | {"more": 1},
        value | {"keys": {**value["keys"], "nostr": b"n" * 32}},
        value | {"keys": []},
        value | {"keys": {**value["keys"], "log": b"short"}},
        value | {"next_key_digest": "text"},
    ):
        with pytest.raises(InvalidEvent, match="successor"):
            Successor.from_value(bad)
    assert Successor.from_value(value) == new.successor
    for bad in (b"short", "x" * 32):
        with pytest.raises(InvalidEvent, match=r"^successor: next_key_digest is not 32 bytes$"):
            Successor.from_value(value | {"next_key_digest": bad})


# ---- recoveries -------------------------------------------------------------------------------------


def test_a_recovery_renews_the_keys_without_the_old_ones():
    ledger = with_draft(recovery(A_LOG, heir(1)))
    found = lineage_of(ledger).newest
    assert (found.number, found.epoch, found.cause) == (1, 1, Cause.RECOVERY)
    assert found.record == lineage_of(ledger).newest.record != lineage_of(A_LOG).newest.record
    assert lineage_of(with_draft(handoff(ledger, heir(2)), ledger)).newest.number == 2


def test_an_epoch_without_a_successor_keeps_keys_number_and_record():
    ledger = with_draft(recovery(A_LOG, None))
    before, after = lineage_of(ledger).tenures
    assert (after.keys, after.number, after.record) == (before.keys, 0, before.record)
    assert (after.cause, after.epoch, after.start) == (Cause.EPOCH, 1, 3)
    assert lineage_of(with_draft(handoff(ledger, heir(1)), ledger)).newest.number == 1


def test_a_handoff_that_was_signed_before_a_recovery_does_not_follow_it():
    early = handoff(A_LOG, heir(1))
    recovered = with_draft(recovery(A_LOG, heir(2)))
    refused(early, "not signed by the next key", recovered)
    kept = with_draft(recovery(A_LOG, None))
    assert lineage_of(with_draft(handoff(kept, heir(1)), kept)).epoch == 1


BROKEN_RECOVERIES = {
    "another key": ({"by": STRANGER}, "not signed by the recovery key of genesis"),
    "the next key": ({"by": heir(0).next_key}, "not signed by the recovery key of genesis"),
    "epoch 0": ({"epoch": 0}, "epoch 0 follows epoch 0"),
    "epoch + 2": ({"epoch": 2}, "epoch 2 follows epoch 0"),
}


@pytest.mark.parametrize(("changes", "match"), BROKEN_RECOVERIES.values(), ids=BROKEN_RECOVERIES)
@pytest.mark.parametrize("new", [None, heir(1)], ids=["keys kept", "keys renewed"])
def test_a_recovery_that_breaks_a_rule_is_refused_by_name(changes, match, new):
    refused(recovery(A_LOG, new, **changes), match)


@pytest.mark.parametrize("new", [None, heir(1)], ids=["keys kept", "keys renewed"])
def test_a_recovery_says_why(new):
    """Beside the fields of docs/spec/lineage.md, for people: no reader asks for it, nobody signs it."""
    payload = recovery(A_LOG, new).payload
    assert payload["reason"] == "stolen"
    more = set() if new is None else {"successor", "proofs"}
    assert payload.keys() == more | {
        *("epoch", "kept_size", "kept_root", "key", "signature", "reason")
    }


def test_what_a_recovery_claims_is_signed():
    good = recovery(A_LOG, heir(1))
    other = recovery(A_LOG, heir(2))
    without = recovery(A_LOG, None)
    both = {name: other.payload[name] for name in ("successor", "proofs")}
    refused(changed(good, **both), "signature of the recovery key")
    refused(changed(without, **both), "signature of the recovery key")
    refused(changed(good, proofs=other.payload["proofs"]), "signature of the new log key")
    refused(changed(good, kept_size=1), "signature of the recovery key")
    for name in ("successor", "proofs"):
        less = {key: value for key, value in good.payload.items() if key != name}
        refused(replace(good, payload=less), "stand together")
        refused(changed(without, **{name: good.payload[name]}), "stand together")


def test_two_different_records_of_one_number_prove_that_the_keys_diverged():
    one, other = handoff(A_LOG, heir(1)), handoff(A_LOG, heir(2))
    for draft in (one, other):
        assert lineage_of(with_draft(draft)).newest.number == 1
    roots = {with_draft(draft).tree.root() for draft in (one, other)}
    assert len(roots) == 2, "each passes alone: only heads of one size show it"


def test_heirs_are_what_the_cases_think_they_are():
    assert isinstance(heir(1), Heir)
    keys = [key.public for number in range(4) for key in heir(number).keys.values()]
    assert len(set(keys)) == len(keys)
