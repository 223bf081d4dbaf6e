"""What an aggregator's links show: time for anybody, one history for who delegated to it."""

import hashlib
from dataclasses import replace

import pytest

from attest.core import errors
from attest.core.aggregate import AggregateTree, Slot, SlotProof, branch_hash
from attest.core.anchor import verify_chain
from attest.core.commitment import Kind
from attest.core.delegation import Delegation, Segment, SlottedLink, verify_aggregated
from attest.core.header import REGTEST, SIGNET
from attest.core.transaction import OutPoint
from ledger.core import codec
from tests.attest.delegations import (
    AGGREGATOR,
    OTHER,
    OWN,
    SLOTS,
    TREES,
    good,
    head,
    sha,
    succeeded,
    world,
)
from tests.attest.forge import forge_link

DELEGATED, RETURNED = good(), good(returned=True, until=112)


def aggregated(height=105, **changes):
    arguments = {
        "link": replace(world().link(height, 3), spent=()),
        "slot": TREES[height].prove(OWN.ledger),
        "ledger": OWN.ledger,
        "digest": SLOTS[height],
        "network": REGTEST,
    }
    return verify_aggregated(**(arguments | changes))


# ---- time only -----------------------------------------------------------------------------------


def test_a_slot_shows_a_time():
    found = aggregated().link
    assert (found.kind, found.height, found.confirmations) == (Kind.AGGREGATE, 105, 3)
    assert found.time_s == 1_790_000_000 + 600 * 105


def test_a_slot_shows_a_time_and_no_more():
    """Two histories of one ledger, each in a tree of its own, are both shown."""
    digests = {OWN.ledger: sha("another history")}
    tree = AggregateTree(digests)
    draft = OTHER.next(world().transactions[90], Kind.AGGREGATE, tree.root, 1)
    link = forge_link(
        OTHER.signed(replace(draft, coins=(OTHER.coin(0), *draft.coins[1:]))), height=7
    )
    assert (
        aggregated(link=link, slot=tree.prove(OWN.ledger), digest=digests[OWN.ledger]).link.height
        == 7
    )
    assert aggregated().link.height == 105


TIME = {
    "another head": ({"digest": head(6)}, errors.WrongSlot),
    "another ledger": ({"ledger": OTHER.ledger}, errors.InvalidSlot),
    "the slot of another round": ({"slot": TREES[108].prove(OWN.ledger)}, errors.WrongSlot),
    "spent outputs": ({"link": world().link(105)}, errors.WrongWitness),
    "no slot": (
        {"link": replace(world().link(102), spent=()), "slot": TREES[102].prove(OWN.ledger)},
        errors.WrongSlot,
    ),
    "an anchor": ({"link": replace(world().link(106), spent=())}, errors.WrongKind),
    "a delegation": ({"link": replace(world().link(104), spent=())}, errors.WrongKind),
    "another network": ({"network": SIGNET}, errors.BadWork),
    "another block": ({"link": replace(world().link(105), headers=world().link(106).headers)},
                      errors.BadPath),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "error"), TIME.values(), ids=TIME)
def test_what_shows_no_time(changes, error):
    with pytest.raises(error):
        aggregated(**changes)


# ---- delegated -----------------------------------------------------------------------------------


def test_while_it_is_delegated():
    found = DELEGATED.verify()
    assert [link.kind for link in found.chain.links] == [Kind.OPENING, Kind.ANCHOR, Kind.DELEGATION]
    period = found.delegated
    assert period is not None
    assert [link.height for link in period.links] == [102, 105, 106, 108]
    assert period.digests == (None, head(5), None, head(6))
    assert period.seal == OutPoint(txid=world().transactions[108].txid, index=1)
    assert not period.closed
    assert len(found.unshown) == 2
    assert str(found.chain.seal) in found.unshown[found.chain.seal]
    assert "own seal was not spent" in found.unshown[found.chain.seal]
    assert str(period.seal) in found.unshown[period.seal]


def test_confirmations_are_counted_through_both_seals():
    """The own link at 104 has one header of its own; 105 and 106 are the aggregator's."""
    found = DELEGATED.verify()
    assert found.chain.links[2].confirmations == 3
    assert found.delegated.links[1].confirmations == 2
    assert found.delegated.links[3].confirmations == 3


def test_after_a_return():
    found = RETURNED.verify()
    assert found.delegated is None
    [period] = found.periods
    assert period.returned is not None
    assert (period.returned.height, period.closed) == (110, True)
    assert found.unshown == {}


def test_a_return_beyond_the_links_shown():
    found = good(returned=True).verify()
    assert not found.periods[0].closed
    [words] = found.unshown.values()
    assert f"aggregator {AGGREGATOR.ledger.hex()[:16]} made no further link before" in words
    assert str(found.periods[0].seal) in words


def test_before_any_link_of_the_aggregator():
    found = good(until=90).verify()
    assert found.delegated.links == ()
    assert found.delegated.seal == DELEGATED.delegations[2].delegation.outpoint


def test_two_delegations_one_after_the_other():
    """Returned at 110, delegated again: to the seal that the link at 108 made."""
    made, case = world(), good(returned=True, until=112)
    again = OWN.next(made.transactions[110], Kind.DELEGATION, head(4), 4)
    link = forge_link(OWN.signed(again), height=120, spent=again.spent[1:])
    first = case.delegations[2]
    origin = replace(first.segment.links[3].link, spent=())
    second = replace(
        first,
        delegation=replace(
            first.delegation, outpoint=OutPoint(txid=made.transactions[108].txid, index=1)
        ),
        segment=Segment(origin=origin, links=first.segment.links[4:]),
        digests=first.digests[4:],
    )
    found = replace(
        case,
        links=(*case.links, link),
        digests=(*case.digests, head(4)),
        delegations={2: first, 4: second},
    ).verify()
    assert [period.returned is None for period in found.periods] == [False, True]
    assert [link.height for link in found.periods[1].links] == [112]


def test_a_recovery_ends_a_delegation():
    """The key that could return the seal may be the one that is lost."""
    found = succeeded(Kind.RECOVERY).verify()
    assert found.delegated is None
    [period] = found.periods
    assert (period.returned.kind, period.returned.height) == (Kind.RECOVERY, 120)
    assert found.newest == (found.chain.seal,)
    assert list(found.unshown) == [period.seal]


def links():
    return DELEGATED.delegations[2].segment.links


def without_slot(number):
    shown = [*links()]
    shown[number] = replace(shown[number], slot=None)
    return DELEGATED.with_links(*shown, digests=tuple(SLOTS.values())[:4])


def with_slot(number, slot):
    shown = [*links()]
    shown[number] = replace(shown[number], slot=slot)
    return DELEGATED.with_links(*shown, digests=tuple(SLOTS.values())[:4])


def direct_redelegation():
    """D, and another D on top of it without a return."""
    made = world()
    again = OWN.next(made.transactions[104], Kind.DELEGATION, head(3), 9)
    link = forge_link(OWN.signed(again), height=120, spent=again.spent[1:])
    return replace(
        DELEGATED,
        links=(*DELEGATED.links, link),
        digests=(*DELEGATED.digests, head(3)),
        delegations={2: DELEGATED.delegations[2], 3: DELEGATED.delegations[2]},
    )


def foreign_spend():
    """A link of the aggregator that spends another seal than the one before it made."""
    draft = AGGREGATOR.next(world().transactions[102], Kind.AGGREGATE, TREES[105].root, 9)
    link = forge_link(AGGREGATOR.signed(draft), height=120, spent=draft.spent[1:])
    return DELEGATED.with_links(
        *links(),
        SlottedLink(link=link, slot=TREES[105].prove(OWN.ledger)),
        digests=(*tuple(SLOTS.values())[:4], head(5)),
    )


FIRST, SECOND, PLAIN, LAST = links()
BROKEN = {
    "a link without slot or absence": (without_slot(1), errors.MissingSlot),
    "absence not shown": (without_slot(0), errors.MissingSlot),
    "a slot of another round": (with_slot(1, TREES[108].prove(OWN.ledger)), errors.WrongSlot),
    "absence in another round": (with_slot(1, TREES[102].prove(OWN.ledger)), errors.WrongSlot),
    "a slot beside a plain anchor": (with_slot(2, TREES[105].prove(OWN.ledger)), errors.WrongSlot),
    "another head in the slot": (
        DELEGATED.with_period(digests=(None, head(6), None, head(6))), errors.WrongSlot),
    "a head where there is no slot": (
        DELEGATED.with_period(digests=(head(4), head(5), None, head(6))), errors.WrongSlot),
    "absence claimed of a slot": (
        DELEGATED.with_period(digests=(None, None, None, head(6))), errors.WrongSlot),
    "a head for a plain anchor": (
        DELEGATED.with_period(digests=(None, head(5), head(5), head(6))), errors.WrongSlot),
    "a link left out": (
        DELEGATED.with_links(FIRST, SECOND, LAST, digests=(None, head(5), head(6))),
        errors.SealNotSpent),
    "the first link left out": (
        DELEGATED.with_links(SECOND, PLAIN, LAST, digests=(head(5), None, head(6))),
        errors.SealNotSpent),
    "links swapped": (
        DELEGATED.with_links(SECOND, FIRST, digests=(head(5), None)), errors.SealNotSpent),
    "a second spend of an earlier seal": (foreign_spend(), errors.SealNotSpent),
    "fewer digests than links": (
        DELEGATED.with_period(digests=(None, head(5))), errors.MissingLink),
    "begun with another link": (
        DELEGATED.with_period(segment=replace(
            DELEGATED.delegations[2].segment, origin=replace(FIRST.link, spent=()))), errors.WrongSeal),
    "spent outputs of the origin": (
        DELEGATED.with_period(segment=replace(
            DELEGATED.delegations[2].segment,
            origin=replace(world().link(90), spent=tuple(world().spent[105])))), errors.WrongWitness),
    "another amount": (DELEGATED.with_delegation(seal_sat=9_999), errors.WrongSeal),
    "another seal key": (DELEGATED.with_delegation(seal_key=OTHER.seal.public), errors.WrongSeal),
    "another SOUL": (DELEGATED.with_delegation(soul_digest=sha("x")), errors.WrongSeal),
    "another outpoint": (
        DELEGATED.with_delegation(outpoint=OutPoint(txid=sha("x"), index=1)), errors.WrongSeal),
    "another network": (DELEGATED.with_delegation(network="signet"), errors.WrongNetwork),
    "to itself": (DELEGATED.with_delegation(aggregator=OWN.ledger), errors.InvalidRecord),
    "no evidence": (replace(DELEGATED, delegations={}), errors.MissingSlot),
    "evidence for an anchor": (
        replace(DELEGATED, delegations=dict.fromkeys((1, 2), DELEGATED.delegations[2])),
        errors.MissingLink),
    "handed over without a return": (succeeded(Kind.HANDOFF), errors.WrongKind),
    "an anchor under another key": (
        replace(good(returned=True), heir=OTHER.seal.public), errors.WrongKind),
    "delegated again without a return": (direct_redelegation(), errors.WrongKind),
    "another head under the delegation": (
        replace(DELEGATED, digests=(head(0), head(1), head(9))), errors.WrongDigest),
    "another ledger's slots": (replace(DELEGATED, ledger=OTHER.ledger), errors.WrongSlot),
}  # fmt: skip


@pytest.mark.parametrize(("case", "error"), BROKEN.values(), ids=BROKEN)
def test_what_shows_no_single_history(case, error):
    with pytest.raises(error):
        case.verify()


def test_the_failing_link_of_a_segment_is_named():
    with pytest.raises(errors.MissingSlot) as caught:
        without_slot(1).verify()
    assert caught.value.link == 1


def test_a_doubled_slot_is_shown_nowhere():
    """The aggregator puts two heads of one ledger into one tree: one of them has no proof."""
    other_half = bytes([OWN.ledger[0] ^ 0x80]) + OWN.ledger[1:]
    first = Slot(ledger=OWN.ledger, digest=head(5))
    second = Slot(ledger=OWN.ledger, digest=sha("another history"))
    sides = (first.hash, second.hash) if not OWN.ledger[0] & 0x80 else (second.hash, first.hash)
    root = branch_hash(*sides)
    honest = SlotProof(end=first, siblings=(second.hash,))
    double = SlotProof(end=second, siblings=(first.hash,))
    assert honest.root(OWN.ledger) == root
    draft = AGGREGATOR.next(world().transactions[108], Kind.AGGREGATE, root, 9)
    link = forge_link(AGGREGATOR.signed(draft), height=120)
    assert aggregated(link=link, slot=honest, digest=head(5)).link.height == 120
    with pytest.raises(errors.WrongSlot, match="leads to root"):
        aggregated(link=link, slot=double, digest=sha("another history"))
    with pytest.raises(errors.InvalidSlot):
        double.root(other_half)


def test_an_ordinary_verifier_refuses_what_it_was_not_asked_for():
    """verify_chain takes links of kind 4 and 5 only if told to: the caller must know slots."""
    arguments = {
        "opening": DELEGATED.opening,
        "links": DELEGATED.links,
        "steps": DELEGATED.steps,
        "soul_digest": OWN.seal.soul_digest,
        "network": REGTEST,
    }
    with pytest.raises(errors.WrongKind, match="kind delegation, expected anchor"):
        verify_chain(**arguments)
    assert len(verify_chain(**arguments, kinds=(Kind.ANCHOR, Kind.DELEGATION)).links) == 3


def test_two_chains_of_blocks_do_not_go_together():
    made = world()
    stranger = forge_link(made.transactions[105], height=105, spent=made.spent[105])
    shown = (FIRST, replace(SECOND, link=stranger))
    with pytest.raises(errors.ConflictingHeaders):
        DELEGATED.with_links(*shown, digests=(None, head(5))).verify()


def test_records_are_read_back():
    value = codec.decode(
        codec.encode(
            {
                "delegation": DELEGATED.delegations[2].delegation.to_value(),
                "segment": DELEGATED.delegations[2].segment.to_value(),
            }
        ),
        bytes_max=2**20,
    )
    assert Delegation.from_value(value["delegation"]) == DELEGATED.delegations[2].delegation
    assert Segment.from_value(value["segment"]) == DELEGATED.delegations[2].segment
    for changes in ({"seal_sat": 329}, {"seal_key": bytes(31)}, {"seal_key": bytes(32)},
                    {"network": "testnet"}, {"outpoint": [bytes(32), 0]}, {"more": 1}):  # fmt: skip
        with pytest.raises(errors.InvalidProof):
            Delegation.from_value(value["delegation"] | changes)


def test_the_bytes_are_the_same_in_every_run():
    data = codec.encode(DELEGATED.delegations[2].segment.to_value())
    assert hashlib.sha256(data).hexdigest()[:12] == "dfe5f4d085ac"
